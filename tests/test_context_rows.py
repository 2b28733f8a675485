"""The context of a conditional autoencoder stays with its examples in everything that measures and draws, or an error is raised."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn

import isthmus
from isthmus import Autoencoder, compression, evaluation, latent_traversal, plots
from isthmus.architectures import MLP
from isthmus.architectures.base import Architecture, Pair
from isthmus.bottlenecks import Gaussian, Identity, TopK
from isthmus.corruptions import GaussianNoise
from isthmus.data.context_array import ContextArray, attach_context, context_of
from isthmus.data.memmap import Rows, some_rows
from isthmus.data.validation import blocks
from isthmus.errors import DataError, NotPossibleError
from isthmus.likelihoods import Normal
from isthmus.records import record


class _Shifted(nn.Module):
    """A network whose output also depends on the context."""

    def __init__(self, part: nn.Module, outputs: tuple[int, ...], context: int) -> None:
        super().__init__()
        self.part = part
        self.shift = nn.Parameter(torch.linspace(-2, 2, context)[:, None] * torch.ones(outputs).reshape(1, -1))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        made: Tensor = self.part(x)
        shift = (context[:, :, None] * self.shift.to(x.dtype)).sum(1)
        return made + shift.reshape(made.shape)


@record
class Shifting(Architecture):
    """An MLP whose code and whose output are shifted by the context."""

    context: int | Literal["auto"] = "auto"  # type: ignore[assignment]  # fit replaces it

    def build(
        self,
        shape: tuple[int, ...],
        encoder_outputs: int,
        size: int,
        generator: Generator,
        outputs: tuple[int, ...] | None = None,
    ) -> Pair:
        pair = MLP((8,)).build(shape, encoder_outputs, size, generator)
        return Pair(
            _Shifted(pair.encoder, (encoder_outputs,), self.context), _Shifted(pair.decoder, shape, self.context)
        )


RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(300, 6)).astype(np.float32), RNG.integers(0, 3, 300)
X += Y[:, None]


def fitted(bottleneck: Any = None, **parameters: Any) -> Autoencoder:
    parameters = {"likelihood": Normal(), "epochs": 2, "batch_size": 100, "random_state": 0} | parameters
    return Autoencoder(bottleneck or Identity(2), architecture=Shifting(), **parameters).fit(X, Y)


@pytest.fixture(scope="module")
def ae() -> Autoencoder:
    return fitted()


def test_rows_keep_their_context_and_other_operations_lose_it() -> None:
    context = np.arange(5.0)[:, None]
    rows = attach_context(10 * np.arange(10.0).reshape(5, 2), context)
    for key in (
        slice(1, 4),
        slice(None, None, -1),
        np.array([3, 3, 0]),
        np.array([True, False, True, False, True]),
        [2],
    ):
        found = context_of(rows[key])
        assert found is not None
        np.testing.assert_array_equal(found, context[key])
    lost = [rows + 1, rows.reshape(2, 5), rows.T, rows[:, :1], rows[None], np.flip(rows), np.sort(rows), rows.copy()]
    lost += [np.concatenate([rows, rows]), np.where(rows > 3, rows, 0), rows.repeat(2, axis=0), rows[::-1].astype(int)]
    assert all(context_of(each) is None for each in lost)
    assert context_of(rows) is context


def test_functions_that_select_rows_select_their_context() -> None:
    context = np.arange(2000.0)[:, None]
    rows = attach_context(np.repeat(context, 3, axis=1), context)
    for part in (some_rows(rows, 50), Rows(rows)(np.array([7, 3])), *(block for _, block in blocks(rows))):
        np.testing.assert_array_equal(context_of(part), np.asarray(part)[:, :1])


@pytest.mark.parametrize("bottleneck", [Identity(2), Gaussian(2), TopK(4, 2)])
def test_evaluate_gives_the_figures_that_the_methods_with_y_give(bottleneck: Any) -> None:
    ae = fitted(bottleneck, corruption=GaussianNoise(0.2))
    found = isthmus.evaluate(ae, X, Y, train=X[:200], train_labels=Y[:200])
    errors = ae.reconstruction_error(X, y=Y)
    assert found.errors.mse == pytest.approx(errors.mean(), rel=1e-6)
    assert found.errors.mse != pytest.approx(ae.reconstruction_error(X, y=Y[::-1]).mean(), rel=1e-2)
    assert found.training is not None
    assert found.training.mse == pytest.approx(errors[:200].mean(), rel=1e-6)
    assert found.nats.total == pytest.approx(-ae.score_samples(X, Y).mean(dtype=float), rel=1e-6)
    assert found.denoising is not None
    corrupted = ae.corrupt(X, random_state=0)
    assert found.denoising.mse_denoised == pytest.approx(np.square(ae.reconstruct(corrupted, Y) - X).mean(), rel=1e-6)
    codes = ae.encode(X, Y)
    assert found.codes.frequency == pytest.approx((codes != 0).mean(0))
    assert found.columns.unexplained_variance == pytest.approx(found.errors.mse / X.var(0).mean(), rel=1e-2)
    assert found.labels is not None
    assert found.labels.n_classes == 3


def test_evaluate_refuses_a_conditional_autoencoder_without_labels(ae: Autoencoder) -> None:
    with pytest.raises(DataError, match="pass y"):
        isthmus.evaluate(ae, X)
    with pytest.raises(DataError, match="pass train_labels"):
        isthmus.evaluate(ae, X, Y, train=X)
    with pytest.raises(DataError, match="label 7"):
        isthmus.evaluate(ae, X, np.where(Y == 0, 7, Y))


def test_the_probes_of_a_conditional_autoencoder_score_its_codes(ae: Autoencoder) -> None:
    """Codes are shifted by the label, so that the probe sees it; with equal labels in all rows it would not."""
    found = isthmus.evaluate(ae, RNG.normal(size=(300, 6)), Y).labels
    assert found is not None
    assert found.linear_probe > 0.9 > found.linear_probe_raw  # type: ignore[operator]


def test_robustness_denoises_with_the_context(ae: Autoencoder) -> None:
    curve = isthmus.robustness(ae, X, Y, kinds="GaussianNoise", levels=[0.3], draws=1, n=300)
    corrupted = ae.corrupt(X, 0, GaussianNoise(0.3))
    expected = np.square(ae.reconstruct(corrupted, Y) - X).mean()
    (figure,) = [each for each in curve.figures if each.method == "autoencoder"]
    assert figure.mse == pytest.approx(expected, rel=1e-6)
    assert not any(isinstance(each.sample, ContextArray) for each in curve.figures)
    with pytest.raises(DataError, match="pass y"):
        isthmus.robustness(ae, X)


def test_traversals_decode_with_the_context_of_the_example(ae: Autoencoder) -> None:
    found = latent_traversal.traverse(ae, X, Y, units=[0], steps=3, example=5)
    code = ae.encode(X[5:6], Y[5:6])
    code[0, 0] = found.values[0, 1]
    np.testing.assert_allclose(found.examples[0, 1], ae.decode(code, Y[5])[0], atol=1e-5)


def test_interpolation_begins_and_ends_with_the_reconstructions(ae: Autoencoder) -> None:
    a, b = Y == 0, Y == 2
    between = latent_traversal.interpolate(ae, X[a][:4], X[b][:4], steps=3, y=(Y[a][:4], Y[b][:4]))
    np.testing.assert_allclose(between[:, 0], ae.reconstruct(X[a][:4], Y[a][:4]), atol=1e-5)
    np.testing.assert_allclose(between[:, -1], ae.reconstruct(X[b][:4], Y[b][:4]), atol=1e-5)


def test_a_query_finds_itself_only_with_its_own_context(ae: Autoencoder) -> None:
    found = latent_traversal.neighbors(ae, X, X[:20], 1, y=Y, query_labels=Y[:20])
    np.testing.assert_array_equal(found.indices[:, 0], np.arange(20))
    np.testing.assert_allclose(found.distances, 0, atol=1e-6)
    with pytest.raises(DataError, match="pass query_labels"):
        latent_traversal.neighbors(ae, X, X[:20], 1, y=Y)


def test_pca_is_compared_with_the_reconstructions_of_y(ae: Autoencoder) -> None:
    found = evaluation.pca_reconstructions(ae, X, Y, train=X)
    assert found.mse == pytest.approx(ae.reconstruction_error(X, y=Y).mean())
    np.testing.assert_array_equal(found.by_autoencoder, ae.reconstruct(X[:10], Y[:10]))


WITHOUT_EXAMPLES = {"losses", "filters"}
OF_RESULTS = {
    "anomalies",
    "anomaly_scores",
    "column_errors",
    "pca",
    "rate_distortion",
    "restorations",
    "robustness",
    "series_alarms",
}


@pytest.fixture(scope="module")
def drawn() -> Autoencoder:
    return fitted(Gaussian(2), corruption=GaussianNoise(0.2))


@pytest.mark.parametrize(
    "kind", sorted(set(plots.__all__) - OF_RESULTS - {"umap", "tsne", "feature_maps", "completion"})
)
def test_figures_take_y_and_refuse_without(drawn: Autoencoder, kind: str) -> None:
    function = getattr(plots, kind)
    assert function(drawn, X[:40], Y[:40]).get_label()
    if kind in WITHOUT_EXAMPLES | {"noisy"}:  # these need no context
        assert function(drawn, X[:40]).get_label()
    else:
        with pytest.raises(DataError, match="pass y"):
            function(drawn, X[:40])


def test_new_examples_have_the_labels_of_the_given_ones() -> None:
    ae, seen = fitted(Gaussian(2)), list[Any]()
    ae.model_.decoder.register_forward_pre_hook(lambda _, given: seen.append(given[1][:4]))  # the batch is padded
    figure = plots.samples(ae, X[:3], np.array([2, 0, 1]), rows=2, columns=2)
    assert "with the labels or covariates of the given examples, in turn" in figure.get_label()
    np.testing.assert_array_equal(seen[0].argmax(1).tolist(), [2, 0, 1, 2])
    plots.manifold(ae, X[:3], np.array([2, 0, 1]), n=2)
    np.testing.assert_array_equal(seen[1].argmax(1).tolist(), [2, 2, 2, 2])


def test_what_takes_no_y_refuses_a_conditional_autoencoder_at_once(ae: Autoencoder, tmp_path: Any) -> None:
    conditional = Autoencoder(2, architecture=Shifting(), epochs=1000, random_state=0)
    for refused in (
        lambda: isthmus.finetune(ae, X, Y),
        lambda: isthmus.AutoencoderClassifier(conditional).fit(X, Y),
        lambda: compression.compress(ae, X, tmp_path / "codes.isth"),
        lambda: compression.rate_distortion(ae, X),
        lambda: ae.sample(3, method="gmm", X=X),
    ):
        with pytest.raises(NotPossibleError, match="conditional") as raised:
            refused()
        assert str(raised.value).count("\n") == 0
