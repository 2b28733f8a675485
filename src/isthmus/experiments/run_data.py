"""The examples of a run: its own data or others, checked against the model, and split as when it was trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isthmus.data import Dataset, names
from isthmus.data.growing_series import GrowingSeries
from isthmus.data.locations import Positions
from isthmus.data.memmap import random_subset
from isthmus.data.missing import count_missing
from isthmus.data.options import ReadOptions, Reused
from isthmus.data.readers import read_labeled_windows, read_windows
from isthmus.data.series.windows import Windows
from isthmus.data.validation import Missing
from isthmus.errors import DataError, NotPossibleError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.overflow import check_computable
from isthmus.estimators.shape_check import check_shape_and_columns
from isthmus.experiments.membership import FILE as MEMBERSHIP
from isthmus.experiments.membership import Membership, read_membership
from isthmus.experiments.run_folder import check_image_size, how_to_fit_images, open_run
from isthmus.experiments.run_labels import check_labels
from isthmus.experiments.run_record import RECORD, DataSource, folder_of, info_of, options_of, same_data, source_of
from isthmus.experiments.split_recovery import recover_split, split_other
from isthmus.experiments.splits import Split, split_without_record

__all__ = [
    "as_own",
    "check_values",
    "data_changes",
    "follow_series",
    "held_out",
    "imputed",
    "is_own",
    "load_examples",
    "load_labeled_windows",
    "load_windows",
    "membership_of",
    "read_data",
    "refuse_target",
    "reused_by",
    "split_of",
    "target_of",
    "with_recorded_target",
]

Array = NDArray[Any]
_MAX_IMPUTED = 100_000  # training examples that are imputed for figures
_NO_RECORD = (
    "the run has no record of its held-out examples, like all runs of isthmus 0.3: if data were added, removed or sorted since "
    "training, some of the examples evaluated here may be training examples"
)


def load_examples(
    run: Path,
    source: DataSource | None = None,
    ae: Autoencoder | None = None,
    *,
    parts: Literal["both", "train", "test"] = "both",
    allow_extreme: bool = False,
    target: bool = False,
    all_columns: bool = False,
) -> tuple[Autoencoder, Dataset]:
    """The autoencoder of a run and a data set that fits it.

    Args:
        run: a run folder or a model file.
        source: where the data are read from; None for the run's own data.
        ae: the autoencoder, if it is loaded already.
        parts: the parts whose values are checked. Without a test part, all examples are.
        allow_extreme: whether values so far from the training data that the model overflows are accepted, as in anomaly
            detection.
        target: whether the targets of the run's own data are read too. A given source has those that it names.
        all_columns: whether the frame of a given source has all columns of its file that nobody left out.

    Raises:
        DataError: run and data do not fit each other, or a value is invalid. The message gives its position in the file.
    """
    ae = open_run(run) if ae is None else ae
    check_image_size(run, ae)
    if source is None:
        own = source_of(run)
        dataset = read_data(run, own if target else own.without_target(), ae)
    else:
        dataset = source.read(
            reused_by(ae, options_of(run), ae.shape_)._replace(all_columns=all_columns, rate=info_of(run).rate)
        )
    hint = how_to_fit_images(run, ae) if dataset.kind == "images" and len(ae.shape_) in (2, 3) else ""
    what, shape = f"the examples of {dataset.name}", dataset.train.shape[1:]
    check_shape_and_columns(ae, shape, dataset.columns, what=what, of=str(run), hint=hint)
    check_labels(ae, dataset)
    if parts != "test" or dataset.test is None:
        check_values(ae, dataset.train, dataset.positions(), allow_extreme)
    if parts != "train" and dataset.test is not None:
        check_values(ae, dataset.test, dataset.test_positions(), allow_extreme)
    return ae, dataset


def load_windows(run: Path, source: DataSource, ae: Autoencoder | None = None) -> tuple[Autoencoder, Windows]:
    """The autoencoder of a run of series, and the windows of a file of this length.

    Args:
        run: a run folder or a model file.
        source: where the series is read from.
        ae: the autoencoder, if it is loaded already.
    """
    ae = open_run(run) if ae is None else ae
    return ae, read_windows(source.data, source.options, _reused_in_time(run, ae))


def load_labeled_windows(run: Path, source: DataSource, ae: Autoencoder) -> tuple[Windows, NDArray[Any] | None]:
    """The windows of a file for a run of series, and the labels of its rows; None without labels."""
    return read_labeled_windows(source.data, source.options, _reused_in_time(run, ae))


def follow_series(run: Path, source: DataSource, ae: Autoencoder) -> tuple[GrowingSeries, ReadOptions]:
    """The series in a file that grows, read for a run of series, and its options with those of the run."""
    reused = _reused_in_time(run, ae)
    own = source.options.over(options_of(run))
    return GrowingSeries(source.data, source.options, reused), own


def _reused_in_time(run: Path, ae: Autoencoder) -> Reused:
    """How a series is read for an autoencoder: with windows of its length."""
    return reused_by(ae, options_of(run).replace(window=ae.shape_[0]), ae.shape_)._replace(rate=info_of(run).rate)


def check_values(ae: Autoencoder, values: Array, positions: Positions, allow_extreme: bool) -> None:
    """`DataError` at the first invalid value. Once the examples are split, its position in the file is unknown."""
    if values.dtype.kind in "biuf":
        check_computable(values, positions, ae.missing, None if allow_extreme else ae._computable_range(positions))


def reused_by(ae: Autoencoder, options: ReadOptions, shape: tuple[int, ...] | None = None) -> Reused:
    """How data are read for an autoencoder, whose training data were read with these options."""
    features = tuple(getattr(ae, "_features", ())) or None
    return Reused(options, features, shape, table=getattr(ae, "table_", None), missing=ae.missing == "allow")


def read_data(run: Path, source: DataSource, ae: Autoencoder) -> Dataset:
    """The data of a run, as its autoencoder sees them; where the file is missing, the error says how to name it."""
    try:
        return source.read(reused_by(ae, source.options))
    except FileNotFoundError as error:
        target = "" if source.target is None else " and --target"
        raise DataError(
            f"{error}; {run} was trained on these data: give their present path with --data{target}"
        ) from None


def split_of(
    run: Path, dataset: Dataset, missing: Missing, source: DataSource | None = None, whole: bool = False
) -> Split:
    """Training and held-out examples of a run, in its own data or in others, with notes on what changed since training.

    No example known as trained on is among the held-out ones. Of other data, the test part or a tenth is held out.

    Args:
        run: a run folder or a model file.
        dataset: the data.
        missing: how its autoencoder treats NaN.
        source: where the data were read from; None for the run's own source.
        whole: whether all training examples must be there, in their order, to resume training.

    Raises:
        DataError: none of the held-out examples is left, or the membership record is lost.
    """
    own, record = is_own(run, source), membership_of(run)
    if record is None and own and info_of(run).remembers:
        raise DataError(
            f"{MEMBERSHIP} is missing in {run}, so its held-out examples are unknown: give other examples with --data"
        )
    if own and record is not None:
        return recover_split(record, dataset, missing, whole)
    if own:
        part = split_without_record(dataset, missing)
        return part if _is_built_in(dataset) else replace(part, notes=(_NO_RECORD,))
    part = split_other(record, dataset, missing)
    if record is None and not _is_built_in(dataset) and not (run / RECORD).is_file():
        part = replace(
            part,
            notes=(
                *part.notes,
                f"{run} has no record of its training data: it may have been trained on these examples",
            ),
        )
    return part


def _is_built_in(dataset: Dataset) -> bool:
    """Whether it is a data set of isthmus, whose examples never change."""
    return dataset.name in names()


def target_of(run: Path) -> str | None:
    """The targets that a run was trained on, a path or name; None without targets or record."""
    try:
        return source_of(run).target
    except DataError:
        return None


def with_recorded_target(run: Path, source: DataSource | None) -> DataSource | None:
    """The source, with the recorded targets if it is the run's own data and names none."""
    if source is None or source.target is not None or not is_own(run, source):
        return source
    return replace(source, target=target_of(run))


