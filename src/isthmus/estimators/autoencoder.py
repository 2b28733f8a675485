"""The scikit-learn estimator `Autoencoder`: its parameters, training, saving and checkpoints."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from threading import RLock
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin
from sklearn.utils._param_validation import Interval, StrOptions

from isthmus._version import __version__
from isthmus.architectures.base import Architecture
from isthmus.augmentations import Augmentation
from isthmus.bottlenecks.base import Bottleneck
from isthmus.corruptions import Corruption
from isthmus.data.groups import group_numbers, held_out_rows
from isthmus.data.kinds import Kind
from isthmus.data.sample_weights import mean_one, sample_weights, weights_of
from isthmus.data.series.window_array import windows_of
from isthmus.data.statistics import DataStatistics
from isthmus.data.tables.column_kinds import GivenKind
from isthmus.data.validation import Missing
from isthmus.errors import DataError, IsthmusWarning, NotPossibleError, RecordError
from isthmus.estimators.base import FittedAutoencoder, ParameterError, RecordParams, seed_of
from isthmus.estimators.checkpoint import run_state, state_tensors, to_data_units_with_missing
from isthmus.estimators.column_weights import checked_weights
from isthmus.estimators.context import ContextEncoding
from isthmus.estimators.defaults import COMPONENTS, component
from isthmus.estimators.fitted_state import FittedAttribute
from isthmus.estimators.given import Given
from isthmus.estimators.memory_estimate import training_bytes
from isthmus.estimators.notebook_table import NotebookTable, last_losses
from isthmus.estimators.preparation import apply_changes, initial_attributes, prepare
from isthmus.estimators.saving import write_model
from isthmus.estimators.support_check import check_domain, check_examples, check_validation
from isthmus.estimators.training_data import ExampleSet, TrainingData
from isthmus.estimators.training_defaults import batch_size_for, epochs_for, threads_for
from isthmus.io.atomic import check_writable
from isthmus.io.memory_limit import check_memory
from isthmus.io.terminal import interactive
from isthmus.likelihoods import Likelihood
from isthmus.nn.device import check_bfloat16, choose_device, grad_mode, trim_malloc, with_grad_mode
from isthmus.optimizers import Optimizer
from isthmus.penalties import Penalty
from isthmus.records import Record
from isthmus.scaling import Affine, Curves, Scaling
from isthmus.schedules import Constant
from isthmus.text import quoted
from isthmus.training.batches import ContextSource, PairedSource, Source, WeightedSource
from isthmus.training.block_source import Subset, subset
from isthmus.training.config import Precision, TrainingConfig
from isthmus.training.joining import check_same, joined
from isthmus.training.layerwise import pretrain
from isthmus.training.loop import train
from isthmus.training.progress import with_progress
from isthmus.training.rng import RandomStream, seeded
from isthmus.training.shared_reading import shared_reading
from isthmus.training.start import start
from isthmus.training.state import Report, ReportEvery, Reports, check_every

__all__ = ["Autoencoder"]

Array = NDArray[Any]
_EXAMPLES = {  # appended to the error if a parameter has the wrong type
    "bottleneck": "Write for example bottleneck=Identity(16).",
    "architecture": "Write for example architecture=MLP((256, 64)).",
    "augmentation": "Write for example augmentation=Shift(2).",
    "corruption": "Write for example corruption=GaussianNoise(0.3).",
    "penalty": "Write for example penalty=NoPenalty().",
    "likelihood": "Write for example likelihood=Normal().",
    "scaling": "Write for example scaling=Standard().",
    "optimizer": "Write for example optimizer=Adam(1e-3).",
}


class Autoencoder(NotebookTable, RecordParams, FittedAutoencoder, ClassNamePrefixFeaturesOutMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """An autoencoder for arrays of any shape, defined by independent components, and its training.

    A component may be "auto": `fit` then chooses it from the data. The attribute with a trailing underscore holds the choice.

    Args:
        bottleneck: the constraint on the code (`isthmus.bottlenecks`); an int is the size of an `Identity`; auto: a 32-dimensional
            `Identity`, or half the number of features if that is smaller.
        architecture: the encoder and the decoder (`isthmus.architectures`); auto: `MLP`, with missing="allow" `LinearSkip`.
        augmentation: changes example and target alike, anew at each step (`isthmus.augmentations`); auto: none.
        corruption: corrupts the encoder's input during training (`isthmus.corruptions`); the target stays clean; auto: none.
        likelihood: the reconstruction loss (`isthmus.likelihoods`); auto: `Bernoulli` for images in [0, 1], else `Normal` with a
            learned scale.
        penalty: what else the loss requires in training (`isthmus.penalties`); penalties add up with ``+``; auto: none.
        scaling: the map from the data's units to model units (`isthmus.scaling`); auto: `Standard` for tables (per column) and
            windows (per channel); for images see `isthmus.scaling.choose`.
        optimizer: the optimizer and its schedule (`isthmus.optimizers`); auto: `AdamW` with a one-cycle schedule;
            if a penalty has a critic, with ``betas=(0.5, 0.9)``.
        epochs: passes over the training data, may be fractional; auto: about 3,000 steps, between 10 and 50 epochs.
        batch_size: examples per step; auto: n / 40, between 16 and 256.
        early_stopping: stop when the validation loss has not improved by ``tol`` nats for ``n_iter_no_change`` epochs, and
            restore the best weights. Without ``validation_data`` in `fit`, ``validation_fraction`` of the examples are held out.
        warm_start: `fit` continues from the current weights, with the current corruption and optimizer. The random stream
            continues too.
        missing: how to treat NaN: "error" raises; "allow" treats NaN as a missing value and excludes it from loss and scaling.
            The encoder then receives the feature's mean in its place, and `impute` replaces it. With "allow", corruption="auto"
            also masks 30 % of the observed values, and the auto bottleneck may have as many dimensions as the data.
        kind: the meaning of the axes: "table" (a scale per column), "images" (one scale for all pixels), "series" (n, time, channels)
            (a scale per channel, and `Conv` convolves over time) or "windows" (n, ..., channels), with a scale per channel. auto: the kind
            that the data source declares (MNIST, image folders, data frames, `isthmus.data.Windows`). Else: arrays (n, features) are
            tables, uint8 arrays of more axes images, other arrays windows.
        kinds: of a data frame, the kinds of columns by name: "number", "integer", "boolean", "category", "ordered", "date", "drop", or
            the categories of an ordered column in their order. The types say those of others; for text it is guessed, with a warning.
            A category becomes a block of 0 and 1 with a likelihood of its own (`Columns`, `Mixed`).
        column_weights: of a data frame or a table with names, how much columns count in the loss: {"price": 5, "note": 0.1}. Others
            count 1, and 0 leaves a column out of the loss. All features of a category or a date have the weight of their column. Losses and
            scores are then weighted sums of nats (`Weighted`).
        precision: "float32", "float64", "bfloat16" (matrix products and convolutions during training), or "auto": bfloat16 for
            convolutions and large dense layers if the device supports it, else float32.
        device: "cpu", "cuda", ...; auto: a GPU if there is one.
        random_state: an int makes training reproducible; None draws a new seed. The global generators are never used.
        verbose: 1 shows progress.

    Attributes:
        kind_: "table", "images", "series" or "windows".
        model_: the trained `isthmus.model.Model`, an nn.Module with ``encoder`` and ``decoder``.
        history_: a `Report` for each epoch.
        shape_, code_shape_: the shape of one example and of one code.
        n_parameters_, n_fixed_: trainable parameters; weights that training does not change, such as the linear maps of `LinearSkip`.

    Examples:
        >>> X = isthmus.data.digits().train[:200]  # (200, 8, 8), in [0, 1]
        >>> ae = Autoencoder(4, architecture=MLP((32,)), epochs=2, random_state=0).fit(X)
        >>> ae.encode(X).shape, ae.reconstruct(X).shape
        ((200, 4), (200, 8, 8))

        The other examples use this ``X`` and this ``ae``; ``y`` holds the labels of X.
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012  # scikit-learn reads it from the class
        **{name: [kind, StrOptions({"auto"})] for name, kind in COMPONENTS.items()},
        "bottleneck": [Bottleneck, Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "epochs": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "early_stopping": ["boolean"],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "missing": [StrOptions({"error", "allow"})],
        "kind": [StrOptions({"auto", "table", "images", "series", "windows"})],
        "kinds": [Mapping, None],
        "column_weights": [Mapping, None],
        "precision": [StrOptions({"auto", "float32", "float64", "bfloat16"})],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        bottleneck: Bottleneck | int | Literal["auto"] = "auto",
        *,
        architecture: Architecture | Literal["auto"] = "auto",
        augmentation: Augmentation | Literal["auto"] = "auto",
        corruption: Corruption | Literal["auto"] = "auto",
        likelihood: Likelihood | Literal["auto"] = "auto",
        penalty: Penalty | Literal["auto"] = "auto",
        scaling: Scaling | Literal["auto"] = "auto",
        optimizer: Optimizer | Literal["auto"] = "auto",
        epochs: float | Literal["auto"] = "auto",
        batch_size: int | Literal["auto"] = "auto",
        validation_fraction: float = 0.1,
        early_stopping: bool = False,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        warm_start: bool = False,
        missing: Missing = "error",
        kind: Kind | Literal["auto"] = "auto",
        kinds: Mapping[str, GivenKind] | None = None,
        column_weights: Mapping[str, float] | None = None,
        precision: Precision = "auto",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.bottleneck = bottleneck
        self.architecture = architecture
        self.augmentation = augmentation
        self.corruption = corruption
        self.likelihood = likelihood
        self.penalty = penalty
        self.scaling = scaling
        self.optimizer = optimizer
        self.epochs = epochs
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.missing = missing
        self.kind = kind
        self.kinds = kinds
        self.column_weights = column_weights
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    architecture_ = FittedAttribute[Architecture](lambda fitted: fitted.records["architecture"])
    augmentation_ = FittedAttribute[Augmentation](lambda fitted: fitted.records["augmentation"])
    penalty_ = FittedAttribute[Penalty](lambda fitted: fitted.records["penalty"])
    likelihood_ = FittedAttribute[Likelihood](lambda fitted: fitted.records["likelihood"])
    scaling_ = FittedAttribute[Scaling](lambda fitted: fitted.records["scaling"])
    optimizer_ = FittedAttribute[Optimizer](lambda fitted: fitted.records["optimizer"])
    precision_ = FittedAttribute[Precision](lambda fitted: fitted.precision)
    n_parameters_ = FittedAttribute[int](lambda fitted: sum(p.numel() for p in fitted.model.parameters()))
    n_fixed_ = FittedAttribute[int](lambda fitted: fitted.model.n_fixed)
    history_ = FittedAttribute[tuple[Report, ...]](lambda fitted: fitted.history)
    seconds_ = FittedAttribute[float](lambda fitted: fitted.seconds)

    # Training runs in a copy of the estimator. One assignment at the end takes over the result.

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        target: Any = None,
        validation_data: Any = None,
        groups: Any = None,
        checkpoint: str | os.PathLike[str] | None = None,
        layerwise: bool = False,
    ) -> Self:
        """Trains on examples X (n, *shape).

        Args:
            X: an array, memory map, tensor or data frame of any numeric type; uint8 images stay uint8. Or a sparse matrix of scipy, whose
                rows become dense one batch at a time, or an AnnData object, of which X is taken.
            y: for a conditional architecture or a supervised penalty, what is known of each example; others ignore it. Integers, text,
                booleans and dates (n,) are classes; floats (n,), and numbers (n, k), are covariates. Later labels are of the same type:
                True is not the class 1, while dates match whatever their unit. A penalty does not count examples
                whose label is missing (None, NaN); a conditional architecture requires all.
            sample_weight: (n,), the weight of the loss of each example, at least 0. Weights are divided by their mean, so that training
                minimizes the weighted mean loss: a weight of 2 counts like two such examples, and 0 leaves an example out. Losses
                in `history_` are weighted means too. The scaling and penalties of a batch as a whole (`MMD`) do not use weights.
            target: (n, *shape), what to reconstruct instead of X itself: for example the clean versions of noisy examples X.
            validation_data: (m, *shape), other examples whose loss is reported and used by early stopping; with y, target or
                sample_weight a tuple of these in this order, such as (X, y), (X, target) or (X, y, target, sample_weight).
            groups: (n,), the group of each example, such as a patient. Where early stopping holds out examples, these are whole groups
                (as scikit-learn's ``GroupShuffleSplit``); examples whose group is missing (None, NaN) are trained on.
            checkpoint: a file to write after each epoch. After an interruption, ``load(checkpoint).resume(X)`` completes training.
            layerwise: first pretrain each layer together with its mirror layer, from the outermost to the innermost (Bengio et al.
                2007; `isthmus.training.layerwise`). All layers together take as many epochs as the training that follows.
                An interrupted pretraining starts again from the beginning.

        Returns:
            The estimator itself.

        Raises:
            NotPossibleError: layerwise=True, and the decoder does not mirror the encoder layer by layer.
            DataError: the examples cannot be used; the message names the row and the column.
            DivergenceError: the loss is not finite.

        Examples:
            >>> ae = Autoencoder(4, epochs=1, random_state=0).fit(X)
            >>> ae.bottleneck_, ae.code_shape_, len(ae.history_)
            (Identity(size=4), (4,), 1)
        """
        if checkpoint is not None:
            check_writable(Path(checkpoint))
        working = copy(self)
        given = Given(X, y, target, validation_data, sample_weight=sample_weight, groups=groups)
        for report in working._fit_steps(given, None, layerwise, checkpoint is not None):
            if checkpoint is not None and report.layer is None:
                try:
                    working.checkpoint(checkpoint)
                except OSError as error:  # a full disk must not end the training
                    warnings.warn(
                        f"no checkpoint could be written ({error}); training continues", IsthmusWarning, stacklevel=2
                    )
        self._fitted = working._fitted
        trim_malloc()
        return self

    def fit_transform(self, X: Any, y: Any = None, **choices: Any) -> Array:
        """`fit`, then `transform` of the same examples with the same y.

        Args:
            X, y: as for `fit`.
            choices: further arguments of `fit`.

        Returns:
            Codes (n, k), where k is the product of code_shape_.

        Examples:
            >>> Autoencoder(4, epochs=1, random_state=0).fit_transform(X).shape
            (200, 4)
        """
        codes: Array = self.fit(X, y, **choices).transform(X, y)
        return codes

    def iter_fit(
        self,
        X: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        target: Any = None,
        validation_data: Any = None,
        groups: Any = None,
        every: ReportEvery = None,
        layerwise: bool = False,
    ) -> Reports:
        """`fit` as a generator: yields a `Report` after each epoch. The caller may use the model, save a `checkpoint`, or stop.

        Between two reports the estimator has the current weights. During the steps (in another thread) and after an error it
        has the state from before the training.

        Args:
            X, y, sample_weight, target, validation_data, groups, layerwise: as for `fit`. Reports of layerwise pretraining have
                `Report.layer` set and are not part of `history_`.
            every: also report after every so many steps; or a function of the number of steps done that returns whether to report.

        Yields:
            A `Report` with losses in nats per example.

        Raises:
            DataError, DivergenceError, NotPossibleError: as for `fit`.

        Examples:
            >>> for report in Autoencoder(4, epochs=2, random_state=0).iter_fit(X):
            ...     print(report.epoch, report.step, report.complete)
            1 13 True
            2 26 True
        """
        working = copy(self)
        given = Given(X, y, target, validation_data, sample_weight=sample_weight, groups=groups)
        steps = working._fit_steps(given, every, layerwise)
        yield from self._follow_copy(working, steps)

    @with_grad_mode
    def _fit_steps(self, given: Given, every: ReportEvery, layerwise: bool, fingerprint: bool = False) -> Reports:
        """The training of `fit`, in place. Checkpoints need the fingerprint of the examples."""
        self._validate_params()
        check_every(every)
        values, digest = self._prepare_model(given, anew=not self.warm_start, minimum=2, fingerprint=fingerprint)
        check_bfloat16(self.precision_, self.model_.device)
        data = self._training_data(given, values, digest)
        if layerwise:
            yield from self._pretrain(data, every)
        yield from self._train(data, every)

    def _follow_copy(self, working: Self, reports: Reports) -> Reports:
        """The reports of a training in a copy. Between reports, and after the caller stops, the estimator has the copy's state."""
        before, training_lock, stopped = self._fitted, RLock(), False
        while not stopped:
            with training_lock:
                report = next(reports, None)
            if report is None:
                break
            try:
                self._fitted = replace(working._require_fitted(), training=training_lock)
                yield report
                own = self._shares_model(working)
                if own:
                    self._fitted = before
            except GeneratorExit:
                stopped, own = True, self._shares_model(working)
            except BaseException:  # an interrupt discards the training; only a stop by the caller keeps it
                if self._shares_model(working):
                    self._fitted = before
                raise
            if not own:  # another training of this estimator has ended meanwhile
                reports.close()
                return
        with training_lock:
            reports.close()
        self._fitted = working._fitted
        trim_malloc()

    def _shares_model(self, working: Self) -> bool:
        """Whether the estimator has the model that a training in a copy has reached."""
        return self._fitted is not None and self._fitted.model is working.model_

    def resume(
        self,
        X: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        target: Any = None,
        validation_data: Any = None,
        groups: Any = None,
    ) -> Self:
        """Continues the training that wrote the checkpoint, to its end, on the same examples.

        With the same versions, number of threads and kind of processor, the weights are bit-identical to those of
        an uninterrupted training.

        Args:
            X: the examples (n, *shape) that training began with.
            y, sample_weight, target, groups: those that training began with, if there were any.
            validation_data: the validation examples (m, *shape) that training began with, if there were any.

        Returns:
            The estimator itself.

        Raises:
            NotPossibleError: this autoencoder was not loaded from a checkpoint.
            DataError: the examples differ from those that training began with.

        Examples:
            >>> unfinished = Autoencoder(4, epochs=2, random_state=0)
            >>> reports = unfinished.iter_fit(X)
            >>> next(reports).epoch
            1
            >>> unfinished.checkpoint("unfinished.safetensors")
            >>> len(isthmus.load("unfinished.safetensors").resume(X).history_)
            2
        """
        working = copy(self)
        given = Given(X, y, target, validation_data, sample_weight=sample_weight, groups=groups)
        for _ in working._resume_steps(given, None):
            pass
        self._fitted = working._fitted
        trim_malloc()
        return self

    def iter_resume(
        self,
        X: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        target: Any = None,
        validation_data: Any = None,
        groups: Any = None,
        every: ReportEvery = None,
    ) -> Reports:
        """`resume` as a generator of reports, as `iter_fit` is of `fit`.

        Args:
            X, y, sample_weight, target, validation_data, groups: as for `resume`.
            every: as for `iter_fit`.

        Yields:
            A `Report` with losses in nats per example.

        Raises:
            NotPossibleError, DataError: as for `resume`.
        """
        working = copy(self)
        given = Given(X, y, target, validation_data, sample_weight=sample_weight, groups=groups)
        steps = working._resume_steps(given, every)
        yield from self._follow_copy(working, steps)

    @with_grad_mode
    def _resume_steps(self, given: Given, every: ReportEvery) -> Reports:
        """The training of `resume`, in place."""
        fitted = self._require_fitted()
        check_every(every)
        self._validate_params()
        if fitted.interrupted is None:
            raise NotPossibleError("nothing to resume: this autoencoder was not loaded from a checkpoint; call fit")
        data = self._training_data(given, self._examples(given.X, for_training=True))
        fitted.interrupted.check(data, self.get_params(deep=False))
        n = len(self._training_sources(data)[0])
        fitted.interrupted.check_position(n, self._training_config(n))
        self._fitted = fitted.copy_for_resuming()
        check_bfloat16(self.precision_, self.model_.device)
        if fitted.interrupted.in_model_units:
            fitted = self._require_fitted()
            history = to_data_units_with_missing(
                fitted.model, fitted.seed, fitted.history, fitted.state, *self._training_sources(data)
            )
            self._fitted = replace(fitted, history=history)
        yield from self._train(data, every)

    def _training_data(self, given: Given, values: Array, fingerprint: str | None = None) -> TrainingData:
        """The checked examples of a training run, and their hash if it is known."""
        held, validation = None, given.validation(self._uses_y)
        if validation is not None:
            held = self._example_set(validation, self._examples(validation.X, for_training=True), held=True)
            seen = held.examples if held.targets is None else held.targets
            check_validation(*self._checked_by, self.scaling_, DataStatistics(seen), *self._map)
        return TrainingData(self._example_set(given, values), held, fingerprint)

    @property
    def _map(self) -> tuple[Affine, Curves | None]:
        """The map from raw to model units."""
        return self.model_.affine, self.model_.curves

    @property
    def _checked_by(self) -> tuple[Likelihood, Augmentation]:
        """The components that accept only some values."""
        return self.likelihood_, self.augmentation_

    def _example_set(self, given: Given, values: Array, held: bool = False) -> ExampleSet:
        """Checked examples with their context and their targets; those of held-out examples are checked later."""
        fitted, context, targets = self._require_fitted(), None, None
        if fitted.context is not None and self._uses_y:
            if given.y is None:
                raise DataError(f"{self._y_user()} requires y: pass a label or the covariates of each example")
            wants = next((term for term in self.penalty_.terms if term.needs_classes), None)
            if fitted.context.classes is None and wants is not None:
                raise DataError(
                    f"{wants!r} classifies, and y holds covariates: pass a class for each example, as whole numbers or text (n,), or "
                    'task="regression"'
                )
            complete = fitted.model.architecture.context is not None
            context = fitted.context_rows(given.y, len(values), complete)
        if given.target is not None:
            targets = self._examples(given.target, computable="all", for_training=True)
            if targets.shape != values.shape:
                raise DataError(
                    f"target has shape {targets.shape}, but X has {values.shape}: pass a target for each example"
                )
            if not held:
                affine, curves = self._map
                check_examples(*self._checked_by, DataStatistics(targets), affine, name="target", curves=curves)
        weights = None if given.sample_weight is None else mean_one(sample_weights(given.sample_weight, len(values)))
        if given.groups is not None and windows_of(values) is not None:
            raise RecordError(
                "windows of a series are held out in time, not by groups, as they share rows: leave groups out"
            )
        groups = None if given.groups is None else group_numbers(given.groups, len(values))
        return ExampleSet(values, context, targets, weights, groups)

    @property
    def _uses_y(self) -> bool:
        """Whether a component uses y."""
        return bool(self._y_user())

    def _y_user(self) -> str:
        """The components that use y, as text; "" if none does."""
        architecture, penalty = (component(getattr(self, name)) for name in ("architecture", "penalty"))
        users: list[Record] = (
            [architecture] if isinstance(architecture, Architecture) and architecture.context is not None else []
        )
        users += [term for term in penalty.terms if term.needs_context] if isinstance(penalty, Penalty) else []
        return " and ".join(map(repr, users))

    def _pretrain(self, data: TrainingData, every: ReportEvery) -> Reports:
        """Pretrains the layers one after the other, on the examples of the training that follows."""
        if self._require_fitted().state.step:
            raise NotPossibleError(
                "layerwise pretraining requires an untrained model: this one is trained; pass layerwise=False or warm_start=False"
            )
        self._check_same(data)
        examples, _ = self._training_sources(data)
        yield from self._record_history(
            self._with_progress(pretrain(self.model_, examples, self._training_config(len(examples)), every))
        )

    def _training_sources(self, data: TrainingData) -> tuple[Source, Source | None]:
        """The training and the validation examples, None without validation."""
        examples = self._training_source(data.training)
        weights = data.training.weights
        if data.validation is not None:
            held = self._training_source(data.validation)
            return self._weighted(examples, weights), self._weighted(held, data.validation.weights)
        if not self.early_stopping:
            return self._weighted(examples, weights), None
        train, held = self._validation_split(examples, data.training.groups)
        if weights is None:
            return train, held
        kept, out = train.positions.numpy(), held.positions.numpy()
        for rows, part in ((kept, "training"), (out, "validation")):
            if not weights[rows].any():
                raise DataError(
                    f"sample_weight is zero for all examples of the {part} part, which is drawn at random: leave these examples out, or "
                    "pass validation_data"
                )
        return self._weighted(train, weights_of(weights, kept)), self._weighted(held, weights_of(weights, out))

    def _weighted(self, source: Source, weights: Array | None) -> Source:
        """The examples with the weights of their losses."""
        if weights is None:
            return source
        model = self.model_
        return WeightedSource(source, torch.as_tensor(weights, dtype=model.dtype, device=model.device))

    def _training_source(self, given: ExampleSet) -> Source:
        """Examples with their targets and their context."""
        model, source = self.model_, shared_reading(self._source(given.examples), joined())
        if given.targets is not None:
            source = PairedSource(source, shared_reading(self._source(given.targets), joined()), model.normalize)
        return (
            source
            if given.context is None
            else ContextSource(source, torch.as_tensor(given.context, device=model.device))
        )

    def _train(self, data: TrainingData, every: ReportEvery) -> Reports:
        """Starts or continues a training run."""
        self._check_same(data)
        examples, validation = self._training_sources(data)
        config, state = self._training_config(len(examples)), self._require_fitted().state
        self._start(examples)
        if self.early_stopping:
            config = replace(config, patience=self.n_iter_no_change, tol=self.tol)
        self._fitted = replace(self._require_fitted(), data=data)
        yield from self._record_history(
            self._with_progress(train(self.model_, examples, config, validation, every, state))
        )

    def _check_same(self, data: TrainingData) -> None:
        """`DataError` unless all processes that train together have the same examples and parameters, and stand at the same step."""
        processes = joined()
        if processes.size > 1:
            fitted, settings = self._require_fitted(), self.get_params(deep=False)
            facts = {"data": data.hashes, "parameters": settings | {"device": None, "seed": fitted.seed}}
            facts |= {"precision": self.precision_, "checkpoint": fitted.state.position}
            check_same(facts | {"version of isthmus": __version__, "version of PyTorch": torch.__version__}, processes)

    def _start(self, examples: Source) -> None:
        """Sets the weights of an untrained model that are taken from its training examples."""
        fitted = self._require_fitted()
        if not fitted.state.step:
            start(fitted.model, examples, self.augmentation_, fitted.seed)

    def _start_stream(self, examples: Source) -> None:
        """`_start` with the first examples of a stream, which may be few."""
        if self.model_.start_examples and len(examples) <= self.bottleneck_.size:
            warnings.warn(
                f"the linear maps of {self.architecture_!r} come from the principal components of {len(examples)} examples and stay so, "
                f"for a code of {self.bottleneck_.size} dimensions; pass more as scaling_sample, drawn at random from all data",
                IsthmusWarning,
                stacklevel=3,
            )
        self._start(examples)

    def _with_progress(self, reports: Reports) -> Reports:
        """The reports, with a progress bar if `verbose`."""
        if not self.verbose:
            return reports
        return with_progress(reports, math.prod(self.shape_), lines=not interactive())

    def initialize(self, X: Any, y: Any = None) -> Self:
        """Chooses all components for the examples and draws the weights, without training.

        `fit` of X with the same random state begins with this model; with target or sample_weight the principal components of
        `LinearSkip` differ.

        Args:
            X: examples (n, *shape).
            y: labels or covariates, as for `fit`.

        Returns:
            The estimator itself.

        Raises:
            DataError: the examples cannot be used; the message names the row and the column.

        Examples:
            >>> untrained = Autoencoder(4, random_state=0).initialize(X)
            >>> untrained.score(X) < ae.score(X)
            True
        """
        self._validate_params()
        working = copy(self)
        with grad_mode():
            given = Given(X, y)
            values, _ = working._prepare_model(given, anew=True, minimum=1)
            if working.model_.start_examples:
                working._start(working._training_sources(working._training_data(given, values))[0])
        self._fitted = working._fitted
        return self

    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        target: Any = None,
        classes: Any = None,
        scaling_sample: Any = None,
    ) -> Self:
        """Trains one epoch on more examples, at the optimizer's full learning rate, with the full weight of scheduled penalties.

        The first call decides the scaling and all "auto" choices, and the principal components of `LinearSkip`, unless `initialize` did.
        Later calls do not change them.

        Args:
            X: examples (n, *shape).
            y, target: as for `fit`.
            sample_weight: (n,), at least 0. Unlike in `fit` the loss of an example is multiplied by its weight as it is, since the weights
                of other calls are unknown.
            classes: all labels that y will have, for the first call; without it those in its y.
            scaling_sample: other examples (m, *shape), which decide scaling and choices instead of X, and without target the principal
                components of `LinearSkip`. Only the first call accepts them.
                Draw them at random from all data: a column that is constant in the first part of a stream would get a wrong scale.
                A warning names columns whose later values lie far outside of the sample.

        Returns:
            The estimator itself.

        Raises:
            NotPossibleError: a later call has a scaling_sample. The scaling cannot change after training began.
            DataError: the examples cannot be used; the message names the row and the column.

        Examples:
            >>> stream = Autoencoder(4, random_state=0)
            >>> for part in np.split(X, 2):
            ...     stream = stream.partial_fit(part)
            >>> stream.transform(X).shape
            (200, 4)
        """
        self._validate_params()
        working = copy(self)
        with grad_mode():
            if scaling_sample is not None:
                if working._fitted is not None:
                    raise NotPossibleError(
                        "scaling_sample is for the first call of partial_fit only, and this is a later call: leave it out"
                    )
                labels = y if classes is None else classes  # of X, not of the sample
                sample, _ = working._prepare_model(Given(scaling_sample, classes=labels), anew=True, minimum=1)
                if target is None:
                    working._start_stream(working._source(sample))
            given = Given(X, y, target, classes=classes)
            values, _ = working._prepare_model(given, anew=False, minimum=1)
            if self._fitted is None:
                check_bfloat16(working.precision_, working.model_.device)
            config = working._training_config(len(values), epochs=1, schedule=False)
            state = working._require_fitted().state
            source = working._training_source(working._example_set(given, values))
            if sample_weight is not None:
                source = working._weighted(source, sample_weights(sample_weight, len(values)))
            if self._fitted is None and (scaling_sample is None or target is not None):
                working._start_stream(source)
            for _ in working._record_history(train(working.model_, source, config, state=state)):
                pass
        self._fitted = working._fitted
        return self

    def _validate_params(self) -> None:
        """scikit-learn's check; its error gains an example if a component has the wrong type."""
        try:
            if isinstance(self.bottleneck, Integral) and (isinstance(self.bottleneck, bool) or self.bottleneck < 1):
                given = quoted(self.bottleneck)
                raise ParameterError(  # scikit-learn's checks test this wording
                    f"invalid bottleneck={given}: The 'bottleneck' parameter of Autoencoder must be a bottleneck "
                    f"or a positive integer (its size). Got {given} instead."
                )
            super()._validate_params()
        except ParameterError as error:
            slot = next((name for name in COMPONENTS if f"The '{name}' parameter" in str(error)), None)
            raise ParameterError(f"{error} {_EXAMPLES[slot]}" if slot else str(error)) from None
        if self.missing == "error" and isinstance(self.corruption, Corruption) and self.corruption.makes_missing:
            raise RecordError(f"corruption={self.corruption!r} makes values missing, which requires missing='allow'")
        checked_weights(self.column_weights)

    def _prepare_model(
        self, data: Given, *, anew: bool, minimum: int, fingerprint: bool = False
    ) -> tuple[Array, str | None]:
        """Checks examples and prepares their model: an untrained one, or a copy of the current one.

        Returns the examples, and their hash if `fingerprint` and the model is untrained, else None.
        """
        given = {name: component(getattr(self, name)) for name in COMPONENTS}
        if not anew and self._fitted is not None:
            values = self._examples(data.X, minimum, check_constant=True, for_training=True)
            self._fitted = self._fitted.copy_for_training()
            by_name = (self.kinds, self.column_weights)
            self._fitted = apply_changes(
                self._fitted, given, self.precision, self.missing, self.kind, values.shape[1:], *by_name
            )
            if data.target is None:
                affine, curves = self._map
                check_examples(*self._checked_by, DataStatistics(values), affine, curves=curves)
            else:
                check_domain(self.augmentation_, DataStatistics(values), *self._map)
            return values, None
        parameters = (given, self.precision, self.missing, self.kind)
        prepared = prepare(
            data.X,
            *parameters,
            minimum=minimum,
            fingerprint=fingerprint,
            context=partial(self._encoding, data),
            own_target=data.target is not None,
            kinds=self.kinds,
            column_weights=self.column_weights,
        )
        seed, device = seed_of(self.random_state), choose_device(self.device)
        columns, settings = prepared.examples.columns, (seed, self.precision, device)
        known = (prepared.context, prepared.examples.table)
        self._fitted = initial_attributes(prepared.chosen, columns, *settings, *known)
        return prepared.examples.values, prepared.fingerprint

    def _encoding(self, data: Given, count: int) -> ContextEncoding | None:
        """How y becomes the context; None if no component uses it."""
        if not self._uses_y:
            return None
        if data.classes is not None:
            return ContextEncoding.fit(data.classes, len(data.classes))
        if data.y is None:
            raise DataError(f"{self._y_user()} requires y: pass a label or the covariates of each example")
        return ContextEncoding.fit(data.y, count)

    def _record_history(self, reports: Reports) -> Reports:
        """Adds the reports to the history. At each report the model is ready for use."""
        before = self.seconds_ - self._require_fitted().state.seconds
        try:
            for report in reports:
                new = (report,) if report.complete and report.layer is None else ()
                seconds = before + report.seconds
                self._fitted = replace(self._require_fitted(), history=(*self.history_, *new), seconds=seconds)
                self.model_.eval()
                yield report
        finally:
            reports.close()
            self.model_.eval()
            self._fitted = replace(self._require_fitted(), data=None)

    def _training_config(self, n: int, epochs: float | None = None, schedule: bool = True) -> TrainingConfig:
        batch = batch_size_for(n) if isinstance(self.batch_size, str) else int(min(self.batch_size, n))
        if epochs is None:
            epochs = epochs_for(n, batch) if isinstance(self.epochs, str) else self.epochs
        needed = training_bytes(self.model_, batch, math.prod(self.code_shape_))
        check_memory(needed, f"a training step on {batch:,} examples (batch_size)", rough=True)
        optimizer = self.optimizer_ if schedule else self.optimizer_.replace(schedule=Constant())
        adaptive = self.model_.thread_invariant and self.precision_ == "float32" and optimizer.clip is None
        return TrainingConfig(
            self.corruption_,
            optimizer,
            epochs,
            batch,
            self._require_fitted().seed,
            self.precision_,
            augmentation=self.augmentation_,
            threads=threads_for(self.model_, batch, adaptive),
            adaptive_threads=adaptive,
            scheduled=schedule,
        )

    def _validation_split(self, source: Source, groups: Array | None = None) -> tuple[Subset, Subset]:
        """The training and the validation examples: at random, windows of a series in time, with groups whole groups."""
        generator, n = seeded("cpu", self._require_fitted().seed, RandomStream.SPLIT), len(source)
        if groups is None:
            kept, out = source.split(self.validation_fraction, generator)
        else:
            order = torch.randperm(int(groups.max()) + 1, generator=generator).numpy()
            rows = held_out_rows(groups, order, max(1, round(n * self.validation_fraction)))
            kept, out = map(torch.from_numpy, (np.setdiff1d(np.arange(n), rows, assume_unique=True), rows))
        if source.in_blocks and out.dtype != torch.bool:
            kept, out = (torch.zeros(n, dtype=torch.bool).index_fill_(0, rows, True) for rows in (kept, out))
        if not (kept.any() if kept.dtype == torch.bool else len(kept)):
            raise DataError(
                f"too few examples: {n}, of which {len(out)} are held out; give more, or early_stopping=False"
            )
        return subset(source, kept), subset(source, out)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "allow"
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64" if self.precision == "float64" else "float32"]
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return self._fitted is not None

    def _fitted_rows(self) -> list[tuple[str, str]]:
        rows = [("kind_", self.kind_), ("shape_", str(self.shape_)), ("code_shape_", str(self.code_shape_))]
        rows += [(f"{slot}_", repr(getattr(self, f"{slot}_"))) for slot in COMPONENTS]
        context = self._require_fitted().context
        if context is not None:
            what = f"{context.size} covariates" if context.classes is None else f"{context.size} classes"
            rows += [("y", what if context.size > 1 else "1 covariate")]
        rows += [("n_parameters_", f"{self.n_parameters_:,}")]
        rows += [("n_fixed_", f"{self.n_fixed_:,} weights that training does not change")] if self.n_fixed_ else []
        rows += [("precision_", self.precision_)]
        rows += [("seconds_", f"{self.seconds_:.3g}")]
        return rows + last_losses(self.history_, "nats per example")

    # Files

    @grad_mode()
    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model file, which `isthmus.load` reads: safetensors, without executable code.

        Args:
            path: the file; an existing file is replaced.

        Raises:
            NotPossibleError: a component is a class of yours. A model file can only name classes of isthmus.
            DivergenceError: a weight is not finite.

        Examples:
            >>> ae.save("digits.safetensors")
            >>> again = isthmus.load("digits.safetensors")
            >>> np.array_equal(again.encode(X), ae.encode(X))
            True
        """
        fitted = self._require_fitted()
        with fitted.weights_locked():
            write_model(path, self, fitted)

    @grad_mode()
    def checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Writes a model file from which `load` and `resume` continue the training. Call it between two reports of `iter_fit`.

        Args:
            path: the model file to write.

        Raises:
            NotPossibleError: no training is in progress.
        """
        fitted = self._require_fitted()
        if fitted.data is None or fitted.state.optimizer is None:
            raise NotPossibleError("no training is in progress; call checkpoint between two reports of iter_fit")
        with fitted.weights_locked():
            state = run_state(fitted.state, fitted.data, fitted.precision, fitted.model.device)
            write_model(path, self, fitted, state, state_tensors(fitted.state))
