"""Other processes, as Linux lists them."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from pathlib import Path


def family_of(pid: int) -> set[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, left = set(), [pid]
    while left:
        found.add(one := left.pop())
        left.extend(children.get(one, []))
    return found


def title(pid: int) -> str:
    """Its command line, empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def named(pid: int, words: str) -> list[int]:
    """Of a process and its descendants those whose command line has these words."""
    return sorted(one for one in family_of(pid) if words in title(one))


def wait_for(port: int, seconds: float) -> None:
    """Until somebody listens at a port of loopback."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nobody listens at {port} after {seconds:g} s")
