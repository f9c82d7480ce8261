"""Learning from what another policy does: behaviour cloning, DAgger, and TD3+BC from a recording alone."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from stable_baselines3 import TD3
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.utils import polyak_update
from torch import nn
from torch.nn import functional

from rl_robot_control.config import settings
from rl_robot_control.errors import LearningError
from rl_robot_control.learning.learner import (
    Fraction,
    Learner,
    MethodSettings,
    PositiveFloat,
    PositiveInt,
    all_finite,
    descend,
)
from rl_robot_control.learning.methods.off_policy import continuous_policy
from rl_robot_control.learning.methods.sb3 import Sb3Learner, WorldVecEnv, extractor, schedule
from rl_robot_control.learning.networks import Actor, Student
from rl_robot_control.learning.normalizer import Normalizer
from rl_robot_control.learning.recording import Recording, load_recording
from rl_robot_control.learning.replay import Rows
from rl_robot_control.learning.teacher import open_teacher
from rl_robot_control.learning.world import World

HELD_OUT = 0.1  # share of the recorded episodes that only measure
LEAST_SPREAD = 0.01  # of recorded actions, of their bound: one that never varied must not weigh without limit


@settings
class ImitationSettings(MethodSettings):
    """Hyper-parameters of regression; the horizon of a method that learns from a file only measures the return."""

    learning_rate: PositiveFloat
    final_learning_rate: PositiveFloat  # reached linearly at the end of the budget
    batch: PositiveInt
    updates: PositiveInt  # gradient steps per iteration
    hidden: list[PositiveInt]


@settings
class DaggerSettings(ImitationSettings):
    """Hyper-parameters of DAgger."""

    memory: PositiveInt  # labelled steps that are remembered, of all robots together
    teacher_until: Fraction  # of the budget: until then the teacher's share of the actions goes from one to zero


@settings
class Td3BcSettings(ImitationSettings):
    """Hyper-parameters of TD3+BC; names follow Fujimoto & Gu 2021 (arXiv 2106.06860)."""

    discount: Fraction
    smoothing: Fraction = 0.005  # tau of the target networks
    alpha: PositiveFloat = 2.5  # weight of the value against that of staying close to the recorded actions


class Imitation(Learner):
    """A student and its regression; see ``Learner``.

    Args:
        rules: Hyper-parameters.
        world: Where it acts.
    """

    def __init__(self, rules: ImitationSettings, world: World) -> None:
        self._rules, self._world = rules, world
        self._student = Student([world.num_observations, *rules.hidden, world.num_actions])
        self._optimizer = torch.optim.Adam(self._student.layers.parameters(), lr=rules.learning_rate)

    def policy(self) -> nn.Module:
        """See ``Learner.policy``."""
        return copy.deepcopy(self._student).eval()

    def state(self) -> dict[str, Any]:
        """See ``Learner.state``."""
        return copy.deepcopy({'student': self._student.state_dict(), 'optimizer': self._optimizer.state_dict()})

    def load(self, state: dict[str, Any]) -> None:
        """See ``Learner.load``."""
        self._student.load_state_dict(state['student'])
        self._optimizer.load_state_dict(state['optimizer'])

    def shared(self) -> list[torch.Tensor]:
        """Parameters, the observation's statistics, Adam's moments."""
        tensors = list(self._student.state_dict().values())
        for moments in self._optimizer.state.values():
            tensors += [moments['exp_avg'], moments['exp_avg_sq']]
        return tensors

    def parameters(self) -> dict[str, nn.Parameter]:
        """See ``Learner.parameters``."""
        return dict(self._student.named_parameters())

    def finite(self) -> bool:
        """See ``Learner.finite``."""
        return all_finite(self._student)

    def _fit(self, observation: torch.Tensor, label: torch.Tensor, share: float) -> dict[str, float]:
        """Regress labels (R, A) on observations (R, D)."""
        rules, total = self._rules, 0.0
        rate = schedule(rules.learning_rate, rules.final_learning_rate)(1.0 - min(1.0, share))
        for group in self._optimizer.param_groups:
            group['lr'] = rate
        for _ in range(rules.updates):
            index = torch.randint(len(observation), (rules.batch,))
            loss = functional.mse_loss(self._student(observation[index]), label[index])
            descend(self._optimizer, loss)
            total += loss.item()
        return {'imitation_loss': total / rules.updates, 'learning_rate': rate}

    @torch.no_grad()
    def _error(self, observation: torch.Tensor, label: torch.Tensor) -> float:
        """Root mean square of what the student's actions are off by [-]."""
        return functional.mse_loss(self._student(observation), label).sqrt().item()


