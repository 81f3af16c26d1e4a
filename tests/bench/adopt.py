"""Runs a command and inherits what its descendants orphan: ``python adopt.py COMMAND``.

Daemons so stay below this process, the processor time of those that ended is this one's, and none
outlives it. Only the standard library: it runs where the server does.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
STOP_S, ORPHANS_S = 20, 2  # before what is left is killed


def main(command: Sequence[str]) -> int:
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
    signal.signal(signal.SIGALRM, _kill_children)
    code = server.wait()
    signal.alarm(ORPHANS_S)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return code


def _kill_children(*_: object) -> None:
    """Kill them; their own children are ours then, and have their turn."""
    for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    signal.alarm(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
