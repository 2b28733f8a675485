"""Models by name, from paths that are watched: models that appear, change or go are taken up while the others are served."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from isthmus.serving.examples import held_out_examples
from isthmus.serving.model_paths import ModelPath, Stamp, models_in, stamp_of
from isthmus.serving.opening import open_model
from isthmus.serving.served_model import ServedModel
from isthmus.text import printable

if TYPE_CHECKING:
    from isthmus.serving.batching import Batcher

__all__ = ["WatchedRepository"]


class WatchedRepository:
    """The models of paths. A thread looks at the paths and loads; batchers are made, exchanged and closed in the event loop.

    A changed model is loaded when two looks have found the same. What is damaged is tried again when it changes; until then the old
    model is served. A model of a folder of models that is gone is no longer served; a path that was given itself keeps its last model.

    Args:
        paths: what `model_paths` returned.
        batcher: makes what answers the requests of a model.
        log: is told what happens, one sentence each.
        loaded: is told the name of each model that was loaded (True), or could not be (False).
        seconds: between two looks.

    Attributes:
        answered: whether `close` has seen the end of all requests.
    """

    def __init__(
        self,
        paths: Sequence[ModelPath],
        batcher: Callable[[ServedModel], Batcher],
        *,
        log: Callable[[str], None],
        loaded: Callable[[str, bool], None],
        seconds: float = 1.0,
    ) -> None:
        self._named = {name: path for name, path in paths if name is not None}
        self._folders = dict[Path, dict[str, Path]]((path, {}) for name, path in paths if name is None)
        self._batcher, self._log, self._loaded, self._seconds = batcher, log, loaded, seconds
        self._opened: dict[str, ServedModel] = {}  # before the event loop runs
        self._batchers: dict[str, Batcher] = {}
        self._tried: dict[str, Stamp] = {}  # of each model what was loaded, or could not be
        self._seen: dict[str, Stamp | None] = {}  # in the last look
        self._said: set[str] = set()
        self._closing, self._closed = set[asyncio.Task[None]](), threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._watch, name="isthmus models", daemon=True)
        self._stop, self._ready, self.answered = threading.Event(), False, False

    def load(self) -> list[ServedModel]:
        """Opens all models, before the event loop runs. What is damaged in a folder of models is left out, and logged.

        Raises:
            IsthmusError: a path that was given itself holds no model, or a damaged one.
            OSError: a file cannot be read.
        """
        for name, path in self._wanted().items():
            self._seen[name] = self._tried[name] = stamp_of(path)
            try:
                self._opened[name] = _opened(name, path)
            except Exception as error:
                if name in self._named:
                    raise
                self._failed(name, error)
            else:
                self._loaded(name, True)
        return list(self._opened.values())

    async def start(self) -> None:
        """Starts to serve and to watch."""
        self._loop = asyncio.get_running_loop()
        self._batchers = {name: self._batcher(model) for name, model in self._opened.items()}
        self._opened, self._ready = {}, True
        self._thread.start()

    def drain(self) -> None:
        """From now on the server is not ready, and models stay as they are."""
        self._ready = False
        self._stop.set()

    async def close(self) -> None:
        """Waits for the requests in flight, and for the end of the watching, which may be within a long load."""
        self.drain()
        batchers, self._batchers = list(self._batchers.values()), {}
        await asyncio.gather(*(batcher.close() for batcher in batchers), *self._closing)
        self.answered = True
        while self._thread.is_alive():
            await asyncio.sleep(0.01)

    def names(self) -> list[str]:
        """The names of the models that are served."""
        return sorted(self._batchers)

    def get(self, name: str) -> Batcher:
        """What answers the requests of a model.

        Raises:
            KeyError: there is no model of this name.
        """
        return self._batchers[name]

    def ready(self) -> bool:
        """Whether requests are answered: false before the models are loaded, and from the begin of the shutdown."""
        return self._ready

    def _watch(self) -> None:
        """Looks at the paths until the end."""
        said = ""
        while not self._stop.wait(self._seconds):
            problem = ""
            try:
                self._look()
            except Exception as error:  # whatever it was, the models in service stay
                problem = f"the models cannot be looked at: {type(error).__name__}: {error}"
            if problem not in {"", said}:
                self._log(problem)
            said = problem

    def _look(self) -> None:
        """Loads what has changed, and drops what is gone; both when two looks have found the same."""
        wanted = self._wanted()
        seen: dict[str, Stamp | None] = {name: stamp_of(path) for name, path in wanted.items()}
        seen |= dict.fromkeys(self._tried.keys() - wanted.keys())
        for name, stamp in seen.items():
            moving = self._seen.get(name, ()) != stamp or (stamp == () and name not in self._named)
            if moving or stamp == self._tried.get(name) or self._stop.is_set():
                continue
            if stamp is None:
                del self._tried[name]
                self._exchange(name, None)
            else:
                self._tried[name] = stamp
                self._reload(name, wanted[name])
        self._seen = seen
        if self._closed.is_set():  # a model may hold itself
            self._closed.clear()
            gc.collect()

    def _reload(self, name: str, path: Path) -> None:
        """Loads a model beside the one that is served."""
        try:
            model = _opened(name, path)
        except Exception as error:
            self._failed(name, error)
        else:
            self._loaded(name, True)
            self._exchange(name, model)

    def _failed(self, name: str, error: Exception) -> None:
        self._loaded(name, False)
        serves = name in self._batchers
        self._log(
            f"{name} cannot be loaded: {error}; {'the old one is still served' if serves else 'it is left out'} until its files change"
        )

    def _exchange(self, name: str, model: ServedModel | None) -> None:
        """Puts a model in the place of that name, in the event loop; the old one ends with its requests in flight."""
        assert self._loop is not None
        done = threading.Event()

        def exchange() -> None:
            try:
                if not self._stop.is_set():
                    self._put(name, model)
            finally:
                done.set()

        self._loop.call_soon_threadsafe(exchange)
        while not done.wait(0.1) and not self._stop.is_set():
            pass

    def _put(self, name: str, model: ServedModel | None) -> None:
        old = self._batchers.pop(name, None)
        if model is not None:
            self._batchers[name] = self._batcher(model)
        if old is not None:
            task = asyncio.ensure_future(old.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            task.add_done_callback(lambda _: self._closed.set())
        if model is None:
            self._log(f"{name} is gone, and no longer served")
        else:
            self._log(
                f"{name} is served: version {model.version}{'' if old is None else f' in place of {old.model.version}'}"
            )

    def _wanted(self) -> dict[str, Path]:
        """The paths of all models by name. A folder that cannot be read now has what it had."""
        wanted, said = dict(self._named), list[str]()
        for folder in self._folders:
            try:
                found = models_in(folder, self._folders[folder])
            except OSError as error:
                said.append(f"{printable(folder)} cannot be read: {error.strerror}; its models are kept")
            else:
                self._folders[folder] = found.models
                said += found.left_out
            for name, path in self._folders[folder].items():
                if wanted.setdefault(name, path) != path:
                    said.append(
                        f"{printable(path)} is left out: {printable(wanted[name])} has its name: rename one of them"
                    )
        for sentence in said:
            if sentence not in self._said:  # in the last look
                self._log(sentence)
        self._said = set(said)
        return wanted


def _opened(name: str, path: Path) -> ServedModel:
    return open_model(path, name, held_out_examples(path))
