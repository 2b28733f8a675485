"""Conditional architectures: encoder and decoder also receive labels or covariates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from isthmus import Autoencoder, data, load, records
from isthmus.architectures import MLP, Conditional, Conv, Modules
from isthmus.architectures.base import Architecture
from isthmus.bottlenecks import Gaussian, Identity
from isthmus.errors import DataError, IsthmusError, NotPossibleError, RecordError
from isthmus.estimators.memory_estimate import footprint
from isthmus.estimators.named_records import describe_value, read_value, record_types
from isthmus.likelihoods import Normal
from isthmus.model import Model
from isthmus.record_overrides import override
from isthmus.scaling import NoScaling
from isthmus.trainable import Batch
from isthmus.training.layerwise import paired_layers

SHAPE, N = (8, 8), 3


def generator(state: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(state)


def own_modules(size: int) -> Modules:
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    return Modules(encoder, nn.Sequential(nn.Linear(size, 64), nn.Unflatten(1, SHAPE)))


WRAPPED = [MLP((16,)), Conv((4,)), Conv((4,), code="map"), own_modules(4 + N)]


def model(of: Architecture, bottleneck: Any = None) -> Model:
    affine = NoScaling().fit(torch.zeros(1, *SHAPE).numpy())
    return Model(SHAPE, Conditional(of, context=N), bottleneck or Identity(4), Normal(), affine, generator()).eval()


def one_hot(labels: Tensor) -> Tensor:
    return nn.functional.one_hot(labels, N).float()


@pytest.mark.parametrize("of", WRAPPED[:3], ids=repr)
def test_with_a_zero_map_and_no_weights_of_the_context_it_is_the_unconditional_net(of: Any) -> None:
    """The inner networks are those of the wrapped architecture; the rest of the decoder's first weights belong to the context."""
    plain, pair = of.build(SHAPE, 4, 4, generator()), Conditional(of, context=N).build(SHAPE, 4, 4, generator())
    pair.encoder.inner.load_state_dict(plain.encoder.state_dict())
    own = plain.decoder.state_dict()
    with torch.no_grad():
        for name, weight in pair.decoder.inner.state_dict().items():
            weight.zero_()[tuple(map(slice, own[name].shape))] = own[name]
    x, context = torch.rand(5, *SHAPE, generator=generator(1)), torch.randn(5, N, generator=generator(2))
    z = plain.encoder(x)
    torch.testing.assert_close(pair.encoder(x, context), z)
    torch.testing.assert_close(pair.encoder(x, None), z)
    torch.testing.assert_close(pair.decoder(z, context), plain.decoder(z))


@pytest.mark.parametrize("of", WRAPPED, ids=lambda of: type(of).__name__)
def test_codes_and_reconstructions_depend_on_the_context_and_gradients_reach_it(of: Any) -> None:
    parts, x = model(of), torch.rand(5, *SHAPE, generator=generator(1))
    one, other = (one_hot(torch.full((5,), label)) for label in (0, 1))
    z = parts.encode(x, one)
    assert torch.equal(z, parts.encode(x, other))  # the map is zero at the beginning
    assert not torch.equal(parts.decode(z, one), parts.decode(z, other))
    parts.score(Batch(x, x, None, one)).total.sum().backward()
    assert parts.encoder.map.weight.grad is not None
    assert (parts.encoder.map.weight.grad[:, 0] != 0).any()
    assert (parts.encoder.map.weight.grad[:, 1:] == 0).all()  # of classes that no example has
    with torch.no_grad():
        parts.encoder.map.weight.normal_(generator=generator(3))
    assert not torch.equal(parts.encode(x, one), parts.encode(x, other))


def test_the_encoder_adds_the_map_of_the_context_to_its_input() -> None:
    parts = model(MLP((16,)))
    parts.encoder.map.weight.data.normal_(generator=generator(3))
    x, context = torch.rand(5, *SHAPE, generator=generator(1)), torch.randn(5, N, generator=generator(2))
    moved = x + (context @ parts.encoder.map.weight.T).reshape(5, *SHAPE)
    torch.testing.assert_close(parts.encoder(x, context), parts.encoder(moved, None))


