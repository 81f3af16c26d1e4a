"""Champion and challenger on the same rows: what is counted, and what callers never see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from exported.calibration import Calibration
from service.comparisons import OUTCOMES, Tally
from service.config import ServiceConfig
from service.core import Core
from service.errors import ServiceError
from service.http.app import build_app
from service.model import Model
from service.policy import Policy
from service.results import Evaluated
from service.served_flow import ServedFlow
from tests.bundles import MEAN, calibration_of, exact, ordinary_rows, write_gaussian
from tests.rpc import DENSITY, INFERENCE, plain, serving
from tests.service.test_http import ask
from tests.variants import contexts, rows_given, write_conditional, write_stepped

MOVED = MEAN + np.array([2.0, 0.5, -6.0])
LABELS = {"replica": "0", "model": "gauss", "champion": "1", "challenger": "2"}
ROWS = 2000


@pytest.fixture
def core(tmp_path: Path) -> Core:
    write_gaussian(tmp_path, "gauss", 1)
    write_gaussian(tmp_path, "gauss", 2, mean=MOVED)
    write_gaussian(tmp_path, "gauss", 3)
    return started(tmp_path, "gauss=1:2")


def started(root: Path, serve: str) -> Core:
    config = ServiceConfig.model_validate(
        {"bundles": root, "provider": "cpu", "sessions": 2, "chunk_rows": 300, "serve": serve}
    )
    core = Core(config)
    core.load()
    return core


def flow(core: Core, version: int | None = None, name: str = "gauss") -> ServedFlow:
    served = core.find(name, version)
    assert isinstance(served, ServedFlow)
    return served


def compared(core: Core, **labels: str) -> dict[str, float]:
    """Rows by outcome."""
    value = core.metrics.registry.get_sample_value
    key = LABELS | labels
    return {
        outcome: value("logdet_compared_rows_total", key | {"outcome": outcome}) or 0.0
        for outcome in OUTCOMES
    }


def told(core: Core, name: str) -> float | None:
    return core.metrics.registry.get_sample_value(f"logdet_{name}", LABELS)


def p_values(x: NDArray[Any], mean: NDArray[Any]) -> NDArray[np.float64]:
    return calibration_of(mean).p_value(exact(x, mean).log_prob)


def expected(x: NDArray[Any], alpha: float) -> dict[str, float]:
    one, other = p_values(x, MEAN) <= alpha, p_values(x, MOVED) <= alpha
    counts = (one == other, one & ~other, other & ~one, np.zeros(len(x)))
    return dict(zip(OUTCOMES, map(float, map(np.sum, counts)), strict=True))


def far_rows() -> NDArray[np.float64]:
    """Rows of which some are anomalies of either, and of only one."""
    x = ordinary_rows(ROWS, seed=7)
    x[: ROWS // 2, 0] += np.linspace(-8.0, 8.0, ROWS // 2)
    return x


def near(found: dict[str, float], counts: dict[str, float]) -> bool:
    """Float32 may decide otherwise about a row at the very threshold."""
    assert sum(found.values()) == sum(counts.values())
    return all(abs(found[key] - counts[key]) <= 2 for key in counts)


@pytest.mark.parametrize("alpha", [None, 0.2])
def test_disagreement_is_counted_at_the_alpha_of_the_request(
    core: Core, alpha: float | None
) -> None:
    x = far_rows()
    counts = expected(x, alpha or 0.01)
    assert min(counts["champion_only"], counts["challenger_only"]) > 20
    asyncio.run(flow(core).score(x, alpha))
    found = compared(core)
    assert near(found, counts)
    disagreeing = found["champion_only"] + found["challenger_only"]
    assert told(core, "disagreement_ratio") == pytest.approx(disagreeing / ROWS)


def test_with_an_fdr_each_is_compared_at_its_own_alpha(core: Core) -> None:
    x = far_rows()
    scored = asyncio.run(flow(core).score(x, fdr=0.1))
    assert scored.decision.alpha is not None
    assert scored.decision.alpha > 0.01
    assert near(compared(core), expected(x, 0.01))


def test_the_answer_is_the_champions_to_the_bit(core: Core) -> None:
    x = far_rows()[::20]  # of one run, as runs of other sizes may differ in the last bit

    async def both() -> tuple[Any, ...]:
        mine, own = flow(core), flow(core, 1)
        return await mine.judge(x), await own.judge(x), await mine.log_prob(x)

    (seen, scored), (alone, decided), third = asyncio.run(both())
    for name in ("log_prob", "z", "log_det", "status"):
        np.testing.assert_array_equal(getattr(seen, name), getattr(alone, name))
        np.testing.assert_array_equal(getattr(third, name), getattr(alone, name))
    np.testing.assert_array_equal(scored.decision.p_value, decided.decision.p_value)
    assert scored.decision.threshold == decided.decision.threshold
    assert sum(compared(core).values()) == 2 * len(x)  # of the score and of the log-density


def test_differences_of_p_values_and_log_densities_are_summed(core: Core) -> None:
    x = far_rows()
    asyncio.run(flow(core).log_prob(x))
    apart = np.abs(p_values(x, MEAN) - p_values(x, MOVED))
    assert told(core, "compared_p_value_difference_count") == ROWS
    assert told(core, "compared_p_value_difference_sum") == pytest.approx(apart.sum(), rel=1e-3)
    value = core.metrics.registry.get_sample_value
    within = value("logdet_compared_p_value_difference_bucket", LABELS | {"le": "0.1"})
    assert within == pytest.approx((apart <= 0.1).sum(), abs=3)
    gain = exact(x, MOVED).log_prob - exact(x).log_prob
    assert told(core, "compared_log_prob_gain") == pytest.approx(gain.mean(), abs=1e-3)
    assert (told(core, "challenger_seconds_total") or 0.0) > 0.0


@pytest.mark.parametrize("version", [1, 2, 3])
def test_requests_that_name_a_version_run_no_challenger(
    core: Core, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    ran = watched(monkeypatch)
    asyncio.run(flow(core, version).score(far_rows()))
    assert set(ran) == {version}
    assert sum(compared(core).values()) == 0


def watched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Versions that evaluate rows, each time they do."""
    ran: list[int] = []
    evaluate = Model.evaluate

    def noted(self: Model, *given: Any) -> Evaluated:
        ran.append(self.manifest.version)
        return evaluate(self, *given)

    monkeypatch.setattr(Model, "evaluate", noted)
    return ran


