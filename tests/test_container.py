"""The safetensors file: what is damaged is refused by name, in time and memory; what is written is whole."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

import damage
import numpy as np
import pytest
import safetensors.torch
import torch
import victims
from cases import thorough_where
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import isthmus
from isthmus import Autoencoder, load
from isthmus.architectures import MLP
from isthmus.bottlenecks import Gaussian, TopK
from isthmus.errors import IsthmusError, ModelFileError
from isthmus.io.atomic import replace_file
from isthmus.io.safetensors import opened, serialize

FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(
    ["victims", "isthmus.estimators.autoencoder", "isthmus.estimators.loading", "safetensors.torch"]
)
SECONDS, MEMORY = 2.0, 64 << 20


@pytest.fixture(scope="module")
def fitted() -> Autoencoder:
    X = np.random.default_rng(0).random((40, 6), np.float32)
    return Autoencoder(TopK(4, k=2), architecture=MLP((8,)), epochs=2, random_state=0).fit(X)


@pytest.fixture
def path(fitted: Autoencoder, tmp_path: Path) -> Path:
    fitted.save(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.fixture
def checkpoint(fitted: Autoencoder, tmp_path: Path) -> Path:
    X = np.random.default_rng(0).random((40, 6), np.float32)
    ae = Autoencoder(Gaussian(2), architecture=MLP((8,)), epochs=2, random_state=0, early_stopping=True)
    for report in ae.iter_fit(X, every=1):
        if report.step == 4:
            ae.checkpoint(tmp_path / "checkpoint.safetensors")
    return tmp_path / "checkpoint.safetensors"


DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
]
SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


@given(
    kinds=st.dictionaries(st.text(min_size=1), st.tuples(st.sampled_from(DTYPES), SHAPES), max_size=6),
    seed=st.integers(0, 99),
)
@settings(max_examples=150, deadline=None)
def test_files_are_read_by_isthmus_and_by_safetensors(
    kinds: dict[str, tuple[torch.dtype, tuple[int, ...]]], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kinds.pop("__metadata__", None)
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        name: torch.randint(0, 2, shape, generator=generator).to(dtype) for name, (dtype, shape) in kinds.items()
    }
    path = tmp_path_factory.mktemp("x") / "x"
    path.write_bytes(b"".join(serialize({"isthmus": "ü", "more": ""}, tensors)))
    with opened(path) as contents:
        ours = contents.all_tensors()
        assert dict(contents.metadata).keys() == {"isthmus", "more", "sha256"}
        assert {name: (t.dtype, t.shape) for name, t in contents.meta_tensors().items()} == {
            name: (t.dtype, t.shape) for name, t in tensors.items()
        }
    theirs = safetensors.torch.load(path.read_bytes())
    assert ours.keys() == theirs.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(ours[name], tensor)
        assert torch.equal(theirs[name], tensor)


@pytest.mark.promise(2)
@pytest.mark.promise(1)
@pytest.mark.parametrize(
    ("kind", "share"), thorough_where([("path", 0.1), ("path", 1), ("checkpoint", 1)], lambda case: case[1] == 1)
)
def test_any_damage_is_refused_by_name_within_two_seconds(
    kind: str, share: float, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """The longest of thousands of files counts, and what they run."""
    content = request.getfixturevalue(kind).read_bytes()
    target, seen, cases, chance = tmp_path / "damaged", list[str](), 0, random.Random(0)
    load(request.getfixturevalue(kind))  # what is imported lazily is there now
    listening = False

    def hear(event: str, arguments: tuple[object, ...]) -> None:
        if listening and event.split(".")[0] in {
            "exec",
            "compile",
            "import",
            "os",
            "subprocess",
            "pickle",
            "marshal",
            "ctypes",
            "socket",
        }:
            seen.append(f"{event} {arguments[:1]!r}")

    sys.addaudithook(hear)
    for name, damaged in damage.corpus(content):
        if chance.random() > share:
            continue
        target.write_bytes(damaged)
        for _ in range(3):  # again if other programs took the processor
            listening, began = True, time.perf_counter()
            try:
                load(target)
            except ModelFileError as error:
                listening, said = False, str(error)
                assert str(target) in said, name
                assert "\n" not in said, name
                assert len(said) < 600, name
            else:
                raise AssertionError(f"{name} was taken for a model")
            finally:
                listening = False
            if (took := time.perf_counter() - began) < SECONDS:
                break
        assert took < SECONDS, name
        cases += 1
    assert not seen
    assert not Path("/tmp/isthmus-was-here").exists()
    if share == 1:  # a draw shows nothing that the whole does not
        request.node.user_properties.append(("cases", cases))
    assert cases > 1_000 * share


@pytest.mark.promise(2, cases=300)
@given(
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=40)), min_size=1, max_size=4),
    kind=st.sampled_from(["model", "checkpoint"]),
)
@settings(max_examples=300, deadline=None)
def test_any_deletion_or_insertion_of_bytes_is_detected(
    edits: list[tuple[float, int, bytes]], kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = (
        Path(__file__).parent / "files" / f"format-2-{'drawn' if kind == 'model' else kind}.safetensors"
    ).read_bytes()
    damaged = content
    for place, length, put in edits:
        begin = int(place * len(damaged))
        damaged = damaged[:begin] + put + damaged[begin + length :]
    target = tmp_path_factory.getbasetemp() / "damaged"
    target.write_bytes(damaged)
    if damaged != content:
        with pytest.raises(ModelFileError):
            load(target)


MEASURE = """
import sys
from pathlib import Path
import torch
from isthmus import load
from isthmus.errors import ModelFileError
load(sys.argv[1])
def peak():
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmHWM"))
for path in sorted(Path(sys.argv[2]).iterdir()):
    open("/proc/self/clear_refs", "w").write("5")
    before = next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmRSS"))
    try:
        load(path)
    except ModelFileError:
        pass
    print(path.name, peak() - before - path.stat().st_size)
