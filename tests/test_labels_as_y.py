"""Commands give the labels of the data to penalties that use them, and refuse in one sentence where there are none."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from labeled_trees import KIND, X, write_tables
from test_cli import run

import isthmus
from isthmus import Autoencoder, load, recipes, sweep
from isthmus.architectures import MLP
from isthmus.bottlenecks import Identity
from isthmus.errors import DataError
from isthmus.experiments.splits import split
from isthmus.penalties import NoPenalty, Supervised

SMALL = ("penalty=Supervised", "penalty.weight=10", "architecture.hidden=8", "epochs=2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with labels, and one without."""
    folder = tmp_path_factory.mktemp("labels")
    write_tables(folder)
    return folder


def test_a_command_trains_what_python_trains_with_y(folder: Path) -> None:
    done = run("train", *SMALL, "--data", "trees.csv", "--labels", "kind", "--out", "trees", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "y: Supervised(weight=10.0) uses the labels (3 classes) of the examples" in " ".join(done.stdout.split())
    ae = load(folder / "trees")
    data = isthmus.data.load(folder / "trees.csv", labels="kind")
    part = split(data, "error")
    again = Autoencoder(**ae.get_params(deep=False))
    again.fit(part.train_of(data), part.train_labels, validation_data=(part.test_of(data), part.test_labels))
    assert [each.loss for each in ae.history_] == [each.loss for each in again.history_]
    assert run("encode", "trees", "--data", "plain.csv", "--out", "codes.npy", cwd=folder).returncode == 0
    refused = run("sample", "trees", "--label", "ash", cwd=folder)
    assert "trees is not conditional, so its examples have no labels to choose: leave out --label" in refused.stderr


@pytest.mark.parametrize("verb", ["train", "sweep"])
def test_training_without_labels_is_refused_before_it_begins(folder: Path, verb: str) -> None:
    sizes = "bottleneck.size=1,2" if verb == "sweep" else "bottleneck.size=1"
    done = run(verb, *SMALL, sizes, "--data", "plain.csv", "--out", "refused", cwd=folder)
    assert done.returncode == 1
    expected = "requires labels, and plain.csv has none: name their column with --labels, or give data that have labels"
    assert done.stderr == f"isthmus: Supervised(weight=10.0) {expected}\n"
    assert not list(folder.glob("refused/*"))


@pytest.mark.thorough
def test_a_sweep_passes_y_where_a_component_uses_it(tmp_path: Path) -> None:
    ae = Autoencoder(Identity(1), architecture=MLP((8,)), epochs=2, random_state=0)
    grid = {"penalty": [NoPenalty(), Supervised(10)]}
    found = sweep(ae, X, grid, y=KIND, validation_data=(X[:30], KIND[:30]), folder=tmp_path / "swept")
    for each, penalty in zip(found.trials, grid["penalty"], strict=True):
        direct = Autoencoder(Identity(1), architecture=MLP((8,)), penalty=penalty, epochs=2, random_state=0).fit(
            X, KIND
        )
        assert each.autoencoder is not None
        assert each.autoencoder.history_[-1].loss == direct.history_[-1].loss
    with pytest.raises(DataError, match="holds a sweep on other examples"):
        sweep(ae, X, grid, y=KIND[::-1], validation_data=(X[:30], KIND[:30]), folder=tmp_path / "swept")
    with pytest.raises(DataError, match="requires y"):
        sweep(ae, X, grid, folder=tmp_path / "none")
    with pytest.raises(DataError, match=r"pass the tuple \(X, y\)"):
        sweep(ae, X, grid, y=KIND, validation_data=X[:30])
    assert not (tmp_path / "none").exists()


def test_recipes_name_their_papers(tmp_path: Path) -> None:
    assert recipes.paper("variational") == 'Kingma & Welling 2014, "Auto-encoding variational Bayes"'
    assert all(re.search(r" (19|20)\d\d, \"", recipes.paper(name)) for name in recipes.__all__)
    shown = run("recipes", cwd=tmp_path).stdout
    assert "van den Oord" in shown
    assert all(name in shown for name in recipes.__all__)
