"""What every result can do: plain values, a data frame, a table in a notebook, a few lines of text."""

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

Table = tuple[Sequence[str], Sequence[Sequence[str]]]  # header and lines

_PRINTED = 8  # lines of a table as text
_IN_NOTEBOOK = 50  # and in a notebook
_CELL = 60  # characters of a cell as text


class Result(ABC):
    """Figures that were measured."""

    _figure: ClassVar[str] = ""  # the function of `isthmus.plots` that draws it, where there is one

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values; what is not finite is None."""

    @abstractmethod
    def table(self) -> Table:
        """Header and lines, for people."""

    @abstractmethod
    def _frame_rows(self) -> list[dict[str, Any]]:
        """The rows of the data frame, by the names of its columns."""

    def to_frame(self) -> Any:
        """The figures as a pandas.DataFrame, a row for each thing that was measured; names of nested ones are joined by a dot.

        Raises:
            NotPossibleError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise NotPossibleError(
                "to_frame makes a data frame of pandas, which is not installed: pip install pandas; to_dict needs nothing"
            ) from error
        return pandas.DataFrame(self._frame_rows())

    def plot(self) -> Figure:
        """The result as a figure.

        Raises:
            NotPossibleError: there is no figure of such a result.
        """
        if not self._figure:
            raise NotPossibleError(
                f"there is no figure of type {type(self).__name__}: see table(), to_dict() and to_frame()"
            )
        # Figures are built on results, so a result finds its figure by name, when it is asked for, and in this line alone.
        figure: Figure = getattr(import_module("isthmus.plots"), self._figure)(self)
        return figure

    def __repr__(self) -> str:
        return text_table(*self.table(), caption=type(self).__name__)

    def _repr_html_(self) -> str:
        return html_table(*self.table(), caption=type(self).__name__)


def plain(value: Any) -> Any:
    """The same as plain JSON values; what is not finite is None."""
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """The single values of a nested mapping by their paths, such as "codes.size"; lists are left out."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{path}": part for path, part in flat(value).items()}
        elif not isinstance(value, list | tuple):
            found[name] = value
    return found


def text_table(header: Sequence[str], lines: Sequence[Sequence[str]], caption: str) -> str:
    """A caption over the first lines of a table, in aligned columns of printable text."""
    cells = [[printable(cell.replace("\n", " "), _CELL) for cell in line] for line in [header, *lines[:_PRINTED]]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    said = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join([printable(caption), *(f"  {line}" for line in said if line), *_more(len(lines), _PRINTED, "  ")])


def html_table(header: Sequence[str], lines: Sequence[Sequence[str]], caption: str) -> str:
    """A table as HTML that shows the text of its cells, whatever it is."""
    head = "".join(f"<th>{html_safe(cell)}</th>" for cell in header)
    body = "".join(
        f"<tr>{''.join(f'<td>{html_safe(cell)}</td>' for cell in line)}</tr>" for line in lines[:_IN_NOTEBOOK]
    )
    more = "".join(f'<tr><td colspan="{len(header)}">{each}</td></tr>' for each in _more(len(lines), _IN_NOTEBOOK, ""))
    return (
        f'<table style="white-space: pre-line"><caption>{html_safe(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}{more}</tbody></table>"
    )


def _more(n: int, shown: int, indent: str) -> list[str]:
    """What is said of lines that are left out."""
    return [f"{indent}and {n - shown:,} more"] if n > shown else []
