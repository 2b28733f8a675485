"""The scikit-learn face: its manners, any sane data with all defaults, and a sentence for what cannot be."""

from __future__ import annotations

import copy
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from cases import checks_of, thorough_where
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from torch import nn

from isthmus import Autoencoder, data, load
from isthmus.architectures import MLP, Conv, Modules
from isthmus.bottlenecks import Gaussian, Identity, TopK, VectorQuantized
from isthmus.corruptions import GaussianNoise, Masking, Occlusion
from isthmus.data.validation import Examples
from isthmus.errors import DataError, NotPossibleError, RecordError
from isthmus.estimators.base import seed_of
from isthmus.likelihoods import Bernoulli, Normal
from isthmus.optimizers import Adam, AdamW, OneCycle
from isthmus.scaling import Standard, UInt8


def quick(bottleneck: Any = "auto", **choices: Any) -> Autoencoder:
    return Autoencoder(bottleneck, **{"architecture": MLP((16,)), "epochs": 2, "random_state": 0} | choices)


@pytest.fixture(scope="module")
def table() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)


CHECKS = [
    (ae, check)
    for precision in ("float32", "float64")
    for ae, check in checks_of(Autoencoder(epochs=5, random_state=0, precision=precision))
]


@pytest.mark.promise(14)
@pytest.mark.parametrize(
    ("estimator", "check"),
    thorough_where(CHECKS, lambda case: case[0].precision == "float64"),
    ids=[f"{ae.precision}-{getattr(check, 'func', check).__name__}" for ae, check in CHECKS],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learns_checks(estimator: Autoencoder, check: Any) -> None:
    check(estimator)


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


def test_automatic_choices_are_stored() -> None:
    pictures = Autoencoder(epochs=0.01).fit((data.digits().train * 255).astype(np.uint8))
    assert (pictures.scaling_, pictures.likelihood_, pictures.bottleneck_) == (UInt8(), Bernoulli(), Identity(32))
    flowers = Autoencoder(epochs=1).fit(load_iris().data)
    assert (flowers.scaling_, flowers.likelihood_, flowers.bottleneck_) == (Standard(), Normal("learned"), Identity(2))
    assert isinstance(flowers.optimizer_, AdamW)
    assert flowers.get_params()["bottleneck"] == "auto"


def own() -> Modules:
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 4))
    return Modules(encoder, nn.Sequential(nn.Linear(4, 64), nn.Unflatten(1, (8, 8))))


KINDS: list[dict[str, Any]] = [
    {"architecture": MLP((16,))},
    {"architecture": MLP((300, 200)), "bottleneck": Gaussian(3)},
    {"architecture": MLP((16,)), "bottleneck": VectorQuantized(4, codebook_size=8)},
    {"architecture": MLP((16,)), "precision": "float64"},
    {"architecture": MLP((16,), tied=True), "likelihood": Normal("learned")},
    {"architecture": Conv((4,))},
    pytest.param({"architecture": Conv((4, 4), code="map")}, marks=pytest.mark.thorough),
    {"architecture": Conv((4, 4), down="stride", up="transpose"), "precision": "bfloat16"},
    {"architecture": own()},
]


@pytest.fixture(scope="module", params=KINDS, ids=str)
def pictures(request: pytest.FixtureRequest) -> Autoencoder:
    return quick(**{"bottleneck": TopK(4, k=2)} | request.param).fit(data.digits().train[:64])


@pytest.mark.promise(15)
@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_results_are_bit_identical_for_every_grouping_and_order(pictures: Autoencoder, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 300))
    order = np.array(data.draw(st.permutations(range(n))))
    cuts = sorted(data.draw(st.lists(st.integers(1, n), max_size=4)))
    X = SANE["digits"][:n]
    for method in (pictures.encode, pictures.reconstruct, pictures.score_samples):
        whole = method(X)
        np.testing.assert_array_equal(method(X[order]), whole[order])
        np.testing.assert_array_equal(np.concatenate([method(p) for p in np.split(X, cuts) if len(p)]), whole)


