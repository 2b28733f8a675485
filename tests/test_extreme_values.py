"""Extreme values give an error with the position, or a correctly ordered result, in every public method; never a silent NaN."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import thorough_where

from isthmus import Autoencoder, AutoencoderClassifier, OutlierDetector, bottlenecks, evaluate, scaling
from isthmus.architectures import MLP
from isthmus.bottlenecks import Gaussian, Identity
from isthmus.corruptions import GaussianNoise
from isthmus.errors import DataError, IsthmusWarning
from isthmus.scaling import MinMax, NoScaling

ROW, HOSTILE = 3, (1e20, 1e30, 3e38, 1e-45)
SHAPES = {"table": (5,), "images": (4, 4, 1), "windows": (6, 2)}
Call = Callable[[Any, Any], Any]

USES: dict[type, dict[str, Call]] = {  # of an estimator, and examples or codes
    Autoencoder: {
        **{
            name: lambda ae, X, name=name: getattr(ae, name)(X)
            for name in ("encode", "transform", "reconstruct", "corrupt")
        },
        **{
            name: lambda ae, X, name=name: getattr(ae, name)(X)
            for name in ("score", "score_samples", "reconstruction_error")
        },
        "impute": lambda ae, X: ae.impute(X),
        "log_likelihood": lambda ae, X: ae.log_likelihood(X, samples=2),
        "sample": lambda ae, X: ae.sample(5, 0, method="gmm", X=X),
    },
    OutlierDetector: {
        **{
            name: lambda d, X, name=name: getattr(d, name)(X)
            for name in ("score_samples", "decision_function", "predict")
        },
        **{name: lambda d, X, name=name: getattr(d, name)(X) for name in ("p_values", "contributions")},
        "attributions": lambda d, X: [[share for _, share in attributions] for attributions in d.attributions(X, 2)],
    },
    AutoencoderClassifier: {
        **{
            name: lambda c, X, name=name: getattr(c, name)(X)
            for name in ("predict", "predict_proba", "predict_log_proba")
        },
        "decision_function": lambda c, X: c.decision_function(X),
        "score": lambda c, X: c.score(X, np.arange(len(X)) % 3),
    },
}
LEARNS = {
    "fit",
    "fit_transform",
    "fit_predict",
    "iter_fit",
    "partial_fit",
    "resume",
    "iter_resume",
    "initialize",
    "from_fitted",
}
ON_CODES = {"decode", "inverse_transform", "encode_indices", "decode_indices"}
WITHOUT_NUMBERS = {  # take no examples
    *("get_params", "set_params", "set_output", "get_metadata_routing", "save", "checkpoint"),
    *("get_feature_names_out", "guarantee", "load"),
}

EXPORTS = {"export", "to_module"}  # tests/test_export.py
OF_WHOLES = {"reconstruct_image", "reconstruct_series"}  # tests/test_any_size.py, tests/test_sound.py


@pytest.mark.parametrize("kind", USES)
def test_every_public_method_is_tested(kind: type) -> None:
    public = {name for name in dir(kind) if not name.startswith("_") and callable(getattr(kind, name, None))}
    routing = {name for name in public if name.startswith("set_") and name.endswith("_request")}
    assert public - LEARNS - ON_CODES - WITHOUT_NUMBERS - OF_WHOLES - EXPORTS - routing == set(USES[kind])


def examples(shape: tuple[int, ...], precision: str) -> Any:
    return np.random.default_rng(0).normal(size=(40, *shape)).astype(precision)


def fitted(kind: str, precision: Any, bottleneck: Any = None) -> Autoencoder:
    meant: Any = kind
    ae = Autoencoder(
        bottleneck or Gaussian(2),
        architecture=MLP((4,)),
        epochs=1,
        random_state=0,
        precision=precision,
        kind=meant,
        missing="allow",
        corruption=GaussianNoise(0.1),
    )
    return ae.fit(examples(SHAPES[kind], precision))


def sound(result: Any) -> bool:
    return bool(np.isfinite(np.asarray(result, dtype=np.float64)).all())


def outcome(call: Call, estimator: Any, X: Any) -> str:
    """ "finite", or the error's sentence, which has to name the row."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", IsthmusWarning)
            assert sound(call(estimator, X))
    except DataError as error:
        return str(error)
    return "finite"


