"""The inference node as a process, with the simulated G1 and the shield as further processes."""

import array
import dataclasses
import math
import signal

import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from policy_files import standing_policy, write_standing_policy
from rig import TIMEOUT, hanging_robot

from rl_robot_control.robots import load_robot
from rl_robot_control.ros import interface

RAMPS = 'ramping from the measured pose'

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
    return write_standing_policy(folder / 'gains.onnx', dataclasses.replace(robot, stiffness=robot.stiffness * 1.1))


@pytest.mark.parametrize(('make', 'reason'), [
    (truncated, 'truncated.onnx: is not an ONNX file, or only a part of one.'),
    (for_another_robot, "other.onnx: was trained for the robot 'other_robot', not for 'unitree_g1'."),
    (with_other_gains, "gains.onnx: stiffness of joint 'left_hip_pitch_joint' is 44.198"),
    (lambda folder: folder / 'none.onnx', "none.onnx' does not exist"),
])
def test_refuses_to_configure_and_says_why(rig, stop_inference, tmp_path, make, reason):
    node = rig.start_inference(policy=str(make(tmp_path)), robot='unitree_g1')
    assert not rig.operator.change_state('inference', 'configure', TIMEOUT)
    assert rig.operator.lifecycle_state('inference') == 'unconfigured'
    assert reason in node.last_words(30)
    assert 'Traceback' not in node.last_words(30)


def test_refuses_to_configure_where_the_driver_is_silent(rig, stop_inference):
    node = rig.start_inference(policy=str(standing_policy()), driver='nobody', driver_timeout=0.5)
    assert not rig.operator.change_state('inference', 'configure', TIMEOUT)
    assert "the driver node 'nobody' did not offer its parameters within 0.5 s" in node.last_words(30)


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
    interface.controller_commands(robot.settings.topics.controller).subscription(
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
