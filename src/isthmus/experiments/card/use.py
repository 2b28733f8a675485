"""The sections of a model card on use, intended use and limits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from isthmus.data.label_values import label_text
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.classifier import AutoencoderClassifier
from isthmus.estimators.image_detector import ImageOutlierDetector
from isthmus.estimators.outlier_detector import OutlierDetector
from isthmus.estimators.table_columns import table_columns
from isthmus.experiments.card.facts import UNKNOWN, Facts
from isthmus.experiments.card.markdown import bullets, fenced, section
from isthmus.text import command, markdown_safe, printable

__all__ = ["intended_use", "limits", "training_range", "usage"]

_MOST_CLASSES = 50
_USES: dict[type, tuple[str, str]] = {  # what a user of the estimator calls, and what it was made for
    Autoencoder: (
        "codes, reconstructions = model.encode({X}), model.reconstruct({X})",
        "to encode and reconstruct examples",
    ),
    OutlierDetector: (
        "scores, verdicts = model.score_samples({X}), model.predict({X})",
        "to detect anomalous examples among examples",
    ),
    ImageOutlierDetector: (
        "scores, verdicts = model.score_samples({X}), model.predict({X})",
        "to detect anomalous images among images",
    ),
    AutoencoderClassifier: ("predicted = model.predict({X})", "to predict the labels of examples"),
}


def usage(facts: Facts, path: str, exported: Sequence[str] | None) -> str:
    """How to use it, from Python and on the command line, and the ONNX files without PyTorch.

    Args:
        facts: what is known.
        path: the model file as a user of the card names it.
        exported: the parts of the export; None without one.
    """
    ae, conditional = facts.ae, facts.ae.model_.architecture.context is not None
    shape, y = ", ".join(("n", *map(str, ae.shape_))), ", y" if conditional else ""
    modules = ", architecture=Modules(encoder, decoder)" if ae.architecture_.user_defined else ""
    call = _USES[type(facts.estimator)][0].format(X=f"X{y}")
    python = ["import isthmus", "", f"model = isthmus.load({path!r}{modules})", f"{call}  # X: {_rows(facts, shape)}"]
    parts = ["In Python (`pip install isthmus`):", fenced("\n".join(python), "python")]
    if exported is not None:
        call = f"detection = model.detect(X{y})" if "detect" in exported else f"codes = model.encode(X{y})"
        lines = ["import isthmus.runtime", "", 'model = isthmus.runtime.load("onnx")', call]
        parts += [
            "Without PyTorch, with NumPy and onnxruntime alone:",
            fenced("\n".join(lines), "python"),
        ]
    if isinstance(facts.estimator, Autoencoder | OutlierDetector):
        served = command("isthmus", "serve", path if exported is None else "onnx")
        parts += ["As a service that speaks the Open Inference Protocol:", fenced(served, "sh")]
    return section("How to use it", *parts)


def _rows(facts: Facts, shape: str) -> str:
    """What X is."""
    if isinstance(facts.estimator, ImageOutlierDetector):
        return "a list of images in the units of the data, of any size"
    if facts.ae.kind_ == "table" and table_columns(facts.ae) is not None:
        return "a data frame with the columns below"
    return f"an array ({shape}) in the units of the data"


def intended_use(facts: Facts) -> str:
    """What it was made for, as far as that is known."""
    _, made = _USES[type(facts.estimator)]
    if facts.source is not None and facts.source.target is not None:
        made = "to restore targets from examples"
    like = f"It was trained {made} like those of {markdown_safe(facts.data_name)}."
    return section("Intended use", like, f"Intended users and uses beyond that: {UNKNOWN}.")


def limits(facts: Facts) -> str:
    """What the model refuses, and where its figures do not hold."""
    ae, low_high = facts.ae, training_range(facts)
    lines = [] if low_high is None else [f"The values of the training data are from {low_high[0]} to {low_high[1]}."]
    lines += ["Of values outside the range of the training data nothing was measured."]
    imputed = "imputed by the model" if ae.model_.fill is not None else "an error"
    lines.append(f"A missing value (NaN) is {imputed}.")
    columns = table_columns(ae)
    if columns is not None and any(column.discrete for column in columns.columns):
        unknown = "taken as missing, with a warning" if ae.model_.fill is not None else "an error"
        lines.append(f"A category that the training data did not have is {unknown}.")
    lines += _guarantee(facts.estimator)
    if facts.evaluated is not None:
        lines += [printable(advice.text, None) for advice in facts.evaluated.figures.advice]
        lines += [f"{facts.evaluated.stopping[:1].upper()}{facts.evaluated.stopping[1:]}."] * bool(
            facts.evaluated.stopping
        )
    lines.append("The figures are of examples from the same source as the training data. On other data, measure again.")
    return section("Limits", bullets(lines))


def _guarantee(estimator: Any) -> list[str]:
    """What the threshold of a detector guarantees; the classes of a classifier."""
    if isinstance(estimator, OutlierDetector):
        return [f"Threshold of {estimator.anomaly_score_}: {estimator.offset_:.6g}; {estimator.guarantee()}."]
    if isinstance(estimator, ImageOutlierDetector):
        return [f"Threshold: {estimator.threshold:.6g}; {estimator.guarantee()}."]
    if isinstance(estimator, AutoencoderClassifier):
        more = len(estimator.classes_) - _MOST_CLASSES
        named = ", ".join(map(label_text, estimator.classes_[:_MOST_CLASSES])) + (
            f" and {more:,} more" if more > 0 else ""
        )
        return [f"It predicts one of {len(estimator.classes_):,} labels, for examples of other classes too: {named}."]
    return []


def training_range(facts: Facts) -> tuple[str, str] | None:
    """The least and the largest value of the training data; None where a table has columns of its own, or it is not known."""
    extent = facts.ae.model_.extent
    if extent is None or table_columns(facts.ae) is not None:
        return None
    least, largest = float(np.min(extent.least)), float(np.max(extent.largest))
    return (f"{least:.6g}", f"{largest:.6g}") if math.isfinite(least) and math.isfinite(largest) else None
