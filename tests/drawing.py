"""A run draws its losses alone where a test is not about its figures, which take most of the time of a small run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from isthmus.experiments import run_figures

_ALL = run_figures.default_figures


@contextmanager
def the_losses_alone() -> Iterator[None]:
    """Runs draw one figure."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_figures, "default_figures", lambda _: ["losses"])
        yield


@contextmanager
def every_figure() -> Iterator[None]:
    """Runs draw all figures that suit them, as they do for users."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_figures, "default_figures", _ALL)
        yield
