"""Rows of a table by named columns: a dot for each number on a standardized axis, and categories as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from isthmus.estimators.base import FittedAutoencoder
from isthmus.estimators.table_columns import TableColumn, TableColumns, table_columns
from isthmus.plots.figure import Box, empty_figure, fit_to_boxes
from isthmus.plots.lettering import short_name

__all__ = ["MAX_COLUMNS", "Marks", "draw_table_rows", "draws_columns"]

Array = NDArray[Any]
Doubles = NDArray[np.float64]
Role = Literal["given", "true", "made"]

MAX_COLUMNS = 40  # of a table in one figure
_PER_LINE = 5  # rows of the table side by side
_ROW, _WIDTH, _GAP, _BETWEEN = 26.0, 236.0, 14.0, 62.0  # height of a column, width of a panel, and gaps, in pixels
_LIMIT = 3.4  # of the axis, in standard deviations
_INK, _MADE, _GIVEN = "0.15", "#c1570a", "0.55"
_STYLES: dict[Role, dict[str, Any]] = {
    "given": {"marker": "x", "color": _GIVEN, "markersize": 4.5, "markeredgewidth": 1.1},
    "true": {"marker": "o", "color": _INK, "markersize": 5.5, "markerfacecolor": "none", "markeredgewidth": 1.0},
    "made": {"marker": "o", "color": _MADE, "markersize": 3.2},
}  # of what the model saw, of what is right, and of reconstructions


class Marks(NamedTuple):
    """Rows of a table that are marked in one way.

    Attributes:
        name: what they are.
        role: what the model saw, what is right, or what was made of it.
        features: (n, d), NaN where a value is missing.
    """

    name: str
    role: Role
    features: Array


class _Scale(NamedTuple):
    """The standardized axis: (value - center) / scale, and the name of its unit."""

    center: Doubles
    scale: Doubles
    name: str


def draws_columns(ae: FittedAutoencoder, image_shape: tuple[int, ...] | None) -> TableColumns | None:
    """The columns of the table that an autoencoder was trained on, if its examples are drawn by them; else None."""
    return None if image_shape is not None else table_columns(ae)


def draw_table_rows(ae: FittedAutoencoder, columns: TableColumns, marks: Sequence[Marks], alt: str) -> Figure:
    """Draws rows of a table side by side: a line for each column, with the values of all marks in it.

    A number, a whole number or a date is a dot; a category is a text, with an arrow to another category that was made of it. The axis
    is that of the training data; dots beyond it are at its ends.

    Args:
        ae: the autoencoder.
        columns: of its table. At most `MAX_COLUMNS` are drawn, the first ones.
        marks: the rows, the same number of each.
        alt: the description of the figure.
    """
    shown, total = columns.columns[:MAX_COLUMNS], len(columns.columns)
    scale = _axis(ae, columns)
    values = [
        columns.observed(each.features) if each.role != "made" else columns.values(each.features) for each in marks
    ]
    n, figure = len(values[0]), empty_figure(alt)
    height, boxes = _ROW * len(shown), dict[Axes, Box]()
    lines = -(-n // _PER_LINE)
    for place in range(n):
        line, across = divmod(place, _PER_LINE)
        axes = figure.add_axes((0, 0, 1, 1), label=str(place))
        boxes[axes] = (across * (_WIDTH + _GAP), (lines - 1 - line) * (height + _BETWEEN), _WIDTH, height)
        _draw_row(axes, shown, marks, [each[place] for each in values], scale)
        axes.set_title(f"row {place + 1}", fontsize=7, pad=3, color="0.35")
        axes.set_yticks(range(len(shown)), [short_name(each.name) for each in shown] if not across else [])
        if place + _PER_LINE < n:
            axes.set_xticklabels([])
    if any(not each.discrete for each in shown):
        axes.set_xlabel(scale.name, fontsize=7, color="0.35", loc="right")
    else:
        axes.set_xticks([])
    hidden = f"the first {len(shown)} of {total:,} columns" if total > len(shown) else ""
    legend = figure.add_axes((0, 0, 1, 1), label="legend")
    boxes[legend] = (0.0, lines * (height + _BETWEEN) - 24.0, _WIDTH, 20.0)
    _draw_legend(legend, marks, any(each.discrete for each in shown), hidden)
    fit_to_boxes(figure, boxes)
    return figure


def _axis(ae: FittedAutoencoder, columns: TableColumns) -> _Scale:
    """The standardized axis of each column: in standard deviations if the model scales by them, else in quarters of the range."""
    places, model = [column.first for column in columns.columns], ae.model_
    if model.scaling.by_feature and model.scaling.centered:
        shift, scale = (np.broadcast_to(side, ae.shape_)[places].astype(np.float64) for side in model.affine)
        return _Scale(shift, scale, "standard deviations from the training mean")
    extent = model.extent
    assert extent is not None
    low, high = (np.broadcast_to(side, ae.shape_)[places].astype(np.float64) for side in extent)
    spread = np.where(high > low, high - low, 1.0)
    return _Scale((low + high) / 2, spread / 6, "sixths of the training range, from its middle")


def _draw_row(
    axes: Axes, shown: Sequence[TableColumn], marks: Sequence[Marks], values: Sequence[Doubles], scale: _Scale
) -> None:
    """Draws the values of one row of the table in its axes."""
    for place in range(0, len(shown), 2):
        axes.axhspan(place - 0.5, place + 0.5, color="0.955", linewidth=0, zorder=0)
    for place, column in enumerate(shown):
        those = [float(each[place]) for each in values]
        if column.discrete:
            _write_category(axes, place, column, marks, those)
            continue
        axes.plot([0, 0], [place - 0.5, place + 0.5], color="0.85", linewidth=0.7, zorder=1)
        at = [min(max((value - scale.center[place]) / scale.scale[place], -_LIMIT), _LIMIT) for value in those]
        ends = [x for x, each in zip(at, marks, strict=True) if each.role != "given" and not np.isnan(x)]
        axes.plot(ends, [place] * len(ends), color=_MADE, linewidth=1.0, alpha=0.55, zorder=2)
        for x, each in zip(at, marks, strict=True):
            axes.plot(x, place, zorder=3, linestyle="", **_STYLES[each.role])
    axes.set(xlim=(-_LIMIT - 0.25, _LIMIT + 0.25), ylim=(len(shown) - 0.5, -0.5), xticks=(-3, 0, 3))
    axes.tick_params(length=0, labelsize=7)
    axes.tick_params(axis="x", labelcolor="0.45")
    axes.spines[:].set_visible(False)


def _write_category(
    axes: Axes, place: int, column: TableColumn, marks: Sequence[Marks], values: Sequence[float]
) -> None:
    """Writes the categories of one cell: what is right or was given, and what was made of it if that is another one."""
    by_role = {each.role: value for each, value in zip(marks, values, strict=True)}
    before = by_role.get("given", by_role.get("true", np.nan))
    right = by_role.get("true", np.nan)
    names = [_label(column, before)]
    wrong = "made" in by_role and by_role["made"] != right
    if "made" in by_role and by_role["made"] != before:
        names.append(_label(column, by_role["made"]))
    length = 26 // len(names)
    axes.text(
        0,
        place,
        " → ".join(short_name(name, length) for name in names),
        ha="center",
        va="center_baseline",
        fontsize=6.5,
        color=_MADE if wrong and not np.isnan(right) else _INK,
        fontweight="bold" if wrong and not np.isnan(right) else "normal",
        zorder=4,
    )


def _label(column: TableColumn, value: float) -> str:
    """The name of a category; "?" for a missing one."""
    return "?" if np.isnan(value) else column.categories[int(value)]


def _draw_legend(axes: Axes, marks: Sequence[Marks], categories: bool, hidden: str) -> None:
    """Explains the marks in axes of their own."""
    roles, parts = {each.role: each.name for each in marks}, [hidden] if hidden else []
    if categories and "made" in roles and len(roles) > 1:
        before = roles.get("given", roles.get("true", ""))
        parts.append(
            f"categories: {before} → {roles['made']} if that is another one"
            + ", bold if it is wrong" * ("true" in roles)
        )
    axes.axis("off")
    axes.set_title("; ".join(parts), fontsize=7, pad=6, loc="left", color="0.35")
    handles = [Line2D([], [], linestyle="", label=each.name, **_STYLES[each.role]) for each in marks]
    axes.legend(
        handles=handles, loc="center left", bbox_to_anchor=(0.0, 0.5), ncols=len(handles), frameon=False, fontsize=7,
        borderpad=0, borderaxespad=0, handletextpad=0.3, columnspacing=1.4,
    )  # fmt: skip
