"""Classification with an autoencoder: first a linear softmax on its codes is trained, then the encoder together with it."""

from __future__ import annotations

import math
import os
import warnings
from copy import deepcopy
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, column_or_1d

from isthmus.architectures import Modules
from isthmus.corruptions import Clean, Corruption
from isthmus.data import as_examples
from isthmus.data.label_values import label_text
from isthmus.data.labels import ClassLabels, class_labels, json_labels, numbered
from isthmus.data.memmap import selected_rows
from isthmus.data.sample_weights import mean_one, sample_weights
from isthmus.data.sparse_rows import concatenated
from isthmus.data.validation import Examples, Missing
from isthmus.errors import DataError, DivergenceError, IsthmusWarning, RecordError
from isthmus.estimators import fitted_state, wrapper
from isthmus.estimators.argument_check import refuse_conditional, refuse_other_shape, takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.base import RecordParams, WrapsAutoencoder, seed_of
from isthmus.estimators.classifier_file import ClassifierPart, read_classifier, to_tensors
from isthmus.estimators.classifier_head import Head, Net
from isthmus.estimators.fitted_state import move_to_cpu
from isthmus.estimators.given import with_unlabeled
from isthmus.estimators.inference import in_batches
from isthmus.estimators.model_file import Tensors
from isthmus.estimators.notebook_table import NotebookTable, last_losses
from isthmus.estimators.overflow import ComputableRange
from isthmus.estimators.training_defaults import threads_for
from isthmus.estimators.unit_check import check_units_once
from isthmus.io.terminal import interactive
from isthmus.nn.device import check_bfloat16, grad_mode
from isthmus.optimizers import AdamW, OneCycle, Optimizer
from isthmus.records import Record
from isthmus.trainable import Trainable
from isthmus.training.batches import InMemorySource, LabeledSource, Source
from isthmus.training.config import TrainingConfig
from isthmus.training.loop import train
from isthmus.training.progress import with_progress
from isthmus.training.state import Report, State

__all__ = ["AutoencoderClassifier", "finetune"]

Array = NDArray[Any]
_MAX_LISTED = 10  # classes shown in a notebook
_STEPS = 1000  # of each phase, if epochs="auto"
_SOFTMAX_OPTIMIZER = AdamW(1e-2, schedule=OneCycle())
_FINETUNE_OPTIMIZER = AdamW(1e-3, schedule=OneCycle())


