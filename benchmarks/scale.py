"""Works out a pass over 10^9 rows and 10^12 numbers from rates measured here, and writes a section of docs/scale.md.

python benchmarks/scale.py [--rounds 3]

Measured are what one core reads of Parquet files through PyArrow, and the products of a training step on one core. All else is division.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from run import HERE, machine
from sections import replace_section

ROWS, FEATURES = 10**9, 1000
HIDDEN, CODE = 256, 32
PARAMETERS = 2 * (FEATURES * HIDDEN + HIDDEN * CODE)
BATCH = 4096
LINKS = {"10 Gbit/s": 1.25e9, "100 Gbit/s": 12.5e9}  # bytes a second
GPU = 1e14  # operations a second, which training of a net of this kind may reach on a GPU of today in bfloat16
CORE_HOUR, GPU_HOUR = 0.05, 3.0  # dollars, in round figures: what clouds ask for differs by a factor of some
TRAINING = 6  # operations per parameter and row: a product forward, two backward, each a multiplication and an addition
WRITTEN = {"usual settings of PyArrow": True, "without dictionaries": False}


class Rates(NamedTuple):
    """What was measured: bytes for each number and numbers a second by the settings of the file, and operations a second."""

    size: dict[str, float]
    read: dict[str, float]
    operations: float


def main() -> None:
    """Reads the command line, measures, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "scale.md")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{number}.parquet" for number, name in enumerate(WRITTEN)}
        size = {name: write(path, WRITTEN[name]) for name, path in paths.items()}
        reads: dict[str, list[float]] = {name: [] for name in WRITTEN}
        products = []
        for _ in range(given.rounds):
            for name, path in paths.items():
                reads[name].append(read(path))
            products.append(step())
    rates = Rates(size, {name: statistics.median(each) for name, each in reads.items()}, statistics.median(products))
    replace_section(given.out, "scale.py", section(rates, given.rounds))


def write(path: Path, dictionaries: bool) -> float:
    """A file of random float32 numbers; the bytes that it takes for each."""
    n, width = 500_000, 40
    rng = np.random.default_rng(0)
    columns = {f"x{number}": rng.normal(size=n).astype(np.float32) for number in range(width)}
    pq.write_table(pa.table(columns), path, row_group_size=100_000, use_dictionary=dictionaries)
    return path.stat().st_size / (n * width)


def read(path: Path) -> float:
    """Numbers a second that one core reads into an array."""
    began, count = time.perf_counter(), 0
    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        table = file.read_row_group(group, use_threads=False)
        count += np.column_stack([column.to_numpy() for column in table.columns]).size
    return count / (time.perf_counter() - began)


def step() -> float:
    """Operations a second of the products of a training step on one core."""
    x, weight = torch.randn(BATCH, FEATURES), torch.randn(FEATURES, HIDDEN, requires_grad=True)
    began, repeats = time.perf_counter(), 20
    for _ in range(repeats):
        (x @ weight).sum().backward()
    return repeats * 2 * 2 * BATCH * FEATURES * HIDDEN / (time.perf_counter() - began)


def shown(seconds: float) -> str:
    """A time in a unit that fits."""
    if seconds < 600:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.0f} h"


def costs(reading: float, training: float, operations: float) -> list[str]:
    """The lines of the table on costs.

    Args:
        reading: seconds in which one core reads all rows.
        training: operations of an epoch.
        operations: a second, of one core.
    """
    on_cores = CORE_HOUR * (reading + training / operations) / 3600
    fed = max(reading / 64, training / GPU)  # seconds
    on_gpu = (64 * CORE_HOUR + GPU_HOUR) * fed / 3600
    codes = CORE_HOUR * (reading + ROWS * PARAMETERS / operations) / 3600
    core, gpu = f"{CORE_HOUR:.2f} dollars", f"{GPU_HOUR:.2f} dollars"
    return [
        f"| cost of an epoch on cores, with reading, if the hour of a core costs {core} | {on_cores:,.2f} dollars |",
        f"| cost of an epoch on one GPU that 64 cores feed, if its hour costs {gpu} | {on_gpu:,.2f} dollars, {shown(fed)} |",
        f"| cost of codes of all rows on cores, with reading | {codes:,.2f} dollars |",
    ]


def section(rates: Rates, rounds: int) -> str:
    """The section, with its tables."""
    numbers, training = ROWS * FEATURES, TRAINING * PARAMETERS * ROWS
    lines = [
        f"Written by `python benchmarks/scale.py` on {datetime.now(UTC):%Y-%m-%d at %H:%M} UTC: medians of {rounds} rounds; {machine()}.",
        "The rates of one core are measured; all else is division, for one pass over the data (an epoch) and a net of",
        f"{FEATURES:,}-{HIDDEN}-{CODE} with {PARAMETERS:,} weights, {TRAINING * PARAMETERS / 1e6:,.1f} million operations for each row.",
        "Random numbers do not compress; real ones take less.",
        "",
        "| 10⁹ rows of 1,000 features: 10¹² numbers | |",
        "|---|---|",
    ]
    for name, rate in rates.read.items():
        stored = numbers * rates.size[name]
        lines += [
            f"| Parquet files of float32, {name} | {stored / 1e12:,.1f} TB |",
            f"| read by one core | {shown(numbers / rate)}, {rate / 1e6:,.0f} million numbers a second |",
            f"| read by 64 cores | {shown(numbers / rate / 64)} |",
            *(f"| sent over {link} | {shown(stored / speed)} |" for link, speed in LINKS.items()),
        ]
    lines += [
        f"| an epoch on one core | {shown(training / rates.operations)}, {rates.operations / 1e9:,.0f} GFLOP/s |",
        f"| an epoch on 64 cores | {shown(training / rates.operations / 64)} |",
        f"| an epoch on one GPU | {shown(training / GPU)}, if it reaches {GPU / 1e12:,.0f} TFLOP/s |",
        f"| codes of all rows on one core | {shown(ROWS * PARAMETERS / rates.operations)} |",
        *costs(numbers / rates.read["without dictionaries"], training, rates.operations),
        "",
        f"With {BATCH:,} rows in a batch of all processes, each sends 2(N - 1)/N times the {4 * PARAMETERS / 1e6:,.1f} MB of its gradients",
        "in a step, and computes its share of the batch:",
        "",
        f"| processes | sent by each | {' | '.join(f'over {link}' for link in LINKS)} | share on one core | share on a GPU |",
        "|---|---|---|---|---|---|",
    ]
    for n in (2, 8, 64):
        sent, work = 2 * (n - 1) / n * 4 * PARAMETERS, TRAINING * PARAMETERS * BATCH / n
        times = " | ".join(f"{1000 * sent / speed:,.1f} ms" for speed in LINKS.values())
        shares = f"{1000 * work / rates.operations:,.1f} ms | {1000 * work / GPU:,.3f} ms"
        lines.append(f"| {n} | {sent / 1e6:,.1f} MB | {times} | {shares} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
