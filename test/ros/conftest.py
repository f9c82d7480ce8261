"""Real processes on a ROS domain of their own."""

from __future__ import annotations

import importlib.util

import pytest

if importlib.util.find_spec('rclpy') is None:
    collect_ignore_glob = ['test_*.py']  # no ROS 2 client library: pip install "rl_robot_control[ros]"


@pytest.fixture
def group(tmp_path, monkeypatch):
    """An empty group of node processes; they end with the test."""
    from rl_robot_control.ros.processes import NodeGroup
    monkeypatch.delenv('ROS_DOMAIN_ID', raising=False)
    with NodeGroup(tmp_path / 'logs') as nodes:
        yield nodes


@pytest.fixture
def operator(group):
    """A participant that calls services and hears the status topics."""
    from rl_robot_control.ros.robot_operator import Operator
    with Operator(group.domain.id, watch=group.check) as someone:
        yield someone


@pytest.fixture(scope='session')
def g1():
    """The robot of these tests."""
    from rl_robot_control.robots import load_robot
    return load_robot('unitree_g1')
