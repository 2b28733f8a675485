"""What the codes know of labels that training never saw. Labels score here, and never choose or train an autoencoder."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.data.labels import ClassLabels, numbered
from isthmus.data.memmap import Rows, random_subset
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.evaluation.pca import Subspace, most_of, sample

__all__ = ["FITTED", "SCORED", "Labels", "probed"]

Array = NDArray[Any]
Split = tuple[Array, Array]  # places of examples to fit on, and to score

FITTED = 10_000  # training examples that probes are fitted on at most
SCORED = 5_000  # examples that they are scored on at most
NEIGHBORS = 5
FOLDS = 5
FEWEST = 10  # examples with labels, below which a share of them says nothing
MOST_CLASSES = 200
_RAW = 2**24  # numbers, above which probes on the examples themselves take minutes
_STEPS = 100  # of the linear probe


@dataclass(frozen=True)
class Labels:
    """How well labels can be read from the codes, from PCA of equal width, and from the numbers of the examples.

    All are accuracies on the ``n_scored`` examples, between 0 and 1.

    Attributes:
        n_classes: kinds of labels.
        n_scored, n_fitted: on how many examples scores are taken, and on how many training examples probes were fitted; 0 where the
            training labels are not known, and probes are fitted on four fifths of the scored examples, five times.
        n_unlabeled: how many examples have no label, and are no part of any score.
        most_frequent: what the most frequent label alone gets right.
        linear_probe, linear_probe_pca, linear_probe_raw: logistic regression on standardized features (scikit-learn's, C=1).
        knn, knn_pca, knn_raw: majority vote of the 5 nearest neighbors, by Euclidean distance in model units.
        kmeans_accuracy: k-means of the scored codes with ``n_classes`` clusters, under the best one-to-one assignment of clusters to
            classes (Hungarian method; Xie, Girshick & Farhadi 2016). Labels assign the clusters and do not form them.
        nmi: normalized mutual information of clusters and labels (arithmetic mean of the entropies), between 0 and 1.
        ari: adjusted Rand index of clusters and labels (Hubert & Arabie 1985), 1 for equal and about 0 for unrelated ones.

    Those of PCA are None where there is no PCA of equal width, those of raw numbers for more than 16 million of them.
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
        base += f" ({self.n_unlabeled:,} more have no label, and are left out)" if self.n_unlabeled else ""
        if self.n_fitted:
            return f"Probes were fitted on {self.n_fitted:,} training examples and {base}."
        return f"Probes were {base} by {FOLDS}-fold cross-validation: no training labels are known."

    def rows(self) -> list[tuple[str, str, str, str]]:
        """What is measured, and its value for the codes, for PCA of equal width, and for the numbers themselves."""
        table = [
            ("Linear probe, accuracy", self.linear_probe, self.linear_probe_pca, self.linear_probe_raw),
            (f"{NEIGHBORS} nearest neighbors, accuracy", self.knn, self.knn_pca, self.knn_raw),
            ("k-means clusters, accuracy", self.kmeans_accuracy, None, None),
            ("k-means clusters, normalized mutual information", self.nmi, None, None),
            ("k-means clusters, adjusted Rand index", self.ari, None, None),
            ("Always the most frequent label, accuracy", *[self.most_frequent] * 3),
        ]
        return [(name, *("-" if value is None else f"{value:.3f}" for value in values)) for name, *values in table]  # type: ignore[misc]


def unfit(labels: ClassLabels) -> str:
    """Why labels cannot score anything, or ""."""
    n, kinds, numbers = (
        len(labels) - labels.n_unlabeled,
        len(np.unique(labels.labeled_numbers())),
        labels.numeric_classes(),
    )
    if n < FEWEST:
        without = f", and {labels.n_unlabeled:,} examples have none" if labels.n_unlabeled else ""
        return f"{n} labels are too few to score by{without}; {FEWEST} are needed"
    if kinds == 1:
        return "all labels are the same"
    if numbers is not None and (numbers % 1).any() and kinds > n / FEWEST:
        return f"the labels are numbers, {kinds:,} different ones, and no classes"
    if kinds > min(MOST_CLASSES, n / 2):
        return f"{kinds:,} kinds of labels for {n:,} examples are too many for classes"
    return ""


def probed(
    ae: Autoencoder,
    subspace: Subspace,
    scored: tuple[Array, ClassLabels],
    fitted: tuple[Array, ClassLabels] | None,
) -> tuple[Labels | None, str]:
    """Scores of codes by labels; or none, and why.

    Args:
        subspace: PCA of equal width, without axes where there is none.
        scored: examples (n, *shape) and their labels; those without a label are left out.
        fitted: training examples and their labels, if they are known; likewise.
    """
    reason = unfit(scored[1])
    if reason:
        return None, reason
    if fitted is not None and fitted[1].n_unlabeled == len(fitted[1]):
        fitted = None
    parts = [_drawn(*scored, SCORED)] + ([] if fitted is None else [_drawn(*fitted, FITTED)])
    n, y = len(parts[0][0]), np.concatenate(numbered([labels for _, labels in parts]))
    X = np.concatenate([examples for examples, _ in parts])
    splits = _folds(n) if fitted is None else [(np.arange(n, len(X)), np.arange(n))]
    centered, codes = subspace.centered(torch.from_numpy(np.asarray(X, np.float64))), ae.transform(X)
    views: dict[str, Array | None] = {
        "": codes,
        "_pca": (centered @ subspace.axes.T).float().numpy() if len(subspace.axes) else None,
        "_raw": centered.float().numpy() if centered.numel() <= _RAW else None,
    }
    del X, centered
    scores = {
        name + view: None if values is None else _accuracy(probe, values, y, splits)
        for view, values in views.items()
        for name, probe in {"linear_probe": _linear, "knn": _neighbors}.items()
    }
    classes, often = len(np.unique(y[:n])), np.bincount(y[:n]).max() / n
    return (
        Labels(
            n_classes=classes,
            n_scored=n,
            n_fitted=len(y) - n,
            n_unlabeled=scored[1].n_unlabeled,
            most_frequent=float(often),
            **scores,  # type: ignore[arg-type]  # None only where the class says so
            **_clustered(codes[:n], y[:n], classes),
        ),
        "",
    )


def _drawn(examples: Array, labels: ClassLabels, most: int) -> tuple[Array, ClassLabels]:
    """At most so many of the examples that have a label."""
    if not labels.n_unlabeled:
        part, positions = sample(examples, most)
        return part, labels[positions]
    positions = np.flatnonzero(labels.labeled)
    positions = positions[random_subset(len(positions), most_of(examples, most))]
    return Rows(examples)(positions), labels[positions]


def _folds(n: int) -> list[Split]:
    order = np.array_split(np.random.default_rng(0).permutation(n), FOLDS)
    return [(np.concatenate(order[:k] + order[k + 1 :]), order[k]) for k in range(FOLDS)]


def _accuracy(
    probe: Callable[[Array, NDArray[np.int64], Array], Array], X: Array, y: Array, splits: list[Split]
) -> float:
    """The share of examples that a probe, fitted on one side of each split, tells right on the other."""
    right = [probe(X[fit], y[fit], X[test]) == y[test] for fit, test in splits]
    return float(np.concatenate(right).mean())


def _linear(X: Array, y: NDArray[np.int64], new: Array) -> Array:
    """Labels told by a logistic regression on standardized numbers."""
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(y)) == 1:
        return np.full(len(new), y[0])
    mean, deviation = X.mean(0), X.std(0)
    deviation = np.where(deviation > 0, deviation, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged
        told = LogisticRegression(max_iter=_STEPS, tol=1e-3).fit((X - mean) / deviation, y)
    return np.asarray(told.predict((new - mean) / deviation))


def _neighbors(X: Array, y: NDArray[np.int64], new: Array) -> Array:
    """Labels told by the nearest examples."""
    from sklearn.neighbors import KNeighborsClassifier

    return np.asarray(KNeighborsClassifier(min(NEIGHBORS, len(X))).fit(X, y).predict(new))


def _clustered(codes: Array, y: NDArray[np.int64], classes: int) -> dict[str, float]:
    """How clusters of the codes agree with the labels."""
    from scipy.optimize import linear_sum_assignment
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    from sklearn.metrics.cluster import contingency_matrix

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there are fewer different codes than clusters
        found = KMeans(classes, n_init=4, random_state=0).fit_predict(codes)
    together = contingency_matrix(y, found)
    return {
        "kmeans_accuracy": float(together[linear_sum_assignment(-together)].sum() / len(y)),
        "nmi": float(normalized_mutual_info_score(y, found)),
        "ari": float(adjusted_rand_score(y, found)),
    }
