"""Training on rows in blocks: results of the array, an order that a seed determines, and memory for two windows."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from block_rows import CutRows, cut

import isthmus
from isthmus import Autoencoder, AutoencoderClassifier, OutlierDetector, evaluate, load
from isthmus.architectures import MLP, Conditional, LinearSkip
from isthmus.corruptions import GaussianNoise, Masking
from isthmus.data import as_examples, memmap
from isthmus.data.sample_weights import weights_of
from isthmus.data.statistics import DataStatistics, Fingerprint
from isthmus.errors import DataError
from isthmus.experiments.membership import example_keys
from isthmus.training import block_source
from isthmus.training.batches import ContextSource, PairedSource, Source
from isthmus.training.block_source import BlockSource, MaskedSource, Windows, subset
from isthmus.training.epochs import Epochs

Array = np.ndarray[Any, Any]
CPU = torch.device("cpu")
X = (np.random.default_rng(0).normal(size=(120, 5)) + np.arange(120)[:, None] / 40).astype(np.float32)
Y = (X.sum(1) > np.median(X.sum(1))).astype(int)
FIXED = GaussianNoise(0.3, fixed=True)
NUMBERED = np.arange(500, dtype=np.float32)[:, None]


def quick(**choices: Any) -> Autoencoder:
    return Autoencoder(**{"bottleneck": 2, "architecture": MLP((6,)), "epochs": 2, "random_state": 0} | choices)


def weights(ae: Autoencoder) -> list[Array]:
    return [each.numpy() for each in ae.model_.state_dict().values()]


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of three blocks of seven rows of X: more data are read in blocks."""
    monkeypatch.setattr(block_source, "WINDOW_BYTES", 3 * 7 * (5 * 4 + 16))


# Results


FITTED = quick().fit(X)
CONDITIONAL = quick(architecture=Conditional(MLP((6,)))).fit(X, Y)
USES: dict[str, Callable[[Any], Any]] = {
    "early stopping": lambda X: weights(quick(early_stopping=True).fit(X)),
    "a target": lambda X: weights(quick().fit(X, target=X[::-1])),
    "partial_fit": lambda X: weights(quick().partial_fit(X[:70]).partial_fit(X[70:])),
    "encode": FITTED.encode,
    "reconstruct": FITTED.reconstruct,
    "decode": lambda X: FITTED.decode(X[:, :2]),
    "corrupt": lambda X: FITTED.corrupt(X, corruption=Masking(0.5)),
    "score_samples": FITTED.score_samples,
    "reconstruction_error": lambda X: FITTED.reconstruction_error(X, per_feature=True),
    "conditional errors": lambda X: CONDITIONAL.reconstruction_error(X, y=Y),
    "detector": lambda X: OutlierDetector(quick(), anomaly_score="combined", random_state=0).fit(X).score_samples(X),
    "classifier": lambda X: AutoencoderClassifier(quick(), epochs=1, random_state=0).fit(X, Y).predict_proba(X),
    "evaluate": lambda X: [str(evaluate(FITTED, X[:60], Y[:60], train=X[60:], train_labels=Y[60:]).errors)],
    "robustness": lambda X: isthmus.robustness(FITTED, X, kinds="GaussianNoise", draws=1, n=40).to_frame().to_numpy(),
    "keys": lambda X: [example_keys(as_examples(X).values)],
    "statistics": lambda X: [*DataStatistics(as_examples(X).values).sums((0,)), Fingerprint.of(as_examples(X).values)],
}


@pytest.mark.promise(15)
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_rows_in_blocks_give_the_results_of_the_array(use: Callable[[Any], Any]) -> None:
    for array, other in zip(use(X), use(cut(X)), strict=True):
        np.testing.assert_array_equal(array, other)


@pytest.mark.usefixtures("small_windows")
def test_in_windows_the_loss_falls_as_for_the_array_and_a_seed_determines_it() -> None:
    array, blocks, again = (quick(epochs=4, corruption=FIXED).fit(each) for each in (X, cut(X), cut(X)))
    for one, other in zip(array.model_.affine, blocks.model_.affine, strict=True):
        np.testing.assert_array_equal(one, other)
    assert blocks.history_[-1].loss < blocks.history_[0].loss
    assert abs(blocks.history_[-1].loss - array.history_[-1].loss) < 0.5
    assert any((one != other).any() for one, other in zip(weights(array), weights(blocks), strict=True))
    assert all((one == other).all() for one, other in zip(weights(again), weights(blocks), strict=True))


