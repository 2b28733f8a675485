"""Figures in files of older versions, where all lay side by side under other names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isthmus.evaluation.results import PATHS

__all__ = ["OLDER", "current"]

OLDER = {  # the older name of a figure, and its short name or path now
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
    "codes": {"entries": "codebook_size", "places": "positions"},
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
_NEEDED = {"pca": "mse", "training": "mse", "denoising": "mse_denoised"}  # what a part that was measured has


def current(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Plain figures of an evaluation in the present form, whichever version wrote them."""
    if "errors" in figures:
        return dict(figures)
    found: dict[str, Any] = {}
    for name, value in figures.items():
        path = PATHS.get(OLDER.get(name, name), OLDER.get(name, name))
        part, _, own = path.partition(".")
        if own:
            found.setdefault(part, {})[own] = value
        elif isinstance(value, Mapping):
            found[part] = {_WITHIN.get(part, {}).get(key, key): each for key, each in value.items()}
        else:
            found[part] = value
    return found | {part: None for part, own in _NEEDED.items() if (found.get(part) or {}).get(own) is None}
