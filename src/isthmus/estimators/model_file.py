"""The model file: one safetensors file, weights plus a header that says in JSON what they are (docs/model-file.md).

The header's text "isthmus" holds the format's number, the shape of an example, the records and the versions. It is checked as a whole, and
the tensors' names, shapes and types against what the records ask for, before any tensor is read. What may be long, history and names of
columns, lies in tensors too. A checkpoint is a model file that holds, besides, all that training goes on from; the file of a detector or
a classifier is that of its autoencoder, and holds what is its own besides.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Never, TypeVar

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
)
from torch import Tensor

from isthmus.data.kinds import Kind
from isthmus.errors import ModelFileError, NotPossibleError, RecordError
from isthmus.estimators.format_upgrades import FORMAT, FORMATS, upgrade_header
from isthmus.estimators.model_notes import Tensors, expected_notes, notes, read_columns, read_history
from isthmus.io.atomic import replace_file
from isthmus.io.files import shown
from isthmus.io.safetensors import CHECKSUM, opened, serialize, unique_json
from isthmus.records import Count, Record, describe, read
from isthmus.training.state import Report

__all__ = [
    "FORMAT",
    "STRICT",
    "ExpectedTensors",
    "File",
    "Header",
    "RunState",
    "Tensors",
    "agreeing",
    "check_records",
    "describe_value",
    "part",
    "read_file",
    "read_value",
    "record_types",
    "write_file",
]

STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
Epochs = Annotated[int, Field(ge=0, lt=2**31)]
Steps = Annotated[int, Field(ge=0, lt=2**53)]  # a float64 holds each of them
Seconds = Annotated[float, Field(ge=0, lt=1e10)]  # three hundred years
Statistic = Annotated[str, Field(max_length=200)]
Hash = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
Version = Annotated[str, Field(pattern=r"^[\w.+-]+$", max_length=60)]
_READ_FIRST = {"shift", "scale", "fill", "least", "largest"}  # of whose shapes there may be several

ExpectedTensors = Callable[["Header", Tensors], Tensors]
Part = TypeVar("Part", bound=BaseModel)


class RunState(BaseModel):
    """Of a checkpoint: where a round of training stands, beside what its tensors hold."""

    model_config = STRICT

    done: Steps
    seconds: Seconds
    retries: Annotated[int, Field(ge=0, le=3)]  # after divergences
    examples: Hash  # of those it is trained on, and of those it is validated on
    validation: Hash | None = None
    counts: tuple[Steps, Steps]  # of examples and batches since the epoch began
    stopping: bool  # whether early stopping looks back
    best: float | None = None  # at this loss, of the weights kept
    best_epoch: Epochs  # or at this epoch, before there was any
    precision: Literal["float32", "float64", "bfloat16"]
    device: Annotated[str, Field(pattern="^[a-z]+$", max_length=20)]
    threads: Annotated[int, Field(gt=0, lt=2**31)]
    torch: Version


class Header(BaseModel):
    """What a model file says of its weights."""

    model_config = STRICT

    version: Version  # of the isthmus that wrote it
    dtype: Literal["float32", "float64"]  # of the weights
    shape: Annotated[tuple[Count, ...], Field(min_length=1, max_length=32, fail_fast=True)]  # of one example
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    epoch: Epochs  # trained so far, in all rounds
    step: Steps
    seconds: Seconds
    parameters: dict[str, Any]  # what the user chose
    fitted: dict[str, dict[str, Any]]  # what was made of it
    kind: Kind | None = None  # what the axes of examples mean; None in a file of an older format
    statistics: Annotated[
        list[Statistic], Field(max_length=100, fail_fast=True)
    ] = []  # the history's, beside its losses
    round: RunState | None = None
    detector: dict[str, Any] | None = (
        None  # of an estimator around the autoencoder: its own package reads and writes it
    )
    classifier: dict[str, Any] | None = None


def record_types() -> dict[str, type[Record]]:
    """Every record that a file or a command may name: the names in the choices' `__all__`, and no others."""
    from isthmus import architectures, bottlenecks, corruptions, likelihoods, optimizers, scaling

    modules = (architectures, bottlenecks, corruptions, likelihoods, optimizers, scaling)
    return {name: getattr(module, name) for module in modules for name in module.__all__}