def test_a_detector_of_many_rows_has_about_the_calibration_set_of_an_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memmap, "PERMUTED", 100)
    values = np.random.default_rng(1).normal(size=(2000, 5)).astype(np.float32)
    detector = OutlierDetector(quick(), random_state=0).fit(cut(values, 70))
    expected = round(2000 * detector.calibration_fraction)
    assert abs(len(detector.calibration_scores_) - expected) < 100
    assert 0.02 < (detector.predict(cut(values, 70)) < 0).mean() < 0.3


@pytest.mark.usefixtures("small_windows")
def test_a_model_begins_with_the_weights_of_the_array() -> None:
    """Also with the linear maps that come from principal components of the examples."""
    starts = [weights(quick(architecture=LinearSkip(MLP((6,)))).initialize(each)) for each in (X, cut(X))]
    assert all((one == other).all() for one, other in zip(*starts, strict=True))


@pytest.mark.usefixtures("small_windows")
def test_what_belongs_to_a_row_goes_with_it_through_windows() -> None:
    """With targets, context, weights and a split, each row meets its own: the targets are other blocks of the same rows."""
    linear = quick(architecture=Conditional(MLP((6,))), early_stopping=True, epochs=3)
    rows = 1.0 + np.arange(120)
    runs = [
        linear.fit(cut(X), Y, target=target, sample_weight=rows).history_[-1].val_loss
        for target in (cut(X), cut(X, 11), X)
    ]
    assert runs[0] == runs[1] == runs[2]


def test_targets_context_and_weights_are_those_of_their_rows() -> None:
    values, twice = NUMBERED, 2 * NUMBERED
    for paired in [
        PairedSource(BlockSource(cut(values, 30), CPU, 2000), BlockSource(cut(twice, 17), CPU, 99), lambda raw: raw),
        PairedSource(
            block_source.source_of_blocks(cut(values), CPU), BlockSource(cut(twice, 17), CPU, 99), lambda x: x
        ),
    ]:
        source = subset(ContextSource(paired, torch.from_numpy(3 * values)), torch.arange(500) % 3 > 0)
        for raw, index in batches(source, 41):
            assert torch.equal(raw[:, 0], index.float())
            assert torch.equal(source.target(raw, index), 2 * raw)
            assert torch.equal(source.context(index), 3 * raw)


def test_weights_of_a_mask_have_mean_one_over_its_rows() -> None:
    given, mask = np.arange(1.0, 13.0), np.arange(12) % 3 > 0
    masked = weights_of(given, mask)
    assert masked is not None
    np.testing.assert_array_equal(masked[mask], weights_of(given, np.flatnonzero(mask)))
    np.testing.assert_allclose(masked[mask], given[mask] / given[mask].mean())


# The order


