"""The runner: targets derived by hand, and everything that it refuses."""

import dataclasses

import numpy as np
import pytest

from rl_robot_control.errors import PolicyError
from rl_robot_control.policies.gate import read_policy
from rl_robot_control.policies.runner import PolicyRunner
from rl_robot_control.tasks.interface import ActionSettings, CommandSettings, ObservationSettings
from rl_robot_control.types import RobotState

from .conftest import (
    BIAS,
    URDF,
    WEIGHTS,
    linear_model,
    make_interface,
    make_manifest,
    make_robot,
    make_state,
    write_policy,
)


def build(path, robot, **changes):
    """A runner of the linear policy with a changed manifest."""
    model = linear_model()
    interface = changes.pop('interface', None)
    write_policy(path, model, make_manifest(robot, model, interface, **changes))
    return PolicyRunner(read_policy(path), robot)


def test_targets_equal_the_hand_computed_ones(policy_path, robot):
    runner = PolicyRunner(read_policy(policy_path), robot)
    state = make_state(robot)
    runner.reset(state)
    command = runner.step(state, np.array([[0.5, 0.0, -0.2]]))
    # observation: (0.3-0.1)*2=0.4, (-0.1-0.2)*2=-0.6 | 0.1, 0.2, -0.4 | 0.5, 0, -0.2
    # action 0: 0.4 + 0.5*(-0.4) + 0.5 + 0.5 = 1.2;   action 1: 0.6 + 2*0.2 + 0.25*(-0.2) - 1 = -0.05
    # target: 0.1 + 0.25*1.2 = 0.4;  0.2 + 0.25*(-0.05) = 0.1875
    np.testing.assert_allclose(command.position, [[0.4, 0.1875]], atol=1e-6)
    np.testing.assert_array_equal(command.stamp, [7.0])


def test_action_beyond_its_clip_is_clipped(policy_path, robot):
    runner = PolicyRunner(read_policy(policy_path), robot)
    state = make_state(robot)
    runner.reset(state)
    # action 0: 0.4 - 0.2 + 10 + 0.5 = 10.7, clipped to 2; target 0.1 + 0.25*2 = 0.6
    assert runner.step(state, np.array([[10.0, 0, 0]])).position[0, 0] == pytest.approx(0.6)


def test_observation_clip_comes_before_scale(tmp_path, robot):
    terms = make_interface().observations
    terms[0] = ObservationSettings(term='joint_position', clip=(-0.05, 0.1), scale=10.0)
    runner = build(tmp_path / 'p.onnx', robot, interface=make_interface(observations=terms))
    observation = runner.interface.observe(make_state(robot), np.zeros((1, 3)))
    # 0.2 -> 0.1 -> 1.0 ; -0.3 -> -0.05 -> -0.5
    np.testing.assert_allclose(observation[0, :2], [1.0, -0.5])


def test_batch_of_three_equals_three_batches_of_one(policy_path, robot):
    checked = read_policy(policy_path)
    random = np.random.default_rng(3)
    positions, commands = random.uniform(-1, 1, (3, 2)), random.uniform(-1, 1, (4, 3, 3))
    state = make_state(robot, 3, joint_position=positions)
    batch, singles = PolicyRunner(checked, robot, 3), [PolicyRunner(checked, robot) for _ in range(3)]
    batch.reset(state)
    for i, single in enumerate(singles):
        single.reset(state.select([i]))
    for command in commands:
        together = batch.step(state, command)
        for i, single in enumerate(singles):
            alone = single.step(state.select([i]), command[[i]])
            np.testing.assert_allclose(together.position[[i]], alone.position, atol=1e-6)
            assert alone.stamp[0] == 7.0 + i


def test_outputs_of_two_steps_do_not_share_memory(policy_path, robot):
    runner = PolicyRunner(read_policy(policy_path), robot)
    state = make_state(robot)
    runner.reset(state)
    first = runner.step(state, np.zeros((1, 3))).position
    before = first.copy()
    runner.step(state, np.ones((1, 3)))
    np.testing.assert_array_equal(first, before)


