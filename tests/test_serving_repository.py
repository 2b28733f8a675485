"""Models by name from watched paths: what appears, changes, is damaged or goes, while the others are served."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isthmus.errors import DataError, IsthmusError, ModelFileError, RecordError
from isthmus.serving.batching import Batcher
from isthmus.serving.model_paths import model_paths, models_in, stamp_of
from isthmus.serving.opening import open_model
from isthmus.serving.repository import WatchedRepository
from isthmus.serving.served_model import ServedModel
from isthmus.serving.settings import Settings

FOLDER = Path(__file__).parent / "files" / "exported-1"


def export(target: Path) -> Path:
    """A copy of the kept export."""
    shutil.copytree(FOLDER, target)
    return target


class Watched:
    """A repository and what it said."""

    def __init__(self, *words: object) -> None:
        self.said, self.loads, self.closed = list[str](), list[tuple[str, bool]](), list[ServedModel]()
        self.repository = WatchedRepository(
            model_paths([str(word) for word in words]),
            self.batcher,
            log=self.said.append,
            loaded=lambda name, success: self.loads.append((name, success)),
            seconds=0.01,
        )
        self.repository.load()

    def batcher(self, model: ServedModel) -> Batcher:
        closed = self.closed

        class Closing(Batcher):
            async def close(self) -> None:
                await super().close()
                closed.append(model)

        return Closing(model, Settings())

    def run(self, what: Callable[[], Any]) -> None:
        """Does something while the repository watches."""

        async def main() -> None:
            await self.repository.start()
            assert self.repository.ready()
            try:
                await what()
            finally:
                await self.repository.close()
            assert not self.repository.ready()

        asyncio.run(main())


async def until(condition: Callable[[], object]) -> None:
    """Waits for what the watching thread does."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def test_names_are_those_of_folders_and_files(tmp_path: Path) -> None:
    assert model_paths([str(FOLDER)]) == [("exported-1", FOLDER)]
    assert model_paths([f"my.model={FOLDER}"]) == [("my.model", FOLDER)]
    file = tmp_path / "detector.safetensors"
    file.touch()
    assert model_paths([str(file), str(tmp_path)][:1]) == [("detector", file)]
    named = export(tmp_path / "a=b")
    with pytest.raises(RecordError, match=r"'a=b' cannot be part of an address.*NAME=PATH"):
        model_paths([str(named)])
    assert model_paths([f"c={named}"]) == [("c", named)]


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("a/b={}", "'a/b' cannot be part of an address"),
        (".a={}", "cannot be part of an address"),
        ("ü={}", "cannot be part of an address"),
        ("={}", "cannot be part of an address"),
        ("a\n={}", "cannot be part of an address"),
        ("x.encode={}", "ends in .encode, as what can be asked of a model does"),
    ],
)
def test_names_that_no_address_holds_are_refused(word: str, sentence: str) -> None:
    with pytest.raises(RecordError) as found:
        model_paths([word.format(FOLDER)])
    assert sentence in str(found.value)


def test_equal_names_are_refused(tmp_path: Path) -> None:
    export(tmp_path / "other" / "exported-1")
    for words in ([FOLDER, tmp_path / "other" / "exported-1"], [FOLDER, tmp_path / "other"]):
        with pytest.raises(RecordError, match="both have the name exported-1"):
            model_paths([str(word) for word in words])
    with pytest.raises(RecordError, match="a folder of models"):
        model_paths([f"name={tmp_path / 'other'}"])
    with pytest.raises(DataError, match=r"there is no .*nothing"):
        model_paths([str(tmp_path / "nothing")])


def test_what_is_left_out_of_a_folder_is_named(tmp_path: Path) -> None:
    export(tmp_path / "a")
    (tmp_path / "b.safetensors").touch()
    (tmp_path / "a.safetensors").touch()
    (tmp_path / "no name").mkdir()
    (tmp_path / "no name" / "model.safetensors").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".hidden").mkdir()
    found = models_in(tmp_path)
    assert found.models == {"a": tmp_path / "a", "b": tmp_path / "b.safetensors"}
    assert [sentence.removeprefix(f"{tmp_path}/").partition(" is ")[0] for sentence in found.left_out] == [
        "a.safetensors",
        "no name",
        "notes.txt",
    ]


def test_a_damaged_model_is_refused_at_the_start(tmp_path: Path) -> None:
    damaged = export(tmp_path / "repository" / "a")
    (damaged / "score.onnx").write_bytes(b"half")
    with pytest.raises(ModelFileError):
        Watched(damaged)
    export(tmp_path / "repository" / "b")
    watched = Watched(tmp_path / "repository")
    assert watched.loads == [("a", False), ("b", True)]
    assert "a cannot be loaded" in watched.said[0]


def test_models_appear_change_and_go(tmp_path: Path) -> None:
    export(tmp_path / "a")
    watched = Watched(tmp_path)
    repository, said = watched.repository, watched.said

    async def changes() -> None:
        first = repository.get("a").model
        export(tmp_path / "b")
        await until(lambda: repository.names() == ["a", "b"])
        assert "b is served: version a1aacd614ed7" in said

        (tmp_path / "a" / "score.onnx").write_bytes(b"half")
        await until(lambda: any("a cannot be loaded" in each for each in said))
        assert "the old one is still served until its files change" in said[-1]
        assert repository.get("a").model is first
        tries = len(watched.loads)
        await asyncio.sleep(0.1)
        assert len(watched.loads) == tries  # what is damaged is tried once

        shutil.copy(FOLDER / "score.onnx", tmp_path / "a" / "score.onnx")
        await until(lambda: repository.get("a").model is not first)
        await until(lambda: first in watched.closed)

        shutil.rmtree(tmp_path / "b")
        await until(lambda: repository.names() == ["a"])
        with pytest.raises(KeyError):
            repository.get("b")
        assert "b is gone, and no longer served" in said

    watched.run(changes)
    assert len(watched.closed) == 3


