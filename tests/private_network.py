"""A network of their own for processes that bind every interface of it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

_UNSHARE = ("unshare", "--map-root-user", "--net")


def can_be_made() -> bool:
    """Whether this machine lets us."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    return subprocess.run([*_UNSHARE, "true"], check=False, capture_output=True).returncode == 0


def inside(command: Sequence[str]) -> list[str]:
    """The command that runs another one in a new network with nothing but loopback."""
    return [*_UNSHARE, "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *command]
