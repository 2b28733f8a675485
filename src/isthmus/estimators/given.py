"""What the methods that train are given, and selections of labels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from isthmus.data.lazy_rows import LazyRows
from isthmus.errors import DataError

__all__ = ["Given", "some_labels", "with_unlabeled"]


class Given(NamedTuple):
    """The arguments of a method that trains: examples X, what is known of them, their targets and weights, and validation data."""

    X: Any
    y: Any = None
    target: Any = None
    validation_data: Any = None
    classes: Any = None
    sample_weight: Any = None
    groups: Any = None

    def validation(self, uses_y: bool) -> Given | None:
        """The validation data with the same parts: X alone, or a tuple of X, y, target and sample_weight as far as training has them.

        Args:
            uses_y: whether a component uses y.

        Raises:
            DataError: a part is missing.
        """
        if self.validation_data is None:
            return None
        parts = ["X", *(["y"] if uses_y else [])]
        parts += [name for name in ("target", "sample_weight") if getattr(self, name) is not None]
        unused = self.y is not None and not uses_y and isinstance(self.validation_data, tuple)
        if unused and len(self.validation_data) == len(parts) + 1:  # it has the y that no component uses
            parts.insert(1, "y")
        if len(parts) == 1:
            return Given(self.validation_data)
        if not isinstance(self.validation_data, tuple) or len(self.validation_data) != len(parts):
            raise DataError(
                f"validation_data has other parts than the training data: pass the tuple ({', '.join(parts)})"
            )
        return Given(**dict(zip(parts, self.validation_data, strict=True)))


def some_labels(y: Any, rows: Any) -> Any:
    """The labels, covariates or targets of some rows, as an array; images in their files stay there. None without labels."""
    return None if y is None else (y if isinstance(y, LazyRows) else np.asarray(y))[rows]


def with_unlabeled(y: Any, count: int) -> Any:
    """The labels followed by missing ones, `count` in all. Floats stay floats: these are covariates."""
    labels = np.asarray(y)
    if len(labels) == count:
        return labels
    missing = np.nan if labels.dtype.kind == "f" else None
    values = labels if missing is not None else labels.astype(object)
    return np.concatenate([values, np.full((count - len(labels), *labels.shape[1:]), missing)])
