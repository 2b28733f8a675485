"""Images whose channels come first, as PyTorch has them: noticed by their shape, and never turned without being asked."""

from __future__ import annotations

__all__ = ["channels_first", "how_to_fit"]

_CHANNELS = {1, 3, 4}
_SIDE = 5  # pixels of a side, at least


def channels_first(shape: tuple[int, ...]) -> str:
    """A sentence if examples (n, *shape) look like images or volumes with channels first; else nothing."""
    if len(shape) not in (3, 4) or shape[0] not in _CHANNELS or min(shape[1:]) < _SIDE:
        return ""
    return (
        f"examples of shape {shape} look like images whose {_counted(shape[0])} first, and the last axis is taken for channels: "
        f"if so, give np.moveaxis(X, 1, -1), examples of shape {(*shape[1:], shape[0])}"
    )


def how_to_fit(shape: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """What to do with an axis of channels that is not where a model wants it; nothing where that is not what is wrong."""
    if shape == wanted or len(shape) not in (3, 4):
        return ""
    if (*shape[1:], shape[0]) == wanted:
        return "its channels come first: give np.moveaxis(X, 1, -1)"
    if (shape[-1], *shape[:-1]) == wanted:
        return "its channels come last: give np.moveaxis(X, -1, 1)"
    return ""


def _counted(channels: int) -> str:
    return "channel comes" if channels == 1 else f"{channels} channels come"
