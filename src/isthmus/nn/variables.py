"""The learned tensors and running state of a component: declared by its record, stored in the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn

__all__ = ["Variables", "VariablesWith", "weighing"]


class Variables(nn.Module):
    """The named tensors of one component: parameters, learned by gradient, and buffers, its running state.

    As in any module, ``training`` says whether running state may change.

    Attributes:
        weights: (b,), the weights of the examples of the current batch, by which running state counts them; None if all are 1.
    """

    weights: Tensor | None = None

    def __init__(
        self, parameters: Mapping[str, Tensor] | None = None, buffers: Mapping[str, Tensor] | None = None
    ) -> None:
        super().__init__()
        for name, value in (parameters or {}).items():
            self.register_parameter(name, nn.Parameter(value))
        for name, value in (buffers or {}).items():
            self.register_buffer(name, value)

    def __getitem__(self, name: str) -> Tensor:
        value = getattr(self, name)
        assert isinstance(value, Tensor)
        return value

    def __contains__(self, name: str) -> bool:
        return hasattr(self, name)


class VariablesWith(Variables):
    """Variables of a component together with tensors that were computed from others, such as the codes of pseudo-inputs."""

    def __init__(self, variables: Variables, **computed: Tensor) -> None:
        super().__init__()
        self.own, self.computed = (variables,), computed  # in a tuple, so that they stay the component's
        self.training, self.weights = variables.training, variables.weights

    def __getitem__(self, name: str) -> Tensor:
        return self.computed[name] if name in self.computed else self.own[0][name]

    def __contains__(self, name: str) -> bool:
        return name in self.computed or name in self.own[0]


@contextmanager
def weighing(weights: Tensor | None, *parts: Variables) -> Iterator[None]:
    """Within this context the running state of these parts counts each example of the batch by its weight (b,)."""
    if weights is None:
        yield
        return
    each = [module for part in parts for module in part.modules() if isinstance(module, Variables)]
    for variables in each:
        variables.weights = weights
    try:
        yield
    finally:
        for variables in each:
            variables.weights = None
