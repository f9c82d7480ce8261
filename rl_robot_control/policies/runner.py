"""Runs a checked policy on a robot: states and commands in, joint targets out."""

from __future__ import annotations

import numpy as np

from rl_robot_control.errors import PolicyError
from rl_robot_control.policies.gate import CheckedModel
from rl_robot_control.policies.golden import replay_state
from rl_robot_control.policies.matching import check_robot, policy_robot
from rl_robot_control.policies.session import PolicySession
from rl_robot_control.robots import RobotModel
from rl_robot_control.tasks.interface import PolicyInterface, probe
from rl_robot_control.tasks.motion import Reference
from rl_robot_control.types import FloatArray, JointCommand, RobotState

ACTION_TOLERANCE = 1e-5  # of a golden action, relative above 1: two CPUs may round a float32 network differently
OBSERVATION_TOLERANCE = 1e-6  # of a golden observation: float64 up to the stored digits
WARM_UP_RUNS = 5  # the first calls of a session allocate


class PolicyRunner:
    """A policy on N robots.

    Args:
        checked: The file, from ``read_policy``.
        robot: The robot to move.
        num_robots: N.
        control_period: Of the loop that will call ``step`` [s]; compared with the policy's where given.
        loop: Whether a motion begins anew when it has ended; else its last instant is held.

    Attributes:
        manifest: The policy's manifest.
        robot: The robot with the pose and gains that the policy was trained with.
        interface: Its observations, actions and memory.
        observation: (N, D) that ``step`` made last.

    Raises:
        PolicyError: The policy is for another robot or rate, its golden vectors do not come out, or it gives values
            that are not finite.
    """

    def __init__(self, checked: CheckedModel, robot: RobotModel, num_robots: int = 1,
                 control_period: float | None = None, loop: bool = False) -> None:
        self.manifest, self._where, self._loop = checked.manifest, checked.path.name, loop
        check_robot(self.manifest, robot, self._where, control_period)
        self.robot = policy_robot(self.manifest, robot)
        self.interface = self._build_interface(self.robot, num_robots)
        self._session = PolicySession(checked, num_robots)
        self._started = np.zeros(num_robots, dtype=bool)
        self._steps = np.zeros(num_robots, dtype=np.int64)  # since the reset
        self.observation = np.full((num_robots, self.interface.num_observations), np.nan)
        self._replay_observations(self.robot)
        self._replay_actions()
        self._warm_up()

    @property
    def num_robots(self) -> int:
        """N."""
        return self.interface.num_robots

    @property
    def finished(self) -> np.ndarray:
        """Which robots have come to the end of their motion (N,); never, where there is none or it begins anew."""
        motion = self.manifest.interface.motion
        if motion is None or self._loop:
            return np.zeros(self.num_robots, dtype=bool)
        return self._steps >= motion.length

    @property
    def start_pose(self) -> FloatArray:
        """Joint positions (J,) from which the policy begins [rad]: its default pose, or the motion's first instant."""
        pose = self.robot.default_position.copy()
        if self.interface.reference is not None:
            pose[self.interface.joints] = self._session.reference(0).joint_position[0]
        return pose

    @property
    def phase(self) -> float:
        """Of the first robot's gait clock, in [0, 1)."""
        return float(self.interface.phase[0])

    @property
    def command(self) -> FloatArray:
        """The velocity command (N, 3) that it follows at present, on the way to what is asked."""
        return self.interface.command.copy()

    def reset(self, state: RobotState, index: np.ndarray | slice = slice(None), phase: FloatArray | float = 0.0,
              target: FloatArray | None = None, command: FloatArray | None = None) -> None:
        """Forget the past of some robots; needed before the first ``step``.

        Args:
            state: State of all N robots.
            index: Which robots.
            phase: Phase of their gait clocks at the start, in [0, 1).
            target: (N, J) that is taken for the policy's own latest one, where it takes over from another [rad].
            command: (N, 3) that the other one followed then; None: zero.

        Raises:
            PolicyError: The policy holds a heading and the base's orientation is not known.
        """
        if self.manifest.interface.command.heading_gain and not np.isfinite(state.base_quaternion[index]).all():
            raise PolicyError(f'{self._where}: the policy holds its heading, but the orientation of the base is not '
                              'known. Check that the IMU publishes.')
        self._steps[index] = 0
        self._session.forget(index)
        if self.interface.reference is not None:
            self.interface.reference = self._session.reference(self._time_step)
        self.interface.reset(state, index, phase)
        if target is not None:
            self.interface.adopt(state, target, np.zeros_like(self.interface.command) if command is None else command,
                                 index)
        self._started[index] = True

    def step(self, state: RobotState, command: FloatArray) -> JointCommand:
        """One control period: observe, evaluate, and turn the action into targets.

        Args:
            state: Of all N robots.
            command: (N, 3) as asked by the operator: vx, vy [m/s], wz [rad/s], or a target [m].

        Returns:
            Position targets (N, J) [rad], stamped with the state's time.

        Raises:
            PolicyError: An observation or action is not finite; the memory is then as before the call.
            RuntimeError: A robot was never reset.
        """
        if not self._started.all():
            raise RuntimeError('reset() comes before step()')
        if command.shape != self.interface.command.shape or not np.isfinite(command).all():
            raise PolicyError(f'{self._where}: the command {command.tolist()} is not {self.num_robots} x 3 finite '
                              'numbers.')
        interface = self.interface
        memory = interface.memory
        try:
            if interface.reference is not None:
                self._follow_motion(state)
            observation = interface.observe(state, command)
            action = self._evaluate(observation, self._time_step)
        except PolicyError:
            interface.memory = memory
            raise
        self._session.remember()
        self.observation = observation
        self._steps += 1
        return JointCommand(stamp=state.time, position=interface.act(state, action))

    def rehearse(self, state: RobotState, command: FloatArray) -> None:
        """Go through a control period without a trace, so that the processor has at hand what the next one needs.

        A loop that sleeps for most of its period finds its code and data gone from the caches; the arguments are those
        of ``step``, their values hardly matter.
        """
        interface, memory = self.interface, self.interface.memory
        try:
            interface.act(state, self._evaluate(interface.observe(state, command), self._time_step))
        except PolicyError:
            pass  # the next step will say it
        finally:
            interface.memory = memory

    @property
    def _time_step(self) -> np.ndarray:
        """Where the robots' motions are (N,)."""
        motion = self.manifest.interface.motion
        if motion is None:
            return self._steps
        return self._steps % motion.length if self._loop else np.minimum(self._steps, motion.length - 1)

    def _follow_motion(self, state: RobotState) -> None:
        at = self._time_step
        self.interface.reference = self._session.reference(at)
        begins_anew = (at == 0) & (self._steps > 0)
        if begins_anew.any():
            self.interface.align(state, begins_anew)

    def _evaluate(self, observation: FloatArray, time_step: np.ndarray | int = 0) -> FloatArray:
        if not np.isfinite(observation).all():
            robot, element = np.argwhere(~np.isfinite(observation))[0]
            raise PolicyError(f'{self._where}: observation term {self._term(element)} of robot {robot} is '
                              f'{observation[robot, element]}: the robot does not measure it, or a sensor failed.')
        action = self._session(observation, time_step).astype(np.float64)
        if not np.isfinite(action).all():
            robot, element = np.argwhere(~np.isfinite(action))[0]
            raise PolicyError(f"{self._where}: the action for joint '{self.manifest.action_joint_names[element]}' of "
                              f'robot {robot} is {action[robot, element]}. Do not use this policy; train it again.')
        return action

    def _term(self, element: int) -> str:
        return f"'{self.interface.observation_labels[element]}'"

    def _build_interface(self, robot: RobotModel, num_robots: int) -> PolicyInterface:
        try:
            interface = PolicyInterface(self.manifest.interface, robot, num_robots, where=self._where)
            unknown = RobotState.unknown(1, robot.num_joints, len(robot.frame_names))
            # A feed-forward may not fit the joints.
            probe(self.manifest.interface, robot).act(unknown, np.zeros((1, interface.num_actions)))
        except Exception as error:  # terms get parameters from the file, and may fail on them in any way
            raise PolicyError(f'{self._where}: its observations or actions cannot be set up: {error}') from error
        names = [robot.joint_names[i] for i in interface.joints]
        if names != self.manifest.action_joint_names:
            raise PolicyError(f'{self._where}: its action moves {names}, the manifest names '
                              f'{self.manifest.action_joint_names}. Export the policy again.')
        for term, size in interface.observation_sizes.items():
            if size != self.manifest.observation_sizes[term]:
                raise PolicyError(f"{self._where}: observation term '{term}' has {size} values on '{robot.name}', "
                                  f'the policy expects {self.manifest.observation_sizes[term]}.')
        return interface

    def _replay_observations(self, robot: RobotModel) -> None:
        golden, interface = self.manifest.golden, self._build_interface(robot, 1)
        if interface.reference is not None:
            first = self._session.reference(0)
            interface.reference = Reference(**{name: value[:1] for name, value in vars(first).items()})
        for i, recorded in enumerate(golden.states):
            expected = np.array(recorded.observation)
            error = np.abs(replay_state(recorded, interface, golden.frame_names) - expected)
            worst = int(np.argmax(np.where(np.isnan(error), np.inf, error)))
            if not error[worst] <= OBSERVATION_TOLERANCE * max(1.0, abs(expected[worst])):
                raise PolicyError(f'{self._where}: golden state {i}: observation term {self._term(worst)} differs from '
                                  f'the recorded one by {error[worst]:.3g}. The file was changed, or this '
                                  'rl_robot_control observes differently from the one that trained it.')

    def _replay_actions(self) -> None:
        golden = self.manifest.golden
        for i, (observation, recorded) in enumerate(zip(golden.observations, golden.actions)):
            action, expected = self._evaluate(np.tile(observation, (self.num_robots, 1))), np.array(recorded)
            error = np.abs(action - expected).max(axis=0)
            worst = int(np.argmax(error - ACTION_TOLERANCE * np.maximum(1.0, np.abs(expected))))
            if not error[worst] <= ACTION_TOLERANCE * max(1.0, abs(expected[worst])):
                raise PolicyError(f"{self._where}: golden vector {i}: the action for joint "
                                  f"'{self.manifest.action_joint_names[worst]}' differs from the recorded one by "
                                  f'{error[worst]:.3g}. The file was changed or is damaged; export the policy again.')

    def _warm_up(self) -> None:
        observation = np.tile(self.manifest.golden.observations[0], (self.num_robots, 1))
        for _ in range(WARM_UP_RUNS):
            self._evaluate(observation)
