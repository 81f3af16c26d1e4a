from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from exported.kinds import REFERENCE_GRAPH, FlowManifest
from service.checker import AT_ONCE, WAITING
from service.choice import Choice
from service.core import Core
from service.errors import ServiceError
from service.model import Model
from service.results import Evaluated
from service.runtime import Sessions
from service.served_flow import ServedFlow
from tests.bundles import ordinary_rows
from tests.checked import loaded, started, write_checked
from tests.variants import contexts, rows_given

PATIENCE_S = 10.0


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checked(tmp_path_factory.mktemp("bundles"))


@pytest.fixture
def core(root: Path) -> Iterator[Core]:
    """Checks every row that counts."""
    core = started(root, every=1)
    yield core
    asyncio.run(core.drain())


def counted(core: Core, result: str, model: str = "referenced") -> float:
    labels = {"replica": "0", "model": model, "version": "1", "result": result}
    value = core.metrics.registry.get_sample_value("logdet_self_checks_total", labels)
    return -1.0 if value is None else value


def wait_for(done: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < end, "no check in time"
        time.sleep(0.01)


def flow(core: Core, name: str = "referenced") -> ServedFlow:
    served = core.find(name)
    assert isinstance(served, ServedFlow)
    return served


def score(core: Core, x: NDArray[np.float64], name: str = "referenced") -> Evaluated:
    return asyncio.run(flow(core, name).log_prob(x))


def perturbed(model: Model, graph: str, output: str, by: float) -> Model:
    """The same model, one output of a graph of which is off."""
    sessions = model.graphs[graph]

    class Off:
        def __init__(self, honest: Any) -> None:
            self._honest = honest

        def run(self, names: list[str], feed: dict[str, Any], options: object) -> list[Any]:
            answers = self._honest.run(names, feed)
            return [a + by if n == output else a for n, a in zip(names, answers, strict=True)]

    idle: SimpleQueue[Any] = SimpleQueue()
    idle.put(Off(sessions.idle.get()))
    return replace(model, graphs={**model.graphs, graph: Sessions(sessions.graph, idle)})


def serve(core: Core, model: Model) -> ServedFlow:
    """A model in the place of the one of its name."""
    manifest = model.manifest
    served = ServedFlow(model, core.metrics.model(manifest, model.calibration), core.work)
    core._served[manifest.name, manifest.version] = served
    return served


def test_answers_are_held_against_float64_and_sent_back(core: Core) -> None:
    score(core, ordinary_rows(50))
    wait_for(lambda: counted(core, "ok") >= 40)
    core.work.checker.close()  # whatever waits is not checked any more
    assert counted(core, "beyond_bound") == counted(core, "failed") == 0
    labels = {"replica": "0", "model": "referenced", "version": "1"}
    value = core.metrics.registry.get_sample_value
    for name in ("log_prob_error_nats", "round_trip_error_deviations"):
        assert value(f"logdet_self_check_{name}_count", labels) == counted(core, "ok")
        error = value(f"logdet_self_check_{name}_sum", labels)
        assert error is not None
        assert 0.0 < error < 1e-3
    assert value("logdet_self_check_log_prob_bound_nats", labels) == pytest.approx(1e-3, rel=0.2)
    assert value("logdet_self_check_round_trip_bound_deviations", labels) == 1e-4


@pytest.mark.parametrize(
    ("graph", "output"), [("log_prob", "log_prob"), ("log_prob", "z"), ("decode", "x")]
)
def test_a_wrong_graph_is_told_by_the_metric_alone(
    root: Path, core: Core, graph: str, output: str, caplog: pytest.LogCaptureFixture
) -> None:
    x, honest = ordinary_rows(3), score(core, ordinary_rows(3), "gauss")
    wrong = serve(core, perturbed(loaded(root), graph, output, by=0.5))
    answer = asyncio.run(wrong.log_prob(x))
    wait_for(lambda: counted(core, "beyond_bound") >= 1)
    assert counted(core, "ok") == 0
    assert core.is_ready
    told = answer.log_prob - (0.5 if output == "log_prob" else 0.0)
    np.testing.assert_allclose(told, honest.log_prob, rtol=1e-5)
    assert "referenced/1" in caplog.text
    assert not any(f"{value:.3f}" in caplog.text for value in x.ravel()), "no row in the log"


def test_an_answer_that_is_no_number_is_beyond_the_bound(root: Path, core: Core) -> None:
    wrong = serve(core, perturbed(loaded(root), "decode", "x", by=np.nan))
    asyncio.run(wrong.log_prob(ordinary_rows(2)))
    wait_for(lambda: counted(core, "beyond_bound") >= 1)


def test_a_check_that_fails_is_counted_and_the_next_one_is_made(root: Path, core: Core) -> None:
    model = loaded(root)
    (broken := model.graphs[REFERENCE_GRAPH].idle).get()
    broken.put(object())  # type: ignore[arg-type] # has no run
    wrong = serve(core, model)
    asyncio.run(wrong.log_prob(ordinary_rows(1)))
    wait_for(lambda: counted(core, "failed") == 1)
    assert core.is_ready
    score(core, ordinary_rows(1), "gauss")
    wait_for(lambda: counted(core, "ok", "gauss") == 1)


def test_what_finds_no_room_is_dropped_and_counted(root: Path, core: Core) -> None:
    model = loaded(root)
    busy = model.graphs[REFERENCE_GRAPH].idle
    session = busy.get()  # the first check waits for it, and all others behind
    served, x = serve(core, model), ordinary_rows(WAITING + 50)
    answer = asyncio.run(served.log_prob(x))
    assert np.isfinite(answer.log_prob).all()
    assert 0 < counted(core, "dropped") < 50
    busy.put(session)
    wait_for(lambda: counted(core, "ok") > AT_ONCE)
    assert counted(core, "failed") == 0


def test_checks_rest_for_as_long_as_keeps_them_at_their_share(core: Core) -> None:
    rests: list[float] = []
    closing = core.work.checker._closing
    closing.wait = lambda timeout=None: bool(rests.append(timeout)) or len(rests) > 2  # type: ignore[method-assign, func-returns-value, arg-type]
    score(core, ordinary_rows(40))
    wait_for(lambda: len(rests) > 2)
    assert all(0.0 < rest < 1.0 for rest in rests)
    assert AT_ONCE <= counted(core, "ok") <= 3 * AT_ONCE


def test_every_zero_checks_nothing(root: Path) -> None:
    core = started(root, every=0)
    score(core, ordinary_rows(2000))
    assert counted(core, "ok") == -1.0
    assert core.work.checker._thread.ident is None


def test_a_bundle_without_a_float64_graph_is_sent_back_only(core: Core) -> None:
    score(core, ordinary_rows(4), "gauss")
    wait_for(lambda: counted(core, "ok", "gauss") >= 3)
    labels = {"replica": "0", "model": "gauss", "version": "1"}
    value = core.metrics.registry.get_sample_value
    assert value("logdet_self_check_log_prob_error_nats_count", labels) is None
    assert value("logdet_self_check_log_prob_bound_nats", labels) is None
    assert value("logdet_self_check_round_trip_error_deviations_count", labels) >= 3  # type: ignore[operator]


def test_a_bundle_with_nothing_to_hold_against_is_left_alone(core: Core) -> None:
    score(core, ordinary_rows(4), "scorer")
    assert counted(core, "ok", "scorer") == -1.0


def test_conditional_answers_are_checked_with_their_own_context(core: Core) -> None:
    context = contexts(6)
    x = rows_given(context)
    asyncio.run(flow(core, "given").log_prob(x, Choice(context=context)))
    wait_for(lambda: counted(core, "ok", "given") >= 5)
    assert counted(core, "beyond_bound", "given") == counted(core, "failed", "given") == 0


def test_a_reference_with_other_inputs_is_refused(root: Path) -> None:
    manifest = loaded(root).manifest
    document = manifest.model_dump(mode="json")
    document["graphs"][REFERENCE_GRAPH]["inputs"][0]["datatype"] = "FP64"
    with pytest.raises(ValueError, match="needs the inputs of graph 'log_prob'"):
        FlowManifest.model_validate(document)
    document = manifest.model_dump(mode="json")
    document["graphs"][REFERENCE_GRAPH]["outputs"][0]["datatype"] = "FP32"
    with pytest.raises(ValueError, match="outputs, as FP64"):
        FlowManifest.model_validate(document)


def test_a_draining_service_ends_its_checks(root: Path) -> None:
    core = started(root, every=1)
    score(core, ordinary_rows(100))
    thread = core.work.checker._thread
    assert thread.is_alive()
    asyncio.run(core.drain())
    assert not thread.is_alive()
    with pytest.raises(ServiceError):
        core.find("referenced")
