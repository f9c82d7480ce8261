"""Why a policy walks in simulation and falls on the robot: what it observed there beside what it observes in training.

A recording of the robot's topics is replayed through the very code that observed on the robot. Two things come out:

* the *targets* that the policy gives to the recorded states, beside the recorded ones: they differ where the robot ran
  another file, another joint order, scale or memory;
* each *observation*, beside the same policy's under the same commands in MuJoCo: it differs where a sensor has another
  sign, frame, unit, delay or offset than in training, or the robot is another one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rl_robot_control.backends.mujoco import MujocoBackend
from rl_robot_control.backends.physics import PhysicsSettings
from rl_robot_control.envs.shielded import ShieldedBackend
from rl_robot_control.errors import PolicyError
from rl_robot_control.policies.gate import CheckedModel
from rl_robot_control.policies.runner import PolicyRunner
from rl_robot_control.report.recording import Recording
from rl_robot_control.robots import RobotModel
from rl_robot_control.shield import make_shield
from rl_robot_control.types import FloatArray, InitialState, RobotState

# A recorded target and a replayed one may differ: on the robot the newest message of each sensor was observed, which
# may be one period of the sensor older or newer than the pairs in the recording.
AGREES = 0.01  # [rad], the median of every joint
BEGINS = 0.02  # [rad], all joints in the first periods
TRIES = 3  # periods in a row that must agree where the policy is taken to have begun
WORLDS = 8
LONGEST = 60.0  # of the simulation beside it [s]
COMMAND_AGE = 0.5  # from which a velocity command counts as none [s]
SHIFT = 3.0  # standard deviations of the simulation's
OUTSIDE = 0.2  # share of the samples outside what the simulation ever shows
FLAT = 1e-3  # spread below which a value does not vary, and shifts count in these units
REACH = 0.1  # by which what the simulation shows is widened, as a share of its range


@dataclass(frozen=True, kw_only=True)
class Value:
    """One value of the observation, there and here."""

    name: str
    recorded: tuple[float, float]  # mean and standard deviation
    simulated: tuple[float, float]
    shift: float  # of the mean, in standard deviations of the simulation's
    outside: float  # share of the recorded samples beyond what the simulation shows
    opposite: bool  # the mean fits with the other sign

    @property
    def differs(self) -> bool:
        """Whether it is worth a look."""
        return not (self.shift <= SHIFT and self.outside <= OUTSIDE)

    @property
    def severity(self) -> float:
        """The difference as a multiple of what is bearable; above 1 the value differs."""
        return max(self.shift / SHIFT, self.outside / OUTSIDE)


@dataclass(frozen=True, kw_only=True)
class Parity:
    """What a recording and a simulation show of a policy."""

    began: float  # when the policy is taken to have begun, in the recording [s]
    periods: int  # that were replayed
    agrees: bool  # whether the recorded targets are this policy's
    target_error: dict[str, tuple[float, float]]  # joint → median and largest difference of its targets [rad]
    values: list[Value]  # (V,) of the observation, in its order
    missing: list[str]  # values that the recording does not hold
    times: FloatArray  # (T,) of the periods, in the recording [s]
    recorded: FloatArray  # (T, V) the values over time
    simulated: FloatArray  # (T', N, V) the same of N simulated robots, until all have fallen; NaN of those that have

    def terms(self) -> dict[str, list[Value]]:
        """The values by the entry of the observation that they belong to."""
        found: dict[str, list[Value]] = {}
        for value in self.values:
            found.setdefault(value.name.partition('[')[0], []).append(value)
        return found


def compare(checked: CheckedModel, recording: Recording, robot: RobotModel, seed: int = 1) -> Parity:
    """Replay a recording, simulate the same commands, and put the observations side by side.

    Args:
        checked: The policy.
        recording: Of a robot that it drove.
        robot: The robot.
        seed: Of the simulation's starts.

    Raises:
        PolicyError: The recording holds no commands of a policy, or none that can be replayed.
    """
    runner = PolicyRunner(checked, robot)
    states, commands = _recorded(recording, runner)
    begin = _begin(runner, recording, states, commands)
    observed, errors = _replay(runner, recording, states[begin:], commands[begin:], begin)
    if not np.isfinite(errors).any():
        raise PolicyError('the policy answers none of the recorded states: what it observes is not in the recording.')
    simulated = _simulate(checked, robot, commands[begin:], seed)
    labels = runner.interface.observation_labels
    known, standing = np.isfinite(observed).any(axis=0), np.isfinite(simulated).all(axis=-1)
    return Parity(
        began=float(recording.requests.sent[begin]), periods=len(observed),
        agrees=bool(np.nanmedian(errors, axis=0).max() <= AGREES),
        target_error={name: (float(np.nanmedian(column)), float(np.nanmax(column)))
                      for name, column in zip(robot.joint_names, errors.T, strict=True)},
        values=[_value(name, observed[:, i], simulated[standing, i]) for i, name in enumerate(labels) if known[i]],
        missing=[name for i, name in enumerate(labels) if not known[i]],
        times=recording.requests.sent[begin:], recorded=observed[:, known], simulated=simulated[..., known])


def shown_range(simulated: FloatArray) -> tuple[float, float]:
    """Least and greatest of what the simulation shows of a value, a little widened."""
    span = REACH * float(np.ptp(simulated)) + FLAT
    return float(simulated.min()) - span, float(simulated.max()) + span


def _recorded(recording: Recording, runner: PolicyRunner) -> tuple[list[RobotState], FloatArray]:
    """The state that each command of the policy answers, and the velocity that was asked for then (R, 3)."""
    requests = recording.requests
    if not len(requests) or not len(recording.states):
        raise PolicyError('the recording holds no commands of a policy (policy/command), or no joint_states.')
    robot, lower, upper = runner.robot, runner.manifest.command_lower, runner.manifest.command_upper
    streams = recording.states, recording.imu, recording.base
    joints, imu, base = (_at(stream.stamp, requests.stamp) for stream in streams)
    velocity = _at(recording.velocity_commands.received, requests.sent)
    states, commands = [], np.zeros((len(requests), 3))
    for r in range(len(requests)):
        values = dict(vars(RobotState.unknown(1, robot.num_joints, len(robot.frame_names))))
        values['time'] = requests.stamp[r:r + 1]
        if joints[r] >= 0:
            values['joint_position'] = recording.states.position[joints[r]][None]
            values['joint_velocity'] = recording.states.velocity[joints[r]][None]
        if imu[r] >= 0:
            values['base_quaternion'] = recording.imu.quaternion[imu[r]][None]
            values['base_angular_velocity'] = recording.imu.angular_velocity[imu[r]][None]
        if base[r] >= 0:
            values['base_position'] = recording.base.position[base[r]][None]
            values['base_linear_velocity'] = recording.base.linear_velocity[base[r]][None]
        states.append(RobotState(**values))
        i = velocity[r]
        if i >= 0 and requests.sent[r] - recording.velocity_commands.received[i] <= COMMAND_AGE:
            commands[r] = np.clip(recording.velocity_commands.velocity[i], lower, upper)
    return states, commands


def _at(stamps: FloatArray, wanted: FloatArray) -> np.ndarray:
    """Index of the newest message that is not newer than each stamp, or -1."""
    order = np.argsort(stamps, kind='stable')
    place = np.searchsorted(stamps[order], wanted + 1e-6) - 1
    return np.where(place >= 0, order[np.maximum(place, 0)] if len(order) else -1, -1)


def _begin(runner: PolicyRunner, recording: Recording, states: list[RobotState], commands: FloatArray
           ) -> int:
    """Where the policy began: before that, the robot was moved to its start pose. The first state if it never did."""
    usable = [r for r, state in enumerate(states) if _usable(state)]
    if not usable:
        raise PolicyError('no command in the recording answers a state that it holds.')
    for r in usable:
        tried = slice(r, r + TRIES)
        if r + TRIES <= len(states) and _follows(runner, states[tried], commands[tried],
                                                 recording.requests.position[tried]):
            return r
    return usable[0]


def _follows(runner: PolicyRunner, states: list[RobotState], commands: FloatArray, wanted: FloatArray) -> bool:
    """Whether a policy that begins in the first of some states gives the recorded targets (T, J) [rad] to all."""
    runner.reset(states[0])
    try:
        return all(np.abs(runner.step(state, commands[t:t + 1]).position[0] - wanted[t]).max() <= BEGINS
                   for t, state in enumerate(states))
    except PolicyError:
        return False


def _usable(state: RobotState) -> bool:
    return bool(np.isfinite(state.joint_position).all())


def _replay(runner: PolicyRunner, recording: Recording, states: list[RobotState], commands: FloatArray, begin: int
            ) -> tuple[FloatArray, FloatArray]:
    """Observations (T, D), and the differences of recorded and replayed targets (T, J) [rad]; NaN where there is none.

    The memory of the policy's own actions follows the recorded targets, so that one difference does not breed others.
    """
    interface, wanted = runner.interface, recording.requests.position[begin:]
    runner.reset(states[0])
    scale, errors = interface.scale, np.full((len(states), runner.robot.num_joints), np.nan)
    observed = np.full((len(states), interface.num_observations), np.nan)
    for t, state in enumerate(states):
        try:
            target = runner.step(state, commands[t:t + 1]).position[0]
        except PolicyError:
            observed[t] = interface.observe_view(interface.view(state))[0]
            continue
        observed[t] = runner.observation[0]
        difference = wanted[t] - target
        errors[t] = np.abs(difference)
        interface.action = interface.action + np.nan_to_num(difference[interface.joints]) / scale
    return observed, errors


def _simulate(checked: CheckedModel, robot: RobotModel, commands: FloatArray, seed: int) -> FloatArray:
    """Observations (T', N, D) of the policy in MuJoCo under the same commands, NaN of robots that have fallen."""
    runner = PolicyRunner(checked, robot, WORLDS)
    model, period = runner.robot, runner.manifest.control_period
    world = ShieldedBackend(MujocoBackend(model, WORLDS, period, PhysicsSettings()), make_shield(model, period, WORLDS))
    rng, start = np.random.default_rng(seed), model.default_state(WORLDS)
    pose = np.tile(runner.start_pose, (WORLDS, 1)) + rng.normal(0.0, 0.02, (WORLDS, model.num_joints))
    start = InitialState(**{**vars(start), 'joint_position': np.clip(pose, model.position_lower, model.position_upper)})
    state = world.reset(start, np.arange(WORLDS))
    runner.reset(state)
    seen, upright = [], np.ones(WORLDS, dtype=bool)
    for command in commands[:round(LONGEST / period)]:
        answer = runner.step(state, np.tile(command, (WORLDS, 1)))
        seen.append(np.where(upright[:, None], runner.observation, np.nan))
        state = world.step(answer)
        if model.floating:
            upright &= state.base_position[:, 2] > 0.5 * model.settings.base.height
        if not upright.any():
            break
    world.close()
    return np.stack(seen)


def _value(name: str, recorded: FloatArray, simulated: FloatArray) -> Value:
    there, here = recorded[np.isfinite(recorded)], simulated
    spread, (low, high) = max(float(here.std()), FLAT), shown_range(here)
    shift = abs(float(there.mean() - here.mean())) / spread
    return Value(
        name=name, recorded=(float(there.mean()), float(there.std())),
        simulated=(float(here.mean()), float(here.std())),
        shift=shift, outside=float(np.mean((there < low) | (there > high))),
        opposite=shift > SHIFT and abs(float(there.mean() + here.mean())) / spread < 1.0)
