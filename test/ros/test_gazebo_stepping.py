"""Both ways to advance a simulator, against stand-ins that answer late, out of order, with an error, or never."""

from __future__ import annotations

import importlib.util
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import rclpy
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import SetBool, Trigger

from rl_robot_control.errors import BackendError, BackendTimeoutError
from rl_robot_control.robots import load_robot
from rl_robot_control.ros import interface
from rl_robot_control.ros.conversions import StateEncoder, to_time
from rl_robot_control.ros.gazebo import stepping
from rl_robot_control.ros.gazebo.calls import Calls
from rl_robot_control.ros.gazebo.stepping import (
    CONTROL_WORLD,
    STEP_SIMULATION,
    StandardStepper,
    WorldStepper,
    find_stepper,
    service_type,
)
from rl_robot_control.ros.gazebo.world import GazeboWorld
from rl_robot_control.types import JointCommand

TIMEOUT = 20.0  # for anything that must happen, on a loaded machine [s]
PACKAGES = ('ros_gz_interfaces', 'simulation_interfaces', 'controller_manager_msgs')
MISSING = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
needs_messages = pytest.mark.skipif(bool(MISSING), reason=f'{", ".join(MISSING)} come with a ROS 2 installation; pip '
                                                          'has no wheels of them')


class Request(SimpleNamespace):
    """A request of either kind."""

    def __init__(self, **values):
        super().__init__(world_control=SimpleNamespace(pause=False, multi_step=0), **values)


KIND = SimpleNamespace(Request=Request)


class Script:
    """Stands for ``Calls``: gives the answers it was told to give."""

    def __init__(self, *answers, services=()):
        self.answers, self.requests, self.offered = list(answers), [], list(services)

    def call(self, kind, name, request):
        self.requests.append((name, request))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def services(self, kind):
        return [name for offered, name in self.offered if offered == kind]

    def wait(self, condition, timeout):
        time.sleep(min(timeout, 0.01))
        return condition()


def result(code, message=''):
    return SimpleNamespace(result=SimpleNamespace(result=code, error_message=message))


def test_standard_stepper():
    calls = Script(result(1), result(4, 'not paused'), result(0))
    stepper = StandardStepper(calls, '/step', KIND)
    stepper.step(20)
    assert calls.requests[0][0] == '/step' and calls.requests[0][1].steps == 20
    with pytest.raises(BackendError, match=r"'/step' refuses 20 steps: result 4, not paused\."):
        stepper.step(20)
    with pytest.raises(BackendError, match=r'result 0\.'):  # an answer that was never filled is no success
        stepper.step(1)


def test_world_stepper():
    calls = Script(SimpleNamespace(success=True), SimpleNamespace(success=False))
    stepper = WorldStepper(calls, '/world/w/control', KIND)
    stepper.step(20)
    control = calls.requests[0][1].world_control
    assert control.pause is True and control.multi_step == 20
    with pytest.raises(BackendError, match="'/world/w/control' refuses 20 steps"):
        stepper.step(20)


@pytest.mark.parametrize('make', [StandardStepper, WorldStepper])
def test_silence_is_passed_on(make):
    calls = Script(BackendTimeoutError("service '/s' did not answer within 1 s."))
    with pytest.raises(BackendTimeoutError, match='did not answer'):
        make(calls, '/s', KIND).step(1)


def test_the_one_that_is_offered_is_taken(monkeypatch):
    monkeypatch.setattr(stepping, 'service_type', lambda kind: KIND)
    both = Script(services=[(CONTROL_WORLD, '/world/w/control'), (STEP_SIMULATION, '/step_simulation')])
    found = find_stepper(both, 1.0)
    assert isinstance(found, StandardStepper) and found.name == '/step_simulation'
    found = find_stepper(Script(services=[(CONTROL_WORLD, '/world/w/control')]), 1.0)
    assert isinstance(found, WorldStepper) and found.name == '/world/w/control'
    with pytest.raises(BackendTimeoutError, match="nobody offers 'simulation_interfaces/srv/StepSimulation' or"):
        find_stepper(Script(), 0.05)
    two = Script(services=[(CONTROL_WORLD, '/world/a/control'), (CONTROL_WORLD, '/world/b/control')])
    with pytest.raises(BackendTimeoutError, match='several simulators .*: /world/a/control, /world/b/control'):
        find_stepper(two, 1.0)


