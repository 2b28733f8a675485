"""Compares isthmus with published figures on MNIST and scikit-learn's digits; writes docs/results.md.

python benchmarks/results.py [--seeds 3] [--rows map,restoring]

With --rows the page keeps its other rows. Rows with a page of their own (anomalies, labels) are read from the last results of
`benchmarks/anomalies.py` and `benchmarks/labels.py`. Hyperparameters were chosen on training digits and validated on other training digits;
these scripts evaluate each model once on the test digits.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import torch
from quality import TARGETS, per_pixel, small_map
from run import HERE

from isthmus import Autoencoder, data
from isthmus.architectures import Conv
from isthmus.bottlenecks import Identity
from isthmus.corruptions import GaussianNoise
from isthmus.experiments.reproduction import machine
from isthmus.optimizers import AdamW, OneCycle

PAGE = HERE.parent / "docs" / "results.md"


class Figures(NamedTuple):
    """The figures of some random states, seconds for each, and on how many threads."""

    values: list[float]
    seconds: list[float]
    threads: int


@dataclass(frozen=True)
class Row:
    """A task, its published figures, our target, and the function that measures it for a number of random states."""

    task: str
    published: str
    aim: float
    measure: Callable[[int], Figures]
    digits: int = 4
    rises: bool = False  # whether higher is better

    def reached(self, figures: list[float]) -> bool:
        """Whether every random state reached the target."""
        return min(figures) >= self.aim if self.rises else max(figures) <= self.aim


def each(measure: Callable[[int], float]) -> Callable[[int], Figures]:
    """One random state after the other."""

    def measured(states: int) -> Figures:
        figures, seconds = [], []
        for random_state in range(states):
            began = time.perf_counter()
            figures.append(measure(random_state))
            seconds.append(time.perf_counter() - began)
        return Figures(figures, seconds, torch.get_num_threads())

    return measured


def detected(_: int) -> Figures:
    """Percent of the area under the ROC curve, the mean over ten digits, for each random state of the other script."""
    whole = kept("anomalies")
    found = [f for f in whole["figures"] if (f["kind"], f["method"]) == ("mnist", "isthmus")]
    by_state = [[f for f in found if f["seed"] == state] for state in sorted({f["seed"] for f in found})]
    return Figures(
        [100 * statistics.mean(f["auroc"] for f in one) for one in by_state],
        [sum(f["seconds"] for f in one) for one in by_state],
        whole["threads"],
    )


def told(part: str, codes: str) -> Callable[[int], Figures]:
    """Test accuracy in percent of a linear classifier, from the other script."""

    def measured(_: int) -> Figures:
        whole = kept("labels")[part]
        found = whole[codes]
        return Figures([100 * score for score in found["accuracy"]], found["seconds"], whole["threads"])

    return measured


def split(_: int) -> Figures:
    """The mean over the splits, and the seconds of one."""
    found = kept("labels")["digits"]
    return Figures([100 * statistics.mean(found["scores"])], [found["seconds"]], found["threads"])


def kept(name: str) -> Any:
    """What another script measured last."""
    return json.loads((HERE / "measured" / f"{name}.json").read_text(encoding="utf-8"))


def fitted(ae: Autoencoder, random_state: int) -> Autoencoder:
    """An autoencoder trained on the 60,000 digits."""
    return ae.set_params(random_state=random_state).fit(data.mnist().train)


def restoring(level: float) -> Autoencoder:
    """Convolutions that see digits with normal noise, clipped to what pixels can be."""
    architecture = Conv((64, 128), down="stride", code="map", up="transpose", kernel=5)
    noise, optimizer = GaussianNoise(level, clip=True), AdamW(4e-3, schedule=OneCycle())
    return Autoencoder(
        Identity(128), architecture=architecture, corruption=noise, optimizer=optimizer, batch_size=128, epochs=5
    )


def half_of_pca(random_state: int) -> float:
    """Seconds of `fit` that end below half of the error that 30 principal components leave; infinite if they do not."""
    target = TARGETS["half-of-pca"]
    ae = target.build()
    began = time.perf_counter()
    fitted(ae, random_state)
    seconds = time.perf_counter() - began
    return seconds if target.measure(ae, data.mnist().test) <= target.figure else float("inf")


def cross_entropy(build: Callable[[], Autoencoder]) -> Callable[[int], Figures]:
    """Nats per pixel of the test digits, after a training."""
    return each(lambda random_state: per_pixel(fitted(build(), random_state), data.mnist().test))


ROWS: dict[str, Row] = {
    "map": Row(
        "convolutional, 4x4x8 code: cross-entropy, nats per pixel",
        "0.094 (Keras blog), 0.0981 (tutorial)",
        0.075,
        cross_entropy(lambda: small_map().set_params(epochs=10)),
    ),
    "restoring-0.5": Row(
        "denoising, noise of standard deviation 0.5, clipped: cross-entropy, nats per pixel",
        "0.0938 (tutorial)",
        0.088,
        cross_entropy(lambda: restoring(0.5)),
    ),
    "restoring-0.4": Row(
        "the same with noise of standard deviation 0.4",
        "0.0839 (keras.io)",
        0.080,
        cross_entropy(lambda: restoring(0.4)),
    ),
    "one-vs-rest": Row(
        "one-class anomaly detection, default settings: area under the ROC curve, mean over ten digits, % "
        "([details](anomalies.md))",
        "94.8 (deep SVDD), 96.9 (variational), 97.5 (OCGAN)",
        97.5,
        detected,
        2,
        rises=True,
    ),
    "svm-dense": Row(
        "linear support vector machine on frozen dense codes: test accuracy, % ([details](labels.md))",
        "98.80 (winner-take-all)",
        99.0,
        told("svm", "dense"),
        2,
        rises=True,
    ),
    "svm-conv": Row("the same with convolutional codes", "-", 99.4, told("svm", "convolutional"), 2, rises=True),
    "svm-8x8": Row(
        "the same on scikit-learn's 8x8 digits, 35 % test data: mean test accuracy over 20 splits, %",
        "99.0 (tutorial, one split)",
        99.4,
        split,
        2,
        rises=True,
    ),
    "half-of-pca": Row(
        "training time to half the error of PCA with 30 components (6.93 per digit), s",
        "-",
        10,
        each(half_of_pca),
        1,
    ),
}


def main() -> None:
    """Reads the command line, measures, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--out", type=Path, default=PAGE)
    given = parser.parse_args()
    lines = known(given.out)
    for name in given.rows.split(","):
        lines[name] = line(name, ROWS[name], ROWS[name].measure(given.seeds))
        print(lines[name], flush=True)
        given.out.write_text(page([lines[name] for name in ROWS if name in lines]), encoding="utf-8")
    print(f"written: {given.out}")


