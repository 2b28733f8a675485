"""How restoring goes as the spoiling grows: errors as curves, and the restored examples themselves."""

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
from isthmus.evaluation.robustness_curve import AUTOENCODER, NOTHING, Restored, Robustness
from isthmus.plots.figure import panels, save_png
from isthmus.plots.grids import ImageShape, as_pictures, grid, limits, shape_shown
from isthmus.plots.result_check import draws

__all__ = ["restorations", "robustness", "save"]

_MEASURED = "isthmus.robustness(ae, X)"
COLORS = {AUTOENCODER: "C0", NOTHING: "0.55"}
OTHERS = ("C1", "C2", "C3", "C4", "C5", "C6", "C8", "C9")  # not C7, which is grey
APART = 0.055  # of the height of the axes between two labels


@draws(Robustness, _MEASURED)
def robustness(result: Robustness) -> Figure:
    """The error of restored examples against the level of the corruption, for the autoencoder, the identity and baselines.

    Args:
        result: what `isthmus.robustness` measured: a panel for each kind of corruption, a line with its name for each method.
    """
    kinds = list(dict.fromkeys(each.kind for each in result.figures))
    alt = (
        f"Mean squared error of restored examples against the level of {', '.join(kinds)}: {', '.join(result.methods)}."
    )
    figure, all_axes = panels(alt, len(kinds), 6.4, 4.6)
    for axes, kind in zip(all_axes, kinds, strict=True):
        _curve(axes, [each for each in result.figures if each.kind == kind], result.methods)
        axes.set_title(kind, fontsize=10, loc="left", pad=16)  # above what is said of the level in training
    scaled = result.figures[0].mse_scaled is not None
    all_axes[0].set_ylabel(f"mean squared error, {'scaled features' if scaled else 'squared units of the data'}")
    return figure


def _curve(axes: Axes, figures: list[Restored], methods: tuple[str, ...]) -> None:
    if all(each.error > 0 for each in figures):
        axes.set_yscale("log")
    others = [method for method in methods if method not in COLORS]
    ends: list[tuple[str, float, str]] = []
    for method in methods:
        line = [each for each in figures if each.method == method]
        color = COLORS.get(method) or OTHERS[others.index(method) % len(OTHERS)]
        strong = method == AUTOENCODER
        levels, errors = [each.level for each in line], [each.error for each in line]
        axes.plot(levels, errors, "o-", color=color, markersize=4, linewidth=2.2 if strong else 1.3, zorder=2 + strong)
        ends.append((method, errors[-1], color))
    axes.set_xlabel(figures[0].unit)
    axes.grid(axis="y", color="0.92")
    if figures[0].level > figures[-1].level:
        axes.invert_xaxis()
    for each in figures:
        if each.trained and each.method == NOTHING:
            axes.axvline(each.level, color="0.6", linestyle=":", linewidth=1, zorder=1)
            place = blended_transform_factory(axes.transData, axes.transAxes)
            axes.text(each.level, 1.0, "as trained", transform=place, ha="center", va="bottom", fontsize=8, color="0.4")
    _names(axes, ends)


def _names(axes: Axes, ends: list[tuple[str, float, str]]) -> None:
    """The name of each line to the right of the axes, at the height of its end or a little beside."""
    axes.margins(y=0.08)
    axes.autoscale_view()
    heights = axes.transAxes.inverted().transform(axes.transData.transform([(0, value) for _, value, _ in ends]))[:, 1]
    order = np.argsort(heights)
    positions = _spread(heights[order], APART)
    for index, place in zip(order, positions, strict=True):
        name, _, color = ends[index]
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


def _spread(heights: Any, apart: float) -> list[float]:
    """Ascending heights moved as little as keeps them so far apart: runs that touch are centered on their mean."""
    runs: list[list[float]] = []
    for height in heights:
        runs.append([float(height)])
        while len(runs) > 1 and _bottom(runs[-1], apart) < _bottom(runs[-2], apart) + apart * len(runs[-2]):
            runs[-2:] = [runs[-2] + runs[-1]]
    return [_bottom(run, apart) + apart * i for run in runs for i in range(len(run))]


def _bottom(run: list[float], apart: float) -> float:
    return float(np.mean(run)) - apart * (len(run) - 1) / 2


@draws(Robustness, _MEASURED)
def restorations(result: Robustness, *, kind: str | None = None, image_shape: ImageShape = None) -> Figure:
    """A few examples at each level of the corruption, over what the autoencoder and baselines make of them.

    Args:
        result: what `isthmus.robustness` measured; it keeps its first examples for this figure, 3 at most.
        kind: the kind of corruption; without it the first one that was measured.
        image_shape: height, width (and channels) to show a row of features as an image.

    Raises:
        DataError: that kind was not measured.
    """
    kind = result.figures[0].kind if kind is None else kind
    figures = [each for each in result.figures if each.kind == kind]
    if not figures:
        raise DataError(f"{kind!r} was not measured; there are {', '.join({each.kind for each in result.figures})}")
    levels = list(dict.fromkeys(each.level for each in figures))
    k = len(result.originals)
    rows = {"original": np.concatenate([result.originals] * len(levels))}
    for method in result.methods:
        name = "spoilt" if method == NOTHING else method
        rows[name] = np.concatenate([result.at(kind, level)[method].sample for level in levels])
    image_shape = shape_shown(result.originals, image_shape)
    cells = np.stack([as_pictures(row, image_shape) for row in rows.values()])
    middle = (k - 1) // 2
    names = [f"{level:.3g}" if i == middle else "" for level in levels for i in range(k)]
    alt = f"{k} examples spoilt by {kind} at {len(levels)} levels, over what {', '.join(result.methods[1:])} make of them."
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
    """Writes the curves as robustness.png and, where examples can be shown, those of each kind; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = [save_png(robustness(result), folder / "robustness.png")]
    for kind in dict.fromkeys(each.kind for each in result.figures):
        name = "-".join(re.findall(r"[\w.]+", kind)).lower()
        with suppress(NotPossibleError):  # neither rows nor pictures
            written.append(save_png(restorations(result, kind=kind), folder / f"restorations-{name}.png"))
    return written
