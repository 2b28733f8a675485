"""Augmentations move the right pixels, draw what they claim, each example by itself, and leave what they are given as it was."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import required
from test_cli import run
from torch import Generator, Tensor

from isthmus import Autoencoder, AutoencoderClassifier, OutlierDetector, augmentations, data, load, records
from isthmus.architectures import MLP
from isthmus.augmentations import AugmentationChain, Binarize, Crop, Dequantize, Domain, Flip, NoAugmentation, Shift
from isthmus.bottlenecks import Identity
from isthmus.corruptions import Clean
from isthmus.errors import DataError, NotPossibleError, RecordError
from isthmus.estimators.named_records import record_types
from isthmus.likelihoods import Bernoulli, Likelihood, Normal
from isthmus.likelihoods.base import NO_VARIABLES
from isthmus.nn.variables import Variables
from isthmus.optimizers import Adam
from isthmus.records import record
from isthmus.scaling import MinMax, Standard
from isthmus.trainable import Trainable
from isthmus.training.batches import InMemorySource, PairedSource
from isthmus.training.config import TrainingConfig
from isthmus.training.encoder_input import EncoderInput

MADE = [kind(**required(kind)) for kind in (getattr(augmentations, name) for name in augmentations.__all__)]
MORE = [
    *MADE,
    Shift(3, "edge"),
    Flip("vertical"),
    Dequantize(17),
    Flip() >> Dequantize(8) >> Shift(fill=0.5),
    Shift(2) >> Crop(5) >> Binarize(),
]
SHAPES = [(8, 8), (7, 9), (6, 8, 3)]
every = pytest.mark.parametrize("augmentation", MORE, ids=repr)


def generator(state: int = 0) -> Generator:
    return Generator().manual_seed(state)


def images(n: int, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(n, *shape, generator=generator(9), dtype=torch.float64).to(dtype)


# What holds for every augmentation


@every
def test_an_augmentation_is_a_value(augmentation: Any) -> None:
    again = records.read(json.loads(json.dumps(records.describe(augmentation))), record_types())
    assert again == eval(repr(augmentation)) == copy.deepcopy(augmentation) == augmentation
    assert hash(again) == hash(augmentation)


@every
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_type_and_input_are_as_the_contract_says(
    augmentation: Any, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    x = images(20, shape, dtype)
    before, used = x.clone(), generator(1)
    torch.manual_seed(0)
    first, state = augmentation(x, used), torch.get_rng_state()
    assert first.shape == (20, *augmentation.shape(shape))
    assert first.dtype == dtype
    assert torch.equal(x, before)
    assert torch.equal(first, augmentation(x, generator(1)))
    assert torch.equal(state, torch.get_rng_state())  # the global generator is not used
    if augmentation.augments:
        assert not torch.equal(first, augmentation(x, generator(2)))
        assert not torch.equal(used.get_state(), generator(1).get_state())
    else:
        assert first is x


@every
def test_each_example_has_its_own_draw(augmentation: Any) -> None:
    x = images(1, (8, 8)).expand(64, 8, 8)
    different = len(augmentation(x, generator()).unique(dim=0))
    assert different == 1 if not augmentation.augments else different > 1


@every
def test_missing_values_travel_with_their_pixels(augmentation: Any) -> None:
    """Where the largest value goes, NaN in its place goes too: the places of values depend on no value."""
    x = images(30, (8, 8)) / 2
    gone = x.clone()
    x[:, 3, 4], gone[:, 3, 4] = 1.0, math.nan
    moved, lost = augmentation(x, generator()), augmentation(gone, generator())
    assert not moved.isnan().any()
    assert (lost.flatten(1).isnan().sum(1) <= 1).all()
    assert lost.isnan().any()
    assert torch.equal(lost[~lost.isnan()], moved[~lost.isnan()])
    assert (moved[lost.isnan()] > 0.87).all()  # also of 8 levels


def test_the_gradient_goes_through_what_moves_pixels() -> None:
    for augmentation in (Shift(2), Flip(), Crop(4)):
        x = images(5, (6, 6, 2)).requires_grad_()
        augmentation(x, generator()).sum().backward()
        assert x.grad is not None
        assert set(x.grad.unique().tolist()) <= {0.0, 1.0}


# What each one does


def test_binarized_values_are_0_or_1_and_their_mean_is_the_value() -> None:
    x, n = images(3, (5, 4)), 4000
    draws = torch.stack([Binarize()(x, generator(i)) for i in range(n)])
    assert set(draws.unique().tolist()) == {0.0, 1.0}
    error = (draws.mean(0) - x) / (x * (1 - x) / n).sqrt()
    assert error.abs().max() < 4
    assert 0.6 < error.std() < 1.4  # 60 values: neither less nor more random than independent draws
    correlation = np.corrcoef(draws.flatten(1).numpy().T)[np.triu_indices(60, 1)]
    assert abs(correlation).max() < 5 / math.sqrt(n)  # values are drawn independently
    whole = torch.tensor([[0.0, 1.0, math.nan]]).repeat(1000, 1)
    assert torch.equal(Binarize()(whole, generator())[:, :2], whole[:, :2])
    assert Binarize()(whole, generator())[:, 2].isnan().all()


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_dequantized_values_are_uniform_within_their_step_and_their_mean_is_what_inference_sees(levels: int) -> None:
    k = torch.arange(levels).repeat(20_000 // levels, 1)
    x = k / (levels - 1)
    noisy = Dequantize(levels)(x, generator())
    steps = noisy.double() * (levels - 1)
    assert torch.equal((steps + 0.5).floor(), k.double())  # the level can be read off again
    u = (steps - k).flatten()
    assert u.abs().max() < 0.5
    assert abs(u.mean()) < 4 / math.sqrt(12 * u.numel())
    assert abs(u.var() - 1 / 12) < 4 * math.sqrt(1 / 180 / u.numel())
    error = math.sqrt(1 / 12 / len(x)) / (levels - 1)  # of the mean of each level
    assert (noisy.double().mean(0) - x[0]).abs().max() < 4.5 * error
    made = Dequantize(levels).made().points
    assert made[0] <= noisy.min() <= noisy.max() <= made[1]


@pytest.mark.parametrize("drawn", [0.0, 1 - 2.0**-24])
def test_values_stay_in_their_step_whatever_is_drawn(drawn: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tensor, "uniform_", lambda self, *_, **__: self.fill_(drawn))
    for levels in (256, 2**16):
        k = torch.arange(levels)[None]
        noisy = Dequantize(levels)(k / (levels - 1), generator()).double() * (levels - 1)
        assert torch.equal((noisy + 0.5).floor(), k.double())


@record
class Flat(Likelihood):
    """A uniform density over all dequantized values of so many levels."""

    levels: int

    def costs(self, y: Tensor, x: Tensor, variables: Variables = NO_VARIABLES) -> Tensor:
        half = 0.5 / (self.levels - 1)
        inside = (x >= -half) & (x <= 1 + half)
        return torch.where(inside, math.log(1 + 2 * half), math.inf) + 0 * y

    def mean(self, y: Tensor) -> Tensor:
        return y


@pytest.mark.parametrize("levels", [17, 256])
def test_a_uniform_density_of_dequantized_values_is_the_uniform_probability(levels: int) -> None:
    """In the units of the data a step is 1, so that the log density of noisy values is log P of the original ones, exactly."""
    X = np.random.default_rng(0).integers(0, levels, (20, 4, 4)).astype(np.uint8)
    X[0, 0, :2] = 0, levels - 1
    ae = small(likelihood=Flat(levels), augmentation=Dequantize(levels), scaling=MinMax(), epochs=2)
    ae.fit(X, validation_data=X[:5])
    expected = 16 * math.log(levels)
    assert [each.loss for each in ae.history_] == pytest.approx([expected] * 2, rel=1e-6)
    assert ae.history_[-1].val_loss == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(ae.score_samples(X), -expected, rtol=1e-6)


def test_the_density_of_dequantized_values_bounds_the_discrete_likelihood() -> None:
    """Theis et al. 2016: for a density q with P(k) = its integral over a step, E[log q(noisy)] - log(levels - 1) <= log P(k)."""
    levels, n = 17, 20_000
    half = 0.5 / (levels - 1)
    q = torch.distributions.Beta(torch.tensor(2.0, dtype=torch.float64), torch.tensor(3.0, dtype=torch.float64))
    edges = torch.linspace(0, 1, levels + 1, dtype=torch.float64)
    cdf = torch.tensor([float(6 * e**2 - 8 * e**3 + 3 * e**4) for e in edges], dtype=torch.float64)  # of Beta(2, 3)
    discrete = (cdf[1:] - cdf[:-1]).log()
    assert discrete.exp().sum() == pytest.approx(1)
    k = torch.arange(levels, dtype=torch.float64)
    noisy = Dequantize(levels)((k / (levels - 1)).repeat(n, 1), generator())
    width = 1 + 2 * half  # q is stretched over [-half, 1 + half]
    density = q.log_prob((noisy + half) / width) - math.log(width) - math.log(levels - 1)
    bound, error = density.mean(0), density.std(0) / math.sqrt(n)
    assert (bound <= discrete + 4 * error).all()
    gap = discrete - bound
    assert gap[0] > 0.1  # where q is far from constant within a step, the bound is not tight
    assert gap[6:10].max() < 0.01  # and where it is nearly constant, it is


def shifted(image: np.ndarray, down: int, right: int, fill: float | str) -> np.ndarray:
    """By hand, with numpy's padding."""
    pad = max(abs(down), abs(right), 1)
    widths = [(pad, pad), (pad, pad)] + [(0, 0)] * (image.ndim - 2)
    padded = np.pad(image, widths, mode="edge") if fill == "edge" else np.pad(image, widths, constant_values=fill)
    top, left = pad - down, pad - right
    return padded[top : top + image.shape[0], left : left + image.shape[1]]


