"""The folder of a run: the model, its history, where its data came from, and pictures.

model.safetensors       the model file, self-describing
checkpoint.safetensors  while training runs, or after it was cut off: what `isthmus resume` goes on from
split.safetensors       a key of each example, and which are held out (`experiments.splits`)
history.csv             a line per epoch, losses in nats per example
run.json                recipe, data and split: what `isthmus evaluate` needs to look at the same held-out examples again
figures/*.png          and report.html; events.* for TensorBoard when asked
"""

from __future__ import annotations

import errno
import json
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter

from isthmus.data import Dataset, names
from isthmus.data import load as load_data
from isthmus.data.locations import Positions
from isthmus.data.memmap import random_subset
from isthmus.data.missing import gaps
from isthmus.data.options import ReadOptions, Reused
from isthmus.data.validation import Missing
from isthmus.errors import DataError, FolderInUseError, IsthmusError, NotPossibleError, RecordError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.classifier import AutoencoderClassifier
from isthmus.estimators.loading import load, load_autoencoder
from isthmus.estimators.outlier_detector import OutlierDetector
from isthmus.estimators.overflow import check_numbers
from isthmus.estimators.shape_check import check_shape_and_columns
from isthmus.experiments.measured_figures import drawing
from isthmus.experiments.membership import FILE as RECORD
from isthmus.experiments.membership import Membership, read_membership, write_membership
from isthmus.experiments.split_recovery import recover_split, split_other
from isthmus.experiments.splits import Split, split_without_record
from isthmus.io.atomic import alone, check_folder, check_writable, holds, replace_file
from isthmus.io.files import open_regular
from isthmus.io.tables import csv_records
from isthmus.records import arguments, nearest
from isthmus.text import as_json, command
from isthmus.training.state import Report

__all__ = [
    "DataSource",
    "RunInfo",
    "about_of",
    "changes",
    "check_pages",
    "completed",
    "default_kinds",
    "draw",
    "examples_of",
    "folder_of",
    "held_out",
    "interrupted",
    "membership_of",
    "open_any",
    "open_run",
    "options_of",
    "origin_of",
    "part_of",
    "picture_choices",
    "read_again",
    "reserve_folder",
    "reserved",
    "same_data",
    "save_checkpoint",
    "save_run",
    "title_of",
]

Array = NDArray[Any]
MODEL, CHECKPOINT = "model.safetensors", "checkpoint.safetensors"
FIGURES, PAGE = "figures", "report.html"
SWEEP = "sweep.json"  # in a folder whose folders are the runs of a sweep
_MOST = 1 << 20  # bytes of a run.json
_COMPLETED = 100_000  # examples to train on, at most, that figures and pictures look at
TITLES = {
    "pca": "PCA of equal width",
    "tsne": "t-SNE map of the codes",
    "umap": "UMAP map of the codes",
    "latent": "codes as points",
    "neighbors": "nearest neighbors",
    "traversal": "one number of the code at a time",
    "interpolation": "between two examples",
    "rate_distortion": "bits against error",
}


@dataclass(frozen=True)
class DataSource:
    """Where a run's examples came from.

    download: whether a data set that is not on this machine is fetched: only where a person named it.
    """

    data: str
    options: ReadOptions = field(default_factory=ReadOptions)
    download: bool = field(default=True, compare=False)

    def read(self, reused: Reused | None = None) -> Dataset:
        """The data set, anew; for a run that was trained on others, in the way that it read these."""
        return load_data(self.data, self.options, reused=reused, download=self.download)

    def to_dict(self) -> dict[str, Any]:
        """Plain values on one level, for run.json."""
        return {"data": self.data} | self.options.given()


@dataclass(frozen=True)
class RunInfo:
    """What a run was told, beside its data."""

    recipe: str = "a model"
    command: str = ""
    tensorboard: bool = False
    checkpoint_every: Annotated[int, Field(gt=0)] | None = None
    remembers: str | None = (
        None  # how many examples there were and how many are held out, and their hash, if split.safetensors says which
    )

    @property
    def typed(self) -> str:
        """The command again, quoted anew, for people to read and to repeat; "" where it is none of isthmus."""
        try:
            words = shlex.split(self.command)
        except ValueError:  # quotes that do not close
            return ""
        return command(*words) if words[:1] == ["isthmus"] else ""


