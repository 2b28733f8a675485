"""How well an autoencoder denoises at growing levels of corruption, compared with the identity and other baselines.

`robustness` sweeps kinds of corruption and their levels. All methods are measured on the same examples, with the same corruption;
baselines are fitted and chosen on training examples, with other draws of the corruption.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from isthmus.corruptions import Corruption
from isthmus.data.kinds import Kind, as_images
from isthmus.data.memmap import Rows, some_rows
from isthmus.errors import RecordError
from isthmus.estimators.argument_check import takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.unit_check import once
from isthmus.evaluation.corruption_levels import InputCorruption, Kinds, Levels, corruption_levels
from isthmus.evaluation.denoising_baselines import Pairs, chosen, suited
from isthmus.evaluation.measure import checked
from isthmus.evaluation.metrics import mean_squared_error, psnr
from isthmus.evaluation.reconstruction import data_range_of, image_ssim, why_no_ssim
from isthmus.evaluation.results import shown
from isthmus.results import Result, Table, plain
from isthmus.text import quoted

__all__ = ["AUTOENCODER", "IDENTITY", "Restored", "Robustness", "robustness"]

Array = NDArray[Any]

IDENTITY, AUTOENCODER = "identity", "autoencoder"
_EXAMPLES, _MOST = 500, 2**20  # measured unless told otherwise: examples, and numbers
_FITTED, _FITTED_NUMBERS = 100_000, 2**24  # baselines are fitted on no more training examples, nor on more numbers
_CHOSEN, _CHOSEN_NUMBERS = 256, 2**16  # and their settings chosen on no more than these others
_APART = 2**32  # draws for fitting are no draws for measuring
_SHOWN = 3  # examples kept to be looked at


@dataclass(frozen=True)
class Restored:
    """The figures of one method for one kind and level of corruption.

    Attributes:
        kind, level, unit, trained: as in `InputCorruption`.
        method: "identity" (the corrupted examples themselves), "autoencoder" or a name in
            `isthmus.evaluation.denoising_baselines.BASELINES`.
        setting: what was chosen on training examples, or "".
        mse: mean squared error against the clean examples, in squared units of the data: the mean over the draws.
        mse_scaled: the same in model units, where columns count equally. None where all numbers have one scale.
        spread: standard deviation of `error` over the draws, None where there is one draw.
        psnr: 10 log10(data_range² / mse) in decibels; infinite without an error, None where all numbers are equal.
        ssim: structural similarity of pictures (`isthmus.metrics.structural_similarities`), 1 where nothing is lost: the mean over
            examples and draws. None where examples are no pictures, or smaller than its window.
        sample: the first few examples of the first draw as the method leaves them, (k, *shape).
    """

    kind: str
    level: float
    unit: str
    trained: bool
    method: str
    setting: str
    mse: float
    mse_scaled: float | None
    spread: float | None
    psnr: float | None
    ssim: float | None
    sample: Array = field(repr=False, compare=False)

    @property
    def error(self) -> float:
        """What methods are compared by: the error of scaled features, where scales differ."""
        return self.mse if self.mse_scaled is None else self.mse_scaled

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain JSON values; what is not finite is None."""
        found: dict[str, Any] = plain(self._figures())
        return found

    def _figures(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "sample"}


