"""Measures the time isthmus and the tutorials' Keras code need to reach a published test figure; writes docs/quality.md.

benchmarks/install.sh FOLDER
python benchmarks/quality.py FOLDER [--seeds 3] [--targets keras-conv,half-of-pca]

With --targets the page keeps what it says of the others.

Ours is a short training of a recipe whose schedule ends where the figure is passed; how many epochs that takes was chosen on 10,000 of the
training digits. Keras's seconds are those of an epoch, measured here, times the epochs after which the tutorial printed its figure.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from run import HERE, epoch

from isthmus import Autoencoder, data, recipes
from isthmus.architectures import MLP, Conv
from isthmus.bottlenecks import Gaussian, Identity
from isthmus.corruptions import GaussianNoise
from isthmus.experiments.reproduction import machine
from isthmus.optimizers import AdamW, OneCycle
from isthmus.trainable import Batch

PIXELS = 784


def per_pixel(ae: Autoencoder, X: np.ndarray) -> float:
    """Cross-entropy in nats per pixel, of corrupted examples where training corrupts them."""
    if not isinstance(ae.corruption_, GaussianNoise):
        return -float(ae.score(X)) / PIXELS
    p = np.clip(ae.reconstruct(ae.corrupt(X, random_state=1)) / 255.0, 1e-7, 1 - 1e-7)
    x = X / 255.0
    return float(-(x * np.log(p) + (1 - x) * np.log1p(-p)).mean())


def per_digit(ae: Autoencoder, X: np.ndarray) -> float:
    """-ELBO in nats, of sampled codes."""
    x = ae.model_.normalize(torch.from_numpy(X))
    with torch.inference_mode():
        losses = ae.model_.eval()(Batch(x, x), torch.Generator().manual_seed(1))
    return float(losses.total.mean())


def squares(ae: Autoencoder, X: np.ndarray) -> float:
    """Squared error per digit, of pixels in [0, 1]."""
    return float(np.square((X - ae.reconstruct(X)) / 255.0).sum() / len(X))


@dataclass(frozen=True)
class Target:
    """A figure to reach: how it is measured, by which training, and the tutorial's work with its epochs."""

    title: str
    figure: float
    measure: Callable[[Autoencoder, np.ndarray], float]
    build: Callable[[], Autoencoder]
    work: str | None = None
    epochs: int = 0


def small_map() -> Autoencoder:
    """Convolutions to a code of 4x4x8."""
    architecture = Conv((16, 32), down="stride", code="map", up="transpose")
    return Autoencoder(
        Identity(8), architecture=architecture, optimizer=AdamW(1e-2, schedule=OneCycle()), batch_size=128
    )


def restoring() -> Autoencoder:
    """Convolutions to a code of 7x7x32, of noisy digits."""
    architecture = Conv((32,), down="stride", code="map", up="transpose", kernel=7)
    noise, optimizer = GaussianNoise(0.5, clip=True), AdamW(5e-3, schedule=OneCycle())
    return Autoencoder(Identity(32), architecture=architecture, corruption=noise, optimizer=optimizer, batch_size=128)


def drawn() -> Autoencoder:
    """A variational code of size 2; `recipes.variational` takes smaller steps, which small tables need."""
    architecture, optimizer = MLP((256, 128)), AdamW(8e-3, schedule=OneCycle())
    return Autoencoder(Gaussian(2), architecture=architecture, optimizer=optimizer, batch_size=128)


