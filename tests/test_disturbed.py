"""Runs in a world that disturbs them: nobody reads what they print, others train beside them, the system gives them little."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from victims import weights_hash

from isthmus import Autoencoder, cli, data
from isthmus.cli import main
from isthmus.errors import FolderInUseError, IsthmusError, MemoryLimitError
from isthmus.experiments import run_folder
from isthmus.experiments.run_folder import CHECKPOINT, MODEL

COMMAND = "import sys; from isthmus.cli import main; sys.argv[0] = 'isthmus'; main()"
TRAIN = ("train", "deep", "--data", "digits", "epochs=0.2", "architecture.hidden=4", "bottleneck.size=2")


def words(*given: str) -> list[str]:
    return [sys.executable, "-c", COMMAND, *given]


def shell(line: str, *given: str, cwd: Path, **world: str) -> subprocess.CompletedProcess[str]:
    """A line of bash in which @ stands for the command."""
    script = f"set -o pipefail; {line.replace('@', shlex.join(words(*given)))}"
    return subprocess.run(
        ["bash", "-c", script], cwd=cwd, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1", **world},
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    done = shell("@", *TRAIN, "--out", "r", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "r"


def same(one: Path, other: Path) -> None:
    """Two runs with the same files and the same weights."""
    names = [sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) for folder in (one, other)]
    assert names[0] == names[1]
    assert weights_hash(one / MODEL) == weights_hash(other / MODEL)


# Nobody reads what is printed


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("@ | head -1", "standard output (Broken pipe); everything else succeeded"),
        ("@ > /dev/full", "standard output (No space left on device); everything else succeeded"),
        ("@ >&- 2>&- <&-", ""),
    ],
)
def test_a_training_continues_when_its_output_pipe_is_closed(line: str, said: str, whole: Path, tmp_path: Path) -> None:
    done = shell(line, *TRAIN, "--out", "r", cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.endswith(f"{said}\n" if said else "")
    same(tmp_path / "r", whole)


@pytest.mark.parametrize("given", [("--help",), ("train", "--help"), ("--version",)], ids=str)
def test_every_command_has_an_error_exit_code_if_printing_fails(given: tuple[str, ...], tmp_path: Path) -> None:
    for how, code in (("> /dev/full", 1), (">&-", 1), ("> printed", 0)):
        done = shell(f"@ {how}", *given, cwd=tmp_path)
        assert done.returncode == code
        assert done.stderr.count("isthmus: some output could not be printed to standard output (") == code
        assert done.stderr.count("\n") == code


@pytest.mark.thorough
def test_a_file_is_written_although_its_table_cannot_be_printed(whole: Path, tmp_path: Path) -> None:
    assert shell("@ >&- 2>&-", "evaluate", str(whole), "--out", "a", cwd=tmp_path).returncode == 1
    assert (tmp_path / "a" / "report.html").is_file()


@pytest.mark.thorough
def test_a_usage_error_keeps_its_exit_code(tmp_path: Path) -> None:
    assert shell("@ 2> /dev/full", "train", "nonsense=1", cwd=tmp_path).returncode == 2


def test_a_process_without_standard_error_trains_with_progress(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    Autoencoder(epochs=1, verbose=1).fit(np.random.default_rng(0).normal(size=(40, 3)))
    assert not capsys.readouterr().out


# Others train beside


@pytest.mark.thorough
def test_two_trainings_at_once_get_two_folders(whole: Path, tmp_path: Path) -> None:
    both = [
        subprocess.Popen(words(*TRAIN), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    for name in ("deep-digits", "deep-digits-2"):
        same(tmp_path / "runs" / name, whole)


@pytest.mark.thorough
def test_of_two_trainings_into_one_folder_one_trains(whole: Path, tmp_path: Path) -> None:
    both = [
        subprocess.Popen(
            words(*TRAIN, "--out", "r"), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[1].splitlines()[-1] for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) == [0, 1], said
    refused = said[codes.index(1)]
    assert "isthmus: another process is writing into r" in refused or "isthmus: r already holds a run" in refused
    same(tmp_path / "r", whole)


@pytest.mark.parametrize(
    "given",
    [
        (*TRAIN, "--out", "r"),
        ("resume", "r"),
        ("sweep", *TRAIN[1:-1], "bottleneck.size=2,3", "--out", "r"),
        ("reproduce", "tf-simple", "epochs=0.01", "--out", "."),
    ],
    ids=lambda given: given[0],
)
def test_a_folder_in_use_prints_one_sentence(
    given: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["isthmus", *given])
    folder = tmp_path / ("tf-simple" if given[0] == "reproduce" else "r")
    with run_folder.reserve_folder(folder):
        (folder / "x").touch()
        with pytest.raises(SystemExit) as end:
            main()
        assert [path.name for path in folder.iterdir()] == ["x"]
    assert end.value.code == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("isthmus: another process is writing into ")


HOLD = """
import sys
from pathlib import Path
from isthmus.experiments import run_folder
with run_folder.reserve_folder(Path("r")):
    print("mine", flush=True)
    sys.stdin.read()
