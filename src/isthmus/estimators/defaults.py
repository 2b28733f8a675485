"""What "auto" means: the choices that are made from the data, and how long to train on how many examples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.architectures import MLP
from isthmus.architectures.base import Architecture
from isthmus.bottlenecks import Identity
from isthmus.bottlenecks.base import Bottleneck
from isthmus.corruptions import Clean, Corruption, Masking
from isthmus.data.kinds import Kind, kind_of, seem_images
from isthmus.data.statistics import DataStatistics
from isthmus.data.validation import Examples, Missing
from isthmus.errors import DataError, RecordError
from isthmus.estimators.memory_estimate import footprint
from isthmus.likelihoods import Bernoulli, Likelihood, Normal
from isthmus.model import Model
from isthmus.nn.device import computes_bfloat16
from isthmus.optimizers import AdamW, OneCycle, Optimizer
from isthmus.records import Record
from isthmus.scaling import (
    Affine,
    Extent,
    Scaling,
    axes_of,
    choose,
    extent,
    shared_by,
    wide_enough,
    within_unit,
)
from isthmus.text import printable
from isthmus.training.config import Precision

__all__ = [
    "COMPONENTS",
    "DEFAULTS",
    "ResolvedComponents",
    "batch_size_for",
    "check_unit_interval",
    "choose_precision",
    "component",
    "defaults",
    "doubted",
    "drowned",
    "epochs_for",
    "resolve_defaults",
    "statistics_for",
    "threads_for",
]

_SHARED = (
    50_000_000  # multiplications on a step's way forwards, from which on a second thread is worth a third of the time
)

COMPONENTS: dict[str, type[Record]] = {
    "bottleneck": Bottleneck,
    "architecture": Architecture,
    "corruption": Corruption,
    "likelihood": Likelihood,
    "scaling": Scaling,
    "optimizer": Optimizer,
}

DEFAULTS: dict[str, Record] = {  # what "auto" means, as far as that does not depend on the data
    "bottleneck": Identity(32),
    "architecture": MLP(),
    "corruption": Clean(),
    "optimizer": AdamW(3e-3, schedule=OneCycle()),
}
COMPLETING: dict[
    str, Record
] = {  # and where numbers may be missing: others are hidden, to learn to complete and not to copy
    "architecture": MLP((128,)),
    "corruption": Masking(0.3, value="missing"),
}


def defaults(missing: Missing) -> dict[str, Record]:
    """What "auto" means, as far as that does not depend on the data."""
    return DEFAULTS | (COMPLETING if missing == "allow" else {})


class ResolvedComponents(NamedTuple):
    """Everything that makes a model: a record for each slot, the shape of an example, what its axes mean, the map to model units,
    the weights' type, and the least and largest number of each unit (None in a model of an older file).

    Where numbers may be missing, what stands for them at first too, in model units.
    """

    records: Mapping[str, Any]
    shape: tuple[int, ...]
    kind: Kind
    affine: Affine
    dtype: torch.dtype
    extent: Extent | None = None
    fill: NDArray[Any] | None = None

    def model(self, generator: torch.Generator) -> Model:
        """An untrained model, on the default device."""
        architecture, bottleneck, likelihood = (self.records[s] for s in ("architecture", "bottleneck", "likelihood"))
        affine, extent = self.affine, self.extent
        return Model(self.shape, architecture, bottleneck, likelihood, affine, generator, self.dtype, self.fill, extent)

    def meta_model(self) -> Model:
        """The model without memory for its weights, so that sizes can be known before any is taken."""
        own = self.records["architecture"].user_defined  # code of the user's, which may not run on "meta"
        with torch.device("cpu" if own else "meta"):
            return self.model(torch.Generator("cpu"))

    def code_shape(self) -> tuple[int, ...]:
        """The shape of one code."""
        return (*self.records["architecture"].positions(self.shape), self.records["bottleneck"].size)


def component(given: Any) -> Any:
    """A component as it was given: a whole number is the size of an `Identity` bottleneck."""
    return Identity(int(given)) if isinstance(given, Integral) and not isinstance(given, bool) else given


def statistics_for(
    given: Mapping[str, Any],
    examples: Examples,
    missing: Missing,
    kind: Kind | Literal["auto"] = "auto",
    fingerprint: bool = False,
) -> DataStatistics:
    """What `resolve_defaults` asks of examples, in one pass, in which their numbers are checked too.

    Raises:
        DataError: a number is NaN, unless it may be missing, infinite or too large for float32.
    """
    values, scaling = examples.values, given["scaling"]
    meant = _meant(examples, kind)
    shared, auto = axes_of(shared_by(meant, values.ndim), values.ndim), isinstance(scaling, str)
    own = shared if auto else scaling.axes(values.ndim)
    may_center = not _takes_shares(given) and not (meant == "images" and values.dtype == np.uint8)
    sums = {own} if own is not None and (may_center if auto else scaling.centered) else set()
    return DataStatistics.checked(
        examples,
        missing,
        ranges={shared} if own is None else {shared, own},
        sums=sums | ({(0,)} if missing == "allow" else set()),
        fingerprint=fingerprint,
    )


def _meant(examples: Examples, kind: Kind | Literal["auto"]) -> Kind:
    """What the axes mean."""
    return (examples.kind or kind_of(examples.values)) if kind == "auto" else kind


def _takes_shares(given: Mapping[str, Any]) -> bool:
    """Whether the user chose a likelihood that wants numbers in [0, 1]."""
    return getattr(given["likelihood"], "expects_unit_interval", False)


def resolve_defaults(
    given: Mapping[str, Any],
    examples: Examples,
    statistics: DataStatistics,
    precision: Precision,
    missing: Missing,
    kind: Kind | Literal["auto"] = "auto",
) -> ResolvedComponents:
    """The choices for examples (n, *shape): those given, and for "auto" what suits the data."""
    values, middle = examples.values, statistics.means(examples) if missing == "allow" else None
    meant, shares = _meant(examples, kind), _takes_shares(given)
    numbers = math.prod(values.shape[1:])
    scaling = choose(statistics, meant, shares) if isinstance(given["scaling"], str) else given["scaling"]
    affine = scaling.fit_statistics(statistics)
    makes_missing = missing == "allow" and isinstance(given["corruption"], str)  # what is hidden no wide code can copy
    auto = defaults(missing) | {
        "bottleneck": Identity(min(32, numbers if makes_missing else (numbers + 1) // 2)),
        "likelihood": Bernoulli() if _are_shares(statistics, meant, scaling, affine) else Normal("learned"),
        "scaling": scaling,
    }
    records = {name: auto[name] if isinstance(value, str) else value for name, value in given.items()}
    if shares:  # one that was chosen has been looked at
        check_unit_interval(statistics, affine)
    double = precision == "float64"
    wide = np.dtype(np.float64) if double else wide_enough(statistics)
    affine = affine.astype(wide)
    found = extent(statistics, axes_of(shared_by(meant, values.ndim), values.ndim)).astype(wide)
    fill = None if middle is None else (middle - affine.shift) / affine.scale
    dtype = torch.float64 if double else torch.float32
    return ResolvedComponents(records, values.shape[1:], meant, affine, dtype, found, fill)


def doubted(statistics: DataStatistics, chosen: ResolvedComponents) -> str:
    """A sentence if examples whose kind nobody said could be images and were not taken for them; else nothing."""
    assert chosen.extent is not None
    low, high = float(chosen.extent.least.min()), float(chosen.extent.largest.max())
    if chosen.kind == "images" or not seem_images(chosen.shape, low, high, statistics.whole and statistics.complete):
        return ""
    columns = "rows of a table, with a scale for each column"
    taken = columns if chosen.kind == "table" else "windows of series, whose last axis is channels"
    return (
        f"examples of shape {chosen.shape} from 0 to {high:g} are taken for {taken}: if they are images, say kind='images', "
        f"and if not, kind='{chosen.kind}'"
    )


def drowned(statistics: DataStatistics, chosen: ResolvedComponents, columns: Sequence[str] | None) -> str:
    """A sentence if columns of single precision vary, but no more than their rounding does, and are taken for constant; else nothing.

    In double precision what is so small beside its column is rounding.
    """
    values = statistics.values
    if chosen.extent is None or chosen.kind == "images" or values.dtype.kind != "f" or values.dtype.itemsize > 4:
        return ""
    still, axes = (
        chosen.extent.least == chosen.extent.largest,
        axes_of(shared_by(chosen.kind, values.ndim), values.ndim),
    )
    if not still.any():
        return ""
    low, high = statistics.ends(axes)
    positions = np.argwhere(still & (high > low))
    if not len(positions):
        return ""
    place = tuple(map(int, positions[0]))
    if chosen.kind == "table":
        named = columns is not None and len(place) == 1
        what = f"column '{printable(columns[place[0]])}'" if named else f"column {', '.join(map(str, place))}"  # type: ignore[index]
    else:
        what = f"channel {place[-1]}" if place else "everything"
    more, several = (f" and {len(positions) - 1:,} more", True) if len(positions) > 1 else ("", False)
    return (
        f"{what}{more} {'vary' if several else 'varies'} no more than numbers of type {values.dtype.name} are rounded, by "
        f"{float(high[place]) - float(low[place]):g} around {float(low[place]):g}, and {'are' if several else 'is'} taken for constant: "
        "give them as float64, or subtract what they vary around"
    )


def _are_shares(statistics: DataStatistics, kind: Kind, scaling: Scaling, affine: Affine) -> bool:
    """Whether examples are images of grey levels in [0, 1], in model units; what is all alike is no grey level."""
    return kind == "images" and not scaling.centered and within_unit(statistics, affine)


def check_unit_interval(statistics: DataStatistics, affine: Affine) -> None:
    """`DataError` if examples are not within [0, 1] in model units, where a Bernoulli likelihood would have no floor."""
    if not within_unit(statistics, affine):
        raise DataError(
            "examples are not within [0, 1] after scaling, where the Bernoulli likelihood has no meaning; take "
            "likelihood=Normal('learned'), or scaling=MinMax()"
        )


def choose_precision(
    given: Precision, architecture: Architecture, shape: tuple[int, ...], device: torch.device
) -> Precision:
    """The precision that is meant: bfloat16 where it was measured to be as good and the device computes in it."""
    supported = architecture.supports_bfloat16(shape)
    if given == "bfloat16" and not supported:
        raise RecordError(
            f"precision='bfloat16' cannot be for {architecture!r} on examples of shape {shape}: PyTorch's gradients are "
            "wrong there; take 'float32'"
        )
    if given != "auto":
        return given
    return "bfloat16" if supported and architecture.prefers_bfloat16(shape) and computes_bfloat16(device) else "float32"


def batch_size_for(n: int) -> int:
    """A fortieth of the examples, within 16 ... 256."""
    return min(256, max(16, n // 40))


def epochs_for(n: int, batch_size: int) -> int:
    """About 3,000 steps, within 10 ... 50 epochs: more of them teach few examples by heart."""
    return min(50, max(10, math.ceil(3000 / math.ceil(n / batch_size))))


def threads_for(model: Model, batch_size: int) -> int:
    """Threads for steps on so many examples: one where more would bring little, else as many as PyTorch is set to.

    Threads wait for each other many times a step: beside a busy process two are slower than one, and small steps by far. How much the
    modules of the user's compute is not known: they get all. docs/threads.md has figures.
    """
    work = batch_size * footprint(model).products
    small = model.device.type == "cpu" and work < _SHARED and not model.architecture.user_defined
    return 1 if small else torch.get_num_threads()
