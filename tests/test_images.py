"""Folders of images as strangers leave them: counts, labels, pixels, and what is said."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hostile_images import CASES, Case, bomb, flat, tree
from PIL import Image
from sklearn.base import clone
from test_cli import run as cli

import isthmus
from isthmus import Autoencoder
from isthmus.architectures import MLP
from isthmus.bottlenecks import Identity
from isthmus.data import Dataset, read
from isthmus.data.images import reading
from isthmus.errors import DataError, IsthmusWarning
from isthmus.experiments.splits import split
from isthmus.experiments.validation_set import validation_examples


def first_pixels(X: np.ndarray) -> list[int]:
    return [int(x) for x in X.reshape(len(X), -1)[:, 0]]


def listed(labels: np.ndarray | None) -> list[str] | None:
    return None if labels is None else labels.tolist()


@pytest.mark.promise(17)
@pytest.mark.promise(27)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_hostile_folder_is_read_correctly_or_refused_with_one_sentence(case: Case, tmp_path: Path) -> None:
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
def test_an_image_replaced_after_its_header_was_read_is_detected(
    skip: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree("a.png", "b.png", "c.png")(tmp_path)
    agreed = reading.check_memory

    def swap(*given: object) -> None:
        flat(99, (300, 400)).save(tmp_path / "b.png")
        agreed(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(reading, "check_memory", swap)
    if skip:
        found = read(tmp_path, skip_broken=True)
        assert first_pixels(found.train) == [1, 3]
        assert "1 image that is damaged or too large was skipped: b.png" in found.notes
    else:
        with pytest.raises(DataError, match=r"b\.png changed while the images were read"):
            read(tmp_path)


@pytest.mark.promise(17)
def test_an_image_that_becomes_a_link_after_its_header_was_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree("in/a.png", "in/b.png", "secret.png")(tmp_path)

    def swap(*_: object) -> None:
        (tmp_path / "in/b.png").unlink()
        (tmp_path / "in/b.png").symlink_to(tmp_path / "secret.png")

    monkeypatch.setattr(reading, "check_memory", swap)
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
def test_a_small_file_cannot_take_much_memory(tmp_path: Path) -> None:
    (tmp_path / "x.tif").write_bytes(bomb())
    done = subprocess.run([sys.executable, "-c", MEASURE, tmp_path], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 64  # MiB


@pytest.mark.promise(17)
@pytest.mark.parametrize("fill", ["white page", "sky"])
def test_an_image_of_one_color_is_accepted(fill: str, tmp_path: Path) -> None:
    """A page that was scanned and is empty is a few hundred bytes for nine million pixels."""
    if fill == "sky":
        Image.new("RGB", (4000, 3000), (90, 130, 200)).save(tmp_path / "x.png")
    else:
        Image.new("1", (2480, 3508), 1).save(tmp_path / "x.tif", compression="group4")
    assert read(tmp_path, resize=(30, 40)).train.shape[:3] == (1, 30, 40)


@pytest.mark.promise(17)
def test_paths_that_are_too_long_raise_one_bounded_sentence(tmp_path: Path) -> None:
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
        with pytest.raises(DataError, match="is nested too deeply") as caught:
            read(root)
        assert len(str(caught.value)) < 500
    finally:
        subprocess.run(["rm", "-rf", root], check=True)  # which pytest cannot remove
    assert not root.exists()


@pytest.mark.promise(17)
def test_images_larger_than_memory_are_refused_before_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree("a.png", "b.png")(tmp_path)
    with pytest.raises(
        DataError, match=r"the 2 images .* need 2,6\d\d\.\d GiB, more than the memory of this machine; .*--resize"
    ):
        read(tmp_path, resize=(1_000_000, 1_400_000))


@pytest.mark.promise(17)
def test_thousands_of_damaged_images_give_one_bounded_sentence(tmp_path: Path) -> None:
    tree("a.png")(tmp_path)
    for number in range(300):
        (tmp_path / f"{'x' * 200}{number}.png").write_bytes(b"no")
    (note,) = read(tmp_path, skip_broken=True).notes
    assert note.startswith("300 images that are damaged")
    assert note.endswith(", ...")
    assert len(note) < 1500


def test_every_example_has_the_path_of_its_file(tmp_path: Path) -> None:
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


TINY = Autoencoder(Identity(2), architecture=MLP(4), epochs=1, random_state=0, device="cpu")


@pytest.mark.promise(27)
@pytest.mark.parametrize("shape", [(6, 3, 8, 9), (6, 1, 8, 9), (6, 4, 8, 9), (6, 1, 5, 6, 7)])
def test_channels_first_images_warn_and_are_not_transposed(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    X = rng.integers(0, 256, shape, np.uint8)
    with pytest.warns(IsthmusWarning, match=r"first, .*np\.moveaxis\(X, 1, -1\), examples of shape"):
        ae = clone(TINY).fit(X)
    assert ae.shape_ == shape[1:]
    with pytest.raises(DataError, match=r"its channels come last: pass np\.moveaxis\(X, -1, 1\)"):
        ae.encode(np.moveaxis(X, 1, -1))
    last = clone(TINY).fit(np.moveaxis(X, 1, -1))
    with pytest.raises(DataError, match=r"its channels come first: pass np\.moveaxis\(X, 1, -1\)"):
        last.encode(X)


@pytest.mark.parametrize("shape", [(6, 8, 9, 3), (6, 8, 9), (6, 3, 4, 4), (6, 2, 8, 9), (6, 30)])
def test_other_shapes_do_not_warn_about_channels(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    clone(TINY).fit(rng.integers(0, 256, shape, np.uint8))  # warnings are errors


@pytest.mark.parametrize("kind", ["images", "table"])
def test_identical_examples_give_advice(kind: str, rng: np.random.Generator) -> None:
    X = np.full((30, 6, 5) if kind == "images" else (30, 4), 7, np.uint8 if kind == "images" else np.float64)
    found = isthmus.evaluate(clone(TINY).fit(X), X[:5], train=X[5:])
    assert [advice.rule for advice in found.advice] == ["all alike"]
    assert "lr" not in found.advice[0].text
    one = X.copy()
    one[20, 0] += 1
    assert "all alike" not in {
        each.rule for each in isthmus.evaluate(clone(TINY).fit(one), one[:5], train=one[5:]).advice
    }


@pytest.mark.promise(22)
def test_thousands_of_arrays_give_one_bounded_sentence(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", **{f"array {number}": np.zeros(1) for number in range(2000)})
    with pytest.raises(DataError, match=r"2,000 arrays: array 0, .*\.\.\.") as caught:
        read(tmp_path / "x.npz")
    assert len(str(caught.value)) < 500
    with pytest.raises(DataError, match="has no array 'y'") as caught:
        read(tmp_path / "x.npz", labels="y")
    assert len(str(caught.value)) < 500


def run(*words: str, cwd: Path) -> str:
    done = cli(*words, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.promise(17)
@pytest.mark.parametrize("ending", ["gif", "png", "webp", "tif"])
def test_a_truncated_animation_is_read_completely_or_not_at_all(ending: str, tmp_path: Path) -> None:
    pages = [Image.fromarray(np.random.default_rng(n).integers(0, 256, (8, 8), dtype=np.uint8)) for n in range(4)]
    path = tmp_path / f"x.{ending}"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    whole = path.read_bytes()
    for length in [*range(40, len(whole), 13), len(whole) - 1]:
        path.write_bytes(whole[:length])
        try:
            found = len(read(path, pages="examples").train)
        except DataError as error:
            assert path.name in str(error)  # noqa: PT017  # either is right
        else:
            assert found == 4, f"{found} of 4 pages after {length} of {len(whole)} bytes"
    path.write_bytes(whole + b"behind")
    assert len(read(path, pages="examples").train) == 4


@pytest.mark.promise(17)
@pytest.mark.parametrize(("ending", "frames"), [("gif", 4), ("gif", 1), ("png", 4), ("webp", 4), ("tif", 4)])
def test_the_first_page_of_a_truncated_file_is_read_with_a_note(ending: str, frames: int, tmp_path: Path) -> None:
    pages = [Image.fromarray(np.random.default_rng(n).integers(0, 256, (8, 8), dtype=np.uint8)) for n in range(frames)]
    path = tmp_path / f"x.{ending}"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    whole, first = path.read_bytes(), read(path)
    assert not any("truncated" in note for note in first.notes)
    said = 0
    for length in [*range(1, len(whole), 13), len(whole) - 1]:
        path.write_bytes(whole[:length])
        try:
            found = read(path)
        except DataError as error:
            assert path.name in str(error)  # noqa: PT017  # either is right
            continue
        np.testing.assert_array_equal(found.train, first.train)
        cut = [note for note in found.notes if note.startswith("1 file is truncated after the first page or frame")]
        said += len(cut)
        # the pixels of further pages of a TIFF are not looked at; that there are such pages is said
        assert cut or (ending == "tif" and "more pages" in str(found.notes)), f"{length} of {len(whole)}: {found.notes}"
    assert said or ending == "webp"  # which is refused wherever it is cut
    path.write_bytes(whole + b"behind")
    assert read(path).notes == first.notes


@pytest.fixture(scope="module")
def bottle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a folder of the anomaly layout: bright spots on gray, brought from 12 x 10 to 8 x 8."""
    folder = tmp_path_factory.mktemp("bottle")
    rng = np.random.default_rng(0)

    def image(name: str, spot: int) -> None:
        values = rng.integers(90, 110, (12, 10, 3)).astype(np.uint8)
        values[4:9, 3:8] += np.uint8(spot)
        (folder / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(folder / "data" / name)

    for number in range(40):
        image(f"train/good/{number}.png", 0)
        image(f"test/good/{number}.png", 0)
    for number in range(6):
        image(f"test/spot/{number}.png", 120)
        image(f"ground_truth/spot/{number}_mask.png", 150)
    words = ("epochs=2", "architecture.hidden=8", "bottleneck.size=2", "--data", "data", "--resize", "8x8")
    out = run("train", *words, "--out", "r", cwd=folder)
    assert "train 40 (good), test 46 (good, spot), 6 masks set aside" in out
    assert "86 images were resized to 8x8" in out
    assert ", 1 class (data)" in out
    assert (
        "the validation loss is computed on 40 held-out examples; 6 others are of classes that are not trained on (spot)"
        in out
    )
    return folder


def test_held_out_anomalies_are_excluded_from_the_validation_loss(bottle: Path) -> None:
    good = [
        np.asarray(Image.open(bottle / f"data/test/good/{n}.png").resize((8, 8), Image.Resampling.BILINEAR))
        for n in range(40)
    ]
    with (bottle / "r/history.csv").open(newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert float(last["val_loss"]) == pytest.approx(-isthmus.load(bottle / "r").score(np.stack(good)), rel=1e-5)


@pytest.mark.promise(25)
def test_detection_uses_the_test_part_without_calibrating_on_its_anomalies(bottle: Path) -> None:
    out = run("detect", "r", "--data", "data", "--false-alarm-rate", "0.1", cwd=bottle)
    assert "its 46 examples are used, not the 40 of the training part" in out
    assert "40 held-out examples are used as normal" in out
    assert "6 of other classes are not used (spot)" in out
    with (bottle / "anomalies.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 46
    assert all(row["verdict"] == "anomalous" for row in rows[40:])  # good before spot
    assert sum(row["verdict"] == "anomalous" for row in rows[:40]) < 10


def test_a_comparison_reports_how_data_were_read_and_a_detector_how_many_examples_it_requires(bottle: Path) -> None:
    said = run("compare", "r", "r", cwd=bottle)
    assert "test 46 (good, spot), 6 masks set aside" in said
    few = bottle / "few"
    few.mkdir()
    for number in range(2):
        Image.fromarray(np.full((8, 8, 3), 100 + number, np.uint8)).save(few / f"{number}.png")
    done = cli("detect", "r", "--data", "data", "--normal", "few", cwd=bottle)
    assert "requires at least 5 normal examples that r was not trained on, but there are 2: give" in done.stderr


@pytest.mark.promise(27)
def test_new_images_are_read_like_those_of_the_run(bottle: Path) -> None:
    gray = Image.open(bottle / "data/test/spot/0.png").convert("L")
    gray.save(bottle / "gray.png")
    for name, notes in {"data/test/spot/0.png": 2, "gray.png": 3}.items():
        out = run("encode", "r", "--data", name, "--out", "codes.npy", cwd=bottle)
        assert "1 image was resized to 8x8" in out
        assert "1 image changes its aspect ratio, by a factor of up to 1.20\n" in out
        assert out.partition("written:")[0].count("note:") == notes
        assert "a .npy file cannot contain the ids" in out
    assert "1 image was converted from gray to color" in out
    expected = np.asarray(gray.convert("RGB").resize((8, 8), Image.Resampling.BILINEAR))[None]
    np.testing.assert_array_equal(np.load(bottle / "codes.npy"), isthmus.load(bottle / "r").encode(expected))


def _photo_and(other: str, folder: Path, count: int, values: int) -> None:
    """Photographs with many values, and beside each an image of the same name with few or many."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / f"{number}.jpg")
        Image.fromarray(rng.integers(0, values, (16, 16), np.uint8)).save(folder / f"{number}{other}")


@pytest.mark.promise(27)
@pytest.mark.parametrize("other", [".png", ".tif", ".PNG"])
def test_masks_with_the_names_of_photographs_are_excluded(other: str, tmp_path: Path) -> None:
    _photo_and(other, tmp_path / "train/cat", 3, 4)
    _photo_and(other, tmp_path / "test/cat", 2, 4)
    found = read(tmp_path)
    assert (len(found.train), len(found.test)) == (3, 2)
    assert [str(name)[-4:] for name in found.ids] == [".jpg"] * 3
    assert found.notes[0].startswith("train 3 (cat), test 2 (cat) (by")
    assert found.notes[1].startswith(f"5 masks were set aside (0{other}, 1{other}, ")
    assert len(read(tmp_path, split="none").train) == 10


@pytest.mark.promise(27)
def test_one_image_with_two_file_extensions_is_two_examples_with_a_note(tmp_path: Path) -> None:
    _photo_and(".png", tmp_path / "copies", 3, 256)
    found = read(tmp_path / "copies")
    assert len(found.train) == 6
    assert found.notes[0].startswith("3 names belong to several images (0.jpg, 0.png): each is an example")
    _photo_and(".png", tmp_path / "some", 3, 4)
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(tmp_path / "some/1.png")
    assert len(read(tmp_path / "some").train) == 6  # not masks of some and examples of others
    (tmp_path / "drawn").mkdir()
    for ending in ("bmp", "png"):
        Image.fromarray(np.eye(16, dtype=np.uint8)).save(tmp_path / f"drawn/0.{ending}")
    found = read(tmp_path / "drawn")
    assert len(found.train) == 2
    assert found.notes[0].startswith("1 name belongs to several images (0.bmp, 0.png)")


@pytest.mark.promise(27)
@pytest.mark.parametrize(
    ("below", "labels", "said"),
    [
        (["images"], None, "the folder images contains all images and is not a class: images in it have no labels"),
        (
            ["Data/imgs"],
            None,
            "the folder Data/imgs contains all images and is not a class: images in it have no labels",
        ),
        (["photos/a", "photos/b"], ["a", "b"], "the folder photos contains all images and is not a class: classes are"),
        (["PetImages/a", "PetImages/b"], ["a", "b"], "the folder PetImages contains all images and is not a class"),
        (["cat"], ["cat"], None),
        (["images", "cat"], ["cat", "images"], None),
    ],
)
def test_one_folder_of_all_images_is_not_a_class(
    below: list[str], labels: list[str] | None, said: str | None, tmp_path: Path
) -> None:
    for name in below:
        (tmp_path / name).mkdir(parents=True)
        Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / name / "0.png")
    found = read(tmp_path)
    assert listed(found.train_labels) == labels
    assert (found.notes[0].startswith(said) and len(found.notes) == 1) if said else found.notes == ()
    whole = sorted({name.split("/")[0] for name in below})
    assert sorted({str(label) for label in read(tmp_path, split="none").train_labels}) == whole


@pytest.mark.parametrize(("mode", "size"), [("I;16", (8, 8)), ("L", (6, 8))])
def test_pages_that_do_not_fit_each_other_are_named(mode: str, size: tuple[int, int], tmp_path: Path) -> None:
    other = Image.fromarray(np.ones(size, np.uint16 if mode == "I;16" else np.uint8))
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / "a.tif", save_all=True, append_images=[other])
    with pytest.raises(DataError, match=r"page 1 of .*a\.tif .* page 2 of .*a\.tif"):
        read(tmp_path / "a.tif", pages="examples")


def _tell(folder: Path) -> Path:
    """Images with labels, one of which only test examples have."""
    for number, part in enumerate([*["train/a", "train/b", "test/a", "test/b"] * 2, "test/new", "test/new"]):
        (folder / "tell" / part).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((6, 6), 20 * number, np.uint8)).save(folder / f"tell/{part}/{number}.png")
    return folder


@pytest.mark.thorough
@pytest.mark.promise(27)
def test_a_validation_part_is_used_for_the_validation_loss_and_the_test_part_for_evaluation(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part, count in {"train/good": 30, "val/good": 7, "val/spot": 2, "test/good": 5}.items():
        (tmp_path / "data" / part).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(rng.integers(0, 256, (6, 6), np.uint8)).save(tmp_path / f"data/{part}/{number}.png")
    found = read(tmp_path / "data")
    assert found.validation is not None
    assert (len(found.train), len(found.validation), len(found.test)) == (30, 9, 5)
    assert listed(found.validation_labels) == ["good"] * 7 + ["spot"] * 2
    assert "30 + 5 and 9 for validation" in found.summary()

    words = ("architecture.hidden=4", "bottleneck.size=2", "epochs=3", "--data", "data")
    out = run("train", *words, "early_stopping=True", "n_iter_no_change=1", "--out", "r", cwd=tmp_path)
    assert "train 30 (good), validation 9 (good, spot), test 5 (good) (by" in out
    assert "on 7 validation examples; 2 others are of classes that are not trained on (spot)" in out
    ae = isthmus.load(tmp_path / "r")
    with (tmp_path / "r/history.csv").open(newline="") as file:
        least = min(float(row["val_loss"]) for row in csv.DictReader(file))
    assert least == pytest.approx(-ae.score(found.validation[:7]), rel=1e-5)
    judged = json.loads(run("evaluate", "r", "--json", cwd=tmp_path))
    assert "early_stopping" not in judged  # validation examples of their own chose the model
    assert judged["errors"]["mse"] == pytest.approx(isthmus.evaluate(ae, found.test).errors.mse)
    assert "whose 9 examples are not used" in run("encode", "r", "--data", "data", cwd=tmp_path)

    verb = ("detect", "r", "--data", "data/test", "--false-alarm-rate", "0.3", "--normal")
    assert "early stopping used 7 of 9 normal examples" in run(*verb, "data/val", cwd=tmp_path)
    assert "early stopping used" not in run(*verb, "data/test", cwd=tmp_path)
    learned = run("finetune", "r", "--data", "tell", cwd=_tell(tmp_path))
    assert "2 of 6 held-out examples are of classes without training labels (new): they count as" in learned

    run("sweep", *words[:1], "bottleneck.size=1,2", *words[2:], "--out", "s", cwd=tmp_path)
    swept = json.loads((tmp_path / "s/sweep.json").read_text())
    assert (swept["n_train"], swept["n_validation"]) == (30, 9)


@pytest.mark.promise(25)
def test_validation_examples_that_are_training_or_test_examples_are_excluded(rng: np.random.Generator) -> None:
    X = rng.normal(size=(30, 4))
    dataset = Dataset("x", X[:20], X[20:25], validation=X[[3, 27, 21, 28]], validation_labels=np.array(list("abca")))
    part = split(dataset, "error")
    examples, notes = validation_examples(dataset, part)
    np.testing.assert_array_equal(examples.values, X[[27, 28]])
    assert notes == ["2 of 4 validation examples are training or test examples too, and are left out"]
    labeled = replace(dataset, train_labels=np.array(["a", "b"] * 10), validation_labels=np.array(list("abcb")))
    np.testing.assert_array_equal(validation_examples(labeled, split(labeled, "error"))[0].values, X[[27, 28]])
    labeled = replace(labeled, validation_labels=np.array(list("cbac")))
    np.testing.assert_array_equal(validation_examples(labeled, split(labeled, "error"))[0].values, X[[27]])
    copies = Dataset("x", X[:20], X[20:25], validation=X[:3])
    examples, notes = validation_examples(copies, split(copies, "error"))
    np.testing.assert_array_equal(examples.values, X[20:25])
    assert notes == ["all 3 validation examples are training or test examples too: they are not used"]


@pytest.mark.promise(27)
def test_a_validation_array_is_used_and_unused_arrays_are_reported(rng: np.random.Generator, tmp_path: Path) -> None:
    path, X = tmp_path / "x.npz", rng.normal(size=(20, 3))
    arrays = {"x_train": X[:9], "X_val": X[9:13], "y_val": np.arange(4), "x_test": X[13:]}
    np.savez(path, **arrays, valid=np.ones((9, 3)) > 0)
    found = read(path)
    np.testing.assert_array_equal(found.validation, X[9:13])
    assert listed(found.validation_labels) == [0, 1, 2, 3]
    assert "(valid); used: x_train, x_test, X_val, y_val" in found.notes[0]
    np.savez(path, **(arrays | {"y_val": np.arange(3)}))
    with pytest.raises(DataError, match=r"labels of shape \(3,\) do not fit"):
        read(path)
    del arrays["x_test"]
    np.savez(path, **arrays)
    found = read(path)
    assert found.validation is None
    np.testing.assert_array_equal(found.test, X[9:13])
    assert listed(found.test_labels) == [0, 1, 2, 3]
    assert found.notes == ("X_val in " + str(path) + " is used as the test part",)
    for name, other in {"valid": np.ones(9), "val": X[9:13, :2], "mask": np.ones((9, 3))}.items():
        np.savez(path, x_train=X[:9], x_test=X[13:], **{name: other})
        found = read(path)
        assert found.validation is None
        assert f"({name})" in found.notes[0]


def test_reading_options_are_stored_in_the_run(bottle: Path) -> None:
    (bottle / "some").mkdir()
    for number in range(12):
        Image.fromarray(np.full((4, 4), 20 * number, np.uint8)).save(bottle / f"some/{number}.png")
    (bottle / "some/broken.png").write_bytes(b"no image")
    words = ("epochs=1", "architecture.hidden=4", "bottleneck.size=2", "--data", "some", "--skip-broken", "--out", "s")
    for out in (run("train", *words, cwd=bottle), run("evaluate", "s", cwd=bottle)):
        assert "1 image that is damaged or too large was skipped: broken.png" in out
    assert json.loads((bottle / "s/run.json").read_text())["skip_broken"] is True