@dataclass(frozen=True, repr=False)
class Robustness(Result):
    """Figures of one autoencoder and of baselines, for kinds and levels of corruption.

    Attributes:
        figures: one for each kind, level and method.
        trained_with: the corruption in training, as one writes it.
        n_examples, n_given: on how many examples it was measured, of how many.
        draws, random_state: how often the corruption was drawn, and the first random state.
        data_range: the range that PSNR refers to, as in `Evaluation`.
        n_fitted, n_chosen: training examples on which baselines were fitted, and others on which their settings were chosen.
        left_out: baselines that are not there, and why.
        originals: the first few clean examples, (k, *shape).
    """

    _figure: ClassVar[str] = "robustness"

    figures: tuple[Restored, ...]
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
        return tuple(dict.fromkeys(each.method for each in self.figures))

    @property
    def unit(self) -> str:
        """What is shown of the errors."""
        if self.figures[0].mse_scaled is not None:
            return "mean squared error of scaled features, where columns count equally"
        return f"mean squared error in squared units of the data, and PSNR for a data range of {shown(self.data_range)}"

    def at(self, kind: str, level: float) -> dict[str, Restored]:
        """The figures of one kind and level, by method.

        Args:
            kind: the name of the corruption.
            level: its level.
        """
        return {each.method: each for each in self.figures if (each.kind, each.level) == (kind, level)}

    def rows(self) -> list[list[str]]:
        """A line for each kind and level, for people: its name, then error and PSNR of each method; * marks the least error."""
        lines = []
        for kind, level, trained in dict.fromkeys((each.kind, each.level, each.trained) for each in self.figures):
            here = self.at(kind, level)
            least = min(each.error for each in here.values())
            cells = ["* " * (here[method].error == least) + _cell(here[method]) for method in self.methods]
            lines.append([f"{kind} {level:.3g}{chr(10) + 'as trained' if trained else ''}", *cells])
        return lines

    def notes(self) -> list[str]:
        """What has to be known to read the figures, a sentence each."""
        spreads = [each.spread / each.error for each in self.figures if each.spread is not None and each.error > 0]
        apart = f", which differ by {max(spreads):.1%} at most (one standard deviation)" if spreads else ""
        draws = (
            f"means of {self.draws} draws of the corruption{apart}" if self.draws > 1 else "one draw of the corruption"
        )
        notes = [
            f"{self.unit}; {draws}; * the least error"
            + ("; behind the decibels SSIM" if any(each.ssim is not None for each in self.figures) else ""),
            f"measured on {self.n_examples:,} of {self.n_given:,} examples"
            + (f", drawn with random state {self.random_state}" if self.n_examples < self.n_given else ""),
            f"the autoencoder was trained with {self.trained_with}",
        ]
        if self.n_fitted:
            notes.append(
                f"baselines are refitted at each level, on {self.n_fitted:,} training examples corrupted in the same way, and their "
                f"settings chosen on {self.n_chosen:,} others; those of pictures are clipped to the range of these"
            )
        reasons: dict[str, list[str]] = {}
        for name, reason in self.left_out.items():
            reasons.setdefault(reason, []).append(name)
        notes += [f"without {', '.join(names)}: {reason}" for reason, names in reasons.items()]
        if any("missing" in each.kind for each in self.figures):
            notes.append("to all but the autoencoder a missing number is the mean of the training examples")
        if "total variation" in self.methods:
            notes.append("BM3D, stronger than these filters, is not in scikit-image and was not measured")
        return notes

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        names = [name for name in self.__dataclass_fields__ if name not in {"figures", "originals"}]
        said: dict[str, Any] = plain({name: getattr(self, name) for name in names})
        return said | {"figures": [each.to_dict() for each in self.figures]}

    def table(self) -> Table:
        """A line for each kind and level, under the names of the methods."""
        return ["corruption", *self.methods], self.rows()

    def _frame_rows(self) -> list[dict[str, Any]]:
        return [each._figures() for each in self.figures]


def _cell(figure: Restored) -> str:
    """Error over decibels, where there are any and they belong to it."""
    if figure.psnr is None or not math.isfinite(figure.psnr) or figure.mse_scaled is not None:
        return shown(figure.error)
    alike = "" if figure.ssim is None else f", {figure.ssim:.2f}"
    return f"{shown(figure.error)}\n{figure.psnr:.1f} dB{alike}"


