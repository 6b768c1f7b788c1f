"""In which numbers a network is trained, and on which device."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

PRECISIONS = ("auto", "float32", "bfloat16")
# /proc/cpuinfo's words for instructions that multiply bfloat16 (x86: AVX512 and AMX; ARM).
NATIVE_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


def device() -> torch.device:
    """The first GPU where CUDA has one, else the CPU. A GPU is told to compute as a CPU does: float32 is
    float32 and not the 19 bits of TF32, which convolutions would get without a word, and a run made again
    comes out the same."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    return torch.device("cuda")


def resolve(precision: str, on: torch.device) -> str:
    """ "float32" or "bfloat16". "auto" is bfloat16 only where the hardware multiplies it natively: emulated
    it is ten times slower than float32. Raises ValueError on an unknown name."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; it must be one of {', '.join(PRECISIONS)}")
    if precision != "auto":
        return precision
    return "bfloat16" if multiplies_bfloat16(on) else "float32"


def multiplies_bfloat16(on: torch.device) -> bool:
    if on.type == "cuda":
        return torch.cuda.get_device_capability(on) >= (8, 0)  # Ampere and later
    return bool(NATIVE_FLAGS & cpu_flags())


def cpu_flags() -> set[str]:
    """The processor's features, as Linux names them; empty where there is no /proc."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    listed = next((line for line in lines if line.lower().startswith(("flags", "features"))), ":")
    return set(listed.split(":", 1)[1].split())


def autocast(precision: str, on: torch.device) -> AbstractContextManager:
    """The context to compute in: weights stay float32, products are of `precision`."""
    if precision == "float32":
        return nullcontext()
    # One context serves many steps, so the cache of cast weights, which must not outlive a step, stays off.
    return torch.autocast(on.type, torch.bfloat16, cache_enabled=False)
