"""Kills: of the driver, of a process that works, with Ctrl-C. After the same command again no row is lost and none is there twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.dataset
import pyarrow.parquet
import pytest
from test_signals import heeding

import isthmus
import isthmus.runtime
from isthmus.io.terminal import print_lines

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="it finds processes in /proc"),
]

FILES, ROWS = 24, 30_000


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of Parquet files, and an export that scores them."""
    folder, rng = tmp_path_factory.mktemp("killed"), np.random.default_rng(0)
    (folder / "in").mkdir()
    X = rng.normal(size=(FILES * ROWS, 4)).astype(np.float32)
    names = ["a", "b", "c", "d"]
    for number, part in enumerate(np.split(X, FILES)):
        columns = {"key": np.arange(number * ROWS, (number + 1) * ROWS)} | dict(zip(names, part.T, strict=True))
        pyarrow.parquet.write_table(pyarrow.table(columns), folder / f"in/part-{number:02d}.parquet")
    train = pyarrow.table(dict(zip(names, X[:200].T, strict=True)))
    ae = isthmus.Autoencoder(2, architecture=isthmus.architectures.MLP([4]), epochs=1, random_state=0).fit(train)
    ae.export(folder / "exported", parts=["score"], X=train)
    np.save(folder / "expected.npy", isthmus.runtime.load(folder / "exported").score_samples(X))
    return folder


def command(out: str, *more: str) -> list[str]:
    words = ["score", "exported", "--data", "in/*.parquet", "--out", out, "--keep", "key", "--jobs", "2", *more]
    return [sys.executable, "-m", "isthmus", *words]


def started(work: Path, out: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(out), cwd=work, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heeding
    )


def children(pid: int) -> list[int]:
    """The processes that a process started."""
    found = list[int]()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def counted(work: Path, out: str) -> tuple[int, int]:
    """The rows that are lost and those that are there twice; what is there is right to the last bit, whenever it is looked at."""
    files = sorted((work / out).glob("*.parquet"))
    if not files:
        return FILES * ROWS, 0
    found = pyarrow.dataset.dataset(files).to_table()
    keys = found["key"].to_numpy()
    np.testing.assert_array_equal(found["score"].to_numpy(), np.load(work / "expected.npy")[keys])
    doubled = sum(count - 1 for count in Counter(keys.tolist()).values())
    return FILES * ROWS - len(set(keys.tolist())), doubled


def wait_for(work: Path, out: str, count: int, process: subprocess.Popen[str]) -> None:
    """Until so many results are there."""
    while len(list((work / out).glob("*.parquet"))) < count and process.poll() is None:
        time.sleep(0.005)


def finish(work: Path, out: str) -> str:
    done = subprocess.run(command(out), cwd=work, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.promise(30)
def test_no_row_is_lost_or_doubled_when_the_driver_is_killed(work: Path) -> None:
    rng, kills = np.random.default_rng(), 0
    for _ in range(7):
        process = started(work, "driver")
        there = len(list((work / "driver").glob("*.parquet")))
        wait_for(work, "driver", there + int(rng.integers(0, 4)), process)
        time.sleep(rng.uniform(0, 0.1))
        workers = children(process.pid)
        kills += process.poll() is None
        process.kill()
        process.communicate()
        deadline = time.monotonic() + 10
        while any(Path(f"/proc/{pid}").exists() for pid in workers):  # they end by themselves
            assert time.monotonic() < deadline
            time.sleep(0.01)
        _, doubled = counted(work, "driver")
        assert doubled == 0
    finish(work, "driver")
    lost, doubled = counted(work, "driver")
    print_lines(f"driver killed {kills} times: {lost} rows lost, {doubled} doubled of {FILES * ROWS:,}")
    assert kills >= 2
    assert (lost, doubled) == (0, 0)
    assert not [path for path in (work / "driver").iterdir() if path.suffix != ".parquet"]


@pytest.mark.promise(30)
def test_a_process_that_is_killed_is_replaced(work: Path) -> None:
    process, kills = started(work, "worker"), 0
    while process.poll() is None and kills < 5:
        wait_for(work, "worker", 2 * kills + 1, process)
        for pid in children(process.pid)[:1]:
            os.kill(pid, signal.SIGKILL)
            kills += 1
    output, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert kills >= 3
    assert f"{FILES * ROWS:,} rows" in output
    assert counted(work, "worker") == (0, 0)


def test_the_processes_of_an_export_load_no_pytorch(work: Path) -> None:
    process = started(work, "light")
    wait_for(work, "light", 1, process)
    loaded = [Path(f"/proc/{pid}/maps").read_text("utf-8") for pid in children(process.pid)]
    process.kill()
    process.communicate()
    assert [text for text in loaded if "onnxruntime" in text]
    assert not [text for text in loaded if "libtorch" in text]


@pytest.mark.promise(30)
def test_a_task_whose_process_is_always_killed_is_named(work: Path) -> None:
    process = started(work, "always")
    while process.poll() is None:
        for pid in children(process.pid):
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    _, said = process.communicate()
    assert process.returncode == 1
    assert "a process could not start (signal SIGKILL)" in said or "its process ended 3 times (signal SIGKILL)" in said
    finish(work, "always")
    assert counted(work, "always") == (0, 0)


@pytest.mark.promise(30)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_cleanly(number: int, code: int, work: Path) -> None:
    out = f"signal-{number}"
    process = started(work, out)
    wait_for(work, out, 3, process)
    workers = children(process.pid)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert "the same command resumes" in said.splitlines()[-1]
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    assert not list((work / out).glob(".*"))
    there = len(list((work / out).glob("*.parquet")))
    assert f"{there * ROWS:,} rows were there" in finish(work, out)
    assert counted(work, out) == (0, 0)


@pytest.mark.promise(30)
def test_a_second_driver_gets_a_sentence(work: Path) -> None:
    process = started(work, "both")
    wait_for(work, "both", 1, process)
    process.send_signal(signal.SIGSTOP)
    second = subprocess.run(command("both"), cwd=work, capture_output=True, text=True, check=False)
    process.send_signal(signal.SIGCONT)
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert second.returncode == 1
    assert "another process is writing into" in second.stderr.splitlines()[-1]
    assert counted(work, "both") == (0, 0)
