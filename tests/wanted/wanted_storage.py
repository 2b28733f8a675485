"""The model file: whole or not there, and a sentence that names it whatever is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch

from isthmus import Autoencoder, load
from isthmus.architectures import MLP
from isthmus.bottlenecks import TopK
from isthmus.errors import ModelFileError
from isthmus.optimizers import Adam, OneCycle


@pytest.fixture(scope="module")
def fitted() -> Autoencoder:
    X = np.random.default_rng(0).random((40, 6), np.float32)
    optimizer = Adam(schedule=OneCycle(warmup=0.5))
    return Autoencoder(TopK(4, k=2), architecture=MLP((8,)), optimizer=optimizer, epochs=2, random_state=0).fit(X)


@pytest.fixture
def path(fitted: Autoencoder, tmp_path: Path) -> Path:
    fitted.save(tmp_path / "some model.safetensors")
    return tmp_path / "some model.safetensors"


def parts(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Our part of the header, and the tensors, read without our reader."""
    with safetensors.safe_open(path, "pt") as file:
        return json.loads(file.metadata()["isthmus"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def put(path: Path, header: Any, tensors: dict[str, torch.Tensor]) -> None:
    path.write_bytes(safetensors.torch.save(tensors, {"isthmus": json.dumps(header)}))


def refused(path: Path) -> str:
    """The sentence with which a file is refused; it names the file, and fits on a line."""
    with pytest.raises(ModelFileError) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


WRONG: dict[str, list[object]] = {
    "shape": [0, -1, None, "a", [], {}, [-1], [0], [7], ["a"], [6.5], [1e400]],
    "seed": ["a", None, -1, 1.5, []],
    "history": [None, 5, [1], [{}], "x"],
    "columns": [5, {}, "abc", ["a"], [1, 2, 3, 4, 5, 6]],
    "parameters": [None, [], {"nope": 1}, {"bottleneck": 5}, {"bottleneck": {"type": "Adam"}}, {"epochs": "many"}],
    "fitted": [None, {}, [], 5],
}


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in WRONG.items() for value in values], ids=repr
)
def test_a_header_that_does_not_agree_with_itself_is_refused(key: str, value: object, path: Path) -> None:
    header, tensors = parts(path)
    put(path, header | {key: value}, tensors)
    refused(path)
    header.pop(key)
    put(path, header, tensors)
    refused(path)


@pytest.mark.parametrize("slot", ["bottleneck", "architecture", "corruption", "likelihood", "scaling", "optimizer"])
@pytest.mark.parametrize(
    "value", [None, 5, {}, {"type": "os.system"}, {"type": "Constant"}, {"type": "Modules"}], ids=repr
)
def test_a_record_in_the_wrong_place_is_refused(slot: str, value: object, path: Path) -> None:
    header, tensors = parts(path)
    header["fitted"][slot] = value
    put(path, header, tensors)
    refused(path)


def test_an_unknown_entry_is_refused_by_its_name(path: Path) -> None:
    header, tensors = parts(path)
    put(path, header | {"surprise": 1}, tensors)
    assert "surprise" in refused(path)


Change = Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
TENSORS: dict[str, tuple[Change, str]] = {
    "missing": (lambda held: {name: t for name, t in held.items() if name != "encoder.1.bias"}, r"encoder\.1\.bias"),
    "more": (lambda held: held | {"../../x": torch.zeros(3)}, r"\.\./\.\./x"),
    "shape": (lambda held: held | {"encoder.1.bias": torch.zeros(9)}, r"encoder\.1\.bias"),
    "shift": (lambda held: held | {"shift": torch.zeros(7)}, r"shift"),
    "type": (lambda held: held | {"encoder.1.bias": held["encoder.1.bias"].to(torch.int32)}, r"encoder\.1\.bias"),
    "nan": (lambda held: held | {"encoder.1.bias": held["encoder.1.bias"] * float("nan")}, r"encoder\.1\.bias"),
}


@pytest.mark.parametrize("change", TENSORS)
def test_tensors_that_are_not_the_records_are_refused_by_name(change: str, path: Path) -> None:
    header, tensors = parts(path)
    changed, name = TENSORS[change]
    put(path, header, changed(tensors))
    with pytest.raises(ModelFileError, match=name):
        load(path)


def test_a_files_sizes_cannot_make_us_allocate(path: Path) -> None:
    header, tensors = parts(path)
    header["fitted"]["architecture"]["hidden"] = [10**12]  # 24 TB, which the file does not hold
    put(path, header, tensors)
    assert "memory" not in refused(path)


def test_a_loaded_one_can_be_trained_and_fitted_again(path: Path) -> None:
    X = np.random.default_rng(1).random((40, 6), np.float32)
    again = load(path)
    before = again.score(X)
    for _ in range(20):
        again.partial_fit(X)
    assert again.score(X) > before
    assert [report.epoch for report in again.history_] == list(range(1, 23))
    assert len(again.fit(X).history_) == 2


def test_a_missing_folder_is_named(fitted: Autoencoder, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere") as caught:
        fitted.save(tmp_path / "nowhere" / "model.safetensors")
    assert ".part" not in str(caught.value)