def batches(source: Source, size: int, epoch: int = 0, first: int = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    epochs = Epochs(source, size, 7)
    for number in range(first, epochs.per_epoch):
        raw, index = epochs.next(number, epoch)
        yield raw.clone(), index
    epochs.restart()


def order_of(source: Source, size: int = 32, epoch: int = 0, first: int = 0) -> list[float]:
    return [float(value) for raw, _ in batches(source, size, epoch, first) for value in raw[:, 0]]


@pytest.mark.parametrize("rows", [1, 13, 100, 499, 500])
@pytest.mark.parametrize("window", [1, 900, 5000, 1 << 20])
def test_every_row_is_read_once_in_each_epoch_in_an_order_of_its_own(rows: int, window: int) -> None:
    source = BlockSource(cut(NUMBERED, rows), CPU, window)
    first, second = order_of(source), order_of(source, epoch=1)
    assert sorted(first) == sorted(second) == NUMBERED[:, 0].tolist()
    assert first != second
    assert first == order_of(BlockSource(cut(NUMBERED, rows), CPU, window), size=11)
    masked = MaskedSource(source, torch.arange(500) % 7 > 0)
    assert sorted(order_of(masked)) == [row for row in NUMBERED[:, 0].tolist() if row % 7 > 0]


def test_an_order_from_any_step_is_the_rest_of_the_order() -> None:
    source = BlockSource(cut(NUMBERED, 40), CPU, 2500)
    masked = MaskedSource(source, torch.arange(500) % 3 > 0)
    for each in (source, masked):
        whole = order_of(each)
        for first in (1, 4, 9):
            assert order_of(each, first=first) == whole[32 * first :]


def test_a_resumed_order_reads_no_earlier_window() -> None:
    rows = cut(NUMBERED, 40, empty=False)
    whole = list(batches(BlockSource(rows, CPU, 2 * 40 * 20), 40))
    assert sorted(rows.read) == list(range(13))
    rows.read.clear()
    last = list(batches(BlockSource(rows, CPU, 2 * 40 * 20), 40, first=10))
    assert torch.equal(last[0][0], whole[10][0])
    assert len(rows.read) < 5


def test_a_window_mixes_the_rows_of_several_blocks() -> None:
    """At least of two, however large blocks are, and also at the end of an epoch."""
    for epoch in range(5):
        assert [len(blocks) for blocks in Windows(np.full(9, 50), 1, 0, epoch).blocks] == [2, 2, 2, 3]
        parts = np.array_split(order_of(BlockSource(cut(NUMBERED, 50, empty=False), CPU, 1), epoch=epoch), 5)
        assert all(len(set(part // 50)) == 2 for part in parts)
        assert all((np.diff(part // 50) != 0).sum() > 20 for part in parts)


def test_two_windows_are_in_memory_and_the_next_one_is_read_in_the_background() -> None:
    rows = cut(NUMBERED, 25, empty=False)
    source = BlockSource(rows, CPU, 2 * 25 * 20)
    reading = batches(source, 10)
    for step, _ in enumerate(reading):
        held = list(source.held)
        assert len(held) <= 2
        if step < 40:
            source.held[held[-1]].result()
            assert len(rows.read) == 2 * (held[-1] + 1)
    assert source.pool is None
    assert source.held == {}


@pytest.mark.promise(13)
@pytest.mark.thorough
def test_memory_does_not_grow_with_the_number_of_rows() -> None:
    peaks = []
    for n in (1_000_000, 10_000_000):
        values = np.broadcast_to(np.ones((1, 4), np.float32), (n, 4))
        source = MaskedSource(
            BlockSource(CutRows(values, [50_000] * (n // 50_000)), CPU, 4 << 20), torch.ones(n, dtype=torch.bool)
        )
        tracemalloc.start()
        for _ in islice(batches(source, 50_000), 60):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
    assert peaks[1] < 4 * (4 << 20)


# Resuming


@pytest.mark.promise(10)
@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("stop", [11, *(pytest.param(step, marks=pytest.mark.thorough) for step in range(1, 14))])
def test_a_training_resumed_at_any_step_ends_with_the_same_weights(stop: int, tmp_path: Path) -> None:
    parameters = {"epochs": 2, "batch_size": 16, "corruption": GaussianNoise(0.3), "early_stopping": True}
    whole = weights(quick(**parameters).fit(cut(X)))
    unfinished = quick(**parameters)
    for report in unfinished.iter_fit(cut(X), every=1):
        if report.step == stop:
            unfinished.checkpoint(tmp_path / "unfinished.safetensors")
            break
    resumed = load(tmp_path / "unfinished.safetensors").resume(cut(X))
    assert all((one == other).all() for one, other in zip(whole, weights(resumed), strict=True))


@pytest.mark.usefixtures("small_windows")
def test_other_rows_are_not_those_of_the_checkpoint(tmp_path: Path) -> None:
    unfinished = quick()
    next(unfinished.iter_fit(cut(X)))
    reports = unfinished.iter_fit(cut(X))
    next(reports)
    unfinished.checkpoint(tmp_path / "unfinished.safetensors")
    with pytest.raises(DataError, match="resuming requires the examples of the interrupted training"):
        load(tmp_path / "unfinished.safetensors").resume(cut(X[::-1]))
