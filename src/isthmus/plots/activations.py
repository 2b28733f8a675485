# ruff: noqa: ARG001  (every picture takes ae, X and y, so that one command draws any of them)
"""Codes as pictures: what stands between encoder and decoder."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isthmus.errors import DataError, NotPossibleError
from isthmus.estimators.argument_check import takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.plots.figure import Box, Picture, blank, frame
from isthmus.plots.grids import Array, ImageShape, Limits, as_pictures, color_bar, draw, first, limits, pictured, zoom

__all__ = ["codes", "feature_maps"]

BARS = 64  # a code of more numbers is a picture, not bars
COLUMN = 140.0  # pixels for one example and its code
MAPS = 256  # as many feature maps are shown at most


@takes_autoencoder
def codes(ae: Autoencoder, X: Any, y: Any = None, *, n: int = 10, image_shape: ImageShape = None) -> Figure:
    """The first n examples over their codes, all codes on one scale.

    Maps (h, w, d) are laid out as a picture of w·d rows and h columns, so that (4, 4, 8) is 4 wide and 32 high; if
    that is more than 8 times as high as wide, as d small maps in a near-square sheet. Flat codes are bars up to 64
    numbers, else a near-square picture that is read row by row.
    """
    examples = first(X, n)
    code = ae.encode(examples)
    figure = blank(f"{len(examples)} examples, each over its code of {code[0].size} numbers.")
    image_shape = pictured(ae, image_shape)
    pictures = as_pictures(examples, image_shape)
    boxes = _examples_above(figure, pictures, limits(examples, image_shape))
    if code.ndim == 2 and code.shape[1] <= BARS:
        _bars(figure, boxes, code)
    else:
        _code_pictures(figure, boxes, _folded(code))
    frame(figure, boxes)
    return figure


def _examples_above(figure: Picture, pictures: Array, shown: Limits) -> dict[Axes, Box]:
    boxes: dict[Axes, Box] = {}
    for i, picture in enumerate(pictures):
        axes = figure.add_axes((0, 0, 1, 1), label=f"example {i}")
        height, width = draw(axes, picture[None, None], shown).size
        factor = zoom((height, width), widest=COLUMN, highest=2 * COLUMN)
        boxes[axes] = (i * (COLUMN + 12) + (COLUMN - factor * width) / 2, 0.0, factor * width, factor * height)
    return boxes


def _bars(figure: Picture, boxes: dict[Axes, Box], code: Array) -> None:
    low, high = min(0, float(code.min())), max(0, float(code.max()))
    margin = 0.02 * (high - low) or 1.0  # codes that are all 0
    edges = np.arange(code.shape[1] + 1)
    for i, numbers in enumerate(code):
        axes = figure.add_axes((0, 0, 1, 1), label=f"code {i}")
        axes.stairs(numbers, edges, fill=True, color="C0")
        axes.axhline(0, color="0.6", linewidth=0.6)
        axes.set(xlim=(0, edges[-1]), ylim=(low - margin, high + margin), xticks=[])
        axes.tick_params(labelsize=8, labelleft=i == 0, left=i == 0)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        axes.spines["left"].set_visible(i == 0)
        if i == 0:
            axes.set_ylabel("code", fontsize=9)
        boxes[axes] = (i * (COLUMN + 12), -COLUMN - 16, COLUMN, COLUMN)


def _code_pictures(figure: Picture, boxes: dict[Axes, Box], pictures: Array) -> None:
    shown, cmap = colors(pictures)
    size = (pictures.shape[1], pictures.shape[2])
    factor = zoom(size, widest=COLUMN - 28, highest=3 * COLUMN)  # what belongs to one example stands apart
    for i, picture in enumerate(pictures):
        axes = figure.add_axes((0, 0, 1, 1), label=f"code {i}")
        draw(axes, picture[None, None], shown, cmap)
        width, height = factor * size[1], factor * size[0]
        boxes[axes] = (i * (COLUMN + 12) + (COLUMN - width) / 2, -height - 16, width, height)
    last = (len(pictures) - 1) * (COLUMN + 12)
    boxes |= color_bar(figure, axes.images[0], "code", (last, -factor * size[0] - 16, COLUMN, factor * size[0]))


@takes_autoencoder
def feature_maps(ae: Autoencoder, X: Any, y: Any = None, *, index: int = 0, image_shape: ImageShape = None) -> Figure:
    """The code of example number `index` as its d maps (h, w), beside the example: at most the first 256 maps.

    Raises `NotPossibleError` where the code is flat and `DataError` where there is no such example.
    """
    if len(ae.code_shape_) != 3:
        raise NotPossibleError(
            f"the code {ae.code_shape_} is flat and has no feature maps: see codes, latent or filters instead"
        )
    examples = first(X)
    if not 0 <= index < len(examples):
        raise DataError(
            f"there is no example {index} among {len(examples)}: the first is 0, the last {len(examples) - 1}"
        )
    example = examples[index : index + 1]
    maps = np.moveaxis(ae.encode(example)[0], -1, 0)
    count, (h, w) = len(maps), maps.shape[1:]
    maps = maps[:MAPS]
    shown, cmap = colors(maps)
    columns = max(1, min(len(maps), 2 ** round(math.log2(math.sqrt(2 * len(maps) * h / w)))))
    blanks = np.full((-len(maps) % columns, h, w), np.nan, dtype=maps.dtype)
    cells = np.concatenate([maps, blanks]).reshape(-1, columns, h, w)
    figure = blank(f"Example {index} and its code as {count} maps of {h} by {w}.")
    right = figure.add_axes((0, 0, 1, 1), label="maps")
    height, width = draw(right, cells, shown, cmap).size
    factor = zoom((height, width), widest=1000.0, highest=700.0)
    box = (0.0, 0.0, factor * width, factor * height)
    right.set_title(
        f"{count} maps of {h} x {w}" + (f", the first {MAPS}" if count > MAPS else ""), fontsize=10, loc="left"
    )
    left = figure.add_axes((0, 0, 1, 1), label="example")
    image_shape = pictured(ae, image_shape)
    tall, wide = draw(left, as_pictures(example, image_shape)[None], limits(example, image_shape)).size
    scale = zoom((tall, wide), widest=260.0, highest=box[3])
    left.set_title(f"example {index}", fontsize=10, loc="left")
    boxes = {right: box, left: (-scale * wide - 40, box[3] - scale * tall, scale * wide, scale * tall)}
    frame(figure, boxes | color_bar(figure, right.images[0], "code", box))
    return figure


def colors(values: Array) -> tuple[Limits, str]:
    """Range and color map: dark to light from 0 where nothing is negative, else blue over white to red around 0."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if low >= 0:
        return (0.0, high or 1.0), "viridis"
    reach = max(-low, high)
    return (-reach, reach), "RdBu_r"


