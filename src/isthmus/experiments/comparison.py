"""Compares fitted autoencoders on the same held-out examples, which it finds in the run folders if none are given."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.data import as_examples
from isthmus.data.lazy_rows import LazyRows
from isthmus.data.memmap import selected_rows
from isthmus.data.missing import count_missing
from isthmus.data.tables.table_encoding import TableEncoding
from isthmus.data.validation import Examples, Missing
from isthmus.errors import DataError, RecordError
from isthmus.estimators.argument_check import check_autoencoder, common_table, with_context
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.loading import load_autoencoder
from isthmus.estimators.shape_check import check_shape_and_columns
from isthmus.estimators.unit_check import check_units_once
from isthmus.evaluation import Evaluation, check_examples, evaluate
from isthmus.experiments import run_data, run_folder, run_record
from isthmus.experiments.comparison_result import Comparison
from isthmus.experiments.comparison_rows import row_notes, rows_of
from isthmus.experiments.run_labels import is_conditional
from isthmus.experiments.run_record import DataSource, examples_key, real_path
from isthmus.experiments.splits import some, some_targets, split
from isthmus.experiments.trained_examples import trained_notes
from isthmus.experiments.validation_set import own_validation_part

__all__ = ["Comparison", "compare"]

Array = NDArray[Any]
Model = Autoencoder | str | os.PathLike[str]


@check_units_once()
def compare(
    models: Sequence[Model] | Mapping[str, Model],
    X: Any = None,
    train: Any = None,
    *,
    y: Any = None,
    train_labels: Any = None,
    target: Any = None,
    train_target: Any = None,
    origin: DataSource | None = None,
    grouped: bool = True,
) -> Comparison:
    """Evaluates several autoencoders on the same held-out examples.

    It is not known whether a fitted autoencoder was trained on these examples. For run folders, a note says where that is possible.

    Args:
        models: fitted autoencoders, run folders and model files, also mixed. A mapping gives them names.
        X: examples (n, *shape) in the units of the training data. None takes the examples that all runs held out of their data.
        train: training examples of PCA with as many components as the code has dimensions. None fits PCA to X.
        y, train_labels: labels or covariates of X and of train, for conditional autoencoders; others ignore them.
        target, train_target: what the reconstructions of X and of train are compared with, as in `evaluate`. Without X, those that the
            data source names.
        origin: the data source of X and train; without X, the data source to read.
        grouped: whether autoencoders that differ in their random state alone are one row of the table, mean ± standard deviation.

    Returns:
        The metrics of each autoencoder, in the order of `models`.

    Raises:
        RecordError: there are fewer than two models.
        DataError: they were trained on different data and no examples are given, or the examples do not fit all of them.

    Examples:
        >>> other = Autoencoder(2, epochs=1, random_state=0).fit(X)
        >>> isthmus.compare({"four": ae, "two": other}, X).names
        ('four', 'two')
    """
    if len(models) < 2:
        raise RecordError("a comparison requires two autoencoders or more: give run folders or model files")
    given = list(models.values()) if isinstance(models, Mapping) else list(models)
    for each in given:
        if not isinstance(each, str | os.PathLike):
            check_autoencoder(each, "compare", "one of the models")
    loaded = [each if isinstance(each, Autoencoder) else _load(Path(each)) for each in given]
    names = tuple(models) if isinstance(models, Mapping) else _names(given, loaded)
    sources = [None if isinstance(each, Autoencoder) else _source(Path(each)) for each in given]
    missing: Missing = "allow" if any(ae.missing == "allow" for ae in loaded) else "error"
    folders = {
        name: _folder(Path(each))
        for name, each, source in zip(names, given, sources, strict=True)
        if not isinstance(each, Autoencoder) and source is not None
    }
    changes, held_out = list[str](), X is None
    if X is None:
        origin = origin or _common_source(names, sources)
        early_stopped = [name for name, ae in zip(names, loaded, strict=True) if name in folders and ae.early_stopping]
        source, table = _with_target(names, sources, origin), common_table(loaded)
        held = _common_held_out(folders, source, missing, early_stopped, table)
        X, train, y, train_labels, target, train_target, changes = held
    examples = as_examples(X, missing=missing, shape=loaded[0].shape_, table=common_table(loaded))
    n_missing = count_missing(examples.values)
    for name, ae in zip(names, loaded, strict=True):
        _check_fit(name, ae, examples, n_missing, y)
    targets = {"target": target, "train_target": train_target}
    evaluations = tuple(_evaluated(ae, (X, y), (train, train_labels), targets) for ae in loaded)
    notes = _source_notes(names, [not isinstance(each, Autoencoder) for each in given], sources, origin) + changes
    notes += trained_notes(folders, examples.values, held_out)
    if n_missing:
        count = "do not count in its errors" if evaluations[0].mixed else "count in its errors, with almost no error"
        notes.append(f"each autoencoder imputes the missing values itself; they {count}")
    if target is not None:
        notes.append("all errors are against the target, not against the examples")
    checked = check_examples(loaded[0], with_context(loaded[0], X, y), "X")
    shown = checked if isinstance(checked, LazyRows) else np.asarray(checked)
    rows = rows_of(names, loaded, [_data_key(source) for source in sources]) if grouped else ()
    notes += row_notes(rows)
    return Comparison(names, tuple(loaded), evaluations, shown, tuple(notes), y, target, rows)


def _data_key(source: DataSource | None) -> Any:
    """Equal for runs that were trained on the same data and targets."""
    return None if source is None else (examples_key(source), source.target)


def _evaluated(
    ae: Autoencoder, held: tuple[Any, Any], training: tuple[Any, Any], targets: dict[str, Any]
) -> Evaluation:
    """The evaluation on held-out examples. Labels are only the context of conditional autoencoders, and score nothing."""
    train = None if training[0] is None else with_context(ae, *training, "train_labels")
    return evaluate(ae, with_context(ae, *held), train=train, **targets)


def _common_held_out(
    folders: Mapping[str, Path],
    origin: DataSource,
    missing: Missing,
    early_stopped: Sequence[str],
    table: TableEncoding | None,
) -> _HeldOut:
    """The examples that all runs held out, and the training examples of the first run."""
    dataset = origin.read_as(table, missing)
    parts = {name: run_data.split_of(folder, dataset, missing, origin) for name, folder in folders.items()}
    first, *others = parts.values() if parts else [split(dataset, missing)]
    rows = first.test_rows
    assert rows is not None
    for part in others:
        assert part.test_rows is not None
        rows = rows[np.isin(rows, part.test_rows)]
    if not len(rows):
        raise DataError(
            f"no example of {dataset.name} was held out by all of {', '.join(parts)}: give other examples with --data (X in Python)"
        )
    held = replace(
        first, test=selected_rows(dataset.train if dataset.test is None else dataset.test, rows), test_rows=rows
    )
    runs_of = {
        note: [name for name, part in parts.items() if note in part.notes]
        for part in parts.values()
        for note in part.notes
    }
    notes = [note if len(runs) == len(parts) else f"{', '.join(runs)}: {note}" for note, runs in runs_of.items()]
    if early_stopped and own_validation_part(dataset, first)[0] is None:
        notes.append(
            f"early stopping of {', '.join(early_stopped)} used these held-out examples: errors on new examples may be a little larger"
        )
    no_test = dataset.test is None
    return _HeldOut(
        held.test_of(dataset),
        first.train_of(dataset),
        some(dataset.train_labels if no_test else dataset.test_labels, rows),
        first.train_labels,
        some_targets(dataset.target if no_test else dataset.test_target, rows),
        first.train_target,
        [*dataset.notes, *notes],
    )


class _HeldOut(NamedTuple):
    """Held-out and training examples, the labels and targets of both, and notes on changes."""

    examples: Examples
    train: Examples
    labels: Array | None
    train_labels: Array | None
    target: Array | None
    train_target: Array | None
    notes: list[str]


def _with_target(names: Sequence[str], sources: Sequence[DataSource | None], origin: DataSource) -> DataSource:
    """The source with the targets of the runs; `DataError` where they have targets and those of other data are not given."""
    if origin.target is not None:
        return origin
    for name, source in zip(names, sources, strict=True):
        if source is not None and source.target is not None:
            if examples_key(source) == examples_key(origin):
                return replace(origin, target=source.target)
            raise DataError(
                f"{name} was trained to reconstruct a target ({source.target}): give that of {origin.data} with --target"
            )
    return origin


def _folder(path: Path) -> Path:
    return path.parent if path.name == run_folder.MODEL else path


def _load(path: Path) -> Autoencoder:
    return run_folder.open_run(path) if path.is_dir() else load_autoencoder(path)


def _source(path: Path) -> DataSource | None:
    """The data source of a run; None where there is no record of it."""
    folder = _folder(path)
    return run_record.source_of(folder) if (folder / run_record.RECORD).is_file() else None


def _names(given: Sequence[Model], loaded: Sequence[Autoencoder]) -> tuple[str, ...]:
    """A unique name for each model: the folder's name, or its path where two are equal; for an autoencoder the bottleneck."""
    paths = [None if isinstance(each, Autoencoder) else Path(each) for each in given]
    short = [
        repr(ae.bottleneck_) if path is None else _folder(path).resolve().name
        for ae, path in zip(loaded, paths, strict=True)
    ]
    full = [
        str(path) if path is not None and short.count(name) > 1 else name
        for name, path in zip(short, paths, strict=True)
    ]
    return tuple(
        name if full.count(name) == 1 else f"{name} ({full[: place + 1].count(name)})"
        for place, name in enumerate(full)
    )


