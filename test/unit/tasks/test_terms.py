"""Terms at states whose values can be worked out by hand."""

import dataclasses
from functools import partial

import numpy as np
import pytest

from rl_robot_control import rotations
from rl_robot_control.errors import ConfigurationError, UnknownNameError
from rl_robot_control.robots import load_robot
from rl_robot_control.tasks.context import Context
from rl_robot_control.tasks.gait import GaitSettings
from rl_robot_control.tasks.motion import Reference, Tracked
from rl_robot_control.tasks.registry import bind_term, term_names
from rl_robot_control.tasks.task import load_task
from rl_robot_control.tasks.terms import commands, disturbances, observations, resets, rewards, successes, terminations
from rl_robot_control.types import RobotState

FEET = ['left_foot', 'right_foot']


@pytest.fixture(scope='module')
def g1():
    return load_robot('unitree_g1')


def context(robot, *, command=(0.0, 0.0, 0.0), phase=0.5, action=None, **changes):
    frames = len(robot.frame_names)
    known = {'joint_position': robot.default_position[None], 'joint_velocity': np.zeros((1, 29)),
             'joint_effort': np.zeros((1, 29)), 'base_quaternion': np.array([[0.0, 0, 0, 1]]),
             'base_position': np.array([[0.0, 0.0, robot.settings.base.height]]),
             'base_linear_velocity': np.zeros((1, 3)), 'base_angular_velocity': np.zeros((1, 3)),
             'frame_position': np.zeros((1, frames, 3)), 'frame_velocity': np.zeros((1, frames, 3)),
             'frame_axis_z': np.tile([0.0, 0, 1], (1, frames, 1)), 'contact_force': np.zeros((1, frames))}
    state = dataclasses.replace(RobotState.unknown(1, 29, frames), **(known | changes))
    zero = np.zeros((1, 2))
    return Context(robot=robot, joints=np.array([0, 6]), state=state, command=np.array([command], dtype=float),
                   action=zero if action is None else action, previous_action=zero, phase=np.array([phase]),
                   gait=GaitSettings(),
                   correction=np.zeros((1, 29)))


def test_velocity_is_tracked_in_the_heading_frame(g1):
    # facing left (+y), moving forward at 0.5 m/s while 0.6 m/s is asked for: exp(−0.01/0.2)
    left = np.array([[0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)]])
    here = context(g1, command=(0.6, 0, 0), base_quaternion=left, base_linear_velocity=np.array([[0.5, 0, 0]]))
    np.testing.assert_allclose(rewards.track_linear_velocity(here, variance=0.2), np.exp(-0.05))
    np.testing.assert_allclose(rewards.linear_velocity_error(here), 0.1)


def test_contacts_are_compared_with_the_schedule(g1):
    # φ = 0.1: the left leg swings (0.1 < 0.4), the right one stands (0.6)
    forces = np.array([[0.0, 200.0, np.nan]])
    assert rewards.contact_schedule(context(g1, phase=0.1, contact_force=forces), frames=FEET) == 1.0
    wrong = np.array([[200.0, 0.0, np.nan]])
    assert rewards.contact_schedule(context(g1, phase=0.1, contact_force=wrong), frames=FEET) == 0.0


def test_only_feet_on_the_ground_slip(g1):
    moving = np.zeros((1, 3, 3))
    moving[0, :2, 0] = 0.5
    here = context(g1, frame_velocity=moving, contact_force=np.array([[300.0, 0.0, np.nan]]))
    np.testing.assert_allclose(rewards.slip(here, frames=FEET), 0.25)


def test_feet_that_come_close_cost_what_is_missing(g1):
    feet = np.zeros((1, 3, 3))
    feet[0, 0, 1], feet[0, 1, 1] = 0.05, -0.05
    crossing = rewards.foot_crossing(context(g1, frame_position=feet), frames=FEET, distance=0.17)
    np.testing.assert_allclose(crossing, 0.07)


def test_costs_are_squares(g1):
    here = context(g1, action=np.array([[0.3, -0.4]]), joint_effort=np.full((1, 29), 2.0),
                   base_angular_velocity=np.array([[1.0, 2.0, 9.0]]))
    np.testing.assert_allclose(rewards.action_rate(here), 0.25)
    np.testing.assert_allclose(rewards.effort(here), 29 * 4)
    np.testing.assert_allclose(rewards.rolling(here), 5.0)


def test_a_fall_is_low_tilted_or_unknown(g1):
    assert not terminations.base_below(context(g1), height=0.5)
    assert terminations.base_below(context(g1, base_position=np.array([[0, 0, 0.4]])), height=0.5)
    assert terminations.base_below(context(g1, base_position=np.full((1, 3), np.nan)), height=0.5)
    tilted = rotations.from_euler(np.array([0.8]), np.array([0.0]), np.array([0.0]))
    assert terminations.base_tilted(context(g1, base_quaternion=tilted), angle=0.7)
    assert terminations.base_tilted(context(g1, base_quaternion=np.full((1, 4), np.nan)), angle=0.7)
    assert not terminations.base_tilted(context(g1), angle=0.7)


