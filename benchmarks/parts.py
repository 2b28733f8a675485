"""Measures where the time of a training step goes, by PyTorch alone and with the kernels, and writes a section of docs/performance.md.

python benchmarks/parts.py [--rounds 3] [--works dense,hinton]

Every measurement is a process of its own, and both ways come in turns. A step's time is measured first; PyTorch's profiler then gives
the parts that are operations, and what is left of the step is Python, autograd and smaller operations. Let nothing else run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from run import HERE, machine
from sections import replace_section
from torch.profiler import ProfilerActivity, profile, record_function
from works import WORKS

from isthmus import data, native
from isthmus.native import Kernels, Net

PARTS = ("products", "loss", "optimizer", "data")
OPERATIONS = {  # how names of operations begin, and to which part they belong
    "products": (
        "aten::mm",
        "aten::addmm",
        "aten::bmm",
        "aten::mkldnn_conv",
        "aten::convolution_backward",
        "net",
        "layers",
    ),
    "loss": ("CrossEntropy", "cross_entropy", "scale_rows", "normal"),
    "optimizer": ("aten::_fused", "aten::_foreach", "adam"),
    "data": ("aten::index_select", "aten::true_divide", "aten::div"),
}
LABELS = {  # what kernels are called in a profile
    (Net, "forward"): "net",
    (Net, "backward"): "net",
    (Kernels, "forward"): "layers",
    (Kernels, "backward"): "layers",
    (Kernels, "cross_entropy"): "cross_entropy",
    (Kernels, "normal"): "normal",
    (Kernels, "scale_rows"): "scale_rows",
    (Kernels, "normal_codes"): "normal_codes",
    (Kernels, "normal_slopes"): "normal_slopes",
    (Kernels, "adam"): "adam",
}
CONVOLUTIONS = (
    "convolution_slopes",
    "pooled_convolution",
    "pooled_convolution_slopes",
    "shuffled_convolution",
    "shuffled_convolution_slopes",
)
_STEPS = 50  # of an epoch


def labeled(function: Any, label: str) -> Any:
    """A function whose calls the profiler sees under a name."""

    def called(*given: Any, **named: Any) -> Any:
        with record_function(label):
            return function(*given, **named)

    return called


def measured(work: str) -> dict[str, float]:
    """Milliseconds of a step in this process: of all, and of each part."""
    sys.path.insert(0, str(HERE / "peers"))
    from isthmus_peer import autoencoder

    from isthmus.nn import conv_stack

    X = data.mnist().train[: _STEPS * WORKS[work].batch]
    reports = autoencoder(WORKS[work]).set_params(epochs=8).iter_fit(X)

    def whole() -> float:
        """Milliseconds of a step of the next two epochs."""
        began = time.perf_counter()
        for _ in range(2):
            next(reports)
        return (time.perf_counter() - began) / (2 * _STEPS) * 1000

    next(reports)
    before = whole()
    for (of, name), label in LABELS.items():
        setattr(of, name, labeled(getattr(of, name), label))
    for name in CONVOLUTIONS:
        setattr(conv_stack, name, labeled(getattr(conv_stack, name), "layers"))
    next(reports)
    with profile(activities=[ProfilerActivity.CPU]) as found:
        next(reports)
    sums = dict.fromkeys(PARTS, 0.0)
    for each in found.key_averages():
        for part, names in OPERATIONS.items():
            if each.key.startswith(names):
                sums[part] += each.self_cpu_time_total / 1000 / _STEPS
    step = (before + whole()) / 2  # the speed of a machine drifts
    return {"step": step, **sums, "rest": step - sum(sums.values())}


def in_own_process(work: str, kernels: bool) -> dict[str, float]:
    """What `measured` gives in a process of its own."""
    environment = os.environ | {"ISTHMUS_NATIVE": "1" if kernels else "0"}
    command = [sys.executable, __file__, "--one", work]
    said = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    found: dict[str, float] = json.loads(said.splitlines()[-1])
    return found


def main() -> None:
    """Reads the command line, measures, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--works", default="dense,keras-vae,keras-conv,keras-denoising,fashion-deep,hinton")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "performance.md")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measured(given.one)))
        return
    began, lines = time.perf_counter(), []
    for work in given.works.split(","):
        found: dict[bool, list[dict[str, float]]] = {False: [], True: []}
        for _ in range(given.rounds):
            for kernels, rows in found.items():
                rows.append(in_own_process(work, kernels))
                print(work, kernels, rows[-1], flush=True)
        lines += [line(work, kernels, rows) for kernels, rows in found.items()]
    replace_section(given.out, "parts.py", section(lines, given, time.perf_counter() - began))
    print(f"written: {given.out}")


def line(work: str, kernels: bool, rows: list[dict[str, float]]) -> str:
    """A line of the table: the median step with its spread, and each part with its share."""
    whole = [row["step"] for row in rows]
    middle = statistics.median(whole)
    cells = []
    for part in (*PARTS, "rest"):
        part_time = statistics.median(row[part] for row in rows)
        cells.append(f"{part_time:.2f} ({part_time / middle:.0%})")
    how = "with kernels" if kernels else "PyTorch alone"
    return f"| {work} | {how} | {middle:.2f} ({min(whole):.2f} - {max(whole):.2f}) | {' | '.join(cells)} |"


def section(lines: list[str], given: argparse.Namespace, seconds: float) -> str:
    """The section of the page."""
    made = (
        f"{datetime.now(UTC):%Y-%m-%d} in {max(1, round(seconds / 60))} minutes; {machine()}, kernels {native.name()}"
    )
    return f"""Written by `python benchmarks/parts.py --rounds {given.rounds}` on {made}, {torch.get_num_threads()} threads.
Milliseconds of a training step of isthmus, the median of {given.rounds} processes (minimum - maximum), and its parts with their shares:
products and convolutions with what the kernels compute along with them; the loss with its slope, and normal codes; the optimizer;
data to model units; and the rest, which is Python, autograd and smaller operations. Parts are measured with PyTorch's profiler.

| work | how | step | products | loss | optimizer | data | rest |
|---|---|---|---|---|---|---|---|
{chr(10).join(lines)}
"""


if __name__ == "__main__":
    main()
