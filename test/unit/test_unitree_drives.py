"""What a Unitree robot's drives are told, and when."""

from __future__ import annotations

import numpy as np

from rl_robot_control.ros.unitree_drives import UnitreeDrives

POSITION = np.array([0.1, -0.2])
COMMAND = np.array([[1.0, 0.0, 0.0, 40.0, 2.0], [0.5, 0.0, 0.0, 40.0, 2.0]])
DAMPED = [[0.1, 0.0, 0.0, 0.0, 3.0], [-0.2, 0.0, 0.0, 0.0, 3.0]]  # where it is, kp = 0, kd = 3


def drives(hold_damped=False):
    return UnitreeDrives(command_timeout=0.1, state_timeout=0.05, damping=3.0, hold_damped=hold_damped)


def following(now):
    core = drives()
    core.hear_state(POSITION, now)
    core.hear_command(COMMAND, now)
    assert core.update(now) is COMMAND and core.drives == 'following' and core.why == ''
    return core


def test_nothing_is_sent_before_the_first_command():
    core = drives()
    assert core.update(1.0) is None and (core.drives, core.why) == ('holding', 'no lowstate has been received')
    core.hear_state(POSITION, 1.0)
    assert core.update(1.0) is None and (core.drives, core.why) == ('holding',
                                                                    'nothing is sent before the first command')
    assert core.update(9.0) is None and core.stale(9.0)


def test_or_the_robot_is_damped_from_its_first_state_on():
    core = drives(hold_damped=True)
    assert core.update(1.0) is None and core.drives == 'holding'  # which mode_machine, nobody knows
    core.hear_state(POSITION, 1.0)
    np.testing.assert_array_equal(core.update(1.0), DAMPED)
    assert core.drives == 'damped'


def test_silence_damps_until_the_next_command():
    core = following(1.0)
    core.hear_state(POSITION, 1.099)
    assert core.update(1.099) is COMMAND
    damped = core.update(1.101)
    np.testing.assert_array_equal(damped, DAMPED)
    assert (core.drives, core.why) == ('damped', 'no command for 0.1 s')
    core.hear_state(POSITION + 1.0, 1.14)
    assert core.update(1.14) is damped  # the same array: no new message need be made
    core.hear_command(COMMAND, 1.15)
    assert core.update(1.15) is COMMAND
    assert core.update(1.185) is COMMAND


def test_a_robot_that_is_not_heard_is_damped():
    core = following(1.0)
    core.hear_command(COMMAND, 1.06)
    np.testing.assert_array_equal(core.update(1.06), DAMPED)
    assert core.why == 'no lowstate for 0.05 s'
    core.hear_state(POSITION, 1.07)
    assert core.update(1.07) is COMMAND


def test_a_latch_outlasts_everything():
    core = following(1.0)
    core.latch('L2+B')
    core.latch('something else')
    np.testing.assert_array_equal(core.update(1.0), DAMPED)
    core.hear_state(POSITION, 2.0)
    core.hear_command(COMMAND, 2.0)
    np.testing.assert_array_equal(core.update(2.0), DAMPED)
    assert (core.drives, core.why) == ('damped', 'L2+B')


def test_a_latch_counts_before_the_first_command_too():
    core = drives()
    core.hear_state(POSITION, 1.0)
    core.latch('L2+B')
    np.testing.assert_array_equal(core.update(1.0), DAMPED)
