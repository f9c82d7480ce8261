"""PETS: plans through learnt dynamics, and distils what it planned into a network, the policy.

After Chua et al. 2018 (arXiv 1805.12114). The planner is the cross-entropy method with the improvements of Pinneri et
al. 2020 (arXiv 2008.06389); what lies beyond its horizon it leaves to a value function, as Lowrey et al. 2018 (arXiv
1811.01848) do, for what is best for a third of a second may drive a robot into a corner. A planner cannot be deployed
as a small network, so a student learns to imitate it; near the end the student acts while the planner says what it
would have done (Ross et al. 2011, arXiv 1011.0686).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Annotated, Any, Protocol

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from rl_robot_control.config import settings
from rl_robot_control.learning.learner import (
    Learner,
    MethodSettings,
    PositiveFloat,
    PositiveInt,
    Share,
    all_finite,
    descend,
)
from rl_robot_control.learning.methods.dynamics import Dynamics, DynamicsSettings, transitions
from rl_robot_control.learning.networks import Student, mlp
from rl_robot_control.learning.normalizer import Normalizer
from rl_robot_control.learning.replay import Rows
from rl_robot_control.learning.world import World

_VALUE_STEPS = 5  # imagined for a target of the value function
_SMOOTHING = 0.02  # of the network that gives the targets, per gradient step


@settings
class PlannerSettings:
    """Hyper-parameters of the planner."""

    horizon: PositiveInt  # steps that it looks ahead
    candidates: PositiveInt  # sequences of actions per iteration
    elites: PositiveInt  # best of them, which the next iteration is drawn from
    iterations: PositiveInt
    deviation: PositiveFloat = 0.5  # of the first iteration's actions, as a share of the limit
    correlation: Annotated[float, Field(ge=0, lt=1)] = 0.7  # of the noise between two actions: slow ones go far
    discount: Annotated[float, Field(gt=0, lt=1)] = 0.98


@settings
class PetsSettings(MethodSettings):
    """Hyper-parameters of PETS and of its student."""

    buffer: PositiveInt  # steps that are remembered, of all robots together
    warm_up: PositiveInt  # steps with random actions before planning begins
    exploration: PositiveFloat = 0.5  # deviation of these actions, as a share of the limit
    dynamics: DynamicsSettings
    planner: PlannerSettings
    hidden: list[PositiveInt]  # of the student
    learning_rate: PositiveFloat = 1.0e-3  # of the student
    batch: PositiveInt = 128
    updates: PositiveInt  # gradient steps of the student per iteration
    value_updates: PositiveInt  # gradient steps of the value function per iteration
    lessons: PositiveInt  # latest plans that it learns from: old ones were made with a worse model
    student_from: Share = 0.5  # part of the budget after which the student begins to act
    student_share: Share = 0.5  # share of the robots that it moves at the end


class Model(Protocol):
    """What a planner looks ahead with; see ``Dynamics``."""

    members: int  # E
    outputs: int  # O, values that it is unsure of

    def imagine(self, observation: torch.Tensor, action: torch.Tensor, noise: torch.Tensor | float = 0.0,
                ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """See ``Dynamics.imagine``."""
        ...


class Planner:
    """Finds the actions of N robots that a model promises most of.

    Args:
        rules: Hyper-parameters.
        model: The model; every member imagines every candidate to the end of the horizon.
        num_robots: N.
        num_actions: A.
        limit: Largest size of an element of an action [-].
        value: What observations (B, D) at the end of the horizon promise (B,); None: nothing.
    """

    def __init__(self, rules: PlannerSettings, model: Model, num_robots: int, num_actions: int, limit: float,
                 value: Callable[[torch.Tensor], torch.Tensor] | None = None) -> None:
        self._rules, self._model, self._limit, self._value = rules, model, limit, value
        self.plan = torch.zeros(num_robots, rules.horizon, num_actions)
        self._color = _correlated(rules.horizon, rules.correlation)

    @torch.no_grad()
    def __call__(self, observation: torch.Tensor, proposal: torch.Tensor | None = None) -> torch.Tensor:
        """Actions (N, A) at observations (N, D).

        Args:
            observation: The observations.
            proposal: (N, H, A) a further sequence to try; None: none.
        """
        rules, mean, deviation = self._rules, self.plan, self._first_deviation()
        kept = mean[:, None] if proposal is None else torch.stack([mean, proposal], dim=1)
        for _ in range(rules.iterations):
            drawn = torch.cat([kept, self._draw(mean, deviation, rules.candidates)], dim=1)
            best = self.returns(observation, drawn).topk(min(rules.elites, drawn.shape[1]), dim=1).indices
            elites = drawn.gather(1, best[..., None, None].expand(-1, -1, *drawn.shape[2:]))
            mean, deviation = elites.mean(dim=1), elites.std(dim=1)
            kept = torch.cat([mean[:, None], elites[:, :max(1, rules.elites // 3)]], dim=1)
        return self._shift(mean)

    def returns(self, observation: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Expected returns (N, K) of sequences of actions (N, K, H, A) from observations (N, D).

        The noise is one for all candidates: they are compared under the same luck.
        """
        robots, count, horizon, size = actions.shape
        members = self._model.members
        state = observation[:, None].expand(-1, count, -1).reshape(1, robots * count, -1).expand(members, -1, -1)
        alive, total = torch.ones(members, robots * count), torch.zeros(members, robots * count)
        for t in range(horizon):
            action = actions[:, :, t].reshape(1, robots * count, size).expand(members, -1, -1)
            state, reward, ended = self._model.imagine(state, action, torch.randn(members, 1, self._model.outputs))
            total += self._rules.discount ** t * alive * reward
            alive = alive * (1.0 - ended)
        if self._value is not None:
            total += self._rules.discount ** horizon * alive * self._value(state.flatten(0, 1)).view_as(alive)
        return total.mean(dim=0).reshape(robots, count)

    def forget(self, robots: torch.Tensor) -> None:
        """Begin anew for some robots (a mask (N,))."""
        self.plan[robots] = 0.0

    def _first_deviation(self) -> torch.Tensor:
        return torch.full_like(self.plan, self._rules.deviation * self._limit)

    def _draw(self, mean: torch.Tensor, deviation: torch.Tensor, count: int) -> torch.Tensor:
        """Sequences (N, K, H, A)."""
        noise = torch.randn(len(mean), count, mean.shape[2], mean.shape[1]) @ self._color.T
        return (mean[:, None] + deviation[:, None] * noise.transpose(2, 3)).clamp(-self._limit, self._limit)

    def _shift(self, sequence: torch.Tensor) -> torch.Tensor:
        """The first action; the others are where the next plan starts from."""
        self.plan = torch.cat([sequence[:, 1:], sequence[:, -1:]], dim=1)
        return sequence[:, 0].clone()


