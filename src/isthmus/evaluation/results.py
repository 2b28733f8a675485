"""Evaluation: all figures of one autoencoder on some examples, grouped by subject."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from isthmus.data.sentinels import Sentinel
from isthmus.evaluation.advice import Advice
from isthmus.evaluation.column_result import ColumnFigures
from isthmus.evaluation.figure_groups import Columns, Cost, Denoising, Errors, Nats, Restoration
from isthmus.evaluation.latents import Codes
from isthmus.evaluation.probes import Labels
from isthmus.results import Result, Table, flat, plain

__all__ = ["Evaluation", "columns_of", "format_figure", "value_of"]

FittedOn = Literal["training examples", "the same examples"]
_MIXED = (
    "0 is perfect, 1 no better than a constant; of categories wrong values / those of the most frequent one, of others "
    "unexplained variance; mean over columns"
)

PATHS = {  # the short name of a figure, as in `metric=` and in the columns of tables, and its path
    "n_parameters": "cost.n_parameters",
    "seconds": "cost.seconds",
    "encode_per_second": "cost.encode_per_second",
    "reconstruct_per_second": "cost.reconstruct_per_second",
    "mse": "errors.mse",
    "mse_scaled": "errors.mse_scaled",
    "psnr": "errors.psnr",
    "ssim": "errors.ssim",
    "snr": "errors.snr",
    "explained_variance": "errors.explained_variance",
    "column_error": "errors.column_error",
    "pca_mse": "pca.mse",
    "pca_mse_scaled": "pca.mse_scaled",
    "pca_psnr": "pca.psnr",
    "pca_ssim": "pca.ssim",
    "pca_explained_variance": "pca.explained_variance",
    "pca_column_error": "pca.column_error",
    "mse_train": "training.mse",
    "mse_train_scaled": "training.mse_scaled",
    "column_error_train": "training.column_error",
    "nats": "nats.total",
    "nll": "nats.nll",
    "penalty": "nats.penalty",
    "nats_per_dim": "nats.per_dim",
    "bce_per_pixel": "nats.bce_per_pixel",
    "bce_lower_bound": "nats.bce_lower_bound",
    "mse_corrupted": "denoising.mse_corrupted",
    "mse_denoised": "denoising.mse_denoised",
    "column_error_denoised": "denoising.column_error",
    "input_mse": "restoration.input.mse",
    "input_mse_scaled": "restoration.input.mse_scaled",
    "input_psnr": "restoration.input.psnr",
    "input_ssim": "restoration.input.ssim",
    "input_snr": "restoration.input.snr",
    "input_explained_variance": "restoration.input.explained_variance",
    "input_column_error": "restoration.input.column_error",
    "ridge_mse": "restoration.ridge.mse",
    "ridge_mse_scaled": "restoration.ridge.mse_scaled",
    "ridge_psnr": "restoration.ridge.psnr",
    "ridge_ssim": "restoration.ridge.ssim",
    "ridge_snr": "restoration.ridge.snr",
    "ridge_explained_variance": "restoration.ridge.explained_variance",
    "ridge_column_error": "restoration.ridge.column_error",
    "lost_columns": "columns.lost",
    "n_lost_columns": "columns.n_lost",
    "unexplained_variance": "columns.unexplained_variance",
}
SHORT = {path: name for name, path in PATHS.items()}


@dataclass(frozen=True, repr=False)
class Evaluation(Result):
    """Figures of one autoencoder on some examples.

    A figure has a path, "errors.mse", and most have a short name, "mse" (`PATHS`). `to_dict` is nested by path; tables have a column
    for each short name, or path where there is none ("codes.size").

    Attributes:
        n_examples, n_features: number of examples, and of features (pixels of an image) of each.
        code_size: dimension of a code.
        data_range: the range that PSNR and SSIM refer to: 255 for bytes, 1 for unscaled values in [0, 1], else largest - smallest. None
            for a table with other columns than numbers.
        cost: parameters, training time, throughput.
        errors: reconstruction errors.
        pca: the same of PCA with `code_size` components, fitted on scaled examples. None where `pca_missing` says why.
        training: `errors` on at most 10,000 training examples; only the squared errors. None where these are not known.
        denoising: errors on corrupted examples. None for an autoencoder trained on clean ones.
        nats: the loss.
        columns: columns that are badly reconstructed.
        ssim_missing: why there is no structural similarity, or "".
        pca_fitted_on: what PCA, and the mean of `explained_variance`, was fitted on; on the same examples it has an advantage.
        pca_missing: why there is no PCA of equal width, or "".
        codes: diagnostics of the latent units.
        labels: how well labels can be predicted from the codes. None without labels, or where `labels_missing` says why.
        labels_missing: why the given labels cannot score codes, or "".
        advice: recommendations, the most severe first.
        all_alike: whether all examples are equal, training examples included.
        sentinels: columns in which one value far from all others is frequent, such as -999, in the training examples if given.
        error_rate: fraction of values reconstructed as another class, for `Categorical`; of `errors` then only `mse` is not None.
        by_column: the figures of each column of a table whose columns have names; None for others.
        restoration: the baselines of an evaluation with a target. All errors, those of PCA and the loss are then against the target.
            None without a target: errors are against the examples themselves.
    """

    n_examples: int
    n_features: int
    code_size: int
    data_range: float | None
    cost: Cost
    errors: Errors
    pca: Errors | None
    training: Errors | None
    denoising: Denoising | None
    nats: Nats
    columns: Columns
    ssim_missing: str
    pca_fitted_on: FittedOn
    pca_missing: str
    codes: Codes
    labels: Labels | None
    labels_missing: str
    advice: tuple[Advice, ...] = ()
    all_alike: bool = False
    sentinels: tuple[Sentinel, ...] = ()
    error_rate: float | None = None
    restoration: Restoration | None = None
    by_column: ColumnFigures | None = None

    @property
    def mixed(self) -> bool:
        """Whether it is of a table with other columns than numbers, whose columns have no common unit."""
        return self.errors.mse is None

    def value(self, name: str) -> Any:
        """A figure by its short name, "mse", or by its path, "errors.mse"; None if it was not measured or does not exist.

        Args:
            name: short name or path of the figure.
        """
        return value_of(asdict(self), name)

    def rows(self) -> list[tuple[str, str, str]]:
        """Name, value and unit of each figure that was measured, for display."""
        errors, pca, nats, cost = self.errors, self.pca, self.nats, self.cost
        by_pca = Errors(math.nan) if pca is None else pca
        fitted = f"{self.code_size:,} components, fitted on {self.pca_fitted_on}"
        peak = f"dB, data range {format_figure(self.data_range or 0.0)}; higher is better"
        per_column = _MIXED if self.mixed else "unexplained variance of a column (channel), mean over columns"
        squared = "by column" if self.mixed else "squared"
        ratio = "1 - squared error / squared distance from the mean"
        similarity = "structural similarity of images; at most 1, higher is better"
        noise = "dB, variance of the targets / squared error; higher is better"
        parts = (nats.nll, nats.penalty) if nats.penalty else (None, None)
        weighted = " (columns weighted)" if nats.weighted else ""
        denoising = self.denoising or Denoising(None, None)
        table: list[tuple[str, float | None, str]] = [
            ("Misclassified values", self.error_rate, "fraction of values reconstructed as another class"),
            ("Mean squared error", errors.mse, "squared units of the data"),
            ("PCA's mean squared error", None if pca is None else pca.mse, self.pca_missing or fitted),
            ("Error of scaled features", errors.mse_scaled, "squared, after scaling: columns count equally"),
            ("PCA's error of scaled features", by_pca.mse_scaled, fitted),
            ("Error by column", errors.column_error, per_column),
            ("PCA's error by column", by_pca.column_error, (self.pca_missing or fitted) if self.mixed else per_column),
            (
                "Error on training examples",
                None if self.training is None else self.training.error,
                f"{squared}, as above; on at most 10,000 examples",
            ),
            ("Explained variance", errors.explained_variance, ratio),
            ("PCA's explained variance", by_pca.explained_variance, ratio),
            ("PSNR", errors.psnr, peak),
            ("PCA's PSNR", by_pca.psnr, peak),
            ("SSIM", errors.ssim, similarity),
            ("PCA's SSIM", by_pca.ssim, similarity),
            ("Signal-to-noise ratio", errors.snr, noise),
            ("Cross-entropy per pixel", nats.bce_per_pixel, "nats per pixel, of pixels in [0, 1]"),
            ("Lower bound of the cross-entropy", nats.bce_lower_bound, "nats per pixel, the entropy of the pixels"),
            ("MSE of corrupted examples", denoising.mse_corrupted, "squared units of the data"),
            ("MSE of denoised examples", denoising.mse_denoised, "squared units of the data"),
            ("Error by column of denoised examples", denoising.column_error if self.mixed else None, "as above"),
            ("Loss", nats.total, f"nats per example{weighted}, of the deterministic code"),
            ("Negative log-likelihood", parts[0], f"nats per example{weighted}, part of the loss"),
            ("Penalty", parts[1], "nats per example, part of the loss"),
            ("Loss per dimension", nats.per_dim, f"nats per dimension{weighted}; {self.n_features:,} features"),
            ("Parameters", cost.n_parameters, "trainable parameters"),
            ("Fixed weights", cost.n_fixed or None, "weights that training does not change"),
            ("Training time", cost.seconds, "seconds"),
            ("Encoding", cost.encode_per_second, "examples per second"),
            ("Reconstructing", cost.reconstruct_per_second, "examples per second"),
            ("Measured on", self.n_examples, "examples"),
        ]
        always = "PCA's error by column" if self.mixed else "PCA's mean squared error"
        rows = [row for row in table if row[1] is not None or row[0] == always]
        printed = [(name, "none" if value is None else format_figure(value), unit) for name, value, unit in rows]
        return [*self._restoration_rows(), *printed]

    def _restoration_rows(self) -> list[tuple[str, str, str]]:
        """What is compared with what, and the baselines of a restoration; empty without a target."""
        if self.restoration is None:
            return []
        known, ridge = self.restoration, self.restoration.ridge
        fitted = (
            f"linear map from input to target, fitted on {known.n_fitted:,} training pairs; squared units of the data"
        )
        rows: list[tuple[str, Any, str]] = [
            ("Compared with", "target", "all errors, those of PCA of the inputs and the loss are against the target"),
            (
                "Input's misclassified values",
                known.input_error_rate,
                "fraction of values of another class than in the target",
            ),
            (
                "Input's mean squared error",
                known.input.mse,
                "the input itself against the target; squared units of the data",
            ),
            (
                "Ridge regression's mean squared error",
                None if ridge is None else ridge.mse,
                known.ridge_missing or fitted,
            ),
        ]
        rows += _baseline_rows("Input's", known.input)
        rows += _baseline_rows("Ridge regression's", ridge or Errors(math.nan))
        shown = [row for row in rows if row[1] is not None or row[0].startswith("Ridge regression's mean")]
        return [
            (name, value if isinstance(value, str) else "none" if value is None else format_figure(value), unit)
            for name, value, unit in shown
        ]

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain JSON values, nested by subject; None for a value that is not finite."""
        values = {name: plain(value) for name, value in asdict(self).items()}
        return values | {"by_column": None if self.by_column is None else self.by_column.to_list()}

    def table(self) -> Table:
        """Header, and name, value and unit of each figure."""
        return ["figure", "value", "unit"], self.rows()

    def _frame_rows(self) -> list[dict[str, Any]]:
        figures = asdict(replace(self, by_column=None))
        return [columns_of({name: value for name, value in figures.items() if name != "by_column"})]


