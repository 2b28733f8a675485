"""Several autoencoders in one picture: their reconstructions under each other, their errors against what they cost."""

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
from isthmus.plots.grids import Array, ImageShape, as_pictures, grid, limits
from isthmus.plots.lettering import letter, named

__all__ = ["Line", "against", "tradeoff", "under_each_other"]

Texts = list[tuple[float, float, str, str]]  # at x and y what to write, in which color

_WIDE = 4.0  # values that differ more than so many times get a logarithmic axis
_GREY = "0.45"  # of PCA
_ACROSS = 60  # letters that stand side by side below an axis
_PLACES = [
    (side, up) for up in (0, 1, -1, 2, -2, 3, -3, 4, -4) for side in (1, -1)
]  # of a label beside its point, in lines


class Line(NamedTuple):
    """One curve of `against`: its name, and the errors (n values, m random states)."""

    name: str
    errors: NDArray[np.float64]


def under_each_other(examples: Array, rows: Mapping[str, Array], image_shape: ImageShape = None) -> Figure:
    """Examples (n, *shape) in the first row, and named reconstructions of them in rows below."""
    cells: Array = np.stack([as_pictures(row, image_shape) for row in (examples, *rows.values())])
    alt = f"{len(examples)} examples, and under each other their reconstructions by {len(rows)} autoencoders."
    return grid(cells, limits(examples, image_shape), alt, rows=["original", *rows])


def tradeoff(
    points: Sequence[tuple[str, float, float]], pca: Sequence[tuple[float, float]], xlabel: str, ylabel: str
) -> Figure:
    """Named points (x, error), and PCA's errors at the same x as a dashed line."""
    best = min(points, key=lambda point: point[2])
    alt = f"The error of {len(points)} autoencoders against {xlabel}; {best[0]} has the least, {best[2]:.4g}."
    figure, axes = chart(alt, 7.0, 4.6)
    texts: Texts = [(x, y, named(name), f"C{place % 10}") for place, (name, x, y) in enumerate(points)]
    for x, y, _, color in texts:
        axes.plot(x, y, "o", color=color, markersize=7)
    if len(pca) == 1:
        axes.axhline(pca[0][1], color=_GREY, linestyle="--", linewidth=1)
        texts.append((max(x for _, x, _ in points), pca[0][1], "PCA", _GREY))
    elif pca:
        axes.plot(*zip(*pca, strict=True), color=_GREY, linestyle="--", linewidth=1, marker="s", markersize=3)
        texts.append((*pca[-1], "PCA", _GREY))
    _scale_x(axes, [x for _, x, _ in points], texts)
    _scale_y(axes, [y for _, _, y in points] + [y for _, y in pca])
    axes.set(xlabel=xlabel, ylabel=ylabel)
    _label(figure, axes, texts)
    return figure


def against(
    values: Sequence[Any],
    lines: Sequence[Line],
    pca: Sequence[float | None],
    chosen: tuple[int, int, str],
    xlabel: str,
    ylabel: str,
) -> Figure:
    """Errors against the values of a field: means with a band from the least to the largest of all random states.

    Args:
        pca: the error of PCA of equal width at each value, None where there is none.
        chosen: the place of the line and of the value that is recommended, and what to write there.
    """
    line, place, words = chosen
    alt = f"{ylabel} against {xlabel}; {words}: {values[place]}, {lines[line].errors[place].mean():.4g}."
    figure, axes = chart(alt, 7.0, 4.6)
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    xs = [float(value) for value in values] if numeric else [float(i) for i in range(len(values))]
    order = np.argsort(xs)
    texts: Texts = []
    for number, (name, errors) in enumerate(lines):
        _draw_line(axes, np.array(xs)[order], errors[order], f"C{number % 10}", numeric)
        texts.append((xs[order[-1]], float(errors[order[-1]].mean()), named(name), f"C{number % 10}"))
    there = [(x, y) for x, y in sorted(zip(xs, pca, strict=True)) if y is not None]
    if there:
        axes.plot(
            *zip(*there, strict=True), "--" if numeric else "", color=_GREY, linewidth=1, marker="s", markersize=3
        )
        texts.append((*there[-1], "PCA", _GREY))
    x, y = xs[place], float(lines[line].errors[place].mean())
    axes.plot(x, y, "o", color=f"C{line % 10}", markersize=11, fillstyle="none", markeredgewidth=1.5)
    texts.append((x, y, words, "black"))
    _scale_x(axes, xs if numeric else None, texts, [str(value) for value in values])
    _scale_y(axes, [float(e) for each in lines for e in each.errors.ravel()] + [e for _, e in there])
    axes.set(xlabel=xlabel, ylabel=ylabel)
    _label(figure, axes, texts)
    return figure


