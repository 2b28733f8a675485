"""A path as a served model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from isthmus.errors import NotPossibleError
from isthmus.runtime.manifest import NAME as MANIFEST
from isthmus.serving.exported import ExportedServedModel
from isthmus.serving.served_model import ServedModel
from isthmus.text import printable

__all__ = ["open_model"]


def open_model(path: Path, name: str, examples: Callable[[], Any] | None = None) -> ServedModel:
    """Opens an exported folder without PyTorch, and a run folder or a model file with it.

    Args:
        path: the folder or file.
        name: by which clients know it.
        examples: reads the data set of examples to look at, for a run; None: there are none.

    Raises:
        ModelFileError: the folder or file is damaged.
        DataError: there is no model.
        NotPossibleError: PyTorch is needed and not installed, or the model cannot be served.
    """
    if (path / MANIFEST).is_file():
        return ExportedServedModel(path, name)
    try:
        from isthmus.serving.live import LiveServedModel
    except ModuleNotFoundError as error:
        raise NotPossibleError(
            f"{printable(path)} is no exported folder, and a run needs {error.name}, which is not installed: "
            "pip install isthmus, or export the run"
        ) from None
    return LiveServedModel(path, name, examples)
