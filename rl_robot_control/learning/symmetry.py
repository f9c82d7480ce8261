"""Left-right symmetry by the gait's phase.

Where sin(2π·phase) < 0 the observation is mirrored and the action mirrored back, so that a policy learns one half of
the gait. Mirroring is exact and nearly free; see ``docs/walking.md`` for what it gains.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rl_robot_control.robots import RobotModel
from rl_robot_control.tasks.interface import ObservationSettings, PolicyInterface
from rl_robot_control.types import FloatArray


@dataclass(frozen=True)
class Mirror:
    """A signed permutation: ``mirrored[..., i] = sign[i] · value[..., index[i]]``; its own inverse."""

    index: np.ndarray
    sign: FloatArray

    def __call__(self, value: FloatArray) -> FloatArray:
        """Mirror along the last axis."""
        return value[..., self.index] * self.sign


def mirror_joints(robot: RobotModel, joints: np.ndarray) -> Mirror | None:
    """How values of some joints are mirrored; None where the robot's YAML declares no symmetry for them."""
    rule = robot.settings.mirror
    if rule is None:
        return None
    names = [robot.joint_names[i] for i in joints]
    twins = [_twin(name, rule.swap) for name in names]
    if set(twins) != set(names):
        return None
    negated = [any(re.fullmatch(pattern, name) for pattern in rule.negate) for name in names]
    return Mirror(np.array([names.index(twin) for twin in twins]), np.where(negated, -1.0, 1.0))


def mirror_observation(entries: Sequence[ObservationSettings], interface: PolicyInterface) -> Mirror | None:
    """How an observation group is mirrored; None where a term has no mirror image."""
    index, sign, offset = [], [], 0
    for entry in entries:
        part = _mirror_entry(entry, interface)
        if part is None:
            return None
        index.append(part.index + offset)
        sign.append(part.sign)
        offset += len(part.sign)
    return Mirror(np.concatenate(index), np.concatenate(sign)) if index else Mirror(np.zeros(0, int), np.zeros(0))


def phase_index(interface: PolicyInterface) -> int | None:
    """Where the sine of the phase stands in the observation; None where it does not."""
    offset = 0
    for term, size in interface.observation_sizes.items():
        if term == 'gait_phase':
            return offset
        offset += size
    return None


def _twin(name: str, swap: tuple[str, str]) -> str:
    left, right = swap
    if name.startswith(left):
        return right + name.removeprefix(left)
    return left + name.removeprefix(right) if name.startswith(right) else name


def _mirror_entry(entry: ObservationSettings, interface: PolicyInterface) -> Mirror | None:
    maker = _MIRRORS.get(entry.term)
    return None if maker is None else maker(entry, interface)


def _signs(*signs: float) -> Callable[[ObservationSettings, PolicyInterface], Mirror]:
    return lambda entry, interface: Mirror(np.arange(len(signs)), np.array(signs))


def _joints(entry: ObservationSettings, interface: PolicyInterface) -> Mirror | None:
    names = entry.params.get('joints')
    index = interface.joints if names is None else interface.robot.joint_indices(names)
    return mirror_joints(interface.robot, index)


def _command(entry: ObservationSettings, interface: PolicyInterface) -> Mirror | None:
    if interface.settings.command.kind != 'velocity':
        return None
    return Mirror(np.arange(3), np.array([1.0, -1.0, -1.0]))


def _frames(*signs: float) -> Callable[[ObservationSettings, PolicyInterface], Mirror | None]:
    def make(entry: ObservationSettings, interface: PolicyInterface) -> Mirror | None:
        names, rule, size = list(entry.params['frames']), interface.robot.settings.mirror, len(signs)
        twins = [_twin(name, rule.swap) for name in names] if rule else []
        if set(twins) != set(names):
            return None
        index = [names.index(twin) * size + i for twin in twins for i in range(size)]
        return Mirror(np.array(index), np.tile(signs, len(names)))
    return make


_MIRRORS: dict[str, Callable[[ObservationSettings, PolicyInterface], Mirror | None]] = {
    'base_angular_velocity': _signs(-1, 1, -1), 'projected_gravity': _signs(1, -1, 1), 'command': _command,
    'joint_position': _joints, 'joint_velocity': _joints, 'last_action': _joints, 'gait_phase': _signs(-1, -1),
    'base_velocity': _signs(1, -1, 1), 'velocity_error': _signs(1, -1), 'base_height': _signs(1),
    'frame_height': _frames(1), 'contact': _frames(1), 'frame_position': _frames(1, -1, 1)}


@dataclass(frozen=True)
class PhaseMirror:
    """The mirrors of a policy's observation, of its critic's, and of its action."""

    phase: int  # where the sine of the phase stands in the observation
    observation: Mirror
    privileged: Mirror
    action: Mirror

    def mirrored(self, observation: FloatArray) -> np.ndarray:
        """Which robots (N,) are in the half of the gait that is learned as the other one's mirror image."""
        return observation[:, self.phase] < 0

    @classmethod
    def of(cls, interface: PolicyInterface, critic: Sequence[ObservationSettings]) -> PhaseMirror | None:
        """The mirrors of a task on a robot; None where either has no left-right symmetry or no gait."""
        parts = (phase_index(interface), mirror_observation(interface.settings.observations, interface),
                 mirror_observation(critic, interface), mirror_joints(interface.robot, interface.joints))
        return None if any(part is None for part in parts) else cls(*parts)
