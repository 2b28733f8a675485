"""The scikit-learn face: its manners, any sane data with all defaults, and a sentence for what cannot be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris, load_wine
from sklearn.utils import estimator_checks

from isthmus import Autoencoder, data
from isthmus.architectures import MLP, Conv
from isthmus.bottlenecks import Gaussian, Identity, TopK
from isthmus.errors import DataError
from isthmus.optimizers import Adam


def quick(bottleneck: Any = "auto", **choices: Any) -> Autoencoder:
    return Autoencoder(bottleneck, **{"architecture": MLP((16,)), "epochs": 2, "random_state": 0} | choices)


@pytest.fixture(scope="module")
def table() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)


CHECKS = list(estimator_checks.estimator_checks_generator(Autoencoder(epochs=5, random_state=0)))


@pytest.mark.parametrize(
    "name",
    [
        "check_transformer_get_feature_names_out",
        "check_transformer_get_feature_names_out_pandas",
        "check_set_output_transform",
        "check_set_output_transform_pandas",
        "check_set_output_transform_polars",
        "check_param_validation",
        "check_dataframe_column_names_consistency",
    ],
)
def test_scikit_learns_further_checks(name: str) -> None:
    getattr(estimator_checks, name)("Autoencoder", Autoencoder(epochs=1, random_state=0))


SANE = {
    "iris": load_iris().data,
    "wine": load_wine().data,
    "digits": data.digits().train,
    "flat digits": data.digits().train[:300].reshape(-1, 64),
    "bytes": (data.digits().train[:300] * 255).astype(np.uint8),
    "colors": np.stack([data.digits().train[:300] * c for c in (200, 90, 31)], -1),
    "few": load_iris().data[::10],
    "constant columns": np.hstack([load_iris().data, np.full((150, 2), 7.0)]),
    "all alike": np.full((30, 4), 2.5),
    "one column": load_iris().data[:, :1],
    "integers": np.random.default_rng(0).poisson(50, (200, 1)) * [1, 2, 3] - 20,
    "flags": (load_iris().data > load_iris().data.mean(0)),
}


@pytest.mark.parametrize("name", SANE)
def test_all_defaults_learn_any_sane_data(name: str) -> None:
    X = SANE[name]
    ae = Autoencoder(random_state=0).fit(X[::2])
    left, spread = ae.reconstruction_error(X[1::2]).mean(), X[::2].var(axis=0).mean()
    assert left < 0.5 * spread + 1e-3, "the mean does as well"


@pytest.fixture(scope="module", params=[MLP((16,)), Conv((4,)), Conv((4, 4), code="map")], ids=repr)
def pictures(request: pytest.FixtureRequest) -> Autoencoder:
    return quick(TopK(4, k=2), architecture=request.param).fit(data.digits().train[:64])


def test_codes_in_another_layout_are_refused() -> None:
    ae = quick(Identity(3), architecture=Conv((4,), code="map")).fit(data.digits().train[:40])
    Z = ae.encode(data.digits().test[:4])
    assert Z.shape == (4, 2, 2, 3)
    with pytest.raises(DataError, match=r"codes are \(3, 2, 2\), but this autoencoder's are \(2, 2, 3\)"):
        ae.decode(np.moveaxis(Z, -1, 1))


@pytest.mark.parametrize(("n", "random_state"), [(0, 0), (-1, 0), (2.5, 0), (3, -1), (3, "x")])
def test_what_cannot_be_drawn_is_refused_in_a_sentence(n: Any, random_state: Any, table: np.ndarray) -> None:
    ae = quick(Gaussian(2)).fit(table)
    with pytest.raises(ValueError, match=r"\bn=|random_state"):
        ae.sample(n, random_state=random_state)


def test_a_record_and_its_fields_may_be_set_in_any_order() -> None:
    ae = Autoencoder().set_params(bottleneck__beta=2, bottleneck=Gaussian(4))
    assert ae.bottleneck == Gaussian(4, beta=2)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("bottleneck__betta", r"Gaussian has no field 'betta'; did you mean beta\?"),
        ("bottleneck__beta__x", "has no field 'x'"),
        ("optimizer__nope__x", "has no field 'nope'"),
        ("likelihood__scale", "likelihood='auto' has no field 'scale'; give a record first"),
        ("nope", "Invalid parameter 'nope'"),
        ("nope__x", "Invalid parameter 'nope'"),
    ],
)
def test_a_parameter_that_is_not_there_is_a_sentence(name: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Autoencoder(Gaussian(4), optimizer=Adam()).set_params(**{name: 1})


def test_columns_in_another_order_are_refused(table: np.ndarray) -> None:
    frame = pd.DataFrame(table, columns=list("abcde"))
    ae = quick(Identity(2)).fit(frame)
    with pytest.raises(ValueError, match="order"):
        ae.transform(frame[list("bacde")])
    with pytest.raises(ValueError, match="f"):
        ae.transform(frame.rename(columns={"e": "f"}))


@pytest.mark.parametrize("every", [0, -1])
def test_looking_never_is_refused(every: int, table: np.ndarray) -> None:
    with pytest.raises(ValueError, match="every"):
        next(iter(quick().fitting(table, every=every)))
