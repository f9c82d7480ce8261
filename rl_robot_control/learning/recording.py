"""Recordings: what a policy did on its task, as a file to learn from without the policy."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rl_robot_control.envs import RobotVectorEnv, make_vector_env
from rl_robot_control.errors import ConfigurationError, LearningError
from rl_robot_control.files import replacing
from rl_robot_control.learning.networks import Actor
from rl_robot_control.learning.run_folder import require_run
from rl_robot_control.learning.run_policy import run_policy
from rl_robot_control.learning.world import Step, World
from rl_robot_control.types import BoolArray, FloatArray

SUFFIX = '.npz'
ROBOTS = 64  # that act at once, at most
_TABLES = ('observation', 'privileged', 'action', 'label', 'following')  # (R, ·)
_COLUMNS = ('reward', 'terminated', 'truncated')  # (R,)
_FACTS = ('robot', 'task', 'control_period', 'observation_terms', 'observation_sizes')
_AGAIN = "record it again with 'rl_robot_control rollouts'"


@dataclass(frozen=True, kw_only=True)
class Recording:
    """Whole episodes of one robot after another, R control periods in all."""

    path: Path
    robot: str
    task: str
    control_period: float  # [s]
    observation_terms: dict[str, int]  # length of each entry of the observation, by name and in order
    observation: np.ndarray  # (R, D) float32
    privileged: np.ndarray  # (R, C) float32, what only a critic saw
    action: np.ndarray  # (R, A) float32, what the robot was told, noise included
    label: np.ndarray  # (R, A) float32, what the policy would have told it
    reward: FloatArray  # (R,)
    terminated: BoolArray  # (R,) failed
    truncated: BoolArray  # (R,) out of time
    following: np.ndarray  # (R, D) float32, what the action led to

    @property
    def episode(self) -> np.ndarray:
        """Number (R,) of the episode of each row, from zero."""
        ended = self.terminated | self.truncated
        return np.cumsum(ended) - ended

    def check_fits(self, world: World) -> None:
        """Find out whether a world can be learnt from this.

        Raises:
            LearningError: It was recorded on another robot, task or interface.
        """
        interface = world.interface
        for thing, found, wanted in (
                ('robot', self.robot, interface.robot.name), ('task', self.task, world.task.name),
                ('control period [s]', self.control_period, world.task.control_period),
                ('observation', self.observation_terms, interface.observation_sizes),
                ('number of privileged values', self.privileged.shape[1], world.privileged.shape[1]),
                ('number of actions', self.action.shape[1], world.num_actions)):
            if found != wanted:
                raise LearningError(f'{self.path}: its {thing} is {found!r}, here it is {wanted!r}; give a recording '
                                    'of this task on this robot.')
        for name in ('action', 'label'):
            largest = float(np.abs(getattr(self, name)).max())
            if largest > world.action_limit:
                raise LearningError(f"{self.path}: '{name}' reaches {largest:g}, beyond ±{world.action_limit:g}, the "
                                    f"bound of this task's actions; {_AGAIN}.")


def record_rollouts(run_folder: Path, out: Path, episodes: int, noise: float = 0.0, seed: int = 1) -> Recording:
    """Let the policy of a run act on its task, in the physics of evaluations, and write down what happens.

    Noise takes the robot to where the policy would not have gone, while the label still says what it would do there
    (Laskey et al. 2017, arXiv 1703.09327).

    Args:
        run_folder: Folder that ``train`` wrote.
        out: The ``.npz`` file to write, in one stroke.
        episodes: How many.
        noise: Deviation of what is added to each element of an action [-].
        seed: Of starts, commands and noise.

    Raises:
        ConfigurationError: An argument is out of range, or the folder holds no checkpoint.
        LearningError: The file cannot be written.
    """
    out = Path(out)
    _check_arguments(out, episodes, noise)
    folder = require_run(run_folder)
    settings = dataclasses.replace(folder.settings(), seed=seed)
    env = make_vector_env(settings.robot, settings.task, min(episodes, ROBOTS), seed=seed)
    try:
        network, world = run_policy(settings, folder.load(), env)
        rows = _whole_episodes(world, Actor(network, world.num_robots), episodes, noise, np.random.default_rng(seed))
        facts = _facts(env)
    finally:
        env.close()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(out) as temporary:
            np.savez_compressed(temporary, **facts, **rows)
    except OSError as error:
        raise LearningError(f"'{out}' cannot be written: {error.strerror}; give another file with --out.") from error
    return load_recording(out)


def load_recording(path: Path) -> Recording:
    """Read a recording and check all that it says about itself; ``Recording.check_fits`` compares it with a world.

    Raises:
        ConfigurationError: There is no such file, or it is no recording.
        LearningError: Something in it is missing or wrong.
    """
    path = Path(path)
    given = _read(path)
    missing = [name for name in (*_FACTS, *_TABLES, *_COLUMNS) if name not in given]
    if missing:
        raise LearningError(f"{path}: has no array '{missing[0]}'; {_AGAIN}.")
    _check_shapes(path, given)
    _check_values(path, given)
    terms = [str(term) for term in given['observation_terms']]
    sizes = dict(zip(terms, given['observation_sizes'].tolist(), strict=True))
    return Recording(
        path=path, robot=str(given['robot']), task=str(given['task']), control_period=float(given['control_period']),
        observation_terms=sizes, reward=given['reward'].astype(np.float64),
        terminated=given['terminated'], truncated=given['truncated'],
        **{name: given[name].astype(np.float32) for name in _TABLES})


def _check_arguments(out: Path, episodes: int, noise: float) -> None:
    if out.suffix != SUFFIX:
        raise ConfigurationError(f"--out is '{out}'; the name of a recording ends in {SUFFIX}.")
    if episodes < 1:
        raise ConfigurationError(f'--episodes is {episodes}; at least 1 is needed.')
    if not 0 <= noise < np.inf:
        raise ConfigurationError(f'--noise is {noise}; give a finite deviation of at least 0.')


def _whole_episodes(world: World, actor: Actor, episodes: int, noise: float, random: np.random.Generator,
                    ) -> dict[str, np.ndarray]:
    """Rows of so many episodes: each robot has its share, lest quick failures come in more often than they happen."""
    robots = np.arange(world.num_robots)
    wanted = episodes // world.num_robots + (robots < episodes % world.num_robots)  # (N,) whole episodes of each
    begun, rows, kept = np.zeros(world.num_robots, dtype=int), [], []
    while (begun < wanted).any():
        row, step = _act(world, actor, noise, random)
        rows.append(row)
        kept.append(begun < wanted)
        begun += step.done
    mask = np.stack(kept, axis=1)  # (N, T)
    return {name: np.stack([row[name] for row in rows], axis=1)[mask] for name in rows[0]}


def _act(world: World, actor: Actor, noise: float, random: np.random.Generator) -> tuple[dict[str, np.ndarray], Step]:
    """One control period, and its row (N, ·) of the file."""
    limit, seen = world.action_limit, {'observation': world.observation, 'privileged': world.privileged}
    label = np.clip(actor(world.seen_by(actor)), -limit, limit).astype(np.float32)
    action = np.clip(label + noise * random.standard_normal(label.shape), -limit, limit).astype(np.float32)
    step = world.step(action)
    actor.forget(step.done)
    return seen | {'action': action, 'label': label, 'reward': step.reward, 'terminated': step.terminated,
                   'truncated': step.truncated, 'following': step.following}, step


def _facts(env: RobotVectorEnv) -> dict[str, np.ndarray]:
    task, interface = env.episodes.task, env.episodes.interface
    return {'robot': np.array(interface.robot.name), 'task': np.array(task.name),
            'control_period': np.array(task.control_period),
            'observation_terms': np.array(list(interface.observation_sizes)),
            'observation_sizes': np.array(list(interface.observation_sizes.values()))}


def _read(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise ConfigurationError(f"recording '{path}' does not exist or is no file; make one with 'rl_robot_control "
                                 f"rollouts RUN --out FILE{SUFFIX}'.")
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile, zipfile.zlib.error) as error:
        raise ConfigurationError(f'{path}: is no recording, or only a part of one ({error}); {_AGAIN}.') from error


def _check_shapes(path: Path, given: dict[str, np.ndarray]) -> None:
    for name, found, wanted, what in _shapes(given):
        if found != wanted:
            raise LearningError(f"{path}: '{name}' has {what} {found}, expected {wanted}; {_AGAIN}.")
    if not len(given['reward']):
        raise LearningError(f"{path}: 'reward' has 0 rows, at least 1 is needed; {_AGAIN}.")


def _shapes(given: dict[str, np.ndarray]) -> Iterator[tuple[str, object, object, str]]:
    """Names of arrays with what they have and must have; lazily, as later ones build on earlier ones."""
    for names, axes in ((_TABLES, 2), (_COLUMNS, 1), (('observation_terms', 'observation_sizes'), 1),
                        (('robot', 'task', 'control_period'), 0)):
        yield from ((name, given[name].ndim, axes, 'axes:') for name in names)
    numbers = (*_TABLES, 'reward', 'control_period', 'observation_sizes')
    yield from ((name, given[name].dtype.kind in 'fiu', True, 'numbers:') for name in numbers)
    yield from ((name, given[name].dtype.kind, 'b', 'the kind') for name in ('terminated', 'truncated'))
    rows, sizes = len(given['reward']), given['observation_sizes']
    yield from ((name, len(given[name]), rows, 'rows:') for name in (*_TABLES, *_COLUMNS))
    yield 'observation_terms', len(given['observation_terms']), len(sizes), 'entries:'
    yield from ((name, given[name].shape[1], int(sizes.sum()), 'columns:') for name in ('observation', 'following'))
    yield 'label', given['label'].shape[1], given['action'].shape[1], 'columns:'


def _check_values(path: Path, given: dict[str, np.ndarray]) -> None:
    for name in (*_TABLES, 'reward'):
        wrong = np.argwhere(~np.isfinite(given[name]))
        if len(wrong):
            at = tuple(wrong[0].tolist())
            raise LearningError(f"{path}: '{name}' is {given[name][at]} in row {at[0]} ({len(wrong)} such values); it "
                                f'must be finite: {_AGAIN}.')
    if not 0 < given['control_period'] < np.inf:
        raise LearningError(f"{path}: 'control_period' is {given['control_period']} s, it must be positive; {_AGAIN}.")
    if not (given['terminated'][-1] or given['truncated'][-1]):
        raise LearningError(f'{path}: its last episode has no end: a part of it is missing; {_AGAIN}.')
