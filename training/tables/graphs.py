"""How big graphs are and how long they take: every family's, and the ways to decode a MAF layer.

``python -m training.tables.graphs --out docs/tables`` measures all of it and writes one page
(``make graph-table``).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from training.evaluate import full_flow
from training.families import build_flow
from training.graphs import table_graphs
from training.layers import Sizes
from training.onnx_export import to_onnx
from training.prepared import Prepared, prepare
from training.recipes import FAMILIES, Recipe
from training.reference import runnable
from training.runner import Runner
from training.table import Image, Table
from training.tables.decoding import FORMS, decode_graph
from training.tables.results import grid

TABLE = "graphs.md"
FEATURES, SIDES = 64, (8, 8, 1)
# Layers of a mixed flow, which has no default.
MIXED = [{"family": "nsf", "layers": 2}, {"family": "maf", "layers": 2}]
LOADS, CALLS = 3, 5  # The quickest counts.
DECODED, DECODED_FEATURES, DECODED_ROWS = ("maf", "nsf_ar"), (4, 10, 16, 64), (1, 64, 4096)
# Unrolled graphs of more features take minutes to export and are over every limit.
MOST_UNROLLED = {"maf": 16, "nsf_ar": 4}


def family_graphs(family: str) -> Iterator[tuple[str, bytes]]:
    """Names and ONNX bytes of a family's graphs, untrained, default sizes, 64 features."""
    model = {"family": family} | ({"layers": MIXED} if family == "mixed" else {})
    recipe = Recipe.model_validate({"name": "wide", "model": model})
    prepared = _prepared(recipe, SIDES if family == "glow" else None)
    sizes = Sizes(FEATURES, image=prepared.image)
    flow = build_flow(recipe.flow(), sizes, torch.Generator().manual_seed(0))
    specs = table_graphs(full_flow(flow, prepared), prepared)
    yield from runnable({name: to_onnx(spec) for name, spec in specs.items()}).items()


def _prepared(recipe: Recipe, image: Image | None) -> Prepared:
    rows = np.random.default_rng(0).normal(size=(200, FEATURES))
    if image:
        rows = np.rint(100.0 + 10.0 * rows)
    return prepare(
        recipe, Table("wide", tuple(f"x{i}" for i in range(FEATURES)), rows, image=image)
    )


def load_s(content: bytes) -> float:
    """Processor seconds until a session is ready, which loads on one thread."""
    found = []
    for _ in range(LOADS):
        started = time.process_time()
        Runner({"graph": content})
        found.append(time.process_time() - started)
    return min(found)


def _call_ms(content: bytes, features: int, rows: int) -> float:
    runner = Runner({"decode": content})
    z = np.random.default_rng(0).standard_normal((rows, features)).astype(np.float32)
    found = []
    for _ in range(CALLS + 1):
        started = time.process_time()
        runner("decode", {"z": z})
        found.append(1e3 * (time.process_time() - started))
    return min(found[1:])


def _family_texts() -> dict[str, dict[str, str]]:
    texts: dict[str, dict[str, str]] = {}
    for family in FAMILIES:
        for name, content in family_graphs(family):
            cell = f"{len(content) / 1e6:.2f} MB, {load_s(content):.2f} s"
            texts.setdefault(name, {})[family] = cell
            _say(f"{family} {name}: {cell}")
    return texts


def _decoding_texts() -> tuple[list[str], dict[str, dict[str, str]]]:
    methods: list[str] = []
    texts: dict[str, dict[str, str]] = {}
    for family in DECODED:
        for features in DECODED_FEATURES:
            for form in FORMS:
                if form == "unrolled" and features > MOST_UNROLLED[family]:
                    continue
                content = decode_graph(family, features, form)
                method = f"{family}, {features} features, {form}"
                methods.append(method)
                cells = {"MB": f"{len(content) / 1e6:.2f}", "load, s": f"{load_s(content):.3f}"}
                for rows in DECODED_ROWS:
                    cells[f"{rows} rows, ms"] = f"{_call_ms(content, features, rows):.3g}"
                _say(f"{method}: {cells}")
                for column, text in cells.items():
                    texts.setdefault(column, {})[method] = text
    return methods, texts


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def render(
    families: dict[str, dict[str, str]],
    methods: Sequence[str],
    decoding: dict[str, dict[str, str]],
) -> str:
    """The page in Markdown."""
    return (
        f"Graphs of every family at its default sizes and {FEATURES} features (glow: 8 x 8 "
        "pixels): size, and the processor seconds in which a session loads:\n\n"
        + grid("family", FAMILIES, families)
        + "\n\nFive autoregressive layers of 128 x 128 units (8 bins), decoding, without what "
        "stands between them; processor seconds and milliseconds:\n\n"
        + grid("graph", methods, decoding)
        + "\n"
    )


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/tables"))
    chosen = parser.parse_args()
    families = _family_texts()
    methods, decoding = _decoding_texts()
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / TABLE).write_text(render(families, methods, decoding))


if __name__ == "__main__":
    main()
