"""QEMU's monitor: JSON, one command at a time, one object a line (QMP)."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

from harness.errors import LabError, LabTimeout

PATIENCE = 30.0  # seconds for an answer


class Monitor:
    """One end of a socket whose other end is QEMU's. Greets with the first command. Threads may share it."""

    def __init__(self, end: socket.socket) -> None:
        self.patience = PATIENCE
        self._end = end
        self._lines = end.makefile("rb")
        self._ready = False
        self._lock = threading.Lock()

    def execute(self, command: str, **arguments: object) -> Any:
        """What QEMU returns. LabError: it refuses, in its words, or is gone."""
        with self._lock:
            return self._execute(command, arguments)

    def _execute(self, command: str, arguments: dict[str, object]) -> Any:
        self._end.settimeout(self.patience)
        if not self._ready:
            self._read()  # the greeting
            self._ready = True
            self._execute("qmp_capabilities", {})
        said = {"execute": command, "arguments": arguments}
        try:
            self._end.sendall(json.dumps(said).encode() + b"\n")
        except OSError as error:
            raise LabError(f"QEMU's monitor takes no command ({command}): {error.strerror}") from error
        while True:
            answer = self._read()
            if "return" in answer:
                return answer["return"]
            if "error" in answer:  # what is left are events
                raise LabError(f"QEMU refuses {command}: {answer['error'].get('desc', answer['error'])}")

    def close(self) -> None:
        self._lines.close()
        self._end.close()

    def _read(self) -> dict[str, Any]:
        try:
            line = self._lines.readline()
            answer = json.loads(line) if line else None
        except TimeoutError as error:
            raise LabTimeout(f"QEMU's monitor does not answer within {self.patience:g} s") from error
        except (OSError, ValueError) as error:
            raise LabError(f"QEMU's monitor makes no sense: {error}") from error
        if not isinstance(answer, dict):
            raise LabError("QEMU's monitor is closed")
        return answer