def test_encode_decode_and_reconstruct_agree(pictures: Autoencoder) -> None:
    X = SANE["digits"][:10]
    Z = pictures.encode(X)
    np.testing.assert_array_equal(pictures.transform(X), Z.reshape(10, -1))
    np.testing.assert_array_equal(pictures.inverse_transform(Z), pictures.inverse_transform(Z.reshape(10, -1)))
    np.testing.assert_array_equal(pictures.reconstruct(X), pictures.decode(Z))
    squares = np.square(pictures.reconstruct(X).astype(np.float64) - X)
    np.testing.assert_allclose(pictures.reconstruction_error(X), squares.mean((1, 2)), rtol=1e-12)
    np.testing.assert_allclose(pictures.reconstruction_error(X, per_feature=True), squares, rtol=1e-12)
    assert pictures.score(X) == pytest.approx(pictures.score_samples(X).mean())


def test_scores_are_negative_losses_in_nats_per_example(table: np.ndarray) -> None:
    ae = quick(Identity(2), likelihood=Normal(0.7), scaling=Standard()).fit(table)
    x, y = ((part - table.mean(0)) / table.std(0) for part in (table, ae.reconstruct(table)))
    expected = torch.distributions.Normal(torch.from_numpy(y), 0.7).log_prob(torch.from_numpy(x)).sum(1)
    np.testing.assert_allclose(ae.score_samples(table), expected - np.log(table.std(0)).sum(), rtol=1e-4)
    far = ae.score_samples(table[:2] + 30)
    assert far.max() < ae.score_samples(table).min()


def test_results_are_in_the_units_of_the_data() -> None:
    X = (data.digits().train[:200] * 255).astype(np.uint8)
    ae = quick(corruption=GaussianNoise(0.2)).fit(X)
    assert ae.reconstruct(X).max() > 100
    assert (ae.corrupt(X, random_state=1) - X).std() == pytest.approx(0.2 * 255, rel=0.02)
    np.testing.assert_array_equal(ae.corrupt(X), ae.corrupt(X, random_state=0))
    assert (ae.corrupt(X, corruption=Masking(1.0)) == 0).all()
    assert (ae.corrupt(X, corruption=Occlusion(0.25))[:, 2:] == 0).all()
    np.testing.assert_array_equal(ae.corrupt(X, random_state=1), ae.corrupt(X, random_state=1))


def test_every_example_of_a_large_batch_is_corrupted_independently() -> None:
    """In blocks: each row once, in order, and no two blocks alike."""
    X = np.arange(2100.0)[:, None] * np.ones(3)
    corrupted = quick(corruption=GaussianNoise(1e-3)).fit(X).corrupt(X, random_state=1)
    assert corrupted.shape == X.shape
    assert np.abs(corrupted - X).max() < 10
    noise = corrupted - X
    assert len(np.unique(noise[:, 0].round(6))) > 2000


def test_checked_examples_of_other_columns_are_refused(table: np.ndarray) -> None:
    """As the command line passes them: values and the names that a file gave them."""
    ae = quick().fit(pd.DataFrame(table, columns=list("abcde")))
    ae.encode(Examples(table, tuple("abcde")))
    ae.encode(Examples(table))
    with pytest.raises(DataError, match=r"column 'b' is in the place of 'a' \(expected a, b, c, d, e\)"):
        ae.encode(Examples(table, tuple("bacde")))
    with pytest.raises(DataError, match="their number differs"):
        ae.encode(Examples(table, tuple("abcd")))


def test_the_error_suggests_a_shape_that_fits() -> None:
    ae = quick().fit(np.random.default_rng(0).random((20, 4, 6)))
    with pytest.raises(DataError, match=r"examples have shape \(24,\), but .* \(4, 6\); reshape X"):
        ae.encode(np.ones((3, 24)))
    with pytest.raises(
        DataError, match=r"examples have shape \(6, 6\), but this autoencoder was fitted on shape \(4, 6\)$"
    ):
        ae.encode(np.ones((4, 6, 6)))


def test_inverse_transform_equals_decode(table: np.ndarray) -> None:
    ae = quick().fit(table)
    np.testing.assert_array_equal(ae.inverse_transform(ae.transform(table)), ae.reconstruct(table))


def test_seeds_of_a_generator_are_many_and_fit_everywhere() -> None:
    state = np.random.RandomState(0)
    seeds = {seed_of(state) for _ in range(300)}
    assert len(seeds) == 300
    assert max(seeds) < 2**31


