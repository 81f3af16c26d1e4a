"""Sums over a stream, and tests of them that hold for any rows."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from exported.calibration import Calibration
from exported.latents import LatentMoments
from exported.origin import moment
from exported.trimming import trim
from service.drift.difference import Difference
from service.drift.report import report
from service.drift.sketch import Level, Sketch
from service.drift.sums import BINS, Ordinary
from service.drift.windows import LENGTHS, LOOKS
from service.model import Model
from service.results import NON_FINITE_INPUT, OK, OUT_OF_SUPPORT, Evaluated
from service.runtime import Runtime
from tests.bundles import SITE, ordinary_rows
from tests.watched import RATE, calibrated, drawn, show, taken, write_watched


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = write_watched(tmp_path_factory.mktemp("bundles"))
    return Model.load(folder, Runtime.choose("cpu", sessions=1))


@pytest.fixture(scope="module")
def ordinary(model: Model) -> Evaluated:
    """Ordinary rows, a few of which are out of support or have no answer."""
    x = ordinary_rows(20_000, seed=5)
    x[::100, 3] += 1.0
    x[7::1000, 0] = np.nan
    return model.evaluate(x)


@pytest.fixture(scope="module")
def shifted(model: Model) -> Evaluated:
    return model.evaluate(moved_rows(5_000, 6, 1.0, 0.0, 0.0, 0.0))


def moved_rows(rows: int, seed: int, *by: float) -> NDArray[np.float64]:
    """Ordinary rows, each column moved."""
    return ordinary_rows(rows, seed=seed) + np.array(by)


def looked(sketch: Sketch, place: int = 0) -> Difference:
    look = sketch.looks[place]
    assert look is not None
    return look[1]


def test_a_bundle_tells_of_its_latents_and_its_service_compares_with_them(model: Model) -> None:
    assert model.latents is not None
    assert model.manifest.calibration.latent_rows == model.latents.rows == 999
    sketch = Sketch(Ordinary(model), RATE, "watched/1")
    show(sketch, model.evaluate(ordinary_rows(2_000, seed=9)))
    assert sketch.since is None
    assert looked(sketch).latents.shape == (2, 3)
    show(sketch, model.evaluate(moved_rows(1_000, 9, 0.0, 0.7, 0.0, 0.0)))
    assert sketch.since is not None


def test_statistics_are_those_of_the_rows(model: Model, ordinary: Evaluated) -> None:
    """Held against what numpy and scipy make of the rows themselves."""
    known, window = taken(ordinary, slice(0, 999)), taken(ordinary, slice(5_000, 6_000))
    known = taken(known, ~np.isnan(known.log_prob))
    sketch = calibrated(model, known)
    show(sketch, window)
    found = looked(sketch)
    assert sketch.looks[0] is not None
    score = window.log_prob[~np.isnan(window.log_prob)]
    assert sketch.looks[0][0] == len(score) == 999
    u = scipy.stats.mannwhitneyu(score, known.log_prob).statistic
    assert found.shift == pytest.approx(u / len(score) / len(known.log_prob) - 0.5)
    largest = scipy.stats.ks_2samp(score, known.log_prob).statistic
    assert largest - 1 / BINS <= found.distance <= largest
    mine, theirs = (
        np.clip(part.z[part.status == OK].astype(np.float64), -3, 3) for part in (window, known)
    )
    expected = [(mine**k).mean(axis=0) - (theirs**k).mean(axis=0) for k in (1, 2)]
    np.testing.assert_allclose(found.latents, expected, atol=1e-6)


def test_calibration_rows_do_not_differ_from_themselves(model: Model, ordinary: Evaluated) -> None:
    known = taken(ordinary, slice(0, 1000))
    known = known._replace(status=np.where(known.status == NON_FINITE_INPUT, OK, known.status))
    known = Evaluated(*(np.nan_to_num(column, neginf=-np.inf) for column in known[:3]), known[3])
    sketch = calibrated(model, known)
    show(sketch, known)
    found = looked(sketch)
    assert found.shift == pytest.approx(0.0, abs=1e-12)
    assert found.distance == 0.0
    np.testing.assert_allclose(found.latents, 0.0, atol=1e-12)
    assert found.smallest_p == pytest.approx(1.0)


def test_rows_that_were_trimmed_are_no_drift(model: Model, shifted: Evaluated) -> None:
    """Half of the rows are far off; the calibration scores are those of the rest."""
    both = ordinary_rows(4_000, seed=8) + np.repeat([[0.0], [1.0]], 2_000, axis=0) * [9, 0, 0, 0]
    seen = model.evaluate(both)
    kept, trimmed = trim(seen.log_prob, 0.4)
    calibration = model.manifest.calibration.model_copy(update={"trimmed": trimmed})
    changed = replace(
        model,
        manifest=model.manifest.model_copy(update={"calibration": calibration}),
        calibration=Calibration.of(seen.log_prob[kept]),
        latents=LatentMoments.of(model.manifest.base, seen.z),
    )
    rng = np.random.default_rng(0)
    sketch = Sketch(Ordinary(changed), RATE, "watched/1")
    show(sketch, drawn(seen, 20_000, rng))
    assert sketch.since is None
    assert looked(sketch, 1).smallest_p > 1e-3
    show(sketch, drawn(taken(seen, slice(0, 2_000)), 1_000, rng))  # the far ones are gone
    assert sketch.since is not None
    untold = Sketch(Ordinary(replace(changed, manifest=model.manifest)), RATE, "watched/1")
    show(untold, drawn(seen, 1_000, rng))
    assert untold.since is not None


SPIKES = np.array([0.0] * 960 + [3.0] * 40)
ROUGH = {
    "rare and far off": SPIKES[:, None],
    "two values": np.repeat([[0.2], [0.4]], 500, axis=0),
    "heavy tails": scipy.stats.t(1).ppf((np.arange(1000) + 0.5) / 1000)[:, None],
}


@pytest.mark.parametrize("name", ROUGH)
@pytest.mark.parametrize(("n", "m"), [(12, 250), (80, 80), (400, 30)])
def test_p_values_hold_on_rough_rows_and_few_of_them(
    model: Model, name: str, n: int, m: int
) -> None:
    """Of rows alike at most a share p has a p-value up to p, for each test by itself."""
    rng, values, draws = np.random.default_rng(0), ROUGH[name], 1500
    base = model.manifest.base.model_copy(update={"draws_per_row": 1})
    changed = replace(model, manifest=model.manifest.model_copy(update={"base": base}))
    found: list[NDArray[np.float64]] = []
    for _ in range(draws):
        z = values[rng.integers(0, len(values), n + m)]
        rows = Evaluated(z[:, 0], z, z[:, 0], np.zeros(n + m, np.uint8))
        ordinary = calibrated(changed, taken(rows, slice(0, n))).ordinary
        window = taken(rows, slice(n, None))
        d = Difference.of(ordinary.of(window.log_prob, window.z, window.status), ordinary.sums)
        found.append(np.array([d.shift_p, d.distance_p, *d.latents_p[:, 0]]))
    for level in (0.2, 0.05, 0.01):
        few = scipy.stats.binom.ppf(0.9999, draws, level)
        assert ((np.array(found) <= level).sum(axis=0) <= few).all()


def test_requests_of_any_size_make_the_same_windows(model: Model, ordinary: Evaluated) -> None:
    known = taken(ordinary, slice(0, 7))
    by_one, by_many = calibrated(model, known), calibrated(model, known)
    rows = taken(ordinary, slice(7, 3_700))
    show(by_one, rows, 1)
    show(by_many, rows, 999)
    by_many.add()
    assert by_one.rows == by_many.rows == 3_500
    states = [sketch.state("0") for sketch in (by_one, by_many)]
    for one, other in zip(*(state.windows for state in states), strict=True):
        assert (one.scored, one.encoded) == (other.scored, other.encoded)
        np.testing.assert_array_equal(one.bins, other.bins)
        np.testing.assert_allclose(one.powers, other.powers)
        assert one.below == pytest.approx(other.below)


def test_windows_are_the_last_rows_and_no_more_is_kept(model: Model, ordinary: Evaluated) -> None:
    fine = taken(ordinary, ordinary.status == OK)
    sketch = calibrated(model, taken(fine, slice(0, 500)))
    rng = np.random.default_rng(1)
    stream = drawn(fine, 131_500, rng)
    show(sketch, stream)
    windows = sketch.state("0").windows
    assert [window.scored for window in windows] == list(LENGTHS)
    # The longer ones move on by a quarter of themselves.
    for window, stop in zip(windows, (131_500, 130_000, 125_000), strict=True):
        last = taken(stream, slice(stop - window.scored, stop))
        direct = sketch.ordinary.of(last.log_prob, last.z, last.status)
        np.testing.assert_array_equal(window.bins, direct.bins)
        np.testing.assert_allclose(window.powers, direct.powers)


def test_an_alarm_begins_with_the_shift_and_ends_when_the_rows_are_gone(
    model: Model, ordinary: Evaluated, shifted: Evaluated, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(2)
    sketch = calibrated(model, taken(ordinary, ~np.isnan(ordinary.log_prob)))
    show(sketch, drawn(ordinary, 5_000, rng))
    assert sketch.since is None
    show(sketch, drawn(shifted, 1_000, rng))
    began = sketch.since
    assert began is not None
    assert looked(sketch).latents_p[0, 0] <= sketch.level.p_value
    show(sketch, drawn(shifted, 1_000, rng))
    assert (sketch.since, sketch.alarms) == (began, 1)
    show(sketch, drawn(ordinary, 130_000, rng))
    assert (sketch.since, sketch.alarms) == (None, 1)
    show(sketch, drawn(shifted, 1_000, rng))
    assert sketch.alarms == 2
    assert caplog.messages == [  # an hour has not gone by
        "watched/1: the last 1000 rows are unlike the calibration rows; "
        "/v1/models/watched/drift says how"
    ]


def test_rows_of_two_replicas_are_told_of_as_those_of_one(
    model: Model, ordinary: Evaluated
) -> None:
    far = model.evaluate(moved_rows(1_000, 6, 4.0, 0.0, 0.0, 0.0))
    known = taken(ordinary, slice(8, 1_000))
    one, halves = calibrated(model, known), [calibrated(model, known) for _ in range(2)]
    for place in range(4):
        start = 2_000 + 250 * place
        block = taken(ordinary, slice(start, start + 250)) if place < 3 else taken(far, slice(250))
        show(one, block)
        show(halves[place % 2], block)
    ended = [1e9, 1e9 - 100.0]
    for half, seconds in zip(halves, ended, strict=True):
        half.last_s = seconds
    alone = report(one, [one.state("0")])
    merged = report(halves[0], [halves[1].state("b"), halves[0].state("a")])
    assert alone["alarm"] is merged["alarm"] is True
    assert merged.pop("replicas") == [
        {"replica": "a", "rows": 500, "last": moment(ended[0]), "since": None, "alarms": 0},
        {"replica": "b", "rows": 500, "last": moment(ended[1])}
        | {"since": halves[1].since, "alarms": 1},
    ]
    assert merged.pop("last") == moment(max(ended))
    assert halves[1].since is not None
    del alone["replicas"], alone["since"], alone["last"], merged["since"]
    assert near(merged) == near(alone)


def near(told: object) -> object:
    """Numbers to ten digits."""
    if isinstance(told, dict):
        return {key: near(value) for key, value in told.items()}
    if isinstance(told, list):
        return [near(value) for value in told]
    return float(f"{told:.10g}") if isinstance(told, float) else told


def test_all_replicas_together_may_raise_an_alarm_that_none_does(model: Model) -> None:
    """A little of a shift in each, which is sure only of all the rows."""
    population = model.evaluate(ordinary_rows(20_000, seed=3))
    moved = model.evaluate(moved_rows(20_000, 3, 0.3, 0.0, 0.0, 0.0))
    replicas = [calibrated(model, population) for _ in range(8)]
    rng = np.random.default_rng(4)
    for replica in replicas:
        show(replica, drawn(moved, 500, rng))
    told = report(replicas[0], [r.state(str(i)) for i, r in enumerate(replicas)])
    assert [replica.since for replica in replicas] == [None] * 8
    assert (told["alarm"], told["since"], told["rows"]) == (True, None, 4_000)


def test_the_level_is_shared_by_all_that_is_looked_at() -> None:
    """Three windows that move on by a quarter, for one replica and for all; two tests a latent."""
    assert LOOKS == 1_000_000 // 250 + 1_000_000 // 2_500 + 1_000_000 // 25_000
    level = Level.of(0.01, latents=9)
    assert level.p_value == pytest.approx(0.01 / (2 * 4_440 * 20))
    assert level.corrected(level.p_value) == pytest.approx(0.01)
    assert level.corrected(0.5) == 1.0


def test_a_bundle_without_latents_is_watched_by_its_scores(
    model: Model, ordinary: Evaluated
) -> None:
    sketch = Sketch(Ordinary(replace(model, latents=None)), RATE, "watched/1")
    show(sketch, taken(ordinary, slice(0, 3_000)))
    assert sketch.since is None
    far = model.evaluate(moved_rows(1_000, 4, 4.0, 0.0, 0.0, 0.0))
    show(sketch, far)
    found = looked(sketch)
    assert found.latents.shape == (2, 0)
    assert found.shift < -0.2
    assert found.smallest_p <= sketch.level.p_value


def test_rows_out_of_support_count_as_the_lowest_scores(model: Model) -> None:
    x = ordinary_rows(1_000, seed=4)
    sketch = calibrated(model, model.evaluate(x))
    x[:, 3] = SITE + 1.0
    seen = model.evaluate(x)
    assert (seen.status == OUT_OF_SUPPORT).all()
    show(sketch, seen)
    assert looked(sketch).shift == -0.5
    assert sketch.since is not None


def test_rows_without_an_answer_are_no_rows(model: Model, ordinary: Evaluated) -> None:
    sketch = calibrated(model, taken(ordinary, slice(8, 999)))
    x = ordinary_rows(1_000)
    x[:, 0] = np.nan
    show(sketch, model.evaluate(x))
    assert (sketch.rows, sketch.since) == (1_000, None)
    assert sketch.looks[0] is not None
    assert sketch.looks[0][0] == 0
    assert looked(sketch).smallest_p == 1.0


def wide(model: Model, latents: int) -> tuple[Sketch, Evaluated]:
    """Of a model of so many latents, and rows of it."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal((20_000, latents)).astype(np.float32)
    rows = Evaluated(z[:, 0], z, z[:, 0], np.zeros(len(z), np.uint8))
    base = model.manifest.base.model_copy(update={"draws_per_row": latents})
    changed = replace(model, manifest=model.manifest.model_copy(update={"base": base}))
    return calibrated(changed, taken(rows, slice(0, 500))), rows


