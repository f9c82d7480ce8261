"""What a robot is."""

from rl_robot_control.robots.model import CONTROLLER_TYPES, RobotModel, list_robots, load_robot

__all__ = ['CONTROLLER_TYPES', 'RobotModel', 'list_robots', 'load_robot']
