"""What came of all tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from isthmus.results import Result, Table

__all__ = ["BulkResult", "Failure"]


@dataclass(frozen=True)
class Failure:
    """Rows without a result.

    Attributes:
        where: the file, or some of its rows.
        error: the reason, in a sentence.
    """

    where: str
    error: str


@dataclass(frozen=True, eq=False, repr=False)
class BulkResult(Result):
    """The result of `isthmus.scaleout.run`.

    Attributes:
        folder: of the results.
        files: the number of files that were read.
        tasks: the number of tasks.
        done: of them, those that were done now.
        skipped: those whose results were there and undamaged.
        rows: the rows that were written now.
        rows_there: the rows whose results were there.
        seconds: the time of all tasks together, from the first to the last.
        failures: the files and rows without a result.
    """

    folder: str
    files: int
    tasks: int
    done: int
    skipped: int
    rows: int
    rows_there: int
    seconds: float
    failures: tuple[Failure, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether each row of each file has its result."""
        return not self.failures

    @property
    def rows_per_second(self) -> float:
        """The rows that were written per second."""
        return self.rows / self.seconds if self.seconds > 0 else 0.0

    def to_dict(self) -> dict[str, Any]:
        """All values as plain JSON values."""
        return {
            "folder": self.folder,
            "files": self.files,
            "tasks": self.tasks,
            "done": self.done,
            "skipped": self.skipped,
            "failed": len(self.failures),
            "rows": self.rows,
            "rows_there": self.rows_there,
            "seconds": self.seconds,
            "rows_per_second": self.rows_per_second,
            "failures": [{"where": each.where, "error": each.error} for each in self.failures],
        }

    def table(self) -> Table:
        """The numbers as a table."""
        row = [f"{self.files:,}", f"{self.tasks:,}", f"{self.done:,}", f"{self.skipped:,}", f"{len(self.failures):,}"]
        row += [f"{self.rows:,}", f"{self.seconds:.1f}", f"{self.rows_per_second:,.0f}"]
        return ["files", "tasks", "done", "skipped", "failed", "rows written", "seconds", "rows/s"], [row]

    def _frame_rows(self) -> list[dict[str, Any]]:
        return [{name: value for name, value in self.to_dict().items() if name != "failures"}]
