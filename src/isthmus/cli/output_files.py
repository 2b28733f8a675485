"""The files that a verb writes for a file or for each file of a folder. Nothing is overwritten."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from isthmus.cli.console import counted

__all__ = ["Target", "check_apart", "check_free", "check_parents"]


class Target(NamedTuple):
    """A file, and the file that its reconstruction is written to."""

    source: Path
    out: Path


def check_apart(path: Path, out: Path, what: str) -> None:
    """`DataError` if a folder to be written is in the folder of the files that are read."""
    from isthmus.errors import DataError
    from isthmus.io.files import shown

    if path.resolve() == out.resolve() or path.resolve() in out.resolve().parents:
        raise DataError(f"--out {shown(out)} is in the folder of the {what}: choose another folder")


def check_free(targets: list[Target]) -> None:
    """`DataError` if a file exists that would be written: nothing is overwritten."""
    from isthmus.errors import DataError
    from isthmus.io.files import shown

    there = [each.out for each in targets if each.out.exists() or each.out.is_symlink()]
    if there:
        more = f" and {counted(len(there) - 1, 'more file')}" if len(there) > 1 else ""
        raise DataError(f"{shown(there[0])}{more} would be overwritten: choose another --out, or remove what is there")


def check_parents(targets: list[Target], what: str) -> None:
    """`DataError` if the folder of a file to be written is a file, or is to be written as one."""
    from isthmus.errors import DataError
    from isthmus.io.files import shown

    files = {each.out: each.source for each in targets}
    for folder in dict.fromkeys(parent for each in targets for parent in each.out.parents):
        if folder in files:
            raise DataError(
                f"{shown(folder)} would be a folder of {what}, and the reconstruction of {shown(files[folder])}: rename one of them"
            )
        if folder.exists() and not folder.is_dir():
            raise DataError(f"{shown(folder)} is a file, and {what} would be written into it: choose another --out")
