"""Goes from files to answers with the command line, for each kind of data, at two sizes; writes docs/from-file-to-answer.md.

python benchmarks/kinds.py [--kinds table,series] [--page]

Synthetic files of each kind are written to a temporary folder, then ten times as many rows, pages or images. Each command runs in its own
process with one thread: its processor time and peak memory are taken from the operating system. --kinds runs a part; --page
only writes the page from the figures in benchmarks/measured/kinds.json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from documents import clean_page, dirty_page
from folders import write_photos
from PIL import Image
from run import HERE
from scipy import sparse
from scipy.io import wavfile
from sound import noise_like, synthesized
from textures import DEFECTS, as_bytes, grain

import isthmus
from isthmus.experiments.reproduction import machine

KEPT, PAGE = HERE / "measured" / "kinds.json", HERE.parent / "docs" / "from-file-to-answer.md"
# a process of its own, as the peak memory of a process includes that of the one that started it
MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(code)
"""
TIMES, SHOWN = 10, 24  # how much larger the larger size is; lines of output on the page


class Kind(NamedTuple):
    """What one kind of user has, and the commands from his files to his answer."""

    title: str
    files: str  # what the files hold, with {} for the size
    write: Callable[[int], None]  # writes them to the current folder
    size: int
    commands: tuple[str, ...]  # the output of the last one is shown
    figures: str  # where the figures beside baselines are
    missing: str  # what these users still miss


def write_houses(n: int) -> None:
    """A table of numbers, whole numbers, booleans, categories and dates with gaps, and new rows, five of them made anomalous."""
    rng = np.random.default_rng(0)
    rooms, region = rng.integers(1, 7, n), rng.choice(["north", "south", "coast"], n, p=[0.5, 0.3, 0.2])
    houses = pd.DataFrame({"id": np.arange(n) + 1000, "rooms": rooms, "region": region})
    area = 18 * rooms * rng.lognormal(0, 0.15, n)
    houses["area"] = area.round(1)
    houses["price"] = (area * np.where(region == "coast", 4.5, 3) * rng.lognormal(0, 0.1, n)).round(1)
    houses["garden"] = pd.Series((area > 70) & (region != "coast")).astype("boolean")
    houses["sold"] = (pd.to_datetime("2022-01-01") + pd.to_timedelta(rng.integers(0, 900, n), "D")).strftime("%Y-%m-%d")
    for column in ["region", "area", "price", "garden", "sold"]:
        houses.loc[rng.random(n) < 0.05, column] = None
    new = n // 5
    houses[new:].to_csv("houses.csv", index=False)
    odd = houses[:new].copy()
    odd.loc[odd.index[:5], "price"] = odd["price"].median() * 12
    odd.to_csv("new.csv", index=False)