@pytest.mark.parametrize(
    ("latents", "requests", "inline"),
    [
        (9, [1_000, 249, 1], 5),
        (9, [1_250, 1], 0),
        (200, [250, 500], 1),
        (784, [100, 150], 0),
        (9, [20_000, 250, 250], 0),  # whose rows wait while those before them are added up
    ],
)
def test_the_event_loop_adds_up_no_more_than_is_quick(
    model: Model, latents: int, requests: list[int], inline: int
) -> None:
    sketch, rows = wide(model, latents)
    own, blocks, held = threading.get_ident(), [0, 0], threading.Event()
    of_each = sketch.ordinary.of_each

    def counted(*given: Any) -> Any:
        is_own = threading.get_ident() == own
        blocks[is_own] += given[-1]
        if not is_own:
            held.wait(10)
        return of_each(*given)

    sketch.ordinary.of_each = counted  # type: ignore[method-assign]

    async def asked() -> None:
        for count in requests:
            show(sketch, taken(rows, slice(0, count)), count)
            await asyncio.sleep(0.01)
        assert blocks[1] == inline
        held.set()

    asyncio.run(asked())  # which ends its threads
    show(sketch, taken(rows, slice(0, 1)))  # what waits is added up with what comes next
    assert sum(blocks) == (sum(requests) + 1) // 250


def test_what_fails_fails_no_request(
    model: Model, ordinary: Evaluated, caplog: pytest.LogCaptureFixture
) -> None:
    sketch = calibrated(model, taken(ordinary, slice(8, 999)))
    of = sketch.ordinary.of

    def broken(*_: object) -> Any:
        raise MemoryError

    sketch.ordinary.of = broken  # type: ignore[method-assign]
    show(sketch, taken(ordinary, slice(0, 400)), 400)
    assert caplog.messages == ["watched/1: rows could not be looked at for drift"]
    sketch.ordinary.of = of  # type: ignore[method-assign]
    show(sketch, taken(ordinary, slice(0, 250)), 249)
    assert sketch.rows == 250
    assert sketch.state("0").windows[0].scored > 240
