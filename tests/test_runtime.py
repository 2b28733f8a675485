"""The runtime without PyTorch: the same results as the live model, the same bits in any grouping, and a sentence for what is wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars
import pytest

import isthmus.runtime
from isthmus.errors import DataError, ModelFileError, NotPossibleError, RecordError

FOLDER = Path(__file__).parent / "files" / "exported-1"
sys.path.insert(0, str(FOLDER.parent))
from write_export import columns  # noqa: E402

MODEL = isthmus.runtime.load(FOLDER, threads=1)


def expected(name: str) -> np.ndarray[Any, Any]:
    """What the live model gave."""
    with np.load(FOLDER.with_suffix(".npz")) as file:
        values: np.ndarray[Any, Any] = file[name]
    return values


def frame() -> pd.DataFrame:
    return pd.DataFrame(columns())


@pytest.mark.promise(31)
@pytest.mark.parametrize("table", [columns(), frame(), polars.DataFrame(frame())], ids=["arrays", "pandas", "polars"])
def test_results_are_those_of_the_live_model(table: Any) -> None:
    np.testing.assert_allclose(MODEL.encode(table), expected("codes"), rtol=0, atol=1e-5)
    np.testing.assert_allclose(MODEL.score_samples(table), expected("scores"), rtol=1e-5)
    found = MODEL.detect(table)
    np.testing.assert_allclose(found.scores, expected("detected"), rtol=0, atol=1e-5)
    assert np.abs(found.p_values - expected("p_values")).max() < 1.01 / 13  # one rank, by rounding
    assert np.array_equal(found.anomalous, expected("anomalous"))
    complete = MODEL.impute(table)
    assert type(complete) is type(table)
    assert list(complete) == ["x", "n", "kind", "big", "day"] if isinstance(table, dict | pd.DataFrame) else True
    np.testing.assert_allclose(np.asarray(complete["x"]), expected("x"), rtol=1e-5)
    for name in ("n", "kind", "day"):
        assert (np.asarray(complete[name]) == expected(name)).all(), name


@pytest.mark.promise(31)
def test_rows_have_the_same_bits_in_any_grouping() -> None:
    table = frame()
    whole = MODEL.encode(table), MODEL.score_samples(table), MODEL.detect(table).scores
    for size in (1, 7, 32):
        parts = [table[begin : begin + size] for begin in range(0, 60, size)]
        for values, method in zip(
            whole, (MODEL.encode, MODEL.score_samples, lambda X: MODEL.detect(X).scores), strict=True
        ):
            assert np.array_equal(np.concatenate([method(part) for part in parts]), values), size


def test_frames_keep_their_index() -> None:
    table = frame().set_axis(range(100, 160))
    assert list(MODEL.reconstruct(table).index) == list(range(100, 160))


@pytest.mark.promise(31)
def test_codes_are_decoded() -> None:
    made, again = MODEL.decode(expected("codes")), MODEL.reconstruct(columns())
    assert made.keys() == again.keys()
    assert made["day"].dtype == np.dtype("datetime64[us]")
    assert np.array_equal(made["kind"], again["kind"])
    with pytest.raises(DataError, match=r"codes have the shape \(3,\), and those of the model have \(2,\)"):
        MODEL.decode(np.zeros((4, 3)))
    with pytest.raises(DataError, match="is nan, which the model does not allow"):
        MODEL.decode(np.full((4, 2), np.nan, np.float32))


def test_neither_pytorch_nor_another_large_package_is_imported() -> None:
    program = f"""
