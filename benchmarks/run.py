"""Measures training, inference and start-up of isthmus and other libraries, in turns, and writes docs/performance.md.

benchmarks/install.sh FOLDER
python benchmarks/run.py FOLDER [--rounds 3] [--works dense,hinton]

With --works the page keeps what it says of the other works.
Every measurement is a process of its own. In each round all peers come one after the other, so that a change in the machine's speed
meets all of them; what is printed are medians over the rounds, and ratios of medians. Let nothing else run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from works import WORKS, Work

from isthmus import data
from isthmus.experiments.reproduction import machine
from isthmus.nn.device import computes_bfloat16, onednn_matmul

HERE = Path(__file__).parent
PEERS = {  # script and what it is told besides, environment, works; None: all of them
    "isthmus": ("isthmus_peer.py", None, None),
    "isthmus, in float32": ("isthmus_peer.py float32", None, ("hinton",)),
    "plain PyTorch": ("torch_peer.py", "torch", None),
    "Keras / TensorFlow": ("keras_peer.py", "keras", None),
    "Lightning": ("lightning_peer.py", "torch", ("dense", "keras-vae", "hinton")),
    "Pythae": ("pythae_peer.py", "pythae", ("dense", "keras-vae")),
    "PyOD": ("pyod_peer.py", "torch", ("dense", "fashion-deep", "hinton")),
    "scikit-learn": ("sklearn_peer.py", "torch", ("dense", "hinton")),
}
USED = ("isthmus", "plain PyTorch", "Keras / TensorFlow")  # those that are also asked to encode, reconstruct and score
FIRST_STEP = """
import os, sys
from isthmus import cli
from isthmus.training.step import Step
step = Step.__call__
def first(*given):
    step(*given)
    os._exit(0)
Step.__call__ = first
sys.argv = ["isthmus", "train", "--out", sys.argv[1]]
cli.main()
"""
STARTS = {  # environment, and what Python is told
    "`import isthmus`": (None, ["-c", "import isthmus"]),
    "`isthmus --help`": (
        None,
        ["-c", "import sys; sys.argv = ['isthmus', '--help']; from isthmus.cli import main; main()"],
    ),
    "`isthmus train`, until its first step is done": (None, ["-c", FIRST_STEP, "{folder}"]),
    "`import torch, sklearn.base`": (None, ["-c", "import torch, sklearn.base"]),
    "`import torch`": ("torch", ["-c", "import torch"]),
    "`import lightning`": ("torch", ["-c", "import lightning"]),
    "`import keras` (TensorFlow)": ("keras", ["-c", "import keras"]),
    "`import pythae.models`": ("pythae", ["-c", "import pythae.models"]),
}
OTHER_LOSS = {  # squared error instead of cross-entropy
    *[("PyOD", work) for work in WORKS],
    *[("scikit-learn", work) for work in WORKS],
    ("Pythae", "dense"),
}
QUALITY = {"keras-simple", "keras-deep"}  # only for benchmarks/quality.py
Results = dict[str, dict[str, list[dict[str, Any]]]]


def main() -> None:
    """Reads the command line, measures, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("environments", type=Path, help="where install.sh put the virtual environments")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--works", default=",".join(name for name in WORKS if name not in QUALITY))
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "performance.md")
    given = parser.parse_args()
    top = ceilings()
    starts = started(given.environments, given.rounds)
    results: Results = {}
    for name in given.works.split(","):
        results[name] = measured(name, given.environments, given.rounds)
    used = {name: uses(name, given.environments) for name in results}
    text = page(results, top, given.rounds, starts, used)
    known = given.out.read_text(encoding="utf-8") if given.out.exists() else ""
    given.out.write_text(merged(text, known), encoding="utf-8")
    print(f"written: {given.out}")


def measured(work: str, environments: Path, rounds: int) -> dict[str, list[dict[str, Any]]]:
    """What every peer's process printed of its training, round by round."""
    found: dict[str, list[dict[str, Any]]] = {}
    for number in range(rounds):
        for peer, (_, _, works) in PEERS.items():
            if works is not None and work not in works:
                continue
            row = asked(peer, environments, work)
            found.setdefault(peer, []).append(row)
            print(
                f"{work}, round {number + 1}, {peer}: {epoch(row):.3f} s an epoch, loss {row['loss']:.4f}", flush=True
            )
    return found


def uses(work: str, environments: Path) -> dict[str, dict[str, list[float]]]:
    """Seconds of encoding, reconstructing and scoring 1, 64 and all digits, for each of those that are used."""
    found = {peer: asked(peer, environments, work, "uses") for peer in USED}
    print(work, found, flush=True)
    return found


