"""The flow that is served: trained for a moment, because speed does not depend on the weights.

``python -m tests.bench.flow FOLDER`` makes it anew from rows of a seed by ``logdet train``.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.bench.bodies import FEATURES, MODEL

ROWS, SEED = 4000, 6
SETTINGS = {
    "family": "nsf",
    "layers": "5",
    "bins": "8",
    "hidden": "[128, 128]",
    "marginal_bins": "0",
    "epochs": "3",
}


def bundles_in(folder: Path) -> Path:
    """Where the service finds the flow."""
    return folder / "bundles"


def graph_in(folder: Path) -> Path:
    """The graph of its log-density."""
    return bundles_in(folder) / MODEL / "1" / "log_prob.onnx"


def main(folder: Path) -> None:
    """Train and publish it as version 1."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng = np.random.default_rng(SEED)
    mixed = rng.standard_normal((ROWS, FEATURES)) @ rng.standard_normal((FEATURES, FEATURES))
    side = np.where(rng.random((ROWS, 1)) < 0.5, -2.0, 2.0)
    np.savez(folder / "rows.npz", x=(0.25 * mixed + side).astype(np.float32))
    train = [sys.executable, "-m", "logdet", "train", "table", "--name", MODEL]
    where = ["--data", folder / "rows.npz", "--out", bundles_in(folder), "--runs", folder / "runs"]
    settings = [part for item in SETTINGS.items() for part in ("--set", "=".join(item))]
    subprocess.run([*train, *where, *settings], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
