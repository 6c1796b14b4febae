"""Programs that nobody here wrote, each doing work whose result can be compared: with the shim it has to be the same.

Each prints, or leaves behind, the same thing whenever it is run. What differs from run to run is not in its result.
"""

from __future__ import annotations

import hashlib
import operator
import os
import shutil
import subprocess
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from harness import node as nodejs
from harness import node_tests as nodes_own
from harness import proc
from harness.cache import REPO
from harness.errors import LabError, ToolError

PYTHON = "/usr/bin/python3"  # Debian's: its package has CPython's own tests
TIMEOUT = 1800.0  # seconds
USAGE = "usage"
# What getrusage() tells of a child of ours is at least our own size; of a child of this program it is the child's.
MEASURE = ("/usr/bin/time", "--quiet", f"--output={USAGE}", "--format=%U %S %M")
SMALL_TESTS = (
    "array", "bytes", "ctypes", "dict", "json", "list", "marshal", "mmap", "re", "resource", "str", "struct",
    "unicode", "zlib",
)  # fmt: skip
LARGE_TESTS = (
    *SMALL_TESTS,
    "asyncio", "buffer", "bz2", "codecs", "concurrent_futures", "csv", "decimal", "deque", "faulthandler", "fork1",
    "gc", "hashlib", "io", "itertools", "long", "lzma", "memoryview", "multiprocessing_fork", "pickle", "set", "shelve",
    "signal", "statistics", "subprocess", "tarfile", "threading", "tuple", "zipfile",
)  # fmt: skip
NODE_TESTS = ("buffer", "string-decoder", "zlib")
LARGE_NODE_TESTS = (
    *NODE_TESTS,
    "crypto", "event", "fs", "process", "promise", "stream", "timers", "url", "util", "v8", "vm", "whatwg", "worker",
)  # fmt: skip
SQL = """
create table word(id integer primary key, text text, weight real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < {rows})
  insert into word select i, printf('%d-%s', i * 7919 % 10007, hex(zeroblob(i % 90))), i * 0.37 from n;
create index word_text on word(text, weight);
create table page(id integer primary key, body blob);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 60)
  insert into page select i, printf('%.*c', 70000 + i * 4001, 'x') || i from n;
select count(*), sum(length(text)), round(sum(weight), 3) from word;
select substr(text, 1, 3) as head, count(*) from word group by head order by 2 desc, 1 limit 50;
select sum(length(body)), max(length(body)), count(distinct substr(body, -2)) from page;
select length(group_concat(body, ',')) from page;
update word set text = text || '+' where id % 3 = 0;
delete from word where id % 5 = 1;
vacuum;
pragma integrity_check;
.sha3sum
"""
NODE = """
const crypto = require('crypto'), zlib = require('zlib'), { Worker } = require('worker_threads');
const hash = (data) => crypto.createHash('sha256').update(data).digest('hex');
const row = (i) => ({ id: i, text: 'text '.repeat(i % 50), n: i * 7 % 13 });
const text = JSON.stringify(Array.from({ length: ROWS }, (_, i) => row(i)));
const rows = JSON.parse(text).sort((a, b) => a.n - b.n || b.id - a.id);
console.log(text.length, hash(JSON.stringify(rows)));
const buffers = Array.from({ length: 200 }, (_, i) => Buffer.alloc(60000 + i * 997, i));
console.log(hash(Buffer.concat(buffers)), hash(zlib.gunzipSync(zlib.gzipSync(Buffer.concat(buffers)))));
let joined = '';
for (let i = 0; i < 200000; i++) joined += i.toString(36);
console.log(joined.length, hash(joined.replace(/[a-f]+/g, '-')));
const job = `const { parentPort, workerData } = require('worker_threads');
  const list = Array.from({ length: 100000 }, (_, i) => (i * workerData) % 9973).sort((a, b) => a - b);
  parentPort.postMessage(list.reduce((sum, one, i) => (sum + one * i) % 1000003, 0));`;
const start = (n, done) => new Worker(job, { eval: true, workerData: n }).on('message', done);
Promise.all([3, 5, 7].map((n) => new Promise((done) => start(n, done))))
  .then((sums) => console.log(sums.join(' ')));
"""


