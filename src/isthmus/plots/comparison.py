"""Comparisons of several autoencoders: rows of reconstructions, and errors against a cost or a setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator
from matplotlib.transforms import Bbox, BboxBase
from numpy.typing import NDArray

from isthmus.plots.figure import chart
from isthmus.plots.grids import Array, ImageShape, as_cells, grid, limits
from isthmus.plots.lettering import sanitize_text, short_name

__all__ = ["Line", "error_curves", "stacked_reconstructions", "tradeoff"]

Texts = list[tuple[float, float, str, str]]  # x and y of a point, its label and the color of the label

_LOG_RATIO = 4.0  # the axis is logarithmic from this ratio of the largest to the smallest value
_GRAY = "0.45"  # of PCA
_LABELS_WIDTH = 60  # characters of tick labels that fit below an axis without slanting
_LABEL_OFFSETS = [
    (side, up) for up in (0, 1, -1, 2, -2, 3, -3, 4, -4) for side in (1, -1)
]  # horizontal side and vertical shift, in lines, of a label


class Line(NamedTuple):
    """One curve of `error_curves`: its name, and errors of shape (n values, m random states)."""

    name: str
    errors: NDArray[np.float64]


def stacked_reconstructions(
    examples: Array, rows: Mapping[str, Array], image_shape: ImageShape = None, targets: Array | None = None
) -> Figure:
    """Draws examples (n, *shape) in the first row, one row of reconstructions for each name below, and targets in the last row."""
    alt = f"{len(examples)} examples in the first row, and their reconstructions by {len(rows)} autoencoders in the rows below."
    names, values, shown = ["original", *rows], [examples, *rows.values()], examples
    if targets is not None:
        names, values = ["input", *rows, "target"], [*values, targets]
        shown = np.concatenate([np.asarray(examples), targets])
        alt = f"{alt[:-1]}; the last row has the targets."
    cells: Array = np.stack([as_cells(row, image_shape) for row in values])
    return grid(cells, limits(shown, image_shape), alt, rows=names)


def tradeoff(
    points: Sequence[tuple[str, float, float]], pca: Sequence[tuple[float, float]], xlabel: str, ylabel: str
) -> Figure:
    """Draws named points (x, error), and the errors of PCA at the same x as a dashed line."""
    lowest = min(points, key=lambda point: point[2])
    alt = f"The error of {len(points)} autoencoders against {xlabel}; {lowest[0]} has the lowest, {lowest[2]:.4g}."
    figure, axes = chart(alt, 7.0, 4.6)
    texts: Texts = [(x, y, short_name(name), f"C{place % 10}") for place, (name, x, y) in enumerate(points)]
    for x, y, _, color in texts:
        axes.plot(x, y, "o", color=color, markersize=7)
    if len(pca) == 1:
        axes.axhline(pca[0][1], color=_GRAY, linestyle="--", linewidth=1)
        texts.append((max(x for _, x, _ in points), pca[0][1], "PCA", _GRAY))
    elif pca:
        axes.plot(*zip(*pca, strict=True), color=_GRAY, linestyle="--", linewidth=1, marker="s", markersize=3)
        texts.append((*pca[-1], "PCA", _GRAY))
    _scale_x(axes, [x for _, x, _ in points], texts)
    _scale_y(axes, [y for _, _, y in points] + [y for _, y in pca])
    axes.set(xlabel=xlabel, ylabel=ylabel)
    _label(figure, axes, texts)
    return figure


def error_curves(
    values: Sequence[Any],
    lines: Sequence[Line],
    pca: Sequence[float | None],
    recommended: tuple[int, int, str],
    xlabel: str,
    ylabel: str,
) -> Figure:
    """Draws errors against the values of a setting: means, with a band from the minimum to the maximum over random states.

    Args:
        values: the values of the setting; those that are not numbers get equal steps.
        lines: one curve for each combination of the other settings. An error that is not finite does not count.
        pca: the error of PCA with as many components as the code has dimensions, for each value. None if there is none.
        recommended: index of the recommended line, index of its value, and the label of that point.
        xlabel: the name of the setting.
        ylabel: the error, with its unit.
    """
    line, place, label = recommended
    recommended_error = float(_over_states(lines[line].errors)[0][place])
    alt = f"{ylabel} against {xlabel}; {label}: {values[place]}, {recommended_error:.4g}."
    figure, axes = chart(alt, 7.0, 4.6)
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    xs = [float(value) for value in values] if numeric else [float(i) for i in range(len(values))]
    order = np.argsort(xs)
    texts: Texts = []
    for number, (name, errors) in enumerate(lines):
        means = _draw_line(axes, np.array(xs)[order], errors[order], f"C{number % 10}", numeric)
        known = np.flatnonzero(np.isfinite(means))
        if len(known):
            texts.append((xs[order[known[-1]]], float(means[known[-1]]), short_name(name), f"C{number % 10}"))
    pca_points = [(x, y) for x, y in sorted(zip(xs, pca, strict=True)) if y is not None]
    if pca_points:
        axes.plot(
            *zip(*pca_points, strict=True), "--" if numeric else "", color=_GRAY, linewidth=1, marker="s", markersize=3
        )
        texts.append((*pca_points[-1], "PCA", _GRAY))
    x, y = xs[place], recommended_error
    axes.plot(x, y, "o", color=f"C{line % 10}", markersize=11, fillstyle="none", markeredgewidth=1.5)
    texts.append((x, y, label, "black"))
    _scale_x(axes, xs if numeric else None, texts, [str(value) for value in values])
    drawn = [float(error) for each in lines for error in each.errors.ravel() if np.isfinite(error)]
    _scale_y(axes, drawn + [error for _, error in pca_points])
    axes.set(xlabel=xlabel, ylabel=ylabel)
    _label(figure, axes, texts)
    return figure


def _over_states(errors: Array) -> tuple[Array, Array, Array]:
    """Mean, minimum and maximum of errors (n, m) over the random states that have a finite one; NaN where none has."""
    known = np.ma.masked_invalid(errors)
    return known.mean(1).filled(np.nan), known.min(1).filled(np.nan), known.max(1).filled(np.nan)


def _draw_line(axes: Axes, xs: Array, errors: Array, color: str, joined: bool) -> Array:
    """Draws the means of errors (n, m) over random states, and their range as a band (error bars for values that are not numbers).

    Returns the means.
    """
    means, low, high = _over_states(errors)
    axes.plot(xs, means, "-" if joined else "", marker="o", markersize=4, color=color)
    if errors.shape[1] > 1 and joined:
        axes.fill_between(xs, low, high, color=color, alpha=0.2, linewidth=0)
    elif errors.shape[1] > 1:
        axes.errorbar(xs, means, yerr=[means - low, high - means], fmt="none", color=color, capsize=3, linewidth=1)
    return means


def _scale_x(axes: Axes, xs: Sequence[float] | None, texts: Texts, ticks: Sequence[str] = ()) -> None:
    """Scales the x axis: logarithmic for a large range, with room for labels on the right, and ticks at up to 8 values."""
    right = min(0.5, 0.05 + 0.015 * max(len(text) for *_, text, _ in texts))  # fraction of the range
    if xs is None:
        texts_of = list(map(short_name, ticks))
        slanted: dict[str, Any] = {"rotation": 25, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(range(len(ticks)), texts_of, **(slanted if sum(map(len, texts_of)) > _LABELS_WIDTH else {}))
        axes.set_xlim(-0.5, len(ticks) - 1 + max(0.5, right * len(ticks)))
        return
    low, high = min(xs), max(xs)
    if low > 0 and high / low >= _LOG_RATIO:
        axes.set_xscale("log", base=2)
        axes.set_xlim(low / (high / low) ** 0.06, high * (high / low) ** right)
    else:
        width = high - low or abs(high) or 1.0
        axes.set_xlim(low - 0.06 * width, high + right * width)
    if len(set(xs)) <= 8:
        axes.xaxis.set_major_locator(FixedLocator(sorted(set(xs))))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))


def _scale_y(axes: Axes, ys: Sequence[float]) -> None:
    """Scales the y axis: logarithmic for a large range of errors."""
    if min(ys) > 0 and max(ys) / min(ys) >= _LOG_RATIO:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))
    axes.grid(axis="y", color="0.92")
    axes.set_axisbelow(True)


def _label(figure: Figure, axes: Axes, texts: Texts) -> None:
    """Writes each label next to its point, where it overlaps other labels and points least."""
    canvas: Any = FigureCanvasAgg(figure)  # untyped
    canvas.draw()
    dots = [axes.transData.transform((x, y)) for x, y, *_ in texts]
    occupied = [Bbox.from_extents(x - 6, y - 6, x + 6, y + 6) for x, y in dots]
    occupied += [Bbox.from_extents(x - 2, y - 2, x + 2, y + 2) for line in axes.lines for x, y in _line_pixels(line)]
    for x, y, text, color in texts:
        annotation = axes.annotate(
            text, (x, y), (0, 0), textcoords="offset points", color=color, fontsize=9, va="center", in_layout=False,
            arrowprops={"arrowstyle": "-", "color": "0.75", "linewidth": 0.8, "shrinkA": 0, "shrinkB": 3},
        )  # fmt: skip
        sanitize_text(annotation)

        def box(place: tuple[int, int], annotation: Any = annotation) -> Bbox:
            annotation.set_position((9 * place[0], 13 * place[1]))
            annotation.set_horizontalalignment("left" if place[0] > 0 else "right")
            annotation.update_positions(canvas.get_renderer())
            extent: Bbox = Text.get_window_extent(annotation, canvas.get_renderer())  # without its arrow
            return extent

        def overlap_cost(place: tuple[int, int], box: Any = box) -> float:
            extent = box(place)
            return sum(_overlap(extent, other) for other in occupied) + 10 * _area_outside(extent, figure.bbox)

        offset = min(_LABEL_OFFSETS, key=overlap_cost)
        occupied.append(box(offset))
        annotation.arrow_patch.set_visible(abs(offset[1]) > 1)  # type: ignore[union-attr]  # it has one


def _line_pixels(line: Line2D) -> Array:
    """Pixels (n, 2) along a line as it is drawn."""
    corners: Array = line.get_transform().transform(line.get_xydata())
    if line.get_linestyle() == "None" or len(corners) < 2:
        return corners
    steps = np.linspace(0, 1, 40)[:, None, None]
    return np.concatenate(corners[:-1] + steps * (corners[1:] - corners[:-1]))


def _overlap(a: BboxBase, b: BboxBase) -> float:
    """The area of the intersection of two boxes, in square pixels."""
    width, high = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    return max(0.0, float(width)) * max(0.0, float(high))


def _area_outside(box: Bbox, whole: BboxBase) -> float:
    """The area of a box outside the figure, in square pixels."""
    return _overlap(box, box) - _overlap(box, whole)
