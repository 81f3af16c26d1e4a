"""A server and every process that it ever starts: one tree, timed by the kernel.

The server runs below a parent that inherits what its descendants orphan, so that daemons stay in
the tree and the processor time of ended processes is that parent's: this file as a program.
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

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_PARENT, _UTIME, _CSTIME = 1, 11, 14  # fields of /proc/PID/stat behind the name
STOP_S, ORPHANS_S = 20, 2  # before what is left is killed


class Tree:
    """A server with all its processes.

    Args:
        command: What to run.
        environ: Its environment.
        log: File of what it prints.
        folder: Where it runs; here if None.
    """

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        log: Path,
        folder: Path | None = None,
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as out:
            self._parent = subprocess.Popen(
                [sys.executable, __file__, *command],
                env=environ,
                cwd=folder,
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
        """Ask the server to end; what is left after a while is killed."""
        self._parent.terminate()
        self._parent.wait(2 * STOP_S)


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
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    server = subprocess.Popen(command)

    def stop(*_: object) -> None:
        is_running = server.returncode is None
        server.terminate()
        signal.alarm(STOP_S if is_running else ORPHANS_S)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGALRM, _kill_all_below)
    code = server.wait()
    signal.alarm(ORPHANS_S)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return code


def _kill_all_below(*_: object) -> None:
    for pid in _below(os.getpid(), _stats()) - {os.getpid()}:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    signal.alarm(ORPHANS_S)


if __name__ == "__main__":
    sys.exit(_adopt_and_run(sys.argv[1:]))
