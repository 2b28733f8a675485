"""The house: nobody imports upward, importing is cheap, exported names exist, nothing unsafe is called."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import isthmus
from isthmus.cli import app

SOURCE = Path(isthmus.__file__).parent
ORDER = re.findall(r"^    (\w+)/?  ", isthmus.__doc__ or "", re.MULTILINE)  # the reading order in the map
MODULES = [path for path in SOURCE.rglob("*.py") if path.name != "__main__.py"]


def floor(path: Path) -> str:
    """The part of the house that a file belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The parts of isthmus that a file imports anywhere in it, but for types alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "isthmus":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("isthmus."):
            found.add((node.module or "").split(".")[1])
    return found & set(ORDER)


@pytest.mark.parametrize("path", [path for path in MODULES if floor(path) in ORDER], ids=str)
def test_nobody_imports_upward(path: Path) -> None:
    # storage reads the choices' names, and the choices stand below it
    above = {name for name in imported(path) if ORDER.index(name) > ORDER.index(floor(path))}
    assert not above, f"{floor(path)} imports {above}"


def test_the_map_is_complete() -> None:
    assert {floor(path) for path in MODULES} - {"__init__"} == set(ORDER)


def test_importing_is_cheap() -> None:
    heavy = ("torch", "matplotlib", "sklearn", "pandas", "pydantic", "numpy")
    check = f"import sys, isthmus; print(*[m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_help_loads_nothing_heavy() -> None:
    check = (
        "import sys, isthmus.cli; print(*[m for m in ('torch', 'matplotlib', 'sklearn', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_training_asks_pytorch_for_no_compiler() -> None:
    """It takes longer to import than everything else together."""
    check = (
        "import sys, numpy, isthmus\n"
        "from isthmus.architectures import MLP, Conv\n"
        "from isthmus.bottlenecks import Gaussian\n"
        "X = numpy.random.default_rng(0).random((40, 8, 8))\n"
        "for architecture in (MLP(8), Conv((2, 4)), Conv((2,), code='map', up='transpose', down='stride')):\n"
        "    isthmus.Autoencoder(Gaussian(2), architecture=architecture, epochs=1).fit(X).encode(X)\n"
        "print(*[m for m in ('torch._dynamo', 'torch._inductor', 'sympy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_exported_names_exist(path: Path) -> None:
    name = ".".join(("isthmus", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")
    module = importlib.import_module(name)
    for exported in getattr(module, "__all__", ()):
        assert getattr(module, exported) is not None


BANNED_CALLS = {
    "torch.load",
    "torch.manual_seed",
    "torch.seed",
    "np.random.seed",
    "random.seed",
    "eval",
    "exec",
    "compile",
    "__import__",
}
BANNED_MODULES = {"pickle", "joblib", "marshal", "shelve", "dill", "cloudpickle"}


@pytest.mark.promise(1)
@pytest.mark.parametrize("path", MODULES, ids=str)
def test_nothing_loads_code_or_seeds_the_world(path: Path) -> None:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    assert not BANNED_CALLS & {ast.unparse(call.func) for call in calls}
    assert not [
        ast.unparse(call) for call in calls for word in call.keywords if ast.unparse(word) == "allow_pickle=True"
    ]
    names = {alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {(node.module or "").split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}
    assert not BANNED_MODULES & names


def called(path: Path) -> list[tuple[str, ast.Call]]:
    """The calls in a file, by the name of what is called as it is written."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [(ast.unparse(node.func), node) for node in nodes if isinstance(node, ast.Call)]


DOORS = {  # the one module that may call what a name ends with
    r"(^|\.)print": "terminal",
    r"sys\.(__)?std(out|err)(__)?\.(write|writelines|buffer.*)": "terminal",
    r"(typer|click|rich)\.(echo|secho|print.*)|(^|\.)secho|Console": "terminal",
    r"\.savefig|\.print_png|plt\..*": "plots.drawing",
    r"csv\.(writer|DictWriter)|\.to_csv|np\.savetxt": "tables_out",
    r"html\.escape": "text",
    r"shlex\.(quote|join)": "text",
}
BESIDES = {  # and what else may: its reason
    ("console", "print"): "a table, of texts, through the terminal's own view",
    ("cli.training", "shlex.join"): "what was typed, kept as it was; About.typed is what is shown of it",
}


def past(path: Path, call: str) -> bool:
    """Whether a call in a file would be past the one module whose business it is."""
    name = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    owner = next((owner for pattern, owner in DOORS.items() if re.search(f"(?:{pattern})$", call)), name)
    return owner != name and (name, call.rpartition(").")[2]) not in BESIDES


@pytest.mark.promise(21)
@pytest.mark.parametrize("path", MODULES, ids=str)
def test_what_is_shown_goes_through_the_module_that_makes_it_safe(path: Path) -> None:
    """Printing, figures, tables, pages and commands have a module each, which knows how strangers' names act there."""
    assert not [f"{call} in line {node.lineno}" for call, node in called(path) if past(path, call)]


@pytest.mark.promise(21)
@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_command_that_holds_a_name_is_quoted_by_the_one_function(path: Path) -> None:
    verbs = "|".join(
        command.name or command.callback.__name__ for command in app.registered_commands if command.callback
    )
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "\0" for part in node.values)
            text = "".join(map(str, parts))
            assert not re.search(rf"isthmus (--\S+ )*({verbs})\b[^;:,()]*\0", text), f"{text!r} in line {node.lineno}"


def test_a_lint_finds_what_it_looks_for(tmp_path: Path) -> None:
    assert past(SOURCE / "runs.py", "print")
    assert past(SOURCE / "runs.py", "sys.stderr.write")
    assert past(SOURCE / "plots" / "maps.py", "figure.savefig")
    assert past(SOURCE / "cli" / "using.py", "shlex.quote")
    assert not past(SOURCE / "terminal.py", "print")
    assert not past(SOURCE / "runs.py", "footprint")


QUIET = """
import sys
talked = []
def hear(event, arguments):
    if event.startswith("socket.") or event in {"urllib.Request", "ftplib.connect", "http.client.connect"}:
        talked.append((event, arguments[1:]))
sys.addaudithook(hear)
import pkgutil, importlib, isthmus
for module in pkgutil.walk_packages(isthmus.__path__, "isthmus."):
    importlib.import_module(module.name)
from isthmus import data, load, recipes
from isthmus.evaluation import evaluate
X = data.mnist().train[:200]
for recipe in recipes.__all__:
    ae = getattr(recipes, recipe)().set_params(epochs=1, random_state=0).fit(X)
    ae.save(sys.argv[1])
    load(sys.argv[1]).reconstruct(X)
evaluate(ae, X)
print(talked)
"""


@pytest.mark.promise(20)
def test_importing_and_training_talk_to_nobody(tmp_path: Path) -> None:
    command = [sys.executable, "-c", QUIET, tmp_path / "model.safetensors"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
