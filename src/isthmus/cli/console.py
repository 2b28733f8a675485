"""Printed lines, tables and progress, and files of arrays. Heavy modules are imported inside functions, so that help is fast."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from isthmus.io.terminal import interactive, print_error, print_lines, rich_console, rich_table
from isthmus.text import as_json, printable, sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from isthmus.training.state import Report

__all__ = [
    "array_path",
    "as_flags",
    "counted",
    "fail",
    "first_line",
    "print_json",
    "print_line",
    "print_notes",
    "print_table",
    "progress",
    "warnings_as_notes",
    "write_array",
    "write_blocks",
    "write_table",
]


def print_line(text: str) -> None:
    """Prints one line of bounded length."""
    print_lines(sentence(text))


def print_notes(notes: Sequence[str], quiet: bool = False) -> None:
    """Prints notes, one per line; when `quiet`, to standard error, since standard output is then JSON."""
    for note in notes:
        (print_error if quiet else print_line)(f"note: {note}")


def print_json(value: Any) -> None:
    """Prints plain values as JSON."""
    print_lines(*as_json(value).split("\n"))


def print_table(header: list[str], rows: list[list[str]], multiline: bool = False) -> None:
    """Prints a table that fits the terminal, or is 200 characters wide in a file or pipe. See `rich_table` for `multiline`."""
    console = rich_console()
    (console if console.is_terminal else rich_console(width=200)).print(rich_table(header, rows, multiline))


@contextmanager
def as_flags(names: Iterable[str]) -> Iterator[None]:
    """Inside the context, errors name the flags that a user typed, and not parameters of Python: --step 0 for step=0.

    Args:
        names: the parameters that are flags.
    """
    from isthmus.data.options import flag_of
    from isthmus.errors import IsthmusError

    try:
        yield
    except IsthmusError as error:
        text = str(error).removeprefix("ReadOptions: ")
        for name in names:
            assigned, flag = rf"(?<![\w-]){name}=", flag_of(name) if len(name) > 1 else f"-{name}"
            text = re.sub(assigned, flag, re.sub(rf"{assigned}(?=[\w'\"(\[+-])", f"{flag} ", text))
        error.args = (text,)
        raise


def counted(n: int, noun: str) -> str:
    """A number with its noun: 1 example, 2 examples."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def first_line(thing: Any) -> str:
    """The first line of a docstring."""
    return (thing.__doc__ or "").strip().splitlines()[0]


def progress(quiet: bool, several: bool = False) -> Any:
    """A callback that shows the progress of training: a bar on a terminal, a line per epoch elsewhere, nothing when `quiet`.

    With `several`, trainings can run at the same time, and each of them has a bar.
    """
    from isthmus.training.progress import ProgressBars, with_progress

    if several and not quiet and interactive():
        return ProgressBars()

    def show(reports: Iterator[Report], title: str, n_features: int) -> Iterator[Report]:
        return reports if quiet else with_progress(reports, n_features, title, lines=not interactive())

    return show


def array_path(out: Path | None, default: str, endings: tuple[str, ...] = (".npy",)) -> Path:
    """The output path of an array. It is checked before the computation starts."""
    from isthmus.errors import DataError, RecordError

    path = Path(default) if out is None else out
    if path.suffix not in endings:
        raise RecordError(f"--out {path}: expected a name that ends in {' or '.join(endings)}")
    if not path.parent.is_dir():
        raise DataError(f"--out {path}: there is no folder {path.parent}; create it first")
    return path


def write_array(path: Path, values: Any) -> None:
    """Writes an array as a .npy file, atomically, and prints a line."""
    import io

    import numpy as np

    from isthmus.io.atomic import replace_file

    content = io.BytesIO()
    np.save(content, values, allow_pickle=False)
    replace_file(path, content.getvalue())
    print_line(f"written: {path}, {values.shape} {values.dtype}")


def write_table(path: Path, header: list[str] | None, values: Any, labels: Any = None, ids: Any = None) -> None:
    """Writes a table (n, d) as a .csv file, atomically, and prints a line. Reading the file gives bit-identical numbers.

    Args:
        path: the file.
        header: the names of the columns with that of the ids first and that of the labels last; None without names.
        values: the numbers (n, d).
        labels: the last column (n,), if any.
        ids: the first column (n,), if any.
    """
    from isthmus.io.tables import write_csv

    cells = ([str(value).removesuffix(".0") for value in row.tolist()] for row in values)
    last = [[]] * len(values) if labels is None else ([label] for label in labels)
    first = [[]] * len(values) if ids is None else ([each] for each in ids)
    write_csv(path, header, ([*before, *row, *after] for before, row, after in zip(first, cells, last, strict=True)))
    print_line(f"written: {path}, {values.shape} {values.dtype}")


