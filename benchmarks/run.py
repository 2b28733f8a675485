"""Measures training, inference and start-up of isthmus and other libraries, in turns, and writes docs/performance.md.

benchmarks/install.sh FOLDER
python benchmarks/run.py FOLDER [--rounds 3] [--works dense,hinton]
python benchmarks/run.py --page

The figures of each processor are kept in measured/speed; the page has those of all of them, and --page writes it again from what is kept.
With --works the figures of the other works stay. What a processor would emulate is not measured, and a peer that is not installed
is left out; both are said. Where variables such as ONEDNN_MAX_CPU_ISA=AVX2 and MKL_ENABLE_INSTRUCTIONS=AVX2 make a processor stand in for
an older one, they are a part of its name.

Every measurement is a process of its own. In each round all peers come one after the other, so that a change in the machine's speed
meets all of them; what is printed are medians over the rounds, and ratios of medians. Let nothing else run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from works import WORKS, Work

from isthmus import data, native
from isthmus.experiments.reproduction import machine
from isthmus.nn.device import computes_bfloat16, onednn_matmul

HERE = Path(__file__).parent
KEPT = HERE / "measured" / "speed"
LIMITS = (
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "MKL_ENABLE_INSTRUCTIONS",
    "OPENBLAS_CORETYPE",
)  # of instructions
PEERS = {  # script and what it is told besides, environment, works; None: all of them
    "isthmus": ("isthmus_peer.py", None, None),
    "isthmus, in float32": ("isthmus_peer.py float32", None, ("hinton",)),
    "plain PyTorch": ("torch_peer.py", "torch", None),
    "Keras / TensorFlow": ("keras_peer.py", "keras", tuple(work for work in WORKS if work != "default")),
    "Lightning": ("lightning_peer.py", "torch", ("dense", "keras-vae", "hinton")),
    "Pythae": ("pythae_peer.py", "pythae", ("dense", "keras-vae")),
    "PyOD": ("pyod_peer.py", "torch", ("dense", "fashion-deep", "hinton")),
    "scikit-learn": ("sklearn_peer.py", "torch", ("dense", "hinton")),
}
MODULES = {
    "plain PyTorch": "torch",
    "Keras / TensorFlow": "keras",
    "Lightning": "lightning",
    "Pythae": "pythae",
    "PyOD": "pyod",
    "scikit-learn": "sklearn",
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
    "`isthmus train`, with its figures and its page": (None, ["-m", "isthmus", "train", "--out", "{folder}"]),
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
Measurement = dict[str, Any]


def main() -> None:
    """Reads the command line, measures, keeps the figures, writes the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("environments", type=Path, nargs="?", help="where install.sh put the virtual environments")
    parser.add_argument("--page", action="store_true", help="measure nothing")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--works", default=",".join(name for name in WORKS if name not in QUALITY))
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "performance.md")
    given = parser.parse_args()
    if not given.page:
        if given.environments is None:
            parser.error("name the folder of the virtual environments, or --page")
        keep(measure(given.environments, given.works.split(","), given.rounds))
    kept = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(KEPT.glob("*.json"))]
    known = given.out.read_text(encoding="utf-8") if given.out.exists() else ""
    given.out.write_text(page(kept) + foreign(known), encoding="utf-8")
    print(f"written: {given.out}")


def measure(environments: Path, works: list[str], rounds: int) -> Measurement:
    """All figures of this processor."""
    about = processor()
    print(about, flush=True)
    top, starts = ceilings(), started(environments, rounds)
    results = {name: measured(name, environments, rounds) for name in works}
    used = {name: uses(name, environments) for name in works if name != "default"}
    return {**about, "rounds": rounds, "top": top, "starts": starts, "results": results, "used": used}


