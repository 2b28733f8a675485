"""The house: nobody imports upward, importing is cheap, exported names exist, nothing unsafe is called."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from cases import thorough_where

import isthmus
from isthmus.cli import app

SOURCE = Path(isthmus.__file__).parent
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix("__init__").removesuffix("."): path
    for path in sorted(SOURCE.rglob("*.py"))
    if path.name != "__main__.py"
}  # their names, "" for the package itself
MAP = re.compile(r"^    (\w+)/?  +\S", re.MULTILINE)  # a line of a package's map
ORDER = MAP.findall(isthmus.__doc__ or "")  # the rooms in reading order
MEASURING = {"evaluation", "compression"}  # the rooms whose functions measure
LONGEST, LONGEST_FUNCTION = 300, 40  # lines of a module; of a function without its docstring
LONG = {  # modules and functions above the limit, with the reason
    "data.images.layout": "the meaning of folder names, one list",
    "estimators.autoencoder": "a public class, mostly docstrings",
    "estimators.base": "the public methods of a fitted autoencoder, mostly docstrings",
    "estimators.classifier": "a public class, mostly docstrings",
    "estimators.outlier_detector": "a public class, mostly docstrings",
    "evaluation.results:rows": "a line for each printed figure",
    "experiments.tutorials": "five tutorials with their published figures: data",
    "model": "the nn.Module that joins all components",
    "recipes": "a list of expressions, mostly docstrings",
    "plots.interactive": "a page of HTML and its script",
    "estimators.unit_check:_unit_warning": "one rule after the other",
}

STRANGERS = {"_exit", "_get_command", "_replace", "_fixtureinfo", "_is_owned", "_asdict"}  # of Python, pytest and typer
PRIVATE = {  # private names that tests use, with the reason
    "_fitted": "faults that are injected at any line leave it whole",
    "_require_fitted": "tensors that no method gives away, and the device of each",
    "_validation_split": "which examples are held out for validation",
    "_source": "the examples that it splits",
}


def room(module: str) -> str:
    """The part of the house that a module belongs to."""
    return module.partition(".")[0]


def parsed(module: str) -> ast.Module:
    """A module's tree, without what is imported for types alone."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    return tree


def imported(module: str) -> set[str]:
    """The modules of isthmus that a module imports anywhere in it, but for types alone; "" is the package itself."""
    found: set[str] = set()
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "isthmus":
            base = (node.module or "").partition(".")[2]
            for alias in node.names:
                name = f"{base}.{alias.name}".strip(".")
                found.add(name if name in MODULES else base)
        elif isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[2] for alias in node.names if alias.name.split(".")[0] == "isthmus"}
    return found


@cache
def imports() -> dict[str, set[str]]:
    """What each module imports."""
    return {module: imported(module) for module in MODULES}


def test_no_module_imports_upward() -> None:
    above = [
        f"{module} imports {other}"
        for module, others in imports().items()
        for other in others
        if module and other and ORDER.index(room(other)) > ORDER.index(room(module))
    ]
    assert not above


def test_no_module_imports_its_own_package() -> None:
    """A package's face is for those outside of it: `isthmus` itself, and each room."""
    within = [
        f"{module} imports {other or 'isthmus'}"
        for module, others in imports().items()
        for other in others
        if module and (other == "" or module.startswith(f"{other}."))
    ]
    assert not within


