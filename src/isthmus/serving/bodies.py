"""Bodies of requests and answers: bounded, compressed, within a time."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from isthmus.serving.request_error import RequestError
from isthmus.serving.settings import Settings
from isthmus.text import quoted

__all__ = [
    "HeldBytes",
    "accepted_encoding",
    "compressed",
    "decompressed",
    "header_length",
    "read_body",
    "require_media_type",
]

_WINDOWS = {"gzip": 31, "deflate": 15}  # of zlib: what follows the header of gzip, and of zlib itself
_PART = 2**18  # bytes of an answer that are sent at once
_DISCARDED = 4  # times the limit of a body that are read and thrown away, so that the client reads why


class HeldBytes:
    """The bytes of all bodies that are held, at most as many as allowed.

    Args:
        most: how many are allowed.
    """

    def __init__(self, most: int) -> None:
        self._most, self.count = most, 0

    def add(self, count: int) -> None:
        """Counts more bytes.

        Raises:
            RequestError: there would be too many.
        """
        if self.count + count > self._most:
            raise RequestError(503, "the server holds too many large requests: try again later", {"Retry-After": "1"})
        self.count += count

    def remove(self, count: int) -> None:
        """Counts fewer bytes."""
        self.count -= count

    @contextmanager
    def hold(self) -> Iterator[Callable[[int], None]]:
        """A function that counts more bytes, all of which are no longer counted after it."""
        taken = 0

        def take(count: int) -> None:
            nonlocal taken
            self.add(count)
            taken += count

        try:
            yield take
        finally:
            self.remove(taken)


class LargeResponse(Response):
    """An answer whose bytes are counted until the client has read them, and which is given up for a client that does not.

    Args:
        content: the body.
        headers: of the answer.
        media_type: of the body.
        held: counts the bytes.
        seconds: for each part.

    Raises:
        RequestError: too many bytes are held already.
    """

    def __init__(
        self, content: bytes, headers: Mapping[str, str], media_type: str, held: HeldBytes, seconds: float
    ) -> None:
        held.add(len(content))
        super().__init__(content, headers=headers, media_type=media_type)
        self._held, self._seconds = held, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = memoryview(self.body)
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for begin in range(0, len(body), _PART):
                part = bytes(body[begin : begin + _PART])
                async with asyncio.timeout(self._seconds):
                    await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            return  # the server then closes the connection
        finally:
            self._held.remove(len(body))


async def read_body(request: Request, settings: Settings, take: Callable[[int], None]) -> bytes:
    """The body as it was sent.

    Args:
        request: the request.
        settings: the limits.
        take: counts bytes that are held.

    Raises:
        RequestError: it is too large, or does not come in time.
    """
    chunks, size, most = list[bytes](), 0, settings.max_body_bytes
    length = request.headers.get("content-length", "")
    declared = int(length) if length.isascii() and length.isdigit() else 0
    stream = request.stream()
    try:
        async with asyncio.timeout(settings.request_seconds):
            if declared > most:
                await _discard(stream, declared, most)
                raise _too_large(most)
            async for chunk in stream:
                size += len(chunk)
                if size > most:
                    await _discard(stream, size, most)
                    raise _too_large(most)
                take(len(chunk))
                chunks.append(chunk)
    except TimeoutError:
        raise RequestError(
            408, f"the body did not arrive within {settings.request_seconds:g} seconds: send less, or faster"
        ) from None
    return b"".join(chunks)


def decompressed(body: bytes, encoding: str, most: int) -> bytes:
    """A body without its compression.

    Args:
        body: as it was sent.
        encoding: the header Content-Encoding; "" for none.
        most: bytes that are allowed.

    Raises:
        RequestError: the encoding is unknown, or the body is not in it, or too large.
    """
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return body
    if name not in _WINDOWS:
        raise RequestError(
            415,
            f"the Content-Encoding is {quoted(encoding, 40)}: use gzip or deflate",
            {"Accept-Encoding": "gzip, deflate"},
        )
    reader = zlib.decompressobj(_WINDOWS[name])
    try:
        found = reader.decompress(body, most + 1)
    except zlib.error:
        raise RequestError(400, f"the body is no {name}: correct it, or the Content-Encoding") from None
    if len(found) > most:
        raise RequestError(413, f"the body has more than {most} bytes when decompressed: send fewer rows")
    if not reader.eof or reader.unused_data:
        what = "is cut off" if not reader.eof else "has bytes after its end"
        raise RequestError(400, f"the {name} of the body {what}: send it again")
    return found


def compressed(body: bytes, encoding: str) -> bytes:
    """A body with a compression, "gzip" or "deflate"."""
    return gzip.compress(body, 4, mtime=0) if encoding == "gzip" else zlib.compress(body, 4)


def accepted_encoding(header: str) -> str:
    """The compression that a header Accept-Encoding prefers: "gzip", "deflate", or "" for none."""
    weights = dict[str, float]()
    for each in header.lower().split(","):
        name, _, parameter = each.partition(";")
        key, _, weight = parameter.partition("=")
        try:
            weights[name.strip()] = float(weight) if key.strip() == "q" else 1.0
        except ValueError:
            weights[name.strip()] = 0.0
    default = weights.get("*", 0.0)
    best = max(_WINDOWS, key=lambda name: weights.get(name, default))
    return best if weights.get(best, default) > 0 else ""


def header_length(request: Request) -> int | None:
    """The bytes of JSON before tensors in the binary form; None: all.

    Raises:
        RequestError: the header is no number.
    """
    text = request.headers.get("inference-header-content-length")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise RequestError(400, f"Inference-Header-Content-Length is {quoted(text, 40)}: send a number of bytes")
    return int(text)


def require_media_type(request: Request, binary: bool) -> None:
    """Raises an error unless the header Content-Type is absent, JSON or, with tensors in the binary form, application/octet-stream.

    Raises:
        RequestError: it is something else.
    """
    text = request.headers.get("content-type", "")
    name, _, parameters = text.lower().partition(";")
    charset = parameters.partition("charset=")[2].strip(' "')
    allowed = {"", "application/json", *(["application/octet-stream"] if binary else [])}
    if name.strip() not in allowed or charset not in {"", "utf-8", "utf8"}:
        hint = " with Inference-Header-Content-Length" if name.strip() == "application/octet-stream" else ""
        raise RequestError(
            415, f"the Content-Type is {quoted(text, 60)}: send application/json, or application/octet-stream{hint}"
        )


async def _discard(stream: AsyncIterator[bytes], size: int, most: int) -> None:
    """Reads a body that is somewhat too large to its end: a connection that is closed while the client sends loses the answer."""
    if size <= _DISCARDED * most:
        read = 0
        async for chunk in stream:
            read += len(chunk)
            if read > _DISCARDED * most:
                return


def _too_large(most: int) -> RequestError:
    return RequestError(413, f"the body has more than {most} bytes: send fewer rows, or binary data")
