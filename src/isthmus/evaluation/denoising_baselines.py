# ruff: noqa: ARG001  (every baseline takes training examples, so that one loop fits any of them)
"""Denoising without a neural network: the baselines of an autoencoder.

A baseline is fitted on training examples (n, *shape), corrupted and clean, in model units (see `scaling`), and returns a function for
each of its settings. `chosen` takes the setting with the smallest error on other training examples, corrupted in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import RecordError
from isthmus.evaluation.metrics import mean_squared_error
from isthmus.records import nearest

__all__ = [
    "BASELINES",
    "Pairs",
    "chosen",
    "is_picture",
    "median_filter",
    "non_local_means",
    "ridge",
    "ridge_regression",
    "suited",
    "total_variation",
    "training_mean",
]

Array = NDArray[Any]
Restore: TypeAlias = Callable[[Array], Array]  # corrupted examples (n, *shape) -> denoised, (n, *shape)


class Pairs(NamedTuple):
    """Examples (n, *shape) as they are given and as they ought to be."""

    corrupted: Array
    clean: Array


def training_mean(pairs: Pairs) -> dict[str, Restore]:
    """The mean of the training examples, whatever is given: what can be known without looking."""
    mean = pairs.clean.mean(0, dtype=np.float64)
    return {"": lambda x: np.broadcast_to(mean, x.shape)}


def ridge_regression(pairs: Pairs) -> dict[str, Restore]:
    """Ridge regression of the clean features on the corrupted ones, in closed form: Wiener's filter (1949) without stationarity.

    Settings are strengths of a ridge, as fractions of the mean eigenvalue of the corrupted examples' scatter matrix.
    """
    corrupted, clean = (side.reshape(len(side), -1).astype(np.float64) for side in pairs)
    scatter = np.square(corrupted - corrupted.mean(0)).sum() / corrupted.shape[1] or 1.0
    strengths = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    maps = ridge(corrupted, clean, [share * scatter for share in strengths])

    def restore(apply: Restore, x: Array) -> Array:
        return apply(x.reshape(len(x), -1)).reshape(x.shape)

    return {f"ridge {share:g}": partial(restore, apply) for share, apply in zip(strengths, maps, strict=True)}


def ridge(x: Array, y: Array, strengths: list[float]) -> list[Restore]:
    """For each strength λ the linear map from x (n, d) to y (n, e) that minimizes |y - x weights - offset|² + λ |weights|².

    Hoerl and Kennard, Ridge regression, 1970. Of more numbers than examples the weights are never laid out: in the terms of the
    examples' own products all takes memory in proportion to x and y.
    """
    x_mean, y_mean = x.mean(0), y.mean(0)
    centered, wanted = x - x_mean, y - y_mean
    if x.shape[1] <= len(x):
        scatter, side = centered.T @ centered, centered.T @ wanted
        all_weights = [np.linalg.solve(scatter + strength * np.eye(len(scatter)), side) for strength in strengths]
        return [partial(lambda weights, new: (new - x_mean) @ weights + y_mean, weights) for weights in all_weights]
    values, axes = np.linalg.eigh(centered @ centered.T)
    ways, side = centered.T @ axes, axes.T @ wanted

    def apply(strength: float, new: Array) -> Array:
        mapped: Array = ((new - x_mean) @ ways / (values.clip(0) + strength)) @ side + y_mean
        return mapped

    return [partial(apply, strength) for strength in strengths]


def median_filter(pairs: Pairs) -> dict[str, Restore]:
    """The median of each pixel's neighborhood, in each channel by itself; settings are widths of the neighborhood."""
    from scipy import ndimage

    def restore(width: int, x: Array) -> Array:
        filtered: Array = ndimage.median_filter(x, size=(1, width, width, 1)[: x.ndim])
        return filtered

    return {f"{width} x {width}": partial(restore, width) for width in (3, 5, 7)}


