"""Arrow files as other writers make them, and what is stated of their batches."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import isthmus
from isthmus.data.file_sets import file_set
from isthmus.data.tables.arrow_files import open_arrow
from isthmus.errors import MemoryLimitError
from isthmus.io.memory_limit import set_memory_limit
from isthmus.scaleout.inputs import describe, rows_of

VALUES = np.random.default_rng(0).random((200, 2))


def written(path: Path, table: Any, *, compression: str | None = None, stream: bool = False) -> Path:
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(path, table.schema, options=options) as writer:
        writer.write_table(table)
    return path


def rewritten(path: Path, gap: int, order: Callable[[list[Any]], list[Any]] = list) -> Path:
    """The file with bytes of zero after its mark, and its messages after the schema in another order; its footer says where they are."""
    content = path.read_bytes()
    end = len(content) - 10
    begin = end - struct.unpack_from("<i", content, end)[0]
    reader, messages = pa.BufferReader(content[:begin]), list[tuple[bytes, bytes]]()
    reader.seek(8)
    while True:
        start = reader.tell()
        try:
            body = pa.ipc.read_message(reader).body.size
        except EOFError:
            break
        message = content[start : reader.tell()]
        messages.append((struct.pack("<qi", start, len(message) - body), message))
    new, footer = content[:8] + bytes(gap), content[begin:]
    new += messages[0][1]
    for place, message in order(messages[1:]):
        assert footer.count(place) == 1
        footer = footer.replace(place, struct.pack("<q", len(new)) + place[8:])
        new += message
    path.write_bytes(new + struct.pack("<iI", -1, 0) + footer)
    return path


def numbers() -> Any:
    return pa.table({"a": VALUES[:, 0], "b": VALUES[:, 1]})


def test_the_first_batch_may_begin_at_any_place(tmp_path: Path) -> None:
    """Some writers align it to 64 bytes."""
    path = rewritten(written(tmp_path / "x.arrow", numbers()), 56)
    for cache in (None, 0):
        np.testing.assert_array_equal(np.asarray(isthmus.data.read(path, cache=cache).train), VALUES)
    file = describe(file_set(f"{tmp_path}/*.arrow"), 0)
    assert file.sizes == (200,)
    (part,) = rows_of(file.path, file.kind, range(1), 0, 1000, ["b"])
    np.testing.assert_array_equal(part.values.column("b"), VALUES[:, 1])


def test_dictionaries_may_be_after_batches(tmp_path: Path) -> None:
    letters = pa.array(list("xyxy") * 50).dictionary_encode()
    path = written(tmp_path / "x.arrow", numbers().append_column("c", letters))
    expected = isthmus.data.read(path).train
    rewritten(path, 0, lambda messages: messages[::-1])
    np.testing.assert_array_equal(isthmus.data.read(path).train, expected)


FIRST = {
    "empty": pa.nulls(200, pa.float64()),
    "null": pa.nulls(200),
    "values": pa.array(VALUES[:, 0]),
    "text": pa.array([f"{number:04}" for number in range(200)]),  # random bytes may be left as they are
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("compression", ["lz4", "zstd", None])
def test_every_column_says_whether_a_file_is_compressed(
    tmp_path: Path, first: str, compression: str | None, stream: bool
) -> None:
    table = pa.table({"first": FIRST[first], "b": np.arange(200.0)})
    with closing(open_arrow(written(tmp_path / "x.arrow", table, compression=compression, stream=stream))) as file:
        assert (list(file.sizes), file.unpacked) == ([200], 200 if compression else 0)


def test_the_memory_limit_holds_for_compressed_batches(tmp_path: Path) -> None:
    table = pa.table({"a": np.zeros(10**5), "b": np.zeros(10**5)})
    packed = written(tmp_path / "packed.arrow", table, compression="zstd")
    plain = written(tmp_path / "plain.arrow", table)
    set_memory_limit("1MB")
    try:
        assert sum(len(part.values) for part in rows_of(plain, "arrow", range(1), 0, 1000, None)) == 10**5
        assert sum(len(part.values) for part in rows_of(packed, "arrow", range(1), 0, 1000, ["a"])) == 10**5
        with pytest.raises(MemoryLimitError, match=r"packed.arrow would take about 1.6 MB .* smaller batches"):
            list(rows_of(packed, "arrow", range(1), 0, 1000, None))
    finally:
        set_memory_limit(None)


def test_opening_a_file_reads_no_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task of bulk use reads its own batches: the time for all does not grow with their square."""
    path, read = tmp_path / "x.arrow", list[int]()
    with pa.ipc.new_file(path, numbers().schema) as writer:
        writer.write_table(numbers(), max_chunksize=10)
    message = pa.ipc.read_message

    def counted(content: Any) -> Any:
        read.append(len(content))
        return message(content)

    monkeypatch.setattr(pa.ipc, "read_message", counted)
    parts = list(rows_of(path, "arrow", range(3, 5), 30, 1000, None))
    np.testing.assert_array_equal(np.column_stack(parts[1].values.columns), VALUES[40:50])
    assert len(set(read)) == 2