@pytest.mark.parametrize(("shape", "fill"), [((7, 9), 0.0), ((7, 9), "edge"), ((6, 8, 3), -1.5), ((6, 8, 3), "edge")])
def test_every_shifted_image_is_one_of_those_made_with_numpy(shape: tuple[int, ...], fill: float | str) -> None:
    x = images(200, shape)
    moved, found = Shift(2, fill)(x, generator()), list[tuple[int, int]]()
    moves = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
    for image, result in zip(x.numpy(), moved.numpy(), strict=True):
        same = [move for move in moves if np.array_equal(shifted(image, *move, fill), result)]
        assert len(same) == 1
        found += same
    counts = np.bincount([moves.index(move) for move in found], minlength=25)
    assert ((counts - 8) ** 2 / 8).sum() < 52  # chi-squared with 24 degrees of freedom: p = 0.0008


@pytest.mark.parametrize(("axis", "of_image"), [("horizontal", np.fliplr), ("vertical", np.flipud)])
@pytest.mark.parametrize("shape", SHAPES)
def test_half_of_the_images_are_mirrored(axis: Any, of_image: Callable[..., Any], shape: tuple[int, ...]) -> None:
    x = images(400, shape)
    count = 0
    for image, result in zip(x.numpy(), Flip(axis)(x, generator()).numpy(), strict=True):
        mirrored = np.array_equal(result, of_image(image))
        assert mirrored or np.array_equal(result, image)
        count += mirrored
    assert abs(count - 200) < 40  # four standard deviations


