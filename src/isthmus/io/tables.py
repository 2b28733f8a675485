"""Tables as CSV: the one place that writes it. Names and text are guarded, numbers are written as they are."""

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

__all__ = ["cell", "csv_parts", "csv_records", "csv_text", "write_csv"]

_TOGETHER = 1000  # rows


def write_csv(path: Path, header: Sequence[Any] | None, rows: Iterable[Sequence[Any]]) -> None:
    """Writes a table, the whole file or the old one.

    Args:
        header: the names of the columns, if they have any.
        rows: cells of any type. None is an empty cell; numbers, truth values and dates are written as they are; what else there
            is as text, in which a formula or a control character is harmless.
    """
    replace_file(path, csv_parts(header, rows))


def csv_text(header: Sequence[Any] | None, rows: Iterable[Sequence[Any]]) -> str:
    """The table that `write_csv` writes."""
    return b"".join(csv_parts(header, rows)).decode()


def csv_records(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table of rows by name: a column for each name, in the order in which they come; a cell is empty where a row lacks its name."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return csv_text(names, ([row.get(name) for name in names] for row in rows))


def csv_parts(header: Sequence[Any] | None, rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    """The bytes of a table, some rows at a time."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for number, row in enumerate(chain([] if header is None else [header], rows), 1):
        writer.writerow([_cell(value) for value in row])
        if number % _TOGETHER == 0:
            yield _emptied(text)
    yield _emptied(text)


def cell(label: Any) -> str:
    """A label as the text of a table's cell; "" for none."""
    if label is None:
        return ""
    if isinstance(label, np.datetime64):
        return str(np.datetime_as_string(label, unit="auto"))
    return str(label.item() if isinstance(label, np.generic) else label)


def _emptied(text: io.StringIO) -> bytes:
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
