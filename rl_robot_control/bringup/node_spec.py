"""What a process is to be, said once for the command line and for ``ros2 launch``; needs neither ROS nor launch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rl_robot_control.config import config_directory

PACKAGE = 'rl_robot_control'


@dataclass(frozen=True, kw_only=True)
class NodeSpec:
    """A node to start.

    Attributes:
        name: The node's name.
        package: The package that holds its executable.
        executable: Empty: ``<name>_node``.
        parameters: Values by name; they go before those of ``defaults``.
        remappings: New names by old ones.
        lifecycle: Whether it is a managed node.
    """

    name: str
    package: str = PACKAGE
    executable: str = ''
    parameters: Mapping[str, Any] = field(default_factory=dict)
    remappings: Mapping[str, str] = field(default_factory=dict)
    lifecycle: bool = False

    @property
    def program(self) -> str:
        """The executable's name."""
        return self.executable or f'{self.name}_node'

    @property
    def module(self) -> str:
        """The module that runs it, if it is one of this package's."""
        return f'{PACKAGE}.nodes.{self.program.removesuffix("_node")}'

    @property
    def defaults(self) -> Path | None:
        """The YAML file with its parameters, ``config/nodes/<name>.yaml``; None for other packages' nodes."""
        return config_directory() / 'nodes' / f'{self.name}.yaml' if self.package == PACKAGE else None
