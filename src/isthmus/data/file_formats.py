"""The format of a file, and the options of reading that apply to it."""

from __future__ import annotations

import re
from pathlib import Path

from isthmus.data.images import ENDINGS, OTHER_KINDS
from isthmus.data.options import ReadOptions, flag_of
from isthmus.data.series.of_table import SERIES
from isthmus.data.sound.folder import holds_sound
from isthmus.errors import DataError
from isthmus.io.files import shown

__all__ = ["check_options", "format_of"]

_SUFFIXES = {".npy": "npy", ".npz": "npz", ".parquet": "parquet", ".pq": "parquet", ".xlsx": "excel", ".xlsm": "excel"}
_SUFFIXES |= {".mtx": "mtx", ".h5ad": "h5ad", ".arrow": "parquet", ".feather": "parquet", ".ipc": "parquet"}
_SUFFIXES |= dict.fromkeys((".csv", ".tsv", ".txt", ".tab", ".dat"), "text")
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")  # of text files
_TABLE = {"labels", "columns", "drop", "id", "kinds", "na_values", "weights", *SERIES}
_OPTIONS = {  # the valid options of each reader
    "images": {"resize", "fit", "patches", "split", "pages", "skip_broken", "cache"},
    "npy": {"window", "step", "pad"},
    "sound": {"window", "step"},
    "npz": {"labels", "weights", "by"},
    "idx": set[str](),
    "mtx": set[str](),
    "h5ad": {"labels"},
    "text": {*_TABLE, "header", "delimiter", "decimal", "comment", "encoding", "skip_lines"},
    "excel": {*_TABLE, "header", "decimal", "sheet", "skip_lines"},
    "parquet": {*_TABLE, "cache"},
    "parquet files": {*_TABLE, "cache", "hold_out"},
    "npy files": {"cache", "hold_out"},
}
_APPLIES_TO = dict.fromkeys(("columns", "drop", "id", "kinds", "na_values", "header"), "a table") | {
    "labels": "a table, .npz or .h5ad file",
    **dict.fromkeys(("weights", "by"), "a table or .npz file"),
    **dict.fromkeys(("time", "gap"), "a table"),
    **dict.fromkeys(("window", "step"), "a table, .npy or WAV file"),
    "pad": "a table or .npy file",
    **dict.fromkeys(("resize", "fit", "patches", "split", "pages", "skip_broken"), "an image or a folder of images"),
    "hold_out": "a folder or pattern of Parquet, Arrow or .npy files",
    "cache": "a folder of images, a Parquet or Arrow file, or several files",
    "sheet": "an Excel file",
    "skip_lines": "a text or Excel file",
    **dict.fromkeys(("delimiter", "decimal", "comment", "encoding"), "a text file"),
}
_KINDS = (
    ".npy, .npz, .mtx, .h5ad, .idx, .idx.gz, .csv, .tsv, .parquet, .arrow, .feather, .wav, an image or a folder of images or of WAV files; "
    "or .txt, .dat, .xlsx, or text as .gz, .bz2, .xz, .zst, .zip"
)
_IDX = re.compile(r"[.-]idx\d*(-ubyte)?(\.gz)?$")


def check_options(path: Path, kind: str, options: ReadOptions) -> None:
    """`DataError` for an option that does not apply to the format of a file."""
    if options.resize is not None and (kind != "images" or min(options.resize) < 1):
        raise DataError(f"invalid resize={options.resize} (--resize): expected (height, width) in pixels, for images")
    if options.patches is not None and options.joins_pages:
        raise DataError(
            f"the pages of a file cannot be cut into patches with pages={options.pages!r} (--pages): leave out patches (--patches), or "
            "use pages='examples' (--pages examples)"
        )
    if options.fit != "stretch" and options.resize is None:
        raise DataError(
            f"fit={options.fit!r} (--fit) says how images are resized, and they are not: give resize too (--resize 64x64), or leave it out"
        )
    for name, value in options.given().items():
        if name not in _OPTIONS[kind]:
            raise DataError(f"invalid {name}={value!r} ({flag_of(name)}): {shown(path)} is not {_APPLIES_TO[name]}")


def format_of(path: Path) -> str:
    """The name of the reader for a path, a key of `_OPTIONS`."""
    if holds_sound(path):
        return "sound"
    if path.is_dir() or path.suffix.lower() in ENDINGS:
        return "images"
    name = path.name.lower()
    inner = next((name.removesuffix(each) for each in _COMPRESSED if name.endswith(each)), None)
    kind = "idx" if _IDX.search(name) else _SUFFIXES.get(Path(inner or name).suffix)
    if inner is not None and kind not in {"idx", "text"}:
        kind = "text" if name.endswith(".zip") else None
    if kind is None and path.suffix.lower() in OTHER_KINDS:
        raise DataError(f"{shown(path)} has an unsupported image format ({path.suffix.lower()}): convert it to PNG")
    if kind is None:
        raise DataError(f"{shown(path)} has an unknown file format: expected {_KINDS}")
    return kind
