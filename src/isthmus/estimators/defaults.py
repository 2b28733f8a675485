"""The defaults that "auto" stands for: components that suit the data, the batch size, the number of epochs and of threads."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from isthmus.architectures import MLP, LinearSkip
from isthmus.architectures.base import Architecture
from isthmus.augmentations import Augmentation, NoAugmentation
from isthmus.bottlenecks import Identity
from isthmus.bottlenecks.base import Bottleneck
from isthmus.corruptions import Clean, Corruption, Masking
from isthmus.data.kinds import Kind, check_kind, kind_of
from isthmus.data.statistics import DataStatistics
from isthmus.data.validation import Examples, Missing
from isthmus.errors import RecordError
from isthmus.estimators.fitted_units import Units, fit_units
from isthmus.estimators.support_check import accepts_made, check_domain, check_examples, check_made, scaling_for
from isthmus.likelihoods import Bernoulli, Likelihood, Mixed, Normal, Support
from isthmus.model import Model
from isthmus.optimizers import AdamW, OneCycle, Optimizer
from isthmus.penalties import NoPenalty, Penalty
from isthmus.records import Record
from isthmus.scaling import (
    Affine,
    Columns,
    Curves,
    Extent,
    Scaling,
    axes_of,
    choose,
    extent,
    shared_by,
    wide_enough,
    within,
)
from isthmus.training.config import Precision

__all__ = [
    "COMPONENTS",
    "DEFAULTS",
    "ResolvedComponents",
    "component",
    "defaults",
    "resolve_defaults",
    "statistics_for",
    "with_classes",
    "with_context",
]

COMPONENTS: dict[str, type[Record]] = {
    "bottleneck": Bottleneck,
    "architecture": Architecture,
    "augmentation": Augmentation,
    "corruption": Corruption,
    "likelihood": Likelihood,
    "penalty": Penalty,
    "scaling": Scaling,
    "optimizer": Optimizer,
}

DEFAULTS: dict[str, Record] = {  # those that do not depend on the data
    "bottleneck": Identity(32),
    "architecture": MLP(),
    "augmentation": NoAugmentation(),
    "corruption": Clean(),
    "penalty": NoPenalty(),
    "optimizer": AdamW(3e-3, schedule=OneCycle()),
}
# for missing="allow": training masks further values, so that the model learns to impute and not to copy
DEFAULTS_WITH_MISSING: dict[str, Record] = {
    "architecture": LinearSkip(MLP((128,))),
    "corruption": Masking(0.3, value="missing"),
}
# with a critic, which learns against the encoder: with a long memory they go round in circles
DEFAULTS_WITH_CRITIC: dict[str, Record] = {"optimizer": AdamW(3e-3, schedule=OneCycle(), betas=(0.5, 0.9))}


def defaults(missing: Missing, penalty: Penalty | str = "auto") -> dict[str, Record]:
    """The defaults that do not depend on the data, by component."""
    adversarial = isinstance(penalty, Penalty) and penalty.adversarial
    with_missing = DEFAULTS_WITH_MISSING if missing == "allow" else {}
    return DEFAULTS | with_missing | (DEFAULTS_WITH_CRITIC if adversarial else {})


class ResolvedComponents(NamedTuple):
    """Everything that defines an untrained model.

    Attributes:
        records: a record for each component.
        shape: the shape of an example.
        kind: the meaning of its axes.
        affine: the map between raw and model units.
        dtype: the dtype of the weights.
        extent: the range of the training examples, None in a model of an older file.
        fill: the initial replacement of missing values, in model units; None without missing="allow".
        context: the number of context features, None without.
        curves: the map between raw and model units where it is not affine.
    """

    records: Mapping[str, Any]
    shape: tuple[int, ...]
    kind: Kind
    affine: Affine
    dtype: torch.dtype
    extent: Extent | None = None
    fill: NDArray[Any] | None = None
    context: int | None = None
    curves: Curves | None = None

    def build_model(self, generator: torch.Generator) -> Model:
        """An untrained model on the default device. The generator draws its weights."""
        architecture, bottleneck, likelihood = (self.records[s] for s in ("architecture", "bottleneck", "likelihood"))
        components = (architecture, bottleneck, likelihood, self.affine, generator)
        data = (self.dtype, self.fill, self.extent)
        penalty, scaling = self.records["penalty"], self.records["scaling"]
        units: Any = {"scaling": scaling, "curves": self.curves}
        return Model(self.shape, *components, *data, penalty, context=self.context, **units)

    def meta_model(self) -> Model:
        """The model on the device "meta", which has no memory: the sizes are known before any memory is allocated."""
        user_defined = self.records["architecture"].user_defined  # its code may not run on "meta"
        with torch.device("cpu" if user_defined else "meta"):
            return self.build_model(torch.Generator("cpu"))

    def code_shape(self) -> tuple[int, ...]:
        """The shape of one code."""
        return (*self.records["architecture"].positions(self.input_shape), self.records["bottleneck"].size)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of what the encoder sees of an example."""
        shape: tuple[int, ...] = self.records["likelihood"].encoder_shape(self.records["scaling"].shape(self.shape))
        return shape


