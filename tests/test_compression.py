"""Compressed files: what goes in comes out, in as few bits as entropy allows; damaged files are refused; targets are met."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
import math
import random
import struct
import sys
import tracemalloc
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from test_cli import run

from isthmus import Autoencoder
from isthmus.architectures import MLP, Conv
from isthmus.bottlenecks import Gaussian, Identity, TopK, VectorQuantized
from isthmus.compression import (
    Compressed,
    at_bits,
    at_psnr,
    codec,
    compress,
    decompress,
    decompressing,
    file_format,
    lossless,
    rate_distortion,
)
from isthmus.compression.baseline_codecs import contact_sheets
from isthmus.compression.quantizers import sensitivities
from isthmus.compression.rate_control import RateControl, decode_as, model_id
from isthmus.errors import DataError, RecordError
from isthmus.evaluation.metrics import mean_squared_error, pca_reconstruction
from isthmus.likelihoods import Normal

Array = np.ndarray[Any, Any]
MODEL = bytes(range(16))


def examples(kind: str) -> Array:
    rng = np.random.default_rng(1)
    table = rng.normal(size=(300, 3)) @ rng.normal(size=(3, 9)) + rng.normal(0, 0.1, (300, 9))
    rows, columns = np.mgrid[:12, :12]
    centers = rng.uniform(3, 9, (300, 2, 1, 1))
    pictures = 255 * np.exp(-((rows - centers[:, 0]) ** 2 + (columns - centers[:, 1]) ** 2) / 9)
    return {
        "bytes": pictures.astype(np.uint8),
        "floats": (pictures / 255).astype(np.float32),
        "colors": np.stack([pictures, 255 - pictures, pictures // 2], -1).astype(np.uint8),
        "table": table * [1, 10, 100, 1, 1, 1, 1, 1, 1000],
        "whole": np.rint(table * 1000).astype(np.int16),
        "large": np.rint(table * 1e5).astype(np.int64),
    }[kind]


KINDS = ["bytes", "floats", "colors", "table", "whole", "large"]
BOTTLENECKS: dict[str, Any] = {
    "plain": Identity(4),
    "variational": Gaussian(4),
    "sparse": TopK(8, k=2),
    "one number": Identity(1),
    "entries": VectorQuantized(2, codebook_size=8),
    "map": Identity(3),
}


@cache
def system(kind: str, bottleneck: str = "plain", **choices: Any) -> Autoencoder:
    X = examples(kind)
    architecture: Any = Conv((4, 4), code="map") if bottleneck == "map" else MLP((32,))
    choices = {"kind": "images" if X.ndim > 2 else "table"} | choices
    made = Autoencoder(
        BOTTLENECKS[bottleneck], architecture=architecture, epochs=8, random_state=0, device="cpu", **choices
    )
    return made.fit(X)


def by_hand(content: bytes) -> tuple[list[list[int]], list[float] | None]:
    """The columns and steps of a compressed file, as docs/compressed-file.md tells, with nothing but Python's whole numbers."""
    place = 48
    magic, version, entries, _, shared, n, positions, channels, count, _ = struct.unpack("<8s4BQ3I16s", content[:place])
    assert (magic, version) == (b"isthmus\x1a", 1)
    assert hashlib.blake2b(content[:-8], digest_size=8).digest() == content[-8:]
    steps = None
    if not entries:
        steps = list(struct.unpack(f"<{channels}f", content[place : place + 4 * channels]))
        place += 4 * channels

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = content[place]
            place += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    tables = []
    for _ in range(1 if shared else channels):
        low, size = varint(), varint()
        low = -(low + 1) // 2 if low % 2 else low // 2
        shift, width = content[place], content[place + 1]
        place += 2
        length = varint()
        bits = f"{int.from_bytes(content[place : place + length], 'little'):0{8 * length}b}"[::-1]
        place += length
        quotients = [len(ones) for ones in bits.split("0")[:size]]
        length = -(-size * width // 8)
        packed = int.from_bytes(content[place : place + length], "little")
        place += length
        roots, before = [], 0
        for i, quotient in enumerate(quotients):
            step = (quotient << width) + (packed >> (width * i) & ((1 << width) - 1))
            before += -(step + 1) // 2 if step % 2 else step // 2
            roots.append(before)
        tables.append((low, shift, roots))
    words = list(struct.unpack(f"<{count}I", content[place : place + 4 * count]))
    state = 0
    while words and state < 1 << 32:
        state = state << 32 | words.pop()

    def symbol(frequencies: list[int]) -> int:
        nonlocal state
        rest, begin, found = state & 0xFFFFFF, 0, 0
        while rest >= begin + frequencies[found]:
            begin += frequencies[found]
            found += 1
        state = (state >> 24) * frequencies[found] + rest - begin
        if state < 1 << 32 and words:
            state = state << 32 | words.pop()
        return found

    rows, columns = n * positions * channels // len(tables), []
    for low, shift, roots in tables:
        cells = [i for i, root in enumerate(roots) if root]
        total = sum(root * root for root in roots)
        found = [1 + roots[i] ** 2 * (2**24 - len(cells)) // total for i in cells]
        found[max(range(len(cells)), key=lambda i: roots[cells[i]])] += 2**24 - sum(found)
        high = [cells[symbol(found)] if len(cells) > 1 else cells[0] for _ in range(rows)]
        fine = [symbol([2**24 >> shift] * 2**shift) if shift else 0 for _ in range(rows)]
        columns.append([((low + h) << shift) + f for h, f in zip(high, fine, strict=True)])
    assert (state, words) == (0, [])
    return columns, steps


def contents(numbers: Array, entries: bool = False) -> file_format.FileContents:
    steps = None if entries else np.linspace(0.1, 2, numbers.shape[2], dtype=np.float32)
    return file_format.FileContents(MODEL, "f4", numbers.astype(np.int32), steps)


def written(path: Path, numbers: Array, entries: bool = False) -> tuple[file_format.CompressedFile, Array]:
    """What is read of a file of some numbers: its header, and the numbers."""
    path.write_bytes(file_format.pack(contents(numbers, entries)))
    back = file_format.read(path, MODEL, *numbers.shape[1:])
    return back, np.concatenate(list(back.blocks()))


@settings(max_examples=40, deadline=None)
@given(
    numbers=array_shapes(min_dims=3, max_dims=3, max_side=12).flatmap(
        lambda shape: st.sampled_from([1, 3, 40, 5000, 1 << 20]).flatmap(
            lambda most: arrays(np.int32, shape, elements=st.integers(-most, most))
        )
    ),
    entries=st.booleans(),
    together=st.sampled_from([1, 5, 1 << 20]),
)
def test_any_integers_are_decoded_exactly(
    tmp_path_factory: pytest.TempPathFactory, numbers: Array, entries: bool, together: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.isthmus"
    with patch.multiple(file_format, _BLOCK_INTEGERS=together, _MIN_BLOCK_ROWS=1):  # whatever the blocks
        back, found = written(path, numbers, entries)
    np.testing.assert_array_equal(found, numbers)
    assert (back.steps is None) == entries


@pytest.mark.parametrize(("spread", "n"), [(0.3, 200), (3, 60), (3, 500), (400, 150), (20000, 80)])
def test_a_reader_written_from_the_page_on_the_format_decodes_files(spread: float, n: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    numbers = np.rint(rng.normal(0, [0.01, spread, spread / 2], (n, 2, 3))).astype(np.int32)
    content = file_format.pack(contents(numbers))
    columns, steps = by_hand(content)
    found = np.array(columns).T.reshape(n, 2, 3)
    np.testing.assert_array_equal(found, numbers)
    np.testing.assert_allclose(steps, np.linspace(0.1, 2, 3), rtol=1e-6)


@pytest.mark.parametrize("law", ["normal", "laplace", "t"])
def test_the_file_size_is_near_the_entropy(law: str) -> None:
    """All of the file, tables too: 2 % more at most; of long tails a bit for each number in the range besides."""
    rng, shape = np.random.default_rng(0), (12_000, 1, 5)
    drawn = {"normal": rng.normal, "laplace": rng.laplace, "t": lambda size: rng.standard_t(3, size)}[law](size=shape)
    numbers = np.rint(drawn * [0.2, 1, 3, 10, 30]).astype(np.int32)
    numbers[rng.random(shape) < 0.3] = 0  # a spike, as sparse codes have
    bits = 0.0
    for column in numbers.reshape(-1, 5).T:
        share = np.unique(column, return_counts=True)[1] / len(column)
        bits -= len(column) * float((share * np.log2(share)).sum())
    bits_in_range = float(np.ptp(numbers, axis=0).sum()) if law == "t" else 0.0
    content = file_format.pack(contents(numbers))
    assert bits / 8 < 4 * struct.unpack("<I", content[28:32])[0]
    assert len(content) <= (1.02 * bits + bits_in_range) / 8 + 48 + 20 + 8


def test_constant_codes_cost_only_the_header(tmp_path: Path) -> None:
    numbers = np.broadcast_to(np.array([[3, -7, 0]], np.int32), (20_000, 1, 3))
    _, found = written(tmp_path / "same", numbers)
    np.testing.assert_array_equal(found, numbers)
    assert (tmp_path / "same").stat().st_size < 150
    one = np.zeros((400_000, 1, 1), np.int32)
    assert len(file_format.pack(contents(one))) * 1024 >= 400_000, "the page's bound on what a byte stands for"


def test_few_examples_get_a_coarse_table() -> None:
    numbers = np.random.default_rng(0).integers(0, 5000, (40, 1, 1))
    length = len(file_format.pack(contents(numbers)))
    assert length < 48 + 4 + 8 + 8 + 40 * math.log2(5000) / 8 * 1.15, "a fine one takes 5,000 entries"


@pytest.mark.parametrize(
    ("kind", "bottleneck"),
    [*((kind, "plain") for kind in KINDS), *(("bytes", b) for b in BOTTLENECKS if b != "plain"), ("colors", "map")],
)
def test_decompression_decodes_the_rounded_codes(kind: str, bottleneck: str, tmp_path: Path) -> None:
    X, ae = examples(kind), system(kind, bottleneck)
    found = compress(ae, X, tmp_path / "x")
    back = decompress(ae, tmp_path / "x")
    assert back.dtype == X.dtype
    control = RateControl(ae, X, ae.encode(X))
    quantizer = control.encode(found.step).quantizer
    codes = quantizer.dequantize(quantizer.quantize(control.codes))
    np.testing.assert_array_equal(back, decode_as(ae, codes, X.dtype))
    expected = ae.decode(codes)
    if X.dtype.kind != "f":
        limits = np.iinfo(X.dtype)
        expected = np.rint(expected).clip(limits.min, limits.max)
    np.testing.assert_array_equal(back, expected.astype(X.dtype))
    assert found.mse == pytest.approx(np.square(back - X.astype(float)).mean())
    assert found.bytes == (tmp_path / "x").stat().st_size
    if bottleneck == "entries":
        np.testing.assert_allclose(back.astype(float), ae.reconstruct(X), atol=0.51)
        assert found.step is None


def test_double_precision_stays(tmp_path: Path) -> None:
    X = examples("table")
    ae = system("table", precision="float64")
    compress(ae, X, tmp_path / "x", step=1e-3)
    back = decompress(ae, tmp_path / "x")
    assert back.dtype == np.float64
    np.testing.assert_allclose(back / X.std(0), ae.reconstruct(X) / X.std(0), atol=5e-3)


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_one_example_and_few(rows: int, tmp_path: Path) -> None:
    X, ae = examples("bytes")[:rows], system("bytes")
    compress(ae, X, tmp_path / "x", step=0.01)
    assert np.abs(decompress(ae, tmp_path / "x") - ae.reconstruct(X)).max() < 2
    assert compress(ae, X, tmp_path / "x").increase <= 0.05


@pytest.mark.parametrize("share", [0.01, 0.3])
@pytest.mark.parametrize("kind", ["bytes", "table"])
def test_the_error_increase_is_near_the_allowed_one(kind: str, share: float, tmp_path: Path) -> None:
    X, ae = examples(kind), system(kind)
    compress(ae, X, tmp_path / "x", error=share)
    unit = X.std(0) if kind == "table" else 255
    exact = np.rint(ae.reconstruct(X)).clip(0, 255) if kind == "bytes" else ae.reconstruct(X)
    grown = np.square((decompress(ae, tmp_path / "x") - X.astype(float)) / unit).sum()
    grown = grown / np.square((exact - X) / unit).sum() - 1
    assert 0.7 * share < grown <= share + 1e-9


@pytest.mark.parametrize("bottleneck", ["plain", "variational", "sparse", "map"])
def test_the_file_has_the_requested_bits(bottleneck: str, tmp_path: Path) -> None:
    X, ae = examples("bytes"), system("bytes", bottleneck)
    free = compress(ae, X, tmp_path / "x").bits_per_example
    found = compress(ae, X, tmp_path / "x", bits=free * 0.8)
    assert 0.97 * 0.8 * free < 8 * (tmp_path / "x").stat().st_size / len(X) <= 0.8 * free
    assert found.increase > 0.05
    with pytest.raises(RecordError, match=r"invalid bits=0\.01: with the largest step each of these examples needs"):
        compress(ae, X, tmp_path / "x", bits=0.01)


@pytest.mark.parametrize("bottleneck", ["plain", "sparse", "map"])
def test_larger_steps_take_fewer_bits_and_lose_more(bottleneck: str, tmp_path: Path) -> None:
    X, ae = examples("bytes"), system("bytes", bottleneck)
    found = [compress(ae, X, tmp_path / "x", step=0.05 * 2**power) for power in range(6)]
    assert all(a.bytes > b.bytes for a, b in itertools.pairwise(found))
    assert found[0].increase < 0.02
    assert found[-1].mse > found[0].mse


def test_a_unit_that_moves_the_reconstruction_twice_as_far_gets_half_the_step() -> None:
    X = examples("floats").reshape(300, -1)
    ae = Autoencoder(Identity(4), architecture=MLP(()), likelihood=Normal(), epochs=2, random_state=0).fit(X)
    linear = np.asarray(ae.decode(np.eye(4, dtype=np.float32)) - ae.decode(np.zeros((1, 4), np.float32)), np.float64)
    scale = ae.model_.scale.numpy()
    codes = ae.encode(X)
    np.testing.assert_allclose(sensitivities(ae, codes), np.linalg.norm(linear / scale, axis=1), rtol=1e-3)
    control = RateControl(ae, X, codes)
    moved = control.quantizer(0.2).steps * np.linalg.norm(linear / scale, axis=1)
    np.testing.assert_allclose(moved, 0.2, rtol=1e-3)


def test_zeros_of_a_sparse_code_stay_zeros() -> None:
    X, ae = examples("bytes"), system("bytes", "sparse")
    control = RateControl(ae, X, ae.encode(X))
    quantizer = control.quantizer(0.3)
    back = quantizer.dequantize(quantizer.quantize(control.codes))
    assert (back[control.codes == 0] == 0).all()
    assert np.abs(back - control.codes).max() <= quantizer.steps.max() / 2 * 1.0001


def test_a_memory_map_gives_the_same_file(tmp_path: Path) -> None:
    X, ae = examples("bytes"), system("bytes")
    np.save(tmp_path / "x.npy", X)
    compress(ae, X, tmp_path / "a", step=0.3)
    compress(ae, np.load(tmp_path / "x.npy", mmap_mode="r"), tmp_path / "b", step=0.3)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_decompression_in_blocks_gives_the_same_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X, ae = examples("bytes"), system("bytes")
    compress(ae, X, tmp_path / "x")
    whole = decompress(ae, tmp_path / "x")
    monkeypatch.setattr("isthmus.compression.codec._BLOCK_VALUES", 144 * 70)
    shape, dtype, blocks = decompressing(ae, tmp_path / "x")
    parts = list(blocks)
    assert (shape, dtype, len(parts)) == ((300, 12, 12), np.uint8, 5)
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.thorough
def test_codes_without_bits_are_decoded_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of few bytes may hold very many examples: at no time are more there than a block of them."""
    monkeypatch.setattr(codec, "_BLOCK_VALUES", 1 << 14)
    ae, n = system("table", "one number"), 200_000
    still = file_format.FileContents(model_id(ae), "f8", np.zeros((n, 1, 1), np.int32), np.ones(1, np.float32))
    (tmp_path / "x").write_bytes(file_format.pack(still))
    assert (tmp_path / "x").stat().st_size < 300
    tracemalloc.start()
    try:
        shape, dtype, parts = decompressing(ae, tmp_path / "x")
        assert sum(len(part) for part in parts) == n
        assert tracemalloc.get_traced_memory()[1] < math.prod(shape) * dtype.itemsize / 4
    finally:
        tracemalloc.stop()


def test_another_model_is_refused(tmp_path: Path) -> None:
    X, ae = examples("bytes"), system("bytes")
    compress(ae, X, tmp_path / "x")
    other = Autoencoder(Identity(4), architecture=MLP((32,)), epochs=8, random_state=1).fit(X)
    with pytest.raises(DataError, match="was made by another model"):
        decompress(other, tmp_path / "x")
    ae.save(tmp_path / "model.safetensors")
    from isthmus import load

    np.testing.assert_array_equal(
        decompress(load(tmp_path / "model.safetensors"), tmp_path / "x"), decompress(ae, tmp_path / "x")
    )


@pytest.mark.parametrize(
    ("choices", "reason"),
    [
        ({"step": 1.0, "bits": 9.0}, "step= and bits= exclude each other"),
        ({"step": 0.0}, "invalid step=0.0: expected"),
        ({"bits": math.nan}, "invalid bits=nan: expected"),
        ({"error": "much"}, "invalid error='much': expected"),
        ({"step": 1e-9}, "the step is too small"),
        ({"error": 1e-12}, "no step is that small"),
    ],
)
def test_invalid_options_are_refused(choices: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=reason):
        compress(system("floats"), examples("floats"), tmp_path / "x", **choices)
    assert not list(tmp_path.iterdir())


def test_entries_of_a_codebook_have_no_step(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="entries of a codebook"):
        compress(system("bytes", "entries"), examples("bytes"), tmp_path / "x", step=1)


def test_other_examples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="fitted on"):
        compress(system("bytes"), examples("table"), tmp_path / "x")


# Damage


def small() -> bytes:
    rng = np.random.default_rng(3)
    return file_format.pack(contents(np.rint(rng.normal(0, [0.001, 2, 300], (30, 1, 3)))))


def read(path: Path, content: bytes) -> file_format.CompressedFile | None:
    """What is read, or None where the file is refused by a sentence."""
    path.write_bytes(content)
    try:
        return file_format.read(path, MODEL, 1, 3)
    except DataError as error:
        said = str(error)
    assert str(path) in said
    assert "\n" not in said
    return None


def sealed(content: bytes) -> bytes:
    """The same content with the right checksum."""
    return content[:-8] + hashlib.blake2b(content[:-8], digest_size=8).digest()


def test_every_truncation_and_every_flipped_bit_is_detected(tmp_path: Path) -> None:
    content = small()
    assert read(tmp_path / "x", content) is not None
    for place in range(len(content)):
        assert read(tmp_path / "x", content[:place]) is None
        assert read(tmp_path / "x", sealed(content[:place] + bytes(8))[: max(place, 1)]) is None
    for bit in range(8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        assert read(tmp_path / "x", bytes(changed)) is None
    assert read(tmp_path / "x", content + b"\0") is None


def test_forged_files_with_a_valid_checksum_take_little_memory_and_raise_one_error_class(tmp_path: Path) -> None:
    content, chance = small(), random.Random(0)
    tracemalloc.start()
    refused = 0
    for _ in range(500):
        changed = bytearray(content)
        for _ in range(chance.choice([1, 1, 2, 5])):
            place = chance.choice([chance.randrange(8, len(content) - 8), chance.randrange(8, 48)])
            changed[place] = chance.choice([0, 1, 127, 128, 255, chance.randrange(256)])
        if chance.random() < 0.2:
            changed = changed[: chance.randrange(60, len(content))]
        refused += read(tmp_path / "x", sealed(bytes(changed))) is None
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()
    assert refused > 200


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (0, b"IDX", "its first bytes are not those"),
        (8, b"\2", "version 2, and this isthmus reads version 1"),
        (9, b"\2", "invalid field"),
        (10, b"\x0a", "invalid field"),
        (12, struct.pack("<Q", 2**63), "do not fit in its"),
        (12, struct.pack("<Q", 0), "invalid field"),
        (24, struct.pack("<I", 4), "have 1 x 4 values, and those of the model 1 x 3"),
        (28, struct.pack("<I", 2**32 - 1), "truncated"),
        (28, struct.pack("<I", 1), "other bytes than zeros after its words|more words than"),
        (48, struct.pack("<f", -1), "a step is not a number greater than 0"),
        (48, struct.pack("<f", math.nan), "a step is not a number greater than 0"),
    ],
)
def test_errors_of_forged_files(place: int, value: bytes, reason: str, tmp_path: Path) -> None:
    content = small()
    (tmp_path / "x").write_bytes(sealed(content[:place] + value + content[place + len(value) :]))
    with pytest.raises(DataError, match=reason):
        file_format.read(tmp_path / "x", MODEL, 1, 3)


def test_an_index_outside_the_codebook_is_refused(tmp_path: Path) -> None:
    ae = system("bytes", "entries")
    numbers = np.full((5, 1, 1), 8, np.int32)
    (tmp_path / "x").write_bytes(file_format.pack(file_format.FileContents(model_id(ae), "u1", numbers, None)))
    with pytest.raises(DataError, match="8 entries"):
        decompress(ae, tmp_path / "x")
    (tmp_path / "x").write_bytes(
        file_format.pack(file_format.FileContents(model_id(ae), "u1", numbers, np.ones(1, np.float32)))
    )
    with pytest.raises(DataError, match="of another kind"):
        decompress(ae, tmp_path / "x")


def test_links_and_folders_are_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    ae, X = system("bytes"), examples("bytes")
    compress(ae, X, tmp_path / "x")
    (tmp_path / "link").symlink_to(tmp_path / "x")
    with pytest.raises(DataError, match="symbolic link"):
        decompress(ae, tmp_path / "link")
    with pytest.raises(OSError, match="symbolic link"):
        compress(ae, X, tmp_path / "link")
    before = (tmp_path / "x").read_bytes()
    with pytest.raises(DataError, match="NaN"):
        compress(ae, np.full((2, 12, 12), np.nan), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == before
    with pytest.raises(FileNotFoundError):
        decompress(ae, tmp_path / "none")


def test_without_the_entropy_coder_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "constriction", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'isthmus\[compress\]'"):
        compress(system("bytes"), examples("bytes"), tmp_path / "x", step=1)


# Rivals and the curve


def test_the_curve_agrees_with_direct_computation() -> None:
    X, ae = examples("bytes"), system("bytes")
    points = rate_distortion(ae, X[:200], steps=[0.05, 0.5], train=X[200:])
    ours = [point for point in points if point.method == "autoencoder"]
    theirs = [point for point in points if point.method == "autoencoder and its model"]
    assert ours[0].mse == pytest.approx(
        np.square(np.rint(ae.reconstruct(X[:200])).clip(0, 255) - X[:200]).mean(), rel=0.03
    )
    assert all(
        b.bits - a.bits == pytest.approx(8 * model_length(ae) / X[:200].size) for a, b in zip(ours, theirs, strict=True)
    )
    pca = min(point.mse for point in points if point.method == "PCA")
    linear = np.rint(pca_reconstruction(X[200:], X[:200], 4)).clip(0, 255)
    assert pca == pytest.approx(mean_squared_error(X[:200], linear), rel=0.03)
    jpeg = next(point for point in points if point.method == "JPEG, one by one" and point.setting == 80)
    squares, bits = 0.0, 0
    for picture in X[:200]:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=80, optimize=True)
        squares += float(np.square(np.asarray(Image.open(file), float) - picture).mean()) / 200
        bits += 8 * len(file.getvalue())
    assert (jpeg.bits, jpeg.mse) == (pytest.approx(bits / X[:200].size), pytest.approx(squares))
    assert jpeg.psnr == pytest.approx(10 * math.log10(255**2 / squares))
    assert {point.psnr for point in points if point.method.startswith("PNG")} == {math.inf}


def model_length(ae: Autoencoder) -> int:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        ae.save(Path(folder) / "m")
        return (Path(folder) / "m").stat().st_size


def test_interpolation_is_linear_in_the_logarithm_of_bits() -> None:
    from isthmus.compression import Point

    points = [Point("a", 1, 1, 0.1, 1, 10.0), Point("a", 1, 1, 10.0, 1, 30.0), Point("b", 1, 1, 1.0, 1, None)]
    assert at_bits(points, "a", 1.0) == pytest.approx(20)
    assert at_psnr(points, "a", 25) == pytest.approx(10**0.5)
    assert at_bits(points, "a", 11) is None
    assert at_psnr(points, "b", 1) is None


def test_a_sheet_contains_every_image_once() -> None:
    X = np.random.default_rng(0).integers(1, 256, (10, 5, 7, 3)).astype(np.uint8)
    (sheet,) = contact_sheets(X)
    rows, columns = sheet.shape[0] // 5, sheet.shape[1] // 7
    found = [sheet[5 * r : 5 * r + 5, 7 * c : 7 * c + 7] for r in range(rows) for c in range(columns)]
    np.testing.assert_array_equal(np.stack(found[:10]), X)
    assert not np.any(found[10:])


def test_lossless_sizes_are_those_of_the_packers() -> None:
    import gzip

    X = examples("bytes")
    sizes = lossless(X)
    assert sizes["gzip"] == pytest.approx(len(gzip.compress(X.tobytes(), 9)), abs=2)
    assert sizes.keys() == {"gzip", "LZMA", "PNG, one by one", "PNG, in a sheet"}
    assert lossless(examples("table")).keys() == {"gzip", "LZMA"}


def test_break_even_number_of_examples() -> None:
    found = Compressed(10, 4, 100, 40, 1000, 1.0, 1.0, 1.0, None, 0.0, 1.0, 0.0)
    assert found.break_even_examples(600) == 20  # 1,000 bytes are saved after 20 examples of 50 each
    assert found.break_even_examples(100) is None


# The command line


def test_a_table_goes_through_the_command_line_and_back_with_its_names(tmp_path: Path) -> None:
    X = examples("table")
    with (tmp_path / "mine.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names := ["an a", "b, or c", *"defghij"[:7]])
        writer.writerows(X.tolist())
    assert not run(
        "train",
        "deep",
        "epochs=5",
        "bottleneck.size=3",
        "architecture.hidden=32",
        "--data",
        "mine.csv",
        "--out",
        "r",
        cwd=tmp_path,
    ).returncode
    done = run("compress", "r", "--data", "mine.csv", "--out", "x.isthmus", "--error", "0.1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "LZMA" in done.stdout
    done = run("decompress", "r", "x.isthmus", "--out", "back.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "back.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == names
    assert run("decompress", "r", "x.isthmus", cwd=tmp_path).returncode == 0
    np.testing.assert_array_equal(np.array(rows, float), np.load(tmp_path / "decompressed.npy"))
    done = run("compress", "r", "--data", "mine.csv", "--json", cwd=tmp_path)
    said = json.loads(done.stdout)
    assert said["bytes"] == (tmp_path / "compressed.isthmus").stat().st_size
    assert run("compress", "r", "--step", "1", "--bits", "2", cwd=tmp_path).returncode == 2
    assert run("decompress", "r", "x.isthmus", "--out", "x.png", cwd=tmp_path).returncode == 2
    assert run("decompress", "r", "mine.csv", cwd=tmp_path).returncode == 1


def test_images_cannot_be_written_as_csv(tmp_path: Path) -> None:
    ae = system("bytes")
    ae.save(tmp_path / "m.safetensors")
    compress(ae, examples("bytes"), tmp_path / "x")
    done = run("decompress", "m.safetensors", "x", "--out", "x.csv", cwd=tmp_path)
    assert done.returncode == 2
    assert "requires a table" in done.stderr
