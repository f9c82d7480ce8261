"""Little robots whose numbers can be worked out by hand."""

from __future__ import annotations

from pathlib import Path

from rl_robot_control.robots import RobotModel, load_robot

LINK = """  <link name="{name}">
    <inertial><origin xyz="{centre}"/><mass value="{mass}"/>
      <inertia ixx="{inertia}" iyy="{inertia}" izz="{inertia}" ixy="0" ixz="0" iyz="0"/></inertial>
    {shape}
  </link>
"""
JOINT = """  <joint name="{name}" type="{kind}"><parent link="{parent}"/><child link="{child}"/><origin xyz="{place}"/>
    <axis xyz="{axis}"/><limit lower="{lower}" upper="{upper}" velocity="{velocity}" effort="{effort}"/></joint>
"""
YAML = """name: {name}
urdf: {urdf}
base: {{kind: {base}, link: base}}
joints:
  .*: {{stiffness: {stiffness}, damping: {damping}, acceleration_limit: 1000, velocity_limit: 50}}
{more}
"""


def link(name: str, mass: float = 1.0, centre: str = '0 0 0', inertia: float = 1e-4, shape: str = '') -> str:
    """A link; the shape is what stands in a URDF's collision element."""
    shape = f'<collision>{shape}</collision>' if shape else ''
    return LINK.format(name=name, mass=mass, centre=centre, inertia=inertia, shape=shape)


def joint(name: str, parent: str, child: str, place: str = '0 0 0', axis: str = '0 1 0', lower: float = -2.0,
          upper: float = 2.0, velocity: float = 20.0, effort: float = 20.0, kind: str = 'revolute') -> str:
    """A joint between two links."""
    return JOINT.format(name=name, kind=kind, parent=parent, child=child, place=place, axis=axis, lower=lower,
                        upper=upper, velocity=velocity, effort=effort)


def build(folder: Path, *parts: str, name: str = 'mini', base: str = 'fixed', stiffness: float = 50.0,
          damping: float = 2.0, more: str = '') -> RobotModel:
    """Write and load a robot."""
    urdf = folder / f'{name}.urdf'
    urdf.write_text(f'<robot name="{name}">\n{"".join(parts)}</robot>\n')
    path = folder / f'{name}.yaml'
    path.write_text(YAML.format(name=name, urdf=urdf, base=base, stiffness=stiffness, damping=damping, more=more))
    return load_robot(str(path))


def pendulum(folder: Path, **options) -> RobotModel:
    """A mass of 2 kg on a massless rod of 0.5 m that hangs down and turns about the y axis; inertia 0.5 kg·m²."""
    return build(folder, link('base'), link('bob', mass=2.0, centre='0 0 -0.5', inertia=1e-9),
                 joint('swing', 'base', 'bob'), **options)


def scissors(folder: Path, **options) -> RobotModel:
    """Two rods of 1 m along x, one above the other by 0.5 m, that turn about the y axis toward each other."""
    ball = '<origin xyz="1 0 0"/><geometry><sphere radius="0.1"/></geometry>'
    return build(folder, link('base'), link('upper', centre='1 0 0', shape=ball),
                 link('lower', centre='1 0 0', shape=ball), joint('down', 'base', 'upper', place='0 0 0.5'),
                 joint('up', 'base', 'lower', axis='0 -1 0'), **options)
