"""Which distances a robot must keep, and what they are."""

import numpy as np
import pytest

from rl_robot_control.errors import ConfigurationError, UnknownNameError
from rl_robot_control.robots import load_robot
from rl_robot_control.shield.clearance import make_clearance
from rl_robot_control.shield.link_tree import LinkTree

from .robots import build, joint, link, scissors

BALL = '<origin xyz="1 0 0"/><geometry><sphere radius="0.1"/></geometry>'


def clearance_of(robot):
    return make_clearance(robot, LinkTree(robot))


def test_links_that_can_meet_are_found(tmp_path):
    robot = scissors(tmp_path, more='self_collision: {}')
    found = clearance_of(robot)
    assert found.names == ['upper – lower'] and found.checks == ['self_collision']
    # two balls of 0.1 m, 0.5 m apart
    np.testing.assert_allclose(found.distances(np.zeros(2)), [0.3], atol=1e-9)
    # each turned by 0.2 rad toward the other: at x = cos, z = 0.5 - sin and z = sin
    np.testing.assert_allclose(found.distances(np.array([0.2, 0.2])), [0.5 - 2 * np.sin(0.2) - 0.2], atol=1e-9)
    np.testing.assert_allclose(found.minimum, [0.01])
    assert found.distances(np.zeros(2), cutoff=0.1)[0] == 0.1


def test_the_reach_bounds_what_a_joint_changes(tmp_path):
    robot, random = load_robot('panda'), np.random.default_rng(0)
    found = clearance_of(robot)
    for _ in range(100):
        before = random.uniform(robot.position_lower, robot.position_upper)
        step = random.normal(0, 0.05, robot.num_joints)
        change = np.abs(found.distances(before + step) - found.distances(before))
        overlapping = (found.distances(before) < 0) | (found.distances(before + step) < 0)
        assert (change <= found.reach @ np.abs(step) + 1e-4)[~overlapping].all()


def test_half_of_the_default_distance_is_enough(tmp_path):
    robot = scissors(tmp_path, more='default_pose: {down: 0.14, up: 0.14}\nself_collision: {minimum_distance: 0.1}')
    # 0.5 - 2·sin(0.14) - 0.2 = 0.020914
    np.testing.assert_allclose(clearance_of(robot).minimum, [0.0104572], atol=1e-6)


def three(tmp_path, rules):
    return build(tmp_path, link('base'), link('one', shape=BALL), link('two', shape=BALL), link('bare'),
                 joint('first', 'base', 'one'), joint('second', 'one', 'two', place='0 0 0.5'),
                 joint('third', 'base', 'bare'), more=f'self_collision: {rules}')


@pytest.mark.parametrize(('rules', 'message'), [
    ('{pairs: []}', 'pairs is empty; leave self_collision away'),
    ('{pairs: [[one, two]]}', 'one – two cannot be kept apart: one joint connects them'),
    ('{pairs: [[one, bare]]}', "'bare' has no collision shape"),
    ('{}', 'no two links with collision shapes can meet'),
    ("{pairs: [['(', two]]}", r"'\(' is no regular expression"),
    ('{pairs: [[one, tow]]}', "no link of mini 'tow'.*two|'tow'")])
def test_pairs_that_make_no_sense_are_refused(tmp_path, rules, message):
    with pytest.raises(ConfigurationError, match=message):
        clearance_of(three(tmp_path, rules))


def test_an_unknown_link_gets_its_neighbour_named(tmp_path):
    with pytest.raises(UnknownNameError, match='upper'):
        clearance_of(scissors(tmp_path, more='self_collision: {pairs: [[uper, lower]]}'))


def test_links_that_touch_in_the_default_pose_are_refused(tmp_path):
    robot = scissors(tmp_path, more='default_pose: {down: 0.2, up: 0.2}\nself_collision: {pairs: [[upper, lower]]}')
    with pytest.raises(ConfigurationError, match='upper – lower touch in the default pose; put this pair under '
                                                 'exclude'):
        clearance_of(robot)


FRAMES = 'frames: {hand: {link: upper, offset: [1, 0, 0]}}\n'


def test_boxes_to_stay_in_and_out_of(tmp_path):
    robot = scissors(tmp_path, more=FRAMES + 'workspace: {frames: [hand], radius: 0.05, keep_in: {lower: [-2, -1, 0], '
                                             'upper: [2, 1, 3]}, forbidden: {table: {lower: [0.5, -1, -1], upper: '
                                             '[1.5, 1, 0.2]}}}')
    found = clearance_of(robot)
    assert found.names == ['hand – table', *(f'hand – keep_in {wall}' for wall in ('-x', '+x', '-y', '+y', '-z', '+z'))]
    assert set(found.checks) == {'workspace'}
    # the hand is at (1, 0, 0.5), with a ball of 0.05 m around it
    np.testing.assert_allclose(found.distances(np.zeros(2)), [0.25, 2.95, 0.95, 0.95, 0.95, 0.45, 2.45], atol=1e-6)
    # turned down by 0.4 rad it is at z = 0.5 - sin(0.4) = 0.1106: in the table by 0.0894 and the ball
    np.testing.assert_allclose(found.distances(np.array([0.4, 0.0]))[0], 0.5 - np.sin(0.4) - 0.2 - 0.05, atol=1e-4)


@pytest.mark.parametrize(('rules', 'message'), [
    ('{frames: [hand]}', 'names neither keep_in nor forbidden boxes'),
    ('{frames: [hand], forbidden: {table: {lower: [0, -1, 0], upper: [2, 1, 1]}}}',
     'workspace: hand – table is violated in the default pose; move the box'),
    ('{frames: [hand], forbidden: {table: {lower: [0, 0, 0], upper: [1, 0, 1]}}}', 'must be below upper'),
    ('{frames: [foot], keep_in: {lower: [-2, -1, 0], upper: [2, 1, 3]}}', 'foot')])
def test_boxes_that_make_no_sense_are_refused(tmp_path, rules, message):
    with pytest.raises(ConfigurationError, match=message):
        clearance_of(scissors(tmp_path, more=FRAMES + f'workspace: {rules}'))
