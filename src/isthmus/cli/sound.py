"""The summary of sound, and reconstruction of recordings of any length: one WAV file, or a folder of WAV files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from isthmus.cli.console import counted, print_line, print_notes, print_table
from isthmus.cli.output_files import Target, check_apart, check_free, check_parents
from isthmus.text import command

if TYPE_CHECKING:
    from isthmus.data.options import ReadOptions
    from isthmus.data.sound.recording import Recording
    from isthmus.estimators.autoencoder import Autoencoder

__all__ = ["print_sound", "reconstruct_sound"]

_MAX_FILES = 40  # in the printed table


def print_sound(path: Path, options: ReadOptions) -> None:
    """Prints rate, channels, length, format and peak of the recordings of a file or a folder, and the windows that training would see."""
    import numpy as np

    from isthmus.data.file_formats import check_options
    from isthmus.data.readers import read
    from isthmus.data.sound.folder import read_recordings, sound_files
    from isthmus.data.sound.windows import WINDOW
    from isthmus.io.files import shown

    check_options(path, "sound", options)
    files, notes = sound_files(path)
    recordings = read_recordings(files)
    rate, channels = recordings[0].rate, recordings[0].channels
    seconds = sum(each.seconds for each in recordings)
    print_line(
        f"{shown(path)}: {counted(len(recordings), 'recording')} of {seconds:,.4g} seconds in all, {rate:,} samples per second, "
        f"{counted(channels, 'channel')}"
    )
    rows = []
    for each in recordings[:_MAX_FILES]:
        peak = float(np.abs(each.fractions()).max())
        name = shown(each.path.relative_to(path) if path.is_dir() else each.path.name)
        rows.append([name, f"{each.seconds:.4g}", f"{each.length:,}", each.format, f"{peak:.4g}"])
    print_table(["recording", "seconds", "samples", "format", "peak, of full scale"], rows)
    if len(recordings) > len(rows):
        print_line(f"and {len(recordings) - len(rows):,} more recordings")
    if options.window is not None or any(each.length >= WINDOW for each in recordings):
        notes = list(read(path, options).notes)
    print_notes(notes)


def reconstruct_sound(run: Path, path: Path, out: Path | None) -> None:
    """Writes the reconstruction of a recording, or of each recording of a folder, as WAV files of the same length, rate and format.

    Nothing is overwritten. All files are checked before the first one is written.
    """
    from isthmus.data.sound.folder import read_recordings, sound_files
    from isthmus.data.sound.recording import check_rate
    from isthmus.errors import RecordError
    from isthmus.experiments import run_folder
    from isthmus.experiments.run_record import info_of
    from isthmus.io.files import shown

    if out is None:
        raise RecordError(f"--out is missing: give the {'folder' if path.is_dir() else 'WAV file'} to write")
    files, notes = sound_files(path)
    targets = _targets(path, files, out)
    check_free(targets)
    check_parents(targets, "recordings")
    ae, rate = run_folder.open_run(run), info_of(run).rate
    recordings = read_recordings(files)
    check_rate(recordings[0], rate)
    _check_channels(run, ae, recordings[0])
    if rate is None:
        notes.append(
            f"{shown(run)} has no record of the rate of its training recordings: it must be {recordings[0].rate:,}"
        )
    print_notes([*notes, _how(run, ae)])
    n_written = 0
    try:
        for each, target in zip(recordings, targets, strict=True):
            _write(ae, each, target.out)
            n_written += 1
    finally:
        if 0 < n_written < len(targets):
            rest = "choose another --out for all, or remove what is written"
            print_notes(
                [f"only {n_written:,} of {len(targets):,} recordings are written in {shown(out)}; to try again, {rest}"]
            )
    if len(targets) > 1:
        print_line(f"written: {counted(len(targets), 'recording')} in {shown(out)}")


def _targets(path: Path, files: list[Path], out: Path) -> list[Target]:
    """The output file of each recording: of a folder the same relative path."""
    from isthmus.cli.console import array_path
    from isthmus.data.sound.folder import ENDINGS
    from isthmus.io.atomic import check_folder

    if not path.is_dir():
        return [Target(path, array_path(out, "", ENDINGS))]
    check_apart(path, out, "recordings")
    check_folder(out)
    return [Target(file, out / file.relative_to(path)) for file in files]


def _check_channels(run: Path, ae: Autoencoder, recording: Recording) -> None:
    """`DataError` unless a run was trained on sound with the channels of a recording."""
    from isthmus.errors import DataError
    from isthmus.io.files import shown

    channels = recording.channels
    if ae.kind_ != "series" or len(ae.shape_) != 2:
        data = command("isthmus", "reconstruct", run, "--data", "PATH")
        raise DataError(
            f"{shown(run)} was trained on examples of kind {ae.kind_} and shape {ae.shape_}, not on sound: use {data}"
        )
    if ae.shape_[1] != channels:
        have = counted(channels, "channel")
        raise DataError(
            f"{shown(recording.path)} has {have}, and {shown(run)} was trained on {ae.shape_[1]}: convert it"
        )


def _how(run: Path, ae: Autoencoder) -> str:
    """How recordings are reconstructed: in tiles, or as windows and why."""
    from isthmus.estimators.tiles import receptive_field
    from isthmus.io.files import shown

    if receptive_field(ae.model_, axes=1) is not None:
        return f"{shown(run)} is fully convolutional: recordings are reconstructed in tiles, with the result of the whole recording"
    length = f"{ae.shape_[0]:,}"
    return (
        f"{shown(run)} is not fully convolutional at windows of {length} samples: recordings are reconstructed as windows of this length "
        "that overlap by half and are blended"
    )


def _write(ae: Autoencoder, recording: Recording, out: Path) -> None:
    """Reconstructs and writes one recording; says how many samples were clipped."""
    from isthmus.data.sound.recording import encoded, write_recording
    from isthmus.io.files import shown

    made = encoded(ae.reconstruct_series(recording.fractions()), recording)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_recording(out, made.samples, recording)
    clipped = f", {counted(made.n_clipped, 'sample')} clipped" if made.n_clipped else ""
    print_line(f"written: {shown(out)}, {recording.seconds:.4g} seconds, {recording.format}{clipped}")
