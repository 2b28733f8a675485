"""The metrics in comparison tables: which value is better, where values are comparable, and in which fields records differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.defaults import COMPONENTS
from isthmus.estimators.named_records import describe_value
from isthmus.evaluation import format_figure

__all__ = ["COLUMNS", "PENALTY_WEIGHTS", "TIME_TOLERANCE", "Column", "differing", "settings_key", "spread", "text_of"]

TIME_TOLERANCE = 1.1  # measured times vary: a smaller ratio counts as equal
PENALTY_WEIGHTS = {"beta", "weight", "commitment"}  # fields that weight the penalty of the code in the loss
Requirement = Literal["", "units", "loss", "corruption"]


class Column(NamedTuple):
    """A metric of `Evaluation` as a column of a table.

    Attributes:
        name: the name in `Evaluation`.
        title: the title of the column.
        better: whether less or more is better; None for a metric that is not ranked.
        needs: what must be equal for the values to be comparable. Errors in model units need one scaling ("units"). Losses need one
            penalty weight, and must be densities, or probabilities of one kind with one scaling ("loss"). Errors of
            denoised examples need one corruption ("corruption").
        timed: whether it is a measured time or speed.
    """

    name: str
    title: str
    better: Literal["less", "more"] | None = None
    needs: Requirement = ""
    timed: bool = False

    def ties(self, one: float, other: float) -> bool:
        """Whether two values count as equal: to the four digits that are printed; measured times within a tenth."""
        if self.timed:
            return max(one, other) <= TIME_TOLERANCE * min(one, other)
        return format_figure(one) == format_figure(other)

    def comparable(self, autoencoders: Iterable[Autoencoder]) -> bool:
        """Whether the metric is comparable between all of them."""
        return len({_comparability_key(ae, self.needs) for ae in autoencoders}) == 1


COLUMNS = (  # a metric that no autoencoder has is left out
    Column("code_size", "code", "less"),
    Column("n_parameters", "parameters", "less"),
    Column("seconds", "training s", "less", timed=True),
    Column("column_error", "error by column", "less"),
    Column("pca_column_error", "PCA's by column"),
    Column("mse", "MSE", "less"),
    Column("pca_mse", "PCA's MSE"),
    Column("input_mse", "input's MSE"),
    Column("ridge_mse", "ridge regression's MSE"),
    Column("mse_scaled", "scaled MSE", "less", "units"),
    Column("pca_mse_scaled", "PCA's scaled", needs="units"),
    Column("mse_denoised", "denoised MSE", "less", "corruption"),
    Column("column_error_denoised", "denoised by column", "less", "corruption"),
    Column("psnr", "PSNR", "more"),
    Column("pca_psnr", "PCA's PSNR"),
    Column("ssim", "SSIM", "more"),
    Column("snr", "SNR", "more"),
    Column("input_snr", "input's SNR"),
    Column("explained_variance", "explained variance", "more"),
    Column("bce_per_pixel", "BCE", "less", "units"),
    Column("nats", "nats", "less", "loss"),
    Column("encode_per_second", "encoded/s", "more", timed=True),
)


def _comparability_key(ae: Autoencoder, needs: Requirement) -> Any:
    """Two autoencoders with equal keys have comparable metrics."""
    if needs == "corruption":
        return ae.corruption_
    units = tuple(side.cpu().numpy().astype(np.float64).tobytes() for side in (ae.model_.shift, ae.model_.scale))
    if needs == "units":
        return units
    weights = {key: value for key, value in ae.bottleneck_.get_params().items() if key in PENALTY_WEIGHTS}
    densities = ae.likelihood_.densities(ae.model_.shape)
    if isinstance(densities, bool):
        measure: tuple[Any, ...] = (ae.likelihood_.measure, *(() if densities else units))
    else:  # densities of some values and probabilities of the others
        measure = (ae.likelihood_.measure, densities.tobytes(), *units)
    return (*measure, *sorted(weights.items())) if needs == "loss" else ""


def settings_key(ae: Autoencoder) -> tuple[Any, ...]:
    """Equal keys mean equal parameters but for random_state, an equal scaling, and equally many steps."""
    fields = {name: text for name, text in _fields(ae).items() if name != "random_state"}
    return (*sorted(fields.items()), *_comparability_key(ae, "units"), ae.history_[-1].steps if ae.history_ else 0)


def differing(autoencoders: Sequence[Autoencoder]) -> dict[str, tuple[str, ...]]:
    """The fields whose values differ, as the command line writes them, with the value of each autoencoder; "-" for none."""
    fields = [_fields(ae) for ae in autoencoders]
    paths = dict.fromkeys(path for each in fields for path in each)
    rows = {path: tuple(each.get(path, "-") for each in fields) for path in paths}
    return {path: values for path, values in rows.items() if len(set(values)) > 1}


def _fields(ae: Autoencoder) -> dict[str, str]:
    """The components and training parameters of an autoencoder, as the command line writes them."""
    texts: dict[str, str] = {}
    for name in COMPONENTS:
        _flatten(name, describe_value(getattr(ae, f"{name}_")), texts)
    epochs = ae.history_[-1].epoch if ae.history_ else 0
    training: dict[str, Any] = {"epochs": epochs, "batch_size": ae.batch_size, "early_stopping": ae.early_stopping}
    training |= {"precision": ae.precision_, "random_state": ae.random_state}
    return texts | {name: str(value) for name, value in training.items()}


def _flatten(path: str, value: Any, texts: dict[str, str]) -> None:
    """Adds a value to `texts`; of a record its type and its fields."""
    if isinstance(value, Mapping) and "type" in value:
        texts[path] = value["type"]
        for name, inner in value.items():
            if name != "type":
                _flatten(f"{path}.{name}", inner, texts)
    else:
        texts[path] = text_of(value)


def text_of(value: Any) -> str:
    """A value as the command line writes it."""
    if isinstance(value, list | tuple):
        return ",".join(map(text_of, value)) or "[]"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def spread(values: Iterable[float | None]) -> str:
    """Figures of several random states as text: mean ± standard deviation (n); of one, or of equal ones, the figure; without any "-".

    NaN and None stand for a figure that is not there. The standard deviation is that of a sample (n - 1).
    """
    there = [value for value in values if value is not None and not np.isnan(value)]
    if len(set(there)) < 2:
        return format_figure(there[0]) if there else "-"
    return f"{format_figure(float(np.mean(there)))} ± {format_figure(float(np.std(there, ddof=1)))} ({len(there)})"
