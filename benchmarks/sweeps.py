"""Measures sweeps one after the other, side by side and with Ray, and writes a section of docs/scale.md.

python benchmarks/sweeps.py [--rounds 3] [--works "60 columns;28 x 28 convolutions"] [--trainings 8] [--epochs 5]

Every measurement is a process of its own. In each round all settings come one after the other. Let nothing else run meanwhile.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from run import HERE, machine
from sections import replace_section

from isthmus import Autoencoder, sweep
from isthmus.architectures import Conv

WORKS: dict[str, Any] = {  # an autoencoder, its examples, and seconds of one of its epochs on one thread, roughly
    "60 columns": lambda rng: (Autoencoder(), rng.normal(size=(20_000, 60)).astype("f4")),
    "400 columns": lambda rng: (Autoencoder(), rng.normal(size=(10_000, 400)).astype("f4")),
    "28 x 28 convolutions": lambda rng: (Autoencoder(architecture=Conv()), rng.integers(0, 256, (250, 28, 28), "u1")),
}
SETTINGS: dict[str, tuple[int, dict[str, Any]]] = {  # threads of the process, and how sweep is called
    "one after the other, one thread": (1, {}),
    "one after the other, two threads": (2, {}),
    "two processes": (2, {"jobs": 2}),
    "Ray, two tasks": (2, {"engine": "ray", "jobs": 2}),
}


def measured(work: str, setting: str, trainings: int, epochs: int) -> float:
    """Seconds of a sweep in this process, from the call to its result."""
    count, how = SETTINGS[setting]
    torch.set_num_threads(count)
    ae, X = WORKS[work](np.random.default_rng(0))
    grid = {"bottleneck__size": [8], "random_state": list(range(trainings))}
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        found = sweep(ae.set_params(epochs=epochs), X, grid, folder=folder, **how)
        assert all(each.status == "done" for each in found.trials)
        return time.perf_counter() - began


def in_own_process(work: str, setting: str, trainings: int, epochs: int) -> float:
    """What `measured` gives in a process of its own."""
    words = ["--one", work, "--settings", setting, "--trainings", str(trainings), "--epochs", str(epochs)]
    said = subprocess.run([sys.executable, __file__, *words], check=True, capture_output=True, text=True).stdout
    return float(said.split()[-1])


def main() -> None:
    """Reads the command line, measures, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--works", default=";".join(WORKS))
    parser.add_argument("--settings", default=";".join(SETTINGS))
    parser.add_argument("--trainings", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "scale.md")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(measured(given.one, given.settings, given.trainings, given.epochs))
        return
    settings = given.settings.split(";")
    began, lines = time.perf_counter(), []
    for work in given.works.split(";"):
        seconds: dict[str, list[float]] = {setting: [] for setting in settings}
        starts: dict[str, list[float]] = {setting: [] for setting in settings}
        for _ in range(given.rounds):
            for setting in settings:
                seconds[setting].append(in_own_process(work, setting, given.trainings, given.epochs))
                starts[setting].append(in_own_process(work, setting, 1, 1))
                print(work, setting, seconds[setting][-1], starts[setting][-1], flush=True)
        lines += rows(work, seconds, starts)
    replace_section(given.out, "sweeps.py", section(lines, given, time.perf_counter() - began))
    print(f"written: {given.out}")


def rows(work: str, seconds: dict[str, list[float]], starts: dict[str, list[float]]) -> list[str]:
    """The lines of a table for one work."""
    slowest = statistics.median(next(iter(seconds.values())))
    return [
        f"| {work} | {setting} | {statistics.median(each):.1f} ({min(each):.1f} - {max(each):.1f}) | "
        f"{slowest / statistics.median(each):.2f} | {statistics.median(starts[setting]):.1f} |"
        for setting, each in seconds.items()
    ]


def section(lines: list[str], given: argparse.Namespace, seconds: float) -> str:
    """The section of the page."""
    made = f"{datetime.now(UTC):%Y-%m-%d} in {max(1, round(seconds / 60))} minutes; {machine()}"
    return f"""Written by `python benchmarks/sweeps.py --rounds {given.rounds}` on {made}, {os.cpu_count()} cores.
The table shows seconds of a sweep of {given.trainings} trainings of {given.epochs} epochs, the median of {given.rounds} processes
(minimum - maximum), how many times faster that is than the first line of the same work, and the seconds of a sweep of one training of one
epoch, which are mostly the start of the processes.

| work | way | seconds | times faster | seconds of one short training |
|---|---|---|---|---|
{chr(10).join(lines)}
"""


if __name__ == "__main__":
    main()
