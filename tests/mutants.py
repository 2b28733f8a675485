"""Plants bugs in the sources, one at a time, and lists those that no test notices.

python tests/mutants.py storage [--limit 200] [--workers 2] [--from 0]

A name is a part of the house with the tests that are to notice: see PARTS. Every bug is planted in a copy of the sources, and
the tests run in a process of their own, forked from one that has loaded everything else.
Prints each survivor as a changed line; ends with exit code 1 if there are any.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SECONDS = 240  # for the tests of one bug
PARTS: dict[str, tuple[list[str], list[str]]] = {  # sources, tests
    "storage": (
        ["container", "writing", "storage", "loading"],
        [
            "test_storage.py",
            "test_container.py -k 'not killed and not two_processes and not memory and not nothing_can'",
        ],
    ),
    "checkpoints": (["checkpoints", "training"], ["test_checkpoints.py -k 'not killed'", "test_training.py"]),
    "likelihoods": (["likelihoods"], ["test_math.py", "test_truths.py", "test_evaluation.py", "test_choices.py"]),
    "bottlenecks": (
        [
            "bottlenecks/base",
            "bottlenecks/identity",
            "bottlenecks/sparse",
            "bottlenecks/variational",
            "bottlenecks/quantized",
        ],
        ["test_math.py", "test_truths.py", "test_choices.py"],
    ),
    "corruptions": (["corruptions"], ["test_math.py", "test_truths.py", "test_choices.py"]),
    "input": (["data/examples", "fitted"], ["test_data.py -k 'not gigabytes'", "test_estimator.py"]),
    "signals": (["signals"], ["test_signals.py"]),
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
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    sources, tests = PARTS[given.part]
    bugs = [(source, *bug) for source in sources for bug in planted(ROOT / "src" / "isthmus" / f"{source}.py")]
    random.Random(0).shuffle(bugs)
    bugs = bugs[: given.limit]
    preload()
    if noticed("", None, tests):
        sys.exit("the tests fail without any bug")
    survivors = []
    with ThreadPoolExecutor(given.workers) as workers:
        for bug, found in zip(bugs, workers.map(lambda bug: noticed(bug[0], bug[1], tests), bugs), strict=True):
            if not found:
                survivors.append(bug)
                print(f"survived: {bug[0]}.py, line {bug[2]}: {bug[3]}", flush=True)
    print(f"{given.part}: {len(bugs)} bugs, {len(survivors)} survived")
    sys.exit(bool(survivors))


def planted(path: Path) -> Iterator[tuple[str, int, str]]:
    """Each bug: the whole source with it, the line, and what is changed there."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    places = [node for node in ast.walk(tree) if not isinstance(node, ast.Module)]
    words = {id(node.value) for node in places if isinstance(node, ast.Expr)}  # docstrings
    words |= {
        id(inner)
        for node in places
        for name in ("annotation", "returns")
        for inner in ast.walk(getattr(node, name, None) or ast.Pass())
    }
    words |= {
        id(inner) for node in places if isinstance(node, ast.JoinedStr | ast.Raise) for inner in ast.walk(node)
    }  # sentences
    for number, node in enumerate(places):
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


def noticed(source: str, text: str | None, tests: list[str]) -> bool:
    """Whether the tests fail with a bug; each file of tests in a process of its own, until one does."""
    return any(failed(source, text, words) for words in tests)


def failed(source: str, text: str | None, words: str) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        overlay = Path(folder) / "src"  # what the tests import, the processes that they start as well
        shutil.copytree(ROOT / "src", overlay, ignore=shutil.ignore_patterns("__pycache__"))
        if text is not None:
            (overlay / "isthmus" / f"{source}.py").write_text(text, encoding="utf-8")
        return ended_badly(overlay, words)


def ended_badly(overlay: Path, words: str) -> bool:
    child = os.fork()
    if child == 0:
        os.setsid()
        quiet = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(quiet, descriptor)
        code = 1
        try:
            code = run(overlay, words)
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


def run(overlay: Path, words: str) -> int:
    """The tests, with the bug in place."""
    import shlex

    import pytest

    sys.path.insert(0, str(overlay))
    os.environ["PYTHONPATH"] = str(overlay)
    sys.dont_write_bytecode = True
    file, *more = shlex.split(words)
    options = (
        f"-x -q -p no:cacheprovider -p no:randomly -o filterwarnings=ignore --rootdir {ROOT} -c {ROOT}/pyproject.toml"
    )
    return int(pytest.main([str(ROOT / "tests" / file), *more, *options.split()]))


if __name__ == "__main__":
    main()