def component(given: Any) -> Any:
    """The component that a user gave. An integer is the size of an `Identity` bottleneck."""
    return Identity(int(given)) if isinstance(given, Integral) and not isinstance(given, bool) else given


def statistics_for(
    given: Mapping[str, Any],
    examples: Examples,
    missing: Missing,
    kind: Kind | Literal["auto"] = "auto",
    fingerprint: bool = False,
) -> DataStatistics:
    """The statistics of the examples that `resolve_defaults` requires, and a check of their values, in one pass.

    Raises:
        DataError: a value is infinite, too large for float32, or NaN without missing="allow".
    """
    values, scaling = examples.values, given["scaling"]
    resolved = _resolved_kind(examples, kind)
    shared, auto = axes_of(shared_by(resolved, values.ndim), values.ndim), isinstance(scaling, str)
    own = shared if auto else scaling.axes(values.ndim)
    may_center = not _requires_unit_interval(given) and not (resolved == "images" and values.dtype == np.uint8)
    sums = {own} if own is not None and (may_center if auto else scaling.centered) else set()
    return DataStatistics.checked(
        examples,
        missing,
        ranges={shared} if own is None else {shared, own},
        sums=sums | ({(0,)} if missing == "allow" else set()),
        fingerprint=fingerprint,
    )


def _resolved_kind(examples: Examples, kind: Kind | Literal["auto"]) -> Kind:
    """The kind of the examples; "auto" is resolved from their shape and source."""
    resolved = (examples.kind or kind_of(examples.values)) if kind == "auto" else kind
    check_kind(resolved, examples.values.shape[1:])
    return resolved


def _requires_unit_interval(given: Mapping[str, Any]) -> bool:
    """Whether the user chose a likelihood or an augmentation that requires values in [0, 1]."""
    likelihood, augmentation = given["likelihood"], given["augmentation"]
    return (isinstance(likelihood, Likelihood) and likelihood.support.unit_interval) or (
        isinstance(augmentation, Augmentation) and augmentation.domain == (0, 1)
    )


