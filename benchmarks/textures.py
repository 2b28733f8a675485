"""Detects planted defects in synthetic textures, compared with PCA of patches; writes the figures of docs/defects.md.

python benchmarks/textures.py [--states 3]

Three kinds of color textures (woven, grain, dots) and four kinds of defects. An autoencoder and PCA of the same code width are trained on
patches of images without defects, one of each for each texture and random state. Other images, with and without defects, are then
ranked: whole images, pixels, and regions of pixels. Nothing was chosen on the images of these random states.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from run import HERE
from scipy import ndimage
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from isthmus import recipes
from isthmus.architectures import MLP, LinearSkip
from isthmus.augmentations import NoAugmentation
from isthmus.data.images.patches import cut_patches
from isthmus.evaluation import ImageOutlierDetector, per_region_overlap, pixel_auroc
from isthmus.experiments.reproduction import machine
from isthmus.plots.heat_overlay import heat_overlay

Array = np.ndarray[Any, np.dtype[Any]]
Random = np.random.Generator
PAGE, DRAWING = HERE.parent / "docs" / "defects.md", HERE.parent / "docs" / "figures" / "defects.png"
BEGIN, END = "<!-- figures: written by benchmarks/textures.py -->", "<!-- end of figures -->"
SIDE, PATCH, WIDTH = 128, 32, 64
N_TRAINING, N_NORMAL, N_GOOD, N_DEFECTS = 40, 10, 16, 6  # images; the last: of each kind of defect
FIRST = 200  # random state; whatever was chosen was chosen on others


class Defective(NamedTuple):
    """An image (h, w, 3) with a defect, and its anomalous pixels."""

    image: Array
    mask: Array
    kind: str


# Textures: (h, w, 3) in [0, 1]; `without` marks a part of the pattern that is missing


def woven(rng: Random, without: Array | None = None) -> Array:
    """Threads in two colors that cross each other, alternately above and below."""
    y, x = warped(rng, 1.0)
    period = 8.0
    u, v = x / period + rng.random(), y / period + rng.random()
    weft, warp = np.abs(np.cos(np.pi * v)), np.abs(np.cos(np.pi * u))
    above = (np.floor(u + 0.5) + np.floor(v + 0.5)) % 2 < 1
    colors = np.array([[0.75, 0.68, 0.55], [0.35, 0.42, 0.55]]) + rng.normal(0, 0.01, (2, 3))
    if without is not None:  # the thread across is seen instead
        above, weft = above & ~without, np.where(without, 0.2, weft)
    shade = np.where(above, 0.35 + 0.65 * weft, 0.35 + 0.65 * warp)
    return noisy(shade[..., None] * np.where(above[..., None], colors[0], colors[1]), rng)


def grain(rng: Random, without: Array | None = None) -> Array:
    """Fibers along one direction, like wood."""
    fine = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), (12, 0.7), mode="wrap")
    broad = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), (40, 4), mode="wrap")
    if without is not None:
        fine = np.where(without, 0, fine)
    value = 0.55 + 0.09 * fine / fine.std() + 0.06 * broad / broad.std()
    return noisy(value[..., None] * np.array([0.95, 0.72, 0.5]), rng)


def dots(rng: Random, without: Array | None = None) -> Array:
    """Dots in rows that are shifted by half a period."""
    y, x = warped(rng, 0.6)
    period = 12.0
    row = np.floor(y / period + (start := rng.random()))
    u, v = (x / period + 0.5 * (row % 2)) % 1 - 0.5, (y / period + start) % 1 - 0.5
    dot = 1 / (1 + np.exp((period * np.hypot(u, v) - 3.2) / 0.5))
    if without is not None:
        dot = np.where(without, 0, dot)
    ground, color = np.array([0.82, 0.84, 0.86]), np.array([0.25, 0.35, 0.62])
    return noisy(ground + dot[..., None] * (color - ground), rng)


def warped(rng: Random, pixels: float) -> tuple[Array, Array]:
    """Rows and columns, smoothly shifted by about so many pixels."""
    places = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    for place in places:
        shift = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), 16, mode="wrap")
        place += pixels * shift / shift.std()
    return places[0], places[1]


def noisy(image: Array, rng: Random) -> Array:
    """The image under slightly varying light, with the noise of a camera."""
    light = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), 30, mode="wrap")
    image = image * (1 + 0.03 * light / light.std() + rng.normal(0, 0.01))[..., None]
    return (image + rng.normal(0, 0.02, image.shape)).clip(0, 1)


TEXTURES: dict[str, Callable[..., Array]] = {"woven": woven, "grain": grain, "dots": dots}


# Defects


def blob(rng: Random, radius: tuple[float, float]) -> Array:
    """A round area with an irregular border."""
    y, x = np.mgrid[:SIDE, :SIDE]
    r = rng.uniform(*radius)
    center = rng.uniform(r, SIDE - r, 2)
    uneven = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), 4)
    return np.hypot(y - center[0], x - center[1]) + 2 * uneven / uneven.std() < r


def line(rng: Random, half_width: float) -> Array:
    """A straight line of 25 to 60 pixels."""
    y, x = np.mgrid[:SIDE, :SIDE]
    angle, half = rng.uniform(0, np.pi), rng.uniform(12, 30)
    center = rng.uniform(35, SIDE - 35, 2)
    along = np.cos(angle) * (x - center[1]) + np.sin(angle) * (y - center[0])
    across = -np.sin(angle) * (x - center[1]) + np.cos(angle) * (y - center[0])
    return (np.abs(along) < half) & (np.abs(across) < half_width)


def scratch(texture: Callable[..., Array], rng: Random) -> tuple[Array, Array]:
    """A thin line that is lighter or darker."""
    image, mask = texture(rng), line(rng, 1.2)
    soft = ndimage.gaussian_filter(mask.astype(float), 0.6)[..., None]
    return (image + rng.choice([-0.3, 0.3]) * soft).clip(0, 1), mask


def stain(texture: Callable[..., Array], rng: Random) -> tuple[Array, Array]:
    """A darker area with soft borders."""
    image, mask = texture(rng), blob(rng, (6, 13))
    soft = ndimage.gaussian_filter(mask.astype(float), 2)[..., None]
    return image * (1 - rng.uniform(0.2, 0.35) * soft), mask


def missing(texture: Callable[..., Array], rng: Random) -> tuple[Array, Array]:
    """A part of the pattern is missing: a thread, the fibers of an area, some dots."""
    if texture is woven:
        y, x = np.mgrid[:SIDE, :SIDE]
        begin, row = rng.integers(5, SIDE - 55), rng.integers(10, SIDE - 18)
        mask = (np.abs(y - row) < 4) & (x >= begin) & (x < begin + 45)
    else:
        mask = blob(rng, (8, 14))
    return texture(rng, mask), mask


def color(texture: Callable[..., Array], rng: Random) -> tuple[Array, Array]:
    """An area in another color of the same lightness."""
    image, mask = texture(rng), blob(rng, (6, 13))
    shift = np.array([0.16, -0.1, 0.1]) * rng.choice([-1, 1])
    return (image + mask[..., None] * shift).clip(0, 1), mask


DEFECTS = {"scratch": scratch, "stain": stain, "missing part": missing, "wrong color": color}


def as_bytes(image: Array) -> Array:
    """Pixels as bytes."""
    return np.asarray(np.rint(255 * image), np.uint8)


def test_images(texture: Callable[..., Array], rng: Random) -> list[Defective]:
    """Images without defects, and with each kind of defect."""
    good = [Defective(as_bytes(texture(rng)), np.zeros((SIDE, SIDE), bool), "good") for _ in range(N_GOOD)]
    made = [(name, *make(texture, rng)) for name, make in DEFECTS.items() for _ in range(N_DEFECTS)]
    return good + [Defective(as_bytes(image), mask, name) for name, image, mask in made]


# PCA of patches


class PatchPCA:
    """Reconstructs images by PCA of patches: overlapping by half, and blended by the distance from their borders."""

    def __init__(self, patches: Array) -> None:
        self.pca = PCA(WIDTH, svd_solver="randomized", random_state=0).fit(patches.reshape(len(patches), -1))

    def reconstruct(self, image: Array) -> Array:
        """The reconstruction of an image (h, w, 3)."""
        ramp = np.minimum(np.arange(1, PATCH + 1), np.arange(PATCH, 0, -1))
        weight = (ramp[:, None] * ramp)[..., None].astype(np.float32)
        corners = list(product(range(0, SIDE - PATCH + 1, PATCH // 2), repeat=2))
        rows = np.stack([image[r : r + PATCH, c : c + PATCH] for r, c in corners]).reshape(len(corners), -1)
        made = self.pca.inverse_transform(self.pca.transform(rows)).reshape(-1, PATCH, PATCH, 3)
        total, covered = np.zeros(image.shape, np.float32), np.zeros((SIDE, SIDE, 1), np.float32)
        for (r, c), patch in zip(corners, made, strict=True):
            total[r : r + PATCH, c : c + PATCH] += weight * patch
            covered[r : r + PATCH, c : c + PATCH] += weight
        return total / covered

    def heat_map(self, image: Array) -> Array:
        """The smoothed squared error, as that of the autoencoder."""
        error = np.square(self.reconstruct(image) - image.astype(np.float32)).mean(2)
        return ndimage.gaussian_filter(error, 4.0, mode="nearest")


def peak(heat: Array) -> float:
    """The score of an image, as that of the detector: the mean of the highest thousandth."""
    return float(np.sort(heat, None)[-round(heat.size / 1000) :].mean())


METRICS = ("image AUROC", "pixel AUROC", "PRO")


def figures(heat_maps: list[Array], images: list[Defective]) -> dict[str, float]:
    """The three metrics in %, and the AUROC of images of each kind of defect against those without."""
    masks, scores = [each.mask for each in images], [peak(heat) for heat in heat_maps]
    found = [
        roc_auc_score([each.mask.any() for each in images], scores),
        pixel_auroc(heat_maps, masks),
        per_region_overlap(heat_maps, masks),
    ]
    result = {name: 100 * float(value) for name, value in zip(METRICS, found, strict=True)}
    for kind in DEFECTS:
        some = [(s, each.kind == kind) for s, each in zip(scores, images, strict=True) if each.kind in {"good", kind}]
        result[kind] = 100 * float(roc_auc_score([truth for _, truth in some], [s for s, _ in some]))
    return result


class Measured(NamedTuple):
    """The figures of each method on one texture, their seconds, and what the drawing shows."""

    figures: dict[str, dict[str, float]]
    seconds: dict[str, float]
    shown: list[tuple[Defective, Array]]
    usual: float


def measured(name: str, state: int) -> Measured:
    """Trains both methods on one texture, and measures them."""
    texture, rng = TEXTURES[name], np.random.default_rng([state, list(TEXTURES).index(name)])
    training = np.concatenate([cut_patches(as_bytes(texture(rng)), PATCH) for _ in range(N_TRAINING)])
    normal = [as_bytes(texture(rng)) for _ in range(N_NORMAL)]
    images = test_images(texture, rng)
    began = time.process_time()
    ae = recipes.photos(WIDTH).set_params(architecture=LinearSkip(MLP((256,))), augmentation=NoAugmentation())
    ae.set_params(epochs=10, random_state=state, kind="images").fit(training)
    seconds = {"isthmus": time.process_time() - began}
    began = time.process_time()
    pca = PatchPCA(training)
    seconds["PCA of patches"] = time.process_time() - began
    detector = ImageOutlierDetector.from_fitted(ae, normal, false_alarm_rate=0.1)
    found = dict[str, dict[str, float]]()
    heat = [detector.heat_map(each.image) for each in images]
    found["isthmus"] = figures(heat, images)
    found["PCA of patches"] = figures([pca.heat_map(each.image) for each in images], images)
    for method, values in found.items():
        print(f"state {state}, {name}: {method} {', '.join(f'{k} {v:.1f}' for k, v in values.items())}", flush=True)
    kinds = [each.kind for each in images]
    shown = [(images[at], heat[at]) for at in map(kinds.index, DEFECTS)]
    return Measured(found, seconds, shown, detector.usual_high)


def draw(found: dict[str, Measured]) -> None:
    """An image of each texture and defect, with its heat map and the border of its mask."""
    drawing = Figure(figsize=(7.6, 11.2), layout="constrained", dpi=120)
    axes = drawing.subplots(2 * len(found), len(DEFECTS), squeeze=False)
    for row, (name, each) in enumerate(found.items()):
        for column, (example, heat) in enumerate(each.shown):
            above, below = axes[2 * row][column], axes[2 * row + 1][column]
            above.imshow(example.image)
            below.imshow(heat_overlay(example.image, heat, each.usual, 3 * each.usual))
            below.contour(example.mask, [0.5], colors="white", linewidths=0.8)
            if row == 0:
                above.set_title(example.kind, fontsize=10)
            if column == 0:
                above.set_ylabel(name, fontsize=10)
                below.set_ylabel("heat map", fontsize=10)
    for each in axes.flat:
        each.set(xticks=[], yticks=[])
    drawing.savefig(DRAWING)


def cell(values: list[float]) -> str:
    """Mean, minimum and maximum."""
    return f"{statistics.mean(values):.1f} ({min(values):.1f} - {max(values):.1f})"


def main() -> None:
    """Reads the command line, measures, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--states", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    states = range(FIRST, FIRST + given.states)
    found = {name: [measured(name, state) for state in states] for name in TEXTURES}
    draw({name: each[0] for name, each in found.items()})
    methods = list(found["woven"][0].figures)
    rows = [
        f"| {name} | {method} | {' | '.join(cell([each.figures[method][m] for each in runs]) for m in METRICS)} | "
        f"{statistics.median([each.seconds[method] for each in runs]):.1f} |"
        for name, runs in found.items()
        for method in methods
    ]
    every = [each for runs in found.values() for each in runs]
    kinds = [
        f"| {method} | {' | '.join(cell([each.figures[method][kind] for each in every]) for kind in DEFECTS)} |"
        for method in methods
    ]
    minutes = (time.process_time() - began) / 60
    lines = [
        BEGIN,
        f"Mean, minimum and maximum over {given.states} random states, in %. Written by `python benchmarks/textures.py` on",
        f"{datetime.now(UTC):%Y-%m-%d} in {minutes:.1f} minutes of processor time; {machine()}.",
        "",
        f"| texture | method | {' | '.join(METRICS)} | training, processor s |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        "Image AUROC of each kind of defect against images without, over textures and random states:",
        "",
        f"| method | {' | '.join(DEFECTS)} |",
        "|---|---|---|---|---|",
        *kinds,
        END,
    ]
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    PAGE.write_text(before + "\n".join(lines) + after, encoding="utf-8")
    print(f"written: {PAGE}, {DRAWING}")


if __name__ == "__main__":
    main()
