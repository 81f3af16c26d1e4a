"""How long a call tries, on a clock of the test's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from logdet.client.errors import (
    BY_KIND,
    DeadlineExceeded,
    InvalidInput,
    NotReady,
    Overloaded,
    ServiceFailed,
    ServiceRefused,
    Unavailable,
    refused,
    seconds,
)
from logdet.client.patience import FIRST_PAUSE_S, LONGEST_PAUSE_S, Attempt, Patience
from logdet.client.wire import Document
from service.errors import ErrorKind

ASKED = Document("gauss")
Outcome = str | ServiceRefused


class Clock:
    """Seconds that pass only when something takes them."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def longest(low: float, high: float) -> float:
    assert low == 0.0
    return high


def trying(
    outcome: Callable[[int], Outcome],
    *,
    timeout: float | None = 30.0,
    retries: int = 4,
    takes: float = 0.0,
) -> tuple[Outcome, list[Attempt]]:
    """What a call comes to, and its attempts; each takes so many seconds."""
    clock, attempts = Clock(), []
    steps = Patience(timeout, retries, clock, longest).until(None).persist(ASKED)
    try:
        attempt = next(steps)
        while True:
            attempts.append(attempt)
            within_s = takes if attempt.within_s is None else min(takes, attempt.within_s)
            clock.now += attempt.after_s + within_s
            came = outcome(len(attempts))
            attempt = steps.throw(came) if isinstance(came, Exception) else steps.send(came)
    except StopIteration as end:
        return end.value, attempts
    except ServiceRefused as error:
        return error, attempts


def flaky(failures: int, error: ServiceRefused) -> Callable[[int], Outcome]:
    return lambda attempt: error if attempt <= failures else "answer"


def test_a_good_call_is_one_attempt_with_all_of_the_time() -> None:
    assert trying(flaky(0, Overloaded("."))) == ("answer", [Attempt(ASKED, 0.0, 30.0)])


def test_a_call_without_a_limit_is_given_none_but_retries_are_counted() -> None:
    came, attempts = trying(flaky(99, NotReady(".")), timeout=None, retries=2, takes=1e6)
    assert isinstance(came, NotReady)
    assert [attempt.within_s for attempt in attempts] == [None] * 3
    assert next(Patience(None, 2, Clock()).until(5.0).persist(ASKED)).within_s == 5.0


def test_pauses_double_up_to_the_longest() -> None:
    _, attempts = trying(flaky(99, Unavailable(".")), timeout=1000.0, retries=8)
    doubled = [FIRST_PAUSE_S * 2**i for i in range(8)]
    assert doubled[-1] > LONGEST_PAUSE_S
    expected = [0.0, *(min(pause, LONGEST_PAUSE_S) for pause in doubled)]
    assert [attempt.after_s for attempt in attempts] == pytest.approx(expected)


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_retries_are_counted_and_the_last_refusal_is_raised(retries: int) -> None:
    came, attempts = trying(flaky(99, NotReady("loading")), retries=retries)
    assert str(came) == "loading"
    assert len(attempts) == retries + 1


def test_an_answer_after_failures_is_the_answer() -> None:
    came, attempts = trying(flaky(2, Overloaded("busy")))
    assert came == "answer"
    assert len(attempts) == 3


def test_each_attempt_is_given_what_is_left() -> None:
    _, attempts = trying(flaky(2, Overloaded("busy")), timeout=10.0, takes=3.0)
    assert [a.within_s for a in attempts] == pytest.approx([10.0, 6.9, 3.7])


def test_the_services_wish_is_the_least_pause() -> None:
    _, attempts = trying(flaky(1, Overloaded("busy", retry_after_s=2.0)))
    assert attempts[1].after_s == pytest.approx(2.0 + FIRST_PAUSE_S)


def test_a_pause_beyond_the_deadline_is_not_waited_for() -> None:
    came, attempts = trying(flaky(9, Overloaded("busy", retry_after_s=60.0)), timeout=30.0)
    assert isinstance(came, Overloaded)
    assert len(attempts) == 1


@pytest.mark.parametrize(
    "error", [DeadlineExceeded("late"), InvalidInput("no"), ServiceFailed("")]
)
def test_what_would_fail_again_is_not_tried_again(error: ServiceRefused) -> None:
    came, attempts = trying(flaky(1, error))
    assert came is error
    assert len(attempts) == 1


def test_the_next_piece_of_a_call_that_is_over_is_not_sent() -> None:
    clock = Clock()
    until = Patience(5.0, 4, clock).until(None)
    clock.now += 5.0
    with pytest.raises(DeadlineExceeded, match="within 5 s"):
        next(until.persist(ASKED))


def test_the_jitter_is_full_and_random() -> None:
    clock: Any = Clock()
    pauses = set()
    for _ in range(50):
        steps = Patience(30.0, 1, clock).until(None).persist(ASKED)
        next(steps)
        pauses.add(steps.throw(Unavailable(".")).after_s)
    assert len(pauses) > 40
    assert 0.0 <= min(pauses) < FIRST_PAUSE_S / 3
    assert FIRST_PAUSE_S / 1.5 < max(pauses) <= FIRST_PAUSE_S


@pytest.mark.parametrize("timeout", [0.0, -1.0, math.inf, math.nan])
def test_a_time_that_is_none_is_refused(timeout: float) -> None:
    with pytest.raises(InvalidInput, match="timeout in seconds above 0"):
        Patience(timeout, 4)
    with pytest.raises(InvalidInput, match="timeout in seconds above 0"):
        Patience(1.0, 4).until(timeout)


def test_a_time_in_words_is_refused() -> None:
    with pytest.raises(InvalidInput, match="timeout in seconds above 0, got '5'"):
        Patience("5", 4)  # type: ignore[arg-type]


def test_fewer_retries_than_none_are_refused() -> None:
    with pytest.raises(InvalidInput, match="retries to be 0 or more, got -1"):
        Patience(1.0, -1)


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_every_kind_of_the_service_is_an_error_of_its_own(kind: ErrorKind) -> None:
    error = refused(kind.value, "why")
    assert error.kind == kind.value
    assert str(error) == "why"
    if kind is not ErrorKind.INTERNAL:
        assert type(error) is BY_KIND[kind.value]


def test_what_is_worth_another_try() -> None:
    temporary = {kind for kind, error in BY_KIND.items() if error.is_temporary}
    assert temporary == {"rate_limited", "overloaded", "not_ready", "unavailable"}


@pytest.mark.parametrize(
    ("text", "expected"), [("7", 7.0), (None, 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0)]
)
def test_how_long_the_service_asks_to_wait(text: str | None, expected: float) -> None:
    assert seconds(text) == expected
