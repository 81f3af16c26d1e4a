"""The pieces of ``make bench-gpu`` on the CPU, where it cannot be run as a whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.bench.cells import Cell, Figures, Place, Record
from tests.bench.gpu import page, peaks, run, sessions, work
from tests.bench.gpu.bench import PEAK, Bench, Plan, reason
from tests.bench.gpu.device import first_device
from tests.bench.gpu.expected import Expected, expected
from tests.bench.gpu.work import Line, Work
from tests.bench.graphs.ours import family_graph
from tests.bench.graphs.shelf import Shelf
from tests.bench.medians import Medians
from training.onnx_export import GraphSpec, to_onnx

HAS_GPU = Path("/dev/nvidiactl").exists()
SIDES = {peaks.PRODUCT: 16, peaks.NEGATION: 16}
ON_CPU = (sessions.HOST, sessions.BOUND, sessions.RESIDENT)
LINES = {"maf log_prob": Line(Work(64.0, 640.0), Work(256.0, 2560.0))}


class _Products(nn.Module):
    """Weights on one side, 4 × 8, and on the other one, 32 × 8; a vector of 32; and a tanh."""

    vector: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(4, 8), nn.Parameter(torch.ones(32, 8))
        self.register_buffer("vector", torch.ones(32))

    def forward(self, x: Tensor) -> Tensor:
        return (self.outer @ torch.tanh(self.inner(x)).T).T @ self.vector


@pytest.fixture(scope="module")
def graph() -> bytes:
    return to_onnx(GraphSpec(_Products(), (torch.zeros(3, 4),), ("x",), ("y",), 1, {}))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("graphs"))


@pytest.fixture(scope="module")
def maf(shelf: Shelf) -> tuple[bytes, Expected]:
    content = shelf.graph("maf_log_prob", lambda: family_graph("maf", "log_prob"))
    return content, expected("maf", "log_prob", content)


def test_the_work_of_products_is_known_whichever_side_the_weight_is_on(graph: bytes) -> None:
    line = work.line(graph)
    for rows in (64, 256, 4096):
        assert line.at(rows).products == 2 * rows * (4 * 8 + 8 * 32 + 32)
    grown = line.at(4096).moved_bytes - line.at(64).moved_bytes
    # At the least each row is read, and what stands between the operators written and read.
    assert grown >= 4 * (4096 - 64) * (4 + 2 * 8 + 2 * 32)


def test_inputs_and_outputs_that_are_bound_give_the_same_answers(graph: bytes) -> None:
    session = sessions.opened(graph, sessions.served("cpu"))
    x = np.random.default_rng(0).standard_normal((5, 4), np.float32)
    made = sessions.bound(session, {"x": x}, {"y": (5,)}, "cpu")
    np.testing.assert_array_equal(made.copied()[0], session.run(None, {"x": x})[0])
    x *= 2.0
    made.copied()
    made.resident()
    np.testing.assert_array_equal(made.answer()[0], session.run(None, {"x": x})[0])


def test_a_right_answer_is_accepted_at_any_batch_and_a_wrong_row_is_not(
    maf: tuple[bytes, Expected],
) -> None:
    content, asked = maf
    session = sessions.opened(content, sessions.served("cpu"))
    for rows in (1, len(asked.rows) + 1):
        assert asked.complaint(session.run(None, asked.feed(rows))) == ""
    answer = session.run(None, asked.feed(100))
    answer[0][99] += 0.01
    assert asked.complaint(answer).startswith("wrong answer: log_prob is off by")
    answer[0][99] = np.nan
    assert "nan" in asked.complaint(answer)


def test_all_is_measured_once_and_kept(tmp_path: Path, shelf: Shelf) -> None:
    plan = Plan("cpu", ["maf"], [1, 8], ON_CPU, 0.0, SIDES)
    record = Record(tmp_path / "record.jsonl", "source", 0.0)
    bench = Bench(plan, record, shelf)
    bench.run(1)
    assert len(record.cells) == len(SIDES) + 2 * 2 * len(ON_CPU)
    assert not [cell.failure for cell in record.cells if cell.failure]
    bench.run(1)
    again = Record(tmp_path / "record.jsonl", "source", 0.0)
    assert len((tmp_path / "record.jsonl").read_text().splitlines()) == len(again.cells)
    told = page.Told("a test", 1, 0.0)
    text = page.render(Medians(again.cells), bench.lines(), told)
    assert "| maf decode |" in text
    assert "TFLOP/s" in text


def test_what_onnxruntime_refuses_has_a_reason_in_place_of_a_figure(
    tmp_path: Path, shelf: Shelf
) -> None:
    record = Record(tmp_path / "record.jsonl", "source", 0.0)
    plan = Plan("cpu", ["maf"], [1], [sessions.TENSORRT], 0.0, {})
    Bench(plan, record, shelf).run(1)
    for cell in record.cells:
        assert cell.figures is None
        assert cell.failure


@pytest.mark.skipif(HAS_GPU, reason="says what happens without a GPU")
def test_tensorrt_is_not_there_without_a_gpu() -> None:
    assert not sessions.has_tensorrt()


def test_a_reason_names_no_path() -> None:
    told = reason(RuntimeError("Fail: /src/onnxruntime/bfc.cc:376 the graph has control flow"))
    assert told == "refused by onnxruntime: Fail: the graph has control flow"
    full = RuntimeError("BFCArena: Failed to allocate memory for requested buffer of size 9")
    assert reason(full) == "the device has too little memory for it"


def _cells() -> list[Cell]:
    figures = Figures(10, 2.0, 500.0, 600.0, 1.0, 0.0, 0.0)
    places = {
        Place(PEAK, peaks.PRODUCT, 10, 1): figures,  # 2 · 10³ in a call: 4,000 a second
        Place(PEAK, peaks.NEGATION, 10, 1): figures,  # 800 bytes in a call: 1,600 a second
        Place(sessions.HOST, "maf log_prob", 64, 1): figures,
        Place(sessions.CAPTURED, "maf log_prob", 64, 1): replace(figures, requests_s=5.0),
    }
    refused = Cell("s", 1.0, 1, Place(sessions.CAPTURED, "maf decode", 8, 1), None, "it loops")
    return [*(Cell("s", 1.0, 1, place, one) for place, one in places.items()), refused]


def test_the_page_tells_speed_use_of_the_peaks_and_what_other_ways_gain() -> None:
    text = page.render(Medians(_cells()), LINES, page.Told("a device", 1, 1.0))
    assert "| maf log_prob | 128 |" in text
    assert "| maf log_prob | 500 / 600 |" in text
    assert "| maf log_prob | 3.2% / 80.0% |" in text
    assert "| maf log_prob | 2.50 |" in text
    assert "- CUDA graph, maf decode, 8 rows: it loops" in text
    assert sessions.TENSORRT not in text


def test_a_peak_that_could_not_be_measured_leaves_its_part_open() -> None:
    cells = [cell for cell in _cells() if cell.place.kind != peaks.NEGATION]
    text = page.render(Medians(cells), LINES, page.Told("a device", 1, 1.0))
    assert "| maf log_prob | 3.2% / nan% |" in text


class _Driver:
    """The driver's library with one device."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: 0

    def cuDeviceGetName(self, name: Any, *_: object) -> int:  # noqa: N802
        name.value = b"NVIDIA Test"
        return 0

    def cuDeviceTotalMem_v2(self, memory: Any, *_: object) -> int:  # noqa: N802
        memory._obj.value = 80 * 2**30
        return 0

    def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802
        version._obj.value = 13020
        return 0


def test_the_device_is_told_in_words() -> None:
    assert str(first_device(_Driver())) == "NVIDIA Test, 80 GiB, driver for CUDA 13.2"


@pytest.mark.skipif(HAS_GPU, reason="says what happens without a GPU")
def test_without_a_gpu_there_is_one_sentence_and_no_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["run", "--out", str(tmp_path), "--work", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"expected a GPU that onnxruntime can use, got none: "):
        run.main()
    assert not list(tmp_path.glob("bench-gpu*"))
