"""What a robot is."""

from rl_robot_control.robots.model import RobotModel, list_robots, load_robot

__all__ = ['RobotModel', 'list_robots', 'load_robot']
