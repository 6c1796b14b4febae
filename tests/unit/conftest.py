"""Fixtures of the unit tests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import cache, git, pin
from tests.unit.laboratory import FILES, Laboratory


@pytest.fixture
def laboratory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Laboratory:
    """A checkout whose base is a git repository of five files, fetched already."""
    made = Laboratory(tmp_path / "cache", tmp_path / "repo", tmp_path / "base", tmp_path / "repo" / "patches")
    for path in (made.cache, made.patches, made.base):
        path.mkdir(parents=True)
    monkeypatch.setenv("AGENT_MEM_CACHE", str(made.cache))
    monkeypatch.setattr(cache, "REPO", made.repo)
    for name, content in FILES.items():
        (made.base / name).parent.mkdir(parents=True, exist_ok=True)
        (made.base / name).write_text(content)
    git.git(made.base, "init", "--quiet", "--initial-branch=base")
    git.git(made.base, "add", "--all", "--force")
    git.git(made.base, "commit", "--quiet", "--message", "Linux 7.3.4", env=git.LABORATORY)
    record = {
        "pin": pin.read_pin().version,
        "named": True,
        "base": {
            "repository": str(made.base),
            "commit": git.line(made.base, "rev-parse", "HEAD"),
            "version": "7.3.4",
            "origin": "a test",
            "verified": "",
        },
    }
    work = made.repo / ".work"
    work.mkdir()
    (work / "base.json").write_text(json.dumps(record))
    return made
