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
