"""How long a call tries: backoff with full jitter, within one deadline for the whole call.

Every operation is pure, so what was lost may be asked again.

References:
    Brooker, Exponential Backoff And Jitter (2015), "Full Jitter".
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import count
from numbers import Real
from typing import Any, TypeVar

from logdet.client.errors import DeadlineExceeded, InvalidInput, ServiceRefused
from logdet.client.wire import Asked

T = TypeVar("T")

FIRST_PAUSE_S = 0.1  # the most before the second attempt; doubles with every further one
LONGEST_PAUSE_S = 5.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a client is to do next: wait, send, and say what came of it.

    Attributes:
        asked: To be sent.
        after_s: Seconds to wait before.
        within_s: Seconds that it may take from then on; None sets no limit.
    """

    asked: Asked
    after_s: float
    within_s: float | None


# A call: gives attempts, is given their replies (or thrown their errors), returns its result.
Steps = Generator[Attempt, Any, T]


@dataclass(frozen=True, slots=True)
class Patience:
    """Of a client.

    Attributes:
        timeout_s: Of a call that does not say otherwise, all its attempts and pauses together;
            None sets no limit.
        retries: Attempts after the first.
        clock: Seconds that never go back.
        jitter: A random number between two.
    """

    timeout_s: float | None
    retries: int
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[float, float], float] = random.uniform

    def __post_init__(self) -> None:
        if self.retries < 0:
            raise InvalidInput(f"expected retries to be 0 or more, got {self.retries}")
        if self.timeout_s is not None:
            _check(self.timeout_s)

    def until(self, timeout_s: float | None) -> Deadline:
        """The deadline of a call that begins now.

        Raises:
            InvalidInput: If the time is not above zero and finite.
        """
        allowed = self.timeout_s if timeout_s is None else timeout_s
        if allowed is None:
            allowed = math.inf
        else:
            _check(allowed)
        return Deadline(self, allowed, self.clock() + allowed)


@dataclass(frozen=True, slots=True)
class Deadline:
    """Of one call.

    Attributes:
        patience: The client's.
        allowed_s: Seconds that the call was given; infinite where there is no limit.
        at: When they are over, on the clock of ``patience``.
    """

    patience: Patience
    allowed_s: float
    at: float

    def persist(self, asked: Asked) -> Steps[Any]:
        """The reply, in as many attempts as it takes and as are allowed.

        Raises:
            ServiceRefused: The last refusal.
        """
        pause = 0.0
        for retry in count():
            left = self.at - self.patience.clock() - pause
            if left <= 0:
                raise DeadlineExceeded(f"no answer within {self.allowed_s:g} s")
            try:
                return (yield Attempt(asked, pause, None if left == math.inf else left))
            except ServiceRefused as error:
                pause = self._pause(retry, error)
                spent = self.patience.clock() + pause >= self.at
                if not error.is_temporary or retry == self.patience.retries or spent:
                    raise
        raise AssertionError  # count() does not end

    def _pause(self, retry: int, error: ServiceRefused) -> float:
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0**retry)
        return error.retry_after_s + self.patience.jitter(0.0, longest)


def _check(timeout_s: float) -> None:
    if not isinstance(timeout_s, Real) or not 0.0 < timeout_s < math.inf:
        raise InvalidInput(f"expected a timeout in seconds above 0, got {timeout_s!r}")
