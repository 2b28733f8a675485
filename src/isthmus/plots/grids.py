"""Many examples in one picture: pixels or curves in rows and columns, at a whole number of screen pixels each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, PolyCollection
from numpy.typing import NDArray

from isthmus.data import as_examples
from isthmus.data.kinds import ImageArray, Kind
from isthmus.data.kinds import image_shape as shape_of
from isthmus.data.validation import Missing
from isthmus.errors import DataError, NotPossibleError
from isthmus.estimators.base import FittedAutoencoder
from isthmus.plots.figure import Box, Picture, blank, frame
from isthmus.plots.lettering import named

__all__ = ["Cells", "as_pictures", "color_bar", "draw", "first", "grid", "limits", "pictured", "shape_shown", "zoom"]

Array = NDArray[Any]
ImageShape = tuple[int, ...] | None
Limits = tuple[Any, Any]  # two numbers; or two rows of d numbers, for curves with a scale for each column

CURVE = (84, 140)  # height and width of a cell that holds a curve
SMALL = 16  # cells of fewer pixels are drawn with larger pixels, so that the gaps stay narrow
WIDEST, HIGHEST = 1500.0, 1050.0  # pixels that a grid fills at most


class Cells(NamedTuple):
    """Where a grid's cells begin, and the size of a cell and of the whole, in the pixels of the examples."""

    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    cell: tuple[int, int]
    size: tuple[int, int]


def first(X: Any, n: int | None = None, missing: Missing | None = None) -> Array:
    """The first n examples (all without n) as a checked array. Raises `DataError` where there is none to draw."""
    if X is None:
        raise DataError("this picture is drawn from examples: pass X, an array (n, *shape)")
    if n is not None and n < 1:
        raise DataError(f"{n} examples make no picture: ask for at least 1")
    one = getattr(X[0], "shape", None) if isinstance(X, list | tuple) and X else None  # the first ones may be few
    return as_examples(X[:n], missing=missing, shape=None if one is None else tuple(one)).values


def limits(examples: Any, image_shape: ImageShape = None) -> Limits:
    """What is black and what white: 0 and 255 for bytes (unless all are dark), else the least and the greatest number.

    Curves whose columns differ more than tenfold in spread, as those of a table do, get limits for each column.
    """
    values = as_pictures(examples, image_shape)
    if values.dtype == np.uint8 and values.max() > 127:
        return 0.0, 255.0
    if values.ndim == 2:
        low, high = values.min(0).astype(np.float64), values.max(0).astype(np.float64)
        spread = (high - low)[high > low]
        if spread.size and spread.max() > 10 * np.median(spread):
            return low, np.where(high > low, high, low + 1.0)
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low, low + 1.0)


def pictured(ae: FittedAutoencoder, image_shape: ImageShape = None) -> ImageShape:
    """The shape that an autoencoder's examples are shown in: the one asked for, or that of the images it was trained on."""
    return shape_of(ae.shape_, ae.kind_) if image_shape is None else image_shape


def shape_shown(examples: Array, image_shape: ImageShape = None) -> tuple[int, ...]:
    """The shape that examples (n, *shape) are shown in: the one asked for, or that of images where the array says that it holds some."""
    meant: Kind = "images" if isinstance(examples, ImageArray) else "windows"
    return shape_of(examples.shape[1:], meant) if image_shape is None else image_shape


def as_pictures(examples: Any, image_shape: ImageShape = None) -> Array:
    """Examples (n, *shape) as grey pictures (n, h, w), pictures in color (n, h, w, 3) or curves (n, d).

    A row of d numbers is a curve, unless image_shape says which picture it is, or the array that it holds images.
    Channels other than three are laid side by side.
    Raises `DataError` where image_shape does not fit and `NotPossibleError` where an example is neither a row nor a
    picture.
    """
    values = np.asarray(examples)
    shape = values.shape[1:]
    image_shape = shape_shown(values if not isinstance(examples, ImageArray) else examples, image_shape)
    if np.prod(image_shape) != np.prod(shape):
        raise DataError(
            f"image_shape={image_shape} does not fit examples of shape {shape}: give height, width (and channels)"
        )
    values = values.reshape(len(values), *image_shape)
    if values.ndim == 4 and values.shape[-1] != 3:
        n, h, w, channels = values.shape
        values = values.transpose(0, 1, 3, 2).reshape(n, h, channels * w)
    if values.ndim not in {2, 3, 4}:
        raise NotPossibleError(
            f"examples of shape {shape} are no pictures: pass image_shape=(height, width) to see them as such"
        )
    return values


