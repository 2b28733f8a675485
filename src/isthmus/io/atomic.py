"""Writing a file in one piece: beside its target, flushed to the disk, renamed. There is never half a file, and nothing is left lying."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import sys
import zlib
from collections.abc import Iterable, Iterator
from io import FileIO
from pathlib import Path
from typing import BinaryIO, TypeAlias

from isthmus.errors import FolderInUseError
from isthmus.io.files import regular

__all__ = ["Bytes", "alone", "check_folder", "check_writable", "holds", "replace_file"]

Bytes: TypeAlias = bytes | memoryview


def replace_file(target: Path, content: Bytes | Iterable[Bytes]) -> None:
    """Puts a whole file in the place of the old one, durably; nothing is left behind if that fails.

    What other writers left there when they were killed is removed; two writers at once leave the file of one of them.
    """
    check_writable(target)
    start = f".isthmus-{zlib.crc32(os.fsencode(target.name)):08x}-"  # short, whatever the name
    _sweep(target.parent, start)
    beside, file = target, None
    try:
        while True:
            beside = target.with_name(f"{start}{secrets.token_hex(4)}.part")
            with open(beside, "xb") as file:
                _lock(file, wait=True)
                if os.fstat(file.fileno()).st_nlink:  # else another writer swept it before it was ours
                    _fill(file, content)
                    if sys.platform == "win32":  # where an open file keeps its name
                        file.close()
                    os.replace(beside, target)
                    break
    except OSError as error:
        _unlink(beside, target)
        if error.filename in {str(beside), None}:  # the name that the user knows
            raise type(error)(error.errno, error.strerror or str(error), str(target)) from None
        raise
    except BaseException:
        if file is not None:  # an interrupt may come in the way of the with
            file.close()
        _unlink(beside, target)
        raise
    _flush(target.parent)


def check_writable(target: Path) -> None:
    """`OSError` where a file could not be put, or ought not to be."""
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder to write into", str(target.parent))
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        return
    kind = "a folder" if stat.S_ISDIR(mode) else "a symbolic link" if stat.S_ISLNK(mode) else "no file"
    if not stat.S_ISREG(mode):
        raise OSError(errno.EISDIR, f"this is {kind}; give the name of a file to write", str(target))
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "this file may not be written", str(target))


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Makes a folder, and keeps other processes that ask out of it; the system lets them in when this one ends, however it ends.

    Raises:
        FolderInUseError: another process is in it.
    """
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        if sys.platform == "win32":  # where folders cannot be locked
            yield
            return
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _lock_folder(descriptor, folder)
            if _is(descriptor, folder):  # else another process removed it before it was ours
                yield
                return
        finally:
            os.close(descriptor)


def _lock_folder(descriptor: int, folder: Path) -> None:
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FolderInUseError(
            f"another process is writing into {folder}; wait for it, or choose another folder"
        ) from None
    except OSError:  # a file system that has no locks
        pass


def _is(descriptor: int, folder: Path) -> bool:
    """Whether an open folder is still there, under its name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(folder))
    except FileNotFoundError:
        return False


def check_folder(folder: Path) -> None:
    """`OSError` where a folder inside one of ours is a link to elsewhere, or no folder; it need not be there yet."""
    try:
        mode = folder.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "no folder"
        raise NotADirectoryError(errno.ENOTDIR, f"this is {kind}, and nothing is written through it", str(folder))


def holds(target: Path, content: bytes) -> bool:
    """Whether a file is there, no link, and holds just this."""
    try:
        file = regular(target)
    except FileNotFoundError:
        return False
    if isinstance(file, str):
        return False
    with file:
        return file.read(len(content) + 1) == content


def _fill(file: BinaryIO, content: Bytes | Iterable[Bytes]) -> None:
    for part in [content] if isinstance(content, bytes | memoryview) else content:
        file.write(part)
    file.flush()
    os.fsync(file.fileno())


def _unlink(beside: Path, target: Path) -> None:
    if beside != target:
        with contextlib.suppress(OSError):
            beside.unlink()


def _sweep(folder: Path, start: str) -> None:
    """Removes unfinished files of writers that are no more: nobody holds these."""
    for left in folder.glob(f"{start}????????.part"):
        with contextlib.suppress(OSError):
            file = regular(left)
            if not isinstance(file, str):
                with file:
                    if _lock(file):
                        left.unlink()


def _lock(file: BinaryIO | FileIO, wait: bool = False) -> bool:
    """Whether nobody else holds the file; it is ours then until it is closed, or we are killed."""
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _flush(folder: Path) -> None:
    """Asks the system to keep what was renamed in a folder, where it can be asked."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):  # some file systems cannot
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
