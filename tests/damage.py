"""Files that are damaged, or made to do harm: each with a name, made from a sound one."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import struct
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from isthmus.estimators.format_upgrades import FORMAT

__all__ = ["corpus", "crafted", "flipped", "truncated"]


class Bomb:
    """What a pickle would run when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("touch /tmp/isthmus-was-here",))


def length(content: bytes) -> int:
    """Where the header ends."""
    return 8 + int(struct.unpack("<Q", content[:8])[0])


def truncated(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Cut off at every byte of the header, and at 200 places after it."""
    end, chance = length(content), random.Random(0)
    positions = [*range(end + 1), *(chance.randrange(end, len(content)) for _ in range(200))]
    for place in positions:
        yield f"cut off at {place}", content[:place]


def flipped(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Each byte of the header turned over, and one bit of each; and one bit at 200 places after it."""
    end, chance = length(content), random.Random(0)
    for place in range(end):
        for mask in (0xFF, 1 << chance.randrange(8)):
            yield f"byte {place} changed by {mask}", changed(content, place, mask)
    for _ in range(200):
        place, mask = chance.randrange(end, len(content)), 1 << chance.randrange(8)
        yield f"byte {place} changed by {mask}", changed(content, place, mask)


def changed(content: bytes, place: int, mask: int) -> bytes:
    damaged = bytearray(content)
    damaged[place] ^= mask
    return bytes(damaged)


def with_header(header: bytes, content: bytes) -> bytes:
    """The same numbers behind another header."""
    return struct.pack("<Q", len(header)) + header + content[length(content) :]


def crafted(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Files that somebody made so."""
    header = json.loads(content[8 : length(content)])
    text = content[8 : length(content)]
    name = next(name for name in header if name.startswith("encoder"))
    end = len(content) - length(content)
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [end, end]}

    def put(**changes: Any) -> bytes:
        return with_header(json.dumps(header | changes).encode(), content)

    def tensor(**changes: Any) -> bytes:
        return put(**{name: header[name] | changes})

    for size in (2**63, 2**64 - 1, 2**32, 2**20 + 1, len(content), 0):
        yield f"a header of {size} bytes", struct.pack("<Q", size) + content[8:]
    yield "500,000 tensors without numbers", put(**{f"t{i}": empty for i in range(500_000)})
    yield "10,000 tensors without numbers", put(**{f"t{i}": empty for i in range(10_000)})
    yield (
        "a name twice",
        with_header(text.rstrip()[:-1] + b"," + json.dumps({name: header[name]}).encode()[1:], content),
    )
    yield "a header twice", with_header(text.rstrip() + text.rstrip(), content)
    yield "bad UTF-8", with_header(text.replace(b"encoder", b"enc\xffder", 1), content)
    yield "UTF-16", with_header(text.decode().encode("utf-16"), content)
    yield "nested 100,000 deep", with_header(b"[" * 100_000 + b"]" * 100_000, content)
    yield "objects nested deep", with_header(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, content)
    yield "a million empty lists", with_header(b'{"a":[' + b"[]," * 349_000 + b"[]]}", content)
    yield "a number of 5,000 digits", with_header(b'{"a":' + b"9" * 5_000 + b"}", content)
    for other in (b"", b"null", b"[]", b"5", b'"x"', b"{}", b"NaN", b"{", b"\0" * 50, b"{'a': 1}"):
        yield f"the header {other[:10]!r}", with_header(other, content)
    for dtype in ("F8", "float32", "", None, 5, [], "F64", "BOOL", "I8", "C64", "F8_E4M3", "os.system"):
        yield f"the type {dtype!r}", tensor(dtype=dtype)
    for shape in (
        [],
        [-1],
        [2**62, 4],
        [2**31, 2**31, 2**31],
        [1.5],
        "ab",
        None,
        [True],
        {},
        [10**30],
        [1] * 40,
        [[8]],
    ):
        yield f"the shape {str(shape)[:40]}", tensor(shape=shape)
    for positions in (
        [0, 0],
        [0],
        [0, 2**63],
        [-8, 8],
        [8, 0],
        [0, 1, 2],
        None,
        "ab",
        [0.0, 8.0],
        [False, True],
        [end, 2 * end],
    ):
        yield f"the place {positions!r}", tensor(data_offsets=positions)
    yield "an entry with more", tensor(surprise=1)
    yield "an entry with less", put(**{name: {"dtype": "F32"}})
    yield "an entry that is none", put(**{name: 5})
    yield "a name that climbs", put(**{"../../x": empty})
    yield "a name that never ends", put(**{"x" * 500_000: empty})
    for texts in (
        None,
        5,
        [],
        {"isthmus": 5},
        {},
        {"isthmus": "{}"},
        {"isthmus": "[" * 50_000},
        {"isthmus": "null"},
        {"isthmus": "é"},
    ):
        yield f"the texts {str(texts)[:30]}", put(__metadata__=texts)
    inner = json.loads(header["__metadata__"]["isthmus"])

    def entry(**changes: Any) -> bytes:
        return put(__metadata__=header["__metadata__"] | {"isthmus": json.dumps(inner | changes)})

    many = [0] * 400_000
    for name_, bomb in {
        "shape": many,
        "statistics": many,
        "seed": "9" * 900_000,
        "parameters": {"epochs": "x" * 900_000},
        "fitted": inner["fitted"] | {"architecture": {"type": "MLP", "hidden": many}},
        "round": {str(i): 0 for i in range(90_000)},
    }.items():
        yield f"a bomb in {name_}", entry(**{name_: bomb})
    yield "many unknown entries", entry(**{f"x{i}": 0 for i in range(90_000)})
    yield (
        "many unknown fields",
        entry(fitted=inner["fitted"] | {"optimizer": {"type": "Adam"} | {f"x{i}": 0 for i in range(90_000)}}),
    )
    yield "a name that a terminal obeys", entry(**{"\x1b]0;x\x07\nb": 1})
    yield "another text", put(__metadata__=header["__metadata__"] | {"more": "x"})
    yield "a shape that overflows", put(x={"dtype": "U8", "shape": [2**62, 2**62, 0], "data_offsets": [end, end]})
    old = {key: value for key, value in inner.items() if key not in {"statistics", "round", "kind"}} | {"format": 1}
    for history in (many, [{"epoch": 10**400}], [[]] * 200_000, None, "x"):
        yield (
            f"an old history {str(history)[:20]}",
            put(__metadata__={"isthmus": json.dumps(old | {"history": history, "columns": None})}),
        )
    yield (
        "an old file with a round",
        put(__metadata__={"isthmus": json.dumps(old | {"round": {}, "history": [], "columns": None})}),
    )
    yield "no checksum", put(__metadata__={"isthmus": header["__metadata__"]["isthmus"]})
    yield "another seed", entry(seed=inner["seed"] + 1)
    yield "an unknown entry", entry(surprise=1)
    yield (
        "a text that says the same twice",
        put(__metadata__=header["__metadata__"] | {"isthmus": header["__metadata__"]["isthmus"][:-1] + ', "seed": 7}'}),
    )
    for number in (0, *range(1, FORMAT), FORMAT + 1, 99, -1, "2", None, 2.0, True, [2]):
        yield f"the format {number!r}", entry(format=number)
    yield "more behind the end", content + b"\0"
    yield "a second file behind it", content + content
    yield "nothing", b""
    yield "eight zeros", b"\0" * 8
    yield "a pickle", pickle.dumps(Bomb())
    yield "a pickle in the header", with_header(pickle.dumps(Bomb()), content)
    saved = io.BytesIO()
    torch.save({"weight": torch.zeros(3)}, saved)
    yield "a file of torch.save", saved.getvalue()
    saved = io.BytesIO()
    np.save(saved, np.array([Bomb()], dtype=object), allow_pickle=True)
    yield "a pickled array", saved.getvalue()
    saved = io.BytesIO()
    with zipfile.ZipFile(saved, "w") as archive:
        archive.writestr("config.json", json.dumps({"module": "os", "class_name": "system"}))
    yield "an archive with a config", saved.getvalue()
    yield "noise", random.Random(1).randbytes(10_000)


def corpus(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Everything."""
    yield from truncated(content)
    yield from flipped(content)
    yield from crafted(content)
