# ruff: noqa: ARG001  (all baselines have the same signature, although filters need no training examples)
"""Baselines for denoising, without a neural network.

A baseline is fitted on pairs of corrupted and clean training examples (n, *shape), in model units (see `scaling`). It returns a
denoising function for each of its settings. `best_setting` selects the setting with the lowest error on other training examples
with the same corruption.
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
    "applicable_baselines",
    "best_setting",
    "fit_and_selection_rows",
    "is_image",
    "median_filter",
    "non_local_means",
    "ridge",
    "ridge_regression",
    "total_variation",
    "training_mean",
]

Array = NDArray[Any]
Denoise: TypeAlias = Callable[[Array], Array]  # corrupted examples (n, *shape) -> denoised, (n, *shape)


class Pairs(NamedTuple):
    """Corrupted examples (n, *shape) and the same examples before corruption."""

    corrupted: Array
    clean: Array


def training_mean(pairs: Pairs) -> dict[str, Denoise]:
    """The mean of the training examples for every example: the best prediction that ignores the input."""
    mean = pairs.clean.mean(0, dtype=np.float64)
    return {"": lambda x: np.broadcast_to(mean, x.shape)}


def ridge_regression(pairs: Pairs) -> dict[str, Denoise]:
    """Ridge regression of the clean features on the corrupted ones, in closed form: a Wiener filter (1949) without stationarity.

    Settings are regularization strengths, as fractions of the mean eigenvalue of the scatter matrix of the corrupted examples.
    """
    corrupted, clean = (side.reshape(len(side), -1).astype(np.float64) for side in pairs)
    scatter = np.square(corrupted - corrupted.mean(0)).sum() / corrupted.shape[1] or 1.0
    strengths = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    maps = ridge(corrupted, clean, [strength * scatter for strength in strengths])

    def denoise(apply: Denoise, x: Array) -> Array:
        return apply(x.reshape(len(x), -1)).reshape(x.shape)

    return {f"ridge {strength:g}": partial(denoise, apply) for strength, apply in zip(strengths, maps, strict=True)}


def ridge(x: Array, y: Array, strengths: list[float]) -> list[Denoise]:
    """For each strength λ the linear map from x (n, d) to y (n, e) that minimizes |y - x weights - offset|² + λ |weights|².

    Hoerl and Kennard, Ridge regression, 1970. With more features than examples, the dual form is used: the weight matrix is
    never stored, and memory grows in proportion to x and y.

    Args:
        x: inputs (n, d).
        y: targets (n, e).
        strengths: values of λ.

    Returns:
        A function (m, d) -> (m, e) for each λ.
    """
    x_mean, y_mean = x.mean(0), y.mean(0)
    centered, targets = x - x_mean, y - y_mean
    if x.shape[1] <= len(x):
        scatter, products = centered.T @ centered, centered.T @ targets
        all_weights = [np.linalg.solve(scatter + strength * np.eye(len(scatter)), products) for strength in strengths]
        return [partial(lambda weights, new: (new - x_mean) @ weights + y_mean, weights) for weights in all_weights]
    values, axes = np.linalg.eigh(centered @ centered.T)
    directions, products = centered.T @ axes, axes.T @ targets

    def apply(strength: float, new: Array) -> Array:
        mapped: Array = ((new - x_mean) @ directions / (values.clip(0) + strength)) @ products + y_mean
        return mapped

    return [partial(apply, strength) for strength in strengths]


def median_filter(pairs: Pairs) -> dict[str, Denoise]:
    """The median of each pixel's neighborhood, for each channel separately; settings are widths of the neighborhood."""
    from scipy import ndimage

    def denoise(width: int, x: Array) -> Array:
        filtered: Array = ndimage.median_filter(x, size=(1, width, width, 1)[: x.ndim])
        return filtered

    return {f"{width} x {width}": partial(denoise, width) for width in (3, 5, 7)}


def non_local_means(pairs: Pairs) -> dict[str, Denoise]:
    """Non-local means (Buades, Coll and Morel 2005), by scikit-image; settings are its strength h."""
    from skimage.restoration import denoise_nl_means

    def denoise(h: float, x: Array) -> Array:
        channel = -1 if x.ndim == 4 else None
        images = [denoise_nl_means(p, patch_size=5, patch_distance=6, h=h, channel_axis=channel) for p in x]
        return np.stack(images)

    return {f"h {h:g}": partial(denoise, h) for h in (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2)}


