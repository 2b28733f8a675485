"""Every verb uses the labels of the data with the run of a conditional autoencoder, or refuses in one sentence."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
from labeled_trees import KIND, X, write_tables
from test_cli import Done, run

import isthmus
from isthmus import Autoencoder, compare, load, robustness, sweep
from isthmus.architectures import MLP, Conditional
from isthmus.bottlenecks import Identity
from isthmus.errors import DataError
from isthmus.evaluation import column_figures
from isthmus.experiments import run_folder, run_record
from isthmus.experiments.run_report import evaluate_run
from isthmus.experiments.splits import split
from isthmus.experiments.validation_set import labeled_validation_examples

TRAIN = ("architecture=Conditional", "architecture.of.hidden=8", "epochs=2", "bottleneck=Gaussian", "bottleneck.size=2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with labels, a table without them, and a run of a conditional autoencoder."""
    folder = tmp_path_factory.mktemp("labels")
    write_tables(folder)
    words = ("--data", "trees.csv", "--labels", "kind", "--out", "trees")
    done = run("train", *TRAIN, *words, cwd=folder, every_figure=True)
    assert done.returncode == 0, done.stderr
    assert "uses the labels (3 classes)" in done.stdout
    return folder


def values(folder: Path, name: str) -> np.ndarray:
    array: np.ndarray = np.load(folder / name)
    return array


def test_the_run_is_the_autoencoder_that_python_trains(folder: Path) -> None:
    ae = load(folder / "trees")
    assert ae.classes_.tolist() == ["ash", "elm", "oak"]
    data = isthmus.data.load(folder / "trees.csv", labels="kind")
    part = split(data, "error")
    again = Autoencoder(**ae.get_params(deep=False))
    again.fit(part.train_of(data), part.train_labels, validation_data=(part.test_of(data), part.test_labels))
    assert [(each.loss, each.val_loss) for each in ae.history_] == [
        (each.loss, each.val_loss) for each in again.history_
    ]
    with chdir(folder):
        found = evaluate_run(Path("trees"))
    part = found.own.part
    errors = ae.reconstruction_error(part.test, y=part.test_labels)
    assert found.own.figures.errors.mse == pytest.approx(errors.mean(), rel=1e-6)
    assert (folder / "trees" / "figures" / "reconstructions.png").is_file()
    assert (folder / "trees" / "figures" / "samples.png").is_file()


@pytest.mark.parametrize("verb", ["encode", "reconstruct"])
def test_codes_and_reconstructions_have_the_context_of_their_labels(folder: Path, verb: str) -> None:
    ae, data = load(folder / "trees"), isthmus.data.load(folder / "trees.csv", labels="kind")
    done = run(verb, "trees", "--data", "trees.csv", "--out", f"{verb}.npy", cwd=folder)
    assert done.returncode == 0, done.stderr
    expected = getattr(ae, verb)(data.train, data.train_labels)
    np.testing.assert_array_equal(values(folder, f"{verb}.npy"), expected)


@pytest.mark.parametrize("verb", ["encode", "reconstruct", "score", "evaluate", "robustness", "plot"])
def test_data_without_labels_are_refused(folder: Path, verb: str) -> None:
    words = ["reconstructions"] if verb == "plot" else []
    out = "refused.npy" if verb in {"encode", "reconstruct", "score"} else "refused"
    done = run(verb, "trees", *words, "--data", "plain.csv", "--out", out, cwd=folder)
    _is_one_sentence(done, "requires labels, and plain.csv has none: name their column with --labels")


def test_samples_have_the_labels_that_are_asked_for(folder: Path) -> None:
    ae = load(folder / "trees")
    done = run("sample", "trees", "-n", "3", "--label", "oak", "--label", "ash", "--out", "new.npy", cwd=folder)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(values(folder, "new.npy"), ae.sample(3, 0, y=["oak", "ash", "oak"]))
    done = run("sample", "trees", "-n", "3", "--label", "elm", "--draw", "--out", "drawn.npy", cwd=folder)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(values(folder, "drawn.npy"), ae.sample(3, 0, y="elm", draw=True))
    _is_one_sentence(run("sample", "trees", cwd=folder), "--label is missing: expected one of ash, elm, oak")
    _is_one_sentence(run("sample", "trees", "--label", "fir", cwd=folder), "'fir': expected one of ash, elm, oak")


