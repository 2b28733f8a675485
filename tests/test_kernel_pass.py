"""A training step by the kernels alone has the losses and gradients of autograd, and is taken only where nothing else is asked for."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from isthmus import Autoencoder, native
from isthmus.architectures import MLP
from isthmus.bottlenecks import L1, Gaussian, Identity, ImportanceWeighted, Nested, TopK, VectorQuantized
from isthmus.corruptions import GaussianNoise, Patches
from isthmus.likelihoods import Bernoulli, ContinuousBernoulli, Laplace, Normal, Poisson, StudentT
from isthmus.model import Model
from isthmus.optimizers import SGD, Adadelta, Adam, AdamW, RMSprop
from isthmus.penalties import Contractive
from isthmus.priors import Mixture, StandardNormal
from isthmus.schedules import Warmup
from isthmus.trainable import Batch, Losses

pytestmark = pytest.mark.skipif(native.load() is None, reason="no compiler has built the kernels for this processor")
ROWS = 24
X = np.random.default_rng(0).random((60, 12))
COUNTS = np.random.default_rng(0).poisson(3.0, (60, 12)).astype(float)


def model(bottleneck: Any = None, likelihood: Any = None, data: Any = X, **given: Any) -> Model:
    chosen: dict[str, Any] = {"architecture": MLP((10,)), "random_state": 0, **given}
    made = Autoencoder(bottleneck or Identity(4), likelihood=likelihood or Bernoulli(), **chosen).initialize(data)
    return made.model_.train()


def batch(of: Model, data: Any = X, **more: Any) -> Batch:
    x = of.normalize(torch.as_tensor(data[:ROWS]))
    return Batch(x, x, **more)


def gradients(of: Model) -> list[Tensor]:
    return [p.grad for p in of.parameters() if p.grad is not None]


def both(of: Model, given: Batch, weight: float = 0.25) -> list[tuple[Losses, list[Tensor], list[Tensor]]]:
    """The losses, gradients and running state by the kernels, and by autograd."""
    other, found = copy.deepcopy(of), []
    by_kernels = of.kernel_pass(ROWS)
    assert by_kernels is not None
    assert by_kernels.takes(given)
    losses = by_kernels(given, Generator().manual_seed(3), weight)
    found.append((losses, gradients(of), list(of.buffers())))
    losses = other(given, Generator().manual_seed(3))
    (weight * losses.total.sum()).backward()
    found.append((losses, gradients(other), list(other.buffers())))
    return found


@pytest.mark.parametrize(
    "bottleneck",
    [
        *(Identity(4, activation) for activation in ("linear", "relu", "sigmoid", "tanh")),
        Gaussian(3),
        Gaussian(40, beta=0.3),
        Gaussian(3, free_bits=0.5),
        ImportanceWeighted(3, draws=1),
        L1(5, 0.1),
        TopK(6, k=2),
        VectorQuantized(4),
    ],
    ids=repr,
)
@pytest.mark.parametrize(
    "likelihood",
    [Bernoulli(), ContinuousBernoulli(), Normal(), Normal("learned"), Normal("predicted"), Laplace(), StudentT()],
    ids=repr,
)
def test_losses_gradients_and_running_state_are_those_of_autograd(bottleneck: Any, likelihood: Any) -> None:
    of = model(bottleneck, likelihood)
    of.update_variables()
    (ours, our_slopes, our_state), (losses, slopes, state) = both(of, batch(of))
    torch.testing.assert_close(ours.nll, losses.nll.detach(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.penalty, losses.penalty.detach(), rtol=1e-4, atol=1e-5)
    assert ours.stats.keys() == losses.stats.keys()
    for name, value in ours.stats.items():
        torch.testing.assert_close(value, losses.stats[name].detach(), rtol=1e-4, atol=1e-5)
    assert not any(t.requires_grad for t in (ours.nll, ours.penalty, *ours.stats.values()))
    for found, expected in zip(our_slopes + our_state, slopes + state, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("rows", [1, ROWS - 1])
def test_a_smaller_batch_and_a_warm_up_count_as_by_autograd(rows: int) -> None:
    of = model(Gaussian(3, schedule=Warmup(0.5)))
    given = batch(of, factors=(0.4,))
    given = given._replace(x=given.x[:rows], target=given.target[:rows])
    (ours, our_slopes, _), (losses, slopes, _) = both(of, given)
    torch.testing.assert_close(ours.penalty, losses.penalty.detach(), rtol=1e-4, atol=1e-5)
    for found, expected in zip(our_slopes, slopes, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_counts_and_images_are_seen_as_the_model_sees_them() -> None:
    for of, data in (
        (model(likelihood=Poisson(), data=COUNTS), COUNTS),
        (model(data=X.reshape(60, 3, 4)), X.reshape(60, 3, 4)),
    ):
        (_, our_slopes, _), (_, slopes, _) = both(of, batch(of, data))
        for found, expected in zip(our_slopes, slopes, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


class Louder(Gaussian):
    """A bottleneck of a user, with a penalty of its own."""

    def __call__(self, h: Any, variables: Any, generator: Any) -> Any:
        code = super().__call__(h, variables, generator)
        return code._replace(penalty=code.penalty + code.z.square().sum(1))


class Lower(Bernoulli):
    """A likelihood of a user."""

    def nll(self, *given: Any, **named: Any) -> Any:
        return 0.5 * super().nll(*given, **named)


def test_components_of_users_count_with_all_that_they_change() -> None:
    of = model(Gaussian(2))
    of.bottleneck, of.likelihood = Louder(2), Lower()
    (ours, our_slopes, _), (losses, slopes, _) = both(of, batch(of))
    torch.testing.assert_close(ours.total, losses.total.detach(), rtol=1e-4, atol=1e-5)
    for found, expected in zip(our_slopes, slopes, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def hooked(of: Model, place: str) -> list[Any]:
    """Listens somewhere in a model; what it hears."""
    heard = list[Any]()

    def hear(*given: Any) -> None:
        heard.append(given)

    parts = {"model": of, "encoder": of.encoder, "decoder": of.decoder, "layer": list(of.encoder.children())[1]}
    if place in parts:
        parts[place].register_forward_hook(hear)
    elif place == "backward":
        of.decoder.register_full_backward_hook(hear)
    elif place == "gradient":
        next(of.parameters()).register_hook(hear)
    elif place == "accumulated":
        next(of.parameters()).register_post_accumulate_grad_hook(hear)
    else:
        forward = of.decoder.forward

        def louder(z: Tensor) -> Any:
            hear(z)
            return forward(z)

        of.decoder.forward = louder
    return heard


@pytest.mark.parametrize(
    "place", ["model", "encoder", "decoder", "layer", "backward", "gradient", "accumulated", "forward"]
)
def test_who_listens_hears_each_step(place: str) -> None:
    of = model()
    hooked(of, place)
    assert of.kernel_pass(ROWS) is None
    ae = Autoencoder(2, likelihood=Bernoulli(), architecture=MLP((5,)), epochs=2, batch_size=20, random_state=0)
    heard, silent = list[Any](), True
    for _ in ae.iter_fit(X):
        if silent:  # from the second epoch
            heard, silent = hooked(ae.model_, place), False
    assert len(heard) >= 3


@pytest.mark.parametrize(
    "given",
    [
        {"penalty": Contractive(0.1)},
        {"architecture": MLP((10,), tied=True)},
        {"architecture": MLP((10,), activation="tanh")},
        {"bottleneck": Nested(6)},
        {"bottleneck": ImportanceWeighted(4)},
        {"bottleneck": Gaussian(3, prior=Mixture(4))},
        {"precision": "float64"},
    ],
    ids=str,
)
def test_what_the_kernels_do_not_know_is_left_to_autograd(given: dict[str, Any]) -> None:
    assert model(**given).kernel_pass(ROWS) is None


def test_batches_with_weights_or_hidden_values_are_left_to_autograd() -> None:
    of = model()
    by_kernels = of.kernel_pass(ROWS)
    assert by_kernels is not None
    given = batch(of)
    assert by_kernels.takes(given)
    for other in (
        given._replace(weights=torch.ones(ROWS)),
        given._replace(counted=torch.ones(ROWS, 12, dtype=torch.bool)),
        given._replace(x=given.x[:0], target=given.target[:0]),
        given._replace(x=given.x.repeat(2, 1), target=given.target.repeat(2, 1)),
        given._replace(x=given.x.double(), target=given.target.double()),
        given._replace(x=given.x.T.contiguous().T),
        given._replace(target=given.target.T.contiguous().T),
        given._replace(target=given.target.long()),
        given._replace(x=given.x[:, :6], target=given.target[:, :6]),
    ):
        assert not by_kernels.takes(other)


def test_batches_with_missing_values_are_left_to_autograd() -> None:
    of = model(data=np.where(X < 0.01, np.nan, X), missing="allow")
    by_kernels = of.kernel_pass(ROWS)
    assert by_kernels is not None
    given = batch(of)
    assert by_kernels.takes(given)
    holes = given.x.where(given.x > 0.1, torch.nan)
    assert not by_kernels.takes(given._replace(x=holes))
    assert not by_kernels.takes(given._replace(target=holes))
    (ours, our_slopes, _), (losses, slopes, _) = both(of, given)
    torch.testing.assert_close(ours.nll, losses.nll.detach(), rtol=1e-4, atol=1e-4)
    for found, expected in zip(our_slopes, slopes, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


class Doubled(Bernoulli):
    """A likelihood of a user that shows the encoder something else."""

    def encoder_input(self, x: Tensor) -> Tensor:
        return x.double()


class Narrow(Bernoulli):
    """Another one."""

    def encoder_input(self, x: Tensor) -> Tensor:
        return x[:, ::2]


@pytest.mark.parametrize("likelihood", [Doubled(), Narrow()], ids=repr)
def test_what_does_not_fit_a_net_is_said_by_pytorch(likelihood: Any) -> None:
    of = model()
    of.likelihood = likelihood
    by_kernels = of.kernel_pass(ROWS)
    assert by_kernels is not None
    with pytest.raises(RuntimeError, match=r"same dtype|shapes cannot be multiplied"):
        by_kernels(batch(of), Generator(), 1.0)


def test_a_frozen_layer_keeps_its_weights() -> None:
    ae = Autoencoder(2, likelihood=Bernoulli(), architecture=MLP((5,)), epochs=1, random_state=0).initialize(X)
    layer = list(ae.model_.encoder.children())[1]
    layer.requires_grad_(False)
    assert ae.model_.kernel_pass(ROWS) is None


@pytest.mark.parametrize(
    "optimizer",
    [Adam(), AdamW(weight_decay=0.1), RMSprop(), RMSprop(momentum=0.5), SGD(), Adadelta(), Adam(clip=0.01)],
    ids=repr,
)
def test_optimizers_move_as_those_of_pytorch(optimizer: Any) -> None:
    state = np.random.default_rng(1)
    shapes, kernels = [(7, 9), (7,), (1, 1)], native.load()
    drawn = [torch.tensor(state.normal(size=shape), dtype=torch.float32) for shape in shapes]
    runs = []
    for by in (kernels, None):
        parameters = [torch.nn.Parameter(p.clone()) for p in drawn]
        held = optimizer.build(parameters)
        slopes = np.random.default_rng(2)
        for step in range(5):
            for p in parameters:
                p.grad = torch.tensor(slopes.normal(size=p.shape) * 10.0 ** (step - 3), dtype=torch.float32)
            held.step(1e-2, by)
        runs.append((*parameters, *(t for name, t in held.tensors().items() if not name.startswith("scratch"))))
    for ours, theirs in zip(*runs, strict=True):
        torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=1e-5, atol=1e-7)


def test_squares_of_slopes_of_zero_stay_normal_numbers() -> None:
    weight = torch.nn.Parameter(torch.ones(9))
    weight.grad = torch.zeros(9)
    held = RMSprop().build([weight])
    held.step(1e-2, native.load())
    assert (held.tensors()["squares.0"] > 1e-31).all()
    assert torch.equal(weight.detach(), torch.ones(9))


def test_reports_at_every_step_change_nothing_and_models_can_be_copied() -> None:
    weights = []
    for every in (None, 1):
        ae = Autoencoder(
            Gaussian(2),
            likelihood=Bernoulli(),
            architecture=MLP((5,)),
            corruption=GaussianNoise(0.1),
            epochs=2,
            batch_size=20,
            random_state=0,
        )
        for _ in ae.iter_fit(X, every=every):
            pickle.loads(pickle.dumps(ae.model_))
            copy.deepcopy(ae)
            ae.model_.eval()
        weights.append(torch.cat([p.detach().flatten() for p in ae.model_.parameters()]))
    assert torch.equal(*weights)


def test_marked_values_and_weights_train_by_autograd() -> None:
    cases: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"corruption": Patches(2)}, {}),
        ({}, {"sample_weight": np.linspace(0.1, 1, 60)}),
    ]
    for given, more in cases:
        data = X.reshape(60, 3, 4)
        ae = Autoencoder(2, likelihood=Bernoulli(), architecture=MLP((5,)), epochs=2, random_state=0, **given).fit(
            data, **more
        )
        assert np.isfinite(ae.history_[-1].loss)


def test_the_prior_of_a_user_is_asked() -> None:
    class Wide(StandardNormal):
        """A prior with a divergence of its own."""

        def divergences(self, mean: Tensor, log_variance: Tensor, variables: Any) -> Tensor:
            return 2 * super().divergences(mean, log_variance, variables)

    of = model(Gaussian(3))
    of.bottleneck = Gaussian(3, prior=Wide())
    (ours, our_slopes, _), (losses, slopes, _) = both(of, batch(of))
    torch.testing.assert_close(ours.penalty, losses.penalty.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(our_slopes[0], slopes[0], rtol=1e-3, atol=1e-4)
