"""Builds an image, starts it as an engine would, and tells what a caller gets of it, as JSON.

    python -m tests.deploy.replay.run FOLDER ROWS

Wants a mount namespace of its own. The command runs in a network of its own, with everything but
/tmp read-only, and without privileges where this process can give them up.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.deploy.replay.build import Image, build

START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 45
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET; os.unshare came with Python 3.12
_ALLOWED = {"LOGDET_ALLOW_ANONYMOUS": "true"}  # as in docker-compose.yml
_ASK = Path(__file__).with_name("ask.py")


def serve_and_ask(image: Image, rows: str) -> dict[str, Any]:
    """Start its command, wait for its health check, ask about rows, and stop it."""
    process = subprocess.Popen(
        _words(image, image.command),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        ready_s = _wait(image, process)
        asking = _words(image, ["python", "-c", _ASK.read_text(), rows])
        told = subprocess.run(asking, check=True, capture_output=True, text=True)
    except BaseException:
        process.kill()
        sys.stderr.write(process.communicate()[0][-3000:])
        raise
    process.terminate()
    process.communicate(timeout=STOP_TIMEOUT_S)
    answers: dict[str, Any] = json.loads(told.stdout)
    return answers | {"ready_s": ready_s, "status": process.returncode}


def _wait(image: Image, process: subprocess.Popen[str]) -> float:
    """Until its health check passes: seconds."""
    started = time.monotonic()
    while subprocess.run(_words(image, image.health), capture_output=True, check=False).returncode:
        if process.poll() is not None or time.monotonic() - started > START_TIMEOUT_S:
            raise RuntimeError("the image did not start")
        time.sleep(1)
    return time.monotonic() - started


def _words(image: Image, words: list[str]) -> list[str]:
    """The words that run others in an image, as its user."""
    pairs = [f"{name}={value}" for name, value in (image.environ | _ALLOWED).items()]
    less = ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
    if can_be_another():
        less += ["--reuid", image.user, "--regid", image.user, "--clear-groups"]
    inner = ["/usr/bin/env", "-i", "-C", image.folder, *pairs, "setpriv", *less, *words]
    return ["chroot", str(image.root.path), *inner]


def can_be_another() -> bool:
    """Whether there are other users here: not where root stands for one who is none."""
    return Path("/proc/self/uid_map").read_text().split()[2] != "1"


def _leave_the_network() -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "no network of our own")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def main() -> None:
    """Build, run, tell."""
    image = build("service", Path(sys.argv[1]), {})
    image.root.make_read_only()
    _leave_the_network()
    sys.stdout.write(json.dumps(serve_and_ask(image, sys.argv[2])))


if __name__ == "__main__":
    main()
