"""Restores dirty pages with a small convolutional autoencoder, compared with filters; writes the figures of docs/documents.md.

python benchmarks/documents.py [--states 3] [--epochs 13]

Pages of random words are rendered with the font of Pillow, in different sizes. Shadows, folds, stains and noise are synthetic. The
autoencoder is trained on patches of the training pages, and settings of filters are chosen on training pages. Other pages are restored
whole. A random state determines pages, dirt and initial weights. BM3D is compared too where the packages bm3d and PyWavelets are
installed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from run import HERE
from scipy import ndimage
from scipy.special import expit
from skimage.restoration import denoise_nl_means, estimate_sigma

from isthmus import Autoencoder
from isthmus.architectures import Conv
from isthmus.bottlenecks import Identity
from isthmus.data.images.patches import cut_patches
from isthmus.experiments.reproduction import machine
from isthmus.likelihoods import Normal

Array = np.ndarray[Any, np.dtype[Any]]
PAGE, PICTURE = HERE.parent / "docs" / "documents.md", HERE.parent / "docs" / "figures" / "documents.png"
BEGIN, END = "<!-- figures: written by benchmarks/documents.py -->", "<!-- end of figures -->"
SIDE, N_TRAINING, N_TEST, N_SELECTION = 64, 24, 4, 2
FIRST = 100  # random state; the net and its epochs were chosen on the pages of others
LETTERS = "eeeeeetttttaaaaooooiiiinnnnssshhhrrrddllccuummwwffggyyppbbvk"


class Pages(NamedTuple):
    """Dirty pages and the same pages clean, uint8 (h, w) of different sizes."""

    dirty: list[Array]
    clean: list[Array]


def clean_page(rng: np.random.Generator) -> Array:
    """A page of random words in random sizes of letters."""
    height, width = (int(rng.integers(*ends)) for ends in ((360, 520), (280, 420)))
    page = Image.new("L", (width, height), 255)
    draw, y = ImageDraw.Draw(page), int(rng.integers(8, 24))
    font, margin = ImageFont.load_default(float(rng.integers(13, 24))), int(rng.integers(10, 30))
    while y < height - 10:
        words = ["".join(rng.choice(list(LETTERS), rng.integers(2, 10))) for _ in range(12)]
        line = " ".join(word.capitalize() if rng.random() < 0.1 else word for word in words)
        while draw.textlength(line, font) > width - 2 * margin and " " in line:
            line = line.rpartition(" ")[0]
        draw.text((margin, y), line, fill=int(rng.integers(0, 60)), font=font)
        y += int(font.size * 1.4) + (12 if rng.random() < 0.15 else 0)
    return np.asarray(page)


def dirty_page(clean: Array, rng: np.random.Generator) -> Array:
    """The page with a shadow, folds, stains and the noise of a camera."""
    height, width = clean.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    along = (np.cos(angle) * x / width + np.sin(angle) * y / height) * rng.uniform(1, 4) + rng.uniform(0, 6)
    light = rng.uniform(0.75, 1) - rng.uniform(0.1, 0.35) * (1 + np.sin(along)) / 2
    for _ in range(rng.integers(1, 4)):  # folds: a dark line between a lighter and a darker side
        vertical, sides = rng.random() < 0.5, (width, height)
        away = (x if vertical else y) - rng.uniform(0.1, 0.9) * sides[not vertical]
        away += rng.uniform(-0.1, 0.1) * (y if vertical else x)
        light += rng.uniform(0.03, 0.1) * np.tanh(away / 3) * np.exp(-np.abs(away) / 12)
        light -= rng.uniform(0.1, 0.3) * np.exp(-np.square(away / rng.uniform(0.7, 1.5)))
    for _ in range(rng.integers(2, 6)):  # stains: blots, and rings of cups
        away = np.hypot(x - rng.uniform(0, width), y - rng.uniform(0, height)) + 4 * np.sin(x / 17) * np.cos(y / 13)
        radius = rng.uniform(10, 70)
        blot = expit((radius - away) / rng.uniform(0.7, 3))
        ring = np.exp(-np.square((away - radius) / rng.uniform(1.5, 5)))
        light -= rng.uniform(0.05, 0.25) * (blot + ring if rng.random() < 0.5 else ring)
    ink = ndimage.gaussian_filter(clean / 255, rng.uniform(0.3, 0.7))
    seen = ink * light.clip(0.15, 1) + rng.normal(0, rng.uniform(0.02, 0.06), clean.shape)
    return np.asarray(np.rint(255 * seen.clip(0, 1)), np.uint8)


def pages_of(count: int, rng: np.random.Generator) -> Pages:
    """Random pages."""
    clean = [clean_page(rng) for _ in range(count)]
    return Pages([dirty_page(page, rng) for page in clean], clean)


def trained(pages: Pages, state: int, epochs: float) -> Autoencoder:
    """A fully convolutional autoencoder, trained on patches of pages."""
    dirty, clean = (np.concatenate([cut_patches(page, SIDE) for page in side]) for side in pages)
    architecture = Conv((32,), code="map", down="stride")
    ae = Autoencoder(Identity(48, "relu"), architecture=architecture, likelihood=Normal("learned"), kind="images")
    ae.set_params(epochs=epochs, batch_size=16, random_state=state)
    return ae.fit(dirty, target=clean)


def median(width: int) -> Callable[[Array], Array]:
    """The median of each pixel's neighborhood."""
    return lambda page: ndimage.median_filter(page, width)


