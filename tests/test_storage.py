"""The model file: whole or not there, and a sentence that names it whatever is wrong with it."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import os
import stat
import struct
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from isthmus import Autoencoder, AutoencoderClassifier, OutlierDetector, data, load
from isthmus.architectures import MLP, Conv, Modules
from isthmus.bottlenecks import Gaussian, Identity, TopK, VectorQuantized
from isthmus.data import as_examples
from isthmus.errors import DivergenceError, IsthmusWarning, ModelFileError
from isthmus.estimators.model_file import FORMAT
from isthmus.io.safetensors import serialize
from isthmus.likelihoods import Normal
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
        return json.loads(file.metadata()["isthmus"]), {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118


def put(path: Path, header: Any, tensors: dict[str, torch.Tensor]) -> None:
    path.write_bytes(b"".join(serialize({"isthmus": json.dumps(header)}, tensors)))


def refused(path: Path) -> str:
    """The sentence with which a file is refused; it names the file, and fits on a line."""
    with pytest.raises(ModelFileError) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_truncated_anywhere_is_refused(path: Path) -> None:
    content = path.read_bytes()
    header = 8 + struct.unpack("<Q", content[:8])[0]
    lengths = [*range(0, header, 97), header - 1, header, *range(header + 1, len(content), 211), len(content) - 1]
    for length in lengths:
        path.write_bytes(content[:length])
        refused(path)


def test_a_file_with_any_bit_of_its_header_flipped_is_refused_or_sound(path: Path) -> None:
    content, choice = path.read_bytes(), np.random.default_rng(0)
    header = 8 + struct.unpack("<Q", content[:8])[0]
    for place in [*range(8), *choice.integers(8, header, 150)]:
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(choice.integers(8))
        path.write_bytes(bytes(damaged))
        with contextlib.suppress(ModelFileError):  # some bits, such as those of the history, may be either way
            load(path)


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 100, b"PK\x03\x04" + b"x" * 50, b"\xff" * 64, b"\x80\x04\x95cos\nsystem\n"]
)
def test_garbage_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    assert "damaged or not a model file" in refused(tmp_path / "x")


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(safetensors.torch.save({"w": torch.zeros(2)}, {"format": "pt"}))
    assert "isthmus did not write it" in refused(tmp_path / "x")


@pytest.mark.promise(4)
@pytest.mark.parametrize("other", [FORMAT + 1, 0, "1", None])
def test_another_format_is_refused(other: object, path: Path) -> None:
    header, tensors = parts(path)
    put(path, header | {"format": other}, tensors)
    assert f"has format {str(other)!r}, and this isthmus reads the formats up to {FORMAT}" in refused(path)


def test_a_missing_file_or_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no model file at"):
        load(tmp_path / "nothing.safetensors")
    with pytest.raises(FileNotFoundError, match="no model file at"):
        load(tmp_path)  # a folder without a model
    os.mkfifo(tmp_path / "pipe")
    assert "is not a file" in refused(tmp_path / "pipe")


WRONG: dict[str, list[object]] = {
    "shape": [0, -1, None, "a", [], {}, [-1], [0], [7], ["a"], [6.5], [1e400]],
    "seed": ["a", None, -1, 1.5, []],
    "statistics": [None, 5, [1], [{}], "x", ["kl"]],
    "parameters": [None, [], {"nope": 1}, {"bottleneck": -5}, {"bottleneck": {"type": "Adam"}}, {"epochs": "many"}],
    "fitted": [None, {}, [], 5],
}


Change = Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
TENSORS: dict[str, tuple[Change, str]] = {
    "missing": (lambda held: {name: t for name, t in held.items() if name != "encoder.1.bias"}, r"encoder\.1\.bias"),
    "more": (lambda held: held | {"../../x": torch.zeros(3)}, r"\.\./\.\./x"),
    "shape": (lambda held: held | {"encoder.1.bias": torch.zeros(9)}, r"encoder\.1\.bias"),
    "shift": (lambda held: held | {"shift": torch.zeros(7)}, r"shift"),
    "type": (lambda held: held | {"encoder.1.bias": held["encoder.1.bias"].to(torch.int32)}, r"encoder\.1\.bias"),
    "history": (
        lambda held: held | {"history": torch.zeros(2, 3, dtype=torch.float64)},
        r"history is float64 \(2, 3\)",
    ),
    "no history": (lambda held: {name: t for name, t in held.items() if name != "history"}, r"it has no .*history"),
    "epoch": (lambda held: held | {"history": held["history"] + 0.5}, r"the history has an invalid epoch: 1\.5"),
    "lacks": (
        lambda held: held | {"history.there": held["history.there"] & False},
        r"the history has an invalid epoch: None",
    ),
    "columns": (lambda held: held | {"columns": torch.tensor([34, 34], dtype=torch.uint8)}, r"columns has 1 names"),
    "costs": (lambda held: held | {"costs.nll": torch.zeros(3)}, r"costs\.nll"),
    "nan": (lambda held: held | {"encoder.1.bias": held["encoder.1.bias"] * float("nan")}, r"encoder\.1\.bias"),
}


COSTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "another length": lambda t: torch.zeros(len(t) + 1, dtype=torch.float64),
    "another type": lambda t: t.float(),
    "two axes": lambda t: t[:, None],
    "no axis": lambda t: t.sum(),
}


@pytest.mark.promise(4)
@pytest.mark.parametrize("name", ["costs.nll", "costs.penalty"])
@pytest.mark.parametrize("kind", COSTS)
def test_impossible_losses_in_a_history_are_refused_by_name(kind: str, name: str, tmp_path: Path) -> None:
    ae = Autoencoder(TopK(4, k=2), architecture=MLP((8,)), epochs=3, batch_size=8, random_state=0)
    reports = ae.iter_fit(np.random.default_rng(0).random((40, 6), np.float32), every=2)
    next(reports)
    ae.checkpoint(tmp_path / "x")
    reports.close()
    header, tensors = parts(tmp_path / "x")
    changed = tensors | {name: COSTS[kind](tensors[name])}
    if name == "costs.nll" and kind == "two axes":  # so that all agree
        changed = {other: t[:, None] if other in {name, "costs.penalty"} else t for other, t in tensors.items()}
    put(tmp_path / "x", header, changed)
    assert "costs." in refused(tmp_path / "x")


@pytest.mark.promise(1)
def test_loading_executes_nothing(path: Path) -> None:
    load(path)  # what is imported lazily is there now
    seen: list[str] = []
    listening = True

    def hear(event: str, arguments: tuple[object, ...]) -> None:
        if listening and event in {"exec", "compile", "import", "os.system", "subprocess.Popen", "pickle.find_class"}:
            seen.append(f"{event} {arguments[0]!r}")

    sys.addaudithook(hear)
    try:
        load(path)
    finally:
        listening = False
    assert not [event for event in seen if "pickle" in event or event.startswith(("exec", "os.", "subprocess"))]


def test_chosen_components_are_restored(fitted: Autoencoder, path: Path) -> None:
    again = load(path, device="cpu")
    for name in ("bottleneck_", "architecture_", "corruption_", "likelihood_", "scaling_", "optimizer_", "shape_"):
        assert getattr(again, name) == getattr(fitted, name)
    assert (again.code_shape_, again.n_parameters_, again.n_features_in_) == ((4,), fitted.n_parameters_, 6)
    assert again.history_ == fitted.history_
    assert again.seconds_ == fitted.seconds_
    assert not again.model_.training


def test_numpy_scalars_can_be_saved(tmp_path: Path) -> None:
    X = np.random.default_rng(1).random((40, 6), np.float32)
    ae = Autoencoder(Identity(np.int64(2)), batch_size=np.int64(8), tol=np.float32(0.5), random_state=np.int64(1))  # type: ignore[arg-type]
    ae.set_params(epochs=np.float64(1.5), warm_start=np.bool_(True)).fit(X).save(tmp_path / "model.safetensors")
    assert load(tmp_path).get_params()["batch_size"] == 8


def test_column_names_are_restored(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(np.random.default_rng(1).random((40, 3)), columns=["a", "b", "ü"])
    ae = Autoencoder(epochs=1).fit(frame)
    ae.save(tmp_path / "model.safetensors")
    assert load(tmp_path).feature_names_in_.tolist() == ["a", "b", "ü"]


def test_own_modules_have_to_be_given(digits: data.Dataset, tmp_path: Path) -> None:
    X = digits.train[:40].reshape(40, -1)
    own = Modules(nn.Linear(64, 2), nn.Linear(2, 64))
    ae = Autoencoder(Identity(2), architecture=own, epochs=1).fit(X)
    ae.save(tmp_path / "model.safetensors")
    assert "architecture=Modules(encoder, decoder)" in refused(tmp_path / "model.safetensors")
    other = Modules(nn.Linear(64, 2), nn.Linear(2, 64))
    np.testing.assert_array_equal(load(tmp_path, architecture=other).encode(X), ae.encode(X))


@pytest.mark.promise(7)
@pytest.mark.parametrize("broken", ["os.replace", "os.fsync"])
def test_a_failed_write_leaves_only_the_old_file(
    broken: str, fitted: Autoencoder, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, there = path.read_bytes(), sorted(path.parent.iterdir())

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(broken, fail)
    with pytest.raises(OSError, match="No space left on device"):
        fitted.save(path)
    assert path.read_bytes() == before
    assert sorted(path.parent.iterdir()) == there


def test_saving_is_atomic_and_the_file_is_readable_by_others(path: Path, fitted: Autoencoder) -> None:
    umask = os.umask(0o022)
    try:
        other = Autoencoder(Gaussian(2), epochs=1, random_state=0).fit(np.random.default_rng(0).random((40, 6)))
        other.save(path)
    finally:
        os.umask(umask)
    assert load(path).bottleneck_ == Gaussian(2)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.promise(8)
def test_equal_models_have_identical_files(path: Path, tmp_path: Path) -> None:
    load(path).save(tmp_path / "again")
    one, other = path.read_bytes(), (tmp_path / "again").read_bytes()
    assert one == other


@pytest.mark.promise(2)
@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in WRONG.items() for value in values], ids=repr
)
def test_a_contradictory_header_is_refused(key: str, value: object, path: Path) -> None:
    header, tensors = parts(path)
    put(path, header | {key: value}, tensors)
    refused(path)
    if key != "statistics":  # without any it is right
        header.pop(key)
        put(path, header, tensors)
        refused(path)


@pytest.mark.promise(1)
@pytest.mark.parametrize("slot", ["bottleneck", "architecture", "corruption", "likelihood", "scaling", "optimizer"])
@pytest.mark.parametrize(
    "value", [None, 5, {}, {"type": "os.system"}, {"type": "Constant"}, {"type": "Modules"}], ids=repr
)
def test_a_record_in_the_wrong_place_is_refused(slot: str, value: object, path: Path) -> None:
    header, tensors = parts(path)
    header["fitted"][slot] = value
    put(path, header, tensors)
    refused(path)


@pytest.mark.promise(4)
def test_an_unknown_key_is_refused_by_name(path: Path) -> None:
    header, tensors = parts(path)
    put(path, header | {"surprise": 1}, tensors)
    assert "surprise" in refused(path)


@pytest.mark.promise(4)
def test_unknown_metadata_are_refused_by_name(path: Path) -> None:
    header, tensors = parts(path)
    path.write_bytes(b"".join(serialize({"isthmus": json.dumps(header), "surprise": "1"}, tensors)))
    assert "surprise is unknown" in refused(path)
    put(path, header | {"round": {"surprise": 1}}, tensors)
    assert "surprise is unknown" in refused(path)


@pytest.mark.promise(4)
@pytest.mark.parametrize("change", TENSORS)
def test_tensors_that_do_not_fit_the_configuration_are_refused_by_name(change: str, path: Path) -> None:
    header, tensors = parts(path)
    changed, name = TENSORS[change]
    put(path, header, changed(tensors))
    with pytest.raises(ModelFileError, match=name):
        load(path)


HUGE: dict[str, dict[str, Any]] = {  # terabytes, which the file does not hold
    "hidden": {"architecture": {"type": "MLP", "hidden": [10**12]}},
    "channels": {"architecture": {"type": "Conv", "channels": [10**6, 10**6]}},
    "entries": {"bottleneck": {"type": "VectorQuantized", "size": 4, "codebook_size": 10**12}},
    "size": {"bottleneck": {"type": "Identity", "size": 10**12}},
}


@pytest.mark.promise(3)
@pytest.mark.parametrize("name", HUGE)
def test_sizes_in_a_file_cause_no_large_allocation(name: str, path: Path) -> None:
    header, tensors = parts(path)
    header["fitted"] |= HUGE[name]
    put(path, header, tensors)
    _, before = tracemalloc.start(), tracemalloc.get_traced_memory()[1]
    sentence = refused(path)
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert "allocate" not in sentence
    assert peak < 2**24


def test_a_shape_in_a_file_causes_no_large_allocation(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).random((10, 8, 8))
    ae = Autoencoder(Identity(2), architecture=Conv((2,), code="map"), kind="images", epochs=1)
    ae.fit(pictures).save(tmp_path / "x")
    header, tensors = parts(tmp_path / "x")
    put(tmp_path / "x", header | {"shape": [10**6, 10**6]}, tensors)
    assert load(tmp_path / "x").code_shape_ == (250_000, 250_000, 2)  # the same weights suit any picture


def test_values_that_are_not_finite_are_not_saved(fitted: Autoencoder, path: Path) -> None:
    broken, before = copy.deepcopy(fitted), path.read_bytes()
    with torch.no_grad():
        next(broken.model_.parameters())[0, 0] = float("inf")
    with pytest.raises(DivergenceError, match=r"encoder\.1\.weight is not finite"):
        broken.save(path)
    assert path.read_bytes() == before


def test_a_history_may_hold_any_figure(fitted: Autoencoder, tmp_path: Path) -> None:
    odd, first = (
        copy.deepcopy(fitted),
        replace(fitted.history_[0], val_loss=float("nan"), stats={"ratio": float("inf")}),
    )
    assert odd._fitted is not None
    odd._fitted = replace(odd._fitted, history=(first, *odd.history_[1:]))
    odd.save(tmp_path / "x")
    first, second = load(tmp_path / "x").history_
    assert math.isnan(first.val_loss or 0)
    assert first.stats == {"ratio": float("inf")}
    assert second == odd.history_[1]


def test_a_loaded_model_can_be_trained_and_fitted_again(path: Path) -> None:
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


FILES = Path(__file__).parent / "files"


@pytest.mark.promise(8)
@pytest.mark.filterwarnings("ignore:the checkpoint was written with:isthmus.errors.IsthmusWarning")
@pytest.mark.parametrize("file", sorted(FILES.glob("*.safetensors")), ids=lambda file: file.stem)
def test_files_of_every_format_load_and_give_the_same_results(file: Path, tmp_path: Path) -> None:
    table = np.sin(np.arange(60)[:, None] * np.array([0.1, 0.7, 1.3, 2.9, 0.01, 5.1])).astype(np.float32)
    pictures = np.abs(np.sin(np.arange(60 * 64).reshape(60, 8, 8) * 0.37)).astype(np.float32)
    if "missing" in file.stem:
        table[np.arange(60), np.arange(60) * 7 % 6] = np.nan
    if "ties" in file.stem:
        table = table.round()
    X, then = pictures if "pictures" in file.stem else table, np.load(file.with_suffix(".npy"))
    ae: Any = load(file)
    if "mixed" in file.stem:
        days = (np.datetime64("2020-01-01") + np.arange(60) * 37).astype("datetime64[ms]")
        kinds = np.array(["left", "right", "up"])[np.arange(60) % 3]
        frame = pyarrow.table({"x": np.sin(np.arange(60) * 0.3), "n": np.arange(60) % 7, "kind": kinds, "day": days})
        X = as_examples(frame, kinds={"kind": "category"})  # type: ignore[assignment]  # not an array
        assert ae.reconstruct(frame).schema.names == frame.schema.names
    if isinstance(ae, OutlierDetector | AutoencoderClassifier):
        around, detects = ae, isinstance(ae, OutlierDetector)
        given = around.decision_function(X) if detects else around.predict_proba(X)
        np.testing.assert_allclose(given, then, rtol=1e-4, atol=1e-4)
        assert detects or around.classes_.tolist() == ["02134", "left", "right"]
        around.save(tmp_path / "x")
        load(tmp_path / "x").save(tmp_path / "y")
        assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()
        assert not file.stem.startswith(f"format-{FORMAT}-") or (tmp_path / "x").read_bytes() == file.read_bytes()
        return
    if "checkpoint" in file.stem:
        ae.resume(X)
    np.testing.assert_allclose(ae.reconstruct(X), then, rtol=1e-4, atol=1e-5)
    assert [report.epoch for report in ae.history_] == list(range(1, len(ae.history_) + 1))
    ae.save(tmp_path / "x")
    again = load(tmp_path / "x")
    np.testing.assert_array_equal(again.reconstruct(X), ae.reconstruct(X))
    assert again.history_ == ae.history_


@pytest.mark.promise(8)
@given(seed=st.integers(0, 2**31 - 1))
@settings(max_examples=20, deadline=None)
@pytest.mark.parametrize(
    "choices",
    [
        {"bottleneck": Gaussian(2), "precision": "float64"},
        {"bottleneck": VectorQuantized(2, codebook_size=4)},
        {"bottleneck": Identity(2), "architecture": Conv((3,), code="map")},
        {"bottleneck": TopK(4, k=2), "likelihood": Normal("learned")},
    ],
    ids=str,
)
def test_a_reloaded_model_is_bit_identical(
    choices: dict[str, Any], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng, path = np.random.default_rng(seed), tmp_path_factory.getbasetemp() / "again"
    X = rng.random((20, 6, 5) if "architecture" in choices else (20, 6))
    ae = Autoencoder(**{"architecture": MLP((5,))} | choices, epochs=1, random_state=seed).fit(X)
    ae.save(path)
    again = load(path)
    for method in ("encode", "reconstruct", "score_samples"):
        np.testing.assert_array_equal(getattr(again, method)(X), getattr(ae, method)(X))
    assert again.get_params() == ae.get_params()


def test_a_shortened_history_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).normal(size=(20, 3))
    ae = Autoencoder(epochs=7, random_state=0).fit(X)
    monkeypatch.setattr("isthmus.estimators.model_notes._MAX_HISTORY_VALUES", 4 * 10)
    with pytest.warns(IsthmusWarning, match=r"^the model file stores 4 evenly spaced epochs of the 7 in the history"):
        ae.save(tmp_path / "x")
    epochs = [report.epoch for report in load(tmp_path / "x").history_]
    assert (len(epochs), epochs[0], epochs[-1]) == (4, 1, 7)
    load(tmp_path / "x").save(tmp_path / "x")  # nothing more is lost
    for _ in ae.iter_fit(X):  # and a checkpoint says it not each time
        ae.checkpoint(tmp_path / "y")
