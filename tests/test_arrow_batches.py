"""Arrow files whose rows are one large batch: only the rows that are used are read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import isthmus
from isthmus.data.tables.table_files import TableFiles
from isthmus.scaleout.inputs import describe, rows_of

ROWS = 1 << 17


def write(path: Path, kind: str = "file", rows: int = ROWS, columns: int = 4) -> np.ndarray[Any, Any]:
    """A file of one batch; its values are returned."""
    values = np.resize(np.random.default_rng(0).random((1000, columns)), (rows, columns))
    batch = pa.record_batch({f"c{number:02}": values[:, number] for number in range(columns)})
    options = pa.ipc.IpcWriteOptions(compression="lz4" if kind.startswith("packed") else None)
    make = pa.ipc.new_stream if kind.endswith("stream") else pa.ipc.new_file
    with make(path, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    return values


@pytest.mark.parametrize("kind", ["file", "stream"])
@pytest.mark.promise(13)
def test_a_batch_is_not_copied_as_a_whole(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values, taken, read = write(tmp_path / "x.arrow", kind), list[int](), TableFiles.batches_of
    before = pa.total_allocated_bytes()

    def measured(*arguments: Any) -> Any:
        for batch in read(*arguments):
            taken.append(pa.total_allocated_bytes() - before)
            yield batch

    monkeypatch.setattr(TableFiles, "batches_of", measured)
    rows = isthmus.data.read(tmp_path / "x.arrow", cache=0, columns=("c00", "c02")).train
    np.testing.assert_array_equal(np.asarray(rows), values[:, [0, 2]])
    assert len(taken) > 10
    assert max(taken) < values.nbytes / 10


def test_bulk_work_does_not_copy_a_batch_as_a_whole(tmp_path: Path) -> None:
    values, before = write(tmp_path / "x.arrow"), pa.total_allocated_bytes()
    file = describe(isthmus.data.file_sets.file_set(f"{tmp_path}/*.arrow"), 0)
    assert file.sizes == (ROWS,)
    parts = list(rows_of(file.path, file.kind, range(1), 0, 1000, ["c01", "c03"]))
    assert pa.total_allocated_bytes() - before < values.nbytes / 10
    np.testing.assert_array_equal(
        np.concatenate([np.column_stack(part.values.columns) for part in parts]), values[:, [1, 3]]
    )


@pytest.mark.parametrize("kind", ["packed file", "packed stream"])
def test_a_large_compressed_batch_is_named_with_its_memory(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = write(tmp_path / "x.arrow", kind)
    data = isthmus.data.read(tmp_path / "x.arrow", cache=0)
    np.testing.assert_array_equal(np.asarray(data.train), values)
    assert not [note for note in data.notes if "compressed" in note]  # 4 MiB are few
    monkeypatch.setattr("isthmus.data.tables.table_files._LARGE_BATCH", 1 << 20)
    (note,) = [note for note in isthmus.data.read(tmp_path / "x.arrow", cache=0).notes if "compressed" in note]
    assert "x.arrow has compressed batches of up to 131,072 rows, each of which takes 4 MiB of memory" in note


@pytest.mark.thorough
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak of resident memory is read from /proc")
@pytest.mark.promise(13)
def test_reading_one_large_batch_takes_a_part_of_its_memory(tmp_path: Path) -> None:
    """What the system counts as resident is measured, with the pages of the file."""
    write(tmp_path / "x.arrow", rows=3_000_000, columns=20)  # 480 MB
    write(tmp_path / "small.arrow", rows=1000)
    code = f"""
import isthmus
peak = lambda: int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]) // 1024
isthmus.data.read({str(tmp_path / "small.arrow")!r}, cache=0)  # imports
before = peak()
data = isthmus.data.read({str(tmp_path / "x.arrow")!r}, cache=0)
assert sum(len(rows) for _, rows in data.train.blocks()) == 3_000_000
print(peak() - before)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) < 240
