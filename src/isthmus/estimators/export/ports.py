"""Names and types of the inputs and outputs of an exported part."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch

__all__ = ["Port", "torch_dtype"]

Dtype = Literal[
    "float32", "float64", "uint8", "int8", "uint16", "int16", "int32", "int64", "uint32", "uint64", "bool", "string"
]


class Port(NamedTuple):
    """An input or an output of a graph.

    Attributes:
        name: of the tensor.
        dtype: of its values, as NumPy calls it; "string" for text.
        shape: of one example, without the first axis.
        labels: the labels as text; of text, which the graph computes with as positions, in their order.
        column: the column of a table, "" for other data.
        kind: what a column means, "" for other data.
        zone: of a date: its time zone, "" without one.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()
    column: str = ""
    kind: str = ""
    zone: str = ""

    @property
    def computed(self) -> str:
        """The dtype in which the graph computes with it: labels are positions."""
        return "int64" if self.dtype == "string" else self.dtype

    def described(self) -> dict[str, Any]:
        """The port for a description in JSON."""
        described: dict[str, Any] = {"name": self.name, "dtype": self.dtype, "shape": list(self.shape)}
        described |= {"column": self.column, "kind": self.kind} if self.kind else {}
        described |= {"zone": self.zone} if self.zone else {}
        return described | ({"labels": list(self.labels)} if self.labels else {})


def torch_dtype(dtype: str) -> torch.dtype:
    """The dtype of PyTorch with the name of NumPy's."""
    found: torch.dtype = getattr(torch, dtype)
    return found
