"""Image files that a run restores: their units and depths, what is checked before the first is written, and what is kept of a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from test_any_size import copying, page, pixels_of, random_pixels
from test_cli import run

from isthmus import Autoencoder, data
from isthmus.architectures import MLP, Conv
from isthmus.bottlenecks import Identity
from isthmus.cli.images import reconstruct_images
from isthmus.data.options import ReadOptions
from isthmus.errors import DataError, RecordError
from isthmus.experiments import run_data, run_folder
from isthmus.experiments.run_record import DataSource
from isthmus.experiments.run_record import pixels_of as dtypes_of
from isthmus.likelihoods import Multinomial, Normal
from isthmus.scaling import Standard

Array = NDArray[Any]


def saved(folder: Path, examples: Array, **about: Any) -> Path:
    """A run whose reconstructions are the examples themselves."""
    folder.mkdir()
    copying(folder / "model.safetensors", examples)
    known = {"data": "pages", "recipe": "deep", "command": "", **about}
    (folder / "run.json").write_text(json.dumps(known))
    return folder


def image(path: Path, pixels: Array, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


# Units


def test_pairs_of_images_have_one_depth(tmp_path: Path) -> None:
    for name, dtype in (("dirty", np.uint8), ("clean", np.uint16)):
        for number in range(2):
            image(tmp_path / name / f"{number}.png", random_pixels(8, 8, dtype=dtype))
    source = DataSource(str(tmp_path / "dirty"), ReadOptions(), target=str(tmp_path / "clean"))
    with pytest.raises(DataError, match="dirty have 8 bits, and those of clean 16: save all with 8 bits"):
        source.read()


def test_a_run_of_targets_in_another_unit_writes_no_image(tmp_path: Path) -> None:
    place = saved(tmp_path / "run", random_pixels(30, 4, 4), pixels="uint8 to uint16")
    with pytest.raises(DataError, match=r"different units \(uint8 to uint16\): use ae.reconstruct_image"):
        reconstruct_images(place, image(tmp_path / "page.png", random_pixels(9, 7)), tmp_path / "clean.png")
    assert not (tmp_path / "clean.png").exists()


@pytest.mark.filterwarnings("ignore:these examples lie far outside")
def test_a_reconstruction_in_another_unit_is_not_written(tmp_path: Path) -> None:
    X = random_pixels(30, 4, 4)
    ae = Autoencoder(Identity(16), architecture=Conv((2,), code="map"), likelihood=Normal(), kind="images")
    ae.set_params(epochs=30, random_state=0, batch_size=10).fit(X, target=X.astype(np.uint16) // 16 * 4096 + 4000)
    ae.save(tmp_path / "run")
    with pytest.raises(DataError, match=r"the reconstruction of .*page.png has values from"):
        reconstruct_images(tmp_path / "run", image(tmp_path / "page.png", X[0]), tmp_path / "clean.png")
    assert not (tmp_path / "clean.png").exists()


def test_a_black_reconstruction_of_a_bright_image_is_a_note(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, made = random_pixels(30, 4, 4, dtype=np.uint16), Autoencoder.reconstruct_image
    place, source = copying(tmp_path / "run", X), image(tmp_path / "page.png", X[0])
    reconstruct_images(place, source, tmp_path / "clean.png")
    assert "were in another unit" not in capsys.readouterr().out
    monkeypatch.setattr(Autoencoder, "reconstruct_image", lambda *given, **options: made(*given, **options) / 300)
    reconstruct_images(place, source, tmp_path / "black.png")
    assert "were in another unit, use ae.reconstruct_image" in capsys.readouterr().out


@pytest.mark.parametrize(
    "examples", [page(30, 4, 4) * 2 - 1, page(30, 4, 4) * 100, page(30, 4, 4) * 6 - 3], ids=["signed", "%", "normal"]
)
def test_a_run_of_other_numbers_than_pixels_writes_no_image(tmp_path: Path, examples: Array) -> None:
    copying(tmp_path / "run", examples)
    with pytest.raises(DataError, match=r"whole numbers from 0 to 255 or 65,535: use ae.reconstruct_image in Python"):
        reconstruct_images(tmp_path / "run", image(tmp_path / "page.png", random_pixels(9, 7)), tmp_path / "clean.png")
    assert not (tmp_path / "clean.png").exists()


def test_whole_percent_are_no_pixels_by_the_record(tmp_path: Path) -> None:
    place = saved(tmp_path / "run", np.rint(100 * page(30, 4, 4)), pixels="float32")
    with pytest.raises(DataError, match="was trained on values from 0 to 100, and images have whole numbers"):
        reconstruct_images(place, image(tmp_path / "page.png", random_pixels(9, 7)), tmp_path / "clean.png")


def test_dark_images_with_16_bits_are_known_by_the_record(tmp_path: Path, capsys: Any) -> None:
    dark = np.random.default_rng(0).integers(0, 200, (30, 4, 4), np.uint16)
    place = saved(tmp_path / "run", dark, pixels="uint16")
    source = image(tmp_path / "page.png", np.tile(dark[0], (2, 3)))
    reconstruct_images(place, source, tmp_path / "clean.png")
    np.testing.assert_array_equal(pixels_of(tmp_path / "clean.png"), np.tile(dark[0], (2, 3)))
    assert "which are taken as" not in capsys.readouterr().out
    with pytest.raises(DataError, match=r"has 8 bits, but .*save it with 16 bits"):
        reconstruct_images(place, image(tmp_path / "b.png", random_pixels(9, 7)), tmp_path / "c.png")


def test_guessed_units_are_a_note(tmp_path: Path, capsys: Any) -> None:
    source = image(tmp_path / "page.png", random_pixels(9, 7))
    for name, examples, note in (
        ("bytes", random_pixels(30, 4, 4), "from 0 to 255, which are taken as pixels with 8 bits"),
        ("unit", page(30, 4, 4), "whole numbers of files are divided by the largest number of their bits"),
    ):
        copying(tmp_path / name, examples)
        reconstruct_images(tmp_path / name, source, tmp_path / f"{name}.png")
        assert note in capsys.readouterr().out


def test_the_record_holds_the_dtype_of_images(tmp_path: Path) -> None:
    for number in range(12):
        image(tmp_path / "pages" / f"{number}.png", random_pixels(8, 8, dtype=np.uint16, state=number))
    words = ["train", "simple", "epochs=1", "--data", "pages", "--out", "run"]
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "run.json").read_text())["pixels"] == "uint16"
    found = data.read(tmp_path / "pages")
    assert dtypes_of(found) == "uint16"


# Hints and damaged records of runs of patches


def test_a_run_of_patches_advises_patches(tmp_path: Path) -> None:
    place = saved(tmp_path / "run", random_pixels(30, 4, 4), patches=4)
    source = DataSource(str(image(tmp_path / "page.png", random_pixels(9, 7))), ReadOptions(patches=6))
    with pytest.raises(DataError) as caught:
        run_data.load_examples(place, source)
    assert f"--patches 4, or reconstruct whole images: isthmus reconstruct {place} IMAGES" in str(caught.value)
    assert "--resize" not in str(caught.value)


def test_patches_of_another_size_than_the_model_are_a_damaged_record(tmp_path: Path) -> None:
    place = saved(tmp_path / "run", random_pixels(30, 4, 4), patches=5)
    with pytest.raises(DataError, match="it cuts images into patches of 5x5 pixels, but the model expects"):
        run_folder.check_image_size(place, run_folder.open_run(place))


# What is checked before the first image is written, and what is said after an error


def test_depths_of_all_images_are_checked_first(tmp_path: Path) -> None:
    copying(tmp_path / "run", random_pixels(30, 4, 4))
    for name, dtype in (("a", np.uint8), ("b", np.uint16)):
        image(tmp_path / "scans" / f"{name}.png", random_pixels(9, 7, dtype=dtype))
    with pytest.raises(DataError, match=r"b\.png has 16 bits"):
        reconstruct_images(tmp_path / "run", tmp_path / "scans", tmp_path / "clean")
    copying(tmp_path / "color", random_pixels(30, 4, 4, 3))
    with pytest.raises(DataError, match=r"b\.png is gray with 16 bits"):
        reconstruct_images(tmp_path / "color", tmp_path / "scans", tmp_path / "clean")
    assert not (tmp_path / "clean").exists()


def test_folders_that_cannot_be_made_are_an_error_first(tmp_path: Path) -> None:
    copying(tmp_path / "run", random_pixels(30, 4, 4))
    for name in ("a.png", "b/c.png"):
        image(tmp_path / "scans" / name, random_pixels(9, 7))
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean" / "b").write_text("a file")
    with pytest.raises(DataError, match=r"clean/b is a file, and images would be written into it"):
        reconstruct_images(tmp_path / "run", tmp_path / "scans", tmp_path / "clean")
    assert [each.name for each in (tmp_path / "clean").iterdir()] == ["b"]
    for name in ("a.bmp", "a.png/c.png"):
        image(tmp_path / "others" / name, random_pixels(9, 7))
    with pytest.raises(DataError, match=r"new/a\.png would be a folder of images, and the reconstruction of .*a\.bmp"):
        reconstruct_images(tmp_path / "run", tmp_path / "others", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_after_an_error_it_is_said_what_is_written(tmp_path: Path, capsys: Any) -> None:
    copying(tmp_path / "run", random_pixels(30, 4, 4))
    Image.fromarray(random_pixels(9, 7, 3)).save(image(tmp_path / "scans" / "a.png", random_pixels(9, 7)))
    whole = image(tmp_path / "scans" / "b.png", random_pixels(90, 70)).read_bytes()
    (tmp_path / "scans" / "b.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"b\.png is damaged"):
        reconstruct_images(tmp_path / "run", tmp_path / "scans", tmp_path / "clean")
    said = capsys.readouterr().out
    assert "note: only 1 of 2 images are written in" in said
    assert "note: 1 image was converted from color to gray" in said


# What is kept of a file


@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize(("name", "shape"), [("gray", ()), ("color", (3,))])
def test_resolution_and_profile_are_kept(tmp_path: Path, ending: str, name: str, shape: tuple[int, ...]) -> None:
    copying(tmp_path / "run", random_pixels(30, 4, 4, *shape))
    source = image(tmp_path / f"a{ending}", random_pixels(9, 7, *shape), dpi=(300, 150), icc_profile=b"a profile")
    reconstruct_images(tmp_path / "run", source, tmp_path / f"b{ending}")
    with Image.open(tmp_path / f"b{ending}") as found:
        assert found.info["icc_profile"] == b"a profile"
        assert found.info["dpi"] == pytest.approx((300, 150), abs=0.05)


def test_the_resolution_is_rotated_with_the_pixels(tmp_path: Path) -> None:
    copying(tmp_path / "run", random_pixels(30, 4, 4))
    exif = Image.Exif()
    exif[0x0112] = 6
    source = image(tmp_path / "a.png", random_pixels(9, 7), dpi=(300, 150), exif=exif)
    reconstruct_images(tmp_path / "run", source, tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as found:
        assert found.size == (9, 7)
        assert found.info["dpi"] == pytest.approx((150, 300), abs=0.05)


def test_a_profile_of_other_colors_is_left_out_with_a_note(tmp_path: Path, capsys: Any) -> None:
    copying(tmp_path / "run", random_pixels(30, 4, 4))
    source = image(tmp_path / "a.png", random_pixels(9, 7, 3), icc_profile=b"a profile")
    reconstruct_images(tmp_path / "run", source, tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as found:
        assert "icc_profile" not in found.info
    assert (
        "1 image was written without its color profile, which does not describe gray pixels" in capsys.readouterr().out
    )


# Why an image is reconstructed as patches


@pytest.mark.parametrize(
    ("architecture", "examples", "choices", "why"),
    [
        (MLP((4,)), random_pixels(20, 4, 4), {}, "because its architecture is not fully convolutional"),
        (
            Conv((2,), code="map"),
            random_pixels(20, 4, 4),
            {"scaling": Standard()},
            "its scaling has a unit for each pixel",
        ),
        (
            Conv((2,), code="map"),
            random_pixels(20, 4, 4),
            {"likelihood": Multinomial()},
            "its likelihood divides the total",
        ),
    ],
    ids=["dense", "scaled", "totals"],
)
def test_the_reason_for_patches_is_said(
    tmp_path: Path, capsys: Any, architecture: Any, examples: Array, choices: dict[str, Any], why: str
) -> None:
    ae = Autoencoder(Identity(2), architecture=architecture, epochs=1, random_state=0, kind="images")
    ae.set_params(**choices).fit(examples).save(tmp_path / "run")
    reconstruct_images(tmp_path / "run", image(tmp_path / "a.png", random_pixels(9, 7)), tmp_path / "b.png")
    assert why in capsys.readouterr().out


def test_names_are_printable(tmp_path: Path, capsys: Any) -> None:
    copying(tmp_path / "r\x1bn", random_pixels(30, 4, 4))
    for name in "ab":
        image(tmp_path / "scans" / f"{name}.png", random_pixels(9, 7))
    reconstruct_images(tmp_path / "r\x1bn", tmp_path / "scans", tmp_path / "o\x1bt")
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "written: 2 images in" in said


# Notes on patches


def test_other_data_of_a_run_of_patches_are_cut_without_a_promise(tmp_path: Path) -> None:
    place = saved(tmp_path / "run", random_pixels(30, 4, 4), patches=4)
    _, found = run_data.load_examples(place, DataSource(str(image(tmp_path / "a.png", random_pixels(8, 8)))))
    assert "1 image was cut into 4 patches of 4x4 pixels" in found.notes
    own = saved(tmp_path / "own", random_pixels(30, 4, 4), patches=4, data=str(tmp_path / "a.png"))
    _, found = run_data.load_examples(own)
    assert any(note.startswith("1 image was cut into 4 patches") and "held out" in note for note in found.notes)


def test_one_training_image_and_a_test_folder_promise_no_groups(tmp_path: Path) -> None:
    image(tmp_path / "pages" / "train" / "a.png", random_pixels(8, 8))
    for name in "bc":
        image(tmp_path / "pages" / "test" / f"{name}.png", random_pixels(8, 8))
    found = data.read(tmp_path / "pages", patches=4)
    assert found.groups is None
    said = next(note for note in found.notes if "patches" in note)
    assert said.endswith(
        "; the test images are others, but patches of the one training image may be held out for validation"
    )


def test_detection_and_evaluation_say_what_they_count(tmp_path: Path) -> None:
    for label in ("good", "bad"):
        for number in range(6):
            image(tmp_path / "pages" / label / f"{number}.png", random_pixels(8, 8, state=number + 10 * len(label)))
    place = saved(tmp_path / "run", random_pixels(30, 4, 4), patches=4, data=str(tmp_path / "pages"))
    labels = "the examples are patches of 4x4 pixels: labels are those of the whole images"
    done = run("evaluate", str(place), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"note: {labels}" in done.stdout
    assert "the guarantee counts" not in done.stdout
    done = run("detect", str(place), "--data", str(tmp_path / "pages"), "--patches", "4", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{labels}, and the guarantee counts patches and not images" in done.stdout


def test_damaged_images_of_a_folder_are_skipped_when_asked_for(tmp_path: Path, capsys: Any) -> None:
    place, folder = saved(tmp_path / "run", random_pixels(30, 4, 4), pixels="uint8"), tmp_path / "pages"
    whole = random_pixels(9, 7)
    image(folder / "a.png", whole)
    (folder / "empty.png").write_bytes(b"")
    noise = image(folder / "half.png", random_pixels(90, 70)).read_bytes()
    (folder / "half.png").write_bytes(noise[: len(noise) // 2])  # its header is complete
    with pytest.raises(DataError, match=r"empty.png is empty.*; or skip broken images with --skip-broken"):
        reconstruct_images(place, folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    reconstruct_images(place, folder, tmp_path / "out", skip_broken=True)
    said = " ".join(capsys.readouterr().out.split())
    assert "note: 2 images that are damaged or too large were skipped: empty.png, half.png" in said
    assert "written: 1 image in" in said
    assert "only" not in said.partition("written")[2]
    np.testing.assert_array_equal(pixels_of(tmp_path / "out/a.png"), whole)
    (folder / "a.png").unlink()
    with pytest.raises(DataError, match="has no readable image"):
        reconstruct_images(place, folder, tmp_path / "out2", skip_broken=True)
    with pytest.raises(RecordError, match="--skip-broken is for a folder"):
        reconstruct_images(place, folder / "half.png", tmp_path / "x.png", skip_broken=True)
