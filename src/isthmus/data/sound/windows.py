"""The windows of recordings as a data set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.data.dataset import Dataset
from isthmus.data.images.folders import some
from isthmus.data.options import ReadOptions, Reused
from isthmus.data.sound.folder import read_recordings, sound_files
from isthmus.data.sound.recording import Recording, check_rate
from isthmus.errors import DataError
from isthmus.io.files import shown
from isthmus.io.memory_limit import check_memory

__all__ = ["WINDOW", "read_sound", "sound_rows"]

Array = npt.NDArray[Any]
WINDOW = 1024  # samples, by default
_PARTS = 10  # of a single recording, of which a split holds out one


def read_sound(path: Path, options: ReadOptions, run: Reused | None = None) -> Dataset:
    """The windows (n, length, channels) of a WAV file, or of all WAV files of a folder, as fractions of full scale.

    In each recording the first window begins with the first sample, each further one `step` samples later, by default a whole window, and
    the last one ends with the last sample. Recordings that are shorter than a window are left out.

    Args:
        path: a WAV file, or a folder, which is read with its subfolders.
        options: `window` and `step`, in samples.
        run: the run that the windows are for, or None.

    Raises:
        DataError: a file is damaged, rates or channels differ, or no recording is as long as a window.
    """
    files, notes = sound_files(path)
    recordings = read_recordings(files)
    check_rate(recordings[0], None if run is None else run.rate)
    length = options.window or (WINDOW if run is None or run.shape is None else run.shape[0])
    if options.window is None and (run is None or run.shape is None):
        notes.append(f"windows have {length:,} samples, the default: set their length with --window (window=)")
    step = options.step or length
    long = _long_enough(recordings, length, notes)
    starts = [_starts(each.length, length, step) for each in long]
    several, what = len(long) > 1, f"{len(long):,} recordings" if len(long) > 1 else "1 recording"
    parts, across = (list[int](), 0) if several else _parts(starts[0], length)
    starts = starts if several else [[at for at, part in zip(starts[0], parts, strict=True) if part >= 0]]
    names = [
        f"{shown(os.path.relpath(each.path, path))} window {at}" if path.is_dir() else str(at)
        for each, of_one in zip(long, starts, strict=True)
        for at in of_one
    ]
    groups = [name.rpartition(" window ")[0] for name in names] if several else [f"part {n}" for n in parts if n >= 0]
    notes.append(
        f"{what} of {sum(each.seconds for each in long):,.4g} seconds in all, cut into {len(names):,} windows of {length:,} samples, "
        f"one every {step:,}"
    )
    if across:
        are = "window is" if across == 1 else "windows are"
        notes.append(
            f"{across:,} {are} left out, so that the {max(parts) + 1} parts of the recording do not overlap: a split holds out a part"
        )
    windows = _cut(long, starts, length)
    return Dataset(
        path.resolve().name if path.is_dir() else path.name,
        windows,
        source=shown(path),
        notes=tuple(notes),
        kind="series",
        ids=np.asarray(names, dtype=object),
        id_name="file" if path.is_dir() else "first sample",
        groups=np.asarray(groups, dtype=object),
        groups_name="recording" if several else "part of the recording",
        rate=recordings[0].rate,
    )


def _long_enough(recordings: list[Recording], length: int, notes: list[str]) -> list[Recording]:
    """The recordings that have a window of a length, and a note on others."""
    short = [each.path for each in recordings if each.length < length]
    if not short:
        return recordings
    are = "recording is" if len(short) == 1 else "recordings are"
    note = f"{len(short):,} {are} shorter than a window of {length:,} samples"
    if len(short) == len(recordings):
        raise DataError(f"{note} ({some(short)}): choose a shorter window (--window, window=)")
    notes.append(f"{note}, and left out: {some(short)}")
    return [each for each in recordings if each.length >= length]


def sound_rows(path: Path, run: Reused | None = None) -> Dataset:
    """The samples of one recording as rows (length, channels), for a detector, which scores each.

    Args:
        path: a WAV file, or a folder with one.
        run: the run that they are for, or None.
    """
    files, notes = sound_files(path)
    if len(files) != 1:
        raise DataError(f"{shown(path)} has {len(files):,} recordings: give one WAV file")
    recording = read_recordings(files)[0]
    check_rate(recording, None if run is None else run.rate)
    return Dataset(path.name, recording.fractions(), source=shown(path), notes=tuple(notes), rate=recording.rate)


def _starts(samples: int, length: int, step: int) -> list[int]:
    """The first sample of each window of a recording; the last one ends with it."""
    last = samples - length
    return [*range(0, last, step), last]


def _parts(starts: list[int], length: int) -> tuple[list[int], int]:
    """The part of a recording of each of its windows, -1 for windows in two parts, and the number of these.

    There are at most 10 parts of about the same time, each with a window, and fewer if more than a tenth of the windows would be in two.
    A recording that is too short for two parts has parts that overlap.
    """
    best = (list(range(len(starts))), len(starts))
    for count in range(min(_PARTS, len(starts)), 1, -1):
        found = _parts_of(starts, length, count)
        across = found.count(-1)
        if len(set(found) - {-1}) == count and across < best[1]:
            best = (found, across)
        if best[1] <= len(starts) // _PARTS:
            break
    return best if best[1] < len(starts) else (best[0], 0)


def _parts_of(starts: list[int], length: int, count: int) -> list[int]:
    """The part of each window, of this many parts that begin with a window; -1 for windows in two parts."""
    samples, at = starts[-1] + length, np.asarray(starts)
    begins = [-(-part * samples // count) for part in range(count)]
    firsts = np.unique(at[np.searchsorted(at, [begin for begin in begins if begin <= starts[-1]])])
    parts = np.searchsorted(firsts, at, side="right") - 1
    parts[at + length > np.append(firsts[1:], samples)[parts]] = -1
    found: list[int] = parts.tolist()
    return found


def _cut(recordings: list[Recording], starts: list[list[int]], length: int) -> Array:
    """The windows of recordings that start at these samples."""
    shape = (sum(map(len, starts)), length, recordings[0].channels)
    check_memory(4 * np.prod(shape, dtype=np.float64), f"{shape[0]:,} windows of sound")
    windows, row = np.empty(shape, np.float32), 0
    for each, begins in zip(recordings, starts, strict=True):
        values = each.fractions()
        for begin in begins:
            windows[row] = values[begin : begin + length]
            row += 1
    return windows