def _common_source(names: Sequence[str], sources: Sequence[DataSource | None]) -> DataSource:
    """The data source that all runs share; `DataError` where there is none, or more than one."""
    distinct = {
        (examples_key(source), real_path(source.target or "")): (name, source)
        for name, source in zip(names, sources, strict=True)
        if source is not None
    }
    if not distinct:
        raise DataError(
            f"{names[0]} has no record of its training data: give the examples for the comparison with --data (X in Python)"
        )
    if len(distinct) > 1:
        pairs = " and ".join(
            f"{name} on {source.data}" + (f" with the target {source.target}" if source.target else "")
            for name, source in distinct.values()
        )
        also = " and --target" if any(source.target for _, source in distinct.values()) else ""
        raise DataError(
            f"the runs were trained on different data, {pairs}: give examples for the comparison with --data{also} (X in Python)"
        )
    return next(iter(distinct.values()))[1]


def _source_notes(
    names: Sequence[str], from_files: Sequence[bool], sources: Sequence[DataSource | None], origin: DataSource | None
) -> list[str]:
    """A note for each model file that may have been trained on the examples, by its record of its data source."""
    notes = []
    for name, from_file, source in zip(names, from_files, sources, strict=True):
        if from_file and source is None:
            notes.append(f"{name} has no record of its training data: it may have been trained on these examples")
        elif source is not None and origin is not None and examples_key(source) != examples_key(origin):
            other = f"{name} was trained on {source.data}, not on {origin.data}"
            notes.append(f"{other}: it may have been trained on some of these examples")
    return notes


def _check_fit(name: str, ae: Autoencoder, examples: Examples, n_missing: int, y: Any) -> None:
    """`DataError` unless an autoencoder can be evaluated on the examples."""
    hint = "only autoencoders for examples of one shape can be compared"
    check_shape_and_columns(ae, examples.values.shape[1:], examples.columns, what="the examples", of=name, hint=hint)
    if n_missing and ae.missing != "allow":
        raise DataError(
            f"{name} does not accept missing values, and {n_missing:,} values of the examples are missing: "
            "leave it out, or impute them (impute)"
        )
    if y is None and is_conditional(ae):
        raise DataError(
            f"{name} is conditional and requires labels: pass y (on the command line, name them with --labels)"
        )
