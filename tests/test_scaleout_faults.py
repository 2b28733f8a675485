"""Faults while many files are read: each row is in the results once, or a sentence names it."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from test_cli import run
from test_scaleout import FILES, ROWS, Here, bulk, codes_of, expected_codes, table, union
from test_scaleout import inputs as inputs  # a fixture
from test_scaleout import models as models  # a fixture

import isthmus
from isthmus import errors
from isthmus.data.options import ReadOptions
from isthmus.io.atomic import lock_folder, remove_leftovers, temporary_file
from isthmus.io.memory_limit import get_memory_limit, set_memory_limit
from isthmus.scaleout.driver import Bulk, files_of, finished, prepare
from isthmus.scaleout.job import Job, Verb
from isthmus.scaleout.local import LocalEngine
from isthmus.scaleout.opening import job_of
from isthmus.scaleout.tasks import Task
from isthmus.scaleout.work import Done
from isthmus.scaleout.worker import Opening, opening_of


def test_a_memory_limit_is_that_of_the_workers_too(models: Path, inputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan = prepare(
        job_of("encode", models / "ae.safetensors", out, ReadOptions(), runtime="torch").job, files_of(inputs, out)
    )
    try:
        set_memory_limit(40)  # bytes: less than a row
        text = opening_of(plan.job, plan.base)
        set_memory_limit(None)
        Opening(text)
        assert get_memory_limit() == 40
        result = finished(plan, Here(), print, quiet=True)
        assert {failure.error.partition(" of memory")[0] for failure in result.failures} == {
            f"one row of part-{number}.parquet would take about 96 bytes" for number in range(FILES)
        }
        set_memory_limit("100kB")
        assert finished(plan, Here(), print, quiet=True).complete
    finally:
        set_memory_limit(None)
    np.testing.assert_array_equal(codes_of(union(out)), expected_codes(models))


@pytest.mark.thorough
def test_a_memory_limit_holds_in_processes(models: Path, inputs: Path, tmp_path: Path) -> None:
    plan = prepare(
        job_of("encode", models / "ae.safetensors", tmp_path / "out", ReadOptions(), runtime="torch").job,
        files_of(inputs, tmp_path / "out"),
    )
    set_memory_limit(40)
    try:
        result = finished(plan, LocalEngine(1), print, quiet=True)
    finally:
        set_memory_limit(None)
    assert len(result.failures) == FILES
    assert "40 bytes are allowed" in result.failures[0].error


def plan_of(model: Path, inputs: Path, out: Path, verb: Verb = "encode") -> Bulk:
    return prepare(job_of(verb, model, out, ReadOptions(), runtime="torch").job, files_of(inputs, out))


class Between(Here):
    """Does something after the first task has ended."""

    def __init__(self, action: Callable[[], object]) -> None:
        self._action = action

    def results(self, job: Job, tasks: Sequence[Task], base: str) -> Iterator[Done]:
        for number, done in enumerate(super().results(job, tasks, base)):
            yield done
            if number == 0:
                self._action()


def keys_of(*numbers: int) -> list[str]:
    return [key for number in numbers for key in table(number)["key"].to_pylist()]


@pytest.mark.promise(30)
@pytest.mark.parametrize("case", ["replaced", "removed"])
def test_a_file_that_is_replaced_or_removed_while_others_are_read_is_named(
    case: str, models: Path, inputs: Path, tmp_path: Path
) -> None:
    out, target = tmp_path / "out", inputs / "part-2.parquet"
    actions = {"replaced": lambda: pyarrow.parquet.write_table(table(5), target), "removed": target.unlink}
    result = finished(plan_of(models / "ae.safetensors", inputs, out), Between(actions[case]), print, quiet=True)
    assert [failure.where for failure in result.failures] == [f"part-2.parquet, rows 0 to {ROWS - 1}"]
    said = "has changed since the work began" if case == "replaced" else "there is no file"
    assert said in result.failures[0].error
    assert sorted(path.name[:6] for path in out.iterdir()) == ["part-0", "part-1"]
    if case == "replaced":
        assert bulk(models / "ae.safetensors", inputs, out).complete
        assert len(union(out)) == FILES * ROWS


@pytest.mark.promise(30)
def test_a_file_that_is_replaced_after_its_result_is_read_again(models: Path, inputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    engine = Between(lambda: pyarrow.parquet.write_table(table(5), inputs / "part-0.parquet"))
    found = job_of("encode", models / "ae.safetensors", out, ReadOptions(), runtime="torch", keep=["key"])
    assert finished(prepare(found.job, files_of(inputs, out)), engine, print, quiet=True).complete
    assert union(out)["key"].to_pylist() == keys_of(0, 1, 2)
    notes = list[str]()
    again = bulk(models / "ae.safetensors", inputs, out, keep=["key"], notes=notes)
    assert (again.done, again.skipped) == (1, FILES - 1)
    assert any("results of files that have changed since" in note for note in notes)
    assert union(out)["key"].to_pylist() == keys_of(5, 1, 2)


@pytest.mark.promise(30)
def test_a_model_that_is_replaced_after_the_plan_has_no_results(models: Path, inputs: Path, tmp_path: Path) -> None:
    model, out = tmp_path / "ae.safetensors", tmp_path / "out"
    shutil.copy(models / "ae.safetensors", model)
    plan = plan_of(model, inputs, out)
    isthmus.load(model).partial_fit(table(9, 200).drop_columns("key")).save(model)
    result = finished(plan, Here(), print, quiet=True)
    assert len(result.failures) == FILES
    assert f"{model} has changed since the work began" in result.failures[0].error
    assert not list(out.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="the system has no limit of file sizes")
@pytest.mark.promise(30)
def test_a_full_disk_leaves_no_part_of_a_result(models: Path, inputs: Path, tmp_path: Path) -> None:
    import resource

    model, out = models / "ae.safetensors", tmp_path / "out"
    plan, before = plan_of(model, inputs, out), resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # bytes
    try:
        result = finished(plan, Here(), print, quiet=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert len(result.failures) == FILES
    assert result.failures[0].error.startswith(f"{out}/part-0-00000-")
    assert result.failures[0].error.endswith(
        "cannot be written (File too large): make room, and run the same command again"
    )
    assert not list(out.iterdir())
    assert bulk(model, inputs, out).complete
    np.testing.assert_array_equal(codes_of(union(out)), expected_codes(models))


def test_a_folder_that_cannot_be_written_is_an_error_before_the_work(
    models: Path, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(**given: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(given["dir"]))

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("tempfile.TemporaryFile", read_only)  # root writes into any folder
        with pytest.raises(OSError, match=r"Read-only file system: .*out'"):
            finished(plan_of(models / "ae.safetensors", inputs, out), Between(pytest.fail), print, quiet=True)
        assert not list(out.iterdir())
    bulk(models / "ae.safetensors", inputs, out)
    monkeypatch.setattr("tempfile.TemporaryFile", read_only)
    assert bulk(models / "ae.safetensors", inputs, out).skipped == FILES  # there is nothing to write


def test_a_folder_for_results_that_cannot_be_made_is_an_error_before_the_work(models: Path, inputs: Path) -> None:
    (inputs.parent / "file").write_text("")
    with pytest.raises(OSError, match=r"file"):
        bulk(models / "ae.safetensors", inputs, inputs.parent / "file/out")


def test_two_models_do_not_write_into_one_folder(models: Path, inputs: Path, tmp_path: Path) -> None:
    model, out, seen = tmp_path / "other.safetensors", tmp_path / "out", list[str]()
    isthmus.load(models / "ae.safetensors").partial_fit(table(9, 200).drop_columns("key")).save(model)

    def other() -> None:
        with pytest.raises(errors.FolderInUseError):
            bulk(model, inputs, out)
        seen.append("while the first one works")

    assert finished(plan_of(models / "ae.safetensors", inputs, out), Between(other), print, quiet=True).complete
    assert seen
    with pytest.raises(errors.DataError, match="is the result of another model: choose another folder for --out"):
        bulk(model, inputs, out)
    np.testing.assert_array_equal(codes_of(union(out)), expected_codes(models))


def test_a_link_to_a_folder_is_a_sentence(models: Path, inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(inputs)
    with pytest.raises(errors.DataError, match="link is a symbolic link: give the path that it stands for"):
        bulk(models / "ae.safetensors", tmp_path / "link", tmp_path / "out")
    through = bulk(models / "ae.safetensors", str(tmp_path / "link/*.parquet"), tmp_path / "out")
    assert (through.rows, through.complete) == (FILES * ROWS, True)
    again = bulk(models / "ae.safetensors", inputs, tmp_path / "out")  # the same files, at another path
    assert (again.skipped, again.rows) == (FILES, 0)


def test_names_that_are_not_utf8_are_read(models: Path, inputs: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff odd\n.parquet")
    try:
        os.rename(inputs / "part-1.parquet", inputs / name)
    except OSError:
        pytest.skip("the file system allows no such name")
    for done in (FILES, 0):
        result = bulk(models / "ae.safetensors", inputs, tmp_path / "out", keep=["key"])
        assert (result.done, result.complete) == (done, True)
    assert sorted(union(tmp_path / "out")["key"].to_pylist()) == sorted(keys_of(0, 1, 2))


@pytest.mark.promise(26)
@pytest.mark.parametrize("classes", [["x", "y"], [False, True]])
def test_a_conditional_model_takes_the_labels_of_each_file(classes: list[Any], inputs: Path, tmp_path: Path) -> None:
    X = table(9, 200).drop_columns(["key", "c"])
    labels = np.random.default_rng(0).choice(classes, 200)
    net = isthmus.architectures.Conditional(isthmus.architectures.MLP([4]))
    ae = isthmus.Autoencoder(2, architecture=net, epochs=1, random_state=0).fit(X, labels)
    ae.save(tmp_path / "ae.safetensors")
    given = list[Any]()
    for number in range(FILES):
        part = table(number).drop_columns("c")
        words = np.random.default_rng(number).choice(classes, ROWS)
        pyarrow.parquet.write_table(part.append_column("word", [words.tolist()]), inputs / f"part-{number}.parquet")
        given.append((part.drop_columns("key"), words))
    options = ReadOptions(labels="word")
    found = job_of("encode", tmp_path / "ae.safetensors", tmp_path / "out", options, runtime="torch")
    assert finished(prepare(found.job, files_of(inputs, tmp_path / "out")), Here(), print, quiet=True).complete
    expected = np.concatenate([ae.encode(part, words) for part, words in given])
    np.testing.assert_array_equal(codes_of(union(tmp_path / "out")), expected)


@pytest.mark.promise(26)
@pytest.mark.parametrize("classes", [["01", "10"], [1, 10]])
def test_labels_in_the_names_of_folders_have_the_type_of_the_classes(classes: list[Any], tmp_path: Path) -> None:
    X = table(9, 200).drop_columns(["key", "c"])
    net = isthmus.architectures.Conditional(isthmus.architectures.MLP([4]))
    ae = isthmus.Autoencoder(2, architecture=net, epochs=1, random_state=0).fit(X, np.array(classes * 100))
    ae.save(tmp_path / "ae.safetensors")
    part = table(0).drop_columns(["key", "c"])
    (tmp_path / "in/site=10").mkdir(parents=True)
    pyarrow.parquet.write_table(part, tmp_path / "in/site=10/part.parquet")
    for more in ([], ["01", "north"]):  # other folders change nothing for this one
        for name in more:
            (tmp_path / f"in/site={name}").mkdir()
            pyarrow.parquet.write_table(part, tmp_path / f"in/site={name}/part.parquet")
        out = tmp_path / f"out{len(more)}"
        found = job_of("encode", tmp_path / "ae.safetensors", out, ReadOptions(labels="site"), runtime="torch")
        result = finished(prepare(found.job, files_of(tmp_path / "in", out)), Here(), print, quiet=True)
        assert [failure.where.partition("/")[0] for failure in result.failures] == [f"site={name}" for name in more[1:]]
        made = pyarrow.parquet.read_table(next(out.glob("site=10-*")))
        np.testing.assert_array_equal(codes_of(made), ae.encode(part, [classes[1]] * ROWS))


@pytest.mark.promise(30)
def test_results_of_processes_that_ended_before_they_said_so_are_counted(
    models: Path, inputs: Path, tmp_path: Path
) -> None:
    class Killed(Here):
        """A process that writes its result and is killed; another one does its task again, and finds the result."""

        def results(self, job: Job, tasks: Sequence[Task], base: str) -> Iterator[Done]:
            assert [done.state for done in super().results(job, tasks[:2], base)] == ["done", "done"]
            yield from super().results(job, tasks, base)

    result = finished(plan_of(models / "ae.safetensors", inputs, tmp_path / "out"), Killed(), print, quiet=True)
    assert (result.done, result.skipped) == (FILES, 0)
    assert (result.rows, result.rows_there) == (FILES * ROWS, 0)
    assert bulk(models / "ae.safetensors", inputs, tmp_path / "out").rows_there == FILES * ROWS


@pytest.mark.promise(30)
def test_detectors_of_two_commands_in_one_folder_are_apart(models: Path, tmp_path: Path) -> None:
    save = isthmus.load(models / "detector.safetensors").save
    with temporary_file(tmp_path, save) as first:
        with temporary_file(tmp_path, save) as second:
            remove_leftovers(tmp_path)
            assert sorted(tmp_path.iterdir()) == sorted([first, second])
        assert list(tmp_path.iterdir()) == [first]
        content = first.read_bytes()
    assert list(tmp_path.iterdir()) == []
    first.write_bytes(content)  # as a killed process leaves it
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_detector_that_another_process_removes_is_written_again(tmp_path: Path) -> None:
    def save(path: Path) -> None:
        saved.append(path)
        if len(saved) > 1:
            path.write_bytes(b"detector")

    saved = list[Path]()
    with temporary_file(tmp_path, save) as path:
        assert (path.read_bytes(), len(saved)) == (b"detector", 2)


@pytest.mark.promise(30)
def test_a_model_that_cannot_be_opened_is_tried_again_in_the_next_run(
    models: Path, inputs: Path, tmp_path: Path
) -> None:
    """Processes of Ray serve the runs of several commands, and keep what they opened for the same text."""
    model = tmp_path / "ae.safetensors"
    content = (models / "ae.safetensors").read_bytes()
    model.write_bytes(content)
    job = plan_of(model, inputs, tmp_path / "out").job
    model.write_bytes(content[:-1])
    kept = lru_cache(maxsize=1)(Opening)
    text = opening_of(job, "")
    raised = list[errors.IsthmusError]()
    for _ in range(2):
        with pytest.raises(errors.IsthmusError, match=r"ae\.safetensors") as caught:
            _ = kept(text).computation
        raised.append(caught.value)
    assert raised[0] is not raised[1]  # each has the frames of its own task alone
    model.write_bytes(content)
    assert kept(opening_of(job, "")).computation.names == ("code_0", "code_1")


@pytest.mark.thorough
@pytest.mark.promise(30)
def test_a_second_detect_leaves_the_folder_of_the_first_as_it_is(models: Path, inputs: Path, tmp_path: Path) -> None:
    with lock_folder(tmp_path / "out"):
        (tmp_path / "out/.detector.safetensors").write_bytes(b"of the first")
        pyarrow.parquet.write_table(table(9, 200), tmp_path / "normal.parquet")
        words = ["--data", str(inputs), "--normal", "normal.parquet", "--out", "out", "--jobs", "1"]
        done = run("detect", str(models / "ae.safetensors"), *words, cwd=tmp_path)
        assert "another process is writing into" in done.stderr
        assert [path.read_bytes() for path in (tmp_path / "out").iterdir()] == [b"of the first"]


class Backwards:
    """All tasks fail, the last one first."""

    described = "backwards"

    def results(self, _job: Job, tasks: Sequence[Task], _base: str) -> Iterator[Done]:
        for task in reversed(tasks):
            yield Done(task.key, "failed", error=f"{task.name} failed")


def test_failures_are_listed_in_the_order_of_the_files(models: Path, inputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan = prepare(job_of("encode", models / "ae.safetensors", out, ReadOptions()).job, files_of(inputs, out))
    result = finished(plan, Backwards(), print, quiet=True)
    assert [failure.error for failure in result.failures] == [f"part-{n}.parquet failed" for n in range(FILES)]
