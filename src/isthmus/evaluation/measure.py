"""Measures an autoencoder on examples: `evaluate`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.data.labels import class_labels
from isthmus.data.sentinels import sentinels
from isthmus.data.validation import blocks
from isthmus.errors import DataError
from isthmus.estimators.argument_check import takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.table_columns import table_columns
from isthmus.estimators.unit_check import check_units_once
from isthmus.evaluation.advice import advice_for
from isthmus.evaluation.by_column import TableRows, fit_baselines
from isthmus.evaluation.column_errors import ColumnErrors, column_errors
from isthmus.evaluation.examples import complete_examples, observed_examples
from isthmus.evaluation.figure_groups import Columns, Cost, Denoising, Errors, Nats, Restoration
from isthmus.evaluation.latents import latent_diagnostics
from isthmus.evaluation.metrics import psnr
from isthmus.evaluation.pca import Subspace, principal, sample
from isthmus.evaluation.probes import label_scores
from isthmus.evaluation.reconstruction import data_range_of, mean_errors, squared_errors, throughput, why_no_ssim
from isthmus.evaluation.restoration import Ridge, check_target, reference_for
from isthmus.evaluation.results import Evaluation
from isthmus.evaluation.table_figures import with_columns

__all__ = ["evaluate"]

Array = NDArray[Any]

_BY_COLUMN = (
    "total",
    "residual",
    "pca residual",
    "denoised residual",
    "input residual",
    "ridge residual",
)  # sums of squares, see `column_errors`
MAX_TRAINING_EXAMPLES = 10_000  # that the error on training examples is measured on


@takes_autoencoder
@check_units_once()
def evaluate(
    ae: Autoencoder,
    X: Any,
    y: Any = None,
    *,
    target: Any = None,
    train: Any = None,
    train_labels: Any = None,
    train_target: Any = None,
) -> Evaluation:
    """Measures an autoencoder on examples X (n, *shape), preferably held out from training.

    Reconstructions are compared with X, or with a target: for a restoration, X are the noisy examples and the target the clean ones.

    With missing="allow", missing features are first filled in by the autoencoder and then count, with almost no error.
    Without missing features, memory does not grow with n: a memory map or a sparse matrix is read block by block. PCA of equal width is
    fitted on at most `PCA_ROWS` examples or 256 MiB, drawn at random with a fixed seed.

    Args:
        ae: a fitted autoencoder.
        X: examples (n, *shape), in the units of the training data.
        y: labels of X (n,), of any type, or None. They score the codes. None, NaN, NaT, pandas.NA and empty text mean that an
            example has no label; the scores exclude it, and the result counts such examples. A conditional autoencoder requires
            y, as its context too.
        target: (n, *shape), what the reconstructions of X are compared with instead of X. The result then also has the errors of X
            itself and of ridge regression from X to the target (`Evaluation.restoration`). PCA reconstructs X.
        train: training examples (m, *shape), for PCA and the training error. Without them PCA is fitted on X itself, and the
            result says so.
        train_labels: labels of `train` (m,), which probes are fitted on. Without them probes are cross-validated within X. A
            conditional autoencoder requires them with `train`.
        train_target: the targets of `train` (m, *shape), which ridge regression is fitted on. Required with `train` if X has a target.

    Returns:
        The figures; `Evaluation` describes each with its unit.

    Raises:
        DataError: examples do not have the shape of the training examples, or are not finite, or the number of labels or targets
            differs.

    Examples:
        >>> result = isthmus.evaluate(ae, X)
        >>> 0.05 < result.value("mse") < 0.5
        True
    """
    observed = observed_examples(ae, X, "X")
    observed_train = None if train is None else observed_examples(ae, train, "train")
    values = complete_examples(ae, observed, "X")
    fitted = values if observed_train is None else complete_examples(ae, observed_train, "train")
    if train is None and train_labels is not None:
        raise DataError("train_labels is given without train: give both")
    labels = None if y is None else class_labels(y, len(values))
    labeled_training = (
        None if y is None or train_labels is None else (fitted, class_labels(train_labels, len(fitted), "train_labels"))
    )
    targets = _checked_targets(ae, (target, len(values)), (train_target, None if train is None else len(fitted)))
    subspace, pca_missing = principal(fitted, _scales(ae).ravel(), math.prod(ae.code_shape_), ae.scaling_.classes)
    result = _measured(ae, values, None if train is None else fitted, targets, subspace)
    result = replace(result, pca_missing=result.pca_missing or pca_missing)
    columns = table_columns(ae)
    table_pca = None
    if columns is not None:
        rows = TableRows(observed, values, targets.held)
        training = None if observed_train is None else TableRows(observed_train, fitted, targets.training)
        baselines = fit_baselines(ae, columns, training or rows, subspace)
        result, table_pca = with_columns(ae, result, rows, training, baselines), baselines.table_pca
    if labels is not None:
        scores, missing = label_scores(ae, table_pca or subspace, (values, labels), labeled_training)
        result = replace(result, labels=scores, labels_missing=missing)
    return replace(result, advice=advice_for(ae, result))


def _checked_targets(ae: Autoencoder, held: tuple[Any, int], training: tuple[Any, int | None]) -> _Targets:
    """The checked targets of X and of train."""
    (target, n), (train_target, n_train) = held, training
    if target is None and train_target is not None:
        raise DataError("train_target is given without target: give both")
    if target is None:
        return _Targets()
    if (train_target is None) != (n_train is None):
        given, other = ("train", "train_target") if train_target is None else ("train_target", "train")
        raise DataError(f"{given} is given without {other}, and X has a target: give both")
    checked = check_target(ae, target, n, "target", "X")
    if n_train is None:
        return _Targets(checked)
    return _Targets(checked, check_target(ae, train_target, n_train, "train_target", "train"))


class _Targets(NamedTuple):
    """The targets of X and of train; None without."""

    held: Array | None = None
    training: Array | None = None


def _scales(ae: Autoencoder) -> NDArray[np.float64]:
    """The scale of each feature (*shape)."""
    return np.broadcast_to(ae.model_.scale.cpu().numpy().astype(np.float64), ae.shape_)


def _measured(ae: Autoencoder, values: Array, train: Array | None, targets: _Targets, subspace: Subspace) -> Evaluation:
    """The evaluation without labels and advice."""
    fitted, truth = values if train is None else train, values if targets.held is None else targets.held
    data_range = data_range_of(ae, truth)
    reference = None
    if targets.held is not None:
        pairs = None if train is None or targets.training is None else (train, targets.training)
        reference = reference_for(ae, targets.held, pairs)
    training, rows = (None, None) if train is None else sample(train, MAX_TRAINING_EXAMPLES)
    mean = mean_errors(ae, values, subspace, data_range, reference)
    if reference is not None and ae.kind_ == "series":
        mean["signal"] = _variance(truth)
    uneven = bool((_scales(ae) != _scales(ae).flat[0]).any())
    columns = column_errors(ae, truth, {name: mean[name] for name in _BY_COLUMN if name in mean})
    speeds = (throughput(ae.encode, values), throughput(ae.reconstruct, values))
    result = Evaluation(
        n_examples=len(values),
        n_features=math.prod(ae.shape_),
        code_size=math.prod(ae.code_shape_),
        data_range=data_range,
        cost=Cost(ae.n_parameters_, ae.seconds_, *speeds, ae.n_fixed_),
        errors=_errors(mean, "", data_range, uneven, columns.error),
        pca=_errors(mean, "pca", data_range, uneven, columns.pca) if "pca" in mean else None,
        training=None if training is None else _training_errors(ae, training, targets.training, rows, uneven),
        denoising=Denoising(mean.get("corrupted"), mean["denoised"], columns.denoised) if "denoised" in mean else None,
        nats=_nats(mean, math.prod(ae.shape_), ae.likelihood_.weighted),
        columns=Columns(
            columns.lost, columns.n_lost, mean["mse"] / mean["raw variance"] if mean["raw variance"] else None
        ),
        ssim_missing=why_no_ssim(ae.shape_, ae.kind_, data_range),
        pca_fitted_on="the same examples" if train is None else "training examples",
        pca_missing="",
        codes=latent_diagnostics(ae, values, training, targets.held),
        labels=None,
        labels_missing="",
        all_alike=len(values) + (0 if train is None else len(fitted)) > 1 and _all_equal(values, fitted),
        sentinels=sentinels(fitted, ae.kind_, getattr(ae, "_features", None), getattr(ae, "table_", None)),
        restoration=None if reference is None else _restoration(mean, reference.ridge, data_range, uneven, columns),
    )
    return _of_classes(result, mean) if ae.likelihood_.nominal else result


def _restoration(
    mean: dict[str, Any], ridge: Ridge, data_range: float, uneven: bool, columns: ColumnErrors
) -> Restoration:
    """The errors of the baselines of a restoration."""
    return Restoration(
        input=_errors(mean, "input", data_range, uneven, columns.input),
        ridge=_errors(mean, "ridge", data_range, uneven, columns.ridge) if "ridge" in mean else None,
        ridge_setting=ridge.setting,
        n_fitted=ridge.n_fitted,
        ridge_missing=ridge.missing,
    )


def _of_classes(result: Evaluation, mean: dict[str, Any]) -> Evaluation:
    """The evaluation of examples whose values are names of classes: without what compares distances of classes."""
    known = result.restoration
    return replace(
        result,
        errors=Errors(result.errors.mse),
        error_rate=mean["wrong"],
        pca=None,
        pca_missing="the values are classes, whose differences mean nothing",
        columns=Columns(),
        restoration=None
        if known is None
        else replace(known, input=Errors(known.input.mse), input_error_rate=mean["input wrong"]),
    )


def _all_equal(values: Array, fitted: Array) -> bool:
    """Whether all examples of both arrays are bit-identical."""
    first = np.asarray(values[0])
    return all(bool((block == first).all()) for array in (values, fitted) for _, block in blocks(array))


def _errors(mean: dict[str, Any], method: str, data_range: float, uneven: bool, column_error: float | None) -> Errors:
    """The errors of the autoencoder (method "") or of another method, from `mean_errors`."""
    mse, total, scaled = mean[method or "mse"], mean["variance"], mean[f"{method} scaled".strip()]
    return Errors(
        mse=mse,
        mse_scaled=scaled if uneven else None,
        psnr=_psnr(mse, data_range),
        ssim=mean.get(f"{method} ssim".strip()),
        explained_variance=1 - scaled / total if total else None,
        column_error=column_error,
        snr=_snr(mse, mean.get("signal")) if method != "pca" else None,
    )


def _training_errors(ae: Autoencoder, training: Array, targets: Array | None, rows: Any, uneven: bool) -> Errors:
    """The squared errors on some rows of the training examples."""
    mse, scaled = squared_errors(ae, training, None if targets is None else np.asarray(targets[rows]))
    return Errors(mse, scaled if uneven else None)


def _nats(mean: dict[str, Any], n_features: int, weighted: bool) -> Nats:
    """The loss per example and per dimension."""
    nll, penalty = mean["nll"] * n_features, mean["penalty"] * n_features
    bce = (mean.get("bce"), mean.get("bce lower bound"))
    return Nats(nll, penalty, nll + penalty, (nll + penalty) / n_features, *bce, weighted or None)


def _variance(values: Array) -> float:
    """The variance of series (n, time, channels) about the means of their channels, the mean over channels."""
    count, total, squares = values.shape[0] * values.shape[1], np.zeros(values.shape[2:]), np.zeros(values.shape[2:])
    for _, block in blocks(values):
        total += np.sum(block, axis=(0, 1), dtype=np.float64)
    for _, block in blocks(values):  # about the mean: a difference of two large sums could be negative
        squares += np.square(np.subtract(block, total / count, dtype=np.float64)).sum((0, 1))
    return float(np.mean(squares / count))


def _snr(error: float | None, variance: float | None) -> float | None:
    """The signal-to-noise ratio in dB; None where it is unknown or nothing varies."""
    return psnr(error, math.sqrt(variance)) if error is not None and variance else None


def _psnr(error: float | None, data_range: float) -> float | None:
    """The PSNR in dB; None where all values are equal."""
    return None if error is None or data_range == 0 else psnr(error, data_range)
