"""Sentences on columns that cannot be learned: what they hold, and what a user can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from isthmus.data.options import ReadOptions
from isthmus.data.tables.cells import is_date
from isthmus.data.tables.columns import NotNumericError, SelectedColumns, listed
from isthmus.data.tables.dialect import TITLE_ROWS
from isthmus.data.tables.header import NO_TITLE, skip_lines_value
from isthmus.data.tables.numbers import WordsError
from isthmus.data.tables.rows import Block
from isthmus.errors import DataError
from isthmus.text import command, printable

__all__ = ["not_numeric", "other_columns", "remedy"]

_MAX_TYPED = 200  # characters of a name that a user may be expected to type
_MAX_DROPPED = 10  # columns that one --drop of a message names


def not_numeric(
    error: WordsError,
    block: Block,
    columns: tuple[str, ...],
    selected: SelectedColumns,
    name: str,
    title: range,
    options: ReadOptions,
) -> DataError:
    """The error for cells that are not numbers.

    Args:
        error: which cells.
        block: the rows that they are in.
        columns: the names of all columns.
        selected: the columns in use.
        name: of the table.
        title: lines that may be a title.
        options: the user's.
    """
    first, cell = next(iter(error.cells.items()))
    contents = {
        columns[selected.features[feature]]: "dates" if is_date(error.cells[feature]) else "text"
        for feature in sorted(error.cells)
    }
    column, line = columns[selected.features[first]], int(block.lines[error.row])
    if "\n" in cell:
        return DataError(
            f"a cell in line {line} of {name} spans several lines ('{printable(cell, 60)}'): a quotation mark may not be closed"
        )
    if line > title.stop:  # the names that may be below the title hold no word: this cell is another problem
        title = NO_TITLE
    if not title and 1 < line <= TITLE_ROWS and len(columns) == 1 and any(mark in cell for mark in ",;\t|"):
        title = range(1, line)  # several columns begin here
    skip_title = skip_lines_value(title, options)
    lines = skip_title or skip_lines_value(range(line, line + 1), options)
    return NotNumericError(
        f"column '{printable(column)}' holds {contents[column]} (line {line} of {name} has '{printable(cell, 60)}')"
        f"{other_columns(contents, column)}: {remedy(column, selected, list(contents), lines)}",
        contents,
        skip_title,
    )


def other_columns(contents: Mapping[str, str], first: str) -> str:
    """What the other columns hold, as the end of a sentence about the first one.

    Args:
        contents: what each column holds, by name.
        first: the name of the first one.
    """
    sentence = ""
    for kind in sorted(set(contents.values()), key=lambda kind: (kind != contents[first], kind)):
        names = [name for name, content in contents.items() if content == kind and name != first]
        if names and kind == contents[first]:
            sentence += f"; so {'does' if len(names) == 1 else 'do'} {listed(names)}"
        elif names:
            sentence += f"; {listed(names)} {'holds' if len(names) == 1 else 'hold'} {kind}"
    return sentence


def remedy(column: str, selected: SelectedColumns, columns: Sequence[str], lines: str = "") -> str:
    """What a user can do with columns that are not numeric.

    Args:
        column: the first of them.
        selected: the columns in use.
        columns: all that are not numeric.
        lines: lines that may not be rows of the table; "" for none.
    """
    plain = [each for each in columns if "," not in each] if 1 < len(columns) <= _MAX_DROPPED else []
    dropped = ",".join(plain) if len(plain) == len(columns) > 1 else column
    pronoun = "it" if dropped == column else "them"
    sentence = f"leave {pronoun} out (--drop {_for_shell(dropped)}, in Python drop={_for_python(dropped)})"
    if selected.labels is None:
        sentence += f", or name it as the labels (--labels {_for_shell(column)}, labels={_for_python(column)})"
    if selected.id is None:
        sentence += f", or as the id of the rows (--id {_for_shell(column)}, id={_for_python(column)})"
    kind = f"{_shortened(column)}=category"
    sentence += (
        f", or take its values as categories ({command('--kind', kind)}, kinds={{{_for_python(column)}: 'category'}})"
    )
    if lines:
        sentence += "; or leave out lines that are not rows, such as a title, units or a total "
        sentence += f"(--skip-lines {lines}, skip_lines='{lines}')"
    return sentence


def _for_shell(name: str) -> str:
    """A name as a shell takes it."""
    return command(_shortened(name))


def _for_python(name: str) -> str:
    """A name as Python takes it."""
    return ascii(_shortened(name)) if not name.isprintable() else repr(_shortened(name))


def _shortened(name: str) -> str:
    """A name; the beginning of one that is too long to type."""
    return name if len(name) <= _MAX_TYPED else printable(name)
