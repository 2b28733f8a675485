"""Measures isthmus against published figures of the field, on MNIST and scikit-learn's digits; writes docs/results.md.

python benchmarks/results.py [--seeds 3] [--rows map,restoring]

With --rows the page keeps what it says of the others. Every choice was made on 10,000 of the training digits; test digits are looked at
once, by this script.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from quality import TARGETS, per_pixel, small_map
from run import HERE

from isthmus import Autoencoder, data
from isthmus.architectures import Conv
from isthmus.bottlenecks import Identity
from isthmus.corruptions import Noise
from isthmus.optimizers import AdamW, OneCycle
from isthmus.reproduction import machine

PAGE = HERE.parent / "docs" / "results.md"


@dataclass(frozen=True)
class Row:
    """A task with what was published of it, what we aim at, and how it is measured with a random state."""

    task: str
    published: str
    aim: float
    measure: Callable[[int], float]
    digits: int = 4
    rises: bool = False  # whether more is better

    def reached(self, figures: list[float]) -> bool:
        """Whether every random state reached the aim."""
        return min(figures) >= self.aim if self.rises else max(figures) <= self.aim


def fitted(ae: Autoencoder, random_state: int) -> Autoencoder:
    """An autoencoder trained on the 60,000 digits."""
    return ae.set_params(random_state=random_state).fit(data.mnist().train)


def restoring(level: float) -> Autoencoder:
    """Convolutions that see digits with normal noise, clipped to what pixels can be."""
    architecture = Conv((32, 64), down="stride", code="map", up="transpose", kernel=5)
    noise, optimizer = Noise(level, clip=True), AdamW(5e-3, schedule=OneCycle())
    return Autoencoder(
        Identity(64), architecture=architecture, corruption=noise, optimizer=optimizer, batch_size=128, epochs=10
    )


def half_of_pca(random_state: int) -> float:
    """Seconds of `fit` that end below half of the error that 30 principal components leave; infinite if they do not."""
    target = TARGETS["half-of-pca"]
    ae = target.build()
    began = time.perf_counter()
    fitted(ae, random_state)
    seconds = time.perf_counter() - began
    return seconds if target.measure(ae, data.mnist().test) <= target.figure else float("inf")


def cross_entropy(build: Callable[[], Autoencoder]) -> Callable[[int], float]:
    """Nats per pixel of the test digits, after a training."""
    return lambda random_state: per_pixel(fitted(build(), random_state), data.mnist().test)


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
    "half-of-pca": Row(
        "seconds of training until half of the error of PCA, code of 30 (6.93 per digit)", "-", 10, half_of_pca, 1
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
        figures, seconds = [], []
        for random_state in range(given.seeds):
            began = time.perf_counter()
            figures.append(ROWS[name].measure(random_state))
            seconds.append(time.perf_counter() - began)
        lines[name] = line(name, ROWS[name], figures, seconds)
        print(lines[name], flush=True)
        given.out.write_text(page([lines[name] for name in ROWS if name in lines]), encoding="utf-8")
    print(f"written: {given.out}")


def known(path: Path) -> dict[str, str]:
    """The lines of the page that is there, by their rows."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {name: line for line in lines if (name := line.strip("| ").partition(" |")[0]) in ROWS}


def line(name: str, row: Row, figures: list[float], seconds: list[float]) -> str:
    """A line of the table."""
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
        f"{statistics.mean(seconds):,.0f}",
        f"{datetime.now(UTC):%Y-%m-%d}",
    )
    return f"| {' | '.join(cells)} |"


def page(lines: list[str]) -> str:
    """The page."""
    return "\n".join(
        [
            "# Results beside published figures",
            "",
            f"Written by `python benchmarks/results.py`; {machine()}. Every choice was made on 10,000 of the 60,000 training",
            "digits, or by cross-validation within them; no test label chose anything, and nothing was trained on other data.",
            "The figure is the mean over random states, with the least and the most; *reached* means that all of them did;",
            "seconds are of training and measuring together, for each.",
            "",
            "| row | task | published | aim | ours | reached | random states | seconds | measured |",
            "|---|---|---|---|---|---|---|---|---|",
            *lines,
            "",
        ]
    )


if __name__ == "__main__":
    main()
