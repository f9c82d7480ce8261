"""By what a robot's joints are reached: ``config/hardware/<name>.yaml``, laid over the robot's own topics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from rl_robot_control.config import config_names, find_config, load_settings, settings
from rl_robot_control.errors import ConfigurationError
from rl_robot_control.robots.model import TOPIC_NAME, ControllerType, RobotModel, load_robot

Driver = Literal['ros2_control', 'unitree', 'other']
StateTopic = Literal['joint_states', 'imu', 'odom']
TopicName = Annotated[str, Field(pattern=f'^{TOPIC_NAME}$')]


@settings
class ControllerManagerSettings:
    """The robot as ros2_control's controller manager has it."""

    name: TopicName = 'controller_manager'
    update_rate: Annotated[int, Field(ge=1, le=10_000)] = 500  # [Hz]
    plugin: str  # of the hardware interface, e.g. mock_components/GenericSystem
    parameters: dict[str, str] = Field(default_factory=dict)  # of the plugin
    imu: str | None = None  # name of the IMU among its sensors; null: it has none
    damping_controller: str = ''  # that the supervisor activates when the shield is gone; empty: none
    deactivate_hardware: bool = False  # whether the supervisor deactivates the hardware then, as it damps by itself


@settings
class HardwareSettings:
    """The file ``config/hardware/<name>.yaml``."""

    description: str = ''
    robot: str  # whose it is: name in config/robots
    driver: Driver  # what moves the joints: a controller manager, ``unitree_node``, or another driver
    controller: TopicName
    controller_type: ControllerType = 'position'  # see ``ros/controllers.py``
    joints: list[str] | None = None  # order in which the controller takes values; null: the robot's
    topics: dict[StateTopic, TopicName] = Field(default_factory=dict)  # where they do not have their usual names
    controller_manager: ControllerManagerSettings | None = None


def list_hardware() -> list[str]:
    """Names of the files in ``config/hardware``."""
    return config_names('hardware')


def load_hardware(name: str) -> HardwareSettings:
    """Load how a robot's joints are reached.

    Args:
        name: Name in ``config/hardware``, or a path to such a YAML file.

    Raises:
        ConfigurationError: The name is unknown or the YAML is wrong.
    """
    path = find_config('hardware', name)
    hardware = load_settings(path, HardwareSettings)
    if hardware.driver == 'ros2_control' and hardware.controller_manager is None:
        raise ConfigurationError(f"{path}: driver is 'ros2_control', and there is no 'controller_manager'; it says "
                                 'which plugin the hardware has.')
    return hardware


@dataclass(frozen=True, kw_only=True)
class RobotChoice:
    """A robot, and by what its joints are reached.

    Attributes:
        robot: Name in ``config/robots``, or path of a YAML file.
        hardware: Name in ``config/hardware``, or path of a YAML file; empty: the robot's own topics.
        controller: Name of the joint controller; empty: as the hardware or the robot's YAML says.
        controller_type: What it takes, one of ``robots.CONTROLLER_TYPES``; empty: likewise.
    """

    robot: str
    hardware: str = ''
    controller: str = ''
    controller_type: str = ''

    def load(self) -> RobotModel:
        """The robot, with the controller that was chosen.

        Raises:
            ConfigurationError: A name is unknown, a file is wrong, or the hardware is another robot's.
        """
        robot, hardware = load_robot(self.robot), self.settings()
        robot = robot if hardware is None else robot.with_hardware(hardware)
        return robot.with_controller(self.controller, self.controller_type)

    def settings(self) -> HardwareSettings | None:
        """The hardware's, if one is named."""
        return load_hardware(self.hardware) if self.hardware else None

    @property
    def managed(self) -> bool:
        """Whether the hardware stands behind ros2_control's controller manager."""
        hardware = self.settings()
        return hardware is not None and hardware.driver == 'ros2_control'

    def parameters(self) -> dict[str, str]:
        """As nodes take it."""
        return {name: value for name, value in vars(self).items() if value or name == 'robot'}
