"""A sweep chooses by examples that were neither trained on nor held out for the end, repeats, goes on, and says what is wrong."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from test_cli import run

from isthmus import Autoencoder, data, load, sweep
from isthmus.architectures import MLP
from isthmus.augmentations import Crop
from isthmus.bottlenecks import Gaussian, Identity, TopK
from isthmus.data import as_examples
from isthmus.errors import DataError, FolderInUseError, IsthmusWarning, ModelFileError, NotPossibleError, RecordError
from isthmus.estimators.overrides import parse_values
from isthmus.evaluation import evaluate
from isthmus.experiments import run_folder
from isthmus.experiments.resumable import StopSignal
from isthmus.experiments.trial import SweepContext, trial
from isthmus.optimizers import SGD, AdamW
from isthmus.training.state import Report

RANDOM = np.random.default_rng(0)
MIX = RANDOM.normal(size=(4, 16))


def rows(n: int, seed: int) -> Any:
    """A table of four directions and a little noise."""
    random = np.random.default_rng(seed)
    return random.normal(size=(n, 4)) @ MIX + 0.03 * random.normal(size=(n, 16))


X, TEST = rows(200, 1), rows(60, 2)
LINEAR = Autoencoder(architecture=MLP((), tied=True), epochs=1, random_state=0)
SIZES = {"bottleneck__size": [1, 2, 4]}


def weights(ae: Autoencoder) -> bytes:
    return b"".join(tensor.numpy().tobytes() for tensor in ae.model_.state_dict().values())


def test_an_integer_is_the_size_of_the_code() -> None:
    """In the autoencoder and among the values, as in `Autoencoder(2)`."""
    by_number = sweep(LINEAR, X, {"bottleneck": [1, 2]})
    by_record = sweep(LINEAR, X, {"bottleneck": [Identity(1), Identity(2)]})
    for one, other in zip(by_number.trials, by_record.trials, strict=True):
        assert one.autoencoder is not None
        assert other.autoencoder is not None
        assert one.autoencoder.bottleneck_ == other.autoencoder.bottleneck_
        assert weights(one.autoencoder) == weights(other.autoencoder)
    other_axis = sweep(clone(LINEAR).set_params(bottleneck=2), X, {"batch_size": [64]})
    assert other_axis.trials[0].figures["errors"] is not None


def test_it_chooses_on_validation_and_not_on_the_test_part() -> None:
    """Planted: a test part of the examples that the worse autoencoder loses less of."""
    grid = {"epochs": [1, 20]}
    honest = sweep(LINEAR, X, grid, test=TEST)
    candidates = np.random.default_rng(3).normal(size=(3000, 16))
    lost = [t.autoencoder.reconstruction_error(candidates) for t in honest.trials if t.autoencoder]
    against = candidates[np.argsort(lost[0] - lost[1])[:50]]
    found = sweep(LINEAR, X, grid, test=against)
    assert found.values == honest.values == {"epochs": 20}
    assert found.trials[0].figures["errors"]["mse"] > found.trials[1].figures["errors"]["mse"]
    scores = [evaluate(t.autoencoder, against).errors.mse for t in found.trials if t.autoencoder]
    assert scores[0] < scores[1]  # the test part does contradict
    assert found.test is not None
    assert found.test.errors.mse == scores[1]


def test_the_validation_examples_are_a_tenth_and_not_trained_on() -> None:
    found = sweep(LINEAR, X, {"bottleneck__size": [2]})
    assert (found.n_train, found.n_validation) == (180, 20)
    given = sweep(LINEAR, X, {"bottleneck__size": [2]}, validation_data=TEST)
    assert (given.n_train, given.n_validation) == (200, 60)
    ae = Autoencoder(Identity(2), architecture=MLP((), tied=True), epochs=1, random_state=0)
    assert weights(given.autoencoder) == weights(ae.fit(X))
    assert given.trials[0].figures["errors"]["mse"] == evaluate(ae, TEST, train=X).errors.mse


@pytest.mark.thorough
def test_a_sweep_is_bit_identical_and_does_not_change_the_estimator() -> None:
    one, two = (sweep(LINEAR, X, SIZES | {"random_state": [0, 5]}) for _ in range(2))
    assert [weights(t.autoencoder) for t in one.trials if t.autoencoder] == [
        weights(t.autoencoder) for t in two.trials if t.autoencoder
    ]
    assert (one.errors == two.errors).all()
    assert one.errors.shape == (3, 2)
    assert [t.random_state for t in one.trials] == [0, 5] * 3
    assert not hasattr(LINEAR, "model_")
    assert LINEAR.bottleneck == "auto"


@pytest.mark.thorough
def test_the_intrinsic_dimension_is_the_elbow() -> None:
    steps = {"epochs": 30, "batch_size": 16, "optimizer": AdamW(3e-2)}
    ae = Autoencoder(architecture=MLP((), tied=True), random_state=0, **steps)
    found = sweep(ae, X, {"bottleneck__size": [8, 1, 2, 4]}, test=TEST)
    assert found.axes == {"bottleneck.size": (1, 2, 4, 8)}
    assert found.choice.rule == "elbow"
    assert found.values == {"bottleneck.size": 4}
    assert "elbow" in str(found.plot().get_label())


def test_a_second_call_skips_complete_trainings_and_resumes_interrupted_ones(tmp_path: Path) -> None:
    begun: list[str] = []

    def watch(reports: Iterator[Report], title: str, numbers: int) -> Iterator[Report]:
        begun.append(title)
        if len(begun) == 3:
            raise KeyboardInterrupt
        yield from reports

    with pytest.raises(KeyboardInterrupt):
        sweep(LINEAR, X, SIZES, folder=tmp_path / "s", watch=watch)
    assert {path.name for path in (tmp_path / "s").iterdir()} == {"sweep.json", "size-1", "size-2"}
    refused = run("resume", "s/size-2", cwd=tmp_path)
    assert (refused.returncode, refused.stderr.startswith("isthmus: s/size-2 is a part of a sweep")) == (1, True)
    found = sweep(LINEAR, X, SIZES, folder=tmp_path / "s", watch=watch)
    assert [t.new for t in found.trials] == [False, False, True]
    written = {path: path.read_bytes() for path in sorted((tmp_path / "s").rglob("*")) if path.is_file()}
    again = sweep(LINEAR, X, SIZES, folder=tmp_path / "s", watch=watch)
    assert [t.new for t in again.trials] == [False] * 3
    assert len(begun) == 4
    assert written == {path: path.read_bytes() for path in sorted((tmp_path / "s").rglob("*")) if path.is_file()}
    assert [weights(t.autoencoder) for t in again.trials if t.autoencoder] == [
        weights(t.autoencoder) for t in sweep(LINEAR, X, SIZES).trials if t.autoencoder
    ]


def test_deeply_nested_files_of_a_sweep_are_damaged_files(tmp_path: Path) -> None:
    first = sweep(LINEAR, X, {"bottleneck__size": [1]}, folder=tmp_path / "s")
    (tmp_path / "s/size-1/validation.json").write_text("[" * 100_000)
    again = sweep(LINEAR, X, {"bottleneck__size": [1]}, folder=tmp_path / "s")
    assert again.to_frame()["column_error"].equals(first.to_frame()["column_error"])
    (tmp_path / "s/sweep.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match=r"sweep\.json is damaged: choose another folder"):
        sweep(LINEAR, X, {"bottleneck__size": [1]}, folder=tmp_path / "s")


def test_a_damaged_model_is_named_before_anything_is_trained_and_is_not_replaced(tmp_path: Path) -> None:
    sweep(LINEAR, X, {"bottleneck__size": [2]}, folder=tmp_path)
    damaged = tmp_path / "size-2/model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    content = damaged.read_bytes()
    for jobs in (None, 2):
        with pytest.raises(ModelFileError, match=r"; to train it again, remove .*size-2 and repeat the command$"):
            sweep(LINEAR, X, {"bottleneck__size": [1, 2]}, folder=tmp_path, jobs=jobs)
    assert damaged.read_bytes() == content
    assert not (tmp_path / "size-1").exists()


def test_a_checkpoint_that_cannot_be_read_is_said_and_training_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "size-2").mkdir()
    (tmp_path / "size-2/checkpoint.safetensors").write_bytes(b"no checkpoint")
    with pytest.warns(IsthmusWarning, match=r"checkpoint\.safetensors .*; this training begins anew"):
        found = sweep(LINEAR, X, {"bottleneck__size": [2]}, folder=tmp_path)
    assert weights(found.autoencoder) == weights(sweep(LINEAR, X, {"bottleneck__size": [2]}).autoencoder)


def test_a_checkpoint_that_is_not_damaged_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer isthmus wrote it, or it is a link to a file that is elsewhere."""
    found = tmp_path / "s/size-2/checkpoint.safetensors"
    found.parent.mkdir(parents=True)
    fitted = clone(LINEAR).set_params(bottleneck=Identity(2)).fit(X)
    with monkeypatch.context() as newer:
        newer.setattr("isthmus.estimators.model_file.FORMAT", 999)
        fitted.save(found)
    content = found.read_bytes()
    anew = r"; to train anew, remove .*size-2 and repeat the command$"
    with pytest.raises(ModelFileError, match=f"has format '999'.* install a newer isthmus{anew}"):
        sweep(LINEAR, X, {"bottleneck__size": [2]}, folder=tmp_path / "s")
    assert found.read_bytes() == content
    found.rename(tmp_path / "other")
    found.symlink_to(tmp_path / "other")
    with pytest.raises(ModelFileError, match=f"is a symbolic link.*{anew}"):
        sweep(LINEAR, X, {"bottleneck__size": [2]}, folder=tmp_path / "s")
    assert (tmp_path / "other").read_bytes() == content
    assert [path.name for path in found.parent.iterdir()] == [found.name]


