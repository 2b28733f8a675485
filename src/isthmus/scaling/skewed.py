"""Scalings for skewed numbers: logarithms and quantiles, for all columns or those that they suit."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, model_validator

from isthmus.data.locations import Positions
from isthmus.data.statistics import DataStatistics
from isthmus.errors import DataError, RecordError
from isthmus.records import record
from isthmus.scaling.affine import Standard
from isthmus.scaling.base import Affine, Scaling, extent
from isthmus.scaling.curve_choice import best_curve
from isthmus.scaling.curves import Curves, by_logarithm, by_quantiles, joined, line, some_rows
from isthmus.text import printable

__all__ = ["Logarithm", "PerColumn", "Quantile"]

Doubles = NDArray[np.float64]
Names = Annotated[
    tuple[Annotated[int, Field(ge=0, lt=2**31)] | str, ...],
    Field(max_length=2**16),
    BeforeValidator(lambda value: (value,) if isinstance(value, str | int) else value),
]

_STANDARD = Standard()


class Curved(Scaling):
    """A scaling by curves. Its affine map, the unit of errors, standardizes each feature."""

    @property
    def by_feature(self) -> bool:
        return True

    @property
    def centered(self) -> bool:
        return True

    @property
    def curved(self) -> bool:
        return True

    @property
    def above(self) -> float:
        """The limit that all training values must exceed."""
        return -np.inf

    def axes(self, ndim: int) -> tuple[int, ...] | None:
        return _STANDARD.axes(ndim)

    def fit(self, examples: NDArray[np.generic]) -> Affine:
        return _STANDARD.fit(examples)

    def fit_statistics(self, statistics: DataStatistics) -> Affine:
        return _STANDARD.fit_statistics(statistics)

    def columns(self, numbers: NDArray[np.bool_], positions: Positions) -> list[Curved | None]:
        """How each feature is taken.

        Args:
            numbers: (d,), True for features that are numbers.
            positions: of the features, by the names of their columns.

        Returns:
            The scaling of each feature; None: standardized.

        Raises:
            RecordError: a column that is named is no column of numbers.
        """
        return [self if number else None for number in numbers]

    def curve(self, column: Doubles, precision: float) -> Curves:
        """The curve of one feature.

        Args:
            column: (n,) its observed values, not all equal.
            precision: their relative rounding error.
        """
        raise NotImplementedError

    def curves(
        self, statistics: DataStatistics, affine: Affine, numbers: NDArray[np.bool_], positions: Positions
    ) -> Curves:
        shape, rows, precision = statistics.values.shape[1:], some_rows(statistics.values), _precision(statistics)
        low, constant = _least(statistics)
        shift, scale = (np.broadcast_to(side, shape).ravel() for side in affine)
        curves = list[Curves]()
        for j, how in enumerate(self.columns(numbers, positions)):
            column = rows[~np.isnan(rows[:, j]), j]
            if how is None or constant[j] or not column.size or column.min() == column.max():
                curves.append(line(float(shift[j]), float(scale[j])))
                continue
            if low[j] <= how.above:
                place = positions.feature(tuple(map(int, np.unravel_index(j, shape))))
                raise DataError(
                    f"{place} has {low[j]:g}, and {how!r} takes numbers above {how.above:g}: use a larger shift, or "
                    f"scaling={'Quantile()' if len(shape) > 1 else 'PerColumn(), which takes only suitable columns by logarithm'}"
                )
            curves.append(how.curve(column, precision))
        return joined(curves)


@record
class Logarithm(Curved):
    """log(x + shift) of each feature, standardized: for positive numbers whose ratios matter, such as prices and areas.

    Below a tenth of the smallest x + shift of training and above ten times the largest one, the logarithm continues as its tangent:
    later values that are not positive are far from the others, and no error. Constant features are only shifted.

    Args:
        shift: the number that is added, such as 1 for counts with zeros. All training values must be above -shift.

    Examples:
        >>> from isthmus import Autoencoder
        >>> prices = np.exp(np.random.default_rng(0).normal(size=(200, 2)))
        >>> ae = Autoencoder(1, scaling=Logarithm(), epochs=1, random_state=0).fit(prices)
        >>> bool((ae.reconstruct(prices) > 0).all())
        True
    """

    shift: float = 0.0

    @property
    def above(self) -> float:
        return 0.0 - self.shift

    def curve(self, column: Doubles, precision: float) -> Curves:
        return by_logarithm(column, self.shift)


@record
class Quantile(Curved):
    """The rank of each number in its feature, as a standard normal or uniform number: for numbers of any distribution.

    The map is linear between quantiles, so that its inverse is exact, and continues beyond the range of training with its average slope.
    Equal values get the middle of their ranks. Constant features are only shifted. It means what scikit-learn's
    ``QuantileTransformer`` does, which clips values beyond the range.

    Args:
        output: "normal": the model sees a standard normal distribution. "uniform": it sees ranks from 0 to 1.
        quantiles: the largest number of quantiles, computed from at most 100,000 examples.
        ties: equal values. "middle": what is near the middle of their ranks is near this value. "interval": all of the ranks of a frequent
            value are this value, so that examples drawn from the likelihood have it too, such as 0 where many are 0. Frequent are all
            values of a feature with at most ``quantiles`` different ones, and of others those with the ranks of two quantiles. Their
            density depends on rounding errors: nats are comparable for this scaling alone.

    Examples:
        >>> from isthmus import Autoencoder
        >>> import torch
        >>> incomes = np.random.default_rng(0).pareto(2, size=(200, 2))
        >>> ae = Autoencoder(1, scaling=Quantile(), epochs=1, random_state=0).fit(incomes)
        >>> x = ae.model_.normalize(torch.from_numpy(incomes))
        >>> round(float(x.mean()), 1) == 0, round(float(x.std()), 1)
        (True, 1.0)
    """

    output: Literal["normal", "uniform"] = "normal"
    quantiles: Annotated[int, Field(ge=2, le=10_000)] = 100
    ties: Literal["middle", "interval"] = "middle"

    def curve(self, column: Doubles, precision: float) -> Curves:
        return by_quantiles(column, self.quantiles, self.output == "normal", precision, self.ties == "interval")


@record
class PerColumn(Curved):
    """Some columns by logarithm, some by quantiles, the others standardized: those that are named, or those that it suits.

    ``fit`` chooses by held-out rows, prints the choice and states it in ``scaling_``. A column is tried if it has no negative number,
    50 values, 3 different ones and a skewness above 1. A curve is taken if it makes a held-out fifth of the values more probable under a
    normal distribution, by at least 0.05 nats per value and two standard errors; quantiles must be ahead of the logarithm by as much.
    Values with a share above 5 %, such as 0, do not count there.

    Args:
        logarithm: names or numbers (from 0) of the columns that `Logarithm` takes. None: chosen.
        quantile: names or numbers of the columns that `Quantile` takes. None: chosen.

    Examples:
        >>> from isthmus import Autoencoder
        >>> table = np.random.default_rng(0).normal(size=(300, 2))
        >>> table[:, 0] = np.exp(table[:, 0])
        >>> import warnings
        >>> with warnings.catch_warnings(record=True) as notes:
        ...     warnings.simplefilter("always")
        ...     ae = Autoencoder(1, scaling=PerColumn(), epochs=1, random_state=0).fit(table)
        >>> print(notes[0].message)
        scaling=PerColumn(): 1 of 2 columns by logarithm: 0; the others are standardized
    """

    logarithm: Names | None = None
    quantile: Names | None = None

    @model_validator(mode="after")
    def _a_column_is_named_once(self) -> PerColumn:
        named = [*(self.logarithm or ()), *(self.quantile or ())]
        twice = next((name for name in named if named.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"column {twice!r} is named twice; name it under logarithm or under quantile")
        return self

    @property
    def open(self) -> bool:
        return self.logarithm is None or self.quantile is None

    def completed(self, fitted: Scaling) -> Scaling:
        if not isinstance(fitted, PerColumn):
            return self
        given = {*(self.logarithm or ()), *(self.quantile or ())}
        both = [(self.logarithm, fitted.logarithm or ()), (self.quantile, fitted.quantile or ())]
        return PerColumn(*(tuple(n for n in known if n not in given) if own is None else own for own, known in both))

    def resolved(self, statistics: DataStatistics, numbers: NDArray[np.bool_], positions: Positions) -> Scaling:
        shape = statistics.values.shape[1:]
        if len(shape) > 1:  # names are those of channels, which have many features
            raise RecordError(
                f"{self!r} is about columns of tables, and the examples have shape {shape}: use Logarithm() or Quantile() for all"
            )
        if not self.open:
            return self
        taken = [how is not None for how in self.columns(numbers, positions)]
        (low, constant), rows, precision = _least(statistics), some_rows(statistics.values), _precision(statistics)
        chosen: dict[type[Curved], list[int | str]] = {Logarithm: [], Quantile: []}
        for j in np.flatnonzero(numbers & ~constant & (low >= 0) & ~np.array(taken)):
            given = ((self.logarithm, Logarithm()), (self.quantile, Quantile()))
            candidates = [how for names, how in given if names is None and how.above < low[j]]
            best = best_curve(rows[~np.isnan(rows[:, j]), j], candidates, precision)
            if best is not None:
                chosen[type(best)].append(positions.columns[j] if positions.columns else int(j))
        return self.completed(PerColumn(tuple(chosen[Logarithm]), tuple(chosen[Quantile])))

    def columns(self, numbers: NDArray[np.bool_], positions: Positions) -> list[Curved | None]:
        found: list[Curved | None] = [None] * len(numbers)
        for names, how in ((self.logarithm, Logarithm()), (self.quantile, Quantile())):
            for name in names or ():
                place = _place(name, numbers, positions)
                if found[place] is not None:
                    raise RecordError(f"PerColumn names the column {name!r} twice, by name and by number: name it once")
                found[place] = how
        return found

    def summary(self, count: int) -> str:
        named = ((self.logarithm or (), "logarithm"), (self.quantile or (), "quantiles"))
        parts = [
            f"{len(names)} of {count} columns by {how}: {', '.join(printable(str(name)) for name in names)}"
            for names, how in named
            if names
        ]
        if not parts:
            return f"scaling=PerColumn(): none of {count} columns by logarithm or quantiles, all are standardized"
        return "scaling=PerColumn(): " + "; ".join([*parts, "the others are standardized"])


def _place(name: int | str, numbers: NDArray[np.bool_], positions: Positions) -> int:
    """The position of a column of numbers; `RecordError` if there is none."""
    columns = positions.columns or ()
    place = name if isinstance(name, int) else columns.index(name) if name in columns else len(numbers)
    if str(name) in columns and columns.index(str(name)) != place:
        raise RecordError(
            f"PerColumn names the column {name!r}, the number of one column and the name of another: give the name as text, {str(name)!r}"
        )
    if place >= len(numbers):
        known = f"columns {', '.join(map(printable, columns[:20]))}" if columns else f"{len(numbers)} columns"
        raise RecordError(f"PerColumn names the column {name!r}, and the examples have {known}")
    if not numbers[place]:
        raise RecordError(f"PerColumn names the column {name!r}, which holds categories: leave it out")
    return place


def _least(statistics: DataStatistics) -> tuple[Doubles, NDArray[np.bool_]]:
    """The minimum of each feature, and whether it is constant, (d,)."""
    ends = extent(statistics)
    return ends.least.ravel(), ends.constant.ravel()


def _precision(statistics: DataStatistics) -> float:
    """The relative rounding error of the examples."""
    dtype = statistics.values.dtype
    return float(np.finfo(dtype).eps) if dtype.kind == "f" else 0.0
