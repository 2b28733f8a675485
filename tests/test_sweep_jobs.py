"""Trainings of a sweep side by side: the same results, nothing lost when something dies, and spreads over random states."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from test_cli import run
from victims import weights_hash

from isthmus import Autoencoder, load, sweep
from isthmus.architectures import MLP
from isthmus.data.context_array import ContextArray, attach_context
from isthmus.data.kinds import ImageArray, as_images
from isthmus.errors import (
    DataError,
    DivergenceError,
    DivergenceWarning,
    IsthmusError,
    IsthmusWarning,
    NotPossibleError,
    RecordError,
)
from isthmus.estimators.overrides import parse_values
from isthmus.experiments.run_folder import CHECKPOINT, MODEL
from isthmus.experiments.shared_examples import check_packable, pack, shared_folder, unpack
from isthmus.experiments.sweep_result import Sweep
from isthmus.experiments.trial_workers import News, Task
from isthmus.nn.device import threads as on_threads
from isthmus.optimizers import SGD
from isthmus.training.progress import ProgressBars
from isthmus.training.state import Report

X = np.random.default_rng(0).normal(size=(200, 4)) @ np.random.default_rng(1).normal(size=(4, 16))
SMALL = Autoencoder(architecture=MLP((8,)), epochs=2, random_state=0)
GRID = {"bottleneck__size": [1, 2], "random_state": [0, 1]}


def weights(ae: Autoencoder | None) -> bytes:
    assert ae is not None
    return b"".join(tensor.numpy().tobytes() for tensor in ae.model_.state_dict().values())


def failing(number: int) -> Any:
    """A callback in which one of the trainings fails."""
    begun: list[str] = []

    def watch(reports: Iterator[Report], title: str, n_features: int) -> Iterator[Report]:
        begun.append(title)
        for report in reports:
            if len(begun) == number:
                raise RuntimeError("the net\nis odd")
            yield report

    return watch


# arrays that processes share


def test_shared_arrays_are_equal_and_stored_once(tmp_path: Path) -> None:
    large, small = np.random.default_rng(2).random((300, 40)), np.arange(5)
    np.save(tmp_path / "x.npy", large)
    mapped: Any = np.load(tmp_path / "x.npy", mmap_mode="r")
    images = as_images(large.reshape(300, 8, 5))
    context = attach_context(large, small[:, None].repeat(60, 0).reshape(300, 1))
    with shared_folder(tmp_path) as shared:
        given = {"a": large, "same": large, "small": small, "mapped": mapped[7:], "images": images, "context": context}
        packed = pack(given, shared)
        files = sorted(shared.iterdir())
        found = unpack(packed)
        assert len(files) == 3, "one for the array, one each for its two views, none for what is a file already"
        assert len(packed) < 5000
        for name, values in given.items():
            np.testing.assert_array_equal(np.asarray(found[name]), np.asarray(values), strict=True)
        assert isinstance(found["images"], ImageArray)
        assert isinstance(found["context"], ContextArray)
        np.testing.assert_array_equal(found["context"].context, context.context)  # type: ignore[attr-defined]
        assert isinstance(found["mapped"], np.memmap)
        assert type(found["a"]) is np.ndarray
        found["a"][:] = 0  # nobody changes the examples of others
        np.testing.assert_array_equal(unpack(packed)["a"], large)
        np.save(tmp_path / "other.npy", large + 1)
        (tmp_path / "other.npy").replace(tmp_path / "x.npy")  # the path now holds something else
        np.testing.assert_array_equal(unpack(pack(mapped[7:], shared)), large[7:])
    assert not shared.exists()


def test_what_a_killed_sweep_left_is_removed(tmp_path: Path) -> None:
    with shared_folder(tmp_path) as shared:
        name = shared.name
    (tmp_path / name).mkdir()
    (tmp_path / name / "0.npy").write_text("old")
    with shared_folder(tmp_path) as shared:
        assert not list(shared.iterdir())


def test_components_that_cannot_be_sent_are_an_error_that_says_what_to_do() -> None:
    class Local:
        pass

    with pytest.raises(NotPossibleError, match="define its components in a module, or leave out jobs"):
        check_packable([Local()])


def test_invalid_ways_to_train_are_errors_before_anything_is_written(tmp_path: Path) -> None:
    for wrong, words in (
        ({"jobs": 0}, "invalid jobs=0"),
        ({"jobs": True}, "invalid jobs=True"),
        ({"engine": "slurm"}, "expected local or ray"),
        ({"address": "auto"}, "give engine='ray'"),
    ):
        with pytest.raises(RecordError, match=words):
            sweep(SMALL, X, GRID, folder=tmp_path / "s", **wrong)  # type: ignore[arg-type]
    assert not (tmp_path / "s").exists()


# failed trainings


@pytest.fixture(scope="module")
def with_failure(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sweep, Path]:
    """A sweep whose second training failed."""
    folder = tmp_path_factory.mktemp("failed")
    with pytest.warns(IsthmusWarning, match="failed: RuntimeError: the net"):
        return sweep(SMALL, X, GRID, folder=folder, watch=failing(2)), folder


def test_a_failed_training_is_a_row_and_is_not_recommended(with_failure: tuple[Sweep, Path]) -> None:
    found, _ = with_failure
    reason = "failed: RuntimeError: the net\\nis odd"
    assert [each.status for each in found.trials] == ["done", reason, "done", "done"]
    header, rows = found.table()
    assert header[-1] == "status"
    assert [row[-1] for row in rows] == ["1 of 2 failed", "done"]
    assert "±" not in rows[0][1], "a spread of one"
    assert rows[1][1].endswith("(2)")
    assert found.values == {"bottleneck.size": 2}
    assert "failed: 1, random_state=1: RuntimeError: the net\\nis odd" in found.sentences()
    assert any(line.startswith("1 of 4 trainings failed") for line in found.sentences())
    assert found.to_frame()["failed"].tolist() == ["", reason.removeprefix("failed: "), "", ""]
    assert [line.split(",")[2] for line in found.csv().splitlines()] == ["status", "done", reason, "done", "done"]
    assert found.to_dict()["trainings"][1]["failed"] == reason.removeprefix("failed: ")


def test_the_same_call_trains_what_failed(with_failure: tuple[Sweep, Path]) -> None:
    first, folder = with_failure
    again = sweep(SMALL, X, GRID, folder=folder)
    assert [each.new for each in again.trials] == [False, True, False, False]
    assert {each.status for each in again.trials} == {"done"}
    assert "status" not in again.table()[0]
    alone = sweep(SMALL, X, {"bottleneck__size": [1], "random_state": [1]})
    assert weights(alone.autoencoder) == weights(again.trials[1].autoencoder)
    assert weights(first.trials[0].autoencoder) == weights(again.trials[0].autoencoder)


def test_a_failed_random_state_of_the_only_setting_leaves_the_results_of_the_others(tmp_path: Path) -> None:
    grid = {"bottleneck__size": [2], "random_state": [0, 1, 2]}
    with pytest.warns(IsthmusWarning, match="failed: RuntimeError: the net"):
        found = sweep(SMALL, X, grid, folder=tmp_path, test=X[:20], watch=failing(2))
    known = found.figures("column_error")[0, [0, 2]]
    header, (row,) = found.table()
    assert row[1] == f"{np.mean(known):.4g} ± {np.std(known, ddof=1):.4g} (2)"
    assert row[header.index("status")] == "1 of 3 failed"
    assert found.values == {"bottleneck.size": 2}
    assert "each combination of values has a training without a result, which does not count" in found.sentences()[0]
    assert not any("are not recommended" in line for line in found.sentences())
    assert found.best is found.trials[int(np.argmin(known)) * 2]
    assert len((tmp_path / "sweep.csv").read_text().splitlines()) == 4
    assert (tmp_path / "sweep.png").exists()


def test_a_sweep_in_which_everything_failed_is_an_error() -> None:
    def watch(reports: Iterator[Report], title: str, n_features: int) -> Iterator[Report]:
        raise RuntimeError("no")

    with (
        pytest.warns(IsthmusWarning),
        pytest.raises(IsthmusError, match="every training of the sweep failed; the first one: RuntimeError: no"),
    ):
        sweep(SMALL, X, GRID, watch=watch)


def test_a_training_that_diverged_is_not_taken_for_one_with_other_parameters(tmp_path: Path) -> None:
    def diverging(rate: float) -> Sweep:
        ae = clone(SMALL).set_params(optimizer=SGD(rate))
        return sweep(ae, X, {"bottleneck__size": [2, 3]}, folder=tmp_path)

    with pytest.warns(DivergenceWarning), pytest.raises(DivergenceError, match="every training diverged"):
        diverging(1e6)
    with pytest.raises(DivergenceError, match="every training diverged"):
        diverging(1e6)  # read from its folder, without a warning
    with pytest.raises(DataError, match="size-2 holds a training that diverged, with other parameters: choose another"):
        diverging(1e-3)


def test_a_result_that_is_gone_is_a_row_and_not_trained_again_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(_: bytes, tasks: list[Task], jobs: int) -> Iterator[News]:
        yield from (News(task.number, ended=True) for task in tasks)

    monkeypatch.setattr("isthmus.experiments.side_by_side.in_processes", ended)
    with (
        pytest.warns(IsthmusWarning),
        pytest.raises(IsthmusError, match=r"every training of the sweep failed.*its folder does not hold its result"),
    ):
        sweep(SMALL, X, GRID, folder=tmp_path, jobs=2)
    assert not list(tmp_path.glob("size-*"))


def test_long_values_that_differ_at_their_end_have_two_folders(tmp_path: Path) -> None:
    nets = [(2,) * 70 + (last,) for last in (3, 4)]
    found = sweep(clone(SMALL).set_params(epochs=1), X, {"architecture__hidden": nets}, folder=tmp_path)
    assert len({each.folder for each in found.trials}) == 2
    assert all(len(each.folder) <= 120 for each in found.trials)
    assert [load(tmp_path / each.folder).architecture.hidden for each in found.trials] == nets


def test_values_that_are_written_alike_are_an_error() -> None:
    with pytest.raises(RecordError, match=r"written alike.*0\.1.*0\.10000000000000002.*leave one of them out"):
        sweep(SMALL, X, {"bottleneck__size": [2], "optimizer__lr": [0.1, np.nextafter(0.1, 1)]})


# random states


@pytest.mark.parametrize(
    ("path", "text", "values"),
    [
        ("random_state", "0..9", list(range(10))),
        ("bottleneck.size", "8..10,16", [8, 9, 10, 16]),
        ("architecture.hidden", "[64]|8..9", [(64,), 8, 9]),
        ("bottleneck.beta", "-1..1", [-1, 0, 1]),
        ("bottleneck.beta", "1.5", [1.5]),
    ],
)
def test_a_range_is_its_whole_numbers(path: str, text: str, values: list[Any]) -> None:
    assert parse_values(path, text) == values


def test_a_range_without_values_or_with_too_many_is_an_error() -> None:
    for text in ("9..0", "0..99999999"):
        with pytest.raises(RecordError, match=r"invalid range random_state=.*such as 0\.\.9"):
            parse_values("random_state", text)


def test_random_states_of_one_setting_have_mean_and_standard_deviation(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "x.csv", X, delimiter=",")
    words = ("sweep", "epochs=1", "architecture.hidden=4", "bottleneck.size=2", "random_state=0..2", "-d", "x.csv")
    done = run(*words, "--out", "s", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    header, *lines = (line.split(",") for line in (tmp_path / "s/sweep.csv").read_text().splitlines())
    errors = [float(line[header.index("column_error")]) for line in lines]
    assert f"{np.mean(errors):.4g} ± {np.std(errors, ddof=1):.4g} (3)" in done.stdout


# progress


def test_each_of_several_trainings_has_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    given = {title: list(clone(SMALL).iter_fit(X)) for title in ("first", "second")}
    bars = ProgressBars()
    shown = {title: bars(iter(reports), title, 16) for title, reports in given.items()}
    seen = [list(pair) for pair in zip(*shown.values(), strict=True)]
    assert seen == [list(pair) for pair in zip(*given.values(), strict=True)]
    assert bars.running == 0
    said = capsys.readouterr().err
    assert "first" in said
    assert "second" in said


# worker processes


def test_the_table_names_the_threads_where_trainings_differ_in_them(with_failure: tuple[Sweep, Path]) -> None:
    found, _ = with_failure
    assert "threads" not in found.table()[0]
    other = replace(found, trials=(*found.trials[:3], replace(found.trials[3], threads=7)))
    header, rows = other.table()
    used = str(found.trials[0].threads)
    assert [row[header.index("threads")] for row in rows] == [used, f"{used}, 7"]


class Watched:
    """Kills the first worker process that reports, and notes which reports there were."""

    def __init__(self, number: int = 0) -> None:
        self.number, self.titles, self.killed = number, list[str](), False

    def __call__(self, reports: Iterator[Report], title: str, n_features: int) -> Iterator[Report]:
        for report in reports:
            self.titles.append(title)
            if self.number and not self.killed:
                self.killed = True
                os.kill(multiprocessing.active_children()[0].pid or 0, self.number)
            yield report


@pytest.mark.thorough
def test_side_by_side_is_one_after_the_other_on_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # of the worker processes, which use one thread nevertheless
    with on_threads(1):
        one = sweep(SMALL, X, GRID)
    watched = Watched()
    two = sweep(SMALL, X, GRID, jobs=2, watch=watched)
    assert [weights(t.autoencoder) for t in one.trials] == [weights(t.autoencoder) for t in two.trials]
    assert (one.errors == two.errors).all()
    assert {t.threads for t in two.trials} == {1}
    assert {t.folder for t in two.trials} == {""}
    assert len(set(watched.titles)) == 4
    mapped = tmp_path / "x.npy"
    np.save(mapped, X)
    given: dict[str, Any] = {"validation_data": (X[:30], np.ones(30)), "sample_weight": np.arange(200.0)}
    with on_threads(1):
        one = sweep(SMALL, np.load(mapped, mmap_mode="r"), {"bottleneck__size": [1]}, **given)
    two = sweep(SMALL, np.load(mapped, mmap_mode="r"), {"bottleneck__size": [1]}, jobs=1, **given)
    assert weights(one.autoencoder) == weights(two.autoencoder)


@pytest.mark.thorough
def test_a_killed_worker_is_a_row_and_the_same_call_trains_it_again(tmp_path: Path) -> None:
    with pytest.warns(IsthmusWarning, match=r"failed: the process was killed \(signal 9\), perhaps for lack of memory"):
        found = sweep(SMALL, X, GRID, jobs=2, folder=tmp_path / "s", watch=Watched(signal.SIGKILL))
    assert sorted(each.status[:6] for each in found.trials) == ["done", "done", "done", "failed"]
    again = sweep(SMALL, X, GRID, jobs=2, folder=tmp_path / "s")
    assert [each.new for each in again.trials] == [bool(each.failed) for each in found.trials]
    with on_threads(1):
        whole = sweep(SMALL, X, GRID)
    assert [weights(t.autoencoder) for t in again.trials] == [weights(t.autoencoder) for t in whole.trials]
    assert not [path for path in (tmp_path / "s").iterdir() if path.name.startswith(".")]


@pytest.mark.thorough
def test_a_worker_without_memory_is_a_row_and_the_exit_code_says_so(tmp_path: Path) -> None:
    grid = "architecture.hidden=8|2000000,2000000"
    words = ("sweep", grid, "bottleneck.size=2", "epochs=1", "-d", "digits", "--out", "s", "--jobs", "2")
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 1, done.stdout
    assert "2000000,2000000" in done.stdout
    assert "1 of 2 trainings failed" in done.stdout
    assert "failed: there is not enough memory" in (tmp_path / "s/sweep.csv").read_text()
    assert "* recommended: architecture.hidden=8" in done.stdout


COMMAND = "import sys; from isthmus.cli import main; sys.argv[0] = 'isthmus'; main()"
LONG = ("sweep", "denoising", "--data", "digits", "epochs=150", "architecture.hidden=16", "bottleneck.size=2,3")


def begun(cwd: Path, *words: str) -> subprocess.Popen[str]:
    """The sweep in a process group of its own, which hears Ctrl-C."""
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *LONG, *words], cwd=cwd, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
        text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def stopped(process: subprocess.Popen[str], number: int, group: bool, epochs: int) -> list[str]:
    """Sends the signal when both trainings have done some more epochs; all lines on standard error."""
    lines, counts = list[str](), {"1 of 2": 0, "2 of 2": 0}
    assert process.stderr is not None
    while line := process.stderr.readline():
        lines.append(line.strip())
        if ": epoch " in line:
            counts[line[:6]] += 1
        if min(counts.values()) >= epochs:
            (os.killpg if group else os.kill)(process.pid, number)
            break
    lines += process.stderr.read().splitlines()
    process.wait(60)
    process.stderr.close()
    return lines


@pytest.mark.promise(11)
@pytest.mark.thorough
def test_a_stopped_or_killed_sweep_loses_nothing(tmp_path: Path) -> None:
    folders = [tmp_path / f"s/size-{size}" for size in (2, 3)]
    for number, group, code in ((signal.SIGINT, True, 130), (signal.SIGTERM, False, 143)):
        process = begun(tmp_path, "--out", "s", "--jobs", "2")
        said = stopped(process, number, group, 3)
        assert (process.returncode, said[-1]) == (
            code,
            "isthmus: stopped: the trained runs are in s; the same command resumes",
        ), said
        assert all((folder / CHECKPOINT).exists() for folder in folders)
    before = {folder: load(folder / CHECKPOINT).history_[-1].epoch for folder in folders}
    assert min(before.values()) >= 6, "the second one resumed"
    process = begun(tmp_path, "--out", "s", "--jobs", "2")
    stopped(process, signal.SIGKILL, False, 5)
    assert process.returncode == -signal.SIGKILL
    last = begun(tmp_path, "--out", "s", "--jobs", "2")
    said = last.communicate(timeout=300)[1].splitlines()
    assert last.returncode == 0, said
    assert not [line for line in said if "epoch 1," in line]
    other = begun(tmp_path, "--out", "one")
    assert other.communicate(timeout=300)[1]
    for size in (2, 3):
        assert weights_hash(tmp_path / f"s/size-{size}" / MODEL) == weights_hash(tmp_path / f"one/size-{size}" / MODEL)
    assert not [path for path in (tmp_path / "s").iterdir() if path.name.startswith(".")]


@pytest.mark.thorough
def test_a_script_without_a_main_guard_gets_a_sentence(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import numpy as np, isthmus\n"
        "X = np.random.default_rng(0).random((50, 4))\n"
        "isthmus.sweep(isthmus.Autoencoder(epochs=1), X, {'bottleneck__size': [1, 2]}, jobs=2)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert "a worker process could not start" in done.stderr.splitlines()[-1]
    assert "__name__ == '__main__'" in done.stderr.splitlines()[-1]


# Ray


@pytest.mark.thorough
@pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: pip install 'isthmus[ray]'")
def test_ray_trains_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with on_threads(1):
        one = sweep(SMALL, X, GRID)
    two = sweep(SMALL, X, GRID, engine="ray", jobs=2)
    assert [weights(t.autoencoder) for t in one.trials] == [weights(t.autoencoder) for t in two.trials]
    assert {t.threads for t in two.trials} == {1}


def kill_a_task() -> None:
    """Kills the first process that trains as a task of Ray."""
    for _ in range(600):
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if path.read_text().startswith("ray::_train"):
                    os.kill(int(path.parent.name), signal.SIGKILL)
                    return
        time.sleep(0.1)


@pytest.mark.thorough
@pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: pip install 'isthmus[ray]'")
def test_a_killed_task_of_ray_is_a_row_and_the_same_call_trains_it_again(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    long = clone(SMALL).set_params(epochs=400)
    killer = threading.Thread(target=kill_a_task)
    killer.start()
    with pytest.warns(IsthmusWarning, match="failed: the process was killed, perhaps for lack of memory"):
        found = sweep(long, X, {"bottleneck__size": [1, 2]}, engine="ray", jobs=2, folder=tmp_path / "s")
    killer.join()
    assert sorted(each.status[:6] for each in found.trials) == ["done", "failed"]
    again = sweep(long, X, {"bottleneck__size": [1, 2]}, jobs=1, folder=tmp_path / "s")
    assert [each.new for each in again.trials] == [bool(each.failed) for each in found.trials]
    assert signal.getsignal(signal.SIGTERM) is before


def test_without_ray_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.experiments.ray_trials.find_spec", lambda _: None)
    with pytest.raises(NotPossibleError, match=r"pip install 'isthmus\[ray\]'"):
        sweep(SMALL, X, GRID, engine="ray")
