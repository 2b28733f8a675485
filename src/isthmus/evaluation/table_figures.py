"""The evaluation of a table whose columns have names: its figures by column, and without those that mix units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from isthmus.data.memmap import Rows, random_subset
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.evaluation.by_column import Baselines, Method, TableRows, measure_columns
from isthmus.evaluation.column_errors import LOST_FRACTION, MAX_NAMED
from isthmus.evaluation.column_result import ColumnFigures
from isthmus.evaluation.figure_groups import Columns, Denoising, Errors
from isthmus.evaluation.pca import sample_size
from isthmus.evaluation.results import Evaluation
from isthmus.text import printable

__all__ = ["MAX_TRAINING_EXAMPLES", "with_columns"]

MAX_TRAINING_EXAMPLES = 10_000  # that the error on training examples is measured on


def with_columns(
    ae: Autoencoder, result: Evaluation, rows: TableRows, training: TableRows | None, baselines: Baselines
) -> Evaluation:
    """An evaluation with the figures of each column.

    A table with other columns than numbers keeps no figure that mixes the units of its columns: errors are the means over columns.

    Args:
        ae: a fitted autoencoder.
        result: the evaluation without them.
        rows: the evaluated rows.
        training: training rows, or None.
        baselines: what errors are relative to.
    """
    encoded = baselines.columns.encoded
    figures, means = measure_columns(ae, rows, baselines, _others(ae, rows) if encoded else {})
    if not encoded:
        return replace(result, by_column=replace(figures, pca_missing=result.pca_missing))
    known = result.restoration
    return replace(
        result,
        by_column=figures,
        data_range=None,
        errors=Errors(None, column_error=figures.error),
        pca=None if baselines.pca is None else Errors(None, column_error=figures.pca_error),
        pca_missing=baselines.pca_missing,
        training=None if training is None else _training_errors(ae, training, baselines),
        denoising=None if result.denoising is None else Denoising(None, None, means["denoised"]),
        columns=_lost(figures),
        restoration=None
        if known is None
        else replace(
            known,
            input=Errors(None, column_error=means["input"]),
            ridge=None,
            ridge_setting="",
            n_fitted=0,
            ridge_missing="ridge regression takes numbers, and the table has columns of other kinds",
        ),
    )


def _others(ae: Autoencoder, rows: TableRows) -> dict[str, Method]:
    """What else is measured: denoised rows, and with a target the rows themselves."""
    others: dict[str, Method] = {}
    if ae.corruption_.corrupts:
        others["denoised"] = lambda some, begin: ae.reconstruct(ae.corrupt(some.observed, random_state=begin))
    if rows.targets is not None:
        others["input"] = lambda some, _: some.complete
    return others


def _training_errors(ae: Autoencoder, training: TableRows, baselines: Baselines) -> Errors:
    """The error on some of the training rows."""
    chosen = random_subset(len(training.observed), sample_size(training.observed, MAX_TRAINING_EXAMPLES))
    observed, complete = (Rows(side)(chosen) for side in (training.observed, training.complete))
    some = TableRows(observed, complete, None if training.targets is None else np.asarray(training.targets[chosen]))
    figures, _ = measure_columns(ae, some, baselines._replace(pca=None), {})
    return Errors(None, column_error=figures.error)


def _lost(figures: ColumnFigures) -> Columns:
    """The columns that are badly reconstructed."""
    errors = [(each.name, each.error) for each in figures.worst() if each.error is not None]
    lost = [(printable(name, 60), round(error, 4)) for name, error in errors if error >= LOST_FRACTION]
    return Columns(tuple(lost[:MAX_NAMED]), len(lost))
