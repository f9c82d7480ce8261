"""What a process is told of the middleware, and that what the user has said stays."""

import os
from xml.etree import ElementTree

import pytest

from rl_robot_control.ros.middleware import PROFILE, REACH, keep_to_this_machine


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    for name in (PROFILE, 'FASTRTPS_DEFAULT_PROFILES_FILE', REACH, 'RMW_IMPLEMENTATION'):
        monkeypatch.setenv(name, '')  # so that it is as before after the test
        monkeypatch.delenv(name)


def test_fast_dds_gets_a_profile_without_shared_memory():
    keep_to_this_machine()
    assert os.environ[REACH] == 'SYSTEM_DEFAULT'
    profile = ElementTree.parse(os.environ[PROFILE]).getroot()
    tag = '{http://www.eprosima.com}'
    assert [kind.text for kind in profile.iter(f'{tag}type')] == ['UDPv4']
    assert {address.text for address in profile.iter(f'{tag}address')} == {'127.0.0.1'}
    keep_to_this_machine()  # a second group of nodes
    assert os.environ[REACH] == 'SYSTEM_DEFAULT'


@pytest.mark.parametrize(('given', 'reach'), [
    ({PROFILE: '/own.xml'}, 'LOCALHOST'),
    ({'FASTRTPS_DEFAULT_PROFILES_FILE': '/own.xml'}, 'LOCALHOST'),
    ({REACH: 'SUBNET'}, 'SUBNET'),
    ({'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'}, 'LOCALHOST'),
])
def test_what_the_user_has_said_stays(monkeypatch, given, reach):
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    keep_to_this_machine()
    assert os.environ[REACH] == reach
    assert os.environ.get(PROFILE) == given.get(PROFILE)
