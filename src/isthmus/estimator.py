"""The scikit-learn face of an autoencoder: fit, encode, decode, reconstruct, sample, score, save."""

from __future__ import annotations

import math
import os
import secrets
import sys
from collections.abc import Iterator
from dataclasses import asdict
from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from isthmus import records, storage
from isthmus.architectures import MLP, Modules
from isthmus.architectures.base import Architecture
from isthmus.bottlenecks import Identity
from isthmus.bottlenecks.base import Bottleneck
from isthmus.corruptions import Clean, Corruption
from isthmus.data import as_examples
from isthmus.devices import choose_device, computes_bfloat16
from isthmus.errors import DataError, ModelFileError, RecordError
from isthmus.inference import in_batches
from isthmus.likelihoods import Bernoulli, Likelihood, Normal
from isthmus.model import Model
from isthmus.optimizers import AdamW, Constant, OneCycle, Optimizer
from isthmus.progress import shown
from isthmus.scaling import Affine, MinMax, Scaling, choose, within_unit
from isthmus.training import (
    Plan,
    Precision,
    Purpose,
    Report,
    Resident,
    Source,
    State,
    Streamed,
    best_kept,
    seeded,
    train,
)

__all__ = ["DEFAULTS", "SLOTS", "Autoencoder", "load"]

Array = NDArray[Any]
SLOTS: dict[str, type[records.Record]] = {
    "bottleneck": Bottleneck,
    "architecture": Architecture,
    "corruption": Corruption,
    "likelihood": Likelihood,
    "scaling": Scaling,
    "optimizer": Optimizer,
}


