"""Images of other aspect ratios are stretched, get a border, or are cut off; notes say which and how much."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from isthmus.data import read
from isthmus.data.options import ReadOptions, Reused
from isthmus.errors import DataError, RecordError

RNG = np.random.default_rng(0)
PIXELS = {
    "8-bit": RNG.integers(0, 256, (40, 20)).astype(np.uint8),
    "16-bit": RNG.integers(0, 2**16, (40, 20)).astype(np.uint16),
}
PIXELS["color"] = RNG.integers(0, 256, (40, 20, 3)).astype(np.uint8)


def only(folder: Path, pixels: np.ndarray[Any, Any], **options: Any) -> tuple[np.ndarray[Any, Any], tuple[str, ...]]:
    """The single image of a folder as it is read, and the notes."""
    Image.fromarray(pixels).save(folder / "x.png")
    found = read(folder, **options)
    return np.asarray(found.train)[0], found.notes


@pytest.mark.parametrize("kind", PIXELS)
def test_a_letterboxed_image_is_whole_in_the_middle_and_its_edge_is_the_border(kind: str, tmp_path: Path) -> None:
    pixels = PIXELS[kind]
    tall, notes = only(tmp_path, pixels, resize=(40, 30), fit="letterbox")
    np.testing.assert_array_equal(tall[:, 5:25], pixels)
    for column in range(5):
        np.testing.assert_array_equal(tall[:, column], pixels[:, 0])
        np.testing.assert_array_equal(tall[:, 25 + column], pixels[:, -1])
    assert notes == (
        "1 image was resized to 40x30 with the aspect ratio kept and a border that repeats the pixels at the edge",
        "33% of the pixels of these images are border, and at most 33% of an image",
    )
    wide, _ = only(tmp_path, pixels.swapaxes(0, 1), resize=(30, 40), fit="letterbox")
    np.testing.assert_array_equal(wide, tall.swapaxes(0, 1))


@pytest.mark.parametrize("kind", PIXELS)
def test_a_cropped_image_is_the_middle(kind: str, tmp_path: Path) -> None:
    pixels = PIXELS[kind]
    square, notes = only(tmp_path, pixels, resize=(20, 20), fit="crop")
    np.testing.assert_array_equal(square, pixels[10:30])
    assert notes == (
        "1 image was resized to 20x20 with the aspect ratio kept and two sides cut off",
        "50% of the pixels of these images are cut off, and at most 50% of an image",
    )
    turned, _ = only(tmp_path, pixels.swapaxes(0, 1), resize=(20, 20), fit="crop")
    np.testing.assert_array_equal(turned, square.swapaxes(0, 1))


def test_images_whose_aspect_ratio_changes_are_counted(tmp_path: Path) -> None:
    for number, size in enumerate([(40, 20), (20, 10), (30, 20), (10, 20), (41, 20)]):  # the last differs by rounding
        Image.fromarray(np.zeros(size, np.uint8)).save(tmp_path / f"{number}.png")
    assert read(tmp_path, resize=(20, 10)).notes == (
        "4 images were resized to 20x10",
        "2 images change their aspect ratio, by a factor of up to 4.00: to keep it, use fit='letterbox' or 'crop' (--fit)",
    )
    assert len(read(tmp_path, resize=(20, 10), cache=0).notes) == 3
    for fit in ("letterbox", "crop"):
        assert not any("change" in note for note in read(tmp_path, resize=(20, 10), fit=fit).notes)


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "crop"])
def test_the_same_aspect_ratio_is_resized_in_the_same_way(fit: str, tmp_path: Path) -> None:
    pixels, notes = only(tmp_path, PIXELS["color"], resize=(20, 10), fit=fit)
    resized = Image.fromarray(PIXELS["color"]).resize((10, 20), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(pixels, np.asarray(resized))
    assert notes == ("1 image was resized to 20x10",)


@pytest.mark.parametrize("fit", ["letterbox", "crop"])
def test_very_long_images_and_images_in_their_files_get_the_size_too(fit: str, tmp_path: Path) -> None:
    for number, size in enumerate([(1, 200), (200, 1), (7, 3), (64, 64), (3, 2)]):
        Image.fromarray(RNG.integers(0, 256, size).astype(np.uint8)).save(tmp_path / f"{number}.png")
    whole, left = read(tmp_path, resize=(9, 8), fit=fit), read(tmp_path, resize=(9, 8), fit=fit, cache=0)
    assert whole.train.shape == (5, 9, 8)
    np.testing.assert_array_equal(np.asarray(left.train), whole.train)
    assert left.notes[:-1] == whole.notes
    again = read(tmp_path, reused=Reused(ReadOptions(resize=(9, 8), fit=fit)))  # as the data of a run
    np.testing.assert_array_equal(again.train, whole.train)


def test_invalid_choices_raise_one_sentence(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "x.png")
    with pytest.raises(
        DataError,
        match=r"fit='crop' \(--fit\) says how images are resized, and they are not: give resize too \(--resize 64x64\)",
    ):
        read(tmp_path, fit="crop")
    with pytest.raises(RecordError, match="fit"):
        read(tmp_path, fit="squeeze", resize=(4, 4))
