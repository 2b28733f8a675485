"""Measures exported models beside the live ones, plain PyTorch and Keras, and writes a section of docs/performance.md.

benchmarks/install.sh FOLDER
python benchmarks/runtime.py FOLDER [--rounds 3] [--works dense,hinton,keras-conv]

Every measurement is a process of its own. In each round all libraries come one after the other. Let nothing else run meanwhile.
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
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from run import machine, python
from works import WORKS

from isthmus import data

HERE = Path(__file__).parent
PEERS = {  # script and environment; None: this one
    "isthmus.runtime": ("runtime_peer.py", "small"),
    "isthmus": ("isthmus_peer.py", None),
    "plain PyTorch": ("torch_peer.py", "plain"),
    "Keras / TensorFlow": ("keras_peer.py", "keras"),
}
USES = ("encode", "reconstruct", "score")
COUNTS = ("1 digit", "64 digits", "60,000 digits")
SECTION = "Exported models"


def main() -> None:
    """Reads the command line, measures, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("environments", type=Path, help="where install.sh put the virtual environments")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--works", default="dense,hinton,keras-vae,keras-conv,keras-denoising")
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "performance.md")
    given = parser.parse_args()
    works = given.works.split(",")
    with tempfile.TemporaryDirectory() as folder:
        exported, digits = Path(folder) / "exported", Path(folder) / "digits.npy"
        np.save(digits, data.mnist().train)
        os.environ["EXPORTED"] = str(exported)
        export(works, exported)
        firsts = {peer: first(peer, given.environments, digits, given.rounds) for peer in PEERS}
        seconds: dict[str, dict[str, list[dict[str, list[float]]]]] = {
            work: {peer: [] for peer in PEERS} for work in works
        }
        for number in range(given.rounds):
            for work in works:
                for peer in PEERS:
                    seconds[work][peer].append(asked(peer, given.environments, work, digits))
                    print(work, number + 1, peer, seconds[work][peer][-1], flush=True)
    sizes = {peer: size(environment, given.environments) for peer, (_, environment) in PEERS.items()}
    text = section(seconds, firsts, sizes, given.rounds)
    before = given.out.read_text(encoding="utf-8").split("\n## ")
    kept = [part for part in before if not part.startswith(f"{SECTION}\n")]
    place = next((i for i, part in enumerate(kept) if part.startswith("Start-up time")), len(kept))
    given.out.write_text("\n## ".join([*kept[:place], text, *kept[place:]]), encoding="utf-8")
    print(f"written: {given.out}")


def export(works: list[str], folder: Path) -> None:
    """Trains each work for a few steps, for its time does not depend on its weights, and exports it."""
    sys.path.insert(0, str(HERE / "peers"))
    from isthmus_peer import autoencoder

    X = data.mnist().train
    for name in works:
        work = WORKS[name]
        ae = autoencoder(work).set_params(epochs=1).fit(X[: 2 * work.batch])
        found = ae.export(folder / name, X=X[:1000])
        ae.save(folder / f"{name}.safetensors")
        print(name, found.differences, flush=True)


def asked(peer: str, environments: Path, work: str, digits: Path) -> dict[str, list[float]]:
    """Seconds of a call for each use and number of digits."""
    row: dict[str, list[float]] = json.loads(done(peer, environments, work, digits, "uses").splitlines()[-1])
    return row


def first(peer: str, environments: Path, digits: Path, rounds: int) -> list[float]:
    """Seconds of a process that imports, loads and encodes one digit; the first one, which reads files from the disk, does not count."""
    found = list[float]()
    for _ in range(2 * rounds + 1):
        began = time.perf_counter()
        done(peer, environments, "dense", digits, "first")
        found.append(time.perf_counter() - began)
    return found[1:]


def done(peer: str, environments: Path, *arguments: Any) -> str:
    """What a peer's process prints."""
    script, environment = PEERS[peer]
    command = [python(environment, environments), str(HERE / "peers" / script), *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"{peer} failed:\n{ended.stderr[-2000:]}")
    return ended.stdout


def size(environment: str | None, environments: Path) -> float:
    """MB of the packages of an environment, without those that every environment begins with, compiled files and tests of peers."""
    script = (
        "import sysconfig, pathlib; folder = pathlib.Path(sysconfig.get_paths()['purelib']);"
        "print(sum(path.stat().st_size for path in folder.rglob('*') if path.is_file() and path.suffix != '.pyc'"
        " and path.relative_to(folder).parts[0].partition('-')[0] not in ('pip', 'setuptools', 'pkg_resources', '_distutils_hack')) / 1e6)"
    )
    name = environment or "isthmus"
    ended = subprocess.run([python(name, environments), "-c", script], capture_output=True, text=True, check=True)
    return float(ended.stdout)


def section(
    seconds: dict[str, dict[str, list[dict[str, list[float]]]]],
    firsts: dict[str, list[float]],
    sizes: dict[str, float],
    rounds: int,
) -> str:
    """The section, with its tables."""
    lines = [
        SECTION,
        "",
        f"Written by `python benchmarks/runtime.py` on {datetime.now(UTC):%Y-%m-%d at %H:%M} UTC: medians of {rounds} rounds; {machine()}.",
        "",
        "*First answer* is the whole process: start, imports, loading a dense net (784-32-784), the code of one digit; PyTorch and Keras",
        "make a net instead of loading one. *Installed* is the size of the packages without compiled files.",
        "",
        "| library | installed, MB | first answer, seconds |",
        "|---|---|---|",
        *(
            f"| {peer} | {sizes[peer]:,.0f} | {statistics.median(times):.2f} ({min(times):.2f} - {max(times):.2f}) |"
            for peer, times in firsts.items()
        ),
        "",
        "Milliseconds per call on digits given as bytes; in brackets relative to plain PyTorch, with the least and the largest",
        "ratio of a round.",
        "",
        f"| method | library | {' | '.join(COUNTS)} |",
        "|---|---|---|---|---|",
    ]
    for work, found in seconds.items():
        for use in USES:
            for peer, rows in found.items():
                cells = [cell(rows, found["plain PyTorch"], use, place) for place in range(len(COUNTS))]
                lines.append(f"| {work}: {use} | {peer} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def cell(rows: list[dict[str, list[float]]], plain: list[dict[str, list[float]]], use: str, place: int) -> str:
    """Milliseconds, and the ratio to plain PyTorch with its spread."""
    times = [row[use][place] for row in rows]
    ratios = [a / b[use][place] for a, b in zip(times, plain, strict=True)]
    middle = 1000 * statistics.median(times)
    shown = f"{middle:,.2f}" if middle < 1000 else f"{middle:,.0f}"
    if rows is plain:
        return f"{shown} (1)"
    return f"{shown} ({statistics.median(ratios):.2f}; {min(ratios):.2f} - {max(ratios):.2f})"


if __name__ == "__main__":
    main()
