"""Records: values that print as they are written, travel as JSON, and refuse what cannot be in a sentence."""

from __future__ import annotations

import copy
import inspect
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from isthmus import Autoencoder, AutoencoderClassifier, OutlierDetector, architectures, bottlenecks, optimizers, records
from isthmus.architectures import MLP, Conv, Modules
from isthmus.bottlenecks import Gaussian, Identity, TopK, VectorQuantized
from isthmus.corruptions import GaussianNoise, Occlusion
from isthmus.errors import RecordError
from isthmus.estimators.named_records import record_types
from isthmus.likelihoods import Normal
from isthmus.optimizers import SGD, Adam, AdamW, Cosine, OneCycle
from isthmus.record_overrides import override
from isthmus.records import Record, nearest

GOLDEN = Path(__file__).parent / "golden" / "defaults.json"
WRITTEN = [
    Gaussian(4, beta=0.5),
    TopK(8, k=3),
    VectorQuantized(4, codebook_size=7, decay=0.5),
    MLP((64,), "tanh", decoder_hidden=()),
    Conv((8,), kernel=5, code="map"),
    GaussianNoise(0.25, clip=True, fixed=True),
    Occlusion(0.25, keep="window"),
    Normal("learned"),
    AdamW(1e-3, schedule=OneCycle(warmup=0.5), clip=1.0, betas=(0.5, 0.9)),
    SGD(schedule=Cosine(0.1)),
]


@pytest.mark.parametrize("record", WRITTEN, ids=repr)
def test_the_repr_of_a_record_is_its_constructor(record: Record) -> None:
    assert eval(repr(record), vars(architectures) | vars(bottlenecks) | vars(optimizers) | record_types()) == record


def test_defaults_are_unchanged() -> None:
    """A default that changes changes everybody's models: it is written down, and a change of it is a decision."""
    kinds = [*record_types().values(), Autoencoder, AutoencoderClassifier, OutlierDetector]
    parameters = {kind.__name__: inspect.signature(kind).parameters.items() for kind in kinds}
    defaults = {
        kind: {name: repr(parameter.default) for name, parameter in found if parameter.default is not parameter.empty}
        for kind, found in parameters.items()
    }
    assert defaults == json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.mark.parametrize("record", WRITTEN, ids=repr)
def test_a_record_survives_json_and_copies(record: Record) -> None:
    text = json.dumps(records.describe(record))
    assert records.read(json.loads(text), record_types()) == record
    assert copy.deepcopy(record) == record
    assert hash(copy.deepcopy(record)) == hash(record)


def test_numpy_scalars_become_python_numbers() -> None:
    record = VectorQuantized(np.int64(4), codebook_size=np.int32(9), decay=np.float32(0.5))
    assert record == VectorQuantized(4, codebook_size=9, decay=0.5)
    assert json.loads(json.dumps(records.describe(record)))["codebook_size"] == 9
    assert MLP(np.int64(8)) == MLP((8,))


@pytest.mark.parametrize(
    ("kind", "fields", "sentence"),
    [
        (TopK, {"size": 4, "k": 9}, "TopK: k=9 is larger than size=4"),
        (Gaussian, {"size": 4, "beta": -1}, "Gaussian: invalid beta=-1: expected a number greater than or equal to 0"),
        (Gaussian, {"size": 0}, "Gaussian: invalid size=0: expected a number greater than 0"),
        (Conv, {"kernel": 4}, "Conv: kernel=4 is even; use an odd kernel size"),
        (MLP, {"hidden": (8, 0)}, "MLP: invalid hidden=0: expected a number greater than 0"),
        (TopK, {"size": 4}, "TopK requires k (size, k)"),
        (Identity, {}, "Identity requires size (size, activation)"),
        (Identity, {"sise": 3, "size": 3}, "Identity has no field 'sise'; did you mean size? (size, activation)"),
    ],
)
def test_an_invalid_record_raises_one_sentence(kind: type[Record], fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(RecordError) as caught:
        kind(**fields)
    assert str(caught.value) == sentence


def test_only_registered_records_can_be_read() -> None:
    for text in ("os.system", "Record", "Autoencoder", "isthmus.bottlenecks.Identity", "__class__"):
        with pytest.raises(RecordError, match="no record '"):
            records.read({"type": text}, record_types())
    for data in ({}, {"type": 3}, [], "Identity", None):
        with pytest.raises(RecordError, match="a record is an object with a 'type'"):
            records.read(data, record_types())  # type: ignore[arg-type]


def test_fractions_that_an_optimizer_cannot_take_are_refused_where_they_are_written() -> None:
    for betas in ((1.0, 0.9), (0.9, 1.0)):
        with pytest.raises(RecordError, match="betas"):
            Adam(betas=betas)


def test_nested_parameters_follow_scikit_learn() -> None:
    deep = Adam(schedule=OneCycle()).get_params()
    assert deep["schedule__warmup"] == 0.2
    assert override(Adam(schedule=OneCycle()), {"schedule__warmup": 0.5}) == Adam(schedule=OneCycle(warmup=0.5))


@pytest.mark.parametrize("path", ["nope", "nope__warmup", "lr__warmup", "schedule__nope", "schedule__warmup__deeper"])
def test_a_path_that_leads_nowhere_is_a_record_error(path: str) -> None:
    with pytest.raises(RecordError, match="has no field"):
        override(Adam(schedule=OneCycle()), {path: 1.0})


ODD = [
    10**400,
    10**5000,
    -1,
    1e308,
    math.nan,
    math.inf,
    True,
    "x",
    None,
    1j,
    np.array([1, 2]),
    torch.empty((), device="meta"),
    [],
    object(),
]


@pytest.mark.parametrize(
    "kind", [kind for kind in record_types().values() if kind is not Modules], ids=lambda kind: kind.__name__
)
def test_a_field_accepts_a_value_or_raises_one_short_sentence(kind: type[Record]) -> None:
    for name in records.field_names(kind):
        for value in ODD:
            try:
                made = kind(**{name: value})
            except RecordError as error:
                said = str(error)
            else:
                said = repr(made)
                assert made == made.replace()
            assert len(said) < 600
            assert "\n" not in said


@pytest.mark.parametrize(
    ("word", "best"), [("conv", "convolutional"), ("counst", "counts"), ("tion", "convolutional"), ("Counts", "counts")]
)
def test_the_nearest_name_begins_with_what_was_typed(word: str, best: str) -> None:
    assert nearest(word, ["counts", "convolutional"]).startswith(f"; did you mean {best}? ")
