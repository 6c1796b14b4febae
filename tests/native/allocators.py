"""The allocators that stand between a program and the shim, as LD_PRELOAD names them."""

from __future__ import annotations

from pathlib import Path

JEMALLOC = "libjemalloc.so.2"


def mimalloc() -> str:
    """Its library's name has its version, which is not the same on each Debian (12: 2, 13: 3)."""
    return min(place.name for place in Path("/usr/lib").glob("*/libmimalloc.so.[0-9]"))


OTHERS = {"jemalloc": JEMALLOC, "mimalloc": mimalloc()}
