"""Short answers without the application: one sentence as JSON."""

from __future__ import annotations

import json

from starlette.types import Send

from isthmus.text import sentence

__all__ = ["error_body", "refuse"]


def error_body(text: str) -> bytes:
    """An error as the protocol has it: {"error": "one sentence"}."""
    return json.dumps({"error": sentence(text)}).encode()


async def refuse(send: Send, status: int, text: str, *headers: tuple[str, str]) -> None:
    """Answers a request with an error.

    Args:
        send: of the application.
        status: of the answer.
        text: one sentence: what is wrong and what to do.
        headers: further ones.
    """
    body = error_body(text)
    known = [("content-type", "application/json"), ("content-length", str(len(body)))]
    pairs = [(name.encode(), value.encode()) for name, value in [*known, *headers]]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