def arrange(rows: int, columns: int, cell: tuple[int, int], group: tuple[int, int]) -> Cells:
    """Cells a little apart, and groups of rows and of columns further."""
    gap = max(1, round(0.07 * min(cell)))

    def starts(count: int, side: int, together: int) -> tuple[int, ...]:
        return tuple(i * (side + gap) + i // together * 2 * gap for i in range(count))

    tops, lefts = starts(rows, cell[0], group[0]), starts(columns, cell[1], group[1])
    return Cells(tops, lefts, cell, (tops[-1] + cell[0], lefts[-1] + cell[1]))


def draw(axes: Axes, cells: Array, shown: Limits, cmap: str = "gray", group: tuple[int, int] | None = None) -> Cells:
    """Draws cells (rows, columns, h, w), (…, h, w, 3) or (…, d) into axes, in pixels from the upper left corner."""
    rows, columns = cells.shape[:2]
    curves = cells.ndim == 3
    if not curves:
        larger = -(-SMALL // min(cells.shape[2:4]))
        cells = cells.repeat(larger, axis=2).repeat(larger, axis=3)
    positions = arrange(rows, columns, CURVE if curves else (cells.shape[2], cells.shape[3]), group or (rows, columns))
    height, width = positions.size
    if curves:
        _draw_curves(axes, cells, shown, positions)
    else:
        low, high = shown
        values = _mosaic(np.clip(cells, low, high), shown, positions)
        smooth = "nearest" if zoom(positions.size) >= 1 else "antialiased"
        axes.imshow(
            values, cmap, vmin=low, vmax=high, extent=(0, width, height, 0), aspect="auto", interpolation=smooth
        )
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    axes.tick_params(length=0, labelsize=9)
    axes.spines[:].set_visible(False)
    axes.patch.set_visible(False)
    return positions


def _mosaic(cells: Array, shown: Limits, positions: Cells) -> Array:
    """One array of all cells: grey (height, width), NaN between, or color (height, width, 4), transparent between."""
    color = cells.ndim == 5
    if color:
        opaque = np.isfinite(cells[..., :1]).astype(np.float32)
        cells = np.concatenate([np.nan_to_num((cells - shown[0]) / (shown[1] - shown[0])), opaque], axis=-1)
    whole = np.full(positions.size + cells.shape[4:], 0 if color else np.nan, dtype=np.float32)
    for r, top in enumerate(positions.tops):
        for c, left in enumerate(positions.lefts):
            whole[top : top + positions.cell[0], left : left + positions.cell[1]] = cells[r, c]
    return whole


def _draw_curves(axes: Axes, cells: Array, shown: Limits, positions: Cells) -> None:
    """Each row of numbers as a curve in its cell; what leaves the range by more than a quarter stops at the edge."""
    (low, high), (height, width) = shown, positions.cell
    slack = 0.25 * (high - low)
    rise = (np.clip(cells, low - slack, high + slack) - low + slack) / (high - low + 2 * slack)
    left, top = np.array(positions.lefts)[None, :, None], np.array(positions.tops)[:, None, None]
    across = left + np.linspace(0, width, cells.shape[2]) + 0 * top
    down = top + (1 - rise) * height
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)])
    boxes = [corners + np.array((x, y)) for y in positions.tops for x in positions.lefts]
    axes.add_collection(PolyCollection(boxes, facecolors="0.94", edgecolors="none"))
    curves = np.stack([across, down], axis=-1).reshape(-1, cells.shape[2], 2)
    axes.add_collection(LineCollection(list(curves), colors="C0", linewidths=0.9))


def zoom(size: tuple[int, int], widest: float = WIDEST, highest: float = HIGHEST) -> float:
    """Screen pixels for one pixel of an example: a whole number wherever the examples are small enough.

    The bounds are kept to a tenth, so that a grid one pixel too wide is not halved.
    """
    factor = min(highest / size[0], widest / size[1])
    return float(int(1.1 * factor)) if 1.1 * factor >= 1 else factor


def color_bar(figure: Picture, drawn: ScalarMappable, label: str, box: Box) -> dict[Axes, Box]:
    """A color bar to the right of a box of pixels, and where it is to be placed."""
    axes = figure.add_axes((0, 0, 1, 1))
    bar = figure.colorbar(drawn, cax=axes)
    bar.set_label(label, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    left, bottom, width, height = box
    return {axes: (left + width + 24.0, bottom, 20.0, height)}


def _texts(names: Sequence[str]) -> list[str]:
    """Names beside cells, of one line or several."""
    return ["\n".join(map(named, name.split("\n"))) for name in names]


def grid(
    cells: Array,
    shown: Limits,
    alt: str,
    *,
    title: str = "",
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    names: tuple[str, str] = ("", ""),
    group: tuple[int, int] | None = None,
    cmap: str = "gray",
    bar: str = "",
) -> Picture:
    """A figure of cells (rows, columns, *picture), with names of rows, columns and axes, and a color bar if labeled."""
    figure = blank(alt)
    axes = figure.add_axes((0, 0, 1, 1))
    positions = draw(axes, cells, shown, cmap, group)
    if rows:
        axes.set_yticks([top + positions.cell[0] / 2 for top in positions.tops], _texts(rows))
    if columns:
        axes.set_xticks([left + positions.cell[1] / 2 for left in positions.lefts], _texts(columns))
    axes.set(xlabel=names[0], ylabel=names[1])
    if np.ndim(shown[0]):
        title = "\n".join(part for part in (title, "each column of numbers on its own scale") if part)
    if title:
        axes.set_title(title, fontsize=10, loc="left", pad=8)
    factor = zoom(positions.size)
    box = (0.0, 0.0, factor * positions.size[1], factor * positions.size[0])
    boxes: dict[Axes, Box] = {axes: box}
    if bar and axes.images:
        boxes |= color_bar(figure, axes.images[0], bar, box)
    frame(figure, boxes)
    return figure
