"""Training in several processes is the training of one: the same losses and weights except for rounding, and nothing else to see."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pytest
import torch
import torch.distributed as dist
from cases import thorough_where
from PIL import Image
from scipy.sparse import csr_array
from test_every_component import BATCH, EVERY, LABELS, N, autoencoder, examples, made

from isthmus import Autoencoder, data, load
from isthmus.architectures import MLP, Conditional, Modules
from isthmus.bottlenecks import Gaussian, ImportanceWeighted, VectorQuantized
from isthmus.cli import main
from isthmus.cli.together import begin
from isthmus.corruptions import GaussianNoise, Patches
from isthmus.errors import DataError, LostProcessError, NotPossibleError, RecordError
from isthmus.experiments.run_folder import CHECKPOINT, MODEL, reserve_new_folder
from isthmus.likelihoods import Normal
from isthmus.model import Model
from isthmus.nn.processes import ALONE, Processes
from isthmus.optimizers import SGD, AdamW
from isthmus.penalties import DIP, Adversarial, Contractive, SmoothDecoder
from isthmus.priors import VampPrior
from isthmus.schedules import Warmup
from isthmus.trainable import Batch, Losses
from isthmus.training.batches import InMemorySource
from isthmus.training.joining import Joined, check_same, joined, training_with
from isthmus.training.shared_reading import shared_reading

T = TypeVar("T")
TIMEOUT = 30.0
QUICK = {"MMD", "VectorQuantized", "SmoothDecoder"}
X = np.random.default_rng(0).random((N + 1, 6))  # the last batch has one row: not every process has one


def together(size: int, work: Callable[[int], T], timeout: float = TIMEOUT) -> list[T | BaseException]:
    """What a function returns, or raises, in each of several processes that train together; each a thread here, with its own group."""
    store, found = dist.HashStore(), list[Any]([None] * size)

    def run(rank: int) -> None:
        group = dist.ProcessGroupGloo(store, rank, size, timedelta(seconds=timeout))
        with training_with(Processes(rank, size, group, timeout)):
            try:
                found[rank] = work(rank)
            except BaseException as error:
                found[rank] = error

    threads = [Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def assert_same(one: Autoencoder, other: Any) -> None:
    """Losses, statistics and weights are the same except for rounding."""
    if isinstance(other, BaseException):
        raise other
    assert len(one.history_) == len(other.history_)
    for own, theirs in zip(one.history_, other.history_, strict=True):
        assert (own.val_loss is None) == (theirs.val_loss is None)
        for name in ("loss", "nll", "penalty", "val_loss"):
            assert (getattr(theirs, name) or 0) == pytest.approx(getattr(own, name) or 0, rel=1e-10, abs=1e-10)
        assert theirs.stats == pytest.approx(dict(own.stats), rel=1e-8, abs=1e-8)
    theirs = other.model_.state_dict()
    for name, tensor in one.model_.state_dict().items():
        torch.testing.assert_close(
            theirs[name], tensor, rtol=1e-7, atol=1e-8, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_many_tensors_are_copied_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.nn.processes.COPIED", 100)  # bytes

    def copied(rank: int) -> list[Any]:
        tensors = [torch.full((size,), rank + size) for size in (1, 9, 40, 0, 3)]
        tensors += [torch.full((2, 20), float(rank)), torch.tensor([rank == 0, False]), torch.tensor(float(rank))]
        joined().copy_first(tensors)
        return [each.tolist() for each in tensors]

    first, *others = together(3, copied)
    assert isinstance(first, list)
    assert first == [[1], [9] * 9, [40] * 40, [], [3] * 3, [[0.0] * 20] * 2, [True, False], 0.0]
    assert others == [first, first]


@pytest.mark.parametrize(("slot", "name"), thorough_where(EVERY, lambda case: case[1] not in QUICK))
def test_two_processes_train_every_component_as_one_does(slot: str, name: str) -> None:
    if name == "Modules":
        return  # refused below
    record = made(slot, name)
    if name == "VectorQuantized":
        record = record.replace(codebook_size=4)  # no two entries are alike, which rounding may swap
    images, labels = examples(record), np.r_[LABELS, 0]
    images = np.concatenate([images, images[:1]])

    def fitted(_: int = 0) -> Autoencoder:
        return autoencoder(slot, record, precision="float64").fit(images, labels)

    one = fitted()
    for other in together(2, fitted):
        assert_same(one, other)


def choices(**given: Any) -> Autoencoder:
    few = {"architecture": MLP((8,)), "batch_size": BATCH, "epochs": 2, "precision": "float64", "random_state": 0}
    few["optimizer"] = SGD(1e-2)  # unlike that of Adam, its step has the size of the gradient
    return Autoencoder(**{"bottleneck": 3, "likelihood": Normal()} | few | given)


TOGETHER: dict[str, dict[str, Any]] = {
    "learned scale": {"likelihood": Normal("learned"), "early_stopping": True, "optimizer": SGD(1e-3, clip=0.1)},
    "hidden values": {"likelihood": Normal("learned"), "corruption": Patches(2, 0.5)},
    "missing values": {"missing": "allow", "likelihood": Normal("learned"), "corruption": GaussianNoise(0.2)},
    "learned prior": {"bottleneck": Gaussian(3, prior=VampPrior(5), schedule=Warmup(0.5)), "penalty": DIP(1.0)},
    "several draws": {"bottleneck": ImportanceWeighted(3, draws=3, gradient="dreg")},
    "probes": {"penalty": Contractive(0.1, exact=False) + SmoothDecoder(0.1, exact=False) + Adversarial(1.0, hidden=(4,))},
    "free bits": {"bottleneck": Gaussian(3, free_bits=0.1), "optimizer": AdamW(1e-2, loss_reduction="batch")},
    "codebook": {"bottleneck": VectorQuantized(3, codebook_size=8, dead_threshold=0.5), "random_state": 2},
    "divergence": {"optimizer": SGD(2.0)},
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::isthmus.errors.DivergenceWarning")
@pytest.mark.parametrize(
    "case", thorough_where(list(TOGETHER), lambda case: case not in {"learned scale", "learned prior"})
)
def test_three_processes_decide_as_one_does(case: str) -> None:
    values = np.where(np.random.default_rng(1).random(X.shape) < 0.1, np.nan, X) if case == "missing values" else X
    weights = np.linspace(0, 2, len(X))

    def fitted(_: int = 0) -> Autoencoder:
        return choices(**TOGETHER[case]).fit(values, sample_weight=weights, layerwise=case == "learned scale")

    one = fitted()
    for other in together(3, fitted):
        assert_same(one, other)


TABLE = pd.DataFrame({"a": [*range(16), None], "b": list("xyz" * 5 + "xy"), "c": X[:17, 0] > 0.5})
KINDS: dict[str, tuple[dict[str, Any], tuple[Any, ...], dict[str, Any]]] = {
    "table": ({"missing": "allow"}, (TABLE,), {}),
    "series": ({"kind": "series"}, (X[:17].repeat(6, 1).reshape(17, 2, 18),), {}),
    "images": ({"kind": "images"}, ((X[:17] * 255).astype(np.uint8).repeat(6, 1).reshape(17, 6, 6),), {}),
    "sparse": ({}, (csr_array(np.where(X[:17] < 0.7, 0, X[:17])),), {}),
    "pairs": ({}, (X[:17],), {"target": X[:17] + 1, "validation_data": (X[:5], X[:5] + 1)}),
    "conditional": ({"architecture": Conditional(MLP((8,)))}, (X[:17], np.arange(17) % 3), {}),
    "one row less than a batch": ({"batch_size": 18}, (X[:17],), {}),
}  # fmt: skip


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:3 columns")  # what was inferred of the table
@pytest.mark.parametrize("case", list(KINDS))
def test_three_processes_train_on_every_kind_of_data_as_one_does(case: str) -> None:
    params, given, named = KINDS[case]  # in batches of four rows the third process has none

    def fitted(_: int = 0) -> Autoencoder:
        few = {"epochs": 2, "batch_size": 4, "precision": "float64", "random_state": 0}
        return Autoencoder(2, **few | params).fit(*given, **named)

    one = fitted()
    for other in together(3, fitted):
        assert_same(one, other)


@pytest.mark.thorough
def test_in_bfloat16_each_process_has_the_same_weights_and_nearly_those_of_one() -> None:
    def fitted(_: int = 0) -> Autoencoder:
        return choices(precision="bfloat16", batch_size=16).fit(X)

    one, (first, second) = fitted(), together(2, fitted)
    assert isinstance(first, Autoencoder)
    assert isinstance(second, Autoencoder)
    ours, theirs = first.model_.state_dict(), second.model_.state_dict()
    assert all(torch.equal(theirs[name], tensor) for name, tensor in ours.items())
    assert first.history_[-1].loss == pytest.approx(one.history_[-1].loss, rel=0.01)


class Read(InMemorySource):
    """Examples that count as slow to read, and the indices that were read."""

    decodes = True

    def __init__(self) -> None:
        super().__init__(X, torch.device("cpu"))
        self.indices: list[int] = []

    def __getitem__(self, index: torch.Tensor) -> torch.Tensor:
        self.indices += index.tolist()
        return super().__getitem__(index)


def test_each_image_is_decoded_by_one_process() -> None:
    index = torch.randperm(N, generator=torch.Generator().manual_seed(0))

    def read_by(rank: int) -> list[int]:
        own = Read()
        shared = shared_reading(own, joined())
        for part in (*index.split(7), torch.tensor([4, 8])):  # process 1 of 2 has none of the last ones
            assert torch.equal(shared[part], torch.from_numpy(X)[part])
        assert len(set(own.indices)) < N
        return own.indices

    found = together(2, read_by)
    assert sorted([*found[0], *found[1]]) == sorted([*range(N), 4, 8])  # type: ignore[misc]


@pytest.mark.thorough
def test_images_in_their_files_are_trained_on_together(tmp_path: Path) -> None:
    for number, values in enumerate(np.random.default_rng(0).integers(0, 256, (17, 6, 6), dtype=np.uint8)):
        Image.fromarray(values).save(tmp_path / f"{number}.png")

    def fitted(_: int = 0) -> Autoencoder:
        return choices(batch_size=4).fit(data.read(tmp_path, cache=0).train)

    one = fitted()
    for other in together(2, fitted):
        assert_same(one, other)


def interrupted(path: Path) -> Callable[[int], None]:
    """A training that process 0 saves in the middle of its second epoch; only process 1 asks for the report of this step."""

    def begun(rank: int = 0) -> None:
        ae = choices(bottleneck=VectorQuantized(3, codebook_size=4))
        for report in ae.iter_fit(X, every=(lambda step: step == 7) if rank or path.name == "1" else None):
            if report.step == 7:
                if rank == 0:
                    ae.checkpoint(path)
                return

    return begun


def test_a_checkpoint_is_resumed_by_any_number_of_processes(tmp_path: Path) -> None:
    def whole(_: int = 0) -> Autoencoder:
        return choices(bottleneck=VectorQuantized(3, codebook_size=4)).fit(X)

    interrupted(tmp_path / "1")()
    assert together(2, interrupted(tmp_path / "2")) == [None, None]
    one, two = whole(), together(2, whole)[0]
    assert_same(one, load(tmp_path / "2").resume(X))
    for path, count in ((tmp_path / "1", 3), (tmp_path / "2", 2)):
        resumed = together(count, lambda _, path=path: load(path).resume(X))[0]
        assert_same(one, resumed)
    assert isinstance(two, Autoencoder)
    assert isinstance(resumed, Autoencoder)
    weights = two.model_.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in resumed.model_.state_dict().items())
    assert [replace(report, seconds=0) for report in two.history_] == [replace(r, seconds=0) for r in resumed.history_]


def test_what_processes_cannot_train_together_is_refused_in_one_sentence() -> None:
    own = Modules(torch.nn.Linear(6, 3), torch.nn.Linear(3, 6))
    for ae, kind, sentence in (
        (choices(architecture=own), NotPossibleError, "several processes cannot train them together"),
        (choices(batch_size=1), RecordError, "a batch has 1 examples, too few for 2 processes"),
    ):
        for error in together(2, lambda _, ae=ae: ae.fit(X)):
            assert isinstance(error, kind)
            assert sentence in str(error)
    for error in together(3, lambda _: choices().fit(X[:2])):  # whatever batch_size is
        assert isinstance(error, DataError)
        assert str(error).startswith("there are 2 training examples, too few for 3 processes: start fewer")


@pytest.mark.filterwarnings("ignore::isthmus.errors.DivergenceWarning")
@pytest.mark.parametrize("odd", [0, 1])
def test_what_one_process_finds_not_finite_sends_all_back(odd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where processors round differently: one overflows at the end, the other does not."""
    finite = Model.score

    def score(model: Model, batch: Batch) -> Losses:
        scored = finite(model, batch)
        if joined().rank != odd or found[odd]:
            return scored
        found[odd] = True
        return Losses(scored.nll * torch.inf, scored.penalty, scored.stats)

    monkeypatch.setattr(Model, "score", score)
    found = [False, False]

    first, second = together(2, lambda _: choices(epochs=1).fit(X), timeout=5.0)
    assert found[odd]
    assert isinstance(first, Autoencoder), first
    assert_same(first, second)
    assert [report.lr for report in first.history_] == [pytest.approx(1e-2 / 5)]