@dataclass(frozen=True)
class Place:
    """The part of `DataSource` that run.json keeps beside the options."""

    data: str


T = TypeVar("T", Place, ReadOptions, RunInfo)


def part_of(
    run: Path, dataset: Dataset, missing: Missing, given: DataSource | None = None, whole: bool = False
) -> Split:
    """What a run trained on and what it held out, among its own data or those given, with notes on what changed since.

    Nothing that it trained on is among the held-out examples, as far as it remembers. Of other data than its own the held-out ones are
    their own test part, or a tenth.

    Args:
        dataset: the data, as they were read.
        missing: what NaN is to its autoencoder.
        given: where they were read from, if not from where the run was trained.
        whole: all that it trained on are needed, in their order.

    Raises:
        DataError: none of the examples that it held out is there any more.
    """
    own, record = _is_own(run, given), membership_of(run)
    if record is None and own and about_of(run).remembers:
        raise DataError(
            f"{run} has lost {RECORD}, and which examples it held out is not known: name others with --data"
        )
    if own and record is not None:
        return recover_split(record, dataset, missing, whole)
    if own:
        part = split_without_record(dataset, missing)
        return part if _never_changes(dataset) else replace(part, notes=(_NO_RECORD,))
    part = split_other(record, dataset, missing)
    if record is None and not _never_changes(dataset) and not (run / "run.json").is_file():
        part = replace(
            part, notes=(*part.notes, f"{run} does not say what it was trained on: it may have seen these examples")
        )
    return part


_NO_RECORD = (
    "the run does not say which examples it held out, as those made by isthmus 0.3: if data were added, removed or sorted since, some of "
    "the examples measured on here were trained on"
)


def _never_changes(dataset: Dataset) -> bool:
    """Whether a data set comes with isthmus."""
    return dataset.name in names()


def changes(run: Path, dataset: Dataset, missing: Missing, given: DataSource | None = None) -> tuple[str, ...]:
    """What changed in the run's own data since it was trained, a sentence each, for verbs that measure nothing."""
    record = membership_of(run)
    if record is None or not _is_own(run, given):
        return ()
    try:
        return recover_split(record, dataset, missing).notes
    except DataError as error:
        return (str(error),)


def membership_of(run: Path) -> Membership | None:
    """What a run remembers of its examples, if it does."""
    return read_membership(folder_of(run))


def _is_own(run: Path, given: DataSource | None) -> bool:
    """Whether these are the data of a run: not named otherwise, or the same place read in the same way."""
    if given is None:
        return True
    try:
        own = origin_of(run)
    except DataError:
        return False
    return same_data(own, replace(given, options=given.options.over(own.options)))


def same_data(a: DataSource, b: DataSource) -> bool:
    """Whether two origins are one: the same name, or the same file read in the same way."""

    def place(origin: DataSource) -> str:
        known = origin.data.lower().replace("-", "_")
        return known if known in names() else os.path.realpath(origin.data)

    return (place(a), a.options) == (place(b), b.options)


def held_out(dataset: Dataset, part: Split) -> Dataset:
    """The held-out part of a data set, with what is known about its examples, as a data set without a test part."""
    own = dataset.test is None

    def some(values: Array | None) -> Array | None:
        return None if values is None or part.test_rows is None else values[part.test_rows]

    return replace(
        dataset,
        train=part.test,
        test=None,
        train_labels=part.test_labels,
        test_labels=None,
        ids=some(dataset.ids if own else dataset.test_ids),
        test_ids=None,
        lines=some(dataset.lines) if own else None,
    )


def completed(ae: Autoencoder, part: Split) -> Split:
    """The same examples as the autoencoder completes them (of very many to train on some, drawn at random), if any lacks a number."""
    if not gaps(part.train) + gaps(part.test):
        return part
    some = random_subset(len(part.train), _COMPLETED)
    known = None if part.train_labels is None else np.asarray(part.train_labels)[some]
    return replace(part, train=ae.impute(np.asarray(part.train[some])), test=ae.impute(part.test), train_labels=known)


