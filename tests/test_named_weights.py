"""Weights of columns by their names, in Python and on the command line: which column they reach, and what figures then say."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from test_cli import run as run_in

from isthmus import Autoencoder, OutlierDetector, evaluate, load
from isthmus.architectures import MLP
from isthmus.bottlenecks import Gaussian
from isthmus.data import Windows
from isthmus.errors import NotPossibleError, RecordError
from isthmus.likelihoods import Mixed, Multinomial, Normal, Weighted
from isthmus.optimizers import Adam

N = 80
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "price": RNG.normal(100, 20, N),
        "region": pd.Categorical(RNG.choice(["N", "S", "W"], N)),
        "when": pd.date_range("2020-01-01", periods=N, freq="20D"),  # days, and the phases of year and week
        "note": RNG.normal(0, 1, N),
    }
)
NUMBERS = pd.DataFrame(RNG.normal(size=(N, 4)) * [1, 10, 0.1, 3], columns=["price", "prize", "note", "Size"])
WEIGHTS = {"price": 5, "region": 3, "when": 2, "note": 0.5}


def quick(**choices: Any) -> Autoencoder:
    return Autoencoder(
        **{"bottleneck": 1, "architecture": MLP((8,)), "epochs": 2, "batch_size": N, "random_state": 0} | choices
    )


@pytest.fixture(scope="module")
def heavy() -> Autoencoder:
    return quick(column_weights=WEIGHTS).fit(FRAME)


def test_a_weight_reaches_all_features_of_its_column(heavy: Autoencoder) -> None:
    widths = [column.width for column in heavy.table_.columns]
    assert widths == [1, 1, 5, 1]
    assert heavy.likelihood_.weights == (5, 3, *[2] * 5, 0.5)
    assert heavy.likelihood_.inner == Mixed((0, 3, *[0] * 6), numbers=Normal("learned"))
    costs = heavy.likelihood_.weights_of(heavy.model_.shape)  # the category is a block of three values
    np.testing.assert_array_equal(costs, [5, 3, 3, 3, *[2] * 5, 0.5])


def test_names_give_what_a_list_of_weights_gives() -> None:
    by_name = quick(column_weights={"note": 0.1, "price": 5}).fit(NUMBERS)
    by_place = quick(likelihood=Weighted(Normal("learned"), (5, 1, 0.1, 1))).fit(NUMBERS)
    np.testing.assert_array_equal(by_name.score_samples(NUMBERS), by_place.score_samples(NUMBERS))
    as_array = quick(likelihood=Weighted(Normal("learned"), (5, 1, 0.1, 1))).fit(NUMBERS.to_numpy())
    np.testing.assert_array_equal(by_name.encode(NUMBERS), as_array.encode(NUMBERS.to_numpy()))


def test_a_heavy_column_is_reconstructed_better() -> None:
    errors = {}
    for name in ("price", "note"):
        ae = quick(column_weights={name: 30}, epochs=60, optimizer=Adam(0.03)).fit(NUMBERS)
        errors[name] = ae.reconstruction_error(NUMBERS, per_feature=True).mean(0) / NUMBERS.to_numpy().var(0)
    assert errors["price"][0] < 0.3 < 0.7 < errors["note"][0]
    assert errors["note"][2] < 0.3 < 0.7 < errors["price"][2]


def test_a_heavy_category_is_right_more_often() -> None:
    right = []
    for weight in (0, 30):
        ae = quick(column_weights={"region": weight}, epochs=60, optimizer=Adam(0.03)).fit(FRAME)
        right.append((ae.reconstruct(FRAME)["region"].astype(str) == FRAME["region"].astype(str)).mean())
    assert right[1] > 0.9 > 0.6 > right[0]


def test_figures_say_what_is_weighted(heavy: Autoencoder) -> None:
    """The loss is the weighted sum of the nats of columns, and the nats of a column are without its weight."""
    found = evaluate(heavy, FRAME)
    assert found.nats.weighted is True
    columns = found.by_column
    assert columns is not None
    assert {each.name: each.weight for each in columns.columns} == WEIGHTS
    assert sum(each.weight * each.nats for each in columns.columns) == pytest.approx(found.nats.nll, rel=1e-5)
    price = heavy.reconstruct(FRAME)[
        "price"
    ]  # rounded, and within the range of training: nearly the mean of the density
    scale = float(np.exp(heavy.model_.likelihood_memory.each[0]["log_scale"].item()) * heavy.model_.scale[0])
    nats = 0.5 * ((price - FRAME["price"]) / scale) ** 2 + np.log(scale) + 0.5 * np.log(2 * np.pi)
    assert columns["price"].nats == pytest.approx(nats.mean(), rel=1e-2)
    assert "weight 5; mean absolute error" in columns["price"].terms()
    assert found.to_dict()["by_column"][0]["weight"] == 5
    assert -heavy.score_samples(FRAME).mean() == pytest.approx(found.nats.total, rel=1e-6)


def test_nats_of_a_column_without_weight_are_those_of_its_density() -> None:
    """A column that is left out of the loss is not perfect."""
    numbers = Mixed((0,) * 4, numbers=tuple(Weighted(Normal(), (w,)) for w in (0.5, 2, 1, 1)))
    by_name = {"column_weights": {"price": 0, "prize": 2}, "likelihood": Normal()}
    for weights, choices in (((0, 2, 1, 1), by_name), ((0.5, 2, 1, 1), {"likelihood": numbers})):
        ae = quick(**choices).fit(NUMBERS)
        columns = evaluate(ae, NUMBERS).by_column
        scale = ae.model_.scale.numpy()
        errors = (ae.reconstruct(NUMBERS) - NUMBERS.to_numpy()) / scale
        expected = (0.5 * errors**2 + np.log(scale) + 0.5 * np.log(2 * np.pi)).mean(0)
        np.testing.assert_allclose([each.nats for each in columns.columns], expected, rtol=1e-4)
        assert [each.weight for each in columns.columns] == list(weights)


def test_a_column_that_is_left_out_of_the_loss_is_not_advised_to_be_learned_better(heavy: Autoencoder) -> None:
    columns = evaluate(heavy, FRAME).by_column
    assert columns is not None
    figure = columns["note"]
    bad = replace(figure, reconstruction=replace(figure.reconstruction, error=1.2))
    both = replace(columns, columns=(bad, replace(bad, weight=0.0)))
    assert both.without_gain() == (bad,)


def test_weights_are_kept_in_a_file_and_refused_by_densities(heavy: Autoencoder, tmp_path: Path) -> None:
    heavy.save(tmp_path / "heavy.safetensors")
    again = load(tmp_path / "heavy.safetensors")
    assert again.column_weights == WEIGHTS
    np.testing.assert_array_equal(again.score_samples(FRAME), heavy.score_samples(FRAME))
    with pytest.raises(NotPossibleError, match="weighs columns"):
        quick(bottleneck=Gaussian(1), column_weights={"price": 2}).fit(NUMBERS).log_likelihood(NUMBERS)


def test_training_continues_with_the_weights_that_are_given(tmp_path: Path) -> None:
    ae = quick(column_weights={"price": 5}, warm_start=True).fit(NUMBERS)
    assert ae.set_params(column_weights=None).fit(NUMBERS).likelihood_ == Normal("learned")
    assert ae.set_params(column_weights={"note": 2}).fit(NUMBERS).likelihood_ == Weighted(
        Normal("learned"), (1, 1, 2, 1)
    )
    for report in ae.set_params(warm_start=False, epochs=3).iter_fit(NUMBERS):
        if report.epoch == 1:
            ae.checkpoint(tmp_path / "x.safetensors")
    resumed = load(tmp_path / "x.safetensors")
    with pytest.raises(RecordError, match=r"column_weights=.* was .*'note': 2.* when training was interrupted"):
        resumed.set_params(column_weights={"note": 3}).resume(NUMBERS)
    finished = resumed.set_params(column_weights={"note": 2}).resume(NUMBERS).model_.state_dict()
    assert all(torch.equal(value, finished[name]) for name, value in ae.model_.state_dict().items())


def test_channels_of_a_series_and_detectors_have_weights_too() -> None:
    series = pd.DataFrame({"hot": RNG.normal(size=60), "cold": RNG.normal(size=60)})
    windows = Windows(series, length=4, step=4)
    assert quick(column_weights={"cold": 3}).fit(windows).likelihood_.weights == (1, 3)
    found = OutlierDetector(quick(column_weights={"price": 5}), anomaly_score="nats", false_alarm_rate=0.2).fit(NUMBERS)
    assert found.autoencoder_.likelihood_.weights == (5, 1, 1, 1)


@pytest.mark.parametrize(
    ("weights", "choices", "sentence"),
    [
        ({"prise": 2}, {}, "names 'prise', which is no column that is learned: did you mean prize, price?"),
        ({"size": 2}, {}, "names 'size', which is no column that is learned: did you mean Size"),
        ({"zzz": 2}, {}, "no column that is learned: there are price, prize, note, Size"),
        ({"price": -1}, {}, "invalid column_weights['price']=-1: expected a number from 0 to 1,000,000"),
        ({"price": 1e300}, {}, "invalid column_weights['price']=1e+300: expected a number from 0 to 1,000,000"),
        ({"price": float("nan")}, {}, "invalid column_weights['price']=nan: expected a number"),
        ({"price": True}, {}, "invalid column_weights['price']=True: expected a number"),
        ({1: 2, "1": 2}, {}, "names the column '1' twice"),
        (dict.fromkeys(NUMBERS, 0), {}, "all weights are zero"),
        ({"price": 2}, {"likelihood": Weighted(Normal(), (1, 2, 1, 1))}, "both set weights of columns"),
        ({"price": 2}, {"likelihood": Multinomial()}, "takes the total of each example as given"),
        (["price"], {}, "The 'column_weights' parameter of Autoencoder must be"),
    ],
)
def test_weights_that_do_not_fit_are_one_sentence(weights: Any, choices: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RecordError, match=re.escape(sentence)):
        quick(column_weights=weights, **choices).fit(NUMBERS.abs().round())


def test_columns_that_are_no_features_have_no_weight() -> None:
    with pytest.raises(RecordError, match=r"'note', which is left out of the table \(as kinds says\)"):
        quick(kinds={"note": "drop"}, column_weights={"note": 2}).fit(FRAME)
    with pytest.raises(RecordError, match=r"the examples have no names: .*likelihood=Weighted\("):
        quick(column_weights={"price": 2}).fit(NUMBERS.to_numpy())


SMALL = ("bottleneck.size=1", "architecture.hidden=8", "epochs=2", "batch_size=16")


def run(*words: str, code: int = 0) -> str:
    done = run_in(*words, cwd=Path())
    assert done.returncode == code, done.stderr
    return " ".join(f"{done.stdout}{done.stderr}".split())


def test_weights_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    FRAME.to_csv("houses.csv", index=False)
    told = run(
        *("train", *SMALL, "--data", "houses.csv", "--out", "r"),
        *("--column-weight", "price=5", "--column-weight", "when=0.5"),
    )
    assert "note: columns weighted in the loss: price 5, when 0.5; others count 1" in told
    assert "(columns weighted)" in told
    assert "weight 5; mean absolute error" in told
    ae = load("r")
    assert ae.column_weights == {"price": 5, "when": 0.5}
    assert ae.likelihood_.weights == (5, 1, *[0.5] * 5, 1)
    told = run("train", *SMALL, "--data", "houses.csv", "--column-weight", "prices=5", "--out", "s", code=2)
    assert (
        "column_weights (--column-weight) names 'prices', which is no column that is learned: did you mean price?"
        in told
    )
    assert not Path("s").exists()
    for word in ("price", "price=", "=5", "price=five"):
        told = run("train", "--data", "houses.csv", "--column-weight", word, code=2)
        assert f"invalid --column-weight '{word}': expected NAME=WEIGHT, such as price=5" in told
    told = run("train", "--data", "houses.csv", "--column-weight", "a=1", "--column-weight", "a=2", code=2)
    assert "--column-weight names 'a' twice" in told


@pytest.mark.thorough
def test_a_sweep_has_weights_and_repeats_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    NUMBERS.to_csv("x.csv", index=False)
    words = ("sweep", "bottleneck.size=1,2", *SMALL[1:], "--data", "x.csv", "--column-weight", "price=5")
    told = run(*words)
    assert "note: columns weighted in the loss: price 5; others count 1" in told
    assert re.search(r"isthmus train .*--column-weight price=5", told)
    models = list(Path("runs").glob("**/model.safetensors"))
    assert len(models) == 2
    assert all(load(str(model)).likelihood_.weights == (5, 1, 1, 1) for model in models)
