"""A shield with the little world that its tests need."""

from __future__ import annotations

import dataclasses

import numpy as np

from rl_robot_control.shield import Shield, ShieldLimits, ShieldOutput
from rl_robot_control.types import JointCommand, RobotState

PERIOD = 0.02  # [s]


def make_limits(joints: int = 2, **changes) -> ShieldLimits:
    """Limits of a small arm: ±1 rad, 2 rad/s, 50 rad/s², and an effort that no target exceeds."""
    def each(value: float) -> np.ndarray:
        return np.full(joints, value)

    values = dict(position_lower=each(-1.0), position_upper=each(1.0), velocity=each(2.0), acceleration=each(50.0),
                  effort=each(1000.0), stiffness=each(100.0), damping=each(2.0), default_position=each(0.0))
    changes = {name: np.asarray(v, float) if isinstance(v, list) else v for name, v in changes.items()}
    return ShieldLimits(**(values | changes))


class Rig:
    """Calls a shield once per period; the robot tracks the latest output exactly unless told otherwise."""

    def __init__(self, limits: ShieldLimits | None = None, num_robots: int = 1, start=0.0, period: float = PERIOD,
                 max_period: float | None = None, reset: bool = True) -> None:
        self.limits = limits if limits is not None else make_limits()
        self.shield = Shield(self.limits, period, num_robots, max_period)
        self.period, self.num_robots, self.now = period, num_robots, 10.0
        shape = (num_robots, self.limits.num_joints)
        self.position = np.broadcast_to(np.asarray(start, float), shape).copy()
        self.velocity = np.zeros(shape)
        self.quaternion = np.tile([0.0, 0.0, 0.0, 1.0], (num_robots, 1))
        if reset:
            self.shield.reset(self.state())

    def state(self, **changes) -> RobotState:
        n, j = self.position.shape
        values = dict(time=np.full(n, self.now), joint_position=self.position.copy(),
                      joint_velocity=self.velocity.copy(), base_quaternion=self.quaternion.copy())
        return dataclasses.replace(RobotState.unknown(n, j, 0), **(values | changes))

    def command(self, position, stamp=None) -> JointCommand:
        n = self.num_robots
        return JointCommand(stamp=np.broadcast_to(self.now if stamp is None else stamp, (n,)).astype(float),
                            position=np.broadcast_to(np.asarray(position, float), self.position.shape).copy())

    def step(self, position=None, *, stamp=None, state='measured', track: bool = True, **ages) -> ShieldOutput:
        """Advance the clock by one period and pass one cycle; without a position there is no command."""
        self.now += self.period
        command = None if position is None else self.command(position, stamp)
        output = self.shield.step(self.state() if isinstance(state, str) else state, command, now=self.now, **ages)
        if track:
            self.position[output.valid] = output.command.position[output.valid]
        return output
