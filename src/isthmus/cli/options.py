"""The options and arguments that verbs share, and what they mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from isthmus.estimator import Autoencoder
    from isthmus.runs import Origin

__all__ = [
    "FIELDS",
    "SEVERAL",
    "Data",
    "Every",
    "Json",
    "Labels",
    "Out",
    "Resize",
    "Run",
    "Settings",
    "all_examples",
    "origin_of",
    "size_of",
]

FIELDS = "field=value: any field of any record, such as epochs=30, bottleneck.beta=4, architecture.hidden=256,64, architecture=Conv"
SEVERAL = (
    "A recipe's name, then field=value as for train, and fields of several values: bottleneck.size=4,8,16, "
    "bottleneck=Identity,Gaussian. In a field of several numbers a comma belongs to the value, and | stands between values, "
    "or each has brackets: 'architecture.hidden=256,64|128' or 'architecture.hidden=[256,64],[128]'."
)
Settings = Annotated[
    list[str] | None, typer.Argument(metavar="[RECIPE] [FIELD=VALUE]...", help=f"A recipe's name, then {FIELDS}.")
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run, or a model file.")]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        "-d",
        help="mnist, fashion_mnist, digits, or a path: .npy .npz .idx .csv .parquet or a folder of images.",
    ),
]
Labels = Annotated[str | None, typer.Option(help="The column of a table that holds the labels.")]
Resize = Annotated[str | None, typer.Option(metavar="HxW", help="Bring the pictures of a folder to one size.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Where to write.")]
Every = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="STEPS",
        help="Write a checkpoint each so many steps; else at the end of an epoch, when the last is ten seconds old.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print plain JSON.")]


def origin_of(data: str | None, labels: str | None, resize: str | None) -> Origin | None:
    """The data that --data names, if it names any."""
    from isthmus import runs
    from isthmus.errors import RecordError

    if data is not None:
        return runs.Origin(data, labels, size_of(resize))
    if labels is not None or resize is not None:
        raise RecordError("--labels and --resize say how to read --data; name the data too")
    return None


def all_examples(
    run: Path, data: str | None, labels: str | None, resize: str | None
) -> tuple[Autoencoder, NDArray[Any]]:
    """A run with all examples of --data, or the ones that it held out itself."""
    from isthmus import runs

    ae, dataset = runs.examples_of(run, origin_of(data, labels, resize))
    return ae, runs.split(dataset, ae.missing).test if data is None else dataset.train


def size_of(text: str | None) -> tuple[int, int] | None:
    from isthmus.errors import RecordError

    if text is None:
        return None
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise RecordError(f"--resize {text!r} is no size; write for example 64x64")
    return int(height), int(width)
