"""Figures of robustness: the error against the level of corruption, and the denoised examples."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from isthmus.errors import DataError, NotPossibleError
from isthmus.evaluation.robustness_result import AUTOENCODER, IDENTITY, DenoisingScore, Robustness
from isthmus.plots.figure import panels, save_png
from isthmus.plots.grids import ImageShape, array_image_shape, as_cells, grid, limits
from isthmus.plots.result_check import requires_result

__all__ = ["restorations", "robustness", "save"]

_MEASURED = "isthmus.robustness(ae, X)"
COLORS = {AUTOENCODER: "C0", IDENTITY: "0.55"}
BASELINE_COLORS = ("C1", "C2", "C3", "C4", "C5", "C6", "C8", "C9")  # C7 is gray
MIN_SPACING = 0.055  # fraction of the height of the axes between two labels


@requires_result(Robustness, _MEASURED)
def robustness(result: Robustness) -> Figure:
    """The error of denoised examples against the level of corruption, for the autoencoder, the identity and baselines.

    Args:
        result: the result of `isthmus.robustness`. The figure has a panel for each kind of corruption, and a line for each method.
    """
    kinds = list(dict.fromkeys(each.kind for each in result.figures))
    alt = (
        f"Mean squared error of denoised examples against the level of {', '.join(kinds)}: {', '.join(result.methods)}."
    )
    figure, all_axes = panels(alt, len(kinds), 6.4, 4.6)
    for axes, kind in zip(all_axes, kinds, strict=True):
        _curve(axes, [each for each in result.figures if each.kind == kind], result.methods)
        axes.set_title(kind, fontsize=10, loc="left", pad=16)  # above the label of the level in training
    scaled = result.figures[0].mse_scaled is not None
    all_axes[0].set_ylabel(f"mean squared error, {'scaled features' if scaled else 'squared units of the data'}")
    return figure


def _curve(axes: Axes, figures: list[DenoisingScore], methods: tuple[str, ...]) -> None:
    if all(each.error > 0 for each in figures):
        axes.set_yscale("log")
    others = [method for method in methods if method not in COLORS]
    line_ends: list[tuple[str, float, str]] = []
    for method in methods:
        line = [each for each in figures if each.method == method]
        color = COLORS.get(method) or BASELINE_COLORS[others.index(method) % len(BASELINE_COLORS)]
        is_autoencoder = method == AUTOENCODER
        levels, errors = [each.level for each in line], [each.error for each in line]
        axes.plot(
            levels,
            errors,
            "o-",
            color=color,
            markersize=4,
            linewidth=2.2 if is_autoencoder else 1.3,
            zorder=2 + is_autoencoder,
        )
        line_ends.append((method, errors[-1], color))
    axes.set_xlabel(figures[0].unit)
    axes.grid(axis="y", color="0.92")
    if figures[0].level > figures[-1].level:
        axes.invert_xaxis()
    for each in figures:
        if each.trained and each.method == IDENTITY:
            axes.axvline(each.level, color="0.6", linestyle=":", linewidth=1, zorder=1)
            place = blended_transform_factory(axes.transData, axes.transAxes)
            axes.text(each.level, 1.0, "as trained", transform=place, ha="center", va="bottom", fontsize=8, color="0.4")
    _label_lines(axes, line_ends)


def _label_lines(axes: Axes, line_ends: list[tuple[str, float, str]]) -> None:
    """Writes the name of each line to the right of the axes, close to the height of its end."""
    axes.margins(y=0.08)
    axes.autoscale_view()
    heights = axes.transAxes.inverted().transform(axes.transData.transform([(0, value) for _, value, _ in line_ends]))[
        :, 1
    ]
    order = np.argsort(heights)
    positions = _spread_apart(heights[order], MIN_SPACING)
    for index, place in zip(order, positions, strict=True):
        name, _, color = line_ends[index]
        weight = "bold" if name == AUTOENCODER else "normal"
        axes.annotate(
            name,
            (1.0, heights[index]),
            (1.05, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            fontsize=9,
            color=color,
            weight=weight,
            va="center",
            arrowprops={
                "arrowstyle": "-",
                "color": color,
                "linewidth": 0.6,
                "shrinkA": 1,
                "shrinkB": 0,
                "relpos": (0, 0.5),
            },
        )


def _spread_apart(heights: Any, spacing: float) -> list[float]:
    """Ascending heights, moved apart to the given spacing. Groups that touch are centered on their mean."""
    groups: list[list[float]] = []
    for height in heights:
        groups.append([float(height)])
        while len(groups) > 1 and _run_start(groups[-1], spacing) < _run_start(groups[-2], spacing) + spacing * len(
            groups[-2]
        ):
            groups[-2:] = [groups[-2] + groups[-1]]
    return [_run_start(group, spacing) + spacing * i for group in groups for i in range(len(group))]


def _run_start(group: list[float], spacing: float) -> float:
    return float(np.mean(group)) - spacing * (len(group) - 1) / 2


@requires_result(Robustness, _MEASURED)
def restorations(result: Robustness, *, kind: str | None = None, image_shape: ImageShape = None) -> Figure:
    """A few examples at each level of corruption, with the denoised examples of the autoencoder and baselines below.

    Args:
        result: the result of `isthmus.robustness`. It keeps at most 3 examples for this figure.
        kind: the kind of corruption; the first one of the result without it.
        image_shape: height, width (and channels) to show a row of features as an image.

    Raises:
        DataError: the result has no such kind of corruption, or image_shape does not fit.
    """
    kind = result.figures[0].kind if kind is None else kind
    figures = [each for each in result.figures if each.kind == kind]
    if not figures:
        raise DataError(
            f"invalid kind={kind!r}: expected one of {', '.join(dict.fromkeys(each.kind for each in result.figures))}"
        )
    levels = list(dict.fromkeys(each.level for each in figures))
    k = len(result.originals)
    rows = {"original": np.concatenate([result.originals] * len(levels))}
    for method in result.methods:
        name = "corrupted" if method == IDENTITY else method
        rows[name] = np.concatenate([result.at(kind, level)[method].sample for level in levels])
    image_shape = array_image_shape(result.originals, image_shape)
    cells = np.stack([as_cells(row, image_shape) for row in rows.values()])
    middle = (k - 1) // 2
    names = [f"{level:.3g}" if i == middle else "" for level in levels for i in range(k)]
    alt = f"{k} examples corrupted by {kind} at {len(levels)} levels, and the denoised examples of {', '.join(result.methods[1:])}."
    return grid(
        cells,
        limits(result.originals, image_shape),
        alt,
        title=kind,
        rows=list(rows),
        columns=names,
        names=(figures[0].unit, ""),
        group=(1, k),
    )


def save(result: Robustness, folder: Path) -> list[Path]:
    """Writes the curves as robustness.png and, for examples that can be drawn, one file for each kind; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [save_png(robustness(result), folder / "robustness.png")]
    for kind in dict.fromkeys(each.kind for each in result.figures):
        name = "-".join(re.findall(r"[\w.]+", kind)).lower()
        with suppress(NotPossibleError):  # the examples are neither rows nor images
            written.append(save_png(restorations(result, kind=kind), folder / f"restorations-{name}.png"))
    return written
