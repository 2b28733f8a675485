"""Whole images with any number of channels and any type of numbers: restored as TIFF or .npy, and searched for anomalies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from test_any_size import copying

from isthmus import Autoencoder
from isthmus.architectures import MLP
from isthmus.cli.data_options import DataOptions
from isthmus.cli.detect_images import ImageTask, detect_in_images
from isthmus.cli.images import reconstruct_images
from isthmus.data.options import ReadOptions
from isthmus.errors import DataError, RecordError
from isthmus.estimators.loading import load_autoencoder
from isthmus.experiments.image_units import units_of
from isthmus.plots.heat_overlay import heat_overlay

Array = NDArray[Any]
SIDE = 4


def random(dtype: str, *shape: int) -> Array:
    """Numbers over the whole range of whole numbers, or normal ones."""
    rng = np.random.default_rng(len(shape))
    if np.dtype(dtype).kind == "f":
        return (40 * rng.normal(size=shape)).astype(dtype)
    ends = np.iinfo(dtype)
    return rng.integers(ends.min, ends.max, shape, dtype, endpoint=True)


def tiff(path: Path, pixels: Array) -> Path:
    layout = {} if pixels.ndim == 2 else {"planarconfig": "contig"}
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata=None, **layout)  # type: ignore[arg-type]
    return path


def saved(folder: Path, examples: Array) -> Path:
    """A run whose reconstructions are the examples themselves."""
    folder.mkdir()
    copying(folder / "model.safetensors", examples)
    (folder / "run.json").write_text(
        json.dumps({"data": "x", "recipe": "deep", "command": "", "pixels": str(examples.dtype)})
    )
    return folder


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on patches with five channels of 16 bits."""
    return saved(tmp_path_factory.mktemp("five") / "run", random("uint16", 30, SIDE, SIDE, 5))


@pytest.mark.parametrize(
    ("dtype", "channels"),
    [("uint16", (5,)), ("uint8", (2,)), ("uint16", (3,)), ("int16", ()), ("float32", (4,)), ("float64", ())],
)
def test_every_channel_is_restored_with_its_type(dtype: str, channels: Any, tmp_path: Path, capsys: Any) -> None:
    place = saved(tmp_path / "run", random(dtype, 30, SIDE, SIDE, *channels))
    pixels = random(dtype, 9, 7, *channels)
    reconstruct_images(place, tiff(tmp_path / "x.tif", pixels), tmp_path / "y.tif")
    made = tifffile.imread(tmp_path / "y.tif")
    assert (made.dtype, made.shape) == (pixels.dtype, pixels.shape)
    if pixels.dtype.kind == "f":
        np.testing.assert_allclose(made, pixels, atol=1e-3)
    else:
        assert np.abs(made.astype(np.int64) - pixels).max() <= 1  # the net computes in 32-bit floats
    said = capsys.readouterr().out
    assert "written without the resolution and the descriptions of its file" in said
    assert "taken as" not in said


