"""What the names of folders mean: parts of a split, masks, or classes.

train/cat, test/cat                        the parts, with the classes below them
train/good, test/scratch, ground_truth/    an anomaly data set: masks are no examples
bottle/train/good, cable/test/cut, ...     the same below folders whose names become the first half of the label
seg_train/seg_train/sea, seg_test/...      the parts with a name before them, each perhaps in a folder of its own name
train/images, train/masks                  masks again, beside the images or in the same order of folders
cat/, dog/, test/                          classes, one of which is called test; it is said
images/, archive/cat, archive/dog          a folder alone that holds all is no class; it is said
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

__all__ = ["Example", "Layout", "understood"]

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
_GROUND_TRUTH = re.compile(r"ground_?truths?")  # nobody calls a class so
_IMAGES = re.compile(r"(jpe?g_?)?(images?|imgs?)|photos?|pictures?|leftimg8bit")
_ALL = re.compile(r"(all_?)?(images?|imgs?|photos?|pictures?|pics?|data|dataset|files|samples|examples|raw)|all")
_MASK_OF = re.compile(
    r"(.+?)[_-](masks?|gt|ground_?truth|seg|segmentation|annot(ation)?|labels?)([_-]?\d+)?", re.IGNORECASE
)
_LISTED = 3


@dataclass
class Layout:
    """The examples of each part, the masks, and what was understood, in sentences.

    Attributes:
        train, validation, test: images with their labels; those without a split are all to train on.
        split: whether there is a test part.
        masks: images that mark places in others.
        left_out: images in folders that are no part of the split.
        notes: what was guessed.
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


def understood(tree: Folder, split: Literal["auto", "none"] = "auto") -> Layout:
    """The parts of a folder of images, by the names of its folders.

    Args:
        tree: all images below a folder.
        split: "none" takes every folder for a class, and every image for an example.

    Raises:
        DataError: images lie beside folders that are classes or parts of a split, or folders contradict each other.
    """
    layout = Layout()
    if split == "none":
        layout.train = _labeled(tree, Layout(), masks=False)
        return layout
    groups = list(_groups(tree, layout))
    if not groups:
        layout.train = _labeled(_below_what_holds_all(tree, layout), layout, masks=True)
        _say_masks(layout)
        return layout
    found: dict[Part, list[Example]] = {"train": [], "validation": [], "test": []}
    for prefix, part, folder in groups:
        before = prefix if len({group[0] for group in groups}) > 1 else ""
        for path, label in _labeled(_inner(folder), layout, masks=True):
            found[part].append((path, "/".join(filter(None, (before, label)))))
    _arrange(layout, found)
    return layout


def part_of(folder: Folder) -> Part | None:
    """The part of a split that a folder's name says."""
    name = _plain(folder)
    return next((part for part, words in _PARTS.items() if words.fullmatch(name)), None)


def _plain(folder: Folder) -> str:
    return re.sub(r"[\s.-]+", "_", folder.path.name.strip().casefold())


def _named(folders: list[Folder], pattern: re.Pattern[str]) -> list[Folder]:
    return [folder for folder in folders if pattern.fullmatch(_plain(folder))]


def _groups(tree: Folder, layout: Layout, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Part, Folder]]:
    """Each folder that is a part of a split, with the names of the folders above the split."""
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
                f"{shown(tree.path / name)} has folders for training and test, {shown(other)} beside it has none: "
                "name one of them as the data, or choose --split none, and every folder is a class"
            )


def _split_of(tree: Folder, layout: Layout) -> list[tuple[Part, Folder]]:
    """The folders in a folder that are parts of a split; none where they are classes."""
    parts = [(part, folder) for folder in tree.folders if (part := part_of(folder))] or _prefixed(tree)
    known = {part for part, _ in parts}
    others = [folder for folder in tree.folders if all(folder is not part for _, part in parts)]
    masks = _named(others, _MASKS)
    rest = [folder for folder in others if folder not in masks]
    if not parts:
        if masks and rest and not tree.images and rest == _named(rest, _IMAGES):
            _set_aside(layout, masks)
            return [each for folder in rest for each in _split_of(folder, layout) or [("train", folder)]]
        return []
    if rest and not ("train" in known and len(known) > 1):
        if "train" in known or not _mirrored(parts, rest):
            _say_classes(layout, parts, rest)
            return []
        parts += [("train", Folder(tree.path, folders=rest))]
        rest = []
    if tree.images:
        raise DataError(
            f"{shown(tree.images[0])} lies beside the folder {shown(parts[0][1].path.name)}, which is a part of a split: "
            "move it into one of the folders, or choose --split none, and every folder is a class"
        )
    _set_aside(layout, masks)
    layout.left_out += [path for folder in rest for path in folder.all_images()]
    return parts


def _prefixed(tree: Folder) -> list[tuple[Part, Folder]]:
    """The parts whose names begin alike, as in seg_train and seg_test; none unless one of them is to train on."""
    named: dict[str, list[tuple[Part, Folder]]] = {}
    for folder in tree.folders:
        for part, words in _PREFIXED.items():
            if found := words.fullmatch(_plain(folder)):
                named.setdefault(found["name"], []).append((part, folder))
                break
    whole = [parts for parts in named.values() if "train" in (known := {part for part, _ in parts}) and len(known) > 1]
    return [each for parts in whole for each in parts]


