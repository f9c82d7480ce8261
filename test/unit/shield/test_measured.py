"""The measured robot is kept from its stops and from itself."""

import dataclasses

import numpy as np
import pytest

from rl_robot_control.backends.mujoco import MujocoBackend
from rl_robot_control.backends.physics import PhysicsSettings
from rl_robot_control.errors import ConfigurationError
from rl_robot_control.shield import ShieldLimits, make_shield
from rl_robot_control.shield.link_tree import LinkTree
from rl_robot_control.shield.measured import joint_constants, make_guard
from rl_robot_control.types import JointCommand

from .robots import build, joint, link, pendulum, scissors

PERIOD = 0.02  # [s]
YES = np.ones(1, dtype=bool)


def drive(robot, policy, seconds, shielded):
    """States (T, J) and shield outputs of a policy that sees the state."""
    backend = MujocoBackend(robot, 1, PERIOD, PhysicsSettings(timestep=0.001, collisions='feet'))
    state, shield = backend.reset(robot.default_state(1), np.arange(1)), make_shield(robot, PERIOD)
    shield.reset(state)
    positions, outputs = [], []
    for step in range(round(seconds / PERIOD)):
        position = np.asarray(policy(step, state.joint_position[0], state.joint_velocity[0]), float)[None]
        if shielded:
            command = JointCommand(stamp=state.time, position=position)
            outputs.append(shield.step(state, command, now=float(state.time[0])))
            position = outputs[-1].command.position
        state = backend.step(JointCommand(stamp=state.time, position=position))
        positions.append(state.joint_position[0])
    backend.close()
    return np.array(positions), outputs


def pump(step, q, v):
    """Always in the direction of the motion."""
    return np.where(v >= 0, 5.0, -5.0)


def test_a_swung_pendulum_stays_inside_its_stops(tmp_path):
    robot = pendulum(tmp_path)
    bare, _ = drive(robot, pump, 10.0, shielded=False)
    kept, outputs = drive(robot, pump, 10.0, shielded=True)
    assert np.abs(bare).max() > 2.0
    assert 1.8 < np.abs(kept).max() <= 2.0 - 0.03  # the margin is 0.05 rad
    assert any(output.active['measured'].any() for output in outputs)


def test_far_from_the_stops_targets_pass_bit_for_bit(tmp_path):
    robot = pendulum(tmp_path)
    targets = 0.4 * np.sin(0.05 * np.arange(200))
    _, outputs = drive(robot, lambda step, q, v: [targets[step]], 4.0, shielded=True)
    assert [output.command.position[0, 0] for output in outputs] == targets.tolist()


