"""A machine that the user has, as they name it for ssh: [USER@]HOST[:PORT], with what ~/.ssh/config says of it."""

from __future__ import annotations

import getpass
import re
from pathlib import Path

import paramiko

from harness.errors import UsageError
from harness.ssh import PORT, Place

NAMED = re.compile(r"(?:(?P<user>\S+)@)?(?:\[(?P<address>[^\s\]]+)\]|(?P<host>[^\s:@\[\]]+))(?::(?P<port>\d+))?")


def place(text: str) -> Place:
    """Where that is, with the user's own keys; UsageError if it names no machine, or one behind another."""
    named = NAMED.fullmatch(text)
    if named is None:
        raise UsageError(f"--ssh takes [USER@]HOST[:PORT], not {text!r}", hint="an IPv6 address as [::1]:22")
    host = named["address"] or named["host"]
    settings = _settings(host)
    if settings.get("proxycommand") or settings.get("proxyjump", "none") != "none":
        raise UsageError(f"~/.ssh/config has {host} behind another machine; --ssh takes one that is reached directly")
    port = named["port"] or settings.get("port", str(PORT))
    if not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise UsageError(f"{port} is no port")
    keys = [path for path in map(Path, settings.get("identityfile", ())) if path.is_file()]
    user = named["user"] or settings.get("user") or getpass.getuser()
    return Place(settings["hostname"].lower(), int(port), user, tuple(keys))


def _settings(host: str) -> paramiko.SSHConfigDict:
    path = Path("~/.ssh/config").expanduser()
    try:
        return paramiko.SSHConfig.from_text(path.read_text() if path.exists() else "").lookup(host)
    except (ValueError, paramiko.SSHException) as error:
        raise UsageError(f"{path} is not understood: {error}") from error
