"""Measures rate and distortion of compressed codes, compared with JPEG, WebP and PCA; writes docs/compression.md.

python benchmarks/compression.py [--seeds 3] [--epochs 20] [--limit 10000] [--figures] [--out docs/compression.md]

Each autoencoder is trained on the training images; the test images are compressed. --epochs and --limit make the run shorter. --figures
trains only the autoencoder whose curves are drawn, with the first random state, and leaves the page as it is.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from isthmus import Autoencoder, data, plots
from isthmus.architectures import MLP, Conv
from isthmus.bottlenecks import Gaussian, Identity
from isthmus.compression import (
    Compressed,
    Point,
    RateDistortion,
    at_bits,
    at_psnr,
    compress,
    decompress,
    lossless,
    rate_distortion,
)
from isthmus.experiments.reproduction import machine
from isthmus.plots.figure import save_png

HERE = Path(__file__).parent
SHEETS = ("JPEG, in a sheet", "WebP, in a sheet")
SINGLE = ("JPEG, one by one", "WebP, one by one")
DRAWN = "dense 32"  # whose curves are drawn


def dense(size: int) -> Autoencoder:
    """784-512-256-size and back."""
    return Autoencoder(Identity(size), architecture=MLP((512, 256)))


AUTOENCODERS: dict[str, Callable[[], Autoencoder]] = {
    "dense 8": lambda: dense(8),
    "dense 16": lambda: dense(16),
    "dense 32": lambda: dense(32),
    "dense 64": lambda: dense(64),
    "conv 32": lambda: Autoencoder(Identity(32), architecture=Conv((16, 32))),
    "variational 32": lambda: Autoencoder(Gaussian(32), architecture=MLP((512, 256))),
}


@dataclass(frozen=True)
class Measured:
    """One training: the compressed file with default settings, the rate-distortion curve, and seconds."""

    found: Compressed
    points: tuple[Point, ...]
    training: float
    writing: float
    reading: float


def main() -> None:
    """Reads the command line, measures, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=float, default=20)
    parser.add_argument("--limit", type=int, default=10_000)
    parser.add_argument("--data", default="mnist,fashion_mnist")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "compression.md")
    parser.add_argument("--figures", action="store_true", help="draw the figures only")
    given = parser.parse_args()
    autoencoders, seeds = ({DRAWN: AUTOENCODERS[DRAWN]}, 1) if given.figures else (AUTOENCODERS, given.seeds)
    parts = []
    for name in given.data.split(","):
        images = data.load(name)
        assert images.test is not None
        test = images.test[: given.limit]
        table = {}
        for title, build in autoencoders.items():
            table[title] = [
                measured(build().set_params(epochs=given.epochs, random_state=seed), images.train, test)
                for seed in range(seeds)
            ]
            print(name, *row(title, table[title]), flush=True)
        folder = given.out.parent / "figures"
        folder.mkdir(exist_ok=True)
        points = table[DRAWN][0].points
        save_png(plots.rate_distortion(RateDistortion(points, len(test))), folder / f"compression-{name}.png")
        parts += [] if given.figures else section(name, table, lossless(test), len(test))
    if given.figures:
        return
    given.out.write_text("\n".join([*head(given.seeds, given.epochs), *parts, ""]), encoding="utf-8")
    print(f"written: {given.out}")


def measured(ae: Autoencoder, train: np.ndarray, test: np.ndarray) -> Measured:
    """Trains, compresses, decompresses and measures the rate-distortion curve."""
    began = time.perf_counter()
    ae.fit(train)
    trained = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "test.isthmus"
        found = compress(ae, test, path)
        written = time.perf_counter()
        decompress(ae, path)
        read = time.perf_counter()
    points = rate_distortion(ae, test, train=train, limit=len(test))
    return Measured(found, points, trained - began, written - trained, read - written)