def non_local_means(strength: float) -> Callable[[Array], Array]:
    """Non-local means (Buades, Coll and Morel 2005), by scikit-image."""
    return lambda page: 255 * denoise_nl_means(page / 255, patch_size=5, patch_distance=6, h=strength)


def background(width: int) -> Callable[[Array], Array]:
    """The page divided by its background, the median of a neighborhood larger than letters: a usual way to remove shadows."""
    return lambda page: page * (255 / np.maximum(ndimage.median_filter(page, width), 1))


def block_matching(page: Array) -> Array:
    """BM3D (Dabov, Foi, Katkovnik and Egiazarian 2007), by the package of its authors, with the noise that scikit-image estimates."""
    from bm3d import bm3d

    return np.asarray(255 * bm3d(page / 255, sigma_psd=estimate_sigma(page / 255)))


FILTERS = {
    "median filter": [median(width) for width in (3, 5)],
    "non-local means": [non_local_means(strength) for strength in (0.1, 0.2)],
    "division by the background": [background(width) for width in (15, 25)],
}
if find_spec("bm3d") is not None and find_spec("pywt") is not None:
    FILTERS["BM3D"] = [block_matching]


def error(restored: Array, clean: Array) -> float:
    """The mean squared error of a page, of values in [0, 1]."""
    return float(np.square((np.clip(restored, 0, 255) - clean.astype(np.float64)) / 255).mean())


def mean_error(restore: Callable[[Array], Array], pages: Pages) -> float:
    """The mean of the errors of pages."""
    return statistics.mean(error(restore(dirty), clean) for dirty, clean in zip(*pages, strict=True))


def measured(state: int, epochs: float) -> tuple[dict[str, float], dict[str, float], Autoencoder, Pages]:
    """For each method the error of test pages, and the seconds: of restoring a page, and of training."""
    rng = np.random.default_rng(state)
    training, test = pages_of(N_TRAINING, rng), pages_of(N_TEST, rng)
    some = Pages(training.dirty[:N_SELECTION], training.clean[:N_SELECTION])
    methods: dict[str, Callable[[Array], Array]] = {"dirty page": lambda page: page}
    for name, settings in FILTERS.items():
        methods[name] = min(settings, key=lambda setting: mean_error(setting, some)) if settings[1:] else settings[0]
    began = time.perf_counter()
    ae = trained(training, state, epochs)
    seconds = {"training": time.perf_counter() - began}
    methods["isthmus"] = ae.reconstruct_image
    errors = dict[str, float]()
    for name, restore in methods.items():
        began = time.perf_counter()
        errors[name] = mean_error(restore, test)
        seconds[name] = (time.perf_counter() - began) / N_TEST
        print(f"state {state}: {name} {errors[name]:.5f}", flush=True)
    return errors, seconds, ae, test


def draw(ae: Autoencoder, pages: Pages) -> None:
    """A part of a dirty page, restored and clean, side by side."""
    number = int(np.argmax([error(*pair) for pair in zip(*pages, strict=True)]))
    dirty, clean = pages.dirty[number], pages.clean[number]
    restored = np.asarray(np.rint(ae.reconstruct_image(dirty).clip(0, 255)), np.uint8)
    parts = [np.pad(page[:340, :280], ((0, 0), (0, 12)), constant_values=255) for page in (dirty, restored, clean)]
    Image.fromarray(np.concatenate(parts, 1)[:, :-12]).save(PICTURE, optimize=True)


def row(name: str, errors: list[float], seconds: list[float]) -> str:
    """A line of the table."""
    decibels = [-10 * np.log10(each) for each in errors]
    spread = f"{statistics.mean(decibels):.1f} ({min(decibels):.1f} - {max(decibels):.1f})"
    return f"| {name} | {statistics.mean(errors):.4f} | {spread} | {statistics.median(seconds):.2f} |"


def main() -> None:
    """Reads the command line, measures, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--states", type=int, default=3)
    parser.add_argument("--epochs", type=float, default=13)
    given = parser.parse_args()
    torch.set_num_threads(1)
    began = time.perf_counter()
    found = [measured(FIRST + number, given.epochs) for number in range(given.states)]
    draw(*found[0][2:])
    rows = [
        row(name, [errors[name] for errors, *_ in found], [seconds[name] for _, seconds, *_ in found])
        for name in found[0][0]
    ]
    training = statistics.median(seconds["training"] for _, seconds, *_ in found)
    minutes = (time.perf_counter() - began) / 60
    lines = [
        BEGIN,
        f"Means over {given.states} random states; of PSNR also minimum and maximum. Training took {training:.0f} s. Written by",
        f"`python benchmarks/documents.py` on {datetime.now(UTC):%Y-%m-%d} in {minutes:.0f} minutes; {machine()}.",
        "",
        "| method | mean squared error | PSNR, dB | seconds per page |",
        "|---|---|---|---|",
        *rows,
        END,
    ]
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    PAGE.write_text(before + "\n".join(lines) + after, encoding="utf-8")
    print(f"written: {PAGE}, {PICTURE}")


if __name__ == "__main__":
    main()
