"""What the command line says: sentences, tables, progress, and the arrays it writes. Nothing heavy loads before it is needed."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from isthmus.io.terminal import complain, interactive, put, rich_console, rich_table
from isthmus.text import as_json, sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from isthmus.training.state import Report

__all__ = [
    "array_path",
    "counted",
    "fail",
    "first_line",
    "say",
    "say_json",
    "say_notes",
    "sentences",
    "table",
    "watcher",
    "write_array",
    "write_blocks",
    "write_table",
]


def say(text: str) -> None:
    """One line of bounded length, at once."""
    put(sentence(text))


def say_notes(notes: Sequence[str], quiet: bool = False) -> None:
    """What a user should hear about reading, a line each; on standard error where standard output is JSON."""
    for note in notes:
        (complain if quiet else say)(f"note: {note}")


def say_json(value: Any) -> None:
    """Plain JSON, for programs."""
    put(*as_json(value).split("\n"))


def table(header: list[str], rows: list[list[str]]) -> None:
    """A table that fits the terminal, or plain columns where there is none."""
    console = rich_console()
    (console if console.is_terminal else rich_console(width=200)).print(rich_table(header, rows))


def counted(n: int, what: str) -> str:
    """A number of things: 1 example, 2 examples."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def first_line(thing: Any) -> str:
    """What something is, as its docstring begins."""
    return (thing.__doc__ or "").strip().splitlines()[0]


def watcher(quiet: bool) -> Any:
    """What shows the progress of a training: a bar on a terminal, a line per epoch elsewhere, nothing with --json."""
    from isthmus.training.progress import with_progress

    def watch(reports: Iterator[Report], title: str, numbers: int) -> Iterator[Report]:
        return reports if quiet else with_progress(reports, numbers, title, lines=not interactive())

    return watch


def array_path(out: Path | None, usual: str, endings: tuple[str, ...] = (".npy",)) -> Path:
    """Where an array is to be written; known to be possible before the work that makes it."""
    from isthmus.errors import DataError, RecordError

    path = Path(usual) if out is None else out
    if path.suffix not in endings:
        raise RecordError(f"--out {path}: arrays are written as {' or '.join(endings)}; let the name end so")
    if not path.parent.is_dir():
        raise DataError(f"--out {path}: there is no folder {path.parent}; make it first")
    return path


def write_array(path: Path, values: Any) -> None:
    """An array as a .npy file, whole or not at all, and a line that says so."""
    import io

    import numpy as np

    from isthmus.io.atomic import replace_file

    content = io.BytesIO()
    np.save(content, values, allow_pickle=False)
    replace_file(path, content.getvalue())
    say(f"written: {path}, {values.shape} {values.dtype}")


def write_table(path: Path, header: list[str] | None, values: Any, labels: Any = None, ids: Any = None) -> None:
    """A table (n, d) as a .csv file, whole or not at all, and a line that says so; read again, every number is the same to the last bit.

    Args:
        header: the names of the columns, if they have any, that of the ids first, that of the labels last.
        labels: (n,), a column behind the numbers.
        ids: (n,), a column before them.
    """
    from isthmus.io.tables import write_csv

    cells = ([str(value).removesuffix(".0") for value in row.tolist()] for row in values)
    known = [[]] * len(values) if labels is None else ([label] for label in labels)
    named = [[]] * len(values) if ids is None else ([each] for each in ids)
    write_csv(path, header, ([*one, *row, *label] for one, row, label in zip(named, cells, known, strict=True)))
    say(f"written: {path}, {values.shape} {values.dtype}")


def write_blocks(path: Path, shape: tuple[int, ...], dtype: Any, blocks: Iterator[Any], names: Any) -> None:
    """An array that comes block by block, as .npy or, if it is a table, .csv, whole or not at all; and a line that says so."""
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
    say(f"written: {path}, {shape} {dtype}")


@contextmanager
def sentences(tell: Callable[[str], None] = say) -> Iterator[None]:
    """Warnings of ours within are told as notes, and those of others on standard error."""
    import warnings

    from isthmus.errors import IsthmusWarning

    def note(message: Warning | str, category: type[Warning], *_: Any) -> None:
        if issubclass(category, IsthmusWarning):
            tell(f"note: {message}")
        else:
            complain(f"{category.__name__}: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", IsthmusWarning)
        warnings.showwarning = note  # type: ignore[assignment]
        yield


def fail(error: BaseException | str, code: int) -> NoReturn:
    """Ends with one sentence on standard error and an exit code: 1 for a failure, 2 for a mistake in the command."""
    text = (
        f"{error.filename}: {error.strerror}"
        if isinstance(error, OSError) and error.filename and error.strerror
        else str(error)
    )
    complain(f"isthmus: {text}")
    raise SystemExit(code)
