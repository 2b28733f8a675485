"""Writing tables as CSV. Text is made safe against formulas and control characters; numbers are written unchanged."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.io.atomic import replace_file
from isthmus.text import csv_safe

__all__ = ["GrowingTable", "cell", "csv_parts", "csv_records", "csv_text", "write_csv"]

_CHUNK = 1000  # rows


def write_csv(path: Path, header: Sequence[Any] | None, rows: Iterable[Sequence[Any]]) -> None:
    """Writes a table to a file, atomically.

    Args:
        path: the file.
        header: the names of the columns, or None.
        rows: cells of any type. None is an empty cell. Numbers, booleans and dates are written unchanged, other values as text in
            which formulas and control characters are escaped.
    """
    replace_file(path, csv_parts(header, rows))


class GrowingTable:
    """A table in a CSV file to which rows are added. The file exists from the beginning.

    Args:
        path: the file; an existing one is replaced.
        header: the names of the columns.
    """

    def __init__(self, path: Path, header: Sequence[Any]) -> None:
        write_csv(path, header, ())
        self.path = path

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        """Adds rows, as `write_csv` writes them."""
        with self.path.open("ab") as file:
            for part in csv_parts(None, rows):
                file.write(part)


def csv_text(header: Sequence[Any] | None, rows: Iterable[Sequence[Any]]) -> str:
    """The text of the file that `write_csv` writes."""
    return b"".join(csv_parts(header, rows)).decode()


def csv_records(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table of mappings as CSV: a column per key, in the order of first appearance. A missing key is an empty cell."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return csv_text(names, ([row.get(name) for name in names] for row in rows))


def csv_parts(header: Sequence[Any] | None, rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    """The bytes of a table as CSV, some rows at a time."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for number, row in enumerate(chain([] if header is None else [header], rows), 1):
        writer.writerow([_cell(value) for value in row])
        if number % _CHUNK == 0:
            yield _drain(text)
    yield _drain(text)


def cell(label: Any) -> str:
    """A label as the text of a cell; "" for None."""
    if label is None:
        return ""
    if isinstance(label, np.datetime64):
        return str(np.datetime_as_string(label, unit="auto"))
    return str(label.item() if isinstance(label, np.generic) else label)


def _drain(text: io.StringIO) -> bytes:
    content = text.getvalue().encode()
    text.seek(0)
    text.truncate()
    return content


def _cell(value: Any) -> Any:
    if value is None or type(value) in (int, float, bool):
        return value
    if isinstance(value, np.datetime64 | np.generic) and not isinstance(value, str):
        return cell(value)
    return csv_safe(str(value))
