"""The command line: train, tune, rollouts, evaluate, export, import, inspect, parity, deploy, demo, list, bench,
doctor.

Results go to stdout (``--json``: one JSON object and nothing else), progress and errors to stderr. Exit codes: 0 done,
1 done but the result is bad, 2 the user can mend it, 130 interrupted.

Each command imports what it needs when it runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import enum
import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.text import Text
from typer.core import TyperGroup

from rl_robot_control.cli_output import errors, print_json, print_table, progress, show_result
from rl_robot_control.errors import ConfigurationError, RobotControlError, UnknownNameError

INTERRUPTED = 130
KINDS = ('robots', 'tasks', 'algorithms', 'policies')
PROFILE = 'stand:4 forward:8@0.6 5:0.3,0,0.4 stop:3'  # 20 s


class Group(TyperGroup):
    """Turns errors that the user can mend into one message."""

    def invoke(self, context: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(context)
        except RobotControlError as error:
            errors().print(f'[red]error:[/red] {escape(str(error))}', soft_wrap=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not break the farewell
            errors().print('interrupted.')
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(cls=Group, add_completion=False, no_args_is_help=True, rich_markup_mode='rich',
                  pretty_exceptions_enable=False, context_settings={'help_option_names': ['-h', '--help']},
                  help='Teaches robots by reinforcement learning under a safety shield, and runs what they learnt over '
                       'ROS 2.')


class Where(str, enum.Enum):
    """Where the robot lives."""

    mujoco = 'mujoco'
    ros = 'ros'
    realtime = 'realtime'


class Budget(str, enum.Enum):
    """What steps cost."""

    simulation = 'simulation'
    hardware = 'hardware'


class Tested(str, enum.Enum):
    """Where a policy is tried."""

    mujoco = 'mujoco'
    ros = 'ros'
    running = 'running'


PolicyArgument = Annotated[str, typer.Argument(metavar='POLICY', help='An .onnx file, or a bundled name.')]
RobotOption = Annotated[str | None, typer.Option('--robot', help='Name in config/robots, or path of a YAML file.')]
SeedOption = Annotated[int, typer.Option('--seed', min=0, max=2**32 - 1, help='Source of everything random.')]
BackendOption = Annotated[Tested, typer.Option('--backend', help='mujoco: in memory; ros: over topics, in lock-step; '
                                               'running: likewise, with a simulation and a shield that run.')]
RateOption = Annotated[float | None, typer.Option('--rate', min=1.0, max=1000.0, help='Control rate of a policy whose '
                                                  'file does not say it [Hz]; default 50.')]
JsonOption = Annotated[bool, typer.Option('--json', help='Print one JSON value and nothing else.')]


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
        stored = RunFolder(_needed('out', out, 'the folder of the run to resume')).settings()
        asked = {key: getattr(stored, key) for key in FIXED} | asked
    for name in ('robot', 'task'):
        _needed(name, asked.get(name), f'one of: {", ".join(_names(f"{name}s"))}')
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

    with progress('training') as show, _robots(settings.backend, settings.robot, settings.task, out / 'logs',
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
            _needed(name, asked.get(name), f'one of: {", ".join(_names(f"{name}s"))}')
    from rl_robot_control.learning.tuning import TuningProgress, stored_plan
    from rl_robot_control.learning.tuning import tune as run
    from rl_robot_control.learning.tuning_space import make_plan
    if resume:
        plan = stored_plan(_needed('out', out, 'the folder of the search to resume'), **asked)
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
def evaluate(
        policy: PolicyArgument, backend: BackendOption = Tested.mujoco,
        episodes: Annotated[int, typer.Option(min=1, max=100_000, help='How many.')] = 50,
        seed: SeedOption = 1,
        speed: Annotated[float, typer.Option(min=-10, max=10, help='Commanded forward velocity [m/s].')] = 0.6,
        random_commands: Annotated[bool, typer.Option('--random-commands', help="The task's own.")] = False,
        duration: Annotated[float, typer.Option(min=0.1, max=3600, help='Of an episode [s].')] = 10.0,
        robot: RobotOption = None, rate: RateOption = None, as_json: JsonOption = False) -> None:
    """Measure a policy: falls, velocity errors, shield corrections."""
    from rl_robot_control.learning.evaluation import evaluate as run
    from rl_robot_control.learning.evaluation import policy_task
    from rl_robot_control.robots import load_robot
    checked = _read(policy, robot, rate)
    name = robot or checked.manifest.robot
    task = policy_task(checked.manifest, load_robot(name))
    with progress('evaluating') as show, _robots(backend.value, name, task, None, gains=checked.manifest) as robots:
        result = run(checked, robot=name, episodes=episodes, seed=seed, speed=None if random_commands else speed,
                     duration=duration, backend=robots,
                     on_progress=lambda done, total: show(f'step {done} of {total}', done / total))
    show_result(result | {'backend': backend.value}, as_json, title=checked.path.name)


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


@app.command('import')
def import_policy(policy: Annotated[str, typer.Argument(metavar='FILE', help='A policy trained elsewhere.')],
                  out: Annotated[Path, typer.Option('--out', '-o', help='File to write.')],
                  robot: RobotOption = None, rate: RateOption = None, as_json: JsonOption = False) -> None:
    """Turn a policy trained elsewhere into a file of our own; what its file did not say is listed."""
    from rl_robot_control.policies.importing import write_native
    if out.suffix != '.onnx':
        raise ConfigurationError(f"--out is '{out}'; the name of a policy file ends in .onnx.")
    checked = _read(policy, robot, rate)
    write_native(checked, out)
    origin = checked.manifest.origin
    summary = {'policy': str(out), 'robot': checked.manifest.robot, 'dialect': origin.dialect if origin else 'native'}
    assumed = list(origin.assumptions) if origin else []
    if as_json:
        print_json(summary | {'assumptions': assumed})
        return
    show_result(summary | {f'assumed ({i + 1})': text for i, text in enumerate(assumed)}, False, title='imported')


@app.command()
def inspect(policy: PolicyArgument, robot: RobotOption = None, rate: RateOption = None,
            as_json: JsonOption = False) -> None:
    """Show what a policy file says about itself: origin, interface, observation, joints."""
    from rl_robot_control.policies.description import describe
    sections = describe(_read(policy, robot, rate).manifest)
    if as_json:
        print_json({s.title: {'columns': s.columns, 'rows': s.rows} for s in sections})
        return
    for section in sections:
        print_table(section.title, section.columns, section.rows)


@app.command()
def parity(
        policy: PolicyArgument,
        recording: Annotated[Path, typer.Argument(metavar='RECORDING', help='MCAP file of a robot that it drove.')],
        robot: RobotOption = None, rate: RateOption = None, seed: SeedOption = 1,
        all_values: Annotated[bool, typer.Option('--all', help='Every value, not only those that differ.')] = False,
        plot: Annotated[Path | None, typer.Option(help='PNG to draw every term into, over time.')] = None,
        as_json: JsonOption = False) -> None:
    """Say why it walks in simulation and not on the robot: what it observed there, beside what it does in MuJoCo."""
    if plot is not None and plot.suffix != '.png':
        raise ConfigurationError(f"--plot is '{plot}'; the name of a picture ends in .png.")
    from rl_robot_control.report.parity import compare
    from rl_robot_control.report.parity_tables import as_plain, tables
    from rl_robot_control.robots import load_robot
    from rl_robot_control.ros.processes import require_rclpy
    require_rclpy()
    from rl_robot_control.ros.read_recording import read_recording
    checked = _read(policy, robot, rate)
    model = load_robot(robot or checked.manifest.robot)
    with progress('parity') as show:
        show('replaying and simulating', 0.0)
        found = compare(checked, read_recording(recording, model), model, seed)
    if as_json:
        print_json(as_plain(found))
    else:
        for title, columns, rows, notes in tables(found, all_values):
            print_table(title, columns, rows, notes)
    if plot is not None:
        from rl_robot_control.report.parity_figure import terms_over_time
        plot.parent.mkdir(parents=True, exist_ok=True)
        terms_over_time(plot, found)
        errors().print(f'the terms over time: {plot}', soft_wrap=True)
    if not found.agrees or any(value.differs for value in found.values):
        raise typer.Exit(1)


@app.command()
def deploy(
        policy: PolicyArgument, robot: RobotOption = None,
        commands: Annotated[str, typer.Option(help='Velocity commands: pieces SECONDS:VX,VY,WZ or '
                                                   'NAME:SECONDS@VALUE.')] = PROFILE,
        out: Annotated[Path | None, typer.Option(help='For recording and logs; default runs/deploy_TIME.')] = None,
        record: Annotated[bool, typer.Option(help='Record the topics, and judge the run by them.')] = True,
        rate: RateOption = None,
        also: Annotated[list[str] | None, typer.Option(help='Another policy, NAME=FILE; may be repeated. --commands '
                                                            'switches to it with use_NAME:SECONDS.')] = None,
        fallback: Annotated[str, typer.Option(help='Policy that takes over where the active one fails.')] = '',
        motion_end: Annotated[str, typer.Option(help='After a motion: hold, loop, or the name of a policy.')] = 'hold',
        controller: Annotated[str, typer.Option(help="Name of the joint controller; default: the robot's.")] = '',
        controller_type: Annotated[str, typer.Option(help='What it takes: position, effort, trajectory, joint_state or '
                                                          "drive; default: as the robot's YAML says.")] = '',
        dry_run: Annotated[bool, typer.Option('--dry-run', help='Start nothing and move nothing: check the robot that '
                                                                'is running, item by item.')] = False,
        namespace: Annotated[str, typer.Option(help='Of the running robot, for --dry-run.')] = '',
        driver: Annotated[str, typer.Option(help="Node with the drives' gains, for --dry-run; empty: none.")] = '',
        seconds: Annotated[float, typer.Option(min=0.5, max=600, help='To listen, for --dry-run [s].')] = 3.0,
        as_json: JsonOption = False) -> None:
    """Run a policy on the simulated robot in real time: simulation, shield and inference node, each a process."""
    from rl_robot_control.robots import load_robot
    from rl_robot_control.ros.command_profile import parse_profile
    from rl_robot_control.ros.processes import require_rclpy
    require_rclpy()
    checked = _read(policy, robot, rate)
    if dry_run:
        model = load_robot(robot or checked.manifest.robot).with_controller(controller, controller_type)
        _dry_run(checked, model, namespace, driver, seconds, as_json)
        return
    profile, out = parse_profile(commands), _fresh(out, 'deploy')
    from rl_robot_control.bringup.deployment import deploy as run
    with progress('deploying') as show:
        result = run(checked, profile=profile, out=out, robot=robot, rate=rate, also=also or [], fallback=fallback,
                     motion_end=motion_end, controller=controller, controller_type=controller_type, record=record,
                     progress=show)
    summary: dict[str, Any] = {
        'robot': result.robot, 'duration': result.duration, 'interruption': result.interruption,
        'recording': str(result.recording) if record else None, 'logs': str(result.log_directory)}
    summary |= _judge(result.recording, result.robot, checked.manifest) if record else {}
    show_result(summary, as_json, title=checked.path.name)
    if result.interruption or summary.get('fell'):
        raise typer.Exit(1)


@app.command()
def demo(
        out: Annotated[Path | None, typer.Option(help='Folder for everything; default runs/demo_TIME; with --resume '
                                                      'the latest of these.')] = None,
        robot: Annotated[str, typer.Option(help='Name in config/robots, or path of a YAML file.')] = 'unitree_g1',
        task: Annotated[str, typer.Option(help='Name in config/tasks, or path of a YAML file.')] = 'walk',
        seed: SeedOption = 1,
        steps: Annotated[int | None, typer.Option(min=1, help='Of the stage that learns in memory.')] = None,
        minutes: Annotated[float, typer.Option(min=0.001, help='Of the stage that learns in memory, at most.')] = 4.0,
        topic_minutes: Annotated[float, typer.Option(min=0.01, max=600, help='Of training over topics.')] = 0.4,
        commands: Annotated[str, typer.Option(help='Velocity commands of the deployed robot.')] = PROFILE,
        episodes: Annotated[int, typer.Option(min=1, max=100_000, help='With which the policy is evaluated.')] = 50,
        resume: Annotated[bool, typer.Option('--resume', help='Go on with the demo in the folder.')] = False) -> None:
    """Learn to walk, train over topics, export, deploy and report: at most six minutes on two cores."""
    from rl_robot_control.demo import run_demo
    if resume and out is None:
        earlier = sorted(Path('runs').glob('demo_*'))
        out = _needed('out', earlier[-1] if earlier else None, 'the folder of the demo to resume; runs/ holds none')
    result = run_demo(out if resume else _fresh(out, 'demo'), robot=robot, task=task, seed=seed, steps=steps,
                      minutes=minutes, topic_minutes=topic_minutes, profile=commands, episodes=episodes, resume=resume,
                      console=errors())
    print(result.page)
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)
    if result.failed or result.passed is False:
        raise typer.Exit(1)


@app.command('list')
def list_names(kind: Annotated[str, typer.Argument(metavar='|'.join(KINDS), help='What to list.')],
               as_json: JsonOption = False) -> None:
    """List robots, tasks, algorithms or bundled policies."""
    names = _names(kind)
    if as_json:
        print_json(names)
        return
    if not names:
        errors().print(f'no {kind}.')
    width = max(map(len, names), default=0)
    for name in names:
        print(f'{name:{width}}  {_description(kind, name)}'.rstrip())


@app.command()
def bench(name: Annotated[str, typer.Argument(metavar='NAME', help='vector_env, lockstep, shield or inference.')],
          as_json: JsonOption = False) -> None:
    """Measure the speed of a part beside a bare reference."""
    import inspect as inspect_module

    from rl_robot_control.config import config_directory
    folder = config_directory().parent / 'benchmarks'
    names = [path.stem for path in folder.glob('*.py')]
    if name not in names:
        raise UnknownNameError('benchmark', name, names)
    with progress(name) as show:
        show('measuring', 0.0)
        measure = _load(folder / f'{name}.py').measure
        needed = [p.name for p in inspect_module.signature(measure).parameters.values() if p.default is p.empty]
        if needed:
            raise ConfigurationError(f"benchmark '{name}' runs on its own: it wants to know {', '.join(needed)}. See: "
                                     f"python {folder / f'{name}.py'} --help")
        result = measure()
    show_result(result, as_json, title=name)


@app.command()
def doctor(robot: Annotated[str | None, typer.Option(help='Show its limits, and where each comes from.')] = None,
           as_json: JsonOption = False) -> None:
    """Check this installation, or show a robot's limits."""
    from rl_robot_control import doctor as checks
    if robot is not None:
        tables = checks.limits_tables(robot)
        if as_json:
            print_json([table.as_dict() for table in tables])
        else:
            for table in tables:
                print_table(table.title, table.columns, table.rows, (*table.notes, ''))
        return
    findings = []
    for check in checks.CHECKS:
        findings += check()
    if as_json:
        print_json([finding.as_dict() for finding in findings])
    else:
        marks = {True: Text('ok', 'green'), False: Text('missing', 'red'), None: Text('note', 'yellow')}
        rows = [(marks[f.good], f.name, f.detail + (f'\n→ {f.advice}' if f.advice else '')) for f in findings]
        print_table('installation', ('', 'what', ''), rows)
    if any(finding.good is False for finding in findings):
        raise typer.Exit(1)


