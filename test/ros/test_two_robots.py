"""Two robots in one graph, each in its namespace with a deployment of its own: neither hears the other."""

from __future__ import annotations

import contextlib
import dataclasses
import signal

import pytest

from rl_robot_control.bringup.compositions import deployment
from rl_robot_control.bringup.deployment import start_nodes
from rl_robot_control.bringup.node_spec import NodeSpec
from rl_robot_control.policies import find_policy
from rl_robot_control.policies.gate import read_policy
from rl_robot_control.robots.hardware import RobotChoice
from rl_robot_control.ros import interface
from rl_robot_control.ros.processes import NodeGroup
from rl_robot_control.ros.robot_operator import Operator

pytestmark = pytest.mark.realtime

TIMEOUT = 60.0  # for anything that must happen, on a loaded machine [s]
ROBOTS = ('left', 'right')
OWNERS = {'joint_group_position_controller/commands': 'shield', 'joint_states': 'simulation',
          'policy/command': 'inference', 'shield/heartbeat': 'shield'}  # who alone sends on a topic


def senders(operator: Operator, topic: str) -> list[tuple[str, str]]:
    """Namespace and name of the nodes that publish on a topic, as far as the operator has discovered them."""
    return [(info.node_namespace, info.node_name) for info in operator.node.get_publishers_info_by_topic(topic)]


def hearers(operator: Operator, topic: str) -> set[str]:
    """Namespaces of the nodes that subscribe to a topic, as far as the operator has discovered them."""
    return {info.node_namespace for info in operator.node.get_subscriptions_info_by_topic(topic)}


def patient(node: NodeSpec) -> NodeSpec:
    """A supervisor that forgives its shield a second: ten processes on two cores keep each other from running."""
    more = {'heartbeat_timeout': 1.0} if node.name == 'supervisor' else {}
    return dataclasses.replace(node, parameters={**node.parameters, **more})


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
            nodes = deployment(policy, RobotChoice(robot='unitree_g1'), {'autostart': True},
                               publish_clock=name == 'left')
            start_nodes(group, [patient(node) for node in nodes])
        assert groups['left'].domain.id == groups['right'].domain.id
        for operator in operators.values():
            operator.wait_until(lambda o=operator: o.value('inference', 'phase') == 'running', 'runs', TIMEOUT)
        left, right = (operators[name] for name in ROBOTS)

        endpoints = {f'/{name}/{topic}': (f'/{name}', owner) for name in ROBOTS for topic, owner in OWNERS.items()}
        for topic, owner in {**endpoints, '/clock': ('/left', 'simulation')}.items():
            left.wait_until(lambda t=topic, o=owner: o in senders(left, t), f'{topic} is seen', TIMEOUT)
            assert senders(left, topic) == [owner], topic
        for topic, (namespace, _) in endpoints.items():  # nothing in real time hears the clock
            left.wait_until(lambda t=topic: hearers(left, t), f'{topic} is heard', TIMEOUT)
            assert hearers(left, topic) == {namespace}, topic
        mine = [topic for topic, _ in left.node.get_topic_names_and_types()
                if not topic.startswith(('/left/', '/right/'))]
        assert set(mine) <= {'/clock', '/parameter_events', '/rosout'}  # nothing else is shared

        left.trigger(interface.EMERGENCY_STOP)
        left.wait_until(lambda: left.value('shield', 'mode') == 'LATCHED', 'the left one stops', TIMEOUT)
        right.forget('shield')
        right.wait_until(lambda: right.value('shield', 'mode') != '', 'the right one says how it is', TIMEOUT)
        assert right.value('shield', 'mode') == 'ACTIVE', right.status('shield')

        groups['left'].nodes.pop('shield').signal(signal.SIGKILL)
        left.wait_until(lambda: left.value('supervisor', 'state') == 'TRIPPED', 'its own supervisor trips', TIMEOUT)
        right.forget('supervisor')
        right.wait_until(lambda: right.value('supervisor', 'state') != '', 'the other says how it is', TIMEOUT)
        assert right.value('supervisor', 'state') == 'WATCHING', right.status('supervisor')
        assert right.value('shield', 'mode') == 'ACTIVE', right.status('shield')
