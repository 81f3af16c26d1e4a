"""The traffic of the Compose file: what it sends, and that the service sees what is in it."""

from __future__ import annotations

import gzip
import itertools
import time
from collections.abc import Iterator

import numpy as np
import pytest

from deploy.traffic import rows as made
from deploy.traffic import send
from exported.bundle import read_bundle
from logdet.client import Client
from tests import engines

BUNDLES = engines.ROOT / "exported" / "bundles"


@pytest.fixture(scope="module")
def stored() -> tuple[send.Rows, send.Rows]:
    return send.read_rows(made.FILE)


def until(end_s: float, stored: tuple[send.Rows, send.Rows]) -> Iterator[send.Request]:
    stream = send.requests(*stored, seed=0)
    return itertools.takewhile(lambda request: request.at_s < end_s, stream)


def test_the_stored_rows_are_those_of_the_data_set() -> None:
    assert gzip.decompress(made.FILE.read_bytes()).decode() == made.text()


def test_the_stored_rows_are_of_the_model_that_is_asked(
    stored: tuple[send.Rows, send.Rows],
) -> None:
    manifest = read_bundle(BUNDLES / send.MODEL / "1").manifest
    header = gzip.decompress(made.FILE.read_bytes()).decode().splitlines()[0].split(",")
    assert header[:-1] == [feature.name for feature in manifest.features]
    assert [len(part) for part in stored] == [made.NORMAL_ROWS, made.ANOMALIES]


def test_requests_come_as_often_as_is_said(stored: tuple[send.Rows, send.Rows]) -> None:
    sent = list(until(send.DAY_S, stored))
    expected = send.RATE_HZ * send.DAY_S
    assert abs(len(sent) - expected) < 5 * expected**0.5
    assert {request.kind for request in sent} == send.MIX.keys()
    assert all(a.at_s <= b.at_s for a, b in itertools.pairwise(sent))


def test_the_same_seed_sends_the_same_rows(stored: tuple[send.Rows, send.Rows]) -> None:
    first, second = (next(send.requests(*stored, seed=3)) for _ in range(2))
    assert first.at_s == second.at_s
    assert np.array_equal(first.rows, second.rows)


def test_there_is_no_drift_before_the_last_third_of_a_cycle() -> None:
    assert send.drift(send.CYCLE_S * 0.66) == 0.0
    assert send.drift(send.CYCLE_S * 0.999) == pytest.approx(1.0, abs=0.01)
    assert send.drift(send.CYCLE_S) == 0.0


@pytest.mark.serve
def test_the_service_is_alarmed_by_the_drift_and_not_before(
    stored: tuple[send.Rows, send.Rows],
) -> None:
    with engines.embedded(BUNDLES) as running, Client(running.url) as client:
        stream = send.requests(*stored, seed=0)
        before = itertools.takewhile(lambda one: one.at_s < send.DAY_S / 6, stream)
        ask_each(client, before)
        assert client.drift(send.MODEL)["alarm"] is False
        late = itertools.dropwhile(lambda one: send.drift(one.at_s) < 0.4, stream)
        ask_each(client, itertools.islice(late, 400))
        give_up = time.monotonic() + 20
        while not client.drift(send.MODEL)["alarm"]:  # it is looked at beside the answers
            assert time.monotonic() < give_up
            time.sleep(0.5)


def ask_each(client: Client, stream: Iterator[send.Request]) -> None:
    """As it is sent, but without waiting."""
    for request in stream:
        send.ask(client, request)
