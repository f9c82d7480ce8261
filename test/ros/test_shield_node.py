"""The shield node in real time, before a simulated robot that hangs from a gantry."""

from __future__ import annotations

import signal
import time

import numpy as np
import pytest
from ear import Ear
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from rl_robot_control.errors import BackendError
from rl_robot_control.ros import interface
from rl_robot_control.ros.conversions import CommandCodec
from rl_robot_control.ros.processes import NodeGroup
from rl_robot_control.ros.robot_operator import Operator

pytestmark = pytest.mark.realtime


class Rig:
    """Simulation and shield; this process is the policy."""

    def __init__(self, group, operator, robot, simulation=True):
        self.group, self.operator, self.robot = group, operator, robot
        group.start('shield', {'robot': robot.name})
        if simulation:
            group.start('simulation', {'robot': robot.name, 'hold_until_command': True})
        self.joints = Ear(operator, interface.JOINT_STATES)
        self.controller = interface.controller_commands(robot.settings.topics)
        self.out = Ear(operator, self.controller)
        self.policy = interface.POLICY_COMMAND.publisher(operator.node)
        self.codec = CommandCodec(robot)
        operator.wait_until(lambda: operator.status('shield') is not None and self.policy.get_subscription_count() > 0,
                            'the shield is there', 30.0)
        if simulation:
            operator.wait_until(lambda: self.joints.messages, 'the robot is there', 30.0)

    def command(self, offset=0.0):
        """One policy command that answers the latest state, at the control rate."""
        self.policy.publish(self.codec.encode(self.robot.default_position + offset, self.joints.latest.header.stamp))
        heard = len(self.joints.messages)
        self.operator.wait_until(lambda: len(self.joints.messages) > heard + 3, 'the world goes on', 5.0)

    def mode(self, wanted, commanding=False):
        """Wait for a mode while commands flow or do not."""
        def reached():
            if commanding:
                self.command()
            return self.operator.value('shield', 'mode') == wanted

        self.operator.wait_until(reached, f'the shield is {wanted}', 10.0)

    def trigger(self, service):
        return self.operator.call(Trigger, service.name, Trigger.Request(), 5.0)


@pytest.fixture
def rig(group, operator, g1):
    """Processes of this test alone, for those that harm them."""
    return Rig(group, operator, g1)


@pytest.fixture(scope='module')
def shared_processes(tmp_path_factory, g1):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv('ROS_DOMAIN_ID', raising=False)
        with NodeGroup(tmp_path_factory.mktemp('logs')) as group:
            with Operator(group.domain.id, watch=group.check) as operator:
                yield Rig(group, operator, g1)


@pytest.fixture
def shared(shared_processes):
    """Processes that several tests use one after the other; the shield follows commands at the start of each."""
    rig = shared_processes
    if rig.operator.value('shield', 'mode') == 'LATCHED':
        rig.operator.wait_until(lambda: rig.trigger(interface.REARM).success, 'released', 20.0)
    rig.mode('ACTIVE', commanding=True)
    return rig


def test_a_silent_policy_is_braked_and_damped_and_may_come_back(shared):
    shared.mode('BRAKING')
    shared.mode('DAMPING')
    shared.out.messages.clear()
    shared.operator.wait_until(lambda: len(shared.out.messages) > 3, 'damping targets flow', 5.0)
    shared.mode('ACTIVE', commanding=True)


def test_an_emergency_stop_holds_until_it_is_released(shared):
    shared.trigger(interface.EMERGENCY_STOP)
    shared.mode('LATCHED', commanding=True)

    def released():
        return shared.trigger(interface.REARM).success

    shared.operator.wait_until(released, 'the robot has come to rest and is released', 20.0)
    shared.mode('ACTIVE', commanding=True)


def test_a_second_publisher_latches_and_is_named(shared):
    intruder = shared.controller.publisher(shared.operator.node)
    shared.mode('LATCHED', commanding=True)
    topic = shared.controller.name
    assert shared.operator.value('shield', 'reason') == f'another publisher on {topic}: /operator'
    assert shared.trigger(interface.REARM).message == f'/operator still publishes on {topic}.'
    shared.operator.node.destroy_publisher(intruder)


@pytest.mark.parametrize('spoil', ['names', 'size', 'nan', 'stamp'])
def test_bad_commands_are_rejected_and_counted(shared, spoil):
    names, position = list(shared.robot.joint_names), list(shared.robot.default_position)
    if spoil == 'names':
        names[0] = 'left_tentacle_joint'
    elif spoil == 'size':
        position = position[:-1]
    elif spoil == 'nan':
        position[7] = float('nan')
    message = JointState(name=names, position=position)
    if spoil != 'stamp':
        message.header.stamp = shared.joints.latest.header.stamp
    before = int(shared.operator.value('shield', 'rejected'))
    shared.policy.publish(message)
    shared.operator.wait_until(lambda: int(shared.operator.value('shield', 'rejected')) > before, 'it is counted', 5.0)
    assert all(np.isfinite(m.data).all() and len(m.data) == 29 for m in shared.out.messages)


def test_nothing_is_published_without_a_state(group, operator, g1):
    rig = Rig(group, operator, g1, simulation=False)
    begin = time.monotonic()

    def passed():
        rig.policy.publish(rig.codec.encode(g1.default_position, operator.node.get_clock().now().to_msg()))
        return time.monotonic() > begin + 0.5

    operator.wait_until(passed, 'half a second', 2.0)
    assert rig.out.messages == []
    assert operator.value('shield', 'mode') == 'STARTING'


def test_a_dead_robot_silences_the_shield(rig):
    rig.mode('ACTIVE', commanding=True)
    rig.group.nodes['simulation'].signal(signal.SIGSTOP)
    rig.mode('DAMPING')
    rig.out.messages.clear()
    begin = time.monotonic()
    rig.operator.wait_until(lambda: time.monotonic() > begin + 0.3, 'a while', 1.0)
    assert rig.out.messages == []


def test_a_dead_shield_leaves_the_robot_damped(rig):
    """A damped drive gives −3 N·m·s/rad times its speed; one with stiffness pulls toward its target."""
    def damped():
        state = rig.joints.latest
        return np.allclose(state.effort, -3.0 * np.array(state.velocity), atol=0.2)

    def driven():
        rig.command(offset=0.2)
        return not damped()

    rig.mode('ACTIVE', commanding=True)
    rig.operator.wait_until(driven, 'the robot follows', 5.0)
    shield, simulation = rig.group.nodes.pop('shield'), rig.group.nodes['simulation']
    shield.signal(signal.SIGKILL)
    shield.process.wait(5)
    rig.operator.wait_until(lambda: 'damping the robot' in simulation.log.read_text() and damped(),
                            'the robot is damped', 5.0)


def test_forgetting_the_past_is_for_lockstep_only(shared):
    answer = shared.trigger(interface.SHIELD_RESET)
    assert not answer.success and 'only in lock-step' in answer.message
    with pytest.raises(BackendError, match='only in lock-step'):
        shared.operator.trigger(interface.SHIELD_RESET)
