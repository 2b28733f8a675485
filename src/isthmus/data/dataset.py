"""What every reader returns: examples, perhaps a test part, perhaps labels, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from isthmus.data.kinds import Kind, as_images, kind_of
from isthmus.data.labels import class_labels
from isthmus.data.locations import Positions
from isthmus.results import Table, html_table, text_table
from isthmus.text import printable

__all__ = ["Dataset", "Kind"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Examples with what is known about them.

    Attributes:
        name: the built-in name, or the file's or folder's.
        train: (n, *shape), in the units of the source.
        test: (m, *shape), or None where the source has no split.
        train_labels: (n,) class numbers or names, None in the place of one that is missing; or None.
        test_labels: (m,) likewise, or None.
        validation: (k, *shape) to watch a training by and to choose by, where the source has such a part beside its test part; or None.
        validation_labels: (k,) as those of the others, or None.
        columns: the names of a table's columns, or None.
        source: who made it, or the path it was read from.
        license: its license, or "" where the source does not say.
        notes: what a user should hear about the reading, such as files left out: one sentence each.
        ids: (n,) what names each row of a table, as it stood there, or the file of each image; or None.
        test_ids: (m,) likewise, or None.
        id_name: the name of the column that they come from, or None.
        lines: (n,) the line of each example in its text file, counted from 1, or None.
        label_name: the name of the column or array that the labels come from, or None.
        kind: what the axes mean, where the source says so; never guessed from the range of the values.
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

    def __post_init__(self) -> None:
        if self.kind == "images":  # the arrays say so too, and their slices
            for name in ("train", "test", "validation"):
                values = getattr(self, name)
                object.__setattr__(self, name, None if values is None else as_images(values))

    def __repr__(self) -> str:
        return text_table(*self._parts(), caption=self._caption())

    def _repr_html_(self) -> str:
        return html_table(*self._parts(), caption=self._caption())

    def _caption(self) -> str:
        return f"Dataset {printable(self.name)}" + (f", {self.kind}" if self.kind else "")

    def _parts(self) -> Table:
        """A line for each part that there is: how many examples, of which shape and type, and whether they have labels."""
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
        return ["part", "examples", "shape", "type", "labels"], lines

    def keys(self) -> dict[str, Array]:
        """What says which training example a row of an output is, by the name of a column: its line in the file, and its id."""
        named = {"line": self.lines, self.id_name or "file": self.ids}
        return {name: values for name, values in named.items() if values is not None}

    def positions(self) -> Positions:
        """Where the training examples stand."""
        part = "the training examples of " if self.test is not None else ""
        return Positions(self.columns, self._file(), self.lines, part=part)

    def test_positions(self) -> Positions:
        """Where the test examples stand."""
        return Positions(self.columns, self._file(), part="the test examples of ")

    def validation_places(self) -> Positions:
        """Where the validation examples stand."""
        return Positions(self.columns, self._file(), part="the validation examples of ")

    def _file(self) -> str:
        """What they were read from; "" of data that come with isthmus, and of arrays."""
        return "" if self.license else self.source

    def summary(self) -> str:
        """One line: name, number of examples, shape and type of one, classes, source and license."""
        one = "1 example" if len(self.train) == 1 else f"{len(self.train):,} examples"
        counts = one if self.test is None else f"{len(self.train):,} + {len(self.test):,}"
        counts += "" if self.validation is None else f" and {len(self.validation):,} for validation"
        shape = "x".join(str(size) for size in self.train.shape[1:])
        classes = "no labels"
        if self.train_labels is not None:
            labels = class_labels(self.train_labels, len(self.train))
            classes = f"{len(labels.classes):,} class{'' if len(labels.classes) == 1 else 'es'}"
            classes += f", {labels.n_unlabeled:,} without a label" if labels.n_unlabeled else ""
        origin = ", ".join(part for part in (self.source, self.license) if part)
        meant = self.kind or kind_of(self.train)
        kind = meant if self.kind else f"taken for {'a table' if meant == 'table' else meant}"
        return f"{self.name}: {counts}, {shape} {self.train.dtype}, {kind}, {classes}" + (
            f" ({origin})" if origin else ""
        )
