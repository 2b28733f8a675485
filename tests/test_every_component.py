"""Every component in every `__all__`: what the engine promises holds for it, or it says in one sentence why not."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from cases import required, thorough_where
from suitable import values_for
from test_steps import MadeUp
from torch import nn

from isthmus import (
    Autoencoder,
    architectures,
    augmentations,
    bottlenecks,
    corruptions,
    likelihoods,
    load,
    optimizers,
    penalties,
    priors,
    records,
    scaling,
    schedules,
)
from isthmus.architectures import MLP, Modules
from isthmus.bottlenecks import Gaussian
from isthmus.errors import IsthmusError
from isthmus.estimators.named_records import record_types
from isthmus.likelihoods import Likelihood
from isthmus.model import Model
from isthmus.optimizers import AdamW
from isthmus.penalties import NoPenalty
from isthmus.priors import VampPrior
from isthmus.records import Record
from isthmus.scaling import PerColumn
from isthmus.training import cuda_graph

SLOTS: dict[str, ModuleType] = {
    "augmentation": augmentations,
    "corruption": corruptions,
    "architecture": architectures,
    "bottleneck": bottlenecks,
    "likelihood": likelihoods,
    "penalty": penalties,
    "scaling": scaling,
    "prior": priors,
    "schedule": schedules,
    "optimizer": optimizers,
}
EVERY = [
    pytest.param(slot, name, id=f"{slot}={name}")
    for slot, module in SLOTS.items()
    for name in module.__all__
    if slot != "optimizer" or name not in schedules.__all__
]
SIDE, N, BATCH = 8, 64, 16
CHOICES: dict[str, dict[str, Any]] = {"PerColumn": {"logarithm": (0, 9), "quantile": (1, 20)}}  # in place of open ones
REFUSED: dict[tuple[str, str], str] = {  # by the name of the record and of the promise: the sentence
    ("Modules", "reload"): "whose code is not in the file",
}

every = pytest.mark.parametrize(
    ("slot", "name"), thorough_where(EVERY, lambda case: case[0] in {"schedule", "optimizer"})
)


def made(slot: str, name: str) -> Record:
    """The record of a name, with what has no default filled in."""
    kind: Any = getattr(SLOTS[slot], name)
    if kind is Modules:
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, 4))
        return Modules(encoder, nn.Sequential(nn.Linear(4, SIDE * SIDE), nn.Unflatten(1, (SIDE, SIDE))))
    return kind(**required(kind) | CHOICES.get(name, {}))  # type: ignore[no-any-return]


def examples(record: Record) -> np.ndarray:
    """Images for which the record is meant: values that a likelihood accepts."""
    if isinstance(record, Likelihood) and record.support.step and record.support.step >= 1:
        return values_for(record, (N, SIDE, SIDE)).astype(np.int64)
    rng = np.random.default_rng(0)
    smooth = np.sin(np.arange(N)[:, None, None] * 0.3 + np.arange(SIDE)[:, None] * 0.5 + np.arange(SIDE) * 0.7)
    images = np.round((0.5 + 0.4 * smooth + 0.05 * rng.uniform(-1, 1, (N, SIDE, SIDE))) * 255).astype(np.uint8)
    return images.reshape(N, -1) if isinstance(record, PerColumn) else images


LABELS = np.arange(N) % 3


def autoencoder(slot: str, record: Record, **choices: Any) -> Autoencoder:
    bottleneck = Gaussian(4) if slot == "penalty" else 4  # some penalties require a normal posterior
    given = {"bottleneck": bottleneck, "architecture": MLP((8,)), "optimizer": AdamW(1e-3)}
    given |= {"bottleneck": Gaussian(4, **{slot: record})} if slot in {"prior", "schedule"} else {slot: record}
    given |= {"kind": "table" if isinstance(record, PerColumn) else "images", "epochs": 2, "batch_size": BATCH}
    return Autoencoder(**given | choices, random_state=0)


def weights(ae: Autoencoder) -> torch.Tensor:
    return torch.cat([p.detach().reshape(-1).double() for p in ae.model_.parameters()])


def possible(record: Record, promise: str, error: IsthmusError) -> None:
    """Skips a promise that a record refuses in one sentence, if it is listed."""
    expected = REFUSED.get((type(record).__name__, promise))
    if expected is None:
        raise error
    assert expected in str(error)
    assert "\n" not in str(error)


def seen_by(ae: Autoencoder, X: np.ndarray) -> np.ndarray:
    """Examples of the shape that the model has: an augmentation may cut them."""
    return X[(slice(None), *(slice(side) for side in ae.shape_))]


def answers(ae: Autoencoder, X: np.ndarray) -> dict[str, np.ndarray]:
    X = seen_by(ae, X)
    y = LABELS[: len(X)]
    return {
        "encode": ae.encode(X, y),
        "reconstruct": ae.reconstruct(X, y),
        "score_samples": ae.score_samples(X, y),
    }


@every
def test_a_component_is_a_value_that_travels_as_json(slot: str, name: str) -> None:
    record = made(slot, name)
    if name == "Modules":
        return
    again = records.read(json.loads(json.dumps(records.describe(record))), record_types())
    assert again == record
    assert hash(again) == hash(record)
    assert eval(repr(record), {**record_types(), "__builtins__": {}}) == record  # our own text


@every
def test_a_run_is_resumed_and_reloaded_to_the_last_bit(slot: str, name: str, tmp_path: Path) -> None:
    record = made(slot, name)
    X, given = examples(record), {"architecture": record} if name == "Modules" else {}
    whole = autoencoder(slot, record).fit(X, LABELS)
    assert np.isfinite(whole.history_[-1].loss)
    unfinished = autoencoder(slot, record)
    for report in unfinished.iter_fit(X, LABELS, every=1):
        if report.step == 6:  # in the middle of the second epoch
            unfinished.checkpoint(tmp_path / "half")
            break
    resumed = load(tmp_path / "half", **given).resume(X, LABELS)
    assert torch.equal(weights(whole), weights(resumed))
    assert resumed.history_[-1].loss == whole.history_[-1].loss
    whole.save(tmp_path / "whole")
    again = load(tmp_path / "whole", **given)
    expected = answers(whole, X)
    for method, values in answers(again, X).items():
        assert np.array_equal(values, expected[method]), method


@every
@pytest.mark.thorough
def test_rows_have_the_same_bits_in_any_grouping(slot: str, name: str) -> None:
    record = made(slot, name)
    X = examples(record)
    ae = autoencoder(slot, record).fit(X, LABELS)
    X = seen_by(ae, X)
    for method in ("encode", "reconstruct", "score_samples"):
        whole = getattr(ae, method)(X, LABELS)
        assert whole.dtype == np.float32, method
        parts = [getattr(ae, method)(X[rows], LABELS[rows]) for rows in (slice(0, 1), slice(1, 8), slice(8, N))]
        assert np.array_equal(np.concatenate(parts), whole), method
        assert np.array_equal(getattr(ae, method)(X[::-1], LABELS[::-1])[::-1], whole), method


@pytest.mark.parametrize("name", bottlenecks.__all__)
def test_the_code_used_at_inference_is_the_one_that_is_scored(name: str) -> None:
    """A bottleneck with a posterior gives its mean as the code, and is asked for no penalty then."""
    X = examples(made("bottleneck", name))
    ae = autoencoder("bottleneck", made("bottleneck", name), device="cpu").fit(X)
    with torch.no_grad():
        h = ae.model_.hidden(ae.model_.normalize(torch.from_numpy(X)))
        assert torch.equal(ae.model_.code(h), ae.model_.deterministic(h).z)


def test_a_code_does_not_cost_the_pseudo_inputs() -> None:
    seen, X = [], examples(Gaussian(2))
    ae = autoencoder("bottleneck", Gaussian(2, prior=VampPrior(50))).fit(X)
    ae.model_.encoder.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    assert (ae.encode(X[:3]).shape, ae.reconstruct(X[:3]).shape) == ((3, 2), (3, SIDE, SIDE))
    assert 50 not in seen
    ae.score_samples(X[:3])
    assert 50 in seen


@every
def test_a_step_is_recorded_and_replayed(slot: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Model, "kernel_pass", lambda *_: None)  # a GPU has none, and it rounds otherwise
    record = made(slot, name)
    X = examples(record)
    anew = autoencoder(slot, record).fit(X, LABELS)
    recorded: list[MadeUp] = []

    def record_step(*given: Any) -> MadeUp:
        recorded.append(MadeUp(*given))
        return recorded[-1]

    monkeypatch.setattr(cuda_graph, "can_capture", lambda model: model.cuda_graph_safe)
    monkeypatch.setattr(cuda_graph, "CapturedStep", record_step)
    monkeypatch.setattr(cuda_graph, "_WARMUP_STEPS", 2)
    replayed = autoencoder(slot, record).fit(X, LABELS)
    assert bool(recorded) == anew.model_.cuda_graph_safe
    torch.testing.assert_close(weights(replayed), weights(anew), rtol=1e-5, atol=1e-6)


@every
@pytest.mark.thorough
def test_losses_and_weights_are_finite_in_every_precision(slot: str, name: str) -> None:
    record = made(slot, name)
    X = examples(record)
    for precision in ("float32", "float64", "bfloat16"):
        ae = autoencoder(slot, record, precision=precision)
        start = weights(autoencoder(slot, record, precision=precision).initialize(X, LABELS))
        ae.fit(X, LABELS)
        assert np.isfinite([report.loss for report in ae.history_]).all(), precision
        assert torch.isfinite(weights(ae)).all(), precision
        assert (weights(ae) != start).any(), precision


@every
@pytest.mark.thorough
def test_missing_values_are_imputed(slot: str, name: str) -> None:
    record = made(slot, name)
    X = examples(record).astype(np.float64)
    X.reshape(N, -1)[np.arange(N), np.arange(N) % SIDE * SIDE + 2] = np.nan  # a gap in each
    try:
        ae = autoencoder(slot, record, missing="allow").fit(X, LABELS)
        seen = seen_by(ae, X)
        complete = ae.impute(seen, LABELS)
    except IsthmusError as error:
        possible(record, "missing", error)
        return
    assert np.isfinite(complete).all()
    assert np.array_equal(complete[~np.isnan(seen)], seen[~np.isnan(seen)])
    assert np.isfinite(ae.score_samples(seen, LABELS)).all()


@pytest.mark.parametrize("name", penalties.__all__)
def test_penalties_leave_scores_alone(name: str) -> None:
    record = made("penalty", name)
    X = examples(record)
    ae = autoencoder("penalty", record).fit(X, LABELS)
    before = ae.score_samples(X, LABELS)
    ae.model_.replace_penalty(NoPenalty(), torch.Generator())
    assert np.array_equal(ae.score_samples(X, LABELS), before)