@pytest.mark.thorough
def test_a_table_with_gaps_is_completed_and_measured_with_labels(folder: Path) -> None:
    lines = (folder / "trees.csv").read_text().splitlines()
    gone = [",".join(["", *line.split(",")[1:]]) if row % 3 == 1 else line for row, line in enumerate(lines)]
    (folder / "gaps.csv").write_text("\n".join(gone) + "\n")
    words = ("missing=allow", "--data", "gaps.csv", "--labels", "kind", "--out", "gaps")
    done = run("train", *TRAIN, *words, cwd=folder, every_figure=True)
    assert done.returncode == 0, done.stderr
    assert (folder / "gaps" / "figures" / "column_errors.png").is_file()
    done = run("impute", "gaps", "--out", "whole.csv", cwd=folder)
    assert done.returncode == 0, done.stderr
    with chdir(folder):
        ae, dataset = load("gaps"), isthmus.data.load("gaps.csv", labels="kind")
        part = split(dataset, "allow")
        whole = column_figures(ae, part.test, part.test_labels, train=part.train, train_labels=part.train_labels)
        other = column_figures(
            ae, part.test, np.roll(part.test_labels, 1), train=part.train, train_labels=part.train_labels
        )
        assert whole.to_dict() != other.to_dict()
        with pytest.raises(DataError, match=r"is conditional .*: pass train_labels too"):
            column_figures(ae, part.test, part.test_labels, train=part.train)


def test_robustness_completes_training_examples_with_their_labels() -> None:
    gaps = np.where(np.arange(X.size).reshape(X.shape) % 7 == 0, np.nan, X)
    ae = Autoencoder(1, architecture=Conditional(MLP((8,))), missing="allow", epochs=1, random_state=0).fit(gaps, KIND)
    choices = {"levels": 0.3, "draws": 1, "baselines": ["training mean"], "train": gaps}
    means = [
        [each.mse for each in robustness(ae, gaps, KIND, train_labels=labels, **choices).figures]
        for labels in (KIND, np.roll(KIND, 1))
    ]
    assert means[0][:2] == means[1][:2]  # of the identity and the autoencoder
    assert means[0][2] != means[1][2]  # of the mean of the completed training examples
    with pytest.raises(DataError, match=r"is conditional .*: pass train_labels too"):
        robustness(ae, gaps, KIND, **choices)


@pytest.mark.parametrize("words", [(), ("--samples", "5")], ids=" ".join)
def test_scores_are_those_of_the_labels(folder: Path, words: tuple[str, ...]) -> None:
    ae, data = load(folder / "trees"), isthmus.data.load(folder / "trees.csv", labels="kind")
    done = run("score", "trees", *words, "--data", "trees.csv", "--out", "scores.npy", cwd=folder)
    assert done.returncode == 0, done.stderr
    given = data.train, data.train_labels
    expected = ae.log_likelihood(*given, samples=5) if words else ae.score_samples(*given)
    np.testing.assert_array_equal(values(folder, "scores.npy"), expected)


def test_codes_are_decoded_with_a_label(folder: Path) -> None:
    np.save(folder / "codes.npy", np.zeros((2, 2), np.float32))
    done = run("decode", "trees", "codes.npy", "--label", "oak", "--out", "decoded.npy", cwd=folder)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(values(folder, "decoded.npy"), load(folder / "trees").decode(np.zeros((2, 2)), "oak"))


