"""One page for all replicas, made rarely, honest when it is not whole."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from service import scrape
from service.scrape import Scrape

OWN = '# HELP a_total A.\n# TYPE a_total counter\na_total{replica="1"} 1.0\n'
OTHER = OWN.replace('"1"', '"2"')


class Replicas:
    """Gives two pages, and counts how often it was asked."""

    def __init__(self, *failures: Exception) -> None:
        self.asked = 0
        self._failures = list(failures)

    async def __call__(self) -> Sequence[str]:
        self.asked += 1
        await asyncio.sleep(0.01)
        if self._failures:
            raise self._failures.pop()
        return [OWN, OTHER]


def page_of(replicas: Replicas, *expected: type[Exception]) -> Scrape:
    return Scrape(lambda: OWN, replicas, *expected)


def test_the_page_has_every_replica_and_says_that_it_is_whole() -> None:
    page = asyncio.run(page_of(Replicas()).page())
    assert 'a_total{replica="1"} 1.0' in page
    assert 'a_total{replica="2"} 1.0' in page
    assert page.count("# TYPE a_total") == 1
    assert "logdet_scrape_incomplete 0" in page


def test_many_scrapes_at_once_ask_the_replicas_once() -> None:
    replicas = Replicas()
    scraped = page_of(replicas)

    async def scene() -> list[str]:
        return await asyncio.gather(*(scraped.page() for _ in range(20)))

    assert len(set(asyncio.run(scene()))) == 1
    assert replicas.asked == 1


def test_a_page_is_made_again_when_it_is_a_second_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape, "MAX_AGE_S", 0.05)
    replicas = Replicas()
    scraped = page_of(replicas)

    async def scene() -> None:
        await scraped.page()
        await asyncio.sleep(0.1)
        await scraped.page()

    asyncio.run(scene())
    assert replicas.asked == 2


def test_a_replica_that_fails_leaves_the_own_page_and_says_so() -> None:
    page = asyncio.run(page_of(Replicas(LookupError("gone")), LookupError).page())
    assert 'a_total{replica="1"} 1.0' in page
    assert 'replica="2"' not in page
    assert "logdet_scrape_incomplete 1" in page


def test_replicas_that_do_not_answer_in_time_leave_the_own_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scrape, "TIMEOUT_S", 0.001)
    page = asyncio.run(page_of(Replicas()).page())
    assert "logdet_scrape_incomplete 1" in page
