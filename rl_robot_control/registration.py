"""Makes our environments known to Gymnasium, without importing them."""

from __future__ import annotations

NAMESPACE = 'rl_robot_control'
ENVIRONMENTS = {'UnitreeG1Walk-v0': ('unitree_g1', 'walk'), 'UnitreeG1Reach-v0': ('unitree_g1', 'reach')}


def register() -> None:
    """Register every environment; does nothing where Gymnasium is not installed, or a second time.

    Importing the package calls this: Gymnasium looks for no plugins by itself.
    """
    try:
        import gymnasium
    except ImportError:  # a robot's computer runs policies without it
        return
    for name, (robot, task) in ENVIRONMENTS.items():
        if f'{NAMESPACE}/{name}' not in gymnasium.registry:
            gymnasium.register(f'{NAMESPACE}/{name}', entry_point='rl_robot_control.envs.make:make_env',
                               vector_entry_point='rl_robot_control.envs.make:make_vector_env',
                               kwargs={'robot': robot, 'task': task})
