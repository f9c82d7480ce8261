"""What ``algorithms.py`` measures: each row of its table, with what it must reach.

Policies are scored without exploration over ``EPISODES`` episodes of the task's training physics.
"""

from __future__ import annotations

import dataclasses
import fcntl
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rl_robot_control.envs import RobotVectorEnv, make_training_env
from rl_robot_control.learning.run_folder import SETTINGS, RunFolder
from rl_robot_control.learning.scoring import Acting, RandomActor, Score, score, score_run
from rl_robot_control.learning.settings import TrainingSettings, load_algorithm
from rl_robot_control.learning.trainer import Progress, train
from rl_robot_control.robots import load_robot
from rl_robot_control.tasks.task import load_member, load_task

EPISODES = 64
ROBOTS = {'joint_servo': 'servo', 'balance': 'cart_pole', 'push': 'pusher', 'table_reach': 'pusher',
          'table_push': 'pusher', 'table_hold': 'pusher', 'table_skills': 'pusher'}  # of the others: the G1
GOOD = {'joint_servo': 3.3, 'balance': 5.9, 'reach': 6.8, 'stand': 27.0, 'walk': 25.0}  # returns that count as 1: about
# the best that any method reached


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    name: str
    family: str
    what: str  # method and task, for people
    trial: Callable[[int, Path], dict[str, float]]  # seed and folder → numbers
    shown: tuple[str, ...]  # of the numbers, in this order
    demand: str  # for people
    met: Callable[[dict[str, float]], bool]  # on the means over the seeds
    pair: tuple[str, str] | None = None  # algorithm and task whose file in config/algorithms says what was measured
    short: bool = False  # part of the short form


def robot_of(task: str) -> str:
    """Name of the robot that a task of the table is for."""
    return ROBOTS.get(task, 'unitree_g1')


def scoring_env(task: str, member: str | None = None) -> RobotVectorEnv:
    """Robots whose episodes begin with the reset."""
    robot = load_robot(robot_of(task))
    tasks = [load_task(task, robot) if member is None else load_member(task, member, robot)]
    return make_training_env(tasks, EPISODES, 0, stagger=False)


