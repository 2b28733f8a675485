"""The context of a conditional autoencoder in its model file."""

from __future__ import annotations

import numpy as np
import torch

from isthmus.data.label_classes import from_lines, to_lines
from isthmus.data.labels import class_labels
from isthmus.estimators.context import ContextEncoding
from isthmus.estimators.model_file import ContextPart, Header, Tensors

__all__ = ["context_part", "context_tensors", "expected_context", "read_context"]


def context_part(context: ContextEncoding | None) -> ContextPart | None:
    """The entry of the header."""
    return None if context is None else ContextPart(size=context.size, classes=context.classes is not None)


def context_tensors(context: ContextEncoding | None) -> Tensors:
    """The classes as lines of text, or the center and the spread of the covariates."""
    if context is None:
        return {}
    if context.classes is not None:
        lines = np.frombuffer(to_lines(context.classes).encode(), np.uint8).copy()
        return {"context.classes": torch.from_numpy(lines)}
    return {"context.center": torch.from_numpy(context.center), "context.spread": torch.from_numpy(context.spread)}


def expected_context(header: Header, stored: Tensors) -> Tensors:
    """The tensors, on "meta", that a header requires.

    Args:
        header: of the file.
        stored: the tensors in the file, for the length of the class names.
    """
    part = header.context
    if part is None:
        return {}
    if part.classes:
        count = stored["context.classes"].numel() if "context.classes" in stored else 0
        return {"context.classes": torch.empty(count, dtype=torch.uint8, device="meta")}
    return {
        f"context.{name}": torch.empty(part.size, dtype=torch.float64, device="meta") for name in ("center", "spread")
    }


def read_context(header: Header, tensors: Tensors) -> ContextEncoding | None:
    """The context; ValueError for one that no fit can produce."""
    part = header.context
    if part is None:
        return None
    if not part.classes:
        center, spread = (tensors[f"context.{name}"].numpy() for name in ("center", "spread"))
        if not (np.isfinite(center).all() and np.isfinite(spread).all() and (spread > 0).all()):
            raise ValueError("its covariates have no finite mean or no positive standard deviation")
        return ContextEncoding(part.size, None, center, spread)
    classes = from_lines(tensors["context.classes"].numpy().tobytes().decode())
    labels = class_labels(classes, len(classes))
    if len(classes) != part.size or labels.numbers.tolist() != list(range(part.size)):
        raise ValueError(f"its class names are not {part.size} different classes in sorted order")
    return ContextEncoding(part.size, classes, np.empty(0), np.empty(0))
