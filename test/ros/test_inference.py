"""The inference node as a process, with the simulated G1 and the shield as further processes."""

import array
import dataclasses
import math
import signal
import time

import numpy as np
import pytest
import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from policy_files import Fragile, standing_policy, write_standing_policy
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from rig import TIMEOUT, hanging_robot
from std_srvs.srv import Trigger

from rl_robot_control.errors import BackendError, BackendTimeoutError
from rl_robot_control.nodes.inference import InferenceNode
from rl_robot_control.robots import load_robot
from rl_robot_control.ros import interface
from rl_robot_control.ros.runtime import make_executor

pytestmark = pytest.mark.realtime

RAMPS = 'ramping from the measured pose'


@pytest.fixture(scope='module')
def rig(tmp_path_factory):
    with hanging_robot(tmp_path_factory.mktemp('logs')) as rig:
        yield rig


@pytest.fixture
def stop_inference(rig):
    yield
    log = rig.group.nodes['inference'].log
    assert rig.group.stop('inference') in (0, 1)  # a signal's number would be negative
    assert 'Traceback' not in log.read_text()


def truncated(folder):
    path = folder / 'truncated.onnx'
    content = standing_policy().read_bytes()
    path.write_bytes(content[:len(content) // 2])
    return path


def for_another_robot(folder):
    robot = dataclasses.replace(load_robot('unitree_g1'), name='other_robot')
    return write_standing_policy(folder / 'other.onnx', robot)


def with_other_gains(folder):
    robot = load_robot('unitree_g1')
    return write_standing_policy(folder / 'gains.onnx', dataclasses.replace(robot, stiffness=robot.stiffness * 30))


@pytest.mark.parametrize(('make', 'reason'), [
    (truncated, 'truncated.onnx: is not an ONNX file, or only a part of one.'),
    (for_another_robot, "other.onnx: was trained for the robot 'other_robot', not for 'unitree_g1'."),
    (with_other_gains, "gains.onnx: stiffness of joint 'left_hip_pitch_joint' is 1205.4 N·m/rad in the policy and"),
    (lambda folder: folder / 'none.onnx', "none.onnx' does not exist"),
])
def test_refuses_to_configure_and_says_why(rig, stop_inference, tmp_path, make, reason):
    node = rig.start_inference(policy=str(make(tmp_path)), robot='unitree_g1')
    assert not rig.operator.change_state('inference', 'configure', TIMEOUT)
    assert rig.operator.lifecycle_state('inference') == 'unconfigured'
    assert reason in node.last_words(30)
    assert 'Traceback' not in node.last_words(30)


def test_refuses_to_configure_where_the_driver_is_silent(rig, stop_inference):
    node = rig.start_inference(policy=str(standing_policy()), driver='nobody', driver_timeout=3.0)
    assert not rig.operator.change_state('inference', 'configure', TIMEOUT)
    assert "the driver node 'nobody' did not offer its parameters within 3.0 s" in node.last_words(30)


def test_brings_its_gains_to_the_shield_and_the_driver(rig, stop_inference, tmp_path):
    robot = load_robot('unitree_g1')
    other = dataclasses.replace(robot, stiffness=1.1 * robot.stiffness)
    path = write_standing_policy(tmp_path / 'gains.onnx', other)
    node = rig.start_inference(policy=str(path))
    assert rig.operator.change_state('inference', 'configure', TIMEOUT), node.last_words(30)
    said = [line for line in node.log.read_text().splitlines() if "set the policy's gains" in line]
    assert [line.rpartition(' ')[2] for line in said] == ["'shield'.", "'simulation'."]  # the shield before the driver
    for name in ('shield', 'simulation'):
        values = rig.operator.parameters(name, ['stiffness'])['stiffness']
        np.testing.assert_allclose(values, other.stiffness)
    for name in ('shield', 'simulation'):
        rig.operator.set_parameters(name, {'stiffness': array.array('d', robot.stiffness)})


def test_the_shield_keeps_its_gains_while_commands_are_followed(rig, stop_inference):
    rig.run_policy(standing_policy())
    rig.wait_for('shield', 'mode', 'ACTIVE')
    with pytest.raises(BackendError, match='the gains cannot change while commands are followed'):
        rig.operator.set_parameters('shield', {'stiffness': array.array('d', [50.0] * 29)})
    with pytest.raises(BackendError, match="'stiffness' holds 3 numbers; 29 are needed"):
        rig.operator.set_parameters('shield', {'stiffness': array.array('d', [50.0] * 3)})


def test_policies_take_over_from_one_another_and_a_fallback_from_one_that_fails(rig, stop_inference, tmp_path):
    """Two that stand, one with its legs 0.25 · 0.4 = 0.1 rad beside the default pose, and one that can fail."""
    robot, operator = load_robot('unitree_g1'), rig.operator
    fragile = write_standing_policy(tmp_path / 'fragile.onnx', kind=Fragile)
    bent = write_standing_policy(tmp_path / 'bent.onnx', action=0.4)
    node = rig.start_inference(policy=str(fragile), policies=[f'bent={bent}', f'calm={standing_policy()}'],
                               fallback='bent')
    assert operator.change_state('inference', 'configure', TIMEOUT), node.last_words(30)
    rig.wait_for('inference', 'robot heard', 'yes')
    assert operator.change_state('inference', 'activate', TIMEOUT), node.last_words(30)
    rig.wait_for('inference', 'phase', 'running')
    rig.wait_for('shield', 'mode', 'ACTIVE')
    knee, out = robot.joint_names.index('left_knee_joint'), []
    interface.controller_commands(robot.settings.topics).subscription(
        operator.node, lambda message: out.append(message.data[knee]))

    def settled(offset, begin=0):
        wanted = robot.default_position[knee] + offset
        operator.wait_until(lambda: len(out) > begin + 20 and np.allclose(out[-3:], wanted, atol=1e-6), 'it arrives',
                            TIMEOUT)

    settled(0.0)
    for name, offset in (('bent', 0.1), ('calm', 0.0), ('fragile', 0.0)):
        begin = len(out)
        operator.trigger(interface.use_policy(name))
        settled(offset, begin)
        rig.wait_for('inference', 'policy', name)
        # 0.1 rad in 0.3 s are at most π/2 · 0.1/0.3 · 0.02 = 0.0105 rad per period; a few periods may be missed.
        assert np.abs(np.diff(out[begin:])).max() < 0.06
    begin = len(out)

    def failed():
        operator.command((0.8, 0.0, 0.0))
        return operator.value('inference', 'policy') == 'bent'

    operator.wait_until(failed, 'the fallback takes over', TIMEOUT)
    assert "policy 'fragile' failed, 'bent' took over: fragile.onnx: the action for joint" in operator.status(
        'inference').message
    settled(0.1, begin)
    assert np.abs(np.diff(out[begin:])).max() < 0.06 and rig.operator.value('shield', 'mode') == 'ACTIVE'
    with pytest.raises(BackendTimeoutError):
        operator.call(Trigger, 'inference/use/nobody', Trigger.Request(), 1.0)


@pytest.mark.parametrize(('parameters', 'reason'), [
    (dict(fallback='nobody'), "unknown policy in parameter 'fallback' 'nobody'"),
    (dict(motion_end='nobody'), "unknown policy in parameter 'motion_end' 'nobody'"),
    (dict(policies=['1=x.onnx']), "policy '1=x.onnx' is not NAME=FILE"),
    (dict(policies=['stand=unitree_g1_walk']), 'two policies have the same name'),
    (dict(shield='nobody', driver_timeout=0.5), "the shield node 'nobody' did not offer its parameters within 0.5 s"),
])
def test_refuses_policies_that_do_not_go_together(rig, stop_inference, parameters, reason):
    node = rig.start_inference(policy=str(standing_policy()), **parameters)
    assert not rig.operator.change_state('inference', 'configure', TIMEOUT)
    assert reason in node.last_words(30)


def test_goes_through_its_lifecycle(rig, stop_inference):
    operator = rig.operator
    rig.run_policy(standing_policy())
    assert operator.lifecycle_state('inference') == 'active'
    assert operator.value('shield', 'mode') == 'ACTIVE'
    stamps = rig.commands[-20:]
    assert all(later > earlier for earlier, later in zip(stamps, stamps[1:]))  # each state is answered once
    assert operator.change_state('inference', 'deactivate')
    rig.wait_for('inference', 'phase', 'holding')
    assert operator.lifecycle_state('inference') == 'inactive'
    count = len(rig.commands)
    operator.wait_until(lambda: len(rig.commands) > count + 20, 'it goes on holding the default pose', TIMEOUT)
    assert operator.change_state('inference', 'activate')
    rig.wait_for('inference', 'phase', 'running')
    assert operator.change_state('inference', 'deactivate')
    assert operator.change_state('inference', 'cleanup')
    assert operator.lifecycle_state('inference') == 'unconfigured'
    rig.listen(0.1)
    count = len(rig.commands)
    rig.listen(0.5)
    assert len(rig.commands) == count
    assert operator.change_state('inference', 'configure')


def test_what_was_queued_during_the_cleanup_does_no_harm(rig):
    # The events executor runs what it had queued although its timer or service has been destroyed meanwhile.
    rclpy.init(domain_id=rig.group.domain.id, signal_handler_options=SignalHandlerOptions.NO)
    node, executor = InferenceNode(), make_executor()
    executor.add_node(node)

    def spin_until(condition):
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            assert time.monotonic() < deadline
            executor.spin_once(timeout_sec=0.02)

    try:
        node.set_parameters([Parameter(name, value=value) for name, value in {
            'policy': str(standing_policy()), 'shield': '', 'driver': '', 'activation_patience': 0.0}.items()])
        assert node.trigger_configure() is TransitionCallbackReturn.SUCCESS, node.problem
        service = interface.use_policy(node.core.active)
        client = node.create_client(service.type, service.name)
        spin_until(client.service_is_ready)
        answer = client.call_async(service.type.Request())
        assert node.trigger_cleanup() is TransitionCallbackReturn.SUCCESS, node.problem
        node._look()
        node._heard()
        spin_until(answer.done)
        assert not answer.result().success and 'is not loaded' in answer.result().message
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown()


def test_follows_velocity_commands_within_reason(rig, stop_inference):
    operator = rig.operator
    node = rig.run_policy(standing_policy())

    def send_until(velocity, key, value):
        def done():
            operator.command(velocity)
            return operator.value('inference', key) == value
        operator.wait_until(done, f'{key} is {value}', TIMEOUT)

    send_until((0.3, 0.0, 0.1), 'velocity command', '0.3 0 0.1')
    rig.wait_for('inference', 'velocity command', '0 0 0')  # nothing more came: it times out
    send_until((2.0, 0.0, -3.0), 'velocity command', '0.8 0 -0.5')  # the policy's range: 0.8 m/s, ±0.5 rad/s
    assert 'vx [m/s] 2 is outside [-0.5, 0.8]' in node.log.read_text()
    assert int(operator.value('inference', 'velocity commands clamped')) > 0
    rig.wait_for('inference', 'velocity command', '0 0 0')
    operator.command((math.nan, 0.0, 0.0))
    rig.wait_for('inference', 'velocity commands refused', '1')
    assert operator.value('inference', 'velocity command') == '0 0 0'
    assert operator.value('inference', 'phase') == 'running'


def test_falls_silent_and_deactivates_itself_when_the_state_is_lost(tmp_path):
    with hanging_robot(tmp_path) as rig:
        node = rig.run_policy(standing_policy())
        rig.wait_for('shield', 'mode', 'ACTIVE')
        rig.group.nodes['simulation'].signal(signal.SIGSTOP)
        rig.wait_for('inference', 'phase', 'stopped')
        rig.wait_for('shield', 'mode', 'DAMPING', 'LATCHED')
        assert rig.operator.lifecycle_state('inference') == 'inactive'
        assert not rig.operator.change_state('inference', 'activate')
        log = node.log.read_text()
        assert log.count('publishing nothing: the latest state is') == 1
        assert log.count('giving up') == 1
        rig.group.nodes['simulation'].signal(signal.SIGCONT)
        rig.listen(0.5)
        assert rig.operator.lifecycle_state('inference') == 'inactive'  # it moves again only when told to


def test_the_shield_brakes_then_damps_when_it_is_killed(tmp_path):
    with hanging_robot(tmp_path) as rig:
        node = rig.run_policy(standing_policy())
        rig.wait_for('shield', 'mode', 'ACTIVE')
        node.signal(signal.SIGKILL)
        rig.operator.wait_until(lambda: rig.shield_modes[-1] == 'DAMPING', 'the shield damps', TIMEOUT)
        assert rig.shield_modes[-3:] == ['ACTIVE', 'BRAKING', 'DAMPING']


def test_starts_on_its_own_if_told_to(rig, stop_inference):
    rig.start_inference(policy=str(standing_policy()), autostart=True)
    rig.wait_for('inference', 'phase', 'running')
    assert rig.operator.lifecycle_state('inference') == 'active'


def test_ends_with_the_reason_when_it_cannot_start_on_its_own(rig, stop_inference):
    node = rig.start_inference(policy='none.onnx', autostart=True)
    rig.operator.wait_until(lambda: not node.running(), 'the node ends', TIMEOUT)
    assert node.process.returncode == 1
    assert "error: the inference node cannot start: policy file 'none.onnx' does not exist" in node.last_words()


def test_waits_for_a_fresh_state_when_it_activates(rig, stop_inference):
    """Held up for longer than a state stays fresh, just before it is to activate."""
    node, operator = rig.start_inference(policy=str(standing_policy())), rig.operator
    assert operator.change_state('inference', 'configure', TIMEOUT)
    rig.wait_for('inference', 'robot heard', 'yes')
    node.signal(signal.SIGSTOP)
    client = operator.node.create_client(ChangeState, 'inference/change_state')
    operator.wait_until(client.service_is_ready, 'the service is there', TIMEOUT)
    request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_ACTIVATE))
    answer = client.call_async(request)
    rig.listen(0.3)
    node.signal(signal.SIGCONT)
    operator.wait_until(answer.done, 'it answers', TIMEOUT)
    assert answer.result().success, node.last_words()


