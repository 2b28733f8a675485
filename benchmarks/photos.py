"""Compares recipes for images with PCA of equal width on small sets of color photographs; writes figures of docs/photos.md.

apt install tuxpaint-stamps-default  # without it, only the patches of six photographs are measured
python benchmarks/photos.py [--states 3] [--first 0] [--recipes photos,deep,convolutional]

All codes have 32 dimensions. A random state determines the split and the initial weights. Results are kept in
benchmarks/measured/photos.json; the page has all of them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from run import HERE
from skimage import data as photographs
from sklearn.datasets import load_sample_images

from isthmus import recipes
from isthmus.evaluation.metrics import pca_reconstruction
from isthmus.experiments.reproduction import machine

Array = np.ndarray[Any, np.dtype[Any]]
KEPT = HERE / "measured" / "photos.json"
PAGE = HERE.parent / "docs" / "photos.md"
BEGIN, END = "<!-- benchmarks/photos.py -->", "<!-- end of benchmarks/photos.py -->"
STAMPS = Path("/usr/share/tuxpaint/stamps")
SIDE, WIDTH, TRAINING, TEST = 64, 32, 400, 200


def patches(random_state: int) -> tuple[Array, Array]:
    """Patches of six photographs: training patches of the left 68 % of each, test patches of the right 30 %."""
    names = ("astronaut", "chelsea", "coffee", "rocket")
    photos = [*load_sample_images().images, *(getattr(photographs, name)() for name in names)]
    rng, parts = np.random.default_rng(random_state), (list[Array](), list[Array]())
    for part, count, begin, end in zip(parts, (TRAINING, TEST), (0, 0.7), (0.68, 1), strict=True):
        for number in range(count):
            photo = photos[number % len(photos)]
            height, width = photo.shape[:2]
            top = rng.integers(0, height - SIDE + 1)
            left = rng.integers(int(begin * width), int(end * width) - SIDE + 1)
            part.append(photo[top : top + SIDE, left : left + SIDE])
    return np.stack(parts[0]), np.stack(parts[1])


def stamps(random_state: int) -> tuple[Array, Array]:
    """Photographs and drawings of objects on white, one image of each."""
    images = []
    for path in sorted(STAMPS.rglob("*.png")):
        image = Image.open(path).convert("RGBA")
        if min(image.size) >= SIDE:
            side = max(image.size)
            canvas = Image.new("RGBA", (side, side), "white")
            canvas.alpha_composite(image, ((side - image.width) // 2, (side - image.height) // 2))
            images.append(np.asarray(canvas.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)))
    order = np.random.default_rng(random_state).permutation(len(images))
    mixed = np.stack(images)[order]
    return mixed[:TRAINING], mixed[TRAINING : TRAINING + TEST]


SETS: dict[str, Callable[[int], tuple[Array, Array]]] = {"patches": patches, "stamps": stamps}


def explained(test: Array, restored: Array, train: Array) -> float:
    """The explained variance of test images: 1 - squared error / squared distance from the mean of the training images."""
    x = test.reshape(len(test), -1).astype(np.float64)
    mean = train.reshape(len(train), -1).mean(0)
    return float(1 - ((x - restored.reshape(x.shape)) ** 2).sum() / ((x - mean) ** 2).sum())


def measured(name: str, recipe: str, random_state: int) -> dict[str, Any]:
    """The explained variance of one training, in percent, and the processor time."""
    train, test = SETS[name](random_state)
    began = time.process_time()
    if recipe == "PCA":
        flat = [part.reshape(len(part), -1).astype(np.float64) for part in (train, test)]
        restored = pca_reconstruction(*flat, WIDTH)
        epochs = None
    else:
        ae = getattr(recipes, recipe)(WIDTH).set_params(random_state=random_state).fit(train)
        restored, epochs = ae.reconstruct(test), ae.history_[-1].epoch
    seconds = time.process_time() - began
    figure = 100 * explained(test, restored, train)
    found = {"set": name, "recipe": recipe, "state": random_state, "explained": figure, "seconds": seconds}
    return found | {"epochs": epochs, "training": len(train), "test": len(test)}


def table(results: list[dict[str, Any]]) -> str:
    """The rows of the page."""
    rows = []
    for name in SETS:
        for recipe in ("PCA", *recipes.__all__):
            own = [each for each in results if (each["set"], each["recipe"]) == (name, recipe)]
            if own:
                figures = [each["explained"] for each in own]
                spread = f" ± {statistics.stdev(figures):.1f}" if len(figures) > 1 else ""
                seconds = statistics.median(each["seconds"] for each in own)
                epochs = "-" if own[0]["epochs"] is None else f"{own[0]['epochs']:g}"
                shown = recipe if recipe == "PCA" else f"`{recipe}`"
                rows.append(
                    f"| {name} | {shown} | {statistics.mean(figures):.1f}{spread} | {len(own)} | {epochs} | {seconds:.0f} |"
                )
    return "\n".join(rows)


def section(results: list[dict[str, Any]]) -> str:
    """What stands between the marks of the page."""
    sizes = {each["set"]: f"{each['training']} and {each['test']}" for each in results}
    return f"""{BEGIN}
Explained variance of test images of {SIDE} x {SIDE} pixels in color, in percent, with codes of {WIDTH} dimensions; higher is better.
*patches* are random patches of six photographs of scikit-learn and scikit-image, {sizes.get("patches", "-")} of them for training and
test; test patches are from another region of each photograph. *stamps* are photographs and drawings of objects on white,
{sizes.get("stamps", "-")}, of the Debian package tuxpaint-stamps-default. A random state determines split and weights; ± is the standard
deviation over *n* random states. Seconds are the median processor time for training and reconstruction.

| images | recipe | explained, % | n | epochs | seconds |
|---|---|---|---|---|---|
{table(results)}

Written by `python benchmarks/photos.py` on {datetime.now(UTC):%Y-%m-%d}; {machine()}.
{END}"""


def main() -> None:
    """Reads the command line, measures, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--states", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first random state")
    parser.add_argument("--recipes", default="PCA,photos,deep,convolutional")
    given = parser.parse_args()
    results = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else []
    for state in range(given.first, given.first + given.states):
        for name in SETS if STAMPS.is_dir() else ["patches"]:
            for recipe in given.recipes.split(","):
                found = measured(name, recipe, state)
                keys = ("set", "recipe", "state")
                results = [each for each in results if any(each[key] != found[key] for key in keys)] + [found]
                print(found, flush=True)
                KEPT.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    PAGE.write_text(before + section(results) + rest.partition(END)[2], encoding="utf-8")
    print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
