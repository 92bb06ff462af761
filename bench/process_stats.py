"""CPU and memory of running processes, read from /proc."""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")
SAMPLE_S = 0.25
QUIET_CPU_MS = 10
"""What may be used within one sample by what counts as idle: the kernel counts in such steps."""
QUIET_SAMPLES = 6
QUIET_LIMIT_S = 20


def cpu_ms(pids: Iterable[int]) -> float:
    """User and system time of all their threads since they began."""
    ticks = 0
    for pid in pids:
        # The name, in parentheses, may hold spaces; fields 14 and 15 are the times.
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * 1000 / TICKS_PER_S


def rss_mb(pids: Iterable[int]) -> float:
    """Resident memory now."""
    return sum(_status_kb(pid, "VmRSS") for pid in pids) / 1024


def peak_rss_mb(pids: Iterable[int]) -> float:
    """The most resident memory since they began."""
    return sum(_status_kb(pid, "VmHWM") for pid in pids) / 1024


def family(pid: int) -> tuple[int, ...]:
    """The process and all that descend from it."""
    children = _children()
    found = [pid]
    for member in found:
        found += children.get(member, [])
    return tuple(found)


def name_of(pid: int) -> str:
    return (PROC / str(pid) / "comm").read_text().strip()


async def become_idle(pids: Iterable[int]) -> None:
    """Wait until what the last requests left behind is done: settling, alarms, queues."""
    pids = tuple(pids)
    quiet, before_ms = 0, cpu_ms(pids)
    for _ in range(int(QUIET_LIMIT_S / SAMPLE_S)):
        await asyncio.sleep(SAMPLE_S)
        now_ms = cpu_ms(pids)
        quiet = quiet + 1 if now_ms - before_ms <= QUIET_CPU_MS else 0
        before_ms = now_ms
        if quiet == QUIET_SAMPLES:
            return


def _status_kb(pid: int, name: str) -> int:
    for line in (PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise LookupError(f"process {pid} has no {name}")


def _children() -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for folder in PROC.iterdir():
        if folder.name.isdecimal():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it ended meanwhile
                continue
            children.setdefault(int(fields[1]), []).append(int(folder.name))
    return children
