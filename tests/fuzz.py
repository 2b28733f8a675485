"""Feeds bytes that atheris makes up to the reader of model files, until the time is over.

pip install atheris
python tests/fuzz.py -max_total_time=60 [FOLDER]

Anything but a `ModelFileError` ends it with the bytes that did it. Half of the inputs are files as they are, beginning with those in
tests/files; the others are what a header says of sound tensors, with the right checksum, so that they come as far as the records.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["isthmus"]):
    from isthmus import load
    from isthmus.errors import ModelFileError
    from isthmus.io.safetensors import opened, serialize

FILES = Path(__file__).parent / "files"


def main() -> None:
    """Fuzzes."""
    with tempfile.TemporaryDirectory() as folder:
        target, seeds = Path(folder) / "model.safetensors", Path(folder) / "seeds"
        seeds.mkdir()
        tensors = []
        for file in sorted(FILES.glob("format-2-*.safetensors")):
            with opened(file) as contents:
                tensors.append(contents.all_tensors())
                (seeds / f"{file.name}.entry").write_bytes(
                    bytes([len(tensors)]) + contents.metadata["isthmus"].encode()
                )
            (seeds / file.name).write_bytes(b"\0" + file.read_bytes())

        def once(content: bytes) -> None:
            number, rest = (content[0] % (len(tensors) + 1), content[1:]) if content else (0, b"")
            if number:
                text = rest.decode("utf-8", "ignore")
                rest = b"".join(serialize({"isthmus": text}, tensors[number - 1]))
            target.write_bytes(rest)
            with contextlib.suppress(ModelFileError):
                load(target)

        atheris.Setup([*sys.argv, str(seeds)], once)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
