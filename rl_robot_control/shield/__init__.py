"""What a robot may do: every command passes through here, in memory as on the robot."""

from rl_robot_control.shield.limits import ShieldLimits
from rl_robot_control.shield.output import Reason, ShieldOutput
from rl_robot_control.shield.shield import Shield, make_shield
from rl_robot_control.shield.state_machine import ShieldMode

__all__ = ['Reason', 'Shield', 'ShieldLimits', 'ShieldMode', 'ShieldOutput', 'make_shield']