import sys
import isthmus.runtime
model = isthmus.runtime.load({str(FOLDER)!r})
model.decode([[0.0, 0.0]])
print(sorted(set(sys.modules) & {{"torch", "sklearn", "scipy", "pandas", "pyarrow", "pydantic", "matplotlib", "onnx"}}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="kind"), "no column kind, which the training data had: add it"),
        (lambda table: table.assign(x="many"), "column 'x' holds values that are no numbers"),
        (lambda table: table.assign(x=np.inf), "column 'x' has an infinite value"),
        (lambda table: table.assign(n=1.5), "column 'n' holds values that are no integer values"),
        (lambda table: table.assign(big=3), "column 'big' holds values that are no boolean values"),
        (lambda table: table.assign(day="soon"), "column 'day' holds values that are no dates"),
    ],
)
def test_a_table_that_does_not_fit_is_an_error(change: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        MODEL.encode(change(frame()))


def test_unknown_categories_are_missing_with_a_warning() -> None:
    with pytest.warns(
        UserWarning, match="column 'kind' has categories that training did not have, taken as missing: 'down'"
    ):
        codes = MODEL.encode(frame().assign(kind="down"))
    assert np.array_equal(codes, MODEL.encode(frame().assign(kind=None)))


@pytest.mark.promise(31)
def test_damaged_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"is no exported folder, as it has no isthmus\.json"):
        isthmus.runtime.load(tmp_path)
    copied = Path(shutil.copytree(FOLDER, tmp_path / "copy"))
    content = bytearray((copied / "encoder.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (copied / "encoder.onnx").write_bytes(bytes(content))
    with pytest.raises(ModelFileError, match=r"encoder\.onnx is damaged, or from another export"):
        isthmus.runtime.load(copied).encode(columns())
    described = json.loads((copied / "isthmus.json").read_text())
    for changes, message in [
        ({"format": 2}, "format 2 is newer than 1"),
        ({"parts": {"encoder": described["parts"]["encoder"] | {"file": "../encoder.onnx"}}}, "is damaged"),
        ({"shape": "wide"}, "is damaged"),
        ({"parts": 3}, "is damaged"),
        ({"shape": [float("inf")]}, "is damaged"),
    ]:
        (copied / "isthmus.json").write_text(json.dumps(described | changes))
        with pytest.raises(ModelFileError, match=message):
            isthmus.runtime.load(copied)


@pytest.mark.promise(31)
def test_files_that_are_not_as_described_are_refused(tmp_path: Path) -> None:
    copied = Path(shutil.copytree(FOLDER, tmp_path / "copy"))
    described = json.loads((copied / "isthmus.json").read_text())
    decoder, codes = described["parts"]["decoder"], np.zeros((4, 3))
    for changes, message in [
        ({"dtype": "float64", "shape": [3]}, "has other inputs or outputs than its description says"),
        ({"dtype": "float32", "shape": [3]}, r"decoder\.onnx cannot be run: .*Expected: 2"),
    ]:
        decoder["inputs"][0] |= changes
        (copied / "isthmus.json").write_text(json.dumps(described))
        with pytest.raises(ModelFileError, match=message):
            isthmus.runtime.load(copied).decode(codes)


@pytest.mark.parametrize("threads", [0, -1, "2"])
def test_a_number_of_threads_is_checked(threads: Any) -> None:
    with pytest.raises(RecordError, match="give a whole number of at least 1, or None"):
        isthmus.runtime.load(FOLDER, threads=threads)


def test_a_part_that_is_not_there_is_named(tmp_path: Path) -> None:
    copied = Path(shutil.copytree(FOLDER, tmp_path / "copy"))
    described = json.loads((copied / "isthmus.json").read_text())
    del described["parts"]["impute"]
    (copied / "isthmus.json").write_text(json.dumps(described))
    with pytest.raises(NotPossibleError, match="no part 'impute', only encoder, decoder, reconstruct, score, detect"):
        isthmus.runtime.load(copied).impute(columns())


def test_an_exported_folder_given_as_a_run_is_said_to_be_one() -> None:
    done = subprocess.run([sys.executable, "-m", "isthmus", "encode", FOLDER], capture_output=True, text=True)
    assert done.returncode == 1
    assert "is an exported folder, without model.safetensors" in done.stderr
