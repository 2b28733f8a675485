"""What is known of a trained model and its data."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from isthmus.data import Dataset, names
from isthmus.errors import DataError, RecordError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.experiments import run_data, run_folder, run_record, run_report
from isthmus.experiments.run_record import DataSource, RunInfo
from isthmus.io.files import open_regular
from isthmus.io.safetensors import opened
from isthmus.text import printable, quoted

__all__ = ["UNKNOWN", "Facts", "ModelFile", "gather"]

UNKNOWN = "not recorded"
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}")  # an identifier of the hub, such as apache-2.0
_BLOCK = 1 << 20


@dataclass(frozen=True)
class ModelFile:
    """A model file.

    Attributes:
        path: where it is.
        n_bytes, sha256: its size and checksum.
        version: of isthmus that wrote it, or "".
        written: the day of its last change, as 2030-01-31.
    """

    path: Path
    n_bytes: int
    sha256: str
    version: str
    written: str


@dataclass(frozen=True, eq=False)
class Facts:
    """What is known of a model.

    Attributes:
        file: the model file.
        estimator: the autoencoder, detector or classifier in it.
        ae: the autoencoder, or that of the detector or classifier.
        info: the settings of the run; the defaults without run.json.
        source: its data source; None without run.json.
        dataset: its data; None where they cannot be read.
        evaluated: the evaluation on its held-out examples; None where `missing` says why.
        missing: why there are no figures, or "".
        notes: notes on the data, one sentence each.
        license: of the model, as the hub calls it; None if nobody stated it.
    """

    file: ModelFile
    estimator: Any
    ae: Autoencoder
    info: RunInfo
    source: DataSource | None
    dataset: Dataset | None = None
    evaluated: run_report.EvaluatedData | None = None
    missing: str = ""
    notes: tuple[str, ...] = ()
    license: str | None = None

    @property
    def is_autoencoder(self) -> bool:
        """Whether the file holds an autoencoder alone."""
        return self.estimator is self.ae

    @property
    def data_name(self) -> str:
        """The name of the data, without folders; "unknown data" where there is no record of them."""
        if self.dataset is not None:
            return self.dataset.name
        return "unknown data" if self.source is None else Path(self.source.data).name

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        what = {True: f"{self.info.recipe} autoencoder", False: type(self.estimator).__name__}[self.is_autoencoder]
        return f"{what.removeprefix('a model ').capitalize() if self.is_autoencoder else what}: {self.data_name}"

    @property
    def built_in(self) -> bool:
        """Whether the data are a data set of isthmus."""
        return self.dataset is not None and self.dataset.name in names()


def gather(run: Path, source: DataSource | None = None, *, license: str | None = None) -> Facts:  # noqa: A002 (the hub's name)
    """Reads a run, and evaluates it on its held-out examples where its data can be read.

    Args:
        run: a run folder or a model file.
        source: the source of the examples; None for the run's own.
        license: of the model, as the hub calls it.

    Raises:
        RecordError: the license is no identifier.
        DataError: the run cannot be read, or a source is given and its examples do not fit.
    """
    if license is not None and not _LICENSE.fullmatch(license):
        raise RecordError(f"invalid license {quoted(license)}: expected an identifier of the hub, such as apache-2.0")
    estimator: Any = run_folder.open_estimator(run)
    path = run / run_folder.MODEL if run.is_dir() else run
    ae = next((getattr(estimator, name) for name in ("autoencoder_", "autoencoder") if _holds(estimator, name)), None)
    known: dict[str, Any] = {"source": None, "license": license, "ae": estimator if ae is None else ae}
    with suppress(DataError):
        known["source"] = run_record.source_of(run)
    known |= {"file": _model_file(path), "estimator": estimator, "info": run_record.info_of(run)}
    if ae is not None:
        if source is not None:
            raise DataError(
                f"{printable(run)} is of the class {type(estimator).__name__}, whose card has no figures: leave out --data"
            )
        return Facts(
            **known,
            missing=f"the file holds no autoencoder alone but {type(estimator).__name__}, which was not evaluated",
        )
    try:
        return Facts(**known, **_evaluated(run, source, estimator))
    except (DataError, OSError, ModuleNotFoundError) as error:
        if source is not None:
            raise
        return Facts(**known, missing=f"the data could not be read ({error})")


def _holds(estimator: Any, name: str) -> bool:
    """Whether an attribute is a fitted autoencoder."""
    return isinstance(getattr(estimator, name, None), Autoencoder)


def _evaluated(run: Path, source: DataSource | None, ae: Autoencoder) -> dict[str, Any]:
    """The data of a run and the evaluation on its held-out examples, as fields of `Facts`."""
    source = run_data.as_own(run, run_data.with_recorded_target(run, source))
    _, dataset = run_data.load_examples(run, source, ae, target=True)
    part = run_data.split_of(run, dataset, ae.missing, source)
    found = run_report.evaluate_own_data(ae, part, dataset)
    return {"dataset": dataset, "evaluated": found, "notes": (*dataset.notes, *part.notes)}


def _model_file(path: Path) -> ModelFile:
    """Size, checksum, version and day of a model file."""
    checksum = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(_BLOCK):
            checksum.update(block)
    with opened(path) as tensors:
        entry = json.loads(tensors.metadata.get("isthmus", "{}"))
    version, seen = entry.get("version", ""), path.stat()
    day = datetime.fromtimestamp(seen.st_mtime, UTC).strftime("%Y-%m-%d")
    return ModelFile(path, seen.st_size, checksum.hexdigest(), version if isinstance(version, str) else "", day)
