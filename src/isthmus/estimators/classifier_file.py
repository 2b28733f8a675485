"""Reads and writes an `AutoencoderClassifier` in the model file of its autoencoder."""

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
from isthmus.estimators.wrapper import WrapperHeader
from isthmus.training.state import Report

__all__ = ["ClassifierPart", "expected_tensors", "read_classifier", "to_tensors"]

Array = NDArray[Any]


class ClassifierPart(WrapperHeader):
    """The entry of a classifier in the header of a model file."""

    classes: Annotated[int, Field(ge=2, lt=2**31)]  # their number
    epoch: Epochs  # the last one
    statistics: Annotated[list[Statistic], Field(max_length=100, fail_fast=True)]  # names, of the history


def to_tensors(head: Head, classes: Array, history: tuple[Report, ...]) -> tuple[list[str], Tensors]:
    """The names of the history's statistics, and the tensors of the softmax, the classes and the history."""
    statistics, notes = model_notes.notes(history, None)
    lines = np.frombuffer(to_lines(classes).encode(), np.uint8).copy()
    return statistics, head.state_dict() | notes | {"classes": torch.from_numpy(lines)}


def expected_tensors(part: ClassifierPart, stored: Tensors, code_size: int, dtype: torch.dtype) -> Tensors:
    """The tensors, on "meta", that the file of a classifier requires.

    Args:
        part: the header entry.
        stored: the tensors in the file, for the lengths of the history and of the class names.
        code_size: the number of values of a flat code.
        dtype: the dtype of the weights.
    """
    shapes = {
        "shift": (code_size,),
        "scale": (),
        "linear.weight": (part.classes, code_size),
        "linear.bias": (part.classes,),
    }
    lines = stored["classes"].numel() if "classes" in stored else 0
    expected = {name: torch.empty(shape, dtype=dtype, device="meta") for name, shape in shapes.items()}
    return (
        expected
        | model_notes.expected_notes(part.statistics, stored)
        | {"classes": torch.empty(lines, dtype=torch.uint8, device="meta")}
    )


def read_classifier(part: ClassifierPart, tensors: Tensors) -> tuple[Head, Array, tuple[Report, ...]]:
    """The softmax, the classes and the history; ValueError for the first value that no fit can produce."""
    history = model_notes.read_history(part.statistics, part.epoch, tensors)
    classes = from_lines(tensors.pop("classes").numpy().tobytes().decode())
    labels = class_labels(classes, len(classes))
    if len(classes) != part.classes or labels.numbers.tolist() != list(range(part.classes)):
        raise ValueError(f"its class names are not {part.classes} different classes in sorted order")
    nonfinite = next((name for name, tensor in tensors.items() if not tensor.isfinite().all()), None)
    if nonfinite is not None:
        raise ValueError(f"classifier.{nonfinite} is not finite")
    if not tensors["scale"] > 0:
        raise ValueError("classifier.scale is not above 0")
    weight = tensors["linear.weight"]
    head = Head(np.zeros((1, weight.shape[1])), part.classes, weight.dtype)
    head.load_state_dict(tensors)
    return head, classes, history
