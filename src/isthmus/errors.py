"""Errors and warnings about a user's input. Each message is one sentence: what is wrong, where, and what to do."""

from __future__ import annotations

import warnings

from isthmus.text import sentence

__all__ = [
    "DataError",
    "DivergenceError",
    "DivergenceWarning",
    "FolderInUseError",
    "IsthmusError",
    "IsthmusWarning",
    "LostProcessError",
    "MemoryLimitError",
    "ModelFileError",
    "NotPossibleError",
    "RecordError",
    "UnsupportedFileError",
]


class IsthmusError(ValueError):
    """The base class of all errors that isthmus raises; a ValueError.

    The message is one printable line of bounded length, also if it quotes untrusted names.
    """

    def __init__(self, *arguments: object) -> None:
        super().__init__(*map(_printable, arguments))


class RecordError(IsthmusError):
    """A parameter or record field has an invalid name or value."""


class DataError(IsthmusError):
    """The data cannot be used."""


class MemoryLimitError(DataError):
    """The work would need more memory than is available, or than is allowed for the size of its input."""


class ModelFileError(IsthmusError):
    """A model file is damaged, inconsistent, or not a model file of isthmus."""


class UnsupportedFileError(ModelFileError):
    """A model file that may be whole, but not for this isthmus: of a newer one or of another program, or a link or a pipe."""


class FolderInUseError(IsthmusError):
    """Another process is writing to the folder."""


class LostProcessError(IsthmusError):
    """Another process of the same training has ended, or does not answer."""


class DivergenceError(IsthmusError):
    """Training diverged: a loss or a weight is not finite."""


class IsthmusWarning(UserWarning):
    """The base class of all warnings of isthmus. The message is one printable line of bounded length."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*map(_printable, arguments))


class DivergenceWarning(IsthmusWarning):
    """A loss or a weight was not finite; training continues from the start of the epoch with a smaller learning rate."""


class NotPossibleError(IsthmusError):
    """The operation is not possible with this autoencoder, data or installation."""


def _printable(argument: object) -> object:
    return sentence(argument) if isinstance(argument, str) else argument


# always, not once per location: two folds of a cross-validation may diverge at the same step
warnings.simplefilter("always", IsthmusWarning, append=True)