def _baseline_rows(name: str, errors: Errors) -> list[tuple[str, Any, str]]:
    """The errors of a baseline of a restoration other than the squared error."""
    return [
        (f"{name} error of scaled features", errors.mse_scaled, "squared, after scaling: columns count equally"),
        (f"{name} error by column", errors.column_error, "mean over columns"),
        (f"{name} PSNR", errors.psnr, "dB; higher is better"),
        (f"{name} SSIM", errors.ssim, "structural similarity of images; at most 1, higher is better"),
        (f"{name} signal-to-noise ratio", errors.snr, "dB; higher is better"),
    ]


def value_of(figures: Mapping[str, Any], name: str) -> Any:
    """A figure in nested plain figures, by its short name or path; None if it does not exist."""
    value: Any = figures
    for part in PATHS.get(name, name).split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def columns_of(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Nested plain figures as the columns of a table: by short name, or by path if there is none; without lists.

    A baseline that was not measured has columns of None, so that the tables of several evaluations have the same columns.
    """
    parts = {path.partition(".")[0] for path in SHORT}
    paths = {
        path: value for path, value in flat(figures).items() if path in SHORT or path.partition(".")[0] not in parts
    }
    columns = {SHORT.get(path, path): value for path, value in paths.items()}
    missing = {path for path, value in flat(figures).items() if value is None and path not in SHORT}
    return columns | {
        name: None for path, name in SHORT.items() if any(path.startswith(f"{part}.") for part in missing)
    }


def format_figure(value: float) -> str:
    """A figure as text with four digits; integers, and values from 1,000, without decimals.

    Args:
        value: a figure.
    """
    if not math.isfinite(value):
        return "infinite" if value > 0 else str(value)
    whole = isinstance(value, int) or 1000 <= abs(value) < 1e9
    return f"{value:,.0f}" if whole else f"{value:.4g}"
