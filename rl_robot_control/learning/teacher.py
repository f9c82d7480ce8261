"""Teachers: policies that say what they would do where a student is."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rl_robot_control.envs import make_vector_env
from rl_robot_control.errors import LearningError
from rl_robot_control.learning.networks import Actor
from rl_robot_control.learning.run_folder import require_run
from rl_robot_control.learning.run_policy import run_policy
from rl_robot_control.learning.world import World
from rl_robot_control.policies.gate import read_policy
from rl_robot_control.policies.matching import check_robot
from rl_robot_control.policies.session import PolicySession
from rl_robot_control.tasks.interface import PolicyInterface, probe

_LIKE = 'a teacher has the interface of its student'


class Teacher(Protocol):
    """A policy of the world's own interface, which may see what only a critic may see."""

    def __call__(self, world: World) -> np.ndarray:
        """Actions (N, A) for the world as it is now."""
        ...

    def forget(self, robots: np.ndarray) -> None:
        """Begin anew for some robots (a mask (N,))."""
        ...


def open_teacher(path: Path, world: World) -> Teacher:
    """The teacher in a run's folder or in an exported file.

    Raises:
        ConfigurationError: The folder holds no checkpoint.
        LearningError: It is neither, or of another robot or interface.
        PolicyError: The file is no policy of this robot.
    """
    if path.is_dir():
        return _RunTeacher(path, world)
    if path.suffix == '.onnx':
        return _FileTeacher(path, world)
    fault = 'is neither' if path.exists() else 'does not exist'
    raise LearningError(f"teacher '{path}' {fault}; give the folder of a run, or an exported .onnx file.")


class _RunTeacher:
    def __init__(self, path: Path, world: World) -> None:
        folder = require_run(path)
        settings = folder.settings()
        env = make_vector_env(settings.robot, settings.task, 1, threads=1)  # the learner around the network needs one
        try:
            network, own = run_policy(settings, folder.load(), env)
            self._actor = Actor(network, world.num_robots)
            _check_same(_traits(own.interface), _traits(world.interface), path)
            if self._actor.privileged:
                _check_same(*({'privileged observation': w.task.settings.critic} for w in (own, world)), path)
        finally:
            env.close()

    def __call__(self, world: World) -> np.ndarray:
        """See ``Teacher``."""
        return self._actor(world.seen_by(self._actor))

    def forget(self, robots: np.ndarray) -> None:
        """See ``Teacher``."""
        self._actor.forget(robots)


class _FileTeacher:
    def __init__(self, path: Path, world: World) -> None:
        checked, robot = read_policy(path), world.interface.robot
        check_robot(checked.manifest, robot, path.name, world.task.control_period)
        _check_same(_traits(probe(checked.manifest.interface, robot, path.name)), _traits(world.interface), path)
        if checked.manifest.network.time_step:
            raise LearningError(f"'{path}' follows a motion by the clock, which a world does not tell; choose another "
                                'teacher.')
        self._session = PolicySession(checked, world.num_robots)

    def __call__(self, world: World) -> np.ndarray:
        """See ``Teacher``."""
        action = self._session(world.observation).copy()
        self._session.remember()
        return action

    def forget(self, robots: np.ndarray) -> None:
        """See ``Teacher``."""
        self._session.forget(robots)


def _traits(interface: PolicyInterface) -> dict[str, Any]:
    """What two policies have in common that see the same and mean the same; joints by number, whatever names them."""
    settings = interface.settings
    return {'robot': interface.robot.name, 'control period [s]': settings.control_period,
            'observation': interface.observation_sizes,
            'observation entries': [dataclasses.replace(entry, params={}) for entry in settings.observations],
            'observed values': list(interface.observation_labels), 'history': settings.history, 'gait': settings.gait,
            'motion': settings.motion, 'command': settings.command, 'joints': interface.joints.tolist(),
            'action': dataclasses.replace(settings.action, joints=[])}


def _check_same(found: dict[str, Any], wanted: dict[str, Any], path: Path) -> None:
    for name, value in wanted.items():
        if found[name] != value:
            raise LearningError(f"teacher '{path}': its {name} is {found[name]}, here it is {value}; {_LIKE}.")