@pytest.mark.parametrize(('height', 'bow', 'lost'), [
    (0.8, 0.0, False), (0.56, 0.0, False), (0.54, 0.0, True), (1.04, 0.0, False), (1.06, 0.0, True),
    (0.8, 0.79, False), (0.8, -0.81, True), (np.nan, 0.0, True), (0.8, np.nan, True)])
def test_a_motion_is_lost_where_the_anchor_is_elsewhere_or_leans_otherwise(g1, height, bow, lost):
    # The motion's anchor is upright and 0.8 m up; that it is elsewhere and turned by 2 rad does not count.
    reference = dataclasses.replace(Reference.upright(1, 2), anchor_position=np.array([[5.0, 6.0, 0.8]]),
                                    anchor_quaternion=np.array([[0.0, 0.0, np.sin(1.0), np.cos(1.0)]]))
    bowed = rotations.matrix(rotations.from_euler(np.array([0.0]), np.array([bow]), np.array([0.3])))
    track = partial(Tracked.of, reference, np.zeros((1, 4)), np.array([[0.0, 0.0, height]]), bowed)
    here = dataclasses.replace(context(g1), track=track)
    assert terminations.motion_lost(here, height=0.25, lean=0.8) == lost


def test_a_motion_that_does_not_say_where_its_anchor_is_is_compared_by_the_lean(g1):
    reference = dataclasses.replace(Reference.upright(1, 2), anchor_position=np.full((1, 3), np.nan))
    for bow, lost in ((0.79, False), (0.81, True)):
        bowed = rotations.matrix(rotations.from_euler(np.array([0.0]), np.array([bow]), np.array([0.0])))
        track = partial(Tracked.of, reference, np.zeros((1, 4)), np.array([[0.0, 0.0, 0.2]]), bowed)
        here = dataclasses.replace(context(g1), track=track)
        assert terminations.motion_lost(here, height=0.25, lean=0.8) == lost
    with pytest.raises(ConfigurationError, match="motion_lost needs the interface's 'motion'"):
        terminations.motion_lost(context(g1), height=0.25, lean=0.8)


def test_a_target_is_given_in_the_base_frame(g1):
    hand = np.zeros((1, 3, 3))
    hand[0, 2] = [1.0, 2.3, 0.9]  # base at (1, 2, 0.757), facing left: 0.3 m forward, 0.143 m up
    left = np.array([[0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)]])
    here = context(g1, command=(0.3, 0.0, 0.143), frame_position=hand, base_quaternion=left,
                   base_position=np.array([[1.0, 2.0, 0.757]]))
    np.testing.assert_allclose(observations.target_offset(here, frame='right_hand'), 0.0, atol=1e-12)
    assert successes.target_within(here, frame='right_hand', distance=0.01)


def test_commands_stay_in_their_ranges_and_stand_or_go_straight_as_often_as_asked():
    drawn = commands.velocity(np.random.default_rng(0), 20000, vx=(0.3, 1.0), wz=(-0.5, 0.5), standing=0.1,
                              straight=0.4)
    moving = drawn[drawn[:, 0] > 0]
    assert moving[:, 0].min() >= 0.3 and moving[:, 0].max() <= 1.0 and (drawn[:, 1] == 0).all()
    assert 0.09 < (drawn == 0).all(axis=1).mean() < 0.11
    assert 0.48 < (drawn[:, 2] == 0).mean() < 0.52  # 0.1 stand and 0.4 go straight


def test_resets_stay_within_the_joint_limits(g1):
    initial = resets.joint_noise(g1.default_state(500), np.random.default_rng(0), g1, np.zeros((500, 3)), position=3.0,
                                 velocity=0.1)
    assert (initial.joint_position >= g1.position_lower).all() and (initial.joint_position <= g1.position_upper).all()


def test_pushes_come_as_often_as_asked():
    hit, change = disturbances.push(np.random.default_rng(0), 30000, 0.02, speed=0.3, interval=1.0)
    assert 0.017 < hit.mean() < 0.023  # 0.02 s of 1 s
    assert np.abs(change[:, :2]).max() <= 0.3 and (change[:, 2:] == 0).all()


@pytest.mark.parametrize('module', [commands, disturbances, observations, resets, rewards, successes, terminations])
def test_every_term_is_documented(module):
    assert all(getattr(module, name).__doc__ for name in term_names(module))


def test_helpers_and_imports_are_no_terms():
    assert 'Context' not in term_names(rewards) and '_joints' not in term_names(observations)
    with pytest.raises(UnknownNameError, match="unknown reward term 'aliv'.*did you mean 'alive'"):
        bind_term(rewards, 'aliv', {}, 'walk.yaml')


@pytest.mark.parametrize('name', ['walk', 'reach'])
def test_the_shipped_tasks_load(g1, name):
    task = load_task(name, g1)
    assert task.name == name and task.max_steps == round(task.settings.episode_length / 0.02)


def test_a_wrong_task_key_names_file_key_and_nearest(g1, tmp_path):
    (tmp_path / 'mine.yaml').write_text('name: mine\nepisode_lenght: 3\n')
    with pytest.raises(ConfigurationError, match=r"mine.yaml: unknown key 'episode_lenght'; did you mean "
                                                 r"'episode_length'"):
        load_task(str(tmp_path / 'mine.yaml'), g1)
    with pytest.raises(UnknownNameError, match="unknown task 'wlak'; did you mean 'walk'"):
        load_task('wlak', g1)
