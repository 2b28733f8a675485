"""``field=value`` reaches every field of every record, and says what there is where it does not."""

from __future__ import annotations

import re
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from cases import required
from test_cli import run

from isthmus import (
    Autoencoder,
    AutoencoderClassifier,
    OutlierDetector,
    architectures,
    augmentations,
    bottlenecks,
    corruptions,
    likelihoods,
    optimizers,
    penalties,
    priors,
    scaling,
    schedules,
)
from isthmus.architectures import MLP, Conv
from isthmus.assignments import arguments
from isthmus.bottlenecks import Gaussian, Identity, TopK
from isthmus.corruptions import GaussianNoise
from isthmus.errors import RecordError
from isthmus.estimators.overrides import changed, overridden
from isthmus.likelihoods import Normal
from isthmus.optimizers import SGD, Adam, AdamW, Constant, OneCycle
from isthmus.penalties import DIP, MMD, Contractive
from isthmus.records import Record


def kinds(module: ModuleType) -> list[type[Record]]:
    """All components of a module, but for those whose content is code."""
    return [getattr(module, name) for name in module.__all__ if name != "Modules"]


COMPONENTS = {
    "augmentation": kinds(augmentations),
    "bottleneck": kinds(bottlenecks),
    "bottleneck.prior": kinds(priors),
    "bottleneck.schedule": kinds(schedules),
    "architecture": kinds(architectures),
    "corruption": kinds(corruptions),
    "likelihood": kinds(likelihoods),
    "penalty": kinds(penalties),
    "scaling": kinds(scaling),
    "optimizer": [kind for kind in kinds(optimizers) if hasattr(kind, "build")],
}
REACHED = [
    pytest.param(slot, kind, field.name, id=f"{kind.__name__}.{field.name}")
    for slot, kinds in COMPONENTS.items()
    for kind in kinds
    for field in fields(kind)
]


def typed(value: object) -> str:
    """A value as a person would type it."""
    if isinstance(value, tuple):
        return ",".join(map(typed, value)) + ("," if len(value) == 1 else "") or "()"
    return type(value).__name__ if isinstance(value, Record) else str(value)


@pytest.mark.parametrize(("slot", "kind", "field"), REACHED)
def test_every_field_is_reached(slot: str, kind: type[Record], field: str) -> None:
    names = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    others = {"size": 6, "k": 3, "corruptions": (GaussianNoise(), corruptions.Masking())}  # as their names are read
    larger = {name: value for name, value in others.items() if name in names}
    record = kind(**required(kind) | larger)
    whole, _, inner = slot.partition(".")
    given = Autoencoder(**{whole: Gaussian(4, **{inner: record}) if inner else record})
    reached = attrgetter(slot)
    words = [f"{slot}.{field}={typed(value)}" for value in [getattr(record, field)]]
    if field == "penalties":  # whose weights have no default
        words += [f"{slot}.{field}.{number}.weight=0.1" for number in range(2)]
    assert reached(overridden(given, words)) == record
    changed = {"size": 5, "k": 1, "schedule": "OneCycle", "tied": True, "fixed": True, "weight": 3.5}
    if field in changed:
        value = changed[field]
        ae = overridden(given, [f"{slot}.{field}={value}"])
        assert getattr(reached(ae), field) == (OneCycle() if field == "schedule" else value)


def test_values_are_read_as_they_are_typed() -> None:
    ae = overridden(
        Autoencoder(Gaussian(4), architecture=MLP(), optimizer=AdamW(schedule=OneCycle(), clip=1.0)),
        [
            "bottleneck.beta=4",
            "architecture.hidden=64,32",
            "architecture.activation=tanh",
            "optimizer.lr=1e-2",
            "optimizer.schedule.warmup=0.5",
            "optimizer.betas=0.5, 0.9",
            "optimizer.clip=None",
            "epochs=2.5",
            "warm_start=True",
            "random_state=7",
        ],
    )
    assert ae.bottleneck == Gaussian(4, beta=4)
    assert ae.architecture == MLP((64, 32), "tanh")
    assert ae.optimizer == AdamW(1e-2, schedule=OneCycle(warmup=0.5), betas=(0.5, 0.9))
    assert (ae.epochs, ae.warm_start, ae.random_state) == (2.5, True, 7)


