"""The page of promises: what is promised, which tests prove it, in how many cases, with what result."""

from __future__ import annotations

import platform
import sys
from datetime import UTC, datetime

import numpy
import sklearn
import torch

__all__ = ["PROMISES", "page"]

PROMISES = {
    1: "Loading never runs code from a file: no pickle, no import by name, no switch read from the file.",
    2: "Any damaged file gives `ModelFileError` that names file and reason, within 2 seconds and the file's size + 64 MiB.",
    3: "A file's configuration cannot make us allocate: sizes are compared with the file before a module is built.",
    4: "An unknown key, format or tensor is an error that names it; there is no fallback to another format.",
    5: "Links, pipes and devices are refused, at every entry point.",
    6: "Saving is atomic and durable: killed at any moment, it leaves the old file or the new one.",
    7: "Disk full, read-only, no permission: the old file stays, and the error is clear.",
    8: "A reloaded model gives the same codes, bit for bit; files of earlier formats still load.",
    9: "Same seed, data, versions and threads: the same weights, bit for bit; the global generators are untouched.",
    10: "Killed at any step and resumed, training ends with the weights of a training that was not.",
    11: "SIGTERM or Ctrl-C: a checkpoint at the next step, exit code 143 or 130; a second one exits at once.",
    12: "Divergence is never silent: back to the last good state with smaller steps, then an error with advice.",
    13: "Memory is bounded by the batch, not by the data: 2 GB train within 600 MiB above the imports.",
    14: "Every check of scikit-learn passes, in float32 and float64, none expected to fail.",
    15: "Any grouping or order of rows gives the same answers, bit for bit.",
    16: "NaN, infinity, wrong width, text, sparse, empty and the like: a defined result or an error that names the place.",
    17: "Images: known formats only, sizes judged before decoding, nothing skipped silently, no link followed.",
    18: "IDX, npy, npz, Parquet: declared sizes are checked against real ones; pickles and extension types are refused.",
    19: "A download is checked against its hash, lands under a temporary name, and is never executed.",
    20: "Installing, importing and training touch no network; what is tested is locked with hashes.",
    21: "Text from data or files reaches no terminal, page, figure or CSV raw: control characters, markup and formulas are inert.",
    22: "What a valid file makes us compute is bounded: memory is estimated before the work starts, and refused out of proportion.",
    23: "A run folder of a stranger is read like a model file: no links, regular files, bounded sizes, no network.",
    24: "A value that cannot be computed with is an error or an ordered result, the same in every method: never a silent NaN.",
    25: "Held-out examples stay held out, whatever was appended, sorted or added since.",
    26: "Labels, ids, types and missing cells come out as they went in; a row without a label is never a class.",
    27: "What was guessed (header, delimiter, kind, split, scaling) is printed, and can be said instead.",
    28: "Every column counts: scaling and the figures shown do not let one column hide another.",
}

Found = dict[tuple[int, str], list[tuple[int, str]]]


def page(found: Found) -> str:
    """The table; a promise that no test proves says so."""
    lines = [
        "# What isthmus promises, and what proves it",
        "",
        f"Written by `pytest --trust=docs/trust.md` on {datetime.now(UTC):%Y-%m-%d}: Python {platform.python_version()} on",
        f"{platform.system()} ({platform.machine()}), PyTorch {torch.__version__}, NumPy {numpy.__version__}, scikit-learn "
        f"{sklearn.__version__}, {sys.byteorder}-endian.",
        "",
        "| | promise | test | cases | result |",
        "|---|---|---|---|---|",
    ]
    for number, promise in PROMISES.items():
        tests = sorted(name for known, name in found if known == number)
        if not tests:
            lines.append(f"| {number} | {promise} | none | 0 | **not proven** |")
        for place, name in enumerate(tests):
            rows = found[number, name]
            cases = sum(cases for cases, _ in rows)
            outcomes = {outcome: sum(o == outcome for _, o in rows) for _, outcome in rows}
            result = ", ".join(
                outcome if count == len(rows) else f"{count} {outcome}" for outcome, count in sorted(outcomes.items())
            )
            file, _, test = name.partition("::")
            head = f"| {number} | {promise} " if place == 0 else "| | "
            lines.append(
                f"{head}| [{test.removeprefix('test_').replace('_', ' ')}](../tests/{file}) | {cases:,} | {result} |"
            )
    return "\n".join(lines) + "\n"
