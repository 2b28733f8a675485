"""A part as an ONNX model: the network traced by PyTorch, text as labels in front of and behind it, and its description."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from isthmus.errors import NotPossibleError
from isthmus.estimators.export.decompositions import DECOMPOSITIONS
from isthmus.estimators.export.grouping import sums_as_products
from isthmus.estimators.export.parts import Part
from isthmus.estimators.export.ports import Port, torch_dtype
from isthmus.text import printable

__all__ = ["OPSET", "onnx_model"]

OPSET, LABEL_OPSET = 20, 4  # of ai.onnx and ai.onnx.ml
_BATCH = 3  # examples with which the network is traced; their number is free in the graph
_INSIDE = "isthmus/"  # before the names of values inside the graph, so that no column has one of them
_NOISE = ("torch.onnx", "torch.export", "torch.fx", "onnxscript", "onnx_ir")


def onnx_model(part: Part, name: str, description: Mapping[str, str]) -> Any:
    """The ONNX model of a part.

    Args:
        part: the part, on the processor.
        name: of the graph.
        description: metadata of the model.

    Returns:
        An `onnx.ModelProto`.

    Raises:
        NotPossibleError: the network has an operation that ONNX does not have, or a package is missing.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  # PyTorch writes ONNX with it
    except ImportError:
        raise NotPossibleError("exporting requires onnx and onnxscript: pip install 'isthmus[onnx]'") from None
    inputs = tuple(_example(port) for port in part.inputs)
    batch = torch.export.Dim("batch")
    try:
        with torch.no_grad(), _quiet():
            traced = torch.export.export(
                part, inputs, dynamic_shapes={"tensors": tuple({0: batch} for _ in inputs)}, strict=False
            )
            program = torch.onnx.export(
                traced.run_decompositions(DECOMPOSITIONS),
                dynamo=True,
                opset_version=OPSET,
                input_names=[_inside(port) for port in part.inputs],
                output_names=[_inside(port) for port in part.outputs],
                verbose=False,
            )
    except Exception as error:  # of PyTorch, of many kinds
        raise NotPossibleError(f"the part {name} cannot be exported: {printable(_reason(error), 200)}") from error
    assert program is not None
    model: Any = program.model_proto
    _name_values(model.graph, part)
    _strip(model)
    _bound_log_sigmoids(model.graph)
    sums_as_products(model)
    model.graph.name, model.producer_name = name, "isthmus"
    if any(port.dtype == "string" for port in (*part.inputs, *part.outputs)):
        _add_labels(model, part)
        model.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", LABEL_OPSET))
    for key, value in description.items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model, full_check=True)
    return model


def _reason(error: BaseException) -> str:
    """The operation that ONNX does not have, else the first line of the error."""
    cause: BaseException | None = error
    while cause is not None:
        if found := re.search(r"No ONNX function found for <OpOverload\(op='([\w.]+)'", str(cause)):
            return f"ONNX has no operation {found[1]}: replace it by others"
        cause = cause.__cause__
    return (str(error).splitlines() or [type(error).__name__])[0]


def _inside(port: Port) -> str:
    """The name of a port while the network is traced."""
    return port.name


def _example(port: Port) -> torch.Tensor:
    """Values for tracing."""
    return torch.zeros(_BATCH, *port.shape, dtype=torch_dtype(port.computed))


@contextmanager
def _quiet() -> Iterator[None]:
    """A context without the warnings and log lines of the exporter."""
    loggers = [logging.getLogger(name) for name in _NOISE]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _name_values(graph: Any, part: Part) -> None:
    """Gives inputs and outputs the names of the ports, and all values inside a name that no port has."""
    names = {
        value.name: port.name
        for side, ports in ((graph.input, part.inputs), (graph.output, part.outputs))
        for value, port in zip(side, ports, strict=True)
    }
    _rename(graph, names)


def _rename(graph: Any, names: Mapping[str, str]) -> None:
    def new(name: str) -> str:
        return names.get(name, _INSIDE + name) if name else name

    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = new(value.name)
    for number, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{number}"
        node.input[:] = [new(name) for name in node.input]
        node.output[:] = [new(name) for name in node.output]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename(attribute.g, names)


def _strip(model: Any) -> None:
    """Takes away what the exporter noted: paths of source files, and shapes that are computed again."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    model.doc_string = model.graph.doc_string = model.producer_version = ""
    for element in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del element.metadata_props[:]
        element.doc_string = ""


def _bound_log_sigmoids(graph: Any) -> None:
    """Replaces log(sigmoid(x)), which PyTorch writes for log_sigmoid and is -inf below -104, by log(sigmoid(abs(x))) - relu(-x)."""
    from onnx import helper

    sigmoids = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Sigmoid"}
    nodes = list[Any]()
    for node in graph.node:
        if node.op_type != "Log" or node.input[0] not in sigmoids:
            nodes.append(node)
            continue
        x, y = sigmoids[node.input[0]], node.output[0]
        for kind, given, made in (
            ("Abs", x, f"{y}_size"),
            ("Sigmoid", f"{y}_size", f"{y}_share"),
            ("Log", f"{y}_share", f"{y}_log"),
            ("Neg", x, f"{y}_opposite"),
            ("Relu", f"{y}_opposite", f"{y}_below"),
        ):
            nodes.append(helper.make_node(kind, [given], [made]))
        nodes.append(helper.make_node("Sub", [f"{y}_log", f"{y}_below"], [y]))
    used = {name for node in nodes for name in node.input} | {value.name for value in graph.output}
    del graph.node[:]
    graph.node.extend(node for node in nodes if node.op_type != "Sigmoid" or node.output[0] in used)
    for number, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{number}"


def _add_labels(model: Any, part: Part) -> None:
    """Puts a node in front of each input of text, from labels to positions (-1 for others), and behind each output the inverse."""
    from onnx import TensorProto, helper

    graph, front, behind = model.graph, [], []
    texts = {port.name: port for port in (*part.inputs, *part.outputs) if port.dtype == "string"}
    _rename_some(graph, {name: f"{_INSIDE}position of {name}" for name in texts})
    for values, ports in ((graph.input, part.inputs), (graph.output, part.outputs)):
        for value, port in zip(values, ports, strict=True):
            if port.dtype != "string":
                continue
            value.name, position = port.name, f"{_INSIDE}position of {port.name}"
            value.type.tensor_type.elem_type = TensorProto.STRING
            numbers = list(range(len(port.labels)))
            options: dict[str, Any]
            if values is graph.input:
                options = {"keys_strings": port.labels, "values_int64s": numbers, "default_int64": -1}
                front.append(helper.make_node("LabelEncoder", [port.name], [position], domain="ai.onnx.ml", **options))
            else:
                options = {"keys_int64s": numbers, "values_strings": port.labels, "default_string": ""}
                behind.append(helper.make_node("LabelEncoder", [position], [port.name], domain="ai.onnx.ml", **options))
    nodes = [*front, *graph.node, *behind]
    del graph.node[:]
    graph.node.extend(nodes)


def _rename_some(graph: Any, names: Mapping[str, str]) -> None:
    """Renames some values."""
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
