"""The pieces of ``make bench-graphs``, and the speed that it found once."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.bench.graphs import ours
from tests.bench.graphs.operators import Profile, profile
from tests.bench.graphs.page import FLOOR, Measured, render
from tests.bench.graphs.shelf import Shelf
from tests.bench.graphs.timing import by_turns, run, run_in_place, session
from training.onnx_export import GraphSpec, to_onnx

# Well under what `make bench-graphs` finds, so that a busy neighbour does not fail the test.
LEAST_OF_FLOOR = 0.45
ROWS = 4096


class _Square(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ x.new_ones(4, 4))


@pytest.fixture(scope="module")
def square() -> bytes:
    return to_onnx(GraphSpec(_Square(), (torch.zeros(3, 4),), ("x",), ("y",), 1, {}))


def test_every_call_has_its_turn_in_every_round() -> None:
    order: list[str] = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    found = by_turns(calls, rounds=2, at_least_s=0.0)
    assert order == ["a", "b", "a", "b", "a", "b"]  # The first of each is not counted.
    assert [len(times) for times in found.values()] == [2, 2]


def test_chunks_are_all_run(square: bytes) -> None:
    graph = session(square)
    parts = run(graph, rows=5, chunk=2)()
    assert isinstance(parts, list)
    whole = run(graph, rows=5)()
    assert isinstance(whole, list)
    assert [len(part[0]) for part in parts] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), whole[0][0])
    run_in_place(graph, rows=5)()


def test_a_profile_tells_products_from_others(square: bytes) -> None:
    found = profile(square, rows=64)
    assert 0.0 < found.products < 1.0
    assert "Tanh" in dict(found.others(3))
    assert found.nodes == 2


def test_a_graph_is_made_once_for_the_same_sources(tmp_path: Path) -> None:
    made: list[int] = []

    def make() -> bytes:
        made.append(1)
        return b"graph"

    assert Shelf(tmp_path).graph("one", make) == Shelf(tmp_path).graph("one", make) == b"graph"
    assert made == [1]


def test_the_page_puts_each_round_beside_the_floor_of_that_round() -> None:
    seconds = {1: {FLOOR: [1.0, 2.0], "logdet log_prob": [2.0, 4.0]}}
    one = Profile({"Gemm": 3.0, "Exp": 1.0}, nodes=2)
    page = render(Measured(seconds, {"nsf": {"log_prob": one, "decode": one}}, 7), rounds=2)
    assert "0.50 [0.50–0.50]" in page
    assert "75% of 4 ms, 2 nodes | Exp 25%" in page


@pytest.mark.slow
def test_the_spline_graph_is_not_far_from_its_matrix_products() -> None:
    calls = {
        FLOOR: run_in_place(session(ours.floor_graph()), ROWS),
        "log_prob": run(session(ours.family_graph("nsf", "log_prob")), ROWS),
    }
    found = by_turns(calls, rounds=7, at_least_s=0.15)
    ratios = [floor / whole for floor, whole in zip(found[FLOOR], found["log_prob"], strict=True)]
    assert median(ratios) >= LEAST_OF_FLOOR
