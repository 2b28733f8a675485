"""All figures of one autoencoder on some examples."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.labels import class_labels
from isthmus.data.missing import count_missing
from isthmus.data.sentinels import sentinels
from isthmus.data.validation import Examples, blocks, shaped_examples
from isthmus.errors import DataError
from isthmus.estimators.argument_check import takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.shape_check import check_shape_and_columns
from isthmus.estimators.unit_check import check_units_once
from isthmus.evaluation.advice import advised
from isthmus.evaluation.column_errors import by_column
from isthmus.evaluation.latents import latent_diagnostics
from isthmus.evaluation.metrics import psnr
from isthmus.evaluation.pca import principal, sample
from isthmus.evaluation.probes import probed
from isthmus.evaluation.reconstruction import data_range_of, error_of, means, rate, why_no_ssim
from isthmus.evaluation.results import Columns, Cost, Denoising, Errors, Evaluation, Nats

__all__ = ["checked", "evaluate"]

Array = NDArray[Any]

SUMS = ("spread", "left", "pca left", "restored left")  # over examples, of each column
LEARNED = 10_000  # training examples that the error in training is measured on at most


@takes_autoencoder
@check_units_once()
def evaluate(ae: Autoencoder, X: Any, y: Any = None, *, train: Any = None, train_labels: Any = None) -> Evaluation:
    """Measures an autoencoder on examples X (n, *shape), best ones held out from training.

    Where numbers are missing, as missing="allow" allows, the autoencoder completes them first, and they count, with next to no error.
    Memory does not grow with n where none is missing: a memory map stays where it is. PCA of equal width is fitted on at most
    `PCA_ROWS` examples (fewer where 256 MiB hold fewer), drawn at random and always the same ones.

    Args:
        ae: a fitted autoencoder.
        X: examples in the units of the training data.
        y: their labels (n,), of any kind, if they have any: the codes are scored by them. None, NaN, NaT, pandas.NA and empty text
            mean that an example has no label: it is left out of these scores, and they say how many are.
        train: the examples that it was trained on, (m, *shape), for PCA and the error in training; without them PCA is fitted on X
            itself, and the result says so.
        train_labels: their labels (m,), for probes to be fitted on; without them probes are cross-validated within X.

    Returns:
        The figures; `Evaluation` describes each with its unit.

    Raises:
        DataError: the examples are not of the shape that was fitted, or not finite, or labels are not as many as examples.

    Examples:
        >>> result = isthmus.evaluate(ae, X)
        >>> 0.05 < result.value("mse") < 0.5
        True
    """
    values = checked(ae, X, "X")
    fitted = values if train is None else checked(ae, train, "train")
    if train is None and train_labels is not None:
        raise DataError("train_labels are those of train: give train too")
    labels = None if y is None else class_labels(y, len(values))
    known = (
        None if y is None or train_labels is None else (fitted, class_labels(train_labels, len(fitted), "train_labels"))
    )
    scale = np.broadcast_to(ae.model_.scale.cpu().numpy().astype(np.float64), ae.shape_)
    subspace, pca_missing = principal(fitted, scale.ravel(), math.prod(ae.code_shape_))
    data_range = data_range_of(ae, values)
    learned = None if train is None else sample(fitted, LEARNED)[0]
    mean = means(ae, values, subspace, data_range)
    scores, missing = (None, "") if labels is None else probed(ae, subspace, (values, labels), known)
    uneven = bool((scale != scale.flat[0]).any())
    columns = by_column(ae, values, {name: mean[name] for name in SUMS if name in mean})
    found = Evaluation(
        n_examples=len(values),
        n_features=math.prod(ae.shape_),
        code_size=math.prod(ae.code_shape_),
        data_range=data_range,
        cost=Cost(ae.n_parameters_, ae.seconds_, rate(ae.encode, values), rate(ae.reconstruct, values)),
        errors=_errors(mean, "", data_range, uneven, columns.error),
        pca=_errors(mean, "pca ", data_range, uneven, columns.pca) if "pca" in mean else None,
        training=None if learned is None else _trained(ae, learned, uneven),
        denoising=Denoising(mean.get("corrupted"), mean["restored"], columns.restored) if "restored" in mean else None,
        nats=_nats(mean, math.prod(ae.shape_)),
        columns=Columns(
            columns.lost, columns.n_lost, mean["mse"] / mean["raw variance"] if mean["raw variance"] else None
        ),
        ssim_missing=why_no_ssim(ae.shape_, ae.kind_, data_range),
        pca_fitted_on="the same examples" if train is None else "training examples",
        pca_missing=pca_missing,
        codes=latent_diagnostics(ae, values, learned),
        labels=scores,
        labels_missing=missing,
        all_alike=len(values) + (0 if train is None else len(fitted)) > 1 and _alike(values, fitted),
        sentinels=sentinels(fitted, ae.kind_, getattr(ae, "feature_names_in_", None)),
    )
    return replace(found, advice=advised(ae, found))


def _alike(values: Array, fitted: Array) -> bool:
    """Whether every example of both is the first one, to the last bit."""
    first = np.asarray(values[0])
    return all(bool((block == first).all()) for array in (values, fitted) for _, block in blocks(array))


def _errors(mean: dict[str, Any], whose: str, data_range: float, uneven: bool, column_error: float | None) -> Errors:
    """The errors of the autoencoder (""), or of PCA ("pca "), that follow from means over the features of the examples."""
    mse, total, scaled = mean[whose.strip() or "mse"], mean["variance"], mean[f"{whose}scaled"]
    return Errors(
        mse=mse,
        mse_scaled=scaled if uneven else None,
        psnr=_psnr(mse, data_range),
        ssim=mean.get(f"{whose}ssim"),
        explained_variance=1 - scaled / total if total else None,
        column_error=column_error,
    )


def _trained(ae: Autoencoder, learned: Array, uneven: bool) -> Errors:
    mse, scaled = error_of(ae, learned)
    return Errors(mse, scaled if uneven else None)


def _nats(mean: dict[str, Any], n_features: int) -> Nats:
    nll, penalty = mean["nll"] * n_features, mean["penalty"] * n_features
    return Nats(nll, penalty, nll + penalty, (nll + penalty) / n_features, mean.get("bce"), mean.get("floor"))


def _psnr(error: float | None, data_range: float) -> float | None:
    return None if error is None or data_range == 0 else psnr(error, data_range)


def checked(ae: Autoencoder, X: Any, name: str) -> Array:
    """Examples of the shape that was fitted, completed where numbers are missing; `DataError` where they cannot be used.

    Args:
        ae: a fitted autoencoder.
        X: examples (n, *shape_) in the units of the training data.
        name: of the argument, for the error message.
    """
    examples = shaped_examples(X, shape=ae.shape_)
    what, hint = f"the examples of {name}", f"reshape {name} to (n, *shape_)"
    check_shape_and_columns(ae, examples.values.shape[1:], examples.columns, what=what, hint=hint)
    values = ae._examples(Examples(examples.values, positions=examples.positions))
    return ae.impute(values) if ae.missing == "allow" and count_missing(values) else values