def test_joints_do_not_become_faster_than_allowed(tmp_path):
    slow = 'shield: {measured_velocity_fraction: 0.1}'  # of 20 rad/s
    robot = build(tmp_path, link('base'), link('disc', inertia=0.02), joint('turn', 'base', 'disc', axis='0 0 1'),
                  damping=0.5, more=slow)
    kept, _ = drive(robot, lambda step, q, v: [1.9 if step // 40 % 2 else -1.9], 4.0, shielded=True)
    assert np.abs(np.diff(kept, axis=0)).max() / PERIOD <= 2.0 * 1.02


@pytest.mark.parametrize(('arm', 'relieved'), [(-0.3, True), (0.3, False)])
def test_what_pushes_a_joint_that_cannot_stop_pushes_less(tmp_path, arm, relieved):
    """A trunk swings toward its stop, and its weak drive cannot stop it. An arm (a disc on its axis) that is driven
    backward pushes the trunk forward and is let go; one that is driven forward holds the trunk back and goes on."""
    robot = build(tmp_path, link('base'), link('trunk', mass=5.0, centre='0 0 0.2', inertia=0.05),
                  link('arm', mass=2.0, inertia=0.1),
                  joint('waist', 'base', 'trunk', lower=-0.4, upper=0.4, effort=10.0),
                  joint('shoulder', 'trunk', 'arm', place='0 0 0.4'), stiffness=40.0)
    guard = make_guard(robot, ShieldLimits.from_robot(robot), PERIOD)
    target, position, velocity = np.array([[0.3, arm]]), np.array([[0.3, 0.0]]), np.array([[2.0, 0.0]])
    guard.keep(target, position, velocity, np.zeros((1, 3)), np.array([[0.0, 0.0, -1.0]]), YES, YES)
    # the trunk brakes with all it has, 0.9·10 N·m: 40·(x - 0.3) - 2·2 = -9
    assert abs(target[0, 0] - (0.3 - 5 / 40)) < 1e-9
    assert target[0, 1] == (0.0 if relieved else arm)


def closing(step, q, v):
    return [1.0, 1.0]


def test_rods_that_close_stop_before_they_meet(tmp_path):
    robot = scissors(tmp_path, more='self_collision: {minimum_distance: 0.02}')
    bare, _ = drive(robot, closing, 3.0, shielded=False)
    kept, outputs = drive(robot, closing, 3.0, shielded=True)
    distances = (robot_distance(q) for q in (bare, kept))
    without, under = (values.min() for values in distances)
    assert without < -0.05 and 0.015 < under < 0.05
    named = [output.constraints for output in outputs if output.active['self_collision'].any()]
    assert named and all(constraints == {0: ('upper – lower',)} for constraints in named)


def robot_distance(q):
    """Of the two balls of ``scissors``, from the angles (T, 2)."""
    x = np.cos(q[:, 0]) - np.cos(q[:, 1])
    z = 0.5 - np.sin(q[:, 0]) - np.sin(q[:, 1])
    return np.hypot(x, z) - 0.2


def test_a_hand_stops_before_a_forbidden_box(tmp_path):
    table = ('frames: {hand: {link: upper, offset: [1, 0, 0]}}\n'
             'workspace: {frames: [hand], forbidden: {table: {lower: [0.5, -1, -1], upper: [1.5, 1, 0.2]}}}')
    robot = scissors(tmp_path, more=table)
    kept, outputs = drive(robot, lambda step, q, v: [1.0, 0.0], 3.0, shielded=True)
    height = 0.5 - np.sin(kept[:, 0])
    assert 0.1999 < height.min() < 0.23  # the box may be touched
    assert outputs[-1].constraints == {0: ('hand – table',)}
    assert outputs[-1].active['workspace'][0].tolist() == [True, False]


def test_only_joints_that_may_be_corrected_are(tmp_path):
    robot = scissors(tmp_path, more='self_collision: {joints: [down]}')
    _, outputs = drive(robot, closing, 2.0, shielded=True)
    near = np.array([output.active['self_collision'][0] for output in outputs])
    assert near[:, 0].any() and not near[:, 1].any()


def test_what_braking_counts_on(tmp_path):
    """At the stops of 2 rad, less 0.05, gravity pulls the pendulum back: m·g·l·sin(1.95) = 9.11 N·m that never count.

    So the full 18 N·m (0.9 of the effort) count to a quarter, against 0.5 kg·m²: 9 rad/s².
    """
    robot = pendulum(tmp_path, stiffness=500.0)
    limits = ShieldLimits.from_robot(robot)
    constants = joint_constants(limits, LinkTree(robot), robot.armature)
    np.testing.assert_allclose([constants['above'][0], constants['below'][0]], 9.0, rtol=1e-6)
    np.testing.assert_allclose(constants['lightest'], 0.5, rtol=1e-6)
    np.testing.assert_allclose([constants['lower'][0], constants['upper'][0]], [-1.95, 1.95])


def test_an_upright_pendulum_is_pulled_beyond_its_stop(tmp_path):
    robot = build(tmp_path, link('base'), link('bob', mass=2.0, centre='0 0 0.5', inertia=1e-9),
                  joint('swing', 'base', 'bob', lower=-0.5, upper=0.5, effort=20.0), stiffness=500.0)
    constants = joint_constants(ShieldLimits.from_robot(robot), LinkTree(robot), robot.armature)
    # at 0.45 rad gravity takes 2·9.81·0.5·sin(0.45) = 4.267 N·m of 18: (18 - 4.267)/4/0.5 = 6.866; none halfway
    np.testing.assert_allclose([constants['above'][0], constants['before_above'][0]], [6.8665, 9.0], rtol=1e-3)


def test_without_masses_there_is_no_prediction(tmp_path):
    parts = (link('base', mass=0), link('arm', mass=0), joint('turn', 'base', 'arm'))
    robot = build(tmp_path, *parts)
    assert make_guard(robot, ShieldLimits.from_robot(robot), PERIOD) is None
    robot = build(tmp_path, *parts, more='self_collision: {}')
    with pytest.raises(ConfigurationError, match='gives no link a mass'):
        make_guard(robot, ShieldLimits.from_robot(robot), PERIOD)


def test_a_robot_that_is_not_known_is_left_alone(tmp_path):
    robot = pendulum(tmp_path)
    guard = make_guard(robot, ShieldLimits.from_robot(robot), PERIOD, 2)
    target = np.array([[5.0], [5.0]])
    changed, _ = guard.keep(target, np.array([[1.9], [1.9]]), np.array([[4.0], [4.0]]), np.zeros((2, 3)),
                            np.tile([0.0, 0.0, -1.0], (2, 1)), np.array([False, True]), np.ones(2, dtype=bool))
    assert changed.tolist() == [[False], [True]] and target[0, 0] == 5.0 and target[1, 0] < 1.9


def test_a_batch_equals_single_robots(tmp_path):
    robot, random = scissors(tmp_path, more='self_collision: {}'), np.random.default_rng(2)
    limits, everyone = ShieldLimits.from_robot(robot), np.ones(8, dtype=bool)
    batch, singles = make_guard(robot, limits, PERIOD, 8), [make_guard(robot, limits, PERIOD) for _ in range(8)]
    for _ in range(40):
        position, velocity = random.uniform(-1.95, 1.95, (8, 2)), random.normal(0, 3, (8, 2))
        target, turn, down = random.uniform(-3, 3, (8, 2)), np.zeros((8, 3)), np.tile([0.0, 0.0, -1.0], (8, 1))
        whole = target.copy()
        batch.keep(whole, position, velocity, turn, down, everyone, everyone)
        for i, single in enumerate(singles):
            part, row = target[i:i + 1].copy(), slice(i, i + 1)
            single.keep(part, position[row], velocity[row], turn[row], down[row], YES, YES)
            np.testing.assert_array_equal(part[0], whole[i])


def test_the_worlds_of_a_shield_that_knows_no_distances_pass_each_other(tmp_path):
    robot = scissors(tmp_path, more='self_collision: {}')
    shield = make_shield(robot, PERIOD, distances=False)
    state = MujocoBackend(robot, 1, PERIOD, PhysicsSettings(timestep=0.002)).reset(robot.default_state(1), np.arange(1))
    near = dataclasses.replace(state, joint_position=np.array([[0.15, 0.15]]))  # 1 mm apart
    shield.reset(near)
    for k in (1, 2):
        moment = dataclasses.replace(near, time=np.array([k * PERIOD]))
        output = shield.step(moment, JointCommand(stamp=moment.time, position=np.array([[0.3, 0.3]])), now=k * PERIOD)
    assert output.command.position.tolist() == [[0.3, 0.3]]
