# ruff: noqa: ARG001  (takes_autoencoder gives the labels y to the examples X)
"""Measures each column of a table in its own terms, compared with a constant and with PCA: `column_figures`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.data.context_array import attach_context, context_of
from isthmus.data.memmap import Rows, random_subset
from isthmus.data.validation import blocks
from isthmus.errors import NotPossibleError
from isthmus.estimators.argument_check import takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.inference import in_batches
from isthmus.estimators.table_columns import TableColumns, table_columns
from isthmus.estimators.unit_check import check_units_once
from isthmus.evaluation.column_result import ColumnFigures
from isthmus.evaluation.column_sums import ColumnSums
from isthmus.evaluation.examples import complete_examples, observed_examples
from isthmus.evaluation.pca import PCA_ROWS, Subspace, principal, sample_size
from isthmus.evaluation.table_pca import TablePCA, fit_table_pca
from isthmus.trainable import Batch
from isthmus.training.batches import to_tensor

__all__ = ["Baselines", "Method", "TableRows", "column_figures", "fit_baselines", "measure_columns"]

Array = NDArray[Any]
Doubles = NDArray[np.float64]

_BLOCK_ROWS = 128  # the number of examples in a block is a multiple of it


class TableRows(NamedTuple):
    """Rows of a table.

    Attributes:
        observed: features (n, d), NaN where a value is missing.
        complete: the same, with missing values filled in by the autoencoder.
        targets: what reconstructions are compared with (n, d); None for the rows themselves.
    """

    observed: Array
    complete: Array
    targets: Array | None = None

    @property
    def truth(self) -> Array:
        """What reconstructions are compared with."""
        return self.observed if self.targets is None else self.targets

    def block(self, begin: int, count: int) -> TableRows:
        """Some of the rows."""
        part = slice(begin, begin + count)
        return TableRows(
            self.observed[part], self.complete[part], None if self.targets is None else np.asarray(self.targets[part])
        )


Method = Callable[[TableRows, int], Array]  # some rows and the position of the first -> their reconstructions (n, d)


class Baselines(NamedTuple):
    """What the errors of the columns are relative to, fitted on training examples.

    Attributes:
        columns: of the table.
        constants: for each column the mean, of a category the most frequent one.
        most_frequent: for each column with categories the most frequent one; 0 for others.
        pca: reconstructs rows by PCA of equal width; None where `pca_missing` says why.
        table_pca: the PCA of a table with other columns than numbers; None for others.
    """

    columns: TableColumns
    constants: Doubles
    most_frequent: NDArray[np.int64]
    pca: Method | None
    pca_missing: str
    table_pca: TablePCA | None = None


@takes_autoencoder
@check_units_once()
def column_figures(
    ae: Autoencoder, X: Any, y: Any = None, *, train: Any = None, train_labels: Any = None
) -> ColumnFigures:
    """Measures how well each column of a table is reconstructed, in the terms of the column.

    Missing values do not count. An error is relative to a constant: 0 is a perfect reconstruction, 1 is no better than the mean of the
    training examples, or than their most frequent category. PCA of equal width is fitted on standardized numbers and on a column of
    0 and 1 for each category, of which it chooses the largest.

    Args:
        ae: an autoencoder that was fitted to a table whose columns have names.
        X: examples (n, columns), in the units of the training data.
        y: labels or covariates of X for a conditional autoencoder; others ignore it.
        train: training examples (m, columns), for the constants and PCA; without them these are fitted on X itself.
        train_labels: labels or covariates of train for a conditional autoencoder.

    Returns:
        The figures of each column, in the order of the table.

    Raises:
        NotPossibleError: the autoencoder was not fitted to a table, or its columns have no names.
        DataError: the examples do not have the columns of the training examples, or are not finite.

    Examples:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"height": [1.5, 1.7, 1.9, 1.6] * 20, "sex": ["f", "m", "m", "f"] * 20}).astype({"sex": "category"})
        >>> of_frame = Autoencoder(1, epochs=1, random_state=0).fit(frame)
        >>> found = isthmus.evaluation.column_figures(of_frame, frame)
        >>> found["sex"].baseline_accuracy
        0.5
    """
    columns = table_columns(ae)
    if columns is None:
        raise NotPossibleError(
            "figures by column need an autoencoder of a table whose columns have names: fit one to a data frame or a file with a header"
        )
    observed = observed_examples(ae, X, "X")
    rows = TableRows(observed, complete_examples(ae, observed, "X"))
    fitted = rows
    if train is not None:
        known = observed_examples(ae, train, "train")
        fitted = TableRows(known, complete_examples(ae, known, "train"))
    baselines = fit_baselines(ae, columns, fitted)
    return measure_columns(ae, rows, baselines, {})[0]


def fit_baselines(
    ae: Autoencoder, columns: TableColumns, fitted: TableRows, subspace: Subspace | None = None
) -> Baselines:
    """The baselines, fitted on training examples.

    Args:
        ae: a fitted autoencoder.
        columns: of its table.
        fitted: the training examples.
        subspace: PCA of a table of numbers, if it is known.
    """
    size, classes = math.prod(ae.code_shape_), ae.model_.scaling.classes
    truth = fitted.truth
    some = np.asarray(Rows(truth)(random_subset(len(truth), sample_size(truth, PCA_ROWS))))
    constants, most_frequent = _constants(columns, some)
    if columns.encoded:
        pca, missing = fit_table_pca(fitted.observed, classes, size)
        method: Method | None = lambda rows, _: pca.reconstruct(rows.observed)  # noqa: E731
        return Baselines(columns, constants, most_frequent, None if missing else method, missing, pca)
    missing = ""
    if subspace is None:
        scale = np.broadcast_to(ae.model_.scale.cpu().numpy().astype(np.float64), ae.shape_)
        subspace, missing = principal(fitted.complete, scale, size)
    return Baselines(columns, constants, most_frequent, _projection(subspace) if len(subspace.axes) else None, missing)


def _projection(subspace: Subspace) -> Method:
    """Reconstruction by PCA of a table of numbers."""

    def project(rows: TableRows, _: int) -> Array:
        raw = to_tensor(np.asarray(rows.complete, np.float64))
        return (raw - subspace.errors(subspace.centered(raw)) * subspace.scale).numpy()

    return project


def _constants(columns: TableColumns, rows: Array) -> tuple[Doubles, NDArray[np.int64]]:
    """For each column the mean of the observed values, or the most frequent category; and for each the most frequent category."""
    values = columns.observed(rows)
    there = ~np.isnan(values)
    pivot = np.nan_to_num(values[:1])
    means = (pivot + np.where(there, values - pivot, 0).sum(0) / np.maximum(there.sum(0), 1))[0]
    most_frequent = np.zeros(len(columns.columns), np.int64)
    for place, column in enumerate(columns.columns):
        if column.discrete:
            most_frequent[place] = np.bincount(values[there[:, place], place].astype(np.int64), minlength=1).argmax()
    nominal = np.array([column.nominal for column in columns.columns])
    return np.where(nominal, most_frequent, means), most_frequent


def measure_columns(
    ae: Autoencoder, rows: TableRows, baselines: Baselines, others: Mapping[str, Method]
) -> tuple[ColumnFigures, dict[str, float | None]]:
    """The figures of each column, and the mean error over columns of other methods.

    Args:
        ae: a fitted autoencoder.
        rows: the rows to measure.
        baselines: what errors are relative to.
        others: methods by name.
    """
    methods = {"": lambda rows, _: ae.reconstruct(rows.observed), **others}
    if baselines.pca is not None:
        methods["pca"] = baselines.pca
    columns = baselines.columns
    sums = ColumnSums(columns, baselines.constants, baselines.most_frequent, rows.truth.dtype)
    for begin, part in blocks(rows.observed, _BLOCK_ROWS):
        some = rows.block(begin, len(part))
        sums.add(
            columns.observed(some.truth),
            {name: columns.values(method(some, begin)) for name, method in methods.items()},
        )
    nats, weights = _nats(ae, rows, columns), ae.likelihood_.weights_of(ae.model_.shape)[_firsts(ae)]
    figures = tuple(
        replace(sums.figure(place, None if nats is None else float(nats[place])), weight=float(weights[column.first]))
        for place, column in enumerate(columns.columns)
    )
    return ColumnFigures(figures, baselines.pca_missing), {name: sums.mean_error(name) for name in others}


def _firsts(ae: Autoencoder) -> NDArray[np.int64]:
    """The place of the first value of each feature (d,), in model units, where a category is a block of values."""
    return np.cumsum([0, *(max(1, n) for n in ae.model_.scaling.classes or (0,) * ae.shape_[0])])[:-1]


def _nats(ae: Autoencoder, rows: TableRows, columns: TableColumns) -> Doubles | None:
    """The sum of the negative log-likelihoods of each column, in nats, without weights; None for a likelihood without costs of values."""
    model, target = ae.model_.unweighted(), rows.targets is not None
    if ae.likelihood_.given_total and model.fill is not None:  # of the observed values alone, which costs do not know
        return None
    firsts = _firsts(ae)

    def costs_of(raw: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        both = raw.unbind(1) if target else (raw, raw)
        x, true = (model.normalize(side) for side in both)
        return model.costs(Batch(x, true, None, context))

    sums = np.zeros(len(columns.columns))
    for begin, part in blocks(rows.observed, _BLOCK_ROWS):
        some = rows.block(begin, len(part))
        given = attach_context(np.stack([some.observed, some.truth], axis=1), context_of(part)) if target else part
        try:
            costs = in_batches(costs_of, given, model, computable="all" if target else None)
        except NotImplementedError:  # a likelihood that defines `nll` alone
            return None
        features = np.add.reduceat(np.asarray(costs, np.float64), firsts, axis=1)
        sums += columns.by_column(features).sum(0)
    return sums
