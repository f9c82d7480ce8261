"""A comparison of recording and simulation as tables for people, and as plain data."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rl_robot_control.report.parity import AGREES, Parity, Value

WORST_JOINTS = 5

Table = tuple[str, tuple[str, ...], list[tuple[Any, ...]], tuple[str, ...]]  # title, columns, rows, notes


def as_plain(parity: Parity) -> dict[str, Any]:
    """Everything, for JSON."""
    return {'agrees': parity.agrees, 'began': parity.began, 'periods': parity.periods,
            'target_error': parity.target_error, 'missing': parity.missing,
            'values': [asdict(value) | {'differs': value.differs} for value in parity.values]}


def tables(parity: Parity, all_values: bool = False) -> list[Table]:
    """The policy's targets, its observation by term, and the values that differ (or all of them)."""
    return [_targets(parity), _terms(parity), _values(parity, all_values)]


def _targets(parity: Parity) -> Table:
    worst = sorted(parity.target_error.items(), key=lambda item: -item[1][0])[:WORST_JOINTS]
    verdict = (f"The recorded targets are this policy's, from {parity.began:.2f} s on, {parity.periods} periods."
               if parity.agrees else
               'The recorded targets are NOT what this policy gives to the recorded states (mostly more than '
               f'{AGREES} rad apart): another file, joint order, scale, default pose or rate, or a policy that had '
               'begun before the recording.')
    rows = [(name, f'{median:.4f}', f'{largest:.4f}') for name, (median, largest) in worst]
    columns = ('joint', 'difference, median [rad]', 'largest [rad]')
    return 'Targets, recorded against replayed', columns, rows, (verdict, '')


def _terms(parity: Parity) -> Table:
    rows = []
    for term, values in parity.terms().items():
        worst = max(values, key=lambda value: (value.differs, value.shift))
        different = sum(value.differs for value in values)
        rows.append((term, len(values), different, worst.name, f'{worst.shift:.1f}', f'{worst.outside:.0%}'))
    notes = [f'Not in the recording: {", ".join(parity.missing)}.'] if parity.missing else []
    return ('Observation, recorded against simulated', ('term', 'values', 'differ', 'most of all',
                                                         'shift [standard deviations]', 'outside the range'), rows,
            (*notes, ''))


def _values(parity: Parity, all_values: bool) -> Table:
    shown = [value for value in parity.values if all_values or value.differs]
    note = '' if shown else 'None: what the robot showed lies within what the simulation shows.'
    return ('Values' if all_values else 'Values that differ',
            ('value', 'recorded mean', 'spread', 'simulated mean', 'spread', 'shift', 'outside', 'note'),
            [_row(value) for value in shown], (note,))


def _row(value: Value) -> tuple[Any, ...]:
    note = 'fits with the other sign' if value.opposite else ''
    return (value.name, *(f'{number:.4g}' for number in (*value.recorded, *value.simulated)), f'{value.shift:.1f}',
            f'{value.outside:.0%}', note)
