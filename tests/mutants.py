"""Plants bugs in the sources, one at a time, and lists those that no test notices.

python tests/mutants.py storage [--limit 200] [--skip 0] [--workers 2] [--again LOG]

A name is a part of the house with the tests that are to notice: see PARTS. Every bug is planted in a copy of the sources, and
the tests run in a process of their own, forked from one that has loaded everything else: those that call the
function with the bug, themselves or in a fixture of theirs, the quickest of them first; all, where none does.
Prints each survivor as a changed line; ends with exit code 1 if there are any.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import json
import os
import random
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SECONDS = 400  # for the tests of one bug
Calls = dict[
    str, tuple[float, dict[str, list[int]]]
]  # of each test its seconds, and the functions of each source by their first lines
PARTS: dict[str, tuple[list[str], list[str]]] = {  # sources, tests
    "storage": (
        ["io/safetensors", "io/atomic", "estimators/model_file", "estimators/loading"],
        [
            "test_storage.py",
            "test_container.py -k 'not killed and not two_processes and not memory and not nothing_can'",
        ],
    ),
    "checkpoints": (
        ["estimators/checkpoint", "training/loop", "training/divergence", "training/early_stopping", "training/state"],
        ["test_checkpoints.py -k 'not killed'", "test_training.py", "test_storage.py"],
    ),
    "likelihoods": (
        ["likelihoods"],
        [
            "test_math.py",
            "test_missing.py",
            "test_evaluation.py",
            "test_choices.py",
            "test_records.py",
            "test_truths.py",
        ],
    ),
    "bottlenecks": (
        [
            "bottlenecks/base",
            "bottlenecks/identity",
            "bottlenecks/sparse",
            "bottlenecks/variational",
            "bottlenecks/quantized",
        ],
        [
            "test_math.py",
            "test_choices.py",
            "test_codes.py",
            "test_records.py",
            "test_latent_traversal.py",
            "test_truths.py",
        ],
    ),
    "corruptions": (
        ["corruptions"],
        ["test_math.py", "test_missing.py", "test_choices.py", "test_records.py", "test_truths.py"],
    ),
    "input": (
        ["data/validation", "estimators/base"],
        [
            "test_data.py -k 'not gigabytes'",
            "test_missing.py",
            "test_data_reading.py",
            "test_latent_traversal.py",
            "test_codes.py",
            "test_architectures.py",
            "test_estimator.py",
        ],
    ),
    "signals": (["cli/signals"], ["test_signals.py"]),
}
PRELOADED = (
    "torch numpy sklearn.utils.estimator_checks sklearn.decomposition sklearn.datasets scipy.sparse pandas polars pyarrow.parquet "
    "pydantic pytest hypothesis.extra.numpy beartype jaxtyping safetensors.torch"
)
SWAPS: dict[type, list[type]] = {
    ast.Lt: [ast.LtE, ast.GtE],
    ast.LtE: [ast.Lt, ast.Gt],
    ast.Gt: [ast.GtE, ast.LtE],
    ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div],
    ast.Div: [ast.Mult],
    ast.FloorDiv: [ast.Mult],
    ast.Mod: [ast.Mult],
    ast.Pow: [ast.Mult],
    ast.And: [ast.Or],
    ast.Or: [ast.And],
    ast.BitOr: [ast.BitAnd],
    ast.BitAnd: [ast.BitOr],
}


def main() -> None:
    """Reads the command line, plants, and says what survived."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--limit", type=int, default=10**9, help="bugs at most, drawn at random")
    parser.add_argument("--skip", type=int, default=0, help="bugs that were tried before, of the same order")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--again", type=Path, help="only bugs that survived in what was printed into this file")
    given = parser.parse_args()
    sources, tests = PARTS[given.part]
    bugs = [(source, *bug) for source in sources for bug in planted(ROOT / "src" / "isthmus" / f"{source}.py")]
    random.Random(0).shuffle(bugs)
    if given.again is not None:
        survived = set(given.again.read_text(encoding="utf-8").splitlines())
        bugs = [bug for bug in bugs if told(bug) in survived]
    bugs = bugs[given.skip :][: given.limit]
    preload()
    calls = called(tests)
    survivors, began = [], time.monotonic()
    with ThreadPoolExecutor(given.workers) as workers:
        answers = workers.map(lambda bug: noticed(*bug[:3], tests, calls), bugs)
        for number, (bug, found) in enumerate(zip(bugs, answers, strict=True), 1):
            if not found:
                survivors.append(bug)
                print(told(bug), flush=True)
            if number % 20 == 0:
                print(f"{number} of {len(bugs)}, {time.monotonic() - began:.0f} s", flush=True)
    print(f"{given.part}: {len(bugs)} bugs, {len(survivors)} survived")
    sys.exit(bool(survivors))