def _needed(option: str, value: Any, what: str) -> Any:
    if value is None:
        raise ConfigurationError(f'--{option} is missing; give {what}.')
    return value


def _read(policy: str, robot: str | None, rate: float | None) -> Any:
    """A policy by its bundled name or path, checked."""
    from rl_robot_control.policies import find_policy
    from rl_robot_control.policies.gate import read_policy
    return read_policy(find_policy(policy), robot=robot, rate=rate)


def _description(kind: str, name: str) -> str:
    """What a settings file says of itself; nothing for a policy."""
    from rl_robot_control.config import find_config, load_yaml
    if kind == 'policies':
        return ''
    return str(load_yaml(find_config(kind, name)).get('description', ''))


def _names(kind: str) -> list[str]:
    if kind not in KINDS:
        raise UnknownNameError('kind', kind, KINDS)
    from rl_robot_control.config import config_names
    if kind == 'policies':
        from rl_robot_control.policies import list_policies
        return list_policies()
    return config_names(kind)


def _fresh(out: Path | None, kind: str) -> Path:
    """The folder that was asked for, which must be empty, or a new one below ``runs``."""
    if out is None:
        import time
        return Path('runs') / time.strftime(f'{kind}_%Y-%m-%d_%H-%M-%S')
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        hint = 'go on with it with --resume, or ' if kind == 'demo' else ''
        raise ConfigurationError(f"'{out}' is not empty; {hint}give another folder with --out.")
    return out


