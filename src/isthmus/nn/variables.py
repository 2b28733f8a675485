"""The learned tensors and running state of a component: declared by its record, stored in the model."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

__all__ = ["Variables"]


class Variables(nn.Module):
    """The named tensors of one component: parameters, learned by gradient, and buffers, its running state.

    As in any module, ``training`` says whether running state may change.
    """

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
