"""What a detector says of examples, written as a table and a figure."""

from __future__ import annotations

from pathlib import Path

from isthmus.errors import DataError, RecordError
from isthmus.evaluation.detection_result import DetectionResult
from isthmus.io.atomic import check_writable
from isthmus.io.tables import write_csv

__all__ = ["csv_path", "draw", "write"]


def csv_path(out: Path | None, usual: str) -> Path:
    """Where the table is to be written; known to be possible before the work that makes it."""
    path = Path(usual) if out is None else out
    if path.suffix != ".csv":
        raise RecordError(f"--out {path}: the table is written as .csv; let the name end so")
    if not path.parent.is_dir():
        raise DataError(f"--out {path}: there is no folder {path.parent}; make it first")
    check_writable(path)
    return path


def write(path: Path, found: DetectionResult) -> None:
    """A line for each example, the whole file or the old one."""
    header, *rows = found.lines()
    write_csv(path, header, rows)


def draw(path: Path, found: DetectionResult) -> Path | None:
    """Next to the table, the most anomalous images and where their errors are; None where examples are no images."""
    if found.extremes.originals.ndim not in {3, 4}:
        return None
    from isthmus import plots
    from isthmus.plots.figure import save_png

    return save_png(plots.anomalies(found), path.with_suffix(".png"))
