"""The result of `robustness`: the scores of every method for each kind and level of corruption, as a table, JSON and notes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from numpy.typing import NDArray

from isthmus.evaluation.results import format_figure
from isthmus.results import Result, Table, plain

__all__ = ["AUTOENCODER", "IDENTITY", "DenoisingScore", "Robustness"]

Array = NDArray[Any]

IDENTITY, AUTOENCODER = "identity", "autoencoder"


@dataclass(frozen=True)
class DenoisingScore:
    """The errors of one method for one kind and level of corruption.

    Attributes:
        kind: name of the corruption without its level.
        level: level of the corruption, in the unit that `unit` names.
        unit: what the level is, such as "standard deviation".
        trained: whether the autoencoder was trained with this corruption at this level.
        method: "identity" (the corrupted examples themselves), "autoencoder" or a name in
            `isthmus.evaluation.denoising_baselines.BASELINES`.
        setting: setting that was selected on training examples, or "".
        mse: mean squared error against the clean examples, in squared units of the data; mean over the draws.
        mse_scaled: the same in model units, where columns count equally. None where all features have one scale.
        std: standard deviation of `error` over the draws. None for a single draw.
        psnr: 10 log10(data_range² / mse), in dB; infinite for zero error. None where all values are equal.
        ssim: structural similarity of images (`isthmus.metrics.structural_similarities`), 1 for equal images; mean over
            examples and draws. None where examples are not images, or are smaller than the window.
        sample: the first examples of the first draw, as denoised by the method, (k, *shape).
    """

    kind: str
    level: float
    unit: str
    trained: bool
    method: str
    setting: str
    mse: float
    mse_scaled: float | None
    std: float | None
    psnr: float | None
    ssim: float | None
    sample: Array = field(repr=False, compare=False)

    @property
    def error(self) -> float:
        """The error by which methods are compared: `mse_scaled`, or `mse` where all features have one scale."""
        return self.mse if self.mse_scaled is None else self.mse_scaled

    def to_dict(self) -> dict[str, Any]:
        """The scores as plain JSON values; None for a value that is not finite."""
        scores: dict[str, Any] = plain(self._scores())
        return scores

    def _scores(self) -> dict[str, Any]:
        """All fields but the examples."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "sample"}


@dataclass(frozen=True, repr=False)
class Robustness(Result):
    """Denoising errors of one autoencoder and of baselines, for kinds and levels of corruption.

    Attributes:
        figures: a `DenoisingScore` for each kind, level and method.
        trained_with: the corruption in training, as code.
        n_examples: number of examples that were measured.
        n_given: number of examples that were given.
        draws: number of draws of each corruption.
        random_state: random state of the examples and of the first draw.
        data_range: range that PSNR refers to, as in `Evaluation`.
        n_fitted: number of training examples that baselines were fitted on.
        n_chosen: number of other training examples on which their settings were selected.
        left_out: reason by the name of each baseline that was not measured.
        originals: the first clean examples, (k, *shape).
    """

    _figure: ClassVar[str] = "robustness"

    figures: tuple[DenoisingScore, ...]
    trained_with: str
    n_examples: int
    n_given: int
    draws: int
    random_state: int
    data_range: float
    n_fitted: int
    n_chosen: int
    left_out: dict[str, str]
    originals: Array = field(repr=False, compare=False)

    @property
    def methods(self) -> tuple[str, ...]:
        """The names of the methods that were measured, the identity first."""
        return tuple(dict.fromkeys(score.method for score in self.figures))

    @property
    def unit(self) -> str:
        """The quantity in the table, with its unit."""
        if self.figures[0].mse_scaled is not None:
            return "mean squared error of scaled features, where columns count equally"
        return f"mean squared error in squared units of the data, and PSNR for a data range of {format_figure(self.data_range)}"

    def at(self, kind: str, level: float) -> dict[str, DenoisingScore]:
        """The scores for one kind and level, by method.

        Args:
            kind: name of the corruption.
            level: its level.

        Returns:
            The scores by the name of the method; empty where there are none.
        """
        return {score.method: score for score in self.figures if (score.kind, score.level) == (kind, level)}

    def rows(self) -> list[list[str]]:
        """A row for each kind and level: its name, then error and PSNR of each method; * marks the lowest error."""
        rows = []
        for kind, level, trained in dict.fromkeys((score.kind, score.level, score.trained) for score in self.figures):
            by_method = self.at(kind, level)
            lowest = min(score.error for score in by_method.values())
            cells = ["* " * (by_method[method].error == lowest) + _cell(by_method[method]) for method in self.methods]
            rows.append([f"{kind} {level:.3g}{chr(10) + 'as trained' if trained else ''}", *cells])
        return rows

    def notes(self) -> list[str]:
        """Explanations of the table, a sentence each."""
        relative_stds = [score.std / score.error for score in self.figures if score.std is not None and score.error > 0]
        variation = (
            f"; standard deviation over draws at most {max(relative_stds):.1%} of the error" if relative_stds else ""
        )
        draws = (
            f"means of {self.draws} draws of the corruption{variation}"
            if self.draws > 1
            else "one draw of the corruption"
        )
        notes = [
            f"{self.unit}; {draws}; * marks the lowest error"
            + ("; SSIM after the dB" if any(score.ssim is not None for score in self.figures) else ""),
            f"measured on {self.n_examples:,} of {self.n_given:,} examples"
            + (f", drawn with random state {self.random_state}" if self.n_examples < self.n_given else ""),
            f"the autoencoder was trained with {self.trained_with}",
        ]
        if self.n_fitted:
            notes.append(
                f"baselines are refitted at each level, on {self.n_fitted:,} training examples with the same corruption; their "
                f"settings are selected on {self.n_chosen:,} others; outputs for images are clipped to the training range"
            )
        baselines_by_reason: dict[str, list[str]] = {}
        for name, reason in self.left_out.items():
            baselines_by_reason.setdefault(reason, []).append(name)
        notes += [f"without {', '.join(names)}: {reason}" for reason, names in baselines_by_reason.items()]
        if any("missing" in score.kind for score in self.figures):
            notes.append("all other methods receive the mean of the training examples in place of a missing feature")
        if "total variation" in self.methods:
            notes.append("BM3D, a stronger filter, was not measured: scikit-image does not contain it")
        return notes

    def to_dict(self) -> dict[str, Any]:
        """The whole result as plain JSON values, without the examples."""
        names = [each.name for each in fields(self) if each.name not in {"figures", "originals"}]
        values: dict[str, Any] = plain({name: getattr(self, name) for name in names})
        return values | {"figures": [score.to_dict() for score in self.figures]}

    def table(self) -> Table:
        """A row for each kind and level, under the names of the methods."""
        return ["corruption", *self.methods], self.rows()

    def _frame_rows(self) -> list[dict[str, Any]]:
        return [score._scores() for score in self.figures]


def _cell(score: DenoisingScore) -> str:
    """The error; below it PSNR and SSIM, where they are finite and of the same error."""
    if score.psnr is None or not math.isfinite(score.psnr) or score.mse_scaled is not None:
        return format_figure(score.error)
    ssim = "" if score.ssim is None else f", {score.ssim:.2f}"
    return f"{format_figure(score.error)}\n{score.psnr:.1f} dB{ssim}"