def test_unmeasured_quantity_names_the_term(policy_path, robot):
    runner = PolicyRunner(read_policy(policy_path), robot)
    state = make_state(robot, base_angular_velocity=np.array([[0.0, np.nan, 0.0]]))
    runner.reset(state)
    with pytest.raises(PolicyError, match=r"observation term 'base_angular_velocity\[1\]' of robot 0 is nan"):
        runner.step(state, np.zeros((1, 3)))


def test_a_rehearsal_leaves_no_trace(tmp_path, robot):
    runners = [build(tmp_path / f'{name}.onnx', robot) for name in ('plain', 'rehearsed')]
    for runner in runners:
        runner.reset(make_state(robot))
    for i in range(4):
        state = dataclasses.replace(make_state(robot), joint_position=np.array([[0.1 * i, 0.2]]))
        runners[1].rehearse(make_state(robot), np.array([[0.3, 0.1, 0.7]]))
        runners[1].rehearse(RobotState.unknown(1, 2, 0), np.zeros((1, 3)))  # what it cannot answer is the step's affair
        plain, rehearsed = (runner.step(state, np.array([[0.5, 0.0, -0.2]])).position for runner in runners)
        np.testing.assert_array_equal(plain, rehearsed)
        np.testing.assert_array_equal(*(runner.observation for runner in runners))


def test_failed_step_leaves_the_memory_as_it_was(tmp_path, robot):
    settings = CommandSettings(slew=(1.0, 1.0, 1.0), heading_gain=0.5)
    runner = build(tmp_path / 'p.onnx', robot, interface=make_interface(command=settings))
    good = make_state(robot)
    bad = make_state(robot, base_quaternion=np.full((1, 4), np.nan))
    runner.reset(good)
    with pytest.raises(PolicyError, match=r"observation term 'command\[2\]'"):
        runner.step(bad, np.ones((1, 3)))
    assert runner.interface.heading[0] == 0.0
    np.testing.assert_array_equal(runner.interface.command, np.zeros((1, 3)))
    runner.step(good, np.ones((1, 3)))
    # slew 1 per second for one period of 0.02 s
    np.testing.assert_allclose(runner.interface.command, np.full((1, 3), 0.02))


def test_reset_without_orientation_is_refused_if_heading_is_held(tmp_path, robot):
    runner = build(tmp_path / 'p.onnx', robot, interface=make_interface(command=CommandSettings(heading_gain=0.5)))
    with pytest.raises(PolicyError, match='orientation of the base is not known. Check that the IMU publishes'):
        runner.reset(make_state(robot, base_quaternion=np.full((1, 4), np.nan)))


@pytest.mark.parametrize('command', [np.full((1, 3), np.nan), np.zeros((1, 2)), np.zeros(3)])
def test_malformed_command_is_refused(policy_path, robot, command):
    runner = PolicyRunner(read_policy(policy_path), robot)
    runner.reset(make_state(robot))
    with pytest.raises(PolicyError, match='is not 1 x 3 finite numbers'):
        runner.step(make_state(robot), command)


def test_step_before_reset_is_a_bug(policy_path, robot):
    runner = PolicyRunner(read_policy(policy_path), robot, 2)
    runner.reset(make_state(robot, 2), np.array([0]))
    with pytest.raises(RuntimeError, match='reset'):
        runner.step(make_state(robot, 2), np.zeros((2, 3)))


def test_infinite_action_names_the_joint(tmp_path, robot):
    weights = WEIGHTS.copy()
    weights[1, 7] = 1e38  # golden command is -0.2: finite there, infinite at a command of 100
    model = linear_model(weights)
    manifest = make_manifest(robot, model)
    observation = np.array(manifest.golden.observations[0], dtype=np.float32)
    golden = dataclasses.replace(manifest.golden, actions=[(weights @ observation + BIAS).tolist()])
    path = write_policy(tmp_path / 'p.onnx', model, dataclasses.replace(manifest, golden=golden))
    runner = PolicyRunner(read_policy(path), robot)
    runner.reset(make_state(robot))
    with pytest.raises(PolicyError, match="action for joint 'elbow' of robot 0 is inf. Do not use this policy"):
        runner.step(make_state(robot), np.array([[0, 0, 100.0]]))