def told(bug: tuple[str, str, int, str]) -> str:
    """A bug that survived, on a line."""
    return f"survived: {bug[0]}.py, line {bug[2]}: {bug[3]}"


def planted(path: Path) -> Iterator[tuple[str, int, str]]:
    """Each bug: the whole source with it, the line, and what is changed there."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    positions = [node for node in ast.walk(tree) if not isinstance(node, ast.Module)]
    words = {id(node.value) for node in positions if isinstance(node, ast.Expr)}  # docstrings
    words |= {
        id(inner)
        for node in positions
        for name in ("annotation", "returns")
        for inner in ast.walk(getattr(node, name, None) or ast.Pass())
    }
    words |= {
        id(inner) for node in positions if isinstance(node, ast.JoinedStr | ast.Raise) for inner in ast.walk(node)
    }  # sentences
    for number, node in enumerate(positions):
        if id(node) in words:
            continue
        for change in changes(node):
            other = copy.deepcopy(tree)
            target = [n for n in ast.walk(other) if not isinstance(n, ast.Module)][number]
            line, before = getattr(node, "lineno", 0), ast.unparse(node)
            change(target)
            yield ast.unparse(ast.fix_missing_locations(other)), line, f"{before[:70]}  ->  {ast.unparse(target)[:70]}"


def changes(node: ast.AST) -> Iterator[Any]:
    """Functions that put a bug into a node."""
    if isinstance(node, ast.Compare):
        for kind in SWAPS.get(type(node.ops[0]), []):
            yield lambda n, kind=kind: n.ops.__setitem__(0, kind())
    elif isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp):
        for kind in SWAPS.get(type(node.op), []):
            yield lambda n, kind=kind: setattr(n, "op", kind())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield lambda n: (setattr(n, "op", ast.Not()), setattr(n, "operand", ast.UnaryOp(ast.Not(), n.operand)))
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield lambda n: setattr(n, "value", not n.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield lambda n: setattr(n, "value", n.value + 1)
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        yield lambda n: setattr(n, "test", ast.UnaryOp(ast.Not(), n.test))
    elif gives(node):
        yield lambda n: setattr(n, "value", ast.Constant(None))


def gives(node: ast.AST) -> bool:
    """Whether a node is a call for its effect, or returns something."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call)
    return isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant)


def preload() -> None:
    """Everything that takes long to import, but isthmus itself and PyTorch's threads."""
    os.environ |= {"OMP_NUM_THREADS": "1", "SCIPY_ARRAY_API": "1"}
    sys.path[:0] = [str(ROOT / "tests")]
    for name in PRELOADED.split():
        importlib.import_module(name)


def noticed(source: str, text: str, line: int, tests: list[str], calls: Calls) -> bool:
    """Whether the tests fail with a bug: those that call the function around the line, or each file of tests if none does."""
    first, last = around(ROOT / "src" / "isthmus" / f"{source}.py", line)
    near = [
        (seconds, test)
        for test, (seconds, code) in calls.items()
        if any(first <= at <= last for at in code.get(source, []))
    ]
    nearest = [str(ROOT / test) for _, test in sorted(near)]
    return any(failed(source, text, words) for words in ([nearest] if nearest else map(arguments, tests)))