def refuse_target(run: Path, what: str, instead: str) -> None:
    """`NotPossibleError` if a run was trained to reconstruct targets. `what` compares reconstructions with their inputs."""
    target = target_of(run)
    if target is not None:
        raise NotPossibleError(
            f"{what} compares reconstructions with their inputs, but {run} was trained to reconstruct a target ({target}): {instead}"
        )


def data_changes(run: Path, dataset: Dataset, missing: Missing, source: DataSource | None = None) -> tuple[str, ...]:
    """What changed in the run's own data since training, one sentence each, for commands that measure nothing."""
    record = membership_of(run)
    if record is None or not is_own(run, source):
        return ()
    try:
        return recover_split(record, dataset, missing).notes
    except DataError as error:
        return (str(error),)


def membership_of(run: Path) -> Membership | None:
    """The membership record of a run; None if it has none."""
    return read_membership(folder_of(run))


def is_own(run: Path, source: DataSource | None) -> bool:
    """Whether a source is the run's own: None, or the same data read in the same way."""
    if source is None:
        return True
    try:
        own = source_of(run)
    except DataError:
        return False
    return same_data(own, replace(source, options=source.options.over(own.options)))


def as_own(run: Path, source: DataSource | None) -> DataSource | None:
    """The source; if it is the run's own data, with the options of the run that do not apply to other data, so that it is split alike."""
    if source is None or not is_own(run, source):
        return source
    own = options_of(run)
    of_file = ReadOptions(window=own.window, skip_lines=own.skip_lines, skip_broken=own.skip_broken)
    return replace(source, options=source.options.over(of_file))


def held_out(dataset: Dataset, part: Split) -> Dataset:
    """The held-out examples as a data set without a test part, with their labels, ids and line numbers."""
    no_test = dataset.test is None

    def selected(values: Any) -> Any:  # an array (n,), or a frame
        return None if values is None or part.test_rows is None else values.take(part.test_rows)

    return replace(
        dataset,
        train=part.test,
        test=None,
        train_labels=part.test_labels,
        test_labels=None,
        target=part.test_target,
        test_target=None,
        ids=selected(dataset.ids if no_test else dataset.test_ids),
        test_ids=None,
        frame=selected(dataset.frame) if no_test else None,
        lines=selected(dataset.lines) if no_test else None,
        file_rows=None,
        weights=part.test_weights,
        groups=selected(dataset.groups) if no_test else None,
    )


def imputed(ae: Autoencoder, part: Split) -> Split:
    """The same split with missing values imputed by the autoencoder; of the training examples at most 100,000, drawn at random."""
    if not count_missing(part.train) + count_missing(part.test):
        return part
    rows = random_subset(len(part.train), _MAX_IMPUTED)
    labels = None if part.train_labels is None else np.asarray(part.train_labels)[rows]
    train = ae.impute(np.asarray(part.train[rows]), labels)
    targets = None if part.train_target is None else np.asarray(part.train_target[rows])
    test = ae.impute(part.test, part.test_labels)
    return replace(part, train=train, test=test, train_labels=labels, train_target=targets)
