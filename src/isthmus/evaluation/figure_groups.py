"""Groups of the figures of an evaluation, by subject."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Columns", "Cost", "Denoising", "Errors", "Nats", "Restoration"]


@dataclass(frozen=True)
class Errors:
    """Reconstruction errors, of the autoencoder or of PCA.

    Attributes:
        mse: mean of (x - reconstruction)², in squared units of the examples. None for a table with other columns than numbers, whose
            columns have no common unit, and so are all others but `column_error`.
        mse_scaled: the same in model units, where columns count equally. None where all columns have one scale.
        psnr: peak signal-to-noise ratio, 10 log10(data_range² / mse), in dB; infinite for no error. None if all values are equal.
        ssim: mean structural similarity of images, 1 for a perfect reconstruction. None where `Evaluation.ssim_missing` says why.
        explained_variance: 1 - squared error / squared distance from the mean of the training examples, in model units. 1 for a
            perfect reconstruction, 0 for the mean. None where the examples do not vary.
        column_error: unexplained variance of a column, the mean over the columns of a table that vary, so that every column
            counts equally; of windows, over channels. None for images. For a table with other columns than numbers the mean of
            `MethodErrors.error`: of a category the fraction of wrong values / that of always the most frequent category.
        snr: signal-to-noise ratio, 10 log10(variance of the targets / mse), in dB. None but for series with a target, such as sound.
    """

    mse: float | None
    mse_scaled: float | None = None
    psnr: float | None = None
    ssim: float | None = None
    explained_variance: float | None = None
    column_error: float | None = None
    snr: float | None = None

    @property
    def error(self) -> float:
        """The error in which columns count equally: `mse_scaled`; `mse` where all columns have one scale; else `column_error`."""
        known = (each for each in (self.mse_scaled, self.mse, self.column_error) if each is not None)
        return next(known, math.nan)

    @property
    def measure(self) -> str:
        """What `error` is."""
        return "error by column" if self.mse is None else "squared error"


@dataclass(frozen=True)
class Nats:
    """The loss of the deterministic code. For a variational autoencoder it differs from -ELBO, which samples the code.

    Attributes:
        nll, penalty: negative log-likelihood of the reconstruction and penalty of the code, in nats per example.
        total: nll + penalty, in nats per example.
        per_dim: total / n_features, in nats per dimension.
        bce_per_pixel: binary cross-entropy, in nats per pixel, clipped to [0, 1]. None for likelihoods of other values.
        bce_lower_bound: entropy of the pixels, a lower bound of `bce_per_pixel`. None in the same cases.
        weighted: whether the likelihood multiplies the nats of columns by weights (`Weighted`); None if not.
    """

    nll: float
    penalty: float
    total: float
    per_dim: float
    bce_per_pixel: float | None = None
    bce_lower_bound: float | None = None
    weighted: bool | None = None


@dataclass(frozen=True)
class Denoising:
    """Errors of an autoencoder that was trained on corrupted examples.

    Attributes:
        mse_corrupted: mean squared error of the corrupted examples, in squared units; None where values are missing in them.
        mse_denoised: mean squared error of their reconstructions; None for a table with other columns than numbers.
        column_error: `Errors.column_error` of their reconstructions.
    """

    mse_corrupted: float | None
    mse_denoised: float | None
    column_error: float | None = None


@dataclass(frozen=True)
class Columns:
    """Columns that are badly reconstructed.

    Attributes:
        lost: names and unexplained variance of the columns where it is 0.5 or more, the largest first, at most ten.
        n_lost: number of all such columns.
        unexplained_variance: squared error / squared distance from the mean, summed over all features; None where nothing varies.
    """

    lost: tuple[tuple[str, float], ...] = ()
    n_lost: int = 0
    unexplained_variance: float | None = None


@dataclass(frozen=True)
class Cost:
    """What the model costs.

    Attributes:
        n_parameters: trainable parameters.
        seconds: training time.
        encode_per_second, reconstruct_per_second: examples per second, measured here.
        n_fixed: weights that training does not change, such as the linear maps of `LinearSkip`.
    """

    n_parameters: int
    seconds: float
    encode_per_second: float
    reconstruct_per_second: float
    n_fixed: int = 0


@dataclass(frozen=True)
class Restoration:
    """Errors against a target, of the baselines of a restoration.

    Attributes:
        input: errors of the input itself, as if nothing were done.
        ridge: errors of ridge regression of the targets on the inputs, the best linear map. None where `ridge_missing` says why.
        ridge_setting: its regularization, selected on other training pairs.
        n_fitted: number of training pairs that it was fitted on.
        ridge_missing: why there is no ridge regression, or "".
        input_error_rate: fraction of values of the input that are another class than in the target, for `Categorical`.
    """

    input: Errors
    ridge: Errors | None = None
    ridge_setting: str = ""
    n_fitted: int = 0
    ridge_missing: str = ""
    input_error_rate: float | None = None
