"""The stages of the demo: each takes the context, does its part and returns its numbers for ``report.json``."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import math
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rl_robot_control.errors import RobotControlError
from rl_robot_control.files import write_whole
from rl_robot_control.report.page import Report
from rl_robot_control.robots import load_robot

PROFILE = 'stand:4 forward:8@0.6 5:0.3,0,0.4 stop:3'  # 20 s
PACKAGES = ('rl_robot_control', 'mujoco', 'numpy', 'torch', 'onnxruntime', 'gymnasium', 'ros-rclpy')
LEARNING, TOPICS, DEPLOYMENT, POLICY = 'learn', 'topics', 'deploy', 'policy.onnx'  # in the demo's folder
TOPICS_ALGORITHM = 'ppo_single'
BEFORE = 'return_before_topics.txt'
ROLLOUT = 20.0  # [s] of simulated time, for the return before and after training over topics


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """What a demo was started with; see ``demo.run_demo``."""

    robot: str
    task: str
    seed: int
    steps: int | None
    minutes: float | None
    topic_minutes: float
    profile: str
    episodes: int

    def identity(self) -> dict[str, Any]:
        """The settings that a resumed demo must share with its first part."""
        return {'robot': self.robot, 'task': self.task, 'seed': self.seed}


@dataclass(frozen=True, kw_only=True)
class StageContext:
    """What a stage works with."""

    settings: DemoSettings
    report: Report
    progress: Callable[[str, float], None]  # what happens, and how much of the stage is done [0, 1]

    @property
    def folder(self) -> Path:
        """The demo's folder."""
        return self.report.folder


def check(settings: DemoSettings) -> None:
    """Find what is wrong with the settings before minutes are spent on them.

    Raises:
        ConfigurationError: A name is unknown or a file is wrong.
    """
    from rl_robot_control.ros.command_profile import parse_profile
    from rl_robot_control.ros.processes import require_rclpy
    from rl_robot_control.tasks.task import load_task
    require_rclpy()
    load_task(settings.task, load_robot(settings.robot))
    parse_profile(settings.profile)


def new_report(folder: Path, settings: DemoSettings) -> Report:
    """An empty report of a demo."""
    robot = load_robot(settings.robot)
    return Report(folder, title=f'{robot.settings.description or robot.name} learns to walk',
                  subtitle='Learnt in memory, then over ROS 2 topics, exported to ONNX, and deployed behind the safety '
                           f'shield; seed {settings.seed}.',
                  settings={**asdict(settings), 'cores': os.cpu_count(), 'machine': platform.machine()},
                  versions=_versions(), stages=('learn', 'train over topics', 'export', 'deploy', 'report'))


def learn(context: StageContext) -> dict[str, Any]:
    """Learn in memory, under the shield."""
    from rl_robot_control.learning.settings import TrainingSettings
    from rl_robot_control.learning.trainer import Progress, train

    def show(progress: Progress) -> None:
        context.progress(f'{progress.steps / 1e6:.2f} of {progress.total_steps / 1e6:.2f} million steps, return '
                         f'{progress.mean_return:.1f}, {progress.steps_per_second:,.0f} steps/s',
                         progress.steps / progress.total_steps)

    wanted, out = context.settings, context.folder / LEARNING
    result = train(TrainingSettings(robot=wanted.robot, task=wanted.task, seed=wanted.seed, steps=wanted.steps,
                                    minutes=wanted.minutes), out, resume=_started(out), on_progress=show)
    if not result.finished:
        raise KeyboardInterrupt
    return {'steps': result.steps, 'total_steps': result.total_steps, 'minutes': result.minutes,
            'mean_return': result.mean_return,
            'summary': f'{result.steps / 1e6:.2f} million steps in {result.minutes:.1f} min, return '
                       f'{result.mean_return:.1f}'}


