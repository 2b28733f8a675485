"""The model file: one safetensors file with weights and a JSON header that describes them (docs/model-file.md).

The header's text "isthmus" has the format number, the shape of an example, the records and the versions. It is checked as a whole. The
tensors' names, shapes and dtypes are compared with the records before any tensor is read. History and column names may be long and are
stored in tensors. A checkpoint additionally contains the state that resuming requires. The file of a detector or classifier is the file of
its autoencoder with additional tensors and header entries.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Never, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from isthmus._version import __version__
from isthmus.data.kinds import Kind
from isthmus.errors import ModelFileError, NotPossibleError, UnsupportedFileError
from isthmus.estimators.format_upgrades import FORMAT, FORMATS, upgrade_header, upgrade_tensors
from isthmus.estimators.model_notes import Tensors, expected_notes, notes, read_columns, read_history
from isthmus.io.atomic import replace_file
from isthmus.io.files import shown
from isthmus.io.safetensors import CHECKSUM, json_text, opened, serialize, unique_json
from isthmus.records import Count, has_nested
from isthmus.training.state import Report

__all__ = [
    "FORMAT",
    "STRICT",
    "ContextPart",
    "ExpectedTensors",
    "File",
    "Header",
    "RunState",
    "Tensors",
    "inconsistent_as_error",
    "part",
    "read_file",
    "write_file",
]

STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
Epochs = Annotated[int, Field(ge=0, lt=2**31)]
Steps = Annotated[int, Field(ge=0, lt=2**53)]  # a float64 holds each of them
Seconds = Annotated[float, Field(ge=0, lt=1e10)]  # three hundred years
Statistic = Annotated[str, Field(max_length=200)]
Hash = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
Version = Annotated[str, Field(pattern=r"^[\w.+-]+$", max_length=60)]
_MAX_RECORDS = 4096  # in a header; each takes a tenth of a millisecond to read
_NEWER = "install a newer isthmus"
_VERSION = re.compile(r'"version":\s*"(\d{1,4}\.\d{1,4}\.\d{1,4})"')
_CURVES = {"curve_knots", "curve_values", "curve_shift", "curve_gap", "curve_tangents"}
_READ_FIRST = {"shift", "scale", "fill", "least", "largest"} | _CURVES  # several shapes are valid for each

ExpectedTensors = Callable[["Header", Tensors], Tensors]
Part = TypeVar("Part", bound=BaseModel)


class RunState(BaseModel):
    """The state of a training run in the header of a checkpoint. Its tensors contain the rest."""

    model_config = STRICT

    done: Steps
    seconds: Seconds
    retries: Annotated[int, Field(ge=0, le=3)]  # after divergences
    examples: Hash  # of the training examples; `validation` of the validation examples
    validation: Hash | None = None
    counts: tuple[Steps, Steps]  # examples and batches since the start of the epoch
    stopping: bool  # whether early stopping is on
    best: float | None = None  # the validation loss of the best weights
    best_epoch: Epochs  # the epoch of the best loss, or the first epoch if there is none
    precision: Literal["float32", "float64", "bfloat16"]
    device: Annotated[str, Field(pattern="^[a-z]+$", max_length=20)]
    threads: Annotated[int, Field(gt=0, lt=2**31)]
    torch: Version  # with the name of the native kernels, if it had some


class ContextPart(BaseModel):
    """The entry of the context of a conditional autoencoder in the header. Its classes or covariates are tensors."""

    model_config = STRICT

    size: Count
    classes: bool  # whether y is classes; else it is covariates


class Header(BaseModel):
    """The header of a model file."""

    model_config = STRICT

    version: Version  # of the isthmus that wrote it
    dtype: Literal["float32", "float64"]  # of the weights
    shape: Annotated[tuple[Count, ...], Field(min_length=1, max_length=32, fail_fast=True)]  # of one example
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    epoch: Epochs  # trained so far, over all calls of fit
    step: Steps
    seconds: Seconds
    parameters: dict[str, Any]  # of the estimator
    fitted: dict[str, dict[str, Any]]  # the resolved components
    kind: Kind | None = None  # None in a file of an older format
    context: ContextPart | None = None
    statistics: Annotated[
        list[Statistic], Field(max_length=100, fail_fast=True)
    ] = []  # further statistics of the history, after its losses
    round: RunState | None = None
    detector: dict[str, Any] | None = None  # read and written by outlier_detector_file.py
    classifier: dict[str, Any] | None = None
    image_detector: dict[str, Any] | None = None


def write_file(path: str | os.PathLike[str], header: Header, tensors: Mapping[str, Tensor]) -> None:
    """Writes a model file atomically: the old file stays until the new one is complete."""
    entry = {"format": FORMAT} | header.model_dump(mode="json", exclude_none=True)
    if (count := _records(entry)) > _MAX_RECORDS:
        raise NotPossibleError(
            f"a model file names at most {_MAX_RECORDS:,} records, and this model has {count:,}: use fewer"
        )
    replace_file(Path(path), serialize({"isthmus": json.dumps(entry)}, tensors))


class File(NamedTuple):
    """The contents of a model file. `tensors` includes those of a checkpoint; `history` and `columns` are decoded."""

    header: Header
    tensors: Tensors
    history: tuple[Report, ...]
    columns: tuple[str, ...] | None


def read_file(path: str | os.PathLike[str], expected: ExpectedTensors) -> File:
    """The contents of a model file.

    Args:
        expected: a function of the header and the tensors in the file that returns the required tensors, on "meta", without
            history and columns. Of the tensors in the file only `shift`, `scale`, `fill`, `least` and `largest` have values.

    Raises:
        FileNotFoundError: the file does not exist.
        ModelFileError: the file is not a model file of isthmus, is damaged or inconsistent, or has a newer format.
    """
    path = Path(path)
    if not os.path.lexists(path):
        raise FileNotFoundError(f"no model file at {shown(path)}; write one with `isthmus train` or Autoencoder.save")
    if path.is_dir():
        raise UnsupportedFileError(f"{shown(path)} is not a file; a run's model file is model.safetensors in it")
    with opened(path) as contents, _newer_version_named(contents.metadata), inconsistent_as_error(path):
        header, notes = _header(path, contents.metadata)
        stored = contents.meta_tensors()
        affine = upgrade_tensors({name: contents.tensor(name) for name in stored.keys() & _READ_FIRST})
        stored = upgrade_tensors(stored)
        _check_tensors(
            stored, expected(header, stored | affine) | ({} if notes else expected_notes(header.statistics, stored))
        )
        tensors = upgrade_tensors(contents.all_tensors(checked=not notes)) | notes  # the first format had no checksum
        history = read_history(header.statistics, header.epoch, tensors)
        columns = read_columns(tensors, header.shape)
    return File(header, tensors, history, columns)


@contextmanager
def _newer_version_named(metadata: Mapping[str, str]) -> Iterator[None]:
    """Adds to a `ModelFileError` that a newer isthmus wrote the file: its components may be unknown here."""
    try:
        yield
    except ModelFileError as error:
        by = _VERSION.search(metadata.get("isthmus", ""))
        if by is None or _as_numbers(by[1]) <= _as_numbers(__version__) or _NEWER in str(error):
            raise
        raise UnsupportedFileError(f"{error}; isthmus {by[1]} wrote it and this is {__version__}: {_NEWER}") from None


def _as_numbers(version: str) -> list[int]:
    """The numbers of a version, without what follows them (0.4.0rc1)."""
    return [int(part) for part in re.findall(r"\d+", version)[:3]]


@contextmanager
def inconsistent_as_error(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns an error in the block into a `ModelFileError`: the file is inconsistent."""
    try:
        yield
    except ModelFileError:
        raise
    except (LookupError, TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error).partition("\n")[0]
        _raise_inconsistent(path, reason)


