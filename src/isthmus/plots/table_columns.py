"""The columns of a table: their errors, and the distributions of new rows beside real ones."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from isthmus.errors import RecordError
from isthmus.estimators.table_columns import TableColumn, TableColumns
from isthmus.evaluation.column_result import ColumnFigure, ColumnFigures
from isthmus.plots.figure import Box, NotebookFigure, empty_figure, fit_to_boxes
from isthmus.plots.lettering import short_name
from isthmus.plots.result_check import requires_result
from isthmus.plots.table_rows import MAX_COLUMNS

__all__ = ["column_errors", "distributions"]

Doubles = NDArray[np.float64]

_REAL, _NEW, _INK = "0.72", "#c1570a", "0.15"
_BAR, _WIDTH = 30.0, 560.0  # height of a bar and width of the axes, in pixels
_CELL = (250.0, 150.0)  # width and height of a distribution, in pixels
_PER_LINE, _BINS, _MAX_CATEGORIES = 5, (8, 24), 8
_LARGEST = 1.5  # error at the end of the axis, if some are larger


@requires_result(ColumnFigures, "isthmus.evaluation.column_figures(ae, X)")
def column_errors(result: ColumnFigures, *, n: int = MAX_COLUMNS) -> Figure:
    """The error of each column as a bar, the largest first, with that of PCA of equal width and the column's own terms.

    An error of 0 is perfect, and 1 is no better than a constant: the mean, or the most frequent category.

    Args:
        result: the result of `isthmus.evaluation.column_figures`, or `Evaluation.by_column`.
        n: the largest number of columns.

    Raises:
        RecordError: n is below 1.
    """
    if n < 1:
        raise RecordError(f"invalid n={n}: expected at least 1 column")
    shown, total = result.worst(n), len(result.columns)
    count = (
        f"the {len(shown)} of {total:,} columns with the largest errors" if total > len(shown) else f"{total:,} columns"
    )
    alt = f"The errors of {count}; the largest is that of {shown[0].name}."
    figure = empty_figure(alt)
    axes = figure.add_axes((0, 0, 1, 1))
    errors = [each.error or 0.0 for each in shown]
    by_pca = [None if each.pca is None else each.pca.error for each in shown]
    end = max([1.05, *errors, *(each for each in by_pca if each is not None)])
    end = min(end, _LARGEST) * 1.03
    axes.barh(range(len(shown)), np.minimum(errors, end), height=0.62, color="C0", zorder=2)
    for place, (each, pca) in enumerate(zip(shown, by_pca, strict=True)):
        if pca is not None:
            axes.plot(
                min(pca, end),
                place,
                "D",
                color=_NEW,
                markersize=4,
                markeredgecolor="white",
                markeredgewidth=0.5,
                zorder=3,
            )
        _describe(axes, place, end, each)
    axes.axvline(1, color=_INK, linewidth=0.8, linestyle="--", zorder=1)
    axes.set_yticks(range(len(shown)), [short_name(each.name) for each in shown])
    axes.set(xlim=(0, end), ylim=(len(shown) - 0.5, -0.5))
    axes.set_xlabel("error: 0 is perfect, 1 no better than a constant", fontsize=8)
    axes.tick_params(labelsize=8, length=2)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="0.92", zorder=0)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_title(count if total > len(shown) else "", fontsize=8, loc="left", pad=26, color="0.35")
    _legend(axes, any(each is not None for each in by_pca))
    fit_to_boxes(figure, {axes: (0.0, 0.0, _WIDTH, _BAR * len(shown))})
    return figure


def _describe(axes: Axes, place: int, end: float, each: ColumnFigure) -> None:
    """Writes the error of a column and its own terms to the right of its bar."""
    error = "" if each.error is None else f"{each.error:.2f}"
    axes.text(end * 1.09, place, error, ha="right", va="center_baseline", fontsize=7.5, color=_INK)
    axes.text(end * 1.11, place, each.terms(), ha="left", va="center_baseline", fontsize=7, color="0.35")


def _legend(axes: Axes, pca: bool) -> None:
    handles: list[Any] = [Patch(color="C0", label="autoencoder")]
    if pca:
        handles.append(Line2D([], [], linestyle="", marker="D", markersize=4, color=_NEW, label="PCA of equal width"))
    axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=8, borderaxespad=0.2
    )


def distributions(columns: TableColumns, real: Doubles | None, new: Doubles, title: str, alt: str) -> Figure:
    """The distribution of each column, of new rows as a line or points and of real rows as an area or bars.

    Args:
        columns: of the table. At most `MAX_COLUMNS` are drawn, the first ones.
        real: the values of real rows (n, columns), NaN where they are missing; None without them.
        new: the values of new rows (m, columns).
        title: where the new rows come from, "" for the prior.
        alt: the description of the figure.
    """
    shown, total, figure = columns.columns[:MAX_COLUMNS], len(columns.columns), empty_figure(alt)
    width, height = _CELL
    boxes, lines = dict[Axes, Box](), -(-len(shown) // _PER_LINE)
    tall = height + 92.0
    for place, column in enumerate(shown):
        line, across = divmod(place, _PER_LINE)
        axes = figure.add_axes((0, 0, 1, 1), label=str(place))
        boxes[axes] = (across * (width + 34.0), (lines - 1 - line) * tall, width, height)
        ours, theirs = new[:, place], None if real is None else real[:, place]
        parts = [part[~np.isnan(part)] for part in (ours, theirs) if part is not None]
        if column.discrete:
            _draw_categories(axes, column, parts[0], parts[1] if real is not None else None)
        else:
            _draw_histogram(axes, column, parts[0], parts[1] if real is not None else None)
        axes.set_title(short_name(column.name), fontsize=8, pad=4)
        axes.set_yticks([])
        axes.tick_params(labelsize=7, length=2)
        axes.spines[["top", "right", "left"]].set_visible(False)
    _head(
        figure,
        boxes,
        (lines * tall, width),
        (real is not None, title, f"the first {MAX_COLUMNS} of {total:,} columns" * (total > MAX_COLUMNS)),
    )
    fit_to_boxes(figure, boxes)
    return figure


def _head(
    figure: NotebookFigure, boxes: dict[Axes, Box], place: tuple[float, float], texts: tuple[bool, str, str]
) -> None:
    """Adds axes with a legend and a sentence above the others."""
    (bottom, width), (real, *sentences) = place, texts
    axes = figure.add_axes((0, 0, 1, 1), label="legend")
    boxes[axes] = (0.0, bottom - 46.0, width, 20.0)
    axes.axis("off")
    axes.set_title("; ".join(filter(None, sentences)), fontsize=8, loc="left", pad=6, color="0.35")
    handles: list[Any] = [Patch(color=_REAL, label="real rows")] if real else []
    handles.append(Line2D([], [], color=_NEW, marker="o", markersize=3.5, linewidth=1.4, label="new rows"))
    axes.legend(
        handles=handles, loc="center left", bbox_to_anchor=(0, 0.5), ncols=2, frameon=False, fontsize=8, borderpad=0, borderaxespad=0
    )  # fmt: skip


def _draw_histogram(axes: Axes, column: TableColumn, new: Doubles, real: Doubles | None) -> None:
    """Densities of numbers or dates, within the central 99 % of all values."""
    pooled = new if real is None else np.concatenate([new, real])
    if not len(pooled):
        return
    low, high = np.quantile(pooled, (0.005, 0.995))
    few, rows = (
        column.kind == "integer" and high - low <= 2 * _BINS[1],
        len(new) if real is None else min(len(real), len(new)),
    )
    if few:
        edges = np.arange(np.floor(low), np.ceil(high) + 2) - 0.5
    else:
        low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
        edges = np.linspace(low, high, min(max(math.isqrt(rows), _BINS[0]), _BINS[1]) + 1)
    if real is not None and len(real):
        axes.stairs(
            np.histogram(np.clip(real, edges[0], edges[-1]), edges)[0] / len(real), edges, fill=True, color=_REAL
        )
    if len(new):
        axes.stairs(
            np.histogram(np.clip(new, edges[0], edges[-1]), edges)[0] / len(new), edges, color=_NEW, linewidth=1.3
        )
    axes.set(xlim=(edges[0], edges[-1]))
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=few))
    if column.kind == "date":
        unit: Literal["Y", "M", "D"] = "Y" if high - low > 3000 else "M" if high - low > 90 else "D"
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _date(value, unit)))


def _date(days: float, unit: Literal["Y", "M", "D"]) -> str:
    """A date as text up to its year, month or day, from days since 1970."""
    return str(np.datetime64(round(days), "D").astype(f"datetime64[{unit}]"))


def _draw_categories(axes: Axes, column: TableColumn, new: Doubles, real: Doubles | None) -> None:
    """Frequencies of the most frequent categories; others together in the last bar."""
    m = len(column.categories)
    counts = [
        np.bincount(part.astype(np.int64), minlength=m) / max(1, len(part)) for part in (new, real) if part is not None
    ]
    order = np.arange(m)
    if m > _MAX_CATEGORIES:
        order = np.sort(np.argsort(-counts[-1], kind="stable")[: _MAX_CATEGORIES - 1])
    names = [column.categories[each] for each in order]
    heights = [count[order] for count in counts]
    if m > _MAX_CATEGORIES:
        names.append(f"{m - len(order)} others")
        heights = [np.append(each, 1 - each.sum()) for each in heights]
    if real is not None:
        axes.bar(range(len(names)), heights[1], width=0.7, color=_REAL)
    axes.plot(range(len(names)), heights[0], "o", color=_NEW, markersize=4)
    axes.set_ylim(bottom=0)
    longest = max(map(len, names))
    slanted = len(names) * longest > 26
    axes.set_xticks(range(len(names)), [short_name(name, 10) for name in names])
    if slanted:
        axes.tick_params(axis="x", rotation=35)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
