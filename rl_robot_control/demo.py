"""The demo: a humanoid learns to walk, goes on learning over ROS 2 topics, is exported, deployed and reported on.

Each stage leaves its result in the output folder and in the report, so that a later failure or a kill loses nothing,
and ``resume`` goes on with the first stage that is not done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from rl_robot_control import demo_stages
from rl_robot_control.demo_stages import DemoSettings, StageContext
from rl_robot_control.errors import ConfigurationError, RobotControlError
from rl_robot_control.report.page import Report

STAGES: dict[str, Callable[[StageContext], dict[str, Any]]] = {
    'learn': demo_stages.learn, 'train over topics': demo_stages.train_over_topics, 'export': demo_stages.export,
    'deploy': demo_stages.deploy, 'report': demo_stages.report}
LEARNING_MINUTES = 4.0  # at most, so that the whole stays below six minutes on a slow machine, too
NEEDS = {'train over topics': 'learn', 'export': 'learn', 'deploy': 'export'}  # the report shows what there is


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """How a demo ended."""

    page: Path  # report.html
    passed: bool | None  # all targets met; None: not all were measured
    failed: tuple[str, ...]  # stages that failed
    interrupted: bool  # by the user; resume goes on


def run_demo(out: Path, *, robot: str = 'unitree_g1', task: str = 'walk', seed: int = 1, steps: int | None = None,
             minutes: float | None = LEARNING_MINUTES, topic_minutes: float = 0.4, profile: str = demo_stages.PROFILE,
             episodes: int = 50, resume: bool = False, console: Console | None = None) -> DemoResult:
    """Run the five stages.

    Args:
        out: Folder for everything; it must be empty or missing, unless ``resume``.
        robot, task: By name or file.
        seed: Of all stages.
        steps, minutes: Budget of the stage that learns in memory; None: the algorithm's, however long it takes.
        topic_minutes: Budget of training over topics.
        profile: Velocity commands of the deployed robot, see ``ros.command_profile``.
        episodes: With which the exported policy is evaluated in memory.
        resume: Go on with the demo that the folder holds.
        console: Where progress is shown.

    Raises:
        ConfigurationError: The folder is occupied, holds another demo, or a name is unknown.
    """
    settings = DemoSettings(robot=robot, task=task, seed=seed, steps=steps, minutes=minutes,
                            topic_minutes=topic_minutes, profile=profile, episodes=episodes)
    demo_stages.check(settings)
    console = console or Console()
    page = _open_report(Path(out), settings, resume)
    page.write()
    failed, interrupted = [], False
    with _progress(console) as bars:
        for name, run in STAGES.items():
            if page.stage(name)['status'] == 'done' and name != 'report':
                console.print(f'[dim]{name}: done before[/dim]')
                continue
            need = NEEDS.get(name)
            if interrupted and name != 'report' or need and page.stage(need)['status'] != 'done':
                continue
            try:
                _run_stage(name, run, page, settings, bars, console)
            except KeyboardInterrupt:
                interrupted = True
            if page.stage(name)['status'] == 'failed':
                failed.append(name)
    result = DemoResult(page=page.folder / 'report.html', passed=page.data['passed'], failed=tuple(failed),
                        interrupted=interrupted)
    _conclude(result, page, console)
    return result


def _open_report(out: Path, settings: DemoSettings, resume: bool) -> Report:
    earlier = Report.load(out)
    if not resume:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ConfigurationError(f"'{out}' is not empty; go on with the demo in it with --resume, or give another "
                                     'folder with --out.')
        return demo_stages.new_report(out, settings)
    if earlier is None:
        raise ConfigurationError(f"'{out}' holds no demo to resume (no report.json); start one without --resume.")
    for key, value in settings.identity().items():
        if earlier.data['settings'].get(key) != value:
            stored = earlier.data['settings'].get(key)
            raise ConfigurationError(f"the demo in '{out}' was started with {key}={stored!r}, not {value!r}; "
                                     'resume it with the same settings, or start another one.')
    return earlier


def _run_stage(name: str, run: Callable[[StageContext], dict[str, Any]], page: Report, settings: DemoSettings,
               bars: Progress, console: Console) -> None:
    """Run one stage and write down how it went; only an interrupt comes out."""
    stage, began = page.stage(name), time.monotonic()
    spent = stage.get('seconds') or 0.0 if stage['status'] == 'interrupted' else 0.0
    stage.clear()
    stage['status'] = 'running'
    page.write()
    bar = bars.add_task(name, total=1.0, what='')
    try:
        stage.update(run(StageContext(settings=settings, report=page, progress=_mover(bars, bar))))
        stage['status'] = 'done'
    except KeyboardInterrupt:
        stage['status'] = 'interrupted'
        raise
    except RobotControlError as error:
        stage.update(status='failed', error=str(error))
        console.print(f'[red]{name} failed:[/red] {error}', highlight=False)
    except Exception as error:  # a bug here must not cost the report of the other stages
        stage.update(status='failed', error=f'{type(error).__name__}: {error}')
        console.print_exception()
    finally:
        stage['seconds'] = spent + time.monotonic() - began
        done = stage['status'] == 'done'
        bars.update(bar, completed=1.0 if done else None, what=stage.get('summary', stage['status']))
        bars.stop_task(bar)
        page.write()


def _mover(bars: Progress, bar: TaskID) -> Callable[[str, float], None]:
    def move(what: str, share: float) -> None:
        bars.update(bar, completed=min(max(share, 0.0), 1.0), what=what)
    return move


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    # on a narrow terminal the last column is broken into lines, and the others are whole
    with Progress(SpinnerColumn(), TextColumn('[bold]{task.description:<17}', table_column=Column(min_width=17)),
                  BarColumn(bar_width=10), TimeElapsedColumn(table_column=Column(min_width=7, no_wrap=True)),
                  TextColumn('{task.fields[what]}', table_column=Column(ratio=1)), console=console,
                  expand=True) as bars:
        yield bars


def _conclude(result: DemoResult, page: Report, console: Console) -> None:
    marks = {True: '[green]✓[/green]', False: '[red]✗[/red]', None: '[dim]–[/dim]'}
    console.print()
    for target in page.data['targets']:
        console.print(f'{marks[target["met"]]} {target["name"]}: {target["value"]} (target {target["bound"]})',
                      highlight=False, soft_wrap=True)
    for note in page.data['notes']:
        console.print(f'[yellow]{note}[/yellow]', highlight=False, soft_wrap=True)
    if result.interrupted or result.failed:
        why = 'Interrupted' if result.interrupted else f'Failed: {", ".join(result.failed)}'
        console.print(f'{why}. What is done is kept; go on with:\n  rl_robot_control demo --out {page.folder} --resume',
                      highlight=False, soft_wrap=True)
    console.print(f'Report: {result.page}', highlight=False, soft_wrap=True)