def test_an_empty_list_of_layers_can_be_typed() -> None:
    assert overridden(Autoencoder(), ["architecture.hidden=()"]).architecture == MLP(())
    assert overridden(Autoencoder(), ["architecture.hidden=16"]).architecture == MLP((16,))


def test_replacing_a_record_keeps_the_shared_fields() -> None:
    ae = Autoencoder(Gaussian(7, beta=3), architecture=MLP((8,), "tanh"), optimizer=SGD(0.3, schedule=OneCycle()))
    changed = overridden(ae, ["bottleneck=Identity", "architecture=Conv", "optimizer=Adam", "corruption=GaussianNoise"])
    assert changed.bottleneck == Identity(7)
    assert changed.architecture == Conv(activation="tanh")
    assert changed.optimizer == Adam(0.3, schedule=OneCycle())
    assert changed.corruption == GaussianNoise()
    assert overridden(ae, ["optimizer.schedule=Constant"]).optimizer.schedule == Constant()
    attention = architectures.Attention(activation="tanh")  # whose hidden is one number
    assert overridden(ae, ["architecture=Attention"]).architecture == attention
    assert overridden(ae, ["bottleneck=auto"]).bottleneck == "auto"


def test_the_given_estimator_is_unchanged() -> None:
    ae = Autoencoder(Gaussian(4))
    overridden(ae, ["bottleneck.beta=4", "epochs=3"])
    assert (ae.bottleneck, ae.epochs) == (Gaussian(4), "auto")


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("epoch=3", r"no field 'epoch'; did you mean epochs\?"),
        ("bottleneck.betta=3", r"Gaussian has no field 'betta'; did you mean beta\? \(size, beta, "),
        ("bottleneck.beta.x=3", r"Gaussian.beta is 1.0, which has no field 'x'"),
        ("bottleneck=Gausian", r"did you mean Gaussian\? \(auto, "),
        ("bottleneck=Conv", r"no bottleneck 'Conv'"),
        ("bottleneck.beta=-1", r"Gaussian: invalid beta=-1: expected"),
        ("bottleneck.beta=NaN", r"beta"),
        ("epochs", r"'epochs' is not of the form field=value"),
        ("=3", r"'=3' is not of the form field=value"),
        ("epochs= ", r"epochs= has no value: expected for example epochs=5"),
        ("epochs=-1", r"'epochs' parameter"),
        ("epochs=many", r"'epochs' parameter"),
        ("optimizer.schedule=Conv", r"schedule"),
    ],
)
def test_invalid_fields_raise_one_sentence(assignment: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        overridden(Autoencoder(Gaussian(4), optimizer=Adam()), [assignment])


@pytest.mark.parametrize("slot", ["bottleneck", "likelihood"])
def test_an_integer_of_thousands_of_digits_raises_one_sentence(slot: str) -> None:
    with pytest.raises(RecordError, match=f"no {slot} 'an integer with thousands of digits'"):
        changed(Autoencoder(), {slot: 10**5000})
    assert changed(Autoencoder(), {"bottleneck": "007"}).bottleneck == Identity(7)


def test_a_learned_or_a_fixed_scale_can_be_typed() -> None:
    ae = Autoencoder(likelihood=Normal())
    assert overridden(ae, ["likelihood.scale=learned"]).likelihood == Normal("learned")
    assert overridden(ae, ["likelihood.scale=0.5"]).likelihood == Normal(0.5)


@pytest.mark.parametrize("start", ["auto", Identity(8)], ids=repr)
def test_a_record_with_needed_fields_can_be_chosen(start: Identity | str) -> None:
    assignments = ["bottleneck=TopK", "bottleneck.size=8", "bottleneck.k=2"]
    assert overridden(Autoencoder(start), assignments).bottleneck == TopK(8, k=2)  # type: ignore[arg-type]


def test_fields_of_detectors_and_classifiers_are_set_and_their_autoencoder_stays() -> None:
    """A field of an "auto" component starts from what "auto" is there: 1e-3 when a classifier trains all."""
    ae = Autoencoder(epochs=1)
    classifier = overridden(AutoencoderClassifier(ae, epochs=3), ["optimizer.schedule=Constant", "frozen=true"])
    assert classifier.autoencoder is ae
    assert (classifier.optimizer, classifier.frozen) == (AdamW(1e-3, schedule=Constant()), True)
    assert classifier.epochs == 3
    detector = overridden(OutlierDetector(ae), ["contamination=0.2"])
    assert detector.autoencoder is ae
    assert detector.contamination == 0.2
    with pytest.raises(RecordError, match=r"no field 'size'; there are anomaly_score, "):
        overridden(OutlierDetector(), ["size=3"])
    with pytest.raises(
        RecordError, match=r"'n' is not of the form field=value: expected for example contamination=0\.1"
    ):
        overridden(OutlierDetector(), ["n"], "contamination=0.1")


def test_an_integer_of_numpy_is_a_size() -> None:
    assert changed(Autoencoder(), {"bottleneck": np.int64(3)}).bottleneck == Identity(3)


def test_a_field_given_twice_is_refused_wherever_fields_are_given(tmp_path: Path) -> None:
    """Otherwise the last one wins in silence, and a person looks for the effect of the first."""
    for words in (["epochs=3", "epochs=4"], ["epochs=3", " epochs = 3"]):
        with pytest.raises(RecordError, match=r"epochs is given twice, as 3 and as [34]: give it once"):
            overridden(Autoencoder(), words)
    with pytest.raises(RecordError, match="n is given twice, as 1 and as 2: give it once"):
        arguments({"drawing": lambda n: n}, ["n=1", "n=2"])
    for word, said in (("n", "'n' is not of the form field=value"), ("n=", "n= has no value")):
        with pytest.raises(RecordError, match=said):
            arguments({"drawing": lambda n: n}, [word])
    refused = run("train", "epochs=1,2", "epochs=3", cwd=tmp_path)
    assert (refused.returncode, list(tmp_path.iterdir())) == (2, [])
    assert "epochs is given twice" in refused.stderr


def test_the_terms_of_a_sum_are_given_by_their_names_and_weights() -> None:
    weights = ["penalty.penalties.0.weight=10", "penalty.penalties.1.weight=0.1"]
    words = ["penalty=Sum", "penalty.penalties=MMD,Contractive", *weights, "penalty.penalties.0.kernel=rbf"]
    total = MMD(10, kernel="rbf") + Contractive(0.1)
    for start in (Autoencoder(), Autoencoder(penalty=DIP(3)), Autoencoder(penalty=DIP(3) + DIP(4))):
        assert overridden(start, words).penalty == total
    again = overridden(Autoencoder(penalty=DIP(3) + DIP(4)), words[1:])  # other terms of the sum there is
    assert again.penalty == total
    switched = overridden(Autoencoder(penalty=total), ["penalty.penalties.1=DIP", "penalty.penalties.1.version=I"])
    assert switched.penalty == MMD(10, kernel="rbf") + DIP(0.1, version="I")  # the weight is kept
    for given in (words[:3], words[:2]):
        number = len(given) - 2
        sentence = rf"requires weight: give penalty\.penalties\.{number}\.weight=\.\.\. too"
        with pytest.raises(RecordError, match=sentence):
            overridden(Autoencoder(), given)


def test_the_records_of_a_chain_are_given_by_their_names_and_positions() -> None:
    words = [
        "corruption=CorruptionChain",
        "corruption.corruptions=GaussianNoise,Masking",
        "corruption.corruptions.0.std=0.3",
    ]
    chain = overridden(Autoencoder(), words).corruption
    assert chain == GaussianNoise(0.3) >> corruptions.Masking()
    again = overridden(Autoencoder(corruption=chain), ["corruption.corruptions.1=BlindSpots", "corruption.fixed=true"])
    assert again.corruption == (GaussianNoise(0.3) >> corruptions.BlindSpots(0.5)).replace(
        fixed=True
    )  # the rate is kept
    for given, sentence in (
        ("GaussianNoise,Gausian", "no record 'Gausian'; did you mean GaussianNoise?"),
        ("GaussianNoise,MLP", "no record 'MLP'; there are BlindSpots, Clean"),
        ("[1],2", "CorruptionChain: invalid corruptions"),
    ):
        with pytest.raises(RecordError, match=f"^{re.escape(sentence)}"):
            overridden(Autoencoder(), [*words[:1], f"corruption.corruptions={given}"])