def _draw_line(axes: Axes, xs: Array, errors: Array, color: str, joined: bool) -> None:
    """The means of errors (n, m) over the random states, and how far these reach: a band, or bars where values are no numbers."""
    means, low, high = errors.mean(1), errors.min(1), errors.max(1)
    axes.plot(xs, means, "-" if joined else "", marker="o", markersize=4, color=color)
    if errors.shape[1] > 1 and joined:
        axes.fill_between(xs, low, high, color=color, alpha=0.2, linewidth=0)
    elif errors.shape[1] > 1:
        axes.errorbar(xs, means, yerr=[means - low, high - means], fmt="none", color=color, capsize=3, linewidth=1)


def _scale_x(axes: Axes, xs: Sequence[float] | None, texts: Texts, ticks: Sequence[str] = ()) -> None:
    """A logarithmic axis where the values ask for it, with room at its right for texts; ticks at the values, where they are few."""
    right = min(
        0.5, 0.05 + 0.015 * max(len(text) for *_, text, _ in texts)
    )  # of the way from the first value to the last
    if xs is None:
        texts_of = list(map(named, ticks))
        slanted: dict[str, Any] = {"rotation": 25, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(range(len(ticks)), texts_of, **(slanted if sum(map(len, texts_of)) > _ACROSS else {}))
        axes.set_xlim(-0.5, len(ticks) - 1 + max(0.5, right * len(ticks)))
        return
    low, high = min(xs), max(xs)
    if low > 0 and high / low >= _WIDE:
        axes.set_xscale("log", base=2)
        axes.set_xlim(low / (high / low) ** 0.06, high * (high / low) ** right)
    else:
        wide = high - low or abs(high) or 1.0
        axes.set_xlim(low - 0.06 * wide, high + right * wide)
    if len(set(xs)) <= 8:
        axes.xaxis.set_major_locator(FixedLocator(sorted(set(xs))))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))


def _scale_y(axes: Axes, ys: Sequence[float]) -> None:
    """A logarithmic axis where the errors ask for it."""
    if min(ys) > 0 and max(ys) / min(ys) >= _WIDE:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))
    axes.grid(axis="y", color="0.92")
    axes.set_axisbelow(True)


def _label(figure: Figure, axes: Axes, texts: Texts) -> None:
    """Writes each text beside its point (x, y, text, color), where it touches neither another text nor a point, if there is room."""
    canvas: Any = FigureCanvasAgg(figure)  # untyped
    canvas.draw()
    dots = [axes.transData.transform((x, y)) for x, y, *_ in texts]
    taken = [Bbox.from_extents(x - 6, y - 6, x + 6, y + 6) for x, y in dots]
    taken += [Bbox.from_extents(x - 2, y - 2, x + 2, y + 2) for line in axes.lines for x, y in _along(line)]
    for x, y, text, color in texts:
        note = axes.annotate(
            text, (x, y), (0, 0), textcoords="offset points", color=color, fontsize=9, va="center", in_layout=False,
            arrowprops={"arrowstyle": "-", "color": "0.75", "linewidth": 0.8, "shrinkA": 0, "shrinkB": 3},
        )  # fmt: skip
        letter(note)

        def box(place: tuple[int, int], note: Any = note) -> Bbox:
            note.set_position((9 * place[0], 13 * place[1]))
            note.set_horizontalalignment("left" if place[0] > 0 else "right")
            note.update_positions(canvas.get_renderer())
            found: Bbox = Text.get_window_extent(note, canvas.get_renderer())  # without its arrow
            return found

        def crossed(place: tuple[int, int], box: Any = box) -> float:
            there = box(place)
            return sum(_shared(there, other) for other in taken) + 10 * _outside(there, figure.bbox)

        best = min(_PLACES, key=crossed)
        taken.append(box(best))
        note.arrow_patch.set_visible(abs(best[1]) > 1)  # type: ignore[union-attr]  # it has one


def _along(line: Line2D) -> Array:
    """Pixels (n, 2) along what is drawn of a curve."""
    corners: Array = line.get_transform().transform(line.get_xydata())
    if line.get_linestyle() == "None" or len(corners) < 2:
        return corners
    steps = np.linspace(0, 1, 40)[:, None, None]
    return np.concatenate(corners[:-1] + steps * (corners[1:] - corners[:-1]))


def _shared(a: BboxBase, b: BboxBase) -> float:
    """The area that two boxes have in common."""
    wide, high = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    return max(0.0, float(wide)) * max(0.0, float(high))


def _outside(box: Bbox, whole: BboxBase) -> float:
    """The area of a box that a figure does not show."""
    return _shared(box, box) - _shared(box, whole)
