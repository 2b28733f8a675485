"""The base class of results: conversion to plain values, to a data frame, to a figure and to tables as text or HTML."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from isthmus.errors import NotPossibleError
from isthmus.text import html_safe, printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Result", "Table", "flat", "html_table", "plain", "text_table"]

Table = tuple[Sequence[str], Sequence[Sequence[str]]]  # header and rows

_TEXT_ROWS = 8  # rows of a table as text
_HTML_ROWS = 50  # rows of a table in a notebook
_CELL = 60  # characters of a cell as text


class Result(ABC):
    """The base class of measured results."""

    _figure: ClassVar[str] = ""  # the function of `isthmus.plots` that plots it, or ""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """All values as plain JSON values. Numbers that are not finite become None."""

    @abstractmethod
    def table(self) -> Table:
        """The header and rows of a table of formatted text."""

    @abstractmethod
    def _frame_rows(self) -> list[dict[str, Any]]:
        """The rows of the data frame, each as column name -> value."""

    def to_frame(self) -> Any:
        """The values as a pandas.DataFrame.

        Returns:
            A data frame with a row per measurement. Names of nested values are joined by a dot.

        Raises:
            NotPossibleError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise NotPossibleError(
                "to_frame requires pandas, which is not installed: run pip install pandas, or use to_dict"
            ) from error
        return pandas.DataFrame(self._frame_rows())

    def plot(self) -> Figure:
        """The result as a Matplotlib figure.

        Raises:
            NotPossibleError: this type of result has no figure.
        """
        if not self._figure:
            raise NotPossibleError(f"{type(self).__name__} has no figure; use table(), to_dict() or to_frame()")
        # plots imports results, so the import in this direction is by name and only here
        figure: Figure = getattr(import_module("isthmus.plots"), self._figure)(self)
        return figure

    def __repr__(self) -> str:
        return text_table(*self.table(), caption=type(self).__name__)

    def _repr_html_(self) -> str:
        return html_table(*self.table(), caption=type(self).__name__)


def plain(value: Any) -> Any:
    """A value as plain JSON values. Numbers that are not finite become None."""
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """The scalar values of a nested mapping by their paths, such as "codes.size". Lists are omitted."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            result |= {f"{name}.{path}": part for path, part in flat(value).items()}
        elif not isinstance(value, list | tuple):
            result[name] = value
    return result


def text_table(header: Sequence[str], lines: Sequence[Sequence[str]], caption: str) -> str:
    """A caption and the first rows of a table as printable text in aligned columns."""
    cells = [[printable(cell.replace("\n", " "), _CELL) for cell in line] for line in [header, *lines[:_TEXT_ROWS]]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    aligned = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    ]
    return "\n".join(
        [printable(caption), *(f"  {line}" for line in aligned if line), *_more(len(lines), _TEXT_ROWS, "  ")]
    )


def html_table(header: Sequence[str], lines: Sequence[Sequence[str]], caption: str) -> str:
    """A caption and the first rows of a table as HTML, with escaped text."""
    head = "".join(f"<th>{html_safe(cell)}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{html_safe(cell)}</td>' for cell in line)}</tr>" for line in lines[:_HTML_ROWS])
    more = "".join(f'<tr><td colspan="{len(header)}">{each}</td></tr>' for each in _more(len(lines), _HTML_ROWS, ""))
    return (
        f'<table style="white-space: pre-line"><caption>{html_safe(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}{more}</tbody></table>"
    )


def _more(n: int, limit: int, indent: str) -> list[str]:
    """A line with the number of omitted rows, in a list that is empty if there are none."""
    return [f"{indent}and {n - limit:,} more"] if n > limit else []