class Value(nn.Module):
    """What the student will earn, discounted, as the dynamics see it.

    Args:
        observations: D.
        hidden: Sizes of the hidden layers.
        learning_rate: Of its optimiser.
        discount: Of a step.
    """

    def __init__(self, observations: int, hidden: list[int], learning_rate: float, discount: float) -> None:
        super().__init__()
        self.normalizer, self.discount = Normalizer(observations), discount
        self.layers = mlp([observations, *hidden, 1], last_gain=0.01)
        self.slow = copy.deepcopy(self.layers).requires_grad_(False)  # gives the targets, and trails behind
        self.register_buffer('scale', torch.ones(1))  # so that the network's outputs are about one
        self.optimizer = torch.optim.Adam(self.layers.parameters(), learning_rate)

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Values (B,) of observations (B, D)."""
        return self.scale * self.slow(self.normalizer(observation)).squeeze(-1)

    def fit(self, rows: Rows, dynamics: Dynamics, student: Student, updates: int, batch: int) -> float:
        """Learn from rollouts of the student that branch off from what was seen; the mean loss."""
        self.scale.copy_(rows['reward'].square().mean().sqrt() / (1.0 - self.discount) + 1e-6)
        losses = []
        for _ in range(updates):
            start = rows['observation'][torch.randint(len(rows), (batch,))]
            found = self.layers(self.normalizer(start)).squeeze(-1)
            loss = functional.mse_loss(found, self._target(start, dynamics, student) / self.scale)
            descend(self.optimizer, loss)
            with torch.no_grad():
                for slow, fast in zip(self.slow.parameters(), self.layers.parameters(), strict=True):
                    slow.lerp_(fast, _SMOOTHING)
            losses.append(loss.detach())
        return float(torch.stack(losses).mean())

    @torch.no_grad()
    def _target(self, start: torch.Tensor, dynamics: Dynamics, student: Student) -> torch.Tensor:
        """Rewards of a few steps (B,) and the value of where they lead, averaged over the members."""
        state = start.expand(dynamics.members, -1, -1)
        total, alive = torch.zeros(state.shape[:2]), torch.ones(state.shape[:2])
        for t in range(_VALUE_STEPS):
            state, reward, ended = dynamics.imagine(state, student(state))
            total = total + self.discount ** t * alive * reward
            alive = alive * (1.0 - ended)
        return (total + self.discount ** _VALUE_STEPS * alive * self(state)).mean(dim=0)


class Pets(Learner):
    """Probabilistic ensembles with trajectory sampling, and a student of the planner; see ``Learner``.

    Model, planner and value function see what a critic may see; the student does not.

    Args:
        rules: Hyper-parameters.
        world: Where it learns.
    """

    Settings = PetsSettings

    def __init__(self, rules: PetsSettings, world: World) -> None:
        self._rules, self._world = rules, world
        whole, sizes = world.whole.shape[1], (world.num_observations, world.num_actions)
        self.dynamics = Dynamics.of(rules.dynamics, world)
        self.value = Value(whole, list(rules.hidden), rules.learning_rate, rules.planner.discount)
        self.planner = Planner(rules.planner, self.dynamics, world.num_robots, sizes[1], world.action_limit, self.value)
        self.student = Student([sizes[0], *rules.hidden, sizes[1]], world.action_limit)
        self._optimizer = torch.optim.Adam(self.student.parameters(), rules.learning_rate)
        self._seen = transitions(world, rules.buffer)
        self._lessons = Rows({'observation': whole, 'action': sizes[1]}, rules.lessons)
        self._wander = torch.zeros(world.num_robots, sizes[1])  # random actions, as shares of the limit

    def iterate(self, share: float) -> dict[str, float]:
        """See ``Learner.iterate``."""
        rules, guided = self._rules, self._guided(share)
        for _ in range(rules.horizon):
            self._step(guided)
        losses = {'dynamics': self.dynamics.fit(self._seen)}
        if len(self._lessons):
            losses |= {'student': self._distil(), 'student_share': 1.0 - float(guided.float().mean())}
            losses['value'] = self.value.fit(self._seen, self.dynamics, self.student, rules.value_updates, rules.batch)
        return losses

    def policy(self) -> nn.Module:
        """See ``Learner.policy``: the student."""
        return copy.deepcopy(self.student).eval()

    def state(self) -> dict[str, Any]:
        """See ``Learner.state``."""
        return {'dynamics': self.dynamics.state(), 'student': copy.deepcopy(self.student.state_dict()),
                'optimizer': copy.deepcopy(self._optimizer.state_dict()),
                'value': copy.deepcopy(self.value.state_dict()),
                'value_optimizer': copy.deepcopy(self.value.optimizer.state_dict())}

    def load(self, state: dict[str, Any]) -> None:
        """See ``Learner.load``."""
        self.dynamics.load(state['dynamics'])
        self.student.load_state_dict(state['student'])
        self._optimizer.load_state_dict(state['optimizer'])
        self.value.load_state_dict(state['value'])
        self.value.optimizer.load_state_dict(state['value_optimizer'])

    def memory(self) -> dict[str, Any]:
        """See ``Learner.memory``: transitions and lessons."""
        return {'seen': self._seen.saved(), 'lessons': self._lessons.saved()}

    def recall(self, memory: dict[str, Any]) -> None:
        """See ``Learner.recall``."""
        self._seen.load(memory['seen'])
        self._lessons.load(memory['lessons'])

    def shared(self) -> list[torch.Tensor]:
        """Parameters and statistics; every worker's optimisers keep their own moments."""
        return [*self.dynamics.state_dict().values(), *self.student.state_dict().values(),
                *self.value.state_dict().values()]

    def finite(self) -> bool:
        """See ``Learner.finite``."""
        return all(all_finite(module) for module in (self.dynamics, self.student, self.value))

    def _guided(self, share: float) -> torch.Tensor:
        """Which robots (N,) the planner moves until the next iteration; the student moves the others."""
        rules = self._rules
        late = max(0.0, share - rules.student_from) / max(1e-6, 1.0 - rules.student_from)
        return torch.rand(self._world.num_robots) >= late * rules.student_share

    @torch.no_grad()
    def _step(self, guided: torch.Tensor) -> None:
        """Act once, and remember what happened and what was planned."""
        world, observation = self._world, torch.as_tensor(self._world.whole)
        self.student.normalizer.update(observation[:, :self.student.seen])
        self.value.normalizer.update(observation)
        if len(self._seen) < self._rules.warm_up:
            action = self._random()
        else:
            planned = self.planner(observation, self._proposal(observation) if len(self._lessons) else None)
            self._lessons.add(observation=observation, action=planned)
            action = torch.where(guided[:, None], planned, self.student.eval()(observation))
        step = world.step(action.numpy())
        self._seen.add(observation=observation, action=action, following=torch.as_tensor(step.following_whole),
                       reward=torch.as_tensor(step.reward), terminated=torch.as_tensor(step.terminated))
        self.planner.forget(torch.as_tensor(step.done))

    def _random(self) -> torch.Tensor:
        """Actions (N, A) about which nothing is known; they change as slowly as the planner's."""
        kept = self._rules.planner.correlation
        self._wander = kept * self._wander + math.sqrt(1.0 - kept ** 2) * torch.randn_like(self._wander)
        limit = self._world.action_limit
        return (self._rules.exploration * limit * self._wander).clamp(-limit, limit)

    def _proposal(self, observation: torch.Tensor) -> torch.Tensor:
        """What the student would do (N, H, A), as the dynamics see it (Wang and Ba 2019, arXiv 1906.08649)."""
        state, actions = observation.expand(self.dynamics.members, -1, -1), []
        for _ in range(self._rules.planner.horizon):
            actions.append(self.student.eval()(state.mean(dim=0)))
            state, _, _ = self.dynamics.imagine(state, actions[-1].expand(self.dynamics.members, -1, -1))
        return torch.stack(actions, dim=1)

    def _distil(self) -> float:
        """Let the student imitate the latest plans; the mean loss, in squared shares of the limit."""
        observations, actions, losses = self._lessons['observation'], self._lessons['action'], []
        self.student.train()
        for _ in range(self._rules.updates):
            index = torch.randint(len(observations), (self._rules.batch,))
            loss = functional.mse_loss(self.student(observations[index]) / self.student.limit,
                                       actions[index] / self.student.limit)
            descend(self._optimizer, loss)
            losses.append(loss.detach())
        return float(torch.stack(losses).mean())


def _correlated(horizon: int, correlation: float) -> torch.Tensor:
    """Matrix (H, H) that gives white noise a correlation which decays with the distance in time."""
    time = torch.arange(horizon, dtype=torch.float64)
    covariance = max(correlation, 1e-9) ** (time[:, None] - time).abs()
    return torch.linalg.cholesky(covariance + 1e-9 * torch.eye(horizon, dtype=torch.float64)).float()
