"""The application that answers HTTP requests."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from isthmus.serving.entry_points import Repository
from isthmus.serving.settings import Settings

__all__ = ["make_app"]


def make_app(
    repository: Repository,
    settings: Settings,
    *,
    routes: Sequence[BaseRoute] = (),
    middleware: Sequence[Middleware] = (),
) -> Starlette:
    """The application of a server.

    After an inference request, `scope["isthmus"]` is a dictionary of what is known of it: "model" and "entry", which exist, and "rows".

    Args:
        repository: the models.
        settings: the limits.
        routes: of other pages.
        middleware: around all routes, the outermost first.
    """
    raise NotImplementedError
