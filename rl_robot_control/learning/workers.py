"""Several processes that learn one policy, each in worlds of its own.

Each worker collects and learns alone for one iteration; then parameters, Adam's moments and the observation's
statistics are averaged. Averaging once per iteration costs next to nothing and uses every core, where more threads in
one process would only fight each other.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as distributed
import torch.multiprocessing as multiprocessing

TIMEOUT = timedelta(minutes=5)  # for the slowest worker to come to a meeting point


class Alone:
    """The only worker."""

    rank, size = 0, 1

    def average(self, tensors: list[torch.Tensor]) -> None:
        """Nothing to average."""

    def agree(self, stop: bool) -> bool:
        """Whether all stop."""
        return stop


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
        distributed.init_process_group('gloo', init_method=f'file://{meeting}', rank=rank, world_size=size,
                                       timeout=TIMEOUT)

    def average(self, tensors: list[torch.Tensor]) -> None:
        """Replace tensors, in place, by their means over all workers; whole numbers stay as they are."""
        real = [tensor for tensor in tensors if tensor.is_floating_point()]
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in real])
        distributed.all_reduce(flat)
        flat /= self.size
        for tensor, mean in zip(real, flat.split([tensor.numel() for tensor in real]), strict=True):
            tensor.detach().copy_(mean.view_as(tensor))

    def agree(self, stop: bool) -> bool:
        """Whether any worker wants to stop."""
        flag = torch.tensor(float(stop))
        distributed.all_reduce(flag, op=distributed.ReduceOp.MAX)
        return bool(flag)


@contextmanager
def team(size: int, work: Callable[..., None], *arguments: Any) -> Iterator[Alone]:
    """Start the other workers; yields the caller's own membership.

    They end when the caller stops meeting them, even if it is killed: their connection to it breaks.

    Args:
        size: Number of workers, the caller included.
        work: What the others do: called with their membership and the arguments; it must be importable.
        arguments: For ``work``; picklable.
    """
    if size == 1:
        yield Alone()
        return
    with tempfile.TemporaryDirectory(prefix='rl_robot_control_') as folder:
        meeting = Path(folder) / 'meeting'
        context = multiprocessing.get_context('spawn')
        others = [context.Process(target=_join, args=(rank, size, meeting, work, arguments), daemon=True)
                  for rank in range(1, size)]
        for other in others:
            other.start()
        try:
            yield Member(0, size, meeting)
        finally:
            distributed.destroy_process_group()
            for other in others:
                other.join(10)
                if other.is_alive():
                    other.kill()


def _join(rank: int, size: int, meeting: Path, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    import signal
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; worker 0 decides and tells
    torch.set_num_threads(1)
    member = Member(rank, size, meeting)
    try:
        work(member, *arguments)
    except RuntimeError:  # worker 0 is gone: its connection broke
        return
    finally:
        distributed.destroy_process_group()
