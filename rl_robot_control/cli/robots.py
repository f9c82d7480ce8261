"""Commands that move a robot: deploy, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from rl_robot_control.cli.app import INTERRUPTED, app
from rl_robot_control.cli.common import (
    PROFILE,
    JsonOption,
    PolicyArgument,
    RateOption,
    RobotOption,
    SeedOption,
    fresh_folder,
    needed,
    read,
)
from rl_robot_control.cli.output import errors, print_json, print_table, progress, show_result


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
    checked = read(policy, robot, rate)
    if dry_run:
        model = load_robot(robot or checked.manifest.robot).with_controller(controller, controller_type)
        _dry_run(checked, model, namespace, driver, seconds, as_json)
        return
    profile, out = parse_profile(commands), fresh_folder(out, 'deploy')
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
        out = needed('out', earlier[-1] if earlier else None, 'the folder of the demo to resume; runs/ holds none')
    result = run_demo(out if resume else fresh_folder(out, 'demo'), robot=robot, task=task, seed=seed, steps=steps,
                      minutes=minutes, topic_minutes=topic_minutes, profile=commands, episodes=episodes, resume=resume,
                      console=errors())
    print(result.page)
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)
    if result.failed or result.passed is False:
        raise typer.Exit(1)


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