def test_missing_column_names_are_not_compared(table: np.ndarray) -> None:
    frame = pd.DataFrame(table, columns=list("abcde"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for given, used in ((table, frame), (frame, table)):
            np.testing.assert_array_equal(quick().fit(given).encode(used), quick().fit(given).encode(given))


def test_new_examples_are_drawn_from_the_prior(table: np.ndarray) -> None:
    ae = quick(Gaussian(2)).fit(table)
    np.testing.assert_array_equal(ae.sample(5, random_state=3), ae.sample(5, random_state=3))
    assert not np.array_equal(ae.sample(5), ae.sample(5))
    assert ae.sample(7).shape == (7, 5)
    assert ae.sample().shape == ae.sample(1).shape == (1, 5)
    with pytest.raises(
        NotPossibleError, match=r"^Identity has no prior to sample from; Gaussian has one; method='gmm' fits"
    ):
        quick(Identity(2)).fit(table).sample(3)


def test_nested_parameters_are_set_by_replacing_the_record() -> None:
    record = Gaussian(4)
    ae = Autoencoder(record, optimizer=Adam(schedule=OneCycle()))
    ae.set_params(bottleneck__beta=2, optimizer__schedule__warmup=0.5, epochs=7)
    assert ae.bottleneck == Gaussian(4, beta=2)
    assert record == Gaussian(4)
    assert ae.optimizer == Adam(schedule=OneCycle(warmup=0.5))
    assert ae.get_params()["optimizer__schedule__warmup"] == 0.5
    assert "bottleneck__size" not in ae.get_params(deep=False)
    copied = clone(ae)
    assert copied.get_params() == ae.get_params()
    copied.set_params(bottleneck__beta=9)
    assert ae.bottleneck == Gaussian(4, beta=2)


def test_grid_search_and_pipelines() -> None:
    digits = data.digits()
    X, y = digits.train[:300].reshape(300, -1), digits.train_labels[:300]  # type: ignore[index]
    search = GridSearchCV(quick(TopK(16, k=1)), {"bottleneck__k": np.array([1, 4]), "epochs": [10]}, cv=2).fit(X)
    assert search.best_params_["bottleneck__k"] == 4
    pipe = make_pipeline(quick(Identity(16), epochs=10), LogisticRegression(max_iter=1000)).fit(X, y)
    assert pipe.score(X, y) > 0.9
    pipe.set_params(autoencoder__bottleneck__size=3).fit(X, y)
    assert pipe[:-1].transform(X).shape == (300, 3)


def test_data_frames_keep_their_names(table: np.ndarray) -> None:
    frame = pd.DataFrame(table, columns=list("abcde"), index=range(100, 160))
    ae = quick(Identity(2)).set_output(transform="pandas").fit(frame)
    assert ae.feature_names_in_.tolist() == list("abcde")
    codes = ae.transform(frame)
    assert list(codes.columns) == ["autoencoder0", "autoencoder1"]
    assert codes.index.equals(frame.index)
    plain = quick(Identity(2)).fit(table)
    np.testing.assert_array_equal(codes.to_numpy(), plain.transform(table))
    assert not hasattr(ae.fit(table), "feature_names_in_")
    polars = quick(Identity(2)).set_output(transform="polars").fit(pl.DataFrame(table, schema=list("abcde")))
    np.testing.assert_array_equal(polars.transform(pl.DataFrame(table, schema=list("abcde"))), codes.to_numpy())


@pytest.mark.promise(16)
def test_an_invalid_table_raises_one_sentence(table: np.ndarray) -> None:
    ae = quick().fit(table)
    hole = table.copy()
    hole[17, 3] = np.nan
    with pytest.raises(DataError, match=r"NaN: row 17, column 3; impute it, drop the row, or pass missing='allow'$"):
        ae.transform(hole)
    with pytest.raises(DataError, match="NaN: row 17"):
        quick().fit(hole)
    with pytest.raises(DataError, match=r"^X has 4 features, but Autoencoder is expecting 5 features as input$"):
        ae.transform(table[:, :4])
    with pytest.raises(
        DataError, match=r"^examples have shape \(8, 8\), but this autoencoder was fitted on shape \(5,\)$"
    ):
        ae.transform(data.digits().train)
    with pytest.raises(DataError, match="n_samples=1"):
        quick().fit(table[:1])
    with pytest.raises(DataError, match="too few examples: "):
        quick(early_stopping=True, validation_fraction=0.9).fit(table[:2])
    with pytest.raises(DataError, match=r"codes have shape \(4,\), but this autoencoder's have shape \(3,\)"):
        ae.decode(np.zeros((2, 4)))
    assert ae.transform(table[:1]).shape == (1, 3)


@pytest.mark.parametrize(
    "method", ["transform", "encode", "decode", "reconstruct", "score_samples", "sample", "corrupt"]
)
def test_unfitted_estimators_raise_not_fitted_error(method: str, table: np.ndarray) -> None:
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(Autoencoder(Gaussian(2)), method)(3 if method == "sample" else table)
    with pytest.raises(NotFittedError):
        Autoencoder().save("nowhere.safetensors")


@pytest.mark.parametrize(
    "choices",
    [
        *({"epochs": 0}, {"epochs": float("inf")}, {"batch_size": 0}, {"batch_size": 2.5}, {"bottleneck": 0}),
        *({"tol": -1}, {"validation_fraction": 1.0}, {"precision": "half"}, {"architecture": Identity(3)}),
        {"random_state": -1},
    ],
    ids=repr,
)
def test_an_invalid_parameter_is_refused(choices: dict[str, Any], table: np.ndarray) -> None:
    (name,) = choices
    with pytest.raises(ValueError, match=f"The '{name}' parameter of Autoencoder"):
        Autoencoder(**choices).fit(table)


def test_an_unavailable_device_raises_one_sentence(table: np.ndarray) -> None:
    with pytest.raises(RecordError, match="device='banana' is not available on this machine; try device='cpu'"):
        Autoencoder(device="banana").fit(table)


def test_more_of_the_same_examples_lowers_the_loss(table: np.ndarray) -> None:
    ae, scores = quick(optimizer=Adam(1e-2)), []
    for _ in range(5):
        scores.append(ae.partial_fit(table).score(table))
    assert scores == sorted(scores)
    ae.partial_fit(table[:1])
    assert len(ae.history_) == 6


def test_a_second_fit_starts_new_without_warm_start(table: np.ndarray) -> None:
    ae = quick().fit(table)
    before = ae.transform(table)
    np.testing.assert_array_equal(ae.fit(table).transform(table), before)
    assert ae.set_params(warm_start=True).fit(table).score(table) > quick().fit(table).score(table)
    assert ae.set_params(warm_start=False).fit(data.digits().train[:40]).shape_ == (8, 8)


def test_inputs_are_not_modified(table: np.ndarray) -> None:
    X = table.copy()
    ae = quick(Gaussian(2), corruption=GaussianNoise(0.5, fixed=True)).fit(X)
    Z = ae.encode(X)
    kept = Z.copy()
    ae.decode(Z), ae.reconstruct(X), ae.corrupt(X), ae.reconstruction_error(X), ae.partial_fit(X)
    np.testing.assert_array_equal(X, table)
    np.testing.assert_array_equal(Z, kept)
    X.setflags(write=False)
    quick().fit(X).transform(X)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda ae: pickle.loads(pickle.dumps(ae))], ids=["copy", "pickle"])