@contextmanager
def plain(place: Path) -> Iterator[Mapping[str, str]]:
    """An environment in which a program finds nothing of the user's."""
    yield {**os.environ, "LC_ALL": "C.UTF-8", "HOME": str(place)}


@dataclass(frozen=True)
class Program:
    """prepare: fills the directory that it runs in. beside: what goes on while it runs; gives its environment.

    result: what is compared, of the directory and of what it printed. same: of a result without and one with the shim.
    """

    name: str
    argv: tuple[str, ...]
    about: str
    prepare: Callable[[Path], None] = lambda _: None
    result: Callable[[Path, str], str] = lambda _, printed: printed
    errors: bool = False  # stderr is part of what it prints
    beside: Callable[[Path], AbstractContextManager[Mapping[str, str]]] = plain
    same: Callable[[str, str], bool] = operator.eq


@dataclass(frozen=True)
class Run:
    """cpu: seconds on a processor, of it and its children. peak: bytes resident in the largest of these processes."""

    code: int
    result: str
    seconds: float
    cpu: float
    peak: int


def run(program: Program, env: Mapping[str, str], *, wrapper: Sequence[str] = ()) -> Run:
    """Runs it once, in a directory of its own. LabError: it does not end. ToolError: it is not installed."""
    for tool in (program.argv[0], *MEASURE[:1]):
        if shutil.which(tool) is None:
            raise ToolError(f"{tool} is not installed", hint="harness doctor --fix")
    with tempfile.TemporaryDirectory(prefix="agent-mem-program-") as aside:
        place = Path(aside)
        program.prepare(place)
        with (place / "printed").open("wb") as out, program.beside(place) as own:
            started = time.monotonic()
            code = _end_of(program, [*MEASURE, *_setting(env), *wrapper, *program.argv], place, own, out)
            seconds = time.monotonic() - started
        user, system, peak = (place / USAGE).read_text().split()
        result = program.result(place, (place / "printed").read_text(errors="replace"))
    return Run(code, result, seconds, float(user) + float(system), int(peak) * 1024)


def _setting(env: Mapping[str, str]) -> list[str]:
    """For the command, not for what measures it: that would be measured, too."""
    return ["env", *(f"{name}={value}" for name, value in env.items())]


