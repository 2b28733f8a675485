"""Measures isthmus against published figures of the field, on MNIST and scikit-learn's digits; writes docs/results.md.

python benchmarks/results.py [--seeds 3] [--rows map,restoring]

With --rows the page keeps what it says of the others. Rows that have a page of their own, of anomalies and of labels, are taken from what
`benchmarks/anomalies.py` and `benchmarks/labels.py` measured last. Every choice was made on training digits, by what comes of others of
them; test digits are looked at once, by these scripts.
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
    """A task with what was published of it, what we aim at, and how it is measured with so many random states."""

    task: str
    published: str
    aim: float
    measure: Callable[[int], Figures]
    digits: int = 4
    rises: bool = False  # whether more is better

    def reached(self, figures: list[float]) -> bool:
        """Whether every random state reached the aim."""
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
    """Percent of test digits told right by a linear machine, from the other script."""

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
        "code of 4x4x8, convolutions: cross-entropy per pixel, nats",
        "0.094 (Keras blog), 0.0981 (tutorial)",
        0.075,
        cross_entropy(lambda: small_map().set_params(epochs=10)),
    ),
    "restoring-0.5": Row(
        "noise of 0.5, clipped: cross-entropy of the restored digits per pixel, nats",
        "0.0938 (tutorial)",
        0.088,
        cross_entropy(lambda: restoring(0.5)),
    ),
    "restoring-0.4": Row(
        "the same with noise of 0.4", "0.0839 (keras.io)", 0.080, cross_entropy(lambda: restoring(0.4))
    ),
    "one-vs-rest": Row(
        "trained on one digit: area under the ROC curve against the other nine, the mean of ten digits, %; all defaults "
        "([more](anomalies.md))",
        "94.8 (deep SVDD), 96.9 (variational), 97.5 (OCGAN)",
        97.5,
        detected,
        2,
        rises=True,
    ),
    "svm-dense": Row(
        "frozen dense codes and a linear support vector machine: test accuracy, % ([more](labels.md))",
        "98.80 (winner-take-all)",
        99.0,
        told("svm", "dense"),
        2,
        rises=True,
    ),
    "svm-conv": Row("the same with convolutional codes", "-", 99.4, told("svm", "convolutional"), 2, rises=True),
    "svm-8x8": Row(
        "the same on scikit-learn's 8x8 digits, 35 % for the test: mean of 20 splits, %",
        "99.0 (tutorial, one split)",
        99.4,
        split,
        2,
        rises=True,
    ),
    "half-of-pca": Row(
        "seconds of training until half of the error of PCA, code of 30 (6.93 per digit)",
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
            "# Results beside published figures",
            "",
            f"Written by `python benchmarks/results.py`; {software}. Every choice was made on training digits, by what",
            "comes of others of them; no test label chose anything, and nothing was trained on other data. The 8x8 digits have",
            "one set for all splits: theirs were made on the training parts of five, in which are examples that other splits test on.",
            "The figure is the mean over random states, with the least and the most; *reached* means that all of them did;",
            "seconds are of training and measuring together, for each, on so many threads.",
            "",
            "| row | task | published | aim | ours | reached | random states | seconds | threads | measured | machine |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
            *lines,
            "",
        ]
    )


if __name__ == "__main__":
    main()
