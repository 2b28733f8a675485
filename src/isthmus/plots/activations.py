# ruff: noqa: ARG001  (every figure takes ae, X and y, so that one command draws any of them)
"""Figures of codes: bars, images and feature maps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isthmus.errors import DataError, NotPossibleError
from isthmus.estimators.argument_check import takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.plots.figure import Box, NotebookFigure, empty_figure, fit_to_boxes
from isthmus.plots.grids import (
    Array,
    ImageShape,
    Limits,
    as_cells,
    color_bar,
    draw,
    first_examples,
    limits,
    model_image_shape,
    zoom,
)

__all__ = ["codes", "feature_maps"]

MAX_BARS = 64  # a larger flat code is drawn as an image
CELL_WIDTH = 140.0  # width in pixels of an example and its code
MAX_MAPS = 256  # the largest number of feature maps that are drawn


@takes_autoencoder
def codes(ae: Autoencoder, X: Any, y: Any = None, *, n: int = 10, image_shape: ImageShape = None) -> Figure:
    """The first n examples with their codes below, all codes on one scale.

    A code of shape (h, w, d) is an image of w·d rows and h columns: (4, 4, 8) is 4 wide and 32 high. If the image is more than 8 times
    as high as wide, the d maps are drawn in a near-square grid. A flat code is drawn as bars up to 64 dimensions, otherwise as a
    near-square image in row-major order.

    Args:
        ae: a fitted autoencoder.
        X: examples (m, *shape_), in the units of the data.
        y: labels or covariates of X for a conditional autoencoder; others ignore it.
        n: the number of examples.
        image_shape: height, width (and channels) to show a row of features as an image.

    Raises:
        DataError: X is empty, or image_shape does not fit.
    """
    examples = first_examples(X, n)
    code = ae.encode(examples)
    figure = empty_figure(f"{len(examples)} examples, each with its {code[0].size}-dimensional code below.")
    image_shape = model_image_shape(ae, image_shape)
    images = as_cells(examples, image_shape)
    boxes = _draw_examples(figure, images, limits(examples, image_shape))
    if code.ndim == 2 and code.shape[1] <= MAX_BARS:
        _bars(figure, boxes, code)
    else:
        _draw_code_images(figure, boxes, _as_code_images(code))
    fit_to_boxes(figure, boxes)
    return figure


def _draw_examples(figure: NotebookFigure, images: Array, value_range: Limits) -> dict[Axes, Box]:
    boxes: dict[Axes, Box] = {}
    for i, image in enumerate(images):
        axes = figure.add_axes((0, 0, 1, 1), label=f"example {i}")
        height, width = draw(axes, image[None, None], value_range).size
        factor = zoom((height, width), max_width=CELL_WIDTH, max_height=2 * CELL_WIDTH)
        boxes[axes] = (i * (CELL_WIDTH + 12) + (CELL_WIDTH - factor * width) / 2, 0.0, factor * width, factor * height)
    return boxes


def _bars(figure: NotebookFigure, boxes: dict[Axes, Box], code: Array) -> None:
    low, high = min(0, float(code.min())), max(0, float(code.max()))
    margin = 0.02 * (high - low) or 1.0  # if all codes are 0
    edges = np.arange(code.shape[1] + 1)
    for i, values in enumerate(code):
        axes = figure.add_axes((0, 0, 1, 1), label=f"code {i}")
        axes.stairs(values, edges, fill=True, color="C0")
        axes.axhline(0, color="0.6", linewidth=0.6)
        axes.set(xlim=(0, edges[-1]), ylim=(low - margin, high + margin), xticks=[])
        axes.tick_params(labelsize=8, labelleft=i == 0, left=i == 0)
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        axes.spines["left"].set_visible(i == 0)
        if i == 0:
            axes.set_ylabel("code", fontsize=9)
        boxes[axes] = (i * (CELL_WIDTH + 12), -CELL_WIDTH - 16, CELL_WIDTH, CELL_WIDTH)


def _draw_code_images(figure: NotebookFigure, boxes: dict[Axes, Box], images: Array) -> None:
    value_range, cmap = colors(images)
    size = (images.shape[1], images.shape[2])
    factor = zoom(size, max_width=CELL_WIDTH - 28, max_height=3 * CELL_WIDTH)  # space between the codes of two examples
    for i, image in enumerate(images):
        axes = figure.add_axes((0, 0, 1, 1), label=f"code {i}")
        draw(axes, image[None, None], value_range, cmap)
        width, height = factor * size[1], factor * size[0]
        boxes[axes] = (i * (CELL_WIDTH + 12) + (CELL_WIDTH - width) / 2, -height - 16, width, height)
    last = (len(images) - 1) * (CELL_WIDTH + 12)
    boxes |= color_bar(figure, axes.images[0], "code", (last, -factor * size[0] - 16, CELL_WIDTH, factor * size[0]))


@takes_autoencoder
def feature_maps(ae: Autoencoder, X: Any, y: Any = None, *, index: int = 0, image_shape: ImageShape = None) -> Figure:
    """The code of one example as d feature maps (h, w), next to the example; at most the first 256 maps.

    Args:
        ae: a fitted autoencoder whose code has the shape (h, w, d).
        X: examples (m, *shape_), in the units of the data.
        y: labels or covariates of X for a conditional autoencoder; others ignore it.
        index: the position of the example in X, from 0.
        image_shape: height, width (and channels) to show a row of features as an image.

    Raises:
        NotPossibleError: the code is flat.
        DataError: X has no example at this index, or image_shape does not fit.
    """
    if len(ae.code_shape_) != 3:
        raise NotPossibleError(
            f"no feature maps: the code of shape {ae.code_shape_} is flat; draw codes, latent or filters instead"
        )
    examples = first_examples(X)
    if not 0 <= index < len(examples):
        raise DataError(f"invalid index={index}: expected 0 to {len(examples) - 1}, for {len(examples)} examples")
    example = examples[index : index + 1]
    maps = np.moveaxis(ae.encode(example)[0], -1, 0)
    count, (h, w) = len(maps), maps.shape[1:]
    maps = maps[:MAX_MAPS]
    value_range, cmap = colors(maps)
    columns = max(1, min(len(maps), 2 ** round(math.log2(math.sqrt(2 * len(maps) * h / w)))))
    blanks = np.full((-len(maps) % columns, h, w), np.nan, dtype=maps.dtype)
    cells = np.concatenate([maps, blanks]).reshape(-1, columns, h, w)
    figure = empty_figure(f"Example {index} and its code as {count} feature maps of {h} x {w}.")
    right = figure.add_axes((0, 0, 1, 1), label="maps")
    height, width = draw(right, cells, value_range, cmap).size
    factor = zoom((height, width), max_width=1000.0, max_height=700.0)
    box = (0.0, 0.0, factor * width, factor * height)
    right.set_title(
        f"{count} feature maps of {h} x {w}" + (f", the first {MAX_MAPS} shown" if count > MAX_MAPS else ""),
        fontsize=10,
        loc="left",
    )
    left = figure.add_axes((0, 0, 1, 1), label="example")
    image_shape = model_image_shape(ae, image_shape)
    tall, wide = draw(left, as_cells(example, image_shape)[None], limits(example, image_shape)).size
    scale = zoom((tall, wide), max_width=260.0, max_height=box[3])
    left.set_title(f"example {index}", fontsize=10, loc="left")
    boxes = {right: box, left: (-scale * wide - 40, box[3] - scale * tall, scale * wide, scale * tall)}
    fit_to_boxes(figure, boxes | color_bar(figure, right.images[0], "code", box))
    return figure


def colors(values: Array) -> tuple[Limits, str]:
    """The range and the color map of values: from 0 up if none is negative, otherwise symmetric around 0."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if low >= 0:
        return (0.0, high or 1.0), "viridis"
    reach = max(-low, high)
    return (-reach, reach), "RdBu_r"