def _end_of(program: Program, argv: list[str], place: Path, env: Mapping[str, str], out: IO[bytes]) -> int:
    process = subprocess.Popen(
        argv,
        cwd=place,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.STDOUT if program.errors else subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{program.name} did not end within {TIMEOUT:.0f} seconds") from error
    finally:
        if process.poll() is None:
            proc.kill_group(process)


# -- the programs ------------------------------------------------------------------------------------------------------


def cpython(tests: Sequence[str] = SMALL_TESTS) -> Program:
    """CPython's own tests: which of them there are, and what came of each.

    test_unicode became test_str in 3.13.
    """

    def outcomes(place: Path, _: str) -> str:
        report = place / "report.xml"
        cases = ElementTree.parse(report).iter("testcase") if report.exists() else ()
        told = {f"{case.get('name')} {' '.join(sorted(child.tag for child in case))}".strip() for case in cases}
        return "\n".join(sorted(told))

    installed = {place.stem for place in Path("/usr/lib").glob("python3.*/test/test_*")}
    names = tuple(sorted({f"test_{name}" for name in tests} & installed))
    argv = (PYTHON, "-m", "test", "--junit-xml=report.xml", "--randseed=1", *names)
    return Program("cpython", argv, f"its own tests of {len(names)} modules", result=outcomes)


def sqlite(rows: int = 200_000) -> Program:
    def prepare(place: Path) -> None:
        (place / "work.sql").write_text(SQL.format(rows=rows))

    argv = ("sqlite3", "-batch", "work.db", ".read work.sql")
    return Program("sqlite3", argv, f"tables of {rows:,} rows, blobs, an index, vacuum", prepare, errors=True)


def node(rows: int = 100_000) -> Program:
    def prepare(place: Path) -> None:
        (place / "work.js").write_text(NODE.replace("ROWS", str(rows)))

    program = str(nodejs.node().program)
    return Program("node", (program, "work.js"), "JSON, buffers, strings, zlib, workers", prepare, errors=True)


def node_tests(tests: Sequence[str] = NODE_TESTS) -> Program:
    """Node's own tests by its own runner: each a process, with the flags that it asks for and a time-out.

    What Node's authors call flaky is left out. A test that fails without the shim, too, does not count.
    """

    @contextmanager
    def beside(place: Path) -> Iterator[Mapping[str, str]]:
        aside = {name: str(place) for name in ("NODE_TEST_DIR", "TMPDIR")}
        with plain(place) as env:
            yield {**env, **aside, "PYTHONDONTWRITEBYTECODE": "1"}

    how = (f"--shell={nodes_own.program()}", "-j1", "--timeout=120", "--progress=tap", "--flaky-tests=skip")
    # Some tests name files as from the source's root. 1: a test failed, which is not in the result.
    script = ("sh", "-c", 'cd "$0" && "$@" || test $? = 1', str(nodes_own.source()))
    argv = (*script, PYTHON, nodes_own.RUNNER, *how, *(f"parallel/test-{name}*" for name in tests))
    about = f"its own tests of {len(tests)} subjects, version {nodes_own.version()}"
    return Program("node-tests", argv, about, result=nodes_own.passed, beside=beside, same=nodes_own.none_lost)


def git() -> Program:
    """clone, gc, fsck and log of this repository; the pack is the same each time, for one thread writes it."""

    def result(place: Path, printed: str) -> str:
        packs = sorted((place / "copy.git" / "objects" / "pack").glob("*.pack"))
        return printed + "".join(f"{hashlib.sha256(pack.read_bytes()).hexdigest()}\n" for pack in packs)

    script = (
        f"git clone -q --bare --no-local '{REPO}' copy.git && cd copy.git && git -c pack.threads=1 repack -q -a -d -f"
        " && git fsck --full --no-progress && git log -p --no-color HEAD | sha256sum && git count-objects -v"
    )
    return Program("git", ("sh", "-c", script), "clone, repack, fsck and log of this repository", result=result)


def cc() -> Program:
    """Compiling the library: the objects are the same, byte for byte."""

    def prepare(place: Path) -> None:
        shutil.copytree(REPO / "userspace" / "libagentmem", place / "lib")

    def result(place: Path, printed: str) -> str:
        objects = sorted(place.glob("*.o"))
        return printed + "".join(f"{one.name} {hashlib.sha256(one.read_bytes()).hexdigest()}\n" for one in objects)

    script = "cc -O2 -D_GNU_SOURCE -std=gnu11 -Ilib/include -Ilib/src -c lib/src/*.c"
    return Program("cc", ("sh", "-c", script), "compiling libagentmem", prepare, result, errors=True)


def stress(scale: int = 1) -> Program:
    """stress-ng writes patterns into mappings and the heap, and looks whether they are still there."""

    def result(_: Path, printed: str) -> str:
        bad = [line.split("]", 1)[-1] for line in printed.splitlines() if "fail" in line or "error" in line]
        return "\n".join(["successful" if "successful run completed" in printed else "not completed", *bad])

    work = {"vm": 15_000, "mmap": 2, "malloc": 10_000, "mremap": 10}
    ops = [word for name, count in work.items() for word in (f"--{name}", "1", f"--{name}-ops", str(count * scale))]
    sizes = {"vm-bytes": "32M", "mmap-bytes": "32M", "malloc-bytes": "1M", "malloc-max": "300", "mremap-bytes": "16M"}
    bounds = [word for name, size in sizes.items() for word in (f"--{name}", size)]
    argv = ("stress-ng", *ops, *bounds, "--vm-method", "all", "--verify", "--timeout", "600")
    return Program("stress-ng", argv, "patterns in mappings and on the heap, verified", result=result, errors=True)


def many_node_tests() -> Program:
    return replace(node_tests(LARGE_NODE_TESTS), name="many-node-tests")


ALL = (cpython, sqlite, node, node_tests, git, cc, stress)
LONG = (many_node_tests,)
