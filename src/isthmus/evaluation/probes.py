"""Probes: how well labels can be predicted from the codes. Labels only score an autoencoder, and never train or select one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.labels import ClassLabels, numbered
from isthmus.data.memmap import Rows, random_subset
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.evaluation.pca import Subspace, sample, sample_size
from isthmus.evaluation.table_pca import TablePCA
from isthmus.training.batches import to_tensor

__all__ = ["MAX_FITTED", "MAX_SCORED", "Labels", "label_scores"]

Array = NDArray[Any]
Split = tuple[Array, Array]  # row indices of the examples to fit on, and to score

MAX_FITTED = 10_000  # training examples that probes are fitted on
MAX_SCORED = 5_000  # examples that probes are scored on
NEIGHBORS = 5
FOLDS = 5
MIN_LABELED = 10  # examples with labels
MAX_CLASSES = 200
_MAX_RAW_VALUES = 2**24  # values; probes on more features of examples take minutes
_MAX_ITERATIONS = 100  # of the linear probe


@dataclass(frozen=True)
class Labels:
    """How well labels can be predicted from the codes, from PCA of equal width (``_pca``), and from the scaled features (``_raw``).

    All scores but `nmi` and `ari` are accuracies on the ``n_scored`` examples, between 0 and 1.

    Attributes:
        n_classes: number of classes.
        n_scored: number of examples that the scores are computed on.
        n_fitted: number of training examples that probes were fitted on; 0 without training labels, where probes are
            cross-validated (5 folds) within the scored examples.
        n_unlabeled: number of examples without label, which no score includes.
        most_frequent: accuracy of always predicting the most frequent label.
        linear_probe, linear_probe_pca, linear_probe_raw: logistic regression on standardized features (scikit-learn's, C=1).
        knn, knn_pca, knn_raw: majority vote of the 5 nearest neighbors, by Euclidean distance in model units.
        kmeans_accuracy: k-means of the scored codes with ``n_classes`` clusters, under the best one-to-one assignment of clusters to
            classes (Hungarian method; Xie, Girshick & Farhadi 2016). Clustering does not use labels; the assignment does.
        nmi: normalized mutual information of clusters and labels (arithmetic mean of the entropies), between 0 and 1.
        ari: adjusted Rand index of clusters and labels (Hubert & Arabie 1985), 1 for equal and about 0 for unrelated ones.

    Scores of PCA are None where there is no PCA of equal width; raw scores are None for more than 16 million values.
    """

    n_classes: int
    n_scored: int
    n_fitted: int
    most_frequent: float
    linear_probe: float
    knn: float
    linear_probe_pca: float | None
    knn_pca: float | None
    linear_probe_raw: float | None
    knn_raw: float | None
    kmeans_accuracy: float
    nmi: float
    ari: float
    n_unlabeled: int = 0

    def how(self) -> str:
        """How probes were fitted and scored, in a sentence."""
        base = f"scored on {self.n_scored:,} examples of {self.n_classes:,} classes"
        base += f" ({self.n_unlabeled:,} more have no label and are left out)" if self.n_unlabeled else ""
        if self.n_fitted:
            return f"Probes were fitted on {self.n_fitted:,} training examples and {base}."
        return f"Probes were {base} by {FOLDS}-fold cross-validation: there are no training labels."

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Name of each score, and its value for the codes, for PCA of equal width, and for the raw features."""
        table = [
            ("Linear probe, accuracy", self.linear_probe, self.linear_probe_pca, self.linear_probe_raw),
            (f"{NEIGHBORS} nearest neighbors, accuracy", self.knn, self.knn_pca, self.knn_raw),
            ("k-means clusters, accuracy", self.kmeans_accuracy, None, None),
            ("k-means clusters, normalized mutual information", self.nmi, None, None),
            ("k-means clusters, adjusted Rand index", self.ari, None, None),
            ("Most frequent label, accuracy", *[self.most_frequent] * 3),
        ]
        return [(name, *("-" if value is None else f"{value:.3f}" for value in values)) for name, *values in table]  # type: ignore[misc]


def why_no_scores(labels: ClassLabels) -> str:
    """The reason why labels cannot score codes, or ""."""
    n, numbers = len(labels) - labels.n_unlabeled, labels.numeric_classes()
    classes = len(np.unique(labels.labeled_numbers()))
    if n < MIN_LABELED:
        without = f", and {labels.n_unlabeled:,} examples have none" if labels.n_unlabeled else ""
        return f"{n} labels are too few to score by{without}; {MIN_LABELED} are needed"
    if classes == 1:
        return "all labels are the same"
    if numbers is not None and (numbers % 1).any() and classes > n / MIN_LABELED:
        return f"the labels are numbers with {classes:,} different values, not classes"
    if classes > min(MAX_CLASSES, n / 2):
        return f"{classes:,} different labels for {n:,} examples are too many for classes"
    return ""


def label_scores(
    ae: Autoencoder,
    subspace: Subspace | TablePCA,
    scored: tuple[Array, ClassLabels],
    fitted: tuple[Array, ClassLabels] | None,
) -> tuple[Labels | None, str]:
    """Scores codes by labels.

    Args:
        ae: a fitted autoencoder.
        subspace: PCA of equal width; without axes where PCA is not possible.
        scored: examples (n, *shape) and their labels; examples without a label are left out.
        fitted: training examples (m, *shape) and their labels, in the same way; or None.

    Returns:
        The scores and "", or None and the reason.
    """
    reason = why_no_scores(scored[1])
    if reason:
        return None, reason
    if fitted is not None and fitted[1].n_unlabeled == len(fitted[1]):
        fitted = None
    parts = [_labeled_sample(*scored, MAX_SCORED)] + ([] if fitted is None else [_labeled_sample(*fitted, MAX_FITTED)])
    n, y = len(parts[0][0]), np.concatenate(numbered([labels for _, labels in parts]))
    X = np.concatenate([examples for examples, _ in parts])
    splits = _folds(n) if fitted is None else [(np.arange(n, len(X)), np.arange(n))]
    centered = subspace.centered(to_tensor(np.asarray(X, np.float64)))
    codes = np.concatenate([ae.transform(examples) for examples, _ in parts])  # each part has its own context
    inputs: dict[str, Array | None] = {
        "": codes,
        "_pca": (centered @ subspace.axes.T).float().numpy() if len(subspace.axes) else None,
        "_raw": centered.float().numpy() if centered.numel() <= _MAX_RAW_VALUES else None,
    }
    del X, centered
    scores = {
        name + suffix: None if values is None else _accuracy(probe, values, y, splits)
        for suffix, values in inputs.items()
        for name, probe in {"linear_probe": _predict_linear, "knn": _predict_knn}.items()
    }
    classes, most_frequent = len(np.unique(y[:n])), np.bincount(y[:n]).max() / n
    return (
        Labels(
            n_classes=classes,
            n_scored=n,
            n_fitted=len(y) - n,
            n_unlabeled=scored[1].n_unlabeled,
            most_frequent=float(most_frequent),
            **scores,  # type: ignore[arg-type]  # None only in fields that allow it
            **_clustering_scores(codes[:n], y[:n], classes),
        ),
        "",
    )


def _labeled_sample(examples: Array, labels: ClassLabels, max_examples: int) -> tuple[Array, ClassLabels]:
    """A random subset of the examples that have a label."""
    if not labels.n_unlabeled:
        part, rows = sample(examples, max_examples)
        return part, labels[rows]
    rows = np.flatnonzero(labels.labeled)
    rows = rows[random_subset(len(rows), sample_size(examples, max_examples))]
    return Rows(examples)(rows), labels[rows]


def _folds(n: int) -> list[Split]:
    """Splits of n examples for cross-validation."""
    order = np.array_split(np.random.default_rng(0).permutation(n), FOLDS)
    return [(np.concatenate(order[:k] + order[k + 1 :]), order[k]) for k in range(FOLDS)]


def _accuracy(
    probe: Callable[[Array, NDArray[np.int64], Array], Array], X: Array, y: Array, splits: list[Split]
) -> float:
    """The accuracy of a probe, fitted on the first part of each split and scored on the second."""
    correct = [probe(X[fit], y[fit], X[test]) == y[test] for fit, test in splits]
    return float(np.concatenate(correct).mean())


def _predict_linear(X: Array, y: NDArray[np.int64], new: Array) -> Array:
    """Labels predicted by logistic regression on standardized features."""
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(y)) == 1:
        return np.full(len(new), y[0])
    mean, std = X.mean(0), X.std(0)
    std = np.where(std > 0, std, 1)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # scikit-learn warns if it has not converged; the accuracy is valid all the same
        classifier = LogisticRegression(max_iter=_MAX_ITERATIONS, tol=1e-3).fit((X - mean) / std, y)
    return np.asarray(classifier.predict((new - mean) / std))


def _predict_knn(X: Array, y: NDArray[np.int64], new: Array) -> Array:
    """Labels predicted by the nearest examples."""
    from sklearn.neighbors import KNeighborsClassifier

    return np.asarray(KNeighborsClassifier(min(NEIGHBORS, len(X))).fit(X, y).predict(new))


def _clustering_scores(codes: Array, y: NDArray[np.int64], classes: int) -> dict[str, float]:
    """The agreement of k-means clusters of the codes with the labels."""
    from scipy.optimize import linear_sum_assignment
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    from sklearn.metrics.cluster import contingency_matrix

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns if there are fewer different codes than clusters
        clusters = KMeans(classes, n_init=4, random_state=0).fit_predict(codes)
    counts = contingency_matrix(y, clusters)
    return {
        "kmeans_accuracy": float(counts[linear_sum_assignment(-counts)].sum() / len(y)),
        "nmi": float(normalized_mutual_info_score(y, clusters)),
        "ari": float(adjusted_rand_score(y, clusters)),
    }