def test_wrong_robot_is_refused(policy_path, tmp_path):
    other = make_robot(tmp_path / 'other', name='leg')
    with pytest.raises(PolicyError, match="policy.onnx: was trained for the robot 'arm', not for 'leg'"):
        PolicyRunner(read_policy(policy_path), other)


def test_brings_its_gains_and_its_pose(policy_path, tmp_path):
    other = make_robot(tmp_path / 'other', stiffness=21, extra='default_pose: {elbow: 0.3}')
    runner = PolicyRunner(read_policy(policy_path), other)
    assert runner.robot.stiffness[0] == 20.0 and runner.robot.default_position[1] == 0.2
    assert other.stiffness[0] == 21.0 and other.default_position[1] == 0.3


def test_a_gain_that_is_far_off_names_joint_and_both_values(policy_path, tmp_path):
    other = make_robot(tmp_path / 'other', stiffness=401)  # 20 N·m/rad in the policy: a factor of 20.05
    with pytest.raises(PolicyError, match=r"stiffness of joint 'shoulder' is 20 N·m/rad in the policy and 401 N·m/rad"):
        PolicyRunner(read_policy(policy_path), other)


@pytest.mark.parametrize('old, new, message', [
    ('upper="1.5"', 'upper="1.4"', "position_upper of joint 'shoulder' is 1.5 rad in the policy and 1.4"),
    ('effort="5"', 'effort="6"', "effort_limit of joint 'elbow' is 5.0 N·m in the policy and 6.0"),
    ('type="continuous"', 'type="prismatic"', "position_lower of joint 'elbow' is -inf rad in the policy and -9.0"),
])
def test_wrong_limit_is_refused(policy_path, tmp_path, old, new, message):
    urdf = URDF.replace(old, new).replace('<limit velocity', '<limit lower="-9" upper="9" velocity')
    other = make_robot(tmp_path / 'other', urdf=urdf)
    with pytest.raises(PolicyError, match=message):
        PolicyRunner(read_policy(policy_path), other)


def test_permuted_joints_are_refused(policy_path, tmp_path):
    other = make_robot(tmp_path / 'other', extra='controlled_joints: [elbow, shoulder]')
    with pytest.raises(PolicyError, match="joint 0 is 'shoulder' in the policy and 'elbow' in robot 'arm': the order"):
        PolicyRunner(read_policy(policy_path), other)


def test_missing_joint_is_refused(policy_path, tmp_path):
    other = make_robot(tmp_path / 'other', extra='controlled_joints: [elbow]')
    with pytest.raises(PolicyError, match="joint 'shoulder': robot 'arm' has none"):
        PolicyRunner(read_policy(policy_path), other)


def test_wrong_control_rate_is_refused(policy_path, robot):
    with pytest.raises(PolicyError, match=r'was trained at 50 Hz \(a control period of 0.02 s\), the loop runs at 100'):
        PolicyRunner(read_policy(policy_path), robot, control_period=0.01)
    PolicyRunner(read_policy(policy_path), robot, control_period=0.02)


def test_tampered_golden_action_is_refused(tmp_path, robot):
    golden = make_manifest(robot, linear_model()).golden
    actions = [[golden.actions[0][0], golden.actions[0][1] + 2e-5]]
    with pytest.raises(PolicyError, match="golden vector 0: the action for joint 'elbow' differs .* by 2.0"):
        build(tmp_path / 'p.onnx', robot, golden=dataclasses.replace(golden, actions=actions))


