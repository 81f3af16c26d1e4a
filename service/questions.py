"""Parsed JSON into expectations to estimate, with the culprit named where that is not possible."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.errors import invalid
from service.expectation import Mean, Probability, Quantile, Question, Questions, Variance
from service.rows import listed

MAX_QUESTIONS = 64  # each may keep a number of every sample until the answer
_KINDS = (
    '{"mean": feature}, {"variance": feature}, {"quantile": feature, "q": number} or '
    '{"probability": {feature: [low, high], ..}}'
)


def questions(value: object, names: Sequence[str]) -> Questions:
    """What the field ``of`` asks for.

    Args:
        value: As parsed.
        names: Of the features, in order.

    Raises:
        ServiceError: Naming the first entry that is not as expected.
    """
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_QUESTIONS:
        got = f"{len(value)}" if isinstance(value, list) else "something else"
        raise invalid(f"expected 'of' to be a list of 1 to {MAX_QUESTIONS} entries, got {got}")
    reader = Reader({name: index for index, name in enumerate(names)})
    return Questions(tuple(reader.read(entry, f"entry {i}") for i, entry in enumerate(value)))


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one expectation at a time; errors say which by the word it is called.

    Attributes:
        places: Index of each feature by its name.
    """

    places: Mapping[str, int]

    def read(self, entry: object, called: str) -> Question:
        """An entry of ``of``.

        Raises:
            ServiceError: ``invalid_input``.
        """
        match entry:
            case {"mean": feature, **rest} if not rest:
                return Mean(self._place(feature, called))
            case {"variance": feature, **rest} if not rest:
                return Variance(self._place(feature, called))
            case {"quantile": feature, "q": q, **rest} if not rest:
                return self.quantile(feature, q, called)
            case {"probability": dict(box), **rest} if not rest:
                return self.probability(box, called)
        raise invalid(f"expected {called} of 'of' to be {_KINDS}")

    def quantile(self, feature: object, q: object, called: str) -> Quantile:
        """The quantile of a feature.

        Raises:
            ServiceError: If there is no such feature, or q is not between 0 and 1.
        """
        if type(q) not in (int, float) or not 0.0 < q < 1.0:  # type: ignore[operator]
            raise invalid(f"expected 'q' of {called} between 0 and 1, got {_shown(q)}")
        return Quantile(self._place(feature, called), float(q))  # type: ignore[arg-type]

    def probability(self, box: Mapping[str, object], called: str) -> Probability:
        """The probability that every named feature is in its closed interval.

        Raises:
            ServiceError: If a feature is not known, or its ends are not an interval.
        """
        if not box:
            raise invalid(f"expected {called} to name at least one feature with its [low, high]")
        features = tuple(self._place(feature, called) for feature in box)
        ends = [_interval(feature, value, called) for feature, value in box.items()]
        low, high = zip(*ends, strict=True)
        return Probability(features, low, high)

    def _place(self, feature: object, called: str) -> int:
        if not isinstance(feature, str) or feature not in self.places:
            raise invalid(
                f"{called} has the unknown feature {_shown(feature)}; "
                f"expected {listed(list(self.places))}"
            )
        return self.places[feature]


def _interval(feature: str, value: object, called: str) -> tuple[float, float]:
    if isinstance(value, list) and len(value) == 2 and all(map(_is_end, value)):
        low = -math.inf if value[0] is None else float(value[0])
        high = math.inf if value[1] is None else float(value[1])
        if low <= high:
            return low, high
    raise invalid(
        f"expected the interval of {feature!r} in {called} to be [low, high] with low at most "
        f"high, null for an open end, got {_shown(value)}"
    )


def _is_end(value: object) -> bool:
    if value is None:
        return True
    try:
        return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]
    except OverflowError:
        return False


def _shown(value: object) -> str:
    return repr(value)[:64]
