"""How examples are read, where their file does not say it: one record for every reader, run and verb.

To add an option: a field here, and on the command line its line in `cli/data_options.py`. Nothing between has to change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator

from isthmus.records import Record, field_names, record

__all__ = ["ReadOptions", "Reused"]

_RANGE = re.compile(r"0*[1-9]\d{0,14}(-0*[1-9]\d{0,14})?", re.ASCII)


def _words(value: Any) -> Any:
    """One name as a tuple of one; names that are numbers as text."""
    if isinstance(value, str | int):
        return (str(value),)
    return tuple(map(str, value)) if isinstance(value, Iterable) else value


def _word(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _lines(value: Any) -> Any:
    """Numbers and ranges of lines, as text: 1, "1-3,42" or a list of such."""
    words = tuple(part.strip() for word in _words(value) for part in str(word).split(",") if part.strip())
    wrong = next((word for word in words if not _RANGE.fullmatch(word)), None)
    if wrong is not None:
        raise ValueError(f"{wrong!r} is no line: give numbers from 1 on, or ranges such as 1-3,42")
    return words


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
Lines = Annotated[tuple[str, ...], BeforeValidator(_lines)]
Word = Annotated[str | None, BeforeValidator(_word)]


@record
class ReadOptions(Record):
    """How to read examples. What is left at None or empty is found out from the file, and told.

    Attributes:
        labels: the column of a table, or the array of a .npz file, that holds the labels.
        resize: (height, width) to which every image is stretched or shrunk.
        split: whether names of folders such as train, test and ground_truth say which images are parts of a split and which
            are masks ("auto"), or every folder is a class and every image an example ("none").
        pages: of an image file with several pages or frames the "first"; all as "examples"; or each file a "volume",
            (pages, height, width, channels).
        skip_broken: whether images that are damaged or too large are left out, and named; else the first one is an error.
        columns: the columns of a table to learn: names, patterns such as "gene_*", or several with commas; the others are left out.
        drop: the columns of a table to leave out, written in the same way.
        id: the column of a table that names its rows: carried to every output, never learned.
        header: whether the first row of a table holds the names of its columns.
        na_values: further marks of a missing value, such as "-999".
        delimiter: what stands between the cells of a text file: one character, or "blanks" for any number of blanks.
        decimal: the decimal mark of a text file, "." or ",".
        comment: what lines begin with that are left out of a text file, or "none"; else "#", unless most lines begin so.
        encoding: the encoding of a text file, such as "utf-8" or "cp1252".
        sheet: the sheet of an Excel file; else its first.
        skip_lines: lines of a text file, or rows of a sheet, that are no rows of the table, such as a title above the names, units
            below them, or totals at the end: numbers and ranges, such as "1-3,42". They are those of this file: of other files that
            are read for a run none are left out.
    """

    labels: Word = None
    resize: tuple[int, int] | None = None
    split: Literal["auto", "none"] = "auto"
    pages: Literal["first", "examples", "volume"] = "first"
    skip_broken: bool = False
    columns: Words = ()
    drop: Words = ()
    id: Word = None
    header: bool | None = None
    na_values: Words = ()
    delimiter: str | None = None
    decimal: Literal[".", ","] | None = None
    comment: str | None = None
    encoding: str | None = None
    sheet: Word = None
    skip_lines: Lines = ()

    def given(self) -> dict[str, Any]:
        """The options that differ from their defaults, by name."""
        defaults = ReadOptions()
        return {
            name: getattr(self, name) for name in field_names(self) if getattr(self, name) != getattr(defaults, name)
        }

    def skipped(self) -> tuple[range, ...]:
        """The lines to leave out, as ranges in their order."""
        ends = [tuple(map(int, word.split("-"))) for word in self.skip_lines]
        return tuple(range(first, last + 1) for first, last in sorted((each[0], each[-1]) for each in ends))

    def over(self, usual: ReadOptions) -> ReadOptions:
        """These options, and where they say nothing, the usual ones."""
        return usual.replace(**self.given())


class Reused(NamedTuple):
    """What a run brings along when other data are read for it.

    Attributes:
        options: how it read its own data; its labels and id are looked for, and need not be there.
        features: the names of the columns it was trained on, which are taken by name; None where they have none.
        shape: of one of its examples, which says whether its images are gray; None where it is not known.
    """

    options: ReadOptions
    features: tuple[str, ...] | None = None
    shape: tuple[int, ...] | None = None