def check_records(values: Iterable[Any]) -> None:
    """Raises `NotPossibleError` for a record that is not part of isthmus: its name could not be loaded, or would load another one."""
    known = record_types()
    for value in values:
        for each in (value, *value.get_params().values()) if isinstance(value, Record) else ():
            if isinstance(each, Record) and known.get(type(each).__name__) is not type(each):
                raise NotPossibleError(
                    f"a model file can only name records of isthmus, and {type(each).__name__} is not one; "
                    "choose a record of isthmus to save the model"
                )


def describe_value(value: Any) -> Any:
    """A parameter as JSON: a record by its name and fields, of own modules only that there are some."""
    if type(value).__name__ == "Modules":
        return {"type": "Modules"}
    if isinstance(value, np.generic):
        return value.item()
    return describe(value) if isinstance(value, Record) else value


def read_value(value: Any, names: Mapping[str, type[Record]], modules: Record | None) -> Any:
    """The parameter that was described; own modules have to be given."""
    if value == {"type": "Modules"}:
        if modules is None:
            how = "load(path, architecture=Modules(encoder, decoder))"
            raise RecordError(f"it has an own encoder and decoder, which a file does not hold; give them: {how}")
        return modules
    return read(value, names) if isinstance(value, dict) else value


def write_file(path: str | os.PathLike[str], header: Header, tensors: Mapping[str, Tensor]) -> None:
    """Writes a model file in one piece: the old file stays until the new one is whole."""
    entry = {"format": FORMAT} | header.model_dump(mode="json", exclude_none=True)
    replace_file(Path(path), serialize({"isthmus": json.dumps(entry)}, tensors))


class File(NamedTuple):
    """What a model file holds: its header, the tensors of the model and those of a round, and the notes."""

    header: Header
    tensors: Tensors
    history: tuple[Report, ...]
    columns: tuple[str, ...] | None


def read_file(path: str | os.PathLike[str], expected: ExpectedTensors) -> File:
    """The contents of a model file.

    Args:
        expected: from the header, the map to model units (`shift` and `scale`), `fill`, `least` and `largest` if there are any, and
            sketches of the other tensors that are there, the sketches of all that there must be beside the notes.

    Raises:
        FileNotFoundError: there is nothing.
        ModelFileError: it is no model file of isthmus, is damaged, does not agree with itself, or has a format that this
            version does not know.
    """
    path = Path(path)
    if not os.path.lexists(path):
        raise FileNotFoundError(
            f"no model file at {shown(path)}; `isthmus train` writes one, and so does Autoencoder.save"
        )
    if path.is_dir():
        raise ModelFileError(f"{shown(path)} is not a file; a run's model is the file model.safetensors in its folder")
    with opened(path) as contents, agreeing(path):
        header, notes = _header(path, contents.metadata)
        there = contents.meta_tensors()
        affine = {name: contents.tensor(name) for name in there.keys() & _READ_FIRST}
        _agree(there, expected(header, there | affine) | ({} if notes else expected_notes(header.statistics, there)))
        tensors = contents.all_tensors(checked=not notes) | notes  # the first format had no checksum
        history = read_history(header.statistics, header.epoch, tensors)
        columns = read_columns(tensors, header.shape)
    return File(header, tensors, history, columns)


@contextmanager
def agreeing(path: str | os.PathLike[str]) -> Iterator[None]:
    """What goes wrong within is a `ModelFileError`: the parts of the file do not fit each other."""
    try:
        yield
    except ModelFileError:
        raise
    except (LookupError, TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error).partition("\n")[0]
        _disagrees(path, reason)


