"""Several processes that learn one policy, each in worlds of its own.

Each worker collects and learns alone for one iteration; then parameters, Adam's moments and the observation's
statistics are averaged. Averaging once per iteration costs next to nothing and uses every core, where more threads in
one process would only fight each other. Asynchronous workers (Mnih et al. 2016, arXiv 1602.01783) do not wait: after
its iteration each adds what it changed to the common parameters, and goes on from there.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as distributed
import torch.multiprocessing as multiprocessing

from rl_robot_control.errors import LearningError, RobotControlError

TIMEOUT = timedelta(minutes=5)  # for the slowest worker to come to a meeting point


class Alone:
    """The only worker."""

    rank, size = 0, 1

    def begin(self, tensors: list[torch.Tensor]) -> None:
        """Before the first iteration, with tensors that are the same in all workers."""

    def share(self, tensors: list[torch.Tensor]) -> None:
        """Exchange, after an iteration, what was learnt; replaces the tensors in place."""

    def total(self, steps: int) -> int:
        """Steps of all workers since the last call, of which this one took some."""
        return steps

    def agree(self, stop: bool) -> bool:
        """Whether all stop."""
        return stop

    def leave(self) -> None:
        """Be gone: the others, if they still meet this one, notice."""


class Member(Alone):
    """One of several workers, connected over the loop-back interface.

    Args:
        rank: 0 for the one that reports and saves.
        size: Number of workers.
        meeting: File through which they find each other.
    """

    def __init__(self, rank: int, size: int, meeting: Path) -> None:
        os.environ['GLOO_SOCKET_IFNAME'] = 'lo'
        self.rank, self.size = rank, size
        # Not torch's default group: where there is one, rsl_rl's statistics meet in it at every step of the robots.
        self._group = distributed.ProcessGroupGloo(distributed.FileStore(str(meeting), size), rank, size, TIMEOUT)

    def total(self, steps: int) -> int:
        """See ``Alone``; all take as many."""
        return self.size * steps

    def share(self, tensors: list[torch.Tensor]) -> None:
        """Replace tensors, in place, by their means over all workers; whole numbers stay as they are."""
        flat = _flat(tensors)
        self._reduce(flat, distributed.ReduceOp.SUM)
        _unflatten(tensors, flat / self.size)

    def agree(self, stop: bool) -> bool:
        """Whether any worker wants to stop."""
        flag = torch.tensor(float(stop))
        self._reduce(flag, distributed.ReduceOp.MAX)
        return bool(flag)

    def leave(self) -> None:
        """See ``Alone``: their connections break."""
        self._group = None

    def _reduce(self, tensor: torch.Tensor, operation: distributed.ReduceOp.RedOpType) -> None:
        """Meet the others.

        Raises:
            LearningError: One of them is gone.
            RuntimeError: Worker 0 is, and says itself why.
        """
        rules = distributed.AllreduceOptions()
        rules.reduceOp = operation
        try:
            self._group.allreduce([tensor], rules).wait()
        except RuntimeError as error:
            if self.rank > 0:
                raise
            raise _ended('another worker') from error


class Asynchronous(Alone):
    """One of several workers that share parameters in a file in memory and do not wait for each other.

    Args:
        rank: 0 for the one that reports and saves.
        size: Number of workers.
        meeting: Beginning of the names of the files that they share.
        lock: Held while the files are changed.
    """

    def __init__(self, rank: int, size: int, meeting: Path, lock: Any) -> None:
        self.rank, self.size, self._meeting, self._lock = rank, size, meeting, lock
        self._parent, self.others = os.getppid(), []
        self._counts = self._map('counts', size + 2, torch.int64)  # steps of each worker, stop, begun
        self._counted = 0

    def begin(self, tensors: list[torch.Tensor]) -> None:
        """See ``Alone``: whoever comes first writes them down."""
        self._base = _flat(tensors)
        self._common = self._map('parameters', len(self._base), torch.float32)
        with self._lock:
            if not self._counts[-1]:
                self._common.copy_(self._base)
                self._counts[-1] = 1

    def share(self, tensors: list[torch.Tensor]) -> None:
        """Add what this worker changed to the common parameters; what has no gradient moves by its share only."""
        weights = torch.cat([torch.full((t.numel(),), 1.0 if t.requires_grad else 1.0 / self.size)
                             for t in tensors if t.is_floating_point()])
        with self._lock:
            self._common += weights * (_flat(tensors) - self._base)
            self._base = self._common.clone()
        _unflatten(tensors, self._base)

    def total(self, steps: int) -> int:
        """See ``Alone``."""
        self._counts[self.rank] += steps  # its own element: nobody else writes it
        before, self._counted = self._counted, int(self._counts[:self.size].sum())
        return self._counted - before

    def agree(self, stop: bool) -> bool:
        """Whether worker 0 wants to stop, or is gone.

        Raises:
            LearningError: Another worker is gone.
        """
        if self.rank > 0:
            return bool(self._counts[self.size]) or os.getppid() != self._parent
        if stop:
            self._counts[self.size] = 1
        dead = [i for i, other in enumerate(self.others) if not other.is_alive()]
        if dead and not stop:
            raise _ended(f'worker {dead[0] + 1} of {self.size}')
        return stop

    def leave(self) -> None:
        """See ``Alone``: worker 0 tells the others to stop."""
        if self.rank == 0:
            self.others = []
            self.agree(True)

    def _map(self, name: str, length: int, kind: torch.dtype) -> torch.Tensor:
        return torch.from_file(f'{self._meeting}_{name}', shared=True, size=length, dtype=kind)


@contextmanager
def team(size: int, asynchronous: bool, work: Callable[..., None], *arguments: Any) -> Iterator[Alone]:
    """Start the other workers; yields the caller's own membership.

    They end when the caller stops meeting them, even if it is killed: they notice.

    Args:
        size: Number of workers, the caller included.
        asynchronous: Whether they go on without waiting for each other.
        work: What the others do: called with their membership and the arguments; it must be importable.
        arguments: For ``work``; picklable.
    """
    if size == 1:
        yield Alone()
        return
    with tempfile.TemporaryDirectory(prefix='rl_robot_control_') as folder:
        meeting = Path(folder) / 'meeting'
        context = multiprocessing.get_context('spawn')
        lock = context.Lock() if asynchronous else None
        others = [context.Process(target=_join, args=(rank, size, meeting, lock, work, arguments), daemon=True)
                  for rank in range(1, size)]
        for other in others:
            other.start()
        group = _member(0, size, meeting, lock)
        try:
            if asynchronous:
                group.others = others
            yield group
        finally:
            group.leave()
            for other in others:
                other.join(10)
                if other.is_alive():
                    other.kill()


def _member(rank: int, size: int, meeting: Path, lock: Any) -> Alone:
    return Member(rank, size, meeting) if lock is None else Asynchronous(rank, size, meeting, lock)


def _join(rank: int, size: int, meeting: Path, lock: Any, work: Callable[..., None], arguments: tuple[Any, ...],
          ) -> None:
    import signal
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; worker 0 decides and tells
    torch.set_num_threads(1)
    member = _member(rank, size, meeting, lock)
    try:
        work(member, *arguments)
    except RobotControlError as error:  # worker 0 meets the same, or at least hears of this
        print(f'worker {rank}: {error}', file=sys.stderr, flush=True)
    except RuntimeError:  # worker 0 is gone: its connection broke
        if lock is not None:
            raise
    finally:
        member.leave()


def _ended(worker: str) -> LearningError:
    return LearningError(f'{worker} ended: it was killed, or its message stands above. Resume from the checkpoint.')


def _flat(tensors: list[torch.Tensor]) -> torch.Tensor:
    """All real elements as one vector, a copy."""
    return torch.cat([tensor.detach().reshape(-1).float() for tensor in tensors if tensor.is_floating_point()])


def _unflatten(tensors: list[torch.Tensor], flat: torch.Tensor) -> None:
    """Write a vector back into the tensors, in place."""
    real = [tensor for tensor in tensors if tensor.is_floating_point()]
    for tensor, values in zip(real, flat.split([tensor.numel() for tensor in real]), strict=True):
        tensor.detach().copy_(values.view_as(tensor))
