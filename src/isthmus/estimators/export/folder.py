"""Writes an export: ONNX files and their description, together or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from isthmus._version import __version__
from isthmus.errors import DataError, NotPossibleError, RecordError
from isthmus.estimators.export.grouping import row_multiple
from isthmus.estimators.export.onnx_graph import OPSET, onnx_model
from isthmus.estimators.export.parts import PARTS, Part, PartName, autoencoder_of, default_parts, detector_of, part_of
from isthmus.estimators.export.values import some_examples
from isthmus.estimators.export.verification import TOLERANCES, Examples, difference
from isthmus.estimators.named_records import describe_value
from isthmus.io.files import shown

if TYPE_CHECKING:
    from isthmus.estimators.autoencoder import Autoencoder
    from isthmus.estimators.outlier_detector import OutlierDetector

__all__ = ["MANIFEST", "Exported", "check_target", "checked_parts", "described", "export"]

MANIFEST, FORMAT = "isthmus.json", 1
_MOST_EXAMPLES, _MOST_VALUES = 1_000, 2**22  # that are compared
_INVENTED = 64  # examples, where none are given


class Exported(NamedTuple):
    """What was written.

    Attributes:
        folder: that holds the files.
        differences: the largest relative difference of each part from the live model.
        n_examples: on how many examples it was measured.
        n_bytes: the size of all files.
    """

    folder: Path
    differences: dict[str, float]
    n_examples: int
    n_bytes: int


def export(
    fitted: Autoencoder | OutlierDetector,
    folder: str | os.PathLike[str],
    *,
    parts: Sequence[str] | None = None,
    X: Any = None,
    y: Any = None,
) -> Exported:
    """Writes a fitted autoencoder or detector as ONNX files, which run without PyTorch and isthmus.

    Each file takes and gives the units of the data: scaling, the columns of a table and missing values are inside. `isthmus.json` describes
    them. Each file is compared with the live model before anything is written.

    Args:
        fitted: the estimator.
        folder: to write. An export that is there is replaced.
        parts: of `PARTS`; None: all that the estimator has.
        X: raw examples on which files and model are compared, and whose dtype the files take; at most 1,000 are used. None: random examples
            within the range of the training data.
        y: labels or covariates of X for a conditional autoencoder.

    Returns:
        What was written.

    Raises:
        DataError: the folder holds other files.
        NotPossibleError: the estimator cannot be exported, the result differs from it, or a package is missing.
        RecordError: there is no such part.
    """
    target, names = Path(folder), checked_parts(parts, fitted)
    check_target(target)
    ae = autoencoder_of(fitted)
    examples = _examples(ae, X, y)
    description = described(fitted)
    models, differences = dict[str, bytes](), dict[str, float]()
    ports = dict[str, Any]()
    for name in names:
        part = part_of(name, fitted, examples.X.dtype)
        metadata = {f"isthmus.{key}": json.dumps(value) for key, value in description.items()} | {"isthmus.part": name}
        model = onnx_model(part, name, metadata)
        models[f"{name}.onnx"] = model.SerializeToString()
        differences[name] = _verified(name, part, models[f"{name}.onnx"], fitted, ae, examples)
        ports[name] = _ports(name, part) | {
            "rows": row_multiple(model),
            "sha256": hashlib.sha256(models[f"{name}.onnx"]).hexdigest(),
        }
    manifest = {"format": FORMAT, **description, "opset": OPSET, "parts": ports}
    manifest |= {"compared_on": len(examples.X), "relative_differences": differences}
    files = {**models, MANIFEST: (json.dumps(manifest, indent=1) + "\n").encode()}
    _write(target, files)
    return Exported(target, differences, len(examples.X), sum(map(len, files.values())))


def checked_parts(parts: Sequence[str] | None, fitted: Autoencoder | OutlierDetector) -> tuple[PartName, ...]:
    """The parts by name, in order."""
    if parts is None:
        return default_parts(fitted)
    unknown = next((part for part in parts if part not in PARTS), None)
    if unknown is not None or not parts:
        raise RecordError(f"parts: there is no part {unknown!r}: choose from {', '.join(PARTS)}")
    return tuple(name for name in PARTS if name in parts)


def check_target(target: Path) -> None:
    """`DataError` if the folder holds other files than those of an export, which is replaced."""
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise DataError(f"{shown(target)} is a file, and an export is a folder: choose another one")
    if target.is_dir():
        if target.resolve() == Path.cwd():
            raise DataError(f"{shown(target)} is the current folder, which an export would replace: choose another one")
        others = [
            each.name
            for each in target.iterdir()
            if each.is_dir() or (each.suffix != ".onnx" and each.name != MANIFEST)
        ]
        if others or (any(target.iterdir()) and not (target / MANIFEST).exists()):
            raise DataError(f"{shown(target)} is a folder with other files than those of an export: choose another one")


def _examples(ae: Autoencoder, X: Any, y: Any) -> Examples:
    """Examples as the model takes them, at most `_MOST_EXAMPLES`."""
    if y is None and ae._require_fitted().context is not None and ae.model_.architecture.context is not None:
        raise NotPossibleError("the autoencoder is conditional: pass X and y, examples to compare on")
    if X is None:
        extent = ae.model_.extent
        if extent is None:
            raise NotPossibleError(
                "the model file does not know the range of its training data: pass X, examples to compare on"
            )
        values = some_examples(extent.least, extent.largest, ae.shape_, _INVENTED)
        classes = ae.scaling_.classes
        if classes:
            values = np.where(np.asarray(classes) > 0, np.floor(values), values)
        dtype = np.float64 if ae.model_.shift.dtype == torch.float64 else np.float32
        table = ae._require_fitted().table
        return Examples(values.astype(dtype) if table is None else table.encode(table.decode(values)).values)
    count = max(1, min(_MOST_EXAMPLES, _MOST_VALUES // max(1, int(np.prod(ae.shape_)))))
    rows = X.tocsr() if hasattr(X, "tocsr") else X
    values = ae._examples(rows[:count] if hasattr(rows, "__getitem__") and not isinstance(rows, Mapping) else rows)
    return Examples(np.asarray(values), y if np.ndim(y) == 0 else y[: len(values)])


def _verified(
    name: PartName, part: Part, model: bytes, fitted: Autoencoder | OutlierDetector, ae: Autoencoder, examples: Examples
) -> float:
    """The difference from the live model; `NotPossibleError` if it is too large."""
    tolerance = TOLERANCES["float64" if ae.model_.dtype == torch.float64 else "float32"]
    found = difference(name, part, model, fitted, examples, tolerance)
    if not found <= tolerance:
        raise NotPossibleError(
            f"the exported part {name} differs from the model by {found:.2g}, relative to the largest value, and at most {tolerance:g} is "
            "allowed: nothing was written"
        )
    return found


def described(fitted: Autoencoder | OutlierDetector) -> dict[str, Any]:
    """What the files say of the model."""
    ae = autoencoder_of(fitted)
    state, extent = ae._require_fitted(), ae.model_.extent
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        fitted.save(path)
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    known: dict[str, Any] = {
        "isthmus": __version__,
        "kind": ae.kind_,
        "shape": list(ae.shape_),
        "code_shape": list(ae.code_shape_),
        "features": None if state.columns is None else list(map(str, state.columns)),
        "range": None if extent is None else [float(np.min(extent.least)), float(np.max(extent.largest))],
        "missing": "allow" if ae.model_.fill is not None else "error",
        "records": {name: describe_value(record) for name, record in state.records.items()},
        "model_sha256": checksum,
    }
    if (detector := detector_of(fitted)) is not None:
        known["detector"] = {
            "anomaly_score": detector.anomaly_score_,
            "threshold": detector.offset_,
            "n_calibration": len(detector.calibration_scores_),
            "guarantee": detector.guarantee(),
        }
    return known


def _ports(name: str, part: Part) -> dict[str, Any]:
    """The inputs and outputs of a part."""
    return {
        "file": f"{name}.onnx",
        "inputs": [port.described() for port in part.inputs],
        "outputs": [port.described() for port in part.outputs],
    }


def _write(target: Path, files: dict[str, bytes]) -> None:
    """Writes a folder of files under another name and renames it; an older one is then removed."""
    number = uuid.uuid4().hex
    part, old = (target.parent / f".isthmus-{kind}-{number}" for kind in ("export", "old"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.mkdir()
        for name, content in files.items():
            (part / name).write_bytes(content)
        if target.exists():
            target.rename(old)
        part.rename(target)
    except OSError as error:
        raise DataError(f"{shown(target)} cannot be written ({error.strerror}): choose another folder") from None
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
        for each in (part, old):
            shutil.rmtree(each, ignore_errors=True)
