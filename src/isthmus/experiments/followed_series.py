"""Anomaly detection in a series in a text file that grows: tables of scores and alarms that grow too."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from isthmus.data.growing_series import GrowingSeries, SeriesPart
from isthmus.data.options import ReadOptions
from isthmus.data.series.stretches import usual_gap
from isthmus.errors import RecordError
from isthmus.estimators.outlier_detector import OutlierDetector
from isthmus.evaluation.series_alarms import alarm_header, alarm_row
from isthmus.evaluation.series_stream import SeriesStream
from isthmus.evaluation.streamed_steps import StreamedSteps
from isthmus.experiments.detection import alarms_path, as_text, trained_column
from isthmus.experiments.membership import Membership, same_as_trained
from isthmus.io.tables import GrowingTable

__all__ = ["FollowedSeries"]


class FollowedSeries:
    """Detection in a series in a file that grows. Each part is written when it is final.

    Args:
        series: the rows.
        options: the options of reading, with those of the run.
        detector: the detector.
        path: the table of scores; that of alarms is next to it.
        record: which windows the run was trained on, for the column trained_on; None without.

    Attributes:
        written: the files, once rows were read.
        steps, alarms: how many are final.
        trained: how many of these steps are in windows that the run was trained on.
    """

    def __init__(
        self,
        series: GrowingSeries,
        options: ReadOptions,
        detector: OutlierDetector,
        path: Path,
        record: Membership | None = None,
    ) -> None:
        self._series, self._options, self._detector, self._path = series, options, detector, path
        self._stream: SeriesStream | None = None
        self._tables: tuple[GrowingTable, GrowingTable] | None = None
        self._known = None if record is None or record.keys is None else partial(same_as_trained, record)
        self.written, self.steps, self.alarms, self.trained = list[Path](), 0, 0, 0

    def advance(self) -> tuple[StreamedSteps, tuple[str, ...]] | None:
        """Takes rows that were appended.

        Returns:
            What is final now, with notes; None if no rows were appended.
        """
        part = self._series.read()
        if part is None:
            return None
        notes = tuple[str, ...]()
        if self._stream is None:
            gap, notes = self._gap(part)
            options, detector = self._options, self._detector
            self._stream = SeriesStream(detector, options.step, gap=gap, pad=options.pad, known=self._known)
            notes = (*part.notes, *notes)
        found = self._stream.update(part.values, time=part.time, by=part.by)
        if self._tables is None:
            known = {"machine": part.by, "time": part.time}
            header = ["row", *(name for name, values in known.items() if values is not None), "score", "alarm"]
            header += [] if self._known is None else ["trained_on"]
            self.written = [self._path, alarms_path(self._path)]
            columns = header, alarm_header(self._stream.channels, part.by is not None)
            self._tables = GrowingTable(self.written[0], columns[0]), GrowingTable(self.written[1], columns[1])
        self._write(found)
        return found, (*notes, *found.notes)

    def finish(self) -> StreamedSteps | None:
        """The rest, as if the series had ended; None if there were no rows."""
        if self._stream is None or self._tables is None:
            return None
        found = self._stream.finish()
        self._write(found)
        return found

    def rest(self) -> str:
        """What is not read yet, and why, for a message; "" for nothing."""
        return self._series.rest()

    def _gap(self, part: SeriesPart) -> tuple[float | None, tuple[str, ...]]:
        """The longest interval that is no gap: the given one, else from the first rows, with a note."""
        if self._options.gap is not None or part.time is None:
            return self._options.gap, ()
        gap = usual_gap(part.time, part.by)
        if gap is None:
            raise RecordError(
                "the first rows of the file have no two times: give --gap, the longest interval that is no gap"
            )
        gap = float(f"{gap:g}")  # as it is printed
        return gap, (
            f"intervals over {gap:g} are gaps: 1.5 times the median interval of the first {len(part.values):,} rows; --gap {gap:g} "
            "gives the same answers in one go",
        )

    def _write(self, found: StreamedSteps) -> None:
        assert self._tables is not None
        assert self._stream is not None
        scores, alarms = self._tables
        trained = {} if found.known is None else trained_column(found.known)
        columns = [as_text(values) for values in (found.columns() | trained).values()]
        scores.add(zip(*columns, strict=True))
        alarms.add(self._alarm_rows(found, self._stream.channels))
        self.steps, self.alarms = self.steps + len(found.rows), self.alarms + len(found.alarms)
        self.trained += 0 if found.known is None else int(found.known.sum())

    def _alarm_rows(self, found: StreamedSteps, channels: tuple[str, ...]) -> Iterator[list[Any]]:
        for number, alarm in zip(found.numbers, found.alarms, strict=True):
            yield alarm_row(number, alarm, channels)