def ours(one: Measured, kind: str = "autoencoder") -> Point:
    """The point of the default step."""
    found = one.found
    more = 8 * found.model_bytes / (found.n_examples * found.n_features) if kind != "autoencoder" else 0
    return Point(kind, found.step, found.n_examples, found.bits_per_dim + more, found.mse, found.psnr)


def spread(values: list[float], digits: int) -> str:
    """The median over random states, with minimum and maximum."""
    middle = f"{statistics.median(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.{digits}f} - {max(values):.{digits}f})"


def figure(values: list[float | None], digits: int) -> str:
    """The median of the known values, or a dash."""
    known = [value for value in values if value is not None]
    return f"{statistics.median(known):.{digits}f}" if known else "-"


def row(title: str, runs: list[Measured]) -> list[str]:
    """A line of the table at equal quality and equal bits."""
    at = [ours(run) for run in runs]
    cells = [title, spread([point.bits for point in at], 3), spread([float(point.psnr or 0) for point in at], 2)]
    for method in ("PCA", *SHEETS, *SINGLE):
        cells.append(
            figure(
                [at_psnr(run.points, method, float(point.psnr or 0)) for run, point in zip(runs, at, strict=True)], 3
            )
        )
    cells.append(figure([at_bits(run.points, "PCA", point.bits) for run, point in zip(runs, at, strict=True)], 2))
    return cells


def counted(title: str, runs: list[Measured], others: dict[str, int], n: int) -> list[str]:
    """A line of the table with the model counted."""
    found = [run.found for run in runs]
    best = min(others.values())
    size = statistics.median(each.model_bytes for each in found)
    both = [ours(run, "with its model").bits for run in runs]
    pays = [each.break_even_examples(best) for each in found]
    cells = [title, f"{size:,.0f}", figure([*both], 2), figure([*pays], 0)]
    jpeg = []
    for run in runs:
        rate = at_psnr(run.points, SHEETS[0], float(run.found.psnr or 0))
        jpeg.append(None if rate is None else run.found.break_even_examples(rate * run.found.n_features * n / 8))
    cells.append(figure([*jpeg], 0))
    seconds = [
        figure([*values], 1)
        for values in ([r.training for r in runs], [r.writing for r in runs], [r.reading for r in runs])
    ]
    return [*cells, *seconds]


def named(method: str) -> str:
    """The name of a codec on the page."""
    return method.replace("in a sheet", "sheet").replace("one by one", "single")


def section(name: str, table: dict[str, list[Measured]], others: dict[str, int], n: int) -> list[str]:
    """The section of one data set."""
    pixels = n * 784
    plain = ", ".join(f"{named(kind)} {8 * size / pixels:.3f}" for kind, size in others.items())
    return [
        "",
        f"## {name}: {n:,} test images",
        "",
        f"Lossless codecs, bits per pixel: {plain}.",
        "",
        "Columns *PCA* to *WebP, single*: bits per pixel at the PSNR of the autoencoder.",
        "Column *PSNR of PCA*: PSNR of PCA at the rate of the autoencoder.",
        "A dash means that the method does not reach this PSNR or this rate.",
        "",
        "| autoencoder | bits per pixel | PSNR, dB | PCA | JPEG, sheet | WebP, sheet | JPEG, single | WebP, single | PSNR of PCA, dB |",
        "|---|---|---|---|---|---|---|---|---|",
        *(f"| {' | '.join(row(title, runs))} |" for title, runs in table.items()),
        "",
        "With the size of the model.",
        "*break-even* is the number of images from which file and model together are smaller than the best lossless codec,",
        "or than a JPEG sheet of equal PSNR (a dash: JPEG has no quality that low). Times are in seconds.",
        "",
        "| autoencoder | model, bytes | bits per pixel | break-even, lossless | break-even, JPEG | training | encoding | decoding |",
        "|---|---|---|---|---|---|---|---|",
        *(f"| {' | '.join(counted(title, runs, others, n))} |" for title, runs in table.items()),
        "",
        *answer(name, table),
        "",
        f"![{DRAWN} on {name}: bits per pixel against PSNR, compared with PCA, PNG, JPEG and WebP](figures/compression-{name}.png)",
    ]


