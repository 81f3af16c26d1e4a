from __future__ import annotations

from dataclasses import replace

from tests.bench import in_process, page, peers_page
from tests.bench.cells import Cell, Figures, Place
from tests.bench.medians import Medians
from tests.bench.servers import EMBEDDED, PLAIN_RAY, RAY

BASE = Figures(100, 1000.0, 1.0, 2.0, 0.5, 0.1, 0.2)


def cells(place: Place, *figures: Figures) -> list[Cell]:
    return [Cell("source", 1.0, i, place, one) for i, one in enumerate(figures, 1)]


def cpu(*values: float) -> list[Figures]:
    return [replace(BASE, cpu_ms=value) for value in values]


def test_a_cell_is_the_median_with_the_range() -> None:
    place = Place(EMBEDDED, "binary", 1, 1)
    spread = Medians(cells(place, *cpu(0.3, 0.1, 0.2))).of(place, lambda one: one.cpu_ms)
    assert str(spread) == "0.200 [0.100–0.300]"


def test_targets_are_met_or_not_or_not_measured() -> None:
    measured = [
        *cells(Place(in_process.NAME, "log_prob", 1, 1), *cpu(0.2)),
        *cells(Place(EMBEDDED, "binary", 1, 1), *cpu(0.4)),
        *cells(Place(EMBEDDED, "binary", 1, 64), *cpu(0.3)),
        *cells(Place(RAY, "JSON", 1, 64), replace(BASE, requests_s=2000.0)),
        *cells(Place(PLAIN_RAY, "x", 1, 64), replace(BASE, requests_s=100.0)),
    ]
    text = page.render(Medians(measured), 1, 1.0, ["Not measured: nothing."])
    lines = {line.split(" | ")[0].strip("| "): line for line in text.splitlines()}
    alone = lines["embedded, one row, binary, 1 in flight: server CPU above in process, ms"]
    assert alone.endswith("| at most 0.25 | 0.200 | met |")
    shared = lines["embedded, one row, binary, 64 in flight: server CPU, ms"]
    assert shared.endswith("| at most 0.15 | 0.300 | not met |")
    ratio = "Ray Serve, one row, JSON, 64 in flight: requests/s over plain Ray Serve"
    assert lines[ratio].endswith("| at least 10 | 20.0 | met |")
    assert "| – | not measured |" in text
    assert "Not measured: nothing." in text


def test_a_row_of_the_table_counts_rows_and_what_is_above_the_limit() -> None:
    measured = [
        *cells(Place(in_process.NAME, "log_prob", 256, 1), *cpu(2.0)),
        *cells(Place(EMBEDDED, "binary", 256, 8), *cpu(2.25)),
    ]
    row = next(
        line
        for line in page.render(Medians(measured), 1, 1.0, []).splitlines()
        if line.startswith("| embedded | binary | 8 ")
    )
    assert "| 256,000 [256,000–256,000] |" in row
    assert row.endswith("| 0.250 |")


def test_phases_that_failed_are_listed() -> None:
    failed = Cell("source", 1.0, 1, Place(EMBEDDED, "JSON", 1, 8), None, "expected 8 answers")
    assert "1 rows, 8 in flight: expected 8 answers" in page.render(Medians([failed]), 1, 1.0, [])


def test_ours_is_ahead_of_the_best_of_the_others_or_behind() -> None:
    measured = [
        *cells(Place(EMBEDDED, "binary", 1, 1), *cpu(0.4)),
        *cells(Place("triton", "binary", 1, 1), *cpu(0.8)),
        *cells(Place("kserve", "binary", 1, 1), *cpu(1.6)),
        *cells(Place(EMBEDDED, "binary", 1, 8), *cpu(0.9)),
        *cells(Place("triton", "binary", 1, 8), *cpu(0.6)),
    ]
    text = peers_page.render(Medians(measured), 1, 1.0, [])
    assert "1 × 1: ahead, 0.500 of triton" in text
    assert "1 × 8: BEHIND, 1.50 of triton" in text
