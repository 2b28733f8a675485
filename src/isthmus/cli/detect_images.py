"""Anomaly detection in whole images, with a run that was trained on patches of images, or with a saved detector of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from isthmus.cli.calibration import early_stopping_note
from isthmus.cli.console import counted, print_json, print_line, print_notes, print_table, warnings_as_notes
from isthmus.cli.data_options import DataOptions
from isthmus.cli.detection_task import print_written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isthmus.data.images.whole import WholeImage
    from isthmus.estimators.autoencoder import Autoencoder
    from isthmus.estimators.image_detector import ImageOutlierDetector
    from isthmus.evaluation import ImageDetection
    from isthmus.experiments.whole_images import ImageReader, SomeImages

__all__ = ["ImageTask", "detect_in_images"]

_FULL_COLOR = 3  # times the high value of normal images


class ImageTask(NamedTuple):
    """What the command line asks for images."""

    run: Path
    data_options: DataOptions
    normal: str | None
    masks: Path | None
    rate: float | None
    loaded: ImageOutlierDetector | None
    path: Path
    save: Path | None
    as_json: bool


class _Truth(NamedTuple):
    """What is known about the images: the anomalous pixels of each (None for a normal one), or which are anomalous; and notes."""

    masks: list[Any] | None = None
    y_true: list[bool] | None = None
    notes: tuple[str, ...] = ()


def detect_in_images(task: ImageTask) -> None:
    """Writes the scores of the images, a heat map on each, and metrics where the anomalies are known; and the detector with --save."""
    from isthmus.evaluation import detect_images
    from isthmus.experiments import detection, run_folder
    from isthmus.experiments.whole_images import ImageReader, given_images, images_for

    loaded, source = task.loaded, task.data_options.source
    assert source is not None
    ae = run_folder.open_run(task.run) if loaded is None else loaded.autoencoder
    reader = ImageReader(task.run, ae, None if loaded is None else loaded.dtype)
    given = given_images(task.run, ae, source) if loaded is None else images_for(loaded, source)
    reader.check(given.images)
    targets = _heat_map_paths(task.path, Path(source.data), given.images)
    truth = _truth(given.images, task.masks)
    detector = _detector(task, ae, reader, given, [*given.notes, *truth.notes])
    low, high = detector.usual_high, _FULL_COLOR * detector.usual_high
    names = [image.name for image in given.images]

    def write(number: int, heat: Any) -> None:
        detection.write_heat_map(targets[number], reader.pixels(given.images[number]), heat, low, high)

    found = detect_images(
        detector, reader.read(given.images), names, y_true=truth.y_true, masks=truth.masks, on_heat_map=write
    )
    written = detection.write_images(task.path, found)
    if task.save is not None:
        detector.save(task.save)
    if task.as_json:
        print_json(found.to_dict())
        return
    _print_images(found, detector)
    print_written(written, task.save, 0)
    print_line(
        f"written: {counted(len(targets), 'heat map')} in {detection.heat_maps_path(task.path)}, colored from {low:.3g} to {high:.3g} "
        "times the mean error of normal images; in these one pixel in a hundred exceeds the first"
    )


def _detector(
    task: ImageTask, ae: Autoencoder, reader: ImageReader, given: SomeImages, notes: list[str]
) -> ImageOutlierDetector:
    """The loaded detector, or one that is calibrated now. Prints notes."""
    if task.loaded is not None:
        print_notes([*notes, *filter(None, [reader.note])], task.as_json)
        return task.loaded
    normal = _normal(task, ae)
    reader.check(normal.images)
    notes = [*notes, *normal.notes, _both_note(given.images, normal.images), reader.note]
    notes.append(early_stopping_note(task.run, ae, normal.patches))
    print_notes([each for each in notes if each], task.as_json)
    return _calibrated(task, ae, reader, normal)


def _normal(task: ImageTask, ae: Autoencoder) -> SomeImages:
    """The normal images: those of --normal, or the held-out ones of the run."""
    from isthmus.experiments.whole_images import held_out_images, normal_images

    if task.normal is None:
        return held_out_images(task.run, ae)
    return normal_images(task.run, ae, task.data_options.with_path(task.normal))


def _both_note(given: Sequence[WholeImage], normal: Sequence[WholeImage]) -> str:
    """A note on images that set the threshold by which they are judged; "" if there is none."""
    known = {image.path.resolve() for image in normal}
    both = sum(image.path.resolve() in known for image in given)
    if not both:
        return ""
    what = "image sets" if both == 1 else "images set"
    return f"{both:,} of {len(given):,} {what} the threshold too, and the guarantee is for other images: give others with --normal"


def _calibrated(task: ImageTask, ae: Autoencoder, reader: ImageReader, normal: SomeImages) -> ImageOutlierDetector:
    """The detector, calibrated on normal images."""
    from isthmus.estimators.image_detector import ImageOutlierDetector

    with warnings_as_notes((lambda _: None) if task.as_json else print_line):  # the JSON object contains the guarantee
        rate = {} if task.rate is None else {"false_alarm_rate": task.rate}
        return ImageOutlierDetector.from_fitted(ae, reader.read(normal.images), **rate)


def _heat_map_paths(table: Path, data: Path, images: Sequence[WholeImage]) -> list[Path]:
    """The file of the heat map of each image: with the name of the image, in a folder next to the table. Nothing is overwritten."""
    from isthmus.errors import DataError
    from isthmus.experiments.detection import heat_maps_path
    from isthmus.io.atomic import check_folder
    from isthmus.io.files import shown

    folder, root = heat_maps_path(table), data if data.is_dir() else data.parent
    if data.is_dir() and data.resolve() in folder.resolve().parents:
        raise DataError(f"--out {shown(table)} is in the folder of the images: choose another folder")
    check_folder(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise DataError(
            f"{shown(folder)} has files, and heat maps would be written there: remove it, or choose another --out"
        )
    targets = [folder / image.path.relative_to(root) for image in images]
    targets = [each if each.suffix.lower() == ".png" else each.with_name(f"{each.name}.png") for each in targets]
    if len(set(targets)) < len(targets):
        twice = next(each for each in targets if targets.count(each) > 1)
        raise DataError(f"two heat maps would be written to {shown(twice)}: rename one of the images")
    return targets


def _truth(images: Sequence[WholeImage], masks: Path | None) -> _Truth:
    """What is known about the images, by masks or by the names of their folders."""
    from isthmus.data.images.single import read_image_header
    from isthmus.data.images.whole import find_masks, is_normal_label, read_mask
    from isthmus.errors import DataError
    from isthmus.io.files import shown

    if masks is None:
        y_true = [not is_normal_label(image.label) for image in images]
        if not any(y_true) or all(y_true):
            return _Truth()
        others = ", ".join(
            sorted({image.label or "no folder" for image, each in zip(images, y_true, strict=True) if each})
        )
        return _Truth(
            y_true=y_true, notes=(f"images are normal or anomalous ({others}) by the names of their folders",)
        )
    paths, notes = find_masks(images, masks)
    known = [
        None if path is None else read_mask(path, read_image_header(image.path).size, image.name)
        for image, path in zip(images, paths, strict=True)
    ]
    if not any(mask is not None and mask.any() for mask in known):
        raise DataError(f"the masks in {shown(masks)} have no anomalous pixel: give those of anomalous images")
    empty = [image.name for image, mask in zip(images, known, strict=True) if mask is not None and not mask.any()]
    if empty:
        what = "image counts" if len(empty) == 1 else "images count"
        notes.append(
            f"{len(empty):,} {what} as normal, since no pixel of the mask is anomalous: {', '.join(empty[:3])}"
        )
    return _Truth(masks=known, notes=tuple(notes))


def _print_images(found: ImageDetection, detector: ImageOutlierDetector) -> None:
    """Prints the number of anomalous images, the guarantee, the most anomalous images, and the metrics."""
    if found.decided:
        print_line(
            f"{counted(found.anomalous, 'image')} of {len(found.names):,} anomalous: score below {found.threshold:.6g}"
        )
        print_line(f"guarantee: {found.guarantee}")
    else:
        print_line(f"undecided: {detector.guarantee()}; give more normal images with --normal")
    print_table(*found.table())
    if found.metrics is not None:
        print_table(*found.metrics.table())
