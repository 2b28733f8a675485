"""Compares exported files with the live models, for every component, and writes docs/parity.md.

python benchmarks/parity.py

The models and examples are those of tests/test_every_component.py. Takes about ten minutes on one core.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx.reference import ReferenceEvaluator
from run import machine

from isthmus.estimators.export import export

ROOT = Path(__file__).parents[1]
SLOTS = ("architecture", "bottleneck", "likelihood", "scaling", "prior")
PARTS = ("encoder", "decoder", "reconstruct", "score")


def main() -> None:
    """Exports, compares, writes."""
    sys.path.insert(0, str(ROOT / "tests"))
    import test_every_component as every

    lines, largest = [], 0.0
    for slot in SLOTS:
        for name in every.SLOTS[slot].__all__:
            record = every.made(slot, name)
            ae = every.autoencoder(slot, record).fit(every.examples(record), every.LABELS)
            X = every.seen_by(ae, every.examples(record))
            with tempfile.TemporaryDirectory() as folder:
                found = export(ae, Path(folder) / "out", parts=PARTS, X=X, y=every.LABELS[: len(X)])
                second = reference(ae, Path(folder) / "out" / "score.onnx", X, every.LABELS[: len(X)])
            cells = [found.differences[part] for part in PARTS] + [second]
            largest = max(largest, *cells)
            lines.append(f"| {slot} | {name} | {' | '.join(f'{value:.1e}' for value in cells)} |")
            print(lines[-1], flush=True)
    (ROOT / "docs" / "parity.md").write_text("\n".join([*head(largest), *lines]) + "\n", encoding="utf-8")


def reference(ae: Any, path: Path, X: Any, y: Any) -> float:
    """The largest relative difference of the scores by onnx's reference evaluator from the live ones."""
    inputs = {"X": X, "y": y} if ae.model_.architecture.context else {"X": X}
    expected = ae.score_samples(X, y)
    (scores,) = ReferenceEvaluator(onnx.load(path)).run(None, inputs)
    return float(np.abs(scores.astype(np.float64) - expected).max() / np.abs(expected).max())


def head(largest: float) -> list[str]:
    """What stands above the table."""
    return [
        "# Exported files beside the live models",
        "",
        "This page is for people who put a model to work. It shows how far the numbers of exported files are from those of the estimator.",
        "",
        f"Written by `python benchmarks/parity.py` on {datetime.now(UTC):%Y-%m-%d} UTC; {machine()},",
        f"onnxruntime {onnxruntime.__version__}.",
        "Each row is a small model of images with one component changed, trained for 2 epochs (random state 0). A number is the largest",
        "difference of an output from that of the estimator, relative to the largest output, over all examples: of the four files by",
        "onnxruntime, and of the score by onnx's reference evaluator.",
        f"The largest of all is {largest:.1e}; an export with more than 1e-5 is refused.",
        "",
        f"| part of a model | component | {' | '.join(PARTS)} | score, reference |",
        "|---|---|---|---|---|---|---|",
    ]


if __name__ == "__main__":
    main()
