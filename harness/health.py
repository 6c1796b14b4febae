"""Whether a guest is well, and if not, whose fault it is: the kernel's (GuestFault) or the laboratory's (LabError)."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from harness import symbols
from harness.channel import ChannelClosed
from harness.errors import BootHang, GuestFault, HarnessError, LabError
from harness.qemu import Qemu
from harness.witness import Witness

LAST_WORDS = 5.0  # seconds: a panic's report is longer than its first line, and then QEMU ends by itself
STACKS = 20.0  # seconds in which a kernel that hangs tells where
SILENCE = 120.0  # seconds without a word on the console of a kernel that is still booting


class Health:
    """Judges by the console and by QEMU. machine: None where the guest is another process's."""

    def __init__(self, witness: Witness, vmlinux: Path, machine: Qemu | None) -> None:
        self.witness = witness
        self._vmlinux = vmlinux
        self._machine = machine
        self._inquest = threading.Lock()  # several threads may find it dead at once, and splats are told once
        self.end: HarnessError | None = None  # what the guest died of; told already

    def look(self) -> None:
        """While waiting: a guest in trouble is not waited for."""
        panic = self.witness.panic()
        if panic or (self._machine and self._machine.ended() is not None):
            raise self._died(panic)
        if self.witness.flooded:
            raise self.fault("the guest floods its console")

    def judge(self) -> None:
        """GuestFault if the console shows a splat that was not told before."""
        if splats := self.witness.splats():
            raise self.fault(symbols.told(splats, self._vmlinux))

    def await_boot(self, greeted: bool, began: float, timeout: float) -> bool:
        """One look at a kernel that is booting; whether it is up. GuestFault if it will not be."""
        if greeted:
            return True
        self.look()
        now = time.monotonic()
        quiet = now - max(began, self.witness.changed)
        cause = f"the kernel did not come up within {now - began:.0f} s"
        if quiet > SILENCE:
            fault = self.hangs(f"{cause}, and has been silent for {quiet:.0f} s")
            raise BootHang(fault.cause, log=fault.log, hint=fault.hint)
        if now - began > timeout:
            raise self.hangs(cause)
        return False

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Gives what ends the channel its cause. A guest that is dead stays so."""
        if self.end:
            raise self.end
        try:
            yield
        except ChannelClosed as error:
            raise self._died() from error
        except GuestFault as error:
            self.end = self.end or self.fault(error.cause, tail=True)
            raise self.end from error

    def hangs(self, cause: str) -> GuestFault:
        """The same for a guest that is not to be asked again; it is made to tell where it hangs."""
        said = self.witness.tail()
        self.end = fault = self.fault(cause + said + self._stacks())
        return fault

    def fault(self, cause: str, *, tail: bool = False) -> GuestFault:
        log = self.witness.log
        return GuestFault(cause + (self.witness.tail() if tail else ""), log=log, hint=f"less {log}")

    def _stacks(self) -> str:
        """What its processors do and which tasks wait: an NMI that nobody expects makes it panic, and print that."""
        if self._machine is None or self._machine.ended() is not None:
            return ""
        start = self.witness.size
        try:
            self._machine.monitor.execute("inject-nmi")
        except HarnessError as error:
            return f"\n  | ({error.cause})"
        if self._machine.ended(patience=STACKS) is None:
            return f"\n  | (an NMI did not end it within {STACKS:.0f} s)"
        return self.witness.stacks(start)

    def _died(self, panic: str | None = None) -> HarnessError:
        with self._inquest:
            self.end = self.end or self._cause_of_death(panic)
            return self.end

    def _cause_of_death(self, panic: str | None) -> HarnessError:
        log = self.witness.log
        if self._machine:
            self._machine.ended(patience=LAST_WORDS)
        try:
            self.judge()
        except GuestFault as fault:
            return fault
        if panic := panic or self.witness.panic():
            return self.fault(f"the kernel panicked: {panic}", tail=True)
        if self._machine and (failure := self._machine.failure()):
            return failure
        if self.witness.asked_off():
            return LabError("the guest was switched off by a program in it", log=log, hint=f"less {log}")
        if self._machine is None:
            return LabError("the guest was ended by the one who booted it", log=log, hint="the same command again")
        if self._machine.ended() is None:
            return LabError("QEMU closed the control channel but did not end", log=self._machine.run.log)
        return self.fault("the guest was reset without a report", tail=True)