@pytest.mark.parametrize("shape", SHAPES)
def test_every_crop_is_a_part_of_its_image(shape: tuple[int, ...]) -> None:
    x, size = images(300, shape), 5
    places = [(top, left) for top in range(shape[0] - size + 1) for left in range(shape[1] - size + 1)]
    found = []
    for image, result in zip(x.numpy(), Crop(size)(x, generator()).numpy(), strict=True):
        same = [(t, s) for t, s in places if np.array_equal(image[t : t + size, s : s + size], result)]
        assert len(same) == 1
        found += same
    counts = np.bincount([places.index(place) for place in found], minlength=len(places))
    expected = 300 / len(places)
    assert ((counts - expected) ** 2 / expected).sum() < len(places) - 1 + 4.5 * math.sqrt(2 * len(places))
    whole = images(3, (5, 5))
    assert torch.equal(Crop(5)(whole, generator()), whole)


@pytest.mark.parametrize(
    ("augmentation", "shape", "sentence"),
    [
        (Crop(9), (8, 12, 3), "Crop(size=9) requires images of at least 9 x 9 pixels, and these have 8 x 12"),
        (Shift(8), (8, 12), "Shift(pixels=8) could move images of 8 x 12 out of sight: use at most 7 pixels"),
        *[
            (
                each,
                (64,),
                f"{each!r} requires images, (height, width) or (height, width, channels), and the shape of an example is (64,)",
            )
            for each in (Flip(), Shift(), Crop(4))
        ],
        (Crop(6) >> Crop(7), (8, 8), "Crop(size=7) requires images of at least 7 x 7 pixels, and these have 6 x 6"),
    ],
)
def test_what_does_not_apply_to_a_shape_says_so(augmentation: Any, shape: tuple[int, ...], sentence: str) -> None:
    with pytest.raises(RecordError) as caught:
        augmentation.shape(shape)
    assert str(caught.value) == sentence


