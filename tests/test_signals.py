"""What a person or a system that stops a training gets: a checkpoint, an exit code, a sentence; and the same model in the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from victims import weights_hash

from isthmus import Autoencoder, cli
from isthmus.architectures import MLP
from isthmus.bottlenecks import Gaussian
from isthmus.cli import main
from isthmus.cli.signals import SignalHandler, termination_as_exception
from isthmus.experiments.run_folder import CHECKPOINT, MODEL

COMMAND = "import sys; from isthmus.cli import main; sys.argv[0] = 'isthmus'; main()"
TRAIN = ("train", "denoising", "--data", "digits", "epochs=60", "architecture.hidden=16", "bottleneck.size=2")


def heeding() -> None:
    """In a process about to start: Ctrl-C is heard, although a shell's job in the background has been told to ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def begun(*words: str, cwd: Path) -> subprocess.Popen[str]:
    """A command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *words], cwd=cwd, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"}, preexec_fn=heeding,
    )  # fmt: skip


def stopped(process: subprocess.Popen[str], number: int, epoch: int) -> str:
    """Sends the signal when an epoch is over; what was said last."""
    assert process.stderr is not None
    while line := process.stderr.readline():
        if f"epoch {epoch}," in line:
            process.send_signal(number)
            break
    lines = process.stderr.read().strip().splitlines()
    process.wait(60)
    process.stderr.close()
    return lines[-1] if lines else ""


@pytest.mark.promise(11)
@pytest.mark.promise(10)
@pytest.mark.thorough
def test_a_training_stopped_by_signals_resumes_to_the_same_weights(tmp_path: Path) -> None:
    first = begun(*TRAIN, "--out", "a", cwd=tmp_path)
    said = stopped(first, signal.SIGTERM, 3)
    assert first.returncode == 143
    assert said.startswith("isthmus: stopped after step ")
    assert said.endswith("resume with: isthmus resume a")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [CHECKPOINT, "run.json"]
    second = begun("resume", "a", "--checkpoint-every", "7", cwd=tmp_path)
    said = stopped(second, signal.SIGINT, 20)
    assert second.returncode == 130
    assert said.endswith("resume with: isthmus resume a")
    third = begun("resume", "a", cwd=tmp_path)
    stopped(third, signal.SIGKILL, 40)
    assert third.returncode == -signal.SIGKILL
    for words in (("resume", "a"), (*TRAIN, "--out", "b")):
        with begun(*words, cwd=tmp_path) as last:
            said = last.communicate(timeout=120)[1]
        assert last.returncode == 0, said
    assert weights_hash(tmp_path / "a" / MODEL) == weights_hash(tmp_path / "b" / MODEL)
    assert {path.name for path in (tmp_path / "a").iterdir()} == {path.name for path in (tmp_path / "b").iterdir()}
    assert CHECKPOINT not in {path.name for path in (tmp_path / "a").iterdir()}


@pytest.mark.promise(11)
@pytest.mark.thorough
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_sweep_prints_how_to_resume_it(number: int, code: int, tmp_path: Path) -> None:
    process = begun("sweep", *TRAIN[1:-1], "bottleneck.size=2,3", "--out", "s", cwd=tmp_path)
    said = stopped(process, number, 3)
    assert process.returncode == code
    assert said == "isthmus: stopped: the trained runs are in s; the same command resumes"


TWICE = """
import os, signal, time
from isthmus.cli.signals import SignalHandler
with SignalHandler() as caught:
    os.kill(os.getpid(), signal.{first})
    assert caught.signal == signal.{first}
    os.kill(os.getpid(), signal.{first})  # of torchrun, which hands on what a scheduler sent to all: the same one
    time.sleep(0.5)
    print("one", flush=True)
    os.kill(os.getpid(), signal.{second})
    time.sleep(60)
"""


@pytest.mark.promise(11)
@pytest.mark.parametrize(
    ("first", "second", "code"), [("SIGINT", "SIGINT", 130), ("SIGTERM", "SIGTERM", 143), ("SIGINT", "SIGTERM", 143)]
)
def test_a_second_signal_exits_at_once(first: str, second: str, code: int) -> None:
    began = time.monotonic()
    program = TWICE.format(first=first, second=second)
    done = subprocess.run(
        [sys.executable, "-c", program], preexec_fn=heeding, check=False, stdout=subprocess.PIPE, text=True
    )
    assert (done.returncode, done.stdout) == (code, "one\n")
    assert time.monotonic() - began < 30


WAITING = """
import hashlib, os, signal, threading, time
from isthmus.cli.signals import SignalHandler
def twice():
    for _ in range(2):
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)
with SignalHandler():
    threading.Thread(target=twice).start()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
