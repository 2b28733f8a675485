"""All figures of one autoencoder on some examples."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isthmus.data.labels import class_labels
from isthmus.data.missing import gaps
from isthmus.data.sentinels import Sentinel, sentinels
from isthmus.data.validation import Examples, blocks, shaped_examples
from isthmus.errors import DataError
from isthmus.estimators.argument_check import takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.shape_check import check_shape_and_columns
from isthmus.estimators.unit_check import once
from isthmus.evaluation.advice import Advice, advised
from isthmus.evaluation.column_errors import by_column
from isthmus.evaluation.latents import Codes, health
from isthmus.evaluation.metrics import psnr
from isthmus.evaluation.pca import principal, sample
from isthmus.evaluation.probes import Labels, probed
from isthmus.evaluation.reconstruction import error_of, means, no_likeness, rate, span_of
from isthmus.results import Result, Table, flat, plain

__all__ = ["Evaluation", "checked", "evaluate", "shown"]

Array = NDArray[Any]
Fitted = Literal["training examples", "the same examples"]

LEARNED = 10_000  # training examples that the error in training is measured on at most


@dataclass(frozen=True, repr=False)
class Evaluation(Result):
    """Figures of one autoencoder on some examples.

    Attributes:
        n_examples, n_numbers: how many examples, of how many numbers each.
        code_size: numbers in one code.
        n_parameters: learned numbers of the model.
        seconds: how long training took.
        encode_per_second, reconstruct_per_second: examples encoded, and encoded and decoded, per second, measured here.
        mse: mean of (x - reconstruction)², in squared units of the examples.
        span: the range that `psnr` refers to: 255 for bytes, 1 for numbers that are in [0, 1] unscaled, else largest - least.
        psnr: 10 log10(span² / mse), in decibels; infinite where nothing is lost, None where all numbers are equal.
        ssim: structural similarity of examples that are pictures, 1 where nothing is lost, the mean over them
            (`isthmus.evaluation.metrics.structural_similarities`, with ``span``). None where `ssim_missing` says why.
        ssim_missing: why there is no structural similarity, or "".
        explained: 1 - squared error / squared distance from the mean of the training examples, sums over all numbers in model units:
            1 where nothing is lost, 0 for who always says the mean. None where no number differs from that mean.
        nll, penalty: the two parts of the loss with the point code, in nats per example. The point code is not drawn at random:
            for a variational autoencoder this is not -ELBO, whose codes are.
        nats: nll + penalty, in nats per example.
        nats_per_number: nats / n_numbers.
        bce_per_pixel: binary cross-entropy in nats per number, of pixels in [0, 1]; what lies beyond, in examples that the scaling
            has not seen, counts as the nearer end. None unless the likelihood is Bernoulli.
        bce_floor: the least it can be for these examples, their own entropy. None likewise.
        pca_mse, pca_psnr, pca_ssim, pca_explained: what `code_size` principal components of the scaled examples leave, as mse, psnr,
            ssim and explained. None where `pca_missing` says why.
        mse_scaled, pca_mse_scaled: the same errors in model units, where columns count equally. None where all have one scale.
        column_error: the mean, over the columns of a table that vary, of the share of a column's variance that is left: squared error /
            squared distance from the mean of the training examples, so that every column counts equally, whatever its unit; of windows
            over their channels. None for pictures, whose numbers have one unit.
        pca_column_error, column_error_restored: the same of PCA, and of what is made of spoilt examples.
        lost_columns: names and shares of the columns of which half or more is left, the worst first, ten at most. n_lost_columns: of all.
        raw_left: mse as a share of the variance of all numbers: the largest numbers decide.
        pca_fitted_on: what PCA, and the mean in `explained`, was fitted on; on the same examples it has an advantage.
        mse_train, mse_train_scaled: mse and mse_scaled on at most 10,000 training examples. None where they are not known.
        pca_missing: why there is no PCA of equal width, or "".
        mse_spoilt: mean squared error of the spoilt examples themselves. None for an autoencoder trained on clean ones.
        mse_restored: mean squared error of what is made of them. None likewise.
        codes: the health of the codes.
        labels: how well labels can be read from the codes. None where `labels_missing` says why, and where there are none.
        labels_missing: why labels that there are cannot score, or "".
        advice: what to do about it, most grave first.
        sentinels: the columns that have one value again and again, far from all others, as -999 is (`isthmus.data.sentinels`), among the
            training examples, or these where those are not known.
        all_alike: whether all examples, those of training included where they are known, are one and the same.
    """

    n_examples: int
    n_numbers: int
    code_size: int
    n_parameters: int
    seconds: float
    encode_per_second: float
    reconstruct_per_second: float
    mse: float
    span: float
    psnr: float | None
    ssim: float | None
    ssim_missing: str
    explained: float | None
    nats: float
    nll: float
    penalty: float
    nats_per_number: float
    bce_per_pixel: float | None
    bce_floor: float | None
    pca_mse: float | None
    pca_psnr: float | None
    pca_ssim: float | None
    pca_explained: float | None
    mse_scaled: float | None
    pca_mse_scaled: float | None
    pca_fitted_on: Fitted
    pca_missing: str
    mse_train: float | None
    mse_train_scaled: float | None
    mse_spoilt: float | None
    mse_restored: float | None
    column_error: float | None
    pca_column_error: float | None
    column_error_restored: float | None
    lost_columns: tuple[tuple[str, float], ...]
    n_lost_columns: int
    raw_left: float | None
    codes: Codes
    labels: Labels | None
    labels_missing: str
    advice: tuple[Advice, ...] = ()
    all_alike: bool = False
    sentinels: tuple[Sentinel, ...] = ()

    @property
    def error(self) -> float:
        """The mean squared error in which columns count equally: mse_scaled, or mse where all have one scale."""
        return self.mse if self.mse_scaled is None else self.mse_scaled

    @property
    def pca_error(self) -> float | None:
        """PCA's, likewise."""
        return self.pca_mse if self.mse_scaled is None else self.pca_mse_scaled

    @property
    def training_error(self) -> float | None:
        """That on training examples, likewise."""
        return self.mse_train if self.mse_scaled is None else self.mse_train_scaled

    def rows(self) -> list[tuple[str, str, str]]:
        """Name, value and unit of each figure that there is, for people."""
        fitted = f"{self.code_size:,} components, fitted on {self.pca_fitted_on}"
        peak = f"dB against a span of {shown(self.span)}; higher is better"
        parts = (self.nll, self.penalty) if self.penalty else (None, None)
        table: list[tuple[str, float | None, str]] = [
            ("Mean squared error", self.mse, "squared units of the data"),
            ("PCA's mean squared error", self.pca_mse, self.pca_missing or fitted),
            ("Error of scaled numbers", self.mse_scaled, "squared, after scaling: columns count equally"),
            ("PCA's error of scaled numbers", self.pca_mse_scaled, fitted),
            ("Error by column", self.column_error, "share of its variance that is left, mean over columns (channels)"),
            ("PCA's error by column", self.pca_column_error, "likewise"),
            ("Error on training examples", self.training_error, "squared, as above; on 10,000 at most"),
            ("Explained variance", self.explained, "1 - error / distance from the mean, both squared"),
            ("PCA's explained variance", self.pca_explained, "likewise"),
            ("PSNR", self.psnr, peak),
            ("PCA's PSNR", self.pca_psnr, peak),
            ("SSIM", self.ssim, "structural similarity of pictures; 1 is the best"),
            ("PCA's SSIM", self.pca_ssim, "likewise"),
            ("Cross-entropy per pixel", self.bce_per_pixel, "nats, pixels in [0, 1]"),
            ("Least possible cross-entropy", self.bce_floor, "nats, the entropy of the pixels themselves"),
            ("Spoilt examples' squared error", self.mse_spoilt, "squared units of the data"),
            ("Restored examples' squared error", self.mse_restored, "squared units of the data"),
            ("Loss", self.nats, "nats per example, with the point code"),
            ("Reconstruction part", parts[0], "nats per example"),
            ("Penalty part", parts[1], "nats per example"),
            ("Loss per number", self.nats_per_number, f"nats; an example has {self.n_numbers:,} numbers"),
            ("Parameters", self.n_parameters, "learned numbers"),
            ("Training", self.seconds, "seconds"),
            ("Encoding", self.encode_per_second, "examples per second"),
            ("Reconstructing", self.reconstruct_per_second, "examples per second"),
            ("Measured on", self.n_examples, "examples"),
        ]
        kept = [row for row in table if row[1] is not None or row[0] == "PCA's mean squared error"]
        return [(name, "none" if value is None else shown(value), unit) for name, value, unit in kept]

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain JSON values, those of the codes and labels and the advice within; what is not finite is None."""
        return {name: plain(value) for name, value in asdict(self).items()}

    def table(self) -> Table:
        """Name, value and unit of each figure, under a header."""
        return ["figure", "value", "unit"], self.rows()

    def _frame_rows(self) -> list[dict[str, Any]]:
        return [flat(asdict(self))]


@takes_autoencoder
@once()
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

    Raises:
        DataError: the examples are not of the shape that was fitted, or not finite, or labels are not as many as examples.
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
    span = span_of(ae, values)
    learned = None if train is None else sample(fitted, LEARNED)[0]
    mean = means(ae, values, subspace, span)
    scores, missing = (None, "") if labels is None else probed(ae, subspace, (values, labels), known)
    found = Evaluation(
        n_examples=len(values),
        n_numbers=math.prod(ae.shape_),
        code_size=math.prod(ae.code_shape_),
        n_parameters=ae.n_parameters_,
        seconds=ae.seconds_,
        encode_per_second=rate(ae.encode, values),
        reconstruct_per_second=rate(ae.reconstruct, values),
        span=span,
        **_errors(mean, span, bool((scale != scale.flat[0]).any()), ae, learned),
        **_by_column(ae, values, mean),
        ssim_missing=no_likeness(ae.shape_, ae.kind_, span),
        pca_fitted_on="the same examples" if train is None else "training examples",
        pca_missing=pca_missing,
        codes=health(ae, values, learned),
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


def _errors(mean: dict[str, Any], span: float, uneven: bool, ae: Autoencoder, learned: Array | None) -> dict[str, Any]:
    """The figures that follow from means over the numbers of the examples, and the error in training."""
    numbers, total = math.prod(ae.shape_), mean["variance"]
    nll, penalty = mean["nll"] * numbers, mean["penalty"] * numbers
    trained = (None, None) if learned is None else error_of(ae, learned)
    return {
        "mse": mean["mse"],
        "psnr": _psnr(mean["mse"], span),
        "ssim": mean.get("ssim"),
        "explained": 1 - mean["scaled"] / total if total else None,
        "nats": nll + penalty,
        "nll": nll,
        "penalty": penalty,
        "nats_per_number": (nll + penalty) / numbers,
        "bce_per_pixel": mean.get("bce"),
        "bce_floor": mean.get("floor"),
        "pca_mse": mean.get("pca"),
        "pca_psnr": _psnr(mean.get("pca"), span),
        "pca_ssim": mean.get("pca ssim"),
        "pca_explained": 1 - mean["pca scaled"] / total if total and "pca scaled" in mean else None,
        "mse_scaled": mean["scaled"] if uneven else None,
        "pca_mse_scaled": mean.get("pca scaled") if uneven else None,
        "mse_train": trained[0],
        "mse_train_scaled": trained[1] if uneven else None,
        "mse_spoilt": mean.get("spoilt"),
        "mse_restored": mean.get("restored"),
        "raw_left": mean["mse"] / mean["raw variance"] if mean["raw variance"] else None,
    }


def _by_column(ae: Autoencoder, values: Array, mean: dict[str, Any]) -> dict[str, Any]:
    """The figures in which every column counts equally."""
    names = ("spread", "left", "pca left", "restored left")
    found = by_column(ae, values, {name: mean[name] for name in names if name in mean})
    return {
        "column_error": found.error,
        "pca_column_error": found.pca,
        "column_error_restored": found.restored,
        "lost_columns": found.lost,
        "n_lost_columns": found.n_lost,
    }


def _psnr(error: float | None, span: float) -> float | None:
    return None if error is None or span == 0 else psnr(error, span)


def checked(ae: Autoencoder, X: Any, name: str) -> Array:
    """Examples of the shape that was fitted, completed where numbers are missing; `DataError` where they cannot be used."""
    examples = shaped_examples(X, shape=ae.shape_)
    what, hint = f"the examples of {name}", f"reshape {name} to (n, *shape_)"
    check_shape_and_columns(ae, examples.values.shape[1:], examples.columns, what=what, hint=hint)
    values = ae._examples(Examples(examples.values, positions=examples.positions))
    return ae.impute(values) if ae.missing == "allow" and gaps(values) else values


def shown(value: float) -> str:
    """Four digits; whole numbers in full."""
    if not math.isfinite(value):
        return "infinite" if value > 0 else str(value)
    whole = isinstance(value, int) or 1000 <= abs(value) < 1e9
    return f"{value:,.0f}" if whole else f"{value:.4g}"
