"""The files of the page, and the headers of every answer."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

__all__ = ["HEADERS", "PAGE", "file_of_page"]

PAGE = Path(__file__).parent / "page"
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FILES = {path.name: path for path in PAGE.iterdir() if path.suffix in _TYPES} if PAGE.is_dir() else {}


def file_of_page(request: Request) -> Response:
    """A file of the page; index.html without a name."""
    path = _FILES.get(request.path_params.get("file", "index.html"))
    if path is None:
        return Response("no such file", 404, HEADERS, "text/plain")
    return Response(path.read_bytes(), headers=HEADERS | {"Content-Type": _TYPES[path.suffix]})
