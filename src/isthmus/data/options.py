"""Options for reading examples: one record for all readers, runs and commands.

To add an option, add a field here and an option of the command line in `cli/data_options.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field

from isthmus.errors import RecordError
from isthmus.io.memory_limit import parse_size
from isthmus.records import Count, Record, field_names, record
from isthmus.text import quoted

if TYPE_CHECKING:
    from isthmus.data.tables.table_encoding import TableEncoding

__all__ = ["Fit", "Pages", "ReadOptions", "Reused", "flag_of"]

_KINDS = {"number", "integer", "boolean", "category", "ordered", "date", "drop"}  # of a column of a table
_RANGE = re.compile(r"0*[1-9]\d{0,14}(-0*[1-9]\d{0,14})?", re.ASCII)


def _words(value: Any) -> Any:
    """Names as a tuple of text. One name is a tuple of one; a number is a name too."""
    if isinstance(value, str | int):
        return (str(value),)
    return tuple(map(str, value)) if isinstance(value, Iterable) else value


def _word(value: Any) -> Any:
    """A name as text."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _lines(value: Any) -> Any:
    """Line numbers and ranges of lines as text, from values such as 1, "1-3,42" or a list of these."""
    words = tuple(part.strip() for word in _words(value) for part in str(word).split(",") if part.strip())
    invalid = next((word for word in words if not _RANGE.fullmatch(word)), None)
    if invalid is not None:
        raise ValueError(f"invalid line number {quoted(invalid)}: expected numbers from 1, or ranges such as 1-3,42")
    return words


def _name_and_kind(word: str) -> tuple[str, str | tuple[str, ...]]:
    """The name and the kind in name=kind; of an ordered column its categories, with commas or as a JSON list."""
    name, _, listed = word.partition("=[")
    with suppress(ValueError):
        categories = json.loads(f"[{listed}")
        if isinstance(categories, list) and all(isinstance(each, str) for each in categories):
            return name, tuple(categories)
    name, _, kind = word.rpartition("=")
    if kind.strip() not in _KINDS:  # categories, in which there may be = too
        name, _, kind = word.partition("=")
    return name, tuple(each.strip() for each in kind.split(",")) if "," in kind else kind.strip()


def _kinds(value: Any) -> Any:
    """Kinds of columns as text name=kind, from a mapping or from such texts; the categories of an ordered column with commas."""
    if isinstance(value, Mapping):
        listed = {
            name: kind if isinstance(kind, str) else json.dumps([*map(str, kind)]) for name, kind in value.items()
        }
        value = [f"{name}={kind}" for name, kind in listed.items()]
    words = _words(value)
    invalid = next((word for word in words if not all(_name_and_kind(word))), None)
    if invalid is not None:
        raise ValueError(f"invalid kind {quoted(invalid)}: expected name=kind, such as zip=category")
    return words


def _size(value: Any) -> Any:
    """A size in bytes, from a number or a text such as "4GB"."""
    if not isinstance(value, str):
        return value
    try:
        return 0 if value.strip() == "0" else parse_size(value)
    except RecordError:
        raise ValueError(f"invalid size {quoted(value)}: expected bytes, or a size such as 4GB") from None


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
Lines = Annotated[tuple[str, ...], BeforeValidator(_lines)]
Kinds = Annotated[tuple[str, ...], BeforeValidator(_kinds)]
Word = Annotated[str | None, BeforeValidator(_word)]
Fit = Literal["stretch", "letterbox", "crop"]
Pages = Literal["first", "examples", "volume", "channels"]
Size = Annotated[Annotated[int, Field(ge=0, strict=True)] | None, BeforeValidator(_size)]