def fit(task: str, algorithm: str, seed: int, out: Path, steps: int | None, *, until: float = np.inf,
        warm_start: Path | None = None, **more: Any) -> Path:
    """Train, or go on training; returns the run's folder.

    Args:
        until: Steps after which to stop short of the budget, whose schedules the run follows.
    """
    def stop(progress: Progress) -> None:
        if progress.steps >= until:
            raise KeyboardInterrupt  # keeps the checkpoint

    if algorithm != 'a3c':  # two trials share the two cores: each is one worker, with its share of a team's robots
        _, rules = load_algorithm(algorithm, task)
        more = {'workers': 1, 'num_envs': rules.num_envs // rules.workers} | more
    settings = TrainingSettings(robot=robot_of(task), task=task, algorithm=algorithm, seed=seed, steps=steps, **more)
    train(settings, out, warm_start=warm_start, resume=(out / SETTINGS).is_file(), on_progress=stop)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the stop left it ignored
    return out


def fit_once(task: str, seed: int, out: Path, steps: int) -> Path:
    """A run of PPO that several rows begin with: trained by the trial that comes first; returns its folder."""
    run = out.parent / 'shared' / f'{task}_{seed}_{steps}'
    run.parent.mkdir(parents=True, exist_ok=True)
    with run.with_suffix('.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # let go of by the kernel, however a trial ends
        return fit(task, 'ppo', seed, run, steps)


def rate(run: Path, task: str, member: str | None = None) -> Score:
    """Score a run's policy on a task, which need not be the run's own."""
    return score_run(run, scoring_env(task, member))


def at_random(task: str) -> Score:
    """Score of random actions."""
    return acted(task, RandomActor)


def scripted(task: str) -> Score | None:
    """Score of a hand-written controller; None: there is none."""
    return acted(task, lambda env: Script(SCRIPTS[task])) if task in SCRIPTS else None


def acted(task: str, make: Callable[[RobotVectorEnv], Acting]) -> Score:
    """Score of what acts in a task without having learnt it."""
    env = scoring_env(task)
    try:
        return score(make(env), env)
    finally:
        env.close()


class Script:
    """A hand-written controller.

    Args:
        rule: Observations (N, D) to actions (N, A).
    """

    def __init__(self, rule: Callable[[np.ndarray], np.ndarray]) -> None:
        self._rule = rule

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """Actions (N, A)."""
        return np.clip(self._rule(observation), -1.0, 1.0)

    def forget(self, robots: np.ndarray) -> None:
        """Nothing to forget."""


def servo_script(seen: np.ndarray) -> np.ndarray:
    """Proportional and derivative, with the rod's weight carried; observes bearing, 0.1 · velocity, position."""
    weight = 0.3 * 9.81 * 0.15 * np.sin(seen[:, 2])
    return ((2.0 * seen[:, 0] - 2.5 * seen[:, 1] + weight) / 1.5)[:, None]


def balance_script(seen: np.ndarray) -> np.ndarray:
    """State feedback; observes cart and pole, and half of their velocities."""
    return ((3.0 * seen[:, 0] + 60.0 * seen[:, 1] + 10.0 * seen[:, 2] + 20.0 * seen[:, 3]) / 10.0)[:, None]


def push_script(seen: np.ndarray) -> np.ndarray:
    """Get behind the puck, then go through it toward the target; observes 5 · positions first, 5 · target last."""
    finger, puck, target = seen[:, :2] / 5 + [-0.15, 0.0], seen[:, 2:4] / 5, seen[:, 8:10] / 5
    away = target - puck
    direction = away / np.maximum(1e-6, np.linalg.norm(away, axis=1, keepdims=True))
    behind = puck - 0.08 * direction
    aligned = ((puck - finger) * direction).sum(axis=1) > 0.9 * np.linalg.norm(puck - finger, axis=1)
    near = np.linalg.norm(away, axis=1) < 0.02
    goal = np.where(near[:, None], finger, np.where(aligned[:, None], target - 0.06 * direction, behind))
    return 15.0 * (goal - finger)


SCRIPTS = {'joint_servo': servo_script, 'balance': balance_script, 'push': push_script, 'table_push': push_script}


def learns(task: str, algorithm: str, steps: int, share: float, family: str) -> Row:
    """A method on a task: how far it gets from random (0) toward a good policy (1)."""
    def trial(seed: int, out: Path) -> dict[str, float]:
        run = fit_once(task, seed, out, steps) if algorithm == 'ppo' else fit(task, algorithm, seed, out / 'run', steps)
        found, chance, script = rate(run, task), at_random(task), scripted(task)
        checkpoint = RunFolder(run).load()
        numbers = {'return': found.mean_return, 'random': chance.mean_return, 'success': found.success_rate,
                   'share': (found.mean_return - chance.mean_return) / (GOOD[task] - chance.mean_return),
                   'steps': checkpoint['steps'], 'seconds': checkpoint['seconds']}
        return numbers | ({} if script is None else {'script': script.mean_return})
    return Row(name=f'{algorithm}_{task}', family=family, what=f'`{algorithm}` on `{task}`', trial=trial,
               shown=('return', 'random', 'script', 'success', 'steps', 'seconds'),
               demand=f'{share:.0%} of the way from random to {GOOD[task]:g}', met=lambda mean: mean['share'] >= share,
               pair=(algorithm, task), short=(algorithm, task) == ('dqn', 'joint_servo'))


def hindsight(task: str, steps: int, least: float, most: float) -> Row:
    """Hindsight beside plain SAC on a sparse task."""
    def trial(seed: int, out: Path) -> dict[str, float]:
        her, plain = fit(task, 'her', seed, out / 'her', steps), fit(task, 'sac', seed, out / 'sac', steps)
        script = scripted(task)
        numbers = {'success': rate(her, task).success_rate, 'SAC': rate(plain, task).success_rate,
                   'random': at_random(task).success_rate, 'steps': steps,
                   'seconds': RunFolder(her).load()['seconds']}
        return numbers | ({} if script is None else {'script': script.success_rate})
    return Row(name=f'her_{task}', family='goals', what=f'`her` on sparse `{task}`', trial=trial,
               shown=('success', 'SAC', 'random', 'script', 'steps', 'seconds'),
               demand=f'success >= {least:.0%}, plain SAC <= {most:.0%}', pair=('her', task),
               met=lambda mean: mean['success'] >= least and mean['SAC'] <= most)


def randomised(task: str, steps: int, more_steps: int, varying: str = '') -> Row:
    """Going on in worlds that differ beside going on in one, both scored where worlds differ.

    Args:
        varying: Task to go on with; empty: the one that both are scored on.
    """
    robust = f'{task}_robust'
    varying = varying or robust

    def trial(seed: int, out: Path) -> dict[str, float]:
        start = fit_once(task, seed, out, steps)
        varied = fit(varying, 'ppo', seed, out / 'varied', more_steps, warm_start=start)
        plain = fit(task, 'ppo', seed, out / 'plain', more_steps, warm_start=start)
        return {'varied': rate(varied, robust).mean_return, 'plain': rate(plain, robust).mean_return,
                'plain at home': rate(plain, task).mean_return, 'varied at home': rate(varied, task).mean_return,
                'random': at_random(robust).mean_return, 'steps': steps + more_steps}
    return Row(name=f'randomised_{task}', family='domain randomisation', what=f'`ppo` on `{task}`, then on `{varying}`',
               trial=trial, shown=('varied', 'plain', 'varied at home', 'plain at home', 'random', 'steps'),
               demand='better than learnt without, in perturbed worlds', met=lambda m: m['varied'] > m['plain'])


def first(task: str, judged: str, algorithm: str, seed: int, out: Path, piece: int, pieces: int, enough: float,
          ) -> tuple[float, float]:
    """Steps after which a policy is good enough, infinite where it never is, and its return then."""
    value = -np.inf
    for i in range(1, pieces + 1):
        run = fit(task, algorithm, seed, out, pieces * piece, until=i * piece)
        value = rate(run, judged).mean_return
        if value >= enough:
            return RunFolder(run).load()['steps'], value
    return np.inf, value


def curriculum(task: str, wide: str, algorithm: str, piece: int, pieces: int, enough: float) -> Row:
    """Steps until a policy masters the full range, with and without a curriculum."""
    def trial(seed: int, out: Path) -> dict[str, float]:
        grown = first(task, wide, algorithm, seed, out / 'a', piece, pieces, enough)
        plain = first(wide, wide, algorithm, seed, out / 'b', piece, pieces, enough)
        return {'steps with': grown[0], 'steps without': plain[0], 'return with': grown[1], 'return without': plain[1],
                'random': at_random(wide).mean_return}
    return Row(name=f'curriculum_{task.partition("_")[0]}', family='curriculum', what=f'`{algorithm}` on `{task}`',
               trial=trial, shown=('steps with', 'steps without', 'return with', 'return without', 'random'),
               demand=f'return {enough:g} on the full range in fewer steps than without',
               met=lambda mean: mean['steps with'] < mean['steps without'])


def sooner(task: str, algorithm: str, piece: int, other: str, other_piece: int, pieces: int, enough: float) -> Row:
    """Steps that a method needs for a return, beside another method."""
    def trial(seed: int, out: Path) -> dict[str, float]:
        steps, value = first(task, task, algorithm, seed, out / 'a', piece, pieces, enough)
        others, reached = first(task, task, other, seed, out / 'b', other_piece, pieces, enough)
        return {'steps': steps, 'return': value, f'steps of {other}': others, f'return of {other}': reached,
                'at least': min(others, pieces * other_piece)}  # where it never got there it had its whole budget
    return Row(name=f'{algorithm}_before_{other}_{task}', family='model-based',
               what=f'`{algorithm}` beside `{other}` on `{task}`', trial=trial,
               shown=('steps', f'steps of {other}', 'return', f'return of {other}'),
               demand=f'return {enough:g} with at most 1/5 of its steps',
               met=lambda mean: mean['steps'] <= mean['at least'] / 5)


def several(name: str, members: tuple[str, ...], algorithm: str, steps: int) -> Row:
    """One policy for several tasks beside one policy for each; as many steps and robots for each task."""
    def trial(seed: int, out: Path) -> dict[str, float]:
        run = fit(name, algorithm, seed, out / 'all', steps * len(members))
        numbers = {}
        for member in members:
            alone = fit(member, algorithm, seed, out / member, steps)
            chance = at_random(member).mean_return
            together, single = rate(run, name, member).mean_return, rate(alone, member).mean_return
            numbers |= {f'{member}': together, f'{member} alone': single,
                        f'{member} kept': (together - chance) / (single - chance)}
        return numbers | {'steps': steps}
    shown = tuple(f'{member}{suffix}' for member in members for suffix in ('', ' alone', ' kept'))
    return Row(name=name, family='multi-task', what=f'`{algorithm}` on `{name}`', trial=trial,
               shown=(*shown, 'steps'), demand='each task keeps 90 % of what a policy of its own gains',
               met=lambda m: all(value >= 0.9 for key, value in m.items() if key.endswith(' kept')))


def transferred(source: str, task: str, steps: int, more_steps: int) -> Row:
    """Going on from a policy of another task beside beginning anew."""
    def trial(seed: int, out: Path) -> dict[str, float]:
        start = fit_once(source, seed, out, steps)
        warm = fit(task, 'ppo', seed, out / 'warm', more_steps, warm_start=start)
        cold = fit(task, 'ppo', seed, out / 'cold', more_steps)
        return {'warm': rate(warm, task).mean_return, 'anew': rate(cold, task).mean_return,
                'before': rate(start, task).mean_return, 'random': at_random(task).mean_return, 'steps': more_steps}
    return Row(name=f'transfer_{source}_{task}', family='transfer', what=f'`ppo`, `{source}` → `{task}`',
               trial=trial, shown=('warm', 'anew', 'before', 'random', 'steps'),
               demand='better than anew with the same steps', met=lambda m: m['warm'] > m['anew'])


def taught(task: str, steps: int) -> tuple[Row, ...]:
    """A student of a privileged teacher, and policies from a recording of it."""
    def kept(run: Path, best: float, chance: float) -> float:
        return (rate(run, task).mean_return - chance) / (best - chance)

    def student(seed: int, out: Path) -> dict[str, float]:
        teacher = fit(task, 'ppo_privileged', seed, out / 'teacher', steps)
        best, chance = rate(teacher, task).mean_return, at_random(task).mean_return
        run = fit(task, 'dagger', seed, out / 'student', 40_000, teacher=str(teacher))
        checkpoint, found = RunFolder(run).load(), rate(run, task)
        return {'student': found.mean_return, 'teacher': best, 'random': chance, 'kept': kept(run, best, chance),
                'return': found.mean_return, 'success': found.success_rate, 'steps': checkpoint['steps'],
                'seconds': checkpoint['seconds']}

    def recorded(algorithm: str) -> Callable[[int, Path], dict[str, float]]:
        def trial(seed: int, out: Path) -> dict[str, float]:
            from rl_robot_control.learning.recording import record_rollouts
            expert = fit_once(task, seed, out, steps)
            recording = out / 'recording.npz'
            if not recording.is_file():
                record_rollouts(expert, recording, 64, 0.1, seed)
            best, chance = rate(expert, task).mean_return, at_random(task).mean_return
            run = fit(task, algorithm, seed, out / 'run', None, teacher=str(recording))
            found = rate(run, task)
            return {'return': found.mean_return, 'success': found.success_rate, 'expert': best, 'random': chance,
                    'kept': kept(run, best, chance), 'seconds': RunFolder(run).load()['seconds']}
        return trial
    rows = [Row(name=f'student_{task}', family='transfer', what=f'`dagger` of `ppo_privileged` on `{task}`',
                trial=student, shown=('student', 'teacher', 'random', 'kept', 'steps', 'seconds'),
                pair=('dagger', task), demand='the student keeps 95 % of its teacher', met=lambda m: m['kept'] >= 0.95)]
    for algorithm, share in (('bc', 0.9), ('td3_bc', 0.8)):
        rows.append(Row(name=f'{algorithm}_{task}', family='demonstrations', what=f'`{algorithm}` on `{task}`',
                        trial=recorded(algorithm), shown=('return', 'expert', 'random', 'kept', 'seconds'),
                        pair=(algorithm, task),
                        demand=f'{share:.0%} of the expert that was recorded',
                        met=lambda m, share=share: m['kept'] >= share))
    return tuple(rows)


ROWS = {row.name: row for row in (
    learns('joint_servo', 'q_learning', 200_000, 0.7, 'value-based'),
    learns('joint_servo', 'dqn', 15_000, 0.8, 'value-based'),
    learns('joint_servo', 'qrdqn', 15_000, 0.8, 'value-based'),
    learns('balance', 'q_learning', 300_000, 0.3, 'value-based'),
    learns('balance', 'dqn', 30_000, 0.5, 'value-based'),
    learns('balance', 'qrdqn', 30_000, 0.5, 'value-based'),
    learns('joint_servo', 'reinforce', 200_000, 0.8, 'policy-based'),
    learns('reach', 'reinforce', 400_000, 0.5, 'policy-based'),
    learns('joint_servo', 'trpo', 100_000, 0.8, 'policy-based'),
    learns('reach', 'trpo', 200_000, 0.6, 'policy-based'),
    learns('reach', 'a2c', 600_000, 0.5, 'actor-critic'),
    learns('reach', 'a3c', 600_000, 0.5, 'actor-critic'),
    learns('reach', 'ppo', 200_000, 0.8, 'actor-critic'),
    learns('reach', 'recurrent_ppo', 100_000, 0.5, 'actor-critic'),
    learns('reach', 'sac', 20_000, 0.8, 'actor-critic'),
    learns('reach', 'td3', 20_000, 0.6, 'actor-critic'),
    learns('reach', 'tqc', 15_000, 0.8, 'actor-critic'),
    learns('reach', 'crossq', 15_000, 0.8, 'actor-critic'),
    learns('stand', 'ppo', 600_000, 0.5, 'actor-critic'),
    learns('walk', 'ppo', 1_500_000, 0.5, 'actor-critic'),
    learns('stand', 'sac', 20_000, 0.1, 'actor-critic'),
    learns('walk', 'sac', 20_000, 0.05, 'actor-critic'),
    learns('balance', 'sac', 25_000, 0.8, 'actor-critic'),
    learns('balance', 'pets', 3_000, 0.3, 'model-based'),
    learns('balance', 'mbpo', 2_500, 0.8, 'model-based'),
    learns('reach', 'pets', 4_000, 0.3, 'model-based'),
    learns('reach', 'mbpo', 3_000, 0.6, 'model-based'),
    sooner('balance', 'mbpo', 250, 'sac', 1_250, 16, 4.8),
    sooner('reach', 'mbpo', 250, 'sac', 1_250, 16, 2.2),
    hindsight('reach_sparse', 12_000, 0.9, 0.3),
    hindsight('push', 24_000, 0.5, 0.3),
    curriculum('reach_curriculum', 'reach', 'ppo', 15_000, 8, 4.5),
    curriculum('walk_curriculum', 'walk_wide', 'ppo', 200_000, 8, 20.0),
    randomised('reach', 200_000, 100_000),
    randomised('walk', 1_500_000, 900_000, 'walk_robust_curriculum'),
    several('table_skills', ('table_reach', 'table_push', 'table_hold'), 'ppo', 300_000),
    several('stand_walk', ('stand', 'walk'), 'ppo', 600_000),
    transferred('stand', 'walk', 600_000, 300_000),
    transferred('walk', 'walk_payload', 1_500_000, 200_000),
    *taught('reach', 200_000),
)}
