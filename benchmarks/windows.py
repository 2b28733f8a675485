"""Trains on sorted data in windows of blocks, and on the same data fully shuffled; writes the figures of docs/many-files.md.

python benchmarks/windows.py [--epochs 8] [--states 3]

The digits of MNIST are sorted by their label, which is the worst order for windows: a block has one or two digits.
"""

from __future__ import annotations

import argparse
import json
import statistics
from datetime import UTC, datetime
from typing import Any

import numpy as np
from run import HERE

import isthmus
from isthmus import Autoencoder
from isthmus.data import ArrayLikeRows
from isthmus.experiments.reproduction import machine
from isthmus.training import block_source

KEPT = HERE / "measured" / "windows.json"
PAGE = HERE.parent / "docs" / "many-files.md"
BEGIN, END = "<!-- benchmarks/windows.py -->", "<!-- end of benchmarks/windows.py -->"
WINDOWS = [(1000, 2), (1000, 4), (1000, 8), (1000, 16), (6000, 2), (6000, 4)]  # rows of a block, blocks of a window

Array = np.ndarray[Any, Any]


class Chunked:
    """An array in chunks of some rows, as one of Zarr or h5py."""

    def __init__(self, values: Array, rows: int) -> None:
        self.values, self.shape, self.dtype, self.chunks = values, values.shape, values.dtype, (rows, *values.shape[1:])

    def __getitem__(self, key: Any) -> Array:
        return self.values[key]


def losses(rows: Any, held_out: Array, epochs: int, states: int) -> list[float]:
    """The losses of held-out digits after trainings with several random states, in nats per example."""
    found = []
    for state in range(states):
        ae = Autoencoder(16, epochs=epochs, batch_size=128, random_state=state).fit(rows, validation_data=held_out)
        last = ae.history_[-1].val_loss
        assert last is not None
        found.append(round(last, 1))
    return found


def measured(epochs: int, states: int) -> list[dict[str, Any]]:
    """The losses, of a full shuffle first."""
    mnist = isthmus.data.mnist()
    order = np.argsort(np.asarray(mnist.train_labels), kind="stable")
    values, held_out = (np.ascontiguousarray(each).reshape(len(each), -1) for each in (mnist.train[order], mnist.test))
    full = losses(values, held_out, epochs, states)
    figures: list[dict[str, Any]] = [{"rows": None, "blocks": None, "losses": full}]
    print(figures[0], flush=True)
    for rows, blocks in WINDOWS:
        block_source.WINDOW_BYTES = blocks * rows * (values[:1].nbytes + 16) + 100
        found = losses(ArrayLikeRows(Chunked(values, rows)), held_out, epochs, states)
        figures.append({"rows": rows, "blocks": blocks, "losses": found})
        print(figures[-1], flush=True)
    return figures


def section(figures: list[dict[str, Any]], epochs: int, how: str) -> str:
    """The section of the page."""
    full = figures[0]["losses"]
    lines = [
        "| rows of a block | blocks of a window | validation loss, nats per example | difference, same random state |",
        "|---|---|---|---|",
        f"| full shuffle | | {spread(full, ',.1f')} | |",
    ]
    for each in figures[1:]:
        more = [100 * (one / other - 1) for one, other in zip(each["losses"], full, strict=True)]
        lines.append(
            f"| {each['rows']:,} | {each['blocks']} | {spread(each['losses'], ',.1f')} | {spread(more, '+.2f')} % |"
        )
    text = [
        f"MNIST sorted by label, the worst case: a block of 1,000 rows has one digit, or two. 16-dimensional code, {epochs} epochs;",
        f"mean ± standard deviation of {len(full)} random states.",
    ]
    return "\n".join([BEGIN, *text, "", *lines, "", how, END])


def spread(values: list[float], how: str) -> str:
    """Mean ± standard deviation."""
    return f"{statistics.mean(values):{how}} ± {statistics.stdev(values):{how.lstrip('+')}}"


def main() -> None:
    """Reads the command line, measures, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--states", type=int, default=3, help="random states, at least 2")
    given = parser.parse_args()
    figures = measured(given.epochs, given.states)
    command = f"python benchmarks/windows.py --epochs {given.epochs} --states {given.states}"
    how = f"Written by `{command}` on {datetime.now(UTC):%Y-%m-%d}; {machine()}."
    KEPT.write_text(json.dumps({"made": how, "figures": figures}, indent=1), encoding="utf-8")
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(before + section(figures, given.epochs, how) + rest.partition(END)[2], encoding="utf-8")
    print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
