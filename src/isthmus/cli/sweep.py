"""The verb that trains a run for each value of a parameter."""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isthmus.cli.console import counted, print_json, print_line, print_notes, print_table, progress
from isthmus.cli.data_options import DataOptions, takes_pairs, words_of
from isthmus.cli.options import SEVERAL, ColumnWeights, Json, Out, weights_by_column
from isthmus.cli.signals import resumed_by_same_command
from isthmus.cli.train import recipe_of, typed_command, weights_notes
from isthmus.text import command

if TYPE_CHECKING:
    from isthmus.data import Dataset
    from isthmus.data.validation import Missing
    from isthmus.estimators.autoencoder import Autoencoder
    from isthmus.experiments.run_record import DataSource
    from isthmus.experiments.splits import Split
    from isthmus.experiments.sweep_result import Sweep

__all__ = ["sweep"]


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
    print_notes([*dataset.notes, *part.notes, *notes, *([note] if note else []), *weights_notes(ae)], as_json)
    if not as_json:
        print_line(f"{recipe} on {dataset.summary()}")
    about = run_record.RunInfo(recipe, typed_command(), pixels=run_record.pixels_of(dataset), rate=dataset.rate)
    how: dict[str, Any] = {
        "metric": metric,
        "max_trials": max_trials,
        "jobs": jobs,
        "engine": engine,
        "address": address,
    }
    examples = {"validation_data": validation, "test": tested} | _training_parts(part)
    with resumed_by_same_command(f"the trained runs are in {folder}"):
        watch = progress(as_json, several=jobs is not None or engine != "local")
        places: dict[str, Any] = {"folder": folder, "origin": source, "about": about, "record": part.record}
        found = parameter_sweep.sweep(ae, part.train_of(dataset), grid, watch=watch, **examples, **how, **places)
    if as_json:
        print_json(found.to_dict())
    else:
        _print_sweep(found, folder, [recipe, *fixed], source)
    if any(each.failed for each in found.trials):
        raise SystemExit(1)


def _training_parts(part: Split) -> dict[str, Any]:
    """The labels, weights, groups and targets of the training examples."""
    return {
        "y": part.train_labels,
        "sample_weight": part.train_weights,
        "groups": part.train_groups,
        "target": part.train_target,
    }


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
    from isthmus.errors import DataError
    from isthmus.experiments import membership, split_recovery, splits

    try:
        record = membership.read_membership(folder)
    except DataError as error:
        raise DataError(f"{error}; choose another folder (--out), or remove {folder} first") from None
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

    recipe = recipe_of(words)
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
