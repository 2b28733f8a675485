"""The options and arguments that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from isthmus.cli.console import as_flags, print_notes

if TYPE_CHECKING:
    from isthmus.cli.data_options import DataOptions
    from isthmus.data import Dataset
    from isthmus.estimators.autoencoder import Autoencoder
    from isthmus.estimators.classifier import AutoencoderClassifier
    from isthmus.estimators.outlier_detector import OutlierDetector

E = TypeVar("E", "OutlierDetector", "AutoencoderClassifier")

__all__ = [
    "FIELDS",
    "SEVERAL",
    "ClassifierFields",
    "ColumnWeights",
    "DetectorFields",
    "Every",
    "Json",
    "Out",
    "Run",
    "Save",
    "Settings",
    "all_examples",
    "check_save_path",
    "weights_by_column",
    "with_fields",
]

FIELDS = "field=value for any parameter, such as epochs=30, bottleneck.beta=4, architecture.hidden=256,64 or architecture=Conv"
SEVERAL = (
    "The name of a recipe, then field=value as for train. A field can have several values: bottleneck.size=4,8,16 or "
    "bottleneck=Identity,Gaussian; random_state=0..9 is a range of whole numbers. If each value is a list, separate "
    "the values by | or write brackets: 'architecture.hidden=256,64|128' or 'architecture.hidden=[256,64],[128]'."
)
Settings = Annotated[
    list[str] | None,
    typer.Argument(metavar="[RECIPE] [FIELD=VALUE]...", help=f"The name of a recipe (default: deep), then {FIELDS}."),
]
DetectorFields = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FIELD=VALUE",
        help="Any parameter of OutlierDetector, such as anomaly_score=nats or calibration_fraction=0.3.",
    ),
]
ClassifierFields = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FIELD=VALUE",
        help="Any parameter of AutoencoderClassifier, such as epochs=20, optimizer.lr=0.003 or corruption=GaussianNoise.",
    ),
]
ColumnWeights = Annotated[
    list[str] | None,
    typer.Option(
        "--column-weight",
        metavar="NAME=WEIGHT",
        help="How much a table column counts in the loss: price=5. Others count 1; 0 leaves a column out of the loss.",
    ),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder or a model file.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="The output file or folder.")]
Save = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Also write a model file, which later commands accept as RUN."),
]
Every = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="STEPS",
        help="The number of steps between checkpoints; default: at the end of an epoch, at most every ten seconds.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def weights_by_column(words: list[str] | None) -> dict[str, float] | None:
    """The weights of --column-weight by the names of columns; None without any.

    Raises:
        RecordError: a word is no name=weight, or names a column again.
    """
    from isthmus.errors import RecordError
    from isthmus.text import is_number, quoted

    weights = dict[str, float]()
    for word in words or []:
        name, _, weight = word.rpartition("=")
        if not name or not is_number(weight):
            raise RecordError(f"invalid --column-weight {quoted(word)}: expected NAME=WEIGHT, such as price=5")
        if name in weights:
            raise RecordError(f"--column-weight names {quoted(name)} twice: give it one weight")
        weights[name] = float(weight)
    return weights or None


def with_fields(estimator: E, words: list[str] | None, example: str, options: dict[str, Any]) -> E:
    """The estimator with parameters from ``field=value`` words and from the options of the same names.

    Args:
        estimator: it is changed by the options; the result is a new one.
        words: the words as typed.
        example: valid words, for error messages.
        options: values by parameter name; None for an option that is not given.

    Raises:
        RecordError: an option and a word set the same parameter, or a word is invalid.
    """
    from isthmus.assignments import split_assignments
    from isthmus.errors import RecordError
    from isthmus.estimators.overrides import overridden

    given = {name: value for name, value in options.items() if value is not None}
    twice = next((name for name in split_assignments(words or [], example) if name in given), None)
    if twice is not None:
        raise RecordError(f"--{twice.replace('_', '-')} and {twice}=... set the same parameter: give one of them")
    with as_flags(given):
        return overridden(estimator.set_params(**given), words or [], example)


def all_examples(
    run: Path, data_options: DataOptions, quiet: bool = False, ae: Autoencoder | None = None
) -> tuple[Autoencoder, Dataset]:
    """The autoencoder of a run, and the examples of --data or its held-out examples as a data set without a test part.

    ``ae`` is the autoencoder if it is loaded already, such as that of a detector.
    """
    from isthmus.experiments import run_data

    ae, dataset = run_data.load_examples(
        run, data_options.source, ae, parts="train" if data_options.data is not None else "both"
    )
    others = {"test": dataset.test, "validation": dataset.validation} if data_options.data is not None else {}
    notes = [
        f"{dataset.name} has a {part} part, whose {len(values):,} examples are not used: give it as --data to use it"
        for part, values in others.items()
        if values is not None
    ]
    print_notes([*dataset.notes, *notes], quiet)
    if data_options.data is not None:
        return ae, dataset
    part = run_data.split_of(run, dataset, ae.missing)
    print_notes(part.notes, quiet)
    return ae, run_data.held_out(dataset, part)


def check_save_path(save: Path | None, run: Path, table: Path) -> None:
    """Raises an error, before the computation starts, if no model file can be written to --save."""
    from isthmus.errors import RecordError
    from isthmus.experiments.run_folder import MODEL
    from isthmus.io.atomic import check_writable

    if save is None:
        return
    check_writable(save)
    others = {"the model of the run": run / MODEL if run.is_dir() else run, "the table of --out": table}
    for name, other in others.items():
        if save.resolve() == other.resolve():
            raise RecordError(f"--save {save} would overwrite {name}: give another name")
