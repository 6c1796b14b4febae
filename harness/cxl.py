"""CXL as typed data, rendered to QEMU arguments: host bridges, switches, memory devices, windows to see them through.

Each device has a window of its own in the address space of the machine, so each becomes a node of its own. A device
that QEMU emulates is reached access by access, some 1 MB a second: it tests what works, never how fast.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.qmp import Monitor

UNIT_MB = 256  # CXL: a device tells its capacity in multiples of it, and so is a window
LINE = 64  # bytes that are damaged together
DECODERS = 4  # of a bridge and of a switch, as QEMU has them: one for each window that it passes on
MAX_BRIDGES = 4
DECODES = "hdm_for_passthrough=on"  # a bridge of one port has decoders, too; without, all below is one region
BUSES = 32  # PCI bus numbers for a bridge and all below it
LEAST_QEMU = (10, 0)  # volatile memory came with 8.1, its errors and fixes for decoders later; this is what is tested
LEAST_MB = 512  # of ordinary memory: what a node costs to describe is taken from there
# All memory of a device is for pages that can be moved, so that it can be taken off-line again.
COMMAND_LINE = "memhp_default_state=online_movable"
MAKE_REGION = "/bin/cxl-region"  # in the guest
SOURCE = Path(__file__).parent / "guest" / "cxl-region"


@dataclass(frozen=True)
class Device:
    """A memory expander (type 3) with volatile memory."""

    size_mb: int = UNIT_MB

    def __post_init__(self) -> None:
        if self.size_mb < UNIT_MB or self.size_mb % UNIT_MB:
            raise ValueError(f"a CXL device has a multiple of {UNIT_MB} MB, not {self.size_mb}")


@dataclass(frozen=True)
class Switch:
    """One upstream port, and a downstream port for each device."""

    devices: tuple[Device, ...]

    def __post_init__(self) -> None:
        if not self.devices:
            raise ValueError("a CXL switch has a device below it")


@dataclass(frozen=True)
class Bridge:
    """A host bridge, with a root port for each of these."""

    ports: tuple[Device | Switch, ...]

    def __post_init__(self) -> None:
        if not self.ports:
            raise ValueError("a CXL host bridge has a root port with something below it")
        if len(self.devices) > DECODERS:
            raise ValueError(f"a CXL host bridge has {DECODERS} decoders, too few for {len(self.devices)} devices")

    @property
    def devices(self) -> tuple[Device, ...]:
        return tuple(device for port in self.ports for device in _below(port))


@dataclass(frozen=True)
class Region:
    """What the guest has to make: all memory of the device with that serial number, seen through that window."""

    window: int
    serial: int
    size_mb: int

    @property
    def command(self) -> list[str]:
        return [MAKE_REGION, str(self.window), str(self.serial)]


def check(name: str, bridges: Sequence[Bridge], nodes: int) -> None:
    """ValueError: such a machine cannot be."""
    if not nodes:
        raise ValueError(f"{name}: without a node of its processors a machine has no table that gives CXL a node")
    if len(bridges) > MAX_BRIDGES:
        raise ValueError(f"{name}: {MAX_BRIDGES} CXL host bridges have bus numbers, not {len(bridges)}")


def check_memory(name: str, total_mb: int) -> None:
    if total_mb < LEAST_MB:
        raise UsageError(f"topology {name} needs --memory {LEAST_MB} or more, not {total_mb}, beside that of CXL")


def regions(bridges: Sequence[Bridge]) -> list[Region]:
    devices = [device for bridge in bridges for device in bridge.devices]
    return [Region(number, number + 1, device.size_mb) for number, device in enumerate(devices)]


def device_id(number: int) -> str:
    """QEMU's name of a device, by its place in the topology."""
    return f"mem{number}"


def arguments(bridges: Sequence[Bridge]) -> list[str]:
    """QEMU's arguments, beside cxl=on of the machine."""
    argv: list[str] = []
    slots = iter(range(1, 1 << 8))
    numbers = iter(range(1 << 8))
    for number, bridge in enumerate(bridges):
        argv += ["-device", f"pxb-cxl,bus=pcie.0,bus_nr={BUSES * (number + 1)},{DECODES},id=bridge{number}"]
        for port, below in enumerate(bridge.ports):
            slot = next(slots)
            argv += ["-device", f"cxl-rp,bus=bridge{number},port={port},chassis=0,slot={slot},id=port{slot}"]
            argv += _switch(below, slot, slots, numbers) if isinstance(below, Switch) else _device(below, slot, numbers)
    owners = [number for number, bridge in enumerate(bridges) for _ in bridge.devices]
    windows = ",".join(  # one option: QEMU takes a list whole or not at all
        f"cxl-fmw.{region.window}.targets.0=bridge{owner},cxl-fmw.{region.window}.size={region.size_mb}M"
        for region, owner in zip(regions(bridges), owners, strict=True)
    )
    return [*argv, "-machine", windows] if windows else argv


def inject_poison(monitor: Monitor, number: int, start: int, length: int = LINE) -> None:
    """Those bytes of a device, by its place in the topology, are damaged from now on, as its list of poison tells."""
    monitor.execute("cxl-inject-poison", path=f"/machine/peripheral/{device_id(number)}", start=start, length=length)


def _switch(switch: Switch, above: int, slots: Iterator[int], numbers: Iterator[int]) -> list[str]:
    argv = ["-device", f"cxl-upstream,bus=port{above},id=switch{above}"]
    for port, device in enumerate(switch.devices):
        slot = next(slots)
        argv += ["-device", f"cxl-downstream,bus=switch{above},port={port},chassis=0,slot={slot},id=port{slot}"]
        argv += _device(device, slot, numbers)
    return argv


def _device(device: Device, above: int, numbers: Iterator[int]) -> list[str]:
    number = next(numbers)
    name = device_id(number)
    return [
        *("-object", f"memory-backend-ram,id={name}-memory,size={device.size_mb}M"),
        *("-device", f"cxl-type3,bus=port{above},volatile-memdev={name}-memory,sn={number + 1},id={name}"),
    ]


def _below(port: Device | Switch) -> tuple[Device, ...]:
    return port.devices if isinstance(port, Switch) else (port,)
