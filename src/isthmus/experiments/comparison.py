"""Which one should I take? Fitted autoencoders side by side: their figures on the same held-out examples, and what differs between them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from isthmus.data import as_examples
from isthmus.data.memmap import Rows
from isthmus.data.missing import gaps
from isthmus.data.options import ReadOptions
from isthmus.data.validation import Examples, Missing
from isthmus.errors import DataError, NotPossibleError, RecordError
from isthmus.estimators.argument_check import check_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.loading import load_autoencoder
from isthmus.estimators.shape_check import check_shape_and_columns
from isthmus.estimators.unit_check import once
from isthmus.evaluation import Evaluation, checked, evaluate, shown
from isthmus.experiments import run_data, run_folder, run_record
from isthmus.experiments.comparison_metrics import COLUMNS, NOISE, Column, differing
from isthmus.experiments.membership import trained_on
from isthmus.experiments.run_record import DataSource
from isthmus.experiments.splits import split
from isthmus.experiments.validation_set import chosen_by
from isthmus.io.atomic import replace_file
from isthmus.plots.comparison import stacked_reconstructions, tradeoff
from isthmus.plots.figure import save_png
from isthmus.plots.grids import model_image_shape
from isthmus.results import Result
from isthmus.text import as_json, printable

__all__ = ["Comparison", "compare", "write"]

Array = NDArray[Any]
Model = Autoencoder | str | os.PathLike[str]


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Result):
    """Figures of several autoencoders on the same examples.

    Attributes:
        names, autoencoders, evaluations: of each.
        examples: (n, *shape) that all were measured on, completed by the first of them where numbers are missing.
        notes: what one should know of the examples, a sentence each.
    """

    names: tuple[str, ...]
    autoencoders: tuple[Autoencoder, ...]
    evaluations: tuple[Evaluation, ...]
    examples: Array
    notes: tuple[str, ...] = ()

    def columns(self) -> list[Column]:
        """The figures that there are; errors by column stand for those of scaled numbers, which compare in fewer cases."""
        known = [column for column in COLUMNS if any(value is not None for value in self.values(column))]
        by_column = any(column.name == "column_error" for column in known)
        return [column for column in known if not (by_column and column.name.endswith("mse_scaled"))]

    def values(self, column: Column) -> list[float | None]:
        """One figure of each, None where it has none."""
        return [evaluation.value(column.name) for evaluation in self.evaluations]

    def best(self, column: Column) -> list[str]:
        """Who is best in a column, all of them on a tie; nobody where all are alike, or measured differently."""
        there = {name: v for name, v in zip(self.names, self.values(column), strict=True) if v is not None}
        if column.better is None or len(there) < 2 or not column.comparable(self.autoencoders):
            return []
        top = (min if column.better == "less" else max)(there.values())
        found = [name for name, value in there.items() if column.ties(value, top)]
        return [] if len(found) == len(there) else found

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header, and a line for each autoencoder; a star behind what is best in its column."""
        columns = self.columns()
        marked = [(self.values(column), self.best(column)) for column in columns]
        lines = [
            [name, *(_cell(values[row], name in best) for values, best in marked)]
            for row, name in enumerate(self.names)
        ]
        return ["", *(column.title for column in columns)], lines

    def differences(self) -> dict[str, tuple[str, ...]]:
        """The fields in which the records differ, as the command line writes them, with the value of each autoencoder; "-" for none."""
        return differing(self.autoencoders)

    def beaten(self) -> list[tuple[str, str, str]]:
        """Who beats whom, and in what: worse in nothing (code, parameters, error; speed to a tenth), better in something.

        The error is that in which every column counts equally (`Errors.column_error`), of images the squared error.
        """
        pairs = [(a, b) for a in range(len(self.names)) for b in range(len(self.names)) if a != b]
        ahead = [(a, b, _ahead(self.evaluations[a], self.evaluations[b])) for a, b in pairs]
        return [(self.names[a], self.names[b], _listed(how)) for a, b, how in ahead if how]

    def verdict(self) -> str:
        """Who beats whom; and who is beaten by nobody: the choice is among these."""
        beaten = self.beaten()
        losers = {loser for _, loser, _ in beaten}
        free = [name for name in self.names if name not in losers]
        ranked = sorted(beaten, key=lambda each: len(each[2]))  # in most ways last
        first = {loser: f"{winner} is {how} than {loser}" for winner, loser, how in ranked if winner in free}
        if not first:
            return "None beats another: whoever is ahead in size, speed or error is behind in one of these."
        unbeaten = f"; beaten by nobody: {', '.join(free)}" if len(self.names) > 2 else ""
        return f"{'; '.join(first.values())}, and in nothing worse{unbeaten}."

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {
            "models": [
                {"name": name} | each.to_dict() for name, each in zip(self.names, self.evaluations, strict=True)
            ],
            "best": {column.name: self.best(column) for column in self.columns() if column.better},
            "differences": {path: list(values) for path, values in self.differences().items()},
            "beaten": [{"winner": winner, "loser": loser, "how": how} for winner, loser, how in self.beaten()],
            "verdict": self.verdict(),
            "notes": list(self.notes),
        }

    def _frame_rows(self) -> list[dict[str, Any]]:
        each = zip(self.names, self.evaluations, strict=True)
        return [{"name": name} | row for name, found in each for row in found._frame_rows()]

    def reconstructions(self, n: int = 10, image_shape: tuple[int, ...] | None = None) -> Figure:
        """The first n examples, and under them what each autoencoder makes of them."""
        examples = self.examples[:n]
        pairs = zip(self.names, self.autoencoders, self.evaluations, strict=True)
        rows = {
            f"{printable(name, None)}\nMSE {each.errors.mse:.4g}": ae.reconstruct(examples) for name, ae, each in pairs
        }
        return stacked_reconstructions(examples, rows, model_image_shape(self.autoencoders[0], image_shape))

    def plot(self) -> Figure:
        """The error of each against the size of its code, or against its parameters where all codes are as large; and PCA's."""
        same = len({each.code_size for each in self.evaluations}) == 1
        xs = [each.cost.n_parameters if same else each.code_size for each in self.evaluations]
        points = [(name, float(x), _error(e)) for name, x, e in zip(self.names, xs, self.evaluations, strict=True)]
        by_column = all(each.errors.column_error is not None for each in self.evaluations)
        beside = [
            None if each.pca is None else each.pca.column_error if by_column else each.pca.mse
            for each in self.evaluations
        ]
        pca = sorted({(float(x), error) for x, error in zip(xs, beside, strict=True) if error is not None})
        what = "parameters" if same else "numbers in a code"
        return tradeoff(
            points,
            pca,
            what,
            f"{'error by column' if by_column else 'MSE'} on {len(self.examples):,} held-out examples",
        )


