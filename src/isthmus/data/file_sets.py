"""The files of a data set that is stored in many: those of a folder, or those that a pattern such as "folder/*.parquet" matches."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, NamedTuple

from isthmus.data.folder_columns import Partition, partitions_of
from isthmus.data.images.formats import is_image
from isthmus.data.result_files import check_apart, result_of
from isthmus.errors import DataError
from isthmus.io.files import shown
from isthmus.text import printable

__all__ = ["FileSet", "file_set", "is_file_set"]

Format = Literal["parquet", "arrow", "npy"]

_FORMATS: dict[str, Format] = {".parquet": "parquet", ".pq": "parquet", ".npy": "npy"}
_FORMATS |= dict.fromkeys((".arrow", ".feather", ".ipc"), "arrow")
_SOUND = (".wav", ".wave")
_MAGIC = re.compile(r"[*?\[]")
_ALL = ("**", "*")  # all files of a folder and its subfolders
_MAX_DEPTH = 100  # nested folders
_LISTED = 3  # names in a note


class FileSet(NamedTuple):
    """Files of one format, in the order of their names.

    Attributes:
        files: the files, sorted by their names relative to `base`.
        base: the folder in which all of them are.
        pattern: the pattern or the folder, as it was given.
        partitions: the columns that are stored in the names of folders.
        format: of all files.
        notes: what was left out: one sentence each.
    """

    files: tuple[Path, ...]
    base: Path
    pattern: str
    partitions: tuple[Partition, ...] = ()
    format: Format = "parquet"
    notes: tuple[str, ...] = ()

    @property
    def kind(self) -> Literal["parquet", "npy"]:
        """The reader of the files: columns with types, or arrays."""
        return "npy" if self.format == "npy" else "parquet"

    @property
    def title(self) -> str:
        """A short name of the data set: that of the folder, or the pattern with the last folder before it."""
        path = Path(self.pattern)
        if os.path.lexists(path):
            return path.name
        first = next((number for number, part in enumerate(path.parts) if _MAGIC.search(part)), 0)
        return "/".join(path.parts[max(0, first - 1) :])

    def names(self) -> tuple[str, ...]:
        """The names of the files relative to `base`, with / between folders."""
        return tuple(file.relative_to(self.base).as_posix() for file in self.files)


def is_file_set(path: str | os.PathLike[str]) -> bool:
    """Whether a path stands for the files of one data set.

    It does if it is a pattern with \\*, ? or [ and no existing path, or a folder that holds Parquet, Arrow or .npy files and neither images
    nor sound.

    Args:
        path: a path or pattern.

    Returns:
        True for a pattern and for such a folder.
    """
    path = Path(path)
    if not os.path.lexists(path):
        return _MAGIC.search(os.fspath(path)) is not None
    if path.is_symlink() or not path.is_dir():
        return False
    found = False
    for folder, folders, names in os.walk(path):  # a folder that cannot be read is an error of the reader
        folders[:] = [name for name in folders if not _is_hidden(name)]
        for file in (Path(folder, name) for name in names if not _is_hidden(name)):
            if is_image(file) or file.suffix.lower() in _SOUND:
                return False
            found = found or file.suffix.lower() in _FORMATS
    return found


def file_set(path: str | os.PathLike[str], results: Path | None = None) -> FileSet:
    """The files that a pattern matches, or those of a folder and its subfolders.

    Files and folders whose names begin with . or _ are left out, as Spark and pyarrow do. ``**`` stands for any number of folders.
    Results of an earlier bulk command are left out too, unless all files are such results.

    Args:
        path: a folder, or a pattern with \\*, ? or [. A folder that the pattern matches stands for all of its files.
        results: a folder whose files are left out, as they are results; None for none.

    Returns:
        The files.

    Raises:
        DataError: no file matches; files have different formats; a file is a link or no regular file; folders differ in their columns.

    Examples:
        >>> np.save("part-0.npy", X), np.save("part-1.npy", X)
        (None, None)
        >>> isthmus.data.file_sets.file_set("part-*.npy").names()
        ('part-0.npy', 'part-1.npy')
    """
    path = Path(path)
    fixed, pattern = _split(path)
    left_out = _LeftOut()
    found = _without(dict.fromkeys(_matching(fixed, pattern, left_out)), results, left_out)
    while "=" in fixed.name:  # year=2024/ is a column too, if only that folder is given
        fixed = fixed.parent
    files = sorted(found, key=lambda file: file.relative_to(fixed).as_posix())
    files = _without_earlier(files, left_out)
    chosen = _of_one_format(files, shown(path), left_out)
    for file in chosen:
        _check_regular(file)
    partitions = partitions_of([file.relative_to(fixed).parts[:-1] for file in chosen], chosen)
    notes = left_out.notes()
    if partitions:
        named = ", ".join(
            f"{printable(each.name, 60)} ({'texts' if each.are_texts else 'whole numbers'})" for each in partitions
        )
        notes = (*notes, f"the names of the folders hold {'a column' if len(partitions) == 1 else 'columns'}: {named}")
    return FileSet(tuple(chosen), fixed, os.fspath(path), partitions, _FORMATS[chosen[0].suffix.lower()], notes)


@dataclass
class _LeftOut:
    """Entries that match, or are in a folder that does, and are not read. The keys are an ordered set."""

    hidden: dict[Path, None] = field(default_factory=dict)
    links: dict[Path, None] = field(default_factory=dict)
    others: dict[Path, None] = field(default_factory=dict)
    results: dict[Path, None] = field(default_factory=dict)
    earlier: dict[Path, None] = field(default_factory=dict)
    all_earlier: bool = False

    def notes(self) -> tuple[str, ...]:
        """A sentence for each kind."""
        kinds = (
            (self.hidden, "whose name begins with . or _", "whose names begin with . or _"),
            (self.links, "that is a link to a folder", "that are links to folders"),
            (self.others, "of another format", "of other formats"),
            (self.results, "in the folder of the results", "in the folder of the results"),
            (self.earlier, "that is a result of an earlier command", "that are results of an earlier command"),
        )
        notes = tuple(
            f"{len(paths):,} {f'entry {one} was' if len(paths) == 1 else f'entries {many} were'} left out: {_some([*paths])}"
            for paths, one, many in kinds
            if paths
        )
        return (*notes, *["all files are results of an earlier command, and are read as data"] * self.all_earlier)


def _split(path: Path) -> tuple[Path, tuple[str, ...]]:
    """The folder before the first part with a mark of a pattern, and the parts from there on."""
    if os.path.lexists(path):
        if path.is_symlink():
            raise DataError(f"{shown(path)} is a symbolic link: give the path that it stands for")
        if not path.is_dir():
            raise DataError(
                f"{shown(path)} is no folder and no pattern: give a folder, or a pattern such as 'folder/*.parquet'"
            )
        return path, _ALL
    first = next((number for number, part in enumerate(path.parts) if _MAGIC.search(part)), None)
    fixed = path if first is None else Path(*path.parts[:first])
    if first is None or not fixed.is_dir():
        raise FileNotFoundError(f"there is no folder {shown(fixed)}: check the path")
    rest = path.parts[first:]
    return fixed, (*rest, "*") if rest[-1] == "**" else rest


def _matching(
    folder: Path, pattern: tuple[str, ...], left_out: _LeftOut, depth: int = 0, everywhere: bool = False
) -> Iterator[Path]:
    """The files in a folder that match the parts of a pattern; `everywhere` if its subfolders are searched in the same way."""
    if depth > _MAX_DEPTH:
        raise DataError(f"{shown(folder)[:200]} ... is nested too deeply: expected at most {_MAX_DEPTH} folders")
    part, rest = pattern[0], pattern[1:]
    if part == "**":
        yield from _matching(folder, rest, left_out, depth, everywhere=True)
    for entry in _entries(folder):
        here, matches = folder / entry.name, part == "**" or fnmatchcase(entry.name, part)
        is_folder = matches and _is_folder(entry, here, left_out)
        if not matches or is_folder is None or (part == "**" and not is_folder):
            continue
        if _is_hidden(entry.name) and not _is_hidden(part):
            left_out.hidden[here] = None
        elif is_folder and (part == "**" or rest):
            yield from _matching(here, pattern if part == "**" else rest, left_out, depth + 1)
        elif is_folder and not everywhere:  # the last part matches a folder: all of its files
            yield from _matching(here, _ALL, left_out, depth + 1)
        elif not is_folder and not rest:
            yield here


def _without(found: Collection[Path], results: Path | None, left_out: _LeftOut) -> list[Path]:
    """The files that are not in the folder of the results, unless all are, which is an error of those who write there."""
    folders = {file.parent for file in found} if results is not None else set()
    inside = {
        folder for folder in folders if results is not None and folder.resolve().is_relative_to(results.resolve())
    }
    if inside == folders:
        return [*found]
    left_out.results |= dict.fromkeys(file for file in found if file.parent in inside)
    return [file for file in found if file.parent not in inside]


def _without_earlier(files: list[Path], left_out: _LeftOut) -> list[Path]:
    """The files that are no results of an earlier bulk command, whose rows would count twice; all if there are no others."""
    kinds = {file: _FORMATS.get(file.suffix.lower()) for file in files}
    earlier = dict.fromkeys(file for file, kind in kinds.items() if kind == "parquet" and result_of(file) is not None)
    others = [file for file, kind in kinds.items() if kind is not None and file not in earlier]
    if not others:
        left_out.all_earlier = bool(earlier)
        return files
    tables = [file for file in others if kinds[file] == "parquet"]
    if earlier:
        check_apart(earlier, tables)
    if not tables and any(other.is_relative_to(file.parent) for file in earlier for other in others):
        return files  # one array among results does not say that it alone is meant
    left_out.earlier |= earlier
    return [file for file in files if file not in earlier]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """The entries of a folder, sorted."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(
            f"{shown(folder)} cannot be read ({error.strerror}): change its permissions, or move it away"
        ) from error


def _is_folder(entry: os.DirEntry[str], path: Path, left_out: _LeftOut) -> bool | None:
    """Whether an entry is a folder; None if it is a link to one, which is left out."""
    if (entry.is_symlink() or (hasattr(entry, "is_junction") and entry.is_junction())) and entry.is_dir():
        left_out.links[path] = None
        return None
    return entry.is_dir(follow_symlinks=False)


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "_"))


