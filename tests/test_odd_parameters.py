"""Numbers beyond what can be, things that are no numbers, and tensors without numbers: one sentence each, never a raw exception."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils._param_validation import InvalidParameterError

import isthmus
from isthmus import Autoencoder, AutoencoderClassifier, OutlierDetector, compression, latent_traversal
from isthmus.architectures import MLP
from isthmus.bottlenecks import Gaussian
from isthmus.errors import DataError, IsthmusError, RecordError

X = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
Y = np.arange(30) % 2
ODD: dict[str, Any] = {
    "huge": 10**400,
    "unsayable": 10**5000,
    "below": -(10**400),
    "1e308": 1e308,
    "inf": np.inf,
    "nan": np.nan,
    "text": "3",
    "none": None,
    "list": [1],
    "complex": 1j,
}
FITTED = Autoencoder(Gaussian(2), architecture=MLP((3,)), epochs=1, random_state=0)


def fit(kind: type, /, **choices: Any) -> Any:
    given: dict[str, Any] = {"epochs": 1, "random_state": 0}
    if kind is Autoencoder:
        return Autoencoder(
            **given | {"bottleneck": Gaussian(2), "architecture": MLP((3,)), "early_stopping": True} | choices
        ).fit(X)
    if kind is AutoencoderClassifier:
        return AutoencoderClassifier(**given | {"autoencoder": FITTED} | choices).fit(X, Y)
    return OutlierDetector(**{"autoencoder": FITTED, "random_state": 0, "false_alarm_rate": 0.3} | choices).fit(X)


def one_sentence(call: Callable[[], Any]) -> None:
    """It works, or says what cannot be."""
    raised: Exception | None = None
    try:
        call()
    except (IsthmusError, TypeError, ValueError) as error:
        raised = error
    if raised is not None:
        assert "\n" not in str(raised)
        assert len(str(raised)) < 600
        assert isinstance(raised, IsthmusError), repr(raised)


PARAMETERS = [
    (kind, name)
    for kind in (Autoencoder, OutlierDetector, AutoencoderClassifier)
    for name in kind().get_params(deep=False)
    if name not in {"autoencoder", "verbose"}
]


@pytest.mark.filterwarnings("ignore::isthmus.errors.IsthmusWarning")
@pytest.mark.parametrize(("kind", "name"), PARAMETERS, ids=[f"{kind.__name__}.{name}" for kind, name in PARAMETERS])
def test_every_parameter_accepts_unusual_values_or_raises_a_clear_error(kind: type, name: str) -> None:
    for value in ODD.values():
        one_sentence(lambda value=value: fit(kind, **{name: value}))


@pytest.mark.parametrize("value", ODD.values(), ids=ODD)
def test_every_numeric_argument_of_a_method_is_checked(value: Any) -> None:
    ae = fit(Autoencoder)
    detector = OutlierDetector(ae, false_alarm_rate=0.3, random_state=0).fit(X)
    one_sentence(lambda: ae.sample(value))
    one_sentence(lambda: ae.sample(2, value))
    one_sentence(lambda: ae.corrupt(X, value))
    one_sentence(lambda: detector.attributions(X, value))
    one_sentence(lambda: list(ae.iter_fit(X, every=value)))


MISTAKES: dict[str, tuple[str, Callable[[], Any]]] = {  # the parameter that is named, and a call in which it is wrong
    "Autoencoder": ("epochs=0", lambda: fit(Autoencoder, epochs=0)),
    "Autoencoder, a component": ("likelihood='Normal'", lambda: fit(Autoencoder, likelihood="Normal")),
    "Autoencoder, a size": ("bottleneck=0", lambda: fit(Autoencoder, bottleneck=0)),
    "OutlierDetector": ("contamination=2", lambda: fit(OutlierDetector, contamination=2)),
    "AutoencoderClassifier": ("frozen='no'", lambda: fit(AutoencoderClassifier, frozen="no")),
    "finetune": ("random_state=-3", lambda: isthmus.finetune(FITTED.fit(X), X, Y, random_state=-3)),
    "a random state": ("random_state=-1", lambda: fit(Autoencoder, random_state=-1)),
    "a bottleneck": ("beta=-1", lambda: Gaussian(2, beta=-1)),
    "an architecture": ("hidden=0", lambda: MLP((0,))),
    "sample": ("n=0", lambda: FITTED.fit(X).sample(0)),
    "sample, a method": ("method='best'", lambda: FITTED.fit(X).sample(method="best")),  # type: ignore[arg-type]
    "corrupt": ("random_state=-2", lambda: FITTED.fit(X).corrupt(X, -2)),
    "iter_fit": ("every=0", lambda: next(FITTED.iter_fit(X, every=0))),
    "attributions": ("n=0", lambda: fit(OutlierDetector).attributions(X, 0)),
    "interpolate": ("method='arc'", lambda: latent_traversal.interpolate(FITTED.fit(X), X, X, method="arc")),  # type: ignore[arg-type]
    "robustness": ("draws=0", lambda: isthmus.robustness(FITTED.fit(X), X, draws=0)),
    "compress": ("step=0", lambda: compression.compress(FITTED.fit(X), X, "x", step=0)),
    "rate_distortion": ("limit=0", lambda: compression.rate_distortion(FITTED.fit(X), X, limit=0)),
    "load": ("max_memory='much'", lambda: isthmus.load("x", max_memory="much")),
}


@pytest.mark.parametrize(("named", "call"), MISTAKES.values(), ids=MISTAKES)
def test_a_wrong_parameter_is_a_record_error_that_names_it(named: str, call: Callable[[], Any]) -> None:
    with pytest.raises(RecordError, match=rf"(^|: |, )invalid .*{re.escape(named)}"):
        call()


def test_an_estimators_wrong_parameter_is_scikit_learns_error_too() -> None:
    with pytest.raises(
        InvalidParameterError, match=r"^invalid epochs=0: The 'epochs' parameter of Autoencoder must be"
    ):
        fit(Autoencoder, epochs=0)


def test_a_value_with_the_words_of_the_message_is_quoted_once() -> None:
    with pytest.raises(RecordError) as error:
        fit(Autoencoder, batch_size="x Got y")
    assert str(error.value).endswith("Got 'x Got y' instead.")
    assert str(error.value).count("Got ") == 3  # in the value twice


def test_a_sweep_without_sizes_names_the_wrong_parameter() -> None:
    for wrong in ({"epochs": -1}, {"batch_size": 0}, {"precision": "foo"}):
        with pytest.raises(RecordError, match=f"^invalid {next(iter(wrong))}="):
            isthmus.sweep(Autoencoder(**wrong), np.random.default_rng(0).normal(size=(60, 8)))


def test_endless_trainings_and_samples_are_refused() -> None:
    for epochs in (1e308, 10**400, 2**63):
        with pytest.raises(IsthmusError, match="expected at most 1e"):
            fit(Autoencoder, epochs=epochs)
    with pytest.raises(IsthmusError, match="expected a positive integer"):
        fit(Autoencoder).sample(2**40)


TENSORS: dict[str, Callable[[], torch.Tensor]] = {
    "meta": lambda: torch.empty(3, 4, device="meta"),
    "complex": lambda: torch.zeros(3, 4, dtype=torch.complex64),
    "conjugate": lambda: torch.zeros(3, 4, dtype=torch.complex64).conj(),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(4), torch.ones(4)]),
}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
@pytest.mark.parametrize("name", TENSORS)
def test_tensors_without_real_numbers_are_refused(name: str) -> None:
    ae = fit(Autoencoder)
    for method in (ae.encode, ae.decode, Autoencoder().fit):
        with pytest.raises(DataError):
            method(TENSORS[name]())


def test_tensors_inside_torch_transforms_are_refused() -> None:
    ae = fit(Autoencoder)
    with pytest.raises(DataError, match="whose values cannot be read"):
        torch.func.vmap(lambda x: torch.from_numpy(ae.encode(x)))(torch.ones(2, 3, 4))


def test_a_tensor_with_a_gradient_is_an_array_like_any_other() -> None:
    ae = fit(Autoencoder)
    assert np.array_equal(ae.encode(torch.tensor(X, requires_grad=True)), ae.encode(X))


def test_the_error_for_an_integer_beyond_floats_names_its_position() -> None:
    ae = fit(Autoencoder)
    with pytest.raises(DataError, match="too large for float32: row 0, column 1"):
        ae.encode([[1, 10**400, 1, 1]])


@pytest.fixture(autouse=True, scope="module")
def _fitted() -> None:
    FITTED.fit(X)
