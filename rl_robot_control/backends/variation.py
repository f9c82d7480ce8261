"""A model for each world, where worlds differ."""

from __future__ import annotations

import mujoco
import numpy as np

from rl_robot_control.robots import RobotModel
from rl_robot_control.types import Variation

MOST_BYTES = 512 * 2**20  # of all worlds' models; beyond it worlds share them


class VariedModels:
    """A model for each world, or, where that would take too much memory, a stock that the worlds share.

    Args:
        model: The model that is varied.
        robot: The robot.
        free: (F,) indices of the joints that move in the model.
        num_worlds: N.
    """

    def __init__(self, model: mujoco.MjModel, robot: RobotModel, free: np.ndarray, num_worlds: int) -> None:
        self._nominal, self._free = model, free
        self._base = model.body(robot.settings.base.link).id if robot.floating else None
        self.models = [mujoco.MjModel.__copy__(model)
                       for _ in range(max(1, min(num_worlds, MOST_BYTES // model.nbuffer)))]
        self.shared = len(self.models) < num_worlds
        self._drawn = 0  # of the stock

    def vary(self, world: int, variation: Variation, row: int, random: np.random.Generator) -> mujoco.MjModel:
        """The model of a world from now on.

        Args:
            world: The world.
            variation: Of some worlds.
            row: The world's row in it.
            random: Chooses from the stock, where worlds share models and all have been drawn.
        """
        if not self.shared:
            model = self.models[world]
        elif self._drawn < len(self.models):
            model, self._drawn = self.models[self._drawn], self._drawn + 1
        else:
            return self.models[random.integers(len(self.models))]
        self._set(model, variation, row)
        return model

    def _set(self, model: mujoco.MjModel, variation: Variation, row: int) -> None:
        nominal, free = self._nominal, self._free
        model.geom_friction[:, 0] = nominal.geom_friction[:, 0] * variation.friction[row]
        model.body_mass[:] = nominal.body_mass * variation.mass[row]
        model.body_inertia[:] = nominal.body_inertia * variation.mass[row]
        if self._base is not None:  # one that is fixed carries anything
            model.body_mass[self._base] += variation.payload[row]
        stiffness, damping = variation.stiffness[row, free], variation.damping[row, free]
        model.actuator_gainprm[:, 0] = nominal.actuator_gainprm[:, 0] * stiffness
        model.actuator_biasprm[:, 1] = nominal.actuator_biasprm[:, 1] * stiffness
        model.actuator_biasprm[:, 2] = nominal.actuator_biasprm[:, 2] * damping
        model.actuator_forcerange[:] = nominal.actuator_forcerange * variation.strength[row, free][:, None]
