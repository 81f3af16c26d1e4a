"""What is asked of a service from inside of its image, with nothing but Python; told as JSON.

The argument is rows of the model shuttle, as JSON.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import urllib.request

PLACES = ("/opt/logdet", "/bundles", "/etc", "/dev/shm", "/tmp")  # noqa: S108 - what an image has
PACKAGES = (
    "torch", "onnx", "onnxscript", "training", "pip", "setuptools", "ray", "onnxruntime",
)  # fmt: skip


def answer(path: str, body: bytes | None = None) -> object:
    """What the service answers."""
    request = urllib.request.Request("http://127.0.0.1:8000" + path, body)
    request.add_header("content-type", "application/json")
    with urllib.request.urlopen(request, timeout=20) as reply:  # noqa: S310
        return json.load(reply)


def is_writable(folder: str) -> bool:
    """Whether a file can be written there."""
    try:
        with open(os.path.join(folder, "written"), "w"):
            return True
    except OSError:
        return False


def main() -> None:
    """Ask and tell."""
    body = json.dumps({"rows": json.loads(sys.argv[1])}).encode()
    told = {
        "models": answer("/v1/models"),
        "score": answer("/v1/models/shuttle/score", body),
        "found": [name for name in PACKAGES if importlib.util.find_spec(name)],
        "writable": [place for place in PLACES if is_writable(place)],
        "user": os.getuid(),
    }
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