def _robots(backend: str, robot: str, task: Any, logs: Path | None, training: bool = False, gains: Any = None) -> Any:
    """Context that gives the robots over topics, or None for MuJoCo worlds in memory."""
    if backend == 'mujoco':
        return nullcontext()
    from rl_robot_control.robots import load_robot
    from rl_robot_control.ros.processes import require_rclpy
    from rl_robot_control.tasks.task import load_task
    require_rclpy()
    loaded = load_task(task, load_robot(robot)) if isinstance(task, str) else task
    from rl_robot_control.bringup.deployment import bring_up_lockstep, running_lockstep
    if backend == 'running':
        return running_lockstep(robot, control_period=loaded.control_period, gains=gains)
    if backend == 'realtime':
        from rl_robot_control.bringup.deployment import bring_up_real_time
        return bring_up_real_time(robot, task, log_directory=logs)
    physics = loaded.settings.training_physics if training else loaded.settings.physics
    return bring_up_lockstep(robot, control_period=loaded.control_period, physics=physics, log_directory=logs,
                             held=loaded.settings.base == 'held', gains=gains)


def _dry_run(checked: Any, robot: Any, namespace: str, driver: str, seconds: float, as_json: bool) -> None:
    """Print the checklist of a running robot; it ends with 1 where an item fails."""
    import os

    from rl_robot_control.bringup.checklist import check, listen
    from rl_robot_control.policies.runner import PolicyRunner
    from rl_robot_control.ros.inference_core import needed_quantities
    runner = PolicyRunner(checked, robot)
    with progress('dry run') as show:
        show(f'listening for {seconds:g} s', 0.0)
        heard = listen(runner.robot, int(os.environ.get('ROS_DOMAIN_ID') or 0), namespace, seconds, driver=driver)
    needed = needed_quantities(runner.interface.settings, runner.robot)
    items = check(heard, runner.robot, checked.manifest, needed, driver=driver)
    if as_json:
        print_json([vars(item) for item in items])
    else:
        marks = {True: Text('pass', 'green'), False: Text('fail', 'red'), None: Text('note', 'yellow')}
        failed = sum(item.good is False for item in items)
        print_table(f'{checked.path.name} on {runner.robot.name}, nothing moved', ('', 'what', ''),
                    [(marks[item.good], item.name, item.detail) for item in items],
                    (f'{failed} of {len(items)} fail.' if failed else 'Nothing fails.',))
    if any(item.good is False for item in items):
        raise typer.Exit(1)


def _judge(recording: Path | None, robot: str, manifest: Any) -> dict[str, Any]:
    from rl_robot_control.policies.matching import policy_robot
    from rl_robot_control.report.checks import summarise
    from rl_robot_control.robots import load_robot
    from rl_robot_control.ros.read_recording import read_recording
    from rl_robot_control.shield.limits import ShieldLimits
    model = policy_robot(manifest, load_robot(robot))
    return summarise(read_recording(recording, model), model, ShieldLimits.from_robot(model), manifest.control_period,
                     manifest.interface.gait.period)


def _load(path: Path) -> Any:
    """Run a Python file as a module."""
    import importlib.util
    spec = importlib.util.spec_from_file_location(f'rl_robot_control_benchmark_{path.stem}', path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
