"""The state of an interrupted training: written to a checkpoint, read, checked and resumed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from isthmus import native
from isthmus.errors import DataError, IsthmusWarning, ModelFileError, RecordError
from isthmus.estimators.defaults import COMPONENTS
from isthmus.estimators.model_file import Header, RunState, Tensors
from isthmus.estimators.training_data import TrainingData
from isthmus.model import Model
from isthmus.optimizer_state import first_nonfinite
from isthmus.optimizers import Optimizer
from isthmus.training.batches import Source
from isthmus.training.config import Precision, TrainingConfig
from isthmus.training.state import Best, Costs, Report, State

__all__ = [
    "ResumeState",
    "check_values",
    "expected_tensors",
    "run_state",
    "state_tensors",
    "to_data_units",
    "to_data_units_with_missing",
]

_PARTS = ("optimizer", "costs", "best", "good")
_FIXED_PARAMETERS = (
    *("epochs", "batch_size", "early_stopping", "validation_fraction", "n_iter_no_change", "tol"),
    *("missing", "kind", "kinds", "column_weights", "precision"),
)


def run_state(state: State, data: TrainingData, precision: Precision, device: torch.device) -> RunState:
    """The state of a training run, as the header of a checkpoint stores it."""
    best = state.best
    examples, validation = data.identity(best is not None)
    return RunState(
        done=state.done,
        seconds=state.seconds,
        retries=state.retries,
        examples=examples,
        validation=validation,
        counts=(state.costs.count, state.costs.batches),
        stopping=best is not None,
        best=None if best is None or not math.isfinite(best.loss) else best.loss,
        best_epoch=0 if best is None else best.epoch,
        precision=precision,  # type: ignore[arg-type]  # "auto" is resolved
        device=device.type,
        threads=torch.get_num_threads() if state.threads is None else state.threads,
        torch=_libraries(),
    )


def _libraries() -> str:
    """The version of PyTorch and the native kernels, on which the bits of a training depend."""
    return f"{torch.__version__}-{native.name()}-kernels" if native.name() else str(torch.__version__)


def state_tensors(state: State) -> Tensors:
    """The optimizer's state and the best weights. Within an epoch also its costs so far and the state at its start."""
    assert state.optimizer is not None
    parts = {"optimizer": state.optimizer.tensors(), "best": {} if state.best is None else state.best.weights}
    if state.costs.count:
        parts |= {"costs": state.costs.sums, "good": state.good}
    return {f"{part}.{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}


def expected_tensors(header: Header, stored: Tensors, meta_model: Model, optimizer: Optimizer) -> Tensors:
    """The tensors, on "meta", that a checkpoint requires in addition to the model's; ValueError for an invalid one."""
    saved = header.round
    if saved is None:
        return {}
    weights = dict(meta_model.state_dict())
    moments = {f"optimizer.{name}": t for name, t in optimizer.build(meta_model.parameters()).tensors().items()}
    expected = dict(moments)
    if saved.best is not None:
        expected |= {f"best.{name}": t for name, t in weights.items()}
    if saved.counts[0]:
        expected |= {f"good.{name}": t for name, t in (weights | moments).items()}
        costs = {name: t for name, t in stored.items() if name.startswith("costs.")}
        if not {"costs.nll", "costs.penalty"} <= costs.keys():
            raise ValueError("it has no costs of the current epoch")
        batch = costs["costs.nll"].shape
        for name, t in costs.items():
            shapes = {batch} if name in {"costs.nll", "costs.penalty"} else {batch, torch.Size([])}
            if len(batch) != 1 or t.shape not in shapes or t.dtype != torch.float64:
                raise ValueError(f"{name} has a wrong shape or dtype for the costs of an epoch")
        expected |= costs
    return expected


def check_values(header: Header, tensors: Tensors, ae: Mapping[str, Any]) -> None:
    """ValueError for the first value of a checkpoint that no training can produce.

    Args:
        tensors: all tensors of the file, with the expected shapes.
        ae: the parameters of the autoencoder.
    """
    saved = header.round
    if saved is None:
        return
    count, batches = saved.counts
    wrong = {
        "round.done": saved.done > header.step or batches > saved.done,
        "round.best_epoch": saved.best_epoch > header.epoch,
        "round.best": saved.best is not None and not saved.stopping,
        "round.stopping": saved.stopping != ae["early_stopping"],
        "round.seconds": saved.seconds > header.seconds + 1e-3,
        "round.precision": (saved.precision == "float64") != (header.dtype == "float64"),
        "round.counts": (count == 0) != (batches == 0),
    }
    if count:
        size = len(tensors["costs.nll"])
        wrong["costs.nll"] = count != batches * size
        if not isinstance(ae["batch_size"], str):
            wrong["round.counts"] |= size > ae["batch_size"]
        for name in ("costs.nll", "costs.penalty"):
            wrong[name] = wrong.get(name, False) or not bool(torch.isfinite(tensors[name]).all())
    for part in ("optimizer.", "good.optimizer."):
        moments = {name.removeprefix(part): t for name, t in tensors.items() if name.startswith(part)}
        wrong[f"{part}{first_nonfinite(moments)}"] = first_nonfinite(moments) is not None
    first = next((name for name, is_so in wrong.items() if is_so), None)
    if first is not None:
        raise ValueError(f"no training can produce its {first}")


def to_data_units_with_missing(
    model: Model, seed: int, history: tuple[Report, ...], state: State, examples: Source, validation: Source | None
) -> tuple[Report, ...]:
    """`to_data_units` for missing="allow": the training and validation examples show which values are missing."""
    order = torch.cat(list(examples.order(seed, state.epoch)))

    def mean(source: Source, index: torch.Tensor) -> float:
        log_scales = model.log_scale_sums(~model.normalize(source[index]).isnan())
        return float(log_scales.double().mean()) if len(index) else 0.0

    trained, current = mean(examples, order), mean(examples, order[: state.costs.count])
    validated = 0.0 if validation is None else mean(validation, torch.cat(list(validation.indices(1 << 20))))
    return to_data_units(history, state, trained, validated, current)


def to_data_units(
    history: tuple[Report, ...], state: State, trained: float, validated: float, current: float
) -> tuple[Report, ...]:
    """Converts losses in model units (versions up to 0.3) to nats of the data: returns the history, changes the state in place.

    Args:
        trained, validated, current: the mean of `Model.log_scale_sums` over the training examples, the validation examples, and the
            examples of the current epoch so far.
    """
    if "nll" in state.costs.sums:
        state.costs.sums["nll"] += state.costs.batches * current
    if state.best is not None:
        state.best.loss += validated
    return tuple(
        replace(
            report,
            loss=report.loss + trained,
            nll=report.nll + trained,
            val_loss=None if report.val_loss is None else report.val_loss + validated,
        )
        for report in history
    )


class ResumeState:
    """The interrupted training of a checkpoint.

    Args:
        header, tensors: of the checkpoint.
        model: the model with its weights.
        optimizer: the record of the optimizer.
        parameters: the parameters of the autoencoder.

    Attributes:
        in_time: whether the examples are series, whose windows share rows.
        in_model_units: whether the losses are in model units and the conversion to nats of the data requires the examples.
    """

    def __init__(
        self, header: Header, tensors: Tensors, model: Model, optimizer: Optimizer, parameters: Mapping[str, Any]
    ) -> None:
        assert header.round is not None
        self.in_model_units = header.kind is None and model.likelihood.density and model.fill is not None
        self.in_time = header.kind == "series"
        self.round: RunState = header.round
        self.parameters = {name: parameters[name] for name in (*COMPONENTS, *_FIXED_PARAMETERS)}
        device, optimizer_state = model.shift.device, optimizer.build(model.parameters())
        self.device = device.type
        parts: dict[str, Tensors] = {part: {} for part in _PARTS}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            if part in parts:
                parts[part][rest] = tensor.to(device)
        for name, tensor in optimizer_state.tensors().items():
            tensor.copy_(parts["optimizer"][name])
        best = math.inf if self.round.best is None else self.round.best
        self.state = State(
            epoch=header.epoch,
            step=header.step,
            optimizer=optimizer_state,
            done=self.round.done,
            seconds=self.round.seconds,
            retries=self.round.retries,
            costs=Costs(*self.round.counts, parts["costs"]),
            good=parts["good"],
            best=Best(best, self.round.best_epoch, parts["best"]) if self.round.stopping else None,
        )

    def check_position(self, n: int, plan: TrainingConfig) -> None:
        """`ModelFileError` unless training on n examples passes through this state.

        Warns if the result may not be bit-identical to an uninterrupted run.
        """
        per_epoch = math.ceil(n / plan.batch_size)
        steps, (count, batches) = plan.steps(n), self.round.counts
        if self.round.done > steps:
            reason = f"it is at step {self.round.done:,} of {steps:,}"
        elif self.round.done < steps and self.round.done % per_epoch != batches:
            reason = f"after {self.round.done:,} steps with {per_epoch:,} per epoch, it has {batches:,} batches in the current epoch"
        elif batches and count != batches * plan.batch_size:
            reason = f"its batches have {count // batches:,} examples, and those of the training {plan.batch_size:,}"
        else:
            self._compare_machines(plan)
            return
        raise ModelFileError(f"the checkpoint is inconsistent: {reason}; fit again")

    def _compare_machines(self, plan: TrainingConfig) -> None:
        """Warns if the PyTorch version, the number of threads, the device or the native kernels differ from the checkpoint's."""
        threads = torch.get_num_threads() if plan.threads is None else plan.threads
        if plan.adaptive_threads:  # then it does not matter
            threads = self.round.threads
        before, now = (self.round.torch, self.round.threads, self.round.device), (_libraries(), threads, self.device)
        if before != now:
            written_with, running = (
                f"PyTorch {version} on {threads} thread{'s' * (threads > 1)} ({device})"
                for version, threads, device in (before, now)
            )
            warnings.warn(
                f"the checkpoint was written with {written_with}, and this is {running}: the result may not be bit-identical",
                IsthmusWarning,
                stacklevel=4,
            )

    def check(self, data: TrainingData, parameters: Mapping[str, Any]) -> None:
        """Raises unless examples and parameters are those of the interrupted training."""
        changed = next((name for name, value in self.parameters.items() if parameters[name] != value), None)
        if changed is not None:
            raise RecordError(
                f"{changed}={parameters[changed]!r} was {self.parameters[changed]!r} when training was interrupted, and "
                "resuming requires the same parameters; set it back, or fit with warm_start=True"
            )
        known = data.identity(self.round.stopping), (self.round.examples, self.round.validation)
        for current, saved, what in zip(*known, ("examples", "validation examples"), strict=True):
            if current != saved:
                differ = "these differ" + ("; windows are the same if they share the same rows" if self.in_time else "")
                how = "there were none" if saved is None else "give them too" if current is None else differ
                raise DataError(f"resuming requires the {what} of the interrupted training: {how}")
