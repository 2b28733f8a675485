"""A table of columns of any kind as rows of features, and back: what a model of a table sees, and what its user sees."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Annotated, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from isthmus.data.containers import column_names
from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.column_encoding import ColumnEncoding
from isthmus.data.tables.column_kinds import GivenKind, checked_kinds, infer_kind
from isthmus.data.tables.encoded_table import EncodedTable
from isthmus.data.tables.frame_columns import (
    Library,
    arrow_columns,
    dtypes_of,
    is_dtype,
    library_of,
    like_pandas,
    to_frame,
    with_filled,
)
from isthmus.data.tables.table_words import kinds_in_words
from isthmus.errors import DataError
from isthmus.text import command, printable

__all__ = ["LeftOut", "TableEncoding"]

Doubles = NDArray[np.float64]
_LISTED = 5  # in a sentence
_MOST_COLUMNS = 2**16
_STATED = "as kinds says"  # the reason why a column is left out that the user named


class LeftOut(NamedTuple):
    """A column that is no feature, and why."""

    name: str
    reason: str


class TableEncoding(BaseModel):
    """How the columns of a table become features of a model.

    Attributes:
        columns: those that are features, in the order of the table.
        left_out: the others.
        library: of the frame that training was given; None for a file.
        dtypes: of its columns.
        guessed: the columns whose values, and not their type, say their kind.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    columns: Annotated[tuple[ColumnEncoding, ...], Field(min_length=1, max_length=_MOST_COLUMNS)]
    left_out: Annotated[tuple[LeftOut, ...], Field(max_length=2**16)] = ()
    library: Library | None = None
    dtypes: dict[str, Annotated[str, Field(max_length=200)]] = {}
    guessed: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_one_that_a_fit_produces(self) -> Self:
        names = [*self.names, *(name for name, _ in self.left_out)]
        if len(set(names)) < len(names) or not {*self.dtypes, *self.guessed} <= set(self.names):
            raise ValueError("a column occurs twice, or does not exist")
        odd = next((dtype for dtype in self.dtypes.values() if not is_dtype(dtype, self.library)), None)
        if odd is not None:
            raise ValueError(f"{self.library} has no dtype {odd[:60]!r}")
        return self

    @property
    def texts(self) -> tuple[str, ...]:
        """The names of the columns whose categories are texts."""
        return tuple(each.name for each in self.columns if each.categories and isinstance(each.categories[0], str))

    @classmethod
    def fit(cls, frame: Any, kinds: Mapping[str, GivenKind] | None = None) -> Self:
        """The encoding of a frame.

        Args:
            frame: a pandas, polars or pyarrow frame.
            kinds: the kinds of columns by name: one of `KINDS`, "drop", or the categories of an ordered column in their order. Those of
                others are inferred from type and values.

        Raises:
            DataError: no column is left, or one holds values that are not of its kind.
            RecordError: a kind does not exist, or a column.
        """
        encoding, _ = cls.fit_encode(frame, kinds)
        return encoding

    @classmethod
    def fit_encode(
        cls, frame: Any, kinds: Mapping[str, GivenKind] | None = None, typed: bool = True
    ) -> tuple[Self, Doubles]:
        """`fit`, and the features of the frame. Without `typed`, as from a file of text, no type states that numbers are whole."""
        names, dtypes = column_names(frame) or (), dtypes_of(frame)
        given = checked_kinds(kinds, names)
        table = arrow_columns(frame, [name for name in names if given.get(name) != "drop"])
        fitted, left_out, guessed = list[ColumnEncoding](), list[LeftOut](), list[str]()
        for name in names:
            stated = given.get(name)
            if stated == "drop":
                left_out.append(LeftOut(name, _STATED))
                continue
            column = table[name]
            if pyarrow().types.is_nested(column.type):
                raise DataError(
                    f"column {printable(name)!r} holds a {column.type} in each row: expand it into columns of numbers, or leave it out, "
                    f"kinds={{{name!r}: 'drop'}}"
                )
            found = infer_kind(column)
            kind: Any = found.kind if stated is None else stated if isinstance(stated, str) else "ordered"
            if kind is None:
                left_out.append(LeftOut(name, found.reason))
                continue
            fitted.append(ColumnEncoding.fit(name, column, kind, stated))
            if stated is None and (found.guessed or (kind == "integer" and not typed)):
                guessed.append(name)
        if len(fitted) > _MOST_COLUMNS:
            raise DataError(
                f"the table has {len(fitted):,} columns, and at most {_MOST_COLUMNS:,} can be learned: leave some out"
            )
        if not fitted:
            listed = ", ".join(f"{printable(name)} ({reason})" for name, reason in left_out[:_LISTED])
            raise DataError(f"no column of the table can be learned: {listed}; give their kinds, such as kinds={{...}}")
        library = library_of(frame)
        encoding = cls(
            columns=tuple(fitted),
            left_out=tuple(left_out),
            library=library,
            dtypes={each.name: dtypes[each.name] for each in fitted if dtypes[each.name]},
            guessed=tuple(guessed),
        )
        return encoding, encoding.encode(frame).values

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns that are features."""
        return tuple(column.name for column in self.columns)

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the features."""
        return tuple(name for column in self.columns for name in column.features)

    @property
    def column_of(self) -> dict[str, str]:
        """The column of each feature, by name."""
        return {feature: column.name for column in self.columns for feature in column.features}

    @property
    def classes(self) -> tuple[int, ...]:
        """For each feature the number of its categories, 0 for a number."""
        return tuple(count for column in self.columns for count in column.classes)

    @property
    def numbers(self) -> frozenset[int]:
        """The positions of the features that are columns of numbers."""
        begins = accumulate((column.width for column in self.columns), initial=0)
        return frozenset(at for at, column in zip(begins, self.columns) if column.kind in {"number", "integer"})  # noqa: B905  # one end more

    def agrees_with(self, kinds: Mapping[Any, Any] | None) -> bool:
        """Whether the columns have the given kinds; `RecordError` for a column that does not exist, or a kind that does not."""
        left_out = [name for name, _ in self.left_out]
        found = {column.name: column for column in self.columns}
        for name, kind in checked_kinds(kinds, [*found, *left_out]).items():
            if name in left_out:
                same = kind == "drop"
            else:
                same = found[name].kind == kind if isinstance(kind, str) else found[name].categories == kind
            if not same:
                return False
        return True

    def has_features_of(self, other: TableEncoding | None) -> bool:
        """Whether the features of another encoding have the same meaning, whatever the ranges and types of its training data."""
        return other is not None and _meaning(self) == _meaning(other)

    def may_have_encoded(self, values: Doubles) -> bool:
        """Whether an array (n, d) has values like the features of the table: numbers of categories, and other values in its ranges."""
        begins = accumulate((column.width for column in self.columns), initial=0)
        firsts = (values[:, at] for at in [*begins][:-1])
        return all(
            column.may_have_encoded(first[~np.isnan(first)]) for column, first in zip(self.columns, firsts, strict=True)
        )

    def encode(self, frame: Any) -> EncodedTable:
        """The features of a frame, whose columns are found by name.

        Raises:
            DataError: a column is missing, or holds values that are not of its kind.
        """
        present, guessed = set(column_names(frame) or ()), set(self.guessed)
        missing = [name for name in self.names if name not in present]
        if missing:
            listed = ", ".join(printable(name) for name in missing[:_LISTED]) + (
                ", ..." if len(missing) > _LISTED else ""
            )
            raise DataError(f"the table has no column {listed}, which the training data had: add it")
        table = arrow_columns(frame, self.names)
        parts = [(column, column.encode(table[column.name], column.name in guessed)) for column in self.columns]
        values = np.concatenate([part.values for _, part in parts], axis=1)
        unknown = {column.name: part.unknown for column, part in parts if part.unknown}
        return EncodedTable(values, unknown, {column.name: part.fractions for column, part in parts if part.fractions})

    def decode(self, values: Doubles, like: Any = None) -> Any:
        """The frame of features (n, d): in the library of the training data, with its types and categories.

        Args:
            values: the features.
            like: the frame whose index the result has, and whose library.
        """
        library = library_of(like) or self.library or "pyarrow"
        made, begin = dict[str, Any](), 0
        for column in self.columns:
            made[column.name] = column.decode(values[:, begin : begin + column.width])
            begin += column.width
        categorical = {"category", "Categorical", "Enum"}
        categories = {
            column.name: (list(column.categories), column.kind == "ordered")
            for column in self.columns
            if column.categories
            and (self.dtypes.get(column.name, "") in categorical or "dictionary" in self.dtypes.get(column.name, ""))
        }
        frame = to_frame(made, library, self.dtypes if library == self.library else {}, categories)
        return like_pandas(frame, like) if library_of(like) == "pandas" else frame

    def impute(self, frame: Any, values: Doubles, complete: Doubles) -> Any:
        """The frame with its missing values replaced. Observed values, and columns that are no features, stay as they are.

        Args:
            frame: as it was given to `encode`.
            values: its features, NaN where a value is missing.
            complete: its features without missing values.
        """
        made, begin, replaced = self.decode(complete, frame), 0, list[str]()
        for column in self.columns:
            if np.isnan(values[:, begin]).any():
                replaced.append(column.name)
            begin += column.width
        return with_filled(frame, made, replaced)

    def count_missing(self, frame: Any) -> int:
        """The number of missing cells of a frame, in the columns that are features."""
        return sum(column.null_count for column in arrow_columns(frame, self.names).values())

    def note(self) -> str:
        """A sentence on what was guessed or left out; "" if the types of all columns say their kinds."""
        if not self.guessed and not self._left_out_unasked:
            return ""
        return f"{self.summary()}; if one is wrong, give its kind, such as kinds={dict([self._other_kind])}"

    def file_note(self) -> str:
        """A sentence on the columns of a file, whose kinds nobody but the file could have stated."""
        name, kind = self._other_kind
        flag, stated = command("--kind", f"{name}={kind}"), {name: kind}
        return f"{self.summary()}; if one is wrong, give its kind ({flag}, kinds={stated})"

    @property
    def dropped(self) -> tuple[str, ...]:
        """The columns that the user left out."""
        return tuple(name for name, reason in self.left_out if reason == _STATED)

    @property
    def _left_out_unasked(self) -> list[str]:
        return [name for name, reason in self.left_out if reason != _STATED]

    @property
    def _other_kind(self) -> tuple[str, str]:
        """A column whose kind was guessed, and another kind, as an example."""
        kinds = {column.name: column.kind for column in self.columns}
        guessed = [(name, "number" if kinds[name] == "integer" else "drop") for name in self.guessed]
        left_out = [(name, "category") for name in self._left_out_unasked]
        return next(iter([*guessed, *left_out, *((name, "drop") for name in kinds)]))

    def summary(self) -> str:
        """One line on the kinds: "5 columns: 2 numbers, 1 category (region: 14), 1 date, 1 left out: note (unique)"."""
        return kinds_in_words(self.columns, self.left_out)


def _meaning(table: TableEncoding) -> list[tuple[Any, ...]]:
    """What the features of a table mean."""
    return [(column.name, column.kind, column.categories, column.cycles) for column in table.columns]
