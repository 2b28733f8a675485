"""Processes that train one model together. Each applies the nets to its own rows of a batch; all else each of them does for the batch.

A value is either of the whole batch, and then the same in every process, or of a process's own rows. `own_rows` and `gathered` lead from
one to the other. Each is the other's derivative, so that gradients of any order go through them. The gradient of a weight of a net is the
sum over the processes; that of a weight outside the nets is the same in each.

Random numbers, running state, penalties and losses are those of the whole batch: no component knows of processes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from isthmus.errors import LostProcessError

__all__ = ["ALONE", "Processes", "gathered", "own_rows", "own_weights", "sharing", "summed"]


COPIED = 2**26  # bytes of tensors that are copied together, at most one more


class Processes:
    """The processes of one training. In each this is another object, with its ``rank`` from 0; `rank` 0 writes the files.

    Args:
        rank: the number of this process.
        size: the number of processes.
        group: the group of PyTorch through which they speak; None for one process.
        timeout: seconds after which a process that does not answer is given up.
    """

    def __init__(
        self, rank: int = 0, size: int = 1, group: dist.ProcessGroup | None = None, timeout: float = 0.0
    ) -> None:
        self.rank, self.size, self.group, self.timeout = rank, size, group, timeout
        self.wish = False  # whether this process, and after a step whether any, wants a report
        self.bytes = 0  # that all reductions of gradients have summed

    def span(self, count: int) -> tuple[int, int]:
        """The first of this process's rows of ``count``, and the one after the last: equal parts, of which the last may be shorter."""
        each = math.ceil(count / self.size)
        return min(self.rank * each, count), min((self.rank + 1) * each, count)

    def collect(self, own: Tensor, count: int) -> Tensor:
        """The rows of all processes (count, ...), without a gradient."""
        each = math.ceil(count / self.size)
        part = own.contiguous()
        if len(own) < each:
            part = own.new_zeros(each, *own.shape[1:])
            part[: len(own)] = own
        whole = own.new_empty(each * self.size, *own.shape[1:])
        with self._reached() as group:
            group._allgather_base(whole, part).wait()
        return whole[:count]

    def sum(self, values: Tensor) -> Tensor:
        """The sum over the processes, in place."""
        with self._reached() as group:
            group.allreduce([values]).wait()
        return values

    @torch.no_grad()
    def sum_gradients(self, parameters: Iterable[Tensor], of_nets: Iterable[nn.Parameter]) -> None:
        """Sums the gradients over the processes, in one flat tensor; of parameters outside the nets those of process 0 count.

        The last number of the tensor counts the processes that want a report: all learn of it in the same step.
        """
        if self.size == 1:
            return
        nets, having = set(map(id, of_nets)), [p for p in parameters if p.grad is not None]
        gradients = [p.grad if id(p) in nets or not self.rank else torch.zeros_like(p) for p in having]
        like = having[0] if having else torch.zeros(())
        flat = torch.cat([*(g.reshape(-1) for g in gradients if g is not None), like.new_full((1,), float(self.wish))])
        self.sum(flat)
        self.bytes += flat.numel() * flat.element_size()
        for p, summed_up in zip(having, flat[:-1].split([p.numel() for p in having]), strict=True):
            assert p.grad is not None
            p.grad.copy_(summed_up.view_as(p))
        self.wish = bool(flat[-1] > 0)

    def same(self, values: Sequence[float]) -> list[float]:
        """The values of process 0: what is decided by them is decided alike, also where processors round differently."""
        if self.size == 1:
            return list(values)
        given = torch.tensor(values, dtype=torch.float64)
        with self._reached() as group:
            group.broadcast(given, 0).wait()
        found: list[float] = given.tolist()
        return found

    def most(self, value: int) -> int:
        """The largest of a value in the processes."""
        if self.size == 1:
            return value
        return int(self.collect(torch.tensor([value]), self.size).max())

    @torch.no_grad()
    def copy_first(self, tensors: Iterable[Tensor]) -> None:
        """Sets the tensors to those of process 0."""
        if self.size == 1:
            return
        by_dtype: dict[torch.dtype, list[Tensor]] = {}
        for tensor in tensors:
            some = by_dtype.setdefault(tensor.dtype, [])
            some.append(tensor)
            if sum(each.numel() * each.element_size() for each in some) > COPIED:
                self._copy_first(by_dtype.pop(tensor.dtype))
        for some in by_dtype.values():
            self._copy_first(some)

    def _copy_first(self, tensors: Sequence[Tensor]) -> None:
        """Sets the tensors, of one type, to those of process 0."""
        flat = torch.cat([each.reshape(-1) for each in tensors])
        flat = flat.to(torch.uint8) if flat.dtype == torch.bool else flat
        with self._reached() as group:
            group.broadcast(flat, 0).wait()
        for each, part in zip(tensors, flat.split([each.numel() for each in tensors]), strict=True):
            each.copy_(part.view_as(each))

    def texts(self, text: str) -> list[str]:
        """A text of each process, by rank."""
        if self.size == 1:
            return [text]
        content = text.encode()
        length = max(1, self.most(len(content)))
        padded = torch.frombuffer(bytearray(content.ljust(length, b"\0")), dtype=torch.uint8)
        every = self.collect(padded[None], self.size)
        return [bytes(row.tolist()).rstrip(b"\0").decode() for row in every]

    @contextmanager
    def _reached(self) -> Iterator[Any]:
        """The group. Inside the context a failure to reach another process is a `LostProcessError`."""
        try:
            yield self.group
        except RuntimeError as error:
            if isinstance(error, LostProcessError):
                raise
            raise LostProcessError(
                f"process {self.rank} of {self.size} lost the others: one has ended, or did not answer for {self.timeout:.0f} seconds"
            ) from error


