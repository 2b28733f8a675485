"""Measures seconds per epoch of one process with two threads and of two processes with one; writes a section of docs/scale.md.

python benchmarks/distributed.py [--processes 2] [--threads 2] [--epochs 3] [--device cpu] [--rounds 3]

Each figure is of a training of its own. The settings take turns, so that a machine that grows slower does so for all of them. Where several
processes train on GPUs, PyTorch speaks through NCCL: give --device cuda, and as many processes as there are GPUs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from run import HERE, machine
from sections import replace_section

from isthmus import Autoencoder
from isthmus.architectures import MLP, Conv
from isthmus.nn.processes import Processes
from isthmus.training.joining import Joined, are_joined, join

WORKS: dict[str, Any] = {
    "dense, 784-512-256-32": lambda: (Autoencoder(32, architecture=MLP((512, 256))), (12_800, 784)),
    "convolutions, 28 x 28": lambda: (Autoencoder(32, architecture=Conv()), (3_200, 28, 28)),
}
BATCH = 256
EXCHANGED = (4, 10_000_000)  # bytes of a sum: what a message takes at least, and how fast many bytes go


def measured(work: str, epochs: int, device: str) -> None:
    """Trains in this process, with others if there are any, and prints seconds per epoch, without the first one, and bytes per step."""
    with join() if are_joined() else nullcontext(Joined()) as joined:
        ae, shape = WORKS[work]()
        X = np.random.default_rng(0).random(shape, np.float32)
        ends, steps = [], 1
        for report in ae.set_params(random_state=0, batch_size=BATCH, epochs=epochs + 1, device=device).iter_fit(X):
            ends.append(time.perf_counter())
            steps = report.steps
        each = statistics.median(np.diff(ends))
        sent = joined.processes.bytes / steps
        exchanges = {size: exchange(joined.processes, size) for size in EXCHANGED}
        if not joined.processes.rank:
            said = {"seconds": each, "bytes": sent, "parameters": ae.n_parameters_, "exchanges": exchanges}
            print(json.dumps(said))


def exchange(processes: Processes, size: int, count: int = 50) -> float:
    """Seconds of a sum of ``size`` bytes over the processes, the median of ``count``; 0 for one process."""
    if processes.size == 1:
        return 0.0
    values, seconds = torch.zeros(size // 4), []
    for _ in range(count):
        began = time.perf_counter()
        processes.sum(values)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def in_own_processes(work: str, processes: int, threads: int, epochs: int, device: str) -> dict[str, Any]:
    """What `measured` prints in processes of their own."""
    run = [] if processes == 1 else ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    words = [__file__, "--one", work, "--epochs", str(epochs), "--device", device]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    said = subprocess.run([sys.executable, *run, *words], env=environment, capture_output=True, text=True)
    if said.returncode:
        raise SystemExit(said.stderr)
    found: dict[str, Any] = json.loads(said.stdout.strip().splitlines()[-1])
    return found


def main() -> None:
    """Reads the command line, measures, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--threads", type=int, default=2, help="of the one process; several have an equal part of them each"
    )
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "scale.md")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        measured(given.one, given.epochs, given.device)
        return
    settings = {(1, given.threads): "", (given.processes, max(1, given.threads // given.processes)): ""}
    lines = [
        f"Written by `python benchmarks/distributed.py` on {datetime.now(UTC):%Y-%m-%d at %H:%M} UTC: medians of",
        f"{given.rounds} rounds (minimum - maximum); {machine()}. Batches of {BATCH} examples in all.",
        "",
        "| work | processes | threads each | seconds per epoch | parameters | bytes reduced per step |",
        "|---|---|---|---|---|---|",
    ]
    exchanges: list[dict[str, float]] = []
    for work in WORKS:
        rounds = [
            {each: in_own_processes(work, *each, given.epochs, given.device) for each in settings}
            for _ in range(given.rounds)
        ]
        for processes, threads in settings:
            found = [each[processes, threads] for each in rounds]
            seconds = sorted(each["seconds"] for each in found)
            spread = f"{statistics.median(seconds):.3g} ({seconds[0]:.3g} - {seconds[-1]:.3g})"
            size, reduced = found[0]["parameters"], found[0]["bytes"]
            lines.append(f"| {work} | {processes} | {threads} | {spread} | {size:,.0f} | {reduced:,.0f} |")
            print(lines[-1], flush=True)
        exchanges += [each[given.processes, threads]["exchanges"] for each in rounds]
    few, many = (statistics.median(each[str(size)] for each in exchanges) for size in EXCHANGED)
    lines += [
        "",
        f"A sum of 4 bytes over the {given.processes} processes takes {1e3 * few:.2g} ms; one of 10 MB takes {1e3 * many:.2g} ms, "
        f"{EXCHANGED[1] / many / 1e9:.2g} GB/s.",
    ]
    replace_section(given.out, "distributed.py", "\n".join(lines))


if __name__ == "__main__":
    main()