def test_a_record_of_held_out_examples_that_is_damaged_says_what_to_do(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "s").mkdir()
    (tmp_path / "s/split.safetensors").write_bytes(b"")
    done = run("sweep", "bottleneck.size=1,2", "--data", "x.npy", "--out", "s", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("unknown; choose another folder (--out), or remove s first")


def test_a_trial_that_is_stopped_ends_after_its_step(tmp_path: Path) -> None:
    """Not at the next update of the progress bar, which large nets reach too late."""
    asked: list[bool] = []

    def asking() -> bool:
        asked.append(True)
        return len(asked) == 3

    ae, stopping = clone(LINEAR).set_params(epochs=30, batch_size=20), StopSignal(asking, 0)
    context = SweepContext(as_examples(X), as_examples(TEST), tmp_path, stopping=stopping)
    with pytest.raises(KeyboardInterrupt):
        trial(ae, {"bottleneck.size": 2}, context, "", several=False)
    begun = load(tmp_path / "size-2/checkpoint.safetensors")
    assert next(begun.iter_resume(X, validation_data=TEST, every=1)).step == 4
    assert len(asked) == 3
    assert stopping(), "a yes stays"
    often = StopSignal(asking, 60)
    assert [often() for _ in range(5)] == [False] * 5
    assert len(asked) == 4, "asked once in a minute"


def test_a_trial_that_another_process_ends_meanwhile_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ae, context = clone(LINEAR), SweepContext(as_examples(X), as_examples(TEST), tmp_path)
    reserve = run_folder.reserve_folder

    def late(folder: Path) -> AbstractContextManager[Path]:
        """The other one ends between the first look and the lock."""
        monkeypatch.setattr(run_folder, "reserve_folder", reserve)
        assert trial(clone(ae), {"bottleneck.size": 2}, context, "", several=False).new
        return reserve(folder)

    monkeypatch.setattr(run_folder, "reserve_folder", late)
    assert not trial(ae, {"bottleneck.size": 2}, context, "", several=False).new


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be locked there")
def test_a_trial_that_another_process_trains_is_not_looked_at(tmp_path: Path) -> None:
    """Its checkpoint may be about to be replaced: nothing is said of it."""
    context = SweepContext(as_examples(X), as_examples(TEST), tmp_path)
    (tmp_path / "size-2").mkdir()
    (tmp_path / "size-2/checkpoint.safetensors").write_bytes(b"no checkpoint")
    with run_folder.reserve_folder(tmp_path / "size-2"), pytest.raises(FolderInUseError):
        trial(clone(LINEAR), {"bottleneck.size": 2}, context, "", several=False)


def test_an_interrupted_trial_resumes_to_the_same_weights(tmp_path: Path) -> None:
    ae = Autoencoder(Identity(2), architecture=MLP((), tied=True), epochs=4, random_state=0)
    done = sweep(ae, X, {"bottleneck.size": [2]}, validation_data=TEST, folder=tmp_path / "whole")
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut/size-2").mkdir()
    for report in ae.iter_fit(X, validation_data=TEST):
        if report.epoch == 2:
            ae.checkpoint(tmp_path / "cut/size-2/checkpoint.safetensors")
    found = sweep(ae, X, {"bottleneck.size": [2]}, validation_data=TEST, folder=tmp_path / "cut")
    resumed = load(tmp_path / "cut/size-2")
    assert [report.epoch for report in resumed.history_] == [1, 2, 3, 4]
    assert weights(resumed) == weights(found.autoencoder) == weights(done.autoencoder)


def test_diverged_trials_are_reported_and_not_recommended(tmp_path: Path) -> None:
    ae = Autoencoder(Identity(2), architecture=MLP((8,)), optimizer=SGD(), epochs=2, random_state=0)
    with pytest.warns(UserWarning, match="training diverged"):
        found = sweep(ae, X, {"optimizer__lr": [1e30, 1e-3]}, folder=tmp_path / "s")
    assert found.values == {"optimizer.lr": 1e-3}
    assert np.isinf(found.errors[0, 0])
    assert any(sentence.startswith("diverged: 1e+30") for sentence in found.sentences())
    again = sweep(ae, X, {"optimizer__lr": [1e30, 1e-3]}, folder=tmp_path / "s")
    assert not any(t.new for t in again.trials)
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.thorough
def test_default_sizes_are_powers_of_two_that_suit() -> None:
    assert sweep(LINEAR, X).axes == {"bottleneck.size": (2, 4, 8)}
    assert sweep(LINEAR, X[:, :5]).axes == {"bottleneck.size": (1, 2)}
    topk = Autoencoder(TopK(16, k=3), architecture=MLP(()), epochs=1, random_state=0)
    assert sweep(topk, X).axes == {"bottleneck.size": (4, 8)}


def test_grids_accept_names_and_records() -> None:
    grid = {"bottleneck": ["Identity", Gaussian(3)], "architecture.hidden": [(8,), (8, 4)]}
    found = sweep(Autoencoder(Identity(3), epochs=1, random_state=0), X, grid)
    assert len(found.trials) == 4
    assert [type(t.autoencoder.bottleneck_).__name__ for t in found.trials if t.autoencoder] == ["Identity"] * 2 + [
        "Gaussian"
    ] * 2
    lines = list(csv.reader(io.StringIO(found.csv())))
    assert lines[0][:3] == ["bottleneck", "architecture.hidden", "random_state"]
    assert [line[1] for line in lines[1:]] == ["8", "8,4"] * 2
    found.plot()


@pytest.mark.parametrize(
    ("path", "text", "values"),
    [
        ("bottleneck.size", "2,4,8", [2, 4, 8]),
        ("bottleneck.size", "2|4", [2, 4]),
        ("bottleneck.size", "2", [2]),
        ("bottleneck", "Identity,Gaussian", ["Identity", "Gaussian"]),
        ("architecture.hidden", "256,64", [(256, 64)]),
        ("architecture.hidden", "256", [256]),
        ("architecture.hidden", "256,64|128", [(256, 64), 128]),
        ("architecture.hidden", "[256,64],[128]", [(256, 64), (128,)]),
        ("architecture.hidden", "(256,64),(128,32)", [(256, 64), (128, 32)]),
        ("architecture.hidden", "[256,64]", [(256, 64)]),
        ("architecture.hidden", "[]|[64]", [(), (64,)]),
        ("architecture.channels", "8,16", [(8, 16)]),
        ("optimizer.betas", "0.9,0.99", [(0.9, 0.99)]),
        ("optimizer.schedule", "Constant,OneCycle", ["Constant", "OneCycle"]),
    ],
)
def test_a_comma_is_within_a_value_only_where_values_have_commas(path: str, text: str, values: list[Any]) -> None:
    assert parse_values(path, text) == values


def test_invalid_sweeps_raise_one_sentence(tmp_path: Path) -> None:
    for grid, word in (
        ({"bottleneck__siz": [1]}, "did you mean size"),
        ({"bottleneck__size": 4}, "expected a list of values"),
        ({"bottleneck": "Identity"}, "expected a list of values"),
        ({"bottleneck__size": [2, -1]}, "greater than 0"),
        (
            {"epochs": range(1, 20), "bottleneck__size": [1, 2, 3, 4]},
            "the grid has 76 trainings, more than max_trials=64",
        ),
    ):
        with pytest.raises(RecordError, match=word):
            sweep(LINEAR, X, grid, folder=tmp_path / "s")  # type: ignore[arg-type]
    with pytest.raises(RecordError, match="no metric 'mze'"):
        sweep(LINEAR, X, SIZES, metric="mze")
    assert not (tmp_path / "s").exists()
    with pytest.raises(NotPossibleError, match=r"nats is not comparable between values of bottleneck\.beta"):
        sweep(Autoencoder(Gaussian(2), epochs=1, random_state=0), X, {"bottleneck.beta": [1.0, 2.0]}, metric="nats")
    sweep(LINEAR, X, {"bottleneck.size": [2]}, folder=tmp_path / "s")
    with pytest.raises(DataError, match="on other examples"):
        sweep(LINEAR, X + 1, {"bottleneck.size": [2]}, folder=tmp_path / "s")
    with pytest.raises(DataError, match="epochs=1, but epochs=2 is required"):
        sweep(clone(LINEAR).set_params(epochs=2), X, {"bottleneck.size": [2]}, folder=tmp_path / "s")
    with pytest.raises(DataError, match="holds a run"):
        sweep(LINEAR, X, SIZES, folder=tmp_path / "s/size-2")


def test_the_command_line_sweeps_a_table_and_prints_a_command_for_the_recommendation(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "x.csv", X, delimiter=",", header=",".join(f"c{i}" for i in range(16)), comments="")
    words = ("sweep", "linear", "epochs=1", "bottleneck.size=4,2", "--seeds", "2", "-d", "x.csv")
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "4 runs (4 trained now)" in done.stdout
    (folder,) = (tmp_path / "runs").iterdir()
    assert {"sweep.csv", "sweep.json", "sweep.png", "size-2_state-0", "size-4_state-1"} <= {
        p.name for p in folder.iterdir()
    }
    found = json.loads((folder / "sweep.json").read_text())
    assert found["fields"] == {"bottleneck.size": [2, 4]}
    assert "4 runs (0 trained now)" in run(*words, cwd=tmp_path).stdout
    best = next(t for t in found["trainings"] if t["values"] == found["recommended"])
    told = json.loads(run("evaluate", str(folder / best["folder"]), "--json", cwd=tmp_path).stdout)
    assert found["test"]["n_examples"] == told["n_examples"] == 20
    command = done.stdout.strip().splitlines()[-1].partition("examples: isthmus ")[2].split()
    assert run(*command, "--out", "full", cwd=tmp_path).returncode == 0
    assert load(tmp_path / "full").bottleneck_.size == found["recommended"]["bottleneck.size"]


WRONG = {
    ("sweep", "bottleneck.size=4"): "several values",
    ("sweep", "bottleneck.size=4,,8"): "a value is missing",
    ("sweep", "bottleneck.siz=4,8"): "size",
    ("sweep", "--metric", "mze"): "mse",
    ("sweep", "random_state=1,2", "--seeds", "2"): "one of them",
    ("sweep", "epochs=1,2,3", "--max-trials", "2"): "3 trainings",
    ("sweep", "linaer"): "linear",
}


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_an_invalid_sweep_command_prints_one_sentence_and_writes_nothing(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    done = run(*words, "-d", "digits", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert WRONG[words] in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_sweep_of_an_older_version_is_read_and_the_error_for_an_old_metric_gives_the_new_name(tmp_path: Path) -> None:
    given = {"bottleneck.size": [2]}
    sweep(LINEAR, X, given, validation_data=TEST, folder=tmp_path)
    older = (Path(__file__).parent / "files" / "validation-flat.json").read_text()
    (tmp_path / "size-2" / "validation.json").write_text(older)
    known = json.loads(older)
    found = sweep(LINEAR, X, given, validation_data=TEST, folder=tmp_path, metric="explained_variance")
    assert not found.trials[0].new
    assert found.figures("explained_variance").tolist() == [[known["explained"]]]
    assert found.figures("pca_mse").tolist() == [[known["pca_mse"]]]
    header, line = csv.reader((tmp_path / "sweep.csv").read_text().splitlines())
    row = dict(zip(header, line, strict=True))
    assert float(row["nats_per_dim"]) == pytest.approx(known["nats_per_number"])
    assert float(row["data_range"]) == pytest.approx(known["span"])
    with pytest.raises(RecordError, match=r"no metric 'explained'.*did you mean explained_variance\?"):
        sweep(LINEAR, X, given, validation_data=TEST, metric="explained")
    with pytest.raises(RecordError, match=r"no metric 'mse_restored'.*did you mean mse_denoised\?"):
        sweep(LINEAR, X, given, validation_data=TEST, metric="mse_restored")


def test_a_sweep_of_crops_is_refused_in_one_sentence_before_it_trains(tmp_path: Path) -> None:
    ae = Autoencoder(augmentation=Crop(4), architecture=MLP((8,)), epochs=1000, random_state=0)
    for grid in (None, {"bottleneck__size": [1, 2]}):
        with pytest.raises(NotPossibleError, match=r"^sweep requires an autoencoder of whole examples"):
            sweep(ae, data.digits().train[:40], grid, folder=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_components_with_several_names_have_a_field_that_that_of_the_recipe_lacks(tmp_path: Path) -> None:
    """No penalty has no weight, and MMD and DIP require one."""
    np.save(tmp_path / "x.npy", X)
    small = ("architecture.hidden=4", "epochs=1", "bottleneck=Gaussian", "bottleneck.size=2")
    words = ("penalty=MMD,DIP", "penalty.weight=2", "--data", "x.npy", "--out", "s")
    done = run("sweep", *small, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = [load(path).penalty for path in sorted((tmp_path / "s").glob("*/model.safetensors"))]
    assert {repr(each) for each in found} == {"DIP(weight=2.0)", "MMD(weight=2.0)"}
    assert "penalty.weight=2" in done.stdout
    done = run("sweep", *small, "penalty=MMD,DIP", "penalty.wait=2", "--data", "x.npy", "--out", "t", cwd=tmp_path)
    assert (done.returncode, (tmp_path / "t").exists()) == (2, False)
    assert "MMD requires weight: give penalty.weight=... too" in done.stderr
