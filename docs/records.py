"""How the reference shows records."""

from __future__ import annotations

from typing import Any

from griffe import Class, ExprName, Extension


class Records(Extension):
    """Shows a record as the dataclass that it is: with its fields as the parameters of its signature."""

    def on_class_instance(self, *, cls: Class, **kwargs: Any) -> None:
        for decorator in cls.decorators:
            if decorator.callable_path == "isthmus.records.record":
                decorator.value = ExprName("dataclasses.dataclass")