class AutoencoderClassifier(NotebookTable, RecordParams, WrapsAutoencoder, ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """A classifier: an autoencoder's encoder and a linear softmax on its codes. The loss is cross-entropy, in nats per example.

    The encoder is pretrained without labels, on the same examples or on many more. Few labels are then enough
    (Hinton & Salakhutdinov 2006; Erhan et al. 2010, "Why does unsupervised pre-training help deep learning?"). Training has two phases:
    first the softmax on fixed codes, then the encoder together with the softmax. Device and precision are the autoencoder's.

    Args:
        autoencoder: a fitted one is copied and provides the initial encoder; one that is not fitted is first trained on the
            examples; auto: `Autoencoder()`. It is never changed itself. scikit-learn's `clone` (in a cross-validation, for example)
            removes the fitted weights: wrap a fitted autoencoder in `sklearn.frozen.FrozenEstimator` to keep them.
        frozen: train the softmax only, on fixed codes: a linear probe.
        pretrain: False starts from random weights, even if the autoencoder is fitted: the same network from scratch, for comparison.
        corruption: corrupts examples while the encoder is trained with labels (`isthmus.corruptions`), against overfitting;
            auto: none.
        optimizer: of both phases; auto: `AdamW` with a one-cycle schedule and a learning rate of 1e-2 for the softmax, 1e-3 for
            the second phase.
        epochs: passes over the labeled examples in each phase; auto: about 1,000 steps, between 10 and 100 epochs.
        batch_size: examples per step; auto: n / 40 for n labeled examples, between 16 and 256.
        random_state: an int makes everything reproducible, including the training of an autoencoder whose random_state is None.
        verbose: 1 shows progress.

    Attributes:
        classes_: the classes, sorted.
        autoencoder_: the copy of the autoencoder. Its encoder is finetuned, its decoder unchanged.
        net_: encoder and softmax, an nn.Module.
        history_: a `Report` for each epoch, first of the softmax phase, then of the second phase.

    Examples:
        >>> classifier = AutoencoderClassifier(ae, epochs=2, random_state=0).fit(X, y)
        >>> classifier.predict(X).shape, classifier.predict_proba(X).shape
        ((200,), (200, 10))
    """

    _auto: ClassVar[dict[str, Record]] = {"corruption": Clean(), "optimizer": _FINETUNE_OPTIMIZER}
    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012  # scikit-learn reads it from the class
        "autoencoder": [Autoencoder, FrozenEstimator, StrOptions({"auto"})],
        "frozen": ["boolean"],
        "pretrain": ["boolean"],
        "corruption": [Corruption, StrOptions({"auto"})],
        "optimizer": [Optimizer, StrOptions({"auto"})],
        "epochs": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        autoencoder: Autoencoder | FrozenEstimator | Literal["auto"] = "auto",
        *,
        frozen: bool = False,
        pretrain: bool = True,
        corruption: Corruption | Literal["auto"] = "auto",
        optimizer: Optimizer | Literal["auto"] = "auto",
        epochs: float | Literal["auto"] = "auto",
        batch_size: int | Literal["auto"] = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.autoencoder = autoencoder
        self.frozen = frozen
        self.pretrain = pretrain
        self.corruption = corruption
        self.optimizer = optimizer
        self.epochs = epochs
        self.batch_size = batch_size
        self.random_state = random_state
        self.verbose = verbose

    autoencoder_: Autoencoder
    net_: Net
    classes_: Array
    history_: tuple[Report, ...]

    @grad_mode()
    @check_units_once()
    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, unlabeled: Any = None) -> Self:
        """Trains on labeled examples: first the softmax on the codes, then the encoder with it.

        Args:
            X: examples (n, *shape).
            y: labels (n,): numbers, text, Booleans or dates. None, NaN, NaT, pandas.NA and empty text mean that an example has no label.
                Such examples do not train the classifier, and a warning says how many there are. An autoencoder that is not fitted is
                trained on all of X. -1 is an ordinary label.
            sample_weight: weights (n,) of the examples in both phases, and in the training of an autoencoder that is not fitted, as in
                `Autoencoder.fit`. Examples of ``unlabeled`` have the weight 1.
            unlabeled: more examples (m, *shape), on which an autoencoder that is not fitted is trained too.

        Returns:
            The estimator itself.

        Raises:
            NotPossibleError: the autoencoder is conditional.
            DataError: the examples or the labels cannot be used.
            RecordError: unlabeled is given, and the autoencoder is fitted already.
            DivergenceError: the loss is not finite.
        """
        self._validate_params()
        seed = seed_of(self.random_state)
        examples = self._as_examples(X)
        given = _checked_labels(examples.values, y)
        classes, indices = given.classes, given.labeled_numbers()
        weights = None if sample_weight is None else sample_weights(sample_weight, len(examples.values))
        ae = self._encoder(examples, y, unlabeled, seed, weights)
        values = ae._examples(examples)
        if given.n_unlabeled:
            values = selected_rows(values, np.flatnonzero(given.labeled))
        weights = None if weights is None else _of_labeled(weights, given)
        codes, model = ae.transform(values), ae.model_
        head = Head(codes, len(classes), model.dtype, weights).to(model.device)
        net, labels = Net(model, head), torch.from_numpy(indices).to(model.device)
        history, state = list[Report](), State()
        phases: list[tuple[Trainable, Source, TrainingConfig]] = [
            (head, InMemorySource(codes, model.device), self._plan(len(values), _SOFTMAX_OPTIMIZER, Clean(), ae, seed))
        ]
        if not self.frozen:
            corrupted = Clean() if isinstance(self.corruption, str) else self.corruption
            phases.append((net, ae._source(values), self._plan(len(values), _FINETUNE_OPTIMIZER, corrupted, ae, seed)))
        for number, (part, source, plan) in enumerate(phases):
            reports = train(part, ae._weighted(LabeledSource(source, labels), weights), plan, state=state)
            title = ("softmax", "all")[number]
            history += with_progress(reports, None, title, lines=not interactive()) if self.verbose else reports
            state = State(state.epoch, state.step)
        net.eval()
        # in one step: after an interrupt the classifier is either unchanged or fitted
        self.__dict__.update(autoencoder_=ae, net_=net, classes_=classes, history_=tuple(history))
        return self

    def _fitted_rows(self) -> list[tuple[str, str]]:
        listed = ", ".join(map(label_text, self.classes_[:_MAX_LISTED])) + (
            ", ..." if len(self.classes_) > _MAX_LISTED else ""
        )
        rows = [("classes_", f"{len(self.classes_):,}: {listed}"), *last_losses(self.history_, "nats per example")]
        return rows + [(f"autoencoder_.{name}", value) for name, value in self.autoencoder_._fitted_rows()]

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        if "net_" in state and state["net_"].device.type != fitted_state.PICKLE_DEVICE:
            both = deepcopy((self.autoencoder_, self.net_))  # together: they share the encoder
            move_to_cpu([*both[0]._require_fitted().tensors(), *both[1].head.parameters(), *both[1].head.buffers()])
            return state | {"autoencoder_": both[0], "net_": both[1]}
        return state

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied = memo[id(self)] = object.__new__(type(self))
        copied.__dict__.update(deepcopy(self.__dict__, memo))
        return copied

    def decision_function(self, X: Any) -> Array:
        """The logits of the softmax.

        Args:
            X: examples (n, *shape) in the units of the training data.

        Returns:
            Logits (n, classes). For two classes their difference (n,), which is positive if the second class is more probable.
        """
        logits = self._apply(X, lambda raw: self.net_.logits(raw))
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_log_proba(self, X: Any) -> Array:
        """The logarithms of the probabilities.

        Args:
            X: examples (n, *shape) in the units of the training data.

        Returns:
            (n, classes), float64, in nats.
        """
        return self._apply(X, lambda raw: torch.log_softmax(self.net_.logits(raw).double(), 1))

    def predict_proba(self, X: Any) -> Array:
        """The probability of each label of `classes_`.

        Args:
            X: examples (n, *shape) in the units of the training data.

        Returns:
            (n, classes), float64; each row sums to 1.
        """
        return self._apply(X, lambda raw: torch.softmax(self.net_.logits(raw).double(), 1))

    def predict(self, X: Any) -> Array:
        """The most probable label of each example.

        Args:
            X: examples (n, *shape) in the units of the training data.

        Returns:
            Labels (n,), of the type that `fit` was given.
        """
        logits = self._apply(X, lambda raw: self.net_.logits(raw))
        labels: Array = self.classes_[logits.argmax(1)]
        return labels

    @check_units_once()
    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """The accuracy on the labeled examples.

        Args:
            X: examples (n, *shape) in the units of the training data.
            y: labels (n,); examples without a label do not count.
            sample_weight: weights (n,), at least 0; without it all examples count equally.

        Returns:
            The fraction of examples that `predict` classifies correctly, between 0 and 1.

        Raises:
            DataError: no example has a label, or the numbers of labels and examples differ.
        """
        predicted = self.predict(X)
        labels = class_labels(y, len(predicted))
        labeled = np.flatnonzero(labels.labeled)
        if not len(labeled):
            raise DataError(f"none of the {len(labels):,} examples has a label: an accuracy requires labels")
        predicted_indices, indices = numbered([class_labels(predicted[labeled], len(labeled)), labels[labeled]])
        weights = None if sample_weight is None else _of_labeled(sample_weights(sample_weight, len(labels)), labels)
        return float(np.average(predicted_indices == indices, weights=weights))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model file, which `isthmus.load` reads: encoder, softmax and classes.

        The file does not contain the autoencoder that the classifier was given. A loaded classifier that is fitted again starts with its
        own encoder.

        Args:
            path: the file; an existing file is replaced.

        Raises:
            NotPossibleError: the labels are neither numbers, text, Booleans nor dates.
            DivergenceError: a weight is not finite.
        """
        check_is_fitted(self)
        self._validate_params()
        statistics, tensors = to_tensors(self.net_.head, self.classes_, self.history_)
        nonfinite = next(
            (name for name, tensor in self.net_.head.state_dict().items() if not tensor.isfinite().all()), None
        )
        if nonfinite is not None:
            raise DivergenceError(
                f"the softmax's {nonfinite} is not finite: the classifier cannot be saved; fit it again"
            )
        part = ClassifierPart(
            **wrapper.describe_parameters(self),
            classes=len(self.classes_),
            epoch=self.history_[-1].epoch if self.history_ else 0,
            statistics=statistics,
        )
        wrapper.write_wrapper(path, self.autoencoder_, "classifier", part, tensors)

    @classmethod
    def _loaded(cls, ae: Autoencoder, part: ClassifierPart, tensors: Tensors, architecture: Modules | None) -> Self:
        """The classifier of a file; ValueError or similar if the file describes none."""
        classifier = cls(**wrapper.read_parameters(part, ae, architecture))
        classifier._validate_params()
        head, classes, history = read_classifier(part, tensors)
        net = Net(ae.model_, head.to(ae.model_.device))
        net.eval()
        classifier.__dict__.update(autoencoder_=ae, net_=net, classes_=classes, history_=history)
        return classifier

    @property
    def _keeps_encoding(self) -> bool:
        held = getattr(self.autoencoder, "estimator", self.autoencoder)
        return self.pretrain and isinstance(held, Autoencoder) and held.__sklearn_is_fitted__()

    def _encoder(self, X: Examples, y: Any, unlabeled: Any, seed: int, weights: Array | None) -> Autoencoder:
        """The classifier's own copy of the autoencoder, trained unless pretrain=False."""
        given = self.autoencoder.estimator if isinstance(self.autoencoder, FrozenEstimator) else self.autoencoder
        given = Autoencoder() if isinstance(given, str) else given
        if not isinstance(given, Autoencoder):
            raise RecordError(
                f"invalid autoencoder={self.autoencoder!r}: the frozen estimator must be an isthmus.Autoencoder"
            )
        refuse_conditional(given, "AutoencoderClassifier")
        if given.__sklearn_is_fitted__() and self.pretrain:
            if unlabeled is not None:
                raise RecordError(
                    "unlabeled examples are only for an autoencoder that is not fitted, and this one is fitted: leave them out"
                )
            if not self.frozen:
                check_bfloat16(given.precision_, given.model_.device)
            return deepcopy(given)
        ae: Autoencoder = clone(given)
        if ae.random_state is None:
            ae.set_params(random_state=seed)
        examples = _concatenated(X, unlabeled, self._missing)
        refuse_other_shape(ae, examples.values.shape[1:], "AutoencoderClassifier")
        labels = with_unlabeled(y, len(examples.values)) if ae._uses_y else None
        if not self.pretrain:
            return ae.initialize(examples, labels)
        if weights is not None:
            weights = np.concatenate([weights, np.ones(len(examples.values) - len(weights))])
        return ae.fit(examples, labels, sample_weight=weights)

    def _plan(self, n: int, auto: Optimizer, corruption: Corruption, ae: Autoencoder, seed: int) -> TrainingConfig:
        optimizer = auto if isinstance(self.optimizer, str) else self.optimizer
        batch = min(256, max(16, n // 40), n) if isinstance(self.batch_size, str) else int(min(self.batch_size, n))
        auto_epochs = min(100, max(10, math.ceil(_STEPS / math.ceil(n / batch))))
        epochs = auto_epochs if isinstance(self.epochs, str) else self.epochs
        return TrainingConfig(
            corruption, optimizer, epochs, batch, seed, ae.precision_, threads=threads_for(ae.model_, batch)
        )

    def _apply(self, X: Any, function: Any) -> Array:
        """Applies a function of batches of raw examples to checked examples."""
        check_is_fitted(self)
        ae = self.autoencoder_
        computable = ComputableRange.examples(ae.model_, ae._require_fitted().columns)
        rows: Array = in_batches(function, ae._examples(X), ae.model_, computable=computable)
        return rows


def _checked_labels(X: Array, y: Any) -> ClassLabels:
    """The checked labels; a warning if some examples have none."""
    if y is None:
        raise DataError(
            "AutoencoderClassifier requires y to be passed, but the target y is None: give a label for each example"
        )
    if isinstance(y, np.ndarray) and y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    labels = class_labels(y, len(X))
    if labels.n_unlabeled == len(labels):
        raise DataError(f"none of the {len(labels):,} examples has a label: training requires labels")
    if labels.classes.dtype.kind == "f":  # numbers with fractions suggest regression
        parts = labels.classes[labels.classes != np.floor(labels.classes)]
        if len(parts):
            raise DataError(
                f"Unknown label type: continuous: {json_labels(parts)[0]!r} and {len(parts) - 1:,} others "
                f"of {len(labels.classes):,} labels "
                "have fractions: give whole numbers or text, y.astype(str) if each is a class"
            )
    if len(labels.classes) < 2:
        raise DataError(
            f"y has only one class, {json_labels(labels.classes)[0]!r}: give examples of at least two classes"
        )
    if labels.n_unlabeled:
        have = "has" if labels.n_unlabeled == 1 else "have"
        warnings.warn(
            f"{labels.n_unlabeled:,} of {len(labels):,} examples {have} no label: the classifier is trained on the other "
            f"{len(labels) - labels.n_unlabeled:,}",
            IsthmusWarning,
            stacklevel=3,
        )
    return labels


def _of_labeled(weights: Array, labels: ClassLabels) -> Array | None:
    """The weights of the labeled examples, with mean 1; None if all are the same."""
    known = weights[labels.labeled]
    if not known.any():
        raise DataError("sample_weight is zero for all examples with a label: give at least one a positive weight")
    return mean_one(known)


def _concatenated(first: Examples, unlabeled: Any, missing: Missing) -> Examples:
    """Labeled and unlabeled examples in one array."""
    if unlabeled is None:
        return first
    second = as_examples(unlabeled, missing=missing, table=first.table)
    if first.values.shape[1:] != second.values.shape[1:] or first.columns != second.columns:
        raise DataError(
            f"unlabeled examples have shape {second.values.shape[1:]} and labeled ones {first.values.shape[1:]}: "
            "give both the same shape and the same columns"
        )
    return Examples(concatenated(first.values, second.values), first.columns, first.kind, table=first.table)


@takes_autoencoder
def finetune(
    ae: Autoencoder,
    X: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    frozen: bool = False,
    epochs: float | Literal["auto"] = "auto",
    optimizer: Optimizer | Literal["auto"] = "auto",
    random_state: int | np.random.RandomState | None = None,
    verbose: int = 0,
) -> AutoencoderClassifier:
    """Trains an `AutoencoderClassifier` that starts with the encoder of a fitted autoencoder.

    Args:
        ae: a fitted autoencoder, trained on labeled and unlabeled examples. It does not change.
        X: examples (n, *shape) in the units of its training data.
        y: labels (n,), as for `AutoencoderClassifier.fit`.
        sample_weight: weights (n,), as for `AutoencoderClassifier.fit`.
        frozen, epochs, optimizer, random_state, verbose: parameters of `AutoencoderClassifier`.

    Returns:
        The fitted classifier.

    Raises:
        NotFittedError: the autoencoder is not fitted.

    Examples:
        >>> classifier = finetune(ae, X, y, epochs=2, random_state=0)
        >>> classifier.classes_.tolist()
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """
    check_is_fitted(ae)
    classifier = AutoencoderClassifier(
        ae, frozen=frozen, epochs=epochs, optimizer=optimizer, random_state=random_state, verbose=verbose
    )
    return classifier.fit(X, y, sample_weight=sample_weight)
