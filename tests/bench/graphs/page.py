"""The page of ``make bench-graphs`` in Markdown."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnxruntime

from tests.bench.graphs.operators import Profile
from tests.bench.graphs.timing import Spread

FLOOR = "matrix products alone"
WORST = 3


@dataclass(frozen=True, slots=True)
class Measured:
    """What a run found.

    Attributes:
        seconds: Of one call in each round, by number of rows and name.
        profiles: By family and direction.
        parameters: Numbers in our conditioners.
    """

    seconds: Mapping[int, Mapping[str, list[float]]]
    profiles: Mapping[str, Mapping[str, Profile]]
    parameters: int

    def speed(self, rows: int, name: str) -> Spread | None:
        """Rows per processor second; None where it was not measured."""
        times = self.seconds[rows].get(name)
        return None if times is None else Spread.of([rows / one for one in times])

    def of_floor(self, rows: int, name: str) -> Spread | None:
        """The floor's time as a part of the call's, round by round; the two took turns."""
        times = self.seconds[rows].get(name)
        if times is None:
            return None
        floor = self.seconds[rows][FLOOR]
        return Spread.of([one / other for one, other in zip(floor, times, strict=True)])


def render(measured: Measured, rounds: int) -> str:
    """The whole page."""
    return (
        "\n\n".join(
            [
                f"`make bench-graphs`: {_machine()}, one thread. Median [smallest–largest] of "
                f"{rounds} rounds in which all calls took turns; processor time.",
                f"## The spline coupling flow\n\n16 features, 5 layers, 8 bins, 128 × 128 units; "
                f"{measured.parameters:,} parameters in its conditioners.",
                _speeds(measured),
                "## Every family\n\nDefault sizes (`nsf` as above), 16 features (`glow`: 8 × 8 "
                "pixels), 1,024 rows, loops of 8 steps. Share of matrix products and "
                "convolutions in the time of all operators, and the costliest others:",
                _families(measured.profiles),
            ]
        )
        + "\n"
    )


def _speeds(measured: Measured) -> str:
    batches = list(measured.seconds)
    most = batches[-1]  # Has all calls, in their order.
    names = list(measured.seconds[most])
    heads = [f"rows/s, {rows:,} rows" for rows in batches]
    lines = ["| | " + " | ".join([*heads, f"of the floor, {most:,} rows"]) + " |"]
    lines.append("|---|" + "--:|" * (len(batches) + 1))
    for name in names:
        cells = [_thousands(measured.speed(rows, name)) for rows in batches]
        lines.append(f"| {name} | {' | '.join(cells)} | {_ratio(measured.of_floor(most, name))} |")
    return "\n".join(lines)


def _families(profiles: Mapping[str, Mapping[str, Profile]]) -> str:
    directions = list(next(iter(profiles.values())))
    lines = ["| family | " + " | ".join(f"{d} | others of {d}" for d in directions) + " |"]
    lines.append("|---|" + "--:|---|" * len(directions))
    for family, by_direction in profiles.items():
        cells = [
            f"{one.products:.0%} of {_short(sum(one.by_kind.values()))} ms, {one.nodes} nodes | "
            + ", ".join(f"{kind} {share:.0%}" for kind, share in one.others(WORST))
            for one in by_direction.values()
        ]
        lines.append(f"| {family} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _thousands(found: Spread | None) -> str:
    if found is None:
        return ""
    return f"{_short(found.median)} [{_short(found.low)}–{_short(found.high)}]"


def _ratio(found: Spread | None) -> str:
    return "" if found is None else f"{found.median:.2f} [{found.low:.2f}–{found.high:.2f}]"


def _short(value: float) -> str:
    if value >= 10_000:
        return f"{value / 1000:,.0f}k"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _machine() -> str:
    told = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    named = re.search(r"model name\s*: (.+)", told)
    wide = "AVX-512" if "avx512f" in told else "no AVX-512"
    chip = named[1] if named else platform.machine()
    return f"{os.cpu_count()} cores ({chip}, {wide}), onnxruntime {onnxruntime.__version__}"