def test_processes_with_other_data_or_parameters_are_named() -> None:
    for change, what in (
        (lambda rank: choices().fit(X + rank), "data"),
        (lambda rank: choices(tol=rank).fit(X), "parameters"),
    ):
        for error in together(2, change):
            assert isinstance(error, DataError)
            assert f"process 1 has other {what} than process 0" in str(error)


def test_processes_that_stand_at_other_steps_are_named(tmp_path: Path) -> None:
    """As where a file system still shows one machine an older checkpoint: their steps would not meet."""
    ae = choices()
    for report in ae.iter_fit(X, every=1):
        if report.step in {3, 4}:
            ae.checkpoint(tmp_path / str(report.step))
    for error in together(2, lambda rank: load(tmp_path / str(3 + rank)).resume(X), timeout=5.0):
        assert isinstance(error, DataError), error
        assert "process 1 has other checkpoint than process 0" in str(error)


def test_all_processes_continue_from_what_process_0_has_read(tmp_path: Path) -> None:
    """As where the machine of process 1 has rounded otherwise before the checkpoint."""
    ae = choices()
    for report in ae.iter_fit(X, every=1):
        if report.step == 7:
            ae.checkpoint(tmp_path / "0")
            with torch.no_grad():
                for parameter in ae.model_.parameters():
                    parameter.add_(0.1)
            ae.checkpoint(tmp_path / "1")
            break
    one = load(tmp_path / "0").resume(X)
    for other in together(2, lambda rank: load(tmp_path / str(rank)).resume(X)):
        assert_same(one, other)


