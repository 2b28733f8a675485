"""A training on several threads says it where other programs take the processor from it, once, and else never."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest

from isthmus.errors import IsthmusWarning
from isthmus.training import contention
from isthmus.training.contention import ContentionMonitor

Usage = tuple[float, float, float]


def said(monkeypatch: pytest.MonkeyPatch, threads: int, *usages: Usage | None) -> list[str]:
    """What a training says that gets this much: seconds, seconds of the processor, and how often a thread was taken off it."""
    times: Iterator[Usage | None] = iter(usages)
    monkeypatch.setattr(contention, "cpu_usage", lambda: next(times))
    monitor = ContentionMonitor(threads)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for usage in usages[1:]:
            monkeypatch.setattr(contention.time, "perf_counter", lambda usage=usage: usage and usage[0])
            monitor.check()
    assert all(w.category is IsthmusWarning for w in caught)
    return [str(w.message) for w in caught]


def test_other_processes_on_the_cores_warn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    (sentence,) = said(monkeypatch, 2, (0, 0, 0), (10, 12.5, 1900), (20, 25, 3800))
    assert sentence.startswith(
        "other programs use 38% of the processor time of this training, and its 2 threads wait for each other"
    )
    assert sentence.endswith("set OMP_NUM_THREADS=1")


@pytest.mark.parametrize(
    ("threads", "usages"),
    [
        (1, [(0, 0, 0), (10, 5, 1900)]),  # nobody waits for another
        (2, [(0, 0, 0), (10, 19.5, 700)]),  # alone
        (2, [(0, 0, 0), (10, 12.5, 100)]),  # threads that sleep by themselves
        (2, [(0, 0, 0), (9, 9, 1900)]),  # too short to tell
        (2, [None, None]),  # a system that does not say
    ],
)
def test_without_other_processes_there_is_no_warning(
    monkeypatch: pytest.MonkeyPatch, threads: int, usages: list[Usage | None]
) -> None:
    assert said(monkeypatch, threads, *usages) == []


def test_processes_that_start_later_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(said(monkeypatch, 2, (0, 0, 0), (10, 19.5, 700), (20, 32, 2700))) == 1


def test_a_training_that_may_uses_one_thread_while_others_need_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0, 0.0, 0.0]
    monkeypatch.setattr(contention, "cpu_usage", lambda: tuple(now))
    monkeypatch.setattr(contention.time, "perf_counter", lambda: now[0])
    monitor, used = ContentionMonitor(2, adaptive=True), list[int]()

    def run(seconds: float, share: float, taken: float) -> None:
        """A tenth of a second after the other, with a share of the processor's time and preemptions per thread and second."""
        for _ in range(round(seconds * 10)):
            now[:] = [now[0] + 0.1, now[1] + 0.2 * share, now[2] + 0.2 * taken]
            monitor.check()
            used.append(monitor.current)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(2, 1.0, 20)
        assert set(used) == {2}
        run(20, 0.6, 100)
    assert used.count(2) < 20 + 5 * 4  # it tries again, after longer and longer pauses
    assert used[23:40] == [1] * 17
    run(40, 1.0, 20)
    assert used[-1] == 2
