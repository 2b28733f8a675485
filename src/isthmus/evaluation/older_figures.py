"""Reads the figures in files of earlier versions, which were flat and had other names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isthmus.evaluation.results import PATHS

__all__ = ["OLDER", "current"]

OLDER = {  # the earlier name of a figure, and its present short name or path
    "n_numbers": "n_features",
    "span": "data_range",
    "explained": "explained_variance",
    "pca_explained": "pca_explained_variance",
    "nats_per_number": "nats_per_dim",
    "bce_floor": "bce_lower_bound",
    "mse_spoilt": "mse_corrupted",
    "mse_restored": "mse_denoised",
    "column_error_restored": "column_error_denoised",
    "raw_left": "unexplained_variance",
}
_WITHIN = {
    "codes": {"entries": "codebook_size", "places": "positions", "enough": "n_components"},
    "labels": {
        "linear": "linear_probe",
        "linear_pca": "linear_probe_pca",
        "linear_raw": "linear_probe_raw",
        "neighbors": "knn",
        "neighbors_pca": "knn_pca",
        "neighbors_raw": "knn_raw",
        "clusters": "kmeans_accuracy",
        "mutual_information": "nmi",
        "rand": "ari",
    },
}
_REQUIRED = {
    "pca": "mse",
    "training": "mse",
    "denoising": "mse_denoised",
}  # a part without this figure was not measured


def current(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The plain figures of an evaluation in the present form, nested by subject.

    Args:
        figures: figures that this version or an earlier one wrote.
    """
    if "errors" in figures:
        return {part: _renamed(part, value) for part, value in figures.items()}
    nested: dict[str, Any] = {"error_rate": None, "restoration": None, "by_column": None}
    for name, value in figures.items():
        path = PATHS.get(OLDER.get(name, name), OLDER.get(name, name))
        part, _, field = path.partition(".")
        if field:
            nested.setdefault(part, {})[field] = value
        else:
            nested[part] = _renamed(part, value)
    return nested | {part: None for part, field in _REQUIRED.items() if (nested.get(part) or {}).get(field) is None}


def _renamed(part: str, value: Any) -> Any:
    """A part whose figures have their present names."""
    if not isinstance(value, Mapping):
        return value
    return {_WITHIN.get(part, {}).get(key, key): each for key, each in value.items()}
