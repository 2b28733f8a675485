"""The result of every reader: examples, with test part and labels if there are any, and their source."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy.typing as npt

from isthmus.data.kinds import Kind, as_images, kind_of
from isthmus.data.labels import class_labels
from isthmus.data.lazy_rows import LazyRows
from isthmus.data.locations import FileRows, Positions
from isthmus.data.tables.table_array import as_table_array
from isthmus.data.tables.table_encoding import TableEncoding
from isthmus.results import Table, html_table, text_table
from isthmus.text import printable

__all__ = ["Dataset", "Kind"]

Array = npt.NDArray[Any]
_IN_RESULTS = re.compile(
    r"row|line|trained_on|unknown|score|p_value|verdict|label|probability|truth|(feature|value|share)_\d+"
)


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A data set: examples, parts, labels and metadata.

    Attributes:
        name: the name of the built-in data set, file or folder.
        train: training examples (n, *shape), in the units of the source; `SparseRows` if the source is a sparse matrix,
            and `ImageFiles` if it is a folder of images that are read from their files in each epoch.
            Windows of a series are cut when they are read, and ``np.asarray`` gives an array of them.
        test: test examples (m, *shape), or None.
        train_labels: class numbers or names (n,), with None for a missing label; or None.
        test_labels: likewise (m,), or None.
        validation: validation examples (k, *shape), for early stopping and model selection, if the source has both a validation and a
            test part; or None.
        validation_labels: likewise (k,), or None.
        columns: the names of the features of a table, or None.
        source: the authors, or the path of the file.
        license: the license, or "" if it is unknown.
        notes: notes for the user about the reading, such as ignored files: one sentence each.
        ids: the ID of each row of a table, as in the file, or the file name of each image (n,); or None.
        test_ids: likewise (m,), or None.
        id_name: the name of the ID column, or None.
        lines: the line number of each example in its text file (n,), from 1; or None.
        label_name: the name of the label column or array, or None.
        validation_ids: likewise (k,), or None.
        skipped: the file names of damaged images that were skipped.
        target: what is to be reconstructed instead of each training example (n, *shape), or None.
        test_target, validation_target: likewise (m, *shape) and (k, *shape), or None.
        target_name: the name of the data set of the targets, or "".
        table: how the columns of a table with other columns than numbers became features; None for other data.
        frame: the columns of such a table as in the file, a pyarrow table, with those that are no features; or None.
        weights: the weight of each training example (n,), or None.
        groups: the group of each training example (n,), None where it is missing; or None. A split keeps groups together.
        groups_name: the name of their column or array, or None.
        file_rows: which training examples are from which file, if there are several files of a table or array; or None.
        hold_out: for rows in blocks, what a split draws: rows, or whole files.
        rate: of sound, the samples per second; None for other data.
        kind: the kind of the data if the source states it, or None. It is never inferred from the range of the values.
    """

    name: str
    train: Array
    test: Array | None = None
    train_labels: Array | None = None
    test_labels: Array | None = None
    columns: tuple[str, ...] | None = None
    source: str = ""
    license: str = ""
    notes: tuple[str, ...] = ()
    kind: Kind | None = None
    ids: Array | None = None
    id_name: str | None = None
    label_name: str | None = None
    lines: Array | None = None
    test_ids: Array | None = None
    validation: Array | None = None
    validation_labels: Array | None = None
    validation_ids: Array | None = None
    skipped: tuple[str, ...] = ()
    target: Array | None = None
    test_target: Array | None = None
    validation_target: Array | None = None
    target_name: str = ""
    table: TableEncoding | None = None
    frame: Any = None
    weights: Array | None = None
    groups: Array | None = None
    groups_name: str | None = None
    rate: int | None = None
    file_rows: FileRows | None = None
    hold_out: Literal["rows", "files"] = "rows"

    def __post_init__(self) -> None:
        if self.kind == "images":  # mark the arrays too, so that slices keep their kind
            for name in ("train", "test", "validation", "target", "test_target", "validation_target"):
                values = getattr(self, name)
                object.__setattr__(self, name, None if values is None else as_images(values))
        if self.table is not None:  # likewise, so that an array of features knows its table
            for name in ("train", "target"):
                values = getattr(self, name)
                object.__setattr__(self, name, None if values is None else as_table_array(values, self.table))

    def __repr__(self) -> str:
        return text_table(*self._parts(), caption=self._caption())

    def _repr_html_(self) -> str:
        return html_table(*self._parts(), caption=self._caption())

    def _caption(self) -> str:
        return f"Dataset {printable(self.name)}" + (f", {self.kind}" if self.kind else "")

    def _parts(self) -> Table:
        """A table with a row per part: number, shape and dtype of its examples, and whether they have labels."""
        parts = {
            "train": (self.train, self.train_labels),
            "validation": (self.validation, self.validation_labels),
            "test": (self.test, self.test_labels),
        }
        lines = [
            [
                name,
                f"{len(values):,}",
                "x".join(str(size) for size in values.shape[1:]),
                str(values.dtype),
                "no" if labels is None else "yes",
            ]
            for name, (values, labels) in parts.items()
            if values is not None
        ]
        return ["part", "examples", "shape", "dtype", "labels"], lines

    def keys(self) -> dict[str, Array]:
        """The columns that identify the training example of an output row: its line in the file, and its ID or file name.

        IDs of a column with a name that a table of results has too, such as "score", are in "id_score".
        """
        name = self.id_name or "file"
        named = {"line": self.lines, f"id_{name}" if _IN_RESULTS.fullmatch(name) else name: self.ids}
        return {name: values for name, values in named.items() if values is not None}

    def positions(self) -> Positions:
        """The positions of the training examples in their file, for messages."""
        part = "the training examples of " if self.test is not None else ""
        where = Positions(self.columns, self._file(), self.lines, part=part, row_name=self._row_name())
        return replace(where, files=self.file_rows)

    def test_positions(self) -> Positions:
        """The positions of the test examples in their file, for messages."""
        return Positions(self.columns, self._file(), part="the test examples of ", row_name=self._row_name())

    def validation_positions(self) -> Positions:
        """The positions of the validation examples in their file, for messages."""
        return Positions(self.columns, self._file(), part="the validation examples of ")

    def _row_name(self) -> str:
        """What a message calls an example."""
        return "window" if self.kind == "series" else "row"

    def _file(self) -> str:
        """The path of the file; "" for built-in data sets and arrays."""
        return "" if self.license else self.source

    def summary(self) -> str:
        """One line: name, number of examples, shape, dtype, kind, classes, source and license."""
        one = "1 example" if len(self.train) == 1 else f"{len(self.train):,} examples"
        counts = one if self.test is None else f"{len(self.train):,} + {len(self.test):,}"
        counts += "" if self.validation is None else f" and {len(self.validation):,} for validation"
        shape = "x".join(str(size) for size in self.train.shape[1:])
        if self.table is not None:
            left_out = f" ({len(self.table.left_out):,} more left out)" if self.table.left_out else ""
            shape = f"{len(self.table.columns):,} column{'s' * (len(self.table.columns) > 1)}{left_out} as {shape} features,"
        classes = "no labels"
        if self.train_labels is not None:
            labels = class_labels(self.train_labels, len(self.train))
            classes = f"{len(labels.classes):,} class{'' if len(labels.classes) == 1 else 'es'}"
            classes += f", {labels.n_unlabeled:,} without a label" if labels.n_unlabeled else ""
        origin = ", ".join(part for part in (self.source, self.license) if part)
        inferred = kind_of(self.train)
        kind = self.kind or f"treated as {'a table' if inferred == 'table' else inferred}"
        dtype = f"{self.train.dtype}{_storage(self.train)}"
        return f"{self.name}: {counts}, {shape} {dtype}, {kind}, {classes}" + (f" ({origin})" if origin else "")


def _storage(values: Array) -> str:
    """The part of a summary that says how values are stored; "" for arrays."""
    return f", {values.storage}" if isinstance(values, LazyRows) else ""
