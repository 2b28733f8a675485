"""The model file: one safetensors file, weights plus a header that says in JSON what they are. Nothing in it can run.

The header's entry "isthmus" holds the format's number, the shape of an example, the records, the history and the versions.
A file is written beside its target, flushed, and renamed: there is never half a file.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from isthmus.errors import ModelFileError, RecordError
from isthmus.records import Record, describe, read

__all__ = ["FORMAT", "describe_value", "read_file", "read_value", "replace_file", "vocabulary", "write_file"]

FORMAT = 1


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


def write_file(path: str | os.PathLike[str], header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Writes a model file in one piece: the old file stays until the new one is whole."""
    import safetensors.torch

    metadata = {"isthmus": json.dumps({"format": FORMAT} | dict(header))}
    replace_file(
        Path(path),
        safetensors.torch.save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, metadata),
    )


def replace_file(target: Path, content: bytes) -> None:
    """Puts a whole file in the place of the old one, durably; nothing is left behind if that fails."""
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


def read_file(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and tensors of a model file.

    Raises:
        ModelFileError: it is no model file of isthmus, is damaged, or has a format this version does not know.
    """
    import safetensors
    import safetensors.torch

    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no model file at {path}; `isthmus train` writes one, and so does Autoencoder.save")
    if not path.is_file():
        raise ModelFileError(f"{path} is not a file; a run's model is the file model.safetensors in its folder")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get("isthmus")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
    except (safetensors.SafetensorError, OSError) as error:
        raise ModelFileError(f"{path} is damaged or is no safetensors file: {error}") from None
    if text is None:
        raise ModelFileError(f"{path} is a safetensors file, but isthmus did not write it: the header has no 'isthmus'")
    try:
        header = json.loads(text)
        version = header["format"]
    except (ValueError, KeyError, TypeError):
        raise ModelFileError(f"{path} is damaged: the header's 'isthmus' cannot be read") from None
    if version != FORMAT:
        raise ModelFileError(
            f"{path} has format {version}, and this isthmus reads format {FORMAT}; install a newer isthmus"
        )
    return header, tensors