"""


@pytest.mark.thorough
def test_a_killed_process_releases_its_folder(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"mine\n"
        with (
            pytest.raises(FolderInUseError, match="another process is writing into"),
            run_folder.reserve_folder(tmp_path / "r"),
        ):
            pass
        other.send_signal(signal.SIGKILL)
        other.wait()
        with run_folder.reserve_folder(tmp_path / "r"):
            pass


def test_a_folder_taken_by_another_process_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with run_folder.reserve_new_folder("x", None) as first, run_folder.reserve_new_folder("x", None) as second:
        assert (str(first), str(second)) == ("runs/x", "runs/x-2")
    (tmp_path / "runs" / "x" / MODEL).touch()
    assert not (tmp_path / "runs" / "x-2" / MODEL).exists()
    with suppress(RuntimeError), run_folder.reserve_new_folder("y", None) as third:
        assert third.is_dir()
        raise RuntimeError
    assert not third.exists(), "nothing came of it"
    with pytest.raises(IsthmusError, match="already holds a run"), run_folder.reserve_new_folder("x", Path("runs/x")):
        pass


# The system gives little


@pytest.mark.thorough
@pytest.mark.parametrize("home", ["-u HOME -u TMPDIR", "HOME=/proc TMPDIR=/nonexistent"])
def test_training_works_with_few_file_descriptors_and_without_home_and_locale(
    home: str, whole: Path, tmp_path: Path
) -> None:
    world = "LANG=C LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 TERM=dumb COLUMNS=1 LINES=1"
    done = shell(f"ulimit -n 32; env {home} {world} @", *TRAIN, "--out", "r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    same(tmp_path / "r", whole)


STRICT = """
import sys
from isthmus.cli import main
for words in sys.argv[1:]:
    sys.argv = ["isthmus", *words.split()]
    try:
        main()
    except SystemExit as end:
        print("ended:", end.code, flush=True)
"""


@pytest.mark.thorough
def test_no_command_warns_where_warnings_are_errors(whole: Path, tmp_path: Path) -> None:
    """Neither what is imported nor what is called warns of what goes away in a later Python or PyTorch."""
    verbs = [" ".join((*TRAIN, "--out", "r")), "encode r", "plot r traversal", "sample r --method gmm"]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", STRICT, *verbs], cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.stdout.count("ended: 0") == len(verbs), done.stderr
    names = {path.name for path in (tmp_path / "r" / "figures").iterdir()}
    assert "traversal.png" in names
    assert weights_hash(tmp_path / "r" / MODEL) == weights_hash(whole / MODEL)


@pytest.mark.thorough
def test_a_file_size_limit_prints_one_sentence_and_leaves_no_files(tmp_path: Path) -> None:
    done = shell("ulimit -f 2; @", *TRAIN, "--out", "r", cwd=tmp_path)
    assert done.returncode == 1
    assert "isthmus: r/model.safetensors: File too large" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kibibytes", [700_000, pytest.param(1_000_000, marks=pytest.mark.thorough)])
def test_with_little_memory_a_command_works_or_prints_one_sentence(kibibytes: int, tmp_path: Path) -> None:
    done = shell(f"ulimit -v {kibibytes}; @", *TRAIN, "--out", "r", cwd=tmp_path)
    if done.returncode:
        assert "Traceback" not in done.stderr
        assert "isthmus: there is not enough memory" in done.stderr.splitlines()[-1]
        assert not list(tmp_path.iterdir())
    else:
        assert (tmp_path / "r" / MODEL).is_file()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("std::bad_alloc"),
        RuntimeError("can't start new thread"),
        pa.ArrowException("Unknown error: Failed to launch worker thread: Resource temporarily unavailable"),
    ],
    ids=str,
)
def test_every_out_of_memory_error_prints_one_sentence(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python, PyTorch and pyarrow, in a bounded address space."""

    def app(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli, "app", app)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    assert capsys.readouterr().err.startswith("isthmus: there is not enough memory: ")


@pytest.mark.thorough
def test_examples_that_changed_before_the_first_checkpoint_are_reported(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(400, 3))
    np.savetxt(tmp_path / "x.csv", X, delimiter=",")
    train = words("train", "deep", "--data", "x.csv", "epochs=1000", "architecture.hidden=4", "--out", "r")
    with subprocess.Popen(train, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "epoch 2," not in process.stderr.readline():
            pass
        process.kill()
    assert (tmp_path / "r" / CHECKPOINT).exists()
    np.savetxt(tmp_path / "x.csv", X + 1, delimiter=",")
    done = shell("@", "resume", "r", cwd=tmp_path)
    assert done.returncode == 1
    assert "isthmus: the examples that the run held out are no longer in x.csv" in done.stderr
    assert (tmp_path / "r" / CHECKPOINT).exists()


def test_a_table_is_not_begun_where_pyarrow_would_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 14 MB of address space left its thread does not start; compress and detect hung."""
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3,4\n5,7\n")
    monkeypatch.setattr("isthmus.data.tables.rows.available_memory", lambda: 14e6)
    with pytest.raises(MemoryLimitError, match=r"reading a table needs 33\.6 MB of memory, and 14 MB are available"):
        data.load(tmp_path / "t.csv")
