"""Trains on folders of photographs that are read from their files in each epoch; writes the figures of docs/photos.md.

python benchmarks/folders.py [--photos 150]
python benchmarks/folders.py --many 100000

Synthetic photographs of 256 x 256 pixels are written to a temporary folder as JPEG: this number, and ten times as many. For each folder a
process of its own trains one epoch with a cache of 8 MB, and one with the whole folder as an array. The time that the training waits
for images is the time within the call that fetches a batch.

With --many, a small net is trained on random crops of 1,000 photographs and of this number, from their files. The folder of 100,000 takes
2.2 GB and is removed afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from run import HERE

import isthmus
from isthmus import Autoencoder
from isthmus.architectures import Conv
from isthmus.augmentations import Crop
from isthmus.data.images.decoder import n_threads
from isthmus.experiments.reproduction import machine
from isthmus.training.batches import InMemorySource
from isthmus.training.file_source import FileSource

KEPT = HERE / "measured" / "folders.json"
KEPT_MANY = HERE / "measured" / "many_photos.json"
PAGE = HERE.parent / "docs" / "photos.md"
BEGIN, END = "<!-- benchmarks/folders.py -->", "<!-- end of benchmarks/folders.py -->"
BEGIN_MANY, END_MANY = "<!-- benchmarks/folders.py --many -->", "<!-- end of benchmarks/folders.py --many -->"
SIDE, CACHE, BATCH = 256, "8MB", 16
FEW, CROP, BATCH_OF_CROPS = 1_000, 64, 32
WAYS = {"from files": CACHE, "as an array": "1TB"}


def write_photos(folder: Path, count: int) -> None:
    """Soft areas of color with grain, which compress like photographs; every tenth is drawn anew, others are turned and brightened."""
    rng, base = np.random.default_rng(0), Image.new("RGB", (SIDE, SIDE))
    for number in range(count):
        if number % 10 == 0:
            coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3)).astype(np.uint8))
            base = coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(1))
            base = Image.fromarray((np.asarray(base) + rng.normal(0, 9, (SIDE, SIDE, 3))).clip(0, 255).astype(np.uint8))
        turned = base.rotate(36 * (number % 10), Image.Resampling.NEAREST).point(
            lambda v, n=number: v * (80 + n % 10) // 90
        )
        (folder / f"{number // 1000:03d}").mkdir(exist_ok=True)
        turned.save(folder / f"{number // 1000:03d}" / f"{number:06d}.jpg", quality=90)


def peak() -> float:
    """The peak memory of this process, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def trained(folder: Path, cache: str, crop: int | None) -> dict[str, Any]:
    """Trains one epoch in this process, on whole photographs or on random crops of them."""
    waited, source = [0.0], FileSource if cache == CACHE else InMemorySource
    fetch = source.__getitem__

    def timed(self: Any, index: torch.Tensor) -> torch.Tensor:
        began = time.perf_counter()
        x = fetch(self, index)
        waited[0] += time.perf_counter() - began
        return x

    source.__getitem__ = timed  # type: ignore[method-assign,assignment]
    batch = BATCH if crop is None else BATCH_OF_CROPS
    ae = Autoencoder(64, architecture=Conv((4, 8, 8), up="transpose"), epochs=1, batch_size=batch, random_state=0)
    ae.set_params(augmentation=None if crop is None else Crop(crop))
    before, began = peak(), time.perf_counter()
    dataset = isthmus.data.read(folder, split="none", cache=cache)
    read = time.perf_counter() - began
    peaks = [
        peak() for report in ae.iter_fit(dataset.train, every=lambda step: step == len(dataset.train) // 3 // batch)
    ]
    fitted = time.perf_counter() - began - read
    seconds = ae.history_[-1].seconds
    return {
        "photos": len(dataset.train),
        "decoded MB": dataset.train.nbytes / 1e6,
        "peak MB": [peaks[0], peak()],
        "before MB": before,
        "seconds of reading": read,
        "seconds before the epoch": fitted - seconds,
        "seconds of the epoch": seconds,
        "waiting": waited[0] / seconds,
        "loss": ae.history_[-1].loss,
    }


def alone(folder: Path, cache: str, crop: int | None = None) -> dict[str, Any]:
    """`trained` in a process of its own."""
    words = [sys.executable, str(Path(__file__)), "--folder", str(folder), "--cache", cache]
    words += [] if crop is None else ["--crop", str(crop)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def table(figures: list[dict[str, Any]]) -> list[str]:
    """A line for each folder and way."""
    names = "photos", "decoded", "read", "peak memory", "seconds of an epoch", "photos per second", "waiting for images"
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    for each in figures:
        cells = [
            f"{each['photos']:,}",
            f"{each['decoded MB']:,.0f} MB",
            each["way"],
            " - ".join(f"{megabytes:,.0f}" for megabytes in each["peak MB"]) + " MB",
            f"{each['seconds of the epoch']:.1f}",
            f"{each['photos'] / each['seconds of the epoch']:.0f}",
            f"{each['waiting']:.1%}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def section(figures: list[dict[str, Any]], how: str) -> str:
    """The section of the page."""
    return "\n".join(
        [
            BEGIN,
            f"Synthetic photographs of {SIDE} x {SIDE} pixels as JPEG; one epoch of",
            f"`Autoencoder(64, architecture=Conv((4, 8, 8), up='transpose'))` in batches of {BATCH}. *From files*: `cache={CACHE!r}`.",
            "*Peak memory* is that of the process after a third of the epoch, and at its end; of it",
            f"{figures[0]['before MB']:,.0f} MB are the libraries. *Waiting for images* is the",
            "share of the epoch in which no step was computed.",
            "The losses of both ways are the same to the last digit.",
            "",
            *table(figures),
            "",
            how,
            END,
        ]
    )


def measured(count: int) -> list[dict[str, Any]]:
    """The figures of both folders and ways; of the larger folder only from files."""
    figures = []
    for n, ways in ((count, tuple(WAYS)), (10 * count, ("from files",))):
        with tempfile.TemporaryDirectory() as folder:
            write_photos(Path(folder), n)
            for way in ways:
                figures.append({"way": way} | alone(Path(folder), WAYS[way]))
                print(figures[-1], flush=True)
    assert figures[0]["loss"] == figures[1]["loss"]
    return figures


def measured_many(count: int) -> list[dict[str, Any]]:
    """The figures of training on crops of few and of this many photographs."""
    figures = []
    for n in (FEW, count):
        with tempfile.TemporaryDirectory() as folder:
            write_photos(Path(folder), n)
            figures.append(alone(Path(folder), CACHE, CROP))
            print(figures[-1], flush=True)
    return figures


def section_of_many(figures: list[dict[str, Any]], how: str) -> str:
    """The section about many photographs."""
    names = "photos", "decoded", "peak memory", "reading headers", "before the epoch", "epoch", "photos per second"
    lines = [f"| {' | '.join(names)} | waiting for images |", "|" + "---|" * (len(names) + 1)]
    for each in figures:
        cells = [
            f"{each['photos']:,}",
            f"{each['decoded MB'] / 1000:,.1f} GB",
            f"{each['peak MB'][-1]:,.0f} MB",
            *(
                f"{each[name]:,.0f} s"
                for name in ("seconds of reading", "seconds before the epoch", "seconds of the epoch")
            ),
            f"{each['photos'] / each['seconds of the epoch']:.0f}",
            f"{each['waiting']:.0%}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    text = [
        f"The same photographs, read from their files with `cache={CACHE!r}`; one epoch of the same net on random crops, with",
        f"`augmentation=Crop({CROP})` in batches of {BATCH_OF_CROPS}. *Before the epoch* every photograph is decoded two times.",
        f"{n_threads()} threads decode beside the steps.",
    ]
    return "\n".join(["", BEGIN_MANY, "### Many photographs", "", *text, "", *lines, "", how, END_MANY])


def write(kept: Path, figures: list[dict[str, Any]], text: str, ends: tuple[str, str], how: str) -> None:
    """Writes the figures as JSON, and a section of the page."""
    kept.write_text(json.dumps({"made": how, "figures": figures}, indent=1), encoding="utf-8")
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(ends[0])
    PAGE.write_text(before + text + rest.partition(ends[1])[2], encoding="utf-8")
    print(f"written: {PAGE}")


def main() -> None:
    """Reads the command line, measures, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photos", type=int, default=150)
    parser.add_argument("--many", type=int)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--cache", default=CACHE)
    parser.add_argument("--crop", type=int)
    given = parser.parse_args()
    if given.folder is not None:
        print(json.dumps(trained(given.folder, given.cache, given.crop)))
        return
    began, words = time.perf_counter(), f"--photos {given.photos}" if given.many is None else f"--many {given.many}"
    figures = measured(given.photos) if given.many is None else measured_many(given.many)
    minutes = (time.perf_counter() - began) / 60
    load = f"{os.getloadavg()[0]:.1f} programs used its processors at the same time"
    how = (
        f"Written by `python benchmarks/folders.py {words}` on {datetime.now(UTC):%Y-%m-%d} in {minutes:.0f} minutes; "
        f"{machine()}; {load}."
    )
    if given.many is None:
        write(KEPT, figures, section(figures, how), (BEGIN, END), how)
    else:
        write(KEPT_MANY, figures, section_of_many(figures, how), (BEGIN_MANY, END_MANY), how)


if __name__ == "__main__":
    main()