@pytest.mark.parametrize('change, term', [
    (lambda s: dataclasses.replace(s, command=(0.51, 0.0, -0.2)), 'command'),
    (lambda s: dataclasses.replace(s, state=s.state | {'joint_position': [0.3, -0.2]}), 'joint_position'),
    (lambda s: dataclasses.replace(s, state=s.state | {'base_angular_velocity': [None, 0.2, -0.4]}),
     'base_angular_velocity'),
])
def test_tampered_golden_state_is_refused(tmp_path, robot, change, term):
    golden = make_manifest(robot, linear_model()).golden
    states = [change(golden.states[0])]
    with pytest.raises(PolicyError, match=rf"golden state 0: observation term '{term}\[\d\]'"):
        build(tmp_path / 'p.onnx', robot, golden=dataclasses.replace(golden, states=states))


def test_changed_scale_in_the_interface_is_refused(tmp_path, robot):
    """Only the golden states can notice it: the observation's size stays the same."""
    golden = make_manifest(robot, linear_model()).golden
    terms = make_interface().observations
    terms[0] = ObservationSettings(term='joint_position', scale=1.0)
    with pytest.raises(PolicyError, match="golden state 0: observation term 'joint_position.*' differs"):
        build(tmp_path / 'p.onnx', robot, interface=make_interface(observations=terms), golden=golden)


@pytest.mark.parametrize('entry, message', [
    (ObservationSettings(term='joint_acceleration'), "unknown observation term 'joint_acceleration'"),
    (ObservationSettings(term='joint_position', params={'joint': ['elbow']}), 'unknown parameter of term'),
    (ObservationSettings(term='joint_position', params={'joints': ['wrist']}), "unknown joint of arm 'wrist'"),
    (ObservationSettings(term='joint_position', params={'joints': 7}), 'cannot be set up'),
    (ObservationSettings(term='joint_position', params={'joints': ['elbow']}), "has 1 values on 'arm'"),
])
def test_observation_that_the_robot_cannot_give_is_refused(tmp_path, robot, entry, message):
    terms = [entry, *make_interface().observations[1:]]
    sizes = {entry.term: 2, 'base_angular_velocity': 3, 'command': 3}
    manifest = dataclasses.replace(make_manifest(robot, linear_model()), observation_sizes=sizes,
                                   interface=make_interface(observations=terms))
    path = write_policy(tmp_path / 'p.onnx', linear_model(), manifest)
    with pytest.raises(PolicyError, match=message):
        PolicyRunner(read_policy(path), robot)


@pytest.mark.parametrize('name, message', [('flying', "unknown feed_forward term 'flying'"),
                                           ('walking', 'cannot be set up')])  # two joints are no legs
def test_feed_forward_that_does_not_fit_is_refused(tmp_path, robot, name, message):
    action = ActionSettings(joints=['shoulder', 'elbow'], feed_forward=name)
    manifest = dataclasses.replace(make_manifest(robot, linear_model()), interface=make_interface(action=action))
    path = write_policy(tmp_path / 'p.onnx', linear_model(), manifest)
    with pytest.raises(PolicyError, match=message):
        PolicyRunner(read_policy(path), robot)


def test_a_network_for_one_robot_serves_several_one_after_the_other(tmp_path, robot):
    model = linear_model(input_shape=[1, 8], output_shape=[1, 2])
    path = write_policy(tmp_path / 'p.onnx', model, make_manifest(robot, model))
    states = make_state(robot, 3)
    runner = PolicyRunner(read_policy(path), robot, 3)
    runner.reset(states)
    free = write_policy(tmp_path / 'free.onnx', linear_model(), make_manifest(robot, linear_model()))
    other = PolicyRunner(read_policy(free), robot, 3)
    other.reset(states)
    command = np.array([[0.1, 0.2, 0.3]] * 3)
    np.testing.assert_allclose(runner.step(states, command).position, other.step(states, command).position, atol=1e-6)


def test_another_number_of_robots_than_the_network_takes_is_refused(tmp_path, robot):
    model = linear_model(input_shape=[4, 8], output_shape=[4, 2])
    path = write_policy(tmp_path / 'p.onnx', model, make_manifest(robot, model))
    with pytest.raises(PolicyError, match='takes 4 robots per call, not 3'):
        PolicyRunner(read_policy(path), robot, 3)
