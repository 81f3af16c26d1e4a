"""A server and every process that it ever starts: one tree, timed by the kernel.

The server runs below a parent that inherits what its descendants orphan, so that daemons stay in
the tree and the processor time of ended processes is that parent's:
``python -m tests.bench.processes COMMAND`` is that parent.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_PARENT, _UTIME, _CSTIME = 1, 11, 14  # fields of /proc/PID/stat behind the name
STOP_S = 20.0


class Tree:
    """A server with all its processes.

    Args:
        command: What to run.
        environ: Its environment.
        log: File of what it prints.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as out:
            self._parent = subprocess.Popen(
                [sys.executable, "-m", __name__, *command],
                env=environ,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    @property
    def ended(self) -> bool:
        """Whether the server is no more."""
        return self._parent.poll() is not None

    def cpu_s(self) -> float:
        """User and system seconds of all processes, also of those that ended."""
        stats = _stats()
        return sum(stats[pid][1] for pid in _below(self._parent.pid, stats)) / _TICKS_A_SECOND

    def count(self) -> int:
        """Processes that run now."""
        return len(_below(self._parent.pid, _stats())) - 1

    def stop(self) -> None:
        """Ask the server to end, and end what is left after a while."""
        self._parent.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._parent.wait(STOP_S)
        for pid in sorted(_below(self._parent.pid, _stats()) - {self._parent.pid}):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._parent.wait(STOP_S)


def machine_cpu_s() -> float:
    """Seconds that the machine's cores were busy since it started."""
    # user, nice, system, idle, iowait, irq, softirq, ...
    times = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(times[:3]) + sum(times[5:7])) / _TICKS_A_SECOND


def _stats() -> dict[int, tuple[int, int]]:
    """Parent, and ticks of itself and of its ended children, of every process."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                ticks = sum(map(int, fields[_UTIME : _CSTIME + 1]))
                found[int(folder.name)] = int(fields[_PARENT]), ticks
    return found


def _below(root: int, stats: Mapping[int, tuple[int, int]]) -> set[int]:
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in stats.items():
        children.setdefault(parent, []).append(pid)
    found, waiting = set(), [root] if root in stats else []
    while waiting:
        pid = waiting.pop()
        found.add(pid)
        waiting.extend(children.get(pid, ()))
    return found


def _adopt_and_run(command: Sequence[str]) -> int:
    """Run a command until it and all that it left behind have ended."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    server = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda *_: server.send_signal(signal.SIGTERM))
    code = server.wait()
    while True:  # orphans end as well, or are ended
        try:
            os.wait()
        except ChildProcessError:
            return code


if __name__ == "__main__":
    sys.exit(_adopt_and_run(sys.argv[1:]))
