"""How a robot and a task are offered: Gymnasium environments."""

from rl_robot_control.envs.goal_env import GoalEnv
from rl_robot_control.envs.make import make_backend, make_env, make_training_env, make_vector_env
from rl_robot_control.envs.multi_task_env import MultiTaskVectorEnv
from rl_robot_control.envs.ramped import RampedBackend
from rl_robot_control.envs.robot_env import RobotEnv
from rl_robot_control.envs.shielded import ShieldedBackend
from rl_robot_control.envs.vector_env import RobotVectorEnv

__all__ = ['GoalEnv', 'MultiTaskVectorEnv', 'RampedBackend', 'RobotEnv', 'RobotVectorEnv', 'ShieldedBackend',
           'make_backend', 'make_env', 'make_training_env', 'make_vector_env']