def test_copies_give_the_same_results_and_are_independent(again: Any, table: np.ndarray) -> None:
    ae = quick(Identity(2), architecture=MLP((8,), tied=True)).fit(table)
    other = again(ae)
    np.testing.assert_array_equal(other.reconstruct(table), ae.reconstruct(table))
    before = ae.reconstruct(table)
    other.partial_fit(table)
    np.testing.assert_array_equal(ae.reconstruct(table), before)
    assert not np.array_equal(other.reconstruct(table), before)


@pytest.mark.parametrize("kind", [np.int16, np.uint16, np.uint32, np.int64, np.float16, np.float64, bool, ">f4"])
def test_input_dtypes(kind: Any) -> None:
    X = (np.random.default_rng(0).random((40, 3)) > 0.5).astype(np.float32)
    known = quick(Identity(2)).fit(X)
    other = quick(Identity(2)).fit(X.astype(kind))
    rtol = 1e-4 if kind is np.float64 else 0  # which are standardized in double precision
    np.testing.assert_allclose(other.reconstruct(X.astype(kind)), known.reconstruct(X), rtol)


def test_the_random_state_of_numpy_is_drawn_from_once(table: np.ndarray) -> None:
    state = np.random.RandomState(3)
    one, two = quick(random_state=state).fit(table), quick(random_state=state).fit(table)
    assert not np.array_equal(one.transform(table), two.transform(table))
    again = quick(random_state=np.random.RandomState(3)).fit(table)
    np.testing.assert_array_equal(one.transform(table), again.transform(table))


