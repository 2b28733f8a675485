"""What a corruption changes and what the loss counts: patches, blind spots, chains, and what training with them achieves."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import required
from torch import Generator, Tensor, nn

from isthmus import Autoencoder, AutoencoderClassifier, corruptions, data, evaluate, load, plots, records, robustness
from isthmus.architectures import MLP, Modules
from isthmus.bottlenecks import Gaussian
from isthmus.corruptions import (
    BlindSpots,
    Clean,
    Corrupted,
    Corruption,
    CorruptionChain,
    GaussianNoise,
    Masking,
    Occlusion,
    Patches,
)
from isthmus.errors import RecordError
from isthmus.estimators.named_records import record_types
from isthmus.experiments.run_figures import default_figures
from isthmus.likelihoods import Bernoulli, Laplace, Normal
from isthmus.nn.layers import FromChannelsFirst, ToChannelsFirst
from isthmus.optimizers import Adam, Cosine
from isthmus.scaling import NoScaling
from isthmus.training.batches import InMemorySource, MemmapSource
from isthmus.training.config import TrainingConfig
from isthmus.training.encoder_input import EncoderInput
from isthmus.training.rng import RandomStream, seeded

MADE = [kind(**required(kind)) for kind in (getattr(corruptions, name) for name in corruptions.__all__)]
MORE = [
    *MADE,
    Patches(3, 0.3, value=-1.0),
    Patches(2, value="missing"),
    BlindSpots(0.3, radius=1),
    GaussianNoise(0.1) >> Masking(0.2),
    GaussianNoise(0.1, fixed=True) >> Patches(2, fixed=True),
]
SHAPES = [(20,), (8, 8), (7, 9, 3)]
every = pytest.mark.parametrize("corruption", MORE, ids=repr)
MARKING = [Patches(2, 0.5), BlindSpots(0.2), GaussianNoise(0.1) >> BlindSpots(), Patches(2) >> Masking(0.3)]


def generator(state: int = 0) -> Generator:
    return Generator().manual_seed(state)


def examples(n: int, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(n, *shape, generator=generator(9), dtype=torch.float64).to(dtype)


# What holds for every corruption


@every
def test_a_corruption_is_a_value(corruption: Any) -> None:
    again = records.read(json.loads(json.dumps(records.describe(corruption))), record_types())
    assert again == eval(repr(corruption), vars(corruptions)) == copy.deepcopy(corruption) == corruption
    assert hash(again) == hash(corruption)


@every
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_type_input_and_marks_are_as_the_contract_says(
    corruption: Any, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    x = examples(20, shape, dtype)
    before, used = x.clone(), generator(1)
    torch.manual_seed(0)
    (first, counted), state = corruption.marked(x, used), torch.get_rng_state()
    assert (first.shape, first.dtype) == (x.shape, dtype)
    assert torch.equal(x, before)
    again = corruption.marked(x, generator(1))
    torch.testing.assert_close(first, again.x, equal_nan=True, rtol=0, atol=0)
    torch.testing.assert_close(first, corruption(x, generator(1)), equal_nan=True, rtol=0, atol=0)
    assert torch.equal(state, torch.get_rng_state())  # the global generator is not used
    assert corruption.corrupts == (not torch.equal(first, x))
    assert corruption.stochastic == (not torch.equal(used.get_state(), generator(1).get_state()))
    assert corruption.makes_missing == bool(first.isnan().any())
    assert corruption.marks == (counted is not None)
    if counted is not None:
        assert counted.shape == x.shape
        assert counted.dtype == torch.bool
        assert torch.equal(counted, again.counted)
        assert 0 < int(counted.sum()) < counted.numel()


@every
def test_a_fixed_corruption_keeps_its_marks_in_any_batch(corruption: Any, digits: data.Dataset) -> None:
    X, fixed = digits.train[:24], corruption.replace(fixed=True)
    model = Autoencoder(2, architecture=MLP(()), scaling=NoScaling(), kind="images").initialize(X).model_
    config, device = TrainingConfig(fixed, Adam(), 1, 16, 3), torch.device("cpu")
    whole, streamed = (EncoderInput(model, kind(X, device), config) for kind in (InMemorySource, MemmapSource))
    x, order = torch.from_numpy(X), torch.randperm(24, generator=generator())
    first = whole(x, torch.arange(24), generator(1))
    assert first.target is x
    for again in (whole(x[order], order, generator(2)), streamed(x[order], order, generator(2))):
        torch.testing.assert_close(again.x, first.x[order], equal_nan=True, rtol=0, atol=0)
        assert (again.counted is None) == (first.counted is None) == (not corruption.marks)
        if first.counted is not None:
            assert again.counted is not None
            assert torch.equal(again.counted, first.counted[order])
    if corruption.stochastic:
        assert len({example.numpy().tobytes() for example in (first.x - x)[:, 2:6, 2:6]}) > 1


# Patches


@pytest.mark.parametrize(
    ("shape", "size", "rate"), [((8, 8), 2, 0.75), ((7, 9, 3), 4, 0.5), ((22,), 5, 0.3), ((8, 8), 7, 0.1)]
)
def test_the_same_number_of_whole_patches_is_hidden_in_each_example(
    shape: tuple[int, ...], size: int, rate: float
) -> None:
    x = examples(600, shape) + 1
    corrupted, counted = Patches(size, rate, value=-1.0).marked(x, generator())
    assert counted is not None
    assert torch.equal(counted, corrupted == -1)  # exactly the hidden values count
    assert torch.equal(corrupted[~counted], x[~counted])
    sides = shape[:2]
    starts = [range(0, side, size) for side in sides]
    hidden = []
    for corner in np.stack(np.meshgrid(*starts, indexing="ij"), -1).reshape(-1, len(sides)):
        patch = counted[:, *(slice(at, at + size) for at in corner)].flatten(1)
        assert torch.equal(patch.any(1), patch.all(1))  # wholly, or not at all
        hidden.append(patch.any(1))
    table = torch.stack(hidden, 1).double()
    n, expected = len(hidden), max(1, math.floor(rate * len(hidden) + 0.5))
    assert (table.sum(1) == expected).all()
    share = expected / n
    spread = math.sqrt(share * (1 - share) / 600)
    assert (table.mean(0) - share).abs().max() <= 4 * spread  # each patch as often as the others
    if n > expected > 1:
        assert len(table.unique(dim=0)) > 5


def test_hidden_patches_can_be_missing_values() -> None:
    corrupted, counted = Patches(2, 0.5, value="missing").marked(examples(10, (8, 8)), generator())
    assert counted is not None
    assert torch.equal(counted, corrupted.isnan())


# Blind spots


@pytest.mark.parametrize("shape", [(9,), (4, 5), (4, 5, 3)])
def test_a_blind_spot_is_a_copy_of_a_random_neighbor_never_of_itself(shape: tuple[int, ...]) -> None:
    """All values differ, so that the place that a value comes from is known."""
    radius, n = 2, 3000
    places = [(i, j) for i in range(shape[0]) for j in range((*shape[1:], 1)[0])]
    values = torch.arange(math.prod(shape), dtype=torch.float32).reshape(1, *shape)
    corrupted, counted = BlindSpots(0.25, radius).marked(values.expand(n, *shape), generator())
    assert counted is not None
    marked = counted.reshape(n, len(places), -1)
    assert torch.equal(marked.any(2), marked.all(2))  # all channels together
    assert (marked.any(2).sum(1) == math.floor(0.25 * len(places) + 0.5)).all()
    assert torch.equal(corrupted[~counted], values.expand(n, *shape)[~counted])
    channels = marked.shape[2]
    sources = corrupted.reshape(n, len(places), channels)
    assert torch.equal(sources[..., 0] + channels - 1, sources[..., -1])  # of the same neighbor
    sources = (sources[..., 0] / channels).long()
    for at, (i, j) in enumerate(places):
        near = [k for k, (a, b) in enumerate(places) if 0 < max(abs(a - i), abs(b - j)) <= radius]
        counts = torch.bincount(sources[marked[:, at, 0], at], minlength=len(places)).double()
        assert counts.sum() == counts[near].sum()
        expected = counts.sum() / len(near)
        chi_squared = float(((counts[near] - expected) ** 2 / expected).sum())
        assert chi_squared < len(near) - 1 + 4.5 * math.sqrt(2 * len(near))


def test_a_single_value_has_no_neighbor() -> None:
    with pytest.raises(
        RecordError, match=r"^BlindSpots\(\) requires examples of several pixels; the shape of an example is \(1,\)$"
    ):
        BlindSpots().marked(examples(3, (1,)), generator())
    two = torch.tensor([[1.0, 2.0]])
    assert torch.equal(BlindSpots(1.0)(two, generator()), two.flip(1))


# Chains


def test_a_chain_is_its_corruptions_one_after_the_other() -> None:
    chain, x, used = GaussianNoise(0.1) >> Masking(0.2) >> Patches(2), examples(10, (8, 8)), generator()
    assert chain == GaussianNoise(0.1) >> (Masking(0.2) >> Patches(2))
    noisy = Masking(0.2)(GaussianNoise(0.1)(x, used), used)
    by_hand = Patches(2).marked(noisy, used)
    found = chain.marked(x, generator())
    assert torch.equal(found.x, by_hand.x)
    assert by_hand.counted is not None
    assert torch.equal(found.counted, by_hand.counted)
    assert Clean() >> Masking() == Masking() >> Clean() == Masking()
    assert Clean() >> Clean() == Clean()
    assert chain.level is None
    assert chain.hides_region
    assert not (GaussianNoise() >> Masking()).hides_region
    assert not (Occlusion() >> Occlusion(keep="left")).stochastic
    assert (Masking(value="missing") >> GaussianNoise()).makes_missing
    with pytest.raises(TypeError):
        Masking() >> 3


def test_the_values_that_count_are_those_of_all_corruptions() -> None:
    x, used = examples(10, (8, 8)), generator()
    first, second = Patches(2, 0.3).marked(x, used), BlindSpots(0.2).marked(x, used)
    found = (Patches(2, 0.3) >> BlindSpots(0.2)).marked(x, generator())
    assert first.counted is not None
    assert second.counted is not None
    assert torch.equal(found.counted, first.counted | second.counted)
    assert (GaussianNoise() >> Masking()).marked(x, used).counted is None

    class CountsAll(Corruption):
        def marked(self, x: Tensor, generator: Generator) -> Corrupted:
            return Corrupted(x, None)

    assert (Patches() >> records.record(CountsAll)()).marked(x, used).counted is None


def test_a_chain_is_fixed_as_a_whole() -> None:
    chain = GaussianNoise(0.1, fixed=True) >> Masking(fixed=True) >> Occlusion(fixed=True)
    assert chain.fixed
    assert chain == CorruptionChain((GaussianNoise(0.1), Masking(), Occlusion()), fixed=True)
    assert chain.replace(fixed=False) == GaussianNoise(0.1) >> Masking() >> Occlusion()
    for wrong in (lambda: GaussianNoise(fixed=True) >> Masking(), lambda: chain >> Masking()):
        with pytest.raises(
            RecordError, match="fixed=True is of the whole chain: give it to all corruptions, or to none of them"
        ):
            wrong()


# In training


@pytest.mark.parametrize("likelihood", [Bernoulli(), Normal(), Normal("learned")], ids=repr)
@pytest.mark.parametrize("missing", ["error", "allow"])
def test_outputs_that_do_not_count_have_no_gradient(likelihood: Any, missing: Any, digits: data.Dataset) -> None:
    X = digits.train[:30]
    ae = Autoencoder(2, architecture=MLP(()), likelihood=likelihood, missing=missing, kind="images").initialize(X)
    x = ae.model_.normalize(torch.from_numpy(X))
    counted = Patches(2, 0.4).marked(x, generator()).counted
    y = examples(30, (8, 8)).requires_grad_()
    nll = ae.model_.nll(y, x, counted)
    nll.sum().backward()
    assert counted is not None
    assert y.grad is not None
    assert (y.grad[~counted] == 0).all()
    assert (y.grad[counted] != 0).all()
    other = torch.where(counted, y.detach(), 7.0)
    torch.testing.assert_close(ae.model_.nll(other, x, counted), nll)


@pytest.mark.thorough
def test_a_masked_autoencoder_completes_hidden_patches(digits: data.Dataset) -> None:
    """Better than the mean image, and than an autoencoder of the same net that saw whole images."""
    corruption, train = Patches(2, 0.5), digits.train[:700]
    choices: dict[str, Any] = {"architecture": MLP((64,)), "epochs": 12, "random_state": 0}
    masked, plain = (Autoencoder(32, corruption=each, **choices).fit(train) for each in (corruption, Clean()))
    corrupted, hidden = corruption.marked(torch.from_numpy(digits.test), generator(1))
    assert hidden is not None

    def error(completed: np.ndarray) -> float:
        return float(np.square(completed - digits.test)[hidden.numpy()].mean())

    found = [error(ae.reconstruct(corrupted.numpy())) for ae in (masked, plain)]
    assert found[0] < 0.8 * error(train.mean(0))
    assert found[0] < 0.7 * found[1]


def flat_net() -> Modules:
    """A convolutional net without a narrow place: it can copy its input."""
    torch.manual_seed(0)

    def conv(inputs: int, outputs: int) -> nn.Module:
        return nn.Conv2d(inputs, outputs, 3, padding=1)

    encoder = nn.Sequential(ToChannelsFirst((8, 8), 1), conv(1, 16), nn.ReLU(), conv(16, 16), nn.Flatten())
    decoder = [nn.Unflatten(1, (16, 8, 8)), nn.ReLU(), conv(16, 16), nn.ReLU(), conv(16, 1), FromChannelsFirst((8, 8))]
    return Modules(encoder, nn.Sequential(*decoder))


def test_blind_spots_learn_clean_images_from_noisy_ones(digits: data.Dataset, rng: np.random.Generator) -> None:
    """Noise2Void: neither net sees a clean image; the plain one learns to copy the noise."""
    noisy, test = (
        clean + rng.normal(0, 0.3, clean.shape).astype(np.float32) for clean in (digits.train[:500], digits.test)
    )
    errors = []
    for corruption in (Clean(), BlindSpots(0.2, radius=1)):
        optimizer = Adam(3e-3, schedule=Cosine())
        common: dict[str, Any] = {"epochs": 8, "batch_size": 32, "optimizer": optimizer, "random_state": 0}
        ae = Autoencoder(
            1024, architecture=flat_net(), corruption=corruption, likelihood=Normal(), kind="images", **common
        )
        errors.append(float(np.square(ae.fit(noisy).reconstruct(test) - digits.test).mean()))
    assert 0.07 < errors[0] < 0.0916  # nearly the noise's own error, 0.09
    assert errors[1] < 0.7 * errors[0]
    assert errors[1] < 0.8 * np.square(noisy.mean(0) - digits.test).mean()  # and better than the mean image


# Wherever a corruption is asked for


@pytest.mark.parametrize("corruption", MARKING, ids=repr)
@pytest.mark.parametrize("fixed", [False, True])
def test_training_resumes_bit_identically_in_the_middle_of_an_epoch(
    corruption: Any, fixed: bool, digits: data.Dataset, tmp_path: Path
) -> None:
    X = digits.train[:100]

    def new() -> Autoencoder:
        choices: dict[str, Any] = {"architecture": MLP((8,)), "epochs": 2, "batch_size": 30, "random_state": 0}
        return Autoencoder(Gaussian(2), corruption=corruption.replace(fixed=fixed), **choices)

    whole, cut = new().fit(X), new()
    for report in cut.iter_fit(X, every=1):
        if report.step == 3:  # of 8; an epoch has 4
            cut.checkpoint(tmp_path / "x")
            break
    again = load(tmp_path / "x").resume(X)
    for name, value in whole.model_.state_dict().items():
        assert torch.equal(value, again.model_.state_dict()[name]), name
    assert [r.loss for r in again.history_] == [r.loss for r in whole.history_]


@pytest.mark.thorough
@pytest.mark.parametrize("corruption", MARKING, ids=repr)
def test_every_part_works_with_corruptions_that_mark(corruption: Any, digits: data.Dataset) -> None:
    X = digits.train[:60]
    ae = Autoencoder(3, architecture=MLP((8,)), corruption=corruption, epochs=2, random_state=0)
    for layerwise in (True, False):
        assert np.isfinite([report.loss for report in ae.fit(X, layerwise=layerwise).history_]).all()
    assert ae.corrupt(X).shape == X.shape
    measured = evaluate(ae, X, train=X)
    assert measured.denoising is not None
    curve = robustness(ae, X, draws=1, n=20)
    expected = {True: type(corruption).__name__, False: "GaussianNoise"}[corruption.level is not None]
    assert curve.figures[0].kind.startswith(expected)
    assert any(figure.trained for figure in curve.figures) == (corruption.level is not None)
    kind = "completion" if corruption.hides_region else "denoising"
    assert kind in default_figures(ae)
    assert getattr(plots, kind)(ae, X) is not None
    classifier = AutoencoderClassifier(ae, corruption=corruption, epochs=1, random_state=0).fit(
        X, digits.train_labels[:60]
    )
    assert classifier.predict(X).shape == (60,)
    with pytest.raises(
        RecordError, match=r"^invalid kinds: GaussianNoise\(\) >> Masking\(\) is no corruption that has a level"
    ):
        robustness(ae, X, kinds=GaussianNoise() >> Masking())
    with pytest.raises(RecordError, match=r"^invalid kinds: CorruptionChain is without a level"):
        robustness(ae, X, kinds="CorruptionChain")


def test_the_loss_of_a_step_counts_the_hidden_values_only(digits: data.Dataset) -> None:
    """The loss of the only step, by hand."""
    X, corruption = digits.train[:40], Patches(2, 0.5)
    choices: dict[str, Any] = {"architecture": MLP(()), "likelihood": Normal(), "kind": "images", "random_state": 0}
    ae = Autoencoder(2, corruption=corruption, epochs=1, batch_size=40, **choices).fit(X)
    model = Autoencoder(2, **choices).initialize(X).model_
    order = torch.randperm(40, generator=seeded("cpu", 0, RandomStream.ORDER))
    x = model.normalize(torch.from_numpy(X))[order]
    corrupted, hidden = corruption.marked(x, seeded("cpu", 0, RandomStream.NOISE))
    assert hidden is not None
    with torch.no_grad():
        error = (model.decode(model.encode(corrupted)) - x).square()
    density = error / 2 + math.log(2 * math.pi) / 2 + torch.log(model.scale)
    by_hand = torch.where(hidden, density, 0).flatten(1).sum(1).mean()
    assert ae.history_[0].loss == pytest.approx(float(by_hand), rel=1e-5)


@pytest.mark.parametrize("likelihood", [Normal("learned"), Laplace()], ids=repr)
def test_a_learned_scale_is_that_of_the_values_that_count(likelihood: Any) -> None:
    x = torch.randn(200, 64, generator=generator(1), dtype=torch.float64)
    hidden = Patches(8, rate=0.5).marked(x, generator()).counted
    assert hidden is not None
    x = torch.where(hidden, 3 * x, 0.1 * x)  # the encoder sees the others, whose errors are small
    variables = likelihood.variables((64,)).double().train()
    likelihood.nll(torch.zeros_like(x), x, variables, hidden)
    errors = x[hidden].abs()
    expected = errors.mean() if isinstance(likelihood, Laplace) else errors.square().mean().sqrt()
    torch.testing.assert_close(variables["log_scale"].exp(), expected)
    assert 2 < expected < 4


@pytest.mark.parametrize(("shape", "size"), [((8,), 8), ((8, 8), 99), ((3, 4, 2), 4)])
def test_a_patch_that_covers_the_example_is_refused(shape: tuple[int, ...], size: int) -> None:
    x = torch.rand(5, *shape)
    with pytest.raises(RecordError, match=rf"covers a whole example of shape \({shape[0]},.*use a smaller size"):
        Patches(size).marked(x, torch.Generator())
    if len(shape) < 3:
        assert not Patches(size, rate=0.5).replace(size=2).marked(x, torch.Generator()).counted.all()  # type: ignore[union-attr]
