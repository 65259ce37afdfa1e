"""Several processes that learn as one: rows are dealt, sums are taken over all, the first one writes.

What is summed is exact: the loss and the gradient of a step are sums over its rows, divided by the weight of all of
them, so n processes learn what one does, but for the order of the sums.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from torch import distributed, nn

from luthier.errors import ToolError

Row = TypeVar("Row")
Found = TypeVar("Found")

PATIENCE = timedelta(minutes=15)
"""How long a process waits for the others: one that writes a large checkpoint is no dead one; those are seen at once
by whoever launched them."""
GONE = "another process of this run is gone"
BUCKET_BYTES = 64 << 20
"""Gradients are summed in buffers of at most this size: that much memory more, not as much as all gradients."""


@dataclass(frozen=True)
class Processes:
    """The processes of a run, as one of them sees them; a single one by default."""

    rank: int = 0
    size: int = 1
    root: nn.Module | None = None
    """Where weights are sharded: what runs in it finds them gathered."""

    @property
    def is_first(self) -> bool:
        """Whether it is the one that tells and writes."""
        return self.rank == 0

    @property
    def name(self) -> str:
        """What errors call it."""
        return f"process {self.rank + 1} of {self.size}"

    def deal(self, rows: Sequence[Row], tokens: Callable[[Sequence[Row]], int]) -> list[Row]:
        """Give the rows this process computes: the longest first, each to the one with the fewest tokens."""
        if self.size == 1:
            return list(rows)
        lengths = [tokens([row]) for row in rows]
        filled = [0] * self.size
        mine: list[Row] = []
        for place in sorted(range(len(rows)), key=lambda place: (-lengths[place], place)):
            rank = filled.index(min(filled))
            filled[rank] += lengths[place]
            if rank == self.rank:
                mine.append(rows[place])
        return mine

    def even(self, parts: Sequence[Sequence[Row]], filler: Sequence[Row]) -> Iterator[tuple[Sequence[Row], bool]]:
        """Give the passes with whether each counts. Sharded weights are gathered in every pass, by all processes:
        one with fewer passes than another computes the filler, which does not count.
        """
        yield from ((part, True) for part in parts)
        if self.root is not None and self.size > 1:
            most = int(max(self.gather(float(len(parts)))))
            yield from ((filler, False) for _ in range(most - len(parts)))

    def within(self, work: Callable[[], Found]) -> Found:
        """Run what computes with the weights."""
        found: Found = work() if self.root is None else self.root(work)
        return found

    def looking(self, work: Callable[[], Found]) -> Found:
        """Run, once for all processes, what looks at the model and changes nothing; all get what the first found."""
        if self.root is not None:
            with torch.no_grad():
                found: Found = self.root(work)
            self.rest()
            return self.first(lambda: found)
        return self.first(work)

    def rest(self) -> None:
        """Part the weights again after a look: without a backward pass the outermost ones stay gathered, and a process
        that saves parts them alone.
        """
        if self.root is not None:
            self.root.reshard()  # type: ignore[operator]

    def first(self, work: Callable[[], Found]) -> Found:
        """Run something in the first process; all get what it gives."""
        if self.size == 1:
            return work()
        kept: list[Any] = [work() if self.is_first else None]
        with self._reached():
            distributed.broadcast_object_list(kept, src=0, device=torch.device("cpu"))
        found: Found = kept[0]
        return found

    def gather(self, number: float) -> list[float]:
        """Give every process's number."""
        numbers = [0.0] * self.size
        numbers[self.rank] = number
        return self.sum(numbers)

    def any(self, claim: bool) -> bool:
        """Whether it is true in some process."""
        return (self.size > 1 and self.sum([float(claim)])[0] > 0) or claim

    def sum(self, numbers: Sequence[float]) -> list[float]:
        """Sum numbers over the processes, each by its place."""
        if self.size == 1:
            return list(numbers)
        summed = torch.tensor(numbers, dtype=torch.float64)
        with self._reached():
            distributed.all_reduce(summed)
        return summed.tolist()

    def wait(self) -> None:
        """Wait until every process has come here."""
        self.sum([0.0])

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sum each parameter's gradient over the processes; one that nobody has a gradient of stays without.

        Sharded parameters are left out: theirs are summed where they are made.
        """
        whole = [parameter for parameter in parameters if not hasattr(parameter, "full_tensor")]
        if self.size == 1 or not whole:
            return
        # a gradient of zeros is not none: weight decay and momentum would move what nothing was learned of
        there = self.sum([float(parameter.grad is not None) for parameter in whole])
        found = [parameter for parameter, count in zip(whole, there, strict=True) if count]
        for parameter in found:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        for bucket in _buckets([parameter.grad for parameter in found if parameter.grad is not None]):
            flat = torch.cat([grad.reshape(-1) for grad in bucket])
            with self._reached():
                distributed.all_reduce(flat)
            for grad, summed in zip(bucket, torch.split(flat, [grad.numel() for grad in bucket]), strict=True):
                grad.copy_(summed.view_as(grad))

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Name the place and the mend where another process does not answer any more."""
        try:
            yield
        except RuntimeError as error:  # torch raises it, or a child of it, for a closed or silent connection
            raise lost(self, error) from error


ALONE = Processes()


def lost(processes: Processes, error: BaseException) -> ToolError:
    """Give the error for a process that does not answer any more."""
    return ToolError(
        f"{GONE}: {(str(error) or type(error).__name__).splitlines()[0][:200]}",
        where=processes.name,
        mend="see what ended it (memory?), then run the same command again: it goes on from the newest checkpoint",
    )


def _buckets(tensors: Sequence[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    bucket: list[torch.Tensor] = []
    size = 0
    for tensor in tensors:
        if bucket and (size + tensor.nbytes > BUCKET_BYTES or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(tensor)
        size += tensor.nbytes
    if bucket:
        yield bucket


def seed_of(seed: int, step: int, rank: int) -> int:
    """Give the seed of what a process draws in a step, so that no random state need outlive a run."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextmanager
def joined(rank: int, size: int, device: str, meeting: str) -> Iterator[Processes]:
    """Join the others while the block runs.

    `meeting` is what torch calls an init method: `file:///...` on one machine, `env://` where torchrun set it up.
    Raises ToolError if the device has no way for processes to talk, or if the others do not come.
    """
    kind = device.partition(":")[0]
    processes = Processes(rank, size)
    try:
        distributed.init_process_group(
            backend_of(kind), init_method=meeting, rank=rank, world_size=size, timeout=PATIENCE
        )
    except RuntimeError as error:
        raise lost(processes, error) from error
    try:
        yield processes
        processes.wait()  # nobody leaves while another still reads from it
    finally:
        distributed.destroy_process_group()


def backend_of(kind: str) -> str:
    """Give torch's name of how processes talk: numbers always over the processor, tensors where they lie."""
    if kind == "cpu":
        return "gloo"
    backends = distributed.Backend.default_device_backend_map
    if kind not in backends or kind == "mps":
        raise ToolError(
            f"processes cannot talk over the device {kind!r}", where="key device", mend="use one process, or device=cpu"
        )
    return f"cpu:gloo,{kind}:{backends[kind]}"
