"""Requests of the Open Inference Protocol as inputs of a model, and its outputs as answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from isthmus.errors import DataError
from isthmus.runtime.manifest import Port
from isthmus.serving.entry_points import EntryPoint
from isthmus.serving.json_text import fields, json_object
from isthmus.serving.request_error import RequestError
from isthmus.serving.settings import Settings
from isthmus.serving.tensors import DATATYPES, datatype_of, fitted, from_binary, from_json, to_binary, to_json
from isthmus.text import printable, quoted

__all__ = ["InferenceRequest", "Wanted", "model_metadata", "read_request", "write_response"]

Array = NDArray[Any]
_REQUEST: dict[str, type] = {"id": str, "parameters": dict, "inputs": list, "outputs": list}
_INPUT: dict[str, type] = {"name": str, "shape": list, "datatype": str, "parameters": dict, "data": list}
_OUTPUT: dict[str, type] = {"name": str, "parameters": dict}


class Wanted(NamedTuple):
    """An output that is asked for.

    Attributes:
        place: among the outputs of the entry.
        binary: whether in the binary form.
    """

    place: int
    binary: bool


class InferenceRequest(NamedTuple):
    """A request.

    Attributes:
        id: of the client, or None.
        inputs: checked: an array (n, *shape) for each input.
        outputs: that are asked for.
        notes: what was taken as missing, one sentence each.
        rows: n.
    """

    id: str | None
    inputs: dict[str, Array]
    outputs: tuple[Wanted, ...]
    notes: tuple[str, ...]
    rows: int


def read_request(
    body: bytes | bytearray | memoryview, header_length: int | None, called: EntryPoint, settings: Settings
) -> InferenceRequest:
    """Reads and checks a request.

    Args:
        body: the JSON, and tensors in the binary form after it.
        header_length: bytes of JSON; None: all.
        called: the model and what is asked of it.
        settings: the limits.

    Raises:
        RequestError: the request is not as the protocol and the model demand.
    """
    whole = memoryview(body)
    length = len(whole) if header_length is None else header_length
    if length > len(whole):
        raise RequestError(
            400, f"Inference-Header-Content-Length is {length}, and the body has {len(whole)} bytes: correct it"
        )
    if length > settings.max_json_bytes:
        raise RequestError(
            413,
            f"the JSON has {length} bytes, and {settings.max_json_bytes} are allowed: send fewer rows, or binary data",
        )
    asked = fields(json_object(whole[:length]), "the request", _REQUEST, ("inputs",))
    parameters = fields(asked.get("parameters", {}), "parameters of the request", {"binary_data_output": bool})
    outputs = _outputs(asked.get("outputs", []), called, parameters.get("binary_data_output", False))
    tensors = _inputs(asked["inputs"], whole[length:], called, settings)
    try:
        inputs, notes = called.model.checked(called.entry, tensors)
    except DataError as error:
        raise RequestError(400, str(error)) from None
    return InferenceRequest(asked.get("id"), inputs, outputs, notes, len(next(iter(inputs.values()))))


def write_response(request: InferenceRequest, called: EntryPoint, values: Sequence[Array]) -> tuple[bytes, int | None]:
    """The body of an answer, and the bytes of its JSON if tensors in the binary form come after it, else None.

    Args:
        request: the request.
        called: the model and what was asked of it.
        values: of all outputs of the entry.

    Raises:
        RequestError: a value cannot be written as JSON.
    """
    tensors, ports = list[bytes](), called.model.entries[called.entry].outputs
    written = list[str]()
    for place, binary in request.outputs:
        port, array = ports[place], values[place]
        head: dict[str, Any] = {"name": port.name, "datatype": datatype_of(port), "shape": list(array.shape)}
        if binary:
            tensors.append(to_binary(array, port))
            head["parameters"] = {"binary_data_size": len(tensors[-1])}
            written.append(json.dumps(head))
        else:
            written.append(f'{json.dumps(head)[:-1]}, "data": {to_json(array, port)}}}')
    top: dict[str, Any] = {"model_name": called.name, "model_version": called.model.version}
    if request.id is not None:
        top["id"] = request.id
    if request.notes:
        top["parameters"] = {"isthmus_notes": "\n".join(request.notes)}
    text = f'{json.dumps(top)[:-1]}, "outputs": [{", ".join(written)}]}}'.encode()
    return b"".join([text, *tensors]), len(text) if tensors else None


def model_metadata(called: EntryPoint) -> dict[str, Any]:
    """What a client can know of a model: its inputs and outputs, with the number of rows as -1."""
    entry = called.model.entries[called.entry]
    return {
        "name": called.name,
        "versions": [called.model.version],
        "platform": called.model.platform,
        "inputs": [_described(port) for port in entry.inputs],
        "outputs": [_described(port) for port in entry.outputs],
    }


def _described(port: Port) -> dict[str, Any]:
    described: dict[str, Any] = {"name": port.name, "datatype": datatype_of(port), "shape": [-1, *port.shape]}
    known = {"column": port.column, "kind": port.kind, "labels": list(port.labels)}
    if any(known.values()):
        described["parameters"] = {name: value for name, value in known.items() if value}
    return described


def _inputs(asked: list[Any], binary: memoryview, called: EntryPoint, settings: Settings) -> dict[str, Array]:
    """The tensors of a request, in the dtypes of the model."""
    ports = {port.name: port for port in called.model.entries[called.entry].inputs}
    if len(asked) > len(ports):
        raise RequestError(
            400, f"there are {len(asked)} inputs, and the model has {len(ports)}: send each of them once"
        )
    found = dict[str, Array]()
    for each in asked:
        tensor = fields(each, "an input", _INPUT, ("name", "shape", "datatype"))
        name, datatype = tensor["name"], tensor["datatype"]
        if name not in ports or name in found:
            what = "comes twice" if name in found else f"is unknown: send {', '.join(map(printable, ports))}"
            raise RequestError(400, f"the input {quoted(name, 60)} {what}")
        if datatype not in DATATYPES:
            raise RequestError(
                400,
                f"the input {printable(name)!r} has the datatype {quoted(datatype, 40)}: use {', '.join(DATATYPES)}",
            )
        shape = _shape(tensor["shape"], ports[name], called.most_rows(settings))
        values, binary = _values(tensor, shape, ports[name], binary)
        found[name] = fitted(values, datatype, ports[name])
    if len(binary):
        raise RequestError(400, f"the body has {len(binary)} bytes after the tensors: correct binary_data_size")
    _require_all(found, ports)
    return found


def _require_all(found: Mapping[str, Array], ports: Mapping[str, Port]) -> None:
    lacking = [name for name in ports if name not in found]
    if lacking:
        raise RequestError(
            400, f"the input {printable(lacking[0])!r} is lacking: send {', '.join(map(printable, ports))}"
        )
    rows = {name: len(values) for name, values in found.items()}
    if len(set(rows.values())) > 1:
        one, other = min(rows, key=lambda name: rows[name]), max(rows, key=lambda name: rows[name])
        raise RequestError(
            400,
            f"the input {printable(one)!r} has {rows[one]} rows, and {printable(other)!r} has {rows[other]}: send as many of each",
        )


def _shape(sides: list[Any], port: Port, most: int) -> tuple[int, ...]:
    """The shape of an input, as that of the model."""
    expected = ", ".join(map(str, ("n", *port.shape)))
    whole = tuple(int(side) for side in sides if type(side) is int or (type(side) is float and side.is_integer()))
    if len(whole) < len(sides) or whole[1:] != port.shape or not whole or whole[0] < 1:
        raise RequestError(
            400,
            f"the input {printable(port.name)!r} has the shape {quoted(sides[:9], 60)}: send [{expected}], with n of 1 or more",
        )
    if whole[0] > most:
        raise RequestError(
            413,
            f"the input {printable(port.name)!r} has {quoted(whole[0], 40)} rows, and {most} are allowed: send fewer",
        )
    return whole


def _values(tensor: dict[str, Any], shape: tuple[int, ...], port: Port, binary: memoryview) -> tuple[Array, memoryview]:
    """The values of an input, and the bytes that belong to later ones."""
    parameters = fields(
        tensor.get("parameters", {}), f"parameters of {printable(port.name)!r}", {"binary_data_size": int}
    )
    size = parameters.get("binary_data_size")
    if (size is None) == ("data" not in tensor):
        what = "neither data nor" if size is None else "both data and"
        raise RequestError(400, f"the input {printable(port.name)!r} has {what} binary_data_size: send one of them")
    if size is None:
        return from_json(tensor["data"], tensor["datatype"], shape, port), binary
    if not 0 <= size <= len(binary):
        raise RequestError(
            400,
            f"binary_data_size of {printable(port.name)!r} is {quoted(size, 40)}, and {len(binary)} bytes are left: correct it",
        )
    return from_binary(binary[:size], tensor["datatype"], shape, port), binary[size:]


def _outputs(asked: list[Any], called: EntryPoint, binary: bool) -> tuple[Wanted, ...]:
    """The outputs that are asked for; all of them if none is named."""
    names = [port.name for port in called.model.entries[called.entry].outputs]
    found = dict[str, Wanted]()
    for each in asked:
        output = fields(each, "an output", _OUTPUT, ("name",))
        name, parameters = output["name"], output.get("parameters", {})
        if name not in names or name in found:
            what = (
                "comes twice: ask once" if name in found else f"is unknown: ask for {', '.join(map(printable, names))}"
            )
            raise RequestError(400, f"the output {quoted(name, 60)} {what}")
        if "classification" in parameters:
            raise RequestError(400, f"the output {printable(name)!r} has no classes: leave out classification")
        fields(parameters, f"parameters of {printable(name)!r}", {"binary_data": bool})
        found[name] = Wanted(names.index(name), parameters.get("binary_data", binary))
    return tuple(found.values()) or tuple(Wanted(place, binary) for place in range(len(names)))
