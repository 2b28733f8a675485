"""The meaning of folder names: parts of a split, masks, or classes.

train/cat, test/cat                        parts of a split, with classes in them
train/good, test/scratch, ground_truth/    an anomaly data set; masks are not examples
bottle/train/good, cable/test/cut, ...     several such data sets; labels start with the name of the outer folder
seg_train/seg_train/sea, seg_test/...      parts with a common prefix, perhaps nested in a folder of the same name
train/images, train/masks                  masks next to the images
cat/, dog/, test/                          classes, one of which is named test; a note says so
images/, archive/cat, archive/dog          a single outer folder is not a class; a note says so
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from isthmus.data.images.folders import Folder, some
from isthmus.errors import DataError
from isthmus.io.files import shown

__all__ = ["Example", "Layout", "read_layout"]

Part = Literal["train", "validation", "test"]
Example = tuple[Path, str]  # an image with its label, or ""

_WORDS: dict[Part, str] = {
    "train": "train|training|learn|train(ing)?_?(and_?)?val(id|idation)?",
    "validation": "val|valid|validation|validate|dev|devel|development",
    "test": "test|testing|eval|evaluation|holdout|hold_out|held_out",
}
_AFTER = r"(_?(set|data|dataset|images?|imgs?|files|split|part|folder|public|private|mixed|all))*_?(\d*|[ab])"
_PARTS: dict[Part, re.Pattern[str]] = {part: re.compile(f"({words}){_AFTER}") for part, words in _WORDS.items()}
_PREFIXED: dict[Part, re.Pattern[str]] = {
    part: re.compile(f"(?P<name>.+?)_({words}){_AFTER}") for part, words in _WORDS.items()
}
_MASKS = re.compile(
    r"((train|training|val|valid|validation|test)\w*_)?"
    r"(ground_?truths?|gt(_?(fine|coarse))?|masks?|labels?|annot(ation)?s?|segmentation_?(class|object)?s?|\d(st|nd)_manual)"
)
_GROUND_TRUTH = re.compile(r"ground_?truths?")  # never the name of a class
_IMAGES = re.compile(r"(jpe?g_?)?(images?|imgs?)|photos?|pictures?|leftimg8bit")
_ALL = re.compile(r"(all_?)?(images?|imgs?|photos?|pictures?|pics?|data|dataset|files|samples|examples|raw)|all")
_MASK_OF = re.compile(
    r"(.+?)[_-](masks?|gt|ground_?truth|seg|segmentation|annot(ation)?|labels?)([_-]?\d+)?", re.IGNORECASE
)
_LISTED = 3


@dataclass
class Layout:
    """The examples of each part, the masks, and notes on the interpretation of folder names.

    Attributes:
        train, validation, test: images with their labels. Without a split, all are in train.
        split: whether there is a test part.
        masks: images that are masks of others.
        left_out: images in folders that are not a part of the split.
        notes: notes on all guesses.
    """

    train: list[Example] = field(default_factory=list)
    validation: list[Example] = field(default_factory=list)
    test: list[Example] = field(default_factory=list)
    masks: list[Path] = field(default_factory=list)
    left_out: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def split(self) -> bool:
        """Whether there is a test part."""
        return bool(self.test)


def read_layout(tree: Folder, split: Literal["auto", "none"] = "auto") -> Layout:
    """The layout of a folder of images, by the names of its subfolders.

    Args:
        tree: the folder with all its images.
        split: "none": every subfolder is a class, and every image is an example.

    Raises:
        DataError: images are next to folders that are classes or parts of a split, or folder names contradict each other.
    """
    layout = Layout()
    if split == "none":
        layout.train = _labeled(tree, Layout(), masks=False)
        return layout
    groups = list(_groups(tree, layout))
    if not groups:
        layout.train = _labeled(_class_root(tree, layout), layout, masks=True)
        _note_masks(layout)
        return layout
    found: dict[Part, list[Example]] = {"train": [], "validation": [], "test": []}
    for prefix, part, folder in groups:
        before = prefix if len({group[0] for group in groups}) > 1 else ""
        for path, label in _labeled(_inner(folder), layout, masks=True):
            found[part].append((path, "/".join(filter(None, (before, label)))))
    _arrange(layout, found)
    return layout


def part_of(folder: Folder) -> Part | None:
    """The part of a split that a folder is by its name, or None."""
    name = _normalized_name(folder)
    return next((part for part, words in _PARTS.items() if words.fullmatch(name)), None)


def _normalized_name(folder: Folder) -> str:
    return re.sub(r"[\s.-]+", "_", folder.path.name.strip().casefold())


def _matching(folders: list[Folder], pattern: re.Pattern[str]) -> list[Folder]:
    return [folder for folder in folders if pattern.fullmatch(_normalized_name(folder))]


def _groups(tree: Folder, layout: Layout, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Part, Folder]]:
    """Each folder that is a part of a split, with the names of the folders above it."""
    here = _split_of(tree, layout)
    if here:
        yield from ((prefix, part, folder) for part, folder in here)
        return
    if tree.images or not tree.folders or depth > _LISTED:
        return
    inner = {
        folder.path.name: list(
            _groups(folder, layout, "/".join(filter(None, (prefix, shown(folder.path.name)))), depth + 1)
        )
        for folder in tree.folders
    }
    if all(inner.values()):
        for groups in inner.values():
            yield from groups
        return
    for name, groups in inner.items():
        if {"train", "test"} <= {part for _, part, _ in groups}:
            other = next(name for name, groups in inner.items() if not groups)
            raise DataError(
                f"{shown(tree.path / name)} has folders for training and test, and {shown(other)} in the same folder has none; "
                "give one of them as the data, or use --split none, which makes every folder a class"
            )


def _split_of(tree: Folder, layout: Layout) -> list[tuple[Part, Folder]]:
    """The subfolders that are parts of a split; empty if they are classes."""
    parts = [(part, folder) for folder in tree.folders if (part := part_of(folder))] or _prefixed(tree)
    known = {part for part, _ in parts}
    others = [folder for folder in tree.folders if all(folder is not part for _, part in parts)]
    masks = _matching(others, _MASKS)
    rest = [folder for folder in others if folder not in masks]
    if not parts:
        if masks and rest and not tree.images and rest == _matching(rest, _IMAGES):
            _set_aside(layout, masks)
            return [each for folder in rest for each in _split_of(folder, layout) or [("train", folder)]]
        return []
    if rest and not ("train" in known and len(known) > 1):
        if "train" in known or not _mirrored(parts, rest):
            _note_classes(layout, parts, rest)
            return []
        parts += [("train", Folder(tree.path, folders=rest))]
        rest = []
    if tree.images:
        raise DataError(
            f"{shown(tree.images[0])} is in the same folder as {shown(parts[0][1].path.name)}, which is a part of a split; "
            "move it into one of the subfolders, or use --split none, which makes every folder a class"
        )
    _set_aside(layout, masks)
    layout.left_out += [path for folder in rest for path in folder.all_images()]
    return parts


def _prefixed(tree: Folder) -> list[tuple[Part, Folder]]:
    """Parts with a common prefix, such as seg_train and seg_test; empty unless one of them is a training part."""
    named: dict[str, list[tuple[Part, Folder]]] = {}
    for folder in tree.folders:
        for part, words in _PREFIXED.items():
            if found := words.fullmatch(_normalized_name(folder)):
                named.setdefault(found["name"], []).append((part, folder))
                break
    whole = [parts for parts in named.values() if "train" in (known := {part for part, _ in parts}) and len(known) > 1]
    return [each for parts in whole for each in parts]


def _mirrored(parts: list[tuple[Part, Folder]], rest: list[Folder]) -> bool:
    """Whether the classes in the parts are also folders next to the parts."""
    beside = {folder.path.name for folder in rest}
    return all(part.folders and {folder.path.name for folder in part.folders} <= beside for _, part in parts)


def _note_classes(layout: Layout, parts: list[tuple[Part, Folder]], rest: list[Folder]) -> None:
    names = " and ".join(shown(folder.path.name) for _, folder in parts)
    beside = some([folder.path for folder in rest])
    layout.notes.append(
        f"the folder {names} is read as a class, because {beside} are in the same folder; if it is a part of a split, "
        "move the others into a folder train"
    )


def _set_aside(layout: Layout, folders: list[Folder]) -> None:
    layout.masks += [path for folder in folders for path in folder.all_images()]


def _inner(part: Folder) -> Folder:
    """The folder with the classes of a part: a single subfolder with the name of the part or a name such as images, if any."""
    while not part.images and len(part.folders) == 1:
        inner = part.folders[0]
        if _normalized_name(inner) != _normalized_name(part) and not _IMAGES.fullmatch(_normalized_name(inner)):
            break
        part = inner
    return part


def _class_root(tree: Folder, layout: Layout) -> Folder:
    """The folder whose subfolders are classes. A single subfolder named images, or with only subfolders in it, is not a class."""
    inner = tree
    while not inner.images and len(inner.folders) == 1:
        only = inner.folders[0]
        if not (_ALL.fullmatch(_normalized_name(only)) or (len(only.folders) > 1 and not only.images)):
            break
        inner = only
    if inner is not tree:
        name = shown(inner.path.relative_to(tree.path))
        what = "images in it have no labels" if inner.images else "classes are the folders in it"
        layout.notes.append(f"the folder {name} contains all images and is not a class: {what}")
    return inner


def _labeled(folder: Folder, layout: Layout, masks: bool) -> list[Example]:
    """The images of a folder with their labels, the names of its subfolders. Masks are set aside."""
    folders = folder.folders
    if masks and not folder.images and (images := _matching(folders, _IMAGES)):
        aside = _matching(folders, _MASKS)
        if (
            aside and len(images) == 1 and len(images) + len(aside) == len(folders)
        ):  # a folder of images and folders of their masks
            _set_aside(layout, aside)
            return _labeled(images[0], layout, masks)
    if masks:
        aside = _matching(folders, _GROUND_TRUTH)
        if folder.images and folders == _matching(folders, _MASKS):  # images, and their masks in subfolders
            aside = folders
        _set_aside(layout, aside)
        folders = [inner for inner in folders if inner not in aside]
    loose = _without_masks(folder.images, layout) if masks else folder.images
    found = [(path, "") for path in loose]
    for inner in folders:
        for path in _examples(inner, layout, masks):
            found.append((path, shown(inner.path.name)))
    if loose and len(found) > len(loose):
        raise DataError(
            f"{shown(loose[0])} has no label, and {shown(found[len(loose)][0])} has one by its subfolder; move all "
            "images into subfolders, or none"
        )
    return found


def _examples(folder: Folder, layout: Layout, masks: bool) -> Iterator[Path]:
    """All images of a folder and its subfolders except masks."""
    aside = _matching(folder.folders, _GROUND_TRUTH) if masks else []
    _set_aside(layout, aside)
    yield from _without_masks(folder.images, layout) if masks else folder.images
    for inner in folder.folders:
        if inner not in aside:
            yield from _examples(inner, layout, masks)


def _without_masks(images: list[Path], layout: Layout) -> list[Path]:
    """The images except those with the name of another image and a suffix such as _mask."""
    stems = {path.stem for path in images}
    examples = list[Path]()
    for path in images:
        mask_of = _MASK_OF.fullmatch(path.stem)
        (layout.masks if mask_of and mask_of[1] in stems else examples).append(path)
    return examples


def _arrange(layout: Layout, found: dict[Part, list[Example]]) -> None:
    """Assigns the parts to the layout, and adds a note about them."""
    layout.train, layout.validation, layout.test = found["train"], found["validation"], found["test"]
    parts = [f"{part} {_counted(examples)}" for part, examples in found.items() if examples]
    if layout.validation and layout.train and not layout.test:
        layout.test, layout.validation = layout.validation, []
        parts[-1] += ", used as the test part"
    if not layout.train:
        layout.train, layout.test, layout.validation = layout.test or layout.validation, [], []
        name = "test" if found["test"] else "validation"
        parts = [f"{name} {_counted(layout.train)}, used as the examples, because there is no folder train"]
        if found["test"] and found["validation"]:
            parts.append(f"validation {_counted(found['validation'])}, set aside")
    if layout.masks:
        parts.append(f"{len(layout.masks):,} {'mask' if len(layout.masks) == 1 else 'masks'} set aside")
    if layout.left_out:
        parts.append(f"{len(layout.left_out):,} images in other folders ignored ({_folders_of(layout.left_out)})")
    layout.notes.append(f"{', '.join(parts)} (by folder names; with --split none every folder is a class)")


def _folders_of(paths: list[Path]) -> str:
    return some(list(dict.fromkeys(path.parent for path in paths)))


def _note_masks(layout: Layout) -> None:
    if layout.masks:
        what = "mask was" if len(layout.masks) == 1 else "masks were"
        layout.notes.append(
            f"{len(layout.masks):,} {what} set aside ({some(layout.masks)}); with --split none every image is an example"
        )


def _counted(examples: list[Example]) -> str:
    """The number of examples, and their classes."""
    names = sorted({label or "no label" for _, label in examples})
    if names == ["no label"]:
        return f"{len(examples):,}"
    listed = ", ".join(names) if len(names) <= _LISTED and sum(map(len, names)) < 60 else f"{len(names)} classes"
    return f"{len(examples):,} ({listed})"
