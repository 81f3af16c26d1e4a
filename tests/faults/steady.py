"""Clients that ask at a steady rate while something is broken, and each retry at most once."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

import numpy as np

from logdet import Client
from logdet.client.client import RETRIES
from logdet.client.errors import ServiceRefused
from tests.bundles import exact, ordinary_rows

ROWS = ordinary_rows(3)
LOG_PROB = exact(ROWS).log_prob
BODY = json.dumps({"rows": ROWS.tolist()})
PATH, HEADERS = "/v1/models/gauss/log_prob", {"content-type": "application/json"}
PAUSE_S = 0.1  # before the one retry
PATIENCE_S = 20.0
# What usual clients try again: no connection, a lost one, these statuses; also in our own words.
RETRYABLE = frozenset({"refused", "lost", "502", "503", "504", "unavailable", "not_ready"})


class FailedError(Exception):
    """A request without its answer; the reason in a word."""


class Asker(Protocol):
    """One client."""

    def ask(self) -> None:
        """Send a request and check its answer.

        Raises:
            FailedError: If there is none.
            AssertionError: If it is wrong.
        """

    def close(self) -> None:
        """Give the connections back."""


class Bare:
    """HTTP on one connection, without a retry."""

    def __init__(self, url: str) -> None:
        self._http = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)

    def ask(self) -> None:
        try:
            self._http.request("POST", PATH, BODY, HEADERS)
            answer = self._http.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._http.close()
            raise FailedError(_word(error)) from error
        if answer.status != http.HTTPStatus.OK:
            raise FailedError(str(answer.status))
        _check(json.loads(body)["log_prob"])

    def close(self) -> None:
        self._http.close()


class Ours:
    """:class:`logdet.Client`, whose own retries are those that it is given."""

    def __init__(self, url: str, retries: int) -> None:
        self._client = Client(url, timeout=PATIENCE_S, retries=retries)

    def ask(self) -> None:
        try:
            answer = self._client.log_prob("gauss", ROWS)
        except ServiceRefused as error:
            raise FailedError(error.kind) from error
        _check(answer.log_prob)

    def close(self) -> None:
        self._client.close()


@dataclass(slots=True)
class Told:
    """What became of the requests of one kind of client.

    Attributes:
        sent: Requests, without retries.
        first: Attempts that failed, by when they ended and why.
        after: Requests that failed after their retry as well, by why.
        wrong: Answers with a wrong value.
        answered: When answers came.
    """

    sent: int = 0
    first: list[tuple[float, str]] = field(default_factory=list)
    after: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    answered: list[float] = field(default_factory=list)

    def recovered_s(self, since: float) -> float:
        """Seconds from a moment on until no attempt failed any more."""
        return max((at - since for at, _ in self.first), default=0.0)

    def longest_gap_s(self) -> float:
        """Longest time without an answer."""
        return float(np.max(np.diff(sorted(self.answered)), initial=0.0))

    def reasons(self) -> Counter[str]:
        """Why first attempts failed."""
        return Counter(why for _, why in self.first)


class Steady:
    """Clients of some kinds at a steady rate each, from entering to leaving.

    Args:
        kinds: Makes a client, by name.
        rate: Requests a second of each kind.
        clients: Connections of each kind.
    """

    def __init__(
        self, kinds: dict[str, Callable[[], Asker]], rate: float = 40.0, clients: int = 2
    ) -> None:
        self.told = {name: Told() for name in kinds}
        self._stop = threading.Event()
        self._every = clients / rate
        self._threads = [
            threading.Thread(target=self._client, args=(self.told[name], make))
            for name, make in kinds.items()
            for _ in range(clients)
        ]

    def __enter__(self) -> Steady:
        for thread in self._threads:
            thread.start()
        until = time.monotonic() + PATIENCE_S
        while not all(one.answered for one in self.told.values()) and time.monotonic() < until:
            time.sleep(0.02)  # a client's first request loads what it is made of
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _client(self, told: Told, make: Callable[[], Asker]) -> None:
        asker, due = make(), time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._every, time.monotonic())
            told.sent += 1
            self._ask(asker, told)
        asker.close()

    def _ask(self, asker: Asker, told: Told) -> None:
        for last in (False, True):
            try:
                asker.ask()
            except FailedError as error:
                told.first += [] if last else [(time.monotonic(), str(error))]
                told.after[str(error)] += last
            except AssertionError:
                told.wrong += 1
                return
            else:
                told.answered.append(time.monotonic())
                return
            time.sleep(PAUSE_S)


def kinds(url: str, address: str | None = None) -> dict[str, Callable[[], Asker]]:
    """Bare HTTP, and :class:`logdet.Client` without its own retries and with them."""
    found: dict[str, Callable[[], Asker]] = {
        "HTTP": lambda: Bare(url),
        "logdet.Client, retries=0": lambda: Ours(url, retries=0),
        "logdet.Client": lambda: Ours(url, retries=RETRIES),
    }
    if address is not None:
        found["logdet.Client, gRPC, retries=0"] = lambda: Ours(f"grpc://{address}", retries=0)
    return found


def _check(got: Sequence[float]) -> None:
    np.testing.assert_allclose(got, LOG_PROB, atol=1e-3)


def _word(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    return "late" if isinstance(error, TimeoutError) else "lost"
