"""Grids of examples: images or curves in rows and columns. Each pixel of an image is a whole number of screen pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, PolyCollection
from numpy.typing import NDArray

from isthmus.data import Examples, as_examples
from isthmus.data.context_array import dense
from isthmus.data.kinds import ImageArray, Kind
from isthmus.data.kinds import image_shape as shape_of
from isthmus.data.validation import Missing
from isthmus.errors import DataError, NotPossibleError
from isthmus.estimators.base import FittedAutoencoder
from isthmus.plots.figure import Box, NotebookFigure, empty_figure, fit_to_boxes
from isthmus.plots.lettering import short_name

__all__ = [
    "Cells",
    "SeriesShape",
    "array_image_shape",
    "as_cells",
    "color_bar",
    "draw",
    "first_examples",
    "grid",
    "limits",
    "model_image_shape",
    "zoom",
]

Array = NDArray[Any]
ImageShape = tuple[int, ...] | None
Limits = tuple[Any, Any]  # two numbers, or two rows (d,) for curves with a scale for each feature

CURVE_SIZE = (84, 140)  # height and width of a cell with a curve, in pixels
MAX_DOTS = 40  # features of a row that are drawn as dots and not joined, since they may be columns of a table
MIN_CELL = 16  # smaller cells are enlarged, so that the gaps stay narrow
MAX_WIDTH, MAX_HEIGHT = 1500.0, 1050.0  # of a grid, in pixels


class Cells(NamedTuple):
    """The layout of a grid: offsets of the cells, size of a cell and of the grid (height, width), in pixels of the examples."""

    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    cell: tuple[int, int]
    size: tuple[int, int]


def first_examples(X: Any, n: int | None = None, missing: Missing | None = None) -> Array:
    """The first n examples as a validated array; all without n. Raises `DataError` if there is none."""
    if X is None:
        raise DataError("this figure requires examples: pass X, an array (n, *shape)")
    if n is not None and n < 1:
        raise DataError(f"invalid n={n}: expected at least 1 example")
    shape = (
        getattr(X[0], "shape", None) if isinstance(X, list | tuple) and X else None
    )  # fixes the shape also for few examples
    first = X.some(slice(n)) if isinstance(X, Examples) else X[:n]
    values = as_examples(first, missing=missing, shape=None if shape is None else tuple(shape)).values
    return values if n is None else dense(values)


def limits(examples: Any, image_shape: ImageShape = None) -> Limits:
    """The values of black and white: 0 and 255 for bytes (unless all are dark), otherwise the minimum and the maximum.

    Curves get limits for each feature if their ranges differ more than tenfold, as in a table, and for each channel of a series.
    """
    values, shape = as_cells(examples, image_shape), _shape(examples, image_shape)
    if values.dtype == np.uint8 and values.max() > 127:
        return 0.0, 255.0
    low, high = np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)
    if values.ndim == 2:
        low, high = low.astype(np.float64), high.astype(np.float64)
        if isinstance(shape, SeriesShape) and shape[1] > 1:
            low, high = (_of_channels(side, shape, by) for side, by in ((low, np.nanmin), (high, np.nanmax)))
            return low, np.where(high == low, low + 1.0, high)
        spread = (high - low)[high > low]
        if spread.size and spread.max() > 10 * np.median(spread):
            return low, np.where(high > low, high, low + 1.0)
    least, largest = float(low.min()), float(high.max())
    return (least, largest) if largest > least else (least, least + 1.0)


def _of_channels(values: Array, shape: tuple[int, ...], by: Callable[..., Any]) -> Array:
    """A value for each place of the curves of a window: that of its channel, of the values of all places; NaN between channels."""
    gap = _gap(shape)
    channels = np.pad(values, (0, gap), constant_values=np.nan).reshape(shape[1], -1)
    found = np.repeat(by(channels, axis=1)[:, None], channels.shape[1], axis=1)
    found[:, -gap:] = np.nan
    return found.reshape(-1)[:-gap]


def _gap(shape: tuple[int, ...]) -> int:
    """The steps between the curves of two channels."""
    return max(1, shape[0] // 12)


class SeriesShape(tuple[int, ...]):
    """The shape (time, channels) of windows of a series, which are drawn as a curve for each channel, side by side."""


def _drawn_shape(shape: tuple[int, ...], kind: Kind) -> tuple[int, ...]:
    """The shape as which examples are drawn."""
    sides = shape_of(shape, kind)
    return SeriesShape(sides) if kind != "images" and len(sides) == 2 else sides


def model_image_shape(ae: FittedAutoencoder, image_shape: ImageShape = None) -> ImageShape:
    """The given image shape, or without one the shape of the images or windows on which the autoencoder was trained."""
    return _drawn_shape(ae.shape_, ae.kind_) if image_shape is None else image_shape


def array_image_shape(examples: Array, image_shape: ImageShape = None) -> tuple[int, ...]:
    """The given image shape, or without one the shape of examples (n, *shape), as images if they are an `ImageArray`."""
    kind: Kind = "images" if isinstance(examples, ImageArray) else "windows"
    return _drawn_shape(examples.shape[1:], kind) if image_shape is None else image_shape


def _shape(examples: Any, image_shape: ImageShape) -> tuple[int, ...]:
    """The shape as which an example is drawn."""
    return array_image_shape(examples if isinstance(examples, ImageArray) else np.asarray(examples), image_shape)


def as_cells(examples: Any, image_shape: ImageShape = None) -> Array:
    """Examples (n, *shape) as grayscale images (n, h, w), color images (n, h, w, 3) or curves (n, d).

    A row of d features is a curve, unless image_shape is given or the array is an `ImageArray`. Channels other than three are laid side
    by side; those of windows of a series are curves with NaN between them.

    Raises:
        DataError: image_shape does not fit.
        NotPossibleError: an example is neither a row nor an image.
    """
    values, image_shape = np.asarray(examples), _shape(examples, image_shape)
    shape = values.shape[1:]
    if np.prod(image_shape) != np.prod(shape):
        raise DataError(
            f"invalid image_shape={image_shape} for examples of shape {shape}: expected height, width (and channels)"
        )
    values = values.reshape(len(values), *image_shape)
    if isinstance(image_shape, SeriesShape):
        gap = _gap(image_shape)
        curves = np.pad(
            values.transpose(0, 2, 1).astype(np.float64), ((0, 0), (0, 0), (0, gap)), constant_values=np.nan
        )
        return curves.reshape(len(values), -1)[:, :-gap]
    if values.ndim == 4 and values.shape[-1] != 3:
        n, h, w, channels = values.shape
        values = values.transpose(0, 1, 3, 2).reshape(n, h, channels * w)
    if values.ndim not in {2, 3, 4}:
        raise NotPossibleError(
            f"examples of shape {shape} are not images: pass image_shape=(height, width) to draw them as images"
        )
    return values


def arrange(rows: int, columns: int, cell: tuple[int, int], group: tuple[int, int]) -> Cells:
    """The layout of a grid: a small gap between cells, and a larger one between groups of rows or of columns."""
    gap = max(1, round(0.07 * min(cell)))

    def starts(count: int, side: int, per_group: int) -> tuple[int, ...]:
        return tuple(i * (side + gap) + i // per_group * 2 * gap for i in range(count))

    tops, lefts = starts(rows, cell[0], group[0]), starts(columns, cell[1], group[1])
    return Cells(tops, lefts, cell, (tops[-1] + cell[0], lefts[-1] + cell[1]))


def draw(
    axes: Axes, cells: Array, value_range: Limits, cmap: str = "gray", group: tuple[int, int] | None = None
) -> Cells:
    """Draws cells (rows, columns, h, w), (…, h, w, 3) or (…, d) in the axes, whose origin is the upper left corner."""
    rows, columns = cells.shape[:2]
    curves = cells.ndim == 3
    if not curves:
        repeats = -(-MIN_CELL // min(cells.shape[2:4]))
        cells = cells.repeat(repeats, axis=2).repeat(repeats, axis=3)
    layout = arrange(
        rows, columns, CURVE_SIZE if curves else (cells.shape[2], cells.shape[3]), group or (rows, columns)
    )
    height, width = layout.size
    if curves:
        _draw_curves(axes, cells, value_range, layout)
    else:
        low, high = value_range
        values = _mosaic(np.clip(cells, low, high), value_range, layout)
        smooth = "nearest" if zoom(layout.size) >= 1 else "antialiased"
        axes.imshow(
            values, cmap, vmin=low, vmax=high, extent=(0, width, height, 0), aspect="auto", interpolation=smooth
        )
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    axes.tick_params(length=0, labelsize=9)
    axes.spines[:].set_visible(False)
    axes.patch.set_visible(False)
    return layout


def _mosaic(cells: Array, value_range: Limits, layout: Cells) -> Array:
    """One array of all cells: gray (height, width) with NaN in gaps, or color (height, width, 4) with transparent gaps."""
    color = cells.ndim == 5
    if color:
        opaque = np.isfinite(cells[..., :1]).astype(np.float32)
        cells = np.concatenate(
            [np.nan_to_num((cells - value_range[0]) / (value_range[1] - value_range[0])), opaque], axis=-1
        )
    mosaic = np.full(layout.size + cells.shape[4:], 0 if color else np.nan, dtype=np.float32)
    for r, top in enumerate(layout.tops):
        for c, left in enumerate(layout.lefts):
            mosaic[top : top + layout.cell[0], left : left + layout.cell[1]] = cells[r, c]
    return mosaic


def _draw_curves(axes: Axes, cells: Array, value_range: Limits, layout: Cells) -> None:
    """Draws each row in its cell as dots, or as a curve if it is long, clipped to a quarter beyond the range."""
    (low, high), (height, width) = value_range, layout.cell
    slack = 0.25 * (high - low)
    rise = (np.clip(cells, low - slack, high + slack) - low + slack) / (high - low + 2 * slack)
    left, top = np.array(layout.lefts)[None, :, None], np.array(layout.tops)[:, None, None]
    dots, count = cells.shape[2] <= MAX_DOTS, cells.shape[2]
    places = (np.arange(count) + 0.5) / count if dots else np.linspace(0, 1, count)
    across = left + width * places + 0 * top
    down = top + (1 - rise) * height
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)])
    boxes = [corners + np.array((x, y)) for y in layout.tops for x in layout.lefts]
    axes.add_collection(PolyCollection(boxes, facecolors="0.94", edgecolors="none"))
    curves = np.stack([across, down], axis=-1).reshape(-1, cells.shape[2], 2)
    if not dots:
        axes.add_collection(LineCollection(list(curves), colors="C0", linewidths=0.9))
        return
    stems = np.stack([curves, curves], axis=2)
    stems[..., 1, 1] = np.repeat(np.array(layout.tops) + height, cells.shape[1])[:, None]  # the lower edge of the cell
    axes.add_collection(LineCollection(list(stems.reshape(-1, 2, 2)), colors="0.75", linewidths=0.6))
    axes.plot(curves[..., 0].ravel(), curves[..., 1].ravel(), "o", color="C0", markersize=1.8, linestyle="")


def zoom(size: tuple[int, int], max_width: float = MAX_WIDTH, max_height: float = MAX_HEIGHT) -> float:
    """Screen pixels for one pixel of an example: a whole number, or below 1 for large grids.

    A grid may exceed the bounds by a tenth, because the next smaller whole number can halve its size.
    """
    factor = min(max_height / size[0], max_width / size[1])
    return float(int(1.1 * factor)) if 1.1 * factor >= 1 else factor


def color_bar(figure: NotebookFigure, drawn: ScalarMappable, label: str, box: Box) -> dict[Axes, Box]:
    """A color bar to the right of a box of pixels; returns its axes with its box."""
    axes = figure.add_axes((0, 0, 1, 1))
    bar = figure.colorbar(drawn, cax=axes)
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    left, bottom, width, height = box
    return {axes: (left + width + 24.0, bottom, 20.0, height)}


def _tick_names(names: Sequence[str]) -> list[str]:
    """Names of rows or columns, each line shortened."""
    return ["\n".join(map(short_name, name.split("\n"))) for name in names]


def grid(
    cells: Array,
    value_range: Limits,
    alt: str,
    *,
    title: str = "",
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    names: tuple[str, str] = ("", ""),
    group: tuple[int, int] | None = None,
    cmap: str = "gray",
    bar: str = "",
) -> NotebookFigure:
    """A figure of cells (rows, columns, *cell), with names of rows, columns and axes. A label `bar` adds a color bar."""
    figure = empty_figure(alt)
    axes = figure.add_axes((0, 0, 1, 1))
    layout = draw(axes, cells, value_range, cmap, group)
    if rows:
        axes.set_yticks([top + layout.cell[0] / 2 for top in layout.tops], _tick_names(rows))
    if columns:
        axes.set_xticks([left + layout.cell[1] / 2 for left in layout.lefts], _tick_names(columns))
    axes.set(xlabel=names[0], ylabel=names[1])
    if np.ndim(value_range[0]):
        many = "channels side by side, each" if np.isnan(value_range[0]).any() else "each feature"
        title = "\n".join(part for part in (title, f"{many} on its own scale") if part)
    if title:
        axes.set_title(title, fontsize=10, loc="left", pad=8)
    factor = zoom(layout.size)
    box = (0.0, 0.0, factor * layout.size[1], factor * layout.size[0])
    boxes: dict[Axes, Box] = {axes: box}
    if bar and axes.images:
        boxes |= color_bar(figure, axes.images[0], bar, box)
    fit_to_boxes(figure, boxes)
    return figure