class BehaviourCloning(Imitation):
    """Regression of the recorded policy's actions; the world only tells the return.

    Raises:
        LearningError: The recording does not fit the world.
    """

    Settings = ImitationSettings
    learns_from = 'recording'

    def __init__(self, rules: ImitationSettings, world: World) -> None:
        super().__init__(rules, world)
        recording = _recording(world)
        if recording is None:
            return
        held_out = torch.from_numpy(_held_out(recording))
        observation, label = torch.from_numpy(recording.observation), torch.from_numpy(recording.label)
        self._lessons, self._exam = (observation[~held_out], label[~held_out]), (observation[held_out], label[held_out])
        self._student.normalizer.update(self._lessons[0])

    def iterate(self, share: float) -> dict[str, float]:
        """See ``Learner.iterate``."""
        losses = self._fit(*self._lessons, share)
        _let_act(self._student, self._world, self._rules.horizon)
        return losses | {'validation_error': self._error(*self._exam)}


class Dagger(Imitation):
    """The teacher says what it would do where the student is (Ross et al. 2011, arXiv 1011.0686).

    The teacher may see what only a critic may see; the student does not, so that this is also how a privileged policy
    becomes one that can be deployed.

    Raises:
        LearningError: The teacher does not fit the world.
    """

    Settings = DaggerSettings
    learns_from = 'teacher'

    def __init__(self, rules: DaggerSettings, world: World) -> None:
        super().__init__(rules, world)
        self._rows = Rows({'observation': world.num_observations, 'label': world.num_actions}, rules.memory)
        self._teacher = None if world.teacher is None else open_teacher(world.teacher, world)

    def iterate(self, share: float) -> dict[str, float]:
        """See ``Learner.iterate``."""
        teaching = max(0.0, 1.0 - share / self._rules.teacher_until)
        observation, label = self._gather(teaching)
        self._student.normalizer.update(observation)
        error = self._error(observation, label)  # before it has learnt from these
        self._rows.add(observation=observation, label=label)
        losses = self._fit(self._rows['observation'], self._rows['label'], share)
        return losses | {'validation_error': error, 'teacher_share': teaching}

    def memory(self) -> dict[str, Any]:
        """See ``Learner.memory``: what the teacher said."""
        return self._rows.saved()

    def recall(self, memory: dict[str, Any]) -> None:
        """See ``Learner.recall``."""
        self._rows.load(memory)

    def _gather(self, teaching: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Observations (B, D) of a horizon and the teacher's actions (B, A), which a share of the robots takes."""
        world, actor, seen, labels = self._world, Actor(self._student, self._world.num_robots), [], []
        for _ in range(self._rules.horizon):
            seen.append(world.observation)
            labels.append(self._label())
            taught = (torch.rand(world.num_robots, 1) < teaching).numpy()
            step = world.step(np.where(taught, labels[-1], actor(world.observation)))
            self._teacher.forget(step.done)
        return torch.from_numpy(np.concatenate(seen)), torch.from_numpy(np.concatenate(labels))

    def _label(self) -> np.ndarray:
        """What the teacher would do now (N, A), within the bounds of actions."""
        limit = self._world.action_limit
        label = self._teacher(self._world)
        if not np.isfinite(label).all():
            raise LearningError(f"teacher '{self._world.teacher}' gives actions that are not finite; a robot over "
                                'topics does not measure all that a privileged teacher sees: learn in memory.')
        return np.clip(label, -limit, limit)


class OfflineTd3Bc(Sb3Learner):
    """TD3 on a recording that stays close to what was recorded; the world only tells the return.

    Args:
        rules: Hyper-parameters.
        world: Where it acts.

    Raises:
        LearningError: The recording does not fit the world.
    """

    Settings = Td3BcSettings
    learns_from = 'recording'

    def __init__(self, rules: Td3BcSettings, world: World) -> None:
        self._world, normalizer = world, Normalizer(world.num_observations)
        env = WorldVecEnv(world, normalizer)
        policy = {'net_arch': list(rules.hidden)} | extractor(normalizer)
        super().__init__(rules, env, Td3Bc(
            'MlpPolicy', env, alpha=rules.alpha, learning_rate=schedule(rules.learning_rate, rules.final_learning_rate),
            buffer_size=1, batch_size=rules.batch, tau=rules.smoothing, gamma=rules.discount, policy_kwargs=policy,
            device='cpu'))
        recording = _recording(world)
        if recording is not None:
            normalizer.update(torch.from_numpy(recording.observation))
            self.model.replay_buffer = _replay(recording, self.model)
            self.model.spread = torch.from_numpy(self.model.replay_buffer.actions[:, 0].std(axis=0)).clamp(LEAST_SPREAD)

    def iterate(self, share: float) -> dict[str, float]:
        """See ``Learner.iterate``."""
        self._spend(share)
        self.model.train(self._rules.updates, self._rules.batch)
        _let_act(self.policy(), self._world, self._rules.horizon)
        return self._losses()

    def policy(self) -> nn.Module:
        """See ``Learner.policy``."""
        return continuous_policy(self.model)


class Td3Bc(TD3):
    """TD3 whose actor also regresses the actions of the replay buffer.

    Args:
        alpha: Weight of the value.

    Attributes:
        spread: (A,) deviation of the buffer's actions, of their bound. The paper's actions fill their bounds; where
            these are wide, its noise and its distances would be too large and too small by as much.
    """

    def __init__(self, *args: Any, alpha: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.alpha, self.spread = alpha, torch.ones(self.action_space.shape[0])

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Take gradient steps; see ``TD3.train``."""
        self.policy.set_training_mode(True)
        self._update_learning_rate([self.actor.optimizer, self.critic.optimizer])
        values, apart = [], []
        for _ in range(gradient_steps):
            self._n_updates += 1
            batch = self.replay_buffer.sample(batch_size)
            loss = self._critic_loss(batch)
            values.append(loss.detach())
            descend(self.critic.optimizer, loss)
            if self._n_updates % self.policy_delay == 0:
                value, distance = self._actor_losses(batch)
                apart.append(distance.detach())
                descend(self.actor.optimizer, value + distance)
                polyak_update(self.critic.parameters(), self.critic_target.parameters(), self.tau)
                polyak_update(self.actor.parameters(), self.actor_target.parameters(), self.tau)
        for name, losses in (('critic', values), ('imitation', apart)):
            if losses:
                self.logger.record(f'train/{name}_loss', torch.stack(losses).mean().item())

    def _critic_loss(self, batch: Any) -> torch.Tensor:
        with torch.no_grad():
            noise = torch.randn_like(batch.actions) * self.target_policy_noise
            noise = self.spread * noise.clamp(-self.target_noise_clip, self.target_noise_clip)
            action = (self.actor_target(batch.next_observations) + noise).clamp(-1, 1)
            following = torch.cat(self.critic_target(batch.next_observations, action), dim=1).amin(dim=1, keepdim=True)
            target = batch.rewards + (1 - batch.dones) * self.gamma * following
        return sum(functional.mse_loss(value, target) for value in self.critic(batch.observations, batch.actions))

    def _actor_losses(self, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """-λ·Q(s, π(s)) and (π(s) - a)², with λ = α / mean |Q|: equations 3 and 5 of the paper."""
        action = self.actor(batch.observations)
        value = self.critic.q1_forward(batch.observations, action)
        apart = functional.mse_loss(action / self.spread, batch.actions / self.spread)
        return -self.alpha * value.mean() / value.detach().abs().mean().clamp(min=1e-6), apart


def _recording(world: World) -> Recording | None:
    """What the world's teacher recorded; None: a loaded policy needs none.

    Raises:
        LearningError: It does not fit the world.
    """
    if world.teacher is None:
        return None
    recording = load_recording(world.teacher)
    recording.check_fits(world)
    return recording


def _replay(recording: Recording, model: TD3) -> ReplayBuffer:
    """A full buffer of the recorded steps; a time-out is no failure and is bootstrapped."""
    rows = len(recording.reward)
    buffer = ReplayBuffer(rows, model.observation_space, model.action_space, 'cpu', n_envs=1)
    for name, value in (('observations', recording.observation), ('next_observations', recording.following),
                        ('actions', model.policy.scale_action(recording.action)), ('rewards', recording.reward),
                        ('dones', recording.terminated | recording.truncated), ('timeouts', recording.truncated)):
        getattr(buffer, name)[:, 0] = value
    buffer.full = True
    return buffer


def _held_out(recording: Recording) -> np.ndarray:
    """Which rows (R,) are only for measuring: the last whole episodes, as the rows of one are much alike."""
    count = int(recording.episode[-1]) + 1
    if count < 2:
        raise LearningError(f'{recording.path}: holds {count} episode; at least 2 are needed, one of them to measure '
                            'with: record more with --episodes.')
    return recording.episode >= count - max(1, round(HELD_OUT * count))


def _let_act(network: nn.Module, world: World, horizon: int) -> None:
    """Act for a while, so that the world's returns are those of the present policy."""
    actor = Actor(network, world.num_robots)
    for _ in range(horizon):
        world.step(actor(world.observation))
