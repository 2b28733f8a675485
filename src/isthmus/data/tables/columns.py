"""Which columns of a table are learned, which one holds the labels, which one names the rows, and which are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import NamedTuple

from isthmus.data.options import ReadOptions, Reused
from isthmus.errors import DataError
from isthmus.text import printable

__all__ = ["BlockedError", "Chosen", "NoColumnError", "also_held", "choose", "known_names", "listed", "unique_names"]

_LISTED = 10  # names in a message


class BlockedError(DataError):
    """Columns to learn hold no numbers.

    Attributes:
        blocking: what each of them holds, by name.
    """

    def __init__(self, message: str, blocking: Mapping[str, str] = MappingProxyType({})) -> None:
        super().__init__(message)
        self.blocking = dict(blocking)


class NoColumnError(DataError):
    """No column is left to learn."""


class Chosen(NamedTuple):
    """Places of columns: the features in their order, the labels, the id; and what a user should hear."""

    features: tuple[int, ...]
    labels: int | None
    id: int | None
    notes: tuple[str, ...]


def choose(
    columns: tuple[str, ...],
    named: bool,
    options: ReadOptions,
    reused: Reused | None,
    where: str,
    aside: Mapping[int, str] = MappingProxyType({}),
) -> Chosen:
    """The columns of a table that options ask for, or that a run was trained on.

    Args:
        columns: the names of all of them; their numbers from 0 where there are no names.
        named: whether they are names.
        options: what was asked for.
        reused: the run for which the table is read, if there is one: its features are taken by name, its labels and its id where they are.
        where: the table's name.
        aside: columns that nobody wants unless they ask for them, and why.

    Raises:
        DataError: a column is not there, or none is left to learn.
    """
    usual = ReadOptions() if reused is None else reused.options
    labels = _place(options.labels, usual.labels, columns, "the labels", where)
    key = _place(options.id, usual.id, columns, "the id", where)
    if labels is not None and labels == key:
        raise DataError(
            f"column '{printable(columns[key])}' of {where} is both labels and id; name another column for one of them"
        )
    left = [place for place in range(len(columns)) if place not in (labels, key)]
    asked = options if reused is None else options.over(usual)
    named_so = _matched(asked.columns, columns, "columns", where, strict=False)
    known = set(() if reused is None else reused.features or ())
    named_so |= {place for place, name in enumerate(columns) if name in known}
    unasked = {place: why for place, why in aside.items() if place in left and place not in named_so}
    left = [place for place in left if place not in unasked]
    kept, notes = _asked(left, columns, asked, where, strict=reused is None)
    if reused is not None and reused.features is not None and named:
        wanted = _features(reused.features, columns, kept, where)
        notes = _told(wanted, left, columns, where)
        kept = wanted
    elif reused is not None and reused.features is not None:
        notes = [*notes, f"{where} has no names of columns: they are taken for those of the run, in its order"]
    if not kept:
        reason = ": all its columns are labels or id" if labels is not None or key is not None else ""
        raise NoColumnError(f"{where} has no feature column{reason}; add at least one numeric column")
    notes = [*(f"left out: column '{printable(columns[place])}', {why}" for place, why in unasked.items()), *notes]
    return Chosen(tuple(kept), labels, key, tuple(notes))


def unique_names(names: tuple[str, ...], where: str) -> tuple[tuple[str, ...], list[str]]:
    """Names of columns without blanks around them, each of them once, and what a user should hear of that."""
    found, nameless, twice = list[str](), list[str](), list[str]()
    taken, times = {name.strip() for name in names}, Counter[str]()
    seen = set[str]()
    for place, given in enumerate(names):
        name = given.strip()
        if not name:
            name = f"Unnamed: {place}"
            nameless.append(name)
        elif name in seen:
            first, times[name] = name, times[name] + 1
            while (name := f"{first}.{times[first]}") in taken or name in seen:
                times[first] += 1
            twice.append(name)
        seen.add(name)
        found.append(name)
    notes = [f"columns of {where} without a name: {listed(nameless)}"] if nameless else []
    return tuple(found), notes + ([f"names of {where} that come twice became {listed(twice)}"] if twice else [])


def known_names(options: ReadOptions, reused: Reused | None) -> frozenset[str]:
    """Names of columns that are asked for, or that a run was trained on; numbers of columns are none."""
    runs = () if reused is None else (reused.options.labels, reused.options.id, *(reused.features or ()))
    names = {options.labels, options.id, *options.columns, *options.drop, *runs} - {None}
    return frozenset(str(name) for name in names if not str(name).isdecimal() or (reused is not None and name in runs))


def listed(names: list[str] | tuple[str, ...]) -> str:
    """Some names, safe to print; of many the first ten."""
    return ", ".join(printable(name, 60) for name in names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")


def _place(asked: str | None, usual: str | None, columns: tuple[str, ...], what: str, where: str) -> int | None:
    """The place of a column that was asked for by name, which must be there, or that a run used, which may be."""
    if asked is None:
        return columns.index(usual) if usual is not None and usual in columns else None
    if asked not in columns:
        raise DataError(f"{where} has no column '{printable(asked)}' for {what}; it has {listed(columns)}")
    return columns.index(asked)


def _asked(
    left: list[int], columns: tuple[str, ...], options: ReadOptions, where: str, strict: bool
) -> tuple[list[int], list[str]]:
    """The places that columns= and drop= leave, and a sentence about those that they do not."""
    kept = left
    if options.columns:
        wanted = _matched(options.columns, columns, "columns", where, strict)
        kept = [place for place in kept if place in wanted]
    if options.drop:
        unwanted = _matched(options.drop, columns, "drop", where, strict)
        kept = [place for place in kept if place not in unwanted]
    still = set(kept)
    out = [columns[place] for place in left if place not in still]
    if not out:
        return kept, []
    return kept, [f"left out as asked: {_counted(len(out))} of {len(columns):,} columns ({listed(out)})"]


def _matched(patterns: tuple[str, ...], columns: tuple[str, ...], option: str, where: str, strict: bool) -> set[int]:
    """The places of the columns that any of several names or patterns means."""
    found: set[int] = set()
    for pattern in patterns:
        positions = _one(pattern, columns)
        for part in [] if positions else pattern.split(","):  # no column has that whole name: several names
            some = _one(part.strip(), columns)
            if not some and strict:
                raise DataError(
                    f"{where} has no column '{printable(part.strip())}' ({option}='{printable(pattern)}'); it has {listed(columns)}"
                )
            positions |= some
        found |= positions
    return found


def _one(pattern: str, columns: tuple[str, ...]) -> set[int]:
    exact = {place for place, name in enumerate(columns) if name == pattern}
    return exact or {place for place, name in enumerate(columns) if fnmatchcase(name, pattern)}


def _features(features: tuple[str, ...], columns: tuple[str, ...], kept: list[int], where: str) -> list[int]:
    """The places of the columns that a run was trained on."""
    positions = {columns[place]: place for place in reversed(kept)}
    missing = [name for name in features if name not in positions]
    if missing:
        raise DataError(
            f"{where} lacks {_counted(len(missing))} of the {len(features):,} columns that the run was trained on "
            f"({listed(missing)}); it has {listed(columns)}"
        )
    return [positions[name] for name in features]


def _told(wanted: list[int], left: list[int], columns: tuple[str, ...], where: str) -> list[str]:
    """A sentence where the run's columns are not simply those of the table."""
    notes = []
    taken = set(wanted)
    others = [columns[place] for place in left if place not in taken]
    if others:
        notes.append(
            f"left out, as the run was not trained on them: {_counted(len(others), 'column')} of {where} ({listed(others)})"
        )
    if wanted != sorted(wanted):
        notes.append(f"the columns of {where} have another order than in the run: they are taken by name")
    return notes


def _counted(n: int, what: str = "") -> str:
    return f"{n:,}" + (f" {what}{'' if n == 1 else 's'}" if what else "")


def also_held(blocking: Mapping[str, str], first: str) -> str:
    """What the columns beside the first one hold that cannot be learned, as the end of a sentence."""
    said = ""
    for kind in sorted(set(blocking.values()), key=lambda kind: (kind != blocking[first], kind)):
        names = [name for name, held in blocking.items() if held == kind and name != first]
        if names and kind == blocking[first]:
            said += f"; so {'does' if len(names) == 1 else 'do'} {listed(names)}"
        elif names:
            said += f"; {listed(names)} {'holds' if len(names) == 1 else 'hold'} {kind}"
    return said
