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
    if m.origin is not None:
        rows += [('dialect', m.origin.dialect), ('file', m.origin.file), ('file SHA-256', m.origin.sha256)]
        rows += [('assumed', text) for text in m.origin.assumptions]
    return Section(title='Origin', columns=('', ''), rows=rows + list(m.training.items()))


def _interface(m: Manifest) -> Section:
    action, command, motion, network = m.interface.action, m.interface.command, m.interface.motion, m.network
    rows = [('control rate', 1 / m.control_period, 'Hz'), ('observation', m.num_observations, 'values'),
            ('action', m.num_actions, 'joints'),
            ('action scale', 'by joint' if isinstance(action.scale, list) else action.scale, 'rad'),
            ('action clip', _clip(action.clip), ''), ('feed-forward', action.feed_forward, '')]
    if network.states:
        rows.append(('recurrent state', ', '.join(network.states), ''))
    if motion is not None:
        rows += [('motion', motion.length * m.control_period, 's'), ('motion anchor', motion.anchor_link, '')]
    if action.feed_forward != 'none':
        rows.append(('gait period', m.interface.gait.period, 's'))
    names = {'velocity': (('vx', 'm/s'), ('vy', 'm/s'), ('wz', 'rad/s')),
             'target': (('x', 'm'), ('y', 'm'), ('z', 'm')), 'none': ()}[command.kind]
    for (name, unit), lower, upper in zip(names, m.command_lower, m.command_upper):
        rows.append((f'command {name}', f'{lower:g} … {upper:g}', unit))
    return Section(title='Interface', columns=('', 'value', 'unit'), rows=rows)


def _observations(m: Manifest) -> Section:
    rows = [(entry.label, entry.term, m.observation_sizes[entry.label], _scale(entry.scale), _clip(entry.clip),
             '' if entry.ages == [0] else ', '.join(map(str, entry.ages)),
             ', '.join(f'{key}={value}' for key, value in entry.params.items())) for entry in m.interface.observations]
    columns = ('name', 'term', 'values', 'scale', 'clip', 'periods ago', 'parameters')
    return Section(title='Observation', columns=columns, rows=rows)


def _joints(m: Manifest) -> Section:
    scale, offset = m.interface.action.scale, m.interface.action.offset
    scales = scale if isinstance(scale, list) else [scale] * m.num_actions
    columns = ('joint', 'action', 'scale [rad]', 'offset [rad]', 'default [rad]',
               'stiffness [N·m/rad]', 'damping [N·m·s/rad]', 'effort [N·m]',
               'lower [rad]', 'upper [rad]')
    index = {name: i for i, name in enumerate(m.action_joint_names)}
    rows = [(name, index.get(name, ''), scales[index[name]] if name in index else '',
             '' if offset is None or name not in index else offset[index[name]], *values) for name, *values in zip(
        m.joint_names, m.default_position, m.stiffness, m.damping, m.effort_limit, m.position_lower,
        m.position_upper)]
    return Section(title='Joints', columns=columns, rows=rows)


def _clip(clip: Any) -> str:
    if clip is None:
        return ''
    if not isinstance(clip, tuple):
        return f'±{clip:g}'
    return 'by joint' if isinstance(clip[0], list) else f'{clip[0]:g} … {clip[1]:g}'


def _scale(scale: float | list[float]) -> Any:
    values = scale if isinstance(scale, list) else [scale]
    return ', '.join(f'{value:g}' for value in values) if len(set(values)) > 1 else values[0]
