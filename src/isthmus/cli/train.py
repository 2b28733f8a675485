"""Verbs that train. Each writes run folders."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import zlib
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.cli.console import counted, print_json, print_line, print_notes, print_table, progress
from isthmus.cli.data_options import DataOptions, takes_pairs, words_of
from isthmus.cli.options import SEVERAL, ColumnWeights, Every, Json, Out, Settings, weights_by_column
from isthmus.cli.signals import resumed_by_same_command
from isthmus.text import command, printable

if TYPE_CHECKING:
    from isthmus.data import Dataset
    from isthmus.data.validation import Missing
    from isthmus.estimators.autoencoder import Autoencoder
    from isthmus.experiments.run_record import DataSource
    from isthmus.experiments.splits import Split
    from isthmus.experiments.sweep_result import Sweep

__all__ = ["resume", "sweep", "train"]


@takes_pairs
def train(
    data_options: DataOptions = "mnist",  # type: ignore[assignment]  # the default of --data
    settings: Settings = None,
    column_weight: ColumnWeights = None,
    out: Out = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write TensorBoard event files: scalars and images.")
    ] = False,
    checkpoint_every: Every = None,
    layerwise: Annotated[
        bool,
        typer.Option(
            "--layerwise",
            help="First train each encoder layer with its decoder layer, one pair after the other; then all.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Train an autoencoder; write the model, its evaluation, figures and a report."""
    from isthmus import recipes as recipes_module
    from isthmus.cli.run import Training, train_run
    from isthmus.estimators.overrides import overridden
    from isthmus.experiments import run_folder, run_record

    words = settings or []
    recipe = _recipe_of(words)
    weights = weights_by_column(column_weight)
    ae = overridden(recipes_module.find(recipe).set_params(random_state=0, column_weights=weights), words)
    origin = run_record.DataSource(data_options.data or "mnist", data_options.options, target=data_options.target)
    dataset = origin.read()
    typed, pixels = shlex.join(["isthmus", *sys.argv[1:]]), run_record.pixels_of(dataset)
    about = run_record.RunInfo(recipe, typed, tensorboard, checkpoint_every, pixels=pixels, rate=dataset.rate)
    with run_folder.reserve_new_folder(f"{recipe}-{dataset.name}", out) as folder:
        corrupted = dataset.target is not None and getattr(ae.corruption, "corrupts", False)
        print_notes([*dataset.notes, *([_corruption_note(ae)] if corrupted else []), *_weights_notes(ae)], as_json)
        if not as_json:
            print_line(f"{recipe} on {dataset.summary()}")
        train_run(Training(folder, ae, origin, dataset, about, layerwise, as_json), resume=False)


def _weights_notes(ae: Autoencoder) -> list[str]:
    """A note on the weights of columns, if there are any."""
    listed = ", ".join(f"{printable(name, 60)} {weight:g}" for name, weight in (ae.column_weights or {}).items())
    return [f"columns weighted in the loss: {listed}; others count 1"] if listed else []


def _corruption_note(ae: Autoencoder) -> str:
    return f"{ae.corruption!r} corrupts the examples further in training: to train on the pairs as they are, add corruption=Clean"


@takes_pairs
def resume(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of an interrupted run.")],
    data_options: DataOptions,
    checkpoint_every: Every = None,
    as_json: Json = False,
) -> None:
    """Resume an interrupted training from its last checkpoint; the weights are bit-identical to an uninterrupted run."""
    from isthmus.cli.run import Training, train_run
    from isthmus.experiments import run_data, run_folder

    with run_folder.reserve_folder(run) if run.is_dir() else nullcontext():
        ae, origin, about = run_folder.open_interrupted(run, data_options.source)
        if checkpoint_every is not None:
            about = replace(about, checkpoint_every=checkpoint_every)
        if not as_json:
            print_line(f"{about.recipe} resumes after {counted(len(ae.history_), 'epoch')}")
        dataset = run_data.read_data(run, origin, ae)
        train_run(Training(run, ae, origin, dataset, about, as_json=as_json), resume=True)


