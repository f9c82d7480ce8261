"""What a robot may do: every command passes through here, in memory as on the robot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rl_robot_control.shield.limits import ShieldLimits
from rl_robot_control.shield.output import Reason, ShieldOutput
from rl_robot_control.shield.state_machine import ShieldMode

if TYPE_CHECKING:
    from rl_robot_control.shield.shield import Shield, make_shield

__all__ = ['Reason', 'Shield', 'ShieldLimits', 'ShieldMode', 'ShieldOutput', 'make_shield']


def __getattr__(name: str) -> Any:
    """The shield itself, where it is asked for: who only speaks of it need not load its compiled kernel.

    That takes a second, and the supervisor is to be there before the shield is.
    """
    if name not in ('Shield', 'make_shield'):
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from rl_robot_control.shield import shield
    return getattr(shield, name)