DEFAULTS: dict[str, records.Record] = {  # what "auto" means where it does not depend on the data
    "architecture": MLP(),
    "corruption": Clean(),
    "optimizer": AdamW(3e-3, schedule=OneCycle()),
}


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
        warm_start: let `fit` go on from the weights it finds.
        precision: "float32", "float64", "bfloat16" (for products and convolutions while training), or "auto": bfloat16 for
            convolutions where the processor computes in it.
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
    _state: State | None

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
        examples = as_examples(X, minimum=2)
        values = examples.values
        if not (self.warm_start and hasattr(self, "model_")):
            self._prepare(values, examples.columns)
        else:
            values = self._examples(X)
        held: Source | None = None
        if validation is not None:
            held = self._source(self._examples(validation))
        elif self.early_stopping:
            values, rest = self._split(values)
            held = self._source(rest)
        plan = self._plan(len(values))
        self._state = State(plan.optimizer.build(self.model_.parameters()))
        reports = train(self.model_, self._source(values), plan, held, every, self._state)
        if self.verbose:
            reports = shown(
                reports, math.prod(self.shape_), lines=not sys.stderr.isatty() and "ipykernel" not in sys.modules
            )
        if self.early_stopping:
            reports = best_kept(reports, self.model_, self.n_iter_no_change, self.tol)
        try:
            for report in reports:
                if report.complete:
                    self.history_ = (*self.history_, report)
                    self.seconds_ = report.seconds
                yield report
        finally:
            reports.close()
            self.model_.eval()

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """One pass over more examples, at the optimizer's full step size; the first call decides scaling and choices."""
        self._validate_params()
        examples = as_examples(X)
        if not hasattr(self, "model_"):
            self._prepare(examples.values, examples.columns)
        values = self._examples(X)
        plan = self._plan(len(values), epochs=1, schedule=False)
        if getattr(self, "_state", None) is None:
            self._state = State(plan.optimizer.build(self.model_.parameters()))
        for report in train(self.model_, self._source(values), plan, state=self._state):
            self.history_ = (*self.history_, report)
        self.model_.eval()
        return self

    def _prepare(self, values: Array, columns: tuple[str, ...] | None) -> None:
        """Makes the choices left to the data, and an untrained model."""
        shape = values.shape[1:]
        numbers = math.prod(shape)
        scaling = choose(values) if isinstance(self.scaling, str) else self.scaling
        affine = scaling.fit(values)
        if isinstance(self.scaling, str) and isinstance(self.likelihood, Bernoulli) and not within_unit(values, affine):
            scaling, affine = MinMax(), MinMax().fit(values)
        auto = DEFAULTS | {
            "bottleneck": Identity(max(1, min(32, (numbers + 1) // 2))),
            "likelihood": Bernoulli() if within_unit(values, affine) else Normal("learned"),
            "scaling": scaling,
        }
        given = {name: getattr(self, name) for name in SLOTS}
        chosen = {name: auto[name] if isinstance(value, str) else value for name, value in given.items()}
        self._seed = self._drawn_seed()
        self._assemble(shape, chosen, affine)
        self.n_features_in_ = numbers
        self._state = None
        if hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        if columns is not None:
            self.feature_names_in_ = np.asarray(columns, dtype=object)
        self.history_ = ()
        self.seconds_ = 0.0

    def _assemble(self, shape: tuple[int, ...], chosen: dict[str, Any], affine: Affine) -> None:
        """The model of the choices, on its device, and what is known of it."""
        device = choose_device(self.device)
        generator = seeded("cpu", self._seed, Purpose.WEIGHTS)
        model = Model(shape, chosen["architecture"], chosen["bottleneck"], chosen["likelihood"], affine, generator)
        precision: Precision = self.precision
        if precision == "auto":
            precision = (
                "bfloat16" if chosen["architecture"].prefers_bfloat16 and computes_bfloat16(device) else "float32"
            )
        for name, record in chosen.items():
            setattr(self, f"{name}_", record)
        self.precision_ = precision
        self.model_ = model.to(device, torch.float64 if precision == "float64" else torch.float32).eval()
        self.shape_ = shape
        self.n_parameters_ = sum(p.numel() for p in model.parameters())
        with torch.no_grad():
            code = self.model_.encode(torch.zeros(1, *shape, device=device, dtype=self.model_.shift.dtype))
        self.code_shape_ = tuple(code.shape[1:])
        self._n_features_out = math.prod(self.code_shape_)

    def _plan(self, n: int, epochs: float | None = None, schedule: bool = True) -> Plan:
        batch = min(256, max(16, n // 40)) if isinstance(self.batch_size, str) else self.batch_size
        if epochs is None:
            wanted = math.ceil(3000 / math.ceil(n / batch))  # more epochs than 50 teach few examples by heart
            epochs = min(50, max(10, wanted)) if isinstance(self.epochs, str) else self.epochs
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
        return kind(values, choose_device(self.device))

    def _drawn_seed(self) -> int:
        if isinstance(self.random_state, np.random.RandomState):
            return int(self.random_state.randint(2**31))
        return secrets.randbits(31) if self.random_state is None else int(self.random_state)

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
        codes = as_examples(Z).values
        if math.prod(codes.shape[1:]) != self._n_features_out:
            raise DataError(f"codes are {codes.shape[1:]}, but this autoencoder's are {self.code_shape_}")
        codes = codes.reshape(-1, *self.code_shape_)
        dtype = self.model_.shift.dtype
        return self._apply(lambda z: self.model_.outwards(self.model_.decode(z.to(dtype))), codes)

    def inverse_transform(self, X: ArrayLike) -> Array:
        """`decode`."""
        return self.decode(X)

    def reconstruct(self, X: Any) -> Array:
        """decode(encode(X)), in the units of X: (n, *shape_). For a denoising autoencoder this restores spoilt examples."""
        values, model = self._examples(X), self.model_
        return self._apply(lambda raw: model.outwards(model.decode(model.encode(model.inwards(raw)))), values)

    def sample(self, n: int = 1, random_state: int | None = None) -> Array:
        """New examples (n, *shape_) decoded from the bottleneck's prior; `NotPossibleError` where it has none."""
        check_is_fitted(self)
        seed = secrets.randbits(31) if random_state is None else random_state
        codes = self.bottleneck_.sample((n, *self.code_shape_), seeded("cpu", seed, Purpose.SAMPLE))
        return self.decode(codes.numpy())

    def corrupt(self, X: Any, random_state: int = 0, corruption: Corruption | None = None) -> Array:
        """Examples (n, *shape_) spoilt as the encoder sees them in training, or by another corruption, in the units of X."""
        values = self._examples(X)
        spoil, parts = corruption or self.corruption_, []
        with torch.inference_mode():
            for number, begin in enumerate(range(0, len(values), 1024)):
                raw = self._source(np.asarray(values[begin : begin + 1024]))
                x = self.model_.inwards(raw[torch.arange(len(raw))])
                generator = seeded(x.device, random_state, Purpose.SAMPLE, number)
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
        squares: Array = np.square(self.reconstruct(values) - values.astype(np.float64))
        return squares if per_feature else squares.reshape(len(squares), -1).mean(1)

    def _scored(self, raw: torch.Tensor) -> torch.Tensor:
        x = self.model_.inwards(raw)
        return self.model_.score(x, x).total

    def _apply(self, function: Any, values: Array) -> Array:
        training = self.model_.training  # it is, between the reports of `fitting`
        self.model_.eval()
        rows: Array = in_batches(function, values, self.model_.shift.device)
        self.model_.train(training)
        return rows

    def _examples(self, X: Any) -> Array:
        """Checked examples of the shape that was fitted."""
        check_is_fitted(self)
        values = as_examples(X).values
        if values.shape[1:] == self.shape_:
            return values
        if values.ndim == 2 and len(self.shape_) == 1:
            found, wanted = values.shape[1], self.shape_[0]
            raise DataError(
                f"X has {found} features, but {type(self).__name__} is expecting {wanted} features as input"
            )
        raise DataError(
            f"examples are {values.shape[1:]}, but this autoencoder was fitted on {self.shape_}; reshape X to (n, *shape_)"
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
        for name, value in params.items():
            slot, _, path = name.partition("__")
            if path:
                record = getattr(self, slot, None)
                if not isinstance(record, records.Record):
                    raise RecordError(
                        f"{slot}={record!r} has no field '{path}'; give a record first, such as {slot}=..."
                    )
                setattr(self, slot, record.with_field(path, value))
            else:
                super().set_params(**{name: value})
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the model file (safetensors; nothing in it can run); `isthmus.load` reads it."""
        from isthmus import __version__

        check_is_fitted(self)
        parameters = {name: getattr(self, name) for name in sorted(self._get_param_names())}
        if isinstance(parameters["random_state"], np.random.RandomState):
            parameters["random_state"] = None
        header = {
            "version": __version__,
            "shape": self.shape_,
            "seed": self._seed,
            "parameters": {name: storage.describe_value(value) for name, value in parameters.items()},
            "fitted": {name: storage.describe_value(getattr(self, f"{name}_")) for name in SLOTS},
            "columns": list(self.feature_names_in_) if hasattr(self, "feature_names_in_") else None,
            "history": [asdict(report) for report in self.history_],
        }
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
    header, tensors = storage.read_file(path)
    names = storage.vocabulary()
    try:
        parameters = {k: storage.read_value(v, names, architecture) for k, v in header["parameters"].items()}
        chosen = {name: storage.read_value(header["fitted"][name], names, architecture) for name in SLOTS}
        ae = Autoencoder(**parameters | {"device": device})
        ae._seed = header["seed"]
        shape = tuple(header["shape"])
        ae._assemble(shape, chosen, Affine(tensors["shift"].numpy(), tensors["scale"].numpy()))
        ae.model_.load_state_dict(tensors)
        ae.history_ = tuple(Report(**report) for report in header["history"])
    except (KeyError, TypeError, AttributeError, RuntimeError, RecordError) as error:
        raise ModelFileError(f"{path} does not agree with itself: {str(error).splitlines()[0]}") from error
    ae.n_features_in_ = math.prod(shape)
    ae.seconds_ = ae.history_[-1].seconds if ae.history_ else 0.0
    if header["columns"] is not None:
        ae.feature_names_in_ = np.asarray(header["columns"], dtype=object)
    return ae
