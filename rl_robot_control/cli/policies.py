"""Commands about a policy file: evaluate, import, inspect, parity."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rl_robot_control.cli.app import app
from rl_robot_control.cli.common import (
    BackendOption,
    JsonOption,
    PolicyArgument,
    RateOption,
    RobotOption,
    SeedOption,
    Tested,
    over_topics,
    read,
)
from rl_robot_control.cli.output import errors, print_json, print_table, progress, show_result
from rl_robot_control.errors import ConfigurationError


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
    checked = read(policy, robot, rate)
    name = robot or checked.manifest.robot
    task = policy_task(checked.manifest, load_robot(name))
    with progress('evaluating') as show, over_topics(backend.value, name, task, None, gains=checked.manifest) as robots:
        result = run(checked, robot=name, episodes=episodes, seed=seed, speed=None if random_commands else speed,
                     duration=duration, backend=robots,
                     on_progress=lambda done, total: show(f'step {done} of {total}', done / total))
    show_result(result | {'backend': backend.value}, as_json, title=checked.path.name)


@app.command('import')
def import_policy(policy: Annotated[str, typer.Argument(metavar='FILE', help='A policy trained elsewhere.')],
                  out: Annotated[Path, typer.Option('--out', '-o', help='File to write.')],
                  robot: RobotOption = None, rate: RateOption = None, as_json: JsonOption = False) -> None:
    """Turn a policy trained elsewhere into a file of our own; what its file did not say is listed."""
    from rl_robot_control.policies.importing import write_native
    if out.suffix != '.onnx':
        raise ConfigurationError(f"--out is '{out}'; the name of a policy file ends in .onnx.")
    checked = read(policy, robot, rate)
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
    sections = describe(read(policy, robot, rate).manifest)
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
    checked = read(policy, robot, rate)
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
