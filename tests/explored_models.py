"""Small models for tests of the explorer: linear ones, of which everything is known, and what asks the routes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from starlette.applications import Starlette

from isthmus.runtime.manifest import Port
from isthmus.serving import Entry, HeldOut, ServedModel

Array = np.ndarray[Any, Any]


class Linear(ServedModel):
    """Encodes x as W.T x, and decodes z as W z, for orthogonal columns of W; the score is minus the squared error.

    Args:
        weights: W (d, k).
        shape: of one example.
        examples: held-out ones (n, *shape), or None.
        dtype: of examples.
        kind: of the data.
        missing: whether values may be missing: they count as 0.
        detects: whether it is a detector.
    """

    platform = "linear"

    def __init__(
        self,
        weights: Array,
        shape: tuple[int, ...],
        examples: Array | None = None,
        *,
        dtype: str = "float64",
        kind: str = "images",
        missing: bool = False,
        detects: bool = False,
        labels: Any = None,
    ) -> None:
        self.weights, self.shape, self.detects = weights, shape, detects
        self.name, self.version = "linear", "0" * 12
        x, code = Port("X", dtype, shape), Port("code", "float64", (weights.shape[1],))
        made, score = Port("reconstruction", "float64", shape), Port("score", "float64", ())
        self.entries = {
            "reconstruct": Entry((x,), (made,)),
            "encode": Entry((x,), (code,)),
            "decode": Entry((code,), (made,)),
            "score": Entry((x,), (score,)),
        }
        if detects:
            outputs = (score, Port("p_value", "float64", ()), Port("anomaly", "bool", ()))
            self.entries["detect"] = Entry((x,), outputs)
        self.described: Mapping[str, Any] = {
            "kind": kind,
            "shape": list(shape),
            "missing": "allow" if missing else "error",
            "range": [0.0, 1.0] if kind == "images" else None,
            "features": None,
        }
        if detects:
            self.described = {**self.described, "detector": {"threshold": -1.0, "guarantee": "", "n_calibration": 9}}
        ids = None if examples is None else np.array([f"<b>{i}</b>" for i in range(len(examples))])
        self._held = None if examples is None else HeldOut({"X": examples}, labels, ids, "examples of a test")

    def compute(self, entry: str, inputs: Mapping[str, Array]) -> list[Array]:
        (values,) = inputs.values()
        rows = np.nan_to_num(values.astype(np.float64).reshape(len(values), -1))
        if entry == "encode":
            return [rows @ self.weights]
        made = rows @ self.weights.T if entry == "decode" else rows @ self.weights @ self.weights.T
        if entry in {"decode", "reconstruct"}:
            return [made.reshape(-1, *self.shape)]
        scores = -((made - rows) ** 2).sum(1)
        return [scores] if entry == "score" else [scores, np.full(len(rows), 0.25), scores < -1]

    def attributions(self, inputs: Mapping[str, Array]) -> Array | None:
        if not self.detects:
            return None
        (made,) = self.compute("reconstruct", inputs)
        errors = (made - inputs["X"]) ** 2
        return errors / errors.sum()

    def held_out(self) -> HeldOut | None:
        return self._held


def ask(
    app: Starlette, path: str, body: bytes | None = None, kind: str = "application/json"
) -> tuple[int, dict[str, str], bytes]:
    """Asks an application: status, headers and body of the answer. GET without a body."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body or b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET" if body is None else "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"content-type", kind.encode()), (b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "scheme": "http",
        "http_version": "1.1",
        "root_path": "",
    }
    asyncio.run(app(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(each.get("body", b"") for each in sent[1:])


def asked(app: Starlette, what: str, given: Any = None, name: str = "linear") -> tuple[int, Any]:
    """Asks something of a model: status and answer."""
    status, _, body = ask(app, f"/explore/models/{name}/{what}", json.dumps(given or {}).encode())
    return status, json.loads(body)
