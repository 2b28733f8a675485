"""--data and the options of how to read it, which most verbs have."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, get_type_hints

import typer

from isthmus.cli.console import as_flags

if TYPE_CHECKING:
    from isthmus.data.options import ReadOptions
    from isthmus.experiments.run_record import DataSource

__all__ = ["DataOptions", "parse_size", "takes_data", "takes_pairs", "words_of"]

Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        "-d",
        help="mnist, fashion_mnist, digits, or a path: .npy .npz .mtx .idx .csv .xlsx .parquet .arrow .wav, an image, a folder of images, "
        "WAV, Parquet, Arrow or .npy files, or a pattern such as 'folder/*.parquet'.",
    ),
]


Target = Annotated[
    str | None,
    typer.Option(
        "--target",
        help="What to reconstruct instead of --data, such as the clean images of noisy ones, read with the same options. Folders are "
        "matched by path without extension, tables by --id or by row.",
    ),
]


class DataOptions(NamedTuple):
    """The data options of a command: --data, --target and the reading options. `takes_data` or `takes_pairs` adds them to a verb."""

    data: str | None
    options: ReadOptions
    target: str | None = None

    @property
    def source(self) -> DataSource | None:
        """The data source of --data; None without --data."""
        from isthmus.data.options import flag_of
        from isthmus.errors import RecordError
        from isthmus.experiments import run_record

        if self.data is not None:
            return run_record.DataSource(self.data, self.options, target=self.target)
        given = [*(["target"] if self.target is not None else []), *self.options.given()]
        if given:
            flags = " and ".join(map(flag_of, given))
            raise RecordError(f"{flags} can only be used with --data: give --data too")
        return None

    def with_path(self, data: str) -> DataSource:
        """The data source of another path, with the same reading options."""
        from isthmus.experiments import run_record

        return run_record.DataSource(data, self.options)


_PANEL = "Reading options"


def _option(text: str, metavar: str | None = None) -> Any:
    return typer.Option(help=text, metavar=metavar, rich_help_panel=_PANEL)


# The option of the command line for each field of `data.options.ReadOptions`, by its name.
READ = {
    "labels": Annotated[str | None, _option("The table column with the labels.")],
    "columns": Annotated[
        list[str] | None, _option("The table columns used as features: names or patterns, a,b or 'gene_*'.", "NAMES")
    ],
    "drop": Annotated[list[str] | None, _option("The table columns to exclude: names or patterns.", "NAMES")],
    "kinds": Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            metavar="NAME=KIND",
            help="What a table column means: zip=category (number, integer, boolean, category, ordered, date, drop), or its ordered "
            "categories, size=S,M,L. Other columns: inferred and printed.",
            rich_help_panel=_PANEL,
        ),
    ],
    "id": Annotated[
        str | None, _option("The table column with the row ids. It is copied to every output and is not a feature.")
    ],
    "weights": Annotated[
        str | None, _option("The column (or .npz array) with the weights of examples in training. It is not a feature.")
    ],
    "by": Annotated[
        str | None,
        _option(
            "The column (or .npz array) with groups, such as patients: a split keeps each group in one part. Of a series: the machine "
            "of each row. It is not a feature."
        ),
    ],
    "hold_out": Annotated[
        str | None,
        _option(
            "What is held out of several files: rows, or whole files, drawn by their names; default: rows.",
            "rows|files",
        ),
    ],
    "header": Annotated[str | None, _option("Whether the first row of a table contains the column names.", "yes|no")],
    "na_values": Annotated[
        list[str] | None, _option("An additional marker of missing values, such as -999.", "MARKER")
    ],
    "delimiter": Annotated[
        str | None, _option("The delimiter of a text file: one character, tab or blanks.", "DELIMITER")
    ],
    "decimal": Annotated[str | None, _option("The decimal separator of a text file.", ".|,")],
    "comment": Annotated[
        str | None, _option("The prefix of comment lines in a text file, or none; default: #.", "PREFIX")
    ],
    "encoding": Annotated[str | None, _option("The encoding of a text file, such as cp1252.")],
    "sheet": Annotated[str | None, _option("The sheet of an Excel file; default: the first sheet.")],
    "skip_lines": Annotated[
        list[str] | None, _option("Lines that are not rows of the table, such as a title, units or totals.", "1-3,42")
    ],
    "window": Annotated[
        int | None,
        _option(
            "The table is a long series: the rows of a window. Windows are the examples. Of sound: the samples, default 1024.",
            "ROWS",
        ),
    ],
    "step": Annotated[
        int | None,
        _option("The rows from one window to the next; default: an eighth of --window, of sound --window.", "ROWS"),
    ],
    "time": Annotated[str | None, _option("The table column with the time of each row of a series.")],
    "gap": Annotated[
        float | None,
        _option("The longest interval that is no gap in a series, in seconds; default: 1.5 times the median."),
    ],
    "pad": Annotated[
        bool | None,
        typer.Option(
            "--pad",
            help="Pad stretches of a series that are shorter than a window with missing values, so that their rows are in a window too; "
            "for models with missing=allow.",
            rich_help_panel=_PANEL,
        ),
    ],
    "resize": Annotated[str | None, _option("Resize every image to this height and width. See --fit.", "HxW")],
    "fit": Annotated[
        str | None,
        _option(
            "How --resize treats another aspect ratio. stretch changes it; letterbox keeps it, and the border repeats the edge; crop "
            "keeps it, and cuts off two sides.",
            "stretch|letterbox|crop",
        ),
    ],
    "patches": Annotated[
        int | None,
        _option(
            "Cut every image, of any size, into square patches with this side. A split keeps those of an image in one part.",
            "PIXELS",
        ),
    ],
    "split": Annotated[
        str | None,
        _option(
            "For a folder of images. auto: folders named train, test or ground_truth are parts; none: they are classes.",
            "auto|none",
        ),
    ],
    "pages": Annotated[
        str | None,
        _option(
            "For image files with several pages or frames: use the first, each as an example, or all as one volume or "
            "as the channels of one image.",
            "first|examples|volume|channels",
        ),
    ],
    "skip_broken": Annotated[
        bool | None,
        typer.Option("--skip-broken", help="Skip images that are damaged or too large.", rich_help_panel=_PANEL),
    ],
    "cache": Annotated[
        str | None,
        _option(
            "Memory for decoded images, such as 4GB; a folder that takes more is read from its files in each epoch. Default: a quarter of "
            "the available memory. Of Parquet, Arrow and several .npy files: memory for their values; default: 256 MiB.",
            "SIZE",
        ),
    ],
}


def takes_data(verb: Callable[..., None]) -> Callable[..., None]:
    """Adds --data and the reading options to a verb, which receives them as its argument `data_options`.

    The default of `data_options`, if there is one, is the default of --data.
    """
    return _with_data_options(verb, {"data": Data})


def takes_pairs(verb: Callable[..., None]) -> Callable[..., None]:
    """`takes_data` for a verb that also takes --target."""
    return _with_data_options(verb, {"data": Data, "target": Target})


def _with_data_options(verb: Callable[..., None], sources: dict[str, Any]) -> Callable[..., None]:
    """The verb with options for its sources, --data first, and with the reading options."""
    hints = get_type_hints(verb, include_extras=True)
    own = signature(verb).parameters
    options = {name: kind for name, kind in READ.items() if name not in own}  # --step of `compress` is another one
    default_data = None if own["data_options"].default is Parameter.empty else own["data_options"].default

    @wraps(verb)
    def with_data_options(**values: Any) -> None:
        reading = {name: values.pop(name) for name in options}
        data, target = (values.pop(name) if name in sources else None for name in ("data", "target"))
        verb(data_options=DataOptions(data, _read_options(reading), target), **values)

    first = {name: (kind, default_data if name == "data" else None) for name, kind in sources.items()}
    reading = {name: (kind, None) for name, kind in options.items()}
    asked, read = (
        [Parameter(name, Parameter.KEYWORD_ONLY, default=d, annotation=kind) for name, (kind, d) in each.items()]
        for each in (first, reading)
    )
    others = [
        each.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[name])
        for name, each in own.items()
        if name != "data_options"
    ]
    before = [each for each in others if each.name in {"run", "settings", "path"}]
    after = [each for each in others if each.name not in {"run", "settings", "path"}]
    parameters = [*before, *asked, *after, *read]  # the order in the help
    with_data_options.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    with_data_options.__annotations__ = {each.name: each.annotation for each in parameters}
    return with_data_options


def _read_options(values: dict[str, Any]) -> ReadOptions:
    """The typed reading options as a record."""
    from isthmus.data.options import ReadOptions
    from isthmus.errors import RecordError

    header = values["header"]
    if header is not None and header.lower() not in {"yes", "no"}:
        raise RecordError(f"invalid --header {header!r}: expected yes or no")
    values = values | {
        "resize": parse_size(values["resize"]),
        "header": None if header is None else header.lower() == "yes",
    }
    given = {name: value for name, value in values.items() if value is not None}
    with as_flags(given):
        return ReadOptions(**given)


def words_of(source: DataSource) -> list[str]:
    """A data source as words of a command: --data, --target and the reading options."""
    from isthmus.data.options import flag_of

    words = [] if source.data == "mnist" else ["--data", source.data]
    words += [] if source.target is None else ["--target", source.target]
    for name, value in source.options.given().items():
        flag = flag_of(name)
        if name == "resize":
            words += [flag, "x".join(map(str, value))]
        elif isinstance(value, bool):
            words += [flag, "yes" if value else "no"] if name == "header" else [flag]
        else:
            words += [part for each in (value if isinstance(value, tuple) else (value,)) for part in (flag, str(each))]
    return words


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Height and width from text such as 64x48."""
    from isthmus.errors import RecordError
    from isthmus.text import quoted

    if text is None:
        return None
    height, _, width = text.lower().partition("x")
    # Python converts at most 4,300 digits
    if not all(side.isdecimal() and len(side) < 10 and int(side) for side in (height, width)):
        raise RecordError(f"invalid --resize {quoted(text)}: expected height x width in pixels, such as 64x64")
    return int(height), int(width)
