"""Parameter tables, on a real node."""

from __future__ import annotations

import pytest
import rclpy
from rclpy.parameter import Parameter as RosParameter

from rl_robot_control.errors import ConfigurationError
from rl_robot_control.ros.parameters import Parameter, ParameterTable

TABLE = ParameterTable('Test', [
    Parameter(name='period', default=0.02, unit='s', minimum=0.001, maximum=1.0, description='A time', read_only=False),
    Parameter(name='count', default=3, minimum=1, description='A number'),
    Parameter(name='mode', default='slow', choices=('slow', 'fast'), description='A choice'),
    Parameter(name='reset.pose', default=(), description='A list', read_only=False),
    Parameter(name='names', default=('a',), strings=True, description='Texts'),
])


@pytest.fixture
def make_node():
    context, nodes = rclpy.Context(), []
    rclpy.init(context=context, domain_id=103)

    def make(*overrides):
        nodes.append(rclpy.create_node('table', context=context, use_global_arguments=False, cli_args=[
            '--ros-args', *(word for value in overrides for word in ('-p', value))] if overrides else None))
        return nodes[-1]

    yield make
    for node in nodes:
        node.destroy_node()
    context.try_shutdown()


def test_defaults(make_node):
    settings = TABLE.declare(make_node())
    assert (settings.period, settings.count, settings.mode, settings.reset_pose, settings.names) == (
        0.02, 3, 'slow', (), ('a',))


def test_whole_numbers_pass_as_numbers(make_node):
    settings = TABLE.declare(make_node('period:=1', 'reset.pose:=[1, 2]'))
    assert settings.period == 1.0 and type(settings.period) is float
    assert settings.reset_pose == (1.0, 2.0)


@pytest.mark.parametrize(('override', 'text'), [
    ('period:=2.0', "parameter 'period' is 2.0 s; it must be at most 1.0 s."),
    ('period:=.nan', "parameter 'period' is nan; a finite number is needed."),
    ('period:=long', "parameter 'period' is 'long'; a number is needed."),
    ('count:=0', "parameter 'count' is 0; it must be at least 1."),
    ('count:=1.5', "parameter 'count' is 1.5; a whole number is needed."),
    ('mode:=slwo', "unknown value of parameter 'mode' 'slwo'; did you mean 'slow'? Valid: fast, slow."),
    ('reset.pose:=text', "parameter 'reset.pose' is 'text'; a list of numbers is needed."),
])
def test_bad_values_are_refused_at_the_start(make_node, override, text):
    with pytest.raises(ConfigurationError) as error:
        TABLE.declare(make_node(override))
    assert str(error.value) == text


def test_later_changes_are_checked_and_handed_over(make_node):
    node, seen = make_node(), []
    TABLE.declare(node)
    TABLE.on_change(node, seen.append)
    assert node.set_parameters([RosParameter('period', value=0.5)])[0].successful
    assert not node.set_parameters([RosParameter('period', value=5.0)])[0].successful
    assert not node.set_parameters([RosParameter('count', value=4)])[0].successful  # read-only
    assert node.set_parameters([RosParameter('reset.pose', value=[1.0])])[0].successful
    assert seen == [{'period': 0.5}, {'reset.pose': (1.0,)}]
    assert TABLE.read(node).period == 0.5
