"""Classifiers fine-tuned from a run, compared with the same network trained from scratch; predicted labels as CSV."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.dataset import Dataset
from isthmus.data.labels import ClassLabels, class_labels, json_labels, numbered
from isthmus.data.memmap import random_subset, selected_rows
from isthmus.data.tables.columns import listed
from isthmus.errors import DataError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.base import seed_of
from isthmus.estimators.classifier import AutoencoderClassifier
from isthmus.experiments.splits import Split
from isthmus.io.tables import write_csv
from isthmus.results import Result

__all__ = ["FinetuneResult", "finetune_run", "write"]

Array = NDArray[Any]


@dataclass(frozen=True, eq=False, repr=False)
class FinetuneResult(Result):
    """A classifier trained from a run, and its accuracy.

    Attributes:
        classifier: the one whose ``frozen`` and ``pretrain`` were requested; by default the fine-tuned one.
        accuracies: accuracy of each method on the held-out examples, between 0 and 1.
        method: the method of `classifier`.
        n_learned, n_tested: numbers of labeled training and held-out examples.
        n_unlabeled: numbers of training and held-out examples without a label, which are left out.
        n_unknown, unknown: number of held-out examples of classes without training labels, and the names of these classes.
    """

    classifier: AutoencoderClassifier
    accuracies: dict[str, float]
    n_learned: int
    n_tested: int
    n_unlabeled: tuple[int, int] = (0, 0)
    method: str = "fine-tuned"
    n_unknown: int = 0
    unknown: str = ""

    def table(self) -> tuple[list[str], list[list[str]]]:
        """The accuracies as text."""
        header = [f"trained on {self.n_learned:,} labels", f"accuracy on {self.n_tested:,} held-out examples"]
        return header, [[method, f"{accuracy:.2%}"] for method, accuracy in self.accuracies.items()]

    def note(self) -> str:
        """How many examples have no label or an unknown class; "" if there are none."""
        sentences = []
        if any(self.n_unlabeled):
            learned, tested = self.n_unlabeled
            sentences.append(
                f"{learned:,} training examples and {tested:,} held-out examples have no label: they are used "
                "neither for training nor for the accuracy; a label is predicted for each"
            )
        if self.n_unknown:
            sentences.append(
                f"{self.n_unknown:,} of {self.n_tested:,} held-out examples are of classes without training labels "
                f"({self.unknown}): they count as classified wrongly"
            )
        return "; ".join(sentences)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {
            "classes": json_labels(self.classifier.classes_),
            "n_learned": self.n_learned,
            "n_tested": self.n_tested,
            "n_unlabeled": sum(self.n_unlabeled),
            "n_of_unknown_classes": self.n_unknown,
            "accuracies": self.accuracies,
        }

    def _frame_rows(self) -> list[dict[str, Any]]:
        counts = {"n_learned": self.n_learned, "n_tested": self.n_tested}
        return [{"method": method, "accuracy": value} | counts for method, value in self.accuracies.items()]


def _check_labeled(name: str, parts: Mapping[str, ClassLabels]) -> None:
    """`DataError` if no example of a part has a label."""
    for what, labels in parts.items():
        if labels.n_unlabeled == len(labels):
            raise DataError(f"none of the {len(labels):,} {what} examples of {name} has a label: label some of them")


def finetune_run(
    ae: Autoencoder,
    part: Split,
    dataset: Dataset,
    *,
    labeled: int | None = None,
    classifier: AutoencoderClassifier | None = None,
) -> FinetuneResult:
    """Trains classifiers on the labeled training examples of a run, and computes their accuracy on the held-out ones.

    Examples without a label are left out and counted.

    Args:
        ae: the autoencoder of the run.
        part: its training and held-out examples.
        dataset: the data set that was split.
        labeled: number of labeled training examples, drawn at random; None for all.
        classifier: the parameters; ``frozen`` and ``pretrain`` select the classifier of the result. The others are for comparison.

    Returns:
        The selected classifier, and the accuracy of each method.

    Raises:
        DataError: the training or the held-out examples have no labels.
    """
    classifier = AutoencoderClassifier(random_state=0) if classifier is None else classifier
    parameters = classifier.get_params(deep=False) | {
        "random_state": seed_of(classifier.random_state),
        "autoencoder": ae,
    }
    if part.train_labels is None or part.test_labels is None:
        raise DataError(f"{dataset.name} has no labels: give labeled data, and with --labels the column of the labels")
    y, truth = class_labels(part.train_labels, len(part.train)), class_labels(part.test_labels, len(part.test))
    _check_labeled(dataset.name, {"training": y, "held-out": truth})
    rows, n_unlabeled = np.flatnonzero(y.labeled), (y.n_unlabeled, truth.n_unlabeled)
    if labeled is not None and labeled < len(rows):
        rows = rows[random_subset(len(rows), labeled, parameters["random_state"])]
    X = part.train_of(dataset)
    X, y = (
        X if len(rows) == len(y) else replace(X, values=selected_rows(X.values, rows), positions=X.at.some(rows)),
        y[rows],
    )
    weights = None if part.train_weights is None else np.asarray(part.train_weights)[rows]
    methods = {"fine-tuned": (False, True), "frozen codes": (True, True), "from scratch": (False, False)}
    requested = (classifier.frozen, classifier.pretrain)
    if requested not in methods.values():
        methods["frozen codes of random weights"] = requested
    classifiers = {
        method: AutoencoderClassifier(**parameters | dict(zip(("frozen", "pretrain"), how, strict=True)))
        for method, how in methods.items()
    }
    for each in classifiers.values():
        each.fit(X, y, sample_weight=weights)
    test_rows = np.flatnonzero(truth.labeled)
    test, truth = part.test_of(dataset).some(test_rows), truth[test_rows]
    accuracies = {method: each.score(test, truth) for method, each in classifiers.items()}
    train_numbers, test_numbers = numbered([y, truth])
    most_frequent = Counter(train_numbers.tolist()).most_common(1)[0][0]
    accuracies["the most frequent label"] = float((test_numbers == most_frequent).mean())
    method = next(name for name, pair in methods.items() if pair == requested)
    unknown = ~np.isin(test_numbers, train_numbers)
    names = listed(sorted({str(truth.classes[number]) for number in truth.numbers[unknown]}))
    n_unknown = int(unknown.sum())
    return FinetuneResult(classifiers[method], accuracies, len(y), len(truth), n_unlabeled, method, n_unknown, names)


def write(
    path: Path,
    classifier: AutoencoderClassifier,
    X: Array,
    truth: Array | None = None,
    keys: Mapping[str, Array] | None = None,
) -> None:
    """Writes one row per example: its most probable label, the probability, and its true label if known.

    The file is replaced atomically.

    Args:
        path: the CSV file.
        classifier: a fitted classifier.
        X: examples (n, *shape).
        truth: their labels (n,), if known.
        keys: further columns that identify each example, by name, such as its line in the file or its id.
    """
    keys = keys or {}
    probabilities = classifier.predict_proba(X)
    labels = classifier.classes_[probabilities.argmax(1)]
    true_labels = None if truth is None else class_labels(truth, len(X))
    header = ["row", *keys, "label", "probability", *([] if true_labels is None else ["truth"])]
    rows = (
        [
            row,
            *(values[row] for values in keys.values()),
            label,
            f"{probability:.4g}",
            *([] if true_labels is None else [true_labels.label_of(row)]),
        ]
        for row, (label, probability) in enumerate(zip(labels, probabilities.max(1), strict=True))
    )
    write_csv(path, header, rows)
