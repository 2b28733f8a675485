"""Messages of the command line name the flags that a user typed, and not only the parameters of Python."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_cli import run

import isthmus
from isthmus import Autoencoder
from isthmus.architectures import MLP
from isthmus.data.options import ReadOptions, flag_of
from isthmus.records import field_names

SOURCE = Path(isthmus.__file__).parent
OTHERS = {  # modules whose messages are about objects in memory, which have no flags, or about other parameters of these names
    "data/tables/frame.py",
    "data/tables/frame_features.py",
    "data/tables/table_encoding.py",
    "data/annotated.py",
    "data/validation.py",
    "data/readers.py",
    "cli/analyze.py",
}
READING = re.compile(rf"(?<![\w.(*-])({'|'.join(field_names(ReadOptions))})=(?!=)")


def texts_of(path: Path) -> list[str]:
    """The texts of a module that are no docstrings, with the expressions that fill them in."""
    tree = ast.parse(path.read_text("utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    inner = {
        id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, documented) and ast.get_docstring(node)
    }
    found = []
    for node in ast.walk(tree):
        if id(node) in inner:
            continue
        if isinstance(node, ast.JoinedStr):
            inner |= {id(each) for each in node.values}
            found.append(
                "".join(each.value if isinstance(each, ast.Constant) else ast.unparse(each) for each in node.values)
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return found


def test_messages_on_reading_name_the_flags() -> None:
    """Where a message says gap=, it says --gap too."""
    silent = [
        f"{path.relative_to(SOURCE)}: {text}"
        for part in ("data", "experiments", "cli")
        for path in sorted((SOURCE / part).rglob("*.py"))
        if str(path.relative_to(SOURCE)) not in OTHERS
        for text in texts_of(path)
        for name in READING.findall(text)
        if flag_of(name) not in text
    ]
    assert not silent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a table, its table, and a long series."""
    folder = tmp_path_factory.mktemp("flags")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 3)), columns=["a", "b", "c"])
    frame.to_csv(folder / "x.csv", index=False)
    np.save(folder / "x.npy", frame.to_numpy())
    Autoencoder(1, architecture=MLP((4,)), epochs=1, random_state=0).fit(frame).save(folder / "m")
    return folder


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("data x.csv --gap 15", "(--gap) is for the windows of a series: give window= (--window) too"),
        (
            "data x.csv --window 8 --gap 15",
            "(--gap) is a length of time, and no time is given: give time= (--time) too",
        ),
        ("data x.csv --window 8 --labels a", "labels='a' (--labels) is for rows of a table"),
        ("data x.csv --window 8 --id a", "id='a' (--id) is for rows of a table"),
        ("data x.csv --window 90", "choose a smaller length= (--window)"),
        ("data x.csv --window 0", "invalid --window 0: expected a number greater"),
        ("data x.csv --gap -1 --window 8", "invalid --gap -1.0: expected a number greater"),
        ("data x.csv --skip-lines 0", "invalid --skip-lines ['0']: invalid line number '0'"),
        ("data x.csv --kind a", "invalid --kind ['a']: invalid kind 'a': expected name=kind"),
        ("data x.csv --delimiter abc", "invalid delimiter='abc' (--delimiter)"),
        ("data x.csv --encoding utf-9", "unknown encoding='utf-9' (--encoding)"),
        ("data x.csv --drop z", "(--drop, drop='z')"),
        ("data x.csv --resize 8x8", "invalid resize=(8, 8) (--resize)"),
        ("data x.npy --na-values -1", "invalid na_values=('-1',) (--na-values): x.npy is not a table"),
        ("compress m --data x.csv --step 0", "invalid --step 0.0: expected a number greater than 0"),
        ("compress m --data x.csv --step 1 --bits 9", "--step and --bits exclude each other"),
        ("detect m --data x.csv --false-alarm-rate 2", "invalid --false-alarm-rate 2.0: "),
        ("detect m --data x.csv --contamination 0", "invalid --contamination 0.0: "),
        (
            "detect m --data x.csv --contamination 0.1 --false-alarm-rate 0.1",
            "--false-alarm-rate and --contamination both",
        ),
        ("sample m --method best", "invalid --method 'best': expected 'prior' or 'gmm'"),
        ("sample m --data x.csv", "--data is for --method gmm"),
        ("sample m -n 3000000000", "invalid -n 3000000000"),
    ],
)
def test_wrong_options_are_named_as_they_were_typed(folder: Path, words: str, said: str) -> None:
    done = run(*words.split(), cwd=folder)
    assert done.returncode in {1, 2}
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
