"""The policies that one inference node has loaded: they share a robot, a rate and gains."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rl_robot_control.errors import ConfigurationError, PolicyError, UnknownNameError
from rl_robot_control.policies import find_policy
from rl_robot_control.policies.gate import read_policy
from rl_robot_control.policies.manifest import Manifest
from rl_robot_control.policies.matching import TOLERANCE, first_difference
from rl_robot_control.policies.runner import PolicyRunner
from rl_robot_control.robots import RobotModel, load_robot
from rl_robot_control.ros.candidate import Candidate
from rl_robot_control.ros.inference_core import needed_quantities


@dataclass(frozen=True, kw_only=True)
class PolicySet:
    """Policies by name; the first one is active first."""

    robot: RobotModel  # with the gains and the pose of the first one
    manifests: dict[str, Manifest]
    runners: dict[str, PolicyRunner]
    fields: dict[str, set[str]]  # of the state, that each of them needs

    @property
    def first(self) -> str:
        """Name of the policy that is active first."""
        return next(iter(self.manifests))

    @property
    def control_period(self) -> float:
        """Of all of them [s]."""
        return self.manifests[self.first].control_period

    @property
    def needed(self) -> set[str]:
        """Fields of the state that any of them needs."""
        return set().union(*self.fields.values())

    def candidates(self) -> dict[str, Candidate]:
        """What the core needs of each."""
        return {name: Candidate(policy=runner, start_pose=runner.start_pose,
                                required=('joint_position', *sorted(self.fields[name])),
                                joint_names=self.robot.joint_names, floating=self.robot.floating)
                for name, runner in self.runners.items()}


def load_policies(policy: str, others: Sequence[str], robot: str = '', rate: float | None = None,
                  loop: bool = False) -> PolicySet:
    """Load and verify some policies.

    Args:
        policy: The first one: path of a file, or name of a bundled one.
        others: More of them, each ``NAME=FILE`` or just a file.
        robot: Name or path of the robot; empty: the first policy's.
        rate: Control rate of files that do not say theirs [Hz].
        loop: Whether motions begin anew when they have ended.

    Raises:
        ConfigurationError: A name is none, or stands twice.
        PolicyError: A file is refused, or they cannot share the robot.
    """
    files = dict(_entry(text) for text in (policy, *others))
    if len(files) < 1 + len(others):
        raise ConfigurationError(f'two policies have the same name, of {[policy, *others]}; give NAME=FILE.')
    manifests, runners, model = {}, {}, None
    for name, file in files.items():
        checked = read_policy(find_policy(file), robot=robot or None, rate=rate)
        manifest = checked.manifest
        model = model or load_robot(robot or manifest.robot)
        runners[name], manifests[name] = PolicyRunner(checked, model, loop=loop), manifest
    first = next(iter(manifests))
    for name in manifests:
        _check_shared(first, manifests[first], name, manifests[name])
    fields = {name: needed_quantities(runner.interface.settings, runner.robot) for name, runner in runners.items()}
    return PolicySet(robot=runners[first].robot, manifests=manifests, runners=runners, fields=fields)


def check_name(parameter: str, name: str, policies: PolicySet) -> None:
    """Refuse a parameter that names no loaded policy.

    Raises:
        UnknownNameError: It is not empty and names none.
    """
    if name and name not in policies.manifests:
        raise UnknownNameError(f"policy in parameter '{parameter}'", name, list(policies.manifests))


def _entry(text: str) -> tuple[str, str]:
    """Name and file of ``NAME=FILE`` or ``FILE``."""
    name, mark, file = text.partition('=')
    if not mark:
        name, file = re.sub(r'\W', '_', text.rpartition('/')[2].removesuffix('.onnx')), text
    if not re.fullmatch(r'[A-Za-z]\w*', name):
        name = f'policy_{name}' if not mark and name else name
    if not re.fullmatch(r'[A-Za-z]\w*', name) or not file:
        raise ConfigurationError(f"policy '{text}' is not NAME=FILE with a name of letters, digits and underscores.")
    return name, file


def _check_shared(first: str, one: Manifest, name: str, other: Manifest) -> None:
    if other.robot != one.robot:
        raise PolicyError(f"policy '{name}' is for the robot '{other.robot}', '{first}' for '{one.robot}'.")
    if not np.isclose(other.control_period, one.control_period, rtol=TOLERANCE):
        raise PolicyError(f"policy '{name}' runs at {1 / other.control_period:g} Hz, '{first}' at "
                          f'{1 / one.control_period:g} Hz; policies that are loaded together share one rate.')
    for key, unit in (('stiffness', 'N·m/rad'), ('damping', 'N·m·s/rad')):
        values, others = getattr(one, key), getattr(other, key)
        i = first_difference(values, others)
        if i is not None:
            raise PolicyError(f"policy '{name}' has the {key} {others[i]:g} {unit} at joint '{one.joint_names[i]}', "
                              f"'{first}' {values[i]:g} {unit}; gains do not change while the robot moves: policies "
                              'that are loaded together share them.')