"""


@pytest.mark.promise(2)
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak of memory anew")
@pytest.mark.thorough
def test_damaged_files_take_little_memory(
    path: Path, checkpoint: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    files = [*damage.crafted(path.read_bytes()), *damage.crafted(checkpoint.read_bytes())]
    for number, (_, damaged) in enumerate(files):
        (folder / f"{number:04}").write_bytes(damaged)
    done = subprocess.run([sys.executable, "-c", MEASURE, path, folder], capture_output=True, text=True, check=True)
    taken = {name: int(more) for name, more in (line.split() for line in done.stdout.splitlines())}
    assert len(taken) == len(files)
    worst = {files[int(name)][0]: more >> 20 for name, more in taken.items() if more >= MEMORY}
    assert not worst
    request.node.user_properties.append(("cases", len(files)))


@pytest.mark.promise(5)
@pytest.mark.parametrize("kind", ["link", "link to nothing", "pipe", "socket", "device", "folder"])
def test_links_pipes_sockets_and_devices_are_refused_at_once(
    kind: str, path: Path, fitted: Autoencoder, tmp_path: Path
) -> None:
    target = tmp_path / "other"
    if kind.startswith("link"):
        target.symlink_to(path if kind == "link" else tmp_path / "nothing")
    elif kind == "pipe":
        os.mkfifo(target)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as end, chdir(tmp_path):
            end.bind("other")
    elif kind == "folder":
        target.mkdir()
        (target / "model.safetensors").mkdir()
    else:
        target = Path("/dev/zero")
    before = path.read_bytes()
    with pytest.raises(ModelFileError, match=r"link|not a file"):
        load(target)
    named = "a symbolic link" if kind.startswith("link") else "a folder" if kind == "folder" else "not a file"
    with pytest.raises(OSError, match=f"this is {named}; give the name of a file") as caught:
        fitted.save(target)
    assert str(target) in str(caught.value)
    assert path.read_bytes() == before


@pytest.mark.promise(5)
@pytest.mark.parametrize("kind", ["link", "pipe"])
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".parquet", ".idx"])
def test_data_are_not_read_through_links_or_pipes(kind: str, suffix: str, tmp_path: Path) -> None:
    target, real = tmp_path / f"x{suffix}", tmp_path / f"real{suffix}"
    np.save(tmp_path / "real.npy", np.zeros((3, 2)))
    real.touch()
    target.symlink_to(real) if kind == "link" else os.mkfifo(target)
    with pytest.raises(IsthmusError, match=r"symbolic link|not a regular file"):
        isthmus.data.read(target)


@pytest.mark.promise(6, cases=200)
@pytest.mark.thorough
def test_a_process_killed_while_saving_leaves_a_complete_file(path: Path, fitted: Autoencoder) -> None:
    chance, values = random.Random(0), set[float]()
    for number in range(200):
        victim = FORKED.Process(target=victims.saving, args=(path, number % 7), daemon=True)
        before = path.stat().st_mtime_ns
        victim.start()
        until(lambda before=before: path.stat().st_mtime_ns != before)
        time.sleep(chance.random() * 0.01)
        victim.kill()
        victim.join()
        first = next(load(path).model_.parameters())
        assert (first == first[0, 0]).all()
        values.add(first[0, 0].item())
    assert values == {float(number) for number in range(7)}
    fitted.save(path)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.promise(6, cases=2)
@pytest.mark.parametrize("seconds", thorough_where([0.5, 6], lambda seconds: seconds > 1))
def test_two_processes_that_save_to_one_path_leave_a_complete_file(seconds: float, path: Path) -> None:
    two = [FORKED.Process(target=victims.saving, args=(path, number), daemon=True) for number in (1, 2)]
    for process in two:
        process.start()
    seen, end = set[float](), time.monotonic() + seconds

    def both() -> bool:
        first = next(load(path).model_.parameters())
        whole = bool((first == first[0, 0]).all())
        assert whole or not seen  # the file that was there before had other numbers
        seen.update({first[0, 0].item()} if whole else {})
        return time.monotonic() > end and {1.0, 2.0} <= seen

    until(both)
    assert all(process.is_alive() for process in two)
    for process in two:
        process.kill()
        process.join()


def until(true: Callable[[], bool]) -> None:
    """Waits for something, but not for ever."""
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.0005)


@pytest.mark.promise(6)
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_files_have_the_permissions_of_the_umask(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        replace_file(tmp_path / "x", b"1")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o666 & ~umask


@pytest.mark.promise(6)
def test_saving_flushes_file_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = list[str]()
    fsync, rename = os.fsync, os.replace

    def note(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("rename"), rename(a, b)))
    replace_file(tmp_path / "x", b"1")
    assert done == ["file", "rename", "folder"]


def test_temporary_files_of_other_programs_stay(tmp_path: Path) -> None:
    for name in (".x.part", "x.part", ".isthmus-00000000-12345678.part"):
        (tmp_path / name).write_bytes(b"theirs")
    replace_file(tmp_path / "x", b"1")
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("name", ["a b", "ü", "x" * 250, "[*?]", "-", "\udcff"])
def test_any_name_can_be_written(name: str, tmp_path: Path) -> None:
    replace_file(tmp_path / name, b"1")
    replace_file(tmp_path / name, b"2")
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == [b"2"]


@pytest.mark.promise(7)
@pytest.mark.parametrize("way", ["full", "folder", "file"])
def test_a_failed_write_keeps_the_old_file_and_names_it(
    way: str, fitted: Autoencoder, request: pytest.FixtureRequest
) -> None:
    folder = Path(tempfile.mkdtemp(prefix="isthmus-test-"))  # pytest's own nobody else may enter
    request.addfinalizer(lambda: shutil.rmtree(folder))
    path = folder / "model.safetensors"
    fitted.save(path)
    before = path.read_bytes()
    folder.chmod(0o555 if way == "folder" else 0o777)
    path.chmod(0o444 if way == "file" else 0o666)
    receiver, sender = FORKED.Pipe(duplex=False)
    process = FORKED.Process(target=victims.saving_where_nothing_can_be_written, args=(path, way, sender), daemon=True)
    process.start()
    assert receiver.poll(60)
    last = receiver.recv()
    process.join()
    assert str(path) in last
    assert {"full": "File too large", "folder": "denied", "file": "is read-only"}[way] in last
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.promise(3)
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak of memory anew")
@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": {"type": "MLP", "hidden": [10**9]}},
        {"architecture": {"type": "MLP", "hidden": [10**9] * 500}},
        {"architecture": {"type": "MLP", "hidden": [8] * 100_000}},
        {"architecture": {"type": "Conv", "channels": [10**6, 10**6]}},
        {"bottleneck": {"type": "VectorQuantized", "size": 4, "codebook_size": 2**31 - 1}},
        {"bottleneck": {"type": "Identity", "size": 2**31 - 1}},
        {"bottleneck": {"type": "Gaussian", "size": 2**31 - 1}},
    ],
    ids=lambda changes: str(changes)[:60],
)
def test_sizes_in_a_header_cost_neither_memory_nor_time(changes: dict[str, Any], path: Path) -> None:
    with opened(path) as contents:
        header, tensors = json.loads(contents.metadata["isthmus"]), contents.all_tensors()
    header["fitted"] |= changes
    path.write_bytes(b"".join(serialize({"isthmus": json.dumps(header)}, tensors)))
    with pytest.raises(ModelFileError):
        load(path)
    times = list[float]()
    before = memory("VmRSS", anew=True)
    for _ in range(5):
        began = time.process_time()  # of this process, whatever else the machine does
        with pytest.raises(ModelFileError):
            load(path)
        times.append(time.process_time() - began)
    assert min(times) < 0.05
    assert memory("VmHWM") - before < 4 << 20


@pytest.mark.promise(22)
def test_records_within_lists_are_counted_too(path: Path) -> None:
    with opened(path) as contents:
        header, tensors = json.loads(contents.metadata["isthmus"]), contents.all_tensors()
    header["fitted"]["architecture"] = {"type": "MLP", "hidden": [[{"type": "MLP"}] * 5000]}
    path.write_bytes(b"".join(serialize({"isthmus": json.dumps(header)}, tensors)))
    with pytest.raises(ModelFileError, match=r"5,0[0-9]+ records, more than 4,096"):
        load(path)


def memory(what: str, anew: bool = False) -> int:
    """Bytes that the process has, or had at most since it was last asked anew."""
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in status if line.startswith(what))


def test_a_description_that_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="use fewer layers"):
        serialize({"isthmus": "x" * (2 << 20)}, {})


def test_an_error_of_the_system_keeps_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        replace_file(tmp_path / "x", b"1")
    assert caught.value.filename == str(tmp_path / "x")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux lists what is open")
def test_no_file_stays_open(path: Path, fitted: Autoencoder, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(ModelFileError):
            load(tmp_path / "pipe")
        fitted.save(path)
        load(path)
    assert len(os.listdir("/proc/self/fd")) == before
