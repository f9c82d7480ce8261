"""What is deployed: a policy file, the checks it must pass, and the object that runs it. Never imports torch."""

from rl_robot_control.policies.catalogue import find_policy, list_policies

__all__ = ['find_policy', 'list_policies']
