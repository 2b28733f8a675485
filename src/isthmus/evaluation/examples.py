"""The check of the examples of an evaluation, and of missing values in them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.context_array import attach_context, context_of
from isthmus.data.missing import count_missing
from isthmus.data.validation import Examples, shaped_examples
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.shape_check import check_shape_and_columns
from isthmus.estimators.support_check import check_steps

__all__ = ["check_examples", "complete_examples", "observed_examples"]

Array = NDArray[Any]


def check_examples(ae: Autoencoder, X: Any, name: str) -> Array:
    """Checks examples, and fills in missing features by the autoencoder.

    Args:
        ae: a fitted autoencoder.
        X: examples (n, *shape_) in the units of the training data.
        name: name of the argument, for the error message.

    Returns:
        The examples (n, *shape_), without missing features.

    Raises:
        DataError: the examples do not have the shape of the training examples, are not finite, or are not values that the likelihood
            accepts.
    """
    return complete_examples(ae, observed_examples(ae, X, name), name)


def observed_examples(ae: Autoencoder, X: Any, name: str) -> Array:
    """`check_examples`, but missing features stay NaN."""
    examples = shaped_examples(ae._table_rows(X), shape=ae.shape_)
    what, hint = f"the examples of {name}", f"reshape {name} to (n, *shape_)"
    check_shape_and_columns(ae, examples.values.shape[1:], examples.columns, what=what, hint=hint)
    values = ae._examples(Examples(examples.values, positions=examples.positions))
    check_steps(ae.likelihood_, values, ae.model_.affine, examples.at)
    return values


def complete_examples(ae: Autoencoder, values: Array, name: str) -> Array:
    """Checked examples, with missing features filled in by the autoencoder."""
    context = ae._context(None, values) if name == "X" else context_of(values)
    if ae.missing == "allow" and count_missing(values):
        return attach_context(np.asarray(ae.impute(values)), context)
    return values
