"""Writes docs/trust.md: the guarantees, the tests that check each of them, the number of cases, and the results."""

from __future__ import annotations

import platform
import sys
from datetime import UTC, datetime

import numpy
import sklearn
import torch

__all__ = ["PROMISES", "page"]

PROMISES = {
    1: "Loading a file never executes code: no pickle, no imports by name, no executable options.",
    2: "A damaged file raises `ModelFileError` with file name and reason, within 2 seconds and file size + 64 MiB of memory.",
    3: "The configuration in a file cannot cause large allocations: sizes are compared with the file before a module is built.",
    4: "An unknown key, format or tensor raises an error that names it. No other format is tried.",
    5: "Links, pipes and devices are refused wherever a file is opened.",
    6: "Saving is atomic and durable: a process killed at any moment leaves the old file or the new one.",
    7: "With a full disk, a read-only folder or no permission, the old file stays and the error names the cause.",
    8: "A reloaded model gives bit-identical codes. Files of earlier formats load.",
    9: "The same random state, data, versions and threads give bit-identical weights. Global random generators are unchanged.",
    10: "A training killed at any step and resumed gives the same weights as an uninterrupted training.",
    11: "SIGTERM and Ctrl-C write a checkpoint at the next step and exit with code 143 or 130. A second signal exits at once.",
    12: "Divergence is always reported: training returns to the last good state with smaller steps, then raises an error with advice.",
    13: "Memory depends on the batch size, not on the size of the data: 2 GB train within 600 MiB above the imports.",
    14: "All estimator checks of scikit-learn pass in float32 and float64; none is marked as expected to fail.",
    15: "Results per example are bit-identical for every grouping and order of the rows.",
    16: "NaN, infinity, a wrong number of features, text, sparse and empty input give a defined result or an error with the position.",
    17: "Images: only listed formats are decoded, sizes are checked first, skipped files are reported, links are not followed.",
    18: "IDX, npy, npz, Parquet: declared sizes are compared with actual sizes; pickles and extension types are refused.",
    19: "A download is verified by its hash, written under a temporary name, and never executed.",
    20: "No installation, import or training code of isthmus uses the network. The tested dependencies are locked with hashes.",
    21: "Text from data or files is escaped in terminal, pages, figures and CSV: control characters, markup and formulas have no effect.",
    22: "Computation that a valid file requests is bounded: memory is estimated before the work, and excessive requests are refused.",
    23: "A run folder from others is read like a model file: no links, only regular files, bounded sizes, no network.",
    24: "A value outside the computable range gives an error or a correctly ordered result in every method, never a silent NaN.",
    25: "Held-out examples stay held out when data are appended, sorted or added.",
    26: "Labels, IDs, types and missing cells are returned as they were given. A row without a label belongs to no class.",
    27: "Automatic choices (header, delimiter, kind, split, scaling) are printed, and an option overrides each.",
    28: "Every feature counts: scaling and reported metrics do not let one feature hide another.",
    29: "Invalid, very large and slow requests to a server get an error answer: no traceback, no growing memory, 503 when it is busy. "
    "Answers are those of the model; none is lost or mixed up.",
    30: "Bulk use that is killed at any moment and started again gives each row exactly once.",
    31: "An exported model gives the results of the model within a stated difference. It holds the checksum of that model; a damaged "
    "part is refused.",
}

Found = dict[tuple[int, str], list[tuple[int, str]]]


def page(found: Found) -> str:
    """The page's text; a guarantee that no test checks is marked "not tested"."""
    lines = [
        "# Guarantees and their tests",
        "",
        "This page lists what isthmus guarantees and the tests that check it, for users who decide whether to rely on it.",
        "",
        f"Written by `pytest --trust=docs/trust.md` on {datetime.now(UTC):%Y-%m-%d}: Python {platform.python_version()} on",
        f"{platform.system()} ({platform.machine()}), PyTorch {torch.__version__}, NumPy {numpy.__version__}, scikit-learn "
        f"{sklearn.__version__}, {sys.byteorder}-endian.",
        "",
        "| | guarantee | test | cases | result |",
        "|---|---|---|---|---|",
    ]
    for number, promise in PROMISES.items():
        tests = sorted(name for known, name in found if known == number)
        if not tests:
            lines.append(f"| {number} | {promise} | none | 0 | **not tested** |")
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
