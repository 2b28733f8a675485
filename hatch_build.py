"""Compiles the kernels for the wheel of this machine. Without a C compiler, the wheel has none and is that of every machine.

ISTHMUS_NATIVE=0 leaves the kernels out on purpose.
"""

from __future__ import annotations

import os
import runpy
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import sys_tags

NATIVE = "src/isthmus/native"
PORTABLE = ("manylinux", "musllinux")  # tags that promise what nobody has checked here


class NativeHook(BuildHookInterface):
    """Adds the compiled libraries: to the wheel, or for an editable installation to the sources."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before the wheel is written."""
        native, editable = Path(self.root, NATIVE), version == "editable"
        ours = runpy.run_path(str(native / "build.py"))  # which leaves no compiled file in the sources
        if os.environ.get("ISTHMUS_NATIVE") == "0":
            if editable:
                ours["remove"](native)
            self.app.display_info("the kernels are left out: ISTHMUS_NATIVE is 0")
            return
        if not editable:
            self.work = tempfile.TemporaryDirectory()  # until the wheel is written
        files, notes = ours["build"](native if editable else Path(self.work.name), native / "kernels.c")
        for note in notes:
            self.app.display_warning(note)
        if files:
            self.app.display_info(f"compiled {', '.join(file.name for file in files)}")
        if files and not editable:  # an editable installation is of this machine anyway
            system = next(tag.platform for tag in sys_tags() if not tag.platform.startswith(PORTABLE))
            build_data["pure_python"], build_data["tag"] = False, f"py3-none-{system}"
            build_data["force_include"] |= {str(file): f"isthmus/native/{file.name}" for file in files}

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Called after the wheel is written."""
        if hasattr(self, "work"):
            self.work.cleanup()