def _disagrees(path: str | os.PathLike[str], reason: str) -> Never:
    raise ModelFileError(f"{shown(path)} does not agree with itself: {_short(reason)}") from None


def _short(reason: str) -> str:
    """A part of a sentence that a file had a hand in."""
    return shown(reason if len(reason) < 300 else f"{reason[:280]} ...")


def _header(path: Path, metadata: Mapping[str, str]) -> tuple[Header, Tensors]:
    """The header's entry, checked; and of a file of the first format, which had them here, the notes."""
    if "isthmus" not in metadata:
        raise ModelFileError(
            f"{shown(path)} is a safetensors file, but isthmus did not write it: the header has no 'isthmus'"
        )
    try:
        entry = unique_json(metadata["isthmus"])
        version = entry.pop("format")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ModelFileError(f"{shown(path)} is damaged: the header's 'isthmus' cannot be read") from None
    if type(version) is not int or version not in FORMATS:
        says = _short(str(version)[:20])
        raise ModelFileError(
            f"{shown(path)} has format {says!r}, and this isthmus reads the formats up to {FORMAT}; install a newer isthmus"
        )
    first = version == 1
    _check_names(path, entry, metadata.keys() - ({"isthmus"} if first else {"isthmus", CHECKSUM}), first)
    with agreeing(path):
        entry = upgrade_header(entry, version)
    with _sound(path):
        tensors: Tensors = {}
        if first:
            old = _First.model_validate_json(
                json.dumps({name: entry.pop(name, ()) for name in _First.model_fields}), strict=True
            )
            entry["statistics"], tensors = notes(old.history, old.columns)
        return Header.model_validate_json(json.dumps(entry), strict=True), tensors


def _check_names(path: Path, entry: Mapping[str, Any], others: Iterable[str], first: bool) -> None:
    """`ModelFileError` for a name in the header that no format has; others are texts beside isthmus's own."""
    names = Header.model_fields.keys() | (_First.model_fields.keys() if first else set())
    stands = entry.get("round")
    stands = stands if isinstance(stands, dict) else {}
    for unknown in (entry.keys() - names, stands.keys() - RunState.model_fields.keys(), set(others)):
        if unknown:
            _disagrees(path, f"the header's {min(unknown)} is unknown")


def part(path: Path, kind: type[Part], name: str, entry: Mapping[str, Any]) -> Part:
    """A part of the header, checked by those whose it is; its name stands before what is wrong."""
    for unknown in entry.keys() - kind.model_fields.keys():
        _disagrees(path, f"the header's {name}.{unknown} is unknown")
    with _sound(path, f"{name}."):
        return kind.model_validate_json(json.dumps(entry), strict=True)


@contextmanager
def _sound(path: Path, before: str = "") -> Iterator[None]:
    """A `ModelFileError` for an entry of the header that cannot be."""
    try:
        yield
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place, reason = before + ".".join(map(str, wrong["loc"])), wrong["msg"].lower()
        raise ModelFileError(
            f"{shown(path)} is damaged: the header's {_short(f'{place} cannot be: {reason}')}"
        ) from None


class _First(BaseModel):
    """What only headers of the first format hold."""

    model_config = ConfigDict(strict=True, frozen=True)

    history: Annotated[list[Report], Field(fail_fast=True)]
    columns: Annotated[list[str], Field(fail_fast=True)] | None


def _agree(there: Tensors, wanted: Tensors) -> None:
    """ValueError for the first tensor that is missing, too many, or of another shape or type than the records ask for."""
    for name, tensor in wanted.items():
        if name not in there:
            raise ValueError(f"it has no {name}")
        found = there[name]
        if (found.shape, found.dtype) != (tensor.shape, tensor.dtype):
            says, asks = (f"{str(t.dtype).removeprefix('torch.')} {tuple(t.shape)}" for t in (found, tensor))
            raise ValueError(f"{name} is {says}, and its records ask for {asks}")
    for name in there:
        if name not in wanted:
            raise ValueError(f"its records ask for no {name[:60]!r}")
