"""Gymnasium's plugin hook: it makes our environments known without importing them.

``setup.py`` names ``register`` as a ``gymnasium.envs`` entry point, so that
``gymnasium.make('rl_robot_control/UnitreeG1Walk-v0')`` works once the package is installed.
"""

from __future__ import annotations

ENVIRONMENTS = {'UnitreeG1Walk-v0': ('unitree_g1', 'walk'), 'UnitreeG1Reach-v0': ('unitree_g1', 'reach')}


def register() -> None:
    """Register every environment in the namespace that Gymnasium has opened for this package."""
    import gymnasium

    for name, (robot, task) in ENVIRONMENTS.items():
        gymnasium.register(name, entry_point='rl_robot_control.envs.make:make_env',
                           vector_entry_point='rl_robot_control.envs.make:make_vector_env',
                           kwargs={'robot': robot, 'task': task})
