"""What the machine is told so that it computes fast changes no result, stands back before the user's own settings, and is put back."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from isthmus.nn import device
from isthmus.nn.device import onednn_matmul

products = getattr(torch.backends.mkldnn, "matmul", None)
needs_setting = pytest.mark.skipif(
    not hasattr(products, "fp32_precision"), reason="this PyTorch has no such setting for oneDNN"
)


def test_onednn_matmul_gives_float32_products() -> None:
    draw = torch.Generator().manual_seed(0)
    for m, k, n in ((256, 784, 32), (1, 5, 3), (100, 1000, 257)):
        a, b = torch.randn(m, k, generator=draw), torch.randn(k, n, generator=draw)
        with onednn_matmul():
            fast = a @ b
        torch.testing.assert_close(fast.double(), a.double() @ b.double(), rtol=1e-5, atol=1e-4)


@needs_setting
def test_the_setting_is_put_back_even_after_an_error() -> None:
    before = products.fp32_precision
    with pytest.raises(ZeroDivisionError), onednn_matmul():
        _ = 1 / 0
    assert products.fp32_precision == before


@needs_setting
def test_a_setting_of_the_user_is_not_overridden() -> None:
    products.fp32_precision = "ieee"
    try:
        with onednn_matmul():
            assert products.fp32_precision == "ieee"
        assert products.fp32_precision == "ieee"
    finally:
        products.fp32_precision = "none"


@needs_setting
def test_onednn_is_not_used_where_it_would_round_to_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "allclose", lambda *_, **__: False)
    device.exact_in_onednn.cache_clear()
    try:
        with onednn_matmul():
            assert products.fp32_precision == "none"
    finally:
        device.exact_in_onednn.cache_clear()


FAULTS = """
import resource, torch
from isthmus.nn.device import trim_malloc, enable_malloc_reuse
def step():
    return [torch.ones(2**18) for _ in range(8)]
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
enable_malloc_reuse()
for _ in range(3):  # until the heap is as large as a step needs
    step()
kept = faults()
trim_malloc()
print(kept, faults())
"""


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="the setting is glibc's")
def test_memory_is_reused_between_steps_unless_the_user_configured_malloc() -> None:
    def faults(**settings: str) -> list[int]:
        environment = {k: v for k, v in os.environ.items() if k not in device.USER_SETTINGS} | settings
        command = [sys.executable, "-c", FAULTS]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return [int(word) for word in done.stdout.split()]

    pages = 8 * 2**20 // os.sysconf("SC_PAGESIZE")
    kept, after = faults()
    assert kept < pages  # of twenty times as many that twenty steps touch
    assert after > pages / 2  # what was kept had been given back
    theirs, _ = faults(MALLOC_TRIM_THRESHOLD_="0", MALLOC_MMAP_THRESHOLD_="65536")
    assert theirs > 10 * pages
