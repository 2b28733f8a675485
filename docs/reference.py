"""A hook of mkdocs: the site's pages that are not in this folder, and links that lead out of it.

The start page is the README, and the notebooks of `examples/` are pages without outputs. The reference has a page for each module that
`isthmus.__all__` names, and a section for each name in the module's own `__all__`. The gallery holds every figure of the other pages.
All is read from the sources, without importing them.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src/isthmus"
PAGES = {  # files beside this folder, and the pages they become
    "README.md": "index.md",
    "README.zh-CN.md": "readme-chinese.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "examples/first-steps.ipynb": "first-steps.md",
    "examples/your-own-table.ipynb": "your-own-table.md",
    "examples/sliders.ipynb": "sliders.md",
}
LINK = re.compile(r"(?<!!)\[([^\[\]]+)\]\((?!\w+:)([^)#\s]*)(#[^)\s]*)?\)")
FIGURE = re.compile(r"!\[([^\]]*)\]\(([^)]+)\)")
OWN = "    options:\n      inherited_members: false\n"  # what all of a kind share stands once, with their contract
FOREIGN = re.compile(
    r"<(?:script|img|iframe)[^>]+src=\"?(?:https?:)?//|<link[^>]+stylesheet[^>]+href=\"?(?:https?:)?//"
)


def read(path: Path) -> str:
    """A file's text, as Markdown where it is a notebook."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
    return "\n\n".join(source if kind == "markdown" else f"```python\n{source}\n```" for kind, source in cells) + "\n"


def file_of(module: str) -> Path | None:
    """The source of a module, "" for the package itself."""
    base = SOURCE.joinpath(*module.split(".")) if module else SOURCE
    return next((path for path in (base / "__init__.py", base.with_suffix(".py")) if path.is_file()), None)


def exported(module: str) -> dict[str, str]:
    """The names in a module's `__all__`, and the modules of isthmus that they come from."""
    path = file_of(module)
    tree = ast.parse(read(path)) if path else ast.Module([], [])
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    origin = {alias.asname or alias.name: (node.module or "", alias.name) for node in imports for alias in node.names}
    names: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            for each in node.value.elts if isinstance(node.value, ast.List) else []:
                if isinstance(each, ast.Starred):  # another module's __all__, imported under a name
                    names |= exported(origin[ast.unparse(each.value)][0].partition(".")[2])
                else:
                    name = ast.literal_eval(each)
                    home, there = origin.get(name, (f"isthmus.{module}".rstrip("."), name))
                    names[name] = f"{home}.{there}"
    return names


def contracts(module: str) -> dict[str, str]:
    """What a component of a module has to be: the names of its `base`, or the class that is a record and no component."""
    if names := exported(f"{module}.base"):
        return names
    path = file_of(module)
    classes = [node for node in ast.parse(read(path)).body if isinstance(node, ast.ClassDef)] if path else []
    records = [node.name for node in classes if "Record" in {ast.unparse(base) for base in node.bases}]
    return {name: f"isthmus.{module}.{name}" for name in records}


def reference() -> dict[str, str]:
    """The pages of the reference, by their path."""
    top = {name: path.partition(".")[2] for name, path in exported("").items() if not name.startswith("_")}
    modules = {name: path for name, path in top.items() if file_of(path)}
    pages = {"isthmus": {name: f"isthmus.{path}" for name, path in top.items() if name not in modules}}
    for name, module in modules.items():
        pages[name] = contracts(module) | exported(module)
    about = {name: ast.get_docstring(ast.parse(read(file_of(modules.get(name, "")) or SOURCE))) or "" for name in pages}
    return {
        f"reference/{name}.md": f"# {name if name == 'isthmus' else f'isthmus.{name}'}\n\n{about[name].splitlines()[0]}\n\n"
        + "".join(f"::: {path}\n{'' if name == 'isthmus' else OWN}\n" for path in names.values())
        for name, names in pages.items()
    }


def gallery() -> str:
    """Every figure of the README and of this folder's pages, with a link to where it stands."""
    text = "# Gallery\n\nThe figures of these pages, each with what it shows and where it is explained.\n"
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        page = PAGES.get(path.name, path.name)
        for alt, image in FIGURE.findall(read(path)):
            text += f"\n## {alt}\n\n[![{alt}]({image.removeprefix('docs/')})]({page})\n"
    return text


def on_config(config: Any) -> Any:
    """Puts the reference's pages into the navigation."""
    for entry in config.nav:
        if "Reference" in entry:
            entry["Reference"] = sorted(reference(), key=lambda page: (page != "reference/isthmus.md", page))
    return config


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages that are not in this folder."""
    from mkdocs.structure.files import File  # the rest can be read without mkdocs

    made = {page: read(ROOT / name) for name, page in PAGES.items()} | reference() | {"gallery.md": gallery()}
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, files: Any, **_: Any) -> str:
    """Links between the repository's files become links between pages; of a file that is no page only the words stay."""
    outside = page.file.src_uri in PAGES.values()  # such a page lies beside this folder

    def link(found: re.Match[str]) -> str:
        words, target, anchor = found[1], found[2], found[3] or ""
        if not target or page.file.src_uri.startswith("reference/"):
            return found[0]
        path = target if outside else f"docs/{target}"
        path = path.removeprefix("docs/../")
        place = PAGES.get(path, path.removeprefix("docs/"))
        return f"[{words}]({place}{anchor})" if files.get_file_from_path(place) else words

    if outside:
        markdown = FIGURE.sub(lambda found: f"![{found[1]}]({found[2].removeprefix('docs/')})", markdown)
    return markdown if page.file.src_uri == "gallery.md" else LINK.sub(link, markdown)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """No page loads anything from another site."""
    from mkdocs.exceptions import PluginError

    if found := FOREIGN.search(output):
        raise PluginError(f"{page.file.src_uri} loads from elsewhere: {found[0]}")
    return output
