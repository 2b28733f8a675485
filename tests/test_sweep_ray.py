"""Sweeps on a Ray cluster of two nodes: a node and the driver are killed. Nothing finished is trained twice, and every sweep ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs Ray: pip install 'isthmus[ray]'")

from test_scaleout_ray import ENVIRONMENT, Cluster, cluster, ended
from victims import weights_hash

from isthmus.experiments.run_folder import MODEL

pytestmark = [pytest.mark.thorough, pytest.mark.filterwarnings("ignore::ResourceWarning")]

SWEEP = ("sweep", "denoising", "--data", "digits", "architecture.hidden=16", "bottleneck.size=1,2,3", "--out", "s")


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    with cluster() as found:
        yield found


def started(cwd: Path, epochs: int, *words: str) -> subprocess.Popen[str]:
    """The sweep as a command."""
    return subprocess.Popen(
        [sys.executable, "-m", "isthmus", *SWEEP, f"epochs={epochs}", *words],
        cwd=cwd,
        env=ENVIRONMENT | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(process: subprocess.Popen[str], holds: Callable[[], bool]) -> None:
    for _ in range(1800):
        if holds():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError("it did not come that far")


def trainings(folder: Path) -> list[Path]:
    """The folders of trainings that have begun; of two nodes with one core each, two begin at first."""
    return sorted(folder.glob("size-*"))


def test_trainings_of_a_node_that_is_killed_continue_on_another(tmp_path: Path, nodes: Cluster) -> None:
    process = started(tmp_path, 30, "--engine", "ray", "--address", nodes.address)
    wait_until(process, lambda: len(trainings(tmp_path / "s")) == 2)
    time.sleep(1)
    nodes.tell("kill")
    code, output, said = ended(process)
    nodes.tell("add")
    assert code == 0, said
    assert (
        said.count("its machine died or left the cluster; the training is tried again where a processor is free") == 1
    ), said
    assert "3 runs (3 trained now)" in output
    code, _, said = ended(started(tmp_path, 30, "--out", "one", "--jobs", "1"))
    assert code == 0, said
    for size in (1, 2, 3):
        ours, alone = (tmp_path / folder / f"size-{size}" / MODEL for folder in ("s", "one"))
        assert weights_hash(ours) == weights_hash(alone)


def test_a_driver_that_was_killed_trains_nothing_twice(tmp_path: Path, nodes: Cluster) -> None:
    where = ("--engine", "ray", "--address", nodes.address)
    process = started(tmp_path, 30, *where)
    wait_until(process, lambda: bool(list((tmp_path / "s").glob("size-*/validation.json"))))
    process.kill()
    process.communicate()
    finished = {path: os.stat(path).st_mtime_ns for path in (tmp_path / "s").glob("size-*/validation.json")}
    code, output, said = ended(started(tmp_path, 30, *where))  # at once, while tasks of the first may still run
    assert code == 0, said
    assert 0 < len(finished) < 3
    assert {path: os.stat(path).st_mtime_ns for path in finished} == finished
    assert "written to s: sweep.csv, sweep.json, sweep.png, 3 runs" in output
    assert not [path for path in (tmp_path / "s").iterdir() if path.name.startswith(".")]


def test_an_address_where_no_cluster_is_gets_a_sentence(tmp_path: Path) -> None:
    code, _, said = ended(started(tmp_path, 1, "--engine", "ray", "--address", "127.0.0.1:9"))
    assert code == 1
    assert "there is no Ray cluster at 127.0.0.1:9" in said.splitlines()[-1]
    assert not trainings(tmp_path / "s")
