"""One pass over the rows: how often training reads its examples, and that what it finds is what NumPy computes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from isthmus import Autoencoder
from isthmus.architectures import MLP
from isthmus.data import validation
from isthmus.data.statistics import DataStatistics, Fingerprint
from isthmus.errors import DataError, RecordError
from isthmus.likelihoods import Bernoulli
from isthmus.records import record
from isthmus.scaling import Affine, MinMax, NoScaling, Scaling, Standard, extent, range_of, within

Array = npt.NDArray[Any]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The blocks that are read, each of which is a pass over a small array."""
    found: list[int] = []
    release = validation.release_pages

    def counted(values: Array) -> None:
        found.append(len(values))
        release(values)

    monkeypatch.setattr(validation, "release_pages", counted)
    return found


def table(rows: int = 60) -> Array:
    return np.random.default_rng(0).normal(5, [1, 20, 300], (rows, 3))


def images() -> Array:
    return np.random.default_rng(0).integers(0, 256, (40, 8, 8)).astype(np.uint8)


def holes() -> Array:
    return np.where(np.random.default_rng(1).random((60, 3)) < 0.2, np.nan, table())


CONSTANT = np.hstack([table().astype(np.float32), np.full((60, 1), 7, np.float32)])


@pytest.mark.parametrize(
    ("X", "choices", "passes"),
    [
        pytest.param(table(), {}, 2, id="table"),
        pytest.param(table().astype(np.int64), {}, 2, id="whole numbers"),
        pytest.param(CONSTANT, {}, 2, id="constant column"),
        pytest.param(holes(), {"missing": "allow"}, 2, id="missing"),
        pytest.param(table(60).reshape(20, 3, 3), {}, 2, id="windows"),
        pytest.param(images(), {}, 1, id="uint8 images"),
        pytest.param(images() / np.float32(255), {"kind": "images"}, 1, id="images in [0, 1]"),
        pytest.param(images() * np.float32(3), {"kind": "images"}, 2, id="images in other units"),
        pytest.param(images().astype(np.float64), {}, 2, id="windows that may be images"),
        pytest.param(table(), {"scaling": MinMax("feature"), "likelihood": Bernoulli()}, 1, id="shares"),
        pytest.param(table(), {"scaling": Standard("all")}, 2, id="one scale"),
        pytest.param(images(), {"scaling": MinMax("feature"), "likelihood": Bernoulli()}, 1, id="pixels"),
    ],
)
@pytest.mark.filterwarnings("ignore::isthmus.errors.IsthmusWarning")
def test_examples_are_read_once_before_training_and_again_only_for_squares_around_the_mean(
    X: Array, choices: dict[str, Any], passes: int, read: list[int]
) -> None:
    Autoencoder(2, architecture=MLP(()), random_state=0, **choices).initialize(X)
    assert len(read) == passes


def test_a_checkpoint_needs_no_additional_pass(read: list[int], tmp_path: Path) -> None:
    X = table()
    ae = Autoencoder(2, architecture=MLP(()), epochs=1, random_state=0)
    ae.fit(X, checkpoint=tmp_path / "begun.safetensors")
    assert len(read) == 2
    assert ae.fit(X, checkpoint=tmp_path / "again.safetensors")._fitted is not None
    assert Fingerprint.of(X) == DataStatistics(X, fingerprint=True).fingerprint() == DataStatistics(X).fingerprint()
    assert Fingerprint.of(X) != Fingerprint.of(X + 1)


@pytest.mark.parametrize("method", ["encode", "reconstruct", "score_samples"])
def test_inference_checks_values_in_one_pass(method: str, read: list[int]) -> None:
    X = table()
    ae = Autoencoder(2, architecture=MLP(()), random_state=0).initialize(X)
    read.clear()
    getattr(ae, method)(X)
    assert len(read) == 1
    for wrong, sentence in ((np.nan, "Input X contains NaN"), (1e30, "too far from the training data")):
        X[7, 1] = wrong
        with pytest.raises(DataError, match=sentence) as caught:
            getattr(ae, method)(X)
        assert "row 7, column 1" in str(caught.value)


