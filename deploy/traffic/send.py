"""Sends a service requests as its callers would, so that a dashboard has something to show.

    python send.py --url http://127.0.0.1:8000

Requests come at random times, more of them at some times than at others, and most have a few rows.
Some rows are anomalies. In the last third of every half hour the shuttle is more and more in a
state that was rare when its model was calibrated: then the service should raise its alarm.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from logdet.client import Client, ServiceRefused

Rows = NDArray[np.float64]

MODEL = "shuttle"
RATE_HZ = 8.0  # requests, on average
DAY_S = 600.0  # in which traffic rises and falls once
CYCLE_S = 1800.0
DRIFT_FROM = 2 / 3  # of a cycle
RARE = 0.9  # rows whose first feature is over this quantile are what it drifts to
ANOMALIES = 0.01
TOLD_EVERY_S = 60.0
# How often each is asked, and about how many rows on average.
MIX = {
    "score": (0.7, 8),
    "log_prob": (0.15, 16),
    "reasons": (0.08, 2),
    "batch": (0.04, 256),
    "sample": (0.03, 64),
}


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask, and when.

    Args:
        at_s: Seconds after the start.
        kind: A name in :data:`MIX`.
        rows: Shape ``(rows, features)``; of ``sample`` only their number counts.
    """

    at_s: float
    kind: str
    rows: Rows


def read_rows(path: Path) -> tuple[Rows, Rows]:
    """Normal rows and anomalies, each of shape ``(rows, features)``."""
    values = np.loadtxt(path, delimiter=",", skiprows=1)
    labels, rows = values[:, -1], values[:, :-1]
    return rows[labels == 0], rows[labels == 1]


def requests(normal: Rows, anomalies: Rows, seed: int) -> Iterator[Request]:
    """Requests without end, in order; the same ones for the same seed."""
    rng = np.random.default_rng(seed)
    usual = _without_end(normal, rng)
    rare = _without_end(normal[normal[:, 0] > np.quantile(normal[:, 0], RARE)], rng)
    kinds, shares = list(MIX), [share for share, _ in MIX.values()]
    at_s = 0.0
    while True:
        at_s += rng.exponential(1 / rate(at_s))
        kind = str(rng.choice(kinds, p=shares))
        has_drifted = rng.random(rng.geometric(1 / MIX[kind][1])) < drift(at_s)
        rows = np.stack([next(rare if one else usual) for one in has_drifted])
        strange = rng.random(len(rows)) < ANOMALIES
        rows[strange] = rng.choice(anomalies, int(strange.sum()))
        yield Request(at_s, kind, rows)


def rate(at_s: float) -> float:
    """Requests a second at a time."""
    return RATE_HZ * (1 + 0.6 * math.sin(2 * math.pi * at_s / DAY_S))


def drift(at_s: float) -> float:
    """The share of rows that are of the rare state at a time: none, then more and more."""
    return max(0.0, (at_s % CYCLE_S / CYCLE_S - DRIFT_FROM) / (1 - DRIFT_FROM))


def ask(client: Client, request: Request) -> None:
    """Ask it.

    Raises:
        ServiceRefused: If there is no answer.
    """
    if request.kind == "sample":
        client.sample(MODEL, len(request.rows))
    elif request.kind == "log_prob":
        client.log_prob(MODEL, request.rows)
    else:
        client.score(MODEL, request.rows, explain=request.kind == "reasons")


def send(client: Client, stream: Iterator[Request]) -> None:
    """Ask each at its time, and tell every minute how it goes."""
    started = told = time.monotonic()
    seen: Counter[str] = Counter()
    for request in stream:
        time.sleep(max(0.0, started + request.at_s - time.monotonic()))
        try:
            ask(client, request)
            seen["answered"] += 1
        except ServiceRefused as error:
            seen[error.kind] += 1
        if time.monotonic() - told > TOLD_EVERY_S:
            sys.stdout.write(f"{', '.join(f'{n} {kind}' for kind, n in seen.items())}\n")
            sys.stdout.flush()
            told = time.monotonic()


def _without_end(rows: Rows, rng: np.random.Generator) -> Iterator[Rows]:
    """Row after row in random order, and all of them before one comes again."""
    while True:
        yield from rng.permutation(rows)


def main() -> None:
    """Send until it is stopped."""
    parser = argparse.ArgumentParser(description="Sends a service requests as callers would.")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="of the service")
    parser.add_argument("--seed", type=int, default=0, help="of the requests")
    given = parser.parse_args()
    normal, anomalies = read_rows(Path(__file__).with_name("rows.csv.gz"))
    with Client(given.url) as client:
        send(client, requests(normal, anomalies, given.seed))


if __name__ == "__main__":
    main()
