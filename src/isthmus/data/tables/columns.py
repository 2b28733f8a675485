"""Which columns of a table are learned, which one holds the labels, which one holds the ids, and which are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, NamedTuple

from isthmus.data.options import ReadOptions, Reused
from isthmus.errors import DataError, RecordError
from isthmus.text import printable

__all__ = [
    "NoColumnError",
    "NotNumericError",
    "SelectedColumns",
    "check_kind_names",
    "expected_names",
    "listed",
    "select_columns",
    "unique_names",
]

_MAX_LISTED = 10  # names in a message


class NotNumericError(DataError):
    """Columns to learn are not numeric.

    Attributes:
        contents: what each of them holds, by name.
        skip_title: the value of --skip-lines that leaves out what may be a title; "" if there is none.
    """

    def __init__(self, message: str, contents: Mapping[str, str] = MappingProxyType({}), skip_title: str = "") -> None:
        super().__init__(message)
        self.contents, self.skip_title = dict(contents), skip_title


class NoColumnError(DataError):
    """No column is left to learn."""


class SelectedColumns(NamedTuple):
    """The positions of the columns in use, and notes for the user.

    Attributes:
        features: the columns to learn, in their order.
        labels: the column of the labels, if any.
        id: the column of the ids, if any.
        notes: sentences about the choice.
        dropped: the columns that the user, or a rule for columns without content, left out.
    """

    features: tuple[int, ...]
    labels: int | None
    id: int | None
    notes: tuple[str, ...]
    dropped: frozenset[int] = frozenset()


def select_columns(
    columns: tuple[str, ...],
    named: bool,
    options: ReadOptions,
    reused: Reused | None,
    where: str,
    excluded: Mapping[int, str] = MappingProxyType({}),
) -> SelectedColumns:
    """The columns that the options name, or that a run was trained on.

    Args:
        columns: the names of all columns; their positions, from 0, if the table has no names.
        named: whether the table has names.
        options: the user's.
        reused: the run for which the table is read, if any. Its features are found by name; its labels and id are optional.
        where: the table's name, for messages.
        excluded: positions of columns that are used only if the user names them, each with the reason.

    Raises:
        DataError: a column does not exist, or none is left to learn.
    """
    run_options = ReadOptions() if reused is None else reused.options
    labels = _position(options.labels, run_options.labels, columns, "the labels", where)
    ids = _position(options.id, run_options.id, columns, "the id", where)
    if labels is not None and labels == ids:
        raise DataError(
            f"column '{printable(columns[ids])}' of {where} is both labels and id; name another column for one of them"
        )
    others = _other_roles(options, run_options, columns, where)
    candidates = [position for position in range(len(columns)) if position not in (labels, ids, *others)]
    merged = options if reused is None else options.over(run_options)
    named_by_user = _matches(merged.columns, columns, "columns", where, strict=False)
    run_features = set(() if reused is None else reused.features or ())
    named_by_user |= {position for position, name in enumerate(columns) if name in run_features}
    excluded = {
        position: reason
        for position, reason in excluded.items()
        if position in candidates and position not in named_by_user
    }
    candidates = [position for position in candidates if position not in excluded]
    features, notes = _apply_options(candidates, columns, merged, where, strict=reused is None)
    dropped = frozenset({*candidates, *excluded} - {*features})
    if reused is not None and reused.features is not None and (named or _has_positions(reused, where)):
        features = _features_of_run(reused, columns, features, where)
        notes = _notes_on_run(features, candidates, columns, where, reused.name)
    elif reused is not None and reused.features is not None:
        of = f"the columns of {reused.name}" if reused.name else "the run's columns"
        notes = [*notes, f"{where} has no column names: its columns are taken in the order of {of}"]
    if not features:
        reason = ": all its columns are labels or id" if labels is not None or ids is not None else ""
        raise NoColumnError(f"{where} has no feature column{reason}; add at least one numeric column")
    notes = [
        *(f"left out: column '{printable(columns[position])}', {reason}" for position, reason in excluded.items()),
        *notes,
    ]
    return SelectedColumns(tuple(features), labels, ids, tuple(notes), dropped)


def _has_positions(reused: Reused, where: str) -> bool:
    """Whether the columns of a table without names are found by position, as those of a run with categories that had no names either.

    Raises:
        DataError: the columns of a run with categories have names: a position says too little about them.
    """
    if reused.table is None:
        return False
    if not all(name.isdecimal() for name in reused.features or ()):
        names = listed(list(reused.features or ()))
        raise DataError(
            f"{where} has no column names, by which the columns of the run are found ({names}): add a line of names"
        )
    return True


def _other_roles(
    options: ReadOptions, run_options: ReadOptions, columns: tuple[str, ...], where: str
) -> tuple[int | None, ...]:
    """The positions of the columns of time, weights and groups; None without one."""
    return (
        _position(options.time, run_options.time, columns, "the time", where),
        _position(options.weights, run_options.weights, columns, "the weights", where),
        _position(options.by, run_options.by, columns, "the groups", where),
    )


def unique_names(names: tuple[str, ...], where: str) -> tuple[tuple[str, ...], list[str]]:
    """Column names without surrounding blanks, each of them once, as pandas makes them; and notes about the changes."""
    result, nameless, renamed = list[str](), list[str](), list[str]()
    given, repeats = {name.strip() for name in names}, Counter[str]()
    used = set[str]()
    for position, raw in enumerate(names):
        name = raw.strip()
        if not name:
            name = f"Unnamed: {position}"
            nameless.append(name)
        elif name in used:
            first, repeats[name] = name, repeats[name] + 1
            while (name := f"{first}.{repeats[first]}") in given or name in used:
                repeats[first] += 1
            renamed.append(name)
        used.add(name)
        result.append(name)
    notes = [f"columns of {where} without a name: {listed(nameless)}"] if nameless else []
    return tuple(result), notes + ([f"repeated column names of {where} became {listed(renamed)}"] if renamed else [])


def check_kind_names(
    kinds: Mapping[str, Any], columns: Sequence[str], learned: Collection[str], options: ReadOptions, where: str
) -> None:
    """`RecordError` for the kind of a column that is not learned.

    Args:
        kinds: the given kinds, by column.
        columns: the names of all columns of the table.
        learned: of those that have a kind.
        options: the user's, with those of a run.
        where: the table's name, for messages.
    """
    roles = {
        options.labels: "the labels (--labels, labels=)",
        options.id: "the ids (--id, id=)",
        options.weights: "the weights of examples (--weights, weights=)",
        options.by: "the groups (--by, by=)",
        options.time: "the time (--time, time=)",
    }
    for name, kind in kinds.items():
        if name in learned or (kind == "drop" and name in columns and name not in roles):
            continue
        if name not in columns:
            raise RecordError(
                f"kinds (--kind) names the column {printable(name)!r}, which the table does not have: {where} has {listed(tuple(columns))}"
            )
        why = f"holds {roles[name]}" if name in roles else "is left out (--drop, --columns; drop=, columns=)"
        raise RecordError(
            f"kinds (--kind) names the column {printable(name)!r} of {where}, which {why} and is not learned: leave out its kind"
        )


def expected_names(options: ReadOptions, reused: Reused | None) -> frozenset[str]:
    """Names of columns that the options contain or that a run was trained on, without positions of columns."""
    features = () if reused is None else reused.features or ()
    if all(name.isdecimal() for name in features):  # positions of a table without names
        features = ()
    of_run = () if reused is None else (reused.options.labels, reused.options.id, *features)
    names = {options.labels, options.id, *options.columns, *options.drop, *of_run} - {None}
    return frozenset(
        str(name) for name in names if not str(name).isdecimal() or (reused is not None and name in of_run)
    )


def listed(names: list[str] | tuple[str, ...]) -> str:
    """The names, safe to print. Of many, the first ten."""
    return ", ".join(printable(name, 60) for name in names[:_MAX_LISTED]) + (
        ", ..." if len(names) > _MAX_LISTED else ""
    )


def _position(name: str | None, run_name: str | None, columns: tuple[str, ...], what: str, where: str) -> int | None:
    """The position of the column that the user names, which must exist, or that a run used, which is optional."""
    if name is None:
        return columns.index(run_name) if run_name is not None and run_name in columns else None
    if name not in columns:
        raise DataError(f"{where} has no column '{printable(name)}' for {what}; it has {listed(columns)}")
    return columns.index(name)


def _apply_options(
    candidates: list[int], columns: tuple[str, ...], options: ReadOptions, where: str, strict: bool
) -> tuple[list[int], list[str]]:
    """The candidates that columns= and drop= leave, and a note about the others."""
    left = candidates
    if options.columns:
        wanted = _matches(options.columns, columns, "columns", where, strict)
        left = [position for position in left if position in wanted]
    if options.drop:
        dropped = _matches(options.drop, columns, "drop", where, strict)
        left = [position for position in left if position not in dropped]
    remaining = set(left)
    out = [columns[position] for position in candidates if position not in remaining]
    if not out:
        return left, []
    return left, [f"left out as requested: {_counted(len(out))} of {len(columns):,} columns ({listed(out)})"]


def _matches(patterns: tuple[str, ...], columns: tuple[str, ...], option: str, where: str, strict: bool) -> set[int]:
    """The positions of the columns that match any of several names or patterns."""
    matches: set[int] = set()
    for pattern in patterns:
        positions = _match(pattern, columns)
        for part in [] if positions else pattern.split(","):  # no column matches the whole: it is a list of names
            matching = _match(part.strip(), columns)
            if not matching and strict:
                raise DataError(
                    f"{where} has no column {printable(part.strip())!r} (--{option}, {option}={printable(pattern)!r}); "
                    f"it has {listed(columns)}"
                )
            positions |= matching
        matches |= positions
    return matches


def _match(pattern: str, columns: tuple[str, ...]) -> set[int]:
    """The positions of the columns with that name, else of those that match the pattern."""
    exact = {position for position, name in enumerate(columns) if name == pattern}
    return exact or {position for position, name in enumerate(columns) if fnmatchcase(name, pattern)}


def _features_of_run(reused: Reused, columns: tuple[str, ...], candidates: list[int], where: str) -> list[int]:
    """The positions of the columns that a run was trained on, or of those of the data set that targets belong to."""
    positions = {columns[position]: position for position in reversed(candidates)}
    features = reused.features or ()
    missing = [name for name in features if name not in positions]
    if missing:
        of = f"of {reused.name}" if reused.name else "that the run was trained on"
        raise DataError(
            f"{where} lacks {_counted(len(missing))} of the {len(features):,} columns {of} ({listed(missing)}); it has {listed(columns)}"
        )
    return [positions[name] for name in features]


def _notes_on_run(
    features: list[int], candidates: list[int], columns: tuple[str, ...], where: str, name: str
) -> list[str]:
    """Notes about how the columns of the run, or of the data set of this name, differ from those of the table."""
    notes = []
    used = set(features)
    others = [columns[position] for position in candidates if position not in used]
    if others:
        why = f"{name} does not have them" if name else "the run was not trained on them"
        notes.append(f"left out, as {why}: {_counted(len(others), 'column')} of {where} ({listed(others)})")
    if features != sorted(features):
        notes.append(f"the columns of {where} are in another order than in {name or 'the run'}: they are taken by name")
    return notes


def _counted(n: int, what: str = "") -> str:
    return f"{n:,}" + (f" {what}{'' if n == 1 else 's'}" if what else "")
