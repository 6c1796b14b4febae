# SPDX-License-Identifier: MIT
"""The extension module: libagentmem's sources and ours, zstd and nettle linked statically, so it needs libc alone.

AGENTMEM_KERNEL_HEADERS=DIR: with the kernel's calls; DIR/include is what `make headers_install` gives. Without, the
system's headers are looked at, and if they have not got the calls the module knows the fallback alone.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup

LIBRARY = Path("libagentmem")
STATIC = {"libzstd": "libzstd.a", "nettle": "libnettle.a"}


def pkg_config(*options: str) -> list[str]:
    try:
        done = subprocess.run(["pkg-config", *options, *STATIC], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        hint = "next: apt-get install pkgconf libzstd-dev nettle-dev"
        sys.exit(f"error: zstd or nettle was not found: {said.strip()}\n{hint}")
    return shlex.split(done.stdout)


def system_headers() -> list[str]:
    headers = os.environ.get("AGENTMEM_KERNEL_HEADERS")
    if not headers:
        return []
    if not Path(headers, "include", "linux", "agent_mem.h").is_file():
        hint = "next: the directory that `make headers_install` of a kernel with the series wrote to"
        sys.exit(f"error: AGENTMEM_KERNEL_HEADERS: {headers}/include has no linux/agent_mem.h\n{hint}")
    return ["-isystem", f"{headers}/include"]


setup(
    # What was built before, with other headers or flags, looks as new as its sources.
    options={"build_ext": {"force": True}},
    ext_modules=[
        Extension(
            "agentmem._native",
            sources=[str(path) for place in (LIBRARY / "src", Path("native")) for path in sorted(place.glob("*.c"))],
            depends=[str(path) for place in (LIBRARY, Path("native")) for path in sorted(place.rglob("*.h"))],
            include_dirs=[str(LIBRARY / "include")],
            define_macros=[("_GNU_SOURCE", None), ("Py_LIMITED_API", "0x030b0000")],
            extra_compile_args=[
                *("-std=gnu11", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-missing-field-initializers"),
                *system_headers(),
                *pkg_config("--cflags"),
            ],
            extra_link_args=[
                "-Wl,--version-script=native/symbols.map",
                *pkg_config("--libs-only-L"),
                *(f"-l:{archive}" for archive in STATIC.values()),
            ],
            py_limited_api=True,
        )
    ],
)