def test_every_position_of_a_code_map_has_the_same_context() -> None:
    class Kept(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            self.z = z
            return z[..., 0].repeat_interleave(2, 1).repeat_interleave(2, 2)

    decoder = Kept()
    pair = Conditional(Modules(nn.Sequential(nn.Unfold(2, stride=2)), decoder), context=N)
    with pytest.raises(RecordError, match="Modules: the encoder"):  # the inner architecture checks the modules
        pair.build(SHAPE, 4, 4, generator())
    built = Conditional(Conv((4,), code="map"), context=N).build(SHAPE, 4, 4, generator())
    built.decoder.inner = decoder
    z, context = torch.randn(5, 4, 4, 4, generator=generator(1)), torch.randn(5, N, generator=generator(2))
    built.decoder(z, context)
    assert torch.equal(decoder.z[..., :4], z)
    for row in range(4):
        for column in range(4):
            assert torch.equal(decoder.z[:, row, column, 4:], context)


@pytest.mark.parametrize("of", WRAPPED[:3], ids=repr)
def test_a_row_keeps_its_bits_in_any_batch(of: Any) -> None:
    parts = model(of, Gaussian(4))
    parts.encoder.map.weight.data.normal_(generator=generator(3))
    x, context = torch.rand(32, *SHAPE, generator=generator(1)), torch.randn(32, N, generator=generator(2))
    order = torch.randperm(32, generator=generator(4))
    with torch.inference_mode():
        z = parts.encode(x, context)
        y = parts.decode(z, context)
        assert torch.equal(parts.encode(x[order], context[order]), z[order])
        assert torch.equal(parts.decode(z[order], context[order]), y[order])


@pytest.mark.parametrize(
    "record", [Conditional(), Conditional(Conv((8,), code="map"), context=10), Conditional(context=2)], ids=repr
)
def test_a_record_with_a_record_inside_survives_json(record: Conditional) -> None:
    assert records.read(json.loads(json.dumps(records.describe(record))), record_types()) == record
    assert eval(repr(record), dict(record_types())) == record
    assert record.replace(context=7).context == 7
    assert override(record, {"of__activation": "tanh"}).of.activation == "tanh"


def test_modules_inside_are_described_without_their_code() -> None:
    inner = own_modules(7)
    described = json.loads(json.dumps(describe_value(Conditional(inner, context=N))))
    assert described == {"type": "Conditional", "of": {"type": "Modules"}, "context": N}
    assert read_value(described, record_types(), inner) == Conditional(inner, context=N)
    with pytest.raises(RecordError, match="whose code is not in the file"):
        read_value(described, record_types(), None)


def test_the_rest_follows_the_wrapped_architecture() -> None:
    for of in (*WRAPPED, Conv((4,), code="map")):
        record = Conditional(of, context=N)
        assert record.positions(SHAPE) == of.positions(SHAPE)
        for name in ("user_defined", "stochastic", "inference_batch_size"):
            assert getattr(record, name) == getattr(of, name)
        for shape in (SHAPE, (1,), (8, 1), (4, 4, 4, 1), (4000,)):
            if not of.user_defined:
                assert record.supports_bfloat16(shape) == of.supports_bfloat16(shape)
                assert record.prefers_bfloat16(shape) == of.prefers_bfloat16(shape)


@pytest.mark.parametrize("of", WRAPPED[:3], ids=repr)
def test_the_work_is_that_of_its_matrix_products(of: Any) -> None:
    parts = model(of)
    x, context = torch.zeros(1, *SHAPE), torch.zeros(1, N)
    with FlopCounterMode(display=False) as counter:
        parts.decoder(parts.encoder(x, context), context)
    assert footprint(parts).multiplications == counter.get_total_flops() // 2
    plain = Model(SHAPE, of, Identity(4), Normal(), parts.affine, generator())
    assert footprint(parts).inference_bytes >= footprint(plain).inference_bytes


def test_what_cannot_be_is_refused_in_one_sentence() -> None:
    with pytest.raises(RecordError, match="the number of context features is unknown; fit"):
        Conditional().build(SHAPE, 4, 4, generator())
    with pytest.raises(RecordError, match="is conditional already"):
        Conditional(Conditional())
    with pytest.raises(RecordError, match="tied weights need a mirrored pair"):
        Conditional(MLP((8,), tied=True), context=N).build(SHAPE, 4, 4, generator())
    parts = model(MLP((8,)))
    with pytest.raises(NotPossibleError, match="pass y"):
        parts.decode(torch.zeros(2, 4))
    with pytest.raises(NotPossibleError, match="receive no context; pass layerwise=False"):
        paired_layers(parts)


@pytest.mark.thorough
def test_a_conditional_model_makes_the_digit_asked_for_and_its_codes_know_it_less(digits: data.Dataset) -> None:
    X, y, choices = digits.train, digits.train_labels, {"epochs": 60, "random_state": 0}
    conditional = Autoencoder(Gaussian(8), architecture=Conditional(MLP((128,))), **choices).fit(X, y)
    plain = Autoencoder(Gaussian(8), architecture=MLP((128,)), **choices).fit(X)
    judge = KNeighborsClassifier(3).fit(X.reshape(len(X), -1), y)
    asked = np.repeat(np.arange(10), 50)
    made = conditional.sample(len(asked), random_state=0, y=asked)
    assert (judge.predict(made.reshape(len(made), -1)) == asked).mean() >= 0.95
    test, truth = digits.test, digits.test_labels
    known = [
        LogisticRegression(max_iter=2000).fit(codes, y).score(other, truth)
        for codes, other in (
            (conditional.encode(X, y), conditional.encode(test, truth)),
            (plain.encode(X), plain.encode(test)),
        )
    ]
    assert known[0] < known[1] - 0.2, known


# Autoencoders with labels

QUICK: dict[str, Any] = {"epochs": 20, "batch_size": 64, "random_state": 0}


@pytest.fixture(scope="module")
def labeled(digits: data.Dataset) -> Autoencoder:
    """A conditional variational autoencoder of digits."""
    return Autoencoder(Gaussian(8), architecture=Conditional(MLP((64,))), **QUICK).fit(
        digits.train, digits.train_labels
    )


def test_a_sample_is_the_digit_that_was_asked_for(labeled: Autoencoder, digits: data.Dataset) -> None:
    """The judge has seen real digits only: its nearest neighbor among them."""
    judge = KNeighborsClassifier(1).fit(digits.train.reshape(-1, 64), digits.train_labels)
    asked = np.repeat(np.arange(10), 40)
    made = labeled.sample(400, random_state=0, y=asked).reshape(-1, 64)
    assert (judge.predict(made) == asked).mean() >= 0.95
    sevens = labeled.sample(40, random_state=0, y=7).reshape(-1, 64)
    assert (judge.predict(sevens) == 7).mean() >= 0.95


def test_codes_tell_less_of_the_label_than_those_of_the_same_autoencoder_without(
    labeled: Autoencoder, digits: data.Dataset
) -> None:
    plain = Autoencoder(Gaussian(8), architecture=MLP((64,)), **QUICK).fit(digits.train)

    def found(train: np.ndarray, test: np.ndarray) -> float:
        probe = LogisticRegression(max_iter=500).fit(train, digits.train_labels)
        share: float = probe.score(test, digits.test_labels)
        return share

    with_labels = found(
        labeled.encode(digits.train, digits.train_labels), labeled.encode(digits.test, digits.test_labels)
    )
    assert with_labels < found(plain.encode(digits.train), plain.encode(digits.test)) - 0.15
    # a wrong label costs more than the true one
    wrong = (digits.test_labels + 1) % 10
    assert labeled.score(digits.test, digits.test_labels) > labeled.score(digits.test, wrong) + 5


def test_floats_are_covariates_which_samples_follow(rng: np.random.Generator) -> None:
    y = rng.uniform(10, 20, 400)
    X = np.stack([3 * y, -2 * y, rng.normal(size=400)], 1) + 0.1 * rng.normal(size=(400, 3))
    ae = Autoencoder(Gaussian(1), architecture=Conditional(MLP((16,))), **QUICK | {"epochs": 60}).fit(X, y)
    assert ae.architecture_.context == 1
    for covariate in (12.0, 18.0):
        center = ae.sample(300, random_state=0, y=covariate).mean(0)
        np.testing.assert_allclose(center[:2], [3 * covariate, -2 * covariate], atol=2)


def test_an_unknown_label_and_a_missing_y_are_one_sentence_each(labeled: Autoencoder, digits: data.Dataset) -> None:
    with pytest.raises(DataError, match="label 11, which the training data did not have: use one of 0, 1, 2"):
        labeled.sample(3, y=11)
    for use in (labeled.encode, labeled.score_samples, labeled.reconstruct):
        with pytest.raises(IsthmusError, match=r"\by\b"):
            use(digits.test)
    with pytest.raises(IsthmusError, match=r"\by\b"):
        Autoencoder(2, architecture=Conditional(), epochs=1).fit(digits.train)


def test_a_loaded_conditional_map_keeps_its_bits(digits: data.Dataset, tmp_path: Path) -> None:
    X, y = digits.train[:100], digits.train_labels[:100]
    ae = Autoencoder(2, architecture=Conditional(Conv((4,), code="map")), **QUICK | {"epochs": 2}).fit(X, y)
    ae.save(tmp_path / "model.safetensors")
    again, order = load(tmp_path), np.random.default_rng(0).permutation(100)
    assert again.architecture_ == Conditional(Conv((4,), code="map"), context=10)
    np.testing.assert_array_equal(again.reconstruct(X, y), ae.reconstruct(X, y))
    np.testing.assert_array_equal(ae.encode(X[order], y[order]), ae.encode(X, y)[order])