@once()
def compare(
    models: Sequence[Model] | Mapping[str, Model], X: Any = None, train: Any = None, *, origin: DataSource | None = None
) -> Comparison:
    """Measures several autoencoders on the same held-out examples.

    That none of them was trained on these examples cannot be seen from outside; where the folders of runs name other data, a note says so.

    Args:
        models: fitted autoencoders, folders of runs and model files, mixed; under names of one's own where it is a mapping.
        X: examples (n, *shape) in the units of the training data. Without them what the runs held out of their common data.
        train: examples that PCA of equal width is fitted on; without them X itself.
        origin: which data X and train were read from, or, without X, are to be.

    Returns:
        The figures of each autoencoder, in the same order.

    Raises:
        RecordError: there are fewer than two models.
        DataError: they were trained on different data and no examples are given, or the examples do not fit all of them.

    Examples:
        >>> other = Autoencoder(2, epochs=1, random_state=0).fit(X)
        >>> isthmus.compare({"four": ae, "two": other}, X).names
        ('four', 'two')
    """
    if len(models) < 2:
        raise RecordError("to compare takes two autoencoders or more; name the folders of runs, or model files")
    given = list(models.values()) if isinstance(models, Mapping) else list(models)
    for each in given:
        if not isinstance(each, str | os.PathLike):
            check_autoencoder(each, "compare", "one of the models")
    loaded = [each if isinstance(each, Autoencoder) else _opened(Path(each)) for each in given]
    names = tuple(models) if isinstance(models, Mapping) else _names(given, loaded)
    known = [None if isinstance(each, Autoencoder) else _origin(Path(each)) for each in given]
    missing: Missing = "allow" if any(ae.missing == "allow" for ae in loaded) else "error"
    folders = {
        name: _folder(Path(each))
        for name, each, own in zip(names, given, known, strict=True)
        if not isinstance(each, Autoencoder) and own is not None
    }
    changes: list[str] = []
    if X is None:
        origin = origin or _common(names, known)
        stopped = [name for name, ae in zip(names, loaded, strict=True) if name in folders and ae.early_stopping]
        X, train, changes = _held_by_all(folders, origin, missing, stopped)
    examples = as_examples(X, missing=missing, shape=loaded[0].shape_)
    holes = gaps(examples.values)
    for name, ae in zip(names, loaded, strict=True):
        _check_fit(name, ae, examples, holes)
    evaluations = tuple(evaluate(ae, X, train=train) for ae in loaded)
    files = [not isinstance(each, Autoencoder) for each in given]
    notes = [*_notes(names, files, known, origin), *changes, *_learned(folders, examples.values)]
    if holes:
        notes.append("each completes the numbers that are missing itself; they count, with next to no error")
    return Comparison(names, tuple(loaded), evaluations, checked(loaded[0], X, "X"), tuple(notes))


