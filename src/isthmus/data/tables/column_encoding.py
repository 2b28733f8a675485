"""One column of a table as features of a model, and back: a category as its number, a date as days and the phase of its cycles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.column_kinds import EXACT, ColumnKind, GivenKind, distinct, is_text
from isthmus.data.tables.date_columns import DAYS, SECONDS, Cycle, Unit, days_of, is_zone, phases_of, unit_of, zone_of
from isthmus.data.tables.number_columns import MOST_DECIMALS, decimals_of, range_of
from isthmus.errors import DataError
from isthmus.text import printable

__all__ = ["ColumnEncoding", "EncodedColumn"]

Doubles = NDArray[np.float64]
Name = Annotated[str, Field(max_length=10_000)]
Label = str | int | float | bool
Separator = Literal["", " ", "T", " 00:00:00", "T00:00:00"]

_PERIODS = 2  # of a cycle, that the dates of training must span
_MOST = 2**16  # categories
_LISTED = 5  # values in a message
_ZONE = r"[A-Za-z0-9_+\-/:]*"
_LATEST = 1e8  # days since 1970, in microseconds an integer of 64 bits


class EncodedColumn(NamedTuple):
    """The features (n, width) of a column, and the values that training did not have, with the number of their rows."""

    values: Doubles
    unknown: dict[str, int]
    fractions: int = 0  # where training had whole numbers


class ColumnEncoding(BaseModel):
    """How a column becomes features, and features become a column.

    Attributes:
        name: of the column.
        kind: what its values mean.
        categories: of a category or an ordered one: its values, in the order of their numbers.
        least, largest: the range of a number, an integer or a date (in days since 1970) in the training data.
        decimals: of a number: how many all of its values have at most; None for none, many, or too few values to tell.
        unit: of a date: the unit in which the data state it.
        text: of a date that is a text: "T" or a blank between date and time, with the time where it is always midnight; "" for a type of
            dates.
        zone: of a date: its time zone; "" without one. Texts with zones are read as UTC.
        cycles: of a date: the cycles whose phase is a feature too.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    name: Name
    kind: ColumnKind
    categories: Annotated[tuple[Label, ...], Field(max_length=_MOST)] = ()
    least: float = 0.0
    largest: float = 0.0
    decimals: Annotated[int, Field(gt=0, le=MOST_DECIMALS)] | None = None
    unit: Unit = "us"
    text: Separator = ""
    zone: Annotated[str, Field(max_length=100, pattern=f"^{_ZONE}$")] = ""
    cycles: Annotated[tuple[Cycle, ...], Field(max_length=3)] = ()

    @model_validator(mode="after")
    def _is_one_that_a_fit_produces(self) -> Self:
        if bool(self.categories) != (self.kind in {"category", "ordered"}):
            raise ValueError(f"a column of kind {self.kind!r} has {len(self.categories)} categories")
        if len(set(self.categories)) < len(self.categories) or len(set(map(type, self.categories))) > 1:
            raise ValueError("a category occurs twice, or is of another type")
        if any(isinstance(label, int) and abs(label) >= 2**63 for label in self.categories):
            raise ValueError("a category is a number beyond 64 bits")
        most = {"integer": EXACT, "date": _LATEST}.get(self.kind, math.inf)
        if not -most <= self.least <= self.largest <= most:
            raise ValueError("the range is empty or too large")
        if self.kind != "number" and self.decimals is not None:
            raise ValueError(f"a column of kind {self.kind!r} has decimals")
        if self.kind != "date" and (self.cycles or self.text or self.zone):
            raise ValueError(f"a column of kind {self.kind!r} has the fields of a date")
        if self.text and self.zone not in {"", "UTC"}:
            raise ValueError("a date that is text has another zone than UTC")
        if len(set(self.cycles)) < len(self.cycles) or not is_zone(self.zone):
            raise ValueError("a cycle occurs twice, or there is no such time zone")
        return self

    @classmethod
    def fit(cls, name: str, column: Any, kind: ColumnKind, given: GivenKind | None = None) -> Self:
        """The encoding of a column.

        Args:
            name: of the column.
            column: its values, of pyarrow.
            kind: what they mean.
            given: the categories of an ordered column in their order, if the user gave them.

        Raises:
            DataError: the values are not of this kind.
        """
        if kind in {"category", "ordered"}:
            labels = _categories(name, column, None if given is None or isinstance(given, str) else given)
            return cls(name=name, kind=kind, categories=labels)
        if kind == "boolean":
            _numbers(name, column, kind)  # checks it
            return cls(name=name, kind=kind)
        if kind == "date":
            return cls._fit_date(name, column)
        numbers = _numbers(name, column, kind)
        least, largest = range_of(numbers)
        if kind == "integer" and max(-least, largest) > EXACT:
            raise DataError(
                f"column {printable(name)!r} holds a whole number beyond 2^53, which float64 cannot represent: pass it as kind 'number', "
                "or leave it out"
            )
        decimals = decimals_of(numbers) if kind == "number" else None
        return cls(name=name, kind=kind, least=least, largest=largest, decimals=decimals)

    @classmethod
    def _fit_date(cls, name: str, column: Any) -> Self:
        days = days_of(name, column)
        least, largest = range_of(days)
        known, arrow = days[~np.isnan(days)], pyarrow()
        zone = zone_of(name, column) or ""
        text: Separator = ""
        unit = unit_of(known)
        if is_text(column.type) and column.null_count < len(column):
            first = arrow.compute.drop_null(column)[0].as_py()
            if unit == "D" and len(first) > len("2000-01-31"):  # Excel knows no days without a time
                text = "T00:00:00" if "T" in first else " 00:00:00"
            else:
                text = "T" if "T" in first else " "
                unit = "D" if len(first) == len("2000-01-31") else unit
        elif arrow.types.is_date(column.type):
            unit = "D"
        span = largest - least
        varies = {"year": True, "week": True, "day": unit != "D"}
        cycles: tuple[Cycle, ...] = tuple(
            cycle for cycle, length in DAYS.items() if varies[cycle] and span >= _PERIODS * length
        )
        return cls(name=name, kind="date", least=least, largest=largest, unit=unit, text=text, zone=zone, cycles=cycles)

    @property
    def classes(self) -> tuple[int, ...]:
        """For each feature the number of its categories, 0 for a number."""
        if self.kind == "boolean":
            return (2,)
        return (len(self.categories),) if self.kind == "category" else (0,) * self.width

    @property
    def width(self) -> int:
        """The number of features."""
        return 1 + 2 * len(self.cycles)

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the features: that of the column, and those of the phases of its cycles."""
        phases = [f"{self.name} ({axis} of the {cycle})" for cycle in self.cycles for axis in ("sine", "cosine")]
        return (self.name, *phases)

    def encode(self, column: Any, guessed: bool = False) -> EncodedColumn:
        """The features of a column of pyarrow (n,). A missing value is NaN, and so is a category that training did not have.

        Args:
            column: the column.
            guessed: whether values, and not a type, said its kind: whole numbers may then be fractions now.

        Raises:
            DataError: a value is not of this kind.
        """
        if self.kind in {"category", "ordered"}:
            return _coded(self.name, column, self.categories)
        if self.kind == "date":
            days = days_of(self.name, column)
            has_zone = bool(zone_of(self.name, column))
            if column.null_count < len(column) and has_zone != bool(self.zone):
                which = "a" if has_zone else "no"
                raise DataError(
                    f"column {printable(self.name)!r} has {which} time zone, unlike in the training data: convert it"
                )
            return EncodedColumn(np.stack([days, *phases_of(days, self.cycles)], axis=1), {})
        whole = self.kind == "integer"
        numbers = _numbers(self.name, column, "number" if whole and guessed else self.kind)
        fractions = np.isfinite(numbers) & (numbers != np.floor(numbers)) if whole else np.zeros(0)
        return EncodedColumn(numbers[:, None], {}, int(fractions.sum()))

    def may_have_encoded(self, known: Doubles) -> bool:
        """Whether known values (n,) are like the first feature of the column: all are categories, or their median is in its range."""
        if not len(known):
            return True
        most = 2 if self.kind == "boolean" else len(self.categories)
        if most:
            return bool(((known >= 0) & (known < most) & (known == np.floor(known))).all())
        return self.least <= float(np.median(known)) <= self.largest

    def decode(self, values: Doubles) -> Any:
        """The column of pyarrow (n,) of features (n, width). NaN is a missing value.

        Whole numbers are rounded, and numbers to the decimals of the training data; no value is outside the range of the training data.
        """
        arrow, first = pyarrow(), np.asarray(values, np.float64)[:, 0]
        missing = np.isnan(first)
        if self.kind in {"category", "ordered", "boolean"}:
            labels: Sequence[Label] = (False, True) if self.kind == "boolean" else self.categories
            codes = np.clip(np.round(np.where(missing, 0, first)), 0, len(labels) - 1).astype(np.int64)
            return arrow.array(list(labels)).take(arrow.array(codes, mask=missing))
        bounded = np.clip(first, self.least, self.largest)
        if self.kind == "number":
            rounded = bounded if self.decimals is None else np.round(bounded, self.decimals)
            return arrow.array(rounded, mask=missing)
        if self.kind == "integer":
            return arrow.array(np.where(missing, 0, np.round(bounded)).astype(np.int64), mask=missing)
        return self._dates(np.where(missing, 0.0, bounded), missing)

    def _dates(self, days: Doubles, missing: NDArray[np.bool_]) -> Any:
        arrow, seconds = pyarrow(), SECONDS[self.unit]
        ticks = np.round(days * (86_400.0 / seconds))
        moments = (ticks * (seconds * 1e6)).round().astype(np.int64)  # microseconds
        column = arrow.array(moments, mask=missing)
        if not self.text:
            return column.cast(arrow.timestamp("us", tz=self.zone or None))
        column = column.cast(arrow.timestamp("us"))
        if self.unit == "s":
            column = column.cast(arrow.timestamp("s"))
        time = "" if self.unit == "D" else f"{self.text}%H:%M:%S"
        time = self.text if len(self.text) > 1 else time  # midnight
        return arrow.compute.strftime(column, format=f"%Y-%m-%d{time}{'Z' if self.zone and time else ''}")


def _coded(name: str, column: Any, categories: Sequence[Label]) -> EncodedColumn:
    """The number of the category of each row; the values that are no category are counted."""
    if pyarrow().types.is_nested(column.type):
        raise DataError(f"column {printable(name)!r} holds {column.type}, which are no categories: convert it")
    different = column if pyarrow().types.is_dictionary(column.type) else column.dictionary_encode()
    position: dict[Any, int] = {label: number for number, label in enumerate(categories)}
    labels = different.dictionary.to_pylist()
    numbers = np.array([position.get(label, math.nan) for label in labels] or [math.nan])
    indices = different.indices
    known = np.asarray(indices.is_valid())
    codes = np.where(known, numbers[np.asarray(indices.fill_null(0), np.int64)], math.nan)[:, None]
    counts = np.bincount(np.asarray(indices.drop_null(), np.int64), minlength=len(labels))
    others = ((label, int(n)) for label, n in zip(labels, counts, strict=True) if n and label is not None)
    unknown = {repr(label): n for label, n in others if label not in position}
    return EncodedColumn(codes, unknown)


def _plain(column: Any) -> Any:
    """A column without a dictionary."""
    return column.dictionary_decode() if pyarrow().types.is_dictionary(column.type) else column


def _categories(name: str, column: Any, given: Sequence[Any] | None) -> tuple[Label, ...]:
    """The categories: those given, those of the type, or the different values in order."""
    types, labels = pyarrow().types, distinct(column).to_pylist()
    if given is not None:
        other = next((label for label in labels if label not in given), None)
        if other is not None:
            raise DataError(
                f"column {printable(name)!r} holds {printable(repr(other), 60)}, which its categories in kinds do not have: add it"
            )
        labels = list(given)
    elif types.is_dictionary(column.type):
        declared = column.dictionary.drop_null().unique().to_pylist()
        labels = declared if set(labels) <= set(declared) else labels
    else:
        labels.sort(key=lambda label: (isinstance(label, str), label))
    odd = next((label for label in labels if not isinstance(label, str | int | float | bool)), None)
    if odd is not None:
        raise DataError(
            f"column {printable(name)!r} holds {printable(repr(odd))}, which is no category: convert it to text or numbers"
        )
    if not 0 < len(labels) <= _MOST:
        raise DataError(
            f"column {printable(name)!r} has {len(labels):,} categories, and 1 to {_MOST:,} are possible: leave it out"
        )
    return tuple(labels)


def _numbers(name: str, column: Any, kind: ColumnKind) -> Doubles:
    """The values as float64, NaN for missing ones."""
    arrow, column = pyarrow(), _plain(column)
    try:
        numbers = np.asarray(column.cast(arrow.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)
    except (arrow.ArrowException, ValueError) as error:
        raise DataError(
            f"column {printable(name)!r} holds values that are no numbers ({printable(str(error), 80)}), and is of kind {kind!r}: "
            "correct them, or give it another kind"
        ) from None
    known = numbers[~np.isnan(numbers)]
    if kind == "integer" and not is_text(column.type) and not (known == np.floor(known)).all():
        raise DataError(f"column {printable(name)!r} holds other numbers than whole ones: give it the kind 'number'")
    if kind == "boolean" and not np.isin(known, (0, 1)).all():
        raise DataError(f"column {printable(name)!r} holds other values than true and false: correct them")
    return numbers