def train_over_topics(context: StageContext) -> dict[str, Any]:
    """Go on learning with one robot: training node → shield node → simulation node, in lock-step."""
    wanted, out = context.settings, context.folder / TOPICS
    if not (context.folder / BEFORE).is_file():
        with _lockstep(context) as backend:
            context.progress('evaluating before', 0.05)
            before = rollout_return(context.folder / LEARNING, backend, wanted.seed)
        write_whole(context.folder / BEFORE, f'{before!r}\n'.encode())

    steps, minutes = _learn_over_topics(context, out)
    with _lockstep(context) as backend:
        context.progress('evaluating after', 0.9)
        after = rollout_return(out, backend, wanted.seed)
    before = float((context.folder / BEFORE).read_text())
    return {'steps': steps, 'minutes': minutes, 'return_before': before, 'return_after': after,
            'summary': f'{steps:,} steps in {minutes:.1f} min; return before {before:.1f}, after {after:.1f}'}


def _learn_over_topics(context: StageContext, out: Path) -> tuple[int, float]:
    """Let the training node learn; its steps and minutes."""
    from rl_robot_control.bringup.deployment import train_in_lockstep
    from rl_robot_control.learning.run_folder import RunFolder
    wanted, folder = context.settings, RunFolder(out)
    resume = (out / 'checkpoint.pt').is_file()
    if not resume:
        shutil.rmtree(out, ignore_errors=True)  # a start that was killed before its first checkpoint

    def show() -> None:
        rows = folder.metrics()
        if rows:
            context.progress(f'{rows[-1]["steps"]:,} steps over topics, {rows[-1]["steps_per_second"]:,.0f} steps/s',
                             0.1 + 0.75 * min(1.0, rows[-1]['minutes'] / wanted.topic_minutes))

    learner = {'algorithm': TOPICS_ALGORITHM, 'out': str(out), 'resume': resume, 'seed': wanted.seed,
               'minutes': wanted.topic_minutes, 'warm_start': '' if resume else str(context.folder / LEARNING)}
    train_in_lockstep(wanted.robot, wanted.task, learner, log_directory=_topic_logs(context), watch=show)
    rows = folder.metrics()
    return (int(rows[-1]['steps']), rows[-1]['minutes']) if rows else (0, 0.0)


def rollout_return(run: Path, backend: Any, seed: int) -> float:
    """Sum of rewards of a run's policy, without exploration, in ``ROLLOUT`` seconds on the robots of a backend.

    The seed fixes starts, commands and pushes, so that two policies are asked for the same.
    """
    from rl_robot_control.envs import RobotVectorEnv
    from rl_robot_control.learning.networks import Actor
    from rl_robot_control.learning.run_folder import require_run
    from rl_robot_control.learning.run_policy import run_policy
    from rl_robot_control.tasks.task import load_task
    folder = require_run(run)
    settings = folder.settings()
    env = RobotVectorEnv(backend, load_task(settings.task, backend.robot), seed)
    network, world = run_policy(dataclasses.replace(settings, seed=seed), folder.load(), env)
    actor, total = Actor(network, world.num_robots), 0.0
    for _ in range(round(ROLLOUT / backend.control_period)):
        step = world.step(actor(world.observation))
        actor.forget(step.done)
        total += float(step.reward.mean())
    return total


def _lockstep(context: StageContext) -> Any:
    """The simulation and the shield in lock-step, in processes of their own; gives the backend over topics."""
    from rl_robot_control.bringup.deployment import bring_up_lockstep
    from rl_robot_control.tasks.task import load_task
    context.progress('starting the processes', 0.0)
    wanted = context.settings
    task = load_task(wanted.task, load_robot(wanted.robot))
    return bring_up_lockstep(wanted.robot, control_period=task.control_period, physics=task.settings.training_physics,
                             log_directory=_topic_logs(context))


def _topic_logs(context: StageContext) -> Path:
    return context.folder / 'logs' / TOPICS


def export(context: StageContext) -> dict[str, Any]:
    """Export the policy with its manifest, and evaluate the file in memory."""
    from rl_robot_control.learning.evaluation import evaluate
    from rl_robot_control.learning.export_run import export_run
    from rl_robot_control.policies.gate import read_policy
    context.progress('writing ONNX', 0.0)
    policy = export_run(best_run(context), context.folder / POLICY)

    def show(done: int, total: int) -> None:
        context.progress('evaluating in memory', done / total)

    found = evaluate(read_policy(policy), episodes=context.settings.episodes, seed=context.settings.seed,
                     on_progress=show)
    error = found['mean_speed_error']
    return {'policy': POLICY, 'bytes': policy.stat().st_size, 'evaluation': found,
            'summary': f'{found["episodes"] - found["falls"]} of {found["episodes"]} episodes without a fall'
                       + ('' if error is None else f', speed error {error:.2f} m/s')}


