"""run.json: the data source of a run, its recipe, and the command that started it."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, TypeAdapter

from isthmus.data import Dataset, names
from isthmus.data import load as load_data
from isthmus.data.options import ReadOptions, Reused
from isthmus.data.pairs import paired
from isthmus.data.series.window_array import windows_of
from isthmus.data.tables.table_encoding import TableEncoding
from isthmus.data.validation import Missing
from isthmus.errors import DataError, NotPossibleError
from isthmus.experiments.membership import FILE as MEMBERSHIP
from isthmus.experiments.membership import Membership, write_membership
from isthmus.io.atomic import has_content, replace_file
from isthmus.io.files import open_regular
from isthmus.text import as_json, command

__all__ = [
    "RECORD",
    "DataSource",
    "RunInfo",
    "examples_key",
    "folder_of",
    "info_of",
    "options_of",
    "pixels_of",
    "read_record",
    "real_path",
    "same_data",
    "source_of",
    "write_record",
]

RECORD = "run.json"
_MAX_BYTES = 1 << 20  # of a run.json


@dataclass(frozen=True)
class DataSource:
    """The data set of a run and the options with which it was read.

    Attributes:
        data: a path, or the name of a built-in data set.
        options: how the data are read.
        download: whether a built-in data set that is missing on this machine is downloaded. Only a name that the user
            typed may start a download.
        target: a path or name of the data set of the targets, which is read with the same options; None if there are none.
    """

    data: str
    options: ReadOptions = field(default_factory=ReadOptions)
    download: bool = field(default=True, compare=False)
    target: str | None = None

    def read(self, reused: Reused | None = None) -> Dataset:
        """Reads the data set and its targets; with `reused`, in the same way as the data that the run was trained on."""
        dataset = load_data(self.data, self.options, reused=reused, download=self.download)
        if self.target is None:
            return dataset
        if windows_of(dataset.train) is not None:
            raise NotPossibleError(
                "windows of a series have no targets: leave out --target (target=), or --window (window=)"
            )
        options = self.options if reused is None else self.options.over(reused.options)
        shape = None if reused is None else reused.shape
        like = Reused(options, dataset.columns, shape, dataset.name, dataset.table)
        own = ReadOptions(
            skip_broken=options.skip_broken, skip_lines=options.skip_lines, cache=options.cache
        )  # never of a run
        return paired(dataset, load_data(self.target, own, reused=like, download=self.download))

    def read_as(self, table: TableEncoding | None, missing: Missing) -> Dataset:
        """Reads the data set in the encoding of a table, if there is one."""
        own = None if table is None else Reused(self.options, table.names, table=table, missing=missing == "allow")
        return self.read(own)

    def without_target(self) -> DataSource:
        """The same source without its targets, for what needs none."""
        return replace(self, target=None)

    def to_dict(self) -> dict[str, Any]:
        """The fields of run.json, on one level."""
        return {"data": self.data} | ({} if self.target is None else {"target": self.target}) | self.options.given()


@dataclass(frozen=True)
class RunInfo:
    """The settings of a run other than its data.

    Attributes:
        recipe: name of the recipe.
        command: the command line that started the training.
        tensorboard: whether event files are written.
        checkpoint_every: steps between two checkpoints; None for the default.
        remembers: a summary of the membership record: numbers of examples and held-out examples, and a hash. None for
            a run without such a record.
        pixels: the dtype of training images, and that of their targets where it is another one, such as "uint8 to uint16". None
            for other examples, and in records of older versions.
        rate: the samples per second of its recordings; None for other examples.
        processes: how many processes trained it last.
    """

    recipe: str = "a model"
    command: str = ""
    tensorboard: bool = False
    checkpoint_every: Annotated[int, Field(gt=0)] | None = None
    remembers: str | None = None
    pixels: str | None = None
    rate: Annotated[int, Field(gt=0)] | None = None
    processes: Annotated[int, Field(gt=0)] = 1

    @property
    def quoted_command(self) -> str:
        """The command with safe shell quoting; "" where it is not a command of isthmus."""
        try:
            words = shlex.split(self.command)
        except ValueError:  # quotes that do not close
            return ""
        return command(*words) if words[:1] == ["isthmus"] else ""


@dataclass(frozen=True)
class _DataFields:
    """The fields of `DataSource` that run.json holds in addition to the options."""

    data: str
    target: str | None = None


T = TypeVar("T", _DataFields, ReadOptions, RunInfo)


def folder_of(run: Path) -> Path:
    """The folder of a run; for a model file, the folder that contains it."""
    return run if run.is_dir() else run.parent


def source_of(run: Path) -> DataSource:
    """The data source of a run. It never downloads: run.json may come from somebody else.

    Raises:
        DataError: run.json is missing or damaged.
    """
    own = read_record(run, _DataFields)
    return DataSource(own.data, read_record(run, ReadOptions), download=False, target=own.target)


def options_of(run: Path) -> ReadOptions:
    """The reading options of a run; the defaults where run.json is missing or damaged."""
    try:
        return source_of(run).options
    except DataError:
        return ReadOptions()


def info_of(run: Path) -> RunInfo:
    """The settings of a run; the defaults where run.json is missing or damaged."""
    try:
        return read_record(run, RunInfo)
    except DataError:
        return RunInfo()


def pixels_of(dataset: Dataset) -> str | None:
    """The dtype of the images of a data set, and that of their targets where it is another one; None for other examples."""
    if dataset.kind != "images":
        return None
    target = dataset.train if dataset.target is None else dataset.target
    own, others = str(dataset.train.dtype), str(target.dtype)
    return own if own == others else f"{own} to {others}"


def same_data(a: DataSource, b: DataSource) -> bool:
    """Whether two sources have the same name or file, and the same options; whatever their targets."""

    def resolved(source: DataSource) -> str:
        name = source.data.lower().replace("-", "_")
        return name if name in names() else os.path.realpath(source.data)

    own, other = (each.options.replace(cache=None) for each in (a, b))  # which changes no result
    return (resolved(a), own) == (resolved(b), other)


def examples_key(source: DataSource) -> tuple[str, ReadOptions]:
    """Equal keys mean equal examples, whatever their targets: the resolved path, and the reading options without labels, id and cache."""
    return real_path(source.data), source.options.replace(labels=None, id=None, cache=None)


def real_path(data: str) -> str:
    """The resolved path, or the name of a built-in data set."""
    return os.path.realpath(data) if os.path.exists(data) else data


def write_record(folder: Path, source: DataSource | None, info: RunInfo, membership: Membership | None) -> None:
    """Writes split.safetensors and run.json; no run.json for arrays, which have no source."""
    if membership is None:
        (folder / MEMBERSHIP).unlink(missing_ok=True)
    else:
        write_membership(folder, membership)
    if source is None:
        return
    summary = None if membership is None else f"{membership.held} of {membership.n} held out, {membership.data}"
    path = folder / RECORD
    content = as_json(source.to_dict() | asdict(replace(info, remembers=summary))).encode()
    if not has_content(path, content):
        replace_file(path, content)


def read_record(run: Path, kind: type[T]) -> T:
    """The fields of run.json that belong to one class."""
    path = run / RECORD
    if not path.is_file():
        raise DataError(f"{run} has no record of its training data (no {RECORD}): give examples with --data")
    try:
        with open_regular(path) as file:
            content = json.loads(file.read(_MAX_BYTES))
        own = {each.name for each in fields(kind)}
        return TypeAdapter(kind).validate_python({name: value for name, value in content.items() if name in own})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DataError(f"{path} is damaged: give the examples with --data") from None
