"""Some seconds of the soak, so that the long one works when it is wanted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.engines import embedded
from tests.soak.memory import growth
from tests.soak.questions import answered
from tests.soak.traffic import Traffic

pytestmark = pytest.mark.serve


def test_mixed_traffic_has_no_wrong_answer_and_no_failure(bundles: Path) -> None:
    with embedded(bundles) as running:
        address = re.search(r"gRPC on ([\d.:]+)", running.banner)
        assert address
        traffic = Traffic(running.url, address[1], answered(bundles), requests=360, rate=30)
        with traffic:
            pass
    tally = traffic.tally
    assert not tally.wrong, "\n".join(tally.reasons)
    assert not tally.failed, "\n".join(tally.reasons)
    assert sum(tally.sent.values()) == 360
    assert tally.rows > 10_000


def test_growth_is_of_the_last_samples_over_the_first_warm_ones() -> None:
    assert growth([50.0, 80.0, *[100.0] * 8]) == 0.0
    rising = [10.0] * 20 + [100.0 + step for step in range(81)]
    assert growth(rising) == pytest.approx(64 / 107.5, abs=0.02)
