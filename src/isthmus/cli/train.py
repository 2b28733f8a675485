"""Verbs that train. Each writes run folders."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isthmus.cli.console import counted, print_line, print_notes
from isthmus.cli.data_options import DataOptions, takes_pairs
from isthmus.cli.options import ColumnWeights, Every, Json, Out, Settings, weights_by_column
from isthmus.text import command, printable

if TYPE_CHECKING:
    from isthmus.estimators.autoencoder import Autoencoder

__all__ = ["recipe_of", "resume", "train", "typed_command", "weights_notes"]


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
    recipe = recipe_of(words)
    weights = weights_by_column(column_weight)
    ae = overridden(recipes_module.find(recipe).set_params(random_state=0, column_weights=weights), words)
    origin = run_record.DataSource(data_options.data or "mnist", data_options.options, target=data_options.target)
    dataset = origin.read()
    pixels = run_record.pixels_of(dataset)
    about = run_record.RunInfo(recipe, typed_command(), tensorboard, checkpoint_every, pixels=pixels, rate=dataset.rate)
    with run_folder.reserve_new_folder(f"{recipe}-{dataset.name}", out) as folder:
        corrupted = dataset.target is not None and getattr(ae.corruption, "corrupts", False)
        print_notes([*dataset.notes, *([_corruption_note(ae)] if corrupted else []), *weights_notes(ae)], as_json)
        if not as_json:
            print_line(f"{recipe} on {dataset.summary()}")
        train_run(Training(folder, ae, origin, dataset, about, layerwise, as_json), resume=False)


def weights_notes(ae: Autoencoder) -> list[str]:
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


def typed_command() -> str:
    """The command as it was typed, quoted for a shell."""
    return shlex.join(["isthmus", *sys.argv[1:]])


def recipe_of(words: list[str]) -> str:
    """The name of the recipe, removed from the words."""
    from isthmus import recipes
    from isthmus.errors import RecordError

    recipe = words.pop(0) if words and "=" not in words[0] else "deep"
    if recipe not in recipes.__all__ and os.path.exists(recipe):
        raise RecordError(f"'{recipe}' is no recipe but a file or folder; for data: {command('--data', Path(recipe))}")
    return recipe
