"""Comparisons: the best values are marked, differences are listed, and all autoencoders are evaluated on the same examples."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_cli import run

from isthmus import Autoencoder, compare
from isthmus.architectures import MLP
from isthmus.bottlenecks import Gaussian, Identity
from isthmus.data.validation import Examples
from isthmus.errors import DataError, RecordError
from isthmus.evaluation import Evaluation, evaluate
from isthmus.evaluation.results import PATHS
from isthmus.experiments.comparison_metrics import COLUMNS
from isthmus.experiments.comparison_result import Comparison
from isthmus.experiments.comparison_rows import Row
from isthmus.experiments.run_folder import save_run
from isthmus.experiments.run_record import DataSource, RunInfo
from isthmus.likelihoods import Bernoulli, Normal
from isthmus.scaling import MinMax

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(300, 3)) @ RANDOM.normal(size=(3, 8)) + 0.1 * RANDOM.normal(size=(300, 8))
MORE = {column.name: column for column in COLUMNS}


def fitted(bottleneck: Any, X: Any = ROWS, **choices: Any) -> Autoencoder:
    choices = {"architecture": MLP((8,)), "epochs": 3, "random_state": 0} | choices
    return Autoencoder(bottleneck, **choices).fit(X)


SMALL, LARGE = fitted(Identity(1)), fitted(Identity(3))


def untimed(figures: dict[str, Any]) -> dict[str, Any]:
    return figures | {"cost": {name: figures["cost"][name] for name in ("n_parameters", "seconds")}}


def set_by_hand(one: Evaluation, figures: dict[str, Any]) -> Evaluation:
    for name, value in figures.items():
        part, _, own = PATHS.get(name, name).partition(".")
        one = replace(one, **{part: replace(getattr(one, part), **{own: value}) if own else value})
    return one


def planted(**figures: list[Any]) -> Comparison:
    """A comparison with some figures set by hand; all else equal."""
    one = evaluate(SMALL, ROWS[:20])
    one = replace(one, cost=replace(one.cost, encode_per_second=1000.0, seconds=1.0))
    count = len(next(iter(figures.values())))
    each = [set_by_hand(one, {name: values[i] for name, values in figures.items()}) for i in range(count)]
    return Comparison(tuple("ABCDE"[:count]), (SMALL,) * count, tuple(each), ROWS[:20])


def test_a_comparison_has_all_metrics_of_evaluate() -> None:
    found = compare([SMALL, LARGE], ROWS[:50], ROWS[50:])
    for ae, each in zip((SMALL, LARGE), found.evaluations, strict=True):
        alone = evaluate(ae, ROWS[:50], train=ROWS[50:]).to_dict()
        assert untimed(each.to_dict()) == untimed(alone)
    assert found.names == ("Identity(size=1)", "Identity(size=3)")
    assert found.best(MORE["mse"]) == ["Identity(size=3)"]
    assert found.best(MORE["code_size"]) == ["Identity(size=1)"]
    json.dumps(found.to_dict(), allow_nan=False)


def test_ties_share_the_star_and_equal_or_missing_values_have_none() -> None:
    found = planted(mse=[0.12341, 0.12344, 0.2], psnr=[None, 30.0, 31.0], bce_per_pixel=[None, None, None])
    assert found.best(MORE["mse"]) == ["A", "B"]  # to the four digits that are shown
    assert found.best(MORE["psnr"]) == ["C"]  # more is better
    assert found.best(MORE["code_size"]) == []
    header, lines = found.table()
    assert "BCE" not in header
    assert [line[header.index("MSE")] for line in lines] == ["0.1234 *", "0.1234 *", "0.2"]
    assert [line[header.index("PSNR")] for line in lines] == ["-", "30", "31 *"]
    assert planted(encode_per_second=[100.0, 109.0, 50.0]).best(MORE["encode_per_second"]) == ["A", "B"]
    assert planted(psnr=[None, 30.0]).best(MORE["psnr"]) == []


@pytest.mark.thorough
def test_nats_of_different_scalings_or_penalty_weights_are_not_ranked() -> None:
    X = ROWS[:50]
    shares = [fitted(Identity(3), likelihood=Bernoulli(), scaling=MinMax(per), X=ROWS) for per in ("all", "feature")]
    for pair in ([SMALL, shares[0]], shares):
        assert compare(pair, X).best(MORE["nats"]) == []
    densities = [SMALL, fitted(Identity(3), scaling=MinMax(), likelihood=Normal(0.05))]
    assert compare(densities, X).best(MORE["nats"]) != [], "densities of the data compare"
    drawn = compare([fitted(Gaussian(3, beta=0.1)), fitted(Gaussian(3, beta=4.0))], X)
    assert drawn.best(MORE["nats"]) == []
    assert drawn.best(MORE["mse"]) != []
    assert compare([SMALL, LARGE], X).best(MORE["nats"]) == ["Identity(size=3)"]


def test_only_different_fields_are_listed() -> None:
    found = compare({"a": SMALL, "b": fitted(Gaussian(1, beta=2.0), epochs=2)}, ROWS[:50])
    assert found.differences() == {
        "bottleneck": ("Identity", "Gaussian"),
        "bottleneck.activation": ("linear", "-"),
        "bottleneck.beta": ("-", "2"),
        "bottleneck.free_bits": ("-", "0"),
        "bottleneck.prior": ("-", "StandardNormal"),
        "bottleneck.schedule": ("-", "Constant"),
        "epochs": ("3", "2"),
    }
    assert list(compare([SMALL, LARGE], ROWS[:50]).differences()) == ["bottleneck.size"]


def test_pareto_dominance() -> None:
    found = planted(code_size=[2, 4, 4], mse=[0.1, 0.2, 0.05], encode_per_second=[2000.0, 1000.0, 1000.0])
    assert ("A", "B", "smaller, faster and better") in found.dominated()
    assert {(better, worse) for better, worse, _ in found.dominated()} == {("A", "B"), ("C", "B")}
    assert found.verdict() == "A is smaller, faster and better than B, and worse in nothing; not dominated: A, C."
    trade = planted(code_size=[2, 4], mse=[0.2, 0.1])
    assert trade.dominated() == []
    assert trade.verdict().startswith("No autoencoder dominates another")
    assert planted(encode_per_second=[1000.0, 1050.0]).dominated() == []  # within what measuring varies


def test_inference_evaluation_and_comparison_have_the_same_errors_for_columns_and_shapes() -> None:
    rows, names = ROWS[:60, :3], ("a", "b", "c")
    pair = [
        Autoencoder(size, architecture=MLP(()), epochs=1, random_state=0).fit(pd.DataFrame(rows, columns=names))
        for size in (1, 2)
    ]
    other = Examples(rows, ("a", "x", "c"))
    columns = r"the columns of .*examples.* differ from .*: column 'x' is in the place of 'b' \(expected a, b, c\)$"
    for use in (pair[0].encode, lambda X: evaluate(pair[0], X), lambda X: compare(pair, X)):
        with pytest.raises(DataError, match=columns):
            use(other)
        with pytest.raises(DataError, match=r"examples.* have shape \(3, 1\), but .* was fitted on shape \(3,\); "):
            use(rows.reshape(60, 3, 1))


def test_invalid_comparisons_raise_one_sentence() -> None:
    with pytest.raises(RecordError, match="two autoencoders or more"):
        compare([SMALL], ROWS)
    with pytest.raises(
        DataError, match=r"the examples have shape \(8,\), but Identity\(size=2\) was fitted on shape \(4,\); only"
    ):
        compare([SMALL, fitted(Identity(2), X=ROWS[:, :4])], ROWS[:50])
    with pytest.raises(DataError, match="has no record of its training data: give"):
        compare([SMALL, LARGE])


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    np.save(tmp_path / "x.npy", ROWS)
    np.save(tmp_path / "y.npy", ROWS + 1)
    for name, ae, data in (("a", SMALL, "x.npy"), ("b", LARGE, "./x.npy"), ("c", LARGE, "y.npy")):
        save_run(tmp_path / name, ae, DataSource(data), RunInfo("deep"))
    LARGE.save(tmp_path / "alone.safetensors")
    return tmp_path


def test_runs_are_compared_on_their_held_out_examples(folders: Path) -> None:
    done = run("compare", "a", "b", "alone.safetensors", "--json", "--out", "out", cwd=folders)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    held = [json.loads(run("evaluate", name, "--json", cwd=folders).stdout)["errors"]["mse"] for name in "ab"]
    assert [each["errors"]["mse"] for each in found["models"]] == [*held, held[1]]
    assert found["best"]["mse"] == ["b", "alone.safetensors"]
    assert found["differences"] == {"bottleneck.size": ["1", "3", "3"]}
    assert len(found["notes"]) == 2
    assert "has no record of its held-out examples" in found["notes"][1]
    assert found["notes"][0].startswith("alone.safetensors has no record of its training data")
    assert {path.name for path in (folders / "out").iterdir()} == {
        "comparison.json",
        "errors.png",
        "reconstructions.png",
    }


def test_runs_of_other_data_are_refused_or_noted(folders: Path) -> None:
    done = run("compare", "a", "c", cwd=folders)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "a on x.npy and c on y.npy" in done.stderr
    said = run("compare", "a", "c", "--data", "x.npy", cwd=folders)
    assert said.returncode == 0
    assert "note: c was trained on y.npy, not on x.npy" in said.stdout
    assert "note: a was trained on" not in said.stdout
    assert "bottleneck.size: 1 | 3" in said.stdout
    assert run("compare", "a", cwd=folders).returncode == 2


def test_every_column_is_a_metric_of_evaluation() -> None:
    known = {*Evaluation.__dataclass_fields__, *PATHS}
    assert {column.name for column in COLUMNS} <= known


# random states


def test_random_states_of_the_same_settings_are_one_row() -> None:
    models = {f"size-1_state-{n}": fitted(Identity(1), random_state=n) for n in (1, 2, 13)} | {"other": LARGE}
    found, alone = compare(models, ROWS[:50]), compare(models, ROWS[:50], grouped=False)
    assert [row.name for row in found.rows] == ["size-1", "other"]
    assert [row.name for row in alone.rows] == list(models)
    header, lines = found.table()
    errors = [each.errors.mse for each in found.evaluations]
    cell = f"{np.mean(errors[:3]):.4g} ± {np.std(errors[:3], ddof=1):.4g} (3)"
    assert [line[header.index("MSE")] for line in lines] == [cell, f"{errors[3]:.4g} *"]
    stars = [line[header.index("MSE")].endswith(" *") for line in alone.table()[1]]
    assert stars == [error == min(errors) for error in errors]
    assert found.notes[-1].startswith("models that differ in random_state alone are one row: size-1 (3); mean")
    assert lines[0][header.index("code")] == "1 *", "equal figures have no spread"
    assert not any("random_state" in note for note in alone.notes)
    assert found.differences() == {"bottleneck.size": ("1", "3"), "random_state": ("1,2,13", "0")}
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))["rows"]
    assert told[0]["models"] == list(models)[:3]
    assert told[0]["figures"]["mse"]["n"] == 3
    assert told[0]["figures"]["mse"]["mean"] == pytest.approx(np.mean(errors[:3]))
    assert told[1]["figures"]["mse"]["standard_deviation"] is None


def test_what_differs_in_more_than_the_random_state_has_its_own_row() -> None:
    one = fitted(Identity(1))
    others = [
        fitted(Identity(1)),  # the same random state
        fitted(Identity(1), random_state=1, epochs=2),
        fitted(Identity(1), random_state=2, X=ROWS * 2),
        fitted(Identity(1), random_state=3, X=ROWS[:200]),
    ]
    for other in others:
        assert [len(row.places) for row in compare([one, other], ROWS[:50]).rows] == [1, 1]
    found = compare([one, fitted(Identity(1), random_state=4)], ROWS[:50])
    assert found.verdict() == "All autoencoders differ in their random state alone."


def test_the_command_line_shows_one_row_or_each(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", ROWS)
    for n in (0, 1):
        save_run(tmp_path / f"run-{n}", fitted(Identity(1), random_state=n), DataSource("x.npy"), RunInfo("deep"))
    one, each = run("compare", "run-0", "run-1", cwd=tmp_path), run("compare", "run-0", "run-1", "--each", cwd=tmp_path)
    assert (one.returncode, each.returncode) == (0, 0)
    assert "run-0" not in one.stdout
    assert "±" in one.stdout
    assert "run-0" in each.stdout
    assert "±" not in each.stdout


def test_a_difference_within_the_spread_marks_nothing() -> None:
    rows = (Row("A", (0, 1)), Row("B", (2, 3)))
    close = replace(planted(mse=[0.1, 0.14, 0.13, 0.15]), rows=rows)
    assert close.best(MORE["mse"]) == []
    assert close.dominated() == []
    apart = replace(planted(mse=[0.1, 0.14, 0.23, 0.25]), rows=rows)
    assert apart.best(MORE["mse"]) == ["A"]
    assert apart.dominated() == [("A", "B", "better")]
