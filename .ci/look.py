"""Looks at the folder of a run: what a newcomer opens after the first command is there, whole and worth looking at.

python .ci/look.py runs/deep-mnist
"""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import isthmus


def main(run: Path) -> None:
    """Model, history, figures and report; an AssertionError says what is wrong."""
    digits = isthmus.data.mnist()
    ae = isthmus.load(run)
    error = np.mean((digits.test / 255.0 - np.asarray(ae.reconstruct(digits.test)) / 255.0) ** 2)
    assert error < 0.01, (
        f"the mean squared error on the test digits is {error:.4f} per pixel"
    )  # PCA of equal width: 0.0168
    with (run / "history.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert len(losses) > 5, f"the history has {len(losses)} rows"
    assert losses[-1] < 0.7 * losses[0], f"the loss went from {losses[0]:.1f} to {losses[-1]:.1f}"
    figures = sorted(run.glob("figures/*.png"))
    assert len(figures) >= 6, f"there are {len(figures)} figures"
    for figure in figures:
        with Image.open(figure) as image:
            inked = np.asarray(image.convert("L")) < 200
        assert 0.001 < inked.mean() < 0.999, f"{figure} is blank"
    page = (run / "report.html").read_text(encoding="utf-8")
    images = len(re.findall(r'<img [^>]*src="data:image/png;base64,', page))
    assert images >= len(figures), f"the report shows {images} images, and there are {len(figures)} figures"
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page), "the report asks another machine"
    left = sorted(path.name for path in run.iterdir() if path.name.startswith("."))
    assert not left, f"left over: {left}"
    print(
        f"{run}: error {error:.5f} per pixel, {len(losses)} epochs, {len(figures)} figures, {images} images in the report"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