def write_log(n: int) -> None:
    """Two machines with three channels, a row every ten seconds; in the new file one channel is stuck for a while."""
    rng, parts = np.random.default_rng(0), []
    time = np.arange(n // 2)
    for number, name in enumerate(["pump", "fan"]):
        heat = 50 + 5 * np.sin(time / 7 + number) + 0.5 * rng.normal(size=len(time))
        load = np.cos(time / 11) + 0.1 * rng.normal(size=len(time))
        when = pd.Timestamp("2026-01-01") + pd.to_timedelta(10 * time, unit="s")
        flow = 0.2 * heat - load + 0.2 * rng.normal(size=len(time))
        parts.append(pd.DataFrame({"time": when, "machine": name, "heat": heat, "load": load, "flow": flow}))
    for name, rows in {"log.csv": slice(0, len(time) * 4 // 5), "new.csv": slice(len(time) * 4 // 5, None)}.items():
        cut = [part.iloc[rows].copy() for part in parts]
        if name == "new.csv":
            cut[0].iloc[80:110, 2] = cut[0].iloc[80, 2]
        pd.concat(cut).to_csv(name, index=False, float_format="%.4f")


def write_folder(n: int) -> None:
    """Photographs in color, as JPEG."""
    Path("photos").mkdir()
    write_photos(Path("photos"), n)


def write_pages(n: int) -> None:
    """Six pairs of dirty and clean pages, and a dirty page of n pixels."""
    rng = np.random.default_rng(0)
    for folder in ("dirty", "clean"):
        Path(folder).mkdir()
    for number in range(6):
        clean = clean_page(rng)
        Image.fromarray(clean).save(f"clean/{number}.png")
        Image.fromarray(dirty_page(clean, rng)).save(f"dirty/{number}.png")
    clean = clean_page(rng)
    height = int((n * 1.4) ** 0.5)
    repeats = height // len(clean) + 1, n // height // clean.shape[1] + 1
    page = np.tile(clean, repeats)[:height, : n // height]
    Image.fromarray(dirty_page(page, rng)).save("page.png")


def write_textures(n: int) -> None:
    """Images of an intact texture, and two with each of four kinds of defect, in the layout of MVTec."""
    rng, train = np.random.default_rng(0), Path("fabric/train/good")
    train.mkdir(parents=True)
    for number in range(n):
        Image.fromarray(as_bytes(grain(rng))).save(train / f"{number:04d}.png")
    for name, defect in DEFECTS.items():
        images, masks = (Path("fabric") / part / name.replace(" ", "_") for part in ("test", "ground_truth"))
        images.mkdir(parents=True)
        masks.mkdir(parents=True)
        for number in range(2):
            image, mask = defect(grain, rng)
            Image.fromarray(as_bytes(image)).save(images / f"{number}.png")
            Image.fromarray(as_bytes(mask)).save(masks / f"{number}_mask.png")


def write_cells(n: int) -> None:
    """Counts of 2,000 genes in cells of four types, with different library sizes, as a sparse matrix."""
    rng = np.random.default_rng(0)
    kinds = rng.dirichlet(np.full(2000, 0.05), 4)
    size = rng.lognormal(6, 0.4, n)
    kind = rng.integers(0, 4, n)
    blocks = [
        sparse.csr_array(rng.poisson(kinds[kind[at : at + 1000]] * size[at : at + 1000, None]))
        for at in range(0, n, 1000)
    ]
    sparse.save_npz("cells.npz", sparse.vstack(blocks, format="csr").astype(np.float32))


def write_recordings(n: int) -> None:
    """Pairs of noisy and clean recordings of one and a half seconds, and one of n seconds."""
    rng = np.random.default_rng(0)
    for folder in ("noisy", "clean"):
        Path(folder).mkdir()
    spoken = [synthesized("one two three", rng) for _ in range(20)]
    for number, clean in enumerate(spoken):
        wavfile.write(f"clean/{number}.wav", 16_000, clean.astype(np.float32))
        noisy = clean + 0.3 * clean.std() * noise_like(len(clean), 1, rng)
        wavfile.write(f"noisy/{number}.wav", 16_000, noisy.astype(np.float32))
    long = np.resize(np.concatenate(spoken), n * 16_000)
    long += 0.3 * long.std() * noise_like(len(long), 1, rng)
    wavfile.write("long.wav", 16_000, long.astype(np.float32))


KINDS = {
    "table": Kind(
        "A table of mixed columns",
        "{} rows of `houses.csv`: an id, numbers, whole numbers, booleans, categories and dates, 5 % of the cells missing; "
        "a quarter as many rows of `new.csv`, five of them with a price twelve times the median",
        write_houses,
        5_000,
        (
            "isthmus data houses.csv --id id",
            "isthmus train --data houses.csv --id id missing=allow --out run",
            "isthmus impute run --data new.csv --out complete.csv",
            "isthmus train tabular --data houses.csv --drop id missing=allow --out synthetic",
            "isthmus sample synthetic -n 1000 --out made-up.csv",
            "isthmus detect run --data new.csv --out scores.csv",
        ),
        "[imputation](imputation.md), [synthesis](synthesis.md), [anomalies](anomalies.md), [missing values](missing-values.md)",
        "free text is left out (embed it first); tables that refer to each other; synthetic rows with a guarantee of privacy",
    ),
    "series": Kind(
        "A series",
        "{} rows of two machines with three channels, a row every ten seconds; a fifth of them is `new.csv`, with a channel that is stuck",
        write_log,
        10_000,
        (
            "isthmus data log.csv --time time --by machine --window 64",
            "isthmus train --data log.csv --time time --by machine --window 64 --step 8 --out run",
            "isthmus detect run --data new.csv --false-alarm-rate 0.05 --out scores.csv",
        ),
        "[series](series.md)",
        "forecasts; channels that are sampled at different rates in one file (resample them first)",
    ),
    "photos": Kind(
        "Photographs",
        "{} photographs in color of 256 x 256 pixels",
        write_folder,
        200,
        (
            "isthmus data photos --resize 64x64 --split none",
            "isthmus train photos --data photos --resize 64x64 --split none --out run",
            "isthmus encode run --data photos --resize 64x64 --split none --out codes.npy",
        ),
        "[photos](photos.md)",
        "nets that were trained on millions of photographs before; new photographs that look real",
    ),
    "pages": Kind(
        "Scanned pages",
        "Six pairs of dirty and clean pages, and `page.png` with {} pixels",
        write_pages,
        600_000,
        (
            "isthmus train convolutional --data dirty --target clean --patches 64 architecture.code=map "
            "architecture.channels=32 bottleneck.size=64 --out run",
            "isthmus reconstruct run page.png --out clean.png",
        ),
        "[documents](documents.md)",
        "PDF files (export their pages as images first); pages that are warped",
    ),
    "textures": Kind(
        "Defects of textures",
        "{} images of 128 x 128 pixels of an intact texture, eight with defects, and their masks",
        write_textures,
        100,
        (
            "isthmus train photos bottleneck.size=64 architecture.of.hidden=256 augmentation=NoAugmentation epochs=10 "
            "--data fabric/train/good --patches 32 --out run",
            "isthmus detect run --data fabric/test --masks fabric/ground_truth --false-alarm-rate 0.1 --out scores.csv",
        ),
        "[defects](defects.md)",
        "features of nets that were trained on other images, which lead the published tables of MVTec",
    ),
    "counts": Kind(
        "Counts",
        "{} cells with counts of 2,000 genes, as a sparse matrix",
        write_cells,
        2_000,
        (
            "isthmus data cells.npz",
            "isthmus train counts --data cells.npz --out run",
            "isthmus encode run --data cells.npz --out codes.npy",
            "isthmus detect run --data cells.npz --out scores.csv",
        ),
        "[counts](counts.md)",
        "layers of AnnData files on the command line; a command that lists recommended items for each user (Python has both)",
    ),
    "sound": Kind(
        "Sound",
        "20 pairs of noisy and clean recordings, and `long.wav` with {} seconds, at 16 kHz",
        write_recordings,
        60,
        (
            "isthmus train convolutional --data noisy --target clean --window 1024 architecture.code=map "
            "architecture.kernel=9 architecture.down=stride architecture.up=transpose bottleneck.size=64 --out run",
            "isthmus reconstruct run long.wav --out clean.wav",
        ),
        "[sound](sound.md)",
        "compressed formats other than FLAC and OGG; losses of hearing rather than of samples",
    ),
}  # fmt: skip


def followed(kind: Kind, size: int) -> list[dict[str, Any]]:
    """What each command printed, its processor time in seconds and its peak memory in MB."""
    found, before = [], Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            kind.write(size)
            for command in kind.commands:
                words = [sys.executable, "-c", MEASURE, sys.executable, "-m", *shlex.split(command)]
                done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                if done.returncode:
                    sys.exit(f"{command}\n{done.stdout}")
                said, _, used = done.stdout.rstrip("\n").rpartition("\n")
                seconds, memory = map(float, used.split())
                found.append({"said": said, "seconds": seconds, "memory": memory * 1024 / 1e6})
                print(f"{size:,}: {command[:60]}: {seconds:.1f} s, {found[-1]['memory']:.0f} MB", flush=True)
        finally:
            os.chdir(before)
    return found


def shown(said: str) -> str:
    """The lines of an output for the page."""
    lines = [line.rstrip() for line in re.sub(r"[^\n]*\r(?!\n)", "", said).strip().splitlines()]
    return "\n".join(lines[:SHOWN] + ["..."] * (len(lines) > SHOWN))


def section(kind: Kind, found: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The commands, the output of the last one, and seconds and memory at both sizes."""
    sizes = [f"{kind.size:,}", f"{TIMES * kind.size:,}"]
    lines = [f"## {kind.title}", "", kind.files.format(" or ".join(sizes)) + ":", "", "```", *kind.commands, "```", ""]
    lines += ["The last command prints:", "", "```", shown(found["small"][-1]["said"]), "```", ""]
    lines += [f"| command | {sizes[0]}: s | MB | {sizes[1]}: s | MB |", "|---|---|---|---|---|"]
    for command, small, large in zip(kind.commands, found["small"], found["large"], strict=True):
        name = " ".join(word for word in command.split()[:3] if not word.startswith("-"))
        cells = [f"{figure['seconds']:.1f} | {figure['memory']:,.0f}" for figure in (small, large)]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return [*lines, "", f"Figures beside baselines: {kind.figures}.", "", f"Still missing: {kind.missing}.", ""]


def page(kept: dict[str, Any]) -> str:
    """The whole page."""
    lines = [
        "# From a file to an answer",
        "",
        "This page has the commands for each kind of data, with time and memory at two sizes.",
        "Read it to see whether isthmus is for your data.",
        "",
        "The files are synthetic. Seconds are processor time of a whole command with one thread, with about three seconds of start;",
        "MB are the peak memory of its process, of which PyTorch takes about 300.",
        "",
        f"Written by `python benchmarks/kinds.py` on {kept['date']}; {kept['machine']}.",
        "",
    ]
    for name, kind in KINDS.items():
        if name in kept["kinds"]:
            lines += section(kind, kept["kinds"][name])
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    """Runs the commands, or only writes the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--page", action="store_true", help="only write the page")
    given = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "COLUMNS": "120"}
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {"kinds": {}}
    for name in [] if given.page else given.kinds.split(","):
        kind = KINDS[name]
        kept["kinds"][name] = {"small": followed(kind, kind.size), "large": followed(kind, TIMES * kind.size)}
        import torch

        kept |= {"date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": machine(), "torch": torch.__version__}
        kept["isthmus"] = isthmus.__version__
        KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(kept), encoding="utf-8")
    print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
