"""Held-out stays held out: whatever is appended, sorted or removed, nothing is measured on what was trained on."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import thorough_where
from numpy.typing import NDArray
from typer.testing import CliRunner

from isthmus.cli import app
from isthmus.data import BlockRows, Dataset, read
from isthmus.errors import DataError
from isthmus.experiments import membership, run_folder, run_record
from isthmus.experiments.membership import (
    HELD_OUT,
    Membership,
    example_keys,
    hash_keys,
    read_membership,
    rounded_keys,
    trained_on,
    write_membership,
)
from isthmus.experiments.split_recovery import exclude_trained, recover_split, split_other
from isthmus.experiments.splits import Split, split

Array = NDArray[Any]
RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(100, 3)).round(4)
NEW = RNG.normal(size=(31, 3)).round(4)


def data(values: Array, labels: Array | None = None) -> Dataset:
    return Dataset("x.csv", values, train_labels=labels)


def rows(values: Array) -> set[bytes]:
    return {np.asarray(row, float).tobytes() for row in values}


def says(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, words, catch_exceptions=code != 0)
    assert (done.exit_code == 0) == (code == 0), done.output
    return " ".join((done.stdout if "--json" in words else done.output).split()) if code == 0 else str(done.exception)


CHANGES = {
    "same": lambda: ROWS,
    "appended": lambda: np.concatenate([ROWS, NEW]),
    "put before": lambda: np.concatenate([NEW, ROWS]),
    "sorted": lambda: ROWS[np.argsort(ROWS[:, 0])],
    "removed": lambda: np.delete(ROWS, np.arange(0, 100, 7), axis=0),
    "all at once": lambda: RNG.permutation(np.concatenate([ROWS[5:], NEW])),
    "doubled": lambda: np.concatenate([ROWS, ROWS]),
    "wider type": lambda: np.concatenate([ROWS, NEW]).astype(np.longdouble).astype(np.float64),
}


@pytest.mark.promise(25)
@pytest.mark.parametrize("how", CHANGES)
def test_training_examples_are_never_evaluated(how: str) -> None:
    before = split(data(ROWS, np.arange(100)), "error")
    trained, held = rows(before.train), rows(before.test)
    assert (len(trained), len(held)) == (90, 10)
    now = CHANGES[how]()
    after = recover_split(before.record, data(now, np.arange(len(now))), "error")  # type: ignore[arg-type]
    assert rows(after.test) <= held
    assert rows(after.train) <= trained
    assert (now[after.test_rows] == after.test).all()
    assert (after.test_labels == after.test_rows).all()  # type: ignore[comparison-overlap]
    assert (now[after.train_labels] == after.train).all()
    if how != "removed" and how != "all at once":  # and in the order of then: figures stay what they were
        np.testing.assert_array_equal(after.train, before.train)
        np.testing.assert_array_equal(after.test, before.test)
    else:
        assert "removed since training" in " ".join(after.notes)
    new = {"appended": 31, "put before": 31, "all at once": 31, "wider type": 31}.get(how, 0)
    copies = "100 of 200 examples are additional copies of examples of the run: they are not evaluated"
    assert (copies in " ".join(after.notes)) == (how == "doubled")
    said = f"{new} of {len(now)} examples are new since training: not trained on and not held out"
    assert (said in " ".join(after.notes)) == (new > 0)


@pytest.mark.promise(25)
def test_equal_examples_are_in_the_same_part() -> None:
    few = RNG.integers(0, 3, size=(200, 3)).astype(float)  # 27 different ones
    part = split(data(few), "error")
    assert not rows(part.train) & rows(part.test)
    assert 1 <= len(part.test) <= 20
    same = split(data(np.ones((50, 2))), "error")
    assert len(same.test) == 5
    assert "held-out examples have copies in the training part" in same.notes[0]
    again = recover_split(same.record, data(np.ones((60, 2))), "error")  # type: ignore[arg-type]
    assert (len(again.train), len(again.test)) == (45, 5)


def test_keys_depend_only_on_the_values() -> None:
    whole = RNG.integers(0, 200, size=(40, 2, 3))
    keys = example_keys(whole.astype(np.uint8))
    for kind in (np.int16, np.int64, np.float32, np.float64):
        np.testing.assert_array_equal(example_keys(whole.astype(kind)), keys)
    assert len(np.unique(example_keys(RNG.normal(size=(20_000, 2))))) == 20_000
    assert len(np.unique(example_keys(np.eye(300)))) == 300
    holes = np.array([[np.nan, 0.0], [-np.nan, -0.0], [0.0, np.nan]])
    one, two, other = example_keys(holes)
    assert one == two != other


@pytest.mark.promise(25)
def test_training_examples_in_other_data_are_not_evaluated() -> None:
    part = split(data(ROWS), "error")
    mixed = split_other(part.record, data(np.concatenate([part.train[:60], NEW])), "error")
    assert rows(mixed.test) <= rows(NEW)
    assert len(mixed.test) == 9
    assert "60 of 91 examples were trained on" in mixed.notes[0]
    copy = split_other(part.record, data(RNG.permutation(ROWS)), "error")
    assert rows(copy.test) == rows(part.test)
    assert split_other(part.record, data(NEW), "error").notes == ()
    with pytest.raises(DataError, match="trained on all examples"):
        split_other(part.record, data(part.train), "error")
    with pytest.raises(DataError, match=r"held out are no longer in x\.csv"):
        recover_split(part.record, data(part.train), "error")  # type: ignore[arg-type]


@pytest.mark.promise(25)
@pytest.mark.parametrize(("then", "now"), [(np.float64, np.float32), (np.float32, np.float64)])
def test_training_examples_are_recognized_in_another_precision(then: Any, now: Any, tmp_path: Path) -> None:
    """As a .npy of float32 where the run had a table, or the other way round."""
    written = np.array([[float(str(number)) for number in row] for row in ROWS.astype(np.float32)])
    assert (written.astype(np.float32) != written).any()
    part = split(data(written.astype(then)), "error")
    assert part.record is not None
    membership.write_membership(tmp_path, part.record)
    record = membership.read_membership(tmp_path)
    again = written.astype(now)
    assert membership.trained_on(record, again).sum() == 90
    mixed = split_other(record, data(np.concatenate([again, NEW.astype(now)])), "error")
    assert "90 of 131 examples were trained on" in mixed.notes[0]
    assert rows(mixed.test.astype(np.float32)) <= rows(part.test.astype(np.float32)) | rows(NEW.astype(np.float32))
    near = written + 1e-9  # other examples of one precision stay others
    assert not membership.trained_on(split(data(written), "error").record, near).any()


@pytest.mark.promise(25)
def test_training_examples_with_large_integers_are_recognized_as_float32(tmp_path: Path) -> None:
    """Above 2**24 not every integer is a float32."""
    X = np.arange(2**24 + 1, 2**24 + 20_001, 1000).reshape(10, 2)
    keys = example_keys(X)
    keys[6:] |= HELD_OUT
    record = Membership(10, 4, hash_keys(keys), keys, rounded_keys(X))
    write_membership(tmp_path, replace(record, rounded=None))  # as older versions did
    write_membership(tmp_path, record)
    stored = read_membership(tmp_path)
    for values in (X, X.astype(np.float64), X.astype(np.float32)):
        np.testing.assert_array_equal(trained_on(stored, values), np.arange(10) < 6)
    assert not trained_on(stored, X + 1).any()  # other integers stay others
    single = example_keys(X.astype(np.float32))
    single[6:] |= HELD_OUT
    np.testing.assert_array_equal(trained_on(Membership(10, 4, hash_keys(single), single), X), np.arange(10) < 6)


def test_a_test_part_excludes_training_examples_in_another_precision() -> None:
    whole = np.round(ROWS[:40])  # the same in both precisions, so that the run's data are found again
    part = split(Dataset("x.npz", np.concatenate([whole, ROWS[40:80]]), ROWS[80:]), "error")
    assert part.record is not None
    mixed = np.concatenate([ROWS[40:50], ROWS[80:]]).astype(np.float32)  # ten training examples among those to test on
    again = recover_split(part.record, Dataset("x.npz", whole.astype(np.float32), mixed), "error")
    assert rows(again.test) == rows(ROWS[80:].astype(np.float32))


@pytest.mark.promise(25)
def test_a_given_test_part_excludes_training_examples() -> None:
    own = Dataset("x.npz", ROWS[:80], ROWS[75:], None, np.arange(75, 100))
    part = split(own, "error")
    assert rows(part.test) == rows(ROWS[80:])
    assert part.test_labels is not None
    assert part.test_labels.tolist() == list(range(80, 100))
    assert "5 of 25 test examples are training examples too" in part.notes[0]
    moved = Dataset("x.npz", np.concatenate([ROWS[80:], ROWS[:40]]), np.concatenate([ROWS[30:60], NEW]))
    after = recover_split(part.record, moved, "error")  # type: ignore[arg-type]
    assert rows(after.test) == rows(NEW)
    assert rows(after.train) <= rows(ROWS[:80])


@pytest.mark.promise(25)
def test_a_large_memory_map_stays_in_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def saved(values: Array) -> Dataset:
        np.save(tmp_path / "x.npy", values)
        return read(tmp_path / "x.npy")

    monkeypatch.setattr("isthmus.experiments.splits.IN_MEMORY", 100)
    twice = np.concatenate([ROWS, ROWS[:1]])  # the last is a copy of the first
    part = split(saved(twice), "error")
    assert part.record is not None
    assert isinstance(part.train, BlockRows)
    assert rows(part.train) | rows(part.test) == rows(ROWS)
    assert not rows(part.train) & rows(part.test)
    assert any(row < 80 for row in part.test_rows)  # not the end
    assert part.record.keys is None
    for grown in (saved(np.concatenate([twice, NEW])), saved(np.concatenate([NEW, ROWS[::-1]]))):
        after = recover_split(part.record, grown, "error")
        assert isinstance(after.train, BlockRows)
        assert rows(part.test) <= rows(after.test)
        assert not rows(after.test) & rows(part.train)
    assert rows(split_other(part.record, saved(twice), "error").test) == rows(part.test)
    assert rows(exclude_trained(part.record, saved(twice))[0]) == rows(part.test)


@pytest.mark.promise(25)
def test_runs_of_older_versions_held_out_the_end_of_a_large_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def saved(values: Array) -> Dataset:
        np.save(tmp_path / "x.npy", values)
        return read(tmp_path / "x.npy")

    monkeypatch.setattr("isthmus.experiments.splits.IN_MEMORY", 100)
    keys = example_keys(ROWS)
    keys[90:] |= HELD_OUT
    after = recover_split(Membership(100, 10, hash_keys(keys), keys), saved(np.concatenate([ROWS, NEW])), "error")
    assert isinstance(after.train, np.memmap)
    np.testing.assert_array_equal(after.train, ROWS[:90])
    np.testing.assert_array_equal(after.test, ROWS[90:])
    without_keys = Membership(100, 10, hash_keys(example_keys(ROWS[90:])))
    after = recover_split(without_keys, saved(np.concatenate([ROWS, NEW])), "error")
    np.testing.assert_array_equal(after.test, ROWS[90:])
    np.testing.assert_array_equal(after.train, ROWS[:90])
    with pytest.raises(DataError, match="has changed other than by examples added at its end"):
        recover_split(without_keys, saved(ROWS[::-1].copy()), "error")


@pytest.mark.promise(23)
def test_a_damaged_membership_record_raises_one_sentence(tmp_path: Path) -> None:
    part = split(data(ROWS), "error")
    assert part.record is not None
    membership.write_membership(tmp_path, part.record)
    path = tmp_path / membership.FILE
    content = path.read_bytes()
    there = membership.read_membership(tmp_path)
    assert there is not None
    np.testing.assert_array_equal(there.keys, part.record.keys)
    for place in (3, 40, len(content) // 2, len(content) - 3):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(DataError, match="is damaged"):
            membership.read_membership(tmp_path)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="is damaged"):
        membership.read_membership(tmp_path)


# The verbs


def table(path: Path, values: Array) -> Path:
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["a", "b", "c", "kind"])
        writer.writerows([*row, kind] for row, kind in zip(values.tolist(), kinds(values), strict=True))
    return path


def kinds(values: Array) -> list[str]:
    """The labels of rows."""
    return ["even" if round(1e4 * value) % 2 else "odd" for value in values[:, 0].tolist()]


def split_by_kind(values: Array) -> Split:
    """The split of a run on these rows and their labels."""
    return split(data(values, np.array(kinds(values))), "error")


WORDS = ["epochs=2", "bottleneck.size=2", "architecture.hidden=4"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grown")
    path = table(folder / "x.csv", ROWS)
    for name, size in {"run": 2, "other": 1}.items():
        words = [*WORDS[:1], f"bottleneck.size={size}", *WORDS[2:], "--data", str(path), "--labels", "kind"]
        says("train", "deep", *words, "--out", str(folder / name))
    return folder


@pytest.fixture
def grown(trained: Path, tmp_path: Path) -> Path:
    """The two runs, and their data with 31 rows more, sorted."""
    shutil.copytree(trained, tmp_path / "all")
    home = tmp_path / "all"
    both = np.concatenate([ROWS, NEW])
    table(trained / "x.csv", both[np.argsort(both[:, 1])])
    yield home  # type: ignore[misc]
    table(trained / "x.csv", ROWS)


NOTE = "31 of 131 examples are new since training: not trained on and not held out"
SAYING = {
    "evaluate": ["evaluate", "{run}"],
    "robustness": ["robustness", "{run}", "levels=0.1", "draws=1"],
    "plot": ["plot", "{run}", "latent"],
    "encode": ["encode", "{run}", "--out", "{out}.npy"],
    "reconstruct": ["reconstruct", "{run}", "--out", "{out}.npy"],
    "detect": ["detect", "{run}", "--data", "{new}", "--out", "{out}.csv"],
    "finetune": ["finetune", "{run}", "--out", "{out}.csv"],
    "compare": ["compare", "{run}", "{other}"],
    "sample": ["sample", "{run}", "--method", "gmm", "--out", "{out}.npy"],
}


@pytest.mark.promise(25)
@pytest.mark.parametrize("verb", thorough_where(SAYING, lambda verb: verb not in {"evaluate", "detect", "encode"}))
def test_each_command_reports_changes_and_uses_the_held_out_rows(verb: str, grown: Path, tmp_path: Path) -> None:
    held = split_by_kind(ROWS)
    positions = {
        "run": grown / "run",
        "other": grown / "other",
        "out": tmp_path / "out",
        "new": table(tmp_path / "new.csv", NEW),
    }
    said = says(*(word.format(**positions) for word in SAYING[verb]))
    assert NOTE in said
    assert "the evaluation uses the 10 held-out examples" in said
    if verb in {"encode", "reconstruct"}:
        made = np.load(tmp_path / "out.npy")
        ae = run_folder.open_run(grown / "run")
        np.testing.assert_array_equal(made, getattr(ae, verb)(held.test))
    if verb in {"evaluate", "compare"}:
        assert "10 held-out examples" in said
    if verb == "finetune":
        assert "10 held-out examples" in said
        assert "trained on 90 labels" in said


@pytest.mark.thorough
@pytest.mark.promise(25)
def test_metrics_are_unchanged_when_data_grow(grown: Path, trained: Path) -> None:
    after = json.loads(says("evaluate", str(grown / "run"), "--json"))
    assert NOTE in " ".join(after["changes"])
    table(trained / "x.csv", ROWS)
    before = json.loads(says("evaluate", str(grown / "run"), "--json"))
    assert "changes" not in before
    for name in ("errors", "n_examples", "nats", "training", "pca"):
        assert after[name] == before[name]


@pytest.mark.promise(25)
def test_calibration_excludes_training_examples(grown: Path, tmp_path: Path) -> None:
    normal = table(tmp_path / "normal.csv", np.concatenate([ROWS, NEW]))
    words = ["detect", str(grown / "run"), "--data", str(normal), "--out", str(tmp_path / "a.csv")]
    said = says(*words, "--normal", str(normal))
    assert "90 of 131 examples of normal.csv were trained on: they are left out" in said
    assert "90 of 131 examples are training examples: their scores are more normal than those of new examples" in said
    assert "41 of 131 examples are also among the normal examples that set the threshold" in said
    marks = np.genfromtxt(tmp_path / "a.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")["trained_on"]
    learned = rows(split_by_kind(ROWS).train)
    assert [each == "yes" for each in marks] == [row.tobytes() in learned for row in np.concatenate([ROWS, NEW])]
    trained = table(tmp_path / "trained.csv", split_by_kind(ROWS).train)
    assert "trained on all examples of trained.csv" in says(*words, "--normal", str(trained), code=1)


@pytest.mark.thorough
def test_held_out_examples_used_by_early_stopping_are_reported(tmp_path: Path) -> None:
    """Without a validation part early stopping looks at what is held out, on which figures are measured and detectors calibrated."""
    path, words = table(tmp_path / "x.csv", ROWS), [*WORDS, "--drop", "kind"]
    judged = "early stopping chose the model by 10 of these 10 held-out examples"
    run, plain = str(tmp_path / "run"), str(tmp_path / "plain")
    assert judged in says("train", "deep", *words, "early_stopping=true", "--data", str(path), "--out", run)
    assert "chose the model" not in says("train", "deep", *words, "--data", str(path), "--out", plain)
    assert judged in says("evaluate", run)
    assert judged in json.loads(says("evaluate", run, "--json"))["early_stopping"]
    assert "Early stopping chose the model by 10 of these" in (tmp_path / "run/report.html").read_text()
    assert "early stopping of run used these held-out examples" in says("compare", run, plain)
    new = table(tmp_path / "new.csv", NEW)
    words = ["detect", str(tmp_path / "run"), "--data", str(new), "--out", str(tmp_path / "a.csv")]
    used = "early stopping used 10 of 10 normal examples for validation"
    assert used in says(*words)
    assert "early stopping used" not in says(*words, "--normal", str(new))


@pytest.mark.promise(25)
def test_a_run_without_a_membership_record_is_reported(grown: Path, trained: Path) -> None:
    (grown / "run" / membership.FILE).unlink()
    assert "split.safetensors is missing in" in says("evaluate", str(grown / "run"), code=1)
    known = json.loads((grown / "run" / "run.json").read_text())
    known.pop("remembers")
    (grown / "run" / "run.json").write_text(json.dumps(known))
    assert "has no record of its held-out examples, like all runs of isthmus 0.3" in says(
        "evaluate", str(grown / "run")
    )


@pytest.mark.thorough
@pytest.mark.promise(25)
def test_a_sweep_resumes_with_its_original_rows(tmp_path: Path) -> None:
    path, folder = table(tmp_path / "x.csv", ROWS), tmp_path / "sweep"
    words = [
        "sweep",
        "deep",
        *WORDS[:1],
        *WORDS[2:],
        "bottleneck.size=1,2",
        "--drop",
        "kind",
        "--data",
        str(path),
        "--out",
        str(folder),
    ]
    says(*words)
    shutil.rmtree(folder / "size-2")
    table(path, np.concatenate([NEW, ROWS[::-1]]))
    said = says(*words)
    assert NOTE in said
    assert "2 runs (1 trained now)" in said
    assert NOTE in says("evaluate", str(folder / "size-2"))


@pytest.mark.promise(25)
def test_resuming_finds_its_examples_in_grown_data(tmp_path: Path) -> None:
    from isthmus.architectures import MLP
    from isthmus.bottlenecks import Identity
    from isthmus.data.validation import Examples
    from isthmus.estimators.autoencoder import Autoencoder

    def begun() -> Autoencoder:
        return Autoencoder(Identity(2), architecture=MLP((4,)), epochs=4, random_state=0)

    path, folder = table(tmp_path / "x.csv", ROWS), tmp_path / "run"
    folder.mkdir()
    origin = run_record.DataSource(str(path), run_record.ReadOptions(drop=("kind",)))
    dataset = origin.read()
    part = split(dataset, "error")
    X = Examples(part.train, dataset.columns, dataset.kind)
    ae = begun()
    for report in ae.iter_fit(X, validation_data=part.test):
        if report.epoch == 2:
            run_folder.save_checkpoint(folder, ae, origin, run_record.RunInfo("deep"), part.record)
            break
    table(path, RNG.permutation(np.concatenate([ROWS, NEW])))
    assert NOTE in says("resume", str(folder))
    whole = begun().fit(X, validation_data=part.test)
    np.testing.assert_array_equal(run_folder.open_run(folder).transform(ROWS), whole.transform(ROWS))
    (tmp_path / "again").mkdir()
    for report in (ae := begun()).iter_fit(X, validation_data=part.test):
        if report.epoch == 2:
            run_folder.save_checkpoint(tmp_path / "again", ae, origin, run_record.RunInfo("deep"), part.record)
            break
    table(path, ROWS[3:])
    assert "at the start of training are no longer in x.csv" in says("resume", str(tmp_path / "again"), code=1)
