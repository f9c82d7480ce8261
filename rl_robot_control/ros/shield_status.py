"""What the shield says on ``shield/status``: one status for each thing, always the same ones in the same order.

``/shield`` is the whole: mode, reason, counters. Below it stand ``/shield/corrections`` (what the limits changed since
the message before), ``/shield/links`` (how old what is, what the middleware noticed) and ``/shield/guard`` (whether a
supervisor watches). Whoever shows a tree, as rqt_robot_monitor does, drops what has no parent, so a namespace is a
status, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from rl_robot_control.ros.diagnostics import make_status
from rl_robot_control.shield import ShieldMode, ShieldOutput

if TYPE_CHECKING:
    from rl_robot_control.shield import Shield

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
_LEVELS = {ShieldMode.STARTING: WARN, ShieldMode.READY: OK, ShieldMode.ACTIVE: OK, ShieldMode.BRAKING: WARN,
           ShieldMode.DAMPING: ERROR, ShieldMode.LATCHED: ERROR}
_PARENT_TEXTS = {OK: 'OK', WARN: 'Warning', ERROR: 'Error'}  # by these a viewer knows parents that only sum up
_MOST_NAMED = 4  # joints in a message; its values hold them all
_CORRECTION, _UNIT = 'correction ', ' [rad]'  # around a joint's name


class Corrections:
    """The largest correction of each joint since it was last asked; a status comes less often than a cycle.

    Args:
        joint_names: (J,)
    """

    def __init__(self, joint_names: Sequence[str]) -> None:
        self._names = joint_names
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._largest = np.zeros(len(self._names))
        self._checks: set[str] = set()
        self._constraints: set[str] = set()

    def note(self, output: ShieldOutput) -> None:
        """Take one cycle of one robot."""
        if output.corrected[0]:
            change = output.correction[0]
            np.copyto(self._largest, change, where=np.abs(change) > np.abs(self._largest))
            self._checks.update(name for name, joints in output.active.items() if joints[0].any())
            self._constraints.update(output.constraints.get(0, ()))

    def status(self, name: str) -> DiagnosticStatus:
        """What was changed: applied minus requested by joint [rad], and which checks changed it."""
        joints = self._largest.nonzero()[0]
        named = [self._names[i] for i in joints[np.argsort(-np.abs(self._largest[joints]), kind='stable')]]
        more = f' and {len(named) - _MOST_NAMED} more' if len(named) > _MOST_NAMED else ''
        checks = f' ({", ".join(sorted(self._checks))})' if self._checks else ''
        text = f'{", ".join(named[:_MOST_NAMED])}{more}{checks}' if named else 'none'
        values = {f'{_CORRECTION}{self._names[i]}{_UNIT}': f'{self._largest[i]:.6g}' for i in joints}
        return make_status(WARN if named else OK, name, text,
                           values | dict.fromkeys(sorted(self._constraints), 'kept apart'))


def read_corrections(status: DiagnosticStatus) -> dict[str, float]:
    """What ``Corrections.status`` says: applied minus requested [rad] by joint; values that are no numbers are NaN."""
    return {pair.key[len(_CORRECTION):-len(_UNIT)]: _number(pair.value) for pair in status.values
            if pair.key.startswith(_CORRECTION) and pair.key.endswith(_UNIT)}


def mode_status(shield: Shield, reason: str, name: str, concern: str) -> DiagnosticStatus:
    """The whole: mode, reason, counters.

    Args:
        shield: The shield of one robot.
        reason: Of its mode, or empty.
        name: Of the status.
        concern: What is wrong although the mode is not touched by it, or empty.
    """
    mode = ShieldMode(shield.mode[0])
    values = {'mode': mode.name, 'reason': reason, **{key: str(count[0]) for key, count in shield.counters.items()}}
    text = '; '.join(filter(None, (f'{mode.name}: {reason}' if reason else mode.name, concern)))
    return make_status(max(_LEVELS[mode], WARN if concern else OK), name, text, values)


def link_status(name: str, state_age: float, command_age: float, state_timeout: float,
                values: Mapping[str, str]) -> DiagnosticStatus:
    """How old what is.

    Args:
        name: Of the status.
        state_age: Time since the oldest of the latest sensor messages came [s]; NaN in lock-step, where nothing ages.
        command_age: Time since the latest command came [s].
        state_timeout: From when on a state is too old [s].
        values: What else is known of the links.
    """
    late = state_age > state_timeout
    ages = {key: f'{1e3 * age:.1f}' if np.isfinite(age) else '-'
            for key, age in (('state age [ms]', state_age), ('command age [ms]', command_age))}
    return make_status(WARN if late else OK, name, 'no fresh state' if late else 'states come', {**ages, **values})


def guard_status(name: str, state: str, said: str, needed: bool) -> DiagnosticStatus:
    """Whether a supervisor watches, and what it said last."""
    text = f'supervisor {state}' + (f': {said}' if state == 'watching' else '')
    return make_status(WARN if needed and state != 'watching' else OK, name, text, {'supervisor': state})


def as_message(statuses: Sequence[DiagnosticStatus], hardware: str, stamp: Time) -> DiagnosticArray:
    """The statuses of one node, the whole first, then its parts; last the namespaces above it.

    Args:
        statuses: Their names begin with the first one's.
        hardware: The robot.
        stamp: Of the message.
    """
    for status in statuses:
        status.hardware_id = hardware
    whole, message = statuses[0], DiagnosticArray(status=list(statuses))
    parents = [part for part in whole.name.split('/')[:-1] if part]
    for depth in range(len(parents), 0, -1):
        message.status.append(make_status(whole.level, '/' + '/'.join(parents[:depth]), _PARENT_TEXTS[whole.level], {},
                                          hardware))
    message.header.stamp = stamp
    return message


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float('nan')
