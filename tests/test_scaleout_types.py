"""Bulk use with columns of unusual types: an export gives the answer of the model itself, or a sentence as it does."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest

import isthmus
from isthmus import errors
from isthmus.data.options import ReadOptions
from isthmus.scaleout.computation import Computation
from isthmus.scaleout.inputs import Rows
from isthmus.scaleout.opening import job_of, open_computation

pytestmark = pytest.mark.thorough  # an export takes seconds

ROWS = 8


def table(rows: int, seed: int) -> pyarrow.Table:
    rng = np.random.default_rng(seed)
    return pyarrow.table(
        {
            "price": rng.normal(5, 1, rows).round(2),
            "rooms": rng.integers(1, 6, rows),
            "region": pyarrow.array(rng.choice(["north", "south"], rows).tolist()),
            "built": rng.integers(0, 9_000, rows).astype("datetime64[D]").astype("datetime64[s]"),
        }
    )


def exported(folder: Path, columns: list[str]) -> Path:
    train = table(200, 0).select(columns)
    net = isthmus.architectures.MLP([4])
    ae = isthmus.Autoencoder(2, architecture=net, epochs=1, missing="allow", random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.IsthmusWarning)  # on the kinds that it finds
        ae.fit(train)
    ae.save(folder / "ae.safetensors")
    ae.export(folder / "exported", parts=["encoder"], X=train)
    return folder / "ae.safetensors"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A model of numbers and one of columns of any kind, each with its export beside it."""
    kinds = {"numbers": ["price", "rooms"], "mixed": ["price", "rooms", "region", "built"]}
    return {kind: exported(tmp_path_factory.mktemp(kind), columns) for kind, columns in kinds.items()}


def computation(model: Path, runtime: Any) -> Computation:
    return open_computation(job_of("encode", model, model.parent / "out", ReadOptions(), runtime=runtime).job)


def codes(model: Path, runtime: Any, given: pyarrow.Table) -> np.ndarray[Any, Any]:
    found = computation(model, runtime).compute(Rows(0, given), "part.parquet")
    return np.stack([np.asarray(found[f"code_{number}"]) for number in range(2)])


def changed(kind: str, name: str, values: Any) -> pyarrow.Table:
    rows = table(ROWS, 1).select(["price", "rooms"] if kind == "numbers" else table(1, 1).column_names)
    return rows.set_column(rows.column_names.index(name), name, values)


PRICES = table(ROWS, 1)["price"].to_pylist()
REGIONS = table(ROWS, 1)["region"].to_pylist()
SAME = {
    "null": ("price", pyarrow.nulls(ROWS)),
    "decimal": ("price", pyarrow.array([None, *(Decimal(str(value)) for value in PRICES[1:])])),
    "wide decimal": ("price", pyarrow.array([Decimal(str(value)) for value in PRICES], pyarrow.decimal256(50, 20))),
    "truth": ("rooms", pyarrow.array([None, True] * (ROWS // 2))),
}
MIXED = SAME | {
    "null text": ("region", pyarrow.nulls(ROWS)),
    "null date": ("built", pyarrow.nulls(ROWS)),
    "bytes": ("region", pyarrow.array([value.encode() for value in REGIONS])),
    "unknown": ("region", pyarrow.array(["west", *REGIONS[1:]])),
}
REFUSED = {
    "lists": ("price", pyarrow.array([[1]] * ROWS)),
    "lists of text": ("region", pyarrow.array([["north"]] * ROWS)),
    "truths for dates": ("built", pyarrow.array([None, True] * (ROWS // 2))),
    "bytes that are no text": ("region", pyarrow.array([b"\xff"] * ROWS)),
}


@pytest.mark.promise(31)
@pytest.mark.parametrize(
    ("kind", "case"), [*(("numbers", case) for case in SAME), *(("mixed", case) for case in MIXED)]
)
def test_an_export_gives_the_answer_of_the_model(kind: str, case: str, models: Mapping[str, Path]) -> None:
    given = changed(kind, *MIXED[case])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = [codes(models[kind], runtime, given) for runtime in ("torch", "onnx")]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-3, atol=1e-4)
    unknown = [text for text in (str(each.message) for each in said) if "did not have" in text and "'west'" in text]
    assert len(unknown) == (2 if case == "unknown" else 0)


@pytest.mark.promise(31)
@pytest.mark.parametrize("runtime", ["torch", "onnx"])
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_value_is_a_sentence(case: str, runtime: str, models: Mapping[str, Path]) -> None:
    name, values = REFUSED[case]
    with pytest.raises(errors.DataError, match=f"column '{name}'"):
        codes(models["mixed"], runtime, changed("mixed", name, values))


@pytest.mark.parametrize("runtime", ["torch", "onnx"])
def test_text_among_numbers_is_a_sentence(runtime: str, models: Mapping[str, Path]) -> None:
    with pytest.raises(errors.DataError, match="column 'price' holds text"):
        codes(models["numbers"], runtime, changed("numbers", "price", pyarrow.array(["1.5"] * ROWS)))


def test_lists_among_categories_are_a_sentence_of_the_estimator(models: Mapping[str, Path]) -> None:
    with pytest.raises(errors.DataError, match="column 'region' holds list<"):
        isthmus.load(models["mixed"]).encode(changed("mixed", "region", pyarrow.array([["north"]] * ROWS)))
