"""An exported part compared with the live estimator on examples."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import NotPossibleError
from isthmus.estimators.conformal import conformal_p_values
from isthmus.estimators.export.parts import Part, PartName, autoencoder_of, detector_of
from isthmus.estimators.export.values import column_values, given_columns
from isthmus.text import printable

if TYPE_CHECKING:
    from isthmus.estimators.autoencoder import Autoencoder
    from isthmus.estimators.outlier_detector import OutlierDetector

__all__ = ["TOLERANCES", "Examples", "difference"]

Array = NDArray[Any]
TOLERANCES = {"float32": 1e-5, "float64": 1e-9}  # by the dtype of the weights: the largest relative difference


class Examples(NamedTuple):
    """Raw examples (n, *shape), as features if they are rows of a table, and the labels or covariates of a conditional autoencoder."""

    X: Array
    y: Any = None


def difference(
    name: PartName,
    part: Part,
    model: bytes,
    fitted: Autoencoder | OutlierDetector,
    examples: Examples,
    tolerance: float,
) -> float:
    """The largest difference of an output of the exported part from the live estimator, relative to its largest value.

    Values that are rounded, labels, p-values and verdicts must be equal where a difference below the tolerance cannot change them;
    otherwise the difference is infinite.

    Args:
        name: of the part.
        part: its ports.
        model: the exported file.
        fitted: the live estimator.
        examples: at least one.
        tolerance: a relative difference.
    """
    ae, detector = autoencoder_of(fitted), detector_of(fitted)
    live = _Live(ae, examples)
    found = _run(model, live.inputs(part))
    if name == "detect":
        assert detector is not None
        return _of_verdicts(detector, found, detector.score_samples(*examples), tolerance)
    if name in {"encoder", "score"}:
        return _of_numbers(found[0], ae.encode(*examples) if name == "encoder" else ae.score_samples(*examples))
    made = live.made(name)
    table = ae._require_fitted().table
    if table is None:
        return _of_numbers(found[0], made)
    missing = ae.model_.fill is not None
    spread = tolerance * np.abs(made).max(0)
    expected = [
        column_values(table, part.outputs, features, missing) for features in (made, made - spread, made + spread)
    ]
    if name == "impute":
        given = live.inputs(part)
        expected = [live.imputed(part, given, each) for each in expected]
    return max(
        _of_numbers(new, old)
        if port.dtype.startswith("float") and port.kind == "number"
        else _of_rounded(new, [old, *others], between=port.kind in {"integer", "date"})
        for port, new, old, *others in zip(part.outputs, found, *expected, strict=True)
    )


class _Live:
    """What the live estimator gives."""

    def __init__(self, ae: Autoencoder, examples: Examples) -> None:
        self.ae, self.examples = ae, examples
        self.table = ae._require_fitted().table

    def inputs(self, part: Part) -> dict[str, Array]:
        """The inputs of a part."""
        given = dict[str, Array]()
        if part.inputs[0].name == "code" and not part.inputs[0].kind:
            given["code"] = self.ae.encode(*self.examples)
        elif self.table is None:
            given["X"] = np.ascontiguousarray(self.examples.X).astype(part.inputs[0].dtype)
        else:
            ports = [port for port in part.inputs if port.kind]
            given = given_columns(self.table, ports, np.asarray(self.examples.X, np.float64))
        if part.inputs[-1].name == "y" and not part.inputs[-1].kind:
            port = part.inputs[-1]
            y = np.asarray(self.examples.y, dtype=object if port.dtype == "string" else port.dtype)
            given["y"] = y.reshape(len(y), *port.shape)
        return given

    def made(self, name: PartName) -> Array:
        """Reconstructed or imputed examples, as features."""
        X, context = self.examples.X, self.ae._context(self.examples.y, self.examples.X)
        if name == "decoder":
            return self.ae._decode(self.ae.encode(*self.examples), self.examples.y)
        made = self.ae._reconstructed(X, context=context)
        return np.where(np.isnan(X), made, X).astype(X.dtype) if name == "impute" and self.table is None else made

    def imputed(self, part: Part, given: Mapping[str, Array], made: Sequence[Array]) -> list[Array]:
        """The columns that are given, with values made in place of missing ones."""
        found = []
        columns = [port for port in part.inputs if port.kind]
        for port, column, new in zip(part.outputs, columns, made, strict=True):
            old = given[column.name]
            missing = (
                old == ""
                if port.dtype == "string"
                else old == np.iinfo(np.int64).min
                if old.dtype == np.int64
                else np.isnan(old)
            )
            found.append(np.where(missing, new, old))
        return found


def _run(model: bytes, inputs: Mapping[str, Array]) -> list[Array]:
    """The outputs of an ONNX model, by onnxruntime."""
    os.environ.setdefault(
        "ORT_DISABLE_TELEMETRY", "1"
    )  # releases of onnxruntime send usage data to their makers otherwise
    try:
        import onnxruntime
    except ImportError:
        raise NotPossibleError(
            "exporting requires onnxruntime, to compare the file with the model: pip install 'isthmus[onnx]'"
        ) from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        found: list[Array] = session.run(None, dict(inputs))
    except Exception as error:  # of onnxruntime, of many kinds
        reason = printable(str(error).rpartition(" : ")[2], 200)
        raise NotPossibleError(f"onnxruntime cannot run the exported file: {reason}; nothing was written") from None
    return found


def _of_numbers(new: Array, old: Array) -> float:
    """The largest difference, relative to the largest old value; infinite where only one is a number."""
    new, old = new.astype(np.float64), old.astype(np.float64).reshape(new.shape)
    if not np.array_equal(np.isfinite(new), np.isfinite(old)):
        return np.inf
    known = np.isfinite(old)
    if not known.any():
        return 0.0
    largest = np.abs(old[known]).max()
    return float(np.abs(new - old)[known].max() / largest) if largest else float(np.abs(new[known]).max())


def _of_rounded(new: Array, old: Sequence[Array], between: bool) -> float:
    """0 if each value is one of those that rounding allows, or lies ``between`` them if this is allowed too, else infinite."""
    same = np.zeros(len(new), bool)
    for each in old:
        same |= new == each
        if new.dtype.kind == "f":
            same |= np.isnan(new) & np.isnan(each)
    if between and new.dtype == np.int64:
        low, high = np.min(old, 0), np.max(old, 0)
        same |= (low != np.iinfo(np.int64).min) & (low <= new) & (new <= high)  # the least integer is a missing value
    return 0.0 if same.all() else np.inf


def _of_verdicts(detector: OutlierDetector, found: Sequence[Array], scores: Array, tolerance: float) -> float:
    """The difference of scores; infinite if a p-value or a verdict is another one than rounding allows."""
    worst, slack = _of_numbers(found[0], scores), tolerance * np.abs(scores).max()
    low, high = (conformal_p_values(detector.calibration_scores_, scores + by) for by in (-slack, slack))
    verdicts = (found[2] == (scores < detector.offset_)) | (np.abs(scores - detector.offset_) <= slack)
    return worst if ((found[1] >= low) & (found[1] <= high) & verdicts).all() else np.inf
