"""Verbs that train. Each writes run folders."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isthmus.cli.console import print_line, print_notes
from isthmus.cli.data_options import DataOptions, takes_pairs
from isthmus.cli.options import ColumnWeights, Every, Json, Out, Settings, weights_by_column
from isthmus.cli.together import begin, described, reserved_by_first, together
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
    from isthmus.cli.run import Training, resume_run, train_run
    from isthmus.experiments import run_folder, run_record

    with together() as joined:
        recipe, ae = _described(settings or [], column_weight)
        origin = run_record.DataSource(data_options.data or "mnist", data_options.options, target=data_options.target)
        dataset = origin.read()
        pixels, size = run_record.pixels_of(dataset), joined.processes.size
        about = run_record.RunInfo(
            recipe, typed_command(), tensorboard, checkpoint_every, pixels=pixels, rate=dataset.rate, processes=size
        )
        with begin(joined, run_folder.reserve_new_folder(f"{recipe}-{dataset.name}", out)) as (folder, how):
            if how == "complete":
                print_notes(
                    [f"the training in {folder} is complete: {command('isthmus', 'evaluate', folder)}"], as_json
                )
                return
            if how == "resume":
                resume_run(folder, None, checkpoint_every, joined, as_json)
                return
            corrupted = dataset.target is not None and getattr(ae.corruption, "corrupts", False)
            print_notes(
                [
                    *dataset.notes,
                    *([_corruption_note(ae)] if corrupted else []),
                    *weights_notes(ae),
                    *described(joined),
                ],
                as_json,
            )
            if not as_json:
                print_line(f"{recipe} on {dataset.summary()}")
            train_run(Training(folder, ae, origin, dataset, about, layerwise, as_json, joined.processes), resume=False)


def _described(words: list[str], column_weight: list[str] | None) -> tuple[str, Autoencoder]:
    """The recipe and the autoencoder of the words after the verb."""
    from isthmus import recipes as recipes_module
    from isthmus.estimators.overrides import overridden

    recipe, weights = recipe_of(words), weights_by_column(column_weight)
    return recipe, overridden(recipes_module.find(recipe).set_params(random_state=0, column_weights=weights), words)


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
    from isthmus.cli.run import resume_run
    from isthmus.experiments import run_folder

    with together() as joined:
        reserved = run_folder.reserve_folder(run) if run.is_dir() else nullcontext(run)
        with reserved_by_first(joined, reserved):
            resume_run(run, data_options.source, checkpoint_every, joined, as_json)


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