@contextmanager
def reserved(name: str, out: Path | None) -> Iterator[Path]:
    """The folder for a new run, kept for it: the one asked for, if it holds no run yet, else runs/NAME, NAME-2, ...

    Two processes that ask at once get two folders; asked for one by name, the second gets a sentence.
    """
    with ExitStack() as stack:
        yield (
            stack.enter_context(reserve_folder(out, _new)) if out is not None else _numbered(Path("runs") / name, stack)
        )


def _numbered(first: Path, stack: ExitStack) -> Path:
    for number in range(1, 100_000):
        folder = first if number == 1 else first.with_name(f"{first.name}-{number}")
        with suppress(FileExistsError, FolderInUseError):
            if not folder.exists():
                return stack.enter_context(reserve_folder(folder, _empty))
    raise IsthmusError("runs/ is full of runs of that name; choose an --out")


def _empty(folder: Path) -> None:
    if any(folder.iterdir()):  # another process took it, and has ended since
        raise FileExistsError(errno.EEXIST, "there is a run already", str(folder))


def _new(folder: Path) -> None:
    """An error if the folder holds a run."""
    if (folder / MODEL).exists():
        raise IsthmusError(f"{folder} already holds a run; choose another --out, or remove it first")
    if (folder / CHECKPOINT).exists():
        raise IsthmusError(
            f"{folder} holds a training that was cut off; go on with it: {command('isthmus', 'resume', folder)}, "
            "or choose another --out"
        )


def save_run(
    folder: Path, ae: Autoencoder, origin: DataSource | None, about: RunInfo, record: Membership | None = None
) -> None:
    """Writes model, history, origin and what the run remembers of its examples; the checkpoint is of no more use then.

    Each file is written whole or not at all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _write_run(folder, origin, about, record)
        replace_file(folder / "history.csv", history_csv(ae.history_).encode())
    finally:  # whatever fails beside it, what was trained is kept
        ae.save(folder / MODEL)
        (folder / CHECKPOINT).unlink(missing_ok=True)


def save_checkpoint(
    folder: Path, ae: Autoencoder, origin: DataSource | None, about: RunInfo, record: Membership | None = None
) -> None:
    """Writes what `isthmus resume` needs, while training runs."""
    _write_run(folder, origin, about, record)
    ae.checkpoint(folder / CHECKPOINT)


def _write_run(folder: Path, origin: DataSource | None, about: RunInfo, record: Membership | None) -> None:
    if record is None:
        (folder / RECORD).unlink(missing_ok=True)
    else:
        write_membership(folder, record)
    if origin is None:  # arrays, of which nobody knows where they lie
        return
    said = asdict(
        replace(about, remembers=None if record is None else f"{record.held} of {record.n} held out, {record.data}")
    )
    path, content = folder / "run.json", as_json(origin.to_dict() | said).encode()
    if not holds(path, content):
        replace_file(path, content)


def interrupted(run: Path, given: DataSource | None = None) -> tuple[Autoencoder, DataSource, RunInfo]:
    """A training that was cut off, its data (or where these lie now), and what it was told besides."""
    if (run.parent / SWEEP).exists():
        raise DataError(
            f"{run} is a part of a sweep, which goes on as a whole: {about_of(run).typed or 'isthmus sweep'}"
        )
    if not (run / CHECKPOINT).exists():
        if (run / MODEL).exists():
            raise DataError(f"{run} is complete, and there is nothing to resume")
        raise DataError(f"{run} holds no training that was cut off (no {CHECKPOINT}); isthmus train begins one")
    ae, about = load_autoencoder(run / CHECKPOINT), _read_run(run, RunInfo)
    _check_size(run, ae)
    return ae, origin_of(run) if given is None else given, about


def read_again(run: Path, origin: DataSource, features: tuple[str, ...] | None = None) -> Dataset:
    """The data of a run; where they lie no more, the error says how to name them."""
    try:
        return origin.read(Reused(origin.options, features))
    except FileNotFoundError as error:
        raise DataError(f"{error}; {run} goes with these data: name them with --data where they lie now") from None


def history_csv(history: Iterable[Report]) -> str:
    """The reports as CSV: one column per figure."""
    rows = [
        {k: v for k, v in asdict(report).items() if k not in {"stats", "complete"}} | dict(report.stats)
        for report in history
    ]
    return csv_records(rows)


def open_run(run: Path) -> Autoencoder:
    """The model of a run's folder, or of a model file; `NotPossibleError` where the file is that of a detector or a classifier."""
    return load_autoencoder(_with_model(run))


