"""The whole images of a run that was trained on patches, or of a detector of images: those to detect anomalies in, and normal ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.data import Dataset
from isthmus.data.images.single import read_image, read_image_header
from isthmus.data.images.whole import WholeImage, is_normal_label, list_images
from isthmus.data.options import ReadOptions, Reused
from isthmus.data.parts import of_trained_classes, test_part
from isthmus.errors import DataError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.image_detector import ImageOutlierDetector
from isthmus.experiments.image_units import check_depth, in_units, units_of
from isthmus.experiments.membership import trained_on
from isthmus.experiments.run_data import load_examples, membership_of, split_of
from isthmus.experiments.run_record import DataSource, options_of, source_of
from isthmus.io.files import shown

__all__ = [
    "ImageReader",
    "SomeImages",
    "detects_whole_images",
    "given_images",
    "held_out_images",
    "images_for",
    "normal_images",
]

Array = NDArray[Any]


class SomeImages(NamedTuple):
    """Images, and notes about them and about those that are left out.

    Attributes:
        images: the files.
        notes: one sentence each.
        patches: all patches of the normal images, by which other parts of a run know them; None for images to detect in.
    """

    images: list[WholeImage]
    notes: tuple[str, ...]
    patches: Array | None = None


class ImageReader:
    """Reads image files for a run, in the units of its training images.

    Args:
        run: the run, or the file of a detector of images.
        ae: its autoencoder.
        dtype: the type of the images of the detector; None for a run, which has it in its record.
    """

    def __init__(self, run: Path, ae: Autoencoder, dtype: str | None = None) -> None:
        self._run, self._shape, self._units = run, ae.shape_, units_of(run, ae, dtype)
        self.note = self._units.note

    def check(self, images: Sequence[WholeImage]) -> None:
        """`DataError` if an image does not have the channels and the type of the training images; nothing is decoded."""
        for image in images:
            check_depth(self._run, self._units, image.path, read_image_header(image.path))

    def pixels(self, image: WholeImage) -> Array:
        """The pixels of the file, (h, w) or (h, w, channels)."""
        return read_image(image.path, self._units.color).pixels

    def read(self, images: Sequence[WholeImage]) -> Iterator[Array]:
        """The images one after the other, (h, w) or (h, w, channels), in the units of the run."""
        for image in images:
            yield in_units(self.pixels(image), self._units, self._shape)


def detects_whole_images(run: Path, options: ReadOptions) -> bool:
    """Whether anomalies are detected in whole images: the run has patches of images in their own size, and none are asked for."""
    own = options.over(options_of(run))
    return own.patches is not None and own.resize is None and own.pages == "first" and options.patches is None


def given_images(run: Path, ae: Autoencoder, source: DataSource) -> SomeImages:
    """The images of a folder in which anomalies are detected: of its test part if there is one."""
    dataset, part_note = test_part(load_examples(run, source, ae, parts="test", allow_extreme=True)[1])
    names, trained = _image_names(dataset.ids), _trained_names(run, dataset)
    images = _named(source, options_of(run), set(names))
    notes = [*dataset.notes, part_note.replace(" examples ", " patches ")]
    if trained:
        notes.append(
            f"{len(trained):,} of {len(images):,} images are training images: their scores are more normal than those of new images"
        )
    return SomeImages(images, tuple(filter(None, notes)))


def images_for(detector: ImageOutlierDetector, source: DataSource) -> SomeImages:
    """The images of a folder in which a saved detector finds anomalies: of its test part if there is one.

    It does not know which images its autoencoder was trained on.
    """
    shape = detector.autoencoder.shape_
    usual = ReadOptions(patches=min(shape[:2]))
    dataset, part_note = test_part(source.read(Reused(usual, shape=shape)))
    notes = [
        note for note in (*dataset.notes, part_note.replace(" examples ", " patches ")) if " were cut into " not in note
    ]
    return SomeImages(_named(source, usual, set(_image_names(dataset.ids))), tuple(filter(None, notes)))


def held_out_images(run: Path, ae: Autoencoder) -> SomeImages:
    """The images of the run's own data of which no patch was trained on, of the classes that were trained on."""
    dataset, options = load_examples(run, None, ae, allow_extreme=True)[1], options_of(run)
    part = split_of(run, dataset, ae.missing)
    ids = dataset.ids if dataset.test is None else dataset.test_ids
    assert ids is not None
    held = ids if part.test_rows is None else ids[part.test_rows]
    normal, others = of_trained_classes(held, part.test_labels, part.train_labels)
    names = set(_image_names(normal)) - _trained_names(run, dataset)
    if dataset.test is None and part.train_rows is not None:
        names -= set(_image_names(ids[part.train_rows]))
    if not names:
        raise DataError(
            f"{shown(run)} was trained on patches of all images of {dataset.name}: give other images without anomalies with --normal"
        )
    notes = list(part.notes)
    if others:
        notes.append(
            f"{len(names):,} held-out images are used as normal, since the training data have their class; images of other classes "
            f"are not used ({others})"
        )
    return SomeImages(_named(source_of(run), options, names), tuple(notes), part.test)


def normal_images(run: Path, ae: Autoencoder, source: DataSource) -> SomeImages:
    """The given normal images, without those that the run was trained on.

    If one of their folders has the name of normal images, those in folders of other names are left out.
    """
    dataset, part_note = test_part(load_examples(run, source, ae, allow_extreme=True)[1])
    trained, names = _trained_names(run, dataset), _image_names(dataset.ids)
    fresh = set(names) - trained
    if not fresh:
        raise DataError(f"all images of {dataset.name} are training images of {shown(run)}: give others with --normal")
    notes = [part_note.replace(" examples ", " patches ")]
    if trained:
        notes.append(f"{len(trained):,} of {len(names):,} normal images are training images: they are left out")
    images = _named(source, options_of(run), fresh)
    normal = [image for image in images if is_normal_label(image.label)] or images
    if len(normal) < len(images):
        others = ", ".join(sorted({image.label or "no folder" for image in images} - {image.label for image in normal}))
        notes.append(
            f"{len(images) - len(normal):,} images are left out, since they are not normal by the names of their folders ({others})"
        )
    return SomeImages(normal, tuple(filter(None, notes)), dataset.train)


def _named(source: DataSource, usual: ReadOptions, names: set[str]) -> list[WholeImage]:
    """The images of a folder with these names."""
    return [image for image in list_images(Path(source.data), source.options.over(usual).split) if image.name in names]


def _image_names(ids: Array | None) -> list[str]:
    """The names of the images of patches, each once, in their order."""
    return list(dict.fromkeys(str(name).rpartition(" patch ")[0] for name in ([] if ids is None else ids)))


def _trained_names(run: Path, dataset: Dataset) -> set[str]:
    """The images all of whose patches are training patches of the run."""
    trained = trained_on(membership_of(run), dataset.train)
    new = set(_image_names(np.asarray(dataset.ids)[~trained]))
    return set(_image_names(dataset.ids)) - new