def _mirrored(parts: list[tuple[Part, Folder]], rest: list[Folder]) -> bool:
    """Whether the parts have the same classes below them as the folders beside them."""
    beside = {folder.path.name for folder in rest}
    return all(part.folders and {folder.path.name for folder in part.folders} <= beside for _, part in parts)


def _say_classes(layout: Layout, parts: list[tuple[Part, Folder]], rest: list[Folder]) -> None:
    names = " and ".join(shown(folder.path.name) for _, folder in parts)
    beside = some([folder.path for folder in rest])
    layout.notes.append(
        f"the folder {names} is taken for a class, because {beside} lie beside it; were it a part of a split, "
        "the others would lie in a folder train"
    )


def _set_aside(layout: Layout, folders: list[Folder]) -> None:
    layout.masks += [path for folder in folders for path in folder.all_images()]


def _inner(part: Folder) -> Folder:
    """The folder that holds the classes of a part: the only one in it, where that is called as the part is, or images."""
    while not part.images and len(part.folders) == 1:
        inner = part.folders[0]
        if _plain(inner) != _plain(part) and not _IMAGES.fullmatch(_plain(inner)):
            break
        part = inner
    return part


def _below_what_holds_all(tree: Folder, layout: Layout) -> Folder:
    """The folder in which classes begin: one alone, called images or holding further folders only, is no class."""
    inner = tree
    while not inner.images and len(inner.folders) == 1:
        only = inner.folders[0]
        if not (_ALL.fullmatch(_plain(only)) or (len(only.folders) > 1 and not only.images)):
            break
        inner = only
    if inner is not tree:
        name = shown(inner.path.relative_to(tree.path))
        what = "images in it have no labels" if inner.images else "classes are the folders in it"
        layout.notes.append(f"the folder {name}, which holds all images, is no class: {what}")
    return inner


def _labeled(folder: Folder, layout: Layout, masks: bool) -> list[Example]:
    """The images below a folder with the name of the folder in it that each lies in; masks are set aside."""
    folders = folder.folders
    if masks and not folder.images and (images := _named(folders, _IMAGES)):
        aside = _named(folders, _MASKS)
        if (
            aside and len(images) == 1 and len(images) + len(aside) == len(folders)
        ):  # images, and beside them their masks
            _set_aside(layout, aside)
            return _labeled(images[0], layout, masks)
    if masks:
        aside = _named(folders, _GROUND_TRUTH)
        if folder.images and folders == _named(folders, _MASKS):  # images, and below them their masks
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
            f"{shown(loose[0])} has no label while {shown(found[len(loose)][0])} has one from its sub-folder: move all "
            "images into sub-folders, or none"
        )
    return found


def _examples(folder: Folder, layout: Layout, masks: bool) -> Iterator[Path]:
    """All images below a folder but masks."""
    aside = _named(folder.folders, _GROUND_TRUTH) if masks else []
    _set_aside(layout, aside)
    yield from _without_masks(folder.images, layout) if masks else folder.images
    for inner in folder.folders:
        if inner not in aside:
            yield from _examples(inner, layout, masks)


def _without_masks(images: list[Path], layout: Layout) -> list[Path]:
    """The images but those that are called as another one is, and _mask."""
    stems = {path.stem for path in images}
    kept = list[Path]()
    for path in images:
        of = _MASK_OF.fullmatch(path.stem)
        (layout.masks if of and of[1] in stems else kept).append(path)
    return kept


def _arrange(layout: Layout, found: dict[Part, list[Example]]) -> None:
    """Puts the parts in their places, and says what was understood."""
    layout.train, layout.validation, layout.test = found["train"], found["validation"], found["test"]
    said = [f"{part} {_counted(examples)}" for part, examples in found.items() if examples]
    if layout.validation and layout.train and not layout.test:
        layout.test, layout.validation = layout.validation, []
        said[-1] += ", which is the test part"
    if not layout.train:
        layout.train, layout.test, layout.validation = layout.test or layout.validation, [], []
        name = "test" if found["test"] else "validation"
        said = [f"{name} {_counted(layout.train)}, which are the examples, as there is no folder train"]
        if found["test"] and found["validation"]:
            said.append(f"validation {_counted(found['validation'])}, set aside")
    if layout.masks:
        said.append(f"{len(layout.masks):,} {'mask' if len(layout.masks) == 1 else 'masks'} set aside")
    if layout.left_out:
        said.append(f"{len(layout.left_out):,} images in other folders left out ({_folders_of(layout.left_out)})")
    layout.notes.append(f"{', '.join(said)} (by the names of folders; with --split none every folder is a class)")


def _folders_of(paths: list[Path]) -> str:
    return some(list(dict.fromkeys(path.parent for path in paths)))


def _say_masks(layout: Layout) -> None:
    if layout.masks:
        what = "mask was" if len(layout.masks) == 1 else "masks were"
        layout.notes.append(
            f"{len(layout.masks):,} {what} set aside ({some(layout.masks)}); with --split none every image is an example"
        )


def _counted(examples: list[Example]) -> str:
    """How many, and of which classes."""
    names = sorted({label or "no label" for _, label in examples})
    if names == ["no label"]:
        return f"{len(examples):,}"
    listed = ", ".join(names) if len(names) <= _LISTED and sum(map(len, names)) < 60 else f"{len(names)} classes"
    return f"{len(examples):,} ({listed})"
