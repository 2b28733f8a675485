"""Thousands of models fitted, used, saved and loaded in one process: memory, descriptors and threads have to stay as they were.

python benchmarks/soak.py [--cycles 10000]

Prints a line for each tenth of the cycles, and ends with exit code 1 where something grew.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch

from isthmus import Autoencoder, load
from isthmus.architectures import MLP
from isthmus.bottlenecks import Gaussian

MIB = 2**20


def main() -> None:
    """Runs the cycles, and compares the last tenth with the second."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cycles", type=int, default=10_000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    X = np.random.default_rng(0).random((64, 6), np.float32)
    seen: list[tuple[float, int, int]] = []
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        for cycle in range(1, given.cycles + 1):
            once(X, path, cycle)
            if cycle % (given.cycles // 10) == 0:
                seen.append((resident(), descriptors(), threads()))
                memory, files, running = seen[-1]
                seconds = time.perf_counter() - began
                print(
                    f"{cycle:,} cycles: {memory:.1f} MiB, {files} descriptors, {running} threads, {seconds:.0f} s",
                    flush=True,
                )
    (first, *counts), (last, *ends) = seen[1], seen[-1]
    if last - first > 2 or counts != ends:
        sys.exit(f"it grew: {last - first:+.1f} MiB, descriptors and threads {counts} -> {ends}")
    print(f"flat: {last - first:+.1f} MiB between the second tenth and the last")


def once(X: np.ndarray, path: Path, cycle: int) -> None:
    """One model's life."""
    ae = Autoencoder(Gaussian(2), architecture=MLP((8,)), epochs=1, batch_size=32, random_state=cycle)
    for _ in ae.iter_fit(X):
        ae.checkpoint(path)
    load(path)
    ae.transform(X)
    ae.save(path)
    np.testing.assert_array_equal(load(path).transform(X), ae.transform(X))


def resident() -> float:
    """What the process holds of memory, in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / MIB


def descriptors() -> int:
    """Files and the like that are open."""
    return len(os.listdir("/proc/self/fd"))


def threads() -> int:
    """Threads of Python's and of others."""
    return max(threading.active_count(), len(os.listdir("/proc/self/task")))


if __name__ == "__main__":
    main()
