"""Attribution: the features that cause the anomaly score of an example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.model import Model
from isthmus.scaling import Curves

__all__ = ["Attribution", "TopFeatures", "attribute_by_error", "attribute_by_replacement", "typical_values"]

Array = NDArray[Any]
Doubles = NDArray[np.float64]
TopFeatures = tuple[NDArray[np.int64], Doubles]  # indices of features (b, n) and their shares (b, n), largest first

_MAX_CANDIDATES = 16  # features per row: those with the largest errors
# limit of the secant step, relative to the first step: a feature that hardly affects its error gives no reliable extrapolation
_MAX_EXTRAPOLATION = 1000.0


class Attribution(NamedTuple):
    """A feature of an example, and its share in the anomaly of the example."""

    feature: str | int | tuple[int, ...]  # the name of a column, its index, or the indices of a pixel
    share: float  # between 0 and 1


def attribute_by_error(errors: Doubles, n: int) -> TopFeatures:
    """The n features with the largest standardized squared errors (b, d), and their shares in the sum."""
    errors = np.nan_to_num(errors)
    features = np.argsort(-errors, axis=1, kind="stable")[:, :n]
    return features, _shares(np.take_along_axis(errors, features, 1), errors.sum(1))


def attribute_by_replacement(
    score: Callable[[Array], Doubles],
    reconstruct: Callable[[Array], Array],
    rows: Array,
    errors: Doubles,
    n: int,
    classes: tuple[int, ...] = (),
    curves: Curves | None = None,
    typical: Array | None = None,
) -> TopFeatures:
    """The features whose replacement by their expected value, one at a time, raises the score most.

    One extreme feature distorts the code, and so the reconstructions of other features: their errors are large, but it is the cause.
    It distorts its own reconstruction too. The expected value of a feature is therefore the value that equals its own reconstruction,
    found by one step of the secant method, which is exact for a linear autoencoder; or the reconstruction, or a typical value, if that
    raises the score more: a network that copies a feature expects what it is given.
    Steps are in the units of the model where these are curves of the raw values, such as logarithms: there it is nearly linear.

    Args:
        score, reconstruct: functions of rows (b, d) that return scores (b,) and reconstructions (b, d).
        rows: the examples (b, d).
        errors: their standardized squared errors (b, d). The `_MAX_CANDIDATES` features with the largest errors are tried, or n if it
            is larger.
        n: the number of features to return.
        classes: for each feature the number of its categories, 0 for a number. A category is replaced by its reconstruction only.
        curves: the map from raw to model units where it is not affine.
        typical: (d,) a typical value of each feature, such as the median of training; None: unknown.

    Returns:
        The features (b, n), and their shares (b, n) in the sum of the rises of all candidates.
    """
    candidates, _ = attribute_by_error(errors, max(_MAX_CANDIDATES, n))
    rows = rows.astype(np.result_type(rows, np.float32), copy=False)
    categories = np.asarray(classes) > 0
    before, rises, index = score(rows), np.empty(candidates.shape), np.arange(len(rows))
    made, bent = reconstruct(rows), _bent(curves, rows)
    differences = _finite_steps(_bent(curves, made) - bent, rows)
    for number, features in enumerate(candidates.T):

        def shifted(by: Array, features: Array = features) -> Array:
            changed = rows.copy()
            with np.errstate(over="ignore"):  # infinite values have a score too
                if curves is None:
                    changed[index, features] += by
                else:
                    moved = bent.copy()
                    moved[index, features] += by
                    values = _unbent(curves, moved)[index, features]
                    changed[index, features] = (
                        np.where(categories[features], values.round(), values) if classes else values
                    )
            return changed

        step = differences[index, features]
        replaced = shifted(step)
        again = _bent(curves, reconstruct(replaced)) - _bent(curves, replaced)
        remaining = _finite_steps(again, rows)[index, features]
        secant = _secant_step(step, remaining)
        extrapolated = shifted(np.where(categories[features], step, secant) if classes else secant)
        best = np.maximum(score(replaced), score(extrapolated))
        if typical is not None:
            best = np.maximum(best, score(_with_typical(rows, features, typical)))
        rises[:, number] = np.maximum(best - before, 0)
    order = np.argsort(-rises, axis=1, kind="stable")[:, :n]
    return np.take_along_axis(candidates, order, 1), _shares(np.take_along_axis(rises, order, 1), rises.sum(1))


def typical_values(model: Model, references: Array) -> Array:
    """The median of each feature over normal examples, in raw units (d,); of a category the most frequent one.

    Args:
        model: the model.
        references: the examples (m, d), in model units.
    """
    middle = np.median(references, axis=0)
    if model.scaling.classes:
        category = model.scaling.spread(torch.tensor(model.scaling.classes)).numpy() > 0
        middle = np.where(category, references.mean(0), middle)
    with torch.no_grad():
        rows = torch.from_numpy(middle).to(model.shift.device, model.dtype).reshape(1, *model.shape)
        raw: Array = model.denormalize(rows).reshape(-1).numpy(force=True)
    return raw


def _with_typical(rows: Array, features: NDArray[np.int64], typical: Array) -> Array:
    """Rows (b, d) with a typical value in place of one feature of each, (b,). A missing value stays."""
    changed, index = rows.copy(), np.arange(len(rows))
    missing = np.isnan(rows[index, features])
    changed[index, features] = np.where(missing, rows[index, features], typical[features])
    return changed


def _bent(curves: Curves | None, rows: Array) -> Array:
    """Rows (b, d) in the units in which steps are made: those of the model if these are curves, else raw ones."""
    return rows if curves is None else curves.bend(torch.from_numpy(rows)).numpy()


def _unbent(curves: Curves, rows: Array) -> Array:
    """Rows (b, d) in raw units."""
    return curves.unbend(torch.from_numpy(rows)).numpy()


def _finite_steps(steps: Array, rows: Array) -> Array:
    """Steps, with 0 in place of infinite ones. Steps of missing values stay NaN."""
    return np.where(np.isfinite(steps) | np.isnan(rows), steps, 0)


def _secant_step(step: Array, remaining: Array) -> Array:
    """The secant step to a zero error, from a first step and the error that remains after it.

    The first step itself if the secant step is undefined or longer than `_MAX_EXTRAPOLATION` first steps.
    """
    step, change = step.astype(np.float64), step.astype(np.float64) - remaining
    valid = np.abs(change) * _MAX_EXTRAPOLATION > np.abs(step)
    return np.where(valid, step * np.divide(step, change, out=np.ones_like(step), where=valid), step)


def _shares(parts: Doubles, total: Doubles) -> Doubles:
    return parts / np.maximum(total, 1e-300)[:, None]
