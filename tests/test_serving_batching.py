"""Requests that are computed together: each gets its own rows, errors stay with who made them, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest
from served import Doubling

from isthmus.errors import DataError
from isthmus.serving.batching import Batcher, BusyError, Computation
from isthmus.serving.settings import Settings

Array = np.ndarray[Any, Any]
LATER = 20.0


def rows(*values: float) -> dict[str, Array]:
    return {"X": np.array(values, np.float32)[:, None]}


def soon() -> float:
    return asyncio.get_running_loop().time() + LATER


def run(work: Callable[[Batcher, Doubling], Coroutine[Any, Any, None]], **settings: Any) -> list[Computation]:
    """What was observed while some work was done."""
    seen = list[Computation]()

    async def main() -> None:
        model = Doubling()
        batcher = Batcher(model, Settings(**settings), seen.append)
        await work(batcher, model)
        await batcher.close()
        with pytest.raises(BusyError):
            await batcher.submit("encode", rows(1), soon())

    asyncio.run(main())
    return seen


async def hold(batcher: Batcher, model: Doubling) -> asyncio.Task[list[Array]]:
    """A computation that lasts until `free` is set."""
    model.free.clear()
    first = asyncio.create_task(batcher.submit("encode", rows(-1), soon()))
    await asyncio.to_thread(model.begun.wait, 10)
    return first


def ask(batcher: Batcher, *values: float, entry: str = "encode") -> asyncio.Task[list[Array]]:
    return asyncio.create_task(batcher.submit(entry, rows(*values), soon()))


def test_requests_that_come_during_a_computation_are_joined() -> None:
    async def work(batcher: Batcher, model: Doubling) -> None:
        first = await hold(batcher, model)
        others = [ask(batcher, at, at + 0.5, entry="decode" if at % 3 == 2 else "encode") for at in range(12)]
        await asyncio.sleep(0)
        assert batcher.queued == 12
        model.free.set()
        for at, [values] in enumerate(await asyncio.gather(*others)):
            assert values.ravel().tolist() == [2 * at, 2 * at + 1]
        assert (await first)[0].tolist() == [[-2]]
        assert model.computed == [("encode", 1), ("encode", 16), ("decode", 8)]

    seen = run(work)
    assert [(each.entry, each.requests, each.rows) for each in seen] == [
        ("encode", 1, 1),
        ("encode", 8, 16),
        ("decode", 4, 8),
    ]


def test_who_asks_is_told_how_many_rows_were_computed_together() -> None:
    async def work(batcher: Batcher, model: Doubling) -> None:
        first, known = await hold(batcher, model), list[dict[str, Any]]()
        asked = []
        for count in (1, 2, 3):
            known.append({})
            asked.append(asyncio.create_task(batcher.submit("encode", rows(*range(count)), soon(), known[-1])))
        await asyncio.sleep(0)
        model.free.set()
        await asyncio.gather(first, *asked)
        assert known == [{"batch_rows": 6}] * 3

    run(work)


def test_a_free_model_computes_at_once() -> None:
    async def work(batcher: Batcher, model: Doubling) -> None:
        begin = time.perf_counter()
        for _ in range(20):
            await ask(batcher, 1)
        assert time.perf_counter() - begin < 10 * 1.0  # it waits for nobody, for ten seconds each

    assert len(run(work, batch_wait_ms=10_000)) == 20


def test_after_requests_came_together_the_next_ones_are_awaited() -> None:
    async def work(batcher: Batcher, model: Doubling) -> None:
        first = await hold(batcher, model)
        pair = [ask(batcher, 1), ask(batcher, 2)]
        await asyncio.sleep(0)
        model.free.set()
        await asyncio.gather(first, *pair)
        one = ask(batcher, 3)
        await asyncio.sleep(0.02)
        assert not one.done()  # a second one is expected
        await asyncio.gather(one, ask(batcher, 4))
        alone = await asyncio.wait_for(ask(batcher, 5), 5)  # nobody else comes: the wait is bounded
        assert alone[0].tolist() == [[10]]

    assert [each.requests for each in run(work, batch_wait_ms=600)] == [1, 2, 2, 1]


@pytest.mark.promise(29)
def test_only_the_request_at_fault_fails_with_its_own_row() -> None:
    async def work(batcher: Batcher, model: Doubling) -> None:
        first = await hold(batcher, model)
        good, bad, also = ask(batcher, 1, 2), ask(batcher, 3, 4, 13), ask(batcher, 5)
        await asyncio.sleep(0)
        model.free.set()
        await first
        assert (await good)[0].tolist() == [[2], [4]]
        assert (await also)[0].tolist() == [[10]]
        with pytest.raises(DataError, match="row 2 is 13"):
            await bad

    run(work)


def test_a_large_request_takes_turns_with_small_ones() -> None:
    async def work(batcher: Batcher, model: Doubling) -> None:
        large = ask(batcher, *range(10))
        await asyncio.sleep(0)
        small = ask(batcher, 100)
        await small
        assert not large.done()
        assert (await large)[0].ravel().tolist() == list(range(0, 20, 2))
        with pytest.raises(DataError, match="row 9 is 13"):
            await ask(batcher, *range(9), 13)

    assert max(each.rows for each in run(work, max_batch_rows=4)) == 4


def test_a_large_request_is_computed_though_small_ones_keep_coming() -> None:
    async def work(batcher: Batcher, model: Doubling) -> None:
        stop = False

        async def client() -> None:
            while not stop:
                await ask(batcher, 1, 2, 3)

        clients = [asyncio.create_task(client()) for _ in range(6)]
        await asyncio.sleep(0.01)
        large = await asyncio.wait_for(ask(batcher, *range(12)), 10)
        assert large[0].ravel().tolist() == list(range(0, 24, 2))
        stop = True
        await asyncio.gather(*clients)

    run(work, max_batch_rows=4)


@pytest.mark.promise(29)
def test_the_queue_is_bounded_and_is_left_by_who_gives_up() -> None:
    async def work(batcher: Batcher, model: Doubling) -> None:
        first = await hold(batcher, model)
        waiting = [ask(batcher, 1), ask(batcher, 2)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await ask(batcher, 3)
        waiting[0].cancel()
        await asyncio.sleep(0)
        assert batcher.queued == 1
        with pytest.raises(TimeoutError):
            await batcher.submit("encode", rows(4), asyncio.get_running_loop().time() + 0.01)
        assert batcher.queued == 1
        model.free.set()
        await first
        assert (await waiting[1])[0].tolist() == [[4]]
        assert model.computed == [("encode", 1), ("encode", 1)]  # nobody's rows are not computed

    run(work, max_queued=2)


def test_who_gives_up_while_others_are_awaited_does_not_stop_the_batcher() -> None:
    async def work(batcher: Batcher, model: Doubling) -> None:
        first = await hold(batcher, model)
        pair = [ask(batcher, 1), ask(batcher, 2)]
        await asyncio.sleep(0)
        model.free.set()
        await asyncio.gather(first, *pair)
        one = ask(batcher, 3)
        await asyncio.sleep(0)
        one.cancel()
        await asyncio.sleep(0.05)
        assert (await asyncio.wait_for(ask(batcher, 5), 5))[0].tolist() == [[10]]

    run(work, batch_wait_ms=20)


def test_closing_waits_for_what_is_in_flight() -> None:
    async def work(batcher: Batcher, model: Doubling) -> None:
        first = await hold(batcher, model)
        with batcher.in_use():
            closing = asyncio.create_task(batcher.close())
            model.free.set()
            await first
            await asyncio.sleep(0.01)
            assert not closing.done()  # a request is still read
            late = await ask(batcher, 7)
        assert late[0].tolist() == [[14]]
        await asyncio.wait_for(closing, 5)

    run(work)


def test_who_waits_is_told_that_nothing_can_be_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(batcher: Batcher, model: Doubling) -> None:
        def no_memory(*_: object) -> None:
            raise MemoryError

        with monkeypatch.context() as patched:
            patched.setattr(np, "concatenate", no_memory)
            with pytest.raises(MemoryError):
                await asyncio.wait_for(ask(batcher, 1, 2), 5)
        assert (await ask(batcher, 3))[0].tolist() == [[6]]

    run(work, max_batch_rows=1)