@record
class ReadOptions(Record):
    """How to read examples. Options with the value None or empty are detected from the file, and reported.

    Attributes:
        labels: the column of a table, or the array of a .npz file, with the labels.
        resize: (height, width) in pixels, to which every image is resized.
        fit: how images of another aspect ratio are resized: "stretch" changes it; "letterbox" keeps it, and the border repeats the pixels
            at the edge; "crop" keeps it, and cuts off two sides.
        patches: the side in pixels of the patches into which every image is cut, so that images can be of different sizes. The last patches
            of a row or column end with the image, and may overlap those before. A split keeps the patches of an image in one part.
        split: "auto": folders with names such as train, test and ground_truth are parts of a split or masks; "none": every folder is a
            class, and every image an example.
        pages: which pages or frames of an image file are read: the "first"; all as "examples"; all as one "volume" of shape
            (pages, height, width, channels); or all as the "channels" of one image (height, width, pages * channels).
        skip_broken: whether damaged and too large images are skipped and reported; otherwise the first one is an error.
        cache: the memory for decoded images, in bytes or as a text such as "4GB". A folder whose images take more stays in its files:
            images are decoded in each epoch, and as many as fit into this memory stay decoded. 0: none does. By default a quarter of the
            memory that is available. All results are the same. Of Parquet and Arrow files, and of several .npy files, the memory for
            all values, 256 MiB by default: more stay in their files, and training reads the examples in another random order.
        columns: the columns of a table that are features: names, patterns such as "gene_*", or several with commas. Others are left out.
        drop: the columns of a table to leave out, written in the same way.
        kinds: what columns of a table mean, by name: {"zip": "category", "size": ["S", "M", "L"], "note": "drop"}. A kind is one of number,
            integer, boolean, category, ordered, date, or drop to leave the column out; a list has the categories of an ordered column.
            Those of other columns are inferred.
        id: the column of a table that identifies its rows. It is written to every output, and is not a feature.
        weights: the column of a table, or the array of a .npz file, with the weights of the examples in training. It is not a feature.
        by: the column of a table, or the array of a .npz file, with the groups of the examples, such as patients. A split keeps each
            group in one part. It is not a feature. Of a series: the column with the machine of each row.
        hold_out: what a run holds out of several files: "rows", or whole "files", of which about a tenth are drawn by their names.
        header: whether the first row of a table has the column names.
        na_values: further marks of a missing value, such as "-999".
        delimiter: the delimiter of cells in a text file: one character, or "blanks" for any number of blanks.
        decimal: the decimal mark of a text file, "." or ",".
        comment: the prefix of comment lines in a text file, which are skipped, or "none". By default "#", unless most lines begin with it.
        encoding: the encoding of a text file, such as "utf-8" or "cp1252".
        sheet: the sheet of an Excel file; the first one by default.
        skip_lines: lines of a text file, or rows of a sheet, that are not part of the table, such as a title, units or totals: numbers
            and ranges, such as "1-3,42". They apply to this file only, not to other files that are read for a run.
        window: the rows of a window: the table is a long series, whose windows are the examples (`isthmus.data.Windows`). Of sound the
            samples of a window, by default 1,024.
        step: the rows from one window to the next; by default an eighth of a window, of sound a whole window.
        time: the column of a series with the time of each row, dates or numbers.
        gap: the longest interval between neighboring rows that is no gap, in seconds or in the unit of the time.
        pad: whether stretches of a series that are shorter than a window are padded with missing values.
    """

    labels: Word = None
    resize: tuple[int, int] | None = None
    fit: Fit = "stretch"
    patches: Count | None = None
    split: Literal["auto", "none"] = "auto"
    pages: Pages = "first"
    skip_broken: bool = False
    cache: Size = None
    columns: Words = ()
    drop: Words = ()
    kinds: Kinds = ()
    id: Word = None
    weights: Word = None
    by: Word = None
    hold_out: Literal["rows", "files"] = "rows"
    header: bool | None = None
    na_values: Words = ()
    delimiter: str | None = None
    decimal: Literal[".", ","] | None = None
    comment: str | None = None
    encoding: str | None = None
    sheet: Word = None
    skip_lines: Lines = ()
    window: Count | None = None
    step: Count | None = None
    time: Word = None
    gap: Annotated[float, Field(gt=0)] | None = None
    pad: bool = False

    @property
    def joins_pages(self) -> bool:
        """Whether all pages of a file become one example."""
        return self.pages in {"volume", "channels"}

    def given(self) -> dict[str, Any]:
        """The options that differ from their defaults, by name.

        Returns:
            Field name -> value.
        """
        defaults = ReadOptions()
        return {
            name: getattr(self, name) for name in field_names(self) if getattr(self, name) != getattr(defaults, name)
        }

    def given_kinds(self) -> dict[str, str | tuple[str, ...]]:
        """The given kinds.

        Returns:
            Column name -> kind, or the categories of an ordered column in their order.
        """
        return dict(map(_name_and_kind, self.kinds))

    def skipped(self) -> tuple[range, ...]:
        """The lines to skip.

        Returns:
            Ranges of line numbers, from 1, in ascending order.
        """
        ends = [tuple(map(int, word.split("-"))) for word in self.skip_lines]
        return tuple(range(first, last + 1) for first, last in sorted((each[0], each[-1]) for each in ends))

    def over(self, usual: ReadOptions) -> ReadOptions:
        """These options, with defaults from other options.

        Args:
            usual: the options that apply where these have their default value.

        Returns:
            The merged options.
        """
        return usual.replace(**self.given())


def flag_of(name: str) -> str:
    """The flag of the command line for a field of `ReadOptions`, or for another parameter."""
    return "--kind" if name == "kinds" else f"--{name.replace('_', '-')}"


class Reused(NamedTuple):
    """The properties of a run that apply when other data are read for it.

    Attributes:
        options: the options for its training data. Its label and ID columns are optional in the other data.
        features: the column names of its training data, which select columns by name; None without names.
        shape: the shape of an example, which decides whether images are gray; None if it is unknown.
        name: for targets, the name of the data set that they belong to, whose columns these are. "" for the training data of a run.
        table: how the columns of its training data became features; None for numbers alone and other data.
        missing: whether a category that the training data did not have is a missing value; else it is an error.
        all_columns: whether the frame of the data set keeps all columns of a file that nobody left out, for a completed table.
        rate: the samples per second of its recordings; None if they are unknown, and for other data.
    """

    options: ReadOptions
    features: tuple[str, ...] | None = None
    shape: tuple[int, ...] | None = None
    name: str = ""
    table: TableEncoding | None = None
    missing: bool = True
    all_columns: bool = False
    rate: int | None = None
