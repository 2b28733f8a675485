"""Images with channels first, the order of PyTorch: recognized by their shape, and named in messages. They are never transposed."""

from __future__ import annotations

__all__ = ["channels_first", "how_to_fit"]

_CHANNELS = {1, 3, 4}
_MIN_SIDE = 5  # pixels


def channels_first(shape: tuple[int, ...]) -> str:
    """A warning if examples (n, *shape) look like images or volumes with channels first, else ""."""
    if len(shape) not in (3, 4) or shape[0] not in _CHANNELS or min(shape[1:]) < _MIN_SIDE:
        return ""
    channels = "channel comes" if shape[0] == 1 else f"{shape[0]} channels come"
    return (
        f"examples of shape {shape} look like images whose {channels} first, but the last axis is used as channels; "
        f"if they are such images, pass np.moveaxis(X, 1, -1), examples of shape {(*shape[1:], shape[0])}"
    )


def how_to_fit(shape: tuple[int, ...], expected: tuple[int, ...]) -> str:
    """How to move the channels if that alone gives examples the expected shape, else ""."""
    if shape == expected or len(shape) not in (3, 4):
        return ""
    if (*shape[1:], shape[0]) == expected:
        return "its channels come first: pass np.moveaxis(X, 1, -1)"
    if (shape[-1], *shape[:-1]) == expected:
        return "its channels come last: pass np.moveaxis(X, -1, 1)"
    return ""
