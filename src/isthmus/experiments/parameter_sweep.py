"""Which value should a field have? A training for each, chosen by validation examples, and never by the test part."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.data import Dataset, as_examples
from isthmus.data.validation import Examples, Missing
from isthmus.errors import DataError, NotPossibleError, RecordError
from isthmus.estimators.argument_check import takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.checkpoint import TrainingData
from isthmus.estimators.defaults import COMPONENTS, resolve_defaults, statistics_for
from isthmus.estimators.overrides import changed
from isthmus.evaluation import evaluate
from isthmus.evaluation.older_figures import OLDER
from isthmus.evaluation.results import value_of
from isthmus.experiments import run_folder
from isthmus.experiments.comparison_metrics import COLUMNS, Column, text_of
from isthmus.experiments.membership import Membership, write_membership
from isthmus.experiments.run_record import DataSource, RunInfo
from isthmus.experiments.splits import split
from isthmus.experiments.sweep_result import SIZE, Sweep
from isthmus.experiments.trial import ProgressCallback, SweepContext, Trial, trial
from isthmus.io.atomic import replace_file
from isthmus.io.files import open_regular
from isthmus.plots.figure import save_png
from isthmus.records import Record, nearest
from isthmus.text import as_json

__all__ = ["MAX_TRIALS", "SIZE", "sweep"]

_MOST = 1 << 24  # bytes of it
MAX_TRIALS = 64  # trainings, unless more are asked for
_LARGEST = 64  # numbers of a code, where nobody says which sizes
_BY = {column.name: column for column in COLUMNS[3:] if column.better and not column.timed}
_ERRORS = (
    "column_error_denoised",
    "mse_denoised",
    "column_error",
    "mse",
)  # the first that means the same for all trainings
_SKETCHED = 100  # examples that tell whether a net can be built


@takes_autoencoder
def sweep(
    ae: Autoencoder,
    X: Any,
    grid: Mapping[str, Sequence[Any]] | None = None,
    *,
    validation_data: Any = None,
    test: Any = None,
    metric: str | None = None,
    folder: str | Path | None = None,
    max_trials: int = MAX_TRIALS,
    watch: ProgressCallback | None = None,
    origin: DataSource | None = None,
    about: RunInfo | None = None,
    record: Membership | None = None,
) -> Sweep:
    """Trains an autoencoder once for each value of a field, or each combination of several fields' values, and recommends one.

    The choice is by the validation examples alone (`isthmus.experiments.model_selection`): of several sizes of the code the elbow of
    the error, or the smallest within one standard error of the best; of any other field's values the best, on average over random states.

    Args:
        ae: unfitted; what the grid does not name is as it is here.
        X: training examples (n, *shape).
        grid: values by field, ``{"bottleneck__size": [2, 4, 8]}``; "random_state" repeats each training. Without it the size of
            the code: powers of two up to half of the numbers of an example, at most 64.
        validation_data: examples to choose by; without them a tenth of X, which is then not trained on.
        test: examples of which the recommended autoencoder, and no other, is measured in the end.
        metric: the figure of `evaluate` to choose by; without it the error in which every column counts equally, ``column_error``, or of
            pictures the squared error; of restored examples where training spoils them.
        folder: where each training is kept as the folder of a run, with sweep.json, sweep.csv and sweep.png. Called again, what
            is there is not trained again, and what was cut off goes on.
        max_trials: trainings beyond which the sweep is refused.
        watch: given the reports of a training, a title and the numbers in an example, yields the reports again: a progress bar, say.
        origin, about, record: what the runs say of their data, of their recipe, and of which examples ``test`` are.

    Raises:
        RecordError: there is no such field, figure or value, or there would be too many trainings.
        DataError: the folder holds other trainings, or the examples cannot be used.
        DivergenceError: no training stayed finite.

    Examples:
        >>> small = Autoencoder(architecture=MLP((32,)), epochs=1, random_state=0)
        >>> result = isthmus.sweep(small, X, {"bottleneck__size": [2, 4]})
        >>> len(result.trials)
        2
    """
    if metric is not None and metric not in _BY:
        raise RecordError(f"no figure '{metric}' to choose by{nearest(OLDER.get(metric, metric), _BY)}")
    missing: Missing = "allow" if "allow" in (ae.missing, *(grid or {}).get("missing", ())) else "error"
    examples, held = _parts(X, validation_data, missing)
    room = SweepContext(
        examples, held, None if folder is None else Path(folder), origin, about or RunInfo(), watch, record
    )
    axes, states = _axes(ae, grid, examples.values)
    planned = _planned(ae, axes, states, max_trials, examples.values)
    tested = None if test is None else as_examples(test, missing=missing)
    with nullcontext() if room.folder is None else run_folder.reserve_folder(room.folder):
        if room.folder is not None:
            _begin(room.folder, TrainingData(examples.values, held.values))
            if record is not None:
                write_membership(room.folder, record)
        trials: list[Trial] = []
        for number, (cell, each) in enumerate(planned):
            said = " ".join(f"{path}={text_of(value)}" for path, value in cell.items())
            said += f" random_state={each.random_state}" if len(states) > 1 else ""
            trials.append(trial(each, cell, room, f"{number + 1} of {len(planned)}: {said}", len(states) > 1))
            if metric is not None:
                _check_comparable(_BY[metric], trials)
        column = _BY[metric] if metric is not None else _error(trials)
        made = Sweep(axes, states, tuple(trials), column, len(examples.values), len(held.values))
        if tested is not None:
            made = replace(made, test=evaluate(made.autoencoder, tested, train=examples))
        if room.folder is not None:
            _write(room.folder, made, origin.to_dict() if origin else None)
        return made


def _parts(X: Any, validation_data: Any, missing: Missing) -> tuple[Examples, Examples]:
    """Examples to train on, and others to choose by: those given, or a tenth of X, the same tenth each time."""
    examples = as_examples(X, missing=missing)
    if validation_data is not None:
        return examples, as_examples(validation_data, missing=missing)
    part = split(Dataset("X", examples.values, columns=examples.columns), missing)
    train, held = (
        Examples(side, examples.columns, examples.kind, examples.at.some(rows))
        for side, rows in ((part.train, part.train_rows), (part.test, part.test_rows))
    )
    return train, held


def _axes(
    ae: Autoencoder, grid: Mapping[str, Sequence[Any]] | None, values: Any
) -> tuple[dict[str, tuple[Any, ...]], tuple[int, ...]]:
    """The values of each field, and the random states of each combination of them."""
    axes: dict[str, tuple[Any, ...]] = {}
    for name, given in (grid or {}).items():
        if isinstance(given, str | bytes | Record) or not isinstance(given, Sequence | np.ndarray) or not len(given):
            raise RecordError(
                f"{name}={given!r} is no list of values to try; write for example {{'bottleneck__size': [4, 8]}}"
            )
        listed = given.tolist() if isinstance(given, np.ndarray) else given
        axes[name.replace("__", ".")] = tuple(
            value for place, value in enumerate(listed) if value not in listed[:place]
        )
    states = axes.pop("random_state", None) or (ae.random_state if isinstance(ae.random_state, int) else 0,)
    if not axes:
        axes = {SIZE: _sizes(ae, values)}
    if list(axes) == [SIZE] and all(isinstance(value, int) for value in axes[SIZE]):
        axes[SIZE] = tuple(sorted(axes[SIZE]))
    return axes, states


def _sizes(ae: Autoencoder, values: Any) -> tuple[int, ...]:
    """Powers of two, of which a code is at most half as large as an example, and has at most 64 numbers."""
    shape = values.shape[1:]
    positions = (
        1 if isinstance(ae.architecture, str) else math.prod(ae.architecture.positions(shape))
    )  # of a map of codes
    most = max(1, min(_LARGEST, math.prod(shape) // 2) // positions)
    sizes = [size for size in (2**power for power in range(7)) if size <= most]
    found = []
    for size in sizes[1:] if most >= 8 else sizes:
        try:
            _sketch(changed(ae, {SIZE: size}), values)
        except RecordError:  # a code of so few numbers cannot be, as one that lets k pass
            continue
        found.append(size)
    if not found:
        raise RecordError(
            f"no size of the code from {sizes[0]} to {sizes[-1]} suits {ae.bottleneck!r}; name sizes: {SIZE}=..."
        )
    return tuple(found)


def _planned(
    ae: Autoencoder, axes: Mapping[str, tuple[Any, ...]], states: tuple[int, ...], max_trials: int, values: Any
) -> list[tuple[dict[str, Any], Autoencoder]]:
    """Each combination with its unfitted autoencoder, for each random state; what cannot be built is known so before the first training."""
    count = math.prod(map(len, axes.values())) * len(states)
    if count > max_trials:
        raise RecordError(
            f"these would be {count:,} trainings, and more than {max_trials:,} are made only where asked for: give fewer values, "
            "or max_trials=... (--max-trials)"
        )
    cells = [dict(zip(axes, cell, strict=True)) for cell in itertools.product(*axes.values())]
    planned = [(cell, changed(ae, cell | {"random_state": state})) for cell in cells for state in states]
    for _, each in planned[:: len(states)]:
        _sketch(each, values)
    return planned


def _sketch(ae: Autoencoder, values: Any) -> None:
    """`RecordError` where a net cannot be built for the examples."""
    given, few = {name: getattr(ae, name) for name in COMPONENTS}, Examples(values[:_SKETCHED])
    statistics = statistics_for(given, few, ae.missing, ae.kind)
    resolve_defaults(given, few, statistics, ae.precision, ae.missing, ae.kind).meta_model()


def _check_comparable(column: Column, trials: Sequence[Trial]) -> None:
    if trials[-1].figures and value_of(trials[-1].figures, column.name) is None:
        raise NotPossibleError(f"these trainings have no {column.name} to choose by: choose by mse")
    if not column.comparable([each.autoencoder for each in trials if each.autoencoder is not None]):
        names = ", ".join(trials[0].values)
        raise NotPossibleError(f"{column.name} means something else with each value of {names}: choose by mse")


def _error(trials: Sequence[Trial]) -> Column:
    """The squared error to choose by."""
    sound = [each for each in trials if each.autoencoder is not None]
    for name in _ERRORS:
        there = all(value_of(each.figures, name) is not None for each in sound)
        if there and _BY[name].comparable([each.autoencoder for each in sound if each.autoencoder is not None]):
            return _BY[name]
    return _BY["mse"]


def _begin(folder: Path, data: TrainingData) -> None:
    """Makes the folder of a sweep; `DataError` if it is that of another."""
    if (folder / run_folder.MODEL).exists() or (folder / run_folder.CHECKPOINT).exists():
        raise DataError(f"{folder} holds a run; choose another folder for the sweep (--out)")
    hashes, path = list(data.hashes), folder / run_folder.SWEEP
    if path.is_file():
        try:
            with open_regular(path) as file:
                there = json.loads(file.read(_MOST))["examples"]
        except (ValueError, KeyError, TypeError):
            raise DataError(f"{path} is damaged; choose another folder (--out), or remove it first") from None
        if there != hashes:
            raise DataError(
                f"{folder} holds a sweep on other examples; choose another folder (--out), or remove it first"
            )
        return
    replace_file(path, json.dumps({"examples": hashes}).encode())


def _write(folder: Path, made: Sweep, origin: dict[str, Any] | None) -> None:
    """What was found, as sweep.json, sweep.csv and sweep.png."""
    with open_regular(folder / run_folder.SWEEP) as file:
        there = json.loads(file.read(_MOST))["examples"]
    replace_file(folder / run_folder.SWEEP, as_json({"examples": there, "origin": origin} | made.to_dict()).encode())
    replace_file(folder / "sweep.csv", made.csv().encode())
    save_png(made.plot(), folder / "sweep.png")
