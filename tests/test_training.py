"""The engine: what a report says is true, whoever draws, stops or asks in between."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from torch import nn

from isthmus import Autoencoder, data
from isthmus.architectures import MLP, Conv, Modules
from isthmus.bottlenecks import L1, Gaussian, Identity, VectorQuantized
from isthmus.corruptions import GaussianNoise
from isthmus.errors import DataError, DivergenceError, IsthmusWarning, RecordError
from isthmus.likelihoods import Bernoulli, Normal
from isthmus.optimizers import SGD, Adam, Constant, OneCycle
from isthmus.scaling import NoScaling, Standard
from isthmus.trainable import Batch
from isthmus.training.batches import InMemorySource, MemmapSource, SubsetSource
from isthmus.training.config import TrainingConfig
from isthmus.training.early_stopping import validate
from isthmus.training.epochs import iter_batches


def small(**choices: object) -> Autoencoder:
    return Autoencoder(**{"architecture": MLP((16,)), "epochs": 3, "random_state": 0} | choices)  # type: ignore[arg-type]


def weights(ae: Autoencoder) -> np.ndarray:
    return torch.cat([p.detach().flatten() for p in ae.model_.parameters()]).numpy()


def own(rate: float = 0.5) -> Modules:
    torch.manual_seed(0)
    return Modules(nn.Sequential(nn.Linear(6, 8), nn.Dropout(rate), nn.Linear(8, 2)), nn.Linear(2, 6))


@pytest.mark.parametrize("bottleneck", [L1(8), Gaussian(3), VectorQuantized(3, codebook_size=8)], ids=repr)
def test_a_reports_loss_is_its_parts(bottleneck: L1 | Gaussian | VectorQuantized, digits: data.Dataset) -> None:
    for report in small(bottleneck=bottleneck).iter_fit(digits.train[:100], validation_data=digits.test, every=2):
        assert report.loss == pytest.approx(report.nll + report.penalty, rel=1e-6)
        assert report.penalty > 0
        assert (report.val_loss is not None) == report.complete


def test_a_report_is_the_mean_over_examples_for_every_batch_size(digits: data.Dataset) -> None:
    X = digits.train[:70].reshape(70, -1)
    frozen = SGD(1e-30, momentum=0)
    reports = [
        small(optimizer=frozen, precision="float64", epochs=1, batch_size=size).fit(X).history_[-1].loss
        for size in (1, 32, 69, 500)
    ]
    np.testing.assert_allclose(reports, reports[0], rtol=1e-9)
    ae = small(optimizer=frozen, precision="float64", epochs=1).fit(X, validation_data=X)
    assert ae.history_[-1].val_loss == pytest.approx(reports[0], rel=1e-9)
    assert -ae.score(X) == pytest.approx(reports[0], rel=1e-9)


@pytest.mark.parametrize(("epochs", "steps"), [(1, 4), (0.5, 2), (1e-6, 1), (2.25, 9), (3, 12)])
def test_epochs_are_counted_in_steps(epochs: float, steps: int, digits: data.Dataset) -> None:
    reports = list(small(epochs=epochs, batch_size=30).iter_fit(digits.train[:100], every=1))
    assert [report.step for report in reports] == list(range(1, steps + 1))
    assert reports[-1].steps == steps
    assert reports[-1].complete
    assert [report.epoch for report in reports] == [step // 4 + 1 for step in range(steps)]


def test_the_step_size_follows_the_schedule(digits: data.Dataset) -> None:
    schedule = OneCycle(warmup=0.25)
    reports = list(small(optimizer=Adam(0.02, schedule=schedule), batch_size=30).iter_fit(digits.train[:100], every=1))
    assert [report.lr for report in reports] == pytest.approx([0.02 * schedule(step / 12) for step in range(12)])


def test_a_step_is_along_the_gradient_of_the_mean(digits: data.Dataset) -> None:
    X = digits.train[:8].reshape(8, -1)
    choices = {
        "optimizer": SGD(0.1, momentum=0),
        "likelihood": Normal(),
        "scaling": NoScaling(),
        "precision": "float64",
    }
    start = small(**choices | {"optimizer": SGD(1e-30, momentum=0)}, epochs=1).fit(X)
    x = torch.from_numpy(X).double()
    start.model_.zero_grad()
    start.model_(Batch(x, x), torch.Generator()).total.mean().backward()
    expected = torch.cat([(p - 0.1 * p.grad).flatten() for p in start.model_.parameters()]).detach()
    np.testing.assert_allclose(weights(small(**choices, epochs=1).fit(X)), expected, rtol=1e-9, atol=1e-12)


def test_clipping_bounds_the_whole_step(digits: data.Dataset) -> None:
    X = digits.train[:8].reshape(8, -1)
    start, end = (weights(small(optimizer=SGD(lr, momentum=0, clip=0.5), epochs=1).fit(X)) for lr in (1e-30, 1.0))
    assert np.linalg.norm(end - start) == pytest.approx(0.5, rel=1e-3)


def test_reports_in_between_change_nothing(digits: data.Dataset) -> None:
    X = digits.train[:100]
    choices = {"bottleneck": Gaussian(3), "corruption": GaussianNoise(0.3), "batch_size": 16}
    watched = small(**choices)
    for _ in watched.iter_fit(X, every=1, validation_data=digits.test[:20]):
        watched.transform(X[:3]), watched.sample(2), watched.score(X[:3])
    np.testing.assert_array_equal(weights(watched), weights(small(**choices).fit(X)))


@pytest.mark.parametrize("patience", [1, 2])
def test_early_stopping_is_independent_of_the_number_of_reports(patience: int, rng: np.random.Generator) -> None:
    X = rng.normal(size=(200, 6))
    choices = {"bottleneck": Identity(3), "early_stopping": True, "n_iter_no_change": patience, "epochs": 30}
    seldom, often = small(**choices), small(**choices)
    for _ in seldom.iter_fit(X):
        pass
    for _ in often.iter_fit(X, every=1):
        pass
    assert len(often.history_) == len(seldom.history_) > patience
    np.testing.assert_array_equal(weights(often), weights(seldom))


def test_validation_draws_the_same_numbers_each_time(digits: data.Dataset) -> None:
    """Else early stopping would look at luck: weights that stand still have one validation loss."""
    ae = small(bottleneck=Gaussian(3), corruption=GaussianNoise(0.5), optimizer=SGD(1e-30, momentum=0))
    losses = {report.val_loss for report in ae.iter_fit(digits.train[:64], validation_data=digits.test[:600])}
    assert len(losses) == 1
    other = small(
        bottleneck=Gaussian(3), corruption=GaussianNoise(0.5), optimizer=SGD(1e-30, momentum=0), random_state=1
    )
    assert {
        report.val_loss for report in other.iter_fit(digits.train[:64], validation_data=digits.test[:600])
    }.isdisjoint(losses)


def test_early_stopping_requires_an_improvement_above_its_tolerance(rng: np.random.Generator) -> None:
    """No improvement is as large as that: the first epoch is the best one."""
    choices = {"bottleneck": Identity(3), "early_stopping": True, "n_iter_no_change": 2, "epochs": 30}
    assert len(small(**choices, tol=1e6).fit(rng.normal(size=(200, 6))).history_) == 3


def test_evaluation_mode_between_reports_does_not_change_training(rng: np.random.Generator) -> None:
    """Its own layers drop in training alone."""
    X = rng.normal(size=(200, 6))
    plain, used, whole = (small(bottleneck=Identity(2), architecture=own(rate)) for rate in (0.5, 0.5, 0.0))
    for _ in used.iter_fit(X, every=3):
        used.model_.eval()
    torch.testing.assert_close(weights(used), weights(plain.fit(X)), rtol=0, atol=0)
    assert not np.allclose(weights(plain), weights(whole.fit(X)))


def test_held_out_examples_are_not_trained_on(rng: np.random.Generator) -> None:
    X = rng.normal(size=(60, 4))
    choices = {"early_stopping": True, "validation_fraction": 0.25, "batch_size": 1, "optimizer": Adam(1e-30)}
    reports = list(small(**choices, epochs=1).iter_fit(X))
    assert reports[-1].steps == 45


@pytest.mark.parametrize("after", [0, 1, 4])
def test_stopping_between_reports_leaves_a_usable_autoencoder(after: int, digits: data.Dataset, tmp_path: Path) -> None:
    ae = small(batch_size=16)
    reports = ae.iter_fit(digits.train[:64], every=1)
    for _ in range(after):
        next(reports)
    reports.close()
    if after:
        assert not ae.model_.training
        np.testing.assert_array_equal(ae.transform(digits.test), ae.transform(digits.test))
        ae.save(tmp_path / "model.safetensors")
    assert ae.fit(digits.train[:64]).history_[-1].epoch == 3


@pytest.mark.filterwarnings("ignore::isthmus.errors.DivergenceWarning")
def test_divergence_errors_give_the_step_and_advice(digits: data.Dataset) -> None:
    sentence = (
        r"the loss is (inf|nan) at step \d+ of \d+: training diverged, also with .*; lower optimizer\.lr \(now 1e\+06\)"
    )
    with pytest.raises(DivergenceError, match=sentence):
        small(optimizer=SGD(1e6), likelihood=Normal(), epochs=20).fit(digits.train[:100])


def test_partial_fit_keeps_the_optimizer_state(digits: data.Dataset) -> None:
    X, optimizer = digits.train[:64], Adam(1e-2, schedule=Constant())
    parts = small(optimizer=optimizer, batch_size=64)
    for _ in range(3):
        parts.partial_fit(X)
    whole = small(optimizer=optimizer, batch_size=64).fit(X)
    np.testing.assert_allclose(weights(parts), weights(whole), rtol=1e-4, atol=1e-6)
    assert [report.epoch for report in parts.history_] == [1, 2, 3]


@pytest.mark.parametrize("precision", ["float32", "float64", "bfloat16"])
def test_every_precision_learns(precision: str, digits: data.Dataset) -> None:
    ae = small(precision=precision, epochs=5, optimizer=Adam(1e-2)).fit(digits.train[:300])
    assert ae.history_[-1].loss < 0.7 * ae.history_[0].loss
    assert ae.transform(digits.test).dtype == (np.float64 if precision == "float64" else np.float32)


def test_a_file_with_held_out_examples_stays_a_file(digits: data.Dataset, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", digits.train[:200])
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    ae = small(early_stopping=True, epochs=1, kind="images").fit(mapped)
    training, held = ae._validation_split(ae._source(mapped))
    assert isinstance(training, SubsetSource)
    assert isinstance(training.source, MemmapSource)
    assert len(ae.history_) == 1
    assert sorted([*training.positions.tolist(), *held.positions.tolist()]) == list(range(200))
    in_memory = small(early_stopping=True, epochs=1, kind="images").fit(np.array(mapped))
    np.testing.assert_array_equal(weights(ae), weights(in_memory))


@pytest.mark.promise(12)
@pytest.mark.filterwarnings("ignore::isthmus.errors.DivergenceWarning")
def test_divergence_in_the_last_step_is_reported(rng: np.random.Generator) -> None:
    X = rng.normal(size=(20, 6))
    with pytest.raises(DivergenceError):
        small(optimizer=SGD(1e30), epochs=1, batch_size=20).fit(X)


@pytest.mark.promise(12)
@pytest.mark.filterwarnings("ignore::isthmus.errors.DivergenceWarning")
def test_divergence_keeps_the_earlier_model(digits: data.Dataset) -> None:
    X, wild = digits.train[:100], SGD(1e12)
    ae = small(likelihood=Normal(), batch_size=16)
    with pytest.raises(DivergenceError):
        ae.set_params(optimizer=wild).partial_fit(X)
    with pytest.raises(NotFittedError):
        ae.transform(X)
    ae.set_params(optimizer=Adam()).fit(X)
    before, Z = weights(ae), ae.encode(X)
    for way in (ae.partial_fit, ae.fit, ae.set_params(warm_start=True).fit):
        ae.set_params(optimizer=wild)
        with pytest.raises(DivergenceError):
            way(X)
        np.testing.assert_array_equal(weights(ae), before)
        np.testing.assert_array_equal(ae.encode(X), Z)
        assert [report.epoch for report in ae.history_] == [1, 2, 3]
        assert not ae.model_.training
    assert ae.set_params(optimizer=Adam()).partial_fit(X).history_[-1].epoch == 4


def test_a_fit_that_cannot_begin_changes_nothing(digits: data.Dataset) -> None:
    X = digits.train[:60]
    ae = small()
    with pytest.raises(DataError, match="examples have shape"):
        ae.fit(X, validation_data=X[:, :3])
    with pytest.raises(NotFittedError):
        ae.encode(X)
    Z = ae.fit(X).encode(X)
    for choices in (
        {"device": "banana", "bottleneck": Identity(2)},
        {"early_stopping": True, "validation_fraction": 0.999},
    ):
        before = ae.get_params(deep=False)
        with pytest.raises(ValueError, match=r"banana|too few examples"):
            ae.set_params(**choices).fit(X)
        np.testing.assert_array_equal(ae.transform(X), Z)
        ae.set_params(**{name: before[name] for name in choices})


def test_a_warm_start_keeps_the_best_weights_there_were(digits: data.Dataset) -> None:
    X, V = digits.train[:300], digits.test
    ae = small(epochs=30, optimizer=Adam(3e-3)).fit(X)
    before = ae.score(V)
    ae.set_params(warm_start=True, early_stopping=True, epochs=2, optimizer=Adam(0.5)).fit(X, validation_data=V)
    assert ae.score(V) >= before


def test_an_abandoned_training_does_not_affect_others(digits: data.Dataset) -> None:
    X = digits.train[:60]
    ae = small(early_stopping=True, warm_start=True)
    left = ae.iter_fit(X)
    next(left)
    ae.fit(X)
    Z, history = ae.encode(X), ae.history_
    assert list(left) == []
    left.close()
    np.testing.assert_array_equal(ae.encode(X), Z)
    assert ae.history_ == history


@pytest.mark.parametrize(
    ("shape", "architecture"),
    [
        ((4, 4, 4, 1), Conv()),
        ((9, 1), Conv()),
        ((8, 8), Conv((8, 16, 32, 32), down="stride", up="transpose")),
        ((5, 3, 2), Conv(down="stride")),
    ],
    ids=repr,
)
def test_convolutions_are_repeatable_where_bfloat16_is_not(
    shape: tuple[int, ...], architecture: Conv, rng: np.random.Generator
) -> None:
    X = rng.random((60, *shape), np.float32)
    fits = [small(bottleneck=Identity(4), architecture=architecture).fit(X) for _ in range(3)]
    for other in fits[1:]:
        np.testing.assert_array_equal(weights(other), weights(fits[0]))
    if not architecture.supports_bfloat16(shape):
        with pytest.raises(RecordError, match="gradients would be wrong; use 'float32'"):
            small(architecture=architecture, precision="bfloat16").fit(X)


def test_a_bernoulli_likelihood_refuses_values_outside_zero_and_one(
    digits: data.Dataset, rng: np.random.Generator
) -> None:
    ae = small().fit(digits.train[:60])
    far = pytest.warns(IsthmusWarning, match="far outside the training range")
    with far, pytest.raises(DataError, match=r"requires examples in \[0, 1\]"):
        ae.partial_fit(digits.train[:60] * 50)
    with pytest.raises(DataError, match=r"requires examples in \[0, 1\]"):
        small(likelihood=Bernoulli(), scaling=Standard()).fit(rng.normal(size=(50, 4)))


def test_a_warm_start_has_new_noise_and_continues_the_counts(digits: data.Dataset) -> None:
    X = digits.train[:64]
    frozen = {"optimizer": SGD(1e-30, momentum=0), "corruption": GaussianNoise(1.0), "likelihood": Normal()}
    ae = small(**frozen, warm_start=True, epochs=1)
    first = ae.fit(X).history_[-1]
    second = ae.fit(X).history_[-1]
    assert second.epoch == 2
    assert second.loss != first.loss  # the weights are the same: only the noise can differ
    assert len(ae.history_) == 2


def test_a_warm_start_uses_a_new_optimizer(digits: data.Dataset) -> None:
    X = digits.train[:64]
    ae = small(optimizer=Adam(1e-3), warm_start=True).fit(X)
    before = weights(ae)
    ae.set_params(optimizer__lr=1e-30).fit(X)
    np.testing.assert_allclose(weights(ae), before, atol=1e-12)


def test_a_warm_start_accepts_changes_that_fit_the_weights(digits: data.Dataset) -> None:
    X = digits.train[:64]
    ae = small(bottleneck=Gaussian(3), warm_start=True).fit(X)
    before = weights(ae)
    ae.set_params(bottleneck__beta=50.0, optimizer=SGD(1e-30, momentum=0), corruption=GaussianNoise(1.0)).fit(X)
    np.testing.assert_array_equal(weights(ae), before)
    assert ae.bottleneck_ == Gaussian(3, beta=50)
    assert ae.corruption_ == GaussianNoise(1.0)
    assert ae.history_[-1].penalty > 10 * ae.history_[0].penalty


@pytest.mark.parametrize(
    "change",
    [{"bottleneck": Gaussian(4)}, {"bottleneck": Identity(3)}, {"architecture": MLP((17,))}, {"scaling": NoScaling()}],
    ids=repr,
)
def test_a_warm_start_refuses_changes_that_do_not_fit_the_weights(
    change: dict[str, object], digits: data.Dataset
) -> None:
    X = digits.train[:64] * 5
    ae = small(bottleneck=Gaussian(3)).fit(X)
    before, Z = weights(ae), ae.encode(X)
    ae.set_params(**change)
    with pytest.raises(RecordError, match="fit again with warm_start=False"):
        ae.partial_fit(X)
    np.testing.assert_array_equal(weights(ae), before)
    np.testing.assert_array_equal(ae.encode(X), Z)
    assert ae.fit(X).shape_ == (8, 8)


def test_patience_is_counted_from_where_a_warm_start_begins(digits: data.Dataset) -> None:
    ae = small(early_stopping=True, n_iter_no_change=3, epochs=5, warm_start=True, optimizer=Adam(1e-2))
    assert len(ae.fit(digits.train[:200]).history_) == 5
    assert len(ae.fit(digits.train[:200]).history_) >= 8


def test_a_second_fit_has_the_same_number_of_steps(digits: data.Dataset) -> None:
    ae = small(epochs=2, batch_size=16, warm_start=True, optimizer=Adam(1e-2))
    for _ in range(3):
        reports = list(ae.iter_fit(digits.train[:64], every=1))
        assert [report.step for report in reports] == list(range(1, 9))
        assert {report.lr for report in reports} == {1e-2}


def test_seconds_add_up_over_rounds(digits: data.Dataset) -> None:
    ae = small(epochs=1).fit(digits.train[:100])
    once = ae.seconds_
    began = time.perf_counter()
    ae.partial_fit(digits.train[:100])
    assert ae.history_[-1].seconds < time.perf_counter() - began
    assert ae.seconds_ == pytest.approx(once + ae.history_[-1].seconds)


@pytest.mark.parametrize(("n", "batch_size"), [(10, 3), (5000, 7), (5000, 4096), (2048, 2048)])
def test_every_batch_has_the_positions_of_its_examples(n: int, batch_size: int) -> None:
    X, order = np.arange(n, dtype=np.float32)[:, None], torch.randperm(n, generator=torch.Generator().manual_seed(0))
    batches = list(iter_batches(InMemorySource(X, torch.device("cpu")), [order], batch_size))
    assert torch.equal(torch.cat([index for _, index in batches]), order)
    assert all(len(raw) == batch_size for raw, _ in batches[:-1])
    for raw, index in batches:
        assert torch.equal(raw[:, 0].long(), index)


def test_fixed_corruption_stays_with_its_example(digits: data.Dataset, tmp_path: Path) -> None:
    frozen = {"optimizer": SGD(1e-30, momentum=0), "corruption": GaussianNoise(1.0, fixed=True), "likelihood": Normal()}
    np.save(tmp_path / "x.npy", digits.train[:100])
    for X in (digits.train[:100], np.load(tmp_path / "x.npy", mmap_mode="r")):
        first, second = small(**frozen, epochs=2, batch_size=16, kind="images").fit(X).history_
        assert second.loss == pytest.approx(first.loss, rel=1e-6)  # in another order, but with the same noise


def test_a_statistic_is_the_mean_over_batches_and_agrees_with_the_penalty(digits: data.Dataset) -> None:
    ae = Autoencoder(Gaussian(3, beta=2.0), architecture=MLP((16,)), epochs=2, batch_size=64, random_state=0)
    for report in ae.fit(digits.train[:320]).history_:
        assert 2.0 * report.stats["kl"] == pytest.approx(report.penalty, rel=1e-5)


def test_random_numbers_of_validation_depend_on_the_random_state_alone(digits: data.Dataset) -> None:
    ae = Autoencoder(Identity(3), architecture=MLP((8,)), random_state=0).initialize(digits.train)
    examples = InMemorySource(digits.train[:50], torch.device("cpu"))
    losses = [
        validate(ae.model_, examples, TrainingConfig(GaussianNoise(0.5), Adam(), 1, 16, random_state))
        for random_state in (0, 0, 1)
    ]
    assert losses[0] == losses[1] != losses[2]


def test_reversed_examples_are_examples(digits: data.Dataset) -> None:
    """NumPy calls a reversed axis of one element contiguous; PyTorch does not take it."""
    X = digits.train[:40]
    one, quick = X[:1][::-1], Autoencoder(Identity(3), architecture=MLP((8,)), epochs=1, random_state=0)
    ae = quick.fit(X)
    assert np.array_equal(
        ae.corrupt(one, corruption=GaussianNoise(0.1)), ae.corrupt(X[:1], corruption=GaussianNoise(0.1))
    )
    reverse, ordinary = (Autoencoder(3, random_state=0).partial_fit(each) for each in (one, X[:1]))
    assert np.array_equal(reverse.encode(X), ordinary.encode(X))
