"""Names of strangers through every verb and into every file that one writes: nothing of them acts."""

from __future__ import annotations

import ast
import csv
import html.parser
import io
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from cases import thorough_where
from hostile_files import edited
from hostile_names import FILES, TEXTS, raw
from PIL import Image
from scipy.io import wavfile
from test_cli import Done, run

from isthmus import cli, plots
from isthmus.experiments.run_folder import MODEL
from isthmus.text import is_number

pytestmark = [
    pytest.mark.promise(21),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

CELLS = [
    name for name in TEXTS if not re.search("[\ud800-\udfff\x00]", name) and name.strip()
]  # that a text file holds
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # what a spreadsheet computes begins so
RUN, PICTURED = "run $(touch x) [b]'\"\x1b[31m", "--out <b>\u202e"
TABLE, PICTURES, ARRAYS, CODES = "ta ble;$x\x1b[2J\u202e.csv", "-photos [red]\r<i>", "arrays\x07.npz", "codes$x.npy"
SOUND = "-sound \x1b[2J<b>"
QUICK = ("epochs=1", "architecture.hidden=4", "bottleneck.size=2")
VERBS: dict[str, list[list[str]]] = {
    "train": [],  # as the fixture
    "resume": [[f"./{RUN}"]],
    "sweep": [
        [
            "bottleneck.size=1,2",
            *QUICK[:2],
            "--data",
            TABLE,
            "--labels",
            CELLS[0],
            "--drop",
            CELLS[1],
            "--out",
            "$swept [b]",
        ]
    ],
    "reproduce": [[], [CELLS[0]]],
    "evaluate": [[RUN], [f"./{PICTURED}"], [RUN, "--json"], [RUN, "--data", TABLE]],
    "robustness": [[RUN, "kinds=gaussian_noise", "levels=0.3", "draws=1"]],
    "compare": [[RUN, RUN, "--out", "compared"], [RUN, f"./{PICTURED}"]],
    "plot": [[RUN], [RUN, CELLS[5]]],
    "recipes": [[]],
    "components": [[CELLS[5]]],
    "data": [
        [TABLE, "--labels", CELLS[0], "--id", CELLS[1]],
        [TABLE],
        [f"./{PICTURES}"],
        [f"./{SOUND}", "--window", "8"],
        [ARRAYS],
        [],
    ],
    "encode": [[RUN, "--data", TABLE, "--id", CELLS[1], "--out", "codes.csv"], [f"./{PICTURED}", "--out", "codes.csv"]],
    "reconstruct": [
        [RUN, "--out", "made.csv"],
        [f"./{PICTURED}", "--data", f"./{PICTURES}", "--out", "made.csv"],
        [f"./{PICTURED}", f"./{PICTURES}", "--out", "./$restored [b]"],
    ],
    "impute": [[RUN, "--data", TABLE, "--labels", CELLS[0], "--out", "whole.csv"]],
    "decode": [[RUN, CODES]],
    "sample": [[RUN, "--method", "gmm"], [RUN, "--label", CELLS[5]]],
    "score": [[RUN, "--data", TABLE, "--id", CELLS[1], "--out", "scores.csv"]],
    "detect": [[RUN, "--data", TABLE], [f"./{PICTURED}", "--data", f"./{PICTURES}", "--json"]],
    "finetune": [[RUN, "--labels", CELLS[0], "--data", TABLE], [f"./{PICTURED}"]],
    "compress": [[RUN, "--data", TABLE, "--out", "packed $x.isthmus"]],
    "card": [[RUN], [RUN, "--out", "$card [b]", "--no-export"], [f"./{PICTURED}", "--out", "card.md"]],
    "decompress": [[RUN, "packed $x.isthmus", "--out", "back.csv"]],
    "export": [[RUN, "--data", TABLE, "--parts", "encoder", "--out", "exported $x"]],
    "serve": [[RUN], [CELLS[5]]],  # whose names no address holds
    "explore": [[CELLS[5]]],
}


class Acting(html.parser.HTMLParser):
    """What of a page acts: scripts, handlers, and whatever is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.found = list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        loads = [f"{name}={value}" for name, value in attrs if name.startswith("on") or name in {"src", "href"}]
        self.found += [tag] * (tag in {"script", "iframe", "b", "i"})
        self.found += [each for each in loads if not each.startswith(("src=data:image/png", "href=#", "href=data:"))]


def check_files(folder: Path) -> set[str]:
    """Of every file that was written: nothing in it acts. The kinds there were."""
    for path in folder.rglob("*"):
        if path.name == TABLE:
            continue
        if path.suffix in {".csv", ".json", ".html", ".md", ".svg"}:
            text = path.read_text(encoding="utf-8")
            assert not raw(text), path
        if path.suffix == ".csv":
            for row in csv.reader(io.StringIO(text)):
                assert not [cell for cell in row if cell.lstrip()[:1] in FORMULA and not is_number(cell)], path
        elif path.suffix == ".html":
            acting = Acting()
            acting.feed(text)
            assert not acting.found, path
        elif path.suffix == ".png":
            with Image.open(path) as image:
                assert not raw("".join(map(str, image.info.values()))), path
                assert image.width * image.height < 20_000_000, path
    return {path.suffix for path in folder.rglob("*")}


def check_said(done: Done, *codes: int) -> None:
    """Printable lines of bounded length, an exit code, and one sentence if it failed."""
    assert done.returncode in codes, done.stderr
    assert not raw(done.stdout + done.stderr)
    assert max(map(len, done.stderr.split("\n"))) < 5000
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("isthmus: ")]
        assert len(said) == 1
        assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table and a folder of images with such names, and a run on each."""
    folder, rng = tmp_path_factory.mktemp("hostile"), np.random.default_rng(0)
    with (folder / TABLE).open("w", encoding="utf-8", newline="") as file:
        write = csv.writer(file, quoting=csv.QUOTE_ALL)
        write.writerow([name.replace("\n", " ") for name in CELLS])
        for row, values in enumerate(rng.normal(size=(120, len(CELLS))).round(4).tolist()):
            label, key = CELLS[2 + row % 4], f"{CELLS[row % len(CELLS)][:40]} {row}"
            write.writerow([label, key, *values[2:]])
    classes = [FILES[place] for place in (0, 5, 9, 13)]
    for row in range(60):
        place = folder / PICTURES / classes[row % 4] / f"{FILES[row % len(FILES)]} {row}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(place)
    for row in range(4):
        place = folder / SOUND / f"{FILES[row]} {row}.wav"
        place.parent.mkdir(parents=True, exist_ok=True)
        wavfile.write(place, 8000, rng.integers(-99, 99, 20, np.int16))
    np.savez(folder / ARRAYS, **{"x_train": np.ones((9, 3)), "\x1b[2J$x": np.ones(3), "<b>\u202e": np.ones((2, 2))})
    np.save(folder / CODES, np.zeros((3, 2), np.float32))
    told = ["--labels", CELLS[0], "--id", CELLS[1]]
    check_said(
        run("train", *QUICK, "missing=allow", "--data", TABLE, *told, f"--out=./{RUN}", cwd=folder, every_figure=True),
        0,
    )
    check_said(
        run(
            "train",
            *QUICK,
            "--data",
            f"./{PICTURES}",
            f"--out=./{PICTURED}",
            "--tensorboard",
            cwd=folder,
            every_figure=True,
        ),
        0,
    )
    check_said(run("compress", RUN, "--data", TABLE, "--out", "packed $x.isthmus", cwd=folder), 0)
    assert check_files(folder) >= {".csv", ".json", ".html", ".png"}
    return folder


def test_every_command_is_tested() -> None:
    verbs = {command.name or command.callback.__name__ for command in cli.app.registered_commands if command.callback}
    assert verbs == set(VERBS)


@pytest.mark.parametrize("verb", thorough_where(VERBS, lambda verb: verb not in {"train", "data", "encode", "plot"}))
def test_hostile_names_have_no_effect_in_output_and_files_of_any_command(verb: str, made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "x")
    for words in VERBS[verb]:
        failing = verb in {"resume", "serve"} or words in (
            [CELLS[0]],
            [CELLS[5]],
            [RUN, CELLS[5]],
            [RUN, f"./{PICTURED}"],
        )
        failing = failing or "--label" in words  # the run is not conditional
        check_said(run(verb, *words, cwd=tmp_path / "x", every_figure=True), *((1, 2) if failing else (0,)))
    check_files(tmp_path / "x")
    assert not (tmp_path / "x" / "x").exists()


@pytest.mark.thorough
@pytest.mark.parametrize("of", [RUN, f"./{PICTURED}"], ids=["table", "pictures"])
def test_hostile_names_have_no_effect_in_figures(of: str, made: Path, tmp_path: Path) -> None:
    drawn = 0
    for kind in set(plots.__all__) - {"umap"}:  # whose library takes ten seconds to load; its figure is that of t-SNE
        done = run("plot", of, kind, "--out", str(tmp_path), cwd=made)
        check_said(done, 0, 1, 2)
        drawn += not done.returncode
    assert drawn > len(plots.__all__) // 2
    check_files(tmp_path)


@pytest.mark.parametrize("verb", VERBS)
def test_errors_of_commands_are_printable_sentences(verb: str, tmp_path: Path) -> None:
    for name in FILES[::4]:
        for words in ([f"./{name}"], ["--data", f"./{name}"], [f"--{name.strip('-')}"]):
            if verb != "recipes" or words[0].startswith("--"):
                more = ["losses"] * (verb == "plot" and words[0].startswith("./"))  # without a kind it lists them
                check_said(run(verb, *words, *more, cwd=tmp_path), *((0,) if verb == "plot" and not more else ()), 1, 2)
    assert not list(tmp_path.iterdir())


def test_a_shell_parses_a_suggested_command_correctly(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "x")
    said = run("compress", RUN, "--data", TABLE, "--out", "other $x.isthmus", cwd=tmp_path / "x").stdout
    text = said[said.index("isthmus decompress") :].strip()
    function = "isthmus() { printf '%s\\n' \"$@\"; }; "
    done = subprocess.run(["bash", "-c", function + text], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:3] == ["decompress", RUN, "other $x.isthmus"]


@pytest.mark.parametrize("place", ["columns", "recipe", "version", "parameter"])
def test_hostile_names_in_a_model_file_have_no_effect(place: str, made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "x")
    bad = "\x1b]0;x\x07<script>alert(1)</script>$x\u202e"

    def edit(header: dict[str, object], _: object) -> None:
        if place == "version":
            header["version"] = bad
        elif place == "parameter":
            header["parameters"] |= {bad: 1}  # type: ignore[operator]
        else:
            header[bad if place == "recipe" else "kind"] = bad

    edited(tmp_path / "x" / RUN / MODEL, tmp_path / "x" / RUN / MODEL, edit)  # type: ignore[arg-type]
    for words in (["evaluate", RUN], ["encode", RUN], ["compare", RUN, RUN], ["detect", RUN, "--data", TABLE]):
        check_said(run(*words, cwd=tmp_path / "x"), 0, 1, 2)
    check_files(tmp_path / "x")


def test_event_files_contain_no_hostile_names(made: Path) -> None:
    events = b"".join(path.read_bytes() for path in (made / PICTURED).rglob("*tfevents*"))
    assert b"loss" in events
    for name in [*filter(lambda name: len(name) > 3, FILES), PICTURED, PICTURES]:
        assert os.fsencode(name) not in events, ascii(name)


NAMED = [name for name in CELLS if "," not in name and "\n" not in name and "*" not in name and len(name) < 200]


@pytest.mark.parametrize("name", [name.strip() for name in NAMED], ids=ascii)
def test_a_suggested_option_works(name: str, tmp_path: Path) -> None:
    """A column of numbers with a word under any name: what the sentence tells to type, and to write in Python, leaves it out."""
    rows = [[name, "a", "b"], *([word, place, place + 1] for place, word in enumerate(["1", "2", "x", "3"]))]
    with (tmp_path / "t.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(rows)
    said = run("train", "--data", "t.csv", cwd=tmp_path).stderr
    found = re.search(r"\((--drop .*), in Python drop=(.*?)\), or name it as the labels", said)
    assert found, said
    script = f"printf '%s\\0' {found[1]}"
    typed = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout.decode().split("\0")[:-1]
    assert typed[0] == "--drop"
    for dropped in (typed[1], ast.literal_eval(found[2])):
        done = run("data", "t.csv", "--drop", dropped, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "can be features, with" not in done.stdout