def write_frame(
    path: Path,
    frame: Any,
    ids: Any = None,
    id_name: str | None = None,
    labels: Any = None,
    label_name: str | None = None,
) -> None:
    """Writes a data frame as a .csv or .parquet file, atomically, and prints a line.

    Args:
        path: the file.
        frame: the pandas, polars or pyarrow frame.
        ids: the first column (n,), if any and if the frame does not have it.
        id_name: its name.
        labels: the last column (n,), if any; in its place if the frame has it.
        label_name: its name.
    """
    import pyarrow.parquet

    from isthmus.data.containers import column_names
    from isthmus.data.tables.frame_columns import arrow_columns
    from isthmus.io.atomic import replace_file
    from isthmus.io.tables import write_csv

    names = column_names(frame) or ()
    columns = {} if ids is None or id_name in names else {id_name or "file": _id_column(ids)}
    columns |= arrow_columns(frame, names)
    columns |= {} if labels is None else {label_name or "label": pyarrow.array(list(labels))}
    if path.suffix == ".parquet":
        content = pyarrow.BufferOutputStream()
        pyarrow.parquet.write_table(pyarrow.table(columns), content)
        replace_file(path, content.getvalue().to_pybytes())
    else:
        named = list(columns) != [str(place) for place in range(len(columns))]  # not positions only
        rows = zip(*(map(_plain_cell, column.to_pylist()) for column in columns.values()), strict=True)
        write_csv(path, list(columns) if named else None, rows)
    print_line(f"written: {path}, {counted(len(frame), 'row')} of {counted(len(columns), 'column')}")
    guarded = [name for name, column in columns.items() if path.suffix == ".csv" and _is_guarded(column)]
    if guarded:
        which = ", ".join(map(printable, guarded))
        print_notes(
            [f"texts that a spreadsheet would take for formulas have ' in front: {which}; a .parquet file keeps them"]
        )


def _id_column(ids: Any) -> Any:
    """Ids as a column of pyarrow: of a typed column as they are, others as text."""
    import pyarrow

    typed = isinstance(ids, pyarrow.ChunkedArray | pyarrow.Array)
    return ids if typed else pyarrow.array(list(map(str, ids)))


def _is_guarded(column: Any) -> bool:
    """Whether a column of pyarrow holds a text that is changed when it is written as CSV."""
    from isthmus.text import csv_safe

    return any(isinstance(text, str) and csv_safe(text) != text for text in column.unique().to_pylist())


def _plain_cell(value: Any) -> Any:
    """A value as it stands in a table: whole numbers without a fraction, truths in lower case."""
    if isinstance(value, float):
        return str(value).removesuffix(".0")
    return str(value).lower() if isinstance(value, bool) else value


def write_blocks(path: Path, shape: tuple[int, ...], dtype: Any, blocks: Iterator[Any], names: Any) -> None:
    """Writes blocks of an array as one .npy file, or of a table as .csv, atomically, and prints a line."""
    import io

    import numpy as np

    from isthmus.io.atomic import replace_file
    from isthmus.io.tables import csv_parts

    def parts() -> Iterator[bytes]:
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(head, {"descr": dtype.str, "fortran_order": False, "shape": shape})
        yield head.getvalue()
        for block in blocks:
            yield block.tobytes()

    table = path.suffix == ".csv"
    replace_file(path, csv_parts(names, (row for block in blocks for row in block.tolist())) if table else parts())
    print_line(f"written: {path}, {shape} {dtype}")


@contextmanager
def warnings_as_notes(print_note: Callable[[str], None] = print_line) -> Iterator[None]:
    """Inside the context, warnings of isthmus are printed as notes, and other warnings on standard error."""
    import warnings

    from isthmus.errors import IsthmusWarning

    def note(message: Warning | str, category: type[Warning], *_: Any) -> None:
        if issubclass(category, IsthmusWarning):
            print_note(f"note: {message}")
        else:
            print_error(f"{category.__name__}: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", IsthmusWarning)
        warnings.showwarning = note  # type: ignore[assignment]
        yield


def fail(error: BaseException | str, code: int) -> NoReturn:
    """Exits with one sentence on standard error and a code: 1 for a failure, 2 for an invalid command, 128 + n after signal n."""
    text = (
        f"{error.filename}: {error.strerror}"
        if isinstance(error, OSError) and error.filename and error.strerror
        else str(error)
    )
    print_error(f"isthmus: {text}")
    raise SystemExit(code)
