"""Measures models applied to many files, beside the same model in a plain loop of PyTorch, and writes a section of docs/scale.md.

python benchmarks/bulk.py [--rows 1000000] [--rounds 3] [--growth 1000000,10000000,100000000] [--out docs/scale.md]

The rows are synthetic, in Parquet files of 250,000 rows. Every measurement is a command of its own, which reads all files and writes all
results; in each round all ways come one after the other. Let nothing else run meanwhile.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow
import pyarrow.parquet
from run import HERE
from sections import replace_section

from isthmus import Autoencoder
from isthmus.experiments.reproduction import machine

COLUMNS, FILE, DIFFERENT = 20, 250_000, 10_000_000
PLAIN = "a plain loop of PyTorch"
WAYS = {  # options of isthmus encode; None: the plain loop
    PLAIN: None,
    "isthmus, 1 process, PyTorch": ["--jobs", "1", "--runtime", "torch"],
    "isthmus, 2 processes, PyTorch": ["--jobs", "2", "--runtime", "torch"],
    "isthmus, 1 process, onnxruntime": ["--jobs", "1", "--runtime", "onnx"],
    "isthmus, 2 processes, onnxruntime": ["--jobs", "2", "--runtime", "onnx"],
    "isthmus, Ray on 2 cores, PyTorch": ["--engine", "ray", "--jobs", "2", "--runtime", "torch"],
    "isthmus, Ray on 2 cores, onnxruntime": ["--engine", "ray", "--jobs", "2", "--runtime", "onnx"],
}
GROWING = "isthmus, 2 processes, PyTorch"
LOOP = """
import sys, pathlib, isthmus, numpy, pyarrow, pyarrow.dataset, pyarrow.parquet, torch
torch.set_num_threads(1)
folder, out = map(pathlib.Path, sys.argv[1:])
module = isthmus.load(folder / "model.safetensors").to_module().eval()
out.mkdir()
for path in sorted((folder / "in").glob("*.parquet")):
    writer = None
    for batch in pyarrow.parquet.ParquetFile(path).iter_batches(65_536):
        x = torch.from_numpy(numpy.column_stack([column.to_numpy() for column in batch.columns]))
        with torch.no_grad():
            codes = module.encode(x).numpy()
        table = pyarrow.table({f"code_{i}": numpy.ascontiguousarray(column) for i, column in enumerate(codes.T)})
        writer = writer or pyarrow.parquet.ParquetWriter(out / path.name, table.schema)
        writer.write_table(table)
    writer.close()
"""


class Measured(NamedTuple):
    """Seconds of a command, the memory of its largest process, and how much less memory the machine had meanwhile, in MiB."""

    seconds: float
    largest: float
    machine: float


def main() -> None:
    """Reads the command line, measures, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--growth",
        default="1000000,10000000,100000000",
        help="numbers of rows at which memory is measured, in this order",
    )
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "scale.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder, given.rows)
        ae = Autoencoder(8, epochs=1, random_state=0).fit(rows(0, 20_000))
        ae.save(folder / "model.safetensors")
        ae.export(folder / "exported", parts=["encoder"], X=rows(0, 1000))
        found: dict[str, list[Measured]] = {way: [] for way in WAYS}
        for number in range(given.rounds):
            for way in WAYS:
                found[way].append(measured(way, folder))
                print(number + 1, way, found[way][-1], flush=True)
        grown = dict[int, Measured]()
        for count in map(int, given.growth.split(",")):
            write_rows(folder, count)
            grown[count] = measured(GROWING, folder)
            print(f"{count:,} rows", grown[count], flush=True)
    replace_section(given.out, "bulk.py", section(found, grown, given.rows, given.rounds))
    print(f"written: {given.out}")


def rows(first: int, count: int) -> pyarrow.Table:
    """Synthetic rows: columns that depend on five hidden ones."""
    rng = np.random.default_rng(first)
    hidden = rng.normal(size=(count, 5)).astype(np.float32)
    mixing = np.random.default_rng(0).normal(size=(5, COLUMNS)).astype(np.float32)
    values = hidden @ mixing + 0.1 * rng.normal(size=(count, COLUMNS)).astype(np.float32)
    return pyarrow.table({f"c{number}": np.ascontiguousarray(column) for number, column in enumerate(values.T)})


