"""Bulk use on a Ray cluster of two nodes: a node and the driver are killed, and tasks die of memory. No row is lost or doubled."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from test_scaleout_killed import FILES, ROWS, counted, wait_for
from test_scaleout_killed import work as work  # the fixture

pytestmark = [pytest.mark.thorough, pytest.mark.filterwarnings("ignore::ResourceWarning")]

ENVIRONMENT = os.environ | {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),  # without it each process writes its own into an empty home
}


class Cluster:
    """A cluster in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.address = self._line()

    def tell(self, word: str) -> None:
        """Kills the second node, or adds another one."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        assert self._line() == word

    def _line(self) -> str:
        stream: IO[str] | None = self._process.stdout
        assert stream is not None
        return stream.readline().strip()


@contextmanager
def cluster(environment: Mapping[str, str] = ENVIRONMENT) -> Iterator[Cluster]:
    """A cluster of two nodes with one core each."""
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("ray_cluster.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=dict(environment),
    ) as process:
        try:
            yield Cluster(process)
        finally:
            process.communicate(timeout=60)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    with cluster() as found:
        yield found


def started(
    work: Path, out: str, address: str, data: str = "in/*.parquet", environment: Mapping[str, str] = ENVIRONMENT
) -> subprocess.Popen[str]:
    words = ["score", "exported", "--data", data, "--out", out, "--keep", "key"]
    return subprocess.Popen(
        [sys.executable, "-m", "isthmus", *words, "--engine", "ray", "--address", address],
        cwd=work,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        output, said = process.communicate(timeout=600)  # against a hang; two busy cores need minutes
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, output, said


@pytest.mark.promise(30)
def test_a_node_that_is_killed_costs_no_row(work: Path, nodes: Cluster) -> None:
    process = started(work, "node", nodes.address)
    wait_for(work, "node", 3, process)
    nodes.tell("kill")
    code, output, said = ended(process)
    nodes.tell("add")
    assert code == 0, said
    assert f"{FILES * ROWS:,} rows of {FILES} tasks" in output
    assert counted(work, "node") == (0, 0)


@pytest.mark.promise(30)
def test_the_driver_is_killed_and_started_again(work: Path, nodes: Cluster) -> None:
    process = started(work, "again", nodes.address)
    wait_for(work, "again", 4, process)
    process.kill()
    process.communicate()
    time.sleep(1)
    lost, doubled = counted(work, "again")
    assert lost > 0
    assert doubled == 0
    code, output, said = ended(started(work, "again", nodes.address))
    assert code == 0, said
    assert "rows were there" in output
    assert counted(work, "again") == (0, 0)


@pytest.mark.promise(30)
def test_tasks_that_die_of_memory_are_named_and_done_later(work: Path, nodes: Cluster) -> None:
    """A node that takes any use of memory for too much ends each task."""
    few = "in/part-0[01].parquet"
    with cluster(ENVIRONMENT | {"RAY_memory_usage_threshold": "0.001", "RAY_memory_monitor_refresh_ms": "20"}) as small:
        code, output, said = ended(started(work, "memory", small.address, few))
    assert code == 1
    assert output.count("it used too much memory, and its node ended it") == 2
    assert "no results for part-00.parquet, rows 0 to 29,999, part-01.parquet" in said.splitlines()[-1]
    assert not list((work / "memory").glob("*.parquet"))
    code, output, said = ended(started(work, "memory", nodes.address, few))
    assert code == 0, said
    assert "it used too much memory" not in output
    assert counted(work, "memory") == ((FILES - 2) * ROWS, 0)


def test_an_address_where_no_cluster_is_gets_a_sentence(work: Path) -> None:
    code, _, said = ended(started(work, "nowhere", "127.0.0.1:9"))
    assert code == 1
    assert "there is no Ray cluster at 127.0.0.1:9" in said.splitlines()[-1]
    assert not (work / "nowhere").exists() or not list((work / "nowhere").iterdir())


def test_a_token_that_is_refused_gets_a_sentence(work: Path) -> None:
    own = ENVIRONMENT | {"RAY_AUTH_MODE": "token"}
    other = own | {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
    none = {name: value for name, value in own.items() if name != "RAY_AUTH_TOKEN"} | {"HOME": str(work / "home")}
    with cluster(own) as guarded:
        refused, lacking = (ended(started(work, "token", guarded.address, environment=each)) for each in (other, none))
    assert (refused[0], lacking[0]) == (1, 1)
    assert (
        f"the Ray cluster at {guarded.address} refuses the token of this process: set RAY_AUTH_MODE=token" in refused[2]
    )
    own_lines = [
        line for line in refused[2].splitlines() if "network_util.cc" not in line
    ]  # Ray's, on machines without a network
    assert len(own_lines) == 1
    assert f"Ray at {guarded.address} needs a token, and this process has none: set RAY_AUTH_MODE=token" in lacking[2]