def test_processes_of_other_versions_that_compare_other_facts_are_named() -> None:
    def checked(rank: int) -> None:
        check_same({"data": 1, "version of isthmus": 2} if rank else {"data": 1}, joined())

    for error in together(2, checked, timeout=5.0):
        assert isinstance(error, DataError), error
        assert "process 1 has other version of isthmus than process 0" in str(error)


def test_a_process_that_does_not_answer_is_given_up() -> None:
    def one_leaves(rank: int) -> None:
        for report in choices(epochs=100).iter_fit(X, every=1):
            if rank and report.step == 3:
                return

    began = time.monotonic()
    error, _ = together(2, one_leaves, timeout=1.0)
    assert isinstance(error, LostProcessError)
    assert str(error) == "process 0 of 2 lost the others: one has ended, or did not answer for 1 seconds"
    assert time.monotonic() - began < 20


def test_an_attempt_after_a_failure_has_the_folder_of_the_first(tmp_path: Path) -> None:
    store, numbers = dist.HashStore(), iter(range(9))

    def begun() -> tuple[Path, str]:
        with begin(
            Joined(ALONE, store, next(numbers)), reserve_new_folder("a", tmp_path / f"{next(numbers)}")
        ) as found:
            return found

    first = tmp_path / "1"
    assert begun() == (first, "new")
    assert begun() == (first, "new")  # it ended before the first checkpoint
    (first / CHECKPOINT).touch()
    assert begun() == (first, "resume")
    (first / CHECKPOINT).rename(first / MODEL)
    assert begun() == (first, "complete")


