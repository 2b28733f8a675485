"""A training with checkpoints in its folder, which the same call continues after an interruption: of a sweep, or of a tutorial."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from isthmus.errors import DataError, IsthmusWarning, ModelFileError, UnsupportedFileError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.loading import load_autoencoder
from isthmus.experiments.run_folder import CHECKPOINT
from isthmus.training.state import Report

__all__ = ["NOT_COMPARED", "StopSignal", "checked_params", "interrupted", "with_checkpoints"]

NOT_COMPARED = {"verbose", "device"}  # parameters that do not decide what is trained
_SECONDS = 10  # between two checkpoints


class StopSignal:
    """Whether a training must stop, as a function that may be called after every step; a yes stays.

    Args:
        asked: says whether to stop; it may take long.
        seconds: the time between two calls of it.
    """

    def __init__(self, asked: Callable[[], bool], seconds: float) -> None:
        self.asked, self.seconds = asked, seconds
        self.last, self.said = -math.inf, False

    def __call__(self) -> bool:
        now = time.monotonic()
        if not self.said and now - self.last >= self.seconds:
            self.last, self.said = now, self.asked()
        return self.said


def interrupted(ae: Autoencoder, folder: Path) -> Autoencoder | None:
    """The interrupted training in a folder; None if there is none. A damaged one is none, and a warning says so.

    Args:
        ae: the unfitted autoencoder, with the parameters that the training must have.

    Raises:
        DataError: the training there has other parameters.
        UnsupportedFileError: its checkpoint is no damaged one: a newer isthmus may have written it.
    """
    if not (folder / CHECKPOINT).exists():
        return None
    try:
        return checked_params(load_autoencoder(folder / CHECKPOINT), ae, folder)
    except FileNotFoundError:  # on a file system without locks another process may have ended the training since
        return None
    except UnsupportedFileError as error:
        raise UnsupportedFileError(f"{error}; to train anew, remove {folder} and repeat the command") from None
    except ModelFileError as error:
        warnings.warn(f"{error}; this training begins anew", IsthmusWarning, stacklevel=2)
        return None


def checked_params(found: Autoencoder, expected: Autoencoder, folder: Path) -> Autoencoder:
    """The autoencoder that was read, if its parameters are the expected ones; else `DataError`."""
    recorded, required = (ae.get_params(deep=False) for ae in (found, expected))
    for name in required.keys() - NOT_COMPARED:
        if recorded[name] != required[name]:
            raise DataError(
                f"{folder} holds a training with {name}={recorded[name]!r}, but {name}={required[name]!r} is required: "
                "choose another folder (--out), or remove it first"
            )
    return found


def with_checkpoints(
    reports: Iterator[Report], save: Callable[[], None], stopping: Callable[[], bool] | None = None
) -> Iterator[Report]:
    """The reports of a training; `save` writes its checkpoint at the end of an epoch, at most every ten seconds.

    Where `stopping` says so after a report, a checkpoint is written, and a `KeyboardInterrupt` ends the training.
    """
    last = time.monotonic()
    for report in reports:
        yield report
        if stopping is not None and stopping():
            save()
            raise KeyboardInterrupt
        if report.complete and time.monotonic() - last > _SECONDS:
            try:
                save()
            except OSError as error:  # training continues: the disk may have space again at the end
                warnings.warn(
                    f"no checkpoint could be written ({error}): training continues without it",
                    IsthmusWarning,
                    stacklevel=2,
                )
            last = time.monotonic()