def write(found: Comparison, folder: Path) -> list[Path]:
    """Writes comparison.json and the two pictures into a folder that is there; returns the files."""
    replace_file(folder / "comparison.json", as_json(found.to_dict()).encode())
    written = [folder / "comparison.json", save_png(found.plot(), folder / "errors.png")]
    with suppress(NotPossibleError):  # what neither is a picture nor a row
        written.append(save_png(found.reconstructions(), folder / "reconstructions.png"))
    return written


def _cell(value: float | None, best: bool) -> str:
    return "-" if value is None else shown(value) + " *" * best


def _held_by_all(
    folders: Mapping[str, Path], origin: DataSource, missing: Missing, stopped: Sequence[str]
) -> tuple[Examples, Examples, list[str]]:
    """The examples that all runs held out, those that the first was trained on, and notes on what changed."""
    dataset = origin.read()
    parts = {name: run_data.split_of(folder, dataset, missing, origin) for name, folder in folders.items()}
    first, *more = parts.values() if parts else [split(dataset, missing)]
    rows = first.test_rows
    assert rows is not None
    for part in more:
        assert part.test_rows is not None
        rows = rows[np.isin(rows, part.test_rows)]
    if not len(rows):
        raise DataError(
            f"no example of {dataset.name} was held out by all of {', '.join(parts)}: name other examples with --data (X in Python)"
        )
    held = replace(first, test=Rows(dataset.train if dataset.test is None else dataset.test)(rows), test_rows=rows)
    said = {
        note: [name for name, part in parts.items() if note in part.notes]
        for part in parts.values()
        for note in part.notes
    }
    notes = [note if len(who) == len(parts) else f"{', '.join(who)}: {note}" for note, who in said.items()]
    if stopped and chosen_by(dataset, first)[0] is None:
        notes.append(
            f"early stopping chose {', '.join(stopped)} by held-out examples, on which it may look a little better than it is"
        )
    return held.test_of(dataset), first.train_of(dataset), [*dataset.notes, *notes]


def _learned(folders: Mapping[str, Path], values: Array) -> list[str]:
    """A sentence for each run that was trained on some of the examples, as far as it remembers."""
    counts = {name: int(trained_on(run_data.membership_of(folder), values).sum()) for name, folder in folders.items()}
    return [
        f"{name} was trained on {count:,} of these {len(values):,} examples: its figures are too good"
        for name, count in counts.items()
        if count
    ]


def _folder(path: Path) -> Path:
    return path.parent if path.name == run_folder.MODEL else path


def _opened(path: Path) -> Autoencoder:
    return run_folder.open_run(path) if path.is_dir() else load_autoencoder(path)


