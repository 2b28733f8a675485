"""The functions of an autoencoder that become files, as modules of PyTorch with named inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, cast, get_args

import numpy as np
import torch
from torch import Tensor, nn

from isthmus.errors import NotPossibleError
from isthmus.estimators.export.detector_module import DetectorModule
from isthmus.estimators.export.ports import Port
from isthmus.estimators.export.table_ports import column_ports, columns_of, features_of, imputed_columns
from isthmus.estimators.plain_module import AutoencoderModule
from isthmus.text import quoted

if TYPE_CHECKING:
    from isthmus.estimators.autoencoder import Autoencoder
    from isthmus.estimators.outlier_detector import OutlierDetector

__all__ = ["PARTS", "Part", "PartName", "autoencoder_of", "default_parts", "detector_of", "part_of"]

PartName = Literal["encoder", "decoder", "reconstruct", "impute", "score", "detect"]
PARTS: tuple[PartName, ...] = get_args(PartName)


class Part(nn.Module):
    """A function of examples or codes. `forward` takes and gives the tensors of its ports, in order.

    Attributes:
        inputs, outputs: the ports.
    """

    def __init__(
        self,
        module: nn.Module,
        inputs: Sequence[Port],
        outputs: Sequence[Port],
        function: Callable[..., tuple[Tensor, ...]],
    ) -> None:
        super().__init__()
        self.module, self.function = module, function
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The outputs, of the inputs."""
        return self.function(*tensors)


def detector_of(fitted: Autoencoder | OutlierDetector) -> OutlierDetector | None:
    """The detector; None for an autoencoder."""
    return cast("OutlierDetector", fitted) if hasattr(fitted, "autoencoder_") else None


def autoencoder_of(fitted: Autoencoder | OutlierDetector) -> Autoencoder:
    """The autoencoder, or that of a detector."""
    return cast("Autoencoder", getattr(fitted, "autoencoder_", fitted))


def default_parts(fitted: Autoencoder | OutlierDetector) -> tuple[PartName, ...]:
    """The parts that a fitted estimator has."""
    ae, detector = autoencoder_of(fitted), detector_of(fitted)
    impute: tuple[PartName, ...] = ("impute",) if ae.model_.fill is not None else ()
    detect: tuple[PartName, ...] = () if detector is None else ("detect",)
    return ("encoder", "decoder", "reconstruct", *impute, "score", *detect)


def part_of(name: PartName, fitted: Autoencoder | OutlierDetector, dtype: np.dtype) -> Part:
    """A part of a fitted estimator.

    Args:
        name: of the part.
        fitted: an autoencoder, or a detector.
        dtype: of raw examples; a table with other columns than numbers has dtypes of its own.

    Raises:
        NotPossibleError: the estimator has no such part.
    """
    if name not in default_parts(fitted):
        reason = "a detector" if name == "detect" else "an autoencoder that was fitted with missing='allow'"
        raise NotPossibleError(f"the part {name!r} requires {reason}: leave it out of parts")
    return _Parts(autoencoder_of(fitted), detector_of(fitted), dtype).part(name)


class _Parts:
    """Makes the parts of one estimator."""

    def __init__(self, ae: Autoencoder, detector: OutlierDetector | None, dtype: np.dtype) -> None:
        self.ae, self.detector, self.module = ae, detector, ae.to_module()
        self.table = ae._require_fitted().table
        self.missing = ae.model_.fill is not None
        made = "float64" if ae.model_.shift.dtype == torch.float64 else "float32"
        if self.table is None:
            self.examples: tuple[Port, ...] = (Port("X", str(dtype), ae.shape_),)
            self.made: tuple[Port, ...] = (Port("reconstruction", made, ae.shape_),)
            self.imputed: tuple[Port, ...] = (Port("imputed", str(dtype), ae.shape_),)
        else:
            self.examples = column_ports(self.table, self.missing)
            self.made = tuple(_renamed(port, "reconstruction") for port in self.examples)
            self.imputed = tuple(_renamed(port, "imputed") for port in self.examples)
        self.code = Port("code", str(ae.model_.dtype).removeprefix("torch."), ae.code_shape_)
        self.numbers: Tensor | None = None  # labels that are whole numbers
        self.y = self._y()

    def _y(self) -> tuple[Port, ...]:
        """The input of labels or covariates, () without."""
        context = self.ae._require_fitted().context
        if self.ae.model_.architecture.context is None or context is None:
            return ()
        if context.classes is None:
            return (Port("y", "float64", (context.size,)),)
        labels = context.classes.tolist()
        if all(isinstance(label, str) for label in labels):
            return (Port("y", "string", (), tuple(labels)),)
        if not all(isinstance(label, int) for label in labels):
            raise NotPossibleError(
                f"labels such as {quoted(labels[0], 60)} cannot be exported: train with text or whole numbers as labels"
            )
        self.numbers = torch.tensor(labels, dtype=torch.int64)
        return (Port("y", "int64", (), tuple(map(str, map(int, labels)))),)

    def part(self, name: PartName) -> Part:
        module: AutoencoderModule = self.module
        given = (*self.examples, *self.y)
        if name == "encoder":
            return Part(module, given, [self.code], lambda *t: (module.encode(*self._rows(t)),))
        if name == "decoder":
            return Part(
                module,
                [self.code, *self.y],
                self.made,
                lambda *t: self._columns(module.decode(t[0], *self._positions(t[1:]))),
            )
        if name == "reconstruct":
            return Part(module, given, self.made, lambda *t: self._columns(module(*self._rows(t))))
        if name == "impute":
            return Part(module, given, self.imputed, self._impute)
        if name == "score":
            score = Port("score", self.code.dtype)
            return Part(module, given, [score], lambda *t: (module.score(*self._rows(t)),))
        assert self.detector is not None
        scores = DetectorModule(self.detector, module)
        outputs = [Port("score", "float64"), Port("p_value", "float64"), Port("anomaly", "bool")]
        return Part(scores, given, outputs, lambda *t: scores(*self._rows(t)))

    def _rows(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The raw examples of the inputs, and y if there is one."""
        given, y = tensors[: len(self.examples)], tensors[len(self.examples) :]
        return (given[0] if self.table is None else features_of(self.table, given), *self._positions(y))

    def _positions(self, y: Sequence[Tensor]) -> Sequence[Tensor]:
        """The positions of labels that are whole numbers, -1 for others; text already is positions, and covariates stay."""
        if self.numbers is None or not y:
            return y
        same = y[0][:, None] == self.numbers
        return (torch.where(same.any(1), same.to(torch.int64).argmax(1), -1),)

    def _columns(self, made: Tensor) -> tuple[Tensor, ...]:
        return (made,) if self.table is None else columns_of(self.table, made, self.missing)

    def _impute(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        rows = self._rows(tensors)
        if self.table is None:
            return (self.module.impute(*rows),)
        return imputed_columns(self.table, tensors, self._columns(self.module(*rows)))


def _renamed(port: Port, prefix: str) -> Port:
    return port._replace(name=f"{prefix}.{port.column}")