def test_a_path_that_was_given_itself_keeps_its_last_model(tmp_path: Path) -> None:
    given = export(tmp_path / "a")
    watched = Watched(given)

    async def goes() -> None:
        os.rename(given, tmp_path / "b")
        await until(lambda: watched.said)
        assert watched.repository.names() == ["a"]
        assert "the old one is still served" in watched.said[0]
        os.rename(tmp_path / "b", given)

    watched.run(goes)


def test_a_load_that_lasts_is_not_awaited_as_a_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow disk does not make the end of a server one that cut off requests, and a model does not come after the end."""
    export(tmp_path / "a")
    watched, loads, goes_on = Watched(tmp_path), threading.Event(), threading.Event()

    def slow(path: Path, name: str, examples: object) -> ServedModel:
        loads.set()
        assert goes_on.wait(10)
        return open_model(path, name)

    monkeypatch.setattr("isthmus.serving.repository.open_model", slow)

    async def ends() -> None:
        export(tmp_path / "b")
        await until(loads.is_set)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(watched.repository.close(), 0.2)
        assert watched.repository.answered
        goes_on.set()

    watched.run(ends)
    assert watched.repository.names() == []
    assert not any("b is served" in each for each in watched.said)


def test_a_link_that_is_turned_is_another_model(tmp_path: Path) -> None:
    one, two, link = export(tmp_path / "one"), export(tmp_path / "two"), tmp_path / "link"
    for path in two.iterdir():  # the same names, sizes and times
        os.utime(path, ns=(0, os.stat(one / path.name).st_mtime_ns))
    link.symlink_to(one)
    first = stamp_of(link)
    link.unlink()
    link.symlink_to(two)
    assert stamp_of(link) != first


def test_an_old_model_ends_with_its_requests(tmp_path: Path) -> None:
    """A request whose body is being read has found the old model, and is answered by it."""
    watched = Watched(export(tmp_path / "a"))

    async def changes() -> None:
        old = watched.repository.get("a")
        with old.in_use():
            os.utime(tmp_path / "a" / "score.onnx")
            await until(lambda: watched.repository.get("a") is not old)
            await asyncio.sleep(0.05)
            assert not watched.closed
            codes = {"code": np.zeros((2, 2), np.float32)}
            assert len((await old.submit("decode", codes, asyncio.get_running_loop().time() + 5))[0]) == 2
        gone = weakref.ref(old.model)
        del old
        await until(lambda: watched.closed)
        watched.closed.clear()
        await until(lambda: gone() is None)  # its memory is free

    watched.run(changes)


def test_models_of_a_folder_that_cannot_be_read_are_kept(tmp_path: Path) -> None:
    export(tmp_path / "r" / "a")
    watched = Watched(tmp_path / "r")

    async def unmounted() -> None:
        os.rename(tmp_path / "r", tmp_path / "s")
        await until(lambda: watched.said)
        await asyncio.sleep(0.05)
        assert watched.repository.names() == ["a"]
        assert watched.said == [f"{tmp_path / 'r'} cannot be read: No such file or directory; its models are kept"]

    watched.run(unmounted)


def test_a_model_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        export(tmp_path / name)
    locked, is_file = {"b"}, Path.is_file

    def checked(path: Path) -> bool:  # root, who runs some tests, may read all
        if path.parent.name in locked:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", checked)
    watched = Watched(tmp_path)
    assert watched.said == [f"{tmp_path / 'b'} cannot be read: Permission denied; it is left out"]

    async def changes() -> None:
        assert watched.repository.names() == ["a"]
        locked.clear()
        await until(lambda: watched.repository.names() == ["a", "b"])
        locked.add("a")
        await until(lambda: watched.said[-1] == f"{tmp_path / 'a'} cannot be read: Permission denied; it is kept")
        await asyncio.sleep(0.05)
        assert watched.repository.names() == ["a", "b"]

    watched.run(changes)


def test_a_look_that_fails_again_and_again_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(export(tmp_path / "a"))
    looks = list[Path]()

    def fails(path: Path) -> None:
        looks.append(path)
        raise MemoryError

    monkeypatch.setattr("isthmus.serving.repository.stamp_of", fails)

    async def looked() -> None:
        await until(lambda: len(looks) > 4)

    watched.run(looked)
    assert watched.said == ["the models cannot be looked at: MemoryError: "]


def test_a_model_is_tried_again_when_others_may_read_it(tmp_path: Path) -> None:
    file = export(tmp_path / "a") / "score.onnx"
    file.chmod(0o600)
    first = stamp_of(tmp_path / "a")
    assert stamp_of(tmp_path / "a") == first
    file.chmod(0o644)
    assert stamp_of(tmp_path / "a") != first


def test_errors_are_those_of_isthmus(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "isthmus.json").write_text("{}")
    with pytest.raises(IsthmusError):
        Watched(tmp_path / "a")
