"""What is wrong with a request."""

from __future__ import annotations

from collections.abc import Mapping

from isthmus.text import sentence

__all__ = ["RequestError"]


class RequestError(Exception):
    """A request that is refused.

    Args:
        status: of HTTP, 400 to 599.
        message: one sentence: what is wrong, where, and what to do.
        headers: of the answer.
    """

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence(message))
        self.status, self.headers = status, dict(headers or {})

    @property
    def message(self) -> str:
        """One printable sentence."""
        return str(self.args[0])
