"""Writes a model card as a file, or as a folder with the model file and ONNX files, as the hub's own upload command takes it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from isthmus.errors import DataError, NotPossibleError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.export import export
from isthmus.estimators.outlier_detector import OutlierDetector
from isthmus.experiments import run_data
from isthmus.experiments.card import sections, use
from isthmus.experiments.card.facts import Facts
from isthmus.experiments.card.metadata import header
from isthmus.experiments.run_folder import MODEL
from isthmus.experiments.run_record import RECORD
from isthmus.io.atomic import check_writable, replace_file
from isthmus.io.files import shown

__all__ = ["CARD", "Written", "card", "check_new", "write_card", "write_folder"]

CARD, ONNX = "README.md", "onnx"


class Written(NamedTuple):
    """What was written.

    Attributes:
        path: the card, or the folder that holds it.
        files: the files, relative to the folder of the card.
        without_onnx: why there are no ONNX files, or "".
    """

    path: Path
    files: tuple[str, ...]
    without_onnx: str = ""


def card(facts: Facts, path: str, differences: Mapping[str, float] | None = None) -> str:
    """The text of a model card.

    Args:
        facts: what is known of the model.
        path: the model file as a user of the card names it.
        differences: the parts of an export in the folder ``onnx``, with the largest relative difference of each from the model; None
            without one.

    Returns:
        Markdown, with the header in YAML.
    """
    parts = [
        header(facts, differences is not None),
        sections.description(facts),
        use.usage(facts, path, None if differences is None else tuple(differences)),
        use.intended_use(facts),
        use.limits(facts),
        sections.data(facts),
        sections.figures(facts),
        sections.training(facts),
        sections.files(facts, path, differences),
    ]
    return "\n\n".join(parts) + "\n"


def check_new(target: Path) -> None:
    """`DataError` where a card would replace a file, or a folder is not empty: both may hold the work of somebody."""
    if target.is_symlink() or target.is_file():
        raise DataError(
            f"{shown(target)} exists, and may hold your own words: remove it first, or choose another --out"
        )
    if target.is_dir() and any(target.iterdir()):
        raise DataError(f"{shown(target)} is a folder with files: choose another --out")


def write_card(facts: Facts, target: Path) -> Written:
    """Writes the card alone.

    Raises:
        DataError: the file exists.
        OSError: it cannot be written.
    """
    check_new(target)
    check_writable(target)
    replace_file(target, card(facts, facts.file.path.name).encode())
    return Written(target, (target.name,))


def write_folder(facts: Facts, target: Path, *, onnx: bool = True) -> Written:
    """Writes a folder of card, model file, run.json and ONNX files, together or not at all.

    Args:
        facts: what is known of the model.
        target: a new or empty folder.
        onnx: whether ONNX files are written where this is possible.

    Returns:
        What was written, and why there are no ONNX files.

    Raises:
        DataError: the folder has files.
    """
    check_new(target)
    target = target.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=".isthmus-card-", dir=target.parent))
    try:
        shutil.copyfile(facts.file.path, part / MODEL)
        record = facts.file.path.parent / RECORD
        if record.is_file() and facts.file.path.name == MODEL:
            shutil.copyfile(record, part / RECORD)
        differences, why = _exported(facts, part / ONNX) if onnx else (None, "")
        (part / CARD).write_text(card(facts, MODEL, differences), encoding="utf-8")
        part.chmod(0o755)
        if target.is_dir():
            target.rmdir()
        part.rename(target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    files = sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())
    return Written(target, tuple(files), why)


def _exported(facts: Facts, folder: Path) -> tuple[dict[str, float] | None, str]:
    """The differences of the exported files from the model; or None, and why there are none."""
    if not isinstance(facts.estimator, Autoencoder | OutlierDetector):
        return None, f"{type(facts.estimator).__name__} cannot be exported"
    X = y = None
    if facts.dataset is not None and facts.evaluated is not None:
        found = facts.evaluated
        held = run_data.held_out(facts.dataset, found.observed or found.part)
        X, y = held.train, held.train_labels
    try:
        return export(facts.estimator, folder, X=X, y=y).differences, ""
    except (NotPossibleError, ModuleNotFoundError) as error:
        return None, str(error)