def test_ramps_from_the_measured_pose_after_a_reset(rig, stop_inference):
    """The policy wants the default pose; the robot is put 0.6 rad away from it while commands stream."""
    node, operator, robot = rig.run_policy(standing_policy()), rig.operator, load_robot('unitree_g1')
    pose = robot.default_position.copy()
    shoulder = robot.joint_names.index('left_shoulder_pitch_joint')
    pose[shoulder] += 0.6
    out, states = [], []
    interface.controller_commands(robot.settings.topics).subscription(
        operator.node, lambda message: out.append(message.data[shoulder]))
    interface.JOINT_STATES.subscription(operator.node, lambda message: states.append(message.position[shoulder]))
    operator.wait_until(lambda: len(out) > 10 and states, 'commands stream', TIMEOUT)
    assert out[-1] == pytest.approx(robot.default_position[shoulder], abs=1e-6)
    operator.set_parameters('simulation', {'reset.joint_position': array.array('d', pose)}, TIMEOUT)
    for _ in range(5):  # until the nodes notice it before the drives have pulled the arm back: the machine may be busy
        states.clear()
        begin, ramps = len(out), node.log.read_text().count(RAMPS)
        operator.trigger(interface.SIMULATION_RESET)
        operator.wait_until(lambda ramps=ramps: node.log.read_text().count(RAMPS) > ramps, 'it is noticed', TIMEOUT)
        rig.listen(1.2)
        rig.wait_for('inference', 'phase', 'running')
        rig.wait_for('shield', 'mode', 'ACTIVE')
        rig.listen(0.2)
        targets = np.array(out[begin:])
        first = int(np.argmax(np.diff(targets))) + 1  # first of all, where it is
        if targets[first] > robot.default_position[shoulder] + 0.3:
            break
    assert min(states) - 0.05 < targets[first] < max(states) + 0.05  # where it was when that was noticed
    # The ramp's half cosine lasts π/2 · 0.6 rad / (1 rad/s) and so is at most 1 rad/s fast: 20 ms make 0.02 rad. A
    # period that the machine skips makes the step as much longer; a jump would be 0.6 rad.
    assert np.abs(np.diff(targets[first:])).max() < 0.25
    assert len(targets) > first + 5 and targets[-1] == pytest.approx(robot.default_position[shoulder], abs=0.02)
