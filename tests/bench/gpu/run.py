"""``make bench-gpu``: measure every family on the GPU at hand, and write docs/tables/bench-gpu.md.

``python -m tests.bench.gpu.run --out docs/tables`` measures what the file of partial results has
not of this device and this code. With ``NVIDIA_TF32_OVERRIDE=0 --tensorrt`` it measures TensorRT,
in a process of its own, because that variable would also turn off what the service must turn off.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from pathlib import Path

import onnxruntime

from service.runtime import Runtime
from tests.bench.cells import Record
from tests.bench.gpu import page, sessions
from tests.bench.gpu.bench import Bench, Plan
from tests.bench.gpu.device import first_device
from tests.bench.graphs.shelf import Shelf
from tests.bench.medians import Medians
from tests.bench.rounds import say
from training.recipes import FAMILIES

PAGE, PARTIAL = "bench-gpu.md", "bench-gpu.jsonl"
BATCHES = (1, 8, 64, 512, 4096, 65_536)
WAYS = (sessions.HOST, sessions.BOUND, sessions.RESIDENT, sessions.CAPTURED)
TF32 = "NVIDIA_TF32_OVERRIDE"
NO_TENSORRT = "expected TensorRT's libraries, got none that onnxruntime finds: not measured"


def usable() -> str:
    """The device in words.

    Raises:
        SystemExit: If onnxruntime cannot use one.
    """
    defect = Runtime("cuda", sessions=1).defect()
    if defect is not None:
        raise SystemExit(f"expected a GPU that onnxruntime can use, got none: {defect}")
    return str(first_device())


def digest(device: str, shelf: Shelf) -> str:
    """Of what is measured: the device, onnxruntime, the graphs and this code."""
    found = hashlib.sha256(f"{device} {onnxruntime.__version__} {shelf.folder.name}".encode())
    here = Path(__file__).parent
    for path in (*sorted(here.glob("*.py")), here.parent / "in_process.py"):
        if not path.name.startswith("test_"):
            found.update(path.read_bytes())
    return found.hexdigest()[:16]


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/tables"))
    parser.add_argument("--work", type=Path, default=Path("build/bench-graphs"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each measurement")
    parser.add_argument("--tensorrt", action="store_true", help="measure TensorRT alone")
    chosen = parser.parse_args()
    device, shelf = usable(), Shelf(chosen.work)
    ways = [sessions.TENSORRT] if chosen.tensorrt else WAYS
    if chosen.tensorrt and os.environ.get(TF32) != "0":
        raise SystemExit(f"expected {TF32}=0, which turns TF32 off, got {os.environ.get(TF32)}")
    if chosen.tensorrt and not sessions.has_tensorrt():
        say(NO_TENSORRT)
        return
    record = Record(chosen.out / PARTIAL, digest(device, shelf), chosen.seconds)
    bench = Bench(Plan("cuda", tuple(FAMILIES), BATCHES, ways, chosen.seconds), record, shelf)
    lines = bench.lines()
    for round_ in range(1, chosen.rounds + 1):
        bench.run(round_)
        told = page.Told(device, max(cell.round for cell in record.cells), chosen.seconds)
        (chosen.out / PAGE).write_text(page.render(Medians(record.cells), lines, told))
    say(f"wrote {chosen.out / PAGE}")


if __name__ == "__main__":
    main()