# Chains


def test_a_chain_is_its_steps_one_after_the_other() -> None:
    chain, x = Shift(2) >> Crop(4) >> Binarize(), images(20, (8, 8))
    assert chain == Shift(2) >> (Crop(4) >> Binarize()) == AugmentationChain((Shift(2), Crop(4), Binarize()))
    used = generator()
    by_hand = Binarize()(Crop(4)(Shift(2)(x, used), used), used)
    assert torch.equal(chain(x, generator()), by_hand)
    assert chain.shape((8, 8)) == (4, 4)
    assert repr(chain) == "Shift(pixels=2) >> Crop(size=4) >> Binarize()"
    assert chain.domain == Domain(0, 1)
    assert (Shift() >> Flip()).domain == Domain()
    nothing = NoAugmentation()
    assert nothing >> Flip() == Flip() >> nothing == Flip()
    assert nothing >> nothing == nothing
    assert not AugmentationChain((nothing, nothing)).augments
    with pytest.raises(TypeError):
        Flip() >> 3


# In training


class Images(Trainable):
    """A model of images that are already in its units."""

    shape = (8, 8)

    def normalize(self, raw: Tensor) -> Tensor:
        return raw


def test_a_target_of_its_own_is_augmented_by_the_same_random_numbers(digits: data.Dataset) -> None:
    device, X = torch.device("cpu"), digits.train[:50]
    source, targets = InMemorySource(X, device), InMemorySource(1 - X, device)
    paired = PairedSource(source, targets, lambda raw: raw)
    config = TrainingConfig(Clean(), Adam(), 1, 50, 0, augmentation=Flip() >> Shift(2, "edge"))
    index = torch.arange(50)
    batch = EncoderInput(Images(), paired, config)(source[index], index, generator())
    torch.testing.assert_close(batch.target, 1 - batch.x)
    assert not torch.equal(batch.x, source[index])
    alone = EncoderInput(Images(), source, config)(source[index], index, generator())
    assert torch.equal(alone.x, batch.x)
    assert alone.target is alone.x


def small(**choices: Any) -> Autoencoder:
    common: dict[str, Any] = {
        "architecture": MLP((8,)),
        "epochs": 2,
        "batch_size": 30,
        "random_state": 0,
        "kind": "images",
    }
    return Autoencoder(Identity(3), **common | choices)


@pytest.mark.parametrize(
    "augmentation", [Binarize(), Dequantize(17), Shift(2), Flip(), Crop(5), Shift() >> Crop(5) >> Flip()], ids=repr
)
def test_training_resumes_bit_identically_in_the_middle_of_an_epoch(
    augmentation: Any, digits: data.Dataset, tmp_path: Path
) -> None:
    """Also the best weights by validation examples, which are augmented by the same random numbers each time."""
    X, held_out = digits.train[:100], digits.test[:40]
    choices: dict[str, Any] = {"augmentation": augmentation, "early_stopping": True, "epochs": 3}
    whole, cut = small(**choices).fit(X, validation_data=held_out), small(**choices)
    for report in cut.iter_fit(X, validation_data=held_out, every=1):
        if report.step == 6:  # of 12; an epoch has 4
            cut.checkpoint(tmp_path / "x")
            break
    again = load(tmp_path / "x").resume(X, validation_data=held_out)
    for name, value in whole.model_.state_dict().items():
        assert torch.equal(value, again.model_.state_dict()[name]), name
    assert [(r.loss, r.val_loss) for r in again.history_] == [(r.loss, r.val_loss) for r in whole.history_]


def test_validation_examples_are_augmented_alike_each_time(digits: data.Dataset) -> None:
    """With a learning rate of 0 the validation loss is the same after each epoch, and the training loss is not."""
    still = small(augmentation=Binarize(), optimizer=Adam(1e-30), epochs=3, likelihood=Bernoulli())
    history = still.fit(digits.train[:60], validation_data=digits.test[:40]).history_
    assert len({report.val_loss for report in history}) == 1
    assert len({report.loss for report in history}) == 3
    plain = small(optimizer=Adam(1e-30), epochs=1, likelihood=Bernoulli()).fit(
        digits.train[:60], validation_data=digits.test[:40]
    )
    assert plain.history_[0].val_loss != history[0].val_loss


