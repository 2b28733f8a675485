"""Restoration: errors against a target instead of the input, and their baselines, the input itself and ridge regression."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.data.context_array import attach_context, context_of, without_subclass
from isthmus.data.memmap import Rows
from isthmus.data.missing import count_missing
from isthmus.data.statistics import DataStatistics
from isthmus.data.validation import Examples, shaped_examples
from isthmus.errors import DataError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.shape_check import check_shape_and_columns
from isthmus.estimators.support_check import check_steps
from isthmus.evaluation.denoising_baselines import (
    Pairs,
    applicable_baselines,
    best_setting,
    fit_and_selection_rows,
)

__all__ = ["Reference", "Ridge", "check_target", "fit_ridge", "reference_for"]

Array = NDArray[Any]
RIDGE = "ridge regression"


class Ridge(NamedTuple):
    """Ridge regression of targets on inputs.

    Attributes:
        restore: inputs (n, *shape) -> restored examples (n, *shape), in the units of the data; None where `missing` says why.
        setting: its regularization.
        n_fitted: number of pairs that it was fitted on.
        missing: why there is none, or "".
    """

    restore: Callable[[Array], Array] | None = None
    setting: str = ""
    n_fitted: int = 0
    missing: str = ""


NO_RIDGE = Ridge(missing="no training pairs were given")


def check_target(ae: Autoencoder, target: Any, n: int, name: str, of: str) -> Array:
    """Checks the targets of n examples.

    Args:
        ae: a fitted autoencoder.
        target: (n, *shape_), in the units of the training data.
        n: number of examples.
        name: name of the argument, for messages.
        of: name of the argument with the examples.

    Returns:
        The targets (n, *shape_).

    Raises:
        DataError: there are more or fewer targets than examples, their shape differs, or a value is missing or invalid.
    """
    examples = shaped_examples(target, shape=ae.shape_)
    check_shape_and_columns(ae, examples.values.shape[1:], examples.columns, what=f"the examples of {name}")
    if len(examples.values) != n:
        raise DataError(
            f"{name} has {len(examples.values):,} examples, but {of} has {n:,}: pass a target for each example"
        )
    values = ae._examples(Examples(examples.values, positions=examples.positions))
    check_steps(ae.likelihood_, values, ae.model_.affine, examples.at)
    if missing := count_missing(values):
        raise DataError(f"{name} has {missing:,} missing values: leave out these examples in {name} and in {of}")
    return values


def fit_ridge(ae: Autoencoder, inputs: Array, targets: Array, random_state: int = 0) -> Ridge:
    """Ridge regression of training targets on training inputs (m, *shape) in model units; its regularization is selected on other pairs."""
    if ae.likelihood_.nominal:
        return Ridge(missing="the values are classes, whose differences mean nothing")
    names, reasons = applicable_baselines(ae.kind_, ae.shape_, len(inputs), [RIDGE])
    if not names:
        return Ridge(missing=reasons[RIDGE])
    shift, scale = (side.cpu().double().numpy() for side in (ae.model_.shift, ae.model_.scale))

    def normalize(x: Array) -> Array:
        return np.asarray((np.asarray(x) - shift) / scale, np.float32)

    fit, selection = (
        Pairs(normalize(Rows(inputs)(rows)), normalize(Rows(targets)(rows)))
        for rows in fit_and_selection_rows(len(inputs), inputs[0].size, random_state)
    )
    setting, denoise = best_setting(RIDGE, ae.kind_, fit, selection)
    return Ridge(lambda x: np.asarray(denoise(normalize(x)) * scale + shift, np.float64), setting, len(fit.clean))


class Reference(NamedTuple):
    """What reconstructions are compared with, if that is not the input.

    Attributes:
        targets: (n, *shape), in the units of the data.
        center: mean of the training targets (d,), which the explained variance refers to.
        ridge: the linear baseline.
    """

    targets: Array
    center: torch.Tensor
    ridge: Ridge

    def rows(self, begin: int, count: int) -> Reference:
        """The part of some rows."""
        return self._replace(targets=without_subclass(self.targets[begin : begin + count]))

    def centered(self, true: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """Targets (n, *shape) minus their training mean, in model units (n, d)."""
        return (true.reshape(len(true), -1) - self.center) / scale

    def beside(self, inputs: Array) -> Array:
        """Inputs and targets as one array (n, 2, *shape), with the context of the inputs."""
        both = np.stack([np.asarray(inputs), np.asarray(self.targets)], axis=1)
        return attach_context(both, context_of(inputs))


def reference_for(ae: Autoencoder, targets: Array, training: tuple[Array, Array] | None) -> Reference:
    """The reference of examples whose targets (n, *shape) are checked.

    Args:
        ae: a fitted autoencoder.
        targets: of the examples.
        training: inputs and targets of training, or None.
    """
    known = targets if training is None else training[1]
    center = DataStatistics(known).sums((0,))[0].reshape(-1) / len(known)
    ridge = NO_RIDGE if training is None else fit_ridge(ae, *training)
    return Reference(targets, torch.from_numpy(np.asarray(center)), ridge)
