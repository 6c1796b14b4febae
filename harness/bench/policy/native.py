"""The kernel's policy in this process: mm/agent_mem_policy.c compiled as it is, with four small headers below it."""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness import proc
from harness.cache import cache_dir, log_file, new_file
from harness.errors import ToolError, UsageError

SOURCES = Path(__file__).parent / "native"
NAME = "mm/agent_mem_policy.c"
FLAGS = ("-O2", "-Wall", "-Wextra", "-Werror")
WARM_AFTER, COLD_AFTER = 5 * 60_000, 24 * 3600_000  # the kernel's defaults, milliseconds

# struct agent_view; ranks.c tells its size, which is compared.
VIEW = np.dtype(
    [
        *((name, np.uint64) for name in ("used", "passed", "resident", "unstored", "stored")),
        *((name, np.uint32) for name in ("holders", "reads", "state", "mark", "importance", "type")),
    ],
    align=True,
)


class _Policy(ctypes.Structure):
    """struct agent_policy"""

    _fields_ = (("warm_after", ctypes.c_uint64), ("cold_after", ctypes.c_uint64))


class Policy:
    def __init__(self, library: Path, source: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self._library.view_size.restype = ctypes.c_uint64
        if self._library.view_size() != VIEW.itemsize:
            raise UsageError(f"struct agent_view of {source} is another one than harness/bench/policy/native.py has")
        self._limits = _Policy(WARM_AFTER, COLD_AFTER)

    def ranks(self, views: NDArray[np.void], now: int) -> NDArray[np.uint64]:
        """agent_policy_rank() of each."""
        assert views.dtype == VIEW and views.flags.c_contiguous
        out = np.empty(len(views), np.uint64)
        pointers = (array.ctypes.data_as(ctypes.c_void_p) for array in (views, out))
        given, told = pointers
        self._library.ranks(ctypes.byref(self._limits), given, ctypes.c_uint64(len(views)), ctypes.c_uint64(now), told)
        return out


def load(source: Path) -> Policy:
    """source: agent_mem_policy.c of a kernel tree, with its header beside it."""
    tree = _tree(source)
    library = compiled([SOURCES / "ranks.c", source], tree, ["-shared", "-fPIC"], "policy.so")
    return Policy(library, source)


def compiled(sources: Sequence[Path], tree: Path, flags: Sequence[str], name: str) -> Path:
    """Compiles kernel sources with our headers in place of the kernel's; kept by the content of all that is read.

    tree: whose include/uapi is taken. ToolError carries the first complaint.
    """
    below = [*FLAGS, *flags, f"-I{SOURCES}", f"-I{tree / 'mm'}", "-idirafter", str(tree / "include")]
    files = [str(source) for source in sources]
    seen = _gcc([*below, "-E", "-P", *files], name)
    key = hashlib.sha256("\0".join([seen, *FLAGS, *flags, _gcc(["--version"], name)]).encode()).hexdigest()[:24]
    made = cache_dir() / "programs" / key / name
    if not made.exists():
        with new_file(made) as aside:
            _gcc([*below, "-o", str(aside), *files], name)
            aside.chmod(0o755)
    return made


def _tree(source: Path) -> Path:
    if not source.is_file():
        raise UsageError(f"there is no policy at {source}", hint="harness apply, or --policy-source FILE")
    tree = source.resolve().parent.parent
    if not (tree / "include/uapi/linux/agent_mem.h").is_file():
        raise UsageError(f"{source} is in no kernel tree with the series", hint=f"TREE/{NAME} is what is looked for")
    return tree


def _gcc(arguments: Sequence[str], name: str) -> str:
    done = proc.run(["gcc", *arguments], timeout=120, check=False)
    if done.code == 0:
        return done.stdout
    log = log_file(f"compile-{name}")
    log.write_text(done.stderr)
    said = [line for line in done.stderr.splitlines() if "error" in line or "undefined reference" in line]
    raise ToolError(f"the policy does not compile: {said[0] if said else done.code}", log=log, hint=f"less {log}")
