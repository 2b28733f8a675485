"""The page of a run, written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from isthmus.estimators.argument_check import takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.evaluation import Evaluation
from isthmus.experiments.report.html import Pictures, gallery, page, section
from isthmus.experiments.report.metrics import advice, lead, measured
from isthmus.experiments.report.training import choices, course, use
from isthmus.io.atomic import replace_file
from isthmus.text import html_safe

__all__ = ["write_report"]


@takes_autoencoder
def write_report(
    folder: str | os.PathLike[str],
    ae: Autoencoder,
    evaluation: Evaluation,
    pictures: Pictures,
    title: str,
    command: str | None = None,
    *,
    data: str = "",
    run: Path | None = None,
    sections: Sequence[tuple[str, str]] = (),
) -> Path:
    """Writes ``report.html`` into a folder and returns where; a reader meets the old page or the whole new one.

    Args:
        folder: the folder of a run, in which the model lies.
        ae: the autoencoder that was trained.
        evaluation: its figures.
        pictures: title, PNG file and description (alt text) of each; ``losses.png`` stands with the training, the others follow.
        title: what was trained on what, in any words: all text is escaped.
        command: what a person typed to train it, if so.
        data: what the examples are called that it was measured on.
        run: where the model lies, if not in the folder.
        sections: headings, and ready-made HTML below each that is trusted as it stands, after the figures.

    Raises:
        OSError: the folder or a picture is not there (`FileNotFoundError`), or cannot be read or written.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder} to write report.html into; make it first")
    curves = [picture for picture in pictures if picture[1].stem == "losses"]
    others = [picture for picture in pictures if picture[1].stem != "losses"]
    content = [
        advice(evaluation),
        *measured(evaluation, data),
        *(section(html_safe(heading), ready) for heading, ready in sections),
        section("What was trained", choices(ae)),
        section("How training went", course(ae.history_) + gallery(curves)),
        section("Pictures", gallery(others)),
        section("Use it", use(run or folder, ae)),
    ]
    whole = page(title, lead(ae, evaluation), command, content)
    replace_file(folder / "report.html", whole.encode())
    return folder / "report.html"