def _raise_inconsistent(path: str | os.PathLike[str], reason: str) -> Never:
    raise ModelFileError(f"{shown(path)} is inconsistent: {_short(reason)}") from None


def _short(reason: str) -> str:
    """Text that may come from a file, shortened and printable."""
    return shown(reason if len(reason) < 300 else f"{reason[:280]} ...")


def _header(path: Path, metadata: Mapping[str, str]) -> tuple[Header, Tensors]:
    """The checked header; for a file of format 1, whose header contains them, also the history and columns."""
    if "isthmus" not in metadata:
        raise UnsupportedFileError(
            f"{shown(path)} is a safetensors file, but isthmus did not write it: the header has no 'isthmus'"
        )
    try:
        entry = unique_json(metadata["isthmus"])
        version = entry.pop("format")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ModelFileError(f"{shown(path)} is damaged: the header's 'isthmus' cannot be read") from None
    if type(version) is not int or version not in FORMATS:
        says = _short(str(version)[:20])
        raise UnsupportedFileError(
            f"{shown(path)} has format {says!r}, and this isthmus reads the formats up to {FORMAT}; {_NEWER}"
        )
    if (count := _records(entry)) > _MAX_RECORDS:
        _raise_inconsistent(path, f"its header names {count:,} records, more than {_MAX_RECORDS:,}")
    first = version == 1
    _check_names(path, entry, metadata.keys() - ({"isthmus"} if first else {"isthmus", CHECKSUM}), first)
    with inconsistent_as_error(path):
        entry = upgrade_header(entry, version)
    with _damaged_as_error(path):
        tensors: Tensors = {}
        if first:
            old = _FirstFormat.model_validate_json(
                json.dumps({name: entry.pop(name, ()) for name in _FirstFormat.model_fields}), strict=True
            )
            entry["statistics"], tensors = notes(old.history, old.columns)
        return Header.model_validate_json(json_text(entry), strict=True), tensors


