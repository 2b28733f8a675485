"""Files that are sound, and ask for what cannot be or should not be: one sentence each, and neither memory nor time."""

from __future__ import annotations

import base64
import io
import itertools
import re
import time
import tracemalloc
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile_files as hostile
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cases import thorough_where

import isthmus
from isthmus import Autoencoder, load
from isthmus.architectures import MLP, Conv
from isthmus.augmentations import AugmentationChain, Flip
from isthmus.bottlenecks import Gaussian
from isthmus.corruptions import CorruptionChain, Masking
from isthmus.data.options import ReadOptions
from isthmus.data.tables import parquet_tables
from isthmus.data.tables.text_columns import TextColumns
from isthmus.errors import DataError, IsthmusError, MemoryLimitError, ModelFileError, RecordError
from isthmus.io.memory_limit import set_memory_limit
from isthmus.penalties import MMD, ActivationKL, Sum

X = np.random.default_rng(0).random((40, 6), np.float32)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a training that was cut off within its third epoch, and looks back at the best weights."""
    ae = Autoencoder(
        Gaussian(2), architecture=MLP((8,)), epochs=4, batch_size=8, early_stopping=True, random_state=0, device="cpu"
    )
    path = tmp_path_factory.mktemp("hostile") / "checkpoint.safetensors"
    for report in ae.iter_fit(X, validation_data=X[:7], every=2):
        if report.epoch == 3 and not report.complete:
            ae.checkpoint(path)
            break
    return path


def test_the_unmodified_checkpoint_resumes(checkpoint: Path) -> None:
    assert len(load(checkpoint).resume(X, validation_data=X[:7]).history_) == 4


@pytest.mark.promise(22)
@pytest.mark.parametrize("case", hostile.CHECKPOINTS)
def test_impossible_checkpoints_are_refused_by_name_before_a_step(case: str, checkpoint: Path, tmp_path: Path) -> None:
    edit, said = hostile.CHECKPOINTS[case]
    path = hostile.edited(checkpoint, tmp_path / "x", edit)
    with pytest.raises(ModelFileError) as caught:
        load(path).resume(X, validation_data=X[:7])
    told = str(caught.value)
    assert re.search(said, told), told
    assert "\n" not in told
    assert "\x1b" not in told
    assert len(told) < 500


@pytest.mark.thorough
@pytest.mark.promise(22)
def test_a_long_history_is_read_and_written_in_part(checkpoint: Path, tmp_path: Path) -> None:
    path = hostile.long_history(checkpoint, tmp_path / "x", 300_000)
    began = time.process_time()
    ae = load(path)
    assert time.process_time() - began < 2
    tracemalloc.start()
    load(path)
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()
    epochs = [report.epoch for report in ae.history_]
    assert (epochs[0], epochs[-1]) == (1, 300_000)
    assert 10_000 < len(epochs) < 25_000
    assert {b - a for a, b in itertools.pairwise(epochs)} <= {12, 13}
    ae.save(tmp_path / "again")
    assert load(tmp_path / "again").history_ == ae.history_


@pytest.mark.promise(18)
@pytest.mark.parametrize("kind", ["record", "void", "axes of .npy", "axes of .npz", "axes of IDX"])
def test_arrays_without_examples_raise_one_sentence(kind: str, tmp_path: Path) -> None:
    path = tmp_path / {"axes of .npy": "x.npy", "axes of IDX": "x.idx"}.get(kind, "x.npz")
    if kind == "axes of IDX":
        path.write_bytes(b"\0\0\x08\xff" + (1).to_bytes(4, "big") * 255 + b"\1")
    elif kind in {"record", "void"}:
        np.savez(path, x=np.zeros(4, [("a", "f4"), ("b", "i4")] if kind == "record" else "V8"))
    else:
        content = io.BytesIO()
        shape = (1,) * 65
        np.lib.format.write_array_header_1_0(content, {"descr": "|u1", "fortran_order": False, "shape": shape})
        content.write(b"\1")
        if kind == "axes of .npy":
            path.write_bytes(content.getvalue())
        else:
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("x.npy", content.getvalue())
    with pytest.raises(DataError, match=r"axes|not numbers") as caught:
        isthmus.data.read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.promise(22)
@pytest.mark.parametrize("case", hostile.USES)
def test_a_small_model_with_excessive_memory_raises_one_sentence(case: str, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16), np.uint8)
    ae = Autoencoder(Gaussian(2), architecture=Conv((4,), code="map"), epochs=1, random_state=0, device="cpu")
    ae.fit(images).save(tmp_path / "small")
    path = hostile.edited(tmp_path / "small", tmp_path / "x", hostile.USES[case])
    resource = pytest.importorskip("resource")  # not on Windows
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(IsthmusError) as caught:  # of few numbers, very many
        load(path, max_memory="40MB").sample(1)
    assert "\n" not in str(caught.value)
    if isinstance(caught.value, MemoryLimitError):
        assert "max_memory=" in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A sound model file whose kernels are half as wide as its images: ten seconds and more for each of them."""
    images = np.random.default_rng(0).random((2, 400, 400), np.float32)
    ae = Autoencoder(Gaussian(2), architecture=Conv((8, 8), kernel=201), kind="images", random_state=0, device="cpu")
    path = tmp_path_factory.mktemp("slow") / "model.safetensors"
    ae.initialize(images).save(path)
    return path, images


