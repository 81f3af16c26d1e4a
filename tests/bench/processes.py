"""A server and every process that it ever starts: one tree, timed by the kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.bench import adopt
from tests.processes import family_of

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_UTIME, _CSTIME = 11, 14  # fields of /proc/PID/stat behind the name, those of ended children too


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
                [sys.executable, adopt.__file__, *command],
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
        return sum(map(_ticks, family_of(self._parent.pid))) / _TICKS_A_SECOND

    def stop(self) -> None:
        """Ask the server to end; what is left after a while is killed."""
        self._parent.terminate()
        self._parent.wait(2 * adopt.STOP_S)


def machine_cpu_s() -> float:
    """Seconds that the machine's cores were busy since it started."""
    # user, nice, system, idle, iowait, irq, softirq, ...
    times = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(times[:3]) + sum(times[5:7])) / _TICKS_A_SECOND


def _ticks(pid: int) -> int:
    with suppress(OSError):  # it ended: its parent has them
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[_UTIME : _CSTIME + 1]))
    return 0
