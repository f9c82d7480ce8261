"""Command profiles as people write them."""

import pytest

from rl_robot_control.errors import ConfigurationError, UnknownNameError
from rl_robot_control.ros.command_profile import parse_profile


def velocities(text):
    return [(segment.duration, segment.velocity) for segment in parse_profile(text).segments]


@pytest.mark.parametrize('text', ['4:0,0,0 8:0.6,0,0', '4:0,0,0;8:0.6,0,0', 'stand:4,forward:8@0.6',
                                  'stand:4 forward:8', '4:0,0,0,8:0.6,0,0'])
def test_forms_of_one_schedule(text):
    assert velocities(text) == [(4.0, (0.0, 0.0, 0.0)), (8.0, (0.6, 0.0, 0.0))]


def test_directions():
    assert velocities('left:1@0.3 turn_right:2@0.5 backward:1@0.2') == [
        (1.0, (0.0, 0.3, 0.0)), (2.0, (0.0, 0.0, -0.5)), (1.0, (-0.2, 0.0, 0.0))]


def test_segments_follow_each_other_and_end():
    profile = parse_profile('stand:4,forward:8@0.6')
    assert profile.duration == 12.0
    assert profile.segment_at(3.99).name == 'stand'
    assert profile.segment_at(4.0).name == 'forward'
    assert profile.segment_at(12.0) is None


@pytest.mark.parametrize(('text', 'message'), [
    ('stand:4,forward:x', "'x' in piece 'forward:x' is no finite number"),
    ('4:0,0', "piece '4:0,0' gives 2 velocities"),
    ('forward', "piece 'forward' has no ':'"),
    ('stand:-1', "piece 'stand:-1' lasts -1 s"),
    ('4:nan,0,0', "'nan' in piece '4:nan,0,0' is no finite number"),
    ('  ', 'is empty'),
])
def test_errors_name_the_piece(text, message):
    with pytest.raises(ConfigurationError) as error:
        parse_profile(text)
    assert message in str(error.value)


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'forward'"):
        parse_profile('stand:4,forwards:8')
