"""One value again and again, far away, is said with column, value and share; of honest data nothing is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_cli import run

from isthmus import Autoencoder, data, evaluate
from isthmus.architectures import MLP
from isthmus.data.sentinels import sentence, sentinels
from isthmus.errors import IsthmusWarning

N = 400
RANDOM = np.random.default_rng(0)
BULK = {
    "normal": 50 + 20 * RANDOM.normal(size=N),
    "ages": RANDOM.integers(0, 95, N).astype(float),
    "small": 1e-3 * RANDOM.random(N),
    "times": 1.6e9 + 1e7 * RANDOM.random(N),
    "ratings": RANDOM.integers(1, 6, N).astype(float),
    "flags": RANDOM.integers(0, 2, N).astype(float),
}


def with_value(column: np.ndarray, value: float, share: float) -> np.ndarray:
    """The column, in which so many are the value."""
    return np.where(np.random.default_rng(1).random(len(column)) < share, value, column)


@pytest.mark.parametrize("share", [0.02, 0.3])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("normal", -999.0), ("normal", 9999.0), ("normal", -99999.0), ("ages", 999.0), ("ages", -999.0)),
        *(("small", -999.0), ("small", 999.0), ("times", 0.0), ("times", -999.0), ("ratings", 99.0), ("flags", -999.0)),
        *(("normal", 1e10), ("normal", -32768.0)),
    ],
)
def test_a_far_value_is_named_with_its_column_and_share(name: str, value: float, share: float) -> None:
    X = np.column_stack([RANDOM.normal(size=N), with_value(BULK[name], value, share)])
    (found,) = sentinels(X, "table", ("other", "mine"))
    assert (found.name, found.value) == ("'mine'", value)
    assert found.share == pytest.approx((X[:, 1] == value).mean())
    assert f"'mine' is {value:.10g} in {100 * found.share:.2g} % of the rows" in sentence([found])


def test_two_far_values_of_a_column_are_both_named_and_gaps_do_not_matter() -> None:
    column = with_value(with_value(BULK["normal"], -999.0, 0.05)[::-1], 9999.0, 0.05)
    column[::7] = np.nan
    assert {each.value for each in sentinels(column[:, None], "table")} == {-999.0, 9999.0}


@pytest.mark.parametrize("values", [(-9999.0, -8888.0), (997.0, 998.0, 999.0), (-999.0, 9998.0, 9999.0)])
def test_adjacent_sentinel_values_are_all_named(values: tuple[float, ...]) -> None:
    column = BULK["normal"].copy()
    for start, value in enumerate(values):
        column[start::40] = value
    assert [each.value for each in sentinels(column[:, None], "table")] == sorted(values)


HONEST: dict[str, Any] = {
    "sparse counts": RANDOM.poisson(0.05, N),
    "zeros and large amounts": RANDOM.poisson(3, N) * (RANDOM.random(N) < 0.1) * 1000.0,
    "zeros and a lognormal": np.exp(2 * RANDOM.normal(size=N)) * (RANDOM.random(N) < 0.6),
    "saturated": np.clip(3000 + 1500 * RANDOM.normal(size=N), 0, 4095).round(),
    "clipped at 999": np.clip(500 + 400 * RANDOM.normal(size=N), 0, 999).round(),
    "integers": RANDOM.integers(-1000, 1000, N),
    "one-hot": RANDOM.random(N) < 0.02,
    "two levels": np.where(RANDOM.random(N) < 0.03, 1000.0, 1.0),
    "levels": RANDOM.choice([1.0, 2.0, 5.0, 10.0, 100.0], N, p=[0.4, 0.3, 0.2, 0.07, 0.03]),
    "heavy tail": RANDOM.standard_cauchy(N),
    "heavy tail of integers": np.round(RANDOM.pareto(1, N)),
    "constant": np.full(N, -999.0),
    "one outlier": np.append(RANDOM.normal(size=N - 1), -999.0),
    "mostly the far one": with_value(BULK["normal"], -999.0, 0.8),
    "years": RANDOM.integers(1990, 2025, N),
    "two clusters": np.where(RANDOM.random(N) < 0.3, 0.0, 500 + 400 * RANDOM.random(N)),
    "nines among others": np.round(9000 + 1200 * RANDOM.normal(size=N)),
}


@pytest.mark.parametrize("name", HONEST)
def test_ordinary_columns_do_not_warn(name: str) -> None:
    assert sentinels(np.asarray(HONEST[name], np.float64)[:, None], "table") == ()


def test_common_data_sets_do_not_warn() -> None:
    from sklearn import datasets

    for load in (
        datasets.load_iris,
        datasets.load_wine,
        datasets.load_breast_cancer,
        datasets.load_diabetes,
        datasets.load_linnerud,
    ):
        assert sentinels(load().data, "table") == ()
    assert sentinels(data.digits().train.reshape(-1, 64), "table") == ()


def test_windows_are_checked_by_channel_and_images_not_at_all() -> None:
    X = RANDOM.normal(size=(50, 20, 2))
    X[::5, :4, 1] = -999.0
    ((name, value, _),) = sentinels(X, "windows")
    assert (name, value) == ("channel 1", -999.0)
    assert sentinels(X, "images") == ()


def quick() -> Autoencoder:
    return Autoencoder(architecture=MLP((4,)), epochs=1, random_state=0)


def test_it_is_a_warning_before_training_and_advice_after_it() -> None:
    frame = pd.DataFrame({"x": BULK["normal"], "y": with_value(BULK["ages"], -999.0, 0.02), "z": BULK["flags"]})
    with pytest.warns(IsthmusWarning, match=r"'y' is -999 in .* % of the rows, far from all other values"):
        ae = quick().fit(frame)
    found = evaluate(ae, frame)
    assert found.advice[0].rule == "far value"
    assert "'y' is -999" in found.advice[0].text
    clean = frame.drop(columns="y")
    assert "far value" not in [each.rule for each in evaluate(quick().fit(clean), clean).advice]
    pixels = np.where(RANDOM.random((60, 8, 8)) < 0.1, 9999.0, RANDOM.random((60, 8, 8)))
    Autoencoder(kind="images", architecture=MLP((4,)), epochs=1).fit(pixels)  # a warning would be an error


def test_the_command_line_prints_the_warning(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": BULK["normal"], "y": with_value(BULK["ages"], -999.0, 0.02)})
    frame.to_csv(tmp_path / "t.csv", index=False)
    looked = run("data", "t.csv", cwd=tmp_path)
    assert "note: 'y' is -999 in" in " ".join(looked.stdout.split())
    trained = run("train", "--data", "t.csv", "epochs=1", "--out", "r", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "'y' is -999 in" in " ".join((trained.stdout + trained.stderr).split())
