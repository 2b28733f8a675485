"""Measures trainings on one and two threads, on an idle and on a busy machine, and writes docs/threads.md.

python benchmarks/threads.py [--rounds 3] [--works "20 columns;400 columns"] [--seconds 2]

Each figure is of a process of its own, since PyTorch reads how its threads wait when it is loaded. The settings take turns, so that a
machine that grows slower does so for all of them.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from run import HERE

from isthmus import Autoencoder
from isthmus.architectures import Conv
from isthmus.estimators import defaults
from isthmus.estimators.memory_estimate import footprint
from isthmus.experiments.reproduction import machine

WORKS: dict[str, Any] = {
    "20 columns": lambda rng: (Autoencoder(), rng.normal(size=(4000, 20))),
    "60 columns": lambda rng: (Autoencoder(), rng.normal(size=(4000, 60))),
    "150 columns": lambda rng: (Autoencoder(), rng.normal(size=(4000, 150))),
    "400 columns": lambda rng: (Autoencoder(), rng.normal(size=(4000, 400))),
    "1,000 columns": lambda rng: (Autoencoder(), rng.normal(size=(4000, 1000))),
    "8 x 8 convolutions": lambda rng: (Autoencoder(architecture=Conv()), rng.integers(0, 256, (4000, 8, 8), "u1")),
    "28 x 28 convolutions": lambda rng: (Autoencoder(architecture=Conv()), rng.integers(0, 256, (4000, 28, 28), "u1")),
}
SETTINGS = {  # number of threads; GOMP_SPINCOUNT, the turns of the loop in which a thread waits actively (None: the default)
    "one thread": (1, None),
    "two threads": (2, None),
    "two threads, spin 0": (2, "0"),
}
BUSY = "while True: pass"


def measured(work: str, count: int, seconds: float) -> tuple[float, float]:
    """Milliseconds a step, and millions of multiplications in its way forwards, in this process."""
    torch.set_num_threads(count)
    defaults._MIN_PARALLEL_WORK = 0  # the number of threads is given
    ae, X = WORKS[work](np.random.default_rng(0))
    reports = ae.set_params(random_state=0, batch_size=100, epochs=1000).iter_fit(X, every=5)
    first = next(reports)
    began = time.perf_counter()
    step = first.step
    while (spent := time.perf_counter() - began) < seconds:
        step = next(reports).step
    reports.close()
    return 1e3 * spent / (step - first.step), 100e-6 * footprint(ae.model_).multiplications


def in_own_process(work: str, setting: str, seconds: float) -> tuple[float, float]:
    """What `measured` gives in a process of its own."""
    count, turns = SETTINGS[setting]
    environment = os.environ | ({} if turns is None else {"GOMP_SPINCOUNT": turns})
    command = [sys.executable, __file__, "--one", work, "--count", str(count), "--seconds", str(seconds)]
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    step, products = map(float, said.split())
    return step, products


def main() -> None:
    """Reads the command line, measures, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--works", default=";".join(WORKS))
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "threads.md")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(*measured(given.one, given.count, given.seconds))
        return
    began, lines = time.perf_counter(), []
    for work in given.works.split(";"):
        found: dict[tuple[str, bool], list[float]] = {}
        for _ in range(given.rounds):
            for company in (False, True):
                busy = subprocess.Popen([sys.executable, "-c", BUSY]) if company else None
                for setting in SETTINGS:
                    step, products = in_own_process(work, setting, given.seconds)
                    found.setdefault((setting, company), []).append(step)
                if busy is not None:
                    busy.kill()
                    busy.wait()
        lines.append(row(work, products, found))
        print(lines[-1], flush=True)
    given.out.write_text(page(lines, given.rounds, time.perf_counter() - began), encoding="utf-8")
    print(f"written: {given.out}")


def row(work: str, products: float, found: dict[tuple[str, bool], list[float]]) -> str:
    """A line of the table: milliseconds per step, on the idle and on the busy machine."""
    cells = [
        f"{statistics.median(found[setting, company]):.2f} ({min(found[setting, company]):.2f} - {max(found[setting, company]):.2f})"
        for company in (False, True)
        for setting in SETTINGS
    ]
    chosen = "one" if products * 1e6 < defaults._MIN_PARALLEL_WORK else "all"
    return f"| {work} | {products:.1f} | {chosen} | " + " | ".join(cells) + " |"


def page(lines: list[str], rounds: int, seconds: float) -> str:
    """The page."""
    settings = [f"{where}: {name}" for where in ("idle", "busy") for name in SETTINGS]
    head = ["work", "million multiplications", "threads chosen", *settings]
    made = f"{datetime.now(UTC):%Y-%m-%d} in {math.ceil(seconds / 60)} minutes; {machine()}"
    return f"""# Threads

This page compares training on one thread and on all threads, for users who train next to other programs.

A training step with fewer than {defaults._MIN_PARALLEL_WORK / 1e6:.0f} million multiplications in the forward pass uses one thread.
Larger steps use all threads that are allowed. If other programs use the processor, such a training prints one warning.

Written by `python benchmarks/threads.py --rounds {rounds}` on {made}.
The table shows milliseconds per training step on 100 examples with all defaults, on a machine with {os.cpu_count()} cores:
the median of {rounds} processes (minimum - maximum). On the busy machine, another process uses one core all the time.
"spin 0" sets `GOMP_SPINCOUNT=0`: a thread that waits for the other sleeps at once.

| {" | ".join(head)} |
|{"---|" * len(head)}
{chr(10).join(lines)}
"""


if __name__ == "__main__":
    main()
