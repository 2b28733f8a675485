"""Compiles the kernels, one library for each kind of processor that this machine may have.

What cannot be compiled is left out, and a sentence says why: isthmus works without it. The build hook loads this file by its path,
before isthmus and PyTorch are there, so it imports the standard library alone.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

__all__ = ["FLAGS", "Built", "build", "compiler", "remove", "variants"]

_X86: dict[str, tuple[str, ...]] = {
    "avx2": ("-mavx2", "-mfma", "-DVL=8", "-DMR=6", "-DNV=2"),
    "avx512": (
        *("-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"),
        *("-DVL=16", "-DMR=14", "-DNV=2"),
    ),
}
_ARM: dict[str, tuple[str, ...]] = {"neon": ("-DVL=4", "-DMR=8", "-DNV=2")}
_VARIANTS = {"x86_64": _X86, "amd64": _X86, "aarch64": _ARM, "arm64": _ARM}  # by machine, in lower case

FLAGS = ("-std=gnu11", "-O3", "-fPIC", "-ffp-contract=fast", "-fno-math-errno")
"""Of the compiler, for every kind of processor."""

_OTHER_OPENMP = b"__kmpc_"  # begins the functions of LLVM's OpenMP, which PyTorch does not bring along
_SECONDS = 120.0
_LONGEST = 200  # characters of a compiler's message


class Built(NamedTuple):
    """What came of a build."""

    files: tuple[Path, ...]  # the libraries
    notes: tuple[str, ...]  # a sentence for whatever was left out


class _FailedError(Exception):
    """A command failed; the message says why."""


def variants(machine: str | None = None, system: str | None = None) -> dict[str, tuple[str, ...]]:
    """The libraries for a machine by name, with the compiler's flags for each; none for a machine without kernels.

    Args:
        machine: as `platform.machine()` names it, by default this one.
        system: as `sys.platform` names it, by default this one.
    """
    if (system or sys.platform) == "win32":
        return {}
    return _VARIANTS.get((machine or platform.machine()).lower(), {})


def compiler() -> list[str] | None:
    """The command of a C compiler: the variable CC, else cc, gcc or clang, the first that is there."""
    own = os.environ.get("CC", "")
    try:
        named = shlex.split(own)  # it may have arguments
    except ValueError:  # a quote without its other half
        named = [own]
    for command in (named, ["cc"], ["gcc"], ["clang"]):
        found = shutil.which(command[0]) if command else None
        if found:
            return [found, *command[1:]]
    return None


def build(
    folder: Path,
    source: Path,
    *,
    machine: str | None = None,
    system: str | None = None,
    timeout: float = _SECONDS,
) -> Built:
    """Compiles the libraries ``kernels_<variant>.native`` into a folder. No failure raises.

    A library that is not built now is not there afterwards: an older one could be of another source. Their names do not end in .so, which
    Python takes for its own.

    Args:
        folder: where the libraries are written, each atomically.
        source: the file in C.
        machine: as for `variants`.
        system: as for `variants`.
        timeout: seconds after which a compiler is ended.
    """
    files, notes = list[Path](), list[str]()
    wanted, command = variants(machine, system), compiler()
    if not wanted:
        notes.append(f"there are no kernels for {machine or platform.machine()} on {system or sys.platform}")
    elif command is None:
        notes.append(
            "the kernels are left out: there is no C compiler (cc, gcc or clang; the variable CC names another)"
        )
    else:
        for name, flags in wanted.items():
            target = folder / f"kernels_{name}.native"
            try:
                parallel = _build_one(target, source, command, flags, timeout)
            except (_FailedError, OSError) as error:
                notes.append(f"the kernels for {name} are left out: {error}")
            else:
                files.append(target)
                if not parallel:
                    notes.append(
                        f"the kernels for {name} use one thread: {command[0]} has no OpenMP that PyTorch shares"
                    )
    remove(folder, but=files)
    return Built(tuple(files), tuple(notes))


def remove(folder: Path, but: Collection[Path] = ()) -> None:
    """Removes the libraries in a folder."""
    for path in folder.glob("kernels_*.native"):
        if path not in but:
            with contextlib.suppress(OSError):
                path.unlink()


def _build_one(target: Path, source: Path, command: list[str], flags: tuple[str, ...], timeout: float) -> bool:
    """Compiles a library; returns whether it can use several threads.

    It is linked without OpenMP: PyTorch has loaded its own by the time the library is loaded, and two would have a pool of threads each.
    """
    with tempfile.TemporaryDirectory(prefix=".build-", dir=target.parent) as work:
        compiled, linked = Path(work, "kernels.o"), Path(work, target.name)
        reason = _FailedError("nothing was tried")
        for openmp in (("-fopenmp",), ()):  # Apple's compiler has none
            try:
                _run([*command, *FLAGS, *openmp, *flags, "-c", str(source)], compiled, timeout)
                if _OTHER_OPENMP in compiled.read_bytes():
                    raise _FailedError(f"{command[0]} has another OpenMP than PyTorch")
                _run([*command, "-shared", str(compiled), "-lm"], linked, timeout)
                os.replace(linked, target)
            except _FailedError as error:
                reason = error
            else:
                return bool(openmp)
        raise reason


def _run(command: list[str], output: Path, timeout: float) -> None:
    """Runs a command that writes a file; raises `_FailedError` if it fails or takes too long."""
    with subprocess.Popen(
        [*command, "-o", str(output)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"LC_ALL": "C"},
        start_new_session=True,
    ) as process:
        try:
            _, said = process.communicate(timeout=timeout)
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)  # the processes that a compiler starts, too
            if isinstance(error, subprocess.TimeoutExpired):
                raise _FailedError(f"{command[0]} took more than {timeout:g} seconds") from None
            raise
    if process.returncode or not output.is_file():
        raise _FailedError(f"{command[0]} failed{_message(said)}")


def _message(said: bytes) -> str:
    """The line of a compiler's output that says what is wrong, as the end of a sentence."""
    lines = [line.strip() for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    line = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "")
    shown = "".join(each if each.isprintable() else " " for each in line[:_LONGEST])
    return f": {shown}" if shown else ""