def processor() -> Measurement:
    """What the figures depend on: the processor and its instructions, the libraries, and when they were measured."""
    instructions = torch.backends.cpu.get_cpu_capability().replace("AVX512", "AVX-512")
    if computes_bfloat16(torch.device("cpu")):
        instructions += " with bfloat16"
    limits = [f"{name}={os.environ[name]}" for name in LIMITS if name in os.environ]
    libraries = [
        line.strip(" -") for line in torch.__config__.show().splitlines() if "Math Kernel Library Version" in line
    ]
    libraries += [
        line.strip(" -").partition(" (Git")[0] for line in torch.__config__.show().splitlines() if "MKL-DNN v" in line
    ]
    return {
        "name": " ".join([instructions, *limits]),
        "machine": machine(),
        "libraries": [*libraries, f"native kernels: {native.name() or 'none'}"],
        "date": f"{datetime.now(UTC):%Y-%m-%d at %H:%M} UTC",
    }


def keep(new: Measurement) -> None:
    """Writes the figures of a processor; those of works that were not measured now stay."""
    KEPT.mkdir(parents=True, exist_ok=True)
    path = KEPT / f"{re.sub('[^a-z0-9]+', '-', new['name'].lower()).strip('-')}.json"
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for part in ("results", "used"):
        new[part] = {
            work: {**old.get(part, {}), **new[part]}[work]
            for work in WORKS
            if work in {**old.get(part, {}), **new[part]}
        }
    path.write_text(json.dumps(new, indent=1) + "\n", encoding="utf-8")


def measured(work: str, environments: Path, rounds: int) -> dict[str, list[dict[str, Any]]]:
    """What every peer's process printed of its training, round by round."""
    found: dict[str, list[dict[str, Any]]] = {}
    for number in range(rounds):
        for peer, (_, _, works) in PEERS.items():
            if (works is not None and work not in works) or not installed(peer, environments):
                continue
            row = asked(peer, environments, work)
            found.setdefault(peer, []).append(row)
            print(
                f"{work}, round {number + 1}, {peer}: {epoch(row):.3f} s an epoch, loss {row['loss']:.4f}", flush=True
            )
    return found


def uses(work: str, environments: Path) -> dict[str, dict[str, list[float]]]:
    """Seconds of encoding, reconstructing and scoring 1, 64 and all digits, for each of those that are used."""
    found = {peer: asked(peer, environments, work, "uses") for peer in USED if installed(peer, environments)}
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
            if environment is not None and not Path(python(environment, environments)).exists():
                continue
            with tempfile.TemporaryDirectory() as folder:
                command = [python(environment, environments), *(part.format(folder=f"{folder}/run") for part in told)]
                began = time.perf_counter()
                subprocess.run(command, capture_output=True, check=True)
                if number:
                    seconds[name].append(time.perf_counter() - began)
    seconds = {name: times for name, times in seconds.items() if times}
    print({name: statistics.median(times) for name, times in seconds.items()}, flush=True)
    return seconds


@cache
def installed(peer: str, environments: Path) -> bool:
    """Whether a peer is in its environment; says it if not."""
    _, environment, _ = PEERS[peer]
    command = [python(environment, environments), "-c", f"import {MODULES.get(peer, 'numpy')}"]
    there = Path(command[0]).exists() and subprocess.run(command, capture_output=True, check=False).returncode == 0
    if not there:
        print(f"{peer} is not installed there: it is left out", flush=True)
    return there


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


def page(kept: list[Measurement]) -> str:
    """The page, with a table for each work and processor, and the ratios of all processors side by side."""
    lines = [*HEAD, "", *side_by_side(kept)]
    for work in WORKS:
        tables = [each for each in kept if work in each["results"]]
        if tables:
            lines += ["", f"## {work}", "", f"{WORKS[work].title}, batch {WORKS[work].batch}."]
        for each in tables:
            lines += ["", f"{each['name']}:", "", *training(work, each["results"][work], each["top"])]
    lines += ["", "## Inference", "", *USE]
    for each in kept:
        lines += ["", f"{each['name']}:", "", *USE_TABLE]
        for name, found in each["used"].items():
            for use in ("encode", "reconstruct", "score"):
                lines += [
                    using(f"{name}: {use}", peer, rows[use], found["isthmus"][use]) for peer, rows in found.items()
                ]
    return "\n".join([*lines, "", *starting(kept)]) + "\n"


