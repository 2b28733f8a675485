"""Shapes in signatures are checked while testing; the data that several tests look at."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

os.environ["SCIPY_ARRAY_API"] = "1"  # before SciPy is imported: scikit-learn's array checks then run too

from jaxtyping import install_import_hook

SHAPED = ["corruptions", "bottlenecks", "architectures", "likelihoods", "model"]  # where shapes stand in signatures
install_import_hook([f"isthmus.{name}" for name in SHAPED], "beartype.beartype")

import numpy as np  # noqa: E402  # the hook has to come first
import pytest  # noqa: E402
import trust  # noqa: E402

from isthmus import data  # noqa: E402


@pytest.fixture(scope="session")
def mnist() -> data.Dataset:
    """All of MNIST."""
    return data.mnist()


@pytest.fixture(scope="session")
def digits() -> data.Dataset:
    """The small digits, 8x8, in [0, 1]."""
    return data.digits()


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in each test."""
    return np.random.default_rng(0)


# The table of promises, which a test run writes: pytest --trust docs/trust.md


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--trust", metavar="FILE", help="write the table of what is promised and which tests prove it")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "promise(number, cases=1): proves a promise of docs/trust.md, by so many cases")
    if config.getoption("--trust"):
        config.pluginmanager.register(Promises(config.getoption("--trust")), "promises")


class Promises:
    """What came of the tests that prove something."""

    def __init__(self, target: str) -> None:
        self.target, self.found = target, dict[tuple[int, str], list[tuple[int, str]]]()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[Any, Any, Any]:
        report = yield
        if report.when == "call" or (report.when == "setup" and report.outcome != "passed"):
            counted = dict(item.user_properties).get("cases")
            for mark in item.iter_markers("promise"):
                name = item.nodeid.partition("[")[0].removeprefix("tests/")
                cases = counted or mark.kwargs.get("cases", 1)
                self.found.setdefault((mark.args[0], name), []).append((int(str(cases)), report.outcome))
        return report

    def pytest_sessionfinish(self) -> None:
        Path(self.target).write_text(trust.page(self.found), encoding="utf-8")