DEEDS: dict[str, Callable[[Autoencoder, np.ndarray], object]] = {
    "encode": lambda ae, X: ae.encode(X),
    "decode": lambda ae, _: ae.decode(np.zeros((1, *ae.code_shape_), np.float32)),
    "reconstruct": lambda ae, X: ae.reconstruct(X),
    "score_samples": lambda ae, X: ae.score_samples(X),
    "reconstruction_error": lambda ae, X: ae.reconstruction_error(X),
    "sample": lambda ae, _: ae.sample(1),
    "evaluate": lambda ae, X: isthmus.evaluate(ae, X),
    "compress": lambda ae, X: isthmus.compression.compress(ae, X, Path("x")),
    "traverse": lambda ae, X: isthmus.latent_traversal.traverse(ae, X),
    "interpolate": lambda ae, X: isthmus.latent_traversal.interpolate(ae, X[:1], X[1:]),
    "neighbors": lambda ae, X: isthmus.latent_traversal.neighbors(ae, X, X[:1]),
    "detect": lambda ae, X: isthmus.OutlierDetector.from_fitted(ae, X.repeat(4, 0), false_alarm_rate=0.5),
    "latent": lambda ae, X: isthmus.plots.latent(ae, X),
    "tsne": lambda ae, X: isthmus.plots.tsne(ae, X.repeat(4, 0)),
    "reconstructions": lambda ae, X: isthmus.plots.reconstructions(ae, X),
    "finetune": lambda ae, X: isthmus.AutoencoderClassifier(ae, epochs=1).fit(X, [0, 1]),
}

SIMILAR = {"reconstruct", "score_samples", "interpolate", "neighbors", "tsne"}  # to others, in how they compute


