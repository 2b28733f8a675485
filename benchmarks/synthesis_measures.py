"""Measures of synthetic rows: how well they are detected, what a model learns from them, how close they are to training rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import NearestNeighbors

__all__ = ["association", "detection", "privacy", "usefulness", "worst_marginal"]

Array = np.ndarray[Any, Any]


def detection(real: pd.DataFrame, made: pd.DataFrame, state: int) -> float:
    """The AUROC of gradient boosting that tells synthetic rows from real ones, in five folds. 0.5: it cannot.

    Args:
        real: rows that no synthesizer has seen.
        made: as many synthetic rows.
        state: of the folds and the model.
    """
    rows = pd.concat([real, made], ignore_index=True)
    y = np.repeat([0, 1], [len(real), len(made)])
    model = HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=state)
    folds = StratifiedKFold(5, shuffle=True, random_state=state)
    found = cross_val_predict(model, rows, y, cv=folds, method="predict_proba")[:, 1]
    return float(roc_auc_score(y, found))


def usefulness(made: pd.DataFrame, real: pd.DataFrame, target: str, state: int) -> float:
    """R² of a number, or AUROC of one of two categories, that gradient boosting learns from synthetic rows and predicts of real ones.

    Args:
        made: the rows to learn from.
        real: rows that no synthesizer has seen.
        target: the column that is predicted from all others.
        state: of the model.
    """
    rows, y = real.drop(columns=target), real[target]
    settings: dict[str, Any] = {"categorical_features": "from_dtype", "random_state": state}
    if y.dtype.kind in "iuf":
        model = HistGradientBoostingRegressor(**settings).fit(made.drop(columns=target), made[target])
        return float(r2_score(y, model.predict(rows)))
    positive = y.cat.categories[1]
    if made[target].nunique() < 2:
        return 0.5
    classifier = HistGradientBoostingClassifier(**settings).fit(made.drop(columns=target), made[target] == positive)
    return float(roc_auc_score(y == positive, classifier.predict_proba(rows)[:, 1]))


def privacy(train: pd.DataFrame, held_out: pd.DataFrame, made: pd.DataFrame) -> tuple[float, float]:
    """How close synthetic rows are to the training rows.

    A distance is that of standardized numbers and of categories, of which two different ones have the distance of two standard deviations.

    Args:
        train: the rows that the synthesizer has seen.
        held_out: as many that it has not.
        made: synthetic rows.

    Returns:
        The share of synthetic rows that are closer to a training row than to a held-out row, equal distances counted half: 0.5 without
        copies. And their median distance to the nearest training row, divided by that of held-out rows.
    """
    rows, others, new = (_encoded(each, train) for each in (train, held_out, made))
    near = NearestNeighbors(n_neighbors=1).fit(rows)
    to_train = near.kneighbors(new)[0][:, 0]
    to_held_out = NearestNeighbors(n_neighbors=1).fit(others).kneighbors(new)[0][:, 0]
    usual = np.median(near.kneighbors(others)[0][:, 0])
    closer = (to_train < to_held_out) + 0.5 * (to_train == to_held_out)
    return float(closer.mean()), float(np.median(to_train) / usual)


def worst_marginal(real: pd.DataFrame, made: pd.DataFrame) -> float:
    """The largest distance of a column's distributions: of Kolmogorov for numbers, total variation for categories; from 0 to 1.

    Args:
        real: rows that no synthesizer has seen.
        made: synthetic rows.
    """
    return max(_distance(real[name], made[name]) for name in real)


def association(real: pd.DataFrame, made: pd.DataFrame) -> float:
    """The mean absolute difference of correlations of two columns: of ranks of numbers, and of indicators of categories.

    Args:
        real: rows that no synthesizer has seen.
        made: synthetic rows.
    """
    parts = [[_indicators(rows[name]) for name in real] for rows in (real, made)]
    column = np.repeat(np.arange(real.shape[1]), [part.shape[1] for part in parts[0]])
    first, other = (np.corrcoef(np.concatenate(part, 1), rowvar=False) for part in map(_varying, parts))
    pairs = column[:, None] < column
    return float(np.abs(first - other)[pairs].mean())


def _varying(parts: list[Array]) -> list[Array]:
    """The columns; one value of a constant one is changed, since it has no correlation."""
    for part in parts:
        constant = part.min(0) == part.max(0)
        part[0, constant] += 1
    return parts


def _indicators(column: pd.Series[Any]) -> Array:
    """Ranks (n, 1) of numbers, or indicators (n, k) of the categories."""
    if column.dtype.kind in "iuf":
        return np.array(column.rank(), float)[:, None]
    codes = column.cat.codes.to_numpy()
    return (codes[:, None] == np.arange(len(column.cat.categories))).astype(float)


def _encoded(rows: pd.DataFrame, train: pd.DataFrame) -> Array:
    """Rows as points, in units of the training rows."""
    parts = []
    for name in train:
        if train[name].dtype.kind in "iuf":
            parts.append(((rows[name] - train[name].mean()) / train[name].std()).to_numpy(float)[:, None])
        else:
            parts.append(np.sqrt(2) * _indicators(rows[name]))
    return np.concatenate(parts, 1)


def _distance(real: pd.Series[Any], made: pd.Series[Any]) -> float:
    if real.dtype.kind in "iuf":
        at = np.union1d(real, made)
        cumulative = [np.searchsorted(np.sort(each), at, "right") / len(each) for each in (real, made)]
        return float(np.abs(cumulative[0] - cumulative[1]).max())
    shares = [each.value_counts(normalize=True, sort=False) for each in (real, made)]
    return float(0.5 * (shares[0] - shares[1]).abs().sum())
