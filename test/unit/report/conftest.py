"""The G1, loaded once."""

import pytest

from rl_robot_control.robots import load_robot


@pytest.fixture(scope='session')
def robot():
    return load_robot('unitree_g1')
