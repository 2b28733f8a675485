"""Labels learned from a run: how well they are told, beside the same net from scratch, and what they are for other examples."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError
from isthmus.estimator import Autoencoder
from isthmus.finetuning import Classifier
from isthmus.runs import Split
from isthmus.text import csv_safe
from isthmus.writing import replace_file

__all__ = ["Taught", "taught", "write"]

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Taught:
    """A classifier that learned labels from a run.

    Attributes:
        classifier: the fine-tuned one, or that on frozen codes, whichever was asked for.
        accuracies: the share of the held-out examples that each way of learning tells right, between 0 and 1.
        n_learned, n_tested: how many labeled examples were learned from, and held out.
    """

    classifier: Classifier
    accuracies: dict[str, float]
    n_learned: int
    n_tested: int

    def table(self) -> tuple[list[str], list[list[str]]]:
        """The accuracies, for people."""
        header = [f"learned from {self.n_learned:,} labels", f"right of {self.n_tested:,} held-out examples"]
        return header, [[name, f"{share:.2%}"] for name, share in self.accuracies.items()]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "classes": self.classifier.classes_.tolist(),
            "n_learned": self.n_learned,
            "n_tested": self.n_tested,
            "accuracies": self.accuracies,
        }


def taught(
    ae: Autoencoder, part: Split, name: str, *, labeled: int | None = None, frozen: bool = False, random_state: int = 0
) -> Taught:
    """Learns the labels of a run's training examples, or of so many of them drawn at random, and tells those of the held-out ones.

    name: of the data, for the sentence where labels are missing (`DataError`).
    """
    if part.train_labels is None or part.test_labels is None:
        raise DataError(f"{name} has no labels to learn; name labeled data, with --labels the column that holds them")
    X, y = part.train, np.asarray(part.train_labels)
    if labeled is not None and labeled < len(y):
        some = np.sort(np.random.default_rng(random_state).permutation(len(y))[:labeled])
        X, y = np.asarray(X[some]), y[some]
    ways = {"fine-tuned": (False, True), "frozen codes": (True, True), "from scratch": (False, False)}
    found = {
        way: Classifier(ae, frozen=still, pretrain=begun, random_state=random_state).fit(X, y)
        for way, (still, begun) in ways.items()
    }
    truth = np.asarray(part.test_labels)
    right = {way: float((each.predict(part.test) == truth).mean()) for way, each in found.items()}
    most = Counter(y.tolist()).most_common(1)[0][0]
    right["the most frequent label"] = float((truth == most).mean())
    return Taught(found["frozen codes" if frozen else "fine-tuned"], right, len(y), len(truth))


def write(path: Path, classifier: Classifier, X: Array, truth: Array | None = None) -> None:
    """A line for each example, its likeliest label and how likely it is, and its own label if it has one: the whole file or the old one."""
    chances = classifier.predict_proba(X)
    labels = classifier.classes_[chances.argmax(1)].tolist()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "label", "probability", *([] if truth is None else ["truth"])])
    for row, (label, chance) in enumerate(zip(labels, chances.max(1), strict=True)):
        own = [] if truth is None else [csv_safe(str(truth[row]))]
        writer.writerow([row, csv_safe(str(label)), f"{chance:.4g}", *own])
    replace_file(path, text.getvalue().encode())
