"""Learned policies from simulation to real robots over ROS 2."""

from rl_robot_control.registration import register as _register

__version__ = '0.1.0'

_register()
