"""Anomaly detection: scores, a calibrated threshold, conformal p-values and feature attributions."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from isthmus.architectures import LinearSkip, Modules
from isthmus.architectures.base import Architecture
from isthmus.data.blocks import blocks_of
from isthmus.data.context_array import attach_context, context_of
from isthmus.data.kinds import kind_of
from isthmus.data.memmap import joined_rows, random_parts
from isthmus.data.sample_weights import sample_weights
from isthmus.data.series.split_in_time import shared_steps, split_in_time
from isthmus.data.series.window_array import windows_of
from isthmus.data.validation import Examples, blocks
from isthmus.errors import DataError, IsthmusWarning, NotPossibleError, RecordError
from isthmus.estimators import wrapper
from isthmus.estimators.argument_check import check_autoencoder, refuse_other_shape
from isthmus.estimators.attribution import (
    Attribution,
    TopFeatures,
    attribute_by_error,
    attribute_by_replacement,
    typical_values,
)
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.base import WrapsAutoencoder, seed_of
from isthmus.estimators.conformal import conformal_p_values, conformal_rank, required_examples
from isthmus.estimators.ensemble_score import EnsembleScore
from isthmus.estimators.export import Exported, export
from isthmus.estimators.given import Given, some_labels
from isthmus.estimators.model_file import Tensors
from isthmus.estimators.notebook_table import NotebookTable
from isthmus.estimators.outlier_detector_file import DetectorPart, read_scorer, to_file
from isthmus.estimators.outlier_scores import Kind, Scorer
from isthmus.estimators.squared_errors import bounded_reconstructions, feature_errors, squared_errors
from isthmus.estimators.unit_check import check_units_once
from isthmus.scaling import Curves
from isthmus.text import quoted

__all__ = ["MIN_EXAMPLES", "OutlierDetector"]

Array = NDArray[Any]
Doubles = NDArray[np.float64]
AnomalyScore = Kind | Literal["auto"]

DEFAULT_RATE = 0.05  # false-alarm rate, if neither it nor a contamination is given
_MAX_FEATURES = 64  # of a table, whose shares are summed by column
_MAX_CONTAINED = 0.5  # fraction of the examples that may equal a reference
MIN_EXAMPLES = 5  # for training, for measuring errors and for calibration


class OutlierDetector(NotebookTable, WrapsAutoencoder, OutlierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Detects anomalous examples with an autoencoder, without labels. Scores and predictions have scikit-learn's signs.

    A fraction ``calibration_fraction`` of the examples, the calibration set, is excluded from all fitting. With a
    ``false_alarm_rate`` of α the threshold ``offset_`` is the k-th lowest of its n scores, k = ⌊α (n + 1)⌋. Scores below are anomalous.
    A new normal example is then flagged with a probability of at most k / (n + 1) ≤ α, for any distribution, autoencoder and n
    (split conformal prediction: Vovk, Gammerman & Shafer 2005; for outliers Bates et al. 2023, "Testing for outliers with conformal
    p-values"). The probability includes the random draw of the calibration set.
    The guarantee requires calibration data and new normal data to be exchangeable. Anomalies in the calibration set make alarms rarer.
    Windows of a series (`isthmus.data.Windows`) depend on their neighbors: the latest of each machine are the calibration set, no
    two parts share a row, and the threshold is that of the calibration windows, without a guarantee.
    With a ``contamination`` of c the threshold is instead the c-quantile of the scores of all examples given to `fit`, as in
    scikit-learn: that fraction of them is anomalous. There is no guarantee for new examples.

    Args:
        autoencoder: an `Autoencoder`, which is cloned and trained. "auto": one with all defaults, but for the score "neighbors" of tables
            of numbers alone with ``architecture=LinearSkip()``, whose training begins with PCA. A scikit-learn
            ``FrozenEstimator`` of a fitted one, which is not trained again: `fit` then requires examples that it was not
            trained on (see `from_fitted`).
        anomaly_score: the score that makes an example anomalous; "combined", "code", "standardized" and "nats" in nats.
            "combined", the auto score of images and kind="windows": minus the log-densities of the code (a mixture,
            `outlier_scores.CodeDensity`) and of the standardized error (`outlier_scores.ErrorDensity`), treated as independent. On held-out
            training digits it ranked anomalies far better than "error" and "nats", and as well as "code" or better.
            "code", "standardized": only the first, or only the second of these two terms.
            "ensemble", the auto score of series: the mean distance to the five nearest training windows, the same for
            shapes (each channel of a window with mean 0 and standard deviation 1), the standardized error of the autoencoder, and the
            error of PCA with as many components as the code has, at most half the features. Their logarithms, standardized on held-out
            windows, are averaged (`ensemble_score.EnsembleScore`). On synthetic and real series it ranked at least as well as each of
            them on average; see docs/series.md. The detector and its file keep training windows: of more than 10,000, or of
            more than 8 million values, a random part. Other examples have no shape.
            "neighbors", the auto score of tables: the mean distance to the five nearest examples not in the calibration set, in model
            units (Ramaswamy et al. 2000, "Efficient algorithms for mining outliers from large data sets"; here averaged), the
            standardized error, and the probability of values as low or as high (`neighbors.TailProbability`), on a common scale
            without unit (`neighbors.TableScore`). The detector and its file keep at most 10,000 of these examples. On 49 tables
            it ranked better than each of its parts, PCA and isolation forest; see docs/anomalies.md.
            "error": the mean squared error in model units, cheap, without examples in the file. Auto for conditional tables.
            "nats": the autoencoder's loss, `Autoencoder.score_samples`. With missing="allow" it is in model units, so that
            examples with different observed columns are comparable.
        contamination: the expected fraction of anomalies in the examples given to `fit`, in (0, 0.5].
        false_alarm_rate: the allowed fraction of normal examples flagged as anomalous, in (0, 1). 0.05 if neither is given.
        calibration_fraction: the fraction of examples in the calibration set. A further quarter of this number is excluded from the
            autoencoder's training, to measure the errors of examples that it was not trained on.
        random_state: an int makes everything reproducible, including the training of an autoencoder whose random_state is None.

    Attributes:
        autoencoder_: the fitted autoencoder.
        anomaly_score_: the score that is computed; it is `anomaly_score`, or what "auto" stands for.
        offset_: the threshold of `score_samples`; -inf if the calibration set is too small for the false-alarm rate.
        calibration_scores_: (n,), the scores of the calibration set, ascending.
        n_references_: the number of normal examples that the detector and its file keep; 0 unless the score is "neighbors" or "ensemble".
        feature_errors_: (*shape), the mean squared error of each feature on held-out examples, in squared model units.

    Examples:
        >>> detector = OutlierDetector(ae, random_state=0).fit(X)
        >>> detector.predict(X).shape, detector.score_samples(X).shape
        ((200,), (200,))
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012  # scikit-learn reads it from the class
        "autoencoder": [Autoencoder, FrozenEstimator, StrOptions({"auto"})],
        "anomaly_score": [
            StrOptions({"auto", "ensemble", "neighbors", "combined", "code", "error", "standardized", "nats"})
        ],
        "contamination": [Interval(Real, 0, 0.5, closed="right"), None],
        "false_alarm_rate": [Interval(Real, 0, 1, closed="neither"), None],
        "calibration_fraction": [Interval(Real, 0, 0.75, closed="neither")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        autoencoder: Autoencoder | Any | Literal["auto"] = "auto",
        *,
        anomaly_score: AnomalyScore = "auto",
        contamination: float | None = None,
        false_alarm_rate: float | None = None,
        calibration_fraction: float = 0.2,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.autoencoder = autoencoder
        self.anomaly_score = anomaly_score
        self.contamination = contamination
        self.false_alarm_rate = false_alarm_rate
        self.calibration_fraction = calibration_fraction
        self.random_state = random_state

    autoencoder_: Autoencoder
    offset_: float
    calibration_scores_: Doubles
    feature_errors_: Doubles
    _scorer: Scorer

    @classmethod
    def from_fitted(
        cls, ae: Autoencoder, X_normal: Any, y: Any = None, *, references: Any = None, **choices: Any
    ) -> Self:
        """A detector with a fitted autoencoder, which does not change: `OutlierDetector(FrozenEstimator(ae), **choices).fit(X_normal, y)`.

        Args:
            ae: a fitted autoencoder.
            X_normal: normal examples (n, *shape) on which ``ae`` was not trained. Errors on training examples are too small.
            y: labels (n,) or covariates for a conditional autoencoder; others ignore it.
            references: normal examples (m, *shape) for the scores "neighbors" and "ensemble", such as those that ``ae`` was
                trained on; see `fit`.
            choices: parameters of `OutlierDetector`.

        Returns:
            The fitted detector.

        Examples:
            >>> normal = isthmus.data.digits().train[200:400]  # not trained on
            >>> detector = OutlierDetector.from_fitted(ae, normal, false_alarm_rate=0.1, random_state=0)
            >>> detector.autoencoder_ is ae
            True
        """
        check_autoencoder(ae, f"{cls.__name__}.from_fitted")
        return cls(FrozenEstimator(ae), **choices).fit(X_normal, y, references=references)

    @property
    def anomaly_score_(self) -> Kind:
        """The score that is computed."""
        check_is_fitted(self)
        return self._scorer.kind

    @property
    def scorer_(self) -> Scorer:
        """The fitted anomaly score."""
        check_is_fitted(self)
        return self._scorer

    @property
    def n_references_(self) -> int:
        """The number of normal examples that the detector and its file keep, for the distance to the nearest of them."""
        check_is_fitted(self)
        return 0 if self._scorer.near is None else len(self._scorer.near.neighbors.references)

    @check_units_once()
    def fit(self, X: Any, y: Any = None, *, sample_weight: Any = None, references: Any = None) -> Self:
        """Trains on examples, most of them normal, and sets the threshold.

        Args:
            X: examples (n, *shape).
            y: labels (n,) or covariates for an autoencoder that uses y, as in `Autoencoder.fit`; others ignore it. With a conditional
                architecture an example is anomalous for its label, and all methods require y; otherwise scores never depend on it.
            sample_weight: weights (n,) of the examples in the training of the autoencoder, as in `Autoencoder.fit`. Held-out errors and
                the threshold do not use them: the guarantee is about examples as they are drawn.
            references: more normal examples (m, *shape) to which the scores "neighbors" and "ensemble" measure distances, such as those
                that a frozen autoencoder was trained on. None of them may be among X, whose scores would be too good; nor may windows
                of the same rows of a series, cut elsewhere. Other scores ignore them.

        Returns:
            The estimator itself.

        Raises:
            DataError: there are too few examples, or they cannot be used; or y is missing; or references has the examples of X.
            DivergenceError: scores are not finite.
            RecordError: both contamination and false_alarm_rate are given; or sample_weight, with a frozen autoencoder.
            NotPossibleError: X are windows of a series, and the autoencoder is conditional.
        """
        self._validate_params()
        if self.contamination is not None and self.false_alarm_rate is not None:
            raise RecordError("contamination and false_alarm_rate both set the threshold: give only one of them")
        examples, seed = self._as_examples(X, MIN_EXAMPLES), seed_of(self.random_state)
        frozen = isinstance(self.autoencoder, FrozenEstimator)
        weights = None if sample_weight is None else sample_weights(sample_weight, len(examples.values))
        if frozen and weights is not None:
            raise RecordError(
                "sample_weight is for training, and the frozen autoencoder is not trained again: leave it out"
            )
        if windows_of(examples.values) is not None and getattr(self.autoencoder, "_uses_y", False):
            raise NotPossibleError(
                "a detector with a conditional autoencoder takes no windows of a series: use an autoencoder without conditions"
            )
        calibration, held_out, training = self._split(examples.values, frozen, seed)
        trained = Given(examples.some(training), some_labels(y, training), sample_weight=some_labels(weights, training))
        ae = self._fit_autoencoder(examples, trained, seed)
        values = attach_context(examples.values, _context_of_all(ae, y, examples.values))
        not_calibration = joined_rows(held_out, training)
        kind = self.anomaly_score
        if kind == "auto":
            kind = _auto_score(ae)
        more = None
        if references is not None and kind in {"neighbors", "ensemble"} and not ae._uses_y:
            more = ae._examples(references, computable="all")
            _refuse_contained(values, more)
        parts = values[not_calibration], values[held_out]
        self._warn_of_shared_steps(ae, examples.values)
        known = values[training] if kind == "ensemble" else None  # a copy, which other scores do without
        scorer = Scorer.fit(ae, kind, *parts, seed, training=known, references=more)
        scores = np.sort(scorer(ae, values[calibration]))
        fitted = {
            "autoencoder_": ae,
            "_scorer": scorer,
            "feature_errors_": feature_errors(ae, values[joined_rows(held_out, calibration)]),
            "calibration_scores_": scores,
            "offset_": self._threshold(scores, lambda: scorer(ae, values)),
        }
        self.__dict__.update(fitted)  # in one step: after an interrupt the detector is either unchanged or fitted
        return self

    def fit_predict(self, X: Any, y: Any = None, *, sample_weight: Any = None) -> NDArray[np.int64]:
        """`fit`, then `predict` of the same examples.

        Args:
            X, y, sample_weight: as for `fit`.

        Returns:
            (n,): -1 for anomalous examples and 1 for normal ones.
        """
        return self.fit(X, y, sample_weight=sample_weight).predict(X, y)

    def score_samples(self, X: Any, y: Any = None) -> Doubles:
        """The negative anomaly score of each example: higher means more normal.

        Args:
            X: examples (n, *shape) in the units of the training data.
            y: labels (n,) or covariates, as in `fit`, for a conditional autoencoder; others ignore it.

        Returns:
            Scores (n,), in the unit of `anomaly_score`.
        """
        values = self._rows(X, y)
        return self._scorer(self.autoencoder_, values)

    def decision_function(self, X: Any, y: Any = None) -> Doubles:
        """``score_samples(X) - offset_``.

        Args:
            X: examples (n, *shape) in the units of the training data.
            y: labels (n,) or covariates, as in `fit`, for a conditional autoencoder; others ignore it.

        Returns:
            (n,), in the unit of the score; negative values are anomalous.
        """
        return self.score_samples(X, y) - self.offset_

    def predict(self, X: Any, y: Any = None) -> NDArray[np.int64]:
        """Whether examples are anomalous.

        Args:
            X: examples (n, *shape) in the units of the training data.
            y: labels (n,) or covariates, as in `fit`, for a conditional autoencoder; others ignore it.

        Returns:
            (n,): -1 for anomalous examples and 1 for normal ones.

        Examples:
            >>> detector = OutlierDetector.from_fitted(ae, isthmus.data.digits().train[200:400], random_state=0)
            >>> sorted(set(detector.predict(X).tolist())), detector.predict(10 * X[:3]).tolist()
            ([-1, 1], [-1, -1, -1])
        """
        return np.where(self.decision_function(X, y) < 0, -1, 1)

    def p_values(self, X: Any, y: Any = None) -> Doubles:
        """Conformal p-values: (1 + number of calibration examples with this score or a lower one) / (n_calibration + 1).

        A new normal example has a p-value of α or less with a probability of at most α.

        Args:
            X: examples (n, *shape) in the units of the training data.
            y: labels (n,) or covariates, as in `fit`, for a conditional autoencoder; others ignore it.

        Returns:
            p-values (n,), above 0 and at most 1.
        """
        return conformal_p_values(self.calibration_scores_, self.score_samples(X, y))

    def contributions(self, X: Any, y: Any = None) -> Doubles:
        """The squared error of each feature divided by its mean on held-out examples.

        Args:
            X: examples (n, *shape) in the units of the training data.
            y: labels (n,) or covariates, as in `fit`, for a conditional autoencoder; others ignore it.

        Returns:
            (n, *shape), without unit; about 1 for normal examples, NaN where a value is missing.
        """
        values = self._rows(X, y)
        mean_errors = self.feature_errors_ + 1e-3 * self.feature_errors_.mean()
        return squared_errors(self.autoencoder_, values) / np.where(mean_errors > 0, mean_errors, 1.0)

    @check_units_once()
    def attributions(self, X: Any, n: int = 3, y: Any = None) -> list[list[Attribution]]:
        """The features that contribute most to the anomaly of each example.

        For tables these are the features whose replacement by the expected value, one at a time, raises the score most. Shares are
        relative to the sum of all rises (`isthmus.estimators.attribution.attribute_by_replacement`). For images these are the pixels
        with the largest `contributions`, and shares are relative to their sum.

        Args:
            X: examples (n_examples, *shape) in the units of the training data.
            n: how many features for each example.
            y: labels (n_examples,) or covariates, as in `fit`, for a conditional autoencoder; others ignore it.

        Returns:
            A list of n attributions for each example, the largest share first. In a table with other columns than numbers they are
            those of columns.

        Raises:
            RecordError: n is below 1.

        Examples:
            >>> broken = X[:1].copy()
            >>> broken[0, 4, 0] = 30.0  # one bright pixel at the border
            >>> [each.feature for each in detector.attributions(broken, n=1)[0]]
            [(4, 0)]
        """
        check_is_fitted(self)
        names, shape = getattr(self, "_features", None), self.autoencoder_.shape_
        attributions = list[list[Attribution]]()
        if not isinstance(n, Integral) or n < 1:
            raise RecordError(f"invalid n={quoted(n, 20)}: expected a positive integer, the number of features")
        table = self.autoencoder_._require_fitted().table
        count = int(n) if table is None else max(int(n), _MAX_FEATURES)
        for _, block in blocks(self._rows(X, y)):
            top = self._top_features(block, min(count, math.prod(shape)))
            for positions, shares in zip(*(part.tolist() for part in top), strict=True):
                features = [_feature(place, shape, names) for place in positions]
                parts = [Attribution(*pair) for pair in zip(features, shares, strict=True)]
                attributions.append(parts if table is None else _by_column(parts, table.column_of)[: int(n)])
        return attributions

    def _top_features(self, values: Array, n: int) -> TopFeatures:
        errors, ae, context = self.contributions(values).reshape(len(values), -1), self.autoencoder_, context_of(values)
        near = self._scorer.near
        if len(ae.shape_) > 1:
            return attribute_by_error(errors, n)
        return attribute_by_replacement(
            lambda rows: self._scorer(ae, attach_context(rows, context)),
            lambda rows: bounded_reconstructions(ae, attach_context(rows, context)),
            values,
            errors,
            n,
            ae.scaling_.classes,
            None if ae.model_.curves is None else Curves(*(side.cpu() for side in ae.model_.curves)),
            None if near is None else typical_values(ae.model_, near.neighbors.references),
        )

    def _additive_scores(self, X: Any) -> Doubles:
        """`score_samples` on a scale where the rises of several causes nearly add up, (n,)."""
        return self._scorer.additive(self.score_samples(X))

    def _rows(self, X: Any, y: Any = None) -> Array:
        """Checked examples. For a conditional autoencoder they carry their context."""
        check_is_fitted(self)
        values = self.autoencoder_._examples(X, computable="all")
        return attach_context(values, self.autoencoder_._context(y, values))

    def guarantee(self) -> str:
        """One sentence that says what the threshold guarantees."""
        n = len(self.calibration_scores_)
        if self.contamination is not None:
            return f"a fraction {self.contamination:.4g} of the fitted examples is below the threshold; no guarantee for new examples"
        k = self._rank(n)
        if not k:
            return (
                f"no example is flagged as anomalous: {n:,} calibration examples are too few for this false-alarm rate"
            )
        if self.autoencoder_.kind_ == "series":
            return (
                f"about {k / (n + 1):.2%} of normal windows are flagged as anomalous, measured on {n:,} held-out windows; no guarantee, "
                "since the windows of a series depend on each other"
            )
        return (
            f"a normal example is flagged as anomalous with a probability of at most {k / (n + 1):.4g}, "
            f"calibrated on {n:,} held-out examples"
        )

    def _fitted_rows(self) -> list[tuple[str, str]]:
        n = len(self.calibration_scores_)
        rows = [
            ("offset_", f"{self.offset_:.6g}"),
            ("calibration_scores_", f"{n:,} examples"),
            ("guarantee()", self.guarantee()),
        ]
        return rows + [(f"autoencoder_.{name}", value) for name, value in self.autoencoder_._fitted_rows()]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model file, which `isthmus.load` reads: the autoencoder, the fitted anomaly score and the threshold.

        With the scores "neighbors" and "ensemble" the file contains `n_references_` normal examples.

        Args:
            path: the file; an existing file is replaced.

        Raises:
            NotPossibleError: a parameter was set after `fit`, so that the threshold does not match it; or a score is not finite.
        """
        check_is_fitted(self)
        self._validate_params()
        wrapper.write_wrapper(path, self.autoencoder_, "detector", *to_file(self))

    def export(
        self, folder: str | os.PathLike[str], *, parts: Sequence[str] | None = None, X: Any = None, y: Any = None
    ) -> Exported:
        """Writes ONNX files as `Autoencoder.export`, and the part detect: scores, p-values and verdicts.

        Args:
            folder: to write. An export that is there is replaced.
            parts: some of these names; None: all that the model has.
            X: examples on which files and model are compared, at most 1,000 of them. The files take their dtype. None: random ones
                within the range of the training data.
            y: labels or covariates of X for a conditional autoencoder.

        Returns:
            The folder, and the largest relative difference of each part.

        Raises:
            DataError: the folder holds other files.
            NotPossibleError: the model cannot be exported, a file differs from it, or a package is missing.
            RecordError: there is no such part.
        """
        check_is_fitted(self)
        return export(self, folder, parts=parts, X=X, y=y)

    @classmethod
    def _loaded(cls, ae: Autoencoder, part: DetectorPart, tensors: Tensors, architecture: Modules | None) -> Self:
        """The detector of a file; ValueError or similar if the file describes none."""
        detector = cls(**wrapper.read_parameters(part, ae, architecture))
        detector._validate_params()
        scorer = read_scorer(detector, part, tensors)
        if isinstance(scorer.near, EnsembleScore) and (scorer.near.window is not None) != (ae.kind_ == "series"):
            raise ValueError(f"detector.near has {len(scorer.near.floors)} terms, for examples of another kind")
        detector.__dict__.update(
            autoencoder_=ae,
            _scorer=scorer,
            feature_errors_=tensors["feature_errors"].numpy(),
            calibration_scores_=tensors["calibration"].numpy(),
            offset_=float(tensors["offset"]),
        )
        return detector

    def set_params(self, **params: Any) -> Self:
        """Sets parameters; ``autoencoder__bottleneck__size=8`` makes an ``Autoencoder()`` of "auto" first.

        Its architecture is then `MLP`, also for tables of numbers, unless ``autoencoder__architecture=LinearSkip()`` is set too.

        Args:
            params: values by name.

        Returns:
            The estimator itself.
        """
        if any(name.startswith("autoencoder__") for name in params) and "autoencoder" not in params:
            self.autoencoder = Autoencoder() if isinstance(self.autoencoder, str) else self.autoencoder
        super().set_params(**params)
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "offset_")

    def _rate(self) -> float:
        return DEFAULT_RATE if self.false_alarm_rate is None else self.false_alarm_rate

    def _split(self, values: Array, frozen: bool, seed: int) -> tuple[Array, Array, Array]:
        """The rows for calibration, for measuring errors, and for training (none if frozen): at random, of a series in time."""
        n, windows = len(values), windows_of(values)
        if windows is not None:
            fractions = [self.calibration_fraction / 4, self.calibration_fraction][1 if frozen else 0 :]
            parts = split_in_time(windows, fractions)[::-1]
            return parts[0], parts[1], np.empty(0, np.int64) if frozen else parts[2]
        n_calibration = max(1, round(n * self.calibration_fraction))
        held_out = n - n_calibration if frozen else max(1, n_calibration // 4)
        in_blocks = blocks_of(values) is not None
        return tuple(random_parts(n, [n_calibration, held_out], seed, masks=in_blocks))

    def _fit_autoencoder(self, examples: Examples, trained: Given, seed: int) -> Autoencoder:
        """The fitted autoencoder: the frozen one, the one given, or the default for the data, fitted to the training examples."""
        if isinstance(self.autoencoder, FrozenEstimator):
            frozen = self.autoencoder.estimator
            if not isinstance(frozen, Autoencoder):
                raise RecordError(
                    f"FrozenEstimator({type(frozen).__name__}) has no autoencoder; freeze an isthmus.Autoencoder"
                )
            frozen._examples(examples, computable="all")
            return frozen
        ae: Autoencoder
        if isinstance(self.autoencoder, str):
            ae = Autoencoder(architecture=_auto_architecture(examples, self.anomaly_score), random_state=seed)
        else:
            refuse_other_shape(self.autoencoder, examples.values.shape[1:], "OutlierDetector")
            ae = clone(self.autoencoder)
        if ae.random_state is None:
            ae.set_params(random_state=seed)
        return ae.fit(trained.X, trained.y if ae._uses_y else None, sample_weight=trained.sample_weight)

    def _rank(self, n: int) -> int:
        """The rank of the threshold among n ascending calibration scores; 0 if there are too few."""
        return conformal_rank(self._rate(), n)

    def _threshold(self, scores: Doubles, all_scores: Callable[[], Doubles]) -> float:
        """The threshold, from the ascending calibration scores or, with a contamination, from all scores."""
        if self.contamination is not None:
            return float(np.quantile(all_scores(), self.contamination))
        n, k = len(scores), self._rank(len(scores))
        if k == 0:
            warnings.warn(
                f"{n} calibration examples are too few for a false-alarm rate of {self._rate():g}: no example will be flagged; "
                f"at least {required_examples(self._rate()):,} are required: give more examples, a larger calibration_fraction or rate",
                IsthmusWarning,
                stacklevel=3,
            )
            return -math.inf
        return float(scores[k - 1])

    def _warn_of_shared_steps(self, ae: Autoencoder, values: Array) -> None:
        """Warns if the examples (n, time, ...) of an array are windows that overlap, of which a random part is no new data."""
        if self.contamination is not None or ae.kind_ != "series" or windows_of(values) is not None:
            return
        if n := shared_steps(values):
            warnings.warn(
                f"each example shares {n} of {values.shape[1]} time steps with the next one, and a random part of them calibrates: "
                "more normal examples may be flagged than the threshold says; cut the series with isthmus.data.Windows, of which the "
                "latest windows calibrate",
                IsthmusWarning,
                stacklevel=4,
            )


def _auto_architecture(examples: Examples, score: AnomalyScore) -> Architecture | Literal["auto"]:
    """The architecture of the default autoencoder. With a linear map it reconstructs far rows, which only the neighbors then find."""
    kind = examples.kind or kind_of(examples.values)
    by_neighbors = score in {"auto", "neighbors"} and kind == "table"
    return LinearSkip() if by_neighbors and examples.table is None else "auto"


def _auto_score(ae: Autoencoder) -> Kind:
    """The score that "auto" stands for. A neighbor may have another label, so that conditional autoencoders have none."""
    if ae.kind_ == "table":
        return "error" if ae._uses_y else "neighbors"
    return "ensemble" if ae.kind_ == "series" and not ae._uses_y else "combined"


def _context_of_all(ae: Autoencoder, y: Any, values: Array) -> Array | None:
    """The context of all examples given to `fit`. A label of the calibration set alone is an error."""
    try:
        return ae._context(y, values)
    except DataError as error:
        raise DataError(f"{error}; a part of the examples, drawn at random, calibrates and is not trained on") from None


def _refuse_contained(X: Array, references: Array) -> None:
    """`DataError` if the references have nearly all of the examples, although these differ: each would be its own neighbor.

    Windows of a series are compared with all windows of the rows of the references, so that it does not matter where either is cut.
    Examples that repeat, such as windows of a periodic series, say nothing.
    """
    windows = windows_of(references)
    every: Any = references if windows is None else windows.within()
    own = [hash(np.asarray(row, references.dtype).tobytes()) for row in X]
    given = {hash(np.asarray(row).tobytes()) for row in every}
    differ = len(set(own)) > len(own) / 2 and len(given) > len(every) / 2
    if differ and np.mean([each in given for each in own]) > _MAX_CONTAINED:
        raise DataError(
            "references has the examples of X: pass other normal examples, such as those that the autoencoder was trained on"
        )


def _by_column(parts: list[Attribution], column_of: Mapping[str, str]) -> list[Attribution]:
    """The attributions of features as those of the columns of a table: a date has several features."""
    shares: dict[str, float] = {}
    for part in parts:
        column = column_of[str(part.feature)]
        shares[column] = shares.get(column, 0.0) + part.share
    return [Attribution(column, share) for column, share in sorted(shares.items(), key=lambda pair: -pair[1])]


def _feature(place: int, shape: tuple[int, ...], names: Any) -> str | int | tuple[int, ...]:
    """The name of a feature: column name, index or tuple of indices."""
    if names is not None and len(shape) == 1:
        return str(names[place])
    return place if len(shape) == 1 else tuple(int(index) for index in np.unravel_index(place, shape))
