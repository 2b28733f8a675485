"""A fitted autoencoder as an ordinary module of PyTorch, from raw examples to reconstructions."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Self

import torch
from torch import Tensor, nn

from isthmus.errors import NotPossibleError
from isthmus.estimators.context import ContextEncoding
from isthmus.estimators.fitted_state import FittedAttributes
from isthmus.model import Model
from isthmus.nn.plain import make_plain
from isthmus.trainable import Batch

__all__ = ["AutoencoderModule"]


class AutoencoderModule(nn.Module):
    """Reconstructs raw examples. Its layers are PyTorch's own; scaling, categories and missing values are inside.

    It has copies of the weights, which can be trained further. In evaluation mode, as `Autoencoder.to_module` gives it, results are
    those of the estimator but for rounding.

    With a conditional autoencoder all methods need y: labels as positions in `Autoencoder.classes_`, int64 (b,), or covariates
    (b, k) in their own units.

    Args:
        fitted: the fitted attributes of an autoencoder.

    Raises:
        NotPossibleError: modules of the user cannot be copied.
    """

    center: Tensor
    spread: Tensor

    def __init__(self, fitted: FittedAttributes) -> None:
        super().__init__()
        try:
            with fitted.weights_locked():
                self.model: Model = deepcopy(fitted.model, {id(record): record for record in fitted.records.values()})
        except (RuntimeError, TypeError) as error:
            raise NotPossibleError(
                f"the user-defined modules cannot be copied ({error}); keep only weights in them"
            ) from None
        self.model.use_likelihood(self.model.likelihood)
        make_plain(self.model)
        context = fitted.context if self.model.architecture.context is not None else None
        self.n_classes = 0 if context is None or context.classes is None else context.size
        center, spread = _standardization(context)
        self.register_buffer("center", center)
        self.register_buffer("spread", spread)
        self.eval()

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        """PyTorch's, for another device or precision: examples are then computed with in that precision."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # PyTorch's is untyped
        self.model.dtype = next(
            (each.dtype for each in self.parameters() if each.is_floating_point()), self.model.dtype
        )
        return self

    def forward(self, X: Tensor, y: Tensor | None = None) -> Tensor:
        """The reconstructions (b, *shape) of examples (b, *shape), both in the units of the data."""
        return self.model.reconstruct_raw(X, self.context(y))

    def encode(self, X: Tensor, y: Tensor | None = None) -> Tensor:
        """The codes (b, *code_shape) of examples (b, *shape)."""
        return self.model.encode(self.model.normalize(X), self.context(y))

    def decode(self, Z: Tensor, y: Tensor | None = None) -> Tensor:
        """The reconstructions (b, *shape) of codes (b, *code_shape)."""
        return self.model.decode_raw(Z.to(self.model.dtype), self.context(y))

    def score(self, X: Tensor, y: Tensor | None = None) -> Tensor:
        """The scores (b,) of examples (b, *shape), as `Autoencoder.score_samples`: minus the loss, in nats."""
        x = self.model.normalize(X)
        return -self.model.score(Batch(x, x, None, self.context(y))).total

    def impute(self, X: Tensor, y: Tensor | None = None) -> Tensor:
        """Examples (b, *shape) with the reconstructions in place of missing values, NaN."""
        made = self.forward(X, y)
        return torch.where(X.isnan(), made.to(X.dtype), X) if X.is_floating_point() else X

    def context(self, y: Tensor | None) -> Tensor | None:
        """The context (b, context) that y means, NaN for the position -1; None without a conditional autoencoder."""
        if self.model.architecture.context is None:
            return None
        if y is None:
            raise NotPossibleError("this autoencoder is conditional: pass y, the positions of labels or the covariates")
        if not self.n_classes:
            return ((y.double() - self.center) / self.spread).float().to(self.model.dtype)
        chosen = (y[:, None] == torch.arange(self.n_classes, device=y.device)).to(self.model.dtype)
        return torch.where(y[:, None] < 0, torch.nan, chosen)


def _standardization(context: ContextEncoding | None) -> tuple[Tensor, Tensor]:
    """The mean and the standard deviation of each covariate, empty without covariates."""
    if context is None:
        return torch.empty(0), torch.empty(0)
    return torch.as_tensor(context.center), torch.as_tensor(context.spread)