def test_anomalies_are_those_of_the_labels(folder: Path) -> None:
    done = run("detect", "trees", "--data", "trees.csv", "--save", "detector.safetensors", cwd=folder)
    assert done.returncode == 0, done.stderr
    written = [line.split(",") for line in (folder / "anomalies.csv").read_text().splitlines()]
    scores = [float(line[written[0].index("score")]) for line in written[1:]]
    detector = load(folder / "detector.safetensors")
    np.testing.assert_allclose(scores, detector.score_samples(X, KIND), rtol=1e-5)
    again = run("detect", "detector.safetensors", "--data", "trees.csv", "--labels", "kind", cwd=folder)
    assert again.returncode == 0, again.stderr
    place = written[0].index("trained_on")  # which the file of a detector does not know
    without = [line[:place] + line[place + 1 :] for line in written]
    assert [line.split(",") for line in (folder / "anomalies.csv").read_text().splitlines()] == without
    done = run("detect", "trees", "--data", "plain.csv", cwd=folder)
    _is_one_sentence(done, "requires labels, and plain.csv has none: name their column with --labels")


@pytest.mark.thorough
def test_robustness_and_figures_of_a_conditional_run(folder: Path) -> None:
    done = run("robustness", "trees", "levels=0.3", "draws=1", "--out", "curve", cwd=folder)
    assert done.returncode == 0, done.stderr
    done = run("plot", "trees", "neighbors", "traversal", "pca", "--out", "drawn", cwd=folder)
    assert done.returncode == 0, done.stderr


@pytest.mark.thorough
def test_an_interrupted_run_resumes_to_the_same_weights(folder: Path) -> None:
    source = run_record.source_of(folder / "trees")
    source = run_record.DataSource(str(folder / "trees.csv"), source.options)
    data = source.read()
    part = split(data, "error")
    held = labeled_validation_examples(data, part)
    begun = Autoencoder(**load(folder / "trees").get_params(deep=False))
    reports = begun.iter_fit(part.train_of(data), part.train_labels, validation_data=(held.examples, held.labels))
    next(reports)
    (folder / "begun").mkdir()
    run_folder.save_checkpoint(folder / "begun", begun, source, run_record.RunInfo("deep"), part.record)
    reports.close()
    done = run("resume", "begun", cwd=folder)
    assert done.returncode == 0, done.stderr
    ours, whole = (load(folder / name).model_.state_dict() for name in ("begun", "trees"))
    assert all(np.array_equal(ours[name], whole[name]) for name in whole)


@pytest.mark.thorough
def test_sweep_and_compare_pass_labels_where_they_are_used(tmp_path: Path) -> None:
    conditional = Autoencoder(Identity(1), architecture=Conditional(MLP((8,))), epochs=2, random_state=0)
    found = sweep(
        conditional, X, {"architecture": [Conditional(MLP((8,))), MLP((8,))]}, y=KIND, test=(X[:30], KIND[:30])
    )
    errors = [each.figures["errors"]["mse"] for each in found.trials]
    assert errors[0] != errors[1]
    again = conditional.fit(X, KIND), Autoencoder(Identity(2), epochs=2, random_state=0).fit(X)
    result = compare(again, X, y=KIND)
    assert result.evaluations[0].errors.mse == pytest.approx(again[0].reconstruction_error(X, y=KIND).mean(), rel=1e-6)
    assert result.evaluations[0].labels is None  # labels are context here, and score nothing
    with pytest.raises(DataError, match="requires labels: pass y"):
        compare(again, X)
    with pytest.raises(DataError, match="requires y"):
        sweep(conditional, X, {"bottleneck__size": [1, 2]}, folder=tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.thorough
def test_a_sweep_of_the_command_line_trains_with_labels(folder: Path) -> None:
    words = ("architecture=Conditional", "architecture.of.hidden=8", "epochs=1", "bottleneck.size=1,2")
    done = run("sweep", *words, "--data", "trees.csv", "--labels", "kind", "--out", "swept", cwd=folder)
    assert done.returncode == 0, done.stderr
    done = run("compare", "swept/size-1", "swept/size-2", cwd=folder)
    assert done.returncode == 0, done.stderr


def _is_one_sentence(done: Done, words: str) -> None:
    assert done.returncode in {1, 2}
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
