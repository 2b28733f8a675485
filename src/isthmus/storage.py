"""The model file: one safetensors file, weights plus a header that says in JSON what they are. Nothing in it can run.

The header's entry "isthmus" holds the format's number, the shape of an example, the records, the history and the versions. It is
checked as a whole, and the tensors' names, shapes and types against what the records ask for, before any tensor is read.
A file is written beside its target, flushed, and renamed: there is never half a file.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt, ValidationError
from torch import Tensor

from isthmus.errors import ModelFileError, RecordError
from isthmus.records import Record, describe, read
from isthmus.training import Report

__all__ = ["FORMAT", "Header", "describe_value", "read_file", "read_value", "replace_file", "vocabulary", "write_file"]

FORMAT = 1
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "BOOL": torch.bool}
_DTYPES |= {"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8}


class Header(BaseModel):
    """What a model file says of its weights."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    version: str  # of the isthmus that wrote it
    dtype: Literal["float32", "float64"]  # of the weights
    shape: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]  # of one example
    seed: NonNegativeInt
    epoch: NonNegativeInt  # trained so far, in all rounds
    step: NonNegativeInt
    seconds: NonNegativeFloat
    parameters: dict[str, Any]  # what the user chose
    fitted: dict[str, dict[str, Any]]  # what was made of it
    columns: list[str] | None
    history: list[Report]


def vocabulary() -> dict[str, type[Record]]:
    """Every record that a file or a command may name: the names in the choices' `__all__`, and no others."""
    from isthmus import architectures, bottlenecks, corruptions, likelihoods, optimizers, scaling

    modules = (architectures, bottlenecks, corruptions, likelihoods, optimizers, scaling)
    return {name: getattr(module, name) for module in modules for name in module.__all__}


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
    import safetensors.torch

    metadata = {"isthmus": json.dumps({"format": FORMAT} | header.model_dump(mode="json"))}
    own = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}  # shared ones once each
    replace_file(Path(path), safetensors.torch.save(own, metadata))


def replace_file(target: Path, content: bytes) -> None:
    """Puts a whole file in the place of the old one, durably; nothing is left behind if that fails."""
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder to write into", str(target.parent))
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with open(beside, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()
        raise


Tensors = dict[str, Tensor]  # in a sketch: on the device "meta", names, shapes and types without memory
Sketch = Callable[[Header, Tensors], Tensors]


def read_file(path: str | os.PathLike[str], expected: Sketch) -> tuple[Header, Tensors]:
    """Header and tensors of a model file.

    Args:
        expected: from the header, the map to model units (`shift` and `scale`), and sketches of the other tensors that are
            there, the sketches of all that there must be.

    Raises:
        ModelFileError: it is no model file of isthmus, is damaged, does not agree with itself, or has a format that this
            version does not know.
    """
    import safetensors

    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no model file at {path}; `isthmus train` writes one, and so does Autoencoder.save")
    if not path.is_file():
        raise ModelFileError(f"{path} is not a file; a run's model is the file model.safetensors in its folder")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = _header(path, (file.metadata() or {}).get("isthmus"))
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
            there = {
                name: torch.empty(part.get_shape(), dtype=_DTYPES.get(part.get_dtype(), torch.complex64), device="meta")
                for name, part in slices.items()
            }
            scaling = {name: file.get_tensor(name) for name in there.keys() & {"shift", "scale"}}
            try:
                wanted = expected(header, there | scaling)
            except (KeyError, TypeError, ValueError, RuntimeError) as error:
                reason = f"it has no {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
                raise ModelFileError(f"{path} does not agree with itself: {reason}") from error
            _agree(path, there, wanted)
            tensors = {name: file.get_tensor(name) for name in there}
    except (safetensors.SafetensorError, OSError) as error:
        raise ModelFileError(f"{path} is damaged or is no model file: it cannot be read as safetensors") from error
    return header, tensors


def _header(path: Path, text: str | None) -> Header:
    """The header's entry, checked."""
    if text is None:
        raise ModelFileError(f"{path} is a safetensors file, but isthmus did not write it: the header has no 'isthmus'")
    try:
        entry = json.loads(text)
        version = entry.pop("format")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ModelFileError(f"{path} is damaged: the header's 'isthmus' cannot be read") from None
    if type(version) is not int or version != FORMAT:
        raise ModelFileError(
            f"{path} has format {version!r}, and this isthmus reads format {FORMAT}; install a newer isthmus"
        )
    try:
        return Header.model_validate_json(json.dumps(entry), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ModelFileError(f"{path} is damaged: the header's {place} cannot be: {first['msg'].lower()}") from None


def _agree(path: Path, there: Tensors, wanted: Tensors) -> None:
    """`ModelFileError` for the first tensor that is missing, too many, or of another shape or type than the records ask for."""
    for name, tensor in wanted.items():
        if name not in there:
            raise ModelFileError(f"{path} is damaged: it has no {name}")
        found = there[name]
        if (found.shape, found.dtype) != (tensor.shape, tensor.dtype):
            says, asks = (f"{str(t.dtype).removeprefix('torch.')} {tuple(t.shape)}" for t in (found, tensor))
            raise ModelFileError(f"{path} does not agree with itself: {name} is {says}, and its records ask for {asks}")
    for name in there:
        if name not in wanted:
            raise ModelFileError(f"{path} does not agree with itself: its records ask for no {name!r}")