def _origin(path: Path) -> DataSource | None:
    """Where the data of a run came from, if that is known."""
    folder = _folder(path)
    return run_record.source_of(folder) if (folder / "run.json").is_file() else None


def _names(given: Sequence[Model], loaded: Sequence[Autoencoder]) -> tuple[str, ...]:
    """The name of each run's folder, or its whole path where two have the same; of an autoencoder its bottleneck."""
    paths = [None if isinstance(each, Autoencoder) else Path(each) for each in given]
    short = [
        repr(ae.bottleneck_)
        if path is None
        else (path.parent if path.name == run_folder.MODEL else path).resolve().name
        for ae, path in zip(loaded, paths, strict=True)
    ]
    full = [
        str(path) if path is not None and short.count(name) > 1 else name
        for name, path in zip(short, paths, strict=True)
    ]
    return tuple(
        name if full.count(name) == 1 else f"{name} ({full[: place + 1].count(name)})"
        for place, name in enumerate(full)
    )


def _common(names: Sequence[str], known: Sequence[DataSource | None]) -> DataSource:
    """The data that all runs were trained on."""
    there = {_place(origin): (name, origin) for name, origin in zip(names, known, strict=True) if origin is not None}
    if not there:
        raise DataError(
            f"{names[0]} does not say which data it was trained on; give the examples to compare on: X, --data"
        )
    if len(there) > 1:
        said = " and ".join(f"{name} on {origin.data}" for name, origin in there.values())
        raise DataError(
            f"{said}: trained on different data, they compare only on the same examples; name these with --data (X in Python)"
        )
    return next(iter(there.values()))[1]


def _place(origin: DataSource) -> tuple[str, ReadOptions]:
    """What makes examples the same: a path by where it leads, and how they are read but for labels and id."""
    path = os.path.realpath(origin.data) if os.path.exists(origin.data) else origin.data
    return path, origin.options.replace(labels=None, id=None)


def _notes(
    names: Sequence[str], files: Sequence[bool], known: Sequence[DataSource | None], origin: DataSource | None
) -> list[str]:
    """A sentence for each model file that may have seen the examples in training, as far as its run says on what it was trained."""
    notes = []
    for name, file, own in zip(names, files, known, strict=True):
        if file and own is None:
            notes.append(f"{name} does not say which data it was trained on: it may have seen these examples")
        elif own is not None and origin is not None and _place(own) != _place(origin):
            notes.append(
                f"{name} was trained on {own.data}, not on {origin.data}: whether it saw these examples is not known"
            )
    return notes


def _check_fit(name: str, ae: Autoencoder, examples: Examples, holes: int) -> None:
    hint = "only autoencoders for examples of one shape compare"
    check_shape_and_columns(ae, examples.values.shape[1:], examples.columns, what="the examples", of=name, hint=hint)
    if holes and ae.missing != "allow":
        raise DataError(
            f"{name} takes no missing numbers, and the examples lack {holes:,}: leave it out, or complete them (impute)"
        )


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _error(found: Evaluation) -> float:
    """What one is chosen by."""
    return found.errors.mse if found.errors.column_error is None else found.errors.column_error


def _rank(found: Evaluation) -> tuple[float, float]:
    """What one is chosen by, to the digits that are shown; where that is as good, the squared error decides."""
    return tuple(float(shown(error).replace(",", "")) for error in (_error(found), found.errors.mse))  # type: ignore[return-value]


def _ahead(one: Evaluation, other: Evaluation) -> list[str]:
    """In what one is ahead of another; nothing where it is behind in anything."""
    sizes = [(one.code_size, other.code_size), (one.cost.n_parameters, other.cost.n_parameters)]
    errors = [_rank(each) for each in (one, other)]
    rate = one.cost.encode_per_second / other.cost.encode_per_second
    if any(a > b for a, b in sizes) or errors[0] > errors[1] or rate * NOISE < 1:
        return []
    how = ["smaller"] if any(a < b for a, b in sizes) else []
    how += ["faster"] if rate > NOISE else []
    return how + (["better"] if errors[0] < errors[1] else [])