def test_no_modules_import_each_other_in_a_circle() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            for other in imports()[module] & MODULES.keys():
                visit(other, (*path, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())


def test_every_map_is_complete() -> None:
    """The docstring of a package names each of its modules."""
    for package, path in MODULES.items():
        if path.name == "__init__.py":
            there = {
                each.stem for each in path.parent.iterdir() if each.suffix == ".py" or (each / "__init__.py").exists()
            }
            there -= {"__init__", "__main__"}
            named = MAP.findall(importlib.import_module(f"isthmus.{package}".rstrip(".")).__doc__ or "")
            assert sorted(named) == sorted(there), package or "isthmus"


def test_no_module_checks_the_class_of_a_component() -> None:
    """What others need to know of a component is a property of its contract, so that a new one is seen everywhere."""
    components = ("architectures", "bottlenecks", "corruptions", "likelihoods", "optimizers", "priors", "scaling")
    concrete = {name for room in components for name in importlib.import_module(f"isthmus.{room}").__all__}
    for module in MODULES:
        for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"isinstance", "issubclass"}:
                asked = {name.id for name in ast.walk(node.args[1]) if isinstance(name, ast.Name)} & concrete
                assert not asked or room(module) in components, f"{module}, line {node.lineno}: {asked}"


def test_figures_compute_no_metrics() -> None:
    """What a figure shows of a measurement is handed to it: of the rooms that measure, `plots` takes the classes of results alone."""
    allowed = {"latent_traversal"}  # which decodes: codes on the way between others
    for module in MODULES:
        if room(module) == "plots":
            for node in ast.walk(parsed(module)):
                if isinstance(node, ast.ImportFrom) and room((node.module or "").partition(".")[2]) in MEASURING:
                    home = importlib.import_module(node.module or "")
                    taken = {each.name: getattr(home, each.name, None) for each in node.names}
                    named = {name for name, it in taken.items() if not (inspect.isclass(it) or isinstance(it, str))}
                    named -= allowed
                    assert not named, f"{module}, line {node.lineno}: {named}"


def test_names_for_lookup_are_listed() -> None:
    """A module that is named in a string escapes the rule that nobody imports upward: faces do it, and one line of `results`."""
    late = {module for module in MODULES if any(call.endswith("import_module") for call, _ in called(module))}
    assert late == {"", "plots", "results"}


def test_modules_and_functions_are_short() -> None:
    long = {module for module, path in MODULES.items() if len(path.read_text("utf-8").splitlines()) > LONGEST}
    for module in MODULES:
        for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.end_lineno is not None:
                body = node.body[1 if ast.get_docstring(node) else 0 :]
                if body and node.end_lineno - body[0].lineno >= LONGEST_FUNCTION:
                    long.add(f"{module}:{node.name}")
    assert long == set(LONG)


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