def known(path: Path) -> dict[str, str]:
    """The lines of the page that is there, by their rows."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {name: line for line in lines if (name := line.strip("| ").partition(" |")[0]) in ROWS}


def line(name: str, row: Row, found: Figures) -> str:
    """A line of the table."""
    figures = found.values
    spread = (
        f"{statistics.mean(figures):.{row.digits}f} ({min(figures):.{row.digits}f} - {max(figures):.{row.digits}f})"
    )
    reached = "yes" if row.reached(figures) else "no"
    aim = f"{'>=' if row.rises else '<='} {row.aim:g}"
    cells = (
        name,
        row.task,
        row.published,
        aim,
        spread,
        reached,
        str(len(figures)),
        f"{statistics.mean(found.seconds):,.0f}",
        str(found.threads),
        f"{datetime.now(UTC):%Y-%m-%d}",
        machine().partition(",")[0],
    )
    return f"| {' | '.join(cells)} |"


def page(lines: list[str]) -> str:
    """The page."""
    software = machine().split(", ", 2)[2]
    return "\n".join(
        [
            "# Comparison with published results",
            "",
            "This page compares isthmus with published figures for reconstruction, denoising, anomaly detection and",
            "classification from codes.",
            "Read it to judge whether isthmus is accurate enough for your task.",
            "",
            "- All hyperparameters were chosen on training examples and validated on other training examples.",
            "  No test label was used, and no model was trained on other data.",
            "- Exception: the 8x8 digits have one hyperparameter setting for all 20 splits.",
            "  It was chosen on the training parts of five splits, which contain test examples of other splits.",
            "- *ours* is the mean over random states, with minimum and maximum.",
            "  *reached* is yes if every random state reached the target.",
            "- *seconds* is the mean time for training and evaluation with one random state, on the given number of threads.",
            "",
            f"Written by `python benchmarks/results.py`; {software}.",
            "",
            "| row | task | published | target | ours | reached | random states | seconds | threads | measured | machine |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
            *lines,
            "",
        ]
    )


if __name__ == "__main__":
    main()