"""


@pytest.mark.promise(11)
def test_a_second_signal_exits_while_a_call_waits() -> None:
    """Such as one of PyTorch that waits for another process of the training, 300 seconds at most."""
    done = subprocess.run([sys.executable, "-c", WAITING], preexec_fn=heeding, check=False, timeout=30)
    assert done.returncode == 143


@pytest.mark.thorough
@pytest.mark.promise(11)
def test_only_the_command_line_handles_signals() -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    check = "import signal, isthmus.cli.run; print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_commands_request_the_path_of_data_that_were_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savetxt("here.csv", np.random.default_rng(0).random((40, 3)), delimiter=",")
    monkeypatch.setattr(sys, "argv", ["isthmus", "train", "--data", "here.csv", "--out", "a", "epochs=1"])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    (tmp_path / "here.csv").rename(tmp_path / "there.csv")
    for words, code in ((["evaluate", "a"], 1), (["evaluate", "a", "--data", "there.csv"], 0)):
        monkeypatch.setattr(sys, "argv", ["isthmus", *words])
        with pytest.raises(SystemExit) as end:
            main()
        assert (end.value.code or 0) == code
    assert (
        "here.csv: check the path; a was trained on these data: give their present path with --data"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("resume", "nowhere"), "there is no folder nowhere"),
        (("resume", "."), "holds no interrupted training"),
        (("resume", "whole"), "is complete: there is nothing to resume"),
        (("evaluate", "cut"), "was interrupted: resume it with isthmus resume cut"),
        (("train", "--data", "digits", "--out", "cut"), "interrupted training: resume it with isthmus resume cut, or choose another --out"),
        (("resume", "cut"), "damaged"),
    ],
    ids=str,
)  # fmt: skip
def test_a_run_that_cannot_be_resumed_prints_the_reason(
    words: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, file in (("whole", MODEL), ("cut", CHECKPOINT)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / file).touch()
    monkeypatch.setattr(sys, "argv", ["isthmus", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("listening", [SignalHandler, termination_as_exception])
def test_earlier_signal_handlers_are_restored(listening: Callable[[], AbstractContextManager[Any]]) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with listening():
        assert signal.getsignal(signal.SIGTERM) not in before.values()
    assert {number: signal.getsignal(number) for number in before} == before


@pytest.mark.parametrize("listening", [SignalHandler, termination_as_exception])
def test_a_signal_that_is_ignored_stays_so(listening: Callable[[], AbstractContextManager[Any]]) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with listening():
            os.kill(os.getpid(), signal.SIGTERM)
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


MEANWHILE = """
import os, signal, sys
from isthmus.cli import main
from isthmus.nn.processes import Processes

def most(self, value, sent=[]):
    if not sent:  # the others answer while the signal comes
        sent.append(os.kill(os.getpid(), signal.SIGTERM))
    return value

signal.signal(signal.SIGTERM, signal.SIG_DFL)
Processes.most = most
sys.argv = "isthmus train --data digits architecture.hidden=16 epochs=3 --out run".split()
main()
"""


@pytest.mark.thorough
@pytest.mark.promise(11)
def test_a_signal_is_not_lost_while_the_processes_speak(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", MEANWHILE], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 128 + signal.SIGTERM, done.stdout
    assert done.stderr.splitlines()[-1].startswith("isthmus: stopped after step ")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [CHECKPOINT, "run.json"]


TERMINATED = """
import os, signal, sys
from pathlib import Path
from isthmus.cli import main
import isthmus.io.atomic as atomic

def stop(*given, **named):
    os.kill(os.getpid(), {number})

signal.signal({number}, signal.SIG_DFL)  # whoever started this may have ignored it
atomic.os.fsync = stop  # the file is written, and not yet renamed
sys.argv = ["isthmus", "sample", "run", "--out", "new.npy"]
main()
"""


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")
@pytest.mark.parametrize("name", ["SIGTERM", pytest.param("SIGHUP", marks=pytest.mark.thorough)])
def test_a_verb_that_is_terminated_leaves_no_file_that_was_being_written(name: str, tmp_path: Path) -> None:
    number = getattr(signal, name)
    X = np.random.default_rng(0).random((30, 4))
    Autoencoder(Gaussian(2), architecture=MLP(()), epochs=1, random_state=0).fit(X).save(tmp_path / "run")
    done = subprocess.run(
        [sys.executable, "-c", TERMINATED.format(number=int(number))], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 128 + number
    assert done.stderr.endswith("isthmus: stopped\n")
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


def test_an_interrupt_outside_training_prints_a_sentence_and_exits_with_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The parser makes a number of it, which was dropped: Ctrl-C while PyTorch was loaded ended with exit code 0."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("isthmus.io.memory_limit.set_memory_limit", interrupted)
    monkeypatch.setattr(sys, "argv", ["isthmus", "data", "digits"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 130
    assert capsys.readouterr().err.endswith("isthmus: stopped\n")
