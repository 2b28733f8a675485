"""A run, a model file or a detector as a computation, by PyTorch. The results have the bits that the verbs give for one file."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.data import Dataset
from isthmus.data.locations import Positions
from isthmus.data.options import ReadOptions
from isthmus.data.readers import read
from isthmus.data.tables.arrow import pyarrow
from isthmus.data.tables.frame_columns import arrow_columns
from isthmus.errors import DataError, IsthmusWarning, NotPossibleError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.conformal import conformal_p_values
from isthmus.estimators.outlier_detector import OutlierDetector
from isthmus.estimators.shape_check import check_shape_and_columns
from isthmus.experiments import run_data, run_folder, run_labels
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

__all__ = ["LiveComputation"]

_INDEX = re.compile(r"__index_level_\d+__")  # the name that pandas gives an index without a name


class LiveComputation(Computation):
    """A fitted model and a verb.

    Args:
        job: the job.

    Raises:
        NotPossibleError: the model is of another kind, or its examples are windows of a series.
    """

    def __init__(self, job: Job) -> None:
        self._job, self._options = job, job.read_options
        self._detector = None
        if job.verb == "detect":
            opened = run_folder.open_estimator(Path(job.model))
            if not isinstance(opened, OutlierDetector):
                raise NotPossibleError(
                    f"{printable(job.model)} is a {type(opened).__name__}: give a detector of examples"
                )
            self._detector, self._ae = opened, opened.autoencoder_
        else:
            self._ae = run_folder.open_run(Path(job.model))
        if job.verb in {"score", "detect"}:
            run_data.refuse_target(Path(job.run), "a score", "use isthmus evaluate")
        ae = self._ae
        if ae.kind_ == "series":
            raise NotPossibleError(
                f"{printable(job.run)} is a model of windows of a series, which are not cut from many files: use one file at a time"
            )
        table = getattr(ae, "table_", None)
        features = tuple(map(str, getattr(ae, "_features", ())))
        self._features = tuple(table.names) if table is not None else features
        self._dates = set() if table is None else {each.name for each in table.columns if each.kind == "date"}
        self._reused = run_data.reused_by(ae, self._options, ae.shape_)
        self._conditional = run_labels.is_conditional(ae)
        labels = [self._options.labels] if self._conditional and run_labels.has_text_classes(ae) else []
        self.texts = [*(() if table is None else table.texts), *filter(None, labels)]
        self.id, self.width = self._options.id, max(1, math.prod(ae.shape_))
        self.names = self._names(ae)

    def _names(self, ae: Autoencoder) -> tuple[str, ...]:
        arguments = self._job.arguments
        if self._job.verb == "encode":
            shape, what = (ae.code_shape_[:-1], "index") if arguments.get("indices") else (ae.code_shape_, "code")
            return code_names(shape, what)
        if self._job.verb == "score":
            return ("score",) if arguments.get("samples") is None else ("log_likelihood",)
        if self._job.verb == "detect":
            return DETECTED
        return self._features if self._reused.table is not None else feature_names(ae.shape_, self._features)

    def wanted(self, columns: Sequence[str]) -> list[str]:
        options = self._options
        if self._features:
            named = {*self._features, *([options.labels] if self._conditional else [])}
            return [name for name in columns if name in named]
        left_out = {self.id, options.weights, options.by, *([] if self._conditional else [options.labels])}
        return [name for name in columns if name not in left_out and not _INDEX.fullmatch(name)]

    def compute(self, rows: Rows, file: str) -> Mapping[str, Any]:
        dataset = self._dataset(rows, file)
        ae, X, y = self._ae, dataset.train, dataset.train_labels
        if self._detector is not None:
            X = run_labels.with_contexts(ae, dataset).train
            scores = self._detector.score_samples(X)
            return {
                "score": pyarrow().array(scores),
                "p_value": pyarrow().array(conformal_p_values(self._detector.calibration_scores_, scores)),
                "verdict": verdicts(scores < self._detector.offset_, math.isfinite(self._detector.offset_)),
            }
        if self._job.verb == "score":
            given = {name: value for name, value in self._job.arguments.items() if value is not None}
            scores = ae.log_likelihood(X, y, **given) if "samples" in given else ae.score_samples(X, y)
            return {self.names[0]: pyarrow().array(scores)}
        if self._job.verb == "encode":
            codes = (ae.encode_indices if self._job.arguments.get("indices") else ae.encode)(X, y)
            return number_columns(self.names, codes)
        made = ae.reconstruct(X, y)
        if dataset.table is not None:
            return arrow_columns(dataset.table.decode(made, dataset.frame), self.names)
        return number_columns(self.names, np.asarray(made))

    def _dataset(self, rows: Rows, file: str) -> Dataset:
        """The rows as examples of the model, checked as those of one file."""
        if hasattr(rows.values, "column_names"):
            table = self._table(rows.values)
            own = ReadOptions(labels=self._options.labels if self._conditional else None)
            dataset = read(table, own, reused=self._reused)
        else:
            if self._reused.table is not None:
                raise DataError("the model takes a table with names of columns, and the file has an array: give tables")
            dataset = Dataset(file, np.asarray(rows.values), source=file)
        for note in dataset.notes:
            warnings.warn(note.replace("the frame has", "it has"), IsthmusWarning, stacklevel=2)
        values, numbers = dataset.train, np.arange(rows.first, rows.first + len(dataset.train))
        check_shape_and_columns(
            self._ae, values.shape[1:], dataset.columns, what=f"the examples of {file}", of=self._job.run
        )
        run_labels.check_labels(self._ae, dataset)
        where = Positions(dataset.columns, file, rows=numbers)
        run_data.check_values(self._ae, values, where, allow_extreme=self._detector is not None)
        return dataset

    def _table(self, table: Any) -> Any:
        """The columns as the reader of one file gives them: marks of missing values are null, and truths among numbers are 0 and 1."""
        table = decoded(table)
        if self._reused.table is not None:
            return without_missing(as_columns(table), self._options.na_values, self._dates)
        return as_numbers(without_missing(table, self._options.na_values), self._options.labels)
