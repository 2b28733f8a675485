"""Shows a fitted estimator as a small table in a notebook. Without a fit, scikit-learn's diagram of the parameters is shown.

The diagram links to the page of the estimator where the package names its documentation: the URL "Documentation" of `pyproject.toml`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any

from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from isthmus.results import html_table
from isthmus.training.state import Report

__all__ = ["NotebookTable", "documentation_url", "last_losses"]

Rows = list[tuple[str, str]]  # the name of an attribute, and its value as text


class NotebookTable:
    """A mixin that shows fitted attributes in notebooks. It must come before `BaseEstimator`, whose methods it overrides."""

    _doc_link_module = "isthmus"  # scikit-learn's: estimators of other packages have no link

    @property
    def _doc_link_template(self) -> str:  # scikit-learn's; without a documentation there is no link
        url = documentation_url()
        return f"{url}/reference/isthmus/#isthmus.estimators.{{name}}" if url else ""

    def _doc_link_url_param_generator(self) -> dict[str, str]:  # scikit-learn's
        return {"name": type(self).__name__}

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


@cache
def documentation_url() -> str:
    """Where the installed package says its documentation is, without a slash at the end; "" if it names none."""
    try:
        named = metadata("isthmus").get_all("Project-URL") or []
    except PackageNotFoundError:
        return ""
    urls = (each.partition(",") for each in named)
    found = next((url.strip() for label, _, url in urls if label.strip().lower() == "documentation"), "")
    return found.rstrip("/") if found.startswith("https://") else ""


def last_losses(history: Sequence[Report], unit: str) -> Rows:
    """The training and validation losses of the last epoch."""
    if not history:
        return []
    last = history[-1]
    rows = [("history_[-1].loss", f"{last.loss:.4g} {unit} in epoch {last.epoch:,}")]
    return rows + ([] if last.val_loss is None else [("history_[-1].val_loss", f"{last.val_loss:.4g} {unit}")])
