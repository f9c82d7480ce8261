"""What a robot's YAML says about collisions of the robot with itself and about where its frames may be."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from rl_robot_control.config import settings

Length = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1)]
Corner = tuple[float, float, float]


@settings
class SelfCollisionSettings:
    """Which links must stay apart. Links are named by regular expressions."""

    pairs: list[tuple[str, str]] | None = None  # each pattern of links against the other; null: all that could meet
    exclude: list[tuple[str, str]] = Field(default_factory=list)  # taken out of the above
    minimum_distance: Length = 0.01  # between the collision shapes [m]; half of the default pose's where that is less
    approach: Share = 0.8  # of the remaining distance that one control period may use up
    joints: list[str] = Field(default_factory=lambda: ['.*'])  # regular expressions of the joints whose reference may
    # be changed; the others are taken where they are measured, because their target is no pose (a walking leg's)


@settings
class BoxSettings:
    """A box along the axes of the base link's frame."""

    lower: Corner  # [m]
    upper: Corner  # [m]

    @model_validator(mode='after')
    def _not_empty(self):
        if not all(low < high for low, high in zip(self.lower, self.upper, strict=True)):
            raise ValueError(f'lower {self.lower} must be below upper {self.upper} on every axis')
        return self


@settings
class WorkspaceSettings:
    """Where frames, e.g. hands, may be. Boxes are given in the base link's frame, wherever the base is."""

    frames: list[str] = Field(min_length=1)  # regular expressions of the robot's frames
    radius: Length = 0.0  # of the ball around a frame that obeys the boxes [m]
    keep_in: BoxSettings | None = None
    forbidden: dict[str, BoxSettings] = Field(default_factory=dict)
    approach: Share = 0.8  # of the remaining distance that one control period may use up
    joints: list[str] = Field(default_factory=lambda: ['.*'])  # as for self-collision
