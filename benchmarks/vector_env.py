"""Steps per second of the vector environment beside bare ``mujoco.rollout`` on the same model.

Both step the same number of the same worlds with the same C threads, in turns, in one run. The environment's share on
top of the physics is the shield, the task's terms, the observations and the resets.

    python benchmarks/vector_env.py [--num-envs 256] [--seconds 6]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

import mujoco
import numpy as np
from mujoco.rollout import Rollout

from rl_robot_control.envs import make_vector_env

STEPS_PER_TURN = 20


def measure(num_envs: int = 256, seconds: float = 6.0, task: str = 'walk') -> dict[str, Any]:
    """Measure for about so many seconds per case.

    The case that counts is the task's full physics with ``num_envs`` worlds; ``cases`` holds smaller batches and the
    coarse physics for training, in which the terms weigh more.

    Args:
        num_envs: Worlds.
        seconds: How long, per case.
        task: Name of the task.

    Returns:
        ``measured`` and ``reference`` [environment steps/s], and their ``ratio``.
    """
    cases = [(num_envs, False), (64, False), (num_envs, True), (64, True)]
    results = [_case(count, seconds, training, task) for count, training in cases]
    return {'name': 'vector_env', **results[0], 'unit': 'environment steps/s', 'cases': results}


def _case(num_envs: int, seconds: float, training: bool, task: str) -> dict[str, Any]:
    env = make_vector_env('unitree_g1', task, num_envs, seed=1, training=training)
    env.reset(seed=1)
    bare = _Bare(env)
    random = np.random.default_rng(1)
    own, reference = [], []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        actions = random.normal(0.0, 0.3, (STEPS_PER_TURN, *env.action_space.shape)).astype(np.float32)
        bare.start()
        own.append(_rate(lambda i, actions=actions: bare.record(i, env.step(actions[i])), num_envs))
        reference.append(_rate(bare.replay, num_envs))
    ratios = [a / b for a, b in zip(own, reference, strict=True)]
    env.close(), bare.rollout.close()
    return {'measured': statistics.median(own), 'reference': statistics.median(reference),
            'ratio': statistics.median(ratios), 'num_envs': num_envs, 'physics': 'training' if training else 'full'}


class _Bare:
    """``mujoco.rollout`` from the same states, with the same targets as the environment's worlds.

    Only the resets of episodes that end are left out.
    """

    def __init__(self, env: Any) -> None:
        self._worlds = env.episodes.backend.inner
        model, n = self._worlds.model, env.num_envs
        self._models, self._substeps = [model] * n, self._worlds.substeps
        size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS)
        self._state = np.zeros((n, size))
        self._states = np.zeros((n, self._substeps, size))
        self._sensors = np.zeros((n, self._substeps, model.nsensordata))
        self._control = np.zeros((n, self._substeps, model.nu))
        self._targets = np.zeros((STEPS_PER_TURN, n, model.nu))
        self._data = [mujoco.MjData(model) for _ in range(self._worlds.threads)]
        self.rollout = Rollout(nthread=self._worlds.threads if self._worlds.threads > 1 else 0)

    def start(self) -> None:
        """Take over where the environment's robots are."""
        self._state[:] = self._worlds.physics_state()

    def record(self, i: int, _: Any) -> None:
        """Remember what the robots were told in a step."""
        self._targets[i] = self._worlds.control()

    def replay(self, i: int) -> None:
        """One control period."""
        self._control[:] = self._targets[i][:, None]
        self.rollout.rollout(self._models, self._data, self._state, self._control, skip_checks=True,
                             nstep=self._substeps, state=self._states, sensordata=self._sensors,
                             chunk_size=max(1, len(self._models) // 16))
        self._state[:] = self._states[:, -1]


def _rate(step: Any, num_envs: int) -> float:
    began = time.perf_counter()
    for i in range(STEPS_PER_TURN):
        step(i)
    return STEPS_PER_TURN * num_envs / (time.perf_counter() - began)


def main() -> None:
    """Print the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--num-envs', type=int, default=256)
    parser.add_argument('--seconds', type=float, default=6.0, help='per case')
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.num_envs, arguments.seconds), indent=2))


if __name__ == '__main__':
    main()
