"""Shapes in signatures are checked while testing; the data that several tests look at."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

if "PYTEST_XDIST_WORKER" in os.environ:  # several processes side by side: threads would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["SCIPY_ARRAY_API"] = "1"  # before SciPy is imported: scikit-learn's array checks then run too

from jaxtyping import install_import_hook

SHAPED = [
    "augmentations",
    "corruptions",
    "priors",
    "bottlenecks",
    "architectures",
    "likelihoods",
    "penalties",
    "model",
]  # where shapes stand in signatures
install_import_hook([f"isthmus.{name}" for name in SHAPED], "beartype.beartype")

import drawing  # noqa: E402  # the hook has to come first
import network  # noqa: E402
import numpy as np  # noqa: E402
import published  # noqa: E402
import pytest  # noqa: E402
import trust  # noqa: E402
import typer.main  # noqa: E402
import typer.testing  # noqa: E402

from isthmus import data  # noqa: E402
from isthmus.data import builtin, download  # noqa: E402
from isthmus.evaluation import reconstruction  # noqa: E402

network.guard()
network.close_subprocesses()


@pytest.fixture(scope="session")
def mnist() -> data.Dataset:
    """All of MNIST."""
    return data.mnist()


@pytest.fixture(scope="session")
def digits() -> data.Dataset:
    """The small digits, 8x8, in [0, 1]."""
    return data.digits()


@pytest.fixture(scope="session", autouse=True)
def _speed_is_measured_briefly() -> Iterator[None]:
    """An evaluation measures its speed over one block and not for a fifth of a second: no test looks at how fast it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reconstruction, "_MIN_SECONDS", 1e-9)
        yield


@pytest.fixture(scope="session", autouse=True)
def _commands_are_quick() -> Iterator[None]:
    """The parser of the commands is built once in a process, and a run draws its losses alone; see `drawing.every_figure`."""
    parser = cache(typer.main.get_command)
    with pytest.MonkeyPatch.context() as patch, drawing.the_losses_alone():
        patch.setattr(typer.main, "get_command", parser)
        patch.setattr(typer.testing, "_get_command", parser)
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in each test."""
    return np.random.default_rng(0)


# Public data sets: small files of the published form stand for them, wherever the real ones lie


@pytest.fixture(scope="session", autouse=True)
def _nothing_lies_around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the system or the user has of data sets and caches is out of sight, for subprocesses too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtin, "FASHION_MNIST_INSTALLED", ())
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("ISTHMUS_DATA", raising=False)
        yield


@pytest.fixture(scope="session")
def published_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, download.Content]]:
    """A folder with the data sets that come by name, small, and what their files promise to hold."""
    folder = tmp_path_factory.mktemp("data")
    return folder, published.write_fashion_mnist(folder / "fashion-mnist")


@pytest.fixture
def public_data(published_files: tuple[Path, dict[str, download.Content]], monkeypatch: pytest.MonkeyPatch) -> Path:
    """ISTHMUS_DATA is a folder with small files in the form of the real ones, and they count as published."""
    folder, contents = published_files
    monkeypatch.setenv("ISTHMUS_DATA", str(folder))
    monkeypatch.setattr(builtin, "FASHION_MNIST", contents)
    return folder


_REAL = [*map(Path, builtin.FASHION_MNIST_INSTALLED), download.cache_folder() / "fashion-mnist"]
if "ISTHMUS_DATA" in os.environ:
    _REAL += [Path(os.environ["ISTHMUS_DATA"]) / "fashion-mnist", Path(os.environ["ISTHMUS_DATA"])]


@pytest.fixture(autouse=True)
def _real_data(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test of the real Fashion-MNIST finds it where it lies, or is skipped with the way to have it."""
    if request.node.get_closest_marker("fashion_mnist") is None:
        return
    if not published.real_fashion_mnist(_REAL):
        pytest.skip(
            "Fashion-MNIST is not here: install Debian's dataset-fashion-mnist, or set ISTHMUS_DATA to a folder with its files"
        )
    monkeypatch.setattr(builtin, "FASHION_MNIST_INSTALLED", tuple(map(str, _REAL)))


@pytest.fixture(autouse=True)
def _no_network() -> Iterator[None]:
    """A test that asked for the network fails, even if what it asked with went on."""
    before = len(network.refused)
    yield
    assert not network.refused[before:], f"the network was asked for: {'; '.join(network.refused[before:])}"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What did not run, and what it would need, in each summary."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.stats.get("skipped", [])
    )
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"{count} {'test' if count == 1 else 'tests'} did not run: {reason}")


# The table of promises, which a test run writes: pytest --trust docs/trust.md


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--trust", metavar="FILE", help="write the table of what is promised and which tests prove it")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "promise(number, cases=1): proves a promise of docs/trust.md, by so many cases")
    if config.getoption("--trust"):
        if config.option.markexpr == _USUAL:  # what is promised is proved by thorough tests too, but full reproductions
            config.option.markexpr = "promise and not slow"
        config.pluginmanager.register(Promises(config.getoption("--trust")), "promises")


_USUAL = "not slow and not thorough"  # as in pyproject.toml


class Promises:
    """What came of the tests that prove something."""

    def __init__(self, target: str) -> None:
        self.target, self.found = target, dict[tuple[int, str], list[tuple[int, str]]]()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[Any, Any, Any]:
        """Says of a report what it proves; the process that ran the test may be another one than that which writes the page."""
        report = yield
        if report.when == "call" or (report.when == "setup" and report.outcome != "passed"):
            counted = dict(report.user_properties).get("cases")
            marks = [
                (mark.args[0], int(str(counted or mark.kwargs.get("cases", 1))))
                for mark in item.iter_markers("promise")
            ]
            report.user_properties = [*report.user_properties, ("promises", marks)]
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Takes in what a test has proved."""
        name = report.nodeid.partition("[")[0].removeprefix("tests/")
        for number, cases in dict(report.user_properties).get("promises", ()):  # type: ignore[attr-defined]
            self.found.setdefault((number, name), []).append((cases, report.outcome))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Writes the page, in the process that heard of all tests."""
        if not hasattr(session.config, "workerinput"):
            Path(self.target).write_text(trust.page(self.found), encoding="utf-8")
