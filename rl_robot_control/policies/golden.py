"""Golden vectors: recorded inputs and outputs that a policy must reproduce before it may move a robot."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from rl_robot_control.config import settings
from rl_robot_control.tasks.interface import PolicyInterface
from rl_robot_control.types import FloatArray, RobotState

Number = float | None  # null stands for NaN: not measured
STATE_FIELDS = tuple(field.name for field in dataclasses.fields(RobotState))


@settings
class GoldenMemory:
    """What a ``PolicyInterface`` remembers when it observes."""

    action: list[float]  # (A,) latest
    previous_action: list[float]  # (A,) the one before
    phase: float  # of the gait clock, in [0, 1)
    heading: float  # to hold [rad]
    command: tuple[float, float, float]  # after the slew limit of the last period


@settings
class GoldenState:
    """One robot at one instant, and the observation that follows from it."""

    state: dict[str, Number | list[Number] | list[list[Number]]]  # field of RobotState → its value for one robot
    memory: GoldenMemory
    command: tuple[float, float, float]  # as asked by the operator
    observation: list[float]  # (D,)


@settings
class GoldenVectors:
    """A few observation → action pairs (G of them) and a few state → observation pairs."""

    observations: list[list[float]]  # (G, D)
    actions: list[list[float]]  # (G, A)
    frame_names: list[str]  # of the K frames in the states
    states: list[GoldenState]


def record_state(interface: PolicyInterface, state: RobotState, command: FloatArray) -> GoldenState:
    """Observe with an interface of one robot and keep everything that the observation follows from.

    Args:
        interface: For one robot, with the memory to record; its ``observe`` is called.
        state: Of one robot.
        command: (1, 3) as asked by the operator.
    """
    memory = GoldenMemory(action=interface.action[0].tolist(), previous_action=interface.previous_action[0].tolist(),
                          phase=float(interface.phase[0]), heading=float(interface.heading[0]),
                          command=tuple(interface.command[0].tolist()))
    observation = interface.observe(state, command)
    return GoldenState(state={name: _plain(getattr(state, name)[0]) for name in STATE_FIELDS}, memory=memory,
                       command=tuple(command[0].tolist()), observation=observation[0].tolist())


def replay_state(golden: GoldenState, interface: PolicyInterface, frame_names: Sequence[str]) -> FloatArray:
    """The observation (D,) that an interface of one robot makes today of a recorded state."""
    memory, state = golden.memory, _state(golden, interface, frame_names)
    interface.reset(state)
    interface.action = np.array([memory.action])
    interface.previous_action = np.array([memory.previous_action])
    interface.phase = np.array([memory.phase])
    interface.heading = np.array([memory.heading])
    interface.command = np.array([memory.command])
    return interface.observe(state, np.array([golden.command]))[0]


def shape_fault(golden: GoldenState, num_joints: int, num_frames: int) -> str | None:
    """What is wrong with the fields of a recorded state, or None."""
    expected = RobotState.unknown(1, num_joints, num_frames)
    if set(golden.state) != set(STATE_FIELDS):
        return f'has the fields {sorted(golden.state)}, expected {sorted(STATE_FIELDS)}'
    for name in STATE_FIELDS:
        wanted = getattr(expected, name).shape[1:]
        try:
            shape = np.array(golden.state[name], dtype=np.float64).shape
        except ValueError:
            return f"field '{name}' is a ragged list"
        if shape != wanted and 0 not in wanted:
            return f"field '{name}' has shape {shape}, expected {wanted}"
    return None


def _state(golden: GoldenState, interface: PolicyInterface, frame_names: Sequence[str]) -> RobotState:
    """A recorded state with the frames of the interface's robot, matched by name; a frame not recorded is NaN."""
    robot = interface.robot
    values = {name: np.array([golden.state[name]], dtype=np.float64) for name in STATE_FIELDS}
    unknown = RobotState.unknown(1, robot.num_joints, len(robot.frame_names))
    for field in (name for name in STATE_FIELDS if name.startswith('frame_') or name == 'contact_force'):
        picked = getattr(unknown, field)
        for k, name in enumerate(robot.frame_names):
            if name in frame_names:
                picked[:, k] = values[field][:, list(frame_names).index(name)]
        values[field] = picked
    return RobotState(**values)


def _plain(value: FloatArray) -> Any:
    """Nested lists with null for NaN."""
    return np.where(np.isnan(value), None, value).tolist()
