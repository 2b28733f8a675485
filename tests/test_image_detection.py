"""Anomalies in images of any size: heat maps, scores, metrics of regions, and a folder in the layout of MVTec."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_files import Edit, edited, entry, filled
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from test_cli import Done, run

from isthmus import Autoencoder, load
from isthmus.architectures import MLP
from isthmus.data.images.whole import find_masks, list_images, read_mask
from isthmus.errors import DataError, IsthmusWarning, ModelFileError, NotPossibleError, RecordError
from isthmus.evaluation import ImageOutlierDetector, detect_images, per_region_overlap, pixel_auroc
from isthmus.plots.heat_overlay import heat_overlay

Array = NDArray[Any]
SPOT = (slice(12, 17), slice(5, 10))  # rows and columns of the anomaly


def striped(state: int, spot: int = 0, shape: tuple[int, int] = (26, 21)) -> Array:
    """Noisy stripes, with a bright spot."""
    rng = np.random.default_rng(state)
    image = 90 + 40 * (np.arange(shape[1]) % 4 < 2) + rng.integers(0, 12, shape)
    image[SPOT] += spot
    return image.astype(np.uint8)


@pytest.fixture(scope="module")
def ae() -> Autoencoder:
    """An autoencoder of patches of stripes."""
    patches = np.concatenate(
        [np.stack([striped(n)[r : r + 8, c : c + 8] for r in (0, 8, 18) for c in (0, 8)]) for n in range(20)]
    )
    return Autoencoder(4, architecture=MLP(()), epochs=8, random_state=0, kind="images").fit(patches)


@pytest.fixture(scope="module")
def detector(ae: Autoencoder) -> ImageOutlierDetector:
    normal = [striped(100 + n, shape=(26 + n % 3, 21 + n % 2)) for n in range(20)]
    return ImageOutlierDetector.from_fitted(ae, normal, smoothing=1.0)


# Metrics


def row(*values: float) -> Array:
    return np.array([values])


def test_the_overlap_of_regions_of_a_small_case() -> None:
    heat = row(10, 9, 8, 1, 7, 0, 0, 0, 0, 0, 0, 0)
    mask = row(1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0)  # regions of one and of two pixels; nine normal pixels
    by_hand = (1 / 9 * 0.5 + 1 / 9 * 0.75 + (0.3 - 2 / 9) * 1) / 0.3
    assert per_region_overlap([heat], [mask]) == pytest.approx(by_hand)
    assert per_region_overlap([heat], [mask], max_fpr=1) == pytest.approx(1 / 9 * 0.5 + 1 / 9 * 0.75 + 7 / 9)
    assert pixel_auroc([heat], [mask]) == pytest.approx((9 + 8 + 7) / 27)


def test_the_overlap_of_regions_is_the_mean_over_thresholds() -> None:
    rng = np.random.default_rng(0)
    masks = [np.zeros((9, 7), int) for _ in range(3)]
    masks[0][1:3, 1:3], masks[0][6, 2:6], masks[1][4, 4] = 1, 1, 1
    heat = [rng.integers(0, 12, mask.shape) + 4.0 * mask for mask in masks]
    regions = [masks[0] * (np.arange(9)[:, None] < 4), masks[0] * (np.arange(9)[:, None] > 4), masks[1]]
    of_region = [heat[0][regions[0] > 0], heat[0][regions[1] > 0], heat[1][regions[2] > 0]]
    normal = np.concatenate([h[m == 0] for h, m in zip(heat, masks, strict=True)])
    levels = [np.inf, *range(20, -1, -1)]
    rates = np.array([(normal >= level).mean() for level in levels])
    overlaps = np.array([np.mean([(values >= level).mean() for values in of_region]) for level in levels])
    fine = np.linspace(0, 0.3, 100_001)
    expected = np.interp(fine, rates, overlaps).mean()
    assert per_region_overlap(heat, masks) == pytest.approx(expected, abs=1e-4)


def test_ideal_and_empty_heat_maps() -> None:
    mask = np.zeros((6, 6), int)
    mask[1:3, 1:3] = mask[3, 3] = mask[5, 0] = 1
    assert per_region_overlap([mask / 2], [mask]) == pixel_auroc([mask / 2], [mask]) == 1
    assert per_region_overlap([0 * mask], [mask]) == pytest.approx(0.15)
    assert pixel_auroc([0 * mask], [mask]) == 0.5
    assert per_region_overlap([-mask], [mask]) == 0


def test_small_regions_count_as_much_as_large_ones_and_corners_connect() -> None:
    mask = np.zeros((20, 20), int)
    mask[:10, :10] = mask[10, 10] = 1  # one region, with a pixel at its corner
    only_corner = np.zeros((20, 20))
    only_corner[10, 10] = 1
    assert per_region_overlap([only_corner], [mask]) < 0.2
    mask[10, 10], mask[15, 15], only_corner[15, 15] = 0, 1, 2
    assert per_region_overlap([only_corner], [mask]) > 0.5
    assert pixel_auroc([only_corner], [mask]) < 0.52


@pytest.mark.parametrize(
    ("heat", "masks", "error"),
    [
        ([np.zeros((2, 3))], [np.zeros((3, 2))], r"heat map 0 has shape \(2, 3\) and its mask \(3, 2\)"),
        ([np.zeros((2, 3))], [], "there are 1 heat maps and 0 masks"),
        ([np.full((2, 2), np.nan)], [np.eye(2)], "heat map 0 has a value that is not finite"),
        ([np.zeros((2, 2))], [np.zeros((2, 2))], "the masks have no anomalous pixel"),
        ([np.zeros((2, 2))], [np.ones((2, 2))], "the masks have no normal pixel"),
    ],
)
def test_heat_maps_and_masks_that_do_not_fit(heat: list[Array], masks: list[Array], error: str) -> None:
    for metric in (pixel_auroc, per_region_overlap):
        with pytest.raises(DataError, match=error):
            metric(heat, masks)
    with pytest.raises(RecordError, match="invalid max_fpr=0: expected a number in"):
        per_region_overlap([np.eye(2)], [np.eye(2)], max_fpr=0)


# The detector


def test_a_heat_map_is_the_smoothed_error_relative_to_that_of_normal_images(detector: ImageOutlierDetector) -> None:
    image = striped(5, 60)
    error = np.square(detector.autoencoder.reconstruct_image(image) - image.astype(float))
    expected = ndimage.gaussian_filter(error, 1.0, mode="nearest") / detector.mean_error
    np.testing.assert_allclose(detector.heat_map(image), expected, rtol=1e-4)
    normal = [detector.heat_map(striped(100 + n, shape=(26 + n % 3, 21 + n % 2))) for n in range(20)]
    assert sum(heat.sum() for heat in normal) / sum(heat.size for heat in normal) == pytest.approx(1, rel=1e-4)
    highs = [np.percentile(heat, 99) for heat in normal]
    assert np.mean(highs) == pytest.approx(detector.usual_high)


def test_an_anomaly_is_found_where_it_is(detector: ImageOutlierDetector) -> None:
    heat = detector.heat_map(striped(5, 60))
    assert np.unravel_index(heat.argmax(), heat.shape) in [(r, c) for r in range(12, 17) for c in range(5, 10)]
    assert detector.predict([striped(5, 60), striped(6)]).tolist() == [-1, 1]
    assert detector.score_samples([striped(5, 60)])[0] < detector.calibration_scores[0]


def test_the_score_is_the_mean_of_the_highest_thousandth(detector: ImageOutlierDetector) -> None:
    heat = np.arange(4000.0).reshape(50, 80)[::-1]
    assert detector.score_heat_map(heat) == -np.mean([3999, 3998, 3997, 3996])
    assert detector.score_heat_map(heat[:2, :3]) == -heat[:2, :3].max()


def test_the_threshold_is_conformal(ae: Autoencoder, detector: ImageOutlierDetector) -> None:
    assert detector.threshold == detector.calibration_scores[0]  # the first of 20: 1 / 21 <= 0.05
    assert detector.guarantee().startswith(
        "a normal image is flagged as anomalous with a probability of at most 0.0476"
    )
    assert detector.p_values([detector.threshold - 1, detector.threshold, 0]).tolist() == [1 / 21, 2 / 21, 1]
    with pytest.warns(
        IsthmusWarning, match=r"2 normal images are too few .*: no image will be flagged; at least 19 are"
    ):
        few = ImageOutlierDetector.from_fitted(ae, [striped(0), striped(1)])
    assert few.predict([striped(5, 120)]).tolist() == [1]


def test_color_images_have_one_heat_map() -> None:
    rng = np.random.default_rng(0)
    patches = rng.integers(100, 110, (30, 4, 4, 3)).astype(np.uint8)
    ae = Autoencoder(2, architecture=MLP(()), epochs=1, random_state=0).fit(patches)
    images = [rng.integers(100, 110, (9, 7, 3)).astype(np.uint8) for _ in range(3)]
    found = ImageOutlierDetector.from_fitted(ae, images, false_alarm_rate=0.5, smoothing=0)
    error = np.square(ae.reconstruct_image(images[0]) - images[0].astype(float)).mean(2)
    np.testing.assert_allclose(found.heat_map(images[0]), error / found.mean_error, rtol=1e-4)


def test_invalid_arguments(ae: Autoencoder, detector: ImageOutlierDetector) -> None:
    make = ImageOutlierDetector.from_fitted
    with pytest.raises(RecordError, match="invalid false_alarm_rate=1: expected a number in"):
        make(ae, [], false_alarm_rate=1)
    with pytest.raises(RecordError, match="invalid smoothing=-1: expected a number of pixels"):
        make(ae, [], smoothing=-1)
    with pytest.raises(RecordError, match="expected a number of pixels, from 0 to 10,000"):
        make(ae, [], smoothing=1e9)
    with pytest.raises(DataError, match="requires normal images, and there is none"):
        make(ae, [])
    with pytest.raises(DataError, match="the image has shape"):
        make(ae, [np.zeros((9, 9, 3))])
    with pytest.raises(NotPossibleError, match="requires an autoencoder of images"):
        make(Autoencoder(1, epochs=1, random_state=0).fit(np.random.default_rng(0).random((9, 4))), [striped(0)])
    with pytest.raises(RecordError, match="expects an ImageOutlierDetector"):
        detect_images(ae, [striped(0)])  # type: ignore[arg-type]
    with pytest.raises(RecordError, match="leave out y_true"):
        detect_images(detector, [striped(0)], y_true=[1], masks=[None])
    with pytest.raises(DataError, match="there are 2 images and 1 masks: give one for each image"):
        detect_images(detector, [striped(0), striped(1)], masks=[None])


@pytest.mark.parametrize("y_true", [[1, -1], ["good", "spot"], [0, np.nan], np.array([1, 2])])
def test_labels_are_0_or_1(detector: ImageOutlierDetector, y_true: Any) -> None:
    with pytest.raises(DataError, match=r"y_true has the value .*: expected 1 for anomalous images and 0 for others"):
        detect_images(detector, [striped(5, 60), striped(6)], y_true=y_true)
    for good in ([True, False], np.array([1.0, 0.0]), np.array([True, False])):
        found = detect_images(detector, [striped(5, 60), striped(6)], y_true=good)
        assert found.y_true is not None
        assert found.y_true.tolist() == [1, 0]


def test_errors_beyond_the_range_of_floats_are_one_sentence() -> None:
    rng = np.random.default_rng(0)
    ae = Autoencoder(1, architecture=MLP(()), epochs=1, random_state=0, kind="images")
    ae.fit(1e20 * rng.normal(size=(20, 4, 4)).astype(np.float32))
    with pytest.raises(DataError, match="the squared errors of an image exceed the range of 32-bit floats"):
        ImageOutlierDetector.from_fitted(ae, 1e20 * rng.normal(size=(20, 8, 8)))


def test_metrics_of_images_without_masks(detector: ImageOutlierDetector) -> None:
    found = detect_images(detector, [striped(5, 60), striped(6), striped(7, 60)], y_true=[1, 0, 0])
    assert found.metrics is not None
    assert found.metrics.image_auroc in {0.5, 1.0}
    assert found.metrics.pro is None
    assert found.anomalous == 2
    assert detect_images(detector, [striped(6)]).metrics is None


def test_a_loaded_detector_is_bit_identical(detector: ImageOutlierDetector, tmp_path: Path) -> None:
    detector.save(tmp_path / "x")
    again = load(tmp_path / "x")
    assert isinstance(again, ImageOutlierDetector)
    image = striped(5, 60)
    np.testing.assert_array_equal(again.heat_map(image), detector.heat_map(image))
    np.testing.assert_array_equal(again.calibration_scores, detector.calibration_scores)
    for name in ("false_alarm_rate", "smoothing", "mean_error", "usual_high", "dtype", "threshold"):
        assert getattr(again, name) == getattr(detector, name), name
    assert again.guarantee() == detector.guarantee()
    again.save(tmp_path / "y")
    assert (tmp_path / "y").read_bytes() == (tmp_path / "x").read_bytes()


def test_a_detector_without_threshold_is_restored(ae: Autoencoder, tmp_path: Path) -> None:
    with pytest.warns(IsthmusWarning, match="too few"):
        ImageOutlierDetector.from_fitted(ae, [striped(0).astype(np.float32)], smoothing=0).save(tmp_path / "x")
    again = load(tmp_path / "x")
    assert (again.threshold, again.smoothing, again.dtype) == (-np.inf, 0, "float32")


SCORES, PART = "image_detector.calibration", "image_detector"
DAMAGES: dict[str, tuple[Edit, str]] = {
    "order": (lambda _, tensors: tensors.update({SCORES: tensors[SCORES].flip(0)}), "is not in ascending order"),
    "positive": (lambda _, tensors: tensors.update({SCORES: -tensors[SCORES].flip(0)}), "is above 0"),
    "nan": (filled(SCORES, np.nan), "is not finite"),
    "none": (lambda _, tensors: tensors.update({SCORES: tensors[SCORES][:0]}), "has no calibration scores"),
    "rate": (lambda header, _: header[PART].update(false_alarm_rate=1.0), "image_detector.false_alarm_rate is invalid"),
    "error": (lambda header, _: header[PART].update(mean_error=0.0), "image_detector.mean_error is invalid"),
    "dtype": (lambda header, _: header[PART].update(dtype="object"), "image_detector.dtype is invalid"),
    "half": (lambda header, _: header[PART].update(dtype="float8"), "image_detector.dtype is invalid"),
    "memory": (lambda header, _: header[PART].update(smoothing=1e9), "image_detector.smoothing is invalid"),
    "zero": (lambda header, _: header[PART].update(mean_error=1e-300), "image_detector.mean_error is invalid"),
    "series": (entry(kind="series"), "cannot be that of a detector of images"),
    "unknown": (lambda header, _: header[PART].update(mask=1), "image_detector.mask is unknown"),
    "table": (entry(kind="table"), "cannot be that of a detector of images"),
    "format": (entry(format=6), "format 6 has no"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_detectors_are_refused(name: str, detector: ImageOutlierDetector, tmp_path: Path) -> None:
    change, error = DAMAGES[name]
    detector.save(tmp_path / "x")
    with pytest.raises(ModelFileError, match=error):
        load(edited(tmp_path / "x", tmp_path / "y", change))


def test_color_begins_above_the_lower_value() -> None:
    pixels = np.full((2, 3), 200, np.uint8)
    made = heat_overlay(pixels, np.array([[0, 1, 1.5], [2, 3, 9]]), 1, 3)
    assert (made[0, :2] == 200).all()
    lightness = made.astype(float) @ [0.299, 0.587, 0.114]
    assert (np.ptp(made[0, 2:].astype(int), -1) > 0).all()
    np.testing.assert_array_equal(made[1, 1], made[1, 2])
    assert lightness[0, 2] < lightness[1, 0] < lightness[1, 1]
    np.testing.assert_array_equal(
        heat_overlay(np.full((1, 1, 3), 200 * 257, np.uint16), np.zeros((1, 1)), 1, 3), [[[200] * 3]]
    )


# From the command line


def save(path: Path, pixels: Array) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def spot_mask() -> Array:
    mask = np.zeros((26, 21), np.uint8)
    mask[SPOT] = 255
    return mask


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on patches of good images, and images with and without a spot in the layout of MVTec."""
    folder = tmp_path_factory.mktemp("tiles")
    for number in range(12):
        save(folder / f"tiles/train/good/{number:02}.png", striped(number))
    for number in range(9):
        save(folder / f"more/{number}.png", striped(300 + number))
    for number in range(3):
        save(folder / f"tiles/test/good/{number}.png", striped(100 + number))
        save(folder / f"tiles/test/spot/{number}.png", striped(200 + number, 60))
        save(folder / f"tiles/ground_truth/spot/{number}_mask.png", spot_mask())
    words = ["simple", "bottleneck.size=4", "epochs=8", "--data", "tiles/train/good", "--patches", "8", "--out", "run"]
    done = run("train", *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def detected(folder: Path, *words: str) -> Done:
    return run("detect", "run", *words, cwd=folder)


def test_from_good_images_to_scores_heat_maps_and_metrics(tiles: Path) -> None:
    done = detected(
        tiles,
        *("--data", "tiles/test", "--masks", "tiles/ground_truth", "--normal", "more", "--out", "s.csv"),
        *("--false-alarm-rate", "0.1"),
    )
    assert done.returncode == 0, done.stderr
    for said in (
        "note: 3 images are normal by the name of the folder, and without a mask",
        "calibrated on 9 normal images",
        "3 of 6 images anomalous, 3 regions",
        "written: s.csv",
        "written: s-metrics.json",
        "written: 6 heat maps in s-heat-maps, colored from ",
    ):
        assert said in done.stdout
    with (tiles / "s.csv").open(newline="") as file:
        rows = {line["image"]: line for line in csv.DictReader(file)}
    assert len(rows) == 6
    assert [line["y_true"] for line in rows.values()] == ["0"] * 3 + ["1"] * 3
    assert all(rows[f"spot/{n}.png"]["verdict"] == "anomalous" for n in range(3))
    metrics = json.loads((tiles / "s-metrics.json").read_text())
    assert metrics["image_auroc"] == 1
    assert metrics["regions"] == 3
    assert metrics["pro"] > 0.8
    for name in rows:
        with Image.open(tiles / "s-heat-maps" / name) as heat:
            colored = np.ptp(np.asarray(heat).astype(int), axis=2) > 0
        assert colored.shape == (26, 21)
        assert colored[SPOT].all() if name.startswith("spot") else colored.mean() < 0.2
    again = detected(tiles, "--data", "tiles/test", "--out", "s.csv")
    assert again.returncode == 1
    assert "s-heat-maps has files, and heat maps would be written there: remove it" in again.stderr


def test_images_that_stay_in_their_files_have_the_same_scores(tiles: Path) -> None:
    for name, words in {"array": [], "left": ["--cache", "1kB"]}.items():
        done = detected(tiles, "--data", "tiles/test", "--out", f"{name}.csv", *words)
        assert done.returncode == 0, done.stderr
    assert "72 patches take 4.61 kB decoded, more than cache=1 kB (--cache)" in done.stdout
    assert "1 of 6 images stay decoded" in done.stdout
    assert (tiles / "left.csv").read_text() == (tiles / "array.csv").read_text()


def test_anomalous_folders_of_normal_images_are_left_out_and_judged_images_named(tiles: Path) -> None:
    words = ("--data", "tiles/test", "--normal", "tiles/test", "--out", "both.csv", "--false-alarm-rate", "0.25")
    done = detected(tiles, *words)
    assert done.returncode == 0, done.stderr
    assert "3 images are left out, since they are not normal by the names of their folders (spot)" in done.stdout
    assert "3 of 6 images set the threshold too, and the guarantee is for other images: give others" in done.stdout
    assert "calibrated on 3 normal images" in done.stdout


def test_held_out_images_are_the_normal_ones(tiles: Path) -> None:
    done = detected(tiles, "--data", "tiles/test", "--out", "held.csv", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (
        found["guarantee"]
        == "no image is flagged as anomalous: 1 normal image is too few for a false-alarm rate of 0.05"
    )
    assert found["metrics"]["image_auroc"] == 1  # by the names of the folders
    assert found["metrics"]["pro"] is None
    assert {each["verdict"] for each in found["images"]} == {"undecided"}


def test_a_saved_detector_needs_neither_run_nor_normal_images(tiles: Path, tmp_path: Path) -> None:
    words = ("--data", "tiles/test", "--normal", "more", "--false-alarm-rate", "0.1")
    done = detected(tiles, *words, "--out", str(tmp_path / "one.csv"), "--save", str(tmp_path / "d.safetensors"))
    assert done.returncode == 0, done.stderr
    assert "the detector with its threshold; use: isthmus detect" in " ".join(done.stdout.split())
    shutil.copytree(tiles / "tiles/test", tmp_path / "new")
    done = run("detect", "d.safetensors", "--data", "new", "--out", "two.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "calibrated on 9 normal images" in done.stdout
    assert "were cut into" not in done.stdout
    assert (tmp_path / "two.csv").read_text() == (tmp_path / "one.csv").read_text()
    for name in ("good/0.png", "spot/1.png"):
        one, two = (Image.open(tmp_path / f"{folder}-heat-maps" / name) for folder in ("one", "two"))
        np.testing.assert_array_equal(np.asarray(one), np.asarray(two))
    save(tmp_path / "deep/0.png", striped(0).astype(np.uint16))
    for given, error in {
        ("--data", "new", "--normal", "new"): "is a detector with a fixed threshold: omit --normal",
        ("--data", "new", "--patches", "8"): "is a detector with a fixed threshold: omit --patches",
        (
            "--data",
            "deep",
        ): "deep/0.png has 16 bits, but d.safetensors was trained on values from 90 to 141: save it with 8 bits",
    }.items():
        done = run("detect", "d.safetensors", *given, "--out", "three.csv", cwd=tmp_path)
        assert done.returncode in {1, 2}
        assert error in done.stderr
    done = run("encode", "d.safetensors", "--data", "new", "--out", "codes.npy", cwd=tmp_path)
    assert "isthmus.load(...).autoencoder.save(...)" in done.stderr
    assert not list(tmp_path.glob("three*"))


@pytest.mark.thorough
def test_training_images_are_named_and_never_calibrate(tiles: Path) -> None:
    done = detected(tiles, "--data", "tiles/train/good", "--out", "own.csv", "--false-alarm-rate", "0.5")
    assert "note: 11 of 12 images are training images: their scores are more normal" in done.stdout
    done = detected(tiles, "--data", "tiles/test", "--normal", "tiles/train/good", "--out", "t.csv")
    assert "note: 11 of 12 normal images are training images: they are left out" in done.stdout
    assert "1 normal image is too few for a false-alarm rate of 0.05" in done.stdout


@pytest.mark.thorough
def test_the_whole_layout_is_one_folder(tiles: Path) -> None:
    done = detected(tiles, "--data", "tiles", "--masks", "tiles/ground_truth", "--out", "whole.csv")
    assert done.returncode == 0, done.stderr
    assert "3 of 6 images anomalous, 3 regions" in done.stdout
    assert (tiles / "whole-heat-maps/test/spot/0.png").is_file()


@pytest.mark.thorough
def test_patches_are_detected_when_asked_for(tiles: Path) -> None:
    words = ["--data", "tiles/test", "--patches", "8", "--out", "patches.csv", "--false-alarm-rate", "0.2"]
    done = detected(tiles, *words)
    assert done.returncode == 0, done.stderr
    assert "the guarantee counts patches and not images" in done.stdout
    assert "spot/0.png patch 0,0" in (tiles / "patches.csv").read_text()
    assert "set the threshold" not in done.stdout


def test_patches_that_set_their_threshold_are_named(tiles: Path) -> None:
    words = ["--data", "tiles/test", "--normal", "tiles/test/good", "--patches", "8", "--out", "both-patches.csv"]
    done = detected(tiles, *words, "--false-alarm-rate", "0.2")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert (
        "36 of 72 examples are also among the normal examples that set the threshold, and the guarantee is for" in said
    )


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (
            ["anomaly_score=nats"],
            "detection in whole images has no anomaly_score=nats: leave it out, or give --patches",
        ),
        (["--save", "run/model.safetensors"], "--save run/model.safetensors would overwrite the model of the run"),
        (["--contamination", "0.1"], "detection in whole images has no --contamination"),
        (["--patches", "8", "--masks", "tiles/ground_truth"], "--masks is for whole images"),
        (["--masks", "nowhere"], "--masks nowhere is no folder: give the folder with the masks"),
        (["--out", "tiles/test/a.csv"], "is in the folder of the images: choose another folder"),
    ],
)
def test_options_that_cannot_be_used(tiles: Path, words: list[str], error: str) -> None:
    done = detected(tiles, "--data", "tiles/test", *words)
    assert done.returncode in {1, 2}
    assert error in done.stderr
    assert not list(tiles.glob("anomalies*"))


@pytest.mark.parametrize(
    ("name", "mask", "error"),
    [
        (
            "spot/1_mask.png",
            spot_mask()[:-1],
            "1_mask.png has 25x21 pixels, and spot/1.png has 26x21: give a mask of the same",
        ),
        (
            "spot/1_mask.png",
            None,
            "spot/1.png has no mask in masks: add 1_mask.png, or move the image into a folder named good",
        ),
        (
            "spot/1_mask.png",
            spot_mask() // 2 + np.eye(26, 21, dtype=np.uint8),
            "1_mask.png is not binary, it has the values 0, 1, 127: expected 0 for normal pixels and one other value",
        ),
        ("spot/1_mask.png", spot_mask() // 2 + 9, "is not binary, it has the values 9, 136: expected 0"),
        (
            "spot/1.png",
            spot_mask(),
            "spot/1.png and masks/spot/1_mask.png are both masks of spot/1.png: remove one of them",
        ),
    ],
    ids=["size", "missing", "values", "no zero", "two"],
)
def test_bad_masks_are_one_sentence(tiles: Path, tmp_path: Path, name: str, mask: Array | None, error: str) -> None:
    shutil.copytree(tiles / "tiles/ground_truth", tmp_path / "masks")
    (tmp_path / "masks" / name).unlink(missing_ok=True)
    if mask is not None:
        save(tmp_path / "masks" / name, mask)
    shutil.copytree(tiles / "run", tmp_path / "run")
    done = detected(tmp_path, "--data", str(tiles / "tiles/test"), "--masks", "masks", "--normal", str(tiles / "more"))
    assert done.returncode == 1
    assert error in done.stderr
    assert not list(tmp_path.glob("anomalies*"))


def test_masks_are_found_by_folder_and_name(tmp_path: Path) -> None:
    for name in ("scratch/1.png", "stain/1.jpg", "good/1.png"):
        save(tmp_path / "test" / name, striped(0))
    for name in ("scratch/1-mask.tif", "stain/1.png", "stain/7_mask.png"):
        save(tmp_path / "masks" / name, spot_mask())
    found, notes = find_masks(list_images(tmp_path / "test"), tmp_path / "masks")
    assert [each and each.relative_to(tmp_path / "masks").as_posix() for each in found] == [
        None,
        "scratch/1-mask.tif",
        "stain/1.png",
    ]
    assert "1 mask belongs to no image, and is ignored: 7_mask.png" in notes
    assert read_mask(tmp_path / "masks/stain/1.png", (26, 21), "1").sum() == 25
    save(tmp_path / "clear.png", np.stack([0 * spot_mask(), spot_mask()], -1))
    with pytest.raises(DataError, match=r"the mask .*clear\.png has transparent pixels"):
        read_mask(tmp_path / "clear.png", (26, 21), "1")
