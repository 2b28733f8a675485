"""Autoencoders side by side: which figures stand in columns, when one is better than another, and in what records differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.defaults import COMPONENTS
from isthmus.estimators.model_file import describe_value
from isthmus.evaluation import shown

__all__ = ["COLUMNS", "NOISE", "PRICES", "Column", "differing", "text_of"]

NOISE = 1.1  # times as many seconds are as many: they are measured, and vary
PRICES = {"beta", "weight", "commitment"}  # fields that say what a code costs
Needs = Literal["", "units", "loss", "corruption"]


class Column(NamedTuple):
    """A figure of `Evaluation`: its short name, its title, which is better, and what has to agree for that to mean anything.

    ``needs``: errors in model units need one scaling ("units"); losses one price of the code, and to be densities all, or masses of one
    kind and scaling ("loss"); and denoised examples one corruption ("corruption").
    """

    name: str
    title: str
    better: Literal["less", "more"] | None = None
    needs: Needs = ""
    timed: bool = False

    def ties(self, one: float, other: float) -> bool:
        """Whether two values are as good: alike to the four digits that are shown; what was timed, within a tenth."""
        if self.timed:
            return max(one, other) <= NOISE * min(one, other)
        return shown(one) == shown(other)

    def comparable(self, autoencoders: Iterable[Autoencoder]) -> bool:
        """Whether the figure means the same for all of them."""
        return len({_measured_in(ae, self.needs) for ae in autoencoders}) == 1


COLUMNS = (  # a figure that nobody has is left out
    Column("code_size", "code", "less"),
    Column("n_parameters", "parameters", "less"),
    Column("seconds", "training s", "less", timed=True),
    Column("column_error", "error by column", "less"),
    Column("pca_column_error", "PCA's by column"),
    Column("mse", "MSE", "less"),
    Column("pca_mse", "PCA's MSE"),
    Column("mse_scaled", "scaled MSE", "less", "units"),
    Column("pca_mse_scaled", "PCA's scaled", needs="units"),
    Column("mse_denoised", "denoised MSE", "less", "corruption"),
    Column("column_error_denoised", "denoised by column", "less", "corruption"),
    Column("psnr", "PSNR", "more"),
    Column("pca_psnr", "PCA's PSNR"),
    Column("ssim", "SSIM", "more"),
    Column("explained_variance", "explained variance", "more"),
    Column("bce_per_pixel", "BCE", "less", "units"),
    Column("nats", "nats", "less", "loss"),
    Column("encode_per_second", "encoded/s", "more", timed=True),
)


def _measured_in(ae: Autoencoder, needs: Needs) -> Any:
    """What has to be the same for two autoencoders' figures to mean the same."""
    if needs == "corruption":
        return ae.corruption_
    units = tuple(side.cpu().numpy().astype(np.float64).tobytes() for side in (ae.model_.shift, ae.model_.scale))
    if needs == "units":
        return units
    priced = {key: value for key, value in ae.bottleneck_.get_params().items() if key in PRICES}
    measure = ("density",) if ae.likelihood_.density else (*units, type(ae.likelihood_))
    return (*measure, *sorted(priced.items())) if needs == "loss" else ""


def differing(autoencoders: Sequence[Autoencoder]) -> dict[str, tuple[str, ...]]:
    """The fields in which autoencoders differ, as the command line writes them, with the value of each; "-" for none."""
    fields = [_fields(ae) for ae in autoencoders]
    paths = dict.fromkeys(path for each in fields for path in each)
    rows = {path: tuple(each.get(path, "-") for each in fields) for path in paths}
    return {path: values for path, values in rows.items() if len(set(values)) > 1}


def _fields(ae: Autoencoder) -> dict[str, str]:
    """What an autoencoder was made and trained by, as the command line writes it."""
    found: dict[str, str] = {}
    for slot in COMPONENTS:
        _flatten(slot, describe_value(getattr(ae, f"{slot}_")), found)
    epochs = ae.history_[-1].epoch if ae.history_ else 0
    trained: dict[str, Any] = {"epochs": epochs, "batch_size": ae.batch_size, "early_stopping": ae.early_stopping}
    trained |= {"precision": ae.precision_, "random_state": ae.random_state}
    return found | {name: str(value) for name, value in trained.items()}


def _flatten(path: str, value: Any, found: dict[str, str]) -> None:
    if isinstance(value, Mapping) and "type" in value:
        found[path] = value["type"]
        for name, inner in value.items():
            if name != "type":
                _flatten(f"{path}.{name}", inner, found)
    else:
        found[path] = text_of(value)


def text_of(value: Any) -> str:
    """A value as the command line writes it."""
    if isinstance(value, list | tuple):
        return ",".join(map(text_of, value)) or "[]"
    return f"{value:.12g}" if isinstance(value, float) else str(value)
