"""The options and arguments that verbs share, and what they mean."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar, get_type_hints

import typer

from isthmus.cli.console import say_notes

if TYPE_CHECKING:
    from isthmus.data import Dataset
    from isthmus.data.options import ReadOptions
    from isthmus.estimators.autoencoder import Autoencoder
    from isthmus.estimators.classifier import AutoencoderClassifier
    from isthmus.estimators.outlier_detector import OutlierDetector
    from isthmus.experiments.run_record import DataSource

E = TypeVar("E", "OutlierDetector", "AutoencoderClassifier")

__all__ = [
    "FIELDS",
    "SEVERAL",
    "ClassifierFields",
    "Data",
    "DetectorFields",
    "Every",
    "Given",
    "Json",
    "Out",
    "Run",
    "Settings",
    "all_examples",
    "size_of",
    "takes_data",
    "with_fields",
    "words_of",
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
DetectorFields = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FIELD=VALUE]...",
        help="Any parameter of OutlierDetector, such as anomaly_score=nats or calibration_fraction=0.3.",
    ),
]
ClassifierFields = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FIELD=VALUE]...",
        help="Any parameter of AutoencoderClassifier, such as epochs=20, optimizer.lr=0.003 or corruption=GaussianNoise.",
    ),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run, or a model file.")]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        "-d",
        help="mnist, fashion_mnist, digits, or a path: .npy .npz .idx .csv .parquet, an image or a folder of images.",
    ),
]
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


class Given(NamedTuple):
    """What a verb is told of the examples: where they are, and how to read them. A verb that takes it is decorated with `takes_data`."""

    data: str | None
    options: ReadOptions

    @property
    def origin(self) -> DataSource | None:
        """The data that --data names, if it names any."""
        from isthmus.errors import RecordError
        from isthmus.experiments import run_record

        if self.data is not None:
            return run_record.DataSource(self.data, self.options)
        if self.options.given():
            flags = " and ".join(f"--{name.replace('_', '-')}" for name in self.options.given())
            raise RecordError(
                f"{flags} {'says' if ' and ' not in flags else 'say'} how to read --data; name the data too"
            )
        return None

    def at(self, data: str) -> DataSource:
        """Other data, read in the same way."""
        from isthmus.experiments import run_record

        return run_record.DataSource(data, self.options)


_PANEL = "How to read the data"


def _option(what: str, metavar: str | None = None) -> Any:
    return typer.Option(help=what, metavar=metavar, rich_help_panel=_PANEL)


# One line for each field of data.ReadOptions, under its name: what the command line takes for it.
READ = {
    "labels": Annotated[str | None, _option("The column of a table that holds the labels.")],
    "columns": Annotated[
        list[str] | None, _option("The columns of a table to learn: names or patterns, a,b or 'gene_*'.", "NAMES")
    ],
    "drop": Annotated[list[str] | None, _option("The columns of a table to leave out, likewise.", "NAMES")],
    "id": Annotated[
        str | None, _option("The column of a table that names its rows: carried to every output, never learned.")
    ],
    "header": Annotated[
        str | None, _option("Whether the first row of a table holds the names of its columns.", "yes|no")
    ],
    "na_values": Annotated[list[str] | None, _option("A further mark of a missing value, such as -999.", "MARK")],
    "delimiter": Annotated[
        str | None, _option("What stands between the cells of a text file: one character, tab or blanks.", "MARK")
    ],
    "decimal": Annotated[str | None, _option("The decimal mark of a text file.", ".|,")],
    "comment": Annotated[str | None, _option("What lines begin with that are left out of a text file; none.", "MARK")],
    "encoding": Annotated[str | None, _option("The encoding of a text file, such as cp1252.")],
    "sheet": Annotated[str | None, _option("The sheet of an Excel file; else its first.")],
    "skip_lines": Annotated[
        list[str] | None, _option("Lines of a table that are no rows: a title, units, totals.", "1-3,42")
    ],
    "resize": Annotated[str | None, _option("Stretch or shrink all images to one size.", "HxW")],
    "split": Annotated[
        str | None, _option("Of a folder of images; none: train, test and ground_truth are classes too.", "auto|none")
    ],
    "pages": Annotated[
        str | None, _option("What to take of images with several pages or frames.", "first|examples|volume")
    ],
    "skip_broken": Annotated[
        bool | None,
        typer.Option("--skip-broken", help="Leave out images that are damaged or too large.", rich_help_panel=_PANEL),
    ],
}


def takes_data(verb: Callable[..., None]) -> Callable[..., None]:
    """Gives a verb --data and all options of reading, which reach it as its argument `given`.

    Where `given` has a default, it is the name of the data that are taken if none are named.
    """
    hints = get_type_hints(verb, include_extras=True)
    own = signature(verb).parameters
    usual = None if own["given"].default is Parameter.empty else own["given"].default

    @wraps(verb)
    def typed(**words: Any) -> None:
        told = {name: words.pop(name) for name in READ}
        verb(given=Given(words.pop("data"), _options(told)), **words)

    words = {"data": (Data, usual)} | {name: (kind, None) for name, kind in READ.items()}
    added = [Parameter(name, Parameter.KEYWORD_ONLY, default=d, annotation=kind) for name, (kind, d) in words.items()]
    kept = [
        each.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[name])
        for name, each in own.items()
        if name != "given"
    ]
    before = [each for each in kept if each.name in {"run", "settings", "path"}]
    after = [each for each in kept if each.name not in {"run", "settings", "path"}]
    all_of_them = [*before, added[0], *after, *added[1:]]
    typed.__signature__ = Signature(all_of_them)  # type: ignore[attr-defined]
    typed.__annotations__ = {each.name: each.annotation for each in all_of_them}
    return typed


def _options(told: dict[str, Any]) -> ReadOptions:
    """What was typed, as a record."""
    from isthmus.data.options import ReadOptions
    from isthmus.errors import RecordError

    header = told["header"]
    if header is not None and header.lower() not in {"yes", "no"}:
        raise RecordError(f"invalid --header {header!r}: expected yes or no")
    told = told | {
        "resize": size_of(told["resize"]),
        "header": None if header is None else header.lower() == "yes",
    }
    return ReadOptions(**{name: value for name, value in told.items() if value is not None})


def with_fields(estimator: E, words: list[str] | None, such_as: str, options: dict[str, Any]) -> E:
    """The estimator with parameters from ``field=value`` words and from the options of the same names.

    Raises:
        RecordError: an option and a word set the same parameter, or a word is invalid.
    """
    from isthmus.errors import RecordError
    from isthmus.estimators.overrides import overridden
    from isthmus.records import assigned

    given = {name: value for name, value in options.items() if value is not None}
    both = next((name for name in assigned(words or [], such_as) if name in given), None)
    if both is not None:
        raise RecordError(f"--{both.replace('_', '-')} and {both}=... set the same parameter: give one of them")
    return overridden(estimator.set_params(**given), words or [], such_as)


def words_of(origin: DataSource) -> list[str]:
    """Data and the options of reading as one types them."""
    words = [] if origin.data == "mnist" else ["--data", origin.data]
    for name, value in origin.options.given().items():
        flag = f"--{name.replace('_', '-')}"
        if name == "resize":
            words += [flag, "x".join(map(str, value))]
        elif isinstance(value, bool):
            words += [flag, "yes" if value else "no"] if name == "header" else [flag]
        else:
            words += [part for each in (value if isinstance(value, tuple) else (value,)) for part in (flag, str(each))]
    return words


def all_examples(run: Path, given: Given, quiet: bool = False) -> tuple[Autoencoder, Dataset]:
    """A run with all examples of --data, or those that it held out itself, as a data set without a test part."""
    from isthmus.experiments import run_data

    ae, dataset = run_data.load_examples(run, given.origin, parts="train" if given.data is not None else "both")
    parts = {"test": dataset.test, "validation": dataset.validation} if given.data is not None else {}
    left = [
        f"{dataset.name} has a {part} part, whose {len(values):,} examples are not taken: name it alone to take it"
        for part, values in parts.items()
        if values is not None
    ]
    say_notes([*dataset.notes, *left], quiet)
    if given.data is not None:
        return ae, dataset
    part = run_data.split_of(run, dataset, ae.missing)
    say_notes(part.notes, quiet)
    return ae, run_data.held_out(dataset, part)


def size_of(text: str | None) -> tuple[int, int] | None:
    from isthmus.errors import RecordError

    if text is None:
        return None
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise RecordError(f"--resize {text!r} is no size; write for example 64x64")
    return int(height), int(width)
