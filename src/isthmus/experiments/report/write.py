"""Writing the report of a run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from isthmus.estimators.argument_check import takes_autoencoder
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.evaluation import Evaluation
from isthmus.experiments.report.html import FigureFiles, gallery, page, section
from isthmus.experiments.report.metrics import advice, evaluation_sections, summary
from isthmus.experiments.report.training import configuration, loss_history, usage
from isthmus.io.atomic import replace_file
from isthmus.text import html_safe

__all__ = ["write_report"]


@takes_autoencoder
def write_report(
    folder: str | os.PathLike[str],
    ae: Autoencoder,
    evaluation: Evaluation,
    figure_files: FigureFiles,
    title: str,
    command: str | None = None,
    *,
    data: str = "",
    run: Path | None = None,
    sections: Sequence[tuple[str, str]] = (),
) -> Path:
    """Writes ``report.html`` into a folder, atomically.

    Args:
        folder: the folder of the page; by default it contains the model.
        ae: a fitted autoencoder.
        evaluation: its evaluation.
        figure_files: title, PNG file and alt text of each figure. ``losses.png`` is shown in the section on training.
        title: the title of the page. All text is escaped.
        command: the command that trained the autoencoder, if there was one.
        data: the name of the evaluated examples.
        run: the path of the model, if it is not in the folder.
        sections: headings with HTML, shown after the metrics. This HTML is not escaped.

    Returns:
        The path of the page.

    Raises:
        OSError: the folder or a figure does not exist (`FileNotFoundError`), or cannot be read or written.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder} for report.html: create it first")
    curves = [each for each in figure_files if each[1].stem == "losses"]
    others = [each for each in figure_files if each[1].stem != "losses"]
    content = [
        advice(evaluation),
        *evaluation_sections(evaluation, data),
        *(section(html_safe(heading), html) for heading, html in sections),
        section("Configuration", configuration(ae)),
        section("Training", loss_history(ae.history_) + gallery(curves)),
        section("Figures", gallery(others)),
        section("Usage", usage(run or folder, ae)),
    ]
    html = page(title, summary(ae, evaluation), command, content)
    replace_file(folder / "report.html", html.encode())
    return folder / "report.html"
