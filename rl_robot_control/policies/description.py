"""What a policy file says about itself, as plain tables for people and for ``inspect``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rl_robot_control.policies.manifest import Manifest


@dataclass(frozen=True, kw_only=True)
class Section:
    """One table."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def describe(manifest: Manifest) -> list[Section]:
    """Tables of a policy's origin, interface, observation terms and joints."""
    return [_origin(manifest), _interface(manifest), _observations(manifest), _joints(manifest)]


def _origin(m: Manifest) -> Section:
    rows = [('robot', m.robot), ('task', m.task), ('algorithm', m.algorithm), ('created', m.created),
            ('network SHA-256', m.weights_sha256)]
    return Section(title='Origin', columns=('', ''), rows=rows + list(m.training.items()))


def _interface(m: Manifest) -> Section:
    action, command = m.interface.action, m.interface.command
    rows = [('control rate', 1 / m.control_period, 'Hz'), ('observation', m.num_observations, 'values'),
            ('action', m.num_actions, 'joints'), ('action scale', action.scale, 'rad'),
            ('action clip', action.clip, ''), ('feed-forward', action.feed_forward, '')]
    if action.feed_forward != 'none':
        rows.append(('gait period', m.interface.gait.period, 's'))
    names = {'velocity': (('vx', 'm/s'), ('vy', 'm/s'), ('wz', 'rad/s')),
             'target': (('x', 'm'), ('y', 'm'), ('z', 'm'))}[command.kind]
    for (name, unit), lower, upper in zip(names, m.command_lower, m.command_upper):
        rows.append((f'command {name}', f'{lower:g} … {upper:g}', unit))
    return Section(title='Interface', columns=('', 'value', 'unit'), rows=rows)


def _observations(m: Manifest) -> Section:
    rows = [(entry.term, m.observation_sizes[entry.term], entry.scale,
             '' if entry.clip is None else f'{entry.clip[0]:g} … {entry.clip[1]:g}',
             ', '.join(f'{key}={value}' for key, value in entry.params.items())) for entry in m.interface.observations]
    return Section(title='Observation', columns=('term', 'values', 'scale', 'clip', 'parameters'), rows=rows)


def _joints(m: Manifest) -> Section:
    columns = ('joint', 'action', 'default [rad]', 'stiffness [N·m/rad]', 'damping [N·m·s/rad]', 'effort [N·m]',
               'lower [rad]', 'upper [rad]')
    index = {name: i for i, name in enumerate(m.action_joint_names)}
    rows = [(name, index.get(name, ''), *values) for name, *values in zip(
        m.joint_names, m.default_position, m.stiffness, m.damping, m.effort_limit, m.position_lower,
        m.position_upper)]
    return Section(title='Joints', columns=columns, rows=rows)