def test_numbers_from_0_to_1_stand_for_those_of_the_file(tmp_path: Path) -> None:
    unit = saved(tmp_path / "run", np.random.default_rng(0).random((30, SIDE, SIDE, 4)).astype(np.float32))
    pixels = random("uint16", 9, 7, 4)
    reconstruct_images(unit, tiff(tmp_path / "x.tif", pixels), tmp_path / "y.tif")
    assert np.abs(tifffile.imread(tmp_path / "y.tif").astype(int) - pixels).max() <= 1
    floats = (pixels / 65_535).astype(np.float32)
    reconstruct_images(unit, tiff(tmp_path / "f.tif", floats), tmp_path / "g.tif")
    np.testing.assert_allclose(tifffile.imread(tmp_path / "g.tif"), floats, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "pixels", "out", "error"),
    [
        ("x.tif", random("uint16", 9, 7, 5), "y.png", r"y.png: PNG has no images with 5 channels of uint16: give a name that ends in .tif"),
        ("x.tif", random("uint16", 9, 7, 4), "y.tif", r"has 4 channels of uint16, but .* on images with 5 channels: give images with"),
        ("x.tif", random("uint8", 9, 7, 5), "y.tif", r"has 5 channels of uint8, but .*: save it with 5 channels of uint16"),
        ("x.tif", random("float32", 9, 7, 5), "y.tif", r"has 5 channels of float32, but .*: save it with 5 channels of uint16"),
        ("x.png", random("uint8", 9, 7, 3), "y.tif", r"has color, but .* on images with 5 channels"),
    ],
    ids=["png", "channels", "bits", "floats", "color"],
)  # fmt: skip
def test_what_is_not_possible_is_one_sentence(
    five: Path, name: str, pixels: Array, out: str, error: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    tiff(path, pixels) if path.suffix == ".tif" else Image.fromarray(pixels).save(path)
    with pytest.raises(DataError, match=error):
        reconstruct_images(five, path, tmp_path / out)
    assert not (tmp_path / out).exists()


def test_a_pixel_that_is_not_finite_is_named_with_its_file(tmp_path: Path) -> None:
    place, pixels = saved(tmp_path / "run", random("float32", 30, SIDE, SIDE)), random("float32", 9, 7)
    pixels[3, 4] = np.nan
    with pytest.raises(DataError, match=r"x\.tif has a pixel that is not a finite number"):
        reconstruct_images(place, tiff(tmp_path / "x.tif", pixels), tmp_path / "y.tif")


def test_an_array_is_restored_in_the_units_of_training(five: Path, tmp_path: Path, capsys: Any) -> None:
    pixels = random("uint16", 9, 7, 5)
    np.save(tmp_path / "x.npy", pixels)
    reconstruct_images(five, tmp_path / "x.npy", tmp_path / "y.npy")
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), pixels, rtol=1e-4, atol=1)
    assert "x.npy is taken in the units of training" in capsys.readouterr().out
    np.save(tmp_path / "many.npy", pixels[None])
    with pytest.raises(DataError, match="which seems to be several images: use --data"):
        reconstruct_images(five, tmp_path / "many.npy", tmp_path / "z.npy")
    with pytest.raises(DataError, match=r"may have several arrays: save the image alone as \.npy"):
        reconstruct_images(five, tmp_path / "x.npz", tmp_path / "z.npy")
    with pytest.raises(RecordError, match=r"expected a name that ends in \.npy"):
        reconstruct_images(five, tmp_path / "x.npy", tmp_path / "z.tif")
    assert not (tmp_path / "z.npy").exists()


def test_anomalies_are_found_in_channels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    images = [(20_000 + rng.normal(0, 300, (12, 10, 5))).astype(np.uint16) for _ in range(12)]
    images[0][4:8, 3:6, 4] += 9_000
    patches = np.concatenate([each[r : r + SIDE, :SIDE][None] for each in images[1:] for r in (0, 4, 8)])
    Path("run").mkdir()
    ae = Autoencoder(2, architecture=MLP(()), epochs=1, random_state=0, kind="images").fit(patches)
    ae.save("run/model.safetensors")
    Path("run/run.json").write_text(json.dumps({"data": "x", "pixels": "uint16", "patches": SIDE}))
    for number, pixels in enumerate(images):
        folder = Path("new" if number < 2 else "normal")
        folder.mkdir(exist_ok=True)
        tiff(folder / f"{number}.tif", pixels)
    options = DataOptions("new", ReadOptions())
    task = ImageTask(Path("run"), options, "normal", None, 0.1, None, Path("s.csv"), Path("d"), False)
    detect_in_images(task)
    found = [line.split(",")[-1] for line in Path("s.csv").read_text().split()[1:]]
    assert found == ["anomalous", "normal"]
    colored = np.ptp(np.asarray(Image.open("s-heat-maps/0.tif.png")).astype(int), axis=2) > 0
    assert colored[5:7, 4].all()
    assert "2 heat maps in s-heat-maps" in capsys.readouterr().out


def test_an_image_without_white_is_shown_from_its_lowest_to_its_highest_numbers() -> None:
    pixels = np.linspace(-3, 900, 200).reshape(10, 10, 2)
    made = heat_overlay(pixels, np.zeros((10, 10)), 1, 3)
    assert (made[..., 0] == made[..., 1]).all()
    assert made[0, 0, 0] == 0
    assert made[-1, -1, 0] == 255
    assert (np.diff(made[..., 0].ravel().astype(int)) >= 0).all()
    assert (heat_overlay(np.full((3, 3), 7, np.int32), np.zeros((3, 3)), 1, 3) == 0).all()
    few = np.zeros((20, 20), np.float32)
    few[3, 4] = 0.001  # the only star of the sky
    assert heat_overlay(few, np.zeros((20, 20)), 1, 3)[..., 0].ravel().nonzero()[0].tolist() == [64]


def test_a_detector_of_arrays_with_64_bits_takes_image_files(tmp_path: Path) -> None:
    place = saved(tmp_path / "run", random("uint8", 30, SIDE, SIDE))
    assert units_of(place, load_autoencoder(place), "int64").dtype == np.uint8