def test_missing_messages_are_named():
    with pytest.raises(BackendError, match='sudo apt install ros-.ROS_DISTRO-no-such-msgs'):
        service_type('no_such_msgs/srv/Step')


# over DDS, with stand-ins


class Stand:
    """A participant in a thread of its own, for services that the code under test waits for.

    Args:
        threads: How many callbacks may be under way at once.
    """

    def __init__(self, threads=1):
        self.context = rclpy.Context()
        rclpy.init(context=self.context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = rclpy.create_node('stand_in', context=self.context, use_global_arguments=False)
        self.group = ReentrantCallbackGroup()
        self.executor = (SingleThreadedExecutor(context=self.context) if threads == 1 else
                         MultiThreadedExecutor(threads, context=self.context))
        self.executor.add_node(self.node)
        self.thread = threading.Thread(target=self._spin)
        self.thread.start()

    def _spin(self):
        while self.context.ok():
            self.executor.spin_once(timeout_sec=0.05)

    def serve(self, kind, name, callback):
        return self.node.create_service(kind, name, callback, callback_group=self.group)

    def close(self):
        self.context.try_shutdown()
        self.thread.join(TIMEOUT)
        self.executor.shutdown()
        self.node.destroy_node()


@pytest.fixture
def stand(group, monkeypatch):
    monkeypatch.setenv('ROS_DOMAIN_ID', str(group.domain.id))
    someone = Stand()
    yield someone
    someone.close()


@pytest.fixture
def busy_stand(group, monkeypatch):
    """One that answers a call while it still works at another."""
    monkeypatch.setenv('ROS_DOMAIN_ID', str(group.domain.id))
    someone = Stand(threads=4)
    yield someone
    someone.close()


@pytest.fixture
def calls(group, monkeypatch):
    monkeypatch.setenv('ROS_DOMAIN_ID', str(group.domain.id))
    someone = Calls('caller', '/', 1.0)
    yield someone
    someone.close()


def test_a_late_answer_is_nobody_s(busy_stand, calls):
    """It comes after its time-out, and the next call gets its own answer and not that one."""
    waits = [1.5, 0.0]

    def answer(request, response):
        number = len(waits)
        time.sleep(waits.pop(0))
        response.success, response.message = True, str(number)
        return response

    busy_stand.serve(Trigger, 'step', answer)
    with pytest.raises(BackendTimeoutError, match=r"service '/step' did not answer within 1 s\."):
        calls.call(Trigger, 'step', Trigger.Request())
    assert calls.call(Trigger, 'step', Trigger.Request()).message == '1'


def test_answers_out_of_order_find_their_calls(busy_stand, calls):
    """The answer to a call that was given up comes while the next one is waited for."""
    released = threading.Event()

    def answer(request, response):
        if request.data:
            released.wait(TIMEOUT)
        response.success, response.message = request.data, 'first' if request.data else 'second'
        return response

    busy_stand.serve(SetBool, 'step', answer)
    with pytest.raises(BackendTimeoutError):
        calls.call(SetBool, 'step', SetBool.Request(data=True))
    released.set()
    assert calls.call(SetBool, 'step', SetBool.Request(data=False)).message == 'second'


def test_a_service_that_is_not_there(calls):
    with pytest.raises(BackendTimeoutError, match="service '/nowhere' is not offered; is Gazebo running"):
        calls.call(Trigger, 'nowhere', Trigger.Request())


def test_something_is_done_meanwhile(busy_stand, calls):
    done = threading.Event()

    def answer(request, response):
        response.success = done.wait(TIMEOUT)
        return response

    busy_stand.serve(Trigger, 'switch', answer)
    assert calls.call(Trigger, 'switch', Trigger.Request(), meanwhile=done.set).success


class FakeGazebo:
    """An arm whose joints are where they were last told to be, in a world that is advanced by ControlWorld."""

    def __init__(self, stand, robot):
        from controller_manager_msgs.srv import ListControllers, SwitchController
        from ros_gz_interfaces.srv import ControlWorld
        self.robot, self.time, self.position = robot, 0, np.zeros(robot.num_joints)
        self.active, self.switched, self.silent, self.extra, self.told = True, [], False, 0, None
        self.blocked = False
        self.encoder, node = StateEncoder(robot), stand.node
        self.publisher = node.create_publisher(interface.JOINT_STATES.type, 'gazebo/joint_states', interface.LOOP_QOS)
        topic = interface.controller_commands(robot.settings.topics)
        node.create_subscription(topic.type, f'gazebo/{topic.name}', self._on_command, topic.qos,
                                 callback_group=stand.group)
        stand.serve(ControlWorld, '/world/rl_robot_control/control', self._on_control)
        stand.serve(SwitchController, 'gazebo/controller_manager/switch_controller', self._on_switch)
        stand.serve(ListControllers, 'gazebo/controller_manager/list_controllers', self._on_list)
        self.spawned = 3  # steps until the controller has been spawned

    def _on_command(self, message):
        self.told = None if self.blocked else np.array(message.data)

    def _on_control(self, request, response):
        response.success = request.world_control.pause
        self.time += 1_000_000 * (request.world_control.multi_step + self.extra)
        if self.active and self.told is not None:
            self.position = self.position + 0.5 * (self.told - self.position)
        if not self.silent:
            state = self.robot.standing_state(1)
            state.joint_position[0] = self.position
            self.encoder.encode(state, to_time(self.time))
            self.publisher.publish(self.encoder.joints)
        return response

    def _on_list(self, request, response):
        from controller_manager_msgs.msg import ControllerState
        state = 'active' if self.time >= self.spawned * 20_000_000 else 'inactive'
        response.controller = [ControllerState(name=self.robot.settings.topics.controller, state=state)]
        return response

    def _on_switch(self, request, response):
        self.active = bool(request.activate_controllers)
        self.switched.append((list(request.activate_controllers), list(request.deactivate_controllers)))
        response.ok = True
        return response


@pytest.fixture
def arm():
    return load_robot('panda')


@needs_messages
def test_a_world_in_gazebo(stand, arm):
    gazebo = FakeGazebo(stand, arm)
    world = GazeboWorld(arm, 0.02, timeout=2.0)
    try:
        state = world.reset(arm.default_state(1), np.array([0]))
        name = arm.settings.topics.controller
        assert gazebo.switched == [([], [name]), ([name], [])]  # forgets its last command, then is moved again
        assert state.joint_position[0] == pytest.approx(arm.default_position, abs=0.011)
        before = gazebo.time
        command = JointCommand(stamp=np.array([0.0]), position=arm.default_position[None] + 0.1)
        after = world.step(command)
        assert gazebo.time - before == 20_000_000  # one control period, in steps of 1 ms
        assert after.time[0] - state.time[0] == pytest.approx(0.02)
        assert after.joint_position[0] == pytest.approx(0.5 * (state.joint_position[0] + command.position[0]))
        gazebo.silent = True
        with pytest.raises(BackendTimeoutError, match='no state of .* came on .*gazebo/joint_states within 2 s'):
            world.step(command)
        gazebo.silent = False
        world.reset(arm.default_state(1), np.array([0]))  # and after a reset it goes on
        gazebo.extra = 40
        with pytest.raises(BackendError, match=r'ahead of the step that was asked for: something else advances it'):
            world.step(command)
    finally:
        world.close()


@needs_messages
def test_a_controller_that_is_not_spawned(stand, arm):
    FakeGazebo(stand, arm).spawned = 10**9
    with pytest.raises(BackendTimeoutError, match="'joint_group_position_controller' in Gazebo is inactive"):
        GazeboWorld(arm, 0.02, timeout=2.0, connect_timeout=1.0)


@needs_messages
def test_a_blocked_joint_is_named(stand, arm):
    FakeGazebo(stand, arm).blocked = True
    world = GazeboWorld(arm, 0.02, timeout=2.0)
    try:
        with pytest.raises(BackendError, match=r"joint 'panda_joint4' is 2\.356 rad away from where the reset wants"):
            world.reset(arm.default_state(1), np.array([0]))
    finally:
        world.close()


def test_the_period_is_a_multiple_of_the_step(arm):
    with pytest.raises(BackendError, match=r'control period of 0\.02 s is no multiple of Gazebo.s step of 0\.003 s'):
        GazeboWorld(arm, 0.02, step=0.003)
