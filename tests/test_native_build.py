"""The kernels are compiled where a compiler is; everywhere else a sentence says why not, and isthmus is installed without them."""

from __future__ import annotations

import ctypes
import platform
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest
import torch
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

import isthmus
from isthmus.native import build

ROOT = Path(__file__).parents[1]
NATIVE = ROOT / "src" / "isthmus" / "native"
COMPILER, VARIANTS = build.compiler(), build.variants()
LOADED = {
    "avx2": {"AVX2", "AVX512"},
    "avx512": {"AVX512"},
}  # the processors that have the instructions; neon: all of them
needs_compiler = pytest.mark.skipif(not (COMPILER and VARIANTS), reason="needs a C compiler")
needs_scripts = pytest.mark.skipif(sys.platform == "win32", reason="needs scripts that stand for a compiler")
TEAM = """
int isthmus_kernels_version(void) { return VL; }
int isthmus_team(int threads) {
    int seen = 0;
    #pragma omp parallel num_threads(threads) reduction(+ : seen)
    seen += 1;
    return seen;
}
"""
BUT_LLVM = """
#ifdef _OPENMP
void __kmpc_barrier(void);
#define isthmus_kernels_version() isthmus_kernels_version(void) { __kmpc_barrier(); return 1; } int other(void)
#else
#define isthmus_kernels_version() isthmus_kernels_version(void)
#endif
int isthmus_kernels_version() { return 1; }
"""
NO_OPENMP = """#!/bin/sh
for word; do
    [ "$word" = -fopenmp ] && echo "error: unsupported option '-fopenmp'" >&2 && exit 1
done
exec {compiler} "$@"
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "source" / "kernels.c"
    file.parent.mkdir()
    file.write_text(TEAM, encoding="utf-8")
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "made"
    made.mkdir()
    return made


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)


def script(path: Path, text: str) -> str:
    """A program that stands for a compiler."""
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def loads(path: Path) -> bool:
    """Whether this processor has the instructions of a library."""
    there = LOADED.get(path.stem.removeprefix("kernels_"))
    return there is None or torch.backends.cpu.get_cpu_capability() in there


def requires(path: Path) -> str:
    """The libraries that a library names as needed, or all of its bytes where nothing here can list them."""
    for command in (["readelf", "-d"], ["objdump", "-p"]):
        if sys.platform == "linux" and shutil.which(command[0]):
            shown = subprocess.run([*command, path], capture_output=True, text=True, check=True).stdout
            assert ".so" in shown or "SYMTAB" in shown
            return "\n".join(line for line in shown.splitlines() if "NEEDED" in line)
    return path.read_bytes().decode("latin-1")


@needs_compiler
def test_the_kernels_are_compiled_and_load(folder: Path) -> None:
    built = build.build(folder, NATIVE / "kernels.c")
    assert built.files == tuple(folder / f"kernels_{name}.native" for name in VARIANTS), built.notes
    assert sorted(folder.iterdir()) == sorted(built.files)
    versions = {ctypes.CDLL(str(path)).isthmus_kernels_version() for path in built.files if loads(path)}
    assert len(versions) == 1
    assert not [path.name for path in built.files if "gomp" in requires(path)]


@needs_compiler
def test_libraries_use_the_threads_of_pytorch(folder: Path, source: Path) -> None:
    """No library needs an OpenMP of its own: the one that PyTorch has loaded serves both, if the compiler's is of that kind."""
    built = build.build(folder, source)
    assert len(built.files) == len(VARIANTS)
    for path in built.files:
        assert "gomp" not in requires(path)
        if loads(path):
            team = 1 if any("use one thread" in note for note in built.notes) else 2
            assert ctypes.CDLL(str(path)).isthmus_team(2) == team


@needs_compiler
def test_variants_have_vectors_of_their_length(folder: Path, source: Path) -> None:
    lengths = {"avx2": 8, "avx512": 16, "neon": 4}
    for path in build.build(folder, source).files:
        if loads(path):
            length = ctypes.CDLL(str(path)).isthmus_kernels_version()
            assert length == lengths[path.stem.removeprefix("kernels_")]