def non_local_means(pairs: Pairs) -> dict[str, Restore]:
    """Means of pixels whose surroundings look alike (Buades, Coll and Morel 2005), by scikit-image; settings are its strength h."""
    from skimage.restoration import denoise_nl_means

    def restore(h: float, x: Array) -> Array:
        channel = -1 if x.ndim == 4 else None
        each = [denoise_nl_means(p, patch_size=5, patch_distance=6, h=h, channel_axis=channel) for p in x]
        return np.stack(each)

    return {f"h {h:g}": partial(restore, h) for h in (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2)}


def total_variation(pairs: Pairs) -> dict[str, Restore]:
    """The picture of least total variation near the given one (Chambolle 2004), by scikit-image; settings are the weight of that."""
    from skimage.restoration import denoise_tv_chambolle

    def restore(weight: float, x: Array) -> Array:
        channel = -1 if x.ndim == 4 else None
        return np.stack([denoise_tv_chambolle(p, weight=weight, channel_axis=channel) for p in x])

    return {f"weight {w:g}": partial(restore, w) for w in (0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.2, 1.6)}


BASELINES: dict[str, Callable[[Pairs], dict[str, Restore]]] = {
    "training mean": training_mean,
    "ridge regression": ridge_regression,
    "median filter": median_filter,
    "non-local means": non_local_means,
    "total variation": total_variation,
}
OLDER = {"mean example": "training mean", "linear map": "ridge regression"}  # names in earlier versions
_FILTERS = {"median filter", "non-local means", "total variation"}
_EXTRA = {"non-local means", "total variation"}  # of scikit-image


def is_picture(shape: tuple[int, ...]) -> bool:
    """Whether examples of a shape are pictures: (h, w) or (h, w, channels)."""
    return len(shape) in {2, 3}


def suited(shape: tuple[int, ...], n: int, wanted: Sequence[str] | None = None) -> tuple[list[str], dict[str, str]]:
    """Names of the baselines for examples of a shape where there are n to train on, and why others are left out.

    Raises:
        RecordError: one that is wanted does not exist.
    """
    names = list(BASELINES) if wanted is None else [wanted] if isinstance(wanted, str) else list(wanted)
    for name in names:
        if name not in BASELINES:
            raise RecordError(f"no baseline {name!r}{nearest(OLDER.get(str(name), str(name)), BASELINES)}")
    reasons: dict[str, str] = {}
    if n < 3:
        reason = (
            f"{n} training examples are too few to fit and to choose on" if n else "no training examples were given"
        )
        reasons = dict.fromkeys(BASELINES, reason)
    elif not is_picture(shape):
        reasons = dict.fromkeys(_FILTERS, f"examples of shape {shape} are no pictures")
    elif find_spec("skimage") is None:
        reasons = dict.fromkeys(_EXTRA, "scikit-image is not installed: pip install 'isthmus[image]'")
    return [name for name in names if name not in reasons], {name: reasons[name] for name in names if name in reasons}


def chosen(name: str, fit: Pairs, other: Pairs) -> tuple[str, Restore]:
    """The setting of a baseline fitted on some training examples that is best on others, and what it does.

    Pictures are brought into the range of the training ones, in each channel: an advantage that costs nothing.
    """
    bound = (lambda x: x) if not is_picture(fit.clean.shape[1:]) else _within(fit.clean)
    candidates = {
        setting: (lambda x, restore=restore: bound(restore(x))) for setting, restore in BASELINES[name](fit).items()
    }
    if len(candidates) == 1:
        return next(iter(candidates.items()))
    return min(candidates.items(), key=lambda pair: mean_squared_error(other.clean, pair[1](other.corrupted)))


def _within(clean: Array) -> Restore:
    """Clips to the range of clean pictures."""
    axes = tuple(range(clean.ndim - 1)) if clean.ndim == 4 else None
    low, high = clean.min(axes), clean.max(axes)
    return lambda x: np.clip(x, low, high)
