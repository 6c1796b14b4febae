# SPDX-License-Identifier: MIT
"""put, append, get, share: what an object is, and how long it lasts."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from shell import PROGRAM, Shell, wait_for

import agentmem

Fresh = Callable[[int], bytes]
CLAIMS = """
import agentmem, sys
agentmem.agent("claimer")
print("ready", flush=True)
smu = agentmem.attach(sys.stdin.readline().strip())
print(len(smu), flush=True)
sys.stdin.read()
"""


def gone(digest: str) -> bool:
    with contextlib.suppress(FileNotFoundError):
        agentmem.attach(digest).close()
        return False
    return True


@pytest.mark.guest
def test_put_prints_the_digest_and_get_gives_the_content(shell: Shell, fresh: Fresh) -> None:
    content = fresh(100_000)
    digest = shell.put(content)
    assert digest == hashlib.sha256(content).hexdigest()
    assert shell.run("get", digest).stdout == content
    assert shell.run("get", digest[:10]).stdout == content
    (shell.place / "copy").write_bytes(b"former")
    assert shell.says("get", digest, "-o", str(shell.place / "copy")) == ""
    assert (shell.place / "copy").read_bytes() == content


def test_put_says_what_came_of_it(shell: Shell, fresh: Fresh) -> None:
    (shell.place / "text").write_bytes(content := fresh(5000))
    shell.put(content)
    told = shell.json("put", "--with", str(shell.holder.pid), str(shell.place / "text"))
    assert told == {"digest": hashlib.sha256(content).hexdigest(), "length": 5000, "dedup": True, "delta": False}


def test_what_put_is_told_reaches_the_object(shell: Shell, fresh: Fresh) -> None:
    base = shell.put(content := fresh(50_000))
    words = ("--type=tool-def", f"--base={base}", "--no-compress", "--importance=7", "--node=0")
    with agentmem.attach(shell.put(content + b"more", *words)) as smu:
        stats = smu.stats()
    assert stats.type is agentmem.Type.TOOL_DEF and stats.flags & 1 << 3
    assert stats.node == 0


def test_what_an_object_cannot_hold_is_not_read_to_its_end(shell: Shell, fresh: Fresh) -> None:
    digest = shell.put(fresh(2000))
    script = 'ulimit -f 8; yes | "$0" "$@"; exit $?'
    for words in (("put", "-"), ("put", "/dev/zero"), ("append", digest, "-")):
        before = agentmem.stats(agentmem.Scope.DOMAIN)
        argv = ["timeout", "60", "bash", "-c", script, str(PROGRAM), *words, f"--with={shell.holder.pid}"]
        done = subprocess.run(argv, capture_output=True, env=shell.env)
        assert done.returncode == 1 and done.stdout == b"", done
        most = 8192 - (2000 if words[0] == "append" else 0)
        cause, next = done.stderr.decode().splitlines()
        assert f"{words[-1]}: is more than an object may hold: {most} bytes" in cause and next == "next: ulimit -f"
        assert agentmem.stats(agentmem.Scope.DOMAIN).smus == before.smus


def test_a_large_file_is_refused_before_it_is_read(shell: Shell) -> None:
    with (shell.place / "large").open("wb") as file:
        file.truncate((1 << 30) + 1)
    started = time.monotonic()
    told = shell.fails(1, "put", str(shell.place / "large"))
    assert told == f"error: {shell.place}/large: is more than an object may hold: {1 << 30} bytes\n"
    with (shell.place / "large").open("rb") as file:
        done = subprocess.run([PROGRAM, "put", "-"], stdin=file, capture_output=True, env=shell.env)
    assert done.stderr.startswith(b"error: -: is more than") and time.monotonic() - started < 30


def test_a_file_is_read_from_where_it_is(shell: Shell) -> None:
    with (shell.place / "large").open("wb+") as file:
        file.seek(1 << 30)
        file.write(b"at its end")
        file.seek(-10, os.SEEK_CUR)
        done = subprocess.run(
            [PROGRAM, "put", "-", "--", "sh", "-c", 'agentmem get "$SMU"'],
            stdin=file,
            capture_output=True,
            env=shell.env,
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"at its end", b"")


@pytest.mark.guest
def test_an_object_lasts_as_long_as_the_process_that_is_named(shell: Shell, fresh: Fresh) -> None:
    digest = shell.put(fresh(4000))
    assert not gone(digest)
    shell.holder.kill()
    shell.holder.wait()
    wait_for(lambda: gone(digest))


@pytest.mark.guest
def test_an_object_lasts_as_long_as_its_command(shell: Shell, fresh: Fresh) -> None:
    (shell.place / "text").write_bytes(content := fresh(4000))
    script = 'agentmem get "$MINE"; exit 7'
    done = shell.run("put", str(shell.place / "text"), "--as=MINE", "--", "sh", "-c", script)
    assert (done.returncode, done.stdout, done.stderr) == (7, content, b"")
    assert gone(hashlib.sha256(content).hexdigest())


def test_objects_of_two_puts_last_for_one_command(shell: Shell, fresh: Fresh) -> None:
    for name in ("one", "two"):
        (shell.place / name).write_bytes(fresh(4000))
    script = 'agentmem get "$ONE" -o "$0"; agentmem get "$TWO"'
    inner = ("agentmem", "put", str(shell.place / "two"), "--as", "TWO", "--", "sh", "-c", script)
    done = shell.run("put", str(shell.place / "one"), "--as", "ONE", "--", *inner, str(shell.place / "got"))
    assert done.stdout == (shell.place / "two").read_bytes(), done
    assert (shell.place / "got").read_bytes() == (shell.place / "one").read_bytes()


def test_the_command_is_the_process_that_was_started(shell: Shell, fresh: Fresh) -> None:
    (shell.place / "text").write_bytes(fresh(4000))
    started = shell.start("put", str(shell.place / "text"), "--", "sh", "-c", "echo $$; kill -TERM $$")
    assert int(started.communicate()[0]) == started.pid
    assert started.returncode == -signal.SIGTERM


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_without_a_command_it_holds_until_it_is_told_to_end(shell: Shell, fresh: Fresh, end: signal.Signals) -> None:
    (shell.place / "text").write_bytes(fresh(4000))
    started = shell.start("put", str(shell.place / "text"))
    assert started.stdout
    digest = started.stdout.readline().decode().strip()
    assert not gone(digest)
    started.send_signal(end)
    assert started.wait() == 0
    assert gone(digest)


@pytest.mark.guest
def test_append_is_the_whole_at_the_price_of_the_rest(shell: Shell, fresh: Fresh) -> None:
    base = shell.put(begin := fresh(200_000), "--type=tool-result")
    (shell.place / "rest").write_bytes(rest := fresh(3000))
    told = shell.json("append", base, str(shell.place / "rest"), "--with", str(shell.holder.pid))
    assert told["digest"] == hashlib.sha256(begin + rest).hexdigest() and told["delta"]
    with agentmem.attach(told["digest"]) as smu:
        stats = smu.stats()
    assert stats.type is agentmem.Type.TOOL_RESULT
    assert stats.resident_top < 20_000


@pytest.mark.guest
def test_a_share_can_be_claimed_and_taken_back(shell: Shell, fresh: Fresh) -> None:
    (shell.place / "text").write_bytes(content := fresh(4000))
    digest, argv = hashlib.sha256(content).hexdigest(), [sys.executable, "-c", CLAIMS]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as claimer:
        assert claimer.stdout and claimer.stdout.readline() == "ready\n"
        done = shell.run("put", str(shell.place / "text"), "--", "agentmem", "share", digest, "claimer")
        assert done.returncode == 0, done
        assert claimer.stdin
        print(digest, file=claimer.stdin, flush=True)
        assert claimer.stdout.readline() == "4000\n", "it was nobody's but for the grant"
        pid = str(claimer.pid)
        shell.says("share", digest, pid)
        shell.says("share", "--revoke", digest, pid)
        assert "no unclaimed grant" in shell.fails(3, "share", "--revoke", digest, pid)
        claimer.stdin.close()


def test_content_that_cannot_be_had_is_told(shell: Shell) -> None:
    assert "No such file" in shell.fails(1, "put", "/nonexistent/text")
    assert "Is a directory" in shell.fails(1, "put", "/")
    assert "is empty" in shell.fails(1, "put", os.devnull)
    told = shell.fails(1, "put", "--with", str(shell.holder.pid), "/nonexistent/text")
    assert "No such file" in told, "the process in the background tells it, too"


def test_objects_that_are_not_there_are_told(shell: Shell, fresh: Fresh) -> None:
    nobodys = hashlib.sha256(fresh(64)).hexdigest()
    assert "nobody of this user holds it" in shell.fails(3, "get", nobodys)
    assert "begins with this" in shell.fails(3, "get", nobodys[:20])
    assert "not a digest" in shell.fails(2, "get", "prompt.txt")
    assert "nobody" in shell.fails(3, "append", nobodys, os.devnull, "--", "true")
    assert "nobody" in shell.fails(3, "share", nobodys, str(os.getpid()))


def test_commands_that_cannot_be_run_have_a_shells_statuses(shell: Shell, fresh: Fresh) -> None:
    (shell.place / "text").write_bytes(fresh(4000))
    assert "no such command" in shell.fails(127, "put", str(shell.place / "text"), "--", "/nonexistent")
    assert "Permission denied" in shell.fails(126, "put", str(shell.place / "text"), "--", "/etc")
    assert "no such process" in shell.fails(3, "put", str(shell.place / "text"), "--with=4000000")


def test_a_reader_that_goes_away_is_no_trouble(shell: Shell, fresh: Fresh) -> None:
    digest = shell.put(fresh(2_000_000))
    done = subprocess.run(["sh", "-c", f"agentmem get {digest} | head -c 10"], capture_output=True, env=shell.env)
    assert (done.returncode, len(done.stdout), done.stderr) == (0, 10, b"")


def test_objects_are_put_many_times_by_their_content_alone(shell: Shell, fresh: Fresh) -> None:
    content = fresh(4000)
    assert shell.put(content) == shell.put(content)
    assert json.loads(shell.says("stat", shell.put(content), "--json"))["holders"] >= 2