def asked(peer: str, environments: Path, work: str, *more: str) -> dict[str, Any]:
    """What a peer's process prints at its end."""
    script, environment, _ = PEERS[peer]
    with tempfile.TemporaryDirectory() as folder:
        digits = Path(folder) / "digits.npy"
        np.save(digits, data.mnist().train)
        file, *told = script.split()
        command = [python(environment, environments), str(HERE / "peers" / file), work, str(digits), *told, *more]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    if done.returncode:
        sys.exit(f"{peer} failed at {work}:\n{done.stderr[-2000:]}")
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def started(environments: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds of each of `STARTS`, in turns; a first round, which reads the files from the disk, does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in STARTS}
    for number in range(2 * rounds + 1):
        for name, (environment, told) in STARTS.items():
            with tempfile.TemporaryDirectory() as folder:
                command = [python(environment, environments), *(part.format(folder=f"{folder}/run") for part in told)]
                began = time.perf_counter()
                subprocess.run(command, capture_output=True, check=True)
                if number:
                    seconds[name].append(time.perf_counter() - began)
    print({name: statistics.median(times) for name, times in seconds.items()}, flush=True)
    return seconds


def python(environment: str | None, environments: Path) -> str:
    """The interpreter of an environment; None is this one."""
    return sys.executable if environment is None else str(environments / environment / "bin" / "python")


def epoch(row: dict[str, Any]) -> float:
    """The median epoch but for the first, in seconds."""
    return statistics.median(row["seconds"][1:])


def ceilings() -> dict[str, float]:
    """What the machine can do: products of large matrices in FLOP/s, copies in bytes/s; none in bfloat16 where that is emulated."""
    top: dict[str, float] = {}
    types = [("float32", torch.float32), ("bfloat16", torch.bfloat16)]
    if not computes_bfloat16(torch.device("cpu")):
        print("this processor does not compute in bfloat16: its ceiling is left out", flush=True)
        types = types[:1]
    for name, dtype in types:
        a, b = (torch.rand(2048, 2048).to(dtype) for _ in range(2))
        with onednn_matmul():
            top[name] = 2 * 2048**3 / min(timed(lambda a=a, b=b: a @ b))  # type: ignore[misc]
    x, y = torch.rand(2**26), torch.empty(2**26)
    top["copy"] = 2 * x.nbytes / min(timed(lambda: y.copy_(x)))
    return top


def in_bfloat16(top: dict[str, float]) -> str:
    """The ceiling in bfloat16, if the processor computes in it."""
    return f"{top['bfloat16'] / 1e9:.0f}" if "bfloat16" in top else "none (not supported by the processor)"


def timed(call: Any, times: int = 15) -> Iterator[float]:
    """Seconds of each of some calls."""
    for _ in range(times):
        began = time.perf_counter()
        call()
        yield time.perf_counter() - began


def flops(work: Work) -> float:
    """The arithmetic of one epoch: each weight's product forwards, and twice backwards but for the first layer's input."""
    if work.kind in {"dense", "variational"}:
        width = work.code * (2 if work.kind == "variational" else 1)
        down, up = (784, *work.hidden, width), (work.code, *work.hidden[::-1], 784)
        layers = [a * b for sizes in (down, up) for a, b in pairwise(sizes)]
    elif work.kind == "conv":
        layers = [9 * positions * a * b for positions, a, b in CONV]
    else:
        layers = [9 * positions * a * b for positions, a, b in DENOISING]
    return 60_000 * 2.0 * (3 * sum(layers) - layers[0])


CONV = [(784, 1, 16), (196, 16, 8), (49, 8, 8), (16, 8, 8), (64, 8, 8), (196, 8, 16), (784, 16, 1)]
DENOISING = [(784, 1, 32), (196, 32, 32), (196, 32, 32), (784, 32, 32), (784, 32, 1)]