def best_run(context: StageContext) -> Path:
    """The run to export: the one that went on over topics, unless its policy got worse there."""
    topics = context.report.stage('train over topics')
    improved = topics['status'] == 'done' and topics['return_after'] >= 0.98 * topics['return_before']
    return context.folder / (TOPICS if improved else LEARNING)


def deploy(context: StageContext) -> dict[str, Any]:
    """Let the policy follow the velocity commands, and judge the recording."""
    from rl_robot_control.bringup.deployment import deploy as deploy_policy
    from rl_robot_control.policies.gate import read_policy
    from rl_robot_control.ros.command_profile import parse_profile
    out = context.folder / DEPLOYMENT
    shutil.rmtree(out, ignore_errors=True)  # an earlier attempt's, of a demo that is resumed
    result = deploy_policy(read_policy(context.folder / POLICY), profile=parse_profile(context.settings.profile),
                           out=out, progress=context.progress)
    found = context.report.stage('deploy')['run'] = _judge(context)
    if result.interruption:
        raise RobotControlError(f'the robot was stopped after {result.duration:.1f} s: {result.interruption}')
    error = found['mean_speed_error']
    return {'inference': result.inference, 'shield': result.shield,
            'summary': ('fell' if found['fell'] else 'no fall') + f' in {found["commanded_duration"]:.1f} s'
                       + ('' if error is None else f', speed error {error:.2f} m/s')}


def report(context: StageContext) -> dict[str, Any]:
    """Draw what there is."""
    from rl_robot_control.report import compose
    page, topics = context.report, context.report.stage('train over topics')
    page.clear_pictures()  # of an earlier attempt
    if remark := cut_short(page.stage('learn')):
        page.note(remark)
    context.progress('drawing figures', 0.1)
    curves = [compose.read_curve(context.folder / name / 'metrics.jsonl', label, 'steps', 'mean_return')
              for name, label in ((LEARNING, 'in memory'), (TOPICS, 'over topics'))]
    compose.add_learning_curve(page, curves, topics.get('return_before'), topics.get('return_after'))
    if (context.folder / DEPLOYMENT / 'recording.mcap').is_file():
        recording, robot, limits, period, gait = _recorded(context)
        compose.add_run_figures(page, recording, robot, limits, period, gait)
        page.write()
        context.progress('drawing the robot', 0.4)
        compose.add_pictures(page, recording, robot)
    return {'summary': f'{len(page.data["figures"])} figures'}


def cut_short(learned: dict[str, Any]) -> str:
    """What to say of learning in memory that its limit of time ended before its budget of steps; else nothing."""
    steps, wanted = learned.get('steps', 0), learned.get('total_steps', 0)
    if not 0 < steps < wanted:
        return ''
    enough = math.ceil(1.1 * learned['minutes'] * wanted / steps)
    return (f'Learning ended at its limit of time, after {steps / 1e6:.2f} of {wanted / 1e6:.2f} million steps: the '
            f'policy may be worse than it can be. At this speed all of them take about {enough} minutes: '
            f'rl_robot_control demo --minutes {enough}')


def _judge(context: StageContext) -> dict[str, Any]:
    from rl_robot_control.report.checks import summarise
    return summarise(*_recorded(context))


def _recorded(context: StageContext) -> tuple[Any, ...]:
    """The deployment's recording, and what is needed to judge it."""
    from rl_robot_control.ros.read_recording import read_recording
    from rl_robot_control.shield.limits import ShieldLimits
    from rl_robot_control.tasks.task import load_task
    robot = load_robot(context.settings.robot)
    interface = load_task(context.settings.task, robot).settings.interface
    return (read_recording(context.folder / DEPLOYMENT / 'recording.mcap', robot), robot,
            ShieldLimits.from_robot(robot), interface.control_period, interface.gait.period)


def _started(run: Path) -> bool:
    return (run / 'settings.yaml').is_file()


def _versions() -> dict[str, str]:
    found = {'python': platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # run from the sources, or ROS 2 from the system
            continue
    return found