ALONE = Processes()
_SHARING: ContextVar[Processes] = ContextVar("sharing", default=ALONE)  # within a step


@contextmanager
def sharing(processes: Processes) -> Iterator[None]:
    """Inside the context nets are applied to the own rows of the processes, all of which are inside with the same batch."""
    if processes.size == 1:
        yield
        return
    token = _SHARING.set(processes)
    try:
        yield
    finally:
        _SHARING.reset(token)


def own_rows(whole: Tensor) -> Tensor:
    """This process's rows of a tensor (n, ...), all if it trains alone. Where it has none, the first row stands in: layers need one."""
    processes = _SHARING.get()
    if processes.size == 1:
        return whole
    own = _own(whole, processes)
    return own if len(own) else torch.cat([own, whole[:1].detach()])


def own_weights(weights: Tensor | None, like: Tensor) -> Tensor | None:
    """The weights of the own rows of examples ``like`` (n, ...): of ``weights`` (n,), None if all are 1. A row that stands in has none."""
    processes = _SHARING.get()
    if processes.size == 1:
        return weights
    begin, end = processes.span(len(like))
    if begin == end:
        return like.new_zeros(1)
    return None if weights is None else own_rows(weights)


def gathered(own: Tensor, count: int) -> Tensor:
    """The rows of all processes (count, ...), of which this one has its own; without a row that stands in."""
    processes = _SHARING.get()
    if processes.size == 1:
        return own
    begin, end = processes.span(count)
    return _whole(own[: end - begin], processes, count)


def summed(*values: Tensor) -> tuple[Tensor, ...]:
    """The sums of values () of the own rows over the processes, without a gradient."""
    processes = _SHARING.get()
    return values if processes.size == 1 else processes.sum(torch.stack(values)).unbind()


def _own(whole: Tensor, processes: Processes) -> Tensor:
    rows: Tensor = _Own.apply(whole, processes) if whole.requires_grad else whole[slice(*processes.span(len(whole)))]  # type: ignore[no-untyped-call]
    return rows


def _whole(own: Tensor, processes: Processes, count: int) -> Tensor:
    rows: Tensor = _Whole.apply(own, processes, count)  # type: ignore[no-untyped-call]
    return rows


class _Own(torch.autograd.Function):
    """The own rows of the whole batch. A gradient of the whole batch is gathered from those of all own rows."""

    @staticmethod
    def forward(ctx: Any, whole: Tensor, processes: Processes) -> Tensor:
        ctx.processes, ctx.count = processes, len(whole)
        return whole[slice(*processes.span(len(whole)))].clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return _whole(gradient, ctx.processes, ctx.count), None


class _Whole(torch.autograd.Function):
    """The whole batch of all own rows. Its gradient is the same in every process, which takes its own rows of it."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, processes: Processes, count: int) -> Tensor:
        ctx.processes = processes
        return processes.collect(own, count)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return _own(gradient, ctx.processes), None, None
