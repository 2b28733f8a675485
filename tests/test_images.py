"""Folders of images as strangers leave them: counts, labels, pixels, and what is said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hostile_images import CASES, Case, bomb, flat, tree

from isthmus.data import read
from isthmus.data.images import reading
from isthmus.errors import DataError


def first_pixels(X: np.ndarray) -> list[int]:
    return [int(x) for x in X.reshape(len(X), -1)[:, 0]]


def listed(labels: np.ndarray | None) -> list[str] | None:
    return None if labels is None else labels.tolist()


@pytest.mark.promise(17)
@pytest.mark.promise(27)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_hostile_folder_is_read_right_or_refused_in_a_sentence(case: Case, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    path = case.make(folder) or folder
    if case.error:
        with pytest.raises(DataError) as caught:
            read(path, **case.options)
        assert case.error in str(caught.value)
        assert len(str(caught.value)) < 1000
        return
    found = read(path, **case.options)
    assert found.kind == "images"
    assert listed(found.train_labels) == case.labels
    assert listed(found.test_labels) == case.test_labels
    assert (None if found.test is None else first_pixels(found.test)) == case.test
    if case.train is not None:
        assert first_pixels(found.train) == case.train
    if case.pixels is not None:
        assert found.train.dtype == case.pixels.dtype
        np.testing.assert_array_equal(found.train[0], case.pixels)
    assert len(found.notes) == len(case.notes), found.notes
    for note, part in zip(found.notes, case.notes, strict=True):
        assert part in note


@pytest.mark.promise(17)
@pytest.mark.parametrize("skip", [False, True])
def test_an_image_that_is_swapped_after_its_header_was_read_is_noticed(
    skip: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree("a.png", "b.png", "c.png")(tmp_path)
    agreed = reading._check_memory

    def swap(*given: object) -> None:
        flat(99, (300, 400)).save(tmp_path / "b.png")
        agreed(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(reading, "_check_memory", swap)
    if skip:
        found = read(tmp_path, skip_broken=True)
        assert first_pixels(found.train) == [1, 3]
        assert "1 image that is damaged or too large was left out: b.png" in found.notes
    else:
        with pytest.raises(DataError, match=r"b\.png has changed while the images were read"):
            read(tmp_path)


@pytest.mark.promise(17)
def test_an_image_that_becomes_a_link_after_its_header_was_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree("in/a.png", "in/b.png", "secret.png")(tmp_path)

    def swap(*_: object) -> None:
        (tmp_path / "in/b.png").unlink()
        (tmp_path / "in/b.png").symlink_to(tmp_path / "secret.png")

    monkeypatch.setattr(reading, "_check_memory", swap)
    with pytest.raises(DataError, match=r"b\.png is a symbolic link"):
        read(tmp_path / "in")


MEASURE = """
import resource, sys
import numpy, PIL.Image, PIL.ImageOps
from pathlib import Path
from isthmus.data import read
from isthmus.errors import DataError
PIL.Image.init()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read(Path(sys.argv[1]))
except DataError:
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.promise(17)
def test_a_few_bytes_cannot_take_much_memory(tmp_path: Path) -> None:
    (tmp_path / "x.tif").write_bytes(bomb())
    done = subprocess.run([sys.executable, "-c", MEASURE, tmp_path], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 64  # MiB


@pytest.mark.promise(17)
@pytest.mark.parametrize("fill", ["white page", "sky"])
def test_an_image_of_one_color_is_in_proportion(fill: str, tmp_path: Path) -> None:
    """A page that was scanned and is empty is a few hundred bytes for nine million pixels."""
    from PIL import Image

    if fill == "sky":
        Image.new("RGB", (4000, 3000), (90, 130, 200)).save(tmp_path / "x.png")
    else:
        Image.new("1", (2480, 3508), 1).save(tmp_path / "x.tif", compression="group4")
    assert read(tmp_path, resize=(30, 40)).train.shape[:3] == (1, 30, 40)


@pytest.mark.promise(17)
def test_paths_that_no_system_opens_are_a_bounded_sentence(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    before = os.getcwd()
    os.chdir(root)
    try:
        for _ in range(25):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
    finally:
        os.chdir(before)
    try:
        with pytest.raises(DataError, match="lies too deep") as caught:
            read(root)
        assert len(str(caught.value)) < 500
    finally:
        subprocess.run(["rm", "-rf", root], check=True)  # which pytest cannot remove
    assert not root.exists()


@pytest.mark.promise(17)
def test_what_does_not_fit_into_memory_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree("a.png", "b.png")(tmp_path)
    with pytest.raises(
        DataError, match=r"the 2 images .* take 2,6\d\d\.\d GiB, more than this machine has: .*--resize"
    ):
        read(tmp_path, resize=(1_000_000, 1_400_000))


@pytest.mark.promise(17)
def test_thousands_of_broken_images_are_one_bounded_sentence(tmp_path: Path) -> None:
    tree("a.png")(tmp_path)
    for number in range(300):
        (tmp_path / f"{'x' * 200}{number}.png").write_bytes(b"no")
    (note,) = read(tmp_path, skip_broken=True).notes
    assert note.startswith("300 images that are damaged")
    assert note.endswith(", ...")
    assert len(note) < 1500


def test_every_example_says_which_file_it_is_of(tmp_path: Path) -> None:
    tree("train/cat/a.png", "train/dog/b.png", "test/cat/c.png")(tmp_path)
    found = read(tmp_path)
    assert listed(found.ids) == ["train/cat/a.png", "train/dog/b.png"]
    assert listed(found.test_ids) == ["test/cat/c.png"]
    flat(1).save(tmp_path / "x.tif", save_all=True, append_images=[flat(2)])
    assert listed(read(tmp_path / "x.tif", pages="examples").ids) == ["x.tif page 1", "x.tif page 2"]
    assert listed(read(tmp_path / "x.tif", pages="volume").ids) == ["x.tif"]


def test_a_folder_may_be_named_by_a_link(tmp_path: Path) -> None:
    """Whoever names it decides; what lies in it does not."""
    tree("real/cat/a.png")(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert listed(read(tmp_path / "link").train_labels) == ["cat"]