@pytest.mark.promise(22)
@pytest.mark.parametrize("deed", DEEDS)
def test_a_model_with_excessive_computation_raises_one_sentence(
    deed: str, slow: tuple[Path, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, images = slow
    monkeypatch.chdir(tmp_path)
    ae, began = load(path), time.process_time()
    with pytest.raises(
        MemoryLimitError, match=r"multiplications.*remove the limit with isthmus\.load\(\.\.\., max_memory="
    ):
        DEEDS[deed](ae, images)
    assert time.process_time() - began < 3
    assert not list(tmp_path.iterdir())


def test_the_computation_limit_can_be_lifted_and_does_not_apply_to_own_models(
    slow: tuple[Path, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, images = slow
    monkeypatch.setattr("isthmus.estimators.base.in_batches", lambda *_: "computed")
    assert load(path, max_memory="100GB").encode(images) == "computed"
    own = Autoencoder(Gaussian(2), architecture=Conv((8, 8), kernel=201), kind="images", random_state=0, device="cpu")
    assert own.initialize(images).encode(images) == "computed"
    set_memory_limit("100GB")
    try:
        assert load(path).encode(images) == "computed"
    finally:
        set_memory_limit(None)


@pytest.mark.promise(22)
@pytest.mark.parametrize("deed", thorough_where(sorted(set(DEEDS) - {"latent"}), lambda deed: deed in SIMILAR))
def test_a_model_with_excessive_memory_raises_one_sentence_in_every_method(
    deed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16), np.uint8)
    ae = Autoencoder(Gaussian(2), architecture=Conv((4,), code="map"), epochs=1, random_state=0, device="cpu")
    ae.initialize(images).save("small")
    path = hostile.edited(tmp_path / "small", tmp_path / "large", hostile.USES["an image of 4096 x 4096"])
    large = np.zeros((2, 4096, 4096), np.uint8)
    resource = pytest.importorskip("resource")  # not on Windows
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(MemoryLimitError, match="max_memory="):
        DEEDS[deed](load(path, max_memory="40MB"), large)
    assert (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_200_000
    )  # kilobytes: the examples, in float64


def parquet(name: str) -> tuple[pa.Table, str]:
    """An odd table, and what its error has to say."""
    nested = pa.array([1.0, 2.0])
    for _ in range(60):
        nested = pa.StructArray.from_arrays([nested], ["x"])
    texts = pa.array([f"text {number}" for number in range(30)])
    odd: dict[str, tuple[Any, str]] = {
        "structs": (pa.array([{"x": 1}] * 2), "'odd' .* holds struct"),
        "structs 60 deep": (nested, "'odd' .* holds struct"),
        "lists": (pa.array([[1, 2], [3]]), "'odd' .* holds list"),
        "maps": (pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64())), "'odd' .* holds map"),
        "an extension": (
            pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0" * 16] * 2, pa.binary(16))),
            "extension",
        ),
    }
    if name in odd:
        return pa.table({"a": [1.0, 2.0], "odd": odd[name][0]}), odd[name][1]
    rows = pa.table({"a": pa.array([], pa.float64())})
    wide = pa.table({f"column {number} of a stranger's": texts for number in range(1000)})
    return {
        "no columns": (pa.table({}), "no rows"),
        "no rows": (rows, "no rows"),
        "1,000 of text": (wide, "no column of the table can be learned"),
    }[name]


ODD = [
    "structs",
    "structs 60 deep",
    "lists",
    "maps",
    "an extension",
    "no columns",
    "no rows",
]


@pytest.mark.promise(18)
@pytest.mark.parametrize("name", [*ODD, "1,000 of text"])
def test_an_unusual_parquet_file_raises_one_bounded_sentence(name: str, tmp_path: Path) -> None:
    table, said = parquet(name)
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(DataError, match=said) as caught:
        isthmus.data.read(tmp_path / "x.parquet")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 5000


@pytest.mark.promise(18)
@pytest.mark.parametrize("plain_footer", [False, True])
def test_an_encrypted_parquet_file_raises_one_sentence(plain_footer: bool, tmp_path: Path) -> None:
    encryption = pytest.importorskip("pyarrow.parquet.encryption")

    class Keys(encryption.KmsClient):  # type: ignore[misc, name-defined]
        def wrap_key(self, key: bytes, _: str) -> bytes:
            return base64.b64encode(key)

    told = encryption.EncryptionConfiguration(footer_key="k", column_keys={"k": ["a"]}, plaintext_footer=plain_footer)
    factory = encryption.CryptoFactory(lambda _: Keys())
    properties = factory.file_encryption_properties(encryption.KmsConnectionConfig(), told)
    table = pa.table({"a": [1.0, 2.0]})
    with pq.ParquetWriter(tmp_path / "x.parquet", table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    with pytest.raises(DataError, match=r"x\.parquet .*crypt"):
        isthmus.data.read(tmp_path / "x.parquet")


@pytest.mark.promise(18)
def test_a_parquet_file_with_excessive_declared_sizes_is_refused_before_unpacking(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    columns = pa.table({f"c{number}": np.zeros(1_000_000) for number in range(3)})
    with pq.ParquetWriter(path, columns.schema, compression="zstd") as writer:
        for _ in range(50):
            writer.write_table(columns)
    assert path.stat().st_size < 1_100_000
    began = time.process_time()
    with pytest.raises(DataError, match=r"x\.parquet declares 1,200,000,000 bytes of values in .* out of proportion"):
        isthmus.data.read(path)
    assert time.process_time() - began < 1


@pytest.mark.promise(18)
def test_a_model_file_with_very_many_terms_is_refused_at_once(tmp_path: Path) -> None:
    """Each record takes a tenth of a millisecond to read, and each term of a penalty as long to build."""
    X, term = np.zeros((20, 3)) + np.arange(20)[:, None], {"type": "ActivationKL", "weight": 1}
    Autoencoder(2, architecture=MLP((4,)), epochs=1, random_state=0).fit(X).save(tmp_path / "whole.safetensors")
    for count, words in (
        (30_000, "its header names 30,0.. records, more than 4,096"),
        (300, "at most 64 terms, not 300"),
    ):
        header, tensors = hostile.parts(tmp_path / "whole.safetensors")
        header["fitted"]["penalty"] = {"type": "Sum", "penalties": [term] * count}
        began = time.process_time()
        with pytest.raises(ModelFileError, match=words):
            load(hostile.put(tmp_path / "many.safetensors", header, tensors))
        assert time.process_time() - began < 1


def test_chains_and_sums_are_bounded_and_files_of_so_many_steps_can_be_read(tmp_path: Path) -> None:
    long = Sum((ActivationKL(1),) * 64)
    for made in (
        lambda: long + MMD(1),
        lambda: CorruptionChain((Masking(),) * 65),
        lambda: AugmentationChain((Flip(),) * 65),
    ):
        with pytest.raises(RecordError, match="at most 64"):
            made()
    X = np.zeros((20, 3)) + np.arange(20)[:, None]
    Autoencoder(2, architecture=MLP((4,)), penalty=long, epochs=1, random_state=0).fit(X).save(
        tmp_path / "m.safetensors"
    )
    assert load(tmp_path / "m.safetensors").penalty_ == long


@pytest.mark.promise(18)
def test_an_error_lists_few_of_many_names(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **{f"array {number}": np.zeros(1) for number in range(20_000)})
    with pytest.raises(DataError, match=r"20,000 arrays: .*, \.\.\.\)") as caught:
        isthmus.data.read(tmp_path / "x.npz")
    assert len(str(caught.value)) < 1000
    (tmp_path / "x.csv").write_text(",".join(f"name {n}" for n in range(20_000)) + "\n" + ",".join("7" * 20_000) + "\n")
    with pytest.raises(DataError, match="no column 'absent'") as caught:
        isthmus.data.read(tmp_path / "x.csv", labels="absent")
    assert len(str(caught.value)) < 1000


@pytest.mark.promise(22)
def test_too_many_columns_are_refused_before_reading(tmp_path: Path) -> None:
    """However short, a column takes kilobytes: a million of them took 9 GB and a minute for 4 MB of text."""
    (tmp_path / "x.csv").write_text(",".join("7" * 70_000) + "\n")
    with pytest.raises(
        MemoryLimitError, match=r"reading 70,000 columns of .*x\.csv would take about 595 MB of .* --max-memory"
    ):
        isthmus.data.read(tmp_path / "x.csv")


def test_each_column_of_a_parquet_file_is_read_once() -> None:
    """Of 40,000 one by one among the others it took 8 seconds, of 100,000 a minute."""
    names = [f"c{n}" for n in range(40_000)]
    schema = pa.schema([(name, pa.float64()) for name in names])
    folders = types.SimpleNamespace(partitions=())
    files = types.SimpleNamespace(name="x.parquet", n_rows=1, schema=schema, files=folders, read_folders_as_texts=set)
    began = time.process_time()
    columns, chosen = parquet_tables.selected_columns(files, ReadOptions(), None, TextColumns())
    assert time.process_time() - began < 3
    assert (list(columns), len(chosen.features)) == (names, 40_000)
