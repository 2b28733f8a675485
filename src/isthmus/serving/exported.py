"""An exported folder as a served model, by onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from isthmus.runtime import load
from isthmus.serving.served_model import ENTRIES, Entry, ServedModel

__all__ = ["ExportedServedModel"]

Array = NDArray[Any]


class ExportedServedModel(ServedModel):
    """An exported folder.

    Args:
        folder: that `isthmus export` wrote.
        name: by which clients know it.

    Raises:
        ModelFileError: the folder is no export, or damaged.
    """

    platform = "isthmus_onnx"

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self._model = name, load(folder, threads=1)
        manifest = self._model.manifest
        self.described = {key: value for key, value in manifest.described.items() if key != "parts"}
        self.version = str(self.described.get("model_sha256", ""))[:12]
        self.entries = {
            entry: Entry(manifest.parts[part].inputs, manifest.parts[part].outputs)
            for entry, part in ENTRIES.items()
            if part in manifest.parts
        }
        self._model.open_parts()

    def compute(self, entry: str, inputs: Mapping[str, Array]) -> list[Array]:
        return self._model.apply(ENTRIES[entry], inputs)
