"""A classifier as a part of the model file of its autoencoder, and back."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from isthmus.data.label_classes import from_lines, to_lines
from isthmus.data.labels import class_labels
from isthmus.estimators import model_notes
from isthmus.estimators.classifier_head import Head
from isthmus.estimators.model_file import Epochs, Statistic, Tensors
from isthmus.estimators.wrapper import Surrounding
from isthmus.training.state import Report

__all__ = ["ClassifierPart", "asked", "learned", "tensors_of"]

Array = NDArray[Any]


class ClassifierPart(Surrounding):
    """What a header says of a classifier: how many labels it tells, its last epoch, and the names of its history's statistics."""

    classes: Annotated[int, Field(ge=2, lt=2**31)]
    epoch: Epochs
    statistics: Annotated[list[Statistic], Field(max_length=100, fail_fast=True)]


def tensors_of(head: Head, classes: Array, history: tuple[Report, ...]) -> tuple[list[str], Tensors]:
    """The names of the history's statistics; softmax, labels and history as tensors."""
    statistics, notes = model_notes.notes(history, None)
    lines = np.frombuffer(to_lines(classes).encode(), np.uint8).copy()
    return statistics, head.state_dict() | notes | {"classes": torch.from_numpy(lines)}


def asked(part: ClassifierPart, there: Tensors, code: int, dtype: torch.dtype) -> Tensors:
    """Sketches of the tensors that a classifier has to have, for codes of so many numbers."""
    wanted = {"shift": (code,), "scale": (), "linear.weight": (part.classes, code), "linear.bias": (part.classes,)}
    lines = there["classes"].numel() if "classes" in there else 0
    held = {name: torch.empty(size, dtype=dtype, device="meta") for name, size in wanted.items()}
    return (
        held
        | model_notes.expected_notes(part.statistics, there)
        | {"classes": torch.empty(lines, dtype=torch.uint8, device="meta")}
    )


def learned(part: ClassifierPart, tensors: Tensors) -> tuple[Head, Array, tuple[Report, ...]]:
    """Softmax, labels and history; ValueError that names what no fit leads to."""
    history = model_notes.read_history(part.statistics, part.epoch, tensors)
    classes = from_lines(tensors.pop("classes").numpy().tobytes().decode())
    told = class_labels(classes, len(classes))
    if len(classes) != part.classes or told.numbers.tolist() != list(range(part.classes)):
        raise ValueError(f"it does not name {part.classes} different classes, sorted")
    nonfinite = next((name for name, tensor in tensors.items() if not tensor.isfinite().all()), None)
    if nonfinite is not None:
        raise ValueError(f"classifier.{nonfinite} is not finite")
    if not tensors["scale"] > 0:
        raise ValueError("classifier.scale is not above 0")
    weight = tensors["linear.weight"]
    head = Head(np.zeros((1, weight.shape[1])), part.classes, weight.dtype)
    head.load_state_dict(tensors)
    return head, classes, history
