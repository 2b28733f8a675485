"""Selection of examples from a data set: the test part, and the classes of the training examples."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.dataset import Dataset
from isthmus.data.label_values import label_text
from isthmus.data.labels import class_labels
from isthmus.data.tables.columns import listed

__all__ = ["of_trained_classes", "test_part"]

Array = npt.NDArray[Any]


def test_part(dataset: Dataset) -> tuple[Dataset, str]:
    """The test part as a data set, and a note about this. A data set without a test part is returned unchanged, with ""."""
    if dataset.test is None:
        return dataset, ""
    part = replace(
        dataset,
        train=dataset.test,
        train_labels=dataset.test_labels,
        ids=dataset.test_ids,
        target=dataset.test_target,
        test=None,
        test_labels=None,
        test_ids=None,
        test_target=None,
        validation=None,
        validation_labels=None,
        validation_ids=None,
        validation_target=None,
        lines=None,
    )
    return part, (
        f"{dataset.name} has a test part: its {len(dataset.test):,} examples are used, "
        f"not the {len(dataset.train):,} of the training part"
    )


def of_trained_classes(examples: Array, labels: Array | None, trained: Array | None) -> tuple[Array, str]:
    """The held-out examples of the training classes, and the names of the other classes as text.

    Without labels, and if no held-out example has a training class, all examples are returned. Examples without a label are kept.

    Args:
        examples, labels: the held-out examples (n, *shape), and their labels (n,) or None.
        trained: the labels of the training examples, or None.
    """
    if labels is None or trained is None:
        return examples, ""
    theirs, known = class_labels(labels, len(labels)), class_labels(trained, len(trained))
    names = [label_text(name) for name in theirs.classes]
    others = sorted(set(names) - {label_text(name) for name in known.classes})
    same = np.array([number < 0 or names[number] not in others for number in theirs.numbers], bool)
    if same.all() or not same.any():
        return examples, ""
    return np.asarray(examples[same]), listed(others)
