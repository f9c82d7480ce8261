"""What a demo run is held to, and whether it got there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

RUN_TIME = 20.0  # [s] of walking over topics
SPEED_ERROR = 0.2  # [m/s] while walking forward over topics
SHIELDED = ('commanded position', 'commanded overshoot', 'reference velocity', 'implied torque')
TOTAL_TIME = 360.0  # [s] for all stages


@dataclass(frozen=True, kw_only=True)
class Target:
    """A target, what was measured, and whether that meets it (None: not measured)."""

    name: str
    value: str
    bound: str
    met: bool | None


def judge(stages: dict[str, dict[str, Any]]) -> list[Target]:
    """Compare the numbers of a run's stages (as in ``report.json``) with the targets."""
    run = stages.get('deploy', {}).get('run') or {}
    return [_walked(run), _speed(run), *(_bound(run, name) for name in SHIELDED), _time(stages)]


def _walked(run: dict[str, Any]) -> Target:
    name, bound = 'Walks over ROS without a fall', f'{RUN_TIME:g} s'
    if not run:
        return Target(name=name, value='not measured', bound=bound, met=None)
    if run['fell']:
        return Target(name=name, value=f'fell after {run["fall_time"]:.1f} s', bound=bound, met=False)
    walked = run['commanded_duration']
    return Target(name=name, value=f'{walked:.1f} s, no fall', bound=bound, met=walked >= RUN_TIME - 0.1)


def _speed(run: dict[str, Any]) -> Target:
    error = run.get('mean_speed_error')
    return Target(name='Mean speed error while walking forward', bound=f'≤ {SPEED_ERROR:g} m/s',
                  value='not measured' if error is None else f'{error:.3f} m/s',
                  met=None if error is None else error <= SPEED_ERROR)


def _bound(run: dict[str, Any], name: str) -> Target:
    found = [b for b in run.get('bounds', []) if b['name'] == name and b['samples']]
    return Target(name=f'{name.capitalize()} outside the shield’s bounds', bound='0',
                  value=f'{found[0]["violations"]} in {found[0]["samples"]} messages' if found else 'not measured',
                  met=found[0]['violations'] == 0 if found else None)


def _time(stages: dict[str, dict[str, Any]]) -> Target:
    name, bound = 'Whole demo on 2 cores', f'≤ {TOTAL_TIME / 60:g} min'
    done = all(stage.get('status') == 'done' for stage in stages.values()) and stages
    if not done:
        return Target(name=name, value='not complete', bound=bound, met=None)
    total = sum(stage.get('seconds') or 0.0 for stage in stages.values())
    return Target(name=name, value=f'{total / 60:.1f} min', bound=bound, met=total <= TOTAL_TIME)