TARGETS = {
    "keras-simple": Target(
        "784-32-784", 0.1022, per_pixel, lambda: recipes.simple(32).set_params(epochs=3), "keras-simple", 50
    ),
    "keras-deep": Target(
        "deep, code of 32", 0.1020, per_pixel, lambda: recipes.deep(32).set_params(epochs=3), "keras-deep", 100
    ),
    "keras-conv": Target(
        "code of 4x4x8", 0.0981, per_pixel, lambda: small_map().set_params(epochs=1), "keras-conv", 50
    ),
    "keras-denoising": Target(
        "noise of std 0.5, code of 7x7x32",
        0.0938,
        per_pixel,
        lambda: restoring().set_params(epochs=10),
        "keras-denoising",
        100,
    ),
    "keras-vae": Target(
        "variational, code of 2", 150.38, per_digit, lambda: drawn().set_params(epochs=3.5), "keras-vae", 50
    ),
    "simple": Target("784-32-784, lower target", 0.0915, per_pixel, lambda: recipes.simple(32).set_params(epochs=30)),
    "half-of-pca": Target(
        "half of the error of PCA, code of 30", 6.93, squares, lambda: recipes.deep(30).set_params(epochs=4)
    ),
}


def main() -> None:
    """Reads the command line, measures, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("environments", type=Path, help="where install.sh put the virtual environments")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "quality.md")
    given = parser.parse_args()
    digits, lines = data.mnist(), known(given.out)
    recipes.simple(8).set_params(epochs=1).fit(digits.train[:500])  # what is imported when first used is no training
    for name in given.targets.split(","):
        target = TARGETS[name]
        seconds, figures = [], []
        for seed in range(given.seeds):
            ae = target.build().set_params(random_state=seed)
            began = time.perf_counter()
            ae.fit(digits.train)
            seconds.append(time.perf_counter() - began)
            figures.append(target.measure(ae, digits.test))
        theirs = keras_epoch(target.work, given.environments) * target.epochs if target.work else None
        lines[name] = row(name, target, seconds, figures, theirs)
        print(lines[name], flush=True)
    kept = [lines[name] for name in TARGETS if name in lines]
    given.out.write_text(page(kept, given.seeds), encoding="utf-8")
    print(f"written: {given.out}")


def known(path: Path) -> dict[str, str]:
    """The lines of the page that is there, by their targets."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {name: line for line in lines if (name := line.strip("| ").partition(" |")[0]) in TARGETS}


def keras_epoch(work: str, environments: Path) -> float:
    """Seconds of an epoch of the work in Keras."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits.npy"
        np.save(path, data.mnist().train)
        python = str(environments / "keras" / "bin" / "python")
        command = [python, str(HERE / "peers" / "keras_peer.py"), work, str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    return epoch(json.loads(done.stdout.splitlines()[-1]))


def row(name: str, target: Target, seconds: list[float], figures: list[float], theirs: float | None) -> str:
    """A line of the table."""
    ours, digits = statistics.median(seconds), 4 if target.figure < 1 else 2
    reached = "yes" if max(figures) <= target.figure else "no"
    spread = f"{min(figures):.{digits}f} - {max(figures):.{digits}f}"
    apart = "- | -" if theirs is None else f"{theirs:,.0f} | {theirs / ours:.0f}"
    wanted = f"{target.figure:.{digits}f}"
    return f"| {name} | {target.title} | {wanted} | {spread} | {reached} | {ours:.1f} ({min(seconds):.1f} - {max(seconds):.1f}) | {apart} |"


def page(lines: list[str], seeds: int) -> str:
    """The page."""
    return "\n".join(
        [
            "# Training time to a target",
            "",
            "This page compares how long isthmus and Keras train until a published test figure is reached, for users who choose a library.",
            "",
            f"Written by `python benchmarks/quality.py` on {datetime.now(UTC):%Y-%m-%d}; {machine()}.",
            f"Each row has {seeds} random states. *Reached* is their range on the 10,000 test digits; *all* says whether each",
            "meets the target. *Seconds* is the median time of `fit` on the 60,000 training digits (minimum - maximum). *Keras* runs the",
            "tutorial's code: the measured seconds per epoch times the epochs after which the tutorial printed the figure. Units are nats",
            "per pixel; for `keras-vae`, nats per digit; for `half-of-pca`, squared error per digit, pixels in [0, 1].",
            "",
            "| tutorial | model | target | reached | all | seconds | Keras, seconds | speedup |",
            "|---|---|---|---|---|---|---|---|",
            *lines,
            "",
        ]
    )


if __name__ == "__main__":
    main()
