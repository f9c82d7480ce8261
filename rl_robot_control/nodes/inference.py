"""Inference node: runs an exported policy on one robot, in real time.

A lifecycle node, so an operator decides when the robot moves:

* configure: load the policy files through the gate, compare them with the robot, set their gains, warm up;
* activate: ramp from the measured pose to the policy's start pose, then run the policy at its control rate; a state is
  answered as soon as all of its messages have come (``ros/pacing.py``);
* deactivate: ramp back to the default pose and go on holding it, as a humanoid falls when commands cease;
* cleanup, shutdown: publish nothing more; the shield brakes and damps the robot.

Several policies may be loaded. ``inference/use/<name>`` lets one take over from another, over ``blend_time`` and only
where the robot's state lies in its start region. Where the active one fails (its output is not finite), ``fallback``
takes over with a velocity command of zero, until an operator chooses again. ``motion_end`` says what follows a motion.

When the robot's states do not follow from one another (a simulation was reset), the ramp begins anew, from the measured
pose. When the state is stale or not finite, or the policy's output is not finite, nothing is published: the shield then
brakes. If that lasts for ``give_up_time``, the node deactivates itself and waits for a new activation.

Subscribes: ``joint_states``, ``imu``, ``cmd_vel``, ``goal`` (a target in the base frame); ``odom`` and
``contacts/<frame>`` only if the policy needs them.
Publishes: ``policy/command`` (stamp = observation that it answers), ``diagnostics`` (phase, rate, jitter, latency).
Serves: ``inference/use/<name>`` for each policy that it has loaded; refused after a cleanup.
Calls: ``get_parameters`` and ``set_parameters_atomically`` of the shield and the driver, for the gains.

The garbage collector stays on, but what exists after configuring is frozen (``gc.freeze``): a collection in the loop
then looks at little and takes microseconds.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped, Twist
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from rl_robot_control.errors import ConfigurationError, PeerTimeoutError, PolicyError, RobotControlError
from rl_robot_control.ros import interface
from rl_robot_control.ros.candidate import StartRegion
from rl_robot_control.ros.continuity import Continuity
from rl_robot_control.ros.conversions import CommandCodec, MessageError
from rl_robot_control.ros.diagnostics import own_status
from rl_robot_control.ros.gains import Gains
from rl_robot_control.ros.inference_core import CoreSettings, InferenceCore, Phase
from rl_robot_control.ros.loop_timing import LoopTiming, TimingSummary
from rl_robot_control.ros.pacing import Pace
from rl_robot_control.ros.parameters import Parameter, ParameterTable
from rl_robot_control.ros.policy_set import check_name, load_policies
from rl_robot_control.ros.robot_listener import RobotListener, wait_for_state
from rl_robot_control.ros.runtime import run_node
from rl_robot_control.ros.velocity_command import TargetCommand, VelocityCommand

LOOKS = 0.125  # periods between two looks at whether one is overdue
SHORTEST_LOOK = 0.001  # [s]
LEAD = 0.0005  # of a rehearsal before its period, at least: more than it takes [s]
AUTOSTART_PATIENCE = 60.0  # with nodes that do not answer yet [s]
SLOW = 0.004  # period from which on a loop finds its caches cold [s]

PARAMETERS = ParameterTable('Inference', [
    Parameter(name='policy', default='', read_only=False,
              description='Exported policy: path of an .onnx file, or name of a bundled one; read when configuring'),
    Parameter(name='robot', default='', read_only=False,
              description="Robot: name in config/robots or path of a YAML file; empty: the policy's"),
    Parameter(name='policies', default=(), strings=True, read_only=False,
              description='More policies, each NAME=FILE; inference/use/NAME lets one take over'),
    Parameter(name='fallback', default='', read_only=False,
              description='Policy that takes over, with a velocity of zero, where the active one fails; empty: none'),
    Parameter(name='motion_end', default='hold', read_only=False,
              description='What follows the end of a motion: hold, loop, or the name of a policy that takes over'),
    Parameter(name='rate', default=0.0, unit='Hz', minimum=0.0, maximum=1000.0, read_only=False,
              description='Control rate of a foreign policy whose file does not say it; 0: 50 Hz'),
    Parameter(name='shield', default='shield', read_only=False,
              description="Node of the shield; its gains are compared with the policy's and set; empty: not checked"),
    Parameter(name='driver', default='simulation', read_only=False,
              description="Node that holds the drives' gains in its parameters 'stiffness' and 'damping'; they are "
                          "compared with the policy's and set where it allows; empty: not checked"),
    Parameter(name='driver_timeout', default=5.0, unit='s', minimum=0.1, maximum=60.0,
              description='How long to wait for an answer of the driver or the shield'),
    Parameter(name='cmd_vel_timeout', default=0.5, unit='s', minimum=0.05, maximum=10.0,
              description='Age from which a velocity command counts as zero'),
    Parameter(name='ramp_speed', default=1.0, unit='rad/s', minimum=0.05, maximum=5.0,
              description="Bound on every joint's reference during a ramp"),
    Parameter(name='ramp_min_duration', default=0.2, unit='s', minimum=0.2, maximum=30.0,
              description='Shortest ramp'),
    Parameter(name='blend_time', default=0.3, unit='s', minimum=0.0, maximum=5.0, read_only=False,
              description='Over which one policy takes over from another'),
    Parameter(name='start.distance', default=1.0, unit='rad', minimum=0.0, maximum=6.0, read_only=False,
              description='Of each joint from the start pose of a policy that is to take over, at most'),
    Parameter(name='start.speed', default=8.0, unit='rad/s', minimum=0.0, maximum=100.0, read_only=False,
              description='Of each joint then, at most'),
    Parameter(name='start.tilt', default=0.35, unit='rad', minimum=0.0, maximum=3.2, read_only=False,
              description='Of the base then, at most'),
    Parameter(name='start.turn', default=2.0, unit='rad/s', minimum=0.0, maximum=100.0, read_only=False,
              description='Angular velocity of the base then, at most'),
    Parameter(name='state_timeout', default=0.1, unit='s', minimum=0.01, maximum=1.0,
              description='Age from which a state is not answered'),
    Parameter(name='activation_patience', default=1.0, unit='s', minimum=0.0, maximum=30.0,
              description='How long to wait for a fresh state when activating'),
    Parameter(name='give_up_time', default=0.5, unit='s', minimum=0.1, maximum=10.0,
              description='Silence after which the node deactivates itself'),
    Parameter(name='autostart', default=False,
              description='Configure and activate without being asked to, as soon as the robot is heard'),
])


class InferenceNode(LifecycleNode):
    """See the module's description."""

    def __init__(self) -> None:
        super().__init__('inference')
        self.settings = PARAMETERS.declare(self)
        self.core: InferenceCore | None = None
        self._commands = interface.POLICY_COMMAND.publisher(self)
        self._diagnostics = interface.DIAGNOSTICS.publisher(self)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._entities: list[Callable[[], Any]] = []  # how to undo what configuring created
        self._timer = None
        # They stay: rclpy still takes requests of a service that has been destroyed, and then fails to answer them.
        self._users: dict[str, Any] = {}
        self._reported, self._note = Phase.IDLE, ''
        self.problem, self._unanswered = '', False  # why the latest transition was refused; whether by a silence
        self.create_timer(1.0, self._report, clock=self._steady)
        if self.settings.autostart:
            self._autostart_until = time.monotonic() + AUTOSTART_PATIENCE
            self._autostart = self.create_timer(0.05, self._start_alone, clock=self._steady)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load, verify, warm up."""
        return self._transition(self._configure, 'configured')

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin the ramp; the policy follows."""
        return self._transition(self._activate, 'activated: ramping to the start pose')

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Ramp to the default pose and hold it."""
        return self._transition(lambda: self.core.hold(time.monotonic()), 'deactivated')

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget the policy."""
        return self._transition(self._release, 'cleaned up')

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Publish nothing more."""
        return self._transition(self._release, 'shut down')

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After an unforeseen error: publish nothing more and become configurable again."""
        return self._transition(self._release, 'stopped after an error')

    def destroy_node(self) -> None:
        """Leave the graph."""
        # rclpy leaves the lifecycle services to the garbage collector; until they go, and with them the participant,
        # clients believe that the node is there and lose their requests.
        self._release()
        self._state_machine.destroy_when_not_in_use()
        super().destroy_node()

    def _transition(self, action: Callable[[], Any], done: str) -> TransitionCallbackReturn:
        # rclpy drops exceptions of these callbacks without a word
        try:
            action()
        except RobotControlError as error:
            self.problem, self._unanswered = str(error), isinstance(error, PeerTimeoutError)
            self.get_logger().error(f'refused: {error}')
            return TransitionCallbackReturn.FAILURE
        except Exception:
            self.problem = traceback.format_exc()
            self.get_logger().fatal(self.problem)
            return TransitionCallbackReturn.ERROR
        self.problem = ''
        self.get_logger().info(done)
        self._report()
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        self._release()
        try:
            self._prepare()
        except Exception:
            self._release()
            raise
        gc.collect()
        gc.freeze()

    def _prepare(self) -> None:
        self.settings = settings = PARAMETERS.read(self)
        if not settings.policy:
            raise ConfigurationError("parameter 'policy' is empty; give the path of an exported .onnx file.")
        self._policies = policies = load_policies(settings.policy, settings.policies, settings.robot,
                                                  settings.rate or None, loop=settings.motion_end == 'loop')
        after_motion = '' if settings.motion_end in ('hold', 'loop') else settings.motion_end
        check_name('fallback', settings.fallback, policies)
        check_name('motion_end', after_motion, policies)
        self._tell_assumptions()
        self._gains = self._connect_gains()
        self._ensure_gains()
        region = StartRegion(distance=settings.start_distance, speed=settings.start_speed, tilt=settings.start_tilt,
                             turn=settings.start_turn)
        self.core = InferenceCore(policies.candidates(), policies.first, CoreSettings(
            ramp_speed=settings.ramp_speed, ramp_min_duration=settings.ramp_min_duration,
            state_timeout=settings.state_timeout, give_up_time=settings.give_up_time,
            blend_time=settings.blend_time, region=region), settings.fallback, after_motion)
        self._codec, self._timing = CommandCodec(policies.robot), LoopTiming(policies.control_period)
        self._pace = Pace(policies.control_period)
        self._velocity = VelocityCommand((0.0,) * 3, (0.0,) * 3, settings.cmd_vel_timeout)
        self._target = TargetCommand((0.0,) * 3, (0.0,) * 3)
        self._follow_active()
        self._listen(policies.robot, policies.needed)
        for name in policies.manifests.keys() - self._users.keys():
            self._users[name] = interface.use_policy(name).server(self, self._user_of(name))

    def _tell_assumptions(self) -> None:
        for name, manifest in self._policies.manifests.items():
            for text in manifest.origin.assumptions if manifest.origin else ():
                self.get_logger().warning(f"policy '{name}': {text}.")

    def _follow_active(self) -> None:
        """The operator's commands are kept within what the active policy was trained for."""
        self._active = self.core.active
        manifest = self._policies.manifests[self._active]
        self._operator = self._target if manifest.interface.command.kind == 'target' else self._velocity
        self._operator.set_range(manifest.command_lower, manifest.command_upper)

    def _user_of(self, name: str) -> Callable[[Any, Any], Any]:
        def use(_: Any, response: Any) -> Any:
            if self.core is None or name not in self._policies.manifests:
                response.success, response.message = False, f"policy '{name}' is not loaded; configure with it."
                return response
            try:
                problem = self.core.switch(name, self._listener.state(), self._listener.age(), time.monotonic())
            except MessageError as error:
                problem = f'joint_states: {error}'
            response.success, response.message = not problem, problem or f"'{name}' takes over"
            (self.get_logger().warning if problem else self.get_logger().info)(response.message)
            self._follow_active()
            self._report()
            return response

        return use

    def _listen(self, robot: Any, needed: set[str]) -> None:
        self._continuity = Continuity(robot)
        self._listener = RobotListener(self, robot, needed, on_message=self._heard)
        self._new_listener = lambda node: RobotListener(node, robot, needed)
        velocity = interface.CMD_VEL.subscription(self, self._on_velocity)
        target = interface.GOAL.subscription(self, self._on_target)
        self._entities += [self._listener.close, lambda: self.destroy_subscription(velocity),
                           lambda: self.destroy_subscription(target)]

    def _connect_gains(self) -> Gains:
        holders = {parameter: getattr(self.settings, parameter) for parameter in ('shield', 'driver')}
        for parameter in (parameter for parameter, name in holders.items() if not name):
            self.get_logger().warning(f"the {parameter}'s gains are not checked (parameter '{parameter}' is empty).")
        gains = Gains(self, {key: name for key, name in holders.items() if name}, self._policies.robot.joint_names,
                      self.settings.driver_timeout)
        self._entities.append(gains.close)
        return gains

    def _ensure_gains(self) -> None:
        robot = self._policies.robot
        for name in self._gains.ensure(robot.stiffness.tolist(), robot.damping.tolist()):
            self.get_logger().info(f"set the policy's gains in '{name}'.")

    def _activate(self) -> None:
        self._wait_for_shield()
        self._ensure_gains()
        state, age = self._fresh_state()
        problem = self.core.start(state, age, time.monotonic())
        if problem:
            missing = ', '.join(self._listener.missing())
            raise PolicyError(f'{problem} Waited {self.settings.activation_patience:g} s for a newer one. '
                              + (f'Nothing ever came on: {missing}. ' if missing else '') + 'Is the robot running?')
        self._timing.interrupt()
        self._pace.restart()
        if self._timer is None:
            self._look_period = max(LOOKS * self._policies.control_period, SHORTEST_LOOK)
            self._timer = self.create_timer(self._look_period, self._look, clock=self._steady)
            self._entities.append(self._stop_timer)
        self._timer.reset()

    def _wait_for_shield(self) -> None:
        """A policy whose commands nobody hears would begin somewhere in the middle once somebody does."""
        name, topic = self.settings.shield, interface.POLICY_COMMAND.name
        deadline = time.monotonic() + self.settings.activation_patience
        while name and name not in [info.node_name for info in self.get_subscriptions_info_by_topic(topic)]:
            if time.monotonic() > deadline:
                raise PolicyError(f"the shield node '{name}' does not listen to {topic}. Start it, or correct the "
                                  "parameter 'shield'; an empty text there means that you answer for the commands.")
            time.sleep(0.02)

    def _fresh_state(self) -> tuple[Any, float]:
        """The latest state and its age [s]; where it is too old, a newer one if it comes in time.

        Comparing gains takes a while in which nothing is received here, on a loaded machine too long.
        """
        try:
            if self._listener.age() <= 0.5 * self.settings.state_timeout:
                return self._listener.state(), self._listener.age()
            return wait_for_state(self, self._new_listener, 0.5 * self.settings.state_timeout,
                                  self.settings.activation_patience)
        except MessageError as error:
            raise PolicyError(f'joint_states: {error}') from None

    def _release(self) -> None:
        while self._entities:
            self._entities.pop()()
        self.core = None

    def _stop_timer(self) -> None:
        self.destroy_timer(self._timer)
        self._timer = None

    def _answers(self) -> bool:
        """Whether states are answered; what the executor had queued comes even after its timer's end."""
        return self._timer is not None and not self._timer.is_canceled()

    def _heard(self) -> None:
        """A message of the robot has come: answer the state at once, where one is complete and a period is due."""
        if not self._answers() or not self._listener.complete():
            return
        now = time.monotonic()
        self._pace.hear(now)
        if self._pace.due(now, complete=True):
            self._step(now, complete=True)

    def _look(self) -> None:
        """Answer what there is where no complete state has come in time, so that silence is noticed, too."""
        if not self._answers():
            return
        now = time.monotonic()
        if self._pace.due(now, complete=False):
            self._step(now, complete=False)
        elif 0.0 < self._pace.left(now) - LEAD <= self._look_period and self._policies.control_period >= SLOW:
            self._rehearse(now)

    def _rehearse(self, now: float) -> None:
        """A period begins before the next look: its work is done once in vain, and then takes half the time."""
        with contextlib.suppress(MessageError):  # the period itself will say it
            self.core.rehearse(self._listener.state(), self._operator.at(now))

    def _step(self, started: float, complete: bool) -> None:
        self._pace.begin(started, complete)
        listener, core, age = self._listener, self.core, self._listener.age()
        try:
            state = listener.state()
            self._check_continuity(state, started)
            command = core.step(state, age, self._operator.at(started), started)
        except MessageError as error:
            command = core.refuse(f'joint_states: {error}', started)
        if command is not None:
            self._commands.publish(self._codec.serialize(command.position[0], listener.stamp))
            self._timing.record(started, time.monotonic(), age)
        if core.active != self._active:
            self._follow_active()
        if core.note != self._note:
            self._note = core.note
            if core.note:
                self.get_logger().warning(core.note)
            self._report()
        if core.phase is not self._reported:
            self._changed(core)

    def _check_continuity(self, state: Any, now: float) -> None:
        why = '' if state is None else self._continuity.check(state, now)
        if why:
            self.get_logger().warning(f'{why}: ramping from the measured pose.')
            self.core.restart(state, now)

    def _changed(self, core: InferenceCore) -> None:
        if core.phase is Phase.SILENT:
            self._timing.interrupt()
            self.get_logger().error(f'publishing nothing: {core.problem} The shield brakes the robot.')
        elif self._reported is Phase.SILENT and core.phase is not Phase.STOPPED:
            self.get_logger().warning('the state is back: publishing again.')
        self._report()
        if core.phase is Phase.STOPPED:
            self._timer.cancel()
            self.get_logger().error(f'giving up: {core.problem} Activate again once the robot is back.')
            self.trigger_deactivate()

    def _on_velocity(self, message: Twist) -> None:
        values = (message.linear.x, message.linear.y, message.angular.z)
        note = self._velocity.receive(values, time.monotonic())
        if note:
            self.get_logger().warning(note)

    def _on_target(self, message: PoseStamped) -> None:
        frame, base = message.header.frame_id, self._policies.robot.settings.base.link
        if frame not in ('', base):
            self.get_logger().warning(f"refused the target: it is given in '{frame}', needed is '{base}'. Transform it "
                                      'before it is sent.', throttle_duration_sec=5.0)
            return
        point = message.pose.position
        note = self._target.receive((point.x, point.y, point.z), time.monotonic())
        if note:
            self.get_logger().warning(note)

    def _start_alone(self) -> None:
        if self.core is None and self.trigger_configure() is not TransitionCallbackReturn.SUCCESS:
            if self._unanswered and time.monotonic() < self._autostart_until:
                return  # on a busy machine the others start later
            self._autostart.cancel()
            raise ConfigurationError(f'the inference node cannot start: {self.problem}')
        if self._listener.age() < self.settings.state_timeout:
            self._autostart.cancel()
            self.trigger_activate()

    def _report(self) -> None:
        """Publish the diagnostics: every second, and whenever the phase changes."""
        phase = self.core.phase if self.core else Phase.IDLE
        self._reported = phase
        note = self.core.note if self.core else ''
        level = DiagnosticStatus.WARN if note else DiagnosticStatus.OK
        if phase in (Phase.SILENT, Phase.STOPPED):
            level = DiagnosticStatus.ERROR
        problem = (self.core.problem if self.core else '') or self.problem or note
        values, hardware = {'phase': phase.value}, ''
        if self.core:
            hardware, heard = self._policies.robot.name, self._listener.age() < self.settings.state_timeout
            values |= {'policy': self.core.active, 'loaded': ', '.join(self._policies.manifests),
                       'robot heard': 'yes' if heard else 'no'}
            values |= _values(self._timing.summary(), self._velocity, self.core.repeated, time.monotonic())
        self._diagnostics.publish(own_status(self, level, problem or phase.value, values, hardware))


def _values(timing: TimingSummary, velocity: VelocityCommand, repeated: int, now: float) -> dict[str, Any]:
    milliseconds = ('jitter_rms', 'jitter_max', 'latency_mean', 'latency_max', 'age_mean', 'age_max')
    return {'cycles': timing.cycles, 'rate [Hz]': f'{timing.rate:.2f}', 'overruns': timing.overruns,
            'states repeated': repeated,
            **{f'{name} [ms]': f'{1e3 * getattr(timing, name):.3f}' for name in milliseconds},
            'velocity command': ' '.join(f'{v:g}' for v in velocity.at(now)[0]),
            'velocity commands refused': velocity.refused, 'velocity commands clamped': velocity.clamped}


def main() -> None:
    """Run the node."""
    sys.exit(run_node(InferenceNode))


if __name__ == '__main__':
    main()