def _of_one_format(files: list[Path], pattern: str, left_out: _LeftOut) -> list[Path]:
    """The files of the only format that is read; others are left out."""
    by_format: dict[Format, list[Path]] = {}
    for file in files:
        known = _FORMATS.get(file.suffix.lower())
        if known is None:
            left_out.others[file] = None
        else:
            by_format.setdefault(known, []).append(file)
    if not by_format:
        seen = " ".join(left_out.notes())
        raise DataError(
            f"{pattern} matches no .parquet, .arrow, .feather or .npy file{f' ({seen})' if seen else ''}: "
            "check the folder and the pattern; other formats are read one file at a time"
        )
    if len(by_format) > 1:
        first, second = (each[0] for each in list(by_format.values())[:2])
        raise DataError(
            f"{pattern} matches files of different formats, such as {shown(first)} and {shown(second)}: "
            f"give a pattern for one of them, such as '*{first.suffix}'"
        )
    return next(iter(by_format.values()))


def _check_regular(file: Path) -> None:
    """`DataError` for a link and for what is no regular file, which are never read."""
    if file.is_symlink():
        raise DataError(f"{shown(file)} is a symbolic link; give the path of the file itself")
    if not file.is_file():
        raise DataError(f"{shown(file)} is not a regular file; give a data file")


def _some(paths: list[Path]) -> str:
    """The names of the first few paths."""
    return ", ".join(shown(path.name) for path in paths[:_LISTED]) + (", ..." if paths[_LISTED:] else "")