def test_an_incomplete_environment_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for values, words, sentence in (
        ({"RANK": "0"}, ("train",), "training in several processes needs RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT, and only RANK is set"),
        ({"RANK": "2", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, ("train",), "no rank below a number of processes"),
        ({"RANK": "0", "WORLD_SIZE": "2"}, ("sweep",), "sweep does not run in several processes"),
    ):  # fmt: skip
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["isthmus", *words])
            for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
                patch.delenv(name, raising=False)
            for name, value in values.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as end:
                main()
        assert end.value.code == 2
        said = capsys.readouterr().err
        assert sentence in said
        assert said.count("\n") == 1


TRAIN = ("train", "variational", "--data", "digits", "architecture.hidden=16", "bottleneck.size=2", "precision=float64")


@contextmanager
def torchrun(size: int, *words: str, cwd: Path, restarts: int = 0) -> Iterator[subprocess.Popen[str]]:
    """A command in several processes, with what all of them print in one stream."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        str(size),
        f"--max-restarts={restarts}",
    ]
    unset = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK"}
    environment = {name: value for name, value in os.environ.items() if name not in unset} | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*command, "-m", "isthmus", *words], cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:  # fmt: skip
        yield process


def until(process: subprocess.Popen[str], words: str) -> None:
    """Reads what a command prints, until these words."""
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return
    raise AssertionError(f"{words} was not printed")


def worker(parent: int, rank: int) -> int:
    """The number of the process of this rank that `torchrun` has started."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii").split()
    return next(
        int(each) for each in children if f"\0RANK={rank}\0" in Path(f"/proc/{each}/environ").read_text("utf-8")
    )


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = load(path).model_.state_dict()
    return tensors


