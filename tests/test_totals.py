"""Counts whose total is an offset: the published formulas, missing values, and recommendations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from scipy import sparse
from torch import Tensor
from torch.nn import functional as F

from isthmus import Autoencoder, recipes
from isthmus.architectures import MLP
from isthmus.bottlenecks import Gaussian
from isthmus.errors import DataError, NotPossibleError, RecordError
from isthmus.evaluation.metrics import ndcg_at_k, recall_at_k
from isthmus.likelihoods import Likelihood, Multinomial, NegativeBinomial, Poisson, Weighted, ZeroInflated
from isthmus.record_overrides import override

Array = np.ndarray[Any, Any]
OFFSETS: list[Likelihood] = [
    Poisson(total="observed"),
    NegativeBinomial(0.5, total="observed"),
    NegativeBinomial(total="observed"),
    NegativeBinomial("predicted", total="observed"),
    ZeroInflated(NegativeBinomial("predicted", total="observed")),
    ZeroInflated(Poisson(total="observed")),
]


def cells(likelihood: Likelihood, n: int = 6, genes: int = 5) -> tuple[Tensor, Tensor]:
    """Outputs of a decoder and counts, in double precision."""
    draw = torch.Generator().manual_seed(0)
    y = torch.randn(n, *likelihood.outputs((genes,)), generator=draw, dtype=torch.float64)
    return y, torch.poisson(4 * torch.rand(n, genes, generator=draw, dtype=torch.float64), generator=draw)


def negative_binomial(x: Array, mean: Array, theta: Array) -> Array:
    """log p(x) by the formula of Lopez et al. 2018, supplementary note 3, with the inverse dispersion theta."""
    gammas = scipy.special.gammaln(x + theta) - scipy.special.gammaln(theta) - scipy.special.gammaln(x + 1)
    return gammas + theta * np.log(theta / (theta + mean)) + x * np.log(mean / (theta + mean))


def test_poisson_counts_with_an_offset_are_multinomial_counts_and_a_poisson_total() -> None:
    y, x = cells(Poisson())
    total = x.sum(1).numpy()
    expected = Multinomial().nll(y, x).numpy() - scipy.stats.poisson.logpmf(total, total)
    np.testing.assert_allclose(Poisson(total="observed").nll(y, x).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("dispersion", [0.5, "predicted"])
def test_the_offset_is_the_library_size_of_scvi(dispersion: Any) -> None:
    likelihood = NegativeBinomial(dispersion, total="observed")
    y, x = cells(likelihood)
    logits = y[..., 0] if dispersion == "predicted" else y
    spread = y[..., 1].exp() + 1e-6 if dispersion == "predicted" else torch.full_like(x, 0.5)
    mean = x.sum(1, keepdim=True) * logits.softmax(1)
    costs = likelihood.costs(y, x).numpy()
    np.testing.assert_allclose(costs, -negative_binomial(x.numpy(), mean.numpy(), 1 / spread.numpy()), rtol=1e-10)
    torch_says = torch.distributions.NegativeBinomial(1 / spread, logits=(mean * spread).log()).log_prob(x)
    np.testing.assert_allclose(costs, -torch_says.numpy(), rtol=1e-10)


def test_zero_inflated_counts_with_an_offset_are_a_mixture() -> None:
    likelihood = ZeroInflated(NegativeBinomial(0.5, total="observed"))
    y, x = cells(likelihood)
    zero = y[..., 0].sigmoid().numpy()
    mean = (x.sum(1, keepdim=True) * y[..., 1].softmax(1)).numpy()
    other = scipy.stats.nbinom.pmf(x.numpy(), 2, 1 / (1 + 0.5 * mean))
    expected = -np.log(zero * (x.numpy() == 0) + (1 - zero) * other)
    np.testing.assert_allclose(likelihood.costs(y, x).numpy(), expected, rtol=1e-10)
    made = likelihood.reconstruction(y, x).numpy()
    np.testing.assert_allclose(made, (1 - zero) * mean, rtol=1e-10)


def test_the_loss_and_the_input_are_those_of_the_variational_autoencoder_for_collaborative_filtering() -> None:
    y, x = cells(Multinomial())
    constants = Multinomial().nll(y, x) + (x * F.log_softmax(y, 1)).sum(1)
    expected = [
        -scipy.stats.multinomial.logpmf(row, int(row.sum()), np.full(5, 0.2)) - row.sum() * math.log(5)
        for row in x.numpy()
    ]
    np.testing.assert_allclose(constants.numpy(), expected, rtol=1e-10)
    x[2] = 0
    seen = Multinomial(input="unit").encoder_input(x)
    np.testing.assert_allclose(seen.square().sum(1).numpy(), [1, 1, 0, 1, 1, 1])
    np.testing.assert_allclose((seen[0] / seen[0].max()).numpy(), (x[0] / x[0].max()).numpy())


@pytest.mark.parametrize("likelihood", OFFSETS, ids=repr)
def test_missing_values_are_left_out_of_the_total(likelihood: Likelihood) -> None:
    y, x = cells(likelihood)
    counted = torch.ones_like(x, dtype=torch.bool)
    counted[:, 3] = False
    there = [0, 1, 2, 4]
    variables, fewer = likelihood.variables((5,)), likelihood.variables((4,))
    found = likelihood.nll(y, x + 100 * ~counted, variables, counted)
    torch.testing.assert_close(found, likelihood.nll(y[:, there], x[:, there], fewer))
    made = likelihood.reconstruction(y, x, counted)[:, there]
    torch.testing.assert_close(made, likelihood.reconstruction(y[:, there], x[:, there]))


@pytest.mark.parametrize("likelihood", OFFSETS, ids=repr)
def test_an_example_without_counts_has_a_finite_loss_and_gradient(likelihood: Likelihood) -> None:
    y, x = (each.float() for each in cells(likelihood))
    x[0], counted = 0, torch.ones_like(x, dtype=torch.bool)
    counted[1], counted[2, 1:] = False, False
    for known in (None, counted):
        y = y.detach().requires_grad_()
        nll = likelihood.nll(y, x, likelihood.variables((5,)), known)
        (gradient,) = torch.autograd.grad(nll.sum(), y)
        assert nll.isfinite().all()
        assert gradient.isfinite().all()
        assert float(nll[0].detach()) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("likelihood", [Poisson(total="observed"), NegativeBinomial(total="observed")], ids=repr)
def test_reconstructions_have_the_total_of_the_example_and_decoded_codes_are_shares(likelihood: Likelihood) -> None:
    X = (
        np.random.default_rng(0)
        .poisson(np.random.default_rng(1).gamma(1.0, 5.0, (80, 1)) * np.ones(6))
        .astype(np.float64)
    )
    ae = Autoencoder(Gaussian(2), architecture=MLP((6,)), likelihood=likelihood, epochs=1, random_state=0).fit(X)
    np.testing.assert_allclose(ae.reconstruct(X).sum(1), X.sum(1), rtol=1e-5)
    np.testing.assert_allclose(ae.decode(ae.encode(X[:3])).sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(ae.sample(3, 0).sum(1), 1, rtol=1e-5)
    with pytest.raises(
        NotPossibleError, match=r"total='observed'.* cannot draw examples, whose totals it takes as given"
    ):
        ae.sample(3, 0, draw=True)


def test_an_offset_is_set_by_name() -> None:
    assert override(NegativeBinomial(), {"total": "observed"}) == NegativeBinomial(total="observed")
    assert override(ZeroInflated(), {"of__total": "observed"}).of == Poisson(total="observed")
    with pytest.raises(RecordError, match="total"):
        Poisson(total=3)


def test_recipes_of_counts_train() -> None:
    X = sparse.random_array((60, 12), density=0.3, rng=np.random.default_rng(0)) * 9
    X.data = np.ceil(X.data)
    for name, size in {"counts": 10, "recommender": 200}.items():
        ae = getattr(recipes, name)().set_params(epochs=1, random_state=0).fit(X)
        assert ae.code_shape_ == (size,)
        assert np.isfinite(ae.score(X))


# Recommendations


def naive(scores: Array, held_out: Array, k: int, seen: Array) -> tuple[list[float], list[float]]:
    """Recall and NDCG of each user, item by item."""
    recall, ndcg = [], []
    for user in range(len(scores)):
        items = [item for item in range(scores.shape[1]) if not seen[user, item]]
        items.sort(key=lambda item: (-scores[user, item], item))
        wanted = {item for item in range(scores.shape[1]) if held_out[user, item]}
        if not wanted:
            recall.append(math.nan)
            ndcg.append(math.nan)
            continue
        hits = [rank for rank, item in enumerate(items[:k], 1) if item in wanted]
        recall.append(len(hits) / min(k, len(wanted)))
        best = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(wanted)) + 1))
        ndcg.append(sum(1 / math.log2(rank + 1) for rank in hits) / best)
    return recall, ndcg


@pytest.mark.parametrize("k", [1, 3, 8, 20, 100])
def test_rankings_equal_a_loop_over_items(k: int) -> None:
    rng = np.random.default_rng(k)
    both = rng.random((40, 20)) < 0.4
    seen = both & (rng.random((40, 20)) < 0.7)
    held_out = both & ~seen
    held_out[5] = False
    scores = rng.integers(0, 6, (40, 20)) / 2  # many are equal
    recall, ndcg = naive(scores, held_out, k, seen)
    for form in (np.asarray, sparse.csr_array, lambda marks: 3.0 * marks):
        np.testing.assert_allclose(recall_at_k(scores, form(held_out), k, seen=form(seen)), recall)
        np.testing.assert_allclose(ndcg_at_k(scores, form(held_out), k, seen=form(seen)), ndcg)


def test_the_recall_of_few_items_can_be_1() -> None:
    held_out = np.ones((1, 10))
    assert recall_at_k(np.zeros((1, 10)), held_out, 3).tolist() == [1.0]
    assert recall_at_k(-np.arange(10.0)[None], np.arange(10)[None] == 4, 5).tolist() == [1.0]
    assert recall_at_k(-np.arange(10.0)[None], np.arange(10)[None] == 4, 4).tolist() == [0.0]


def test_wrong_rankings_are_refused() -> None:
    scores = np.zeros((2, 3))
    with pytest.raises(DataError, match=r"shapes differ \(scores \(2, 3\), held_out \(2, 4\)\)"):
        recall_at_k(scores, np.ones((2, 4)))
    with pytest.raises(DataError, match="item 1 of user 0 is both seen and held out"):
        ndcg_at_k(scores, np.eye(2, 3, 1), seen=np.ones((2, 3)))
    with pytest.raises(DataError, match="NaN: row 1, column 2"):
        recall_at_k(np.array([[0.0, 1, 2], [0, 1, np.nan]]), np.ones((2, 3)))
    with pytest.raises(RecordError, match="invalid k=0"):
        recall_at_k(scores, np.ones((2, 3)), 0)


def test_columns_of_counts_given_their_total_have_no_weights() -> None:
    """Their costs depend on each other, and those of observed values alone would be wrong."""
    for likelihood in (Multinomial(), Poisson(total="observed"), ZeroInflated(NegativeBinomial(total="observed"))):
        with pytest.raises(RecordError, match="takes the total of each example as given"):
            Weighted(likelihood, (1, 2))
        assert likelihood.given_total
    assert not Weighted(Poisson(), (1, 2)).given_total


def test_missing_items_are_refused_in_rankings() -> None:
    with pytest.raises(DataError, match="items contain NaN"):
        recall_at_k(np.ones((1, 3)), np.array([[np.nan, 0, 1]]), k=1)
