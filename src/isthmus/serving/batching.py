"""Requests that are computed together."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.serving.served_model import ServedModel
from isthmus.serving.settings import Settings

__all__ = ["Batcher", "BusyError", "Computation"]

Array = NDArray[Any]


class BusyError(Exception):
    """There are too many requests, or the model is closed: the client may try again later."""


class Computation(NamedTuple):
    """What was computed together.

    Attributes:
        entry: its name.
        requests: whose rows were computed.
        rows: that were computed.
        seconds: that it took.
    """

    entry: str
    requests: int
    rows: int
    seconds: float


class _Request:
    """A request that waits, or some of whose rows are computed."""

    def __init__(self, entry: str, inputs: Mapping[str, Array]) -> None:
        self.entry, self.inputs = entry, inputs
        self.rows = len(next(iter(inputs.values())))
        self.done = 0  # rows
        self.together = 0  # rows that were computed together, of this and other requests
        self.found = list[list[Array]]()  # of these rows
        self.answer = asyncio.get_running_loop().create_future()


class _Piece(NamedTuple):
    """Rows of a request that are computed now."""

    request: _Request
    end: int

    @property
    def rows(self) -> int:
        return self.end - self.request.done

    @property
    def inputs(self) -> dict[str, Array]:
        return {name: values[self.request.done : self.end] for name, values in self.request.inputs.items()}


class Batcher:
    """A model whose requests are joined while it computes. All methods but the constructor are called on the event loop.

    A free model computes at once. While it computes, requests gather, and the next computation takes those of one entry, in the order in
    which they came. A request of more rows than a computation takes is computed in turn with the others. Since a row has the same bits in
    any grouping of rows, nobody can see it.

    Args:
        model: the model.
        settings: the limits.
        observe: is told of each computation, on the event loop.
    """

    def __init__(
        self, model: ServedModel, settings: Settings, observe: Callable[[Computation], None] | None = None
    ) -> None:
        self.model, self._settings, self._observe = model, settings, observe
        self._queue: deque[_Request] = deque()
        self._threads = ThreadPoolExecutor(settings.threads, f"isthmus-{model.name}")
        self._computing, self._users = set[asyncio.Task[None]](), 0
        self._expected = 1  # requests of the next computation, after the last one
        self._timer: asyncio.TimerHandle | None = None
        self._changed, self._closed = asyncio.Event(), False

    @property
    def queued(self) -> int:
        """The number of requests that wait."""
        return len(self._queue)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Within it, `close` does not return: for a request that is still read."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            self._changed.set()

    async def submit(
        self, entry: str, inputs: Mapping[str, Array], deadline: float, known: dict[str, Any] | None = None
    ) -> list[Array]:
        """The outputs of an entry.

        Args:
            entry: its name.
            inputs: what `ServedModel.checked` returned.
            deadline: by the clock of the event loop.
            known: is given "batch_rows": the rows that were computed together, of this and other requests.

        Raises:
            DataError: values are too far from those of the training data to compute with.
            BusyError: too many requests wait, or the model is closed.
            TimeoutError: the deadline has passed.
        """
        if self._closed or len(self._queue) >= self._settings.max_queued:
            raise BusyError
        request = _Request(entry, inputs)
        self._queue.append(request)
        self._start()
        try:
            async with asyncio.timeout_at(deadline):
                answer: list[Array] = await request.answer
                if known is not None:
                    known["batch_rows"] = request.together
                return answer
        finally:
            request.answer.cancel()
            if request in self._queue:
                self._queue.remove(request)
            self._changed.set()

    async def close(self) -> None:
        """Returns when all requests are answered; later ones are refused."""
        while self._users or self._queue or self._computing:
            self._changed.clear()
            await self._changed.wait()
        self._closed = True
        self._threads.shutdown(wait=False)

    def _start(self, waited: bool = False) -> None:
        """Starts computations, as many as may run at the same time."""
        while self._queue and len(self._computing) < self._settings.threads:
            if not waited and len(self._queue) < self._expected and self._settings.batch_wait_ms > 0:
                self._wait()
                return
            self._stop_waiting()
            task = asyncio.get_running_loop().create_task(self._compute(self._next()))
            self._computing.add(task)

    def _wait(self) -> None:
        """Lets as many requests come as were computed together before, for a moment."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._settings.batch_wait_ms / 1000, self._after_waiting)

    def _after_waiting(self) -> None:
        self._timer = None
        self._start(waited=True)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _next(self) -> list[_Piece]:
        """The oldest request, and others of its entry as long as there is room."""
        room = self._settings.max_batch_rows
        first = self._queue.popleft()
        pieces = [_Piece(first, min(first.rows, first.done + room))]
        room -= pieces[0].rows
        for other in list(self._queue):
            if room <= 0:
                break
            if other.entry == first.entry and other.rows - other.done <= room:
                self._queue.remove(other)
                pieces.append(_Piece(other, other.rows))
                room -= pieces[-1].rows
        return pieces

    async def _compute(self, pieces: list[_Piece]) -> None:
        loop, begin = asyncio.get_running_loop(), time.perf_counter()
        rows, requests = sum(piece.rows for piece in pieces), [piece.request for piece in pieces]
        try:
            results = await loop.run_in_executor(self._threads, _results, self.model, pieces)
        except Exception as error:  # there is no thread or no memory left; who waits is told
            results = [error for _ in pieces]
        finally:
            self._computing.discard(asyncio.current_task())
        for request, result in zip(requests, results, strict=True):
            request.together = max(request.together, rows)
            if request.answer.done():
                continue  # nobody waits for it any more
            if isinstance(result, Exception):
                request.answer.set_exception(result)
            elif result is not None:
                request.answer.set_result(result)
            else:
                self._queue.append(request)
        self._expected = len(requests)
        self._start()
        self._changed.set()
        if self._observe is not None:
            self._observe(Computation(requests[0].entry, len(requests), rows, time.perf_counter() - begin))


def _results(model: ServedModel, pieces: list[_Piece]) -> list[list[Array] | Exception | None]:
    """For each request its outputs, or what went wrong with it, or None if some of its rows are still to be computed."""
    requests = [piece.request for piece in pieces]
    try:
        given = [piece.inputs for piece in pieces]
        joined = {name: np.concatenate([each[name] for each in given]) for name in given[0]} if given[1:] else given[0]
        outputs = model.compute(requests[0].entry, joined)
    except Exception as error:
        if len(pieces) == 1 and pieces[0].rows == requests[0].rows:
            return [error]
        return [_alone(model, request) for request in requests]
    begin, results = 0, list[list[Array] | Exception | None]()
    for request, end in pieces:
        request.found.append([values[begin : begin + end - request.done] for values in outputs])
        begin, request.done = begin + end - request.done, end
        results.append(_whole(request) if end == request.rows else None)
    return results


def _alone(model: ServedModel, request: _Request) -> list[Array] | Exception:
    """The outputs of a request by itself: only that one fails whose rows are at fault, and the message has the number of its own row."""
    try:
        return model.compute(request.entry, request.inputs)
    except Exception as error:
        return error


def _whole(request: _Request) -> list[Array]:
    """The outputs of all rows."""
    if len(request.found) == 1:
        return request.found[0]
    return [np.concatenate(parts) for parts in zip(*request.found, strict=True)]
