"""What can go wrong because of what a user gave: each error is one sentence saying what, where and what to do."""

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
    "MemoryLimitError",
    "ModelFileError",
    "NotPossibleError",
    "RecordError",
]


class IsthmusError(ValueError):
    """The family of errors that isthmus raises itself; a ValueError, so that ordinary handlers catch it.

    Its message is one printable line of bounded length, whatever names it quotes.
    """

    def __init__(self, *arguments: object) -> None:
        super().__init__(*map(_printable, arguments))


class RecordError(IsthmusError):
    """A choice has a field that does not exist or a value that cannot be."""


class DataError(IsthmusError):
    """The examples cannot be used as they are."""


class MemoryLimitError(DataError):
    """The work would take more memory than there is, or than is in proportion to what was given."""


class ModelFileError(IsthmusError):
    """A model file is damaged, foreign, or does not agree with itself."""


class FolderInUseError(IsthmusError):
    """Another process is writing into the folder."""


class DivergenceError(IsthmusError):
    """Training left the finite numbers."""


class IsthmusWarning(UserWarning):
    """What a user should hear of, and isthmus went on with; one printable line, like the errors."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*map(_printable, arguments))


class DivergenceWarning(IsthmusWarning):
    """Training left the finite numbers, and went back to take smaller steps."""


class NotPossibleError(IsthmusError):
    """The autoencoder is of a kind that cannot do this."""


def _printable(argument: object) -> object:
    return sentence(argument) if isinstance(argument, str) else argument


# each time, and not only the first: the second fold of a cross-validation may diverge at the same step
warnings.simplefilter("always", IsthmusWarning, append=True)
