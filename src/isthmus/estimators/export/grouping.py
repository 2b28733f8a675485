"""Graphs in which a row has the same bits in any grouping.

onnxruntime computes most of an array with vector instructions, and the remainder with others, which round some functions in another
way; one row alone is summed in another order. Where a batch has no remainder and more than one row, neither happens: `row_multiple`.
Sums along a row begin at an address that the row number determines, and with it their order: `sums_as_products` makes products of them,
whose order is the same for all rows.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["row_multiple", "sums_as_products"]

_VECTOR = 16  # numbers of single precision in the widest vector
_ROUNDED = {  # operations on each number that instructions for the remainder may round in another way
    *("Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Celu", "Cos", "Cosh", "Elu", "Erf", "Exp", "Gelu", "HardSwish", "Log"),
    *("Mish", "Pow", "Selu", "Sigmoid", "Sin", "Sinh", "Softplus", "Softsign", "Tan", "Tanh"),
}  # fmt: skip
_WHOLE = {"Einsum", "GRU", "LogSoftmax", "LSTM", "Softmax"}  # operations on rows, computed for several at once
_SUMS = "Reduce"
_FLOATS = {1: np.float32, 11: np.float64}  # by the number that ONNX gives the type


def row_multiple(model: Any) -> int:
    """The number of which the rows of a batch should be a multiple: 1 if they may be any number, at most 16.

    Args:
        model: an `onnx.ModelProto`.
    """
    import onnx

    graph = onnx.shape_inference.infer_shapes(model).graph
    sizes = {value.name: _per_row(value) for value in (*graph.value_info, *graph.output)}
    found = 1
    for node in graph.node:
        if node.op_type in _ROUNDED:
            found = math.lcm(found, _VECTOR // math.gcd(_VECTOR, sizes.get(node.output[0]) or 1))
        elif node.op_type in _WHOLE:
            found = _VECTOR
        elif node.op_type.startswith(_SUMS):
            found = math.lcm(found, 2)
    return found


def sums_as_products(model: Any) -> None:
    """Replaces sums and means of numbers along the last axes by products with a column of equal numbers; drops constants without use.

    Args:
        model: an `onnx.ModelProto`, which is changed.
    """
    import onnx
    from onnx import helper, numpy_helper

    graph = model.graph
    shapes = {
        value.name: value.type.tensor_type
        for value in (*onnx.shape_inference.infer_shapes(model).graph.value_info, *graph.input)
    }
    constants = {each.name: each for each in graph.initializer}
    nodes = list[Any]()
    for number, node in enumerate(graph.node):
        given = shapes.get(node.input[0])
        sides = [] if given is None else [side.dim_value for side in given.shape.dim]
        axes = _axes(node, constants, len(sides)) if node.op_type in {"ReduceSum", "ReduceMean"} else []
        if given is None or not _ends(axes, sides) or given.elem_type not in _FLOATS:
            nodes.append(node)
            continue
        count = math.prod(sides[axis] for axis in axes)
        name, source = f"isthmus/sum {number}", node.input[0]
        factor = np.full((count, 1), 1.0 if node.op_type == "ReduceSum" else 1.0 / count, _FLOATS[given.elem_type])
        graph.initializer.append(numpy_helper.from_array(factor, f"{name} factor"))
        if len(axes) > 1:
            kept = np.array([*[0] * (len(sides) - len(axes)), count], np.int64)
            graph.initializer.append(numpy_helper.from_array(kept, f"{name} shape"))
            nodes.append(helper.make_node("Reshape", [source, f"{name} shape"], [f"{name} rows"]))
            source = f"{name} rows"
        graph.initializer.append(numpy_helper.from_array(np.array([-1], np.int64), f"{name} axis"))
        nodes.append(helper.make_node("MatMul", [source, f"{name} factor"], [f"{name} column"]))
        if _keeps(node):
            ones = np.array([*[0] * (len(sides) - len(axes)), *[1] * len(axes)], np.int64)
            graph.initializer.append(numpy_helper.from_array(ones, f"{name} kept"))
            nodes.append(helper.make_node("Reshape", [f"{name} column", f"{name} kept"], node.output))
        else:
            nodes.append(helper.make_node("Squeeze", [f"{name} column", f"{name} axis"], node.output))
    del graph.node[:]
    graph.node.extend(nodes)
    _drop_unused(graph)


def _drop_unused(graph: Any) -> None:
    """Drops constants that nothing reads any more."""
    used = _read(graph)
    kept = [each for each in graph.initializer if each.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _read(graph: Any) -> set[str]:
    """The names of the values that a graph reads, those of graphs inside its nodes too."""
    inner = [each.g for node in graph.node for each in node.attribute if each.HasField("g")]
    names = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    return names.union(*map(_read, inner))


def _axes(node: Any, constants: dict[str, Any], rank: int) -> list[int]:
    """The axes of a sum, ascending; [] if they are not known."""
    from onnx import numpy_helper

    if len(node.input) < 2 or node.input[1] not in constants or not rank:
        return []
    return sorted(int(axis) % rank for axis in numpy_helper.to_array(constants[node.input[1]]).reshape(-1))


def _ends(axes: list[int], sides: list[int]) -> bool:
    """Whether these are the last axes, but not the first one, and their sizes are known."""
    last = list(range(len(sides) - len(axes), len(sides)))
    return bool(axes) and axes == last and axes[0] > 0 and all(sides[axis] for axis in axes)


def _keeps(node: Any) -> bool:
    """Whether a sum keeps its axes."""
    return next((bool(each.i) for each in node.attribute if each.name == "keepdims"), True)


def _per_row(value: Any) -> int | None:
    """The numbers of one row of a value; None if they are not known."""
    sides = value.type.tensor_type.shape.dim
    known = [side.dim_value for side in sides[1:]]
    return math.prod(known) if sides and all(known) else None
