"""The description of an exported folder, checked."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus.errors import ModelFileError
from isthmus.text import printable

__all__ = ["Manifest", "PartFile", "Port", "read_manifest", "read_part"]

NAME, FORMAT = "isthmus.json", 1
_MOST_BYTES = 2**26  # of the description
_MOST_ROWS = 64
_DTYPES = {
    "float32",
    "float64",
    "bool",
    "string",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
}


@dataclass(frozen=True)
class Port:
    """An input or an output.

    Attributes:
        name: of the tensor.
        dtype: of its values, as NumPy calls it; "string" for text.
        shape: of one example.
        column: the column of a table; "" for other data.
        kind: what the column means; "" for other data.
        labels: the categories, as text.
        zone: the time zone of a date; "" without one.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    column: str = ""
    kind: str = ""
    labels: tuple[str, ...] = ()
    zone: str = ""


@dataclass(frozen=True)
class PartFile:
    """A file of the folder.

    Attributes:
        path: of the file.
        sha256: of its content.
        inputs, outputs: of the graph, in order.
        rows: the number of which the rows of a batch are a multiple, so that each row has the same bits in any batch.
    """

    path: Path
    sha256: str
    rows: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


@dataclass(frozen=True)
class Manifest:
    """What the folder says of the model.

    Attributes:
        shape: of one example.
        code_shape: of one code.
        missing: whether values may be missing.
        features: the names of the columns of a table of numbers, or of the features of another table; () without names.
        parts: the files by the name of their part.
        described: everything that the description holds.
    """

    shape: tuple[int, ...]
    code_shape: tuple[int, ...]
    missing: bool
    features: tuple[str, ...]
    parts: dict[str, PartFile]
    described: dict[str, Any]


def read_manifest(folder: Path) -> Manifest:
    """Reads the description of an exported folder.

    Raises:
        ModelFileError: there is none, or it is damaged, or of a newer version.
    """
    path = folder / NAME
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is too large")
        described = json.loads(path.read_text(encoding="utf-8"))
        if described["format"] > FORMAT:
            raise ModelFileError(
                f"{printable(path)}: format {described['format']} is newer than {FORMAT}, the newest that this version reads: "
                "upgrade isthmus"
            )
        parts = {str(name): _part(folder, part) for name, part in described["parts"].items()}
        shape, code_shape = (tuple(map(int, described[name])) for name in ("shape", "code_shape"))
        features = tuple(map(str, described.get("features") or ()))
        return Manifest(shape, code_shape, described["missing"] == "allow", features, parts, described)
    except FileNotFoundError:
        raise ModelFileError(
            f"{printable(folder)} is no exported folder, as it has no {NAME}: write one with isthmus export"
        ) from None
    except OSError as error:
        raise ModelFileError(f"{printable(path)} cannot be read: {error.strerror}") from None
    except (ValueError, OverflowError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(
            f"{printable(path)} is damaged ({printable(repr(error), 100)}): export the model again"
        ) from None


def read_part(part: PartFile) -> bytes:
    """The content of a file.

    Raises:
        ModelFileError: it cannot be read, or is another one than the description says.
    """
    try:
        content = part.path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{printable(part.path)} cannot be read: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != part.sha256:
        raise ModelFileError(f"{printable(part.path)} is damaged, or from another export: export the model again")
    return content


def _part(folder: Path, described: dict[str, Any]) -> PartFile:
    name = described["file"]
    if not isinstance(name, str) or Path(name).name != name or not name.endswith(".onnx"):
        raise ValueError(f"{name!r} is no name of a file")
    inputs, outputs = (tuple(map(_port, described[side])) for side in ("inputs", "outputs"))
    if not inputs or not outputs:
        raise ValueError("a part has no input or output")
    rows = described["rows"]
    if not isinstance(rows, int) or not 1 <= rows <= _MOST_ROWS:
        raise ValueError(f"{rows!r} is no number of rows")
    return PartFile(folder / name, str(described["sha256"]), rows, inputs, outputs)


def _port(described: dict[str, Any]) -> Port:
    port = Port(
        str(described["name"]),
        described["dtype"],
        tuple(map(int, described["shape"])),
        str(described.get("column", "")),
        str(described.get("kind", "")),
        tuple(map(str, described.get("labels", ()))),
        str(described.get("zone", "")),
    )
    if port.dtype not in _DTYPES or any(side < 0 for side in port.shape):
        raise ValueError(f"{port.dtype!r} is no dtype")
    return port
