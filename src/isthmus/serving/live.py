"""A run or a model file as a served model, by PyTorch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from isthmus.data.tables.frame_columns import arrow_columns
from isthmus.errors import DataError, NotPossibleError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.conformal import conformal_p_values
from isthmus.estimators.export.folder import described
from isthmus.estimators.export.parts import autoencoder_of, default_parts, detector_of, part_of
from isthmus.estimators.outlier_detector import OutlierDetector
from isthmus.experiments.run_folder import MODEL, open_estimator
from isthmus.experiments.run_record import info_of
from isthmus.runtime.manifest import Port
from isthmus.serving.served_model import ENTRIES, Entry, HeldOut, ServedModel
from isthmus.text import printable

if TYPE_CHECKING:
    from isthmus.data import Dataset

__all__ = ["LiveServedModel"]

Array = NDArray[Any]
_NOT_A_TIME = np.iinfo(np.int64).min
_SHOWN = 5_000  # held-out examples at most


class LiveServedModel(ServedModel):
    """A run folder, or the file of an autoencoder or detector.

    Args:
        run: the folder or file.
        name: by which clients know it.
        examples: reads the held-out examples, or others to look at; None: there are none.

    Raises:
        DataError: there is no model.
        NotPossibleError: the model is no autoencoder and no detector of examples of one shape.
    """

    platform = "isthmus_pytorch"

    def __init__(self, run: Path, name: str, examples: Callable[[], Dataset] | None = None) -> None:
        fitted = open_estimator(run)
        if not isinstance(fitted, Autoencoder | OutlierDetector):
            raise NotPossibleError(
                f"{printable(run)} is of the class {type(fitted).__name__}, and autoencoders and detectors of examples are served: "
                "give one of them"
            )
        self.name, self._fitted, self._examples = name, fitted, examples
        self._ae, self._detector = autoencoder_of(fitted), detector_of(fitted)
        self._table = getattr(self._ae, "table_", None)
        self._lock = Lock()
        self._held_out: HeldOut | None = None
        self.version = hashlib.sha256((run / MODEL if run.is_dir() else run).read_bytes()).hexdigest()[:12]
        self.described = described(fitted)
        dtype = np.dtype(_dtype(run, self._ae))
        parts = {part: part_of(part, fitted, dtype) for part in default_parts(fitted)}
        self.entries = {
            entry: Entry(tuple(map(_port, parts[part].inputs)), tuple(map(_port, parts[part].outputs)))
            for entry, part in ENTRIES.items()
            if part in parts
        }

    def compute(self, entry: str, inputs: Mapping[str, Array]) -> list[Array]:
        """The outputs of an entry, (n, *shape) each, in order."""
        with self._lock:
            found = self._found(entry, self._given(entry, inputs), inputs.get("y"))
        outputs = self.entries[entry].outputs
        if self._table is not None and outputs[0].kind:
            return _column_values(found[0], outputs)
        return [np.asarray(values).astype(port.dtype, copy=False) for values, port in zip(found, outputs, strict=True)]

    def attributions(self, inputs: Mapping[str, Array]) -> Array | None:
        """The share of each value of examples in their anomaly score, (n, *shape), or (n, columns) of a table; None without a detector."""
        if self._detector is None:
            return None
        examples, y = self._given("reconstruct", inputs), inputs.get("y")
        n = len(next(iter(inputs.values())))
        names = [port.column for port in self.entries["reconstruct"].inputs if port.kind]
        shares = np.zeros((n, len(names)) if names else (n, *self._ae.shape_))
        features = list(getattr(self._ae, "feature_names_in_", ()))
        with self._lock:
            found = self._detector.attributions(examples, n=int(np.prod(shares.shape[1:])), y=y)
        for row, parts in zip(shares, found, strict=True):
            for part in parts:
                place = part.feature
                row[(names or features).index(place) if isinstance(place, str) else place] = part.share
        return shares

    def held_out(self) -> HeldOut | None:
        """The held-out examples of the run, or the examples that were given; at most 5,000."""
        if self._held_out is None and self._examples is not None:
            self._held_out = self._shown(self._examples())
        return self._held_out

    def _found(self, entry: str, X: Any, y: Any) -> list[Any]:
        """What the estimator returns."""
        if entry == "detect":
            assert self._detector is not None
            scores = self._detector.score_samples(X, y)
            return [
                scores,
                conformal_p_values(self._detector.calibration_scores_, scores),
                scores < self._detector.offset_,
            ]
        methods = {
            "reconstruct": self._ae.reconstruct,
            "encode": self._ae.encode,
            "decode": self._ae.decode,
            "impute": self._ae.impute,
            "score": self._ae.score_samples,
        }
        return [methods[entry](X, y)]

    def _given(self, entry: str, inputs: Mapping[str, Array]) -> Any:
        """Examples or codes as the estimator takes them."""
        ports = [port for port in self.entries[entry].inputs if port.kind]
        if not ports:
            return inputs[self.entries[entry].inputs[0].name]
        return pa.table({port.column: _arrow(port, inputs[port.name]) for port in ports})

    def _shown(self, dataset: Dataset) -> HeldOut:
        places = np.linspace(0, len(dataset.train) - 1, min(len(dataset.train), _SHOWN)).astype(np.int64)
        some = f"{len(places):,} of " if len(places) < len(dataset.train) else ""
        note = f"{some}{len(dataset.train):,} examples of {printable(dataset.name)}"
        ports = self.entries["reconstruct"].inputs
        if self._table is not None:
            whole, values = dataset.frame, dataset.train
            frame = self._table.decode(np.asarray(values[places])) if whole is None else whole.take(places)
            inputs = dict(zip((port.name for port in ports), _column_values(frame, ports), strict=False))
        else:
            inputs = {"X": np.asarray(dataset.train[places]).astype(ports[0].dtype, copy=False)}
        labels = None if dataset.train_labels is None else np.asarray(dataset.train_labels)[places]
        if any(port.name == "y" and not port.kind for port in ports):
            if labels is None:
                raise DataError(f"{self.name} is conditional, and its examples have no labels: give some with --data")
            inputs["y"] = labels
        return HeldOut(inputs, labels, None if dataset.ids is None else np.asarray(dataset.ids)[places], note)


def _dtype(run: Path, ae: Autoencoder) -> str:
    """The dtype of examples: that of the images, else that of the weights."""
    pixels = info_of(run).pixels if run.is_dir() else None
    weights = "float64" if ae.model_.dtype == torch.float64 else "float32"
    return weights if pixels is None or " " in pixels else pixels


def _port(port: Any) -> Port:
    return Port(port.name, port.dtype, port.shape, port.column, port.kind, port.labels, port.zone)


def _arrow(port: Port, values: Array) -> Any:
    """A column of pyarrow."""
    if port.dtype == "string":
        return pa.array([text or None for text in values.tolist()], pa.string())
    if port.kind == "date":
        return pa.array(values, pa.int64(), mask=values == _NOT_A_TIME).cast(pa.timestamp("us", tz=port.zone or None))
    return pa.array(values)


def _column_values(frame: Any, ports: tuple[Port, ...]) -> list[Array]:
    """The columns of a frame as the arrays of ports."""
    ports = tuple(port for port in ports if port.kind)
    columns = arrow_columns(frame, [port.column for port in ports])
    return [_values(port, columns[port.column]) for port in ports]


def _values(port: Port, column: Any) -> Array:
    if port.dtype == "string":
        return np.array(["" if value is None else str(value) for value in column.to_pylist()], dtype=object)
    if port.kind == "date":
        return np.asarray(
            column.cast(pa.timestamp("us")).cast(pa.int64()).fill_null(_NOT_A_TIME).to_numpy(zero_copy_only=False)
        )
    numbers = [np.nan if value is None else float(value) for value in column.to_pylist()]
    return np.array(numbers).astype(port.dtype)
