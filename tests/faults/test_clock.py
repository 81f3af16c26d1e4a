"""A wall clock that jumps by days, under traffic."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.bundles import ordinary_rows, write_gaussian
from tests.engines import embedded
from tests.faults.steady import Steady, kinds
from tests.faults.table import tell

pytestmark = [
    pytest.mark.serve,
    pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="LD_PRELOAD is Linux's"),
]

SOURCE = Path(__file__).with_name("wall_clock.c")
JUMPS_S = 4.5
DAY_S = 86_400.0


@pytest.fixture(scope="module")
def jumping(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the wall clock jumps every second."""
    built = tmp_path_factory.mktemp("clock") / "wall_clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", built, SOURCE, "-ldl"], check=True)
    return {"LD_PRELOAD": str(built)}


def test_the_clock_of_the_test_does_jump(jumping: dict[str, str]) -> None:
    program = "import time\nfor _ in range(12): print(time.time()); time.sleep(0.25)"
    done = subprocess.run(
        [sys.executable, "-c", program], env=jumping, capture_output=True, text=True, check=True
    )
    seen = [float(line) - time.time() for line in done.stdout.split()]
    assert min(seen) < -0.9 * DAY_S
    assert max(seen) > 0.9 * DAY_S


def test_requests_deadlines_and_durations_do_not_notice(
    tmp_path: Path, jumping: dict[str, str]
) -> None:
    write_gaussian(tmp_path, "gauss", 1)
    with embedded(tmp_path, jumping | {"LOGDET_FOLLOW_S": "0.2"}) as running:
        address = re.search(r"gRPC on ([\d.:]+)", running.banner)
        assert address
        at = time.monotonic()
        with Steady(kinds(running.url, address[1])) as steady:
            time.sleep(JUMPS_S)
            assert late(running.url) == 504
            write_gaussian(tmp_path, "gauss", 2)
            time.sleep(JUMPS_S)
        page = httpx.get(f"{running.url}/metrics").text
    tell("wall clock jumps by days", "embedded", steady.told, at)
    assert [one.first for one in steady.told.values()] == [[]] * 4
    assert 'version="2"' in page
    for seconds in durations(page):
        assert 0.0 <= seconds < JUMPS_S * 100


def late(url: str) -> int:
    """The status of a request that has too little time."""
    body = {"rows": ordinary_rows(20_000).tolist()}
    given = {"x-request-timeout-seconds": "0.005"}
    return httpx.post(f"{url}/v1/models/gauss/log_prob", json=body, headers=given).status_code


def durations(page: str) -> list[float]:
    """Sums of every histogram of seconds."""
    found = [
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name.endswith("_seconds_sum")
    ]
    assert found
    return found
