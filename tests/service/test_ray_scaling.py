"""How many replicas are wanted, and what the replicas tell of themselves."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from logdet.cli import main
from logdet.commands import serve as command
from service.batcher import Batcher
from service.config import ServiceConfig
from service.core import Core
from service.errors import StartError
from service.jobs import Array, Arrays
from service.lanes import Lane
from service.occupancy import Occupancy
from service.ray_scaling import FULL, ByWork, wanted

TARGET_S = 0.05
IDLE = 0.0


@pytest.mark.parametrize(
    ("busy", "waits", "replicas"),
    [
        ([0.0], [0.0], 1),
        ([0.69], [0.0], 1),
        ([0.75], [0.0], 2),  # its time is used up, although nothing waits
        ([0.3], [0.06], 2),  # more waits than may, although it has time to spare
        ([0.3], [5.0], 2),  # at most twice as many at once
        ([1.0, 1.0], [0.0, 0.0], 3),
        ([1.0, 1.0], [0.2, 0.2], 4),
        ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], 1),
        ([0.24, 0.24], [0.0, 0.0], 1),
        ([0.3, 0.3], [0.0, 0.0], 2),  # one alone would be too nearly full
        ([0.1, 0.1], [0.03, 0.03], 2),  # what waits would wait longer
        ([0.3, 0.3, 0.3], [0.0, 0.0, 0.0], 2),
    ],
)
def test_as_many_replicas_as_the_work_needs(
    busy: list[float], waits: list[float], replicas: int
) -> None:
    assert wanted(busy, waits, TARGET_S) == replicas


@given(
    st.integers(1, 8).flatmap(
        lambda n: st.tuples(
            st.lists(st.floats(0, 1), min_size=n, max_size=n),
            st.lists(st.floats(0, 1e3), min_size=n, max_size=n),
        )
    )
)
def test_the_work_of_those_that_go_fits_into_those_that_stay(
    told: tuple[list[float], list[float]],
) -> None:
    busy, waits = told
    replicas = wanted(busy, waits, TARGET_S)
    assert 1 <= replicas <= 2 * len(busy)
    if replicas < len(busy):
        assert sum(busy) / replicas < FULL
        # So it does not go up again with the same work.
        spread = [sum(busy) / replicas] * replicas
        assert wanted(spread, [IDLE] * replicas, TARGET_S) <= replicas


def context(busy: list[float], current: int, target: int) -> Any:
    told = {name: dict(enumerate(busy)) for name in ("busy", "wait_s")}
    return SimpleNamespace(
        aggregated_metrics=told, current_num_replicas=current, target_num_replicas=target
    )


def test_nothing_changes_before_every_replica_has_told() -> None:
    policy = ByWork(TARGET_S)
    assert policy(context([0.1], current=2, target=2)) == (2, {})
    assert policy(context([0.9], current=2, target=3)) == (3, {})
    assert policy(context([], current=0, target=1)) == (1, {})
    assert policy(context([0.01, 0.01], current=2, target=2)) == (1, {})


def test_a_replica_at_work_is_busy_and_one_at_rest_is_not(core: Core) -> None:
    occupancy = Occupancy(core.work, core.metrics, core.config.sessions)
    served = core.find("gauss")
    slow = Lane(lambda x: (time.sleep(0.2), x)[1:], served.metrics.lane("log_prob"))

    async def work() -> None:
        rows = np.zeros((1, 4))
        await asyncio.gather(*[core.work.run(slow, 1, 32, lambda a, b: rows[a:b])] * 1)

    asyncio.run(work())
    assert 0.3 < occupancy.load().busy <= 1.0
    time.sleep(0.2)
    assert occupancy.load().busy < 0.3


def test_what_waits_is_told_in_seconds() -> None:
    def slowly(x: Array) -> Arrays:
        time.sleep(0.01 * len(x))
        return (x,)

    class Nobody:
        def ran(self, rows: int, requests: int, seconds: float) -> None: ...
        def waited(self, seconds: float) -> None: ...

    async def ask() -> tuple[float, float, float]:
        batcher, lane = Batcher(1, 4, 10**6, 10**9, 60.0), Lane(slowly, Nobody())
        rows = np.zeros((40, 1))
        before = batcher.wait_s
        await batcher.submit(lane, 4, 8, lambda a, b: rows[a:b])  # now it is known
        task = asyncio.ensure_future(batcher.submit(lane, 40, 8, lambda a, b: rows[a:b]))
        await asyncio.sleep(0)
        waits = batcher.wait_s
        await task
        return before, waits, batcher.wait_s

    before, waits, after = asyncio.run(ask())
    assert before == 0.0
    assert 0.4 <= waits < 4.0
    assert after == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    ("given_", "expected"), [("2", (2, None)), ("1:4", (1, 4)), ("3:3", (3, 3))]
)
def test_replicas_are_one_number_or_two(given_: str, expected: tuple[int, int | None]) -> None:
    assert command.REPLICAS.convert(given_, None, None) == expected


@pytest.mark.parametrize("wrong", ["0", "1:", ":2", "1:0", "-1", "a", "1:2:3", "1:9999999"])
def test_other_numbers_of_replicas_are_refused(wrong: str) -> None:
    done = CliRunner().invoke(main, ["serve", "--ray", "--replicas", wrong])
    assert done.exit_code == 2
    assert "expected N or N:MOST" in done.output


def test_fewer_at_most_than_at_least_are_refused() -> None:
    with pytest.raises(StartError, match=r"max_replicas of at least min_replicas, which is 3"):
        ServiceConfig.from_environ({}, min_replicas=3, max_replicas=2)
    with pytest.raises(StartError, match=r"max_replicas beside min_replicas 3, got none"):
        ServiceConfig.from_environ({"LOGDET_MIN_REPLICAS": "3"})