@pytest.mark.promise(24, cases=24)
@pytest.mark.parametrize(
    ("kind", "precision"),
    thorough_where(
        [(kind, precision) for kind in SHAPES for precision in ("float32", "float64")],
        lambda case: case in {("images", "float64"), ("windows", "float32")},
    ),
)
def test_every_method_computes_extreme_values_or_names_them(kind: str, precision: str) -> None:
    X = examples(SHAPES[kind], precision)
    ae = fitted(kind, precision)
    classifier = AutoencoderClassifier(ae, epochs=1, random_state=0).fit(X, np.arange(len(X)) % 3)
    detectors = [
        OutlierDetector(ae, anomaly_score=measure, false_alarm_rate=0.2, random_state=0).fit(X)  # type: ignore[arg-type]
        for measure in ("ensemble", "combined", "code", "error", "standardized", "nats")
    ]
    place = (ROW, *[1] * (X.ndim - 2), 0)
    for value in HOSTILE:
        odd = X[:8].copy()
        odd[place] = value
        outcomes = {name: outcome(call, ae, odd) for name, call in USES[Autoencoder].items()}
        outcomes |= {
            f"classifier.{name}": outcome(call, classifier, odd) for name, call in USES[AutoencoderClassifier].items()
        }
        assert len(set(outcomes.values())) == 1, (value, outcomes)  # the same in every method
        said = outcomes["encode"]
        if value > 1:
            assert said.startswith(f"row {ROW}, ")
            assert f" is {value:g}, too far from the training data" in said
        else:
            assert said == "finite"
        for detector in detectors:
            for name, call in USES[OutlierDetector].items():
                assert outcome(call, detector, odd) == "finite", (detector.anomaly_score, name, value)
            if value > 1:
                scores = detector.score_samples(odd)
                assert scores.argmin() == ROW
                assert detector.predict(odd)[ROW] == -1
                if kind == "table" and detector.anomaly_score != "code":
                    assert detector.attributions(odd[ROW : ROW + 1])[0][0].feature == 0


@pytest.mark.promise(24)
@pytest.mark.parametrize("name", bottlenecks.__all__)
def test_every_bottleneck_decodes_extreme_codes_or_names_them(name: str) -> None:
    kind = getattr(bottlenecks, name)
    fields = {field: value for field, value in {"size": 3, "k": 2}.items() if field in kind.__dataclass_fields__}
    ae = fitted("table", "float32", kind(**fields))
    for value in HOSTILE:
        codes = ae.encode(examples((5,), "float32")[:6])
        codes[ROW, 1] = value
        for method in (ae.decode, ae.inverse_transform):
            said = outcome(lambda _, Z, method=method: method(Z), ae, codes)
            if value > 1:
                assert said.startswith(f"code {ROW}, column 1 is {value:g}, too far to compute with")
            else:
                assert said == "finite"


@pytest.mark.promise(24)
def test_overflow_inside_the_network_is_named() -> None:
    ae = Autoencoder(Identity(2), architecture=MLP(()), scaling=NoScaling(), epochs=1, random_state=0)
    X = examples((5,), "float32")
    ae.fit(X)
    for parameter in ae.model_.parameters():
        parameter.data.mul_(1e13)
    X[ROW, 4] = 1e14
    with pytest.raises(DataError, match=rf"^row {ROW}, column 4 is 1e\+14, too far from the training data"):
        ae.reconstruct(X[ROW - 3 : ROW + 4])


@pytest.mark.promise(24)
def test_scores_stay_ordered_where_the_loss_overflows() -> None:
    """exp of a log-variance soon is none; there is no error, since everything is less likely than what can be said."""
    X = examples((5,), "float32")
    ae = fitted("table", "float32")
    X[ROW] = 1e6
    scores = ae.score_samples(X)
    assert sound(scores)
    assert scores.argmin() == ROW
    assert np.isfinite(ae.score(np.repeat(X[ROW : ROW + 1], 2, axis=0)))


@pytest.mark.promise(24, cases=12)
@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("choice", ["auto", NoScaling(), MinMax(), MinMax(per="feature")], ids=repr)
def test_fit_computes_extreme_values_or_names_them(value: float, choice: scaling.Scaling) -> None:
    X = examples((5,), "float32")
    X[7, 2], X[9, 2] = value, -value
    ae = Autoencoder(Identity(2), architecture=MLP((4,)), scaling=choice, epochs=1, random_state=0)
    said = outcome(lambda ae, X: (ae.fit(X).score(X), *ae.reconstruct(X).ravel()), ae, X)
    assert said == "finite" or (said.startswith("row 7, column 2 is") and value > 1)


@pytest.mark.promise(24)
def test_errors_name_columns() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(examples((2,), "float64"), columns=["speed", "load"])
    ae = Autoencoder(Identity(1), architecture=MLP(()), epochs=1, random_state=0).fit(frame)
    frame.loc[5, "load"] = 1e30
    for call in (ae.encode, ae.score, lambda X: evaluate(ae, X)):
        with pytest.raises(DataError, match=r"^row 5, column 1 .feature 'load'. is 1e.30"):
            call(frame)