@pytest.mark.thorough
def test_training_requires_no_compiler_and_little_of_scikit_learn() -> None:
    """A compiler takes longer to import than everything else together; what is not used would delay the first step."""
    check = (
        "import sys, numpy, isthmus, isthmus.cli.run\n"
        "from isthmus.architectures import MLP, Conv\n"
        "from isthmus.bottlenecks import Gaussian\n"
        "X = numpy.random.default_rng(0).random((40, 8, 8))\n"
        "for architecture in (MLP(8), Conv((2, 4)), Conv((2,), code='map', up='transpose', down='stride')):\n"
        "    isthmus.Autoencoder(Gaussian(2), architecture=architecture, epochs=1).fit(X).encode(X)\n"
        "unused = 'torch._dynamo torch._inductor sympy sklearn.decomposition sklearn.mixture sklearn.metrics matplotlib'\n"
        "print(*[m for m in unused.split() if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_exported_names_exist() -> None:
    for name in MODULES:
        module = importlib.import_module(f"isthmus.{name}".rstrip("."))
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
def test_no_module_executes_files_or_seeds_global_random_generators() -> None:
    for module, path in MODULES.items():
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        calls = [node for node in nodes if isinstance(node, ast.Call)]
        assert not BANNED_CALLS & {ast.unparse(call.func) for call in calls}, module
        words = {ast.unparse(word) for call in calls for word in call.keywords}
        assert "allow_pickle=True" not in words, module
        names = {alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        names |= {(node.module or "").split(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}
        assert not BANNED_MODULES & names, module


DOORS = {  # the one module that may call what a name ends with
    r"(^|\.)print": "io.terminal",
    r"sys\.(__)?std(out|err)(__)?\.(write|writelines|buffer.*)": "io.terminal",
    r"(typer|click|rich)\.(echo|secho|print.*)|(^|\.)secho|Console": "io.terminal",
    r"\.savefig|\.print_png|plt\..*": "plots.figure",
    r"csv\.(writer|DictWriter)|\.to_csv|np\.savetxt": "io.tables",
    r"html\.escape": "text",
    r"shlex\.(quote|join)": "text",
}
BESIDES = {  # and what else may: its reason
    ("cli.console", "print"): "a table, of texts, through the terminal's own view",
    ("cli.train", "shlex.join"): "what was typed, kept as it was; RunInfo.quoted_command is what is shown of it",
}


def called(module: str) -> list[tuple[str, ast.Call]]:
    """The calls in a module, by the name of what is called as it is written."""
    nodes = ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8")))
    return [(ast.unparse(node.func), node) for node in nodes if isinstance(node, ast.Call)]


def past(module: str, call: str) -> bool:
    """Whether a call in a module would be past the one module whose business it is."""
    owner = next((owner for pattern, owner in DOORS.items() if re.search(f"(?:{pattern})$", call)), module)
    return owner != module and (module, call.rpartition(").")[2]) not in BESIDES


@pytest.mark.promise(21)
def test_all_output_passes_through_the_escaping_modules() -> None:
    """Printing, figures, tables, pages and commands have a module each, which knows how strangers' names act there."""
    for module in MODULES:
        assert not [f"{module}, line {node.lineno}: {call}" for call, node in called(module) if past(module, call)]


@pytest.mark.promise(21)
def test_commands_with_names_are_quoted_by_one_function() -> None:
    verbs = "|".join(
        command.name or command.callback.__name__ for command in app.registered_commands if command.callback
    )
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "\0" for part in node.values)
                text = "".join(map(str, parts))
                found = re.search(rf"isthmus (--\S+ )*({verbs})\b[^;:,()]*\0", text)
                assert not found, f"{module}, line {node.lineno}: {text!r}"


def test_each_check_finds_its_example() -> None:
    assert past("experiments.run_folder", "print")
    assert past("experiments.run_folder", "sys.stderr.write")
    assert past("plots.embeddings", "figure.savefig")
    assert past("cli.compress", "shlex.quote")
    assert not past("io.terminal", "print")
    assert not past("experiments.run_folder", "footprint")


QUIET = """
import sys
from functools import cache
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
X = data.mnist().train[:40]
for recipe in sys.argv[2:] or recipes.__all__:
    ae = getattr(recipes, recipe)().set_params(epochs=1, random_state=0).fit(X)
    ae.save(sys.argv[1])
    load(sys.argv[1]).reconstruct(X)
evaluate(ae, X)
print(talked)
"""


@pytest.mark.promise(20)
@pytest.mark.parametrize("only", thorough_where(["deep", "every recipe"], lambda only: only != "deep"))
def test_importing_and_training_use_no_network(only: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", QUIET, tmp_path / "model.safetensors", *(["deep"] if only == "deep" else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_tests_use_public_names() -> None:
    """A test that reaches into private names fails when nothing that a user can see has changed."""
    uses = set[str]()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id == "self"):
                names = [node.attr]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("isthmus"):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "setattr":  # limits may be lowered
                names = re.findall(r"['.](_[a-z]\w*)'", " ".join(map(ast.unparse, node.args[:2])))
            else:
                continue
            uses |= {f"{path.name}: {name}" for name in names if re.fullmatch(r"_[a-z]\w*[^_]|_[A-Z]\w*", name)}
    assert not sorted(use for use in uses if use.partition(": ")[2] not in {*PRIVATE, *STRANGERS})
    assert not {*PRIVATE} - {use.partition(": ")[2] for use in uses}
