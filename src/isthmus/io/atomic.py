"""Atomic replacement of files: written to a temporary file in the same folder, flushed to the disk and renamed."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from io import FileIO
from pathlib import Path
from typing import BinaryIO, TypeAlias

from isthmus.errors import FolderInUseError
from isthmus.io.files import regular

__all__ = [
    "Bytes",
    "check_can_write",
    "check_folder",
    "check_writable",
    "has_content",
    "lock_folder",
    "remove_leftovers",
    "replace_file",
    "temporary_file",
]

Bytes: TypeAlias = bytes | memoryview


def replace_file(target: Path, content: Bytes | Iterable[Bytes]) -> None:
    """Replaces a file atomically and durably. If that fails, the old file stays and the temporary file is removed.

    Temporary files of killed processes are removed. Of two concurrent writers, the file of one of them remains.
    """
    check_writable(target)
    start = f".isthmus-{zlib.crc32(os.fsencode(target.name)):08x}-"  # the names of files have a maximum length
    _remove_leftovers(target.parent, f"{start}????????")
    part, file = target, None
    try:
        while True:
            part = target.with_name(f"{start}{secrets.token_hex(4)}.part")
            with open(part, "xb") as file:
                _lock(file, wait=True)
                if os.fstat(file.fileno()).st_nlink:  # otherwise another writer removed it before it was locked
                    _write(file, content)
                    if sys.platform == "win32":  # an open file cannot be renamed there
                        file.close()
                    os.replace(part, target)
                    break
    except OSError as error:
        _unlink(part, target)
        if error.filename in {str(part), None}:  # name the user's file, not the temporary one
            raise type(error)(error.errno, error.strerror or str(error), str(target)) from None
        raise
    except BaseException:
        if file is not None:  # an interrupt can prevent the exit of the with block
            file.close()
        _unlink(part, target)
        raise
    _fsync_folder(target.parent)


@contextlib.contextmanager
def temporary_file(folder: Path, save: Callable[[Path], object]) -> Iterator[Path]:
    """A context with a file that no other process replaces or removes. It is removed at the end; after a kill, by `remove_leftovers`.

    Args:
        folder: where the file is.
        save: writes the file to a path.
    """
    path, file = folder / f".isthmus-{secrets.token_hex(4)}-{secrets.token_hex(4)}.part", None
    try:
        while file is None:
            save(path)
            with contextlib.suppress(FileNotFoundError):
                file = open(path, "rb")  # noqa: SIM115  # its lock is held until the end
                _lock(file, wait=True)
                if not os.fstat(file.fileno()).st_nlink:  # another process removed it before it was locked
                    file.close()
                    file = None
        yield path
    finally:
        if file is not None:
            file.close()
        path.unlink(missing_ok=True)


def check_writable(target: Path) -> None:
    """Raises `OSError` if a file cannot or must not be written to this path."""
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "the folder does not exist", str(target.parent))
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        return
    kind = "a folder" if stat.S_ISDIR(mode) else "a symbolic link" if stat.S_ISLNK(mode) else "not a file"
    if not stat.S_ISREG(mode):
        raise OSError(errno.EISDIR, f"this is {kind}; give the name of a file to write", str(target))
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "this file is read-only", str(target))


def check_can_write(folder: Path) -> None:
    """Raises `OSError` if no file can be made in a folder, which is better known before hours of work."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise type(error)(error.errno, error.strerror or str(error), str(folder)) from None


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """A context that creates a folder and holds an exclusive lock on it. The system releases the lock when the process ends.

    Raises:
        FolderInUseError: another process holds the lock.
    """
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        if sys.platform == "win32":  # where folders cannot be locked
            yield
            return
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _lock_folder(descriptor, folder)
            if _is_same(descriptor, folder):  # otherwise another process removed it before it was locked
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
    except OSError:  # a file system without locks
        pass


def _is_same(descriptor: int, folder: Path) -> bool:
    """Whether the open folder is still the one at this path."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(folder))
    except FileNotFoundError:
        return False


def check_folder(folder: Path) -> None:
    """Raises `OSError` if the path of a subfolder is a symbolic link or not a folder. The folder need not exist."""
    try:
        mode = folder.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "not a folder"
        raise NotADirectoryError(errno.ENOTDIR, f"this is {kind}; remove or rename it", str(folder))


def has_content(target: Path, content: bytes) -> bool:
    """Whether the path is a regular file with exactly this content."""
    try:
        file = regular(target)
    except FileNotFoundError:
        return False
    if isinstance(file, str):
        return False
    with file:
        return file.read(len(content) + 1) == content


def _write(file: BinaryIO, content: Bytes | Iterable[Bytes]) -> None:
    for part in [content] if isinstance(content, bytes | memoryview) else content:
        file.write(part)
    file.flush()
    os.fsync(file.fileno())


def _unlink(part: Path, target: Path) -> None:
    if part != target:
        with contextlib.suppress(OSError):
            part.unlink()


def remove_leftovers(folder: Path) -> None:
    """Removes the temporary files of killed processes, whatever file they were for."""
    _remove_leftovers(folder, ".isthmus-????????-????????")


def _remove_leftovers(folder: Path, name: str) -> None:
    """Removes temporary files of killed processes, which nobody has locked."""
    for leftover in folder.glob(f"{name}.part"):
        with contextlib.suppress(OSError):
            file = regular(leftover)
            if not isinstance(file, str):
                with file:
                    if _lock(file):
                        leftover.unlink()


def _lock(file: BinaryIO | FileIO, wait: bool = False) -> bool:
    """Locks a file until it is closed; returns False if another process has locked it."""
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _fsync_folder(folder: Path) -> None:
    """Flushes a folder to the disk, so that a rename in it is durable."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):  # some file systems do not support it
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
