"""The tables for people, and the list of bundled policies."""

import json

import pytest

from rl_robot_control.errors import PolicyError, UnknownNameError
from rl_robot_control.policies import catalogue, find_policy, list_policies
from rl_robot_control.policies.description import describe

from .conftest import linear_model, make_manifest


def test_tables(robot):
    sections = {section.title: section for section in describe(make_manifest(robot, linear_model()))}
    assert list(sections) == ['Origin', 'Interface', 'Observation', 'Joints']
    assert ('robot', 'arm') in sections['Origin'].rows and ('seed', 1) in sections['Origin'].rows
    # 1 / 0.02 s
    assert ('control rate', 50.0, 'Hz') in sections['Interface'].rows
    assert ('command wz', '-0.3 … 0.3', 'rad/s') in sections['Interface'].rows
    assert sections['Observation'].rows == [
        ('joint_position', 'joint_position', 2, 2.0, '', '', ''),
        ('base_angular_velocity', 'base_angular_velocity', 3, 1.0, '-3 … 3', '', ''),
        ('command', 'command', 3, 1.0, '', '', '')]
    assert sections['Joints'].rows == [('shoulder', 0, 0.25, '', 0.1, 20.0, 2.0, 10.0, -1.5, 1.5),
                                       ('elbow', 1, 0.25, '', 0.2, 30.0, 1.0, 5.0, None, None)]
    for section in sections.values():
        assert all(len(row) == len(section.columns) for row in section.rows)
        json.dumps(section.rows)


def test_bundled_policies(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, 'config_directory', lambda: tmp_path / 'config')
    assert list_policies() == []
    (tmp_path / 'pretrained').mkdir()
    for name in ('walk.onnx', 'reach.onnx', 'notes.txt'):
        (tmp_path / 'pretrained' / name).touch()
    assert list_policies() == ['reach', 'walk']
    assert find_policy('walk') == tmp_path / 'pretrained' / 'walk.onnx'
    with pytest.raises(UnknownNameError, match="unknown policy 'wolk'; did you mean 'walk'"):
        find_policy('wolk')
    with pytest.raises(PolicyError, match="policy file 'wolk.onnx' does not exist"):
        find_policy('wolk.onnx')
