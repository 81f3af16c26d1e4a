from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from service.choice import DEFAULT, Choice
from service.results import Evaluated
from service.selfcheck import Given, Picks, SelfCheck
from service.selfcheck_bounds import deviations
from tests.bundles import ordinary_rows
from tests.checked import loaded, started, write_checked


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checked(tmp_path_factory.mktemp("bundles"))


class Seen:
    """Takes the answers that are picked; nothing is checked."""

    def __init__(self) -> None:
        self.given: list[Given] = []

    def __call__(self, check: SelfCheck, given: Given) -> bool:
        self.given.append(given)
        return True


def watching(root: Path, every: int, seen: Seen, name: str = "referenced") -> SelfCheck:
    core = started(root, every)
    check = core.work.checker.watch(loaded(root, name))
    assert check is not None
    check._offer = seen
    return check


def test_one_ordinary_row_in_a_thousand_is_picked_whatever_the_batches(root: Path) -> None:
    seen = Seen()
    check, model = watching(root, 1000, seen), loaded(root)
    every, rng = ordinary_rows(6000), np.random.default_rng(0)
    answers = model.evaluate(every)
    low, high = check._bounds.low, check._bounds.high
    ordinary = 0
    for _ in range(400):
        some = rng.integers(0, len(every), rng.choice([1, 7, 256, 1024]))
        x = every[some]
        answer = Evaluated(*(getattr(answers, f)[some] for f in Evaluated._fields))
        ordinary += int(((answer.log_prob >= low) & (answer.log_prob <= high)).sum())
        check.saw(x, DEFAULT, answer)
    assert ordinary > 100_000
    assert len(seen.given) in (ordinary // 1000, ordinary // 1000 + 1)


def test_places_are_drawn_anew_for_each_block_of_rows() -> None:
    draws = iter([3, 0, 9, 5])
    picks = Picks(10, lambda size: next(draws))
    assert picks.passing(4) == [3]
    assert picks.passing(6) == []
    assert picks.passing(1) == [0]
    assert picks.passing(19) == [18]


def test_rows_unlike_the_data_are_never_picked(root: Path) -> None:
    seen = Seen()
    check, model = watching(root, 1, seen), loaded(root)
    x = ordinary_rows(500)
    x[:100, 0] += 20.0  # ten deviations
    x[100, 0], x[101, 2] = np.nan, 3.5
    answer = model.evaluate(x)
    check.saw(x, DEFAULT, answer)
    picked = np.concatenate([given.x for given in seen.given])
    assert not (picked[:, 0] > 25.0).any()
    assert np.isfinite(picked).all()
    assert 0.95 * 398 < len(picked) <= 398
    threshold = model.calibration.threshold(0.01)
    assert min(given.log_prob[0] for given in seen.given) >= threshold
    assert max(given.log_prob[0] for given in seen.given) <= model.calibration.scores[-1]


def test_only_answers_at_the_default_steps_are_checked(root: Path) -> None:
    seen = Seen()
    check = watching(root, 1, seen, "stepped")
    model, x = loaded(root, "stepped"), ordinary_rows(20)
    check.saw(x, Choice(steps=4), model.evaluate(x, steps=4))
    assert not seen.given
    check.saw(x, Choice(steps=8), model.evaluate(x, steps=8))
    assert seen.given


def test_half_of_the_training_range_stands_in_for_a_deviation(root: Path) -> None:
    features = loaded(root).manifest.features
    assert deviations(features).tolist() == [6.0, 5.0, 20.5]
    told = tuple(feature.model_copy(update={"deviation": 2.0}) for feature in features)
    assert deviations(told).tolist() == [2.0, 2.0, 2.0]