def _records(entry: Any) -> int:
    """The number of JSON objects with a type."""
    count, waiting = 0, list[Any]([[entry]])
    while waiting:
        value = waiting.pop()
        count += type(value) is dict and "type" in value
        inner = list(value.values()) if type(value) is dict else value
        waiting += [each for each in inner if type(each) in {dict, list}] if has_nested(inner) else []
    return count


def _check_names(path: Path, entry: Mapping[str, Any], others: Iterable[str], first: bool) -> None:
    """`ModelFileError` for an unknown name in the header. `others` are the texts of the safetensors header in addition to "isthmus"."""
    names = Header.model_fields.keys() | (_FirstFormat.model_fields.keys() if first else set())
    run_state = entry.get("round")
    run_state = run_state if isinstance(run_state, dict) else {}
    for unknown in (entry.keys() - names, run_state.keys() - RunState.model_fields.keys(), set(others)):
        if unknown:
            _raise_inconsistent(path, f"the header's {min(unknown)} is unknown")


def part(path: Path, kind: type[Part], name: str, entry: Mapping[str, Any]) -> Part:
    """A part of the header, validated by its own model. Errors name the part and the field."""
    for unknown in entry.keys() - kind.model_fields.keys():
        _raise_inconsistent(path, f"the header's {name}.{unknown} is unknown")
    with _damaged_as_error(path, f"{name}."):
        return kind.model_validate_json(json.dumps(entry), strict=True)


@contextmanager
def _damaged_as_error(path: Path, before: str = "") -> Iterator[None]:
    """Turns a validation error of the header into a `ModelFileError`."""
    try:
        yield
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field, reason = before + ".".join(map(str, wrong["loc"])), wrong["msg"].lower()
        raise ModelFileError(
            f"{shown(path)} is damaged: the header's {_short(f'{field} is invalid: {reason}')}"
        ) from None


class _FirstFormat(BaseModel):
    """The header fields that only format 1 has."""

    model_config = ConfigDict(strict=True, frozen=True)

    history: Annotated[list[Report], Field(fail_fast=True)]
    columns: Annotated[list[str], Field(fail_fast=True)] | None


def _check_tensors(tensors: Tensors, expected: Tensors) -> None:
    """ValueError for the first tensor that is missing, unexpected, or has a shape or dtype that differs from the expected one."""
    for name, tensor in expected.items():
        if name not in tensors:
            raise ValueError(f"it has no {name}")
        stored = tensors[name]
        if (stored.shape, stored.dtype) != (tensor.shape, tensor.dtype):
            actual, required = (f"{str(t.dtype).removeprefix('torch.')} {tuple(t.shape)}" for t in (stored, tensor))
            raise ValueError(f"{name} is {actual}, and its records require {required}")
    for name in tensors:
        if name not in expected:
            raise ValueError(f"its records have no tensor {name[:60]!r}")
