"""No telemetry: what runs graphs must not tell others of them."""

from __future__ import annotations

import os

# Builds of onnxruntime for Linux from 1.29 on keep events in the home directory and send them to
# their maker, names and hashes of models among them, unless this is set when it is imported.
OFF = "ORT_DISABLE_TELEMETRY"


def refuse_telemetry() -> None:
    """Say so in this process's environment, and in that of its children; a value there stays."""
    os.environ.setdefault(OFF, "1")
