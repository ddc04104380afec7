"""The processors that int8 weights are made for."""

import platform
from enum import StrEnum

from bertedge.runtime.machine import cpu_flags

_VNNI = {"avx512_vnni", "avx_vnni", "amx_int8"}


class Target(StrEnum):
    """A kind of processor, by what it does with products of 8 bits."""

    X86_VNNI = "x86-vnni"
    X86_AVX2 = "x86-avx2"
    """Adds pairs of u8 x s8 products in 16 bits, which saturate: weights get 7 bits."""
    ARM64 = "arm64"

    @property
    def reduced_range(self) -> bool:
        """Whether weights must stay within -64 to 64."""
        return self is Target.X86_AVX2


def this_machine() -> Target:
    """Return this machine's kind; an x86 without a VNNI flag is taken to have none."""
    if platform.machine().lower() in ("arm64", "aarch64"):
        return Target.ARM64
    return Target.X86_AVX2 if _VNNI.isdisjoint(cpu_flags()) else Target.X86_VNNI