def resolve_defaults(
    given: Mapping[str, Any],
    examples: Examples,
    statistics: DataStatistics,
    precision: Precision,
    missing: Missing,
    kind: Kind | Literal["auto"] = "auto",
    context: int | None = None,
    own_target: bool = False,
) -> ResolvedComponents:
    """The components for examples (n, *shape): those given, and in place of "auto" those that suit the data.

    ``context`` is the number of context features, which a conditional architecture learns here. With ``own_target`` the likelihood sees
    other examples than these.
    """
    values, means = examples.values, statistics.means(examples) if missing == "allow" else None
    resolved, unit_interval = _resolved_kind(examples, kind), _requires_unit_interval(given)
    n_features = math.prod(values.shape[1:])
    augmentation = NoAugmentation() if isinstance(given["augmentation"], str) else given["augmentation"]
    scaling = _scaling(given, augmentation, statistics, resolved, unit_interval)
    classes = () if examples.table is None else examples.table.classes
    scaling = with_classes("scaling", scaling, classes)
    scaling, affine, curves = fit_units(scaling, examples, statistics)
    makes_missing = missing == "allow" and isinstance(
        given["corruption"], str
    )  # even a large code cannot copy masked values
    auto = defaults(missing, given["penalty"]) | {
        "bottleneck": Identity(min(32, n_features if makes_missing else (n_features + 1) // 2)),
        "likelihood": _likelihood(scaling, augmentation, _are_intensities(statistics, resolved, scaling, affine)),
        "scaling": scaling,
    }
    records: dict[str, Any] = {name: auto[name] if isinstance(value, str) else value for name, value in given.items()}
    records |= {"scaling": scaling, "likelihood": with_classes("likelihood", records["likelihood"], classes)}
    if isinstance(given["likelihood"], str) or own_target:  # one that "auto" chose needs no check
        check_domain(augmentation, statistics, affine, curves)
        check_made(records["likelihood"], augmentation)
    else:
        check_examples(records["likelihood"], augmentation, statistics, affine, examples.at, curves=curves)
    double = precision == "float64"
    raw_dtype = np.dtype(np.float64) if double else wide_enough(statistics)
    axes = axes_of(shared_by(resolved, values.ndim), values.ndim)
    units = Units(affine.astype(raw_dtype), extent(statistics, axes).astype(raw_dtype), curves)
    units = units.filled(scaling, affine, means, values)
    dtype = torch.float64 if double else torch.float32
    records["architecture"] = with_context(records["architecture"], context).for_kind(resolved)
    shape = records["augmentation"].shape(values.shape[1:])
    if shape != values.shape[1:]:
        units = units.for_shape(shape, records)
    affine, value_range, curves, fill = units
    return ResolvedComponents(records, shape, resolved, affine, dtype, value_range, fill, context, curves)


def _scaling(
    given: Mapping[str, Any], augmentation: Augmentation, statistics: DataStatistics, kind: Kind, unit_interval: bool
) -> Scaling:
    """The given scaling, or the one that suits the examples."""
    scaling: Scaling | str = given["scaling"]
    if not isinstance(scaling, str):
        return scaling
    support = given["likelihood"].support if isinstance(given["likelihood"], Likelihood) else Support()
    own = support.step and augmentation.made().kept
    return scaling_for(statistics, support) if own else choose(statistics, kind, unit_interval)


def with_classes(name: str, record: Any, classes: tuple[int, ...]) -> Any:
    """A scaling or a likelihood of the numbers in a table, completed by the blocks of its categories; other components unchanged."""
    if not any(classes):
        return record
    if name == "scaling" and not any(record.classes):
        return Columns(classes, numbers=record)
    if name == "likelihood" and record.inner is not None:
        return record.replace(of=with_classes(name, record.inner, classes))
    return Mixed(classes, numbers=record) if name == "likelihood" and not record.parts else record


def with_context(architecture: Architecture, context: int | None) -> Architecture:
    """A conditional architecture with the number of its context features; `RecordError` if it was given another one."""
    if architecture.context is None or context is None:
        return architecture
    if isinstance(architecture.context, int) and architecture.context != context:
        raise RecordError(
            f"architecture.context is {architecture.context}, and y has {context} context features (one for each class or "
            "covariate): leave it out"
        )
    return architecture.replace(context=context)


def _likelihood(scaling: Scaling, augmentation: Augmentation, intensities: bool) -> Likelihood:
    """The likelihood that suits scaled examples and what the augmentation makes of them."""
    if any(scaling.classes):
        return Mixed(scaling.classes, numbers=Normal("learned"))
    return Bernoulli() if intensities and accepts_made(Bernoulli(), augmentation) else Normal("learned")


def _are_intensities(statistics: DataStatistics, kind: Kind, scaling: Scaling, affine: Affine) -> bool:
    """Whether examples are images with intensities in [0, 1] in model units. A constant image has none."""
    return kind == "images" and not scaling.centered and within(statistics, affine, 0, 1)
