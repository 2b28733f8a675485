"""Adds the package to the wheel, without its data sets and its kernels in C."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = "../../src/isthmus"
LEFT_OUT = {"mnist", "__pycache__"}  # folders
NATIVE = {".c", ".h", ".o", ".native"}  # endings: what is for training


class PackageHook(BuildHookInterface):
    """Names the files of the package."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before the wheel is written."""
        package = Path(self.root, SOURCES).resolve()
        if not package.is_dir():
            raise FileNotFoundError(f"{package} is not there: build the wheel in a copy of the repository")
        for path in sorted(package.rglob("*")):
            place = path.relative_to(package)
            if path.is_file() and path.suffix not in NATIVE and not LEFT_OUT.intersection(place.parts):
                build_data["force_include"][str(path)] = str(Path("isthmus", place))
