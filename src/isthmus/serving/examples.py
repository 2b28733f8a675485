"""The held-out examples of a run, to look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from isthmus.data import Dataset

__all__ = ["held_out_examples"]


def held_out_examples(path: Path) -> Callable[[], Dataset] | None:
    """A function that reads the held-out examples of a run folder; None of a model file. Nothing is read before it is called.

    Args:
        path: a run folder, an exported folder or a model file.
    """
    if not path.is_dir():
        return None

    def read() -> Dataset:
        from isthmus.experiments import run_data

        ae, dataset = run_data.load_examples(path)
        return run_data.held_out(dataset, run_data.split_of(path, dataset, ae.missing))

    return read