def page(
    results: Results,
    top: dict[str, float],
    rounds: int,
    starts: dict[str, list[float]],
    used: dict[str, dict[str, dict[str, list[float]]]],
) -> str:
    """The page, with a table for each work."""
    lines = [
        "# Speed",
        "",
        "This page compares the speed and memory of isthmus with other libraries, for users who choose one.",
        "",
        f"Written by `python benchmarks/run.py` on {datetime.now(UTC):%Y-%m-%d at %H:%M} UTC: medians of {rounds} rounds;",
        f"{machine()}.",
        "An epoch has 60,000 digits; the first epoch is not counted. *Relative time* is the library's median divided by that",
        "of isthmus. *Utilization* is the time that the epoch's arithmetic takes at the peak speed of the machine, in the",
        "precision used, divided by the measured time. *Memory* is the peak of the process, imports included. *Loss* is the",
        "training cross-entropy of the last epoch in nats per pixel (for variational models, with the divergence); it shows",
        "that no library is faster because it learns less. Losses in brackets are squared errors.",
        "",
        f"Peak speed of the machine: matrix products {top['float32'] / 1e9:.0f} GFLOP/s in float32 and {in_bfloat16(top)} in bfloat16, "
        f"memory copies {top['copy'] / 1e9:.0f} GB/s.",
    ]
    for name, found in results.items():
        lines += [
            "",
            f"## {name}",
            "",
            f"{WORKS[name].title}, batch {WORKS[name].batch}.",
            "",
            *training(name, found, top),
        ]
    lines += ["", "## Inference", "", *USE]
    for name, found in used.items():
        for use in ("encode", "reconstruct", "score"):
            lines += [using(f"{name}: {use}", peer, rows[use], found["isthmus"][use]) for peer, rows in found.items()]
    lines += ["", "## Start-up time", "", "Seconds of the whole process. Its files are in the disk cache.", ""]
    lines += ["| command | seconds |", "|---|---|"]
    for name, seconds in starts.items():
        lines.append(f"| {name} | {statistics.median(seconds):.2f} ({min(seconds):.2f} - {max(seconds):.2f}) |")
    return "\n".join(lines) + "\n"


def merged(new: str, old: str) -> str:
    """The new page, with what the old one says of works that were not measured now."""
    parts = [{part.splitlines()[0]: part for part in text.split("\n## ")} for text in (new, old) if text]
    now, before = parts[0], parts[-1]
    head, *_ = now
    works = [work for work in WORKS if work in now or work in before]
    lines = now["Inference"].rstrip().splitlines()
    kept = [
        line
        for line in before.get("Inference", "").splitlines()
        if (named := line[2:].partition(":")[0]) in works and named not in now
    ]
    now["Inference"] = "\n".join([*lines, *kept]) + "\n"
    trained = [now.get(work, before.get(work, "")) for work in works]
    exported = [before[name] for name in ("Exported models",) if name in before]  # of benchmarks/runtime.py
    return "\n## ".join([now[head], *trained, now["Inference"], *exported, now["Start-up time"]])


USE = [
    "Milliseconds per call on 1, 64 and 60,000 digits, given as bytes; in brackets relative to isthmus. isthmus pads",
    "every call to batches of one fixed size, so the result of a row is bit-identical in every grouping. For a single",
    "digit this costs up to a few milliseconds. The other libraries neither pay nor guarantee this. PyTorch and Keras use",
    "batches of 1,000 digits.",
    "",
    "| method | library | 1 digit | 64 digits | 60,000 digits |",
    "|---|---|---|---|---|",
]


def using(what: str, peer: str, seconds: list[float], ours: list[float]) -> str:
    """A line of the table of use."""
    cells = [
        f"{1000 * a:,.2f} ({a / b:.1f})" if a < 1 else f"{1000 * a:,.0f} ({a / b:.1f})"
        for a, b in zip(seconds, ours, strict=True)
    ]
    return f"| {what} | {peer} | {' | '.join(cells)} |"


def training(name: str, found: dict[str, list[dict[str, Any]]], top: dict[str, float]) -> list[str]:
    """The table of a work's training."""
    lines = [
        "| library | seconds per epoch | relative time | examples/s | utilization | loss | memory, MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    ours = statistics.median(map(epoch, found["isthmus"]))
    for peer, rows in found.items():
        seconds = statistics.median(map(epoch, rows))
        spread = f"{min(map(epoch, rows)):.2f} - {max(map(epoch, rows)):.2f}"
        loss = f"{rows[-1]['loss']:.4f}"
        precision = rows[-1].get("precision", "float32")
        share = f"{flops(WORKS[name]) / top[precision] / seconds:.0%}" if precision in top else "?"
        memory = statistics.median(row["memory"] for row in rows)
        lines.append(
            f"| {peer} | {seconds:.2f} ({spread}) | {seconds / ours:.1f} | {60_000 / seconds:,.0f} | {share} {precision} | "
            + (f"({loss})" if (peer, name) in OTHER_LOSS else loss)
            + f" | {memory:,.0f} |"
        )
    return lines


if __name__ == "__main__":
    main()