@takes_autoencoder
@once()
def robustness(
    ae: Autoencoder,
    X: Any,
    *,
    train: Any = None,
    kinds: Kinds = None,
    levels: Levels = None,
    baselines: Sequence[str] | None = None,
    draws: int = 3,
    n: int | None = None,
    random_state: int = 0,
) -> Robustness:
    """Measures how well an autoencoder and baselines denoise examples X (m, *shape) at growing levels of corruption.

    Args:
        ae: a fitted autoencoder.
        X: clean examples in the units of the training data, held out from training. Where numbers are missing, as missing="allow"
            allows, what the autoencoder completes is taken for the truth: to its advantage.
        train: training examples, on which baselines are fitted; without them there are none.
        kinds, levels: of the corruption, see `corruption_levels`.
        baselines: names of those that are wanted; without it all that suit the examples, and the result says why others do not.
        draws: how often the corruption is drawn.
        n: on how many examples it is measured, drawn at random; without it 500, or fewer where these have more than 2^20 numbers.
        random_state: of examples and draws.

    Returns:
        Mean squared errors and PSNR for each kind, level and method.

    Raises:
        DataError: the examples are not of the shape that was fitted, or not finite.
        RecordError: there is no such kind, or it cannot have such a level.

    Examples:
        >>> curve = isthmus.robustness(ae, X, kinds="GaussianNoise", levels=[0.1, 0.5], draws=1, n=50)
        >>> curve.n_examples, len(curve.rows())
        (50, 2)
    """
    check_is_fitted(ae)
    for name, value, least in (("draws", draws, 1), ("n", n, 1), ("random_state", random_state, 0)):
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        if not (whole and value >= least) and not (name == "n" and value is None):  # type: ignore[operator]
            raise RecordError(f"invalid {name}={quoted(value)}: expected an integer of at least {least}")
    values, ways = checked(ae, X, "X"), corruption_levels(ae.corruption_, kinds, levels)
    wanted = min(_EXAMPLES, max(1, _MOST // values[0].size)) if n is None else int(n)
    clean = some_rows(values, wanted, random_state)
    fitted_on = _training(None if train is None else checked(ae, train, "train"), random_state)
    names, left_out = suited(ae.shape_, sum(map(len, fitted_on)), baselines)
    data_range, scale = data_range_of(ae, values), ae.model_.scale.cpu().double().numpy()
    figures: list[Restored] = []
    for way in ways:
        methods = {IDENTITY: ("", _filling(ae)), AUTOENCODER: ("", ae.reconstruct)}
        methods |= _baselines(ae, names, fitted_on, way.corruption, random_state)
        corrupted = [ae.corrupt(clean, random_state + draw, way.corruption) for draw in range(draws)]
        figures += [
            _figure(way, name, *method, corrupted, clean, (data_range, scale, ae.kind_))
            for name, method in methods.items()
        ]
    return Robustness(
        figures=tuple(figures),
        trained_with=repr(ae.corruption_),
        n_examples=len(clean),
        n_given=len(values),
        draws=int(draws),
        random_state=int(random_state),
        data_range=data_range,
        n_fitted=len(fitted_on[0]) if names else 0,
        n_chosen=len(fitted_on[1]) if names else 0,
        left_out=left_out,
        originals=as_images(clean[:_SHOWN]) if ae.kind_ == "images" else clean[:_SHOWN],
    )


def _training(values: Array | None, random_state: int) -> tuple[Array, Array]:
    """Training examples to fit baselines on, and others to choose their settings on."""
    if values is None:
        return np.empty((0, 1)), np.empty((0, 1))
    numbers, n = values[0].size, len(values)
    other = max(1, min(_CHOSEN, _CHOSEN_NUMBERS // numbers, n // 5))
    order = np.random.default_rng(random_state).permutation(n)[
        : other + max(2, min(_FITTED, _FITTED_NUMBERS // numbers))
    ]
    rows = Rows(values)
    return rows(np.sort(order[other:])), rows(np.sort(order[:other]))


def _filling(ae: Autoencoder) -> Callable[[Array], Array]:
    """Examples with what the encoder begins with, the mean, where numbers are missing; as they are where none can be."""
    if ae.model_.fill is None:
        return lambda x: x
    shift, scale, fill = (side.cpu().double().numpy() for side in (ae.model_.shift, ae.model_.scale, ae.model_.fill))
    return lambda x: np.where(np.isnan(x), (fill * scale + shift).astype(x.dtype), x)


def _baselines(
    ae: Autoencoder, names: list[str], train: tuple[Array, Array], corruption: Corruption, random_state: int
) -> dict[str, tuple[str, Callable[[Array], Array]]]:
    """Setting and restoration, in the units of the data, of each baseline for one kind and level of corruption."""
    if not names:
        return {}
    shift, scale = (side.cpu().double().numpy() for side in (ae.model_.shift, ae.model_.scale))
    filled = _filling(ae)

    def normalize(x: Array) -> Array:
        scaled: Array = ((filled(x) - shift) / scale).astype(np.float32)
        return scaled

    fit, other = (
        Pairs(normalize(ae.corrupt(part, random_state + _APART + number, corruption)), normalize(part))
        for number, part in enumerate(train)
    )

    def denormalize(restore: Callable[[Array], Array]) -> Callable[[Array], Array]:
        return lambda x: restore(normalize(x)) * scale + shift

    found = {name: chosen(name, fit, other) for name in names}
    return {name: (setting, denormalize(restore)) for name, (setting, restore) in found.items()}


def _figure(
    way: InputCorruption,
    method: str,
    setting: str,
    restore: Callable[[Array], Array],
    corrupted: list[Array],
    clean: Array,
    units: tuple[float, Array, Kind],
) -> Restored:
    """The figures of one method for one kind and level; units are the data range, the scale of each feature and the kind."""
    data_range, scale, kind = units
    restored = [restore(each) for each in corrupted]
    raw = [mean_squared_error(clean, each) for each in restored]
    uneven = bool((scale != scale.flat[0]).any())
    errors = [mean_squared_error(clean / scale, each / scale) for each in restored] if uneven else raw
    mse = float(np.mean(raw))
    return Restored(
        kind=way.kind,
        level=way.level,
        unit=way.unit,
        trained=way.trained,
        method=method,
        setting=setting,
        mse=mse,
        mse_scaled=float(np.mean(errors)) if uneven else None,
        spread=float(np.std(errors, ddof=1)) if len(errors) > 1 else None,
        psnr=psnr(mse, data_range) if data_range > 0 else None,
        ssim=None
        if why_no_ssim(clean.shape[1:], kind, data_range)
        else float(np.mean([_ssim(clean, each, data_range, kind) for each in restored])),
        sample=np.array(restored[0][:_SHOWN]),
    )


def _ssim(x: Array, y: Array, data_range: float, kind: Kind) -> float:
    clean, restored = (torch.from_numpy(np.asarray(side, np.float64)) for side in (x, y))
    return float(image_ssim(clean, restored, data_range, kind).mean())
