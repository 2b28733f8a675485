"""Where to compute, and in which precision."""

from __future__ import annotations

import torch

from isthmus.errors import RecordError

__all__ = ["choose_device", "computes_bfloat16"]


def choose_device(name: str) -> torch.device:
    """The device of a name; "auto" is a GPU if there is one. `RecordError` if it cannot be used here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device).item()  # "meta" has no numbers
    except (RuntimeError, AssertionError):
        raise RecordError(f"device={name!r} cannot be used here; try device='cpu'") from None
    return device


def computes_bfloat16(device: torch.device) -> bool:
    """Whether the processor has instructions of its own for bfloat16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