@pytest.fixture(scope="module")
def trained_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    subprocess.run(
        [sys.executable, "-m", "isthmus", *TRAIN, "epochs=12", "--out", "alone"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder / "alone" / MODEL


@pytest.mark.thorough
@pytest.mark.promise(11)
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="Linux names the processes of torchrun")
@pytest.mark.parametrize("rank", [0, 1])
def test_torchrun_continues_after_a_process_was_killed(rank: int, tmp_path: Path, trained_alone: Path) -> None:
    with torchrun(2, *TRAIN, "epochs=12", "--checkpoint-every", "20", cwd=tmp_path, restarts=1) as process:
        until(process, "epoch 3,")
        os.kill(worker(process.pid, rank), signal.SIGKILL)
        said = process.communicate(timeout=300)[0]
    assert process.returncode == 0, said
    assert re.search(r"variational resumes after [23] epochs", said)
    assert "isthmus: process" in said
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["variational-digits"]
    resumed = weights_of(tmp_path / "runs" / "variational-digits" / MODEL)
    for name, tensor in weights_of(trained_alone).items():
        torch.testing.assert_close(resumed[name], tensor, rtol=1e-7, atol=1e-8)


@pytest.mark.thorough
@pytest.mark.promise(11)
def test_a_signal_stops_all_processes_with_a_checkpoint(tmp_path: Path, trained_alone: Path) -> None:
    with torchrun(2, *TRAIN, "epochs=12", "--out", "a", cwd=tmp_path) as process:
        until(process, "epoch 2,")
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=120)[0]
    assert len(re.findall(r"isthmus: stopped after step [\d,]+ of [\d,]+; resume with: isthmus resume a\n", said)) == 1
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [CHECKPOINT, "run.json"]
    with torchrun(3, "resume", "a", cwd=tmp_path) as process:
        said = process.communicate(timeout=300)[0]
    assert process.returncode == 0, said
    assert "note: processes: 2 until now, 3 from now on; the weights are the same except for rounding" in said
    resumed = weights_of(tmp_path / "a" / MODEL)
    for name, tensor in weights_of(trained_alone).items():
        torch.testing.assert_close(resumed[name], tensor, rtol=1e-7, atol=1e-8)


@pytest.mark.thorough
@pytest.mark.promise(11)
@pytest.mark.parametrize(("rank", "number"), [(1, signal.SIGINT), (0, signal.SIGTERM)])
def test_a_signal_to_one_process_stops_all_with_its_exit_code(rank: int, number: int, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = os.environ | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "isthmus", *TRAIN, "epochs=2000", "--out", "a"],
            cwd=tmp_path, env=common | {"RANK": str(each)}, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        for each in (0, 1)
    ]  # fmt: skip
    try:
        until(processes[0], "epoch 2,")
        processes[rank].send_signal(number)
        said = [each.communicate(timeout=120)[0] for each in processes]
    finally:
        for each in processes:
            each.kill()
    assert [each.returncode for each in processes] == [128 + number] * 2, said
    assert said[0].splitlines()[-1].startswith("isthmus: stopped after step ")
    # PyTorch itself warns where the network has no names
    assert not [line for line in said[1].splitlines() if not line.startswith("[W")]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [CHECKPOINT, "run.json"]


@pytest.mark.thorough
def test_an_error_of_all_processes_is_one_sentence(tmp_path: Path) -> None:
    with torchrun(2, "train", "--data", "nowhere.npy", cwd=tmp_path) as process:
        said = process.communicate(timeout=120)[0]
    assert process.returncode == 1
    assert len([line for line in said.splitlines() if line.startswith("isthmus: ")]) == 1
    assert not list(tmp_path.iterdir())