def _folded(code: Array) -> Array:
    """Codes (n, d), (n, w, d) or (n, h, w, d) as pictures (n, rows, columns), NaN where nothing stands."""
    n = len(code)
    if code.ndim == 3:
        return code.transpose(0, 2, 1)
    if code.ndim == 4:
        _, h, w, d = code.shape
        if w * d <= 8 * h:
            return code.reshape(n, h, w * d).transpose(0, 2, 1)
        columns = math.ceil(math.sqrt(d * h / w))
        rows = math.ceil(d / columns)
        apart = np.full((n, rows * columns, h + 1, w + 1), np.nan, dtype=code.dtype)
        apart[:, :d, :h, :w] = np.moveaxis(code, -1, 1)
        sheet = apart.reshape(n, rows, columns, h + 1, w + 1).transpose(0, 1, 3, 2, 4)
        return sheet.reshape(n, rows * (h + 1), columns * (w + 1))[:, :-1, :-1]
    flat = code.reshape(n, -1)
    columns = math.ceil(math.sqrt(flat.shape[1]))
    rows = math.ceil(flat.shape[1] / columns)
    filled = np.full((n, rows * columns), np.nan, dtype=flat.dtype)
    filled[:, : flat.shape[1]] = flat
    return filled.reshape(n, rows, columns)
