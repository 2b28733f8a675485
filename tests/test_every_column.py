"""Every column counts: no figure that is shown or chosen by lets a column of large numbers hide another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from isthmus import Autoencoder, compare, evaluate, sweep
from isthmus.architectures import MLP
from isthmus.bottlenecks import Identity
from isthmus.corruptions import GaussianNoise
from isthmus.evaluation import Evaluation
from isthmus.likelihoods import Normal
from isthmus.optimizers import Adam
from isthmus.scaling import MinMax, Standard

NAMES = ["pressure", "flow", "height", "ratio", "share", "count"]
UNITS = np.array([1e5, 1.0, 1e-2, 3.0, 0.5, 2.0])


def rows(n: int = 300) -> np.ndarray:
    """Six columns of two numbers, the first in pascals."""
    rng = np.random.default_rng(0)
    return (rng.normal(size=(n, 2)) @ rng.normal(size=(2, 6)) + 0.05 * rng.normal(size=(n, 6))) * UNITS + UNITS


def quick(size: int = 2, **choices: Any) -> Autoencoder:
    fixed = {"architecture": MLP(()), "optimizer": Adam(0.02), "epochs": 20, "batch_size": 30, "random_state": 0}
    return Autoencoder(Identity(size), **fixed | {"likelihood": Normal("learned")} | choices)


def rules(found: Evaluation) -> list[str]:
    return [each.rule for each in found.advice]


@pytest.fixture(scope="module")
def fitted() -> dict[str, Autoencoder]:
    X = rows()
    return {"one": quick(scaling=MinMax(), size=1).fit(X), "each": quick(scaling=Standard()).fit(X)}


@pytest.mark.promise(28)
def test_the_error_by_column_is_the_mean_unexplained_variance(fitted: dict[str, Autoencoder]) -> None:
    X, train = rows(100), rows()
    constant = np.column_stack([X, np.full(100, 7.0)])
    for ae, given, fit in (
        (fitted["each"], X, train),
        (fitted["one"], X, train),
        (quick().fit(constant), constant, constant),
    ):
        found = evaluate(ae, given, train=fit)
        varies = given.std(0) > 0
        spread = np.square(given - fit.mean(0)).sum(0)[varies]
        shares = np.square(ae.reconstruct(given) - given).sum(0)[varies] / spread
        assert found.errors.column_error == pytest.approx(shares.mean(), rel=1e-6)
        assert found.columns.n_lost == (shares >= 0.5).sum()
        assert found.columns.unexplained_variance == pytest.approx(
            np.square(ae.reconstruct(given) - given).sum() / np.square(given - fit.mean(0)).sum()
        )
        assert "Error by column" in [name for name, _, _ in found.rows()]


@pytest.mark.promise(28)
def test_constant_columns_of_the_evaluated_examples_are_not_counted() -> None:
    """A rare flag that none of the held-out rows has: any error would be many times its variance there."""
    train = np.column_stack([rows(), np.arange(300) < 2])
    X = np.column_stack([rows(100), np.zeros(100)])
    ae = quick().fit(train)
    found, made = evaluate(ae, X, train=train), ae.reconstruct(X)
    shares = np.square(made - X).sum(0)[:6] / np.square(X - train.mean(0)).sum(0)[:6]
    assert found.errors.column_error == pytest.approx(shares.mean(), rel=1e-6)


@pytest.mark.promise(28)
def test_columns_that_the_raw_error_hides_are_named(fitted: dict[str, Autoencoder]) -> None:
    frame = pd.DataFrame(rows(), columns=NAMES)
    one = quick(scaling=MinMax(), size=1).fit(frame)
    found = evaluate(one, frame)
    assert found.columns.unexplained_variance is not None
    assert found.errors.column_error is not None
    assert found.columns.unexplained_variance < 0.05 < 0.3 < found.errors.column_error
    said, lost = next(each.text for each in found.advice if each.rule == "hidden columns"), dict(found.columns.lost)
    assert all(repr(name) in said for name in lost)
    assert "pressure" not in lost
    assert set(lost) <= set(NAMES)
    assert "scaling=Standard" in said
    assert "hidden columns" not in rules(evaluate(fitted["each"], rows()))


@pytest.mark.promise(28)
def test_listed_column_names_are_few_and_printable() -> None:
    rng = np.random.default_rng(0)
    X = np.column_stack([1e6 * rng.normal(size=200), rng.normal(size=(200, 40))])
    frame = pd.DataFrame(X, columns=["big"] + [f"\x1b[31m{'long' * 50}{i}\n" for i in range(40)])
    found = evaluate(quick(scaling=MinMax(), epochs=3).fit(frame), frame)
    said = next(each.text for each in found.advice if each.rule == "hidden columns")
    assert (len(found.columns.lost), found.columns.n_lost) == (10, found.columns.n_lost)
    assert found.columns.n_lost > 35
    assert said.isprintable()
    assert len(said) < 800
    assert f"and {found.columns.n_lost - 5} more" in said


@pytest.mark.promise(28)
def test_windows_are_evaluated_by_channel_and_images_unscaled() -> None:
    rng = np.random.default_rng(0)
    walk = rng.normal(size=(100, 1, 1)) * np.sin(np.arange(8))[:, None] * np.array([1e5, 0.0])
    X = walk + rng.normal(size=(100, 8, 2)) * [10.0, 1.0]
    ae = quick(scaling=Standard(per="all"), kind="windows", size=1).fit(X)
    found = evaluate(ae, X)
    shares = np.square(ae.reconstruct(X) - X).sum((0, 1)) / np.square(X - X.mean(0)).sum((0, 1))
    assert found.errors.column_error == pytest.approx(shares.mean(), rel=1e-4)
    assert [name for name, _ in found.columns.lost] == ["channel 1"]
    pictures = evaluate(quick(kind="images", likelihood="auto", epochs=1).fit(X), X)
    assert pictures.errors.column_error is None
    assert pictures.columns.lost == ()


@pytest.mark.promise(28)
def test_a_sweep_chooses_by_the_error_that_weights_columns_equally() -> None:
    """By the raw error the scaling of one range is as good: the first column is all that it sees."""
    X = rows()
    X[:, 0] *= 100
    grid = {"scaling": [MinMax(), Standard()]}
    found = sweep(quick(size=1), X, grid)
    assert found.column.name == "column_error"
    assert found.values == {"scaling": Standard()}
    raw = sweep(quick(size=1), X, grid, metric="mse")
    assert raw.values == {"scaling": MinMax()}
    noisy = quick(corruption=GaussianNoise(0.3), epochs=2)
    assert sweep(noisy, X, {"scaling": [MinMax(), Standard()]}).column.name == "column_error_denoised"


@pytest.mark.promise(28)
def test_a_comparison_ranks_by_the_error_that_weights_columns_equally(fitted: dict[str, Autoencoder]) -> None:
    X = rows(100)
    found = compare(fitted, X)
    assert found.best(next(column for column in found.columns() if column.name == "column_error")) == ["each"]
    errors = [each.errors.column_error for each in found.evaluations]
    assert [point[2] for point in chart_points(found)] == errors


def chart_points(found: Any) -> list[tuple[str, float, float]]:
    """What the chart shows of each."""
    from unittest.mock import patch

    with patch("isthmus.experiments.comparison_result.tradeoff") as drawn:
        found.plot()
    points: list[tuple[str, float, float]] = drawn.call_args[0][0]
    return points
