"""The shield's state as a diagnostic message."""

from __future__ import annotations

from collections.abc import Sequence

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from rl_robot_control.shield import Shield, ShieldMode, ShieldOutput

_LEVELS = {ShieldMode.STARTING: DiagnosticStatus.WARN, ShieldMode.READY: DiagnosticStatus.OK,
           ShieldMode.ACTIVE: DiagnosticStatus.OK, ShieldMode.BRAKING: DiagnosticStatus.WARN,
           ShieldMode.DAMPING: DiagnosticStatus.ERROR, ShieldMode.LATCHED: DiagnosticStatus.ERROR}


def status_message(shield: Shield, output: ShieldOutput | None, joint_names: Sequence[str], alarm: str, name: str,
                   stamp: Time) -> DiagnosticArray:
    """One status with the mode, the reason, the counters and, for each corrected joint, applied minus requested [rad].

    Args:
        shield: The shield of one robot.
        output: Of its latest cycle.
        joint_names: (J,)
        alarm: A fault that the shield itself cannot see, or empty.
        name: Of the status.
        stamp: Of the message.
    """
    mode = ShieldMode(shield.mode[0])
    reason = alarm or (output.reasons[0] if output is not None else 'no state has been received')
    values = {'mode': mode.name, 'reason': reason, **{key: str(count[0]) for key, count in shield.counters.items()}}
    if output is not None:
        values.update({f'correction {joint_names[i]} [rad]': f'{output.correction[0, i]:.6g}'
                       for i in output.correction[0].nonzero()[0]})
    status = DiagnosticStatus(level=_LEVELS[mode], name=name, message=f'{mode.name}: {reason}' if reason else mode.name,
                              values=[KeyValue(key=key, value=value) for key, value in values.items()])
    message = DiagnosticArray(status=[status])
    message.header.stamp = stamp
    return message