def open_any(run: Path) -> Autoencoder | OutlierDetector | AutoencoderClassifier:
    """Whatever a model file holds, or the model of a run's folder."""
    found: Autoencoder | OutlierDetector | AutoencoderClassifier = load(_with_model(run))
    return found


def _with_model(run: Path) -> Path:
    """The folder of a run that was trained, or a model file."""
    if run.is_dir() and not (run / MODEL).exists():
        if (run / CHECKPOINT).exists():
            raise DataError(f"{run} was cut off while it trained; go on with it: {command('isthmus', 'resume', run)}")
        trained = command("isthmus", "train", "--out", run)
        raise DataError(f"{run} holds no run (no model.safetensors); this makes one: {trained}")
    return run


def folder_of(run: Path) -> Path:
    """Where things about a run are written: its folder, or that of a model file."""
    return run if run.is_dir() else run.parent


def origin_of(run: Path) -> DataSource:
    """Where a run's data came from; `DataError` if it does not say. Nothing is downloaded because a file asks for it."""
    return DataSource(_read_run(run, Place).data, _read_run(run, ReadOptions), download=False)


def options_of(run: Path) -> ReadOptions:
    """How a run read its data; nothing where it does not say."""
    try:
        return origin_of(run).options
    except DataError:
        return ReadOptions()


def about_of(run: Path) -> RunInfo:
    """What a run was told; nothing where it does not say."""
    try:
        return _read_run(run, RunInfo)
    except DataError:
        return RunInfo()


def _read_run(run: Path, kind: type[T]) -> T:
    """One side of what run.json says."""
    path = run / "run.json"
    if not path.is_file():
        raise DataError(f"{run} does not say which data it was trained on; name examples with --data")
    try:
        with open_regular(path) as file:
            known = json.loads(file.read(_MOST))
        wanted = {each.name for each in fields(kind)}
        return TypeAdapter(kind).validate_python({name: value for name, value in known.items() if name in wanted})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DataError(f"{path} is damaged; name the examples with --data") from None


def _check_size(run: Path, ae: Autoencoder) -> None:
    """`DataError` where a run wants images of another size than its model takes, which nobody could use, whatever they cost."""
    options = options_of(run)
    size, before = options.resize, 1 if options.pages == "volume" else 0
    if size is not None and ae.shape_[before : before + 2] != size:
        raise DataError(
            f"{run / 'run.json'} is damaged: its images have {size[0]}x{size[1]} pixels, and its model takes {ae.shape_}"
        )


def examples_of(
    run: Path,
    given: DataSource | None = None,
    opened: Autoencoder | None = None,
    *,
    parts: Literal["both", "train", "test"] = "both",
    bears: bool = False,
) -> tuple[Autoencoder, Dataset]:
    """A run, perhaps opened before, and data to look at: those given, or its own.

    Args:
        parts: that are looked at; of data without a test part all.
        bears: what is too far from what was fitted to compute with is borne, as where anomalies are looked for.

    Raises:
        DataError: the run and the data do not fit each other, or numbers cannot be used, which are named by their place in the file.
    """
    ae = open_run(run) if opened is None else opened
    _check_size(run, ae)
    features = tuple(getattr(ae, "feature_names_in_", ())) or None
    reused = Reused(options_of(run), features, ae.shape_)
    dataset = read_again(run, origin_of(run), features) if given is None else given.read(reused)
    images = dataset.kind == "images" and len(ae.shape_) in (2, 3)
    hint = f"bring them to one size: --resize {ae.shape_[0]}x{ae.shape_[1]}" if images else ""
    what, shape = f"the examples of {dataset.name}", dataset.train.shape[1:]
    check_shape_and_columns(ae, shape, dataset.columns, what=what, of=str(run), hint=hint)
    if parts != "test" or dataset.test is None:
        _check_numbers(ae, dataset.train, dataset.positions(), bears)
    if parts != "train" and dataset.test is not None:
        _check_numbers(ae, dataset.test, dataset.test_positions(), bears)
    return ae, dataset