def answer(name: str, table: dict[str, list[Measured]]) -> list[str]:
    """Sentences that follow from the figures."""
    best = max(table, key=lambda title: statistics.median(float(run.found.psnr or 0) for run in table[title]))
    quality = statistics.median(float(run.found.psnr or 0) for run in table[best])
    rates = {title: statistics.median(run.found.bits_per_dim for run in runs) for title, runs in table.items()}
    lines = [
        f"The autoencoder with the highest PSNR, {best}, reaches {quality:.1f} dB at {rates[best]:.3f} bits per pixel."
    ]
    points = table[best][0].points
    for method in (*SHEETS, *SINGLE):
        known = sorted((point.psnr or 0, point.bits) for point in points if point.method == method)
        bits = at_psnr(points, method, quality)
        if bits is not None:
            more = f"needs {bits:.3f} bits per pixel for this PSNR, {bits / rates[best]:.1f} times as much"
        elif known[0][0] > quality:
            more = f"needs {known[0][1]:.3f} bits per pixel even at its lowest quality, {known[0][0]:.1f} dB"
        else:
            more = "does not reach this PSNR"
        lines.append(f"{named(method)} {more}.")
    linear = [at_bits(run.points, "PCA", ours(run).bits) for run in table[best]]
    known_linear = [value for value in linear if value is not None]
    if known_linear:
        there = statistics.median(known_linear)
        apart = f"{abs(quality - there):.1f} dB {'less' if there < quality else 'more'}"
        lines.append(f"PCA with the same code size and entropy coder reaches {there:.1f} dB at this rate, {apart}.")
    least = {method: min(point.bits for point in points if point.method == method) for method in SHEETS}
    beaten = [method for method in SHEETS if (at_psnr(points, method, quality) or least[method]) > rates[best]]
    with_model = statistics.median(ours(run, "with its model").bits for run in table[best])
    smaller = f"Up to {quality:.1f} dB and without its model, it is smaller than {' and '.join(named(method) for method in beaten)}."
    below = f"{smaller} Above this PSNR, use JPEG or WebP: the autoencoder cannot reach it."
    lines.append(below if beaten else "It is not smaller than JPEG and WebP sheets.")
    compared = "more" if with_model > min(least.values()) else "less"
    lines.append(
        f"With its model, it needs {with_model:.2f} bits per pixel for these images, "
        f"{compared} than JPEG and WebP at their lowest quality."
    )
    return [f"**{name}.** " + lines[0], *lines[1:]]


def head(seeds: int, epochs: float) -> list[str]:
    """The beginning of the page."""
    return [
        "# Compression compared with JPEG, WebP and PCA",
        "",
        "This page compares files of quantized autoencoder codes with JPEG, WebP, PNG and PCA, at equal quality and at equal rate.",
        "Read it to decide whether an autoencoder suits your compression task. Rates are given without and with the size of the model.",
        "",
        f"- Figures are the median over {seeds} random states, with minimum and maximum.",
        f"  Models were trained for {epochs:g} epochs on the training images.",
        "- *bits per pixel* of an autoencoder counts the complete file that `isthmus compress` writes with default settings.",
        "  With these, quantization increases the mean squared error by at most 5 %.",
        "- *sheet*: all images in one large image, so that the header of a format is negligible.",
        "  *single*: one file per image, measured on 200 images.",
        "- *PCA* has the same code size as the autoencoder, is fitted on the training images and uses the same entropy coder.",
        "",
        f"Written by `python benchmarks/compression.py` on {datetime.now(UTC):%Y-%m-%d}; {machine()}.",
    ]


if __name__ == "__main__":
    main()
