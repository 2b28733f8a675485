"""The kernels of every kind of processor compute what plain loops in double precision do, on an emulated one if this is another."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from isthmus.native import build

CHECK = Path(__file__).parent / "native" / "check.c"
SOURCE = Path(build.__file__).parent
HERE = build.compiler()
RUNS = {
    "avx2": {"AVX2", "AVX512"},
    "avx512": {"AVX512"},
}  # by PyTorch's name of the instructions; neon: all of its machines
CROSS, EMULATOR = shutil.which("aarch64-linux-gnu-gcc"), shutil.which("qemu-aarch64")


def checked(folder: Path, compiler: list[str], flags: tuple[str, ...], run: list[str], source: Path = SOURCE) -> str:
    """What the check prints; it fails if a kernel is wrong."""
    program = folder / "check"
    command = [*compiler, *build.FLAGS, "-fopenmp", *flags, f"-I{source}", str(CHECK), "-o", str(program), "-lm"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    done = subprocess.run([*run, str(program)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, "\n".join(line for line in done.stdout.splitlines() if "WRONG" in line) or done.stderr
    return done.stdout


@pytest.mark.skipif(HERE is None, reason="needs a C compiler")
@pytest.mark.parametrize("variant", ["avx2", "avx512", "neon"])
def test_the_kernels_of_this_machine(tmp_path: Path, variant: str) -> None:
    flags = build.variants().get(variant)
    if flags is None or torch.backends.cpu.get_cpu_capability() not in RUNS.get(variant, {"DEFAULT"}):
        pytest.skip(f"needs a processor with {variant}")
    assert HERE is not None
    said = checked(tmp_path, HERE, flags, [])
    assert "every kernel computes what it should" in said


@pytest.mark.emulated
@pytest.mark.skipif(not (CROSS and EMULATOR), reason="needs gcc-aarch64-linux-gnu and qemu-user")
@pytest.mark.skipif(platform.machine().lower() in {"aarch64", "arm64"}, reason="this is such a machine")
def test_the_kernels_of_arm_on_an_emulated_processor(tmp_path: Path) -> None:
    assert CROSS is not None
    assert EMULATOR is not None
    flags = ("-static", *build.variants("aarch64", "linux")["neon"])
    assert "every kernel computes what it should" in checked(tmp_path, [CROSS], flags, [EMULATOR])


@pytest.mark.skipif(HERE is None or "avx2" not in build.variants(), reason="needs a C compiler")
@pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() not in RUNS["avx2"], reason="needs a processor with avx2")
def test_the_check_finds_a_wrong_sum(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("*.py", "*.native", "__pycache__"))
    header = source / "convolutions.h"
    text = header.read_text(encoding="utf-8")
    assert "panel[s] = s < there ? slope[s] : 0" in text
    header.write_text(
        text.replace("panel[s] = s < there ? slope[s] : 0", "panel[s] = s < there ? 2 * slope[s] : 0"), encoding="utf-8"
    )
    assert HERE is not None
    with pytest.raises(AssertionError, match=r"convolution: weights.*WRONG"):
        checked(tmp_path, HERE, build.variants()["avx2"], [], source)