def _as_code_images(code: Array) -> Array:
    """Codes (n, d), (n, w, d) or (n, h, w, d) as images (n, rows, columns), with NaN in empty cells."""
    n = len(code)
    if code.ndim == 3:
        return code.transpose(0, 2, 1)
    if code.ndim == 4:
        _, h, w, d = code.shape
        if w * d <= 8 * h:
            return code.reshape(n, h, w * d).transpose(0, 2, 1)
        columns = math.ceil(math.sqrt(d * h / w))
        rows = math.ceil(d / columns)
        spaced = np.full((n, rows * columns, h + 1, w + 1), np.nan, dtype=code.dtype)
        spaced[:, :d, :h, :w] = np.moveaxis(code, -1, 1)
        sheet = spaced.reshape(n, rows, columns, h + 1, w + 1).transpose(0, 1, 3, 2, 4)
        return sheet.reshape(n, rows * (h + 1), columns * (w + 1))[:, :-1, :-1]
    flat = code.reshape(n, -1)
    columns = math.ceil(math.sqrt(flat.shape[1]))
    rows = math.ceil(flat.shape[1] / columns)
    filled = np.full((n, rows * columns), np.nan, dtype=flat.dtype)
    filled[:, : flat.shape[1]] = flat
    return filled.reshape(n, rows, columns)
