from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from tests.bench import phase, run
from tests.bench.asking import Endpoint
from tests.bench.cells import Figures, Place, Record
from tests.bench.load import Loaded
from tests.bench.processes import Tree
from tests.bench.servers import Server

SIZE = 100
FIGURES = Figures(10, 1000.0, 1.0, 2.0, 0.5, 0.1, 0.0)
PLACE = Place("embedded", "binary", 1, 1)


class Sleeping:
    def cpu_s(self) -> float:
        return 0.0


def measured(monkeypatch: pytest.MonkeyPatch, answer: Callable[[int], tuple[int, int]]) -> Figures:
    """A phase whose load generator sees (answers of success, bytes of all answers)."""

    def send(endpoint: Endpoint, rows: int, in_flight: int, requests: int) -> Loaded:
        return Loaded(requests, *answer(requests), 1.0, 1.0, 2.0, 0.0)

    monkeypatch.setattr(phase.load, "send", send)
    monkeypatch.setattr(phase, "checked_size", lambda *_: SIZE)
    tree = cast("Tree", Sleeping())
    return phase.measure(tree, Endpoint("binary", "http://127.0.0.1"), 1, 8, np.zeros(1), 1.0)


def test_right_answers_give_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = measured(monkeypatch, lambda n: (n, n * SIZE))
    assert figures.requests % 8 == 0
    assert figures.requests_s == figures.requests


def test_one_failed_request_fails_the_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(phase.PhaseError, match="answers of success"):
        measured(monkeypatch, lambda n: (n - 1, n * SIZE))


def test_an_answer_of_another_size_fails_the_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(phase.PhaseError, match="expected answers of 100 bytes"):
        measured(monkeypatch, lambda n: (n, n * SIZE - 1))


def test_a_record_goes_on_with_what_is_missing_or_failed(tmp_path: Path) -> None:
    other = Place("embedded", "JSON", 1, 1)
    before = Record(tmp_path / "cells.jsonl", "source", 1.0)
    before.add(1, PLACE, FIGURES)
    before.add(1, other, "no answer")
    after = Record(tmp_path / "cells.jsonl", "source", 1.0)
    assert after.missing(1, [PLACE, other]) == [other]
    assert after.missing(2, [PLACE]) == [PLACE]
    assert [cell.figures for cell in after.cells] == [FIGURES, None]


def test_what_was_measured_of_other_code_is_measured_again(tmp_path: Path) -> None:
    Record(tmp_path / "cells.jsonl", "source", 1.0).add(1, PLACE, FIGURES)
    assert Record(tmp_path / "cells.jsonl", "changed", 1.0).missing(1, [PLACE]) == [PLACE]
    assert Record(tmp_path / "cells.jsonl", "source", 3.0).missing(1, [PLACE]) == [PLACE]


def test_what_binds_every_interface_is_left_out_with_a_reason() -> None:
    loopback = Server("one", ("one",), ())
    everything = Server("two", ("two",), (), binds_everything=True)
    kept, notes = run.measurable([loopback, everything], is_private=False)
    assert kept == [loopback]
    assert "two" in notes[0]
    assert run.measurable([loopback, everything], is_private=True) == ([loopback, everything], [])