def write_rows(folder: Path, count: int) -> None:
    """Makes the first files of so many rows, those that are not there yet. From ``DIFFERENT`` rows on they are the first ones again."""
    (folder / "in").mkdir(exist_ok=True)
    for number, first in enumerate(range(0, count, FILE)):
        path = folder / f"in/part-{number:05d}.parquet"
        if path.exists():
            continue
        if first >= DIFFERENT:
            path.hardlink_to(folder / f"in/part-{number % (DIFFERENT // FILE):05d}.parquet")
        else:
            pyarrow.parquet.write_table(rows(first, FILE), path, row_group_size=125_000)


def measured(way: str, folder: Path) -> Measured:
    """A command, from its start to its end."""
    out, options = folder / "out", WAYS[way]
    shutil.rmtree(out, ignore_errors=True)
    words = ["-m", "isthmus", "encode", "model.safetensors", "--data", "in", "--out", "out", *(options or [])]
    command = [sys.executable, *(words if options is not None else ["-c", LOOP, str(folder), str(out)])]
    before, least, largest, over = available(), [available()], [0], threading.Event()
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL
    )

    def watch() -> None:
        while not over.wait(0.5):
            least.append(available())
            largest.append(largest_of(process.pid))

    thread = threading.Thread(target=watch)
    thread.start()
    process.wait()
    seconds = time.perf_counter() - began
    over.set()
    thread.join()
    if process.returncode:
        sys.exit(f"{way} failed")
    return Measured(seconds, max(largest) / 2**20, (before - min(least)) / 2**20)


def largest_of(pid: int) -> int:
    """The memory of the largest process of a command, in bytes: of the process, those that it started, and so on."""
    parents, sizes = dict[int, int](), dict[int, int]()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        parents[int(stat.parent.name)], sizes[int(stat.parent.name)] = int(fields[1]), int(fields[21])
    ours = {pid}
    while more := {each for each, parent in parents.items() if parent in ours} - ours:
        ours |= more
    return max((sizes.get(each, 0) for each in ours), default=0) * os.sysconf("SC_PAGE_SIZE")


def available() -> int:
    """The memory that the machine can give, in bytes."""
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))


def section(found: dict[str, list[Measured]], grown: dict[int, Measured], count: int, rounds: int) -> str:
    """The section, with its tables."""
    plain = [each.seconds for each in found[PLAIN]]
    lines = [
        f"Written by `python benchmarks/bulk.py` on {datetime.now(UTC):%Y-%m-%d at %H:%M} UTC: medians of {rounds} rounds; {machine()}.",
        "",
        f"`isthmus encode` of {count:,} rows of {COLUMNS} columns (float32) in Parquet files of {FILE:,} rows, to codes of 8 numbers in",
        "Parquet files; the whole command, with start and imports. *Memory* is by how much less the machine had at worst, in brackets",
        "the largest process alone.",
        "",
        "| way | seconds | rows/s | relative to the plain loop | memory, MiB |",
        "|---|---|---|---|---|",
    ]
    for way, each in found.items():
        times = [one.seconds for one in each]
        middle = statistics.median(times)
        ratios = [b / a for a, b in zip(times, plain, strict=True)]
        memory = f"{max(one.machine for one in each):,.0f} ({max(one.largest for one in each):,.0f})"
        spread = f"{middle:.1f} ({min(times):.1f} - {max(times):.1f})"
        lines.append(f"| {way} | {spread} | {count / middle:,.0f} | {statistics.median(ratios):.2f} | {memory} |")
    local, ray = found["isthmus, 2 processes, PyTorch"], found["isthmus, Ray on 2 cores, PyTorch"]
    seconds = sorted(b.seconds - a.seconds for a, b in zip(local, ray, strict=True))
    memory = statistics.median(b.machine - a.machine for a, b in zip(local, ray, strict=True))
    lines += [
        "",
        f"A local instance of Ray adds {statistics.median(seconds):.1f} s ({seconds[0]:.1f} - {seconds[-1]:.1f}) and {memory:,.0f} MiB to "
        "2 processes with PyTorch.",
        "",
        f"The same with more rows ({GROWING}; beyond {DIFFERENT:,} the same files again, under other names):",
        "",
        "| rows | seconds | rows/s | memory, MiB |",
        "|---|---|---|---|",
    ]
    for number, one in grown.items():
        lines.append(
            f"| {number:,} | {one.seconds:.1f} | {number / one.seconds:,.0f} | {one.machine:,.0f} ({one.largest:,.0f}) |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
