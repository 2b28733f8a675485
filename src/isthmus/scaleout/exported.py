"""An exported folder as a computation, by onnxruntime and without PyTorch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from isthmus.data.tables.arrow import pyarrow
from isthmus.errors import DataError, NotPossibleError
from isthmus.runtime import load
from isthmus.scaleout.column_types import as_columns, as_numbers, decoded
from isthmus.scaleout.computation import (
    DETECTED,
    Computation,
    code_names,
    feature_names,
    number_columns,
    verdicts,
)
from isthmus.scaleout.inputs import Rows
from isthmus.scaleout.job import Job
from isthmus.scaleout.marks import without_missing
from isthmus.text import printable

__all__ = ["PARTS", "ExportedComputation"]

PARTS = {"encode": "encoder", "score": "score", "detect": "detect", "reconstruct": "reconstruct"}


class ExportedComputation(Computation):
    """An exported folder and a verb.

    Args:
        job: the job.

    Raises:
        ModelFileError: the folder is no export, or damaged.
        NotPossibleError: it has no part for the verb, or its examples are windows of a series.
    """

    def __init__(self, job: Job) -> None:
        self._job, self._options = job, job.read_options
        self._model = load(job.model, threads=job.threads)
        manifest, part = self._model.manifest, PARTS[job.verb]
        if part not in manifest.parts:
            raise NotPossibleError(
                f"{printable(job.model)} has no part {part!r}, only {', '.join(manifest.parts)}: export it with --parts {part}"
            )
        if manifest.described.get("kind") == "series":
            raise NotPossibleError(
                f"{printable(job.model)} is a model of windows of a series, which are not cut from many files: use one file at a time"
            )
        ports = manifest.parts[part]
        self._columns = [port for port in ports.inputs if port.kind]
        self._conditional = any(port.name == "y" for port in ports.inputs)
        labels = (
            [self._options.labels] if any(port.name == "y" and port.dtype == "string" for port in ports.inputs) else []
        )
        self.texts = [*(port.column for port in self._columns if port.dtype == "string"), *filter(None, labels)]
        self._outputs = ports.outputs
        self.names = {
            "encode": code_names(manifest.code_shape),
            "score": ("score",),
            "detect": DETECTED,
            "reconstruct": tuple(port.column for port in ports.outputs)
            if ports.outputs[0].kind
            else feature_names(manifest.shape, manifest.features),
        }[job.verb]
        self.id, self.width = self._options.id, max(1, math.prod(manifest.shape))
        if self._conditional and self._options.labels is None:
            raise NotPossibleError(
                "the autoencoder is conditional, and the column of the labels is unknown: name it with --labels"
            )

    def wanted(self, columns: Sequence[str]) -> list[str]:
        features = [port.column for port in self._columns] or list(self._model.manifest.features)
        named = set(features) | ({self._options.labels} if self._conditional else set())
        if features:
            return [name for name in columns if name in named]
        return [
            name for name in columns if name not in {self.id, *([] if self._conditional else [self._options.labels])}
        ]

    def compute(self, rows: Rows, file: str) -> Mapping[str, Any]:
        X, y = rows.values, None
        if hasattr(X, "column_names"):
            X, y = self._features(self._typed(X))
        elif self._columns:
            raise DataError("the model takes a table with names of columns, and the file has an array: give tables")
        if self._job.verb == "detect":
            found = self._model.detect(X, y)
            threshold = self._model.manifest.described.get("detector", {}).get("threshold", -math.inf)
            return {
                "score": pyarrow().array(found.scores),
                "p_value": pyarrow().array(found.p_values),
                "verdict": verdicts(found.anomalous, math.isfinite(threshold)),
            }
        if self._job.verb == "score":
            return {"score": pyarrow().array(self._model.score_samples(X, y))}
        if self._job.verb == "encode":
            return number_columns(self.names, self._model.encode(X, y))
        made = self._model.reconstruct(X, y)
        return self._table(made) if self._outputs[0].kind else number_columns(self.names, made)

    def _typed(self, table: Any) -> Any:
        """The columns with the types that the model of a run gets too; marks of missing values are null."""
        table = decoded(table)
        if not self._columns:
            return as_numbers(without_missing(table, self._options.na_values), self._options.labels)
        dates = {port.column for port in self._columns if port.kind == "date"}
        return without_missing(as_columns(table), self._options.na_values, dates)

    def _features(self, table: Any) -> tuple[Any, Any]:
        """The table as the model takes it, and the labels of a conditional one."""
        columns = {name: table.column(name) for name in table.column_names}
        y = None
        if self._conditional:
            if self._options.labels not in columns:
                raise DataError(f"there is no column {self._options.labels!r}, which has the labels: add it")
            y = columns.pop(self._options.labels).to_numpy()
        if self._columns or self._model.manifest.features:
            return columns, y
        return np.column_stack([column.to_numpy() for column in columns.values()]), y

    def _table(self, made: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of a reconstructed table; moments with their zone."""
        arrow, columns = pyarrow(), dict[str, Any]()
        for port in self._outputs:
            values = made[port.column]
            kind = arrow.timestamp("us", port.zone or None) if port.kind == "date" else None
            values = values.astype(np.int64) if kind is not None else values
            columns[port.column] = arrow.array(values, kind)
        return columns
