"""Measures trainings on one and two threads, on an idle and on a busy machine, and writes docs/threads.md.

python benchmarks/threads.py [--rounds 3] [--works "20 columns;400 columns"] [--seconds 2]

Each figure is of a process of its own. The settings take turns, so that a machine that grows slower does so for all of them.
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
from isthmus.estimators import training_defaults
from isthmus.estimators.memory_estimate import footprint
from isthmus.experiments.reproduction import machine
from isthmus.training import contention

WORKS: dict[str, Any] = {
    "20 columns": lambda rng: (Autoencoder(), rng.normal(size=(4000, 20))),
    "60 columns": lambda rng: (Autoencoder(), rng.normal(size=(4000, 60))),
    "150 columns": lambda rng: (Autoencoder(), rng.normal(size=(4000, 150))),
    "400 columns": lambda rng: (Autoencoder(), rng.normal(size=(4000, 400))),
    "1,000 columns": lambda rng: (Autoencoder(), rng.normal(size=(4000, 1000))),
    "8 x 8 convolutions": lambda rng: (Autoencoder(architecture=Conv()), rng.integers(0, 256, (4000, 8, 8), "u1")),
    "28 x 28 convolutions": lambda rng: (Autoencoder(architecture=Conv()), rng.integers(0, 256, (4000, 28, 28), "u1")),
}
SETTINGS = {"one thread": 1, "two threads": 2, "as chosen": None}  # None: as isthmus chooses, at every moment
BUSY = "while True: pass"


def measured(work: str, count: int | None, seconds: float) -> tuple[float, float, bool]:
    """Milliseconds a step, millions of multiplications in its way forwards, and whether it may change its threads, in this process."""
    if count is not None:
        torch.set_num_threads(count)
        training_defaults._MIN_PARALLEL_WORK = training_defaults._MIN_ADAPTIVE_WORK = 0
        contention._MAX_PREEMPTIONS = math.inf
    ae, X = WORKS[work](np.random.default_rng(0))
    reports = ae.set_params(random_state=0, batch_size=100, epochs=1000).iter_fit(X, every=5)
    first = next(reports)
    began = time.perf_counter()
    step = first.step
    while (spent := time.perf_counter() - began) < seconds:
        step = next(reports).step
    reports.close()
    return 1e3 * spent / (step - first.step), 100e-6 * footprint(ae.model_).multiplications, ae.model_.thread_invariant


def in_own_process(work: str, setting: str, seconds: float) -> tuple[float, float, bool]:
    """What `measured` gives in a process of its own."""
    count = SETTINGS[setting]
    command = [sys.executable, __file__, "--one", work, "--seconds", str(seconds)]
    command += [] if count is None else ["--count", str(count)]
    step, products, adaptive = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(step), float(products), adaptive == "True"


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
                    step, products, adaptive = in_own_process(work, setting, given.seconds)
                    found.setdefault((setting, company), []).append(step)
                if busy is not None:
                    busy.kill()
                    busy.wait()
        lines.append(row(work, products, adaptive, found))
        print(lines[-1], flush=True)
    given.out.write_text(page(lines, given.rounds, time.perf_counter() - began), encoding="utf-8")
    print(f"written: {given.out}")


def row(work: str, products: float, adaptive: bool, found: dict[tuple[str, bool], list[float]]) -> str:
    """A line of the table: milliseconds per step, on the idle and on the busy machine."""
    cells = [
        f"{statistics.median(found[setting, company]):.2f} ({min(found[setting, company]):.2f} - {max(found[setting, company]):.2f})"
        for company in (False, True)
        for setting in SETTINGS
    ]
    least = training_defaults._MIN_ADAPTIVE_WORK if adaptive else training_defaults._MIN_PARALLEL_WORK
    chosen = "one" if products * 1e6 < least else "all, or one beside others" if adaptive else "all"
    return f"| {work} | {products:.1f} | {chosen} | " + " | ".join(cells) + " |"


def page(lines: list[str], rounds: int, seconds: float) -> str:
    """The page."""
    settings = [f"{where}: {name}" for where in ("idle", "busy") for name in SETTINGS]
    head = ["work", "million multiplications", "threads chosen", *settings]
    made = f"{datetime.now(UTC):%Y-%m-%d} in {math.ceil(seconds / 60)} minutes; {machine()}"
    small, large = training_defaults._MIN_ADAPTIVE_WORK, training_defaults._MIN_PARALLEL_WORK
    return f"""# Threads

This page compares training on one thread and on all threads, for users who train next to other programs.

A training step of a dense net that the native kernels compute has the same bits on any number of threads. From
{small / 1e6:.0f} million multiplications in the forward pass it uses all threads that are allowed, and one while
other programs use the processor: a few times a second the training looks whether they do.

The last bits of other trainings depend on the number of threads, which therefore does not change. With fewer than
{large / 1e6:.0f} million multiplications they use one thread. Larger steps use all threads. If other programs use
the processor, such a training prints one warning. With threads that sleep while they wait (`GOMP_SPINCOUNT=0`), small
steps are as slow as on one thread ([log](log.md)).

Written by `python benchmarks/threads.py --rounds {rounds}` on {made}.
The table shows milliseconds per training step on 100 examples with all defaults, on a machine with {os.cpu_count()} cores:
the median of {rounds} processes (minimum - maximum). On the busy machine, another process uses one core all the time.

| {" | ".join(head)} |
|{"---|" * len(head)}
{chr(10).join(lines)}
"""


if __name__ == "__main__":
    main()
