"""Sweeps: one training per value of a field, and a choice by validation examples, never by test examples."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.data.validation import Examples, Missing
from isthmus.errors import IsthmusError, NotPossibleError, RecordError
from isthmus.estimators.argument_check import refuse_other_shape, takes_autoencoder, with_context
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.base import ParameterError
from isthmus.estimators.defaults import COMPONENTS, component, resolve_defaults, statistics_for
from isthmus.estimators.given import Given
from isthmus.estimators.overrides import changed
from isthmus.evaluation import Evaluation, evaluate
from isthmus.evaluation.older_figures import OLDER
from isthmus.evaluation.results import value_of
from isthmus.experiments import run_folder
from isthmus.experiments.comparison_metrics import COLUMNS, Column, text_of
from isthmus.experiments.membership import Membership, write_membership
from isthmus.experiments.run_record import DataSource, RunInfo
from isthmus.experiments.side_by_side import Engine, check_engine, trained
from isthmus.experiments.sweep_examples import Labeled, labeled, training_and_validation, training_data
from isthmus.experiments.sweep_folder import begin_folder, write
from isthmus.experiments.sweep_result import SIZE, Sweep
from isthmus.experiments.trial import ProgressCallback, SweepContext, Trial, folder_name
from isthmus.experiments.trial_workers import Task
from isthmus.records import Record, nearest
from isthmus.text import printable

__all__ = ["MAX_TRIALS", "SIZE", "sweep"]

MAX_TRIALS = 64  # trainings of a sweep by default
_MAX_SIZE = 64  # dimensions of a code in the default grid
_METRICS = {column.name: column for column in COLUMNS[3:] if column.better and not column.timed}
_DEFAULT_METRICS = (
    "column_error_denoised",
    "mse_denoised",
    "column_error",
    "mse",
)  # the first one that is comparable between all trainings is used
_TRIAL_EXAMPLES = 100  # enough to check whether a network can be built


@takes_autoencoder
def sweep(
    ae: Autoencoder,
    X: Any,
    grid: Mapping[str, Sequence[Any]] | None = None,
    *,
    y: Any = None,
    sample_weight: Any = None,
    target: Any = None,
    validation_data: Any = None,
    groups: Any = None,
    test: Any = None,
    metric: str | None = None,
    folder: str | Path | None = None,
    max_trials: int = MAX_TRIALS,
    jobs: int | None = None,
    engine: Engine = "local",
    address: str | None = None,
    watch: ProgressCallback | None = None,
    origin: DataSource | None = None,
    about: RunInfo | None = None,
    record: Membership | None = None,
) -> Sweep:
    """Trains an autoencoder once for each value of a field, or for each combination of values, and recommends one.

    The choice uses the validation examples alone (`isthmus.experiments.model_selection`). For code sizes it is the elbow of the
    error, else the smallest size within one standard error of the best. For other fields it is the lowest mean error over random states.

    Args:
        ae: an unfitted autoencoder. Fields that are not in the grid keep its values.
        X: training examples (n, *shape).
        grid: values of each field, ``{"bottleneck__size": [2, 4, 8]}``; "random_state" repeats each training. None tries code
            sizes: powers of two up to half of the dimensions of an example, at most 64.
        y: labels or covariates of X, as in `Autoencoder.fit`, for trainings that use them.
        sample_weight: weights (n,) of the training examples, as in `Autoencoder.fit`. Evaluations count each example once.
        target: what to reconstruct instead of X, as in `Autoencoder.fit`. All errors are then against the target.
        validation_data: examples for the choice; with y, target or sample_weight a tuple of these in this order, such as (X, y), or
            (X, y, target, sample_weight). None holds out a tenth: of each class of y, or in whole groups.
        groups: the group of each example, such as a patient; held-out examples are whole groups.
        test: examples on which only the recommended autoencoder is evaluated, at the end; with y or target a tuple likewise.
        metric: the metric of `evaluate` that decides. None chooses the error with equal weight per feature, ``column_error``, or
            for images the squared error. Where training corrupts examples, it is the error after denoising.
        folder: a folder for one run folder per training, sweep.json, sweep.csv and sweep.png. A second call with the same
            folder skips complete trainings and resumes interrupted ones.
        max_trials: the largest allowed number of trainings.
        jobs: the number of trainings at the same time, each in a process of its own on one thread. The result is that of one after the
            other on one thread, bit for bit. None trains one after the other in this process, on all its threads.
        engine: "local" for processes of this machine, or "ray" for a Ray cluster, whose machines must see the folder at the same path.
        address: of a running Ray cluster; None starts one on this machine.
        watch: a callback such as a progress bar. It gets the reports of a training, a title and the number of dimensions of
            an example, and yields the reports again.
        origin, about, record: data source, settings and membership record, which are written into each run folder.

    Returns:
        All trainings with their metrics, and the recommended values. A training that fails, such as one that is killed for lack of
        memory, is one of them, with the reason; a warning names it, and the same call trains it again.

    Raises:
        RecordError: a field, metric or value is invalid, or there are more than `max_trials` trainings.
        DataError: the folder holds another sweep, or the examples are invalid.
        DivergenceError: every training diverged.
        IsthmusError: every training failed.
        NotPossibleError: the processes cannot start, or Ray is not installed.

    Examples:
        >>> small = Autoencoder(architecture=MLP((32,)), epochs=1, random_state=0)
        >>> result = isthmus.sweep(small, X, {"bottleneck__size": [2, 4]})
        >>> len(result.trials)
        2
    """
    if metric is not None and metric not in _METRICS:
        raise RecordError(f"no metric '{metric}'{nearest(OLDER.get(metric, metric), _METRICS)}")
    check_engine(jobs, engine, address)
    missing: Missing = "allow" if "allow" in (ae.missing, *(grid or {}).get("missing", ())) else "error"
    given = Given(X, y, target, validation_data, sample_weight=sample_weight, groups=groups)
    training, held = training_and_validation(given, missing, ae.kinds)
    examples, train_y, place = training.examples, training.y, None if folder is None else Path(folder)
    run, targets = about or RunInfo(), (training.target, held.target)
    known = (train_y, held.y, targets, (training.sample_weight, held.sample_weight))
    context = SweepContext(examples, held.examples, place, origin, run, watch, record, *known)
    axes, states = _axes(ae, grid, examples, train_y)
    planned = _plan(ae, axes, states, max_trials, examples, train_y)
    tested = None if test is None else labeled(training, test, missing, weighted=False)
    with nullcontext() if context.folder is None else run_folder.reserve_folder(context.folder):
        if context.folder is not None:
            begin_folder(context.folder, training_data(context, any(each._uses_y for _, each in planned)))
            if record is not None:
                write_membership(context.folder, record)
        trials = _trials(_tasks(planned, len(states) > 1), context, metric, (jobs, engine, address))
        column = _METRICS[metric] if metric is not None else _default_metric(trials)
        result = Sweep(axes, states, tuple(trials), column, len(examples.values), len(held.examples.values))
        if tested is not None:
            result = replace(result, test=_tested(result.autoencoder, tested, training))
        if context.folder is not None:
            write(context.folder, result, origin.to_dict() if origin else None)
        return result


def _tasks(planned: Sequence[tuple[dict[str, Any], Autoencoder]], several: bool) -> list[Task]:
    """The trials with their titles."""
    tasks = []
    for number, (cell, each) in enumerate(planned):
        title = " ".join(f"{path}={text_of(value)}" for path, value in cell.items())
        title += f" random_state={each.random_state}" if several else ""
        tasks.append(Task(number, each, cell, f"{number + 1} of {len(planned)}: {title}", several))
    return tasks


def _trials(
    tasks: Sequence[Task], context: SweepContext, metric: str | None, how: tuple[int | None, str, str | None]
) -> list[Trial]:
    """All trials in the order of the tasks. `IsthmusError` where each of them failed."""
    trials = dict[int, Trial]()
    with closing(trained(tasks, context, *how)) as ended:
        for number, each in ended:
            trials[number] = each
            if metric is not None:
                _check_comparable(_METRICS[metric], each, list(trials.values()))
    if all(each.failed for each in trials.values()):
        raise IsthmusError(f"every training of the sweep failed; the first one: {trials[0].failed}")
    return [trials[number] for number in range(len(tasks))]


def _tested(best: Autoencoder, tested: Labeled, training: Labeled) -> Evaluation:
    """The evaluation of the recommended autoencoder on the test examples."""
    train = with_context(best, training.examples, training.y, "train_labels")
    targets = {"target": tested.target, "train_target": training.target}
    return evaluate(best, with_context(best, tested.examples, tested.y), train=train, **targets)


def _axes(
    ae: Autoencoder, grid: Mapping[str, Sequence[Any]] | None, examples: Examples, y: Any
) -> tuple[dict[str, tuple[Any, ...]], tuple[int, ...]]:
    """The values of each field, and the random states."""
    axes: dict[str, tuple[Any, ...]] = {}
    for name, given in (grid or {}).items():
        if isinstance(given, str | bytes | Record) or not isinstance(given, Sequence | np.ndarray) or not len(given):
            raise RecordError(
                f"invalid {name}={given!r}: expected a list of values, for example {{'bottleneck__size': [4, 8]}}"
            )
        listed = given.tolist() if isinstance(given, np.ndarray) else given
        axes[name.replace("__", ".")] = tuple(
            value for place, value in enumerate(listed) if value not in listed[:place]
        )
    states = axes.pop("random_state", None) or (ae.random_state if isinstance(ae.random_state, int) else 0,)
    if not axes:
        axes = {SIZE: _default_sizes(ae, examples, y)}
    if list(axes) == [SIZE] and all(isinstance(value, int) for value in axes[SIZE]):
        axes[SIZE] = tuple(sorted(axes[SIZE]))
    return axes, states


def _default_sizes(ae: Autoencoder, examples: Examples, y: Any) -> tuple[int, ...]:
    """Powers of two up to half of the dimensions of an example, at most 64."""
    shape = examples.values.shape[1:]
    positions = (
        1 if isinstance(ae.architecture, str) else math.prod(ae.architecture.positions(shape))
    )  # of a code that is a map
    largest = max(1, min(_MAX_SIZE, math.prod(shape) // 2) // positions)
    sizes = [size for size in (2**power for power in range(7)) if size <= largest]
    valid = []
    for size in sizes[1:] if largest >= 8 else sizes:
        try:
            _check_buildable(changed(ae, {SIZE: size}), examples, y)
        except ParameterError:  # of the estimator, whatever the size
            raise
        except RecordError:  # too small for the bottleneck, for example below k of TopK
            continue
        valid.append(size)
    if not valid:
        raise RecordError(
            f"no code size from {sizes[0]} to {sizes[-1]} is valid for {ae.bottleneck!r}: give sizes with {SIZE}=..."
        )
    return tuple(valid)


def _plan(
    ae: Autoencoder,
    axes: Mapping[str, tuple[Any, ...]],
    states: tuple[int, ...],
    max_trials: int,
    examples: Examples,
    y: Any,
) -> list[tuple[dict[str, Any], Autoencoder]]:
    """Each combination of values and random state with its unfitted autoencoder. Invalid ones raise before the first training."""
    count = math.prod(map(len, axes.values())) * len(states)
    if count > max_trials:
        raise RecordError(
            f"the grid has {count:,} trainings, more than max_trials={max_trials:,}: give fewer values, "
            "or a larger max_trials (--max-trials)"
        )
    cells = [dict(zip(axes, cell, strict=True)) for cell in itertools.product(*axes.values())]
    _check_distinct(cells)
    planned = [(cell, changed(ae, cell | {"random_state": state})) for cell in cells for state in states]
    for _, each in planned[:: len(states)]:
        _check_buildable(each, examples, y)
    return planned


def _check_distinct(cells: Sequence[Mapping[str, Any]]) -> None:
    """`RecordError` where two combinations of values would have one folder, since their values are written alike."""
    places: dict[str, int] = {}
    for place, cell in enumerate(cells):
        first = places.setdefault(folder_name(cell, None).casefold(), place)
        if first != place:
            both = " and ".join(
                ", ".join(f"{path}={value!r}" for path, value in cells[each].items()) for each in (first, place)
            )
            raise RecordError(
                f"two combinations of values are written alike, {printable(both, 300)}: leave one of them out"
            )


def _check_buildable(ae: Autoencoder, examples: Examples, y: Any) -> None:
    """`RecordError` where the network cannot be built for the examples, `DataError` where it requires y and there is none.

    `NotPossibleError` where an augmentation changes their shape: a sweep measures examples as they are.
    """
    refuse_other_shape(ae, examples.values.shape[1:], "sweep")
    encoding = ae._encoding(Given(examples.values, y), len(examples.values))
    given = {name: component(getattr(ae, name)) for name in COMPONENTS}
    few = examples.some(slice(_TRIAL_EXAMPLES))
    statistics = statistics_for(given, few, ae.missing, ae.kind)
    size = None if encoding is None else encoding.size
    resolve_defaults(given, few, statistics, ae.precision, ae.missing, ae.kind, size).meta_model()


def _check_comparable(column: Column, last: Trial, trials: Sequence[Trial]) -> None:
    fitted = [each.autoencoder for each in trials if each.autoencoder is not None]
    if last.figures and value_of(last.figures, column.name) is None:
        raise NotPossibleError(f"these trainings have no {column.name}: choose metric='mse' (--metric mse)")
    if fitted and not column.comparable(fitted):
        names = ", ".join(last.values)
        raise NotPossibleError(
            f"{column.name} is not comparable between values of {names}: choose metric='mse' (--metric mse)"
        )


def _default_metric(trials: Sequence[Trial]) -> Column:
    """The error that is used without `metric`."""
    fitted = [each for each in trials if each.autoencoder is not None]
    for name in _DEFAULT_METRICS:
        available = all(value_of(each.figures, name) is not None for each in fitted)
        if available and _METRICS[name].comparable(
            [each.autoencoder for each in fitted if each.autoencoder is not None]
        ):
            return _METRICS[name]
    return _METRICS["mse"]
