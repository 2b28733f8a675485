"""Folders of images as strangers leave them: how each is made, and what is right to read from it."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from isthmus.data.options import ReadOptions, Reused

__all__ = ["CASES", "Case", "bomb", "flat", "tree"]

Array = npt.NDArray[Any]
RAMP = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
COLORS = np.stack([RAMP, 255 - RAMP, RAMP // 2], axis=-1)


@dataclass(frozen=True)
class Case:
    """One folder.

    Attributes:
        make: fills an empty folder, or returns the path that is to be read instead.
        options: how it is read.
        train, test: the first pixel of each example; or None where `pixels` says it.
        labels, test_labels: of each example.
        pixels: the first example.
        notes: what has to be said, as parts of the notes, one after the other; nothing else may be said.
        error: instead, a part of the error.
    """

    make: Callable[[Path], Path | None]
    options: dict[str, Any] = field(default_factory=dict)
    train: list[int] | None = None
    test: list[int] | None = None
    labels: list[str] | None = None
    test_labels: list[str] | None = None
    pixels: Array | None = None
    notes: tuple[str, ...] = ()
    error: str = ""


def flat(value: int, size: tuple[int, int] = (3, 4)) -> Image.Image:
    """A gray image of one value."""
    return Image.fromarray(np.full(size, value, np.uint8))


def tree(*names: str, junk: tuple[str, ...] = ()) -> Callable[[Path], None]:
    """A folder with gray images of those names, of the values 1, 2, ...; and files that are no images."""

    def make(folder: Path) -> None:
        for number, name in enumerate(names, 1):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            flat(number).save(folder / name)
        for name in junk:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"junk")

    return make


def saved(image: Image.Image | Array, name: str, **options: Any) -> Callable[[Path], None]:
    """A folder with one image."""

    def make(folder: Path) -> None:
        made = image if isinstance(image, Image.Image) else Image.fromarray(image)
        made.save(folder / name, **options)

    return make


def written(name: str, content: bytes) -> Callable[[Path], None]:
    """A folder with one file of these bytes."""

    def make(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return make


def alone(image: Callable[[Path], Any], name: str) -> Callable[[Path], Path]:
    """The same, and the image itself is what is read."""

    def make(folder: Path) -> Path:
        image(folder)
        return folder / name

    return make


def exif(orientation: int) -> bytes:
    found = Image.Exif()
    found[0x0112] = orientation
    return found.tobytes()


def turned(way: int) -> Array:
    """What a viewer shows of COLORS with an orientation."""
    ways = {
        1: COLORS,
        2: COLORS[:, ::-1],
        3: COLORS[::-1, ::-1],
        4: COLORS[::-1],
        5: COLORS.transpose(1, 0, 2),
        6: np.rot90(COLORS, -1),
        7: COLORS[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(COLORS),
    }
    return ways[way]


def late_exif(folder: Path) -> None:
    """A PNG whose EXIF stands behind its pixels."""
    Image.fromarray(COLORS).save(file := io.BytesIO(), "PNG")
    chunk = b"eXIf" + exif(6).removeprefix(b"Exif\0\0")
    late = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (folder / "x.png").write_bytes(file.getvalue()[:-12] + late + file.getvalue()[-12:])


def bomb(side: int = 7999, samples: int = 4) -> bytes:
    """A TIFF of 134 bytes that declares an image of 8,000 x 8,000."""
    entries = [
        (256, 4, 1, side),
        (257, 4, 1, side),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 2 if samples > 2 else 1),
        (273, 4, 1, 8),
        (277, 3, 1, samples),
        (278, 4, 1, side),
        (279, 4, 1, 4),
        (338, 3, 1, 2),
    ]
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + struct.pack("<I", 0)


def tile_bomb() -> bytes:
    """A small TIFF of one tile of 60,000 x 60,000."""
    entries = [
        (256, 4, 1, 8),
        (257, 4, 1, 8),
        (258, 3, 1, 8),
        (259, 3, 1, 8),
        (262, 3, 1, 1),
        (277, 3, 1, 1),
        (322, 4, 1, 60_000),
        (323, 4, 1, 60_000),
        (324, 4, 1, 8),
        (325, 4, 1, 40),
    ]
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + struct.pack("<I", 0)


def webp_bomb() -> bytes:
    """A WebP that declares a canvas of 16,384 x 16,384, animated."""
    canvas = (16_383).to_bytes(3, "little") * 2
    body = b"VP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + canvas + b"ANIM" + struct.pack("<IIH", 6, 0, 0)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def frames(name: str, n: int = 3) -> Callable[[Path], None]:
    """A file of several pages, gray, of the values 10, 20, ..."""

    def make(folder: Path) -> None:
        images = [flat(10 * number) for number in range(1, n + 1)]
        more = {"lossless": True} if name.endswith("webp") else {}
        images[0].save(folder / name, save_all=True, append_images=images[1:], **more)

    return make


def deep(folder: Path) -> None:
    """A folder below 150 others."""
    path = folder / "/".join(["d"] * 150)
    path.mkdir(parents=True)
    flat(1).save(path / "x.png")


def linked(folder: Path) -> None:
    """Links to a folder within, to one outside, to an image, to nothing, and round in a circle."""
    flat(1).save(folder / "a.png")
    outside = folder.parent / f"{folder.name} outside"
    outside.mkdir()
    flat(9).save(outside / "secret.png")
    for name, to in {"out": outside, "loop": folder, "b.png": folder / "a.png", "c.png": folder / "none"}.items():
        (folder / name).symlink_to(to)


def broken(folder: Path) -> None:
    """Two good images among a cut one, an empty one, an unreadable format and a bomb, and one that breaks when decoded."""
    for name, value in (("cat/a.png", 1), ("dog/z.png", 2)):
        (folder / name).parent.mkdir()
        flat(value).save(folder / name)
    (folder / "cat/cut.png").write_bytes((folder / "cat/a.png").read_bytes()[:40])
    (folder / "cat/empty.jpg").touch()
    (folder / "dog/text.png").write_text("no image")
    (folder / "dog/bomb.tif").write_bytes(bomb())
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (3, 4, 3), np.uint8)).save(folder / "dog/half.bmp")
    content = (folder / "dog/half.bmp").read_bytes()
    (folder / "dog/half.bmp").write_bytes(content[:-20])


def mixed_pages(folder: Path) -> None:
    flat(1).save(folder / "a.tif")
    frames("b.tif", 2)(folder)


def with_other_kinds(*names: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for name in names:
            (folder / name).write_bytes(b"\0\0\0\x18ftypheic")

    return make


def undecodable(folder: Path) -> None:
    """A folder and a file whose names are no UTF-8, and hold escape sequences."""
    here = os.fsencode(folder) + b"/caf\xe9\x1b[31m"
    os.mkdir(here)
    with open(here + b"/\xff.png", "wb") as file:
        flat(1).save(file, "PNG")


def ground(*names: str) -> tuple[str, ...]:
    return (*names, "ground_truth/cut/0_mask.png", "ground_truth/cut/1_mask.png")


MVTEC = ("train/good/0.png", "train/good/1.png", "test/good/0.png", "test/cut/0.png", "test/cut/1.png")
LAYOUTS: dict[str, Case] = {
    "classes": Case(tree("cat/a.png", "dog/b.png"), train=[1, 2], labels=["cat", "dog"]),
    "no labels": Case(tree("a.png", "b.png"), train=[1, 2]),
    "anomalies": Case(
        tree(*ground(*MVTEC)),
        train=[1, 2],
        labels=["good", "good"],
        test=[4, 5, 3],
        test_labels=["cut", "cut", "good"],
        notes=("train 2 (good), test 3 (cut, good), 2 masks set aside (by folder names",),
    ),
    "anomalies, every folder a class": Case(
        tree(*ground(*MVTEC)),
        {"split": "none"},
        train=[6, 7, 4, 5, 3, 1, 2],
        labels=["ground_truth"] * 2 + ["test"] * 3 + ["train"] * 2,
    ),
    "images and masks in each part": Case(
        tree("train/images/a.png", "train/masks/a.png", "test/images/b.png", "test/1st_manual/b.png"),
        train=[1],
        test=[3],
        notes=("train 1, test 1, 2 masks set aside",),
    ),
    "parts in a folder of images and in one of masks": Case(
        tree("images/train/a.png", "images/val/b.png", "annotations/train/a.png", "annotations/val/b.png"),
        train=[1],
        test=[2],
        notes=("train 1, validation 1, used as the test part, 2 masks set aside",),
    ),
    "Cityscapes": Case(
        tree(
            "leftImg8bit/train/ulm/a.png",
            "leftImg8bit/val/bonn/b.png",
            "gtFine/train/ulm/a.png",
            "gtFine/val/bonn/b.png",
        ),
        train=[1],
        labels=["ulm"],
        test=[2],
        test_labels=["bonn"],
        notes=("2 masks set aside",),
    ),
    "VOC": Case(
        tree("JPEGImages/a.png", "SegmentationClass/a.png", "SegmentationObject/a.png"),
        train=[1],
        notes=("train 1, 2 masks set aside",),
    ),
    "images in each part": Case(
        tree("train/images/a.png", "test/images/b.png"), train=[1], test=[2], notes=("train 1, test 1",)
    ),
    "names before the parts": Case(
        tree("seg_train/seg_train/sea/a.png", "seg_test/seg_test/sea/b.png", "seg_pred/seg_pred/c.png"),
        train=[1],
        labels=["sea"],
        test=[2],
        test_labels=["sea"],
        notes=("train 1 (sea), test 1 (sea), 1 images in other folders ignored (seg_pred)",),
    ),
    "names before the parts, of two data sets": Case(
        tree("x_train/a.png", "x_test/b.png", "y_train/c.png", "y_test/d.png"),
        train=[1, 3],
        test=[2, 4],
        notes=("train 2, test 2",),
    ),
    "classes with names like parts": Case(
        tree("steam_train/a.png", "bus/b.png"), train=[2, 1], labels=["bus", "steam_train"]
    ),
    "two domains": Case(
        tree("trainA/a.png", "trainB/b.png", "testA/c.png", "testB/d.png"),
        train=[1, 2],
        test=[3, 4],
        notes=("train 2, test 2",),
    ),
    "trainval": Case(tree("trainval/a.png", "test/b.png"), train=[1], test=[2], notes=("train 1, test 1",)),
    "masks by other names": Case(
        tree("cat/a.png", "cat/a_segmentation.png", "cat/a_GT.png", "cat/a_label.png", "cat/b_label.png"),
        train=[1, 5],
        labels=["cat", "cat"],
        notes=("3 masks were set aside (a_GT.png, a_label.png, a_segmentation.png)",),
    ),
    "a part of which some have no class": Case(
        tree("train/good/a.png", "test_public/bad/b.png", "test_private/c.png"),
        train=[1],
        labels=["good"],
        test=[3, 2],
        test_labels=[None, "bad"],
        notes=("train 1 (good), test 2 (bad, no label)",),
    ),
    "thumbnails of a disk station": Case(
        tree("cat/a.png", "cat/@eaDir/a.png"),
        train=[1],
        labels=["cat"],
        notes=("1 other entry is not an image and was ignored: @eaDir",),
    ),
    "many data sets": Case(
        tree(*(f"{name}/{path}" for name in ("nut", "pill") for path in ground(*MVTEC))),
        train=[1, 2, 8, 9],
        labels=["nut/good"] * 2 + ["pill/good"] * 2,
        test=[4, 5, 3, 11, 12, 10],
        test_labels=["nut/cut", "nut/cut", "nut/good", "pill/cut", "pill/cut", "pill/good"],
        notes=("train 4 (nut/good, pill/good), test 6 (4 classes), 4 masks set aside",),
    ),
    "a folder around it": Case(
        tree(*(f"archive/{path}" for path in MVTEC)),
        train=[1, 2],
        labels=["good"] * 2,
        test=[4, 5, 3],
        test_labels=["cut", "cut", "good"],
        notes=("train 2 (good), test 3 (cut, good)",),
    ),
    "the split below the classes": Case(
        tree("a/Train/1.png", "a/Train/Label/1.png", "a/Test/2.png", "b/Train/3.png", "b/Test/4.png"),
        train=[1, 4],
        labels=["a", "b"],
        test=[3, 5],
        test_labels=["a", "b"],
        notes=("train 2 (a, b), test 2 (a, b), 1 mask set aside",),
    ),
    "upper case, long words": Case(
        tree("Training_Set/cat/a.png", "TEST-SET/cat/b.png"),
        train=[1],
        test=[2],
        labels=["cat"],
        test_labels=["cat"],
        notes=("train 1 (cat), test 1 (cat)",),
    ),
    "COCO": Case(tree("train2017/a.png", "val2017/b.png"), train=[1], test=[2], notes=("used as the test part",)),
    "validation alone": Case(
        tree("train/cat/a.png", "val/cat/b.png"),
        train=[1],
        test=[2],
        labels=["cat"],
        test_labels=["cat"],
        notes=("train 1 (cat), validation 1 (cat), used as the test part",),
    ),
    "all three": Case(
        tree("train/a.png", "valid/b.png", "test/c.png"),
        train=[1],
        test=[3],
        notes=("train 1, validation 1, test 1 (by",),
    ),
    "test alone": Case(
        tree("test/cut/a.png", "test/good/b.png"),
        train=[1, 2],
        labels=["cut", "good"],
        notes=("test 2 (cut, good), used as the examples",),
    ),
    "train alone": Case(tree("train/a.png", "train/b.png"), train=[1, 2], notes=("train 2 (by",)),
    "a class called train": Case(
        tree("bus/a.png", "car/b.png", "train/c.png"),
        train=[1, 2, 3],
        labels=["bus", "car", "train"],
        notes=("the folder train is read as a class, because bus, car are in the same folder",),
    ),
    "a class called test": Case(
        tree("cat/a.png", "dog/b.png", "test/c.png"),
        train=[1, 2, 3],
        labels=["cat", "dog", "test"],
        notes=("the folder test is read as a class, because cat, dog are in the same folder",),
    ),
    "a test part beside the same classes": Case(
        tree("cat/a.png", "dog/b.png", "test/cat/c.png"),
        train=[1, 2],
        labels=["cat", "dog"],
        test=[3],
        test_labels=["cat"],
        notes=("train 2 (cat, dog), test 1 (cat)",),
    ),
    "a folder beside the split": Case(
        tree("misc/a.png", "test/b.png", "train/c.png"),
        train=[3],
        test=[2],
        notes=("train 1, test 1, 1 images in other folders ignored (misc)",),
    ),
    "two data sets, one without split": Case(
        tree("a/test/a.png", "a/train/b.png", "c/x.png"), error="c in the same folder has none"
    ),
    "an image beside the split": Case(
        tree("train/a.png", "test/b.png", "c.png"), error="c.png is in the same folder as t"
    ),
    "junk changes nothing": Case(
        tree(
            "train/a.png",
            "test/b.png",
            "__MACOSX/train/._a.png",
            ".ipynb_checkpoints/c.png",
            "test/.d.png",
            junk=("Thumbs.db", ".DS_Store", "empty/x.txt", "train/desktop.ini", "train/._a.png"),
        ),
        train=[1],
        test=[2],
        notes=("train 1, test 1 (by", "8 other entries are not images and were ignored: .DS_Store"),
    ),
    "junk beside classes": Case(
        tree("cat/a.png", "dog/b.png", "__MACOSX/cat/c.png", ".git/d.png", junk=("empty/notes.txt",)),
        train=[1, 2],
        labels=["cat", "dog"],
        notes=("3 other entries",),
    ),
    "images and masks": Case(
        tree("images/a.png", "images/b.png", "masks/a.png", "masks/b.png"),
        train=[1, 2],
        notes=("train 2, 2 masks set aside",),
    ),
    "masks among images": Case(
        tree("benign/a.png", "benign/a_mask.png", "benign/a_mask_1.png", "normal/my_mask.png"),
        train=[1, 4],
        labels=["benign", "normal"],
        notes=("2 masks were set aside (a_mask.png, a_mask_1.png)",),
    ),
    "masks below images": Case(tree("a.png", "masks/a.png"), train=[1], notes=("1 mask was set aside (a.png)",)),
    "faces with a mask and without": Case(
        tree("mask/a.png", "no_mask/b.png"), train=[1, 2], labels=["mask", "no_mask"]
    ),
    "deeper folders belong to their class": Case(
        tree("cat/deep/er/a.png", "dog/b.png"), train=[1, 2], labels=["cat", "dog"]
    ),
    "an image without a label": Case(tree("a.png", "cat/b.png"), error="a.png has no label"),
    "links": Case(linked, train=[1], notes=("4 other entries are links and were not followed",)),
    "too deep": Case(deep, error="is nested too deeply: expected at most 100"),
    "names of no encoding": Case(undecodable, train=[1], labels=[r"caf\xe9\x1b[31m"]),
    "nothing": Case(lambda _: None, error="has no images; give"),
    "only others": Case(
        with_other_kinds("a.heic", "b.HEIC", "c.psd"),
        error=r"only images of unsupported formats (2 .heic, 1 .psd); convert",
    ),
    "others too": Case(
        lambda folder: (tree("a.png")(folder), with_other_kinds("b.heic")(folder), None)[2],
        train=[1],
        notes=("images of unsupported formats (1 .heic) were ignored; convert",),
    ),
}

PALETTE = ("from a palette to RGB",)
WAYS = ("rotated to upright by the EXIF orientation",)
LOSSLESS: dict[str, dict[str, Any]] = {"png": {}, "tif": {}, "webp": {"lossless": True}}
PIXELS: dict[str, Case] = {
    **{
        f"orientation {way} of {ending}": Case(
            saved(COLORS, f"x.{ending}", exif=exif(way), **more), pixels=turned(way), notes=WAYS if way > 1 else ()
        )
        for way in range(1, 9)
        for ending, more in LOSSLESS.items()
    },
    "orientation behind the pixels": Case(late_exif, pixels=turned(6), notes=WAYS),
    "orientation of 16 bits": Case(
        saved(RAMP.astype(np.uint16) * 256, "x.png", exif=exif(6)),
        pixels=np.rot90(RAMP.astype(np.uint16) * 256, -1),
        notes=WAYS,
    ),
    "orientation 0": Case(saved(COLORS, "x.png", exif=exif(0)), pixels=COLORS),
    **{
        f"EXIF that is none in {ending}": Case(
            saved(COLORS, f"x.{ending}", exif=b"Exif\0\0II*\0\xff\xff\xff\xff", **more),
            pixels=COLORS,
            notes=("1 image was not rotated, because the EXIF data is damaged",),
        )
        for ending, more in LOSSLESS.items()
        if ending != "tif"
    },
    **{
        f"{ending}": Case(saved(RAMP, f"x.{ending}"), pixels=RAMP)
        for ending in ("bmp", "dib", "tga", "pnm", "pgm", "apng", "jp2")
    },
    **{
        f"{ending} in color": Case(saved(COLORS, f"x.{ending}"), pixels=COLORS)
        for ending in ("ppm", "tga", "qoi", "jp2")
    },
    "plain text": Case(written("x.ppm", b"P3\n1 1\n255\n7 8 9\n"), pixels=np.uint8([[[7, 8, 9]]])),
    **{
        f"flat {ending}": Case(saved(flat(100), f"x.{ending}", format="JPEG"), pixels=np.full((3, 4), 100, np.uint8))
        for ending in ("jpe", "jfif", "JPG", "jif")
    },
    "PNG called JPEG": Case(
        saved(RAMP, "x.jpg", format="PNG"),
        pixels=RAMP,
        notes=("1 file is read by content, not by extension: x.jpg is PNG",),
    ),
    "PNG without an ending": Case(
        saved(RAMP, "photo", format="PNG"),
        pixels=RAMP,
        notes=("1 file is read by content, not by extension: photo is PNG",),
    ),
    "text called TGA": Case(
        written("x.tga", b"this is certainly no image at all, but some text"), error="x.tga is damaged"
    ),
    "one image": Case(alone(saved(RAMP, "x.png"), "x.png"), pixels=RAMP),
    "one image of two pages": Case(
        alone(frames("x.tif", 2), "x.tif"),
        {"pages": "examples"},
        train=[10, 20],
        notes=("2 pages of 1 file read as examples",),
    ),
    "palette": Case(
        saved(Image.fromarray(COLORS).quantize(12), "x.png"),
        pixels=np.asarray(Image.fromarray(COLORS).quantize(12).convert("RGB")),
        notes=("converted from a palette to RGB",),
    ),
    "1 bit": Case(
        saved(Image.fromarray(RAMP > 100), "x.png"),
        pixels=(RAMP > 100) * np.uint8(255),
        notes=("from 1 bit to 0 and 255",),
    ),
    "4 bits": Case(
        written("x.pgm", b"P5 2 1 15 \0\x0f"), pixels=np.uint8([[0, 255]]), notes=("scaled to the full range",)
    ),
    "10 bits": Case(
        written("x.pgm", b"P5 2 1 1023 " + np.array([0, 1023], ">u2").tobytes()),
        pixels=np.uint16([[0, 65535]]),
        notes=("scaled to the full range",),
    ),
    "16 bits in color": Case(
        written("x.ppm", b"P6 1 1 65535 " + np.array([0, 65535, 257 * 9], ">u2").tobytes()),
        pixels=np.uint8([[[0, 255, 9]]]),
        notes=("converted from 16 to 8 bits",),
    ),
    "CMYK": Case(
        saved(Image.fromarray(COLORS).convert("CMYK"), "x.tif"),
        pixels=COLORS,
        notes=("converted from CMYK or YCbCr to RGB",),
    ),
    "half transparent": Case(
        saved(np.dstack([COLORS, np.uint8([[255, 255, 0, 0]] * 3)]), "x.png"),
        pixels=np.where(np.arange(4)[None, :, None] < 2, COLORS, np.uint8(255)),
        notes=("1 image was put on a white background where transparent",),
    ),
    "alpha that is opaque": Case(
        saved(np.dstack([COLORS, np.full((3, 4), 255, np.uint8)]), "x.png"),
        pixels=COLORS,
        notes=("1 image was read without the alpha channel",),
    ),
    "floats": Case(saved(RAMP.astype(np.float32), "x.tif"), pixels=RAMP.astype(np.float32)),
    "floats of another format": Case(
        saved(Image.fromarray(RAMP.astype(np.float32)), "x.pfm"), error="floating-point pixels; save it as .npy"
    ),
    "LAB": Case(saved(Image.new("LAB", (2, 2)), "x.tif"), error="has LAB pixels"),
    **{
        f"first frame of {ending}": Case(
            frames(f"x.{ending}"),
            train=[10],
            notes=(f"1 file has more pages or frames (x.{ending}): only the first", *PALETTE * (ending == "gif")),
        )
        for ending in ("tif", "png", "webp", "gif")
    },
    **{
        f"frames of {ending} as examples": Case(
            frames(f"x.{ending}"),
            {"pages": "examples"},
            train=[10, 20, 30],
            notes=("3 pages of 1 file read as examples", *PALETTE * (ending == "gif")),
        )
        for ending in ("tif", "png", "webp", "gif")
    },
    "volumes": Case(
        frames("x.tif"),
        {"pages": "volume"},
        pixels=np.stack([np.full((3, 4, 1), value, np.uint8) for value in (10, 20, 30)]),
        notes=("3 pages of 1 file read as volumes",),
    ),
    "volumes that differ": Case(mixed_pages, {"pages": "volume"}, error="a.tif has 1 and"),
    "gray wanted": Case(
        saved(COLORS, "x.png"),
        {"reused": Reused(ReadOptions(), shape=(3, 4))},
        pixels=np.asarray(Image.fromarray(COLORS).convert("L")),
        notes=("1 image was converted from color to gray",),
    ),
    "color wanted": Case(
        saved(RAMP, "x.png"),
        {"reused": Reused(ReadOptions(), shape=(3, 4, 3))},
        pixels=np.stack([RAMP] * 3, axis=-1),
        notes=("1 image was converted from gray to color",),
    ),
}

BROKEN: dict[str, Case] = {
    "broken": Case(broken, error="or skip broken images with --skip-broken"),
    "broken left out": Case(
        broken,
        {"skip_broken": True},
        train=[1, 2],
        labels=["cat", "dog"],
        notes=(
            "5 images that are damaged or too large were skipped: cat/cut.png, cat/empty.jpg, dog/bomb.tif, dog/half.bmp",
        ),
    ),
    "all broken": Case(written("x.png", b"no"), {"skip_broken": True}, error="has no readable image: 1 are damaged"),
    "134 bytes for 0.9 GB": Case(written("x.tif", bomb()), error="x.tif is out of proportion: 134 bytes declare"),
    "a tile for 3.6 GB": Case(written("x.tif", tile_bomb()), error="x.tif is out of proportion"),
    "a canvas for 2 GB": Case(written("x.webp", webp_bomb()), error="x.webp has more than 64 megapixels"),
}

CASES = LAYOUTS | PIXELS | BROKEN
