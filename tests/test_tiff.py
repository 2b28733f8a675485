"""TIFF files with any number of channels, planes, pages and types of numbers: nothing is lost, or a sentence says what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hostile_images import bomb
from PIL import Image
from test_cli import run

from isthmus.data import ImageFiles, read
from isthmus.data.images import samples
from isthmus.errors import DataError

Array = np.ndarray[Any, Any]
SIZE = (20, 30)
rng = np.random.default_rng(0)


def whole(dtype: Any, *shape: int) -> Array:
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, endpoint=True).astype(dtype)


def write(path: Path, pixels: Array, byteorder: Any = "<", **options: Any) -> Path:
    tifffile.imwrite(path, pixels, byteorder=byteorder, metadata=None, **{"photometric": "minisblack"} | options)
    return path


CHANNELS = whole("uint16", *SIZE, 5)
PLANES = {"planarconfig": "separate"}
INTERLEAVED = {"planarconfig": "contig"}
LAYOUTS: dict[str, tuple[Array, dict[str, Any]]] = {  # the pixels as they are to be read, and how they are written
    "interleaved": (CHANNELS, INTERLEAVED),
    "big-endian": (CHANNELS, INTERLEAVED | {"byteorder": ">"}),
    "planes": (CHANNELS, PLANES),
    "deflate": (CHANNELS, INTERLEAVED | {"compression": "zlib", "predictor": True, "rowsperstrip": 7}),
    "tiles": (CHANNELS, INTERLEAVED | {"tile": (16, 16)}),
    "two channels": (whole("uint8", *SIZE, 2), INTERLEAVED | {"extrasamples": ["unspecified"]}),
    "float32": (rng.normal(size=SIZE).astype(np.float32), {}),
    "float64 in channels": (rng.normal(size=(*SIZE, 3)), INTERLEAVED),
    "signed 8 bits": (whole("int8", *SIZE), {}),
    "signed 16 bits": (whole("int16", *SIZE), {}),
    "32 bits": (whole("uint32", *SIZE), {}),
    "color of 16 bits": (whole("uint16", *SIZE, 3), {"photometric": "rgb"}),
    "planes of color of 16 bits": (whole("uint16", *SIZE, 3), {"photometric": "rgb"} | PLANES),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_sample_is_read_as_it_is(name: str, tmp_path: Path) -> None:
    pixels, options = LAYOUTS[name]
    write(tmp_path / "x.tif", np.moveaxis(pixels, -1, 0) if "planes" in name else pixels, **options)
    for cache in (None, 0):
        found = read(tmp_path, cache=cache)
        assert isinstance(found.train, ImageFiles) == (cache == 0)
        assert found.train.dtype == pixels.dtype
        np.testing.assert_array_equal(np.asarray(found.train)[0], pixels)
        assert not found.notes[: -1 if cache == 0 else None]


def test_samples_beside_the_colors_are_read_and_noted(tmp_path: Path) -> None:
    pixels = whole("uint8", *SIZE, 4)
    for number, extra in enumerate((["unspecified"], ["unassalpha", "unspecified"])):
        path = write(tmp_path / f"{number}.tif", np.dstack([pixels, pixels])[..., : 3 + len(extra)], photometric="rgb")
        write(path, np.dstack([pixels, pixels])[..., : 3 + len(extra)], photometric="rgb", extrasamples=extra)
        found = read(path)
        assert found.train.shape == (1, *SIZE, 3 + len(extra))
        assert found.notes == (
            "1 image was read with all samples, of which at least one is neither a color nor declared as alpha",
        )


def test_what_is_lost_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "x.tif", whole("uint16", 3, *SIZE), photometric="rgb", **PLANES)
    with monkeypatch.context() as without:
        without.setattr("isthmus.data.images.samples.find_spec", lambda _: None)
        assert read(tmp_path).notes == (
            "1 image was converted from 16 to 8 bits, because of color or an alpha channel",
        )
    write(tmp_path / "x.tif", whole("uint16", *SIZE, 4), photometric="rgb", extrasamples=["unassalpha"])
    assert read(tmp_path).notes[0] == "1 image was converted from 16 to 8 bits, because of color or an alpha channel"
    write(tmp_path / "x.tif", np.float16(rng.normal(size=SIZE)))
    assert read(tmp_path).notes == ("1 image was converted from 16-bit to 32-bit floating-point numbers",)


def test_black_is_zero_also_where_the_file_says_white(tmp_path: Path) -> None:
    for dtype in ("uint8", "uint16"):
        pixels = whole(dtype, *SIZE)
        path = write(tmp_path / "x.tif", pixels, photometric="miniswhite")
        np.testing.assert_array_equal(read(path).train[0], np.iinfo(dtype).max - pixels)


def test_pages_are_examples_a_volume_or_channels(tmp_path: Path) -> None:
    pages = rng.normal(size=(3, *SIZE, 2)).astype(np.float32)
    path = write(tmp_path / "x.tif", pages, **INTERLEAVED)
    assert "only the first is used" in read(path).notes[0]
    np.testing.assert_array_equal(read(path).train, pages[:1])
    for cache in (None, 0):
        np.testing.assert_array_equal(read(path, pages="examples", cache=cache).train, pages)
        np.testing.assert_array_equal(read(path, pages="volume", cache=cache).train, pages[None])
        joined = read(path, pages="channels", cache=cache)
        np.testing.assert_array_equal(joined.train, np.concatenate(pages, axis=-1)[None])
        assert joined.notes[0] == "3 pages of 1 file read as channels"
    Image.new("L", (30, 20)).save(tmp_path / "gray.png")
    with pytest.raises(DataError, match="cannot be cut into patches with pages='channels'"):
        read(path, pages="channels", patches=8)


@pytest.mark.parametrize("way", range(1, 9))
def test_channels_are_turned_like_colors(way: int, tmp_path: Path) -> None:
    colors = whole("uint8", *SIZE, 3)
    tag = [(274, "H", 1, way, True)]
    turned = read(write(tmp_path / "color.tif", colors, photometric="rgb", extratags=tag)).train[0]
    found = read(write(tmp_path / "float.tif", colors.astype(np.float32), **INTERLEAVED, extratags=tag))
    np.testing.assert_array_equal(found.train[0], turned)
    assert found.notes == (("1 image was rotated to upright by the EXIF orientation",) if way > 1 else ())


def test_channels_are_resized_each_by_itself(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tif", CHANNELS, **INTERLEAVED)
    found = read(path, resize=(10, 12)).train[0]
    for channel in range(5):
        gray = write(tmp_path / "gray.tif", CHANNELS[..., channel])
        np.testing.assert_array_equal(found[..., channel], read(gray, resize=(10, 12)).train[0])
    large = write(tmp_path / "x.tif", np.full((*SIZE, 2), 2**32 - 1, np.uint32), **INTERLEAVED)
    assert read(large, resize=(4, 4)).train.min() == 2**32 - 1


def test_lzw_is_read_where_imagecodecs_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs", reason="the extra tiff is not installed")
    path = write(tmp_path / "x.tif", CHANNELS, **INTERLEAVED, compression="lzw", predictor=True)
    np.testing.assert_array_equal(read(path).train[0], CHANNELS)


@pytest.mark.parametrize(("missing", "compression"), [("tifffile", 1), ("imagecodecs", 5)])
def test_a_missing_package_is_named(
    missing: str, compression: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "x.tif", CHANNELS, **INTERLEAVED)
    content = path.read_bytes()
    at = content.index(b"\x03\x01\x03\x00")  # the tag of the compression
    path.write_bytes(content[: at + 8] + bytes([compression]) + content[at + 9 :])
    monkeypatch.setattr(samples, "find_spec", lambda name: None if name == missing else name)
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value).endswith(
        f"has 5 channels of uint16, which needs the package {missing}: run pip install 'isthmus[tiff]'"
    )


def test_files_that_cannot_be_read_are_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    write(path, whole("uint16", 4, 32, 32), volumetric=True, tile=(4, 16, 16))
    with pytest.raises(DataError, match=r"x\.tif has 4 slices in one page, which are not supported; save each"):
        read(path)
    write(path, rng.normal(size=SIZE).astype(np.complex64))
    with pytest.raises(DataError, match=r"samples that are not supported \(1 of 64 bits\); save it as \.npy"):
        read(path)
    write(path, whole("uint8", 200, 100, 5), **INTERLEAVED, tile=(32, 32))
    path.write_bytes(path.read_bytes()[:-20_000])
    with pytest.raises(DataError, match=r"x\.tif is truncated or has missing tiles"):
        read(path)
    path.write_bytes(bomb(9_000, samples=5))
    with pytest.raises(DataError, match="has more than 64 megapixels"):
        read(path)
    path.write_bytes(bomb(samples=5))
    with pytest.raises(DataError, match="is out of proportion: 134 bytes declare an image of 7999x7999"):
        read(path)


def test_images_of_other_channels_are_named(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", CHANNELS, **INTERLEAVED)
    write(tmp_path / "b.tif", CHANNELS[..., :2], **INTERLEAVED)
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert "a.tif has 5 channels of uint16 and " in str(caught.value)
    assert "b.tif 2 channels of uint16; give images of one kind" in str(caught.value)


def test_a_run_of_channels_is_trained_and_used_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for number in range(12):
        write(tmp_path / f"data/{number}.tif", CHANNELS[:8, number : number + 8], **INTERLEAVED)
    made = run("train", "deep", "architecture.hidden=8", "epochs=1", "--data", "data", "--out", "run", cwd=tmp_path)
    assert "12 examples, 8x8x5 uint16, images" in made.stdout
    run("reconstruct", "run", "--data", "data", "--out", "x.npy", cwd=tmp_path)
    assert np.load(tmp_path / "x.npy").shape == (12, 8, 8, 5)
    written = run("reconstruct", "run", "data/0.tif", "--out", "y.tif", cwd=tmp_path)
    assert written.returncode == 0, written.stderr
    found = tifffile.imread(tmp_path / "y.tif")
    assert (found.shape, found.dtype) == ((8, 8, 5), np.uint16)