@takes_pairs
def sweep(
    data_options: DataOptions = "mnist",  # type: ignore[assignment]  # the default of --data
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[RECIPE] [FIELD=V1,V2,...] [FIELD=VALUE]...", help=SEVERAL)
    ] = None,
    column_weight: ColumnWeights = None,
    out: Out = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="The number of random states (0, 1, ...) per value; or give them: random_state=0..9 or random_state=3,4.",
        ),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(metavar="NAME", help="The metric of the recommendation, such as mse, psnr or nats.")
    ] = None,
    max_trials: Annotated[int, typer.Option(min=1, help="The maximum number of runs.")] = 64,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Train N runs at the same time, each on one thread; default: one after the other on all threads.",
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option(metavar="NAME", help="local: processes of this machine. ray: a Ray cluster.")
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="A running Ray cluster, such as auto; default: Ray starts on this machine."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train one run for each value of a parameter; recommend one by validation error.

    The validation examples are the validation part of the data, or held-out training examples. By default the code sizes are
    powers of two. The same command again trains only the missing runs. Only the recommended run is measured on test examples.
    A run that fails is listed with the reason, and the exit code is then 1.
    """
    from isthmus.experiments import parameter_sweep, run_labels, run_record

    recipe, ae, fixed, grid = _parse_words(settings or [], seeds)
    ae.set_params(column_weights=weights_by_column(column_weight))
    fixed += [word for each in column_weight or [] for word in ("--column-weight", each)]
    source = run_record.DataSource(data_options.data or "mnist", data_options.options, target=data_options.target)
    dataset = source.read()
    folder = out or _sweep_folder(recipe, dataset.name, fixed, grid, metric, source.target)
    part = _sweep_split(folder, dataset, "allow" if "allow" in grid.get("missing", [ae.missing]) else "error")
    validation, tested, notes = _validation_and_test(dataset, part)
    note = run_labels.training_labels(ae, dataset, part).note
    print_notes([*dataset.notes, *part.notes, *notes, *([note] if note else []), *_weights_notes(ae)], as_json)
    if not as_json:
        print_line(f"{recipe} on {dataset.summary()}")
    with resumed_by_same_command(f"the trained runs are in {folder}"):
        found = parameter_sweep.sweep(
            ae,
            part.train_of(dataset),
            grid,
            y=part.train_labels,
            sample_weight=part.train_weights,
            groups=part.train_groups,
            target=part.train_target,
            validation_data=validation,
            test=tested,
            metric=metric,
            folder=folder,
            max_trials=max_trials,
            jobs=jobs,
            engine=engine,  # type: ignore[arg-type]  # checked there
            address=address,
            watch=progress(as_json, several=jobs is not None or engine != "local"),
            origin=source,
            about=run_record.RunInfo(
                recipe, shlex.join(["isthmus", *sys.argv[1:]]), pixels=run_record.pixels_of(dataset), rate=dataset.rate
            ),
            record=part.record,
        )
    if as_json:
        print_json(found.to_dict())
    else:
        _print_sweep(found, folder, [recipe, *fixed], source)
    if any(each.failed for each in found.trials):
        raise SystemExit(1)


def _validation_and_test(dataset: Dataset, part: Split) -> tuple[Any, Any, list[str]]:
    """Validation examples, None without a validation part, and test examples, each with its labels and targets; and notes."""
    import numpy as np

    from isthmus.experiments.validation_set import (
        ValidationSet,
        own_validation_labels,
        own_validation_part,
        own_validation_target,
    )

    uses_y = part.train_labels is not None
    tested = ValidationSet(part.test_of(dataset), part.test_labels, [], part.test_target).given(uses_y)
    examples, notes = own_validation_part(dataset, part)
    if examples is None:
        return None, tested, notes
    weights = None if part.train_weights is None else np.ones(len(examples.values))
    known = own_validation_labels(dataset, part), notes, own_validation_target(dataset, part), weights
    return ValidationSet(examples, *known).given(uses_y), tested, notes


def _sweep_folder(
    recipe: str, data: str, fixed: list[str], grid: dict[str, list[Any]], metric: str | None, target: str | None
) -> Path:
    """The default folder of a sweep, the same for the same command."""
    given = [recipe, fixed, {path: list(map(str, values)) for path, values in grid.items()}, metric]
    key = json.dumps(given if target is None else [*given, target])
    return Path("runs") / f"sweep-{recipe}-{data}-{zlib.crc32(key.encode()):08x}"


def _sweep_split(folder: Path, dataset: Dataset, missing: Missing) -> Split:
    """The training and held-out examples of a sweep, the same as in an earlier call with this folder."""
    from isthmus.experiments import membership, split_recovery, splits

    record = membership.read_membership(folder)
    if record is None:
        return splits.split(dataset, missing)
    return split_recovery.recover_split(record, dataset, missing, whole=True)


def _print_sweep(found: Sweep, folder: Path, words: list[str], source: DataSource) -> None:
    """Prints the table, the recommendation and the command that trains the recommended autoencoder."""
    from isthmus.experiments.comparison_metrics import text_of

    print_table(*found.table())
    for sentence in found.sentences():
        print_line(sentence)
    n_runs, n_new = counted(len(found.trials), "run"), sum(each.new for each in found.trials)
    print_line(f"written to {folder}: sweep.csv, sweep.json, sweep.png, {n_runs} ({n_new} trained now)")
    words = [*words, *(f"{path}={text_of(value)}" for path, value in found.values.items()), *words_of(source)]
    print_line(f"to train the recommended autoencoder on all training examples: {command('isthmus', 'train', *words)}")


def _applies(ae: Autoencoder, word: str) -> bool:
    """Whether a component of an autoencoder has the field of this ``field=value``."""
    from isthmus.errors import RecordError
    from isthmus.estimators.overrides import overridden

    try:
        overridden(ae, [word])
    except RecordError:
        return False
    return True


def _recipe_of(words: list[str]) -> str:
    """The name of the recipe, removed from the words."""
    from isthmus import recipes
    from isthmus.errors import RecordError

    recipe = words.pop(0) if words and "=" not in words[0] else "deep"
    if recipe not in recipes.__all__ and os.path.exists(recipe):
        raise RecordError(f"'{recipe}' is no recipe but a file or folder; for data: {command('--data', Path(recipe))}")
    return recipe


def _parse_words(words: list[str], seeds: int | None) -> tuple[str, Autoencoder, list[str], dict[str, list[Any]]]:
    """Parses the words after the verb.

    Returns:
        The recipe, its autoencoder with the fields that have one value, these as ``field=value``, and the fields with several; also those
        with one value that belong to a component with several, and not to that of the recipe.
    """
    from isthmus import recipes
    from isthmus.assignments import split_assignments
    from isthmus.errors import RecordError
    from isthmus.estimators.overrides import overridden, parse_values
    from isthmus.experiments.sweep_result import SIZE

    recipe = _recipe_of(words)
    ae, fixed, grid = recipes.find(recipe).set_params(random_state=0), list[str](), dict[str, list[Any]]()
    for path, text in split_assignments(words).items():
        values = parse_values(path, text)
        if len(values) > 1:
            grid[path] = values
        else:
            fixed.append(f"{path}={text}")
    for word in [word for word in fixed if word.partition(".")[0] in grid and not _applies(ae, word)]:
        fixed.remove(word)
        grid[word.partition("=")[0]] = parse_values(*word.split("=", 1))
    if seeds is not None:
        if "random_state" in grid or any(word.startswith("random_state=") for word in fixed):
            raise RecordError("--seeds and random_state=... set the same parameter: give one of them")
        grid["random_state"] = list(range(seeds))
    size = next((word for word in fixed if re.fullmatch(rf"({SIZE}|bottleneck)=\d+", word)), None)
    if size is not None and not grid.keys() - {"random_state"}:
        if len(grid.get("random_state", ())) < 2:
            raise RecordError(f"a sweep requires several values of a parameter, such as {SIZE}=8,16,32")
        path, _, text = size.partition("=")  # one size, several random states: the spread is what is asked for
        fixed.remove(size)
        grid[path] = parse_values(path, text)
    return recipe, overridden(ae, fixed), fixed, grid