def _check_numbers(ae: Autoencoder, values: Array, positions: Positions, bears: bool) -> None:
    """`DataError` at the first number that an autoencoder cannot use: once examples are a part of the file, nobody knows where it stood."""
    if values.dtype.kind in "biuf":
        check_numbers(values, positions, ae.missing, None if bears else ae._bearing(positions))


@contextmanager
def reserve_folder(folder: Path, check: Callable[[Path], None] | None = None) -> Iterator[Path]:
    """Makes a folder before the work that is to fill it, keeps other processes out, and removes it again if nothing came of that.

    Args:
        check: what else must be so, asked when it is ours.

    Raises:
        FolderInUseError: another process is in it.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    with alone(folder):
        ours = [folder / name for name in ("run.json", "history.csv", RECORD) if not (folder / name).exists()]
        try:
            if check is not None:
                check(folder)
            if not os.access(folder, os.W_OK):
                raise PermissionError(errno.EACCES, "nothing can be written into this folder", str(folder))
            yield folder
        except BaseException:
            if not any((folder / name).exists() for name in (MODEL, CHECKPOINT)):
                for path in ours:
                    path.unlink(missing_ok=True)
            for path in made:
                with suppress(OSError):  # it holds something
                    path.rmdir()
            raise


def check_pages(folder: Path) -> None:
    """`OSError` where figures or pages in a folder would be written somewhere else, or over what is no file."""
    check_folder(folder / FIGURES)
    for path in (folder / PAGE, *(folder / FIGURES).glob("*.png")):
        if folder.is_dir():
            check_writable(path)


def default_kinds(ae: Autoencoder) -> list[str]:
    """The pictures that suit an autoencoder."""
    kinds = ["losses"]
    corruption = ae.corruption_
    if not corruption.corrupts or corruption.makes_missing:
        kinds += ["reconstructions"]
    else:
        kinds += ["completion"] if corruption.hides_region else ["denoising", "noise_levels"]
    kinds += ["pca", "latent", "neighbors", "codes", "filters"]
    if ae.bottleneck_.has_prior:
        kinds += ["samples", "manifold"] if ae.code_shape_ == (2,) else ["samples"]
    if not ae.bottleneck_.discrete:
        kinds += ["traversal", "interpolation"]
    return kinds + (["feature_maps"] if len(ae.code_shape_) > 1 else [])


def picture_choices(kinds: Sequence[str], assignments: Iterable[str]) -> dict[str, dict[str, Any]]:
    """For each kind of picture the arguments among ``name=value`` that it takes; `RecordError` for one that none takes."""
    from isthmus import plots

    for kind in kinds:
        if kind not in plots.__all__:
            raise RecordError(f"no picture '{kind}'{nearest(kind, plots.__all__)}")
    return arguments({kind: drawing(kind) for kind in kinds}, assignments)


def title_of(kind: str) -> str:
    """What a kind of picture is called on a page."""
    return TITLES.get(kind, kind.replace("_", " "))


def draw(
    folder: Path,
    ae: Autoencoder,
    kinds: Iterable[str],
    part: Split,
    choices: Mapping[str, Mapping[str, Any]] | None = None,
    strict: bool = False,
) -> list[tuple[str, Path, str]]:
    """Draws kinds of pictures into a folder: title, file and description of each.

    Args:
        choices: for a kind, arguments of its function in `isthmus.plots` and of what it measures.
        strict: what an autoencoder cannot show is an error, and not left out.
    """
    from isthmus.plots.figure import save_png

    drawn = []
    for kind in kinds:
        function = drawing(kind)
        compared = {"train": part.train} if "train" in signature(function).parameters else {}
        chosen = compared | dict((choices or {}).get(kind, {}))
        try:
            figure = function(ae, part.test, part.test_labels, **chosen)
        except NotPossibleError:
            if strict:
                raise
            continue
        folder.mkdir(parents=True, exist_ok=True)
        save_png(figure, folder / f"{kind}.png")
        drawn.append((title_of(kind), folder / f"{kind}.png", str(figure.get_label())))
    return drawn
