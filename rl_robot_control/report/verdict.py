"""What a demo run is held to, and whether it got there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

RUN_TIME = 20.0  # [s] of walking over topics
SPEED_ERROR = 0.2  # [m/s] while walking forward over topics
MEMORY_EPISODES, MEMORY_FALLS = 50, 2  # in memory, 10 s each at 0.6 m/s
MEMORY_SPEED_ERROR = 0.15  # [m/s]
SHIELDED = ('commanded position', 'commanded overshoot', 'reference velocity', 'implied torque')
MEASURED = ('measured position', 'measured velocity')  # of the joints, against the URDF
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
    memory = stages.get('export', {}).get('evaluation') or {}
    return [_memory_falls(memory), _memory_speed(memory), _walked(run), _speed(run),
            *(_bound(run, name, 'the shield’s bounds') for name in SHIELDED),
            *(_bound(run, name, 'the URDF’s limits') for name in MEASURED), _time(stages)]


def _memory_falls(found: dict[str, Any]) -> Target:
    name = f'In memory: episodes of {MEMORY_EPISODES} without a fall'
    bound = f'≥ {MEMORY_EPISODES - MEMORY_FALLS}'
    if not found:
        return Target(name=name, value='not measured', bound=bound, met=None)
    stood = found['episodes'] - found['falls']
    return Target(name=name, value=f'{stood} of {found["episodes"]}', bound=bound,
                  met=found['falls'] <= MEMORY_FALLS / MEMORY_EPISODES * found['episodes'])


def _memory_speed(found: dict[str, Any]) -> Target:
    error = found.get('mean_speed_error')
    return Target(name='In memory: mean speed error at 0.6 m/s', bound=f'≤ {MEMORY_SPEED_ERROR:g} m/s',
                  value='not measured' if error is None else f'{error:.3f} m/s',
                  met=None if error is None else error <= MEMORY_SPEED_ERROR)


def _walked(run: dict[str, Any]) -> Target:
    name, bound = 'Over ROS: walks without a fall', f'{RUN_TIME:g} s'
    if not run:
        return Target(name=name, value='not measured', bound=bound, met=None)
    if run['fell']:
        return Target(name=name, value=f'fell after {run["fall_time"]:.1f} s', bound=bound, met=False)
    walked = run['commanded_duration']  # to the last velocity command, which comes a little before the end
    return Target(name=name, value=f'{walked:.1f} s, no fall', bound=bound, met=walked >= RUN_TIME - 0.2)


def _speed(run: dict[str, Any]) -> Target:
    error = run.get('mean_speed_error')
    return Target(name='Over ROS: mean speed error while walking forward', bound=f'≤ {SPEED_ERROR:g} m/s',
                  value='not measured' if error is None else f'{error:.3f} m/s',
                  met=None if error is None else error <= SPEED_ERROR)


def _bound(run: dict[str, Any], name: str, bounds: str) -> Target:
    found = [b for b in run.get('bounds', []) if b['name'] == name and b['samples']]
    return Target(name=f'Over ROS: {name} outside {bounds}', bound='0',
                  value=f'{found[0]["violations"]} in {found[0]["samples"]} messages' if found else 'not measured',
                  met=found[0]['violations'] == 0 if found else None)


def _time(stages: dict[str, dict[str, Any]]) -> Target:
    name, bound = 'Whole demo on 2 cores', f'≤ {TOTAL_TIME / 60:g} min'
    done = all(stage.get('status') == 'done' for stage in stages.values()) and stages
    if not done:
        return Target(name=name, value='not complete', bound=bound, met=None)
    total = sum(stage.get('seconds') or 0.0 for stage in stages.values())
    return Target(name=name, value=f'{total / 60:.1f} min', bound=bound, met=total <= TOTAL_TIME)