def test_after_crops_the_autoencoder_is_one_of_small_images(digits: data.Dataset) -> None:
    ae = small(augmentation=Crop(5)).fit(digits.train[:60])
    assert (ae.shape_, ae.n_features_in_) == ((5, 5), 25)
    assert ae.reconstruct(digits.test[:7, :5, 2:7]).shape == (7, 5, 5)
    with pytest.raises(DataError, match=r"have shape \(8, 8\), but this autoencoder was fitted on shape \(5, 5\)"):
        ae.encode(digits.test)
    assert ae.partial_fit(digits.train[:60]).shape_ == (5, 5)
    ae.set_params(warm_start=True)
    assert ae.set_params(augmentation=Flip() >> Crop(5)).fit(digits.train[:60]).shape_ == (5, 5)
    for other in (Crop(6), NoAugmentation()):
        with pytest.raises(RecordError, match=rf"augmentation={re.escape(repr(other))} does not fit"):
            ae.set_params(augmentation=other).fit(digits.train[:60])
    assert ae.fit(digits.train[:60, :5, :5]).shape_ == (5, 5)
    ae = small(augmentation=Crop(5)).fit(digits.train[:60], target=1 - digits.train[:60])
    assert ae.shape_ == (5, 5)


def test_values_outside_of_the_domain_are_refused_and_automatic_scaling_avoids_them(rng: np.random.Generator) -> None:
    X, table = rng.normal(size=(60, 6, 6)), {"kind": "table", "epochs": 1}
    for augmentation in (Binarize(), Shift() >> Dequantize()):
        name = re.escape(repr(augmentation))
        with pytest.raises(
            DataError,
            match=rf"^{name} requires examples in \[0, 1\] after scaling, and these are not; use scaling=MinMax",
        ):
            small(augmentation=augmentation, scaling=Standard(), **table).fit(X)
        ae = small(augmentation=augmentation, **table).fit(X)
        assert isinstance(ae.scaling_, MinMax)
    with pytest.raises(DataError, match="requires examples in"):
        ae.set_params(warm_start=True).fit(2 * X)


def test_the_loss_of_binarized_examples_is_that_of_published_figures(digits: data.Dataset) -> None:
    """The loss is a probability of binary examples: with outputs that know nothing it is 64 log 2 whatever is drawn."""
    ae = small(augmentation=Binarize(), likelihood=Bernoulli(), epochs=1).initialize(digits.train[:60])
    with torch.no_grad():
        for weight in ae.model_.decoder.parameters():
            weight.zero_()
    x = Binarize()(ae.model_.normalize(torch.from_numpy(digits.train[:60])), generator())
    nll = ae.model_.nll(ae.model_.decoder(ae.model_.encode(x)), x)
    torch.testing.assert_close(nll, torch.full((60,), 64 * math.log(2)))


@pytest.mark.thorough
def test_the_command_line_augments(tmp_path: Path) -> None:
    words = ("train", "simple", "--data", "digits", "epochs=1", "architecture=MLP", "architecture.hidden=8")
    done = run(
        *words,
        "augmentation=AugmentationChain",
        "augmentation.augmentations=Shift,Binarize",
        "--out",
        "a",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert load(tmp_path / "a").augmentation_ == Shift() >> Binarize()
    for given, sentence in (
        (("augmentation=Crop",), "Crop requires size: give augmentation.size=... too"),
        (
            ("augmentation=Crop", "augmentation.size=6"),
            "Crop(size=6) changes the shape of examples, and a run is measured on",
        ),
    ):
        done = run(*words, *given, "--out", "b", cwd=tmp_path)
        assert done.returncode != 0
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "b" / "model.safetensors").exists()


def test_targets_outside_of_the_domain_are_refused(digits: data.Dataset) -> None:
    ae = Autoencoder(2, architecture=MLP((8,)), epochs=1, augmentation=Binarize(), likelihood=Normal())
    with pytest.raises(DataError, match=r"Binarize\(\) requires examples in \[0, 1\] after scaling"):
        ae.fit(digits.train[:40], target=digits.train[:40] * 2)


@pytest.mark.parametrize("kind", [OutlierDetector, AutoencoderClassifier])
def test_what_compares_whole_examples_refuses_parts(digits: data.Dataset, kind: Any) -> None:
    ae = Autoencoder(2, architecture=MLP((8,)), epochs=1, augmentation=Crop(6))
    with pytest.raises(NotPossibleError, match=rf"{kind.__name__} requires an autoencoder of whole examples"):
        kind(ae).fit(digits.train[:40], np.arange(40) % 2)
