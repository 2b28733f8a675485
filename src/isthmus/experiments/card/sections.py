"""The sections of a model card on the model, its data, its figures, its training and its files."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from datetime import UTC, datetime

from isthmus._version import __version__
from isthmus.data import Dataset
from isthmus.data.series.window_array import windows_of
from isthmus.estimators.table_columns import TableColumn, table_columns
from isthmus.evaluation import Errors, Evaluation, format_figure
from isthmus.experiments.card.facts import UNKNOWN, Facts
from isthmus.experiments.card.markdown import bullets, fenced, section, table
from isthmus.experiments.card.spread import spread
from isthmus.experiments.report.metrics import summary
from isthmus.experiments.splits import Split
from isthmus.text import markdown_safe

__all__ = ["data", "description", "figures", "files", "training"]

_COMPONENTS = (
    "augmentation",
    "corruption",
    "architecture",
    "bottleneck",
    "likelihood",
    "penalty",
    "scaling",
    "optimizer",
)
_MOST_COLUMNS = 200  # of a table, in the card
_MOST_CATEGORIES = 12
_ERRORS = {
    "mse": ("mean squared error", "squared units of the data"),
    "mse_scaled": ("mean squared error of scaled features", "columns count equally"),
    "column_error": ("error by column", "0 is perfect, 1 no better than a constant"),
    "explained_variance": ("explained variance", "1 is perfect"),
    "psnr": ("PSNR", "dB, higher is better"),
    "ssim": ("SSIM", "at most 1, higher is better"),
    "snr": ("signal-to-noise ratio", "dB, higher is better"),
}


def description(facts: Facts) -> str:
    """The title, one sentence, and the components."""
    ae = facts.ae
    said = "" if facts.evaluated is None else markdown_safe(summary(ae, facts.evaluated.figures))
    code = "\n".join(f"{name} = {getattr(ae, f'{name}_')!r}" for name in _COMPONENTS)
    rows = [
        ("Class", f"isthmus.{type(facts.estimator).__name__}"),
        ("Kind of data", ae.kind_),
        ("Shape of an example", _sides(ae.shape_)),
        ("Shape of a code", _sides(ae.code_shape_)),
        ("Trainable parameters", f"{ae.n_parameters_:,}"),
        ("Precision of training", ae.precision_),
    ]
    parts = [f"# {markdown_safe(facts.title)}", said, table(("", ""), rows), "Components:", fenced(code, "python")]
    return "\n\n".join(part for part in parts if part)


def data(facts: Facts) -> str:
    """Source, license, size and split of the data, and the columns of a table."""
    dataset, found, source = facts.dataset, facts.evaluated, facts.source
    origin = dataset.source if dataset is not None and facts.built_in else ""
    rows = [("Data", facts.data_name), ("Source", origin or UNKNOWN)]
    rows.append(("License of the data", (dataset.license if dataset is not None else "") or UNKNOWN))
    if found is None or dataset is None:
        rows.append(("Examples", UNKNOWN))
    else:
        part = found.observed or found.part
        rows += [
            ("Training examples", f"{len(part.train):,}"),
            ("Held-out examples", f"{len(part.test):,}, {_how(dataset, part)}"),
        ]
    labels = dataset.label_name if dataset is not None else None
    rows += [("Labels", labels)] if labels else []
    rows += [("Targets", facts.source.target)] if facts.source is not None and facts.source.target else []
    options = {} if source is None else source.options.given()
    rows += [("Read with", ", ".join(f"{name}={value}" for name, value in options.items()))] if options else []
    return section("Data", table(("", ""), rows), bullets([*facts.notes]), _columns(facts))


def _how(dataset: Dataset, part: Split) -> str:
    """How the held-out examples were chosen."""
    if windows_of(dataset.train) is not None:
        return "the latest ones in time, or a part of its own"
    if dataset.test is not None:
        return "a part of its own"
    if dataset.groups is not None:
        return f"of other groups ({dataset.groups_name}) than the training examples"
    return "the last ones" if isinstance(part.train_rows, slice) else "drawn from all examples by their content"


def _columns(facts: Facts) -> str:
    """The columns of a table, with their values in training; empty for other data."""
    known = table_columns(facts.ae)
    if known is None:
        return ""
    rows = [(column.name, column.kind, _values(facts, column)) for column in known.columns[:_MOST_COLUMNS]]
    more = len(known.columns) - len(rows)
    parts = [table(("column", "kind", "values in training"), rows), f"and {more:,} more columns" if more > 0 else ""]
    left_out = facts.dataset.table.left_out if facts.dataset is not None and facts.dataset.table is not None else ()
    if left_out:
        parts.append(markdown_safe("Left out: " + ", ".join(f"{name} ({why})" for name, why in left_out) + "."))
    return "\n\n".join(part for part in parts if part)


def _values(facts: Facts, column: TableColumn) -> str:
    """The categories of a column, or its range."""
    if column.discrete:
        more = len(column.categories) - _MOST_CATEGORIES
        listed = ", ".join(column.categories[:_MOST_CATEGORIES])
        return f"{listed}, and {more:,} more" if more > 0 else listed
    least, largest, extent = column.least, column.largest, facts.ae.model_.extent
    if not math.isfinite(least) and extent is not None:
        least, largest = float(extent.least[column.first]), float(extent.largest[column.first])
    return f"{column.text(least)} to {column.text(largest)}" if math.isfinite(least) else UNKNOWN


def figures(facts: Facts) -> str:
    """The errors beside those of the baselines, the loss, labels and columns; or why there are none."""
    if facts.evaluated is None:
        return section("Figures", markdown_safe(f"{UNKNOWN.capitalize()}: {facts.missing}."))
    found = facts.evaluated.figures
    rows = [
        (_ERRORS[name][0], *(_figure(getattr(errors, name, None)) for errors in sides.values()), _ERRORS[name][1])
        for sides in [_sides_of(found)]
        for name in _ERRORS
        if getattr(found.errors, name) is not None
    ]
    nats = [
        ("loss", _figure(found.nats.total), "nats per example"),
        ("", _figure(found.nats.per_dim), "nats per dimension"),
    ]
    labels, columns = found.labels, found.by_column
    return section(
        "Figures",
        markdown_safe(f"Measured on {found.n_examples:,} held-out examples of {facts.evaluated.name}."),
        table(("error", *_sides_of(found), "unit"), rows),
        markdown_safe(_about_baselines(found)),
        table(("", "value", "unit"), nats),
        "" if labels is None else markdown_safe(labels.how() + " Labels were not used to train the autoencoder."),
        "" if labels is None else table(("labels", "codes", "PCA codes", "examples"), labels.rows()),
        "" if columns is None else table(*columns.table()),
        "" if columns is None else markdown_safe(columns.how()),
        markdown_safe(_spread(facts)),
    )


def _spread(facts: Facts) -> str:
    """How far figures of other trainings differ."""
    known = spread(facts.file.path.parent)
    return f"One training with random state {facts.ae._require_fitted().seed}. " + (
        known or f"The spread over random states: {UNKNOWN}."
    )


def _sides_of(found: Evaluation) -> Mapping[str, Errors | None]:
    """The autoencoder and the baselines that were measured, by name."""
    sides: dict[str, Errors | None] = {"autoencoder": found.errors}
    sides |= {} if found.pca is None else {f"PCA, {found.code_size:,} components": found.pca}
    if found.restoration is not None:
        sides["the input itself"] = found.restoration.input
        sides |= {} if found.restoration.ridge is None else {"ridge regression": found.restoration.ridge}
    return sides


def _about_baselines(found: Evaluation) -> str:
    """What the baselines were fitted on, or why there are none."""
    if found.pca is None:
        return f"No PCA of equal width: {found.pca_missing}."
    return f"PCA was fitted on {found.pca_fitted_on}."


def training(facts: Facts) -> str:
    """The command, the losses, and versions."""
    import torch

    ae, info = facts.ae, facts.info
    first, last = (ae.history_[0], ae.history_[-1]) if ae.history_ else (None, None)
    rows = [
        ("Epochs", f"{last.epoch:,}" if last else UNKNOWN),
        ("Steps", f"{last.step:,}" if last else UNKNOWN),
        ("Training time", f"{ae.seconds_:,.1f} seconds"),
        (
            "Loss, first and last epoch",
            f"{first.loss:.4g}, {last.loss:.4g} nats per example" if first and last else UNKNOWN,
        ),
        ("Random state", f"{ae._require_fitted().seed}"),
        ("Model file written by", f"isthmus {facts.file.version}" if facts.file.version else UNKNOWN),
        ("Machine and PyTorch of the training", UNKNOWN),
        (
            "Card written with",
            f"isthmus {__version__}, PyTorch {torch.__version__}, Python {platform.python_version()}",
        ),
        ("Card written on", datetime.now(UTC).strftime("%Y-%m-%d")),
    ]
    command = fenced(info.quoted_command, "sh") if info.quoted_command else f"Command: {UNKNOWN}."
    return section("Training", command, table(("", ""), rows))


def files(facts: Facts, path: str, differences: Mapping[str, float] | None) -> str:
    """The files with sizes and checksums.

    Args:
        facts: what is known.
        path: the model file as a user of the card names it.
        differences: the parts of the export, with the largest relative difference of each from the model; None without one.
    """
    file = facts.file
    rows = [(path, f"{file.n_bytes:,} bytes, last changed on {file.written}", f"sha256 {file.sha256}")]
    rows += [
        (f"onnx/{name}.onnx", "the same model without PyTorch", f"largest relative difference {value:.2g}")
        for name, value in (differences or {}).items()
    ]
    return section("Files", table(("file", "", "check"), rows))


def _sides(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _figure(value: float | None) -> str:
    return "none" if value is None else format_figure(value)
