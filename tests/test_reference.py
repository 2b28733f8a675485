"""The documentation's reference holds everything that is public, and its navigation every page."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import isthmus

DOCS = Path(__file__).parents[1] / "docs"
PUBLIC = [name for name in isthmus.__all__ if not name.startswith("_")]
MODULES = [name for name in PUBLIC if isinstance(getattr(isthmus, name), ModuleType)]


@pytest.fixture(scope="module")
def pages() -> dict[str, list[str]]:
    """The paths that each page of the reference shows."""
    spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    reference: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    return {
        page.removeprefix("reference/").removesuffix(".md"): re.findall(r"^::: (\S+)$", text, re.MULTILINE)
        for page, text in reference.reference().items()
    }


def test_everything_public_is_in_the_reference(pages: dict[str, list[str]]) -> None:
    """It is read from the sources; what they name is what there is."""
    assert set(pages) == {"isthmus", *MODULES}
    for page, shown in pages.items():
        module = isthmus if page == "isthmus" else getattr(isthmus, page)
        wanted = set(PUBLIC) - set(MODULES) if module is isthmus else set(module.__all__)
        there = {path.rpartition(".")[2]: path for path in shown}
        assert wanted <= set(there), page
        for name in wanted:
            home = importlib.import_module(there[name].rpartition(".")[0])
            assert getattr(home, name) is getattr(module, name), there[name]


def test_every_contract_is_in_the_reference(pages: dict[str, list[str]]) -> None:
    for page in ("architectures", "bottlenecks", "corruptions", "likelihoods", "penalties", "scaling"):
        contract = importlib.import_module(f"isthmus.{page}.base")
        there = {path.rpartition(".")[2]: path for path in pages[page]}
        assert set(contract.__all__) <= set(there), page
        for name in contract.__all__:
            home = importlib.import_module(there[name].rpartition(".")[0])
            assert getattr(home, name) is getattr(contract, name), there[name]
    names = ("augmentations.Augmentation", "optimizers.Optimizer")
    for page, _, name in (each.partition(".") for each in (*names, "schedules.Schedule")):
        assert f"isthmus.{page}.{name}" in pages[page]


def test_every_public_constant_has_a_description(pages: dict[str, list[str]]) -> None:
    """As the reference reads it: a sentence that follows the assignment. Classes and functions have their docstrings from lint."""
    bare, n = [], 0
    for home, name in {
        (path.rpartition(".")[0], path.rpartition(".")[2]) for paths in pages.values() for path in paths
    }:
        body = ast.parse(Path(importlib.import_module(home).__file__ or "").read_text("utf-8")).body
        for node, following in zip(body, [*body[1:], None], strict=True):
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if name in {ast.unparse(each) for each in targets if each is not None}:
                n += 1
                said = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
                bare += [] if said else [f"{home}.{name}"]
    assert n >= 5
    assert not bare


def test_every_page_is_in_the_navigation() -> None:
    listed = re.findall(r"^ +- (?:\w+: )?(\S+\.md)$", (DOCS.parent / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    assert {path.name for path in DOCS.glob("*.md")} <= set(listed)
    assert len(listed) == len(set(listed))