@pytest.mark.parametrize("axes", [(0,), (0, 1), (0, 1, 2)])
@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
def test_statistics_of_blocks_equal_those_of_the_whole(
    axes: tuple[int, ...], gaps: bool, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "BLOCK", 100)  # rows come in many blocks
    X = np.random.default_rng(2).normal(0, 50, (41, 4, 3)).astype(dtype)
    if gaps and dtype != "int16":
        X[::3, 1, 2] = np.nan
    for announced in ([axes], [(0,)], []):
        found = DataStatistics(X, ranges=announced, sums=announced)
        for mine, theirs in zip(found.min_max(axes), (np.nanmin(X, axes), np.nanmax(X, axes)), strict=True):
            np.testing.assert_array_equal(mine, theirs, strict=True)
        sums, counts = found.sums(axes)
        np.testing.assert_allclose(sums, np.nansum(X, axes, dtype=np.float64), rtol=1e-12, atol=1e-9)
        np.testing.assert_array_equal(counts, (~np.isnan(X)).sum(axes))
        assert found.all_finite == (not gaps or dtype == "int16")


def test_sums_are_independent_of_other_requested_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their last bits decide the scaling, and so every weight."""
    monkeypatch.setattr(validation, "BLOCK", 64)
    X = np.random.default_rng(3).lognormal(0, 9, (50, 5, 2))
    for axes in ((0,), (0, 1), (0, 1, 2)):
        before = sum((block.sum(axes) for _, block in validation.blocks(X)), np.zeros(()))
        for announced in ([axes], [(0,), (0, 1)], [(0, 1, 2), axes]):
            np.testing.assert_array_equal(DataStatistics(X, ranges=announced, sums=announced).sums(axes)[0], before)


def test_the_range_of_scaled_values_is_checked_per_feature() -> None:
    """Each pixel has a range of its own, also where the range over all pixels was found before."""
    X = np.stack([np.linspace(0, 1, 9), np.linspace(0, 200, 9)], 1)
    found = DataStatistics(X, ranges=[(0, 1)])
    assert within(found, MinMax("feature").fit(X), 0, 1)
    assert not within(found, Affine(np.zeros(2), np.array([200.0, 1.0])), 0, 1)
    assert not within(found, NoScaling().fit(X), 0, 1)


def test_integers_from_0_to_255_are_detected() -> None:
    X = images().astype(np.float32)
    assert range_of(DataStatistics(X)) == (0.0, 255.0, True)
    X[-1, 0, 0] = 0.5
    assert not DataStatistics(X).all_integers
    assert not DataStatistics(images() * 2.0).all_integers
    low = extent(DataStatistics(X)).least
    assert low.shape == (8, 8)


def test_a_block_of_missing_values_does_not_affect_integer_detection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "BLOCK", 64)
    X = images().astype(np.float32)
    X[:3] = np.nan
    found = DataStatistics(X)
    assert range_of(found).all_integers


@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
@pytest.mark.parametrize("scaling", [Standard(), MinMax()])
def test_scalings_cannot_be_fitted_to_empty_arrays(scaling: Scaling, shape: tuple[int, int]) -> None:
    with pytest.raises(DataError, match=r"empty array of shape \((0, 3|3, 0)\): pass at least one example"):
        scaling.fit(np.empty(shape))


@record
class FiveFeatures(Scaling):
    """A scaling of a user for another number of features."""

    def fit(self, examples: npt.NDArray[np.generic]) -> Affine:
        return Affine(np.zeros(5), np.ones(5))


@pytest.mark.parametrize("choices", [{}, {"likelihood": Bernoulli()}])
def test_a_scaling_whose_shape_does_not_fit_is_an_error_that_names_it(choices: dict[str, Any]) -> None:
    ae = Autoencoder(2, architecture=MLP(()), scaling=FiveFeatures(), **choices)
    with pytest.raises(RecordError, match=r"the shift of the scaling FiveFeatures\(\) has shape \(5,\).*\(3,\)"):
        ae.initialize(table())


@record
class KeptAxis(Scaling):
    """A scaling of a user whose values keep the axis of the examples."""

    def fit(self, examples: npt.NDArray[np.generic]) -> Affine:
        return Affine(examples.mean(0, keepdims=True), examples.std(0, keepdims=True))


def test_a_scaling_may_keep_the_axis_of_the_examples() -> None:
    ae = Autoencoder(2, architecture=MLP(()), scaling=KeptAxis()).initialize(table())
    np.testing.assert_allclose(ae.model_.shift.numpy(), table().mean(0), rtol=1e-5)
