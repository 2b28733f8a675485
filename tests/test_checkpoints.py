"""A training that is cut off anywhere goes on as if nothing had been: the same numbers, to the last bit."""

from __future__ import annotations

import copy
import math
import multiprocessing
import pickle
import random
import re
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import victims
from cases import thorough_where
from hostile_files import parts
from victims import CASES, built, examples, own, weights_hash

from isthmus import Autoencoder, load, native
from isthmus.architectures import MLP
from isthmus.errors import DataError, DivergenceError, DivergenceWarning, IsthmusWarning, NotPossibleError, RecordError
from isthmus.estimators import training_defaults
from isthmus.likelihoods import Normal
from isthmus.optimizers import SGD
from isthmus.training.state import Report

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(
    ["victims", "isthmus.estimators.autoencoder", "isthmus.estimators.loading", "safetensors.torch"]
)
KILLS, FEW = 6, 3


def alone(function: Callable[..., None], *given: Any) -> Any:
    """A process of its own that does something."""
    process = FORKED.Process(target=function, args=given, daemon=True)
    process.start()
    return process


def through(process: Any) -> None:
    process.join(120)
    assert process.exitcode == 0


def modules(case: str) -> Any:
    return own() if CASES[case].get("architecture") == "own" else None


@pytest.mark.promise(10)
@pytest.mark.parametrize(
    ("case", "kills"),
    [pytest.param("plain", FEW, id="few"), *(pytest.param(case, KILLS, marks=pytest.mark.thorough) for case in CASES)],
)
def test_a_training_killed_at_any_step_resumes_to_the_same_weights(
    case: str, kills: int, tmp_path: Path, record_property: Any
) -> None:
    record_property("cases", kills)
    through(alone(victims.undisturbed, case, tmp_path))
    checkpoint, model, chance = tmp_path / "checkpoint.safetensors", tmp_path / "model.safetensors", random.Random(case)
    for _ in range(kills):
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        victim = alone(victims.trained, case, tmp_path)
        deadline = time.monotonic() + 60
        while not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before:  # until it has gone on
            assert time.monotonic() < deadline
            if not victim.is_alive():
                break
        time.sleep(chance.random() * 0.03)
        victim.kill()
        victim.join()
        if model.exists():
            break
    through(alone(victims.trained, case, tmp_path))
    assert weights_hash(model, modules(case)) == weights_hash(tmp_path / "whole.safetensors", modules(case))
    assert {path.name for path in tmp_path.iterdir()} <= {p.name for p in (checkpoint, model)} | {
        "whole.safetensors",
        "x.npy",
    }


def numbers(ae: Autoencoder) -> list[np.ndarray[Any, Any]]:
    return [tensor.numpy() for tensor in ae.model_.state_dict().values()]


