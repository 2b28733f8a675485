"""Measures time and memory by number of examples, layer width and image size; writes docs/growth.md and docs/growth.png.

python benchmarks/growth.py [--most 10000000]

Each measurement runs in its own process: seconds of `fit` for one epoch, of `evaluate` and of encoding all examples, and the peak memory
of the process minus its peak after the imports. The examples are synthetic, in a memory-mapped file.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
MIB = 2**20
FEATURES = 50  # of the tables whose number of rows grows
EXAMPLES = 10_000  # where something else grows


def main() -> None:
    """Runs all measurements, or one in a subprocess."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--most", type=int, default=10_000_000, help="examples")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs")
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measured(**given.one)))
        return
    rows: dict[str, list[dict[str, Any]]] = {"examples": [], "width": [], "side": []}
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        for n in [10**k for k in range(3, 8) if 10**k <= given.most]:
            rows["examples"].append(alone(folder, (n, FEATURES), 64))
        for width in (64, 256, 1024, 4096):
            rows["width"].append(alone(folder, (EXAMPLES, 784), width))
        for side in (14, 28, 56, 112):
            rows["side"].append(alone(folder, (EXAMPLES // 5, side, side), 0))
        large = alone(folder, (2_600_000, 784), 64)
    (given.out / "growth.md").write_text(page(rows, large), encoding="utf-8")
    draw(rows, given.out / "growth.png")
    print(f"written: {given.out / 'growth.md'}, {given.out / 'growth.png'}")


def alone(folder: str, shape: tuple[int, ...], width: int) -> dict[str, Any]:
    """The measurements of a separate process on examples of a shape."""
    path = Path(folder) / "examples.npy"
    X = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    rng = np.random.default_rng(0)
    rows = min(len(X), 20_000)
    numbers = rng.normal(size=(rows, 5)) @ rng.normal(size=(5, int(np.prod(shape[1:]))))
    block = (255 / (1 + np.exp(-numbers))).astype(np.uint8).reshape(rows, *shape[1:])
    for begin in range(0, len(X), rows):
        X[begin : begin + rows] = block[: len(X) - begin]
    del X
    command = [sys.executable, __file__, "--one", json.dumps({"path": str(path), "width": width})]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    row: dict[str, Any] = {"shape": shape, "width": width} | json.loads(done.stdout)
    print(row, flush=True)
    return row


def measured(path: str, width: int) -> dict[str, float]:
    """Seconds and memory of this process on the examples of a file."""
    from isthmus import Autoencoder
    from isthmus.architectures import MLP, Conv
    from isthmus.bottlenecks import Identity
    from isthmus.evaluation import evaluate

    def autoencoder() -> Autoencoder:
        architecture = MLP((width,)) if width else Conv((16, 32))
        return Autoencoder(Identity(8), architecture=architecture, epochs=1, batch_size=256, random_state=0)

    rng = np.random.default_rng(0)
    autoencoder().fit(
        rng.integers(0, 255, (300, 5, 5)[: 3 if not width else 2], np.uint8)
    )  # imports all that is needed
    before = peak()
    X = np.load(path, mmap_mode="r")
    began = time.perf_counter()
    ae = autoencoder().fit(X)
    fitted = time.perf_counter()
    evaluate(ae, X)
    evaluated = time.perf_counter()
    for begin in range(0, len(X), 100_000):
        ae.encode(X[begin : begin + 100_000])
    encoded = time.perf_counter()
    return {
        "bytes": X.nbytes,
        "fit": fitted - began,
        "epoch": ae.seconds_,
        "evaluate": evaluated - fitted,
        "encode": encoded - evaluated,
        "memory": peak() - before,
    }


def peak() -> float:
    """The peak resident memory of this process, in MiB."""
    return int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 1024  # type: ignore[index]


def page(rows: dict[str, list[dict[str, Any]]], large: dict[str, Any]) -> str:
    """The page, with a table for each quantity that varies."""
    from isthmus.experiments.reproduction import machine

    lines = [
        "# Time and memory by data size",
        "",
        "This page shows how training time and memory depend on the number of examples, the layer width and the image size.",
        "Read it before you train on large data.",
        "",
        "The data are synthetic 8-bit values in a memory-mapped file. Each training is one epoch with a batch size of 256.",
        "",
        "- *fit* is the complete `fit`, including the passes over the data before training.",
        "  *µs per example* is *fit* divided by the number of examples.",
        "- *memory* is the peak resident memory of the process, minus its peak after the imports.",
        "",
        f"Written by `python benchmarks/growth.py` on {datetime.now(UTC):%Y-%m-%d}; {machine()}.",
        "",
        "![Seconds and memory by number of examples, layer width and image size](growth.png)",
    ]
    titles = {
        "examples": f"Number of examples: tables of {FEATURES} features, MLP {FEATURES}-64-8",
        "width": "Layer width: MLP 784-width-8",
        "side": "Image size: convolutions with 16 and 32 channels",
    }
    for name, title in titles.items():
        lines += ["", f"## {title}", "", *table(rows[name])]
    lines += ["", "## A file of 2 GB, MLP 784-64-8", "", *table([large])]
    return "\n".join(lines) + "\n"


def table(rows: list[dict[str, Any]]) -> list[str]:
    """A line for each measurement."""
    lines = [
        "| examples | width | file, MiB | fit, s | µs per example | evaluate, s | encode, s | memory, MiB |",
        "|" + "---|" * 8,
    ]
    for row in rows:
        n = row["shape"][0]
        shape = " x ".join(f"{side:,}" for side in row["shape"])
        lines.append(
            f"| {shape} | {row['width'] or '-'} | {row['bytes'] / MIB:,.1f} | {row['fit']:.2f} | {row['fit'] / n * 1e6:.1f} | "
            f"{row['evaluate']:.2f} | {row['encode']:.2f} | {row['memory']:,.0f} |"
        )
    return lines


def draw(rows: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Seconds and memory by each quantity that varies."""
    from matplotlib.figure import Figure

    figure = Figure((12, 6.5), layout="constrained")
    axes = figure.subplots(2, 3)
    positions = {
        "examples": ("examples", lambda row: row["shape"][0]),
        "width": ("layer width", lambda row: row["width"]),
        "side": ("image side, pixels", lambda row: row["shape"][1]),
    }
    for column, (name, (label, place)) in enumerate(positions.items()):
        x = [place(row) for row in rows[name]]
        for what in ("fit", "evaluate", "encode"):
            axes[0, column].plot(x, [row[what] for row in rows[name]], "o-", label=what)
        axes[1, column].plot(x, [row["memory"] for row in rows[name]], "o-", color="C3")
        for row in (0, 1):
            axes[row, column].set(xscale="log", xlabel=label)
            axes[row, column].set_xticks(x, [f"{n:,}" for n in x], minor=False)
            axes[row, column].minorticks_off()
            axes[row, column].tick_params(axis="x", labelsize=8)
            axes[row, column].grid(alpha=0.3)
        axes[0, column].set(yscale="log", ylabel="seconds")
        axes[0, column].legend(frameon=False)
        axes[1, column].set(ylabel="memory above imports, MiB")
        axes[1, column].set_ylim(bottom=0)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