@pytest.mark.promise(14)
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


@pytest.mark.promise(16)
@pytest.mark.parametrize(
    "name",
    thorough_where(SANE, lambda name: name not in {"colors", "few", "constant columns", "all alike", "one column"}),
)
def test_default_settings_learn_every_kind_of_data(name: str) -> None:
    X = SANE[name]
    ae = Autoencoder(random_state=0).fit(X[::2])
    left, spread = ae.reconstruction_error(X[1::2]).mean(), X[::2].var(axis=0).mean()
    assert left < 0.5 * spread + 1e-3, "the mean does as well"


def test_codes_in_another_layout_are_refused() -> None:
    ae = quick(Identity(3), architecture=Conv((4,), code="map")).fit(data.digits().train[:40])
    Z = ae.encode(data.digits().test[:4])
    assert Z.shape == (4, 2, 2, 3)
    with pytest.raises(DataError, match=r"codes have shape \(3, 2, 2\), but this autoencoder's have shape \(2, 2, 3\)"):
        ae.decode(np.moveaxis(Z, -1, 1))


@pytest.mark.parametrize(("n", "random_state"), [(0, 0), (-1, 0), (2.5, 0), (3, -1), (3, "x")])
def test_invalid_sampling_raises_one_sentence(n: Any, random_state: Any, table: np.ndarray) -> None:
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
def test_an_unknown_parameter_raises_one_sentence(name: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Autoencoder(Gaussian(4), optimizer=Adam()).set_params(**{name: 1})


@pytest.mark.promise(16)
def test_columns_in_another_order_are_refused(table: np.ndarray) -> None:
    frame = pd.DataFrame(table, columns=list("abcde"))
    ae = quick(Identity(2)).fit(frame)
    with pytest.raises(ValueError, match="order"):
        ae.transform(frame[list("bacde")])
    with pytest.raises(ValueError, match="f"):
        ae.transform(frame.rename(columns={"e": "f"}))


@pytest.mark.parametrize("every", [0, -1])
def test_an_invalid_report_interval_is_refused(every: int, table: np.ndarray) -> None:
    with pytest.raises(ValueError, match="every"):
        next(iter(quick().iter_fit(table, every=every)))


def test_fields_of_one_record_are_set_together() -> None:
    ae = Autoencoder(TopK(256, k=16))
    assert ae.set_params(bottleneck__size=8, bottleneck__k=4).bottleneck == TopK(8, k=4)
    assert ae.set_params(bottleneck__k=30, bottleneck__size=64).bottleneck == TopK(64, k=30)
    ae.set_params(optimizer=Adam(schedule=OneCycle()), optimizer__schedule__warmup=0.5, optimizer__lr=1.0)
    assert ae.optimizer == Adam(1.0, schedule=OneCycle(warmup=0.5))


def test_a_saved_model_loads_after_parameters_were_set(table: np.ndarray, tmp_path: Path) -> None:
    ae = quick(Identity(2)).fit(table)
    ae.set_params(precision="float64", bottleneck=Gaussian(4)).save(tmp_path / "x")
    again = load(tmp_path / "x")
    np.testing.assert_array_equal(again.encode(table), ae.encode(table))
    assert again.bottleneck == Gaussian(4)
    with pytest.raises(ValueError, match="epochs"):
        ae.set_params(epochs=-1).save(tmp_path / "y")
    assert not (tmp_path / "y").exists()


def test_errors_for_missing_records_give_an_example(table: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"Write for example bottleneck=Identity\(16\)\."):
        Autoencoder(1.5).fit(table)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"the data set 'digits': pass its examples, X\.train"):
        Autoencoder().fit(data.digits())


def test_an_integer_is_the_size_of_an_identity_bottleneck(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    short = Autoencoder(3, epochs=1, random_state=0).fit(X)
    assert short.bottleneck_ == Identity(3)
    np.testing.assert_array_equal(short.encode(X), Autoencoder(Identity(3), epochs=1, random_state=0).fit(X).encode(X))
    assert clone(short).set_params(bottleneck__size=2).bottleneck == Identity(2)
    short.save(tmp_path / "m.safetensors")
    assert load(tmp_path / "m.safetensors").get_params()["bottleneck"] == 3
    for wrong in (0, True, 2.5):
        with pytest.raises(ValueError, match="'bottleneck' parameter"):
            Autoencoder(wrong).fit(X)  # type: ignore[arg-type]
