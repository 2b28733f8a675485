"""The scikit-learn face of an autoencoder: fit, encode, decode, reconstruct, sample, score, save."""

from __future__ import annotations

import math
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, Literal, Self
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils._param_validation import Interval, InvalidParameterError, StrOptions
from sklearn.utils.validation import _check_feature_names, check_is_fitted

from isthmus import records, storage
from isthmus.architectures import Modules
from isthmus.architectures.base import Architecture
from isthmus.bottlenecks.base import Bottleneck
from isthmus.choosing import (
    DEFAULTS,
    SLOTS,
    Chosen,
    batch_size_for,
    check_shares,
    choose_all,
    choose_precision,
    epochs_for,
)
from isthmus.corruptions import Corruption
from isthmus.data import as_examples
from isthmus.devices import choose_device, give_memory_back
from isthmus.errors import DataError, DivergenceError, ModelFileError, RecordError
from isthmus.inference import in_batches
from isthmus.likelihoods import Bernoulli, Likelihood
from isthmus.optimizers import Constant, Optimizer
from isthmus.progress import shown
from isthmus.randomness import Purpose, seeded
from isthmus.scaling import Affine, Scaling
from isthmus.sources import Resident, Source, Streamed
from isthmus.steps import Plan, Precision
from isthmus.training import Report, Reports, State, best_kept, copied, train, validate

__all__ = ["Autoencoder", "load"]

Array = NDArray[Any]
_EXAMPLES = {  # of what a record is, for those who give something else
    "bottleneck": "Write for example bottleneck=Identity(16).",
    "architecture": "Write for example architecture=MLP((256, 64)).",
    "corruption": "Write for example corruption=Noise(0.3).",
    "likelihood": "Write for example likelihood=Normal().",
    "scaling": "Write for example scaling=Standard().",
    "optimizer": "Write for example optimizer=Adam(1e-3).",
}
_RUNNING: WeakKeyDictionary[Autoencoder, Reports] = WeakKeyDictionary()  # rounds of training that are not over


class Autoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """An autoencoder for arrays of any shape: four choices, and how to train them.

    Every choice may be "auto": it is then made from the data, and kept in the attribute of the same name with ``_`` behind.

    Args:
        bottleneck: what the code may be (`isthmus.bottlenecks`); auto: `Identity` of 32 numbers, or half as many as the data have.
        architecture: encoder and decoder (`isthmus.architectures`); auto: `MLP`.
        corruption: what spoils the encoder's input (`isthmus.corruptions`); the target stays clean.
        likelihood: how the reconstruction is measured; auto: `Bernoulli` for numbers in [0, 1], else `Normal` with a learned scale.
        scaling: raw to model units; auto: see `isthmus.scaling.choose`.
        optimizer: optimizer and schedule; auto: `AdamW` with a one-cycle schedule.
        epochs: passes over the data, a fraction too; auto: about 3,000 steps, within 10 ... 50 epochs.
        batch_size: examples per step; auto: a fortieth of the data, within 16 ... 256.
        early_stopping: hold out ``validation_fraction`` of the data (unless `fit` is given a validation set), stop when
            the loss there has not improved by ``tol`` nats for ``n_iter_no_change`` epochs, and keep the best weights.
        warm_start: let `fit` go on from the weights it finds, with the corruption and the optimizer of now, and with the
            random numbers that follow those it has used.
        precision: "float32", "float64", "bfloat16" (for products and convolutions while training), or "auto": bfloat16 for
            convolutions and large dense layers where the processor computes in it.
        device: "cpu", "cuda", ...; auto: a GPU if there is one.
        random_state: an int makes everything repeatable; None draws fresh. The global generators are never touched.
        verbose: 1 shows progress.

    Attributes:
        model_: the trained `isthmus.model.Model`, an nn.Module with ``encoder`` and ``decoder``.
        history_: a `Report` for each epoch. shape_, code_shape_: of one example and of one code.
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012  # scikit-learn reads it from the class
        **{name: [kind, StrOptions({"auto"})] for name, kind in SLOTS.items()},
        "epochs": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "early_stopping": ["boolean"],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "precision": [StrOptions({"auto", "float32", "float64", "bfloat16"})],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        bottleneck: Bottleneck | Literal["auto"] = "auto",
        *,
        architecture: Architecture | Literal["auto"] = "auto",
        corruption: Corruption | Literal["auto"] = "auto",
        likelihood: Likelihood | Literal["auto"] = "auto",
        scaling: Scaling | Literal["auto"] = "auto",
        optimizer: Optimizer | Literal["auto"] = "auto",
        epochs: float | Literal["auto"] = "auto",
        batch_size: int | Literal["auto"] = "auto",
        validation_fraction: float = 0.1,
        early_stopping: bool = False,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        warm_start: bool = False,
        precision: Precision = "auto",
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.bottleneck = bottleneck
        self.architecture = architecture
        self.corruption = corruption
        self.likelihood = likelihood
        self.scaling = scaling
        self.optimizer = optimizer
        self.epochs = epochs
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    history_: tuple[Report, ...]
    seconds_: float
    feature_names_in_: NDArray[np.object_]
    _state: State

    # Training

    def fit(self, X: Any, y: Any = None, *, validation: Any = None) -> Self:
        """Trains on examples X (n, *shape); y is ignored.

        Args:
            X: arrays, memory maps, tensors, data frames, of any numeric type; uint8 pictures stay bytes.
            validation: other examples whose loss is to be reported, and watched by early stopping.
        """
        for _ in self.fitting(X, validation=validation):
            pass
        return self

    def fitting(self, X: Any, *, validation: Any = None, every: int | None = None) -> Iterator[Report]:
        """`fit` as a generator: yields a `Report` after each epoch, and each ``every`` steps; the caller may stop at any."""
        self._validate_params()
        if every is not None and not (isinstance(every, Integral) and every > 0):
            raise RecordError(f"every={every!r} cannot be: give a number of steps from 1 on, or None")
        with self._unchanged_if_it_fails():
            values = self._begun(X, anew=not self.warm_start, minimum=2)
            model, held, best = self.model_, None, math.inf
            if validation is not None:
                held = self._source(self._examples(validation))
            elif self.early_stopping:
                values, rest = self._split(values)
                held = self._source(rest)
            plan = self._plan(len(values))
            if held is not None and self._state.step > 0:  # a warm start has weights worth keeping
                best = validate(model, held, plan)
            reports = train(model, self._source(values), plan, held, every, self._state)
            if self.verbose:
                lines = not sys.stderr.isatty() and "ipykernel" not in sys.modules
                reports = shown(reports, math.prod(self.shape_), lines=lines)
            if self.early_stopping:
                reports = best_kept(reports, model, self.n_iter_no_change, self.tol, best)
            yield from self._noted(reports)
        give_memory_back()

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """One pass over more examples, at the optimizer's full step size; the first call decides scaling and choices."""
        self._validate_params()
        with self._unchanged_if_it_fails():
            values = self._begun(X, anew=False, minimum=1)
            plan = self._plan(len(values), epochs=1, schedule=False)
            for _ in self._noted(train(self.model_, self._source(values), plan, state=self._state)):
                pass
        return self

    @contextmanager
    def _unchanged_if_it_fails(self) -> Iterator[None]:
        """After an error within, what was fitted is what it was before: nothing is lost, and nothing is left half made."""
        before = {name: value for name, value in vars(self).items() if name.endswith("_") or name.startswith("_")}
        weights, state = (copied(self.model_), replace(self._state)) if hasattr(self, "model_") else ({}, State())
        try:
            yield
        except Exception:
            for name in [name for name in vars(self) if name.endswith("_") or name.startswith("_")]:
                delattr(self, name)
            self.__dict__.update(before)
            if weights:
                self.model_.load_state_dict(weights)
                self.model_.bottleneck, self.model_.likelihood = self.bottleneck_, self.likelihood_
                self._state = State(state.epoch, state.step)  # the optimizer is built anew
            raise

    def _validate_params(self) -> None:
        """scikit-learn's check, with an example where a record is wanted."""
        try:
            super()._validate_params()
        except InvalidParameterError as error:
            slot = next((name for name in SLOTS if f"The '{name}' parameter" in str(error)), None)
            raise InvalidParameterError(f"{error} {_EXAMPLES[slot]}" if slot else str(error)) from None

    def _begun(self, X: Any, *, anew: bool, minimum: int) -> Array:
        """Checked examples, and a model for them: an untrained one, or the one that is there already."""
        if self in _RUNNING:  # a round that nobody finished must not reach into this one
            _RUNNING.pop(self).close()
        if not anew and hasattr(self, "model_"):
            values = self._examples(X, minimum)
            self._follow_changes()
            if isinstance(self.likelihood_, Bernoulli):
                check_shares(values, self._affine())
            return values
        examples = as_examples(X, minimum=minimum)
        given = {name: getattr(self, name) for name in SLOTS}
        chosen = choose_all(given, examples.values, self.precision)
        self._assemble(chosen, self._seed_of(self.random_state))
        if hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        if examples.columns is not None:
            self.feature_names_in_ = np.asarray(examples.columns, dtype=object)
        return examples.values

    def _assemble(self, chosen: Chosen, seed: int) -> None:
        """The untrained model of the choices, on its device, and what is known of it."""
        device = choose_device(self.device)
        self.precision_ = choose_precision(self.precision, chosen.records["architecture"], chosen.shape, device)
        self.model_ = chosen.model(seeded("cpu", seed, Purpose.WEIGHTS)).to(device).eval()
        self.code_shape_ = chosen.code_shape()
        self._n_features_out = math.prod(self.code_shape_)
        self.n_parameters_ = sum(p.numel() for p in self.model_.parameters())
        for name, record in chosen.records.items():
            setattr(self, f"{name}_", record)
        self.shape_ = chosen.shape
        self.n_features_in_ = math.prod(chosen.shape)
        self.history_, self.seconds_ = (), 0.0
        self._seed, self._state = seed, State()

    def _affine(self) -> Affine:
        """The map from raw to model units that was fitted."""
        return Affine(*(side.numpy(force=True) for side in (self.model_.shift, self.model_.scale)))

    def _follow_changes(self) -> None:
        """Takes up choices that were changed since the last round of training, where the weights allow it."""
        model, changed = self.model_, dict[str, Any]()
        for name in SLOTS:
            wanted = getattr(self, name)
            if isinstance(wanted, str):  # what the data decided stays
                wanted = DEFAULTS[name] if name in {"optimizer", "corruption"} else getattr(self, f"{name}_")
            if wanted != getattr(self, f"{name}_"):
                changed[name] = wanted
        records = {slot: getattr(self, f"{slot}_") for slot in SLOTS} | changed
        for name in changed.keys() - {"optimizer", "corruption"}:
            sketch = Chosen(records, self.shape_, self._affine(), model.dtype).sketch()
            sizes, asked = ({key: t.shape for key, t in m.state_dict().items()} for m in (model, sketch))
            if name in {"architecture", "scaling"} or sizes != asked:
                raise _does_not_fit(f"{name}={changed[name]!r}")
        precision = choose_precision(self.precision, self.architecture_, self.shape_, model.shift.device)
        if (precision == "float64") != (model.dtype == torch.float64):
            raise _does_not_fit(f"precision={precision!r}")
        if "optimizer" in changed:
            self._state.optimizer = None
        for name, record in changed.items():
            setattr(self, f"{name}_", record)
        self.precision_ = precision
        model.bottleneck, model.likelihood = self.bottleneck_, self.likelihood_

    def _noted(self, reports: Reports) -> Iterator[Report]:
        """The same reports, kept in the history; whatever happens, the model is left ready for use."""
        _RUNNING[self], before, model = reports, self.seconds_, self.model_
        try:
            for report in reports:
                if report.complete:
                    self.history_ = (*self.history_, report)
                    self.seconds_ = before + report.seconds
                yield report
        finally:
            reports.close()
            model.eval()

    def _plan(self, n: int, epochs: float | None = None, schedule: bool = True) -> Plan:
        batch = batch_size_for(n) if isinstance(self.batch_size, str) else int(min(self.batch_size, n))
        if epochs is None:
            epochs = epochs_for(n, batch) if isinstance(self.epochs, str) else self.epochs
        optimizer = self.optimizer_ if schedule else self.optimizer_.replace(schedule=Constant())
        return Plan(self.corruption_, optimizer, epochs, batch, self._seed, self.precision_)

    def _split(self, values: Array) -> tuple[Array, Array]:
        """Training examples, and some held out that the random state draws."""
        held = max(1, round(len(values) * self.validation_fraction))
        if held >= len(values):
            raise DataError(
                f"{len(values)} examples leave none to train on when {held} are held out; give more, or early_stopping=False"
            )
        if isinstance(values, np.memmap):  # it stays in its file: the end is held out
            return values[:-held], np.asarray(values[-held:])
        order = torch.randperm(len(values), generator=seeded("cpu", self._seed, Purpose.SPLIT)).numpy()
        return values[np.sort(order[held:])], values[np.sort(order[:held])]

    def _source(self, values: Array) -> Source:
        kind = Streamed if isinstance(values, np.memmap) else Resident
        return kind(values, self.model_.shift.device)

    @staticmethod
    def _seed_of(random_state: int | np.random.RandomState | None) -> int:
        if isinstance(random_state, np.random.RandomState):
            return int(random_state.randint(2**31))
        if random_state is None:
            return secrets.randbits(31)
        if not isinstance(random_state, Integral) or random_state < 0:
            raise RecordError(f"random_state={random_state!r} cannot be: give a whole number from 0 on, or None")
        return int(random_state)

    # Use

    def encode(self, X: Any) -> Array:
        """The codes of examples: (n, *code_shape_), the same each time."""
        return self._apply(lambda raw: self.model_.encode(self.model_.inwards(raw)), self._examples(X))

    def transform(self, X: Any) -> Array:
        """`encode`, each code as one row: (n, k), as scikit-learn's pipelines want it."""
        return self.encode(X).reshape(-1, self._n_features_out)

    def decode(self, Z: ArrayLike) -> Array:
        """The reconstructions (n, *shape_) of codes (n, *code_shape_) or (n, k), as floats in the units of the training data."""
        check_is_fitted(self)
        codes, model = as_examples(Z).values, self.model_
        if codes.shape[1:] not in {self.code_shape_, (self._n_features_out,)}:
            raise DataError(f"codes are {codes.shape[1:]}, but this autoencoder's are {self.code_shape_}")
        codes = codes.reshape(-1, *self.code_shape_)
        return self._apply(lambda z: model.outwards(model.decode(z.to(model.dtype))), codes)

    def inverse_transform(self, X: ArrayLike) -> Array:
        """`decode`."""
        return self.decode(X)

    def reconstruct(self, X: Any) -> Array:
        """decode(encode(X)), in the units of X: (n, *shape_). For a denoising autoencoder this restores spoilt examples."""
        return self._reconstructed(self._examples(X))

    def sample(self, n: int = 1, random_state: int | None = None) -> Array:
        """New examples (n, *shape_) decoded from the bottleneck's prior; `NotPossibleError` where it has none."""
        check_is_fitted(self)
        if not isinstance(n, Integral) or n < 1:
            raise RecordError(f"n={n!r} cannot be: give a whole number of examples from 1 on")
        generator = seeded("cpu", self._seed_of(random_state), Purpose.SAMPLE)
        codes = self.bottleneck_.sample((int(n), *self.code_shape_), generator)
        return self.decode(codes.numpy())

    def corrupt(self, X: Any, random_state: int = 0, corruption: Corruption | None = None) -> Array:
        """Examples (n, *shape_) spoilt as the encoder sees them in training, or by another corruption, in the units of X."""
        values, seed = self._examples(X), self._seed_of(random_state)
        if corruption is not None and not isinstance(corruption, Corruption):
            raise RecordError(f"corruption={corruption!r} is none; see isthmus.corruptions")
        spoil, parts = corruption or self.corruption_, []
        with torch.inference_mode():
            for number, begin in enumerate(range(0, len(values), 1024)):
                raw = self._source(np.asarray(values[begin : begin + 1024]))
                x = self.model_.inwards(raw[torch.arange(len(raw))])
                generator = seeded(x.device, seed, Purpose.SAMPLE, number)
                parts.append(self.model_.outwards(spoil(x, generator)).cpu().numpy())
        spoilt: Array = np.concatenate(parts)
        return spoilt

    def score_samples(self, X: Any) -> Array:
        """Minus the loss of each example with its point code, in nats (n,): higher is more like the training data."""
        return self._apply(lambda raw: -self._scored(raw), self._examples(X))

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of `score_samples`."""
        return float(self.score_samples(X).mean())

    def reconstruction_error(self, X: Any, per_feature: bool = False) -> Array:
        """Squared error in squared units of X: the mean of each example (n,), or each number's own (n, *shape_)."""
        values = self._examples(X)
        squares: Array = np.square(self._reconstructed(values) - values.astype(np.float64))
        return squares if per_feature else squares.reshape(len(squares), -1).mean(1)

    def _scored(self, raw: torch.Tensor) -> torch.Tensor:
        x = self.model_.inwards(raw)
        return self.model_.score(x, x).total

    def _apply(self, function: Any, values: Array) -> Array:
        training = self.model_.training  # it is, between the reports of `fitting`
        self.model_.eval()
        rows: Array = in_batches(function, values, self.model_)
        self.model_.train(training)
        return rows

    def _reconstructed(self, values: Array) -> Array:
        model = self.model_
        return self._apply(lambda raw: model.outwards(model.decode(model.encode(model.inwards(raw)))), values)

    def _examples(self, X: Any, minimum: int = 1) -> Array:
        """Checked examples of the shape that was fitted, their columns in the same order."""
        check_is_fitted(self)
        if hasattr(X, "columns") and hasattr(self, "feature_names_in_"):
            _check_feature_names(self, X, reset=False)
        values = as_examples(X, minimum=minimum).values
        if values.shape[1:] == self.shape_:
            return values
        if values.ndim == 2 and len(self.shape_) == 1:
            found, wanted = values.shape[1], self.shape_[0]
            raise DataError(
                f"X has {found} features, but {type(self).__name__} is expecting {wanted} features as input"
            )
        same = math.prod(values.shape[1:]) == math.prod(self.shape_)
        raise DataError(
            f"examples are {values.shape[1:]}, but this autoencoder was fitted on {self.shape_}"
            + ("; reshape X to (n, *shape_)" if same else "")
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]  # the model computes in it, unless precision says otherwise
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    # Parameters and files

    def set_params(self, **params: Any) -> Self:
        """Sets parameters; ``bottleneck__beta=2`` replaces the record by one with that field changed."""
        fields: dict[str, dict[str, Any]] = {}
        for name, value in params.items():
            slot, _, path = name.partition("__")
            if path and slot in self._get_param_names():
                fields.setdefault(slot, {})[path] = value
            else:
                super().set_params(**{name: value})
        for slot, values in fields.items():  # after the records that they belong to
            held = getattr(self, slot)
            if not isinstance(held, records.Record):
                raise RecordError(
                    f"{slot}={held!r} has no field '{next(iter(values))}'; give a record first, such as {slot}=..."
                )
            setattr(self, slot, records.override(held, values))
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model file (safetensors; nothing in it can run); `isthmus.load` reads it."""
        from isthmus import __version__

        check_is_fitted(self)
        self._validate_params()
        broken = self.model_.broken()
        if broken is not None:
            raise DivergenceError(f"{broken} is not finite, and such a model is not written; train it anew")
        parameters = {name: getattr(self, name) for name in sorted(self._get_param_names())}
        if isinstance(parameters["random_state"], np.random.RandomState):
            parameters["random_state"] = None
        header = storage.Header(
            version=__version__,
            dtype="float64" if self.model_.dtype == torch.float64 else "float32",
            shape=self.shape_,
            seed=self._seed,
            epoch=self._state.epoch,
            step=self._state.step,
            seconds=self.seconds_,
            parameters={name: storage.describe_value(value) for name, value in parameters.items()},
            fitted={name: storage.describe_value(getattr(self, f"{name}_")) for name in SLOTS},
            columns=list(self.feature_names_in_) if hasattr(self, "feature_names_in_") else None,
            history=list(self.history_),
        )
        storage.write_file(path, header, self.model_.state_dict())


def load(path: str | os.PathLike[str], *, architecture: Modules | None = None, device: str = "auto") -> Autoencoder:
    """The autoencoder of a model file, ready to use.

    Args:
        path: the file, or the folder of a run.
        architecture: the code of own modules, which a file does not hold.

    Raises:
        ModelFileError: the file is damaged, or not of isthmus.
    """
    path = os.path.join(path, "model.safetensors") if os.path.isdir(path) else path

    def expected(header: storage.Header, tensors: storage.Tensors) -> storage.Tensors:
        return _described(header, tensors, architecture)[1].sketch().state_dict()

    header, tensors = storage.read_file(path, expected)
    ae, chosen = _described(header, tensors, architecture)
    ae.device = device
    ae._assemble(chosen, header.seed)
    ae.model_.load_state_dict(tensors)
    broken = ae.model_.broken()
    if broken is not None:
        raise ModelFileError(f"{path} is damaged: {broken} is not finite")
    ae.history_, ae.seconds_, ae._state = tuple(header.history), header.seconds, State(header.epoch, header.step)
    if header.columns is not None:
        ae.feature_names_in_ = np.asarray(header.columns, dtype=object)
    return ae


def _described(
    header: storage.Header, tensors: storage.Tensors, architecture: Modules | None
) -> tuple[Autoencoder, Chosen]:
    """The autoencoder that a header describes, unfitted, and its choices; ValueError or the like if it describes none."""
    names, shape = storage.vocabulary(), header.shape
    ae = Autoencoder(**{k: storage.read_value(v, names, architecture) for k, v in header.parameters.items()})
    ae._validate_params()
    fitted = {slot: storage.read_value(header.fitted[slot], names, architecture) for slot in SLOTS}
    for slot, kind in SLOTS.items():
        if not isinstance(fitted[slot], kind):
            raise RecordError(f"{fitted[slot]!r} is no {slot}")
    if header.columns is not None and shape != (len(header.columns),):
        raise RecordError(f"columns has {len(header.columns)} names for examples of shape {shape}")
    for side in ("shift", "scale"):
        own = tuple(tensors[side].shape)
        fits = len(own) <= len(shape) and all(a in {1, b} for a, b in zip(own[::-1], shape[::-1], strict=False))
        if not fits or tensors[side].dtype not in {torch.float32, torch.float64}:
            raise RecordError(f"{side} of shape {own} does not fit {shape}")
    if not (tensors["scale"] > 0).all():
        raise RecordError("scale has to be greater than 0")
    affine = Affine(tensors["shift"].numpy(), tensors["scale"].numpy())
    return ae, Chosen(fitted, shape, affine, torch.float64 if header.dtype == "float64" else torch.float32)


def _does_not_fit(change: str) -> RecordError:
    return RecordError(
        f"training goes on with the weights there are, which {change} would not fit; fit anew, with warm_start=False"
    )
