"""The OpenAPI document of a server, made from its models."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any
from urllib.parse import quote

from isthmus._version import __version__
from isthmus.runtime.manifest import Port
from isthmus.serving.entry_points import EntryPoint
from isthmus.serving.settings import Settings
from isthmus.serving.tensor_schemas import example_tensor, input_schema, output_schema
from isthmus.serving.tensors import datatype_of

__all__ = ["openapi"]

Json = dict[str, Any]
_VERBS = {
    "reconstruct": "Reconstruct examples",
    "encode": "Encode examples: their codes",
    "decode": "Decode codes: their reconstructions",
    "impute": "Fill in the missing values of examples",
    "score": "Score examples: minus the loss in nats, higher for examples that are more like the training data",
    "detect": "Detect anomalies: scores, p-values and verdicts",
}
_ERRORS = {
    400: "The request is not as the protocol and the model demand.",
    401: "The token is lacking or wrong.",
    404: "There is no such model or version.",
    408: "The body did not arrive in time.",
    413: "The body, or the number of rows, is too large.",
    415: "The Content-Type or the Content-Encoding is unknown.",
    503: "The server is busy, stopping or not ready.",
    504: "The answer took too long.",
}
_ERROR: Json = {
    "type": "object",
    "properties": {"error": {"type": "string", "description": "One sentence: what is wrong, where, and what to do."}},
    "required": ["error"],
    "additionalProperties": False,
}


def openapi(called: Sequence[EntryPoint], settings: Settings, tokens: bool = False) -> Json:
    """The document, of OpenAPI 3.1.

    Args:
        called: all that can be called.
        settings: the limits.
        tokens: whether a token is needed.
    """
    paths = _server_paths(tokens)
    if called:
        paths |= _model_paths(called, tokens)
    schemas: Json = {"Error": _ERROR}
    for place, each in enumerate(called):
        schemas[f"Request{place}"] = _request_schema(each, settings)
        schemas[f"Response{place}"] = _response_schema(each)
        base = f"/v2/models/{quote(each.name, safe='')}"
        for path in (base, f"{base}/versions/{quote(each.model.version, safe='')}"):
            paths[f"{path}/infer"] = {"post": _inference(each, place, tokens)}
    document: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": "isthmus",
            "version": __version__,
            "description": "Autoencoders behind the Open Inference Protocol, version 2.",
        },
        "paths": paths,
        "components": {"schemas": schemas},
    }
    if tokens:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return document


def _object(properties: Json, *optional: str) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def _answers(schema: Json, errors: Sequence[int], content: Json | None = None) -> Json:
    """The answers of an operation."""
    found: Json = {"200": {"description": "The answer.", "content": {"application/json": {"schema": schema}}}}
    found["200"]["content"] |= content or {}
    for status in errors:
        found[str(status)] = {
            "description": _ERRORS[status],
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
    return found


def _server_paths(tokens: bool) -> Json:
    """What is asked of the server as a whole."""
    text, either = {"type": "string"}, [401, 503] if tokens else [503]
    metadata = _object({"name": {"const": "isthmus"}, "version": text, "extensions": {"type": "array", "items": text}})
    model = _object(
        {"name": text, "version": text, "state": {"enum": ["READY", "UNAVAILABLE"]}, "reason": {"type": "string"}}
    )
    ready = _answers(_object({"ready": {"type": "boolean"}}), [])
    ready["503"] = {**ready["200"], "description": "The server is starting or stopping."}
    return {
        "/v2/health/live": {
            "get": {
                "summary": "Whether the server runs",
                "operationId": "live",
                "responses": _answers(_object({"live": {"const": True}}), []),
                "security": [],
            }
        },
        "/v2/health/ready": {
            "get": {
                "summary": "Whether requests are answered",
                "operationId": "ready",
                "responses": ready,
                "security": [],
            }
        },
        "/v2": {
            "get": {
                "summary": "The server",
                "operationId": "server_metadata",
                "responses": _answers(metadata, either),
            }
        },
        "/v2/repository/index": {
            "post": {
                "summary": "All models",
                "operationId": "repository_index",
                "responses": _answers({"type": "array", "items": model}, either),
            }
        },
    }


def _model_paths(called: Sequence[EntryPoint], tokens: bool) -> Json:
    """What is asked of any model."""
    names = [each.name for each in called]
    versions = sorted({each.model.version for each in called})
    parameters = {
        "name": {"name": "name", "in": "path", "required": True, "schema": {"enum": names}},
        "version": {"name": "version", "in": "path", "required": True, "schema": {"enum": versions}},
    }
    errors = [*([401] if tokens else []), 404]
    metadata = _answers(_metadata_schema(names, versions), [*errors, 503])
    ready = _answers(_object({"name": {"enum": names}, "ready": {"type": "boolean"}}), errors)
    ready["503"] = {**ready["200"], "description": "The server is starting or stopping."}
    found: Json = {}
    for path, used, suffix in (
        ("/v2/models/{name}", ["name"], ""),
        ("/v2/models/{name}/versions/{version}", ["name", "version"], "_of_version"),
    ):
        given = [parameters[name] for name in used]
        found[path] = {
            "parameters": given,
            "get": {"summary": "A model", "operationId": f"model_metadata{suffix}", "responses": metadata},
        }
        found[f"{path}/ready"] = {
            "parameters": given,
            "get": {"summary": "Whether a model is ready", "operationId": f"model_ready{suffix}", "responses": ready},
        }
    return found


def _metadata_schema(names: list[str], versions: list[str]) -> Json:
    text = {"type": "string"}
    known = {"column": text, "kind": text, "labels": {"type": "array", "items": text}}
    tensor = _object(
        {
            "name": text,
            "datatype": text,
            "shape": {"type": "array", "items": {"type": "integer", "minimum": -1}},
            "parameters": _object(known, *known),
        },
        "parameters",
    )
    tensors = {"type": "array", "items": tensor, "minItems": 1}
    return _object(
        {
            "name": {"enum": names},
            "versions": {"type": "array", "items": {"enum": versions}},
            "platform": {"enum": ["isthmus_onnx", "isthmus_pytorch"]},
            "inputs": tensors,
            "outputs": tensors,
        }
    )


def _inference(each: EntryPoint, place: int, tokens: bool) -> Json:
    """The operation of a model."""
    entry = each.model.entries[each.entry]
    reference = {"$ref": f"#/components/schemas/Request{place}"}
    body: Json = {"application/json": {"schema": reference, "example": _example(entry.inputs)}}
    answers = _answers(
        {"$ref": f"#/components/schemas/Response{place}"},
        [status for status in _ERRORS if tokens or status != 401],
        {"application/octet-stream": {}},
    )
    answers["200"]["headers"] = {
        "Inference-Header-Content-Length": {
            "description": "The bytes of JSON, if tensors in the binary form come after it.",
            "schema": {"type": "integer", "minimum": 1},
        }
    }
    retry = {"description": "Seconds after which to try again.", "schema": {"type": "integer"}}
    answers["503"]["headers"] = {"Retry-After": retry}
    return {
        "summary": f"{_VERBS[each.entry]} ({each.model.name})",
        "description": "Tensors may also follow the JSON in the binary form: see the binary tensor data extension of the protocol.",
        "requestBody": {"required": True, "content": body},
        "responses": answers,
    }


def _example(ports: Sequence[Port]) -> Json:
    """A request of one row."""
    return {
        "inputs": [
            {"name": port.name, "datatype": datatype_of(port), "shape": [1, *port.shape], "data": example_tensor(port)}
            for port in ports
            if prod(port.shape) < 4096
        ]
    }


def _request_schema(each: EntryPoint, settings: Settings) -> Json:
    entry = each.model.entries[each.entry]
    inputs: Json = {
        "type": "array",
        "items": {"anyOf": [input_schema(port, each.most_rows(settings)) for port in entry.inputs]},
        "minItems": len(entry.inputs),
        "maxItems": len(entry.inputs),
    }
    if len(entry.inputs) > 1:
        inputs["allOf"] = [{"contains": {"properties": {"name": {"const": port.name}}}} for port in entry.inputs]
    wanted = _object(
        {
            "name": {"enum": [port.name for port in entry.outputs]},
            "parameters": _object({"binary_data": {"type": "boolean"}}, "binary_data"),
        },
        "parameters",
    )
    outputs = {"type": "array", "items": wanted, "maxItems": len(entry.outputs), "uniqueItems": True}
    parameters = _object({"binary_data_output": {"type": "boolean"}}, "binary_data_output")
    known = {"id": {"type": "string"}, "parameters": parameters, "inputs": inputs, "outputs": outputs}
    return _object(known, "id", "parameters", "outputs")


def _response_schema(each: EntryPoint) -> Json:
    outputs = [output_schema(port) for port in each.model.entries[each.entry].outputs]
    notes = {"type": "string", "description": "What was taken as missing, one sentence a line."}
    known = {
        "model_name": {"const": each.name},
        "model_version": {"const": each.model.version},
        "id": {"type": "string"},
        "parameters": _object({"isthmus_notes": notes}),
        "outputs": {"type": "array", "items": {"anyOf": outputs}, "minItems": 1, "maxItems": len(outputs)},
    }
    return _object(known, "id", "parameters")