@needs_compiler
@pytest.mark.parametrize("lacking", ["the option", "the functions"])
def test_a_compiler_without_a_shared_openmp_builds_for_one_thread(
    lacking: str, folder: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Apple's compiler has no such option; that of LLVM calls functions that PyTorch on Linux does not have."""
    if lacking == "the option":
        monkeypatch.setenv("CC", script(folder.parent / "cc", NO_OPENMP.format(compiler=(COMPILER or [""])[0])))
    else:
        source.write_text(BUT_LLVM, encoding="utf-8")
    built = build.build(folder, source)
    assert len(built.files) == len(built.notes) == len(VARIANTS)
    assert all("use one thread" in note for note in built.notes)
    assert {ctypes.CDLL(str(path)).isthmus_kernels_version() for path in built.files if loads(path)} <= {1, 4, 8, 16}


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_nothing_is_built(folder: Path, source: Path) -> None:
    built = build.build(folder, source, machine="x86_64", system="linux")
    assert built.files == ()
    (note,) = built.notes
    assert "there is no C compiler" in note
    assert not list(folder.iterdir())


@needs_scripts
def test_a_compiler_that_fails_builds_nothing(folder: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "false")
    built = build.build(folder, source, machine="x86_64", system="linux")
    assert built.files == ()
    assert [re.sub(r" \S*/", " ", note) for note in built.notes] == [
        f"the kernels for {name} are left out: false failed" for name in ("avx2", "avx512")
    ]
    assert not list(folder.iterdir())


@needs_scripts
@pytest.mark.parametrize("does", ["exit 0", "kill -9 $$", "printf '\\033[2Jan error\\377\\n' >&2; exit 1"])
def test_no_failure_of_a_compiler_is_an_error(
    does: str, folder: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", script(folder.parent / "cc", f"#!/bin/sh\n{does}\n"))
    built = build.build(folder, source, machine="aarch64", system="linux")
    assert built.files == ()
    (note,) = built.notes
    assert re.match(r"the kernels for neon are left out: \S+ failed", note)
    assert note.isprintable()
    assert not list(folder.iterdir())


@needs_scripts
def test_a_compiler_that_takes_too_long_is_ended_with_its_processes(
    folder: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = folder.parent / "alive"
    text = f"#!/bin/sh\n(sleep 1.5; : > '{alive}') &\nwait\n"
    monkeypatch.setenv("CC", script(folder.parent / "cc", text))
    built = build.build(folder, source, machine="aarch64", system="linux", timeout=0.2)
    assert built.files == ()
    assert "took more than 0.2 seconds" in built.notes[0]
    assert not list(folder.iterdir())
    time.sleep(1.6)
    assert not alive.exists()


@needs_compiler
def test_an_error_in_the_source_is_named(folder: Path, source: Path) -> None:
    source.write_text("#error too old\n", encoding="utf-8")
    built = build.build(folder, source)
    assert built.files == ()
    assert len(built.notes) == len(VARIANTS)
    assert all("too old" in note for note in built.notes)


@needs_compiler
@pytest.mark.skipif(platform.machine().lower() not in {"x86_64", "amd64"}, reason="needs a machine with two variants")
def test_a_flag_that_the_compiler_lacks_leaves_out_one_variant(
    folder: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = NO_OPENMP.replace("-fopenmp", "-mavx512f").format(compiler=(COMPILER or [""])[0])
    monkeypatch.setenv("CC", script(folder.parent / "cc", text))
    built = build.build(folder, source)
    assert [path.name for path in built.files] == ["kernels_avx2.native"]
    assert [note for note in built.notes if "the kernels for avx512 are left out" in note]


@pytest.mark.parametrize(("machine", "system"), [("riscv64", "linux"), ("i686", "linux"), ("AMD64", "win32")])
def test_other_machines_have_no_kernels(machine: str, system: str, folder: Path, source: Path) -> None:
    built = build.build(folder, source, machine=machine, system=system)
    assert built == ((), (f"there are no kernels for {machine} on {system}",))
    assert not list(folder.iterdir())


@pytest.mark.usefixtures("no_compiler")
def test_an_older_library_does_not_stay(folder: Path, source: Path) -> None:
    (folder / "kernels_avx2.native").touch()
    (folder / "other.native").touch()
    build.build(folder, source)
    assert [path.name for path in folder.iterdir()] == ["other.native"]


def test_a_folder_that_is_not_there_is_no_error(tmp_path: Path, source: Path) -> None:
    assert build.build(tmp_path / "absent", source).files == ()


@pytest.mark.parametrize(("named", "arguments"), [("cc -m64", ["-m64"]), ("", []), ("no-such-program", []), ("'", [])])
@needs_scripts
def test_the_compiler_is_named_by_a_variable(
    named: str, arguments: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("CC", named)
    assert build.compiler() is None
    for program in ("clang", "gcc", "cc"):
        own = script(folder / program, "#!/bin/sh\n")
        assert build.compiler() == [own, *(arguments if program == "cc" else [])] or named.startswith("cc")
    assert build.compiler() == [str(folder / "cc"), *arguments]


def test_the_build_needs_the_standard_library_alone() -> None:
    command = [sys.executable, "-I", "-S", "-c", "import runpy, sys; print(*runpy.run_path(sys.argv[1])['__all__'])"]
    done = subprocess.run([*command, NATIVE / "build.py"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == runpy.run_path(str(NATIVE / "build.py"))["__all__"]


# Wheels


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files of the project that a wheel needs, with few modules."""
    project = tmp_path / "project"
    native = project / "src" / "isthmus" / "native"
    native.mkdir(parents=True)
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, project)
    for name in ("__init__.py", "_version.py"):
        shutil.copy(NATIVE.parent / name, native.parent)
    for path in NATIVE.glob("*.py"):
        shutil.copy(path, native)
    (native / "convolutions.h").touch()
    (native / "kernels.c").write_text(TEAM, encoding="utf-8")
    return project


def wheel(project: Path) -> tuple[str, set[str], str]:
    """The tag of a wheel, the names of its native files, and its text WHEEL."""
    (path,) = WheelBuilder(str(project)).build(directory=str(project / "dist"), versions=["standard"])
    with zipfile.ZipFile(path) as file:
        (said,) = (file.read(name).decode() for name in file.namelist() if name.endswith(".dist-info/WHEEL"))
        names = {Path(name).name for name in file.namelist() if name.startswith("isthmus/native/")}
    return Path(path).name.removeprefix(f"isthmus-{isthmus.__version__}-").removesuffix(".whl"), names, said


def install_editable(project: Path) -> None:
    """What the hook does of an editable installation; the rest would need a package more."""
    builder, hook = WheelBuilder(str(project)), runpy.run_path(str(project / "hatch_build.py"))["NativeHook"]
    hook(str(project), {}, builder.config, builder.metadata, str(project / "dist"), "wheel", builder.app).initialize(
        "editable", builder.get_default_build_data()
    )


def contents(project: Path) -> set[Path]:
    """The files of a project, but for the wheel and what Python writes beside a file that it reads."""
    return {path for path in project.rglob("*") if not {"dist", "__pycache__"} & set(path.parts)}


def libraries(project: Path) -> set[str]:
    return {path.name for path in project.rglob("*.native")}


@needs_compiler
def test_the_wheel_of_this_machine_has_the_libraries(copy: Path) -> None:
    before = contents(copy)
    tag, names, said = wheel(copy)
    assert re.fullmatch(r"py3-none-(linux|macosx_\d+_\d+)_\w+", tag)
    assert names >= {"build.py", "kernels.c", "convolutions.h", *(f"kernels_{name}.native" for name in VARIANTS)}
    assert f"Tag: {tag}\n" in said
    assert "Root-Is-Purelib: false\n" in said
    assert contents(copy) == before


@needs_compiler
def test_an_editable_installation_has_the_libraries_among_the_sources(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_editable(copy)
    assert libraries(copy) == {f"kernels_{name}.native" for name in VARIANTS}
    monkeypatch.setenv("ISTHMUS_NATIVE", "0")
    tag, names, _ = wheel(copy)
    assert tag == "py3-none-any"
    assert not [name for name in names if name.endswith(".native")]  # those among the sources are in no other wheel
    install_editable(copy)
    assert not libraries(copy)


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_the_wheel_is_that_of_every_machine(copy: Path) -> None:
    tag, names, said = wheel(copy)
    assert tag == "py3-none-any"
    assert "Root-Is-Purelib: true\n" in said
    assert not [name for name in names if name.endswith(".native")]
    install_editable(copy)
    assert not libraries(copy)


def test_a_variable_leaves_the_kernels_out(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISTHMUS_NATIVE", "0")
    tag, names, _ = wheel(copy)
    assert tag == "py3-none-any"
    assert not [name for name in names if name.endswith(".native")]


@pytest.mark.usefixtures("no_compiler")
def test_a_missing_compiler_is_said_once(copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    wheel(copy)
    said = capfd.readouterr()
    assert (said.out + said.err).count("the kernels are left out" if VARIANTS else "there are no kernels") == 1


def test_the_source_distribution_has_what_compiles_and_no_library(copy: Path) -> None:
    (copy / "src/isthmus/native/kernels_avx2.native").touch()
    (path,) = SdistBuilder(str(copy)).build(directory=str(copy / "dist"), versions=["standard"])
    with tarfile.open(path) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    sources = {f"src/isthmus/native/{name}" for name in ("build.py", "kernels.c", "convolutions.h")}
    assert names >= {"hatch_build.py", *sources}
    assert not [name for name in names if name.endswith(".native")]


def test_the_small_distribution_has_no_kernels(copy: Path) -> None:
    """It runs exported models, and trains none; an editable installation of the other may have left libraries here."""
    shutil.copytree(ROOT / "packaging" / "runtime", copy / "packaging" / "runtime")
    (copy / "src/isthmus/native/kernels_avx2.native").touch()
    small = WheelBuilder(str(copy / "packaging" / "runtime"))
    (path,) = small.build(directory=str(copy / "dist"), versions=["standard"])
    with zipfile.ZipFile(path) as file:
        names = {Path(name).name for name in file.namelist() if name.startswith("isthmus/native/")}
    assert Path(path).name.endswith("-py3-none-any.whl")
    assert "build.py" in names
    assert {Path(name).suffix for name in names} == {".py"}
