"""Commands that learn: train, tune, rollouts, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rl_robot_control.cli.app import INTERRUPTED, app
from rl_robot_control.cli.common import (
    Budget,
    JsonOption,
    RobotOption,
    SeedOption,
    Where,
    names_of,
    needed,
    over_topics,
)
from rl_robot_control.cli.output import errors, progress, show_result
from rl_robot_control.errors import ConfigurationError


@app.command()
def train(
        robot: RobotOption = None,
        task: Annotated[str | None, typer.Option(help='Name in config/tasks, or path of a YAML file.')] = None,
        algorithm: Annotated[str | None, typer.Option(help='Name in config/algorithms; default ppo.')] = None,
        backend: Annotated[Where | None, typer.Option(help='mujoco (default): in memory; ros: over topics, in '
                                                           'lock-step; realtime: over topics, and it does not wait, '
                                                           'as a real robot.')] = None,
        budget: Annotated[Budget | None, typer.Option(help='hardware: one robot that moves to its starts by itself; by '
                                                           'default with sac_robot.')] = None,
        num_envs: Annotated[int | None, typer.Option(min=1, help='Robots; over topics there is one.')] = None,
        workers: Annotated[int | None, typer.Option(min=1, max=1024, help='Processes that learn together.')] = None,
        seed: Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help='Of everything random; default 1.')] = None,
        steps: Annotated[int | None, typer.Option(min=1, help='Environment steps in all.')] = None,
        minutes: Annotated[float | None, typer.Option(min=0.001, help='Stop after so much training time.')] = None,
        warm_start: Annotated[Path | None, typer.Option(help='Run whose parameters to start from.')] = None,
        teacher: Annotated[Path | None, typer.Option(help='Recording (.npz), run folder or .onnx policy to learn from, '
                                                     'for bc, td3_bc and dagger.')] = None,
        freeze: Annotated[list[str] | None, typer.Option(help='Regular expression of parameters that stay as they are; '
                                                              'may be repeated.')] = None,
        out: Annotated[Path | None, typer.Option(help='Default: runs/ROBOT_TASK_ALGORITHM.')] = None,
        resume: Annotated[bool, typer.Option('--resume', help='Go on with the run in the folder.')] = False,
        as_json: JsonOption = False) -> None:
    """Learn a task; Ctrl-C keeps the checkpoint. What is not given, the algorithm or the resumed run says."""
    from rl_robot_control.learning.run_folder import FIXED, RunFolder
    from rl_robot_control.learning.settings import TrainingSettings
    from rl_robot_control.learning.trainer import Progress
    from rl_robot_control.learning.trainer import train as run
    asked = {'robot': robot, 'task': task, 'algorithm': algorithm, 'seed': seed, 'num_envs': num_envs,
             'workers': workers, 'steps': steps, 'minutes': minutes, 'backend': backend.value if backend else None,
             'budget': budget.value if budget else None,
             'freeze': freeze,
             'teacher': str(teacher.absolute()) if teacher else None}  # a run is resumed from any folder
    asked = {key: value for key, value in asked.items() if value is not None}
    if resume:
        stored = RunFolder(needed('out', out, 'the folder of the run to resume')).settings()
        asked = {key: getattr(stored, key) for key in FIXED} | asked
    for name in ('robot', 'task'):
        needed(name, asked.get(name), f'one of: {", ".join(names_of(f"{name}s"))}')
    if asked.get('backend') == 'realtime' and asked.setdefault('budget', 'hardware') != 'hardware':
        raise ConfigurationError(f"--budget is '{asked['budget']}'; in real time no robot can be put where an episode "
                                 'starts: leave it out, and it moves there.')
    if asked.get('backend') == 'ros' and asked.setdefault('num_envs', 1) != 1:
        raise ConfigurationError(f'--num-envs is {asked["num_envs"]}; over topics there is one robot: leave it out.')
    if asked.get('budget') == 'hardware':
        asked = {'algorithm': 'sac_robot', 'num_envs': 1} | asked
        if asked['num_envs'] != 1:
            raise ConfigurationError(f"--num-envs is {asked['num_envs']}; the budget 'hardware' is for one robot.")
    settings = TrainingSettings(**asked)
    names = (settings.robot, settings.task, settings.algorithm)
    out = out or Path('runs') / '_'.join(Path(name).stem for name in names)
    if not resume:
        RunFolder(out).check_free()  # before processes write their logs there

    with progress('training') as show, over_topics(settings.backend, settings.robot, settings.task, out / 'logs',
                                                training=True) as robots:
        def report(at: Progress) -> None:
            share = at.steps / at.total_steps
            if settings.minutes:
                share = max(share, at.minutes / settings.minutes)
            show(f'{at.steps:,} steps, return {at.mean_return:.1f}, {at.steps_per_second:,.0f} steps/s', share)

        def pause(paused: bool) -> None:
            errors().print('paused; the same signal (SIGUSR1) goes on.' if paused else 'going on.')
        result = run(settings, out, resume=resume, backend=robots, warm_start=warm_start, on_progress=report,
                     on_pause=pause)
    summary = {'run_folder': str(result.run_folder), 'steps': result.steps, 'minutes': round(result.minutes, 3),
               'mean_return': result.mean_return if result.mean_return == result.mean_return else None,
               'finished': result.finished}
    show_result(summary, as_json, title='training')
    if not result.finished:
        errors().print(f'interrupted; go on with: rl_robot_control train --resume --out {out}', soft_wrap=True)
        raise typer.Exit(INTERRUPTED)


@app.command()
def tune(
        robot: RobotOption = None,
        task: Annotated[str | None, typer.Option(help='Name in config/tasks, or path of a YAML file.')] = None,
        algorithm: Annotated[str | None, typer.Option(help='Name in config/algorithms; default ppo.')] = None,
        trials: Annotated[int, typer.Option(min=1, help='In all; those of a resumed search count.')] = 30,
        steps: Annotated[int | None, typer.Option(min=1, help="Of each training run; default the algorithm's.")] = None,
        seeds: Annotated[int | None, typer.Option(min=1, help='Training runs per trial; default 1.')] = None,
        seed: Annotated[int | None, typer.Option(min=0, max=2**31, help='Of everything random; default 1.')] = None,
        space: Annotated[str | None, typer.Option(help='Name in config/tuning, or path of a YAML file; default: of the '
                                                       "algorithm's name.")] = None,
        out: Annotated[Path | None, typer.Option(help='Default: runs/tune_ROBOT_TASK_ALGORITHM.')] = None,
        resume: Annotated[bool, typer.Option('--resume', help='Go on with the search in the folder.')] = False,
        as_json: JsonOption = False) -> None:
    """Search for hyper-parameters; Ctrl-C keeps everything. Writes best.yaml, trials.csv and importance.png."""
    asked = {'robot': robot, 'task': task, 'algorithm': algorithm, 'steps': steps, 'seeds': seeds, 'seed': seed,
             'space': space}
    asked = {key: value for key, value in asked.items() if value is not None}
    if not resume:
        for name in ('robot', 'task'):
            needed(name, asked.get(name), f'one of: {", ".join(names_of(f"{name}s"))}')
    from rl_robot_control.learning.tuning import TuningProgress, stored_plan
    from rl_robot_control.learning.tuning import tune as run
    from rl_robot_control.learning.tuning_space import make_plan
    if resume:
        plan = stored_plan(needed('out', out, 'the folder of the search to resume'), **asked)
    else:
        plan = make_plan(**asked)
    names = (plan.robot, plan.task, plan.algorithm)
    out = out or Path('runs') / '_'.join(['tune', *(Path(name).stem for name in names)])

    with progress('tuning') as show:
        def report(at: TuningProgress) -> None:
            best = 'none yet' if at.best is None else f'{at.best:.4g}'
            show(f'trial {at.trial} of {at.trials}: {at.steps:,} steps, return {at.mean_return:.4g}; best {best}',
                 (at.trial - 1 + min(1.0, at.steps / at.total_steps)) / at.trials)
        result = run(plan, out, trials, resume=resume, on_progress=report)
    summary: dict[str, Any] = {
        'folder': str(result.folder), 'complete': result.complete, 'pruned': result.pruned, 'failed': result.failed,
        'best_trial': result.best_trial, 'mean_return': result.mean_return,
        'success_rate': result.success_rate, 'finished': result.finished}
    summary |= {'last_failure': result.failure} if result.failure else {}
    before = plan.base_values()
    rows = [{'hyper_parameter': name, 'best': value, 'before': before[name]} for name, value in result.values.items()]
    show_result(summary | {'best_values': result.values if as_json else rows}, as_json, title='tuning')
    if not result.finished:
        errors().print(f'interrupted; go on with: rl_robot_control tune --resume --trials {trials} --out {out}',
                       soft_wrap=True)
        raise typer.Exit(INTERRUPTED)
    if result.best_trial is None:
        raise typer.Exit(1)


@app.command()
def rollouts(run: Annotated[Path, typer.Argument(metavar='RUN', help='Folder that train wrote.')],
             out: Annotated[Path, typer.Option(help='The .npz file to write.')],
             episodes: Annotated[int, typer.Option(min=1, max=100_000, help='How many.')] = 64,
             noise: Annotated[float, typer.Option(min=0, max=10, help='Deviation of a noise on actions.')] = 0,
             seed: SeedOption = 1, as_json: JsonOption = False) -> None:
    """Record what a run's policy does on its task, for train --algorithm bc or td3_bc --teacher FILE.npz."""
    from rl_robot_control.learning.recording import record_rollouts
    recording = record_rollouts(run, out, episodes, noise, seed)
    show_result({'recording': str(out), 'episodes': episodes, 'steps': len(recording.reward),
                 'mean_return': float(recording.reward.sum()) / episodes}, as_json, title='recorded')


@app.command()
def export(run: Annotated[Path, typer.Argument(metavar='RUN', help='Folder that train wrote.')],
           out: Annotated[Path | None, typer.Option(help='File to write; default RUN/policy.onnx.')] = None,
           as_json: JsonOption = False) -> None:
    """Write a run's policy as ONNX, with all that it needs to run."""
    from rl_robot_control.learning.export_run import export_run, run_members
    if out is not None and out.suffix != '.onnx':
        raise ConfigurationError(f"--out is '{out}'; the name of a policy file ends in .onnx.")
    members = run_members(run)
    if out is not None and len(members) > 1:
        raise ConfigurationError(f"'{run}' has learnt {len(members)} tasks and gives a file for each; leave --out out.")
    paths = [export_run(run, out, member) for member in members]
    results = [{'policy': str(path), 'bytes': path.stat().st_size} for path in paths]
    show_result(results[0] if len(results) == 1 else {'policies': results}, as_json, title='exported')
