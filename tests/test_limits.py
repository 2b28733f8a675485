"""Limits of memory: of the machine, of the size of the input, and of the user."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from isthmus.errors import MemoryLimitError, RecordError
from isthmus.io import memory_limit
from isthmus.io.memory_limit import available_memory, check_memory, parse_size, set_memory_limit

GB = 10**9


@pytest.mark.parametrize(
    ("said", "count"),
    [
        ("4GB", 4 * GB),
        ("500 mb", 5 * 10**8),
        ("2GiB", 2**31),
        ("1.5g", 15 * 10**8),
        (123, 123),
        ("7", 7),
        ("1kB", 1000),
    ],
)
def test_sizes_are_read_as_people_write_them(said: Any, count: int) -> None:
    assert parse_size(said) == count


@pytest.mark.parametrize(
    "said", ["", "many", "-4GB", "0", "4 XB", "nan", "inf", "1e400", "9" * 40 + "TB", True, -1, 0.0]
)
def test_an_invalid_size_raises_one_sentence(said: Any) -> None:
    with pytest.raises(RecordError, match=r"invalid max_memory="):
        parse_size(said)


def test_the_memory_limit_for_files_depends_on_their_size_and_for_users_on_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory_limit, "available_memory", lambda: 8.0 * GB)
    check_memory(GB // 3, "it", given=0)
    check_memory(5 * GB, "it", given=5 * 10**6)
    check_memory(7 * GB, "it")
    check_memory(15 * GB, "it", rough=True)
    for needed, choices, why in (
        (GB, {"given": 0}, "537 MB are allowed for an input of this size"),
        (5 * GB, {"given": 10**6}, "1.02 GB are allowed for an input of this size"),
        (9 * GB, {"given": 10**9}, "8 GB are left on this machine"),
        (9 * GB, {}, "8 GB are left on this machine"),
        (17 * GB, {"rough": True}, "8 GB are left on this machine"),
        (GB, {"given": 0, "rough": True}, "537 MB are allowed for an input of this size"),
        (float("inf"), {"given": 0}, "more than a million TB"),
        (2 * GB, {"max_memory": GB}, "1 GB are allowed"),
    ):
        with pytest.raises(MemoryLimitError, match=why) as caught:
            check_memory(needed, "it", **choices)
        assert "\n" not in str(caught.value)
    check_memory(9 * GB, "it", given=0, max_memory=10 * GB)
    set_memory_limit("20GB")
    try:
        check_memory(19 * GB, "it", given=0)
        check_memory(19 * GB, "it")
        with pytest.raises(MemoryLimitError, match="20 GB are allowed"):
            check_memory(21 * GB, "it", given=10**12)
    finally:
        set_memory_limit(None)


def test_the_address_space_of_the_process_counts() -> None:
    resource = pytest.importorskip("resource")  # not on Windows
    code = (
        "import resource; from isthmus.io.memory_limit import available_memory; before = available_memory(); "
        "resource.setrlimit(resource.RLIMIT_AS, (10**9, resource.RLIM_INFINITY)); print(before > available_memory() < 10**9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY


@pytest.mark.parametrize("kind", ["one hierarchy", "many hierarchies"])
def test_a_control_group_counts(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = kind == "one hierarchy"
    root = tmp_path if new else tmp_path / "memory"
    inside = root / "box" / "work"
    inside.mkdir(parents=True)
    most, used = ("memory.max", "memory.current") if new else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    (inside / most).write_text("max\n" if new else str(2**63 - 4096))
    (inside / used).write_text("1000000\n")
    (inside / "memory.stat").write_text("inactive_file 0\n")
    (inside.parent / most).write_text("300000000\n")
    (inside.parent / used).write_text("200000000\n")
    (inside.parent / "memory.stat").write_text("anon 5\ninactive_file 50000000\n")
    read = Path.read_text

    def told(path: Path, *more: Any) -> str:
        if path == Path("/proc/self/cgroup"):
            return "0::/box/work\n" if new else "7:cpu:/else\n4:memory:/box/work\n"
        return read(path, *more)

    monkeypatch.setattr(Path, "read_text", told)
    monkeypatch.setattr(memory_limit, "_CGROUPS", tmp_path)
    assert available_memory() == 150_000_000


def test_without_known_memory_there_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_of_machine", "_of_groups", "_of_process"):
        monkeypatch.setattr(memory_limit, name, lambda: iter(()))
    assert available_memory() == float("inf")
