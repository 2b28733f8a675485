# ruff: noqa: ARG001  (takes_autoencoder gives the labels y to the examples X, and train_labels to train)
"""How well an autoencoder denoises at growing levels of corruption, compared with the identity and other baselines.

`robustness` measures all methods on the same examples with the same corruption. Baselines are fitted and their settings selected
on training examples, with other draws of the corruption.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from isthmus.corruptions import Corruption
from isthmus.data.kinds import Kind, as_images
from isthmus.data.memmap import Rows, some_rows
from isthmus.errors import RecordError
from isthmus.estimators.argument_check import refuse_table, takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.unit_check import check_units_once
from isthmus.evaluation.corruption_levels import InputCorruption, Kinds, Levels, corruption_levels
from isthmus.evaluation.denoising_baselines import Pairs, applicable_baselines, best_setting, fit_and_selection_rows
from isthmus.evaluation.examples import check_examples
from isthmus.evaluation.metrics import mean_squared_error, psnr
from isthmus.evaluation.reconstruction import data_range_of, image_ssim, why_no_ssim
from isthmus.evaluation.robustness_result import AUTOENCODER, IDENTITY, DenoisingScore, Robustness
from isthmus.text import quoted
from isthmus.training.batches import to_tensor

__all__ = ["robustness"]

Array = NDArray[Any]
Denoise = Callable[[Array], Array]  # corrupted examples (n, *shape) -> denoised, (n, *shape)

_MAX_EXAMPLES, _MAX_VALUES = 500, 2**20  # measured by default: examples, and values in them
_FIT_SEED_OFFSET = 2**32  # draws for fitting differ from those for measuring
_N_SAMPLE = 3  # examples that the result stores for a figure


@takes_autoencoder
@check_units_once()
def robustness(
    ae: Autoencoder,
    X: Any,
    y: Any = None,
    *,
    train: Any = None,
    train_labels: Any = None,
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
        X: clean held-out examples (m, *shape), in the units of the training data. With missing="allow", missing features are
            first filled in by the autoencoder and count as true values, which favors the autoencoder.
        y: labels or covariates of X for a conditional autoencoder; others ignore it.
        train: training examples that baselines are fitted on; None for no baselines.
        train_labels: labels or covariates of train for a conditional autoencoder.
        kinds: kinds of corruption, see `corruption_levels`.
        levels: levels of the corruption, see `corruption_levels`.
        baselines: names of baselines; None for all that apply to the examples. The result says why others were left out.
        draws: number of draws of each corruption.
        n: number of examples to measure, drawn at random; None for 500, or fewer if these have more than 2^20 values.
        random_state: of the examples and of the draws.

    Returns:
        Mean squared error (squared units of the data), PSNR (dB) and SSIM for each kind, level and method.

    Raises:
        DataError: the examples do not have the shape of the training examples, or are not finite.
        RecordError: a kind, level, baseline or number is invalid.

    Examples:
        >>> curve = isthmus.robustness(ae, X, kinds="GaussianNoise", levels=[0.1, 0.5], draws=1, n=50)
        >>> curve.n_examples, len(curve.rows())
        (50, 2)
    """
    check_is_fitted(ae)
    refuse_table(ae, "robustness")
    for name, value, minimum in (("draws", draws, 1), ("n", n, 1), ("random_state", random_state, 0)):
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        if not (whole and value >= minimum) and not (name == "n" and value is None):  # type: ignore[operator]
            raise RecordError(f"invalid {name}={quoted(value)}: expected an integer of at least {minimum}")
    values, corruptions = check_examples(ae, X, "X"), corruption_levels(ae.corruption_, kinds, levels)
    count = min(_MAX_EXAMPLES, max(1, _MAX_VALUES // values[0].size)) if n is None else int(n)
    clean = some_rows(values, count, random_state)
    training = _training_parts(None if train is None else check_examples(ae, train, "train"), random_state)
    names, left_out = applicable_baselines(ae.kind_, ae.shape_, sum(map(len, training)), baselines)
    data_range, scale = data_range_of(ae, values), ae.model_.scale.cpu().double().numpy()
    scores: list[DenoisingScore] = []
    for each in corruptions:
        methods = {IDENTITY: ("", _fill_missing(ae)), AUTOENCODER: ("", ae.reconstruct)}
        methods |= _fitted_baselines(ae, names, training, each.corruption, random_state)
        corrupted = [ae.corrupt(clean, random_state + draw, each.corruption) for draw in range(draws)]
        scores += [
            _score(each, name, *method, corrupted, clean, (data_range, scale, ae.kind_))
            for name, method in methods.items()
        ]
    return Robustness(
        figures=tuple(scores),
        trained_with=repr(ae.corruption_),
        n_examples=len(clean),
        n_given=len(values),
        draws=int(draws),
        random_state=int(random_state),
        data_range=data_range,
        n_fitted=len(training[0]) if names else 0,
        n_chosen=len(training[1]) if names else 0,
        left_out=left_out,
        originals=as_images(clean[:_N_SAMPLE]) if ae.kind_ == "images" else np.asarray(clean[:_N_SAMPLE]),
    )


def _training_parts(values: Array | None, random_state: int) -> tuple[Array, Array]:
    """Training examples to fit baselines on, and others to select their settings on."""
    if values is None:
        return np.empty((0, 1)), np.empty((0, 1))
    fit, selection = fit_and_selection_rows(len(values), values[0].size, random_state)
    rows = Rows(values)
    return rows(fit), rows(selection)


def _fill_missing(ae: Autoencoder) -> Denoise:
    """Replaces missing features by the encoder's fill value; the identity for an autoencoder without missing features."""
    if ae.model_.fill is None:
        return lambda x: x
    if ae.model_.scaling.classes or ae.model_.scaling.curved:
        center = ae.model_.denormalize(ae.model_.fill[None])[0].numpy(force=True)
        return lambda x: np.where(np.isnan(x), center.astype(x.dtype), x)
    shift, scale, fill = (side.cpu().double().numpy() for side in (ae.model_.shift, ae.model_.scale, ae.model_.fill))
    return lambda x: np.where(np.isnan(x), (fill * scale + shift).astype(x.dtype), x)


def _fitted_baselines(
    ae: Autoencoder, names: list[str], training: tuple[Array, Array], corruption: Corruption, random_state: int
) -> dict[str, tuple[str, Denoise]]:
    """Setting and denoising function, in the units of the data, of each baseline for one kind and level of corruption."""
    if not names:
        return {}
    shift, scale = (side.cpu().double().numpy() for side in (ae.model_.shift, ae.model_.scale))
    fill_missing = _fill_missing(ae)

    def normalize(x: Array) -> Array:
        scaled: Array = ((fill_missing(x) - shift) / scale).astype(np.float32)
        return scaled

    fit, selection = (
        Pairs(normalize(ae.corrupt(part, random_state + _FIT_SEED_OFFSET + number, corruption)), normalize(part))
        for number, part in enumerate(training)
    )

    def in_data_units(denoise: Denoise) -> Denoise:
        return lambda x: denoise(normalize(x)) * scale + shift

    fitted = {name: best_setting(name, ae.kind_, fit, selection) for name in names}
    return {name: (setting, in_data_units(denoise)) for name, (setting, denoise) in fitted.items()}


def _score(
    level: InputCorruption,
    method: str,
    setting: str,
    denoise: Denoise,
    corrupted: list[Array],
    clean: Array,
    units: tuple[float, Array, Kind],
) -> DenoisingScore:
    """The score of one method for one kind and level; ``units`` are data range, scale of each feature, and kind of example."""
    data_range, scale, kind = units
    denoised = [denoise(draw) for draw in corrupted]
    raw = [mean_squared_error(clean, draw) for draw in denoised]
    uneven = bool((scale != scale.flat[0]).any())
    errors = [mean_squared_error(clean / scale, draw / scale) for draw in denoised] if uneven else raw
    mse = float(np.mean(raw))
    return DenoisingScore(
        kind=level.kind,
        level=level.level,
        unit=level.unit,
        trained=level.trained,
        method=method,
        setting=setting,
        mse=mse,
        mse_scaled=float(np.mean(errors)) if uneven else None,
        std=float(np.std(errors, ddof=1)) if len(errors) > 1 else None,
        psnr=psnr(mse, data_range) if data_range > 0 else None,
        ssim=None
        if why_no_ssim(clean.shape[1:], kind, data_range)
        else float(np.mean([_mean_ssim(clean, draw, data_range, kind) for draw in denoised])),
        sample=np.array(denoised[0][:_N_SAMPLE]),
    )


def _mean_ssim(x: Array, y: Array, data_range: float, kind: Kind) -> float:
    """The mean structural similarity of examples and their denoised versions."""
    clean, denoised = (to_tensor(np.asarray(side, np.float64)) for side in (x, y))
    return float(image_ssim(clean, denoised, data_range, kind).mean())