@pytest.mark.promise(10)
@pytest.mark.parametrize("case", thorough_where(CASES, lambda case: case in {"Adadelta", "sparse"}))
@pytest.mark.filterwarnings("ignore::isthmus.errors.DivergenceWarning")
def test_every_checkpoint_resumes_to_the_same_weights(case: str, tmp_path: Path) -> None:
    X = examples(case, tmp_path)
    whole, looked = built(case).fit(X), built(case)
    last, files = whole.history_[-1].step, []
    for number, report in enumerate(looked.iter_fit(X, every=1)):
        if number < 2 or report.step in {last // 2, last - 1, last}:
            files.append(tmp_path / f"{number}")
            looked.checkpoint(files[-1])
    for file in files:
        again = load(file, architecture=modules(case)).resume(X)
        for a, b in zip(numbers(again), numbers(whole), strict=True):
            np.testing.assert_array_equal(a, b)
        assert [(r.loss, r.val_loss, r.step, r.epoch) for r in again.history_] == [
            (r.loss, r.val_loss, r.step, r.epoch) for r in whole.history_
        ]


def test_a_checkpoint_is_a_usable_model(tmp_path: Path) -> None:
    X, ae = examples("plain", tmp_path), built("plain")
    for report in ae.iter_fit(X, every=3):
        ae.checkpoint(tmp_path / "x")
        codes = ae.encode(X)
        if report.epoch == 2:
            break
    then = load(tmp_path / "x")
    np.testing.assert_array_equal(then.encode(X), codes)
    assert then.history_ == ae.history_


def test_training_seconds_include_those_before_the_interruption(tmp_path: Path) -> None:
    X, ae = examples("plain", tmp_path), built("plain")
    reports = ae.iter_fit(X)
    before = [next(reports), next(reports)][-1].seconds
    ae.checkpoint(tmp_path / "x")
    reports.close()
    began = time.perf_counter()
    again = load(tmp_path / "x").resume(X)
    assert before < again.history_[-1].seconds < before + time.perf_counter() - began
    assert again.seconds_ == pytest.approx(again.history_[-1].seconds)


def test_earlier_rounds_of_training_are_counted(tmp_path: Path) -> None:
    X = examples("noise", tmp_path)

    def twice() -> Autoencoder:
        return built("noise").set_params(warm_start=True).fit(X)

    whole, cut = twice().fit(X), twice()
    reports = cut.iter_fit(X, every=5)
    next(reports), next(reports)
    cut.checkpoint(tmp_path / "x")
    reports.close()
    again = load(tmp_path / "x").resume(X)
    for a, b in zip(numbers(again), numbers(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [r.epoch for r in again.history_] == [r.epoch for r in whole.history_]
    assert again.partial_fit(X).history_[-1].epoch == 9


def test_a_complete_training_cannot_be_resumed(tmp_path: Path) -> None:
    X, ae = examples("plain", tmp_path), built("plain")
    with pytest.raises(NotPossibleError, match="no training is in progress"):
        ae.fit(X).checkpoint(tmp_path / "x")
    with pytest.raises(NotPossibleError, match="nothing to resume"):
        ae.resume(X)
    ae.fit(X, checkpoint=tmp_path / "x")
    again = load(tmp_path / "x").resume(X)
    np.testing.assert_array_equal(again.encode(X), ae.encode(X))
    with pytest.raises(NotPossibleError, match="nothing to resume"):
        again.resume(X)


def test_other_examples_are_refused_and_the_checkpoint_stays_good(tmp_path: Path) -> None:
    X, ae = examples("plain", tmp_path), built("plain")
    validation = X[:50] * 0.5
    for report in ae.iter_fit(X, validation_data=validation, every=4):
        ae.checkpoint(tmp_path / "x")
        if report.step == 20:
            break
    cut = load(tmp_path / "x")
    changed = X.copy()
    changed[3, 4] += 1e-3
    for other in (changed, X[:-1], X.astype(np.float64)):
        with pytest.raises(DataError, match="requires the examples of the interrupted training"):
            cut.resume(other, validation_data=validation)
    with pytest.raises(DataError, match=r"validation examples of the interrupted training: give them too"):
        cut.resume(X)
    whole = built("plain").fit(X, validation_data=validation)
    np.testing.assert_array_equal(cut.resume(X, validation_data=validation).encode(X), whole.encode(X))


def test_fitting_a_checkpoint_starts_a_new_training(tmp_path: Path) -> None:
    X, ae = examples("plain", tmp_path), built("plain")
    reports = ae.iter_fit(X, every=3)
    next(reports)
    ae.checkpoint(tmp_path / "x")
    np.testing.assert_array_equal(load(tmp_path / "x").fit(X).encode(X), built("plain").fit(X).encode(X))


def test_another_number_of_threads_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        training_defaults, "_MIN_PARALLEL_WORK", 0
    )  # else few examples are worth one thread, and it says nothing
    X, ae = examples("plain", tmp_path), built("plain").set_params(architecture=MLP((8,), activation="tanh"))
    before = cut(ae, X, 3, tmp_path / "x") and torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        with pytest.warns(UserWarning, match=rf"on {before} threads? \(cpu\), and this is .* on {before + 1} threads"):
            load(tmp_path / "x").resume(X)
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(native.load() is None, reason="no compiler has built the kernels for this processor")
def test_other_threads_do_not_warn_where_they_change_nothing_and_other_kernels_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_defaults, "_MIN_ADAPTIVE_WORK", 0)
    X, ae = examples("plain", tmp_path), built("plain")
    before = cut(ae, X, 3, tmp_path / "x") and torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        load(tmp_path / "x").resume(X)
    finally:
        torch.set_num_threads(before)
    said = f"-{native.name()}-kernels on .* and this is .*-other-kernels"
    monkeypatch.setattr(native, "name", lambda: "other")
    with pytest.warns(UserWarning, match=said):
        load(tmp_path / "x").resume(X)


def cut(ae: Autoencoder, X: Any, at: int, path: Path, **given: Any) -> Autoencoder:
    """The autoencoder of a checkpoint that was taken after a step."""
    reports = ae.iter_fit(X, every=1, **given)
    for report in reports:
        if report.step == at:
            ae.checkpoint(path)
            break
    reports.close()
    return load(path)


STOPPING = {"early_stopping": True, "n_iter_no_change": 2, "tol": 0.01, "epochs": 6}


@pytest.mark.promise(10)
@pytest.mark.parametrize("at", thorough_where([3, 11, 12, 30], lambda at: at < 12))  # an epoch has 12 steps
@pytest.mark.parametrize("way", ["warm", "validation", "mapped", "partial", "frame"])
def test_every_kind_of_training_resumes(way: str, at: int, tmp_path: Path) -> None:
    X: Any = examples("mapped" if way == "mapped" else "plain", tmp_path)
    given: dict[str, Any] = {"validation_data": X[:40] * 0.9} if way == "validation" else {}
    if way == "frame":
        X = pd.DataFrame(X, columns=list("abcdef"))

    def before() -> Autoencoder:
        ae = built("noise").set_params(**STOPPING)
        if way == "warm":
            ae.set_params(warm_start=True).fit(X)
        return ae.partial_fit(X).set_params(warm_start=True) if way == "partial" else ae

    whole, then = before().fit(X, **given), before()
    again = cut(then, X, at, tmp_path / "x", **given).resume(np.array(X) if way == "mapped" else X, **given)
    for a, b in zip(numbers(again), numbers(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    assert [(r.epoch, r.loss, r.val_loss) for r in again.history_] == [
        (r.epoch, r.loss, r.val_loss) for r in whole.history_
    ]


@pytest.mark.parametrize(
    "change",
    [{"batch_size": 32}, {"epochs": 9}, {"early_stopping": True}, {"optimizer": SGD()}, {"precision": "float64"}],
    ids=str,
)
def test_changed_parameters_cannot_be_resumed(change: dict[str, Any], tmp_path: Path) -> None:
    X = examples("plain", tmp_path)
    ae = cut(built("plain"), X, 5, tmp_path / "x")
    before = ae.get_params(deep=False)
    with pytest.raises(RecordError, match=f"{next(iter(change))}=.* when training was interrupted"):
        ae.set_params(**change).resume(X)
    np.testing.assert_array_equal(
        ae.set_params(**{name: before[name] for name in change}).resume(X).encode(X), built("plain").fit(X).encode(X)
    )


def test_a_copy_made_during_training_has_no_training_in_progress(tmp_path: Path) -> None:
    X, ae, copies = examples("plain", tmp_path), built("plain"), list[Autoencoder]()
    for report in ae.iter_fit(X, every=5):
        if report.step == 20:
            copies = [copy.deepcopy(ae), pickle.loads(pickle.dumps(ae))]
    for each in copies:
        with pytest.raises(NotPossibleError, match="no training is in progress"):
            each.checkpoint(tmp_path / "x")
        assert each.partial_fit(X).history_[-1].steps == 14
        assert len(each.set_params(warm_start=True).fit(X).history_) == len(each.history_)
        assert each.history_[-1].steps == 56


@pytest.mark.parametrize("first", ["partial_fit", "fit"])
def test_another_training_discards_the_interrupted_one(first: str, tmp_path: Path) -> None:
    X = examples("plain", tmp_path)
    ae = cut(built("plain"), X, 20, tmp_path / "x").set_params(warm_start=True)
    getattr(ae, first)(X)
    with pytest.raises(NotPossibleError, match="nothing to resume"):
        ae.resume(X)


def test_a_generator_closed_late_changes_nothing(tmp_path: Path) -> None:
    X, ae = examples("plain", tmp_path), built("plain")
    first = ae.iter_fit(X)
    next(first)
    second = ae.iter_fit(X)
    next(second)
    first.close()
    ae.checkpoint(tmp_path / "x")
    second.close()


def test_a_checkpoint_that_cannot_be_written_loses_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X, ae = examples("plain", tmp_path), built("plain").fit(examples("plain", tmp_path))
    codes = ae.encode(X)
    with pytest.raises(OSError, match="nowhere"):
        ae.fit(X * 0.5, checkpoint=tmp_path / "nowhere" / "x")
    np.testing.assert_array_equal(ae.encode(X), codes)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.warns(IsthmusWarning, match="no checkpoint could be written"):
        again = built("plain").fit(X, checkpoint=tmp_path / "x")
    np.testing.assert_array_equal(again.encode(X), codes)
    assert not list(tmp_path.iterdir())


@pytest.mark.promise(12)
def test_an_infinite_validation_loss_warns(tmp_path: Path) -> None:
    X = examples("plain", tmp_path)
    ae = built("plain").set_params(likelihood=Normal(1e-5), **STOPPING)
    far = np.full((20, 6), 2e14, np.float32)
    outside = pytest.warns(IsthmusWarning, match="far outside the training range")
    with outside, pytest.warns(DivergenceWarning, match="the validation loss after epoch . is inf"):
        ae.fit(X, validation_data=far)
    assert len(ae.history_) == 2


@pytest.mark.parametrize("every", [0, -1, 2.5, "often"])
def test_every_must_be_an_integer_or_a_function(every: Any, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="every="):
        next(built("plain").iter_fit(examples("plain", tmp_path), every=every))


def test_a_function_decides_when_reports_are_given(tmp_path: Path) -> None:
    X = examples("plain", tmp_path)
    asked: list[int] = []

    def due(step: int) -> bool:
        asked.append(step)
        return step in {2, 17}

    steps = [report.step for report in built("plain").iter_fit(X, every=due)]
    assert steps == [2, 14, 17, 28, 42, 56]
    assert asked == [step for step in range(1, 57) if step % 14]  # the end of an epoch is one anyway


@pytest.mark.promise(12)
def test_after_divergence_training_returns_to_the_last_good_state_with_smaller_steps(tmp_path: Path) -> None:
    X = examples("divergence", tmp_path)
    ae = Autoencoder(optimizer=SGD(1.0), likelihood=Normal(), epochs=6, batch_size=16, random_state=0)
    with pytest.warns(DivergenceWarning, match=r"training diverged; it continues from step \d+ with a fifth") as seen:
        ae.fit(X)
    assert [report.epoch for report in ae.history_] == list(range(1, 7))
    assert ae.history_[-1].lr == pytest.approx(0.2 ** len(seen))
    assert ae.history_[-1].loss < ae.history_[0].loss
    ae.save(tmp_path / "ae")
    assert parts(tmp_path / "ae")[0]["step"] == ae.history_[-1].steps


@pytest.mark.promise(12)
def test_a_late_divergence_repeats_one_epoch(tmp_path: Path) -> None:
    X, ae = examples("plain", tmp_path), built("plain")
    reports = ae.iter_fit(X, every=1)
    while not (report := next(reports)).complete or report.epoch < 3:
        pass
    then = [weight.detach().clone() for weight in ae.model_.parameters()]
    next(reports), next(reports)
    with torch.no_grad():
        next(ae.model_.parameters()).fill_(torch.nan)
    with pytest.warns(DivergenceWarning, match=f"it continues from step {report.step} with"):
        assert next(reports).step == report.step + 1
    farthest = 0.2 * 1e-2 * math.sqrt(10)  # that one step of Adam can go with these rates: (1 - 0.9) / sqrt(1 - 0.999)
    moved = (now - before for now, before in zip(ae.model_.parameters(), then, strict=True))
    assert max(float(change.detach().abs().max()) for change in moved) <= farthest
    assert [each.epoch for each in (*reports,)][-1] == 4


@pytest.mark.promise(12)
def test_divergence_is_independent_of_the_number_of_reports(tmp_path: Path) -> None:
    X = examples("divergence", tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DivergenceWarning)
        seldom, often = built("divergence").fit(X), built("divergence")
        for _ in often.iter_fit(X, every=1):
            pass
    for a, b in zip(numbers(often), numbers(seldom), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.promise(12)
def test_repeated_divergence_raises_and_keeps_the_earlier_model(tmp_path: Path) -> None:
    X = examples("plain", tmp_path)
    ae = built("plain").fit(X)
    codes, optimizer = ae.encode(X), ae.optimizer
    ae.save(tmp_path / "before")
    sentence = r"training diverged, also with 1/125 of the learning rate; lower optimizer\.lr \(now 1e\+12\)"
    ae.set_params(optimizer=SGD(1e12))
    with pytest.warns(DivergenceWarning) as seen, pytest.raises(DivergenceError, match=sentence):
        ae.fit(X)
    assert len(seen) == 3
    np.testing.assert_array_equal(ae.encode(X), codes)
    ae.set_params(optimizer=optimizer).save(tmp_path / "after")
    assert (tmp_path / "after").read_bytes() == (tmp_path / "before").read_bytes()


@pytest.mark.promise(12)
def test_infinite_weights_are_detected_at_the_next_report(tmp_path: Path) -> None:
    X, ae = examples("plain", tmp_path), built("plain")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        reports = list(poisoned_once(ae, X))
    assert [re.sub("loss|weight \\S+", "thing", str(warning.message))[:65] for warning in seen] == [
        "the thing is nan at step 2 of 56: training diverged; it continues"
    ]
    assert reports[-1].complete
    assert ae.model_.first_nonfinite() is None


def poisoned_once(ae: Autoencoder, X: np.ndarray[Any, Any]) -> Iterator[Report]:
    """The reports of a training whose first step leaves a weight that is not finite."""
    poisoned = False
    for report in ae.iter_fit(X, every=1):
        if not poisoned:
            poisoned = True
            with torch.no_grad():
                next(ae.model_.parameters())[0, 0] = float("nan")
        yield report
