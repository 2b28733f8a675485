"""Shows a fitted estimator as a small table in a notebook. Without a fit, scikit-learn's diagram of the parameters is shown."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from isthmus.results import html_table
from isthmus.training.state import Report

__all__ = ["NotebookTable", "last_losses"]

Rows = list[tuple[str, str]]  # the name of an attribute, and its value as text


class NotebookTable:
    """A mixin that shows fitted attributes in notebooks. It must come before `BaseEstimator`, whose methods it overrides."""

    @abstractmethod
    def _fitted_rows(self) -> Rows:
        """The attributes that the table shows."""

    def _repr_html_inner(self) -> str:  # scikit-learn's property _repr_html_ returns it, unless diagrams are turned off
        try:
            check_is_fitted(self)
        except NotFittedError:
            diagram: str = super()._repr_html_inner()  # type: ignore[misc]  # scikit-learn's
            return diagram
        return html_table(["attribute", "value"], self._fitted_rows(), caption=f"{type(self).__name__}, fitted")

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        bundle: dict[str, str] = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]  # scikit-learn's
        return bundle | ({"text/html": self._repr_html_inner()} if "text/html" in bundle else {})


def last_losses(history: Sequence[Report], unit: str) -> Rows:
    """The training and validation losses of the last epoch."""
    if not history:
        return []
    last = history[-1]
    rows = [("history_[-1].loss", f"{last.loss:.4g} {unit} in epoch {last.epoch:,}")]
    return rows + ([] if last.val_loss is None else [("history_[-1].val_loss", f"{last.val_loss:.4g} {unit}")])
