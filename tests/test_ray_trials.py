"""The trials of a sweep with a stand-in for Ray, whose machines die as a test says: every sweep ends, and says what happened."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from isthmus import Autoencoder, load
from isthmus.architectures import MLP
from isthmus.data import as_examples
from isthmus.experiments.ray_trials import in_ray
from isthmus.experiments.run_folder import reserve_folder
from isthmus.experiments.shared_examples import pack, shared_folder
from isthmus.experiments.trial import SweepContext
from isthmus.experiments.trial_workers import News, Task


class RayError(Exception):
    pass


class NodeDiedError(RayError):
    pass


class Fake:
    """A stand-in for the module. A second passes with each `wait`.

    Args:
        answer: what `get` does for the n-th task that was given; None: the task never ends.
        cpus: the processors of the cluster after some seconds.
    """

    def __init__(self, answer: Callable[[int], Any] | None, cpus: Callable[[float], float] = lambda _: 1.0) -> None:
        self.answer, self.cpus = answer, cpus
        self.given, self.now, self.cancelled = count(), 0.0, list[int]()
        self.tasks = dict[int, Callable[[], Any]]()
        kinds = dict.fromkeys(
            ("OutOfMemoryError", "WorkerCrashedError", "RayTaskError"), type("Other", (RayError,), {})
        )
        dead = {"NodeDiedError": NodeDiedError, "LocalRayletDiedError": NodeDiedError}
        self.exceptions = SimpleNamespace(RayError=RayError, **kinds, **dead)

    def is_initialized(self) -> bool:
        return True

    def put(self, value: Any) -> Any:
        return value

    def remote(self, **_: Any) -> Callable[[Any], Any]:
        return lambda train: SimpleNamespace(remote=lambda *given: self._sent(train, given))

    def _sent(self, train: Callable[..., Any], given: tuple[Any, ...]) -> int:
        number = next(self.given)
        self.tasks[number] = lambda: train(*given)
        return number

    def wait(self, references: list[int], **_: Any) -> tuple[list[int], list[int]]:
        self.now += 1
        assert self.now < 10_000, "it waits without end"
        return ([], references) if self.answer is None else (references[:1], references[1:])

    def get(self, reference: int) -> Any:
        assert self.answer is not None
        return self.answer(reference)

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": self.cpus(self.now)} if self.cpus(self.now) else {}

    def cancel(self, reference: int) -> None:
        self.cancelled.append(reference)


TASKS = [Task(number, Autoencoder(2), {}, f"task {number}", False) for number in range(3)]


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Fake], Iterator[News]]:
    """The news of three tasks, two at the same time, with a stand-in."""

    def of(fake: Fake) -> Iterator[News]:
        monkeypatch.setitem(sys.modules, "ray", fake)
        monkeypatch.setattr("time.monotonic", lambda: fake.now)
        yield from in_ray(b"", TASKS, 2, None, tmp_path)

    return of


def test_a_cluster_without_a_processor_is_said_and_waited_for_ten_minutes(
    heard: Callable[[Fake], Iterator[News]],
) -> None:
    fake = Fake(None, lambda now: float(now < 100))
    said = [(fake.now, each) for each in heard(fake)]
    (first, note), *ends = said
    assert first == 100
    assert "no machine of the Ray cluster has a processor; the sweep waits 10 minutes for one" in note.warning
    assert [each.number for _, each in ends] == [0, 1, 2]
    assert {each.failed for _, each in ends} == {"no machine of the Ray cluster had a processor for 10 minutes"}
    assert {now for now, _ in ends} == {700}
    assert fake.cancelled == [0, 1]


def test_a_processor_that_comes_back_begins_the_wait_anew(heard: Callable[[Fake], Iterator[News]]) -> None:
    fake = Fake(None, lambda now: float(now == 500))
    said = [(fake.now, bool(each.warning), each.ended) for each in heard(fake)]
    assert said == [(1, True, False), (501, True, False), *[(1101, False, True)] * 3]


def test_a_training_whose_machine_dies_three_times_failed(heard: Callable[[Fake], Iterator[News]]) -> None:
    tried = list[int]()

    def answer(reference: int) -> Any:
        if reference in (0, 3, 4):  # the first task, given again and again
            tried.append(reference)
            raise NodeDiedError
        return [News(reference, ended=True)]

    said = list(heard(Fake(answer)))
    notes = [each.number for each in said if "is tried again where a processor is free" in each.warning]
    assert notes == [0, 0]
    assert sorted(set(tried)) == [0, 3, 4]
    assert [each.number for each in said if each.ended] == [1, 2, 0]
    assert said[-1].failed == "its machine died or left the cluster, 3 times"


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be locked there")
def test_a_task_that_waits_for_another_one_ends_when_it_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = Fake(lambda reference: fake.tasks[reference]())
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.setattr("time.monotonic", lambda: fake.now)
    x = as_examples(np.random.default_rng(0).normal(size=(20, 4)))
    context = SweepContext(x, x, tmp_path)
    with shared_folder(tmp_path) as shared, reserve_folder(tmp_path / "size-2"):

        def sleep(seconds: float) -> None:
            fake.now += seconds
            (shared / "stop").touch()

        monkeypatch.setattr("time.sleep", sleep)
        task = Task(0, Autoencoder(2, random_state=0), {"bottleneck.size": 2}, "task", False)
        said = list(in_ray(pack(context, shared, same_machine=False), [task], 1, None, shared))
    assert [each.failed for each in said] == ["it was stopped"]
    assert fake.now < 5


def test_a_training_whose_machine_dies_continues_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.random.default_rng(0).normal(size=(20, 4))
    ae = Autoencoder(2, architecture=MLP((8,)), epochs=4, random_state=0)

    def answer(reference: int) -> Any:
        if reference > 0:
            monkeypatch.setattr(Autoencoder, "iter_fit", None)  # so that beginning anew is an error
            return fake.tasks[reference]()
        (tmp_path / "size-2").mkdir()
        dying = clone(ae)
        for report in dying.iter_fit(x, validation_data=x):
            if report.epoch == 2:
                dying.checkpoint(tmp_path / "size-2/checkpoint.safetensors")
                raise NodeDiedError
        raise AssertionError("it has no second epoch")

    fake = Fake(answer)
    monkeypatch.setitem(sys.modules, "ray", fake)
    with shared_folder(tmp_path) as shared:
        task = Task(0, ae, {"bottleneck.size": 2}, "task", False)
        packed = pack(SweepContext(as_examples(x), as_examples(x), tmp_path), shared, same_machine=False)
        said = list(in_ray(packed, [task], 1, None, shared))
    assert [each.failed for each in said if each.ended] == [""]
    assert [report.epoch for report in load(tmp_path / "size-2").history_] == [1, 2, 3, 4]
