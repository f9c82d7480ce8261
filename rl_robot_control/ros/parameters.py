"""Node parameters: one table per node declares them and builds the node's settings.

A table entry gives name, default, unit, range, description and whether it may change while the node runs. Values that
the table does not allow end in one clear error, at the start and at every later change.
"""

from __future__ import annotations

import array
import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import ParameterException, ParameterUninitializedException
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from rl_robot_control.errors import ConfigurationError, UnknownNameError
from rl_robot_control.robots import CONTROLLER_TYPES, RobotModel
from rl_robot_control.robots.hardware import RobotChoice

_KINDS = {bool: 'true or false', int: 'a whole number', float: 'a number', str: 'text',
          'double_array': 'a list of numbers', 'string_array': 'a list of texts'}


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One row of a node's table.

    The default's type is the parameter's: bool, int, float, str, a tuple of floats or ``STRINGS``.
    """

    name: str
    default: Any
    description: str
    unit: str = ''
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    strings: bool = False  # an array of texts
    read_only: bool = True
    required: bool = False  # an empty text is refused

    @property
    def kind(self) -> Any:
        """Type of the values."""
        if isinstance(self.default, (tuple, list)):
            return 'string_array' if self.strings else 'double_array'
        return type(self.default)

    def check(self, value: Any) -> Any:
        """The value in the parameter's type; a whole number passes as a number.

        Raises:
            ConfigurationError: Wrong type, or out of range.
        """
        kind = self.kind
        if kind == 'double_array':
            return tuple(self._number(v) for v in self._list(value))
        if kind == 'string_array':
            return tuple(str(v) for v in self._list(value))
        if kind is float:
            return self._number(value)
        if type(value) is not kind:
            raise ConfigurationError(f"parameter '{self.name}' is {value!r}; {_KINDS[kind]} is needed.")
        if kind is int:
            self._bounds(value)
        if self.required and not value:
            raise ConfigurationError(f"parameter '{self.name}' is not set. {self.description}, "
                                     f'e.g. -p {self.name}:=VALUE.')
        if self.choices and value not in self.choices:
            raise UnknownNameError(f"value of parameter '{self.name}'", value, self.choices)
        return value

    def descriptor(self) -> ParameterDescriptor:
        """What ``ros2 param describe`` shows."""
        unit = f' [{self.unit}]' if self.unit else ''
        descriptor = ParameterDescriptor(
            name=self.name, description=self.description + unit, read_only=self.read_only,
            additional_constraints=f"one of: {', '.join(self.choices)}" if self.choices else '')
        low, high = self.minimum, self.maximum
        if self.kind is float and (low is not None or high is not None):
            descriptor.floating_point_range = [FloatingPointRange(
                from_value=float(-math.inf if low is None else low),
                to_value=float(math.inf if high is None else high))]
        if self.kind is int and (low is not None or high is not None):
            descriptor.integer_range = [IntegerRange(from_value=-2**63 if low is None else int(low),
                                                     to_value=2**63 - 1 if high is None else int(high))]
        return descriptor

    def ros_value(self, value: Any) -> Any:
        """The value as rclpy wants it declared; an empty list says nothing of its type, so the type stands for it."""
        if self.kind == 'double_array':
            return array.array('d', value) if value else RosParameter.Type.DOUBLE_ARRAY
        if self.kind == 'string_array':
            return list(value) if value else RosParameter.Type.STRING_ARRAY
        return value

    def _list(self, value: Any) -> list[Any]:
        if isinstance(value, (str, bytes)) or not hasattr(value, '__len__'):
            raise ConfigurationError(f"parameter '{self.name}' is {value!r}; {_KINDS[self.kind]} is needed.")
        return list(value)

    def _number(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigurationError(f"parameter '{self.name}' is {value!r}; {_KINDS[self.kind]} is needed.")
        if not math.isfinite(value):
            raise ConfigurationError(f"parameter '{self.name}' is {value}; a finite number is needed.")
        self._bounds(value)
        return float(value)

    def _bounds(self, value: float) -> None:
        unit = f' {self.unit}' if self.unit else ''
        if self.minimum is not None and value < self.minimum:
            raise ConfigurationError(f"parameter '{self.name}' is {value}{unit}; it must be "
                                     f'at least {self.minimum}{unit}.')
        if self.maximum is not None and value > self.maximum:
            raise ConfigurationError(f"parameter '{self.name}' is {value}{unit}; it must be "
                                     f'at most {self.maximum}{unit}.')


class ParameterTable:
    """All parameters of a node.

    Args:
        name: The node's style, for the settings class, e.g. ``'Shield'``.
        rows: The table. A dot in a parameter's name is an underscore in the settings.
    """

    def __init__(self, name: str, rows: Sequence[Parameter]) -> None:
        self.rows = {row.name: row for row in rows}
        fields = [(_field(row.name), Any, row.default) for row in rows]
        self.settings_class = dataclasses.make_dataclass(f'{name}Settings', fields, frozen=True, kw_only=True)

    def declare(self, node: Node) -> Any:
        """Declare the parameters and return the settings: a frozen object with one attribute per row.

        Raises:
            ConfigurationError: A value is of the wrong type or out of range.
        """
        return self.settings_class(**{_field(row.name): _declare(node, row) for row in self.rows.values()})

    def read(self, node: Node) -> Any:
        """The settings as they are now."""
        values = {name: _current(node, row) for name, row in self.rows.items()}
        return self.settings_class(**{_field(name): value for name, value in values.items()})

    def on_change(self, node: Node, apply: Callable[[dict[str, Any]], None]) -> None:
        """Check every later change, then hand it over.

        Args:
            node: The node; its parameters are declared.
            apply: Called with the changed values by parameter name, before they take effect; a ``ConfigurationError``
                that it raises refuses the change.
        """

        def check(changes: list[Any]) -> SetParametersResult:
            try:
                apply({p.name: self.rows[p.name].check(p.value) for p in changes if p.name in self.rows})
            except ConfigurationError as error:
                return SetParametersResult(successful=False, reason=str(error))
            return SetParametersResult(successful=True)

        node.add_on_set_parameters_callback(check)


ROBOT = Parameter(name='robot', default='', required=True,
                  description='Robot: name in config/robots or path of a YAML file')

CONTROLLER = Parameter(name='controller', default='', description="Name of the joint controller; empty: the robot's")
CONTROLLER_TYPE = Parameter(name='controller_type', default='', choices=('', *CONTROLLER_TYPES),
                            description="What the joint controller takes; empty: as the robot's YAML says")
HARDWARE = Parameter(name='hardware', default='', description="By what the joints are reached: name in config/hardware "
                                                              "or path of a YAML file; empty: the robot's own topics")

ROBOT_ROWS = [ROBOT, HARDWARE, CONTROLLER, CONTROLLER_TYPE]


def declare_robot(node: Node) -> RobotModel:
    """The robot that a node's parameters of ``ROBOT_ROWS`` name.

    Raises:
        ConfigurationError: There is none, or it cannot be read.
    """
    return RobotChoice(**vars(ParameterTable('Robot', ROBOT_ROWS).declare(node))).load()


def gains(robot: RobotModel) -> list[Parameter]:
    """Rows for the drives' gains; their defaults are the robot's."""
    return [Parameter(name=name, default=tuple(getattr(robot, name).tolist()), unit=unit, minimum=0.0, read_only=False,
                      description=f"The drives' {name}, in the robot's joint order")
            for name, unit in (('stiffness', 'N·m/rad'), ('damping', 'N·m·s/rad'))]


def check_length(name: str, values: Sequence[Any], *allowed: int) -> None:
    """Refuse a list of the wrong length, which a table cannot know.

    Raises:
        ConfigurationError: Names the parameter and what is needed.
    """
    if len(values) not in allowed:
        raise ConfigurationError(f"parameter '{name}' holds {len(values)} numbers; "
                                 f"{' or '.join(map(str, allowed))} are needed.")


def _declare(node: Node, row: Parameter) -> Any:
    if node.has_parameter(row.name):
        return _current(node, row)
    # Declared once without a type to read what the user gave: rclpy would refuse '1' where '1.0' is meant, and its
    # messages do not give the bound.
    try:
        given = node.declare_parameter(row.name, None, ParameterDescriptor(dynamic_typing=True)).value
        value = row.check(row.default if given is None else given)
        node.undeclare_parameter(row.name)
        node.declare_parameter(row.name, row.ros_value(value), row.descriptor(), ignore_override=True)
    except ParameterException as error:
        raise ConfigurationError(f"parameter '{row.name}' cannot be declared: {error}") from error
    return value


def _current(node: Node, row: Parameter) -> Any:
    try:
        return row.check(node.get_parameter(row.name).value)
    except ParameterUninitializedException:  # an empty list; see ros_value
        return ()


def _field(name: str) -> str:
    return name.replace('.', '_')