def total_variation(pairs: Pairs) -> dict[str, Denoise]:
    """Total variation denoising (Chambolle 2004), by scikit-image; settings are its weight."""
    from skimage.restoration import denoise_tv_chambolle

    def denoise(weight: float, x: Array) -> Array:
        channel = -1 if x.ndim == 4 else None
        return np.stack([denoise_tv_chambolle(p, weight=weight, channel_axis=channel) for p in x])

    return {f"weight {w:g}": partial(denoise, w) for w in (0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.2, 1.6)}


BASELINES: dict[str, Callable[[Pairs], dict[str, Denoise]]] = {
    "training mean": training_mean,
    "ridge regression": ridge_regression,
    "median filter": median_filter,
    "non-local means": non_local_means,
    "total variation": total_variation,
}
OLDER = {"mean example": "training mean", "linear map": "ridge regression"}  # names in earlier versions
_FILTERS = {"median filter", "non-local means", "total variation"}
_SCIKIT_IMAGE = {"non-local means", "total variation"}  # these need the optional dependency
_MAX_FIT_EXAMPLES, _MAX_FIT_VALUES = 100_000, 2**24  # that baselines are fitted on
_MAX_SELECTION_EXAMPLES, _MAX_SELECTION_VALUES = 256, 2**16  # that settings of baselines are selected on


def is_image(kind: str, shape: tuple[int, ...]) -> bool:
    """Whether examples of a kind and shape are images: (h, w) or (h, w, channels)."""
    return kind != "series" and len(shape) in {2, 3}


def applicable_baselines(
    kind: str, shape: tuple[int, ...], n: int, requested: Sequence[str] | None = None
) -> tuple[list[str], dict[str, str]]:
    """Names of the baselines that apply to examples of a shape, and why others do not.

    Args:
        kind: of the examples.
        shape: shape of one example.
        n: number of training examples.
        requested: names of baselines; None for all.

    Raises:
        RecordError: a requested baseline does not exist.
    """
    names = list(BASELINES) if requested is None else [requested] if isinstance(requested, str) else list(requested)
    for name in names:
        if name not in BASELINES:
            raise RecordError(f"no baseline {name!r}{nearest(OLDER.get(str(name), str(name)), BASELINES)}")
    reasons: dict[str, str] = {}
    if n < 3:
        reason = (
            f"{n} training examples are too few to fit a baseline and select its setting"
            if n
            else "no training examples were given"
        )
        reasons = dict.fromkeys(BASELINES, reason)
    elif not is_image(kind, shape):
        what = "windows of series" if kind == "series" else f"examples of shape {shape}"
        reasons = dict.fromkeys(_FILTERS, f"{what} are not images")
    elif find_spec("skimage") is None:
        reasons = dict.fromkeys(_SCIKIT_IMAGE, "scikit-image is not installed: pip install 'isthmus[image]'")
    return [name for name in names if name not in reasons], {name: reasons[name] for name in names if name in reasons}


def fit_and_selection_rows(n: int, n_features: int, random_state: int) -> tuple[Array, Array]:
    """Rows of n training examples that baselines are fitted on, and other rows that their settings are selected on, each sorted."""
    n_selection = max(1, min(_MAX_SELECTION_EXAMPLES, _MAX_SELECTION_VALUES // n_features, n // 5))
    n_fit = max(2, min(_MAX_FIT_EXAMPLES, _MAX_FIT_VALUES // n_features))
    order = np.random.default_rng(random_state).permutation(n)[: n_selection + n_fit]
    return np.sort(order[n_selection:]), np.sort(order[:n_selection])


def best_setting(name: str, kind: str, fit: Pairs, selection: Pairs) -> tuple[str, Denoise]:
    """Fits a baseline on one part of the training examples and selects its setting by the error on the other.

    Images are clipped to the range of the training images, for each channel: this only lowers the error of the baseline.

    Args:
        name: of the baseline.
        kind: of the examples.
        fit: pairs that it is fitted on.
        selection: pairs on which settings are compared.

    Returns:
        The setting, and its denoising function (n, *shape) -> (n, *shape) in model units.
    """
    clip = _clip_to_range(fit.clean) if is_image(kind, fit.clean.shape[1:]) else (lambda x: x)
    candidates = {
        setting: (lambda x, denoise=denoise: clip(denoise(x))) for setting, denoise in BASELINES[name](fit).items()
    }
    if len(candidates) == 1:
        return next(iter(candidates.items()))
    return min(candidates.items(), key=lambda pair: mean_squared_error(selection.clean, pair[1](selection.corrupted)))


def _clip_to_range(clean: Array) -> Denoise:
    """Clips to the range of the clean images."""
    axes = tuple(range(clean.ndim - 1)) if clean.ndim == 4 else None
    low, high = clean.min(axes), clean.max(axes)
    return lambda x: np.clip(x, low, high)
