"""Reads joints and mesh paths from a URDF, without ROS."""

from __future__ import annotations

import os
import sys
import sysconfig
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from rl_robot_control.errors import RobotDescriptionError


@dataclass(frozen=True, kw_only=True)
class UrdfJoint:
    """One movable joint as the URDF describes it."""

    name: str
    kind: str  # revolute, continuous or prismatic
    child: str  # link that it moves
    lower: float  # [rad] or [m]; -inf where continuous
    upper: float  # [rad] or [m]; +inf where continuous
    velocity: float  # [rad/s] or [m/s]
    effort: float  # [N·m] or [N]


def package_search_path() -> list[Path]:
    """Folders that may hold ROS packages: the ROS prefixes, the interpreter's ``share`` and the robot wheels' one."""
    site = Path(sysconfig.get_paths()['purelib'])
    folders = [Path(p) for p in os.environ.get('ROS_PACKAGE_PATH', '').split(os.pathsep) if p]
    folders += [Path(p) / 'share' for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    folders += [Path(sys.prefix) / 'share', site / 'cmeel.prefix' / 'share']
    folders += [Path(p) / 'cmeel.prefix' / 'share' for p in sys.path if p.endswith('-packages')]
    return list(dict.fromkeys(folders))


def resolve_uri(uri: str, relative_to: Path | None = None) -> Path:
    """Path of a ``package://``, ``file://`` or plain file name, without ROS.

    Args:
        uri: Name as written in a URDF or a robot's YAML.
        relative_to: File that holds the name; plain names are relative to its folder, and a package may also be one
            of its parent folders.

    Raises:
        RobotDescriptionError: The package or the file does not exist.
    """
    if not uri.startswith('package://'):
        path = Path(uri.removeprefix('file://')).expanduser()
        return path if path.is_absolute() or relative_to is None else relative_to.parent / path
    package, _, rest = uri.removeprefix('package://').partition('/')
    folders = [folder / package for folder in package_search_path()]
    if relative_to is not None:
        folders += [parent for parent in relative_to.resolve().parents if parent.name == package]
    existing = [folder for folder in folders if folder.is_dir()]
    if not existing:
        raise RobotDescriptionError(
            f"package '{package}' of '{uri}' was not found. Install it (pip install {package}, or the ROS package), "
            'or add the folder that holds it to ROS_PACKAGE_PATH.')
    for folder in existing:
        if (folder / rest).exists():
            return folder / rest
    return existing[0] / rest


def load_urdf(path: Path) -> ElementTree.Element:
    """Parse a URDF and make its mesh names absolute.

    Raises:
        RobotDescriptionError: The file is missing or no URDF, or a mesh of it does not exist.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except OSError as error:
        raise RobotDescriptionError(f'{path}: cannot be read: {error.strerror}.') from error
    except ElementTree.ParseError as error:
        raise RobotDescriptionError(f'{path}: is not valid XML: {error}.') from error
    if root.tag != 'robot':
        raise RobotDescriptionError(f"{path}: the root element is <{root.tag}>, a URDF's is <robot>.")
    for link in root.iter('link'):
        for mesh in link.iter('mesh'):
            mesh.set('filename', str(_mesh_path(mesh.get('filename', ''), path, link.get('name', '?'))))
    return root


def movable_joints(root: ElementTree.Element, path: Path) -> list[UrdfJoint]:
    """All movable joints that do not mimic another one, in the order of the file.

    Raises:
        RobotDescriptionError: A joint's type is not supported, or its limits are missing or contradictory.
    """
    joints = []
    for element in root.findall('joint'):
        if element.get('type') == 'fixed' or element.find('mimic') is not None:
            continue
        joints.append(_joint(element, path))
    return joints


def child_links(urdf: str) -> dict[str, str]:
    """The link that each joint of a URDF moves, by the joint's name."""
    joints = ElementTree.fromstring(urdf).findall('joint')
    return {joint.get('name', ''): joint.find('child').get('link', '') for joint in joints}


def _mesh_path(name: str, path: Path, link: str) -> Path:
    mesh = resolve_uri(name, relative_to=path)
    if not mesh.is_file():
        raise RobotDescriptionError(f"{path}: link '{link}' names the mesh '{name}', which does not exist (looked for "
                                    f'{mesh}). Install the package that holds it or correct the name.')
    return mesh.resolve()


def _joint(element: ElementTree.Element, path: Path) -> UrdfJoint:
    name, kind = element.get('name', '?'), element.get('type', '?')
    if kind not in ('revolute', 'continuous', 'prismatic'):
        raise RobotDescriptionError(f"{path}: joint '{name}' is of type '{kind}'; supported are revolute, continuous, "
                                    'prismatic and fixed.')
    limit, child = element.find('limit'), element.find('child')
    if limit is None or child is None:
        raise RobotDescriptionError(f"{path}: joint '{name}' has no <{'limit' if limit is None else 'child'}>.")
    number = {key: _number(limit, key, name, path) for key in ('velocity', 'effort')}
    lower, upper = -float('inf'), float('inf')
    if kind != 'continuous':
        lower, upper = _number(limit, 'lower', name, path, '0'), _number(limit, 'upper', name, path, '0')
        if not lower < upper:
            raise RobotDescriptionError(f"{path}: joint '{name}' has lower limit {lower} and upper limit {upper}; the "
                                        'lower one must be smaller.')
    return UrdfJoint(name=name, kind=kind, child=child.get('link', '?'), lower=lower, upper=upper, **number)


def _number(limit: ElementTree.Element, key: str, joint: str, path: Path, default: str | None = None) -> float:
    text = limit.get(key, default)
    try:
        value = float(text) if text is not None else float('nan')
    except ValueError:
        value = float('nan')
    if not abs(value) < float('inf') or (key in ('velocity', 'effort') and value <= 0):
        raise RobotDescriptionError(f"{path}: joint '{joint}' has {key}={text!r} in <limit>; a finite"
                                    f"{' positive' if key in ('velocity', 'effort') else ''} number is needed.")
    return value
