"""The G1, loaded once."""

import pytest

from rl_robot_control.robots import load_robot
from rl_robot_control.shield.limits import ShieldLimits


@pytest.fixture(scope='session')
def robot():
    return load_robot('unitree_g1')


@pytest.fixture(scope='session')
def limits(robot):
    return ShieldLimits.from_robot(robot)
