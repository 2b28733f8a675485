"""The columns of tables that are stored in the names of folders, such as year=2024/."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from isthmus.errors import DataError
from isthmus.io.files import shown
from isthmus.text import printable

__all__ = ["Partition", "partitions_of", "text_of_folder", "value_of_folder"]

_WHOLE = re.compile(r"-?(0|[1-9]\d{0,17}|0\d{1,17})", re.ASCII)
_MISSING = "__HIVE_DEFAULT_PARTITION__"  # the folder of rows without a value


class Partition(NamedTuple):
    """A column that is stored in the names of folders, such as year=2024/.

    Attributes:
        name: of the column.
        values: its value in each file: whole numbers, or else texts; None where it is missing.
        texts: its value in each file as text, such as 01.
    """

    name: str
    values: tuple[int | str | None, ...]
    texts: tuple[str | None, ...]

    @property
    def are_texts(self) -> bool:
        """Whether the values are texts."""
        return any(isinstance(value, str) for value in self.values)

    @property
    def kept(self) -> tuple[int | str | None, ...]:
        """Its values as labels and IDs: texts if a number would lose a leading zero."""
        return self.texts if self.padded else self.values

    @property
    def padded(self) -> bool:
        """Whether a whole number is written with a leading zero, which a number does not keep."""
        return any(text != str(value) for text, value in zip(self.texts, self.values, strict=True) if text is not None)


def partitions_of(folders: list[tuple[str, ...]], files: list[Path]) -> tuple[Partition, ...]:
    """The columns in the names of the folders of each file, which must be the same for all files.

    Args:
        folders: the names of the folders of each file.
        files: the files.

    Raises:
        DataError: folders differ in their columns, or a column occurs twice.
    """
    pairs = [
        [part.partition("=")[::2] for part in parts if part.partition("=")[0] and "=" in part] for parts in folders
    ]
    names = [[unquote(name) for name, _ in each] for each in pairs]
    for file, own in zip(files, names, strict=True):
        if own != names[0]:
            raise DataError(
                f"the folders of {shown(file)} hold {_columns(own)}, and those of {shown(files[0])} {_columns(names[0])}: "
                "move the files so that all are in folders such as year=2024/, or none is"
            )
        if len(set(own)) < len(own):
            raise DataError(f"a column occurs twice in the folders of {shown(file)}: rename one of them")
    return tuple(_partition(name, number, pairs) for number, name in enumerate(names[0] if names else []))


def text_of_folder(path: Path, name: str) -> str | None:
    """The value of a column in the names of the folders of a file, as text.

    Args:
        path: of the file.
        name: of the column.
    """
    pairs = [part.partition("=")[::2] for part in path.parts[:-1] if "=" in part]
    return next(_text(value) for own, value in reversed(pairs) if unquote(own) == name)


def value_of_folder(path: Path, name: str) -> int | str | None:
    """The value of a column in the names of the folders of a file: a whole number if it is one, else a text.

    Args:
        path: of the file.
        name: of the column.
    """
    return _values([text_of_folder(path, name)])[0]


def _partition(name: str, number: int, pairs: list[list[tuple[str, str]]]) -> Partition:
    """The column with a number."""
    texts = [_text(each[number][1]) for each in pairs]
    return Partition(name, _values(texts), tuple(texts))


def _text(value: str) -> str | None:
    return None if value == _MISSING else unquote(value)


def _values(texts: list[str | None]) -> tuple[int | str | None, ...]:
    """Whole numbers if all are, or else texts."""
    whole = all(text is None or _WHOLE.fullmatch(text) for text in texts)
    return tuple(int(text) if whole and text is not None else text for text in texts)


def _columns(names: list[str]) -> str:
    return f"the columns {', '.join(printable(name, 60) for name in names)}" if names else "no columns"
