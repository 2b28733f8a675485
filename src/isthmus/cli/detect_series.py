"""Anomaly detection in a series, in one go or while its file grows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isthmus.cli.console import counted, print_json, print_line, print_table
from isthmus.cli.detection_task import DetectionTask, print_written, trained_note

if TYPE_CHECKING:
    from isthmus.estimators.outlier_detector import OutlierDetector
    from isthmus.evaluation.series_detection import SeriesDetection

__all__ = ["detect_in_series"]


def detect_in_series(task: DetectionTask, follow: bool, idle: float | None) -> None:
    """Writes the scores of the time steps of a series, and the alarms.

    Args:
        task: what to detect.
        follow: whether the file is followed while it grows, else read once.
        idle: the seconds without new rows after which this ends; None: without end.
    """
    if follow:
        _follow(task, idle)
    else:
        _in_one_go(task)


def _in_one_go(task: DetectionTask) -> None:
    """Writes the scores of the time steps of a series, the alarms, and metrics where there are labels."""
    from isthmus.data.locations import Positions
    from isthmus.evaluation import detect_series
    from isthmus.evaluation.interval_metrics import check_both
    from isthmus.evaluation.series_metrics import anomaly_labels, series_metrics
    from isthmus.experiments import detection, run_data
    from isthmus.experiments.membership import trained_steps

    ae, source = task.autoencoder(), task.source()
    windows, labels = run_data.load_labeled_windows(task.run, source, ae)
    truth = None
    if labels is not None:
        rows = Positions(file=windows.at.file, lines=windows.at.lines)
        truth = anomaly_labels(labels, f"column {source.options.labels}", rows)
        check_both(truth)
    trained = trained_steps(run_data.membership_of(task.run), windows)
    told = "" if trained is None else trained_note(int(trained.sum()), len(trained))
    detector = task.detector(ae, [*windows.notes, told], windows.values)
    found = detect_series(detector, windows)
    metrics = None if truth is None else series_metrics(found, truth)
    marks = {} if trained is None else detection.trained_column(trained)
    written = detection.write_series(task.path, found, marks)
    if metrics is not None:
        written.append(detection.write_metrics(task.path, metrics))
    if task.as_json:
        print_json(found.to_dict() | ({} if metrics is None else {"metrics": metrics.to_dict()}))
        return
    _print_series(found, detector)
    if metrics is not None:
        print_table(*metrics.table())
    print_written(written, task.save, detector.n_references_)


def _follow(task: DetectionTask, idle: float | None) -> None:
    """Writes the scores and alarms of a series in a file that grows."""
    from isthmus.cli.follow import follow
    from isthmus.experiments import run_data
    from isthmus.experiments.followed_series import FollowedSeries

    ae, record = task.autoencoder(), run_data.membership_of(task.run)
    series, options = run_data.follow_series(task.run, task.source(), ae)
    detector = task.detector(ae, ())
    if not task.as_json:
        print_line(f"threshold: {detector.guarantee()}")
    follow(FollowedSeries(series, options, detector, task.path, record), idle, task.as_json)


def _print_series(found: SeriesDetection, detector: OutlierDetector) -> None:
    """Prints the alarms in a series."""
    if found.decided:
        steps = int((found.labels > 0).sum())
        n, threshold = counted(len(found.alarms), "alarm"), f"score below {detector.offset_:.6g}"
        print_line(f"{n}, {steps:,} of {len(found.scores):,} time steps: {threshold}")
        print_line(f"threshold: {detector.guarantee()}")
    else:
        print_line(f"undecided: {detector.guarantee()}; give more normal examples with --normal")
    without = found.to_dict()["steps_without_score"]
    if without:
        print_line(f"no score: {counted(without, 'time step')} of {len(found.scores):,}, in no window")
    if found.alarms:
        print_table(*found.table())
