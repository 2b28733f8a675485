"""The paths of models: names, repositories, and whether a model has changed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from isthmus.errors import DataError, RecordError
from isthmus.runtime.manifest import NAME as MANIFEST
from isthmus.serving.served_model import ENTRIES
from isthmus.text import printable

__all__ = ["Found", "ModelPath", "Stamp", "model_paths", "models_in", "stamp_of"]

_RUN = ("model.safetensors", "run.json")  # of a run folder, what is read when it is opened
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.~-]{0,99}")  # what an address holds as it is
Stamp = tuple[tuple[str, int, int, int, int], ...]


class ModelPath(NamedTuple):
    """A path that was given.

    Attributes:
        name: of the model; None of a folder of models.
        path: a run folder, an exported folder, a model file, or a folder of such.
    """

    name: str | None
    path: Path


class Found(NamedTuple):
    """What a folder of models holds.

    Attributes:
        models: their paths by name.
        left_out: a sentence for each thing that is not served.
    """

    models: dict[str, Path]
    left_out: tuple[str, ...]


def model_paths(words: Sequence[str]) -> list[ModelPath]:
    """The paths of PATH and NAME=PATH words.

    Args:
        words: as typed. A word that is a path is one, also with "=" in it.

    Raises:
        DataError: a path does not exist.
        RecordError: a name cannot be part of an address, or two models have one name.
    """
    given = list[ModelPath]()
    for word in words:
        name, equals, rest = word.partition("=")
        named = bool(equals) and not Path(word).exists()
        path = Path(rest if named else word)
        if not path.exists():
            raise DataError(f"there is no {printable(word)}: give a run folder, an exported folder or a model file")
        if is_model(path):
            given.append(ModelPath(_checked(name if named else _name_of(path)), path))
        elif named:
            raise RecordError(
                f"{printable(word)}: this is a folder of models, whose names are those of its files: give PATH alone"
            )
        else:
            given.append(ModelPath(None, path))
    known = dict[str, Path]()
    for name_or_none, path in given:
        for each in models_in(path).models.items() if name_or_none is None else [(name_or_none, path)]:
            if each[0] in known:
                raise RecordError(
                    f"{printable(known[each[0]])} and {printable(each[1])} both have the name {each[0]}: give one of them another name "
                    "with NAME=PATH, or rename it"
                )
            known[each[0]] = each[1]
    return given


def models_in(folder: Path, known: Mapping[str, Path] | None = None) -> Found:
    """The models in a folder: its run folders, exported folders and .safetensors files. Hidden ones are not looked at.

    Args:
        folder: the folder.
        known: models that it had; one that cannot be read now is still one of them.

    Raises:
        OSError: it cannot be read.
    """
    models, left_out = dict[str, Path](), list[str]()
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        try:
            no_model = not is_model(path) or (path.is_file() and path.suffix != ".safetensors")
        except OSError as error:
            name = path.stem if path.suffix == ".safetensors" else path.name
            kept = path == (known or {}).get(name)
            models |= {name: path} if kept else {}
            left_out.append(
                f"{printable(path)} cannot be read: {error.strerror}; it is {'kept' if kept else 'left out'}"
            )
            continue
        if no_model:
            left_out.append(f"{printable(path)} is no model: it is left out")
        elif (problem := _problem(_name_of(path))) is not None:
            left_out.append(f"{printable(path)} is left out: {problem}: rename it, or give it as NAME=PATH")
        elif _name_of(path) in models:
            other = models[_name_of(path)]
            left_out.append(f"{printable(path)} is left out: {printable(other)} has its name: rename one of them")
        else:
            models[_name_of(path)] = path
    return Found(models, tuple(left_out))


def is_model(path: Path) -> bool:
    """Whether a path is that of a file, an exported folder or a run folder."""
    return path.is_file() or (path / MANIFEST).is_file() or (path / _RUN[0]).is_file()


def stamp_of(path: Path) -> Stamp:
    """Name, inode, times and size of each file that a model is read from: another stamp is another model. It is empty without a model.

    The second time is that of a change of who may read it, too.
    """
    files = [path]
    try:
        if path.is_dir():
            exported = (path / MANIFEST).is_file()
            files = [path / MANIFEST, *sorted(path.glob("*.onnx"))] if exported else [path / name for name in _RUN]
    except OSError:  # who may read it has changed
        return ()
    stamp = list[tuple[str, int, int, int, int]]()
    for file in files:
        try:
            found = os.stat(file)
        except OSError:  # it is gone, or was never there
            continue
        stamp.append((file.name, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size))
    return tuple(stamp)


def _name_of(path: Path) -> str:
    """The name of a folder, also where it is given as `.`, or that of a file without its ending."""
    return path.stem if path.is_file() else path.absolute().resolve().name if path.name in {"", ".."} else path.name


def _checked(name: str) -> str:
    problem = _problem(name)
    if problem is not None:
        raise RecordError(f"{problem}: give another one with NAME=PATH")
    return name


def _problem(name: str) -> str | None:
    """Why a name is not accepted; None if it is."""
    if not _NAME.fullmatch(name):
        return f"the name {printable(repr(name))} cannot be part of an address, which has letters, digits and -_.~ only, at most 100"
    last = name.rpartition(".")[2]
    if "." in name and last in ENTRIES:
        return f"the name {name} ends in .{last}, as what can be asked of a model does"
    return None
