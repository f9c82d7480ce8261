"""The SROS2 policy allows what the nodes do, and reserves to the shield what only it may."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from fnmatch import fnmatchcase

import pytest

from rl_robot_control.config import config_directory
from rl_robot_control.robots import load_robot
from rl_robot_control.ros.robot_operator import Operator

TIMEOUT = 60.0  # for anything that must happen, on a loaded machine [s]
COMMANDS = ('joint_group_position_controller/commands', 'joint_group_position_controller/joint_trajectory')
KINDS = {('topics', 'publish'): 'publisher', ('topics', 'subscribe'): 'subscriber', ('services', 'reply'): 'service',
         ('services', 'request'): 'client'}
NODES = ('inference', 'monitor', 'shield', 'simulation', 'supervisor', 'training', 'unitree')


@pytest.fixture(scope='module')
def policy() -> ElementTree.Element:
    return ElementTree.parse(config_directory() / 'security' / 'policy.xml').getroot()


def allowed(policy: ElementTree.Element, node: str) -> dict[str, list[str]]:
    """Patterns of full names by kind, for a node in the root namespace."""
    profile = policy.find(f".//profile[@node='{node}']")
    assert profile is not None, f'{node} has no profile'
    found: dict[str, list[str]] = {kind: [] for kind in KINDS.values()}
    for (tag, attribute), kind in KINDS.items():
        for block in profile.findall(tag):
            if block.get(attribute) == 'ALLOW':
                found[kind] += [_full(entry.text, profile.get('ns'), node) for entry in block]
    return found


def _full(name: str, namespace: str, node: str) -> str:
    if name.startswith('/'):
        return name
    own = f'{namespace.rstrip("/")}/'
    return f'{own}{node}/{name[1:]}' if name.startswith('~') else own + name


def permits(patterns: list[str], name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def profiles(policy: ElementTree.Element) -> list[str]:
    return [profile.get('node') for profile in policy.iter('profile')]


def test_every_process_has_an_enclave_of_its_own(policy):
    paths = [enclave.get('path') for enclave in policy.iter('enclave')]
    assert len(set(paths)) == len(paths)
    assert {f'/rl_robot_control/{node}' for node in NODES} <= set(paths)
    assert len(set(profiles(policy))) == len(profiles(policy))


def test_only_the_shield_may_tell_the_controller(policy):
    for node in profiles(policy):
        may = allowed(policy, node)
        for name in COMMANDS:
            assert not permits(may['publisher'], f'/{name}') or node == 'shield', node
        assert not any('*' in pattern.split('/')[1] for pattern in may['publisher'])


def test_only_the_supervisor_may_switch_controllers(policy):
    for node in profiles(policy):
        may = allowed(policy, node)['client']
        for service in ('switch_controller', 'load_controller', 'unload_controller', 'set_hardware_component_state'):
            name = f'/controller_manager/{service}'
            its_own = node == 'supervisor' and service in ('switch_controller', 'set_hardware_component_state')
            assert not permits(may, name) or its_own, node


def test_what_shows_can_do_nothing(policy):
    may = allowed(policy, 'monitor')
    assert may['client'] == []
    assert set(may['publisher']) == {'/parameter_events', '/rosout', '/monitor/markers', '/tf', '/tf_static'}


def test_the_policy_cannot_stop_or_release_the_shield(policy):
    for node in ('inference', 'inference_gains', 'environment', 'training'):
        may = allowed(policy, node)['client']
        assert not any(permits(may, name) for name in ('/shield/rearm', '/supervisor/release'))


def test_a_learner_in_real_time_does_nothing_else(policy, group, operator: Operator):
    from rl_robot_control.ros.real_time_backend import RealTimeBackend
    backend = RealTimeBackend(load_robot('unitree_g1'), domain_id=group.domain.id)
    try:
        operator.wait_until(lambda: 'environment' in operator.node.get_node_names(), 'it is seen', TIMEOUT)
        heard = operator.node.get_subscriber_names_and_types_by_node
        operator.wait_until(lambda: '/shield/status' in dict(heard('environment', '/')), 'it listens', TIMEOUT)
        assert undeclared(policy, operator, 'environment') == []
    finally:
        backend.close()


def undeclared(policy, operator: Operator, node: str) -> list[str]:
    """What a running node publishes, hears, serves or calls although it is not allowed to."""
    found = []
    for kind, patterns in allowed(policy, node).items():
        done = getattr(operator.node, f'get_{kind}_names_and_types_by_node')(node, '/')
        found += [f'{kind} {name}' for name, _ in done if not permits(patterns, name)]
    return found


def test_the_nodes_do_nothing_else(policy, group, operator: Operator):
    """What each running node publishes, hears, serves and calls is allowed to it."""
    group.start('simulation', {'robot': 'unitree_g1', 'hold_until_command': True})
    group.start('shield', {'robot': 'unitree_g1'})
    group.start('supervisor', {'robot': 'unitree_g1'})
    group.start('inference', {'policy': 'unitree_g1_walk', 'autostart': True})
    group.start('monitor', {'robot': 'unitree_g1'})
    operator.wait_until(lambda: operator.value('inference', 'phase') == 'running', 'the policy runs', TIMEOUT)
    names = {'simulation', 'shield', 'supervisor', 'inference', 'inference_gains', 'monitor'}
    operator.wait_until(lambda: names <= set(operator.node.get_node_names()), 'all nodes are seen', TIMEOUT)
    for node in sorted(names):
        assert undeclared(policy, operator, node) == [], node
        done = [name for name, _ in operator.node.get_publisher_names_and_types_by_node(node, '/')]
        assert '/parameter_events' in done, node  # the graph does know what this node does