def test_both_see_the_rows_of_many_requests_in_the_same_runs(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, int]] = []
    evaluate = Model.evaluate

    def noted(self: Model, x: NDArray[Any], *given: Any) -> Evaluated:
        sizes.append((self.manifest.version, len(x)))
        return evaluate(self, x, *given)

    monkeypatch.setattr(Model, "evaluate", noted)

    async def work() -> None:
        await asyncio.gather(*(flow(core).score(ordinary_rows(1, seed)) for seed in range(50)))

    asyncio.run(work())
    rows = [[size for version, size in sizes if version == wanted] for wanted in (1, 2)]
    assert sorted(rows[0]) == sorted(rows[1])
    assert sum(rows[0]) == 50
    assert len(rows[0]) < 50


def test_other_operations_run_no_challenger(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = watched(monkeypatch)

    async def work() -> None:
        await flow(core).encode(ordinary_rows(5))
        await flow(core).sample(5, seed=0)

    asyncio.run(work())
    assert set(ran) == {1}


def breaking(what: Callable[[Evaluated], Evaluated]) -> Callable[..., Evaluated]:
    evaluate = Model.evaluate

    def broken(self: Model, *given: Any) -> Evaluated:
        out = evaluate(self, *given)
        return what(out) if self.manifest.version == 2 else out

    return broken


def raising(_: Evaluated) -> Evaluated:
    raise RuntimeError("no")


def lost(out: Evaluated) -> Evaluated:
    return Evaluated(np.full_like(out.log_prob, np.nan), out.z, out.log_det, out.status)


def nothing(_: Evaluated) -> Evaluated:
    raise MemoryError


@pytest.mark.parametrize("what", [raising, lost, nothing])
def test_a_challenger_that_fails_is_counted_and_never_seen(
    core: Core,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    what: Callable[[Evaluated], Evaluated],
) -> None:
    x = far_rows()[::20]
    alone = asyncio.run(flow(core, 1).score(x))
    monkeypatch.setattr(Model, "evaluate", breaking(what))
    seen = asyncio.run(flow(core).score(x))
    np.testing.assert_array_equal(seen.score, alone.score)
    np.testing.assert_array_equal(seen.decision.is_anomaly, alone.decision.is_anomaly)
    assert compared(core) == dict.fromkeys(OUTCOMES, 0.0) | {"unanswered": len(x)}
    assert told(core, "disagreement_ratio") is None
    assert caplog.text.count("challenger gauss/2 fails") == (what is not lost)


def test_rows_that_the_champion_does_not_decide_are_not_compared(core: Core) -> None:
    x = ordinary_rows(10)
    x[0, 0], x[1, 2] = np.nan, -5.0
    asyncio.run(flow(core).score(x))
    assert sum(compared(core).values()) == 9  # out of support is an anomaly of both
    asyncio.run(flow(core).score(x[:0]))
    assert sum(compared(core).values()) == 9


def test_an_alpha_that_the_champion_cannot_tell_is_refused_before_any_run(core: Core) -> None:
    with pytest.raises(ServiceError, match="expected alpha of at least"):
        asyncio.run(flow(core).score(ordinary_rows(1), 1e-6))
    assert sum(compared(core).values()) == 0


def test_a_challenger_that_cannot_tell_at_that_alpha_is_not_asked(core: Core) -> None:
    other, tally = flow(core, 2), Tally()
    scores = other.model.calibration.scores[::20]
    few = replace(other.model, calibration=Calibration.of(scores))
    challenger = ServedFlow(few, other.metrics, core.work)
    champion = flow(core, 1).compared(challenger, tally)
    assert few.calibration.smallest_alpha > champion.model.default_alpha
    asyncio.run(champion.score(ordinary_rows(7), 0.01))
    assert tally.rows.tolist() == [0, 0, 0, 7]
    asyncio.run(champion.log_prob(ordinary_rows(7)))  # at the smallest alpha that it can tell
    assert tally.rows.sum() - tally.rows[-1] == 7


def test_rows_with_a_context_are_compared_under_it(tmp_path: Path) -> None:
    for version in (1, 2):
        write_conditional(tmp_path, "given", version)
    core = started(tmp_path, "given=1:2")
    context = contexts(40)
    body = {"rows": rows_given(context).tolist(), "context": context.tolist()}
    response = ask(build_app(core), "POST", "/v1/models/given/score", json=body)
    assert response.status_code == 200
    found = compared(core, model="given")
    assert found == dict.fromkeys(OUTCOMES, 0.0) | {"agree": 40}


def test_other_steps_than_the_calibrated_ones_are_not_compared(tmp_path: Path) -> None:
    for version in (1, 2):
        write_stepped(tmp_path, "stepped", version)
    core = started(tmp_path, "stepped=1:2")
    for steps, rows in ((32, 0), (8, 3), (None, 6)):
        body = {"rows": ordinary_rows(3).tolist(), "steps": steps}
        response = ask(build_app(core), "POST", "/v1/models/stepped/log_prob", json=body)
        assert response.status_code == 200
        assert compared(core, model="stepped")["agree"] == rows


def test_every_protocol_is_compared_and_answers_with_the_champions_version(core: Core) -> None:
    app, x = build_app(core), ordinary_rows(4)
    rows = {"rows": x.tolist()}
    data = {"name": "x", "shape": [4, 4], "datatype": "FP64", "data": x.tolist()}
    for path, body in (
        ("/v1/models/gauss/log_prob", rows),
        ("/v1/models/gauss/score", rows),
        ("/v2/models/gauss/infer", {"inputs": [data]}),
    ):
        before = sum(compared(core).values())
        answer = ask(app, "POST", path, json=body).json()
        assert str(answer.get("version", answer.get("model_version"))) == "1"
        assert sum(compared(core).values()) - before == 4
    lines = "pressure,flow,count,site\n10,-3,40,7.1\n"
    headers = {"content-type": "text/csv", "accept": "application/x-ndjson"}
    ask(app, "POST", "/v1/models/gauss/score", content=lines, headers=headers)
    assert sum(compared(core).values()) == 13
    ask(app, "POST", "/v2/models/gauss/versions/1/infer", json={"inputs": [data]})
    assert sum(compared(core).values()) == 13


def test_grpc_is_compared_too(core: Core) -> None:
    x = ordinary_rows(4)
    matrix = plain("logdet.v1.Matrix")(rows=4, columns=4, values=x.ravel().tolist())
    tensor = plain("inference.ModelInferRequest.InferInputTensor")(
        name="x", datatype="FP64", shape=[4, 4]
    )
    with serving(core) as rpc:
        answer = rpc.call(DENSITY, "Score", model="gauss", rows=matrix)
        assert answer.model.version == 1
        rpc.call(DENSITY, "Score", model="gauss", version=3, rows=matrix)
        raw = [x.tobytes()]
        rpc.call(
            INFERENCE, "ModelInfer", model_name="gauss", inputs=[tensor], raw_input_contents=raw
        )
    assert sum(compared(core).values()) == 8


def test_what_was_counted_stays_when_the_comparison_ends_and_goes_on_after(core: Core) -> None:
    asyncio.run(flow(core).score(ordinary_rows(5)))
    asyncio.run(core.versions.serve("gauss", Policy(1)))
    asyncio.run(flow(core).score(ordinary_rows(5)))
    assert sum(compared(core).values()) == 5
    asyncio.run(core.versions.serve("gauss", Policy(1, 2)))
    asyncio.run(flow(core).score(ordinary_rows(5)))
    assert sum(compared(core).values()) == 10