def around(path: Path, line: int) -> tuple[int, int]:
    """First and last line of the innermost function around a line; of none, nothing."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    functions = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, kinds)]
    spans = [(min([f.lineno, *(d.lineno for d in f.decorator_list)]), f.end_lineno or f.lineno) for f in functions]
    return max((span for span in spans if span[0] <= line <= span[1]), default=(1, 0))


def called(tests: list[str]) -> Calls:
    """Of each test its seconds, and of each source where the functions begin that it calls; that all pass without a bug is seen too."""
    with tempfile.TemporaryDirectory() as folder:
        calls: Calls = {}
        for number, words in enumerate(tests):
            path = Path(folder) / f"{number}.json"
            if failed("", None, arguments(words), path):
                sys.exit(f"{words}: fails without any bug")
            calls |= json.loads(path.read_text(encoding="utf-8"))
        return calls


class Watch:
    """A plugin of pytest that writes down which functions of the sources each test and its fixtures call, and how long it takes."""

    def __init__(self, overlay: Path, path: Path) -> None:
        self.root, self.path = f"{overlay / 'isthmus'}{os.sep}", path
        self.calls: Calls = {}
        self.fixtures: dict[Any, dict[str, list[int]]] = {}
        self.seen: dict[str, list[int]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Function) -> Iterator[None]:
        """A test, with what it sets up."""
        began, self.seen = time.monotonic(), {}
        sys.setprofile(self.call)
        result = yield
        sys.setprofile(None)
        for definitions in item._fixtureinfo.name2fixturedefs.values():
            for source, lines in self.fixtures.get(definitions[-1], {}).items():
                self.seen[source] = [*self.seen.get(source, []), *lines]
        self.calls[item.nodeid] = (time.monotonic() - began, self.seen)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        """What is set up for other tests too counts for each of them."""
        before, self.seen = self.seen, {}
        result = yield
        self.fixtures[fixturedef], self.seen = self.seen, before
        return result

    def pytest_sessionfinish(self) -> None:
        """All end."""
        self.path.write_text(json.dumps(self.calls), encoding="utf-8")

    def call(self, frame: Any, event: str, _: Any) -> None:
        """A function begins, ours or another."""
        name = frame.f_code.co_filename
        if event == "call" and name.startswith(self.root):
            lines = self.seen.setdefault(name[len(self.root) :].removesuffix(".py"), [])
            if frame.f_code.co_firstlineno not in lines:
                lines.append(frame.f_code.co_firstlineno)


def arguments(words: str) -> list[str]:
    """What pytest is to be told."""
    file, *more = shlex.split(words)
    return [str(ROOT / "tests" / file), "-n", "0", *more]


def failed(source: str, text: str | None, words: list[str], watch: Path | None = None) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        overlay = Path(folder) / "src"  # what the tests import, the processes that they start as well
        shutil.copytree(ROOT / "src", overlay, ignore=shutil.ignore_patterns("__pycache__"))
        if text is not None:
            (overlay / "isthmus" / f"{source}.py").write_text(text, encoding="utf-8")
        return ended_badly(overlay, words, watch)


def ended_badly(overlay: Path, words: list[str], watch: Path | None) -> bool:
    child = os.fork()
    if child == 0:
        os.setsid()
        quiet = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(quiet, descriptor)
        code = 1
        try:
            code = run(overlay, words, watch)
        finally:
            os._exit(code)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status != 0
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def run(overlay: Path, words: list[str], watch: Path | None) -> int:
    """The tests, with the bug in place."""
    sys.path.insert(0, str(overlay))
    os.environ["PYTHONPATH"] = str(overlay)
    sys.dont_write_bytecode = True
    options = (
        f"-x -q -p no:cacheprovider -p no:randomly -o filterwarnings=ignore --rootdir {ROOT} -c {ROOT}/pyproject.toml"
    )
    return int(pytest.main([*words, *options.split()], plugins=[Watch(overlay, watch)] if watch else []))


if __name__ == "__main__":
    main()
