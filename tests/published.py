"""Public data sets in the form in which they are published, but small and drawn at random: tests never need the real files."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import numpy as np

from isthmus.data import builtin
from isthmus.data.download import Content

__all__ = ["idx", "real_fashion_mnist", "write_fashion_mnist"]

_TRAIN, _TEST = 600, 100  # examples


def idx(values: np.ndarray) -> bytes:
    """An array of bytes as an IDX file."""
    return bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes() + values.tobytes()


def write_fashion_mnist(folder: Path) -> dict[str, Content]:
    """Fashion-MNIST's four files, gzipped IDX, with rectangles of ten sizes for clothes; what each promises to hold."""
    rng = np.random.default_rng(0)
    contents = {}
    folder.mkdir(parents=True)
    for name in builtin.FASHION_MNIST:
        n = _TRAIN if name.startswith("train") else _TEST
        labels = (np.arange(n) % 10).astype(np.uint8)
        images = np.zeros((n, 28, 28), np.uint8)
        for image, label in zip(images, labels, strict=True):
            top, left = rng.integers(1, 6, 2)
            image[top : top + 6 + label, left : left + 21 - label] = rng.integers(60, 255)
        content = idx(labels if "labels" in name else images)
        contents[name] = Content(len(content), hashlib.sha256(content).hexdigest())
        (folder / f"{name}.gz").write_bytes(gzip.compress(content, 1))
    return contents


def real_fashion_mnist(positions: list[Path]) -> bool:
    """Whether all files of the real Fashion-MNIST lie in these places."""
    return all(
        any((place / packed).is_file() for place in positions for packed in (name, f"{name}.gz"))
        for name in builtin.FASHION_MNIST
    )
