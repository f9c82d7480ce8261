"""How a robot is simulated."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rl_robot_control.config import settings


@settings
class PhysicsSettings:
    """How a robot is simulated."""

    timestep: Annotated[float, Field(gt=0, le=0.02)] = 0.005  # [s]
    collisions: Literal['full', 'feet'] = 'full'  # feet: only the links of frames with a contact box
    welded_joints: list[str] = Field(default_factory=list)  # regular expressions; held rigidly at the default pose
    friction: Annotated[float, Field(gt=0)] = 1.0  # sliding friction of the floor [-]
    solver_iterations: Annotated[int, Field(ge=1)] = 10
