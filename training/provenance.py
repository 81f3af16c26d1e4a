"""Where the numbers of a bundle came from."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path

LIBRARIES = ("logdet", "torch", "onnx", "onnxruntime", "onnxruntime-gpu", "numpy", "pydantic")


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that took part and are installed."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """Commit of this package's checkout; None where it is not one."""
    # An installed copy may lie inside somebody else's repository, which does not track it.
    if _git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    return _git("rev-parse", "HEAD")


def _git(*arguments: str) -> str | None:
    try:
        answer = subprocess.run(  # noqa: S603 # nosec B603 B607
            ["git", "-C", str(Path(__file__).parent), *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
