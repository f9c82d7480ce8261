"""Two robots in one graph, each in its namespace with a deployment of its own: neither hears the other."""

from __future__ import annotations

import contextlib
import signal

import pytest

from rl_robot_control.bringup.compositions import deployment
from rl_robot_control.bringup.deployment import start_nodes
from rl_robot_control.policies import find_policy
from rl_robot_control.policies.gate import read_policy
from rl_robot_control.robots.hardware import RobotChoice
from rl_robot_control.ros import interface
from rl_robot_control.ros.processes import NodeGroup
from rl_robot_control.ros.robot_operator import Operator

pytestmark = pytest.mark.realtime

TIMEOUT = 60.0  # for anything that must happen, on a loaded machine [s]
ROBOTS = ('left', 'right')


@pytest.mark.timeout(240)
def test_no_crosstalk(tmp_path, monkeypatch):
    monkeypatch.delenv('ROS_DOMAIN_ID', raising=False)
    policy = read_policy(find_policy('unitree_g1_walk'))
    with contextlib.ExitStack() as stack:
        groups, operators = {}, {}
        for name in ROBOTS:
            groups[name] = group = stack.enter_context(NodeGroup(tmp_path / name, namespace=name))
            monkeypatch.setenv('ROS_DOMAIN_ID', str(group.domain.id))  # the second is in the same graph
            operators[name] = stack.enter_context(Operator(group.domain.id, namespace=name, watch=group.check))
            start_nodes(group, deployment(policy, RobotChoice(robot='unitree_g1'), {'autostart': True},
                                          publish_clock=name == 'left'))
        assert groups['left'].domain.id == groups['right'].domain.id
        for operator in operators.values():
            operator.wait_until(lambda o=operator: o.value('inference', 'phase') == 'running', 'runs', TIMEOUT)
        left, right = (operators[name] for name in ROBOTS)

        graph = left.node
        for name in ROBOTS:
            for topic, owner in (('joint_group_position_controller/commands', 'shield'), ('joint_states', 'simulation'),
                                 ('policy/command', 'inference'), ('shield/heartbeat', 'shield')):
                senders = graph.get_publishers_info_by_topic(f'/{name}/{topic}')
                assert [(s.node_namespace, s.node_name) for s in senders] == [(f'/{name}', owner)], topic
                hearers = graph.get_subscriptions_info_by_topic(f'/{name}/{topic}')
                assert {hearer.node_namespace for hearer in hearers} == {f'/{name}'}, topic
        clocks = graph.get_publishers_info_by_topic('/clock')
        assert [(clock.node_namespace, clock.node_name) for clock in clocks] == [('/left', 'simulation')]
        mine = [topic for topic, _ in graph.get_topic_names_and_types() if not topic.startswith(('/left/', '/right/'))]
        assert set(mine) <= {'/clock', '/parameter_events', '/rosout'}  # nothing else is shared

        left.trigger(interface.EMERGENCY_STOP)
        left.wait_until(lambda: left.value('shield', 'mode') == 'LATCHED', 'the left one stops', TIMEOUT)
        right.forget('shield')
        right.wait_until(lambda: right.value('shield', 'mode') != '', 'the right one says how it is', TIMEOUT)
        assert right.value('shield', 'mode') == 'ACTIVE'

        groups['left'].nodes.pop('shield').signal(signal.SIGKILL)
        left.wait_until(lambda: left.value('supervisor', 'state') == 'TRIPPED', 'its own supervisor trips', TIMEOUT)
        right.forget('supervisor')
        right.wait_until(lambda: right.value('supervisor', 'state') != '', 'the other says how it is', TIMEOUT)
        assert right.value('supervisor', 'state') == 'WATCHING'
        assert right.value('shield', 'mode') == 'ACTIVE'
