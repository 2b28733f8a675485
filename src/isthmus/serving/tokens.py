"""Who may ask: tokens, and the names of the server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import stat
from collections.abc import Collection
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from isthmus.errors import DataError
from isthmus.serving.refusing import refuse
from isthmus.text import printable

__all__ = ["OPEN_PATHS", "RequireHost", "RequireToken", "Tokens", "is_loopback", "read_tokens"]

OPEN_PATHS = frozenset({"/v2/health/live", "/v2/health/ready"})  # for probes, which have no token
_SHORTEST, _MOST_BYTES = 16, 2**20
_HOST = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::\d*)?")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Tokens:
    """Secrets, of which only digests are kept.

    Args:
        tokens: the secrets.
    """

    def __init__(self, tokens: Collection[str]) -> None:
        self._digests = [_digest(token.encode()) for token in tokens]

    def __len__(self) -> int:
        return len(self._digests)

    def accept(self, token: bytes) -> bool:
        """Whether a token is one of them. The time does not depend on which, nor on how much of it is right."""
        given, found = _digest(token), False
        for digest in self._digests:
            found |= hmac.compare_digest(given, digest)
        return found


def read_tokens(path: Path) -> Tokens:
    """The tokens of a file, one in a line. Empty lines and lines that begin with # are not read.

    Args:
        path: the file. Nobody but its owner and group may read it.

    Raises:
        DataError: other users may read the file, it has no token, or one that is short or not printable ASCII without spaces.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        if os.name == "posix" and os.fstat(file.fileno()).st_mode & stat.S_IROTH:
            raise DataError(f"other users may read {printable(path)}: chmod o= {printable(path)}")
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise DataError(f"{printable(path)} is larger than 1 MB: give a file with one token in each line")
    tokens = set[str]()
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        token = line.strip()
        if not token or token.startswith(b"#"):
            continue
        if not (token.isascii() and all(33 <= byte < 127 for byte in token)):  # the token itself is never shown
            raise DataError(f"{printable(path)}, line {number}: a token has printable ASCII characters without spaces")
        if len(token) < _SHORTEST:
            raise DataError(
                f"{printable(path)}, line {number}: the token is too short: use at least {_SHORTEST} characters"
            )
        tokens.add(token.decode())
    if not tokens:
        raise DataError(f"{printable(path)} has no token: write one in a line")
    return Tokens(tokens)


class RequireToken:
    """An application for which a request needs `Authorization: Bearer TOKEN`.

    A browser asks its user for a name and a password, and the password is the token: `Authorization: Basic`. The paths of health
    are open.

    Args:
        app: the application.
        tokens: that are accepted.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens) -> None:
        self._app, self._tokens = app, tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS or self._accepts(scope):
            await self._app(scope, receive, send)
            return
        challenges = [("www-authenticate", f'{scheme} realm="isthmus"') for scheme in ("Bearer", "Basic")]
        await refuse(send, 401, "this server needs a token: send the header Authorization: Bearer TOKEN", *challenges)

    def _accepts(self, scope: Scope) -> bool:
        """Whether a request has one Authorization header, with a token."""
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, secret = (given[0] if len(given) == 1 else b"").partition(b" ")
        if scheme.lower() == b"basic":
            try:
                secret = base64.b64decode(secret.strip(), validate=True).partition(b":")[2]
            except ValueError:
                return False
        return scheme.lower() in {b"bearer", b"basic"} and self._tokens.accept(secret.strip())


class RequireHost:
    """An application of this machine alone, which pages of other servers cannot ask by a name of theirs (DNS rebinding).

    Args:
        app: the application.
        names: that the Host header may have besides those of this machine.
    """

    def __init__(self, app: ASGIApp, names: Collection[str] = ()) -> None:
        self._app, self._names = app, _LOOPBACK | {name.lower().strip("[]") for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for name, value in scope["headers"]:
                if name == b"host" and _host_of(value.decode("latin-1")) not in self._names:
                    await refuse(
                        send, 421, "this server has another name: ask for localhost, or start it with --allow-host NAME"
                    )
                    return
        await self._app(scope, receive, send)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    return host.lower() in _LOOPBACK or (host.startswith("127.") and host.replace(".", "").isdigit())


def _host_of(value: str) -> str | None:
    """The name of a Host header, without its port; None if it is none."""
    found = _HOST.fullmatch(value)
    return None if found is None else found[1].strip("[]").rstrip(".").lower()


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
