"""What the house looks like: entries, floors, circles and long modules of the package in a folder of sources.

Usage: python .ci/house.py [FOLDER], by default src/isthmus; another one may be that of an earlier commit (`git worktree add`).
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

LONG, LONG_FUNCTION = 300, 40  # lines


def modules(folder: Path) -> dict[str, Path]:
    """The modules by name; "" is the package."""
    names = {path: ".".join(path.relative_to(folder).with_suffix("").parts) for path in sorted(folder.rglob("*.py"))}
    return {name.removesuffix("__init__").removesuffix("."): path for path, name in names.items()}


def imports(name: str, found: dict[str, Path]) -> set[str]:
    """The modules that a module imports, but for types alone."""
    tree, others = ast.parse(found[name].read_text(encoding="utf-8")), set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "isthmus":
            base = (node.module or "").partition(".")[2]
            for alias in node.names:
                inner = f"{base}.{alias.name}".strip(".")
                others.add(inner if inner in found else base)
    return others & found.keys() - {name, ""}


def floors(graph: dict[str, set[str]]) -> int:
    """The longest way down through a graph without circles, in nodes."""
    known: dict[str, int] = {}

    def height(node: str, above: frozenset[str]) -> int:
        if node not in known:
            known[node] = 1 + max((height(each, above | {node}) for each in graph[node] - above - {node}), default=0)
        return known[node]

    return max(height(node, frozenset()) for node in graph)


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """The sets of modules that reach each other."""

    def reached(start: str) -> set[str]:
        seen, left = set[str](), [start]
        while left:
            for each in graph[left.pop()] - seen:
                seen.add(each)
                left.append(each)
        return seen

    reach = {node: reached(node) for node in graph}
    return [set(group) for group in {frozenset(b for b in reach[a] if a in reach[b]) for a in graph} if group]


def main(folder: Path) -> None:
    """Prints it."""
    found = modules(folder)
    graph = {name: imports(name, found) for name in found if name}
    rooms = sorted({name.split(".")[0] for name in graph})
    between = {room: set[str]() for room in rooms}
    for name, others in graph.items():
        room = name.split(".")[0]
        between[room] |= {other.split(".")[0] for other in others} - {room}
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in found.items()}
    functions = 0
    for path in found.values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
                body = node.body[1 if ast.get_docstring(node) else 0 :]
                functions += bool(body) and node.end_lineno - body[0].lineno >= LONG_FUNCTION
    print(f"entries: {len(rooms)}; floors of entries: {floors(between)}; floors of modules: {floors(graph)}")
    print(f"circles of entries: {len(circles(between))}; of modules: {len(circles(graph))}")
    print(
        f"modules: {len(found)}, {sum(lines.values()):,} lines; above {LONG} lines: {sum(n > LONG for n in lines.values())}"
    )
    print(f"functions of {LONG_FUNCTION} lines or more, without their docstring: {functions}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "src/isthmus"))
