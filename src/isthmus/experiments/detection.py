"""The result of anomaly detection, written as a table and a figure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.data.images.single import write_image
from isthmus.errors import DataError, RecordError
from isthmus.evaluation.detection_result import DetectionResult
from isthmus.evaluation.image_detection import ImageDetection, ImageMetrics
from isthmus.evaluation.series_detection import SeriesDetection
from isthmus.evaluation.series_metrics import SeriesMetrics
from isthmus.io.atomic import check_writable, replace_file
from isthmus.io.tables import write_csv
from isthmus.text import as_json

__all__ = [
    "alarms_path",
    "as_text",
    "csv_path",
    "draw",
    "heat_maps_path",
    "trained_column",
    "write",
    "write_heat_map",
    "write_images",
    "write_metrics",
    "write_series",
    "written_paths",
]


def csv_path(out: Path | None, usual: str) -> Path:
    """The path of the table. It is checked before the computation starts."""
    path = Path(usual) if out is None else out
    if path.suffix != ".csv":
        raise RecordError(f"--out {path}: the table is written as CSV: give a name that ends in .csv")
    if not path.parent.is_dir():
        raise DataError(f"--out {path}: there is no folder {path.parent}: create it first")
    check_writable(path)
    return path


def write(path: Path, found: DetectionResult) -> None:
    """Writes one row per example. The file is replaced atomically."""
    header, *rows = found.lines()
    write_csv(path, header, rows)


def write_series(path: Path, found: SeriesDetection, marks: Mapping[str, NDArray[Any]]) -> list[Path]:
    """Writes one row per time step, and next to it the alarms and the figure.

    Args:
        path: of the table.
        found: what was detected.
        marks: further columns of the table, by name.
    """
    columns = {name: as_text(values) for name, values in (found.columns() | dict(marks)).items()}
    write_csv(path, list(columns), zip(*columns.values(), strict=True))
    header, *rows = found.alarm_lines()
    alarms = alarms_path(path)
    write_csv(alarms, header, rows)
    from isthmus import plots
    from isthmus.plots.figure import save_png

    return [path, alarms, save_png(plots.series_alarms(found), path.with_suffix(".png"))]


def trained_column(trained: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    """The column that says which time steps are in a window that a run was trained on.

    Args:
        trained: (n,).
    """
    return {"trained_on": np.where(trained, "yes", "no")}


def written_paths(path: Path) -> list[Path]:
    """The table, and the files that a detection may write next to it: alarms, figure and metrics."""
    return [path, alarms_path(path), path.with_suffix(".png"), _metrics_path(path)]


def alarms_path(path: Path) -> Path:
    """The table of alarms next to that of scores."""
    return path.with_name(f"{path.stem}-alarms.csv")


def write_images(path: Path, found: ImageDetection) -> list[Path]:
    """Writes one row per image, and next to it the metrics if there are any."""
    header, *rows = found.lines()
    write_csv(path, header, rows)
    return [path] if found.metrics is None else [path, write_metrics(path, found.metrics)]


def heat_maps_path(path: Path) -> Path:
    """The folder of heat maps next to the table of scores."""
    return path.with_name(f"{path.stem}-heat-maps")


def write_heat_map(path: Path, pixels: NDArray[Any], heat: NDArray[Any], low: float, high: float) -> None:
    """Writes a heat map on its image as PNG. Values from low to high are colored."""
    from isthmus.plots.heat_overlay import heat_overlay

    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, heat_overlay(pixels, heat, low, high))


def write_metrics(path: Path, metrics: SeriesMetrics | ImageMetrics) -> Path:
    """Writes the metrics as JSON, next to the table of scores."""
    target = _metrics_path(path)
    replace_file(target, as_json(metrics.to_dict()).encode() + b"\n")
    return target


def _metrics_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}-metrics.json")


def as_text(values: NDArray[Any]) -> NDArray[Any]:
    """Dates as text, with microseconds where they are not whole seconds; other values unchanged."""
    if values.dtype.kind != "M":
        return values
    whole = bool((values == values.astype("datetime64[s]")).all())
    return np.datetime_as_string(values, unit="s" if whole else "us")


def draw(path: Path, found: DetectionResult) -> Path | None:
    """Draws the most anomalous images and the positions of their errors, next to the table; None where examples are no images."""
    if found.extremes.originals.ndim not in {3, 4}:
        return None
    from isthmus import plots
    from isthmus.plots.figure import save_png

    return save_png(plots.anomalies(found), path.with_suffix(".png"))
