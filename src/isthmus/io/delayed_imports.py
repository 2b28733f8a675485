"""Imports that take no time until they are used.

scikit-learn imports `scipy.stats` and pandas for a few functions, which takes a second. A command that trains does so after its training.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType

__all__ = ["delay_imports", "finish_imports", "imported"]


class _Delaying(MetaPathFinder):
    """Finds some modules, so that Python loads them when they are first used.

    Args:
        names: of the modules.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name in self.names else None
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def delay_imports(*names: str) -> None:
    """Delays imports of modules that are not loaded, until they are used or `finish_imports` is called.

    Args:
        names: of the modules.
    """
    sys.meta_path.insert(0, _Delaying(names))


def finish_imports() -> None:
    """Loads what was delayed: two threads must not be the first to use a module at the same time."""
    for finder in [each for each in sys.meta_path if isinstance(each, _Delaying)]:
        sys.meta_path.remove(finder)
        for name in finder.names:
            getattr(sys.modules.get(name), "__doc__", None)


def imported(name: str) -> ModuleType | None:
    """The module of this name, if anything has used it; None if it is not imported.

    Args:
        name: of the module.
    """
    module = sys.modules.get(name)
    return None if type(module).__name__ == "_LazyModule" else module