def side_by_side(kept: list[Measurement]) -> list[str]:
    """What the processors are, and the relative times of the libraries on each."""
    lines = [
        "| processor | machine | libraries | measured | rounds | GFLOP/s float32, bfloat16 | copies, GB/s |",
        "|---|---|---|---|---|---|---|",
    ]
    for each in kept:
        top = each["top"]
        lines.append(
            f"| {each['name']} | {each['machine']} | {'; '.join(each['libraries']) or '?'} | {each['date']} | {each['rounds']} | "
            f"{top['float32'] / 1e9:.0f}, {in_bfloat16(top)} | {top['copy'] / 1e9:.0f} |"
        )
    lines += ["", "Relative time of each library in training, on each processor:", ""]
    lines += [f"| work | library | {' | '.join(each['name'] for each in kept)} |", f"|---|---|{'---|' * len(kept)}"]
    for work in WORKS:
        for peer in PEERS:
            cells = [relative(each["results"].get(work, {}), peer) for each in kept]
            if peer != "isthmus" and any(cells):
                lines.append(f"| {work} | {peer} | {' | '.join(cell or '' for cell in cells)} |")
    return lines


def relative(found: dict[str, list[dict[str, Any]]], peer: str) -> str:
    """The median time of a peer divided by that of isthmus, "" if one was not measured."""
    if peer not in found or "isthmus" not in found:
        return ""
    theirs, ours = (statistics.median(map(epoch, found[name])) for name in (peer, "isthmus"))
    return f"{theirs / ours:.1f}"


def starting(kept: list[Measurement]) -> list[str]:
    """The section on start-up times."""
    lines = ["## Start-up time", "", "Seconds of the whole process. Its files are in the disk cache.", ""]
    lines += [f"| command | {' | '.join(each['name'] for each in kept)} |", f"|---|{'---|' * len(kept)}"]
    for name in STARTS:
        cells = []
        for each in kept:
            seconds = each["starts"].get(name, [])
            spread = f"{statistics.median(seconds):.2f} ({min(seconds):.2f} - {max(seconds):.2f})" if seconds else ""
            cells.append(spread)
        if any(cells):
            lines.append(f"| {name} | {' | '.join(cells)} |")
    cells = [plain_epochs(each["results"].get("default", {})) for each in kept]
    if any(cells):
        lines.append(f"| 13 epochs of the same net by plain PyTorch, without its start | {' | '.join(cells)} |")
    return lines


def plain_epochs(found: dict[str, list[dict[str, Any]]]) -> str:
    """Seconds of all epochs by plain PyTorch, "" if they were not measured."""
    rows = [sum(row["seconds"]) for row in found.get("plain PyTorch", [])]
    return f"{statistics.median(rows):.2f} ({min(rows):.2f} - {max(rows):.2f})" if rows else ""


def foreign(known: str) -> str:
    """The sections of the page that other scripts write."""
    parts = {part.splitlines()[0]: part for part in known.split("\n## ") if part}
    names = ("Where the time of a step goes", "Exported models")
    return "".join(f"\n## {parts[name].rstrip()}\n" for name in names if name in parts)


HEAD = [
    "# Speed",
    "",
    "This page compares the speed and memory of isthmus with other libraries, for users who choose one.",
    "",
    "Written by `python benchmarks/run.py`: medians of some rounds in turns, by processor.",
    "An epoch has 60,000 digits; the first epoch is not counted. *Relative time* is the library's median divided by that",
    "of isthmus. *Utilization* is the time that the epoch's arithmetic takes at the peak speed of the machine, in the",
    "precision used, divided by the measured time. *Memory* is the peak of the process, imports included. *Loss* is the",
    "training cross-entropy of the last epoch in nats per pixel (for variational models, with the divergence); it shows",
    "that no library is faster because it learns less. Losses in brackets are squared errors.",
]
USE = [
    "Milliseconds per call on 1, 64 and 60,000 digits, given as bytes; in brackets relative to isthmus. isthmus pads",
    "every call to batches of one fixed size, so the result of a row is bit-identical in every grouping. For a single",
    "digit this costs up to a few milliseconds. The other libraries neither pay nor guarantee this. PyTorch and Keras use",
    "batches of 1,000 digits.",
]
USE_TABLE = [
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
