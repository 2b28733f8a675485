"""An exported autoencoder: encode, decode, reconstruct, impute, score and detect, by onnxruntime."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.errors import DataError, IsthmusWarning, ModelFileError, NotPossibleError, RecordError
from isthmus.runtime.columns import as_table
from isthmus.runtime.inputs import checked_inputs
from isthmus.runtime.manifest import Manifest, PartFile, read_manifest, read_part
from isthmus.text import printable

__all__ = ["Detection", "ExportedModel", "load"]

Array = NDArray[Any]
_ROWS, _VALUES = 1024, 2**22  # of a batch at most
_TYPES = {"float32": "float", "float64": "double"}  # as onnxruntime calls dtypes that have another name
_MOST_ROWS = 16  # of which batches are a multiple


class Detection(NamedTuple):
    """What a detector says of n examples.

    Attributes:
        scores: higher for more normal examples, (n,).
        p_values: conformal p-values, (n,).
        anomalous: whether the score is below the threshold, (n,).
    """

    scores: NDArray[np.float64]
    p_values: NDArray[np.float64]
    anomalous: NDArray[np.bool_]


class ExportedModel:
    """A folder that `isthmus export` wrote. Examples and results are in the units of the data.

    Examples are an array (n, *shape); of a table with other columns than numbers a frame, or a mapping of column names to arrays (n,), and
    results are such a frame too. A row has the same bits in any grouping of rows.

    Args:
        manifest: the description of the folder.
        threads: that compute different batches; None: one for each core.
    """

    def __init__(self, manifest: Manifest, threads: int | None = None) -> None:
        self.manifest = manifest
        if threads is not None and (not isinstance(threads, int) or threads < 1):
            raise RecordError(f"threads is {printable(repr(threads), 60)}: give a whole number of at least 1, or None")
        self._threads = threads or os.cpu_count() or 1
        self._sessions: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"ExportedModel({', '.join(self.manifest.parts)}; examples {self.manifest.shape}, codes {self.manifest.code_shape})"

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts that the folder has."""
        return tuple(self.manifest.parts)

    def encode(self, X: Any, y: Any = None) -> Array:
        """The codes (n, *code_shape) of examples.

        Args:
            X: examples.
            y: labels (n,) or covariates of a conditional autoencoder.

        Raises:
            DataError: the examples are not like those of the training data.
        """
        return self._outputs("encoder", self._inputs("encoder", X, y))[0]

    transform = encode

    def decode(self, Z: Any, y: Any = None) -> Any:
        """The reconstructions of codes.

        Args:
            Z: codes (n, *code_shape).
            y: labels (n,) or covariates of a conditional autoencoder.

        Raises:
            DataError: the codes do not have this shape, or are not finite.
        """
        return self._table("decoder", None, self._outputs("decoder", self._inputs("decoder", Z, y)))

    def reconstruct(self, X: Any, y: Any = None) -> Any:
        """The reconstructions of examples.

        Args:
            X: examples.
            y: labels (n,) or covariates of a conditional autoencoder.

        Raises:
            DataError: the examples are not like those of the training data.
        """
        return self._table("reconstruct", X, self._outputs("reconstruct", self._inputs("reconstruct", X, y)))

    def impute(self, X: Any, y: Any = None) -> Any:
        """Examples with the reconstructions in place of missing values.

        Args:
            X: examples.
            y: labels (n,) or covariates of a conditional autoencoder.

        Raises:
            DataError: the examples are not like those of the training data.
        """
        return self._table("impute", X, self._outputs("impute", self._inputs("impute", X, y)))

    def score_samples(self, X: Any, y: Any = None) -> Array:
        """Minus the loss of each example in nats, (n,): higher for examples that are more like the training data.

        Args:
            X: examples.
            y: labels (n,) or covariates of a conditional autoencoder.

        Raises:
            DataError: the examples are not like those of the training data.
        """
        return self._outputs("score", self._inputs("score", X, y))[0]

    def detect(self, X: Any, y: Any = None) -> Detection:
        """Scores, p-values and verdicts of a detector.

        Args:
            X: examples.
            y: labels (n,) or covariates of a conditional autoencoder.

        Raises:
            DataError: the examples are not like those of the training data.
        """
        return Detection(*self._outputs("detect", self._inputs("detect", X, y)))

    def apply(self, part: str, inputs: Mapping[str, Array]) -> list[Array]:
        """The outputs of a part, of arrays that `isthmus.runtime.inputs.checked_inputs` checked.

        Args:
            part: its name.
            inputs: an array (n, *shape) of the dtype of each input.

        Raises:
            DataError: a row has no finite result.
        """
        return self._outputs(part, inputs)

    def open_parts(self) -> None:
        """Opens all files now, rather than at their first use."""
        for name in self.parts:
            self._session(name)

    def run(self, part: str, inputs: dict[str, Array]) -> list[Array]:
        """The outputs of a part, of its inputs as they are, without checks and without batches.

        Args:
            part: its name.
            inputs: an array for each input.
        """
        found: list[Array] = self._session(part).run(None, inputs)
        return found

    def _session(self, name: str) -> Any:
        session = self._sessions.get(name)
        if session is None:
            session = self._sessions[name] = _open(self._part(name))
        return session

    def _part(self, name: str) -> PartFile:
        part = self.manifest.parts.get(name)
        if part is None:
            raise NotPossibleError(
                f"the exported folder has no part {name!r}, only {', '.join(self.parts)}: export it with --parts {name}"
            )
        return part

    def _inputs(self, name: str, X: Any, y: Any) -> dict[str, Array]:
        """The checked inputs of a part."""
        decodes = name == "decoder"
        return checked_inputs(
            self._part(name).inputs,
            X,
            y,
            missing=self.manifest.missing and not decodes,
            what="codes" if decodes else "examples",
            note=_warn,
            features=self.manifest.features,
        )

    def _outputs(self, name: str, inputs: Mapping[str, Array]) -> list[Array]:
        """The outputs, batch by batch; several threads compute different batches."""
        session, part, n = self._session(name), self._part(name), len(next(iter(inputs.values())))
        size = max(_MOST_ROWS, min(_ROWS, _VALUES // max(1, math.prod(self.manifest.shape))) // _MOST_ROWS * _MOST_ROWS)

        def compute(begin: int) -> list[Array]:
            batch = {key: _padded(values[begin : begin + size], part.rows) for key, values in inputs.items()}
            try:
                results: list[Array] = session.run(None, batch)
            except Exception as error:  # of onnxruntime, of many kinds
                raise _cannot_run(part, error) from None
            rows = len(next(iter(batch.values())))
            if any(values.shape[:1] != (rows,) for values in results):
                raise ModelFileError(
                    f"{printable(part.path)} does not give one result for each row: export the model again"
                )
            return results

        begins = range(0, n, size)
        threads = min(self._threads, len(begins))
        if threads == 1:
            parts = [compute(begin) for begin in begins]
        else:
            with ThreadPoolExecutor(threads) as pool:
                parts = list(pool.map(compute, begins))
        found = [each[0][:n] if len(parts) == 1 else np.concatenate(each)[:n] for each in zip(*parts, strict=True)]
        for values in found:
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                row = int(np.argwhere(~np.isfinite(values))[0, 0])
                raise DataError(
                    f"row {row} has no finite result: its values are too far from the training data, or unknown: correct them"
                )
        return found

    def _table(self, name: str, X: Any, outputs: Sequence[Array]) -> Any:
        ports = self._part(name).outputs
        return as_table(X, ports, outputs) if ports[0].kind else outputs[0]


def load(folder: str | os.PathLike[str], *, threads: int | None = None) -> ExportedModel:
    """Opens an exported folder.

    Args:
        folder: that `isthmus export` wrote.
        threads: that compute different batches; None: one for each core.

    Raises:
        ModelFileError: the folder is no export, or damaged.
        NotPossibleError: onnxruntime is not installed.

    Examples:
        >>> model = isthmus.runtime.load("exported")
    """
    return ExportedModel(read_manifest(Path(folder)), threads)


def _open(part: PartFile) -> Any:
    """A session of onnxruntime with one thread: several would divide arrays at any place, and round remainders in other ways."""
    os.environ.setdefault(
        "ORT_DISABLE_TELEMETRY", "1"
    )  # releases of onnxruntime send usage data to their makers otherwise
    try:
        import onnxruntime
    except ImportError:
        raise NotPossibleError("exported models run by onnxruntime: pip install onnxruntime") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    try:
        session = onnxruntime.InferenceSession(read_part(part), options, providers=["CPUExecutionProvider"])
    except ModelFileError:
        raise
    except Exception as error:  # of onnxruntime, of many kinds
        raise _cannot_run(part, error) from None
    for ports, known in ((part.inputs, session.get_inputs()), (part.outputs, session.get_outputs())):
        if [(port.name, _TYPES.get(port.dtype, port.dtype)) for port in ports] != [
            (each.name, each.type.removeprefix("tensor(").removesuffix(")")) for each in known
        ]:
            raise ModelFileError(
                f"{printable(part.path)} has other inputs or outputs than its description says: export the model again"
            )
    return session


def _cannot_run(part: PartFile, error: Exception) -> ModelFileError:
    return ModelFileError(f"{printable(part.path)} cannot be run: {printable(str(error), 200)}")


def _padded(values: Array, multiple: int) -> Array:
    """Rows, with copies of the first one up to a multiple of a number of rows."""
    lacking = -len(values) % multiple
    return np.concatenate([values, np.repeat(values[:1], lacking, axis=0)]) if lacking else values


def _warn(sentence: str) -> None:
    warnings.warn(sentence, IsthmusWarning, stacklevel=7)
