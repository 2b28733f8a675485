"""Bulk use: each row of many files is in the results once, with the bits that the verb gives for one file."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow
import pyarrow.dataset
import pyarrow.parquet
import pytest
from cases import thorough_where
from test_cli import run

import isthmus
import isthmus.scaleout
from isthmus import data, errors
from isthmus.data.options import ReadOptions
from isthmus.scaleout import BulkResult
from isthmus.scaleout.driver import files_of, finished, prepare
from isthmus.scaleout.inputs import rows_of
from isthmus.scaleout.job import Job, Verb
from isthmus.scaleout.local import LocalEngine
from isthmus.scaleout.opening import Opened, job_of, open_computation
from isthmus.scaleout.progress import with_progress
from isthmus.scaleout.tasks import Task
from isthmus.scaleout.work import Done, do

FILES, ROWS = 3, 40


class Here:
    """An engine that does all tasks in this process."""

    described = "this process"

    def results(self, job: Job, tasks: Sequence[Task], base: str) -> Iterator[Done]:
        opened = Model(job)
        yield from (do(job, task, lambda: opened.computation, base) for task in tasks)


class Model:
    def __init__(self, job: Job) -> None:
        self.job = job

    @cached_property
    def computation(self) -> Any:
        return open_computation(self.job)


def table(number: int, rows: int = ROWS) -> pyarrow.Table:
    """Rows of numbers, of which whole ones have nulls in one file only."""
    rng = np.random.default_rng(number)
    first = number * rows
    whole: list[int | None] = rng.integers(0, 9, rows).tolist()
    whole[3] = None if number == 1 else whole[3]
    return pyarrow.table(
        {
            "key": pyarrow.array([f"k{first + row}" for row in range(rows)]),
            "a": rng.normal(size=rows),
            "b": rng.normal(size=rows).astype(np.float32),
            "c": pyarrow.array(whole, pyarrow.int32()),
        }
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An autoencoder, and a detector."""
    folder = tmp_path_factory.mktemp("models")
    X = table(9, 200).drop_columns("key")
    ae = isthmus.Autoencoder(
        2, architecture=isthmus.architectures.MLP([4]), epochs=1, missing="allow", random_state=0
    ).fit(X)
    ae.save(folder / "ae.safetensors")
    isthmus.OutlierDetector.from_fitted(ae, X, random_state=0).save(folder / "detector.safetensors")
    return folder


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """A folder of Parquet files with row groups of 16 rows."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(FILES):
        pyarrow.parquet.write_table(table(number), folder / f"part-{number}.parquet", row_group_size=16)
    return folder


def bulk(
    model: Path, inputs: Path | str, out: Path, verb: Verb = "encode", notes: list[str] | None = None, **options: Any
) -> BulkResult:
    """All tasks, done in this process."""
    found: Opened = job_of(verb, model, out, ReadOptions(), runtime="torch", **options)
    told: list[str] = [] if notes is None else notes
    return finished(prepare(found.job, files_of(inputs, out), found.notes), Here(), told.append, quiet=True)


def union(out: Path) -> pyarrow.Table:
    return pyarrow.dataset.dataset(sorted(out.glob("*.parquet"))).to_table()


def expected_codes(models: Path) -> np.ndarray[Any, Any]:
    whole = pyarrow.concat_tables([table(number) for number in range(FILES)]).drop_columns("key")
    return np.asarray(isthmus.load(models / "ae.safetensors").encode(whole))


def codes_of(found: pyarrow.Table) -> np.ndarray[Any, Any]:
    return np.stack([found[f"code_{number}"].to_numpy() for number in range(2)], axis=1)


@pytest.mark.promise(30)
def test_each_row_has_the_bits_of_one_process(models: Path, inputs: Path, tmp_path: Path) -> None:
    result = bulk(models / "ae.safetensors", inputs, tmp_path / "out", keep=["key"])
    found = union(tmp_path / "out")
    assert found.column_names == ["key", "row", "code_0", "code_1"]
    assert found["key"].to_pylist() == [f"k{row}" for row in range(FILES * ROWS)]
    assert found["row"].to_pylist() == [*range(ROWS)] * FILES
    np.testing.assert_array_equal(codes_of(found), expected_codes(models))
    assert (result.tasks, result.done, result.rows, result.complete) == (FILES, FILES, FILES * ROWS, True)


@pytest.mark.thorough
def test_all_verbs_agree_with_those_of_one_file(models: Path, inputs: Path, tmp_path: Path) -> None:
    whole = pyarrow.concat_tables([table(number) for number in range(FILES)]).drop_columns("key")
    ae, detector = (isthmus.load(models / f"{name}.safetensors") for name in ("ae", "detector"))
    bulk(models / "ae.safetensors", inputs, tmp_path / "s", "score")
    np.testing.assert_array_equal(union(tmp_path / "s")["score"].to_numpy(), ae.score_samples(whole))
    bulk(models / "ae.safetensors", inputs, tmp_path / "r", "reconstruct")
    made = union(tmp_path / "r").select(["a", "b", "c"]).to_pandas().to_numpy()
    np.testing.assert_array_equal(made, ae.reconstruct(whole))
    bulk(models / "detector.safetensors", inputs, tmp_path / "d", "detect")
    found = union(tmp_path / "d")
    np.testing.assert_array_equal(found["p_value"].to_numpy(), detector.p_values(whole))
    anomalous = ["anomalous" if value < 0 else "normal" for value in detector.predict(whole)]
    assert found["verdict"].to_pylist() == anomalous


@pytest.mark.thorough
def test_large_files_are_cut_at_row_groups(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.scaleout.tasks._ROWS", 32)
    monkeypatch.setattr("isthmus.scaleout.work._ROWS", 10)
    (tmp_path / "in").mkdir()
    pyarrow.parquet.write_table(table(0), tmp_path / "in/one.parquet", row_group_size=16)
    with pyarrow.ipc.new_file(tmp_path / "one.arrow", table(0).schema) as file:
        file.write_table(table(0), max_chunksize=16)
    for number, path in enumerate(("in", "one.arrow")):
        result = bulk(models / "ae.safetensors", tmp_path / path, tmp_path / f"out{number}", keep=["key"])
        assert (result.tasks, result.rows) == (2, ROWS)
        found = union(tmp_path / f"out{number}")
        assert found["row"].to_pylist() == [*range(ROWS)]
        np.testing.assert_array_equal(codes_of(found), expected_codes(models)[:ROWS])


@pytest.mark.thorough
def test_columns_in_the_names_of_folders_are_columns(models: Path, tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"in/c={number}").mkdir(parents=True)
        part = table(number).drop_columns("c")
        pyarrow.parquet.write_table(part, tmp_path / f"in/c={number}/part.parquet")
    bulk(models / "ae.safetensors", tmp_path / "in", tmp_path / "out", keep=["c"])
    found = union(tmp_path / "out")
    assert found["c"].to_pylist() == [0] * ROWS + [1] * ROWS
    parts = [table(number).drop_columns(["key", "c"]).append_column("c", [[number] * ROWS]) for number in range(2)]
    expected = isthmus.load(models / "ae.safetensors").encode(pyarrow.concat_tables(parts))
    np.testing.assert_array_equal(codes_of(found), expected)


def in_folders(base: Path, *values: str) -> None:
    """A file in each of the folders, without the column that their names hold."""
    for number, value in enumerate(values):
        (base / f"c={value}").mkdir(parents=True, exist_ok=True)
        path = base / f"c={value}/part.parquet"
        if not path.exists():
            pyarrow.parquet.write_table(table(number).drop_columns("c"), path)


@pytest.mark.promise(26)
def test_values_in_the_names_of_folders_are_copied_as_they_are(models: Path, tmp_path: Path) -> None:
    model, out = models / "ae.safetensors", tmp_path / "out"
    in_folders(tmp_path / "in", "2", "10")
    bulk(model, tmp_path / "in", out, keep=["c"])
    first = union(out)
    assert set(first["c"].to_pylist()) == {2, 10}
    in_folders(tmp_path / "in", "2", "10", "03")  # a text, so that 2 and 10 are texts too
    notes = list[str]()
    assert bulk(model, tmp_path / "in", out, keep=["c"], notes=notes).done == 3
    found = union(out)
    assert set(found["c"].to_pylist()) == {"2", "10", "03"}
    codes = [tuple(each) for each in codes_of(found)]
    assert {tuple(each) for each in codes_of(first)} < set(codes)  # to the model they are numbers
    in_folders(tmp_path / "in", "2", "10", "03", "north")
    result = bulk(model, tmp_path / "in", out, keep=["c"])
    assert [failure.where for failure in result.failures] == [f"c=north/part.parquet, rows 0 to {ROWS - 1}"]
    assert result.skipped == 3


@pytest.mark.thorough
def test_arrays_are_read_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.scaleout.inputs._SLICE", 30)
    monkeypatch.setattr("isthmus.scaleout.tasks._ROWS", 60)
    X = data.digits().train[:200]
    ae = isthmus.Autoencoder(2, architecture=isthmus.architectures.MLP([4]), epochs=1, random_state=0).fit(X)
    ae.save(tmp_path / "ae.safetensors")
    for number, part in enumerate(np.split(X, [70])):
        np.save(tmp_path / f"part-{number}.npy", part)
    result = bulk(tmp_path / "ae.safetensors", str(tmp_path / "part-*.npy"), tmp_path / "out")
    assert result.tasks == 2 + 3
    np.testing.assert_array_equal(codes_of(union(tmp_path / "out")), ae.encode(X))


def test_results_inside_of_the_folder_of_the_data_are_not_read(models: Path, inputs: Path) -> None:
    out, notes = inputs / "results", list[str]()
    bulk(models / "ae.safetensors", inputs, out, "reconstruct")
    again = bulk(models / "ae.safetensors", inputs, out, "reconstruct", notes)
    assert (again.files, again.skipped, again.rows, again.complete) == (FILES, FILES, 0, True)
    assert any("3 entries in the folder of the results were left out: part-0-00000-" in note for note in notes)
    assert len(union(out)) == FILES * ROWS
    with pytest.raises(errors.DataError, match="is no result of this command"):
        bulk(models / "ae.safetensors", inputs, inputs, "reconstruct")


def test_results_of_an_earlier_command_in_another_folder_are_not_read(models: Path, inputs: Path) -> None:
    bulk(models / "ae.safetensors", inputs, inputs / "first", "reconstruct")
    notes = list[str]()
    found = bulk(models / "ae.safetensors", str(inputs / "**"), inputs / "second", notes=notes)
    assert (found.files, found.rows) == (FILES, FILES * ROWS)
    assert any(
        "3 entries that are results of an earlier command were left out: part-0-00000-" in note for note in notes
    )
    notes.clear()
    found = bulk(models / "ae.safetensors", inputs / "first", inputs / "third", notes=notes)
    assert (found.files, found.complete) == (FILES, True)
    assert "all files are results of an earlier command, and are read as data" in notes


def test_columns_that_are_copied_in_other_types_are_named(models: Path, inputs: Path, tmp_path: Path) -> None:
    part = table(0).set_column(0, "key", pyarrow.nulls(ROWS))
    pyarrow.parquet.write_table(part, inputs / "part-0.parquet")
    notes = list[str]()
    assert bulk(models / "ae.safetensors", inputs, tmp_path / "out", keep=["key"], notes=notes).complete
    assert any(
        "'key'" in note and "holds null in part-0.parquet and string in part-1.parquet" in note for note in notes
    )


def test_numbers_are_read_from_columns_of_other_types(models: Path, inputs: Path, tmp_path: Path) -> None:
    cents = pyarrow.array([Decimal(number) / 100 for number in range(ROWS)])
    for number, values in enumerate((pyarrow.nulls(ROWS), cents)):
        pyarrow.parquet.write_table(table(0).set_column(1, "a", values), inputs / f"part-{number}.parquet")
    assert bulk(models / "ae.safetensors", inputs, tmp_path / "out").complete
    rows = table(0).drop_columns("key")
    given = [
        rows.set_column(0, "a", values) for values in (pyarrow.nulls(ROWS, pyarrow.float64()), cents.cast("float64"))
    ]
    expected = isthmus.load(models / "ae.safetensors").encode(pyarrow.concat_tables(given))
    np.testing.assert_array_equal(codes_of(union(tmp_path / "out"))[: 2 * ROWS], expected)


def test_numbers_with_a_dictionary_are_numbers(models: Path, tmp_path: Path) -> None:
    """pandas writes categories so."""
    (tmp_path / "in").mkdir()
    for number in range(FILES):
        part = table(number)
        part = part.set_column(3, "c", part["c"].dictionary_encode())
        with pyarrow.ipc.new_file(tmp_path / f"in/{number}.arrow", part.schema) as writer:
            writer.write_table(part)
    assert bulk(models / "ae.safetensors", tmp_path / "in", tmp_path / "out").complete
    np.testing.assert_array_equal(codes_of(union(tmp_path / "out")), expected_codes(models))


def test_a_column_that_would_be_lost_is_an_error(models: Path, tmp_path: Path) -> None:
    (tmp_path / "c=7").mkdir()
    pyarrow.parquet.write_table(table(0), tmp_path / "c=7/part.parquet")
    with pytest.raises(errors.DataError, match=r"column 'c' of .* is in the file and in the name of its folder"):
        bulk(models / "ae.safetensors", str(tmp_path / "*/*.parquet"), tmp_path / "out")
    X = table(0).drop_columns("key").rename_columns(["row", "b", "c"])
    isthmus.Autoencoder(1, architecture=isthmus.architectures.MLP([4]), epochs=1).fit(X).save(
        tmp_path / "row.safetensors"
    )
    (tmp_path / "in").mkdir()
    pyarrow.parquet.write_table(X, tmp_path / "in/part.parquet")
    with pytest.raises(errors.RecordError, match="the model has a column 'row' too"):
        bulk(tmp_path / "row.safetensors", tmp_path / "in", tmp_path / "out", "reconstruct")


def test_a_large_group_of_rows_is_not_in_memory_as_a_whole(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(4, 200_000))
    path = tmp_path / "one.parquet"
    pyarrow.parquet.write_table(pyarrow.table(dict(zip("abcd", values, strict=True))), path, use_dictionary=False)
    tracemalloc.start()
    assert len(next(rows_of(path, "parquet", range(1), 0, 1000, list("abcd"))).values) == 1000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < values.nbytes / 4  # what is read of the file, as Python's bytes


@pytest.mark.promise(30)
def test_what_is_there_and_verifies_is_skipped(models: Path, inputs: Path, tmp_path: Path) -> None:
    model, out = models / "ae.safetensors", tmp_path / "out"
    bulk(model, inputs, out)
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    damaged = sorted(out.iterdir())[1]
    column = pyarrow.parquet.ParquetFile(damaged).metadata.row_group(0).column(2)
    content = bytearray(damaged.read_bytes())
    content[column.data_page_offset - 1] ^= 64  # the last different value of a column
    damaged.write_bytes(content)
    assert len(pyarrow.parquet.read_table(damaged)) == ROWS  # only its checksum says so
    sorted(out.iterdir())[2].write_bytes(b"PAR1")
    notes = list[str]()
    result = bulk(model, inputs, out, notes=notes)
    assert (result.skipped, result.done, result.rows, result.rows_there) == (1, 2, 2 * ROWS, ROWS)
    assert sum("was damaged, and was made again" in note for note in notes) == 2
    assert before.keys() == set(out.iterdir())
    np.testing.assert_array_equal(codes_of(union(out)), expected_codes(models))
    assert bulk(model, inputs, out).skipped == FILES


@pytest.mark.promise(30)
def test_results_of_changed_files_are_replaced(models: Path, inputs: Path, tmp_path: Path) -> None:
    model, out = models / "ae.safetensors", tmp_path / "out"
    bulk(model, inputs, out, keep=["key"])
    pyarrow.parquet.write_table(table(7, 30), inputs / "part-1.parquet")
    notes = list[str]()
    result = bulk(model, inputs, out, notes=notes, keep=["key"])
    assert (result.done, result.skipped) == (1, FILES - 1)
    assert any("results of files that have changed since" in note for note in notes)
    keys = union(out)["key"].to_pylist()
    assert sorted(keys) == sorted(
        [*table(0)["key"].to_pylist(), *table(7, 30)["key"].to_pylist(), *table(2)["key"].to_pylist()]
    )


@pytest.mark.promise(30)
def test_a_broken_file_is_named_and_the_others_are_done(models: Path, inputs: Path, tmp_path: Path) -> None:
    model, out, notes = models / "ae.safetensors", tmp_path / "out", list[str]()
    (inputs / "part-1.parquet").write_bytes((inputs / "part-1.parquet").read_bytes()[:-9])
    text = table(2).set_column(1, "a", pyarrow.array(["x"] * ROWS))
    pyarrow.parquet.write_table(text, inputs / "part-2.parquet")
    result = bulk(model, inputs, out, notes=notes)
    assert [failure.where.partition(",")[0] for failure in result.failures] == ["part-1.parquet", "part-2.parquet"]
    assert "column 'a' holds text" in result.failures[1].error
    assert result.rows == ROWS
    assert any("part-1.parquet is left out" in note for note in notes)
    pyarrow.parquet.write_table(table(1), inputs / "part-1.parquet")
    pyarrow.parquet.write_table(table(2), inputs / "part-2.parquet")
    assert bulk(model, inputs, out).complete
    np.testing.assert_array_equal(codes_of(union(out)), expected_codes(models))


@pytest.mark.thorough
def test_a_file_that_cannot_be_read_now_keeps_its_results(models: Path, inputs: Path, tmp_path: Path) -> None:
    model, out = models / "ae.safetensors", tmp_path / "out"
    bulk(model, inputs, out)
    (inputs / "part-1.parquet").write_bytes(b"")
    assert not bulk(model, inputs, out).complete
    assert len(list(out.iterdir())) == FILES


@pytest.mark.promise(30)
@pytest.mark.parametrize(
    "case",
    thorough_where(
        ["verb", "foreign", "gone", "model", "keep", "folder"], lambda case: case in {"model", "keep", "folder"}
    ),
)
def test_other_files_among_the_results_are_an_error(case: str, models: Path, inputs: Path, tmp_path: Path) -> None:
    model, out = models / "ae.safetensors", tmp_path / "out"
    bulk(model, inputs, out)
    given: dict[str, Any] = {"verb": "score"} if case == "verb" else {"keep": ["key"]} if case == "keep" else {}
    if case == "model":
        other = isthmus.load(model).partial_fit(table(9, 200).drop_columns("key"))
        other.save(tmp_path / "other.safetensors")
        model = tmp_path / "other.safetensors"
    elif case == "foreign":
        pyarrow.parquet.write_table(table(0), out / "mine.parquet")
    elif case == "gone":
        (inputs / "part-1.parquet").unlink()
    elif case == "folder":
        (out / "more").mkdir()
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    with pytest.raises(errors.DataError, match=r"choose another folder for --out"):
        bulk(model, inputs, out, **given)
    assert before == {path: path.stat().st_mtime_ns for path in out.iterdir()}


@pytest.mark.promise(30)
@pytest.mark.parametrize("case", ["merged", "copy", "same name"])
def test_tables_that_the_user_makes_from_results_are_not_removed(
    case: str, models: Path, inputs: Path, tmp_path: Path
) -> None:
    """They have the record of the results, as pyarrow copies it."""
    model, out = models / "ae.safetensors", tmp_path / "out"
    bulk(model, inputs, out)
    first = next(out.glob("part-1-*.parquet"))
    made = first if case == "same name" else out / f"{case}.parquet"
    if case == "copy":
        made.write_bytes(first.read_bytes())
    else:
        own = pyarrow.parquet.read_table(first)
        pyarrow.parquet.write_table(own.append_column("mine", own["row"]), made)
    pyarrow.parquet.write_table(table(7, 30), inputs / "part-1.parquet")
    content = made.read_bytes()
    with pytest.raises(errors.DataError, match=rf"{made.name} is no result of this command"):
        bulk(model, inputs, out)
    assert made.read_bytes() == content


def test_names_that_collide_are_an_error_before_the_work(models: Path, inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.RecordError, match="column 'a'"):
        bulk(models / "ae.safetensors", inputs, tmp_path / "out", "reconstruct", keep=["a"])
    with pytest.raises(errors.RecordError, match="no file has a column 'when' to keep"):
        bulk(models / "ae.safetensors", inputs, tmp_path / "out", keep=["when"])
    assert not (tmp_path / "out").exists()


@pytest.mark.promise(30)
def test_a_second_driver_gets_a_sentence(models: Path, inputs: Path, tmp_path: Path) -> None:
    class Meanwhile(Here):
        def results(self, job: Job, tasks: Sequence[Task], base: str) -> Iterator[Done]:
            with pytest.raises(errors.FolderInUseError):
                bulk(models / "ae.safetensors", inputs, tmp_path / "out")
            yield from super().results(job, tasks, base)

    found = job_of("encode", models / "ae.safetensors", tmp_path / "out", ReadOptions(), runtime="torch")
    assert finished(prepare(found.job, files_of(inputs, tmp_path / "out")), Meanwhile(), print, quiet=True).complete


@pytest.mark.promise(30)
def test_a_file_that_changes_meanwhile_has_no_result(models: Path, inputs: Path, tmp_path: Path) -> None:
    found = job_of("encode", models / "ae.safetensors", tmp_path / "out", ReadOptions(), runtime="torch")
    plan = prepare(found.job, files_of(inputs, tmp_path / "out"))
    pyarrow.parquet.write_table(table(7, 30), inputs / "part-1.parquet")
    result = finished(plan, Here(), list[str]().append, quiet=True)
    assert [failure.where for failure in result.failures] == [f"part-1.parquet, rows 0 to {ROWS - 1}"]
    assert "has changed since the work began" in result.failures[0].error


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "codes.npy", "--jobs", "2"], "--jobs is for many files"),
        (["--out", "out", "--engine", "spark"], "invalid --engine 'spark'"),
        (["--out", "out", "--address", "auto"], "--address is for --engine ray"),
        (["--out", "out", "--window", "8"], "--window"),
        (["--out", "out", "--keep", "key,when"], "no file has a column 'when'"),
        (["--out", "out", "--runtime", "onnx"], "there is no export of this model"),
    ],
)
def test_invalid_options_are_one_sentence(
    words: list[str], message: str, models: Path, inputs: Path, tmp_path: Path
) -> None:
    done = run("encode", str(models / "ae.safetensors"), "--data", "in/*.parquet", *words, cwd=tmp_path)
    assert done.returncode in {1, 2}
    assert message in done.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def mixed(number: int, rows: int = ROWS) -> pyarrow.Table:
    """Columns of any kind, with a mark of a missing value."""
    rng = np.random.default_rng(number)
    return pyarrow.table(
        {
            "key": np.arange(number * rows, (number + 1) * rows),
            "price": np.where(rng.random(rows) < 0.1, -999.0, rng.normal(5, 1, rows).round(2)),
            "rooms": rng.integers(1, 6, rows),
            "region": rng.choice(["north", "south", "n/k"], rows),
            "garden": rng.random(rows) < 0.5,
            "built": rng.integers(0, 9_000, rows).astype("datetime64[D]").astype("datetime64[s]"),
        }
    )


@pytest.mark.thorough
def test_tables_of_any_kind_agree_with_the_verb_for_one_file(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    parts = [mixed(number) for number in range(FILES)]
    for number, part in enumerate(parts):
        pyarrow.parquet.write_table(part, tmp_path / f"in/part-{number}.parquet")
    pyarrow.parquet.write_table(pyarrow.concat_tables(parts), tmp_path / "whole.parquet")
    told = ["--id", "key", "--na-values", "-999", "--na-values", "n/k"]
    words = ["epochs=1", "architecture.hidden=4", "missing=allow"]
    assert run("train", *words, "--data", "whole.parquet", *told, "--out", "run", cwd=tmp_path).returncode == 0
    done = run("reconstruct", "run", "--data", "whole.parquet", "--out", "made.parquet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert bulk(tmp_path / "run", tmp_path / "in", tmp_path / "out", "reconstruct").complete
    found, expected = union(tmp_path / "out"), pyarrow.parquet.read_table(tmp_path / "made.parquet")
    assert found.drop_columns("row").equals(expected.replace_schema_metadata())
    assert bulk(tmp_path / "run", tmp_path / "in", tmp_path / "scores", "score").complete
    run("score", "run", "--data", "whole.parquet", "--out", "scores.npy", cwd=tmp_path)
    np.testing.assert_array_equal(union(tmp_path / "scores")["score"].to_numpy(), np.load(tmp_path / "scores.npy"))


@pytest.mark.thorough
def test_the_command_says_what_the_threshold_means(models: Path, inputs: Path, tmp_path: Path) -> None:
    pyarrow.parquet.write_table(table(0, 400), tmp_path / "train.parquet")
    words = ["epochs=1", "architecture.hidden=4", "bottleneck.size=2", "missing=allow"]
    assert run("train", *words, "--data", "train.parquet", "--id", "key", "--out", "run", cwd=tmp_path).returncode == 0
    detector = models / "detector.safetensors"
    for model, n in [("run", 20), (str(detector), len(isthmus.load(detector).calibration_scores_))]:
        done = run("detect", model, "--data", "in/*.parquet", "--out", f"found-{n}", "--jobs", "1", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "threshold: a normal example is flagged as anomalous with a probability of at most" in done.stdout
        assert f"calibrated on {n} held-out examples" in done.stdout


@pytest.mark.thorough
def test_the_command_uses_several_processes(models: Path, inputs: Path, tmp_path: Path) -> None:
    words = [
        "encode",
        str(models / "ae.safetensors"),
        "--data",
        "in/*.parquet",
        "--out",
        "out",
        "--keep",
        "key",
        "--jobs",
        "2",
    ]
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{FILES} files, {FILES * ROWS} rows, {FILES} tasks: 2 processes" in done.stdout
    np.testing.assert_array_equal(codes_of(union(tmp_path / "out")), expected_codes(models))
    told = json.loads(run(*words, "--json", cwd=tmp_path).stdout)
    assert (told["skipped"], told["rows_there"], told["failed"]) == (FILES, FILES * ROWS, 0)
    assert f"nothing to do: out has the results of all {FILES * ROWS} rows" in run(*words, cwd=tmp_path).stdout
    (inputs / "part-1.parquet").write_bytes(b"x")
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 1
    assert "no results for part-1.parquet" in done.stderr.splitlines()[-1]


@pytest.mark.promise(31)
@pytest.mark.thorough
def test_the_export_of_the_same_model_is_used(models: Path, inputs: Path, tmp_path: Path) -> None:
    ae = isthmus.load(models / "ae.safetensors")
    ae.save(tmp_path / "ae.safetensors")
    ae.export(tmp_path / "exported", X=table(9, 200).drop_columns("key"))
    words = ["reconstruct", "ae.safetensors", "--data", "in", "--out", "out", "--jobs", "1"]
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "the workers use the export" in done.stdout
    found = union(tmp_path / "out").select(["a", "b", "c"]).to_pandas().to_numpy()
    whole = pyarrow.concat_tables([table(number) for number in range(FILES)]).drop_columns("key")
    np.testing.assert_allclose(found, ae.reconstruct(whole), rtol=1e-4, atol=1e-5)
    done = run(*words, "--runtime", "torch", cwd=tmp_path)
    assert "another runtime" in done.stderr
    ae.partial_fit(table(9, 200).drop_columns("key")).save(tmp_path / "ae.safetensors")
    done = run(*words[:-4], "--out", "other", cwd=tmp_path)
    assert "export" not in done.stdout


@pytest.mark.thorough
def test_python_gives_the_same(models: Path, inputs: Path, tmp_path: Path) -> None:
    result = isthmus.scaleout.run("encode", models / "ae.safetensors", inputs, tmp_path / "out", keep=["key"], jobs=1)
    assert (result.rows, result.complete) == (FILES * ROWS, True)
    np.testing.assert_array_equal(codes_of(union(tmp_path / "out")), expected_codes(models))
    assert result.to_frame()["rows"].tolist() == [FILES * ROWS]


def test_progress_counts_neither_the_start_of_processes_nor_results_that_are_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("isthmus.scaleout.progress.time", SimpleNamespace(monotonic=lambda: now[0]))
    task = Task("p", "f", "npy", 0, 0, "", 0, 1, 0, 1000, "k", "o")
    tasks = {str(number): task for number in range(8)}

    def dones() -> Iterator[Done]:
        yield Done("0", "skipped")
        for number in range(1, 5):
            now[0] += 100 if number == 1 else 6  # seconds
            yield Done(str(number), "done", 1000, 5.0)

    assert len(list(with_progress(dones(), tasks, "score", lines=True))) == 5
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first == "score: 2,000 of 8,000 rows, 200 rows/s, 0:00:30 left"
    assert last == "score: 5,000 of 8,000 rows, 174 rows/s, 0:00:17 left"


@pytest.mark.thorough
def test_a_process_that_cannot_start_is_one_sentence(
    models: Path, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    found = job_of("encode", models / "ae.safetensors", tmp_path / "out", ReadOptions(), runtime="torch")
    with pytest.raises(errors.NotPossibleError, match="a process could not start"):
        finished(prepare(found.job, files_of(inputs, tmp_path / "out")), LocalEngine(2), print, quiet=True)
