"""``field=value`` reaches every field of every record, and says what there is where it does not."""

from __future__ import annotations

from dataclasses import fields

import pytest

from isthmus import Autoencoder, bottlenecks, corruptions, likelihoods, optimizers, scaling
from isthmus.architectures import MLP, Conv
from isthmus.bottlenecks import Identity, TopK
from isthmus.overrides import overridden
from isthmus.records import Record

SLOTS = {
    "bottleneck": [getattr(bottlenecks, name) for name in bottlenecks.__all__],
    "architecture": [MLP, Conv],
    "corruption": [getattr(corruptions, name) for name in corruptions.__all__],
    "likelihood": [getattr(likelihoods, name) for name in likelihoods.__all__],
    "scaling": [getattr(scaling, name) for name in scaling.__all__],
    "optimizer": [kind for kind in map(optimizers.__dict__.get, optimizers.__all__) if hasattr(kind, "build")],
}
NEEDED = {"size": 6, "k": 3}
REACHED = [
    pytest.param(slot, kind, field.name, id=f"{kind.__name__}.{field.name}")
    for slot, kinds in SLOTS.items()
    for kind in kinds
    for field in fields(kind)
]


def typed(value: object) -> str:
    """A value as a person would type it."""
    if isinstance(value, tuple):
        return ",".join(map(typed, value)) + ("," if len(value) == 1 else "") or "()"
    return type(value).__name__ if isinstance(value, Record) else str(value)


@pytest.mark.parametrize("start", ["auto", Identity(8)], ids=repr)
def test_a_record_with_needed_fields_can_be_chosen(start: Identity | str) -> None:
    assignments = ["bottleneck=TopK", "bottleneck.size=8", "bottleneck.k=2"]
    assert overridden(Autoencoder(start), assignments).bottleneck == TopK(8, k=2)  # type: ignore[arg-type]
