"""Supported and unsupported image formats, by file name extension."""

from __future__ import annotations

from functools import cache
from pathlib import Path

__all__ = ["ENDINGS", "OTHER_KINDS", "format_names", "is_image", "misnamed"]

_EXTENSIONS = {  # by Pillow's names of formats
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"),
    "PNG": (".png", ".apng"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "TGA": (".tga", ".icb", ".vda", ".vst"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "JPEG2000": (".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"),
    "QOI": (".qoi",),
    "AVIF": (".avif", ".avifs"),
}
_FAMILY = {"MPO": "JPEG", "DIB": "BMP"}
_FORMAT_OF = {ending: name for name, endings in _EXTENSIONS.items() for ending in endings}
ENDINGS = tuple(_FORMAT_OF)
_OTHER_KINDS = """
    .3fr .ai .arw .bpg .cr2 .cr3 .crw .cur .czi .dcm .dcr .dds .dicom .djvu .dng .ecw .emf .eps .erf .exr .fits .fts .hdr
    .heic .heics .heif .heifs .hif .icns .ico .jbig2 .jls .jxl .jxr .kdc .lif .mrw .mrxs .nd2 .ndpi .nef .nii .nrrd .nrw .oib
    .orf .pcx .pef .psb .psd .raf .ras .raw .rw2 .rwl .sgi .sr2 .srw .svg .svgz .svs .vsi .wdp .wmf .x3f .xbm .xcf .xpm
"""
OTHER_KINDS = frozenset(_OTHER_KINDS.split())
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")


@cache
def format_names(ending: str) -> tuple[str, ...]:
    """The formats to try for a file, by Pillow's names. The content decides, except for TGA, which has no signature."""
    from PIL import Image, features

    Image.init()
    lacking = {name for name, feature in (("AVIF", "avif"), ("JPEG2000", "jpg_2000")) if not features.check(feature)}
    wanted = [*_EXTENSIONS, *_FAMILY]
    if _FORMAT_OF.get(ending) != "TGA":
        wanted.remove("TGA")
    return tuple(name for name in wanted if name in Image.OPEN and name not in lacking)


def is_image(path: Path) -> bool:
    """Whether a file has the extension of a supported image, or has no extension and starts with the signature of one."""
    ending = path.suffix.lower()
    if ending:
        return ending in _FORMAT_OF and (ending not in _EXTENSIONS["AVIF"] or "AVIF" in format_names(ending))
    from isthmus.errors import DataError
    from isthmus.io.files import open_regular

    try:
        with open_regular(path) as file:
            head = file.read(12)
    except (DataError, OSError):
        return False
    return head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:] == b"WEBP")


def misnamed(path: Path, found: str) -> bool:
    """Whether the format of the content differs from that of the extension."""
    return _FORMAT_OF.get(path.suffix.lower()) != _FAMILY.get(found, found)
