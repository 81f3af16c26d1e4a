"""``logdet.v1.Density`` as a client of a user's generator sees it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from exported.manifest import Manifest
from service.config import ServiceConfig
from service.core import Core
from service.results import STATUSES
from tests.bundles import exact, exact_decode, ordinary_rows, write_gaussian
from tests.latents import write_autoencoder, write_vae
from tests.linear_gaussian import SAMPLES
from tests.linear_gaussian import rows as latent_rows
from tests.rpc import DENSITY, Rpc, kind_of, plain, plain_pool, serving
from tests.variants import (
    DEFAULT_STEPS,
    contexts,
    exact_given,
    rows_given,
    write_conditional,
    write_stepped,
)

EXACT, ESTIMATE, LOWER_BOUND, NONE = range(1, 5)


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Core:
    root: Path = tmp_path_factory.mktemp("bundles")
    write_gaussian(root, "gauss", 1)
    write_gaussian(root, "gauss", 2)
    write_gaussian(root, "scorer", 1, operations=("log_prob", "score"))
    write_conditional(root)
    write_stepped(root)
    write_vae(root)
    write_autoencoder(root, "auto")
    core = Core(ServiceConfig(bundles=root, provider="cpu", sessions=1, limit_rows=1000))
    core.load()
    return core


@pytest.fixture(scope="module")
def rpc(core: Core) -> Iterator[Rpc]:
    with serving(core) as running:
        yield running


def matrix(array: NDArray[Any]) -> Any:
    rows, columns = array.shape
    return plain("logdet.v1.Matrix")(rows=rows, columns=columns, values=array.ravel().tolist())


def array(given: Any) -> NDArray[np.float64]:
    return np.array(given.values).reshape(given.rows, given.columns)


def test_the_words_of_the_proto_are_those_of_json() -> None:
    words = plain_pool().FindEnumTypeByName("logdet.v1.Status").values
    assert [(word.number, word.name) for word in words] == [
        (code, f"STATUS_{name.upper()}") for code, name in enumerate(STATUSES)
    ]
    kinds = plain_pool().FindEnumTypeByName("logdet.v1.DensityKind").values_by_name
    declared = Manifest.model_fields["density"].annotation
    densities = getattr(declared, "__args__", ("exact", "estimate", "lower_bound", "none"))
    assert {f"DENSITY_KIND_{name.upper()}" for name in densities} <= set(kinds)


def test_log_prob_is_that_of_the_core_bit_by_bit(rpc: Rpc, core: Core) -> None:
    import asyncio

    x = ordinary_rows(100)
    answer = rpc.call(DENSITY, "LogProb", model="gauss", rows=matrix(x))
    served: Any = core.find("gauss")
    direct = asyncio.run_coroutine_threadsafe(served.log_prob(x), rpc.loop).result(5)
    assert np.array_equal(np.array(answer.log_prob), direct.log_prob.astype(np.float64))
    np.testing.assert_allclose(answer.log_prob, exact(x).log_prob, atol=1e-4)
    assert list(answer.status) == [0] * 100
    assert (answer.model.name, answer.model.version, answer.model.density) == ("gauss", 2, EXACT)
    assert not answer.HasField("steps")


def test_a_version_is_chosen_by_its_number(rpc: Rpc) -> None:
    answer = rpc.call(DENSITY, "LogProb", model="gauss", version=1, rows=matrix(ordinary_rows(1)))
    assert answer.model.version == 1
    error: Any = rpc.refused(DENSITY, "LogProb", model="gauss", version=3)
    assert (error.code(), kind_of(error)) == (grpc.StatusCode.NOT_FOUND, "not_found")


def test_rows_without_an_answer_do_not_spoil_the_others(rpc: Rpc) -> None:
    x = ordinary_rows(4)
    x[1, 0], x[2, 3] = np.nan, 8.0
    answer = rpc.call(DENSITY, "Score", model="gauss", rows=matrix(x), alpha=0.05)
    assert list(answer.status) == [0, 1, 2, 0]
    assert np.isnan(answer.score[1])
    assert np.isnan(answer.p_value[1])
    assert answer.score[2] == -np.inf
    assert list(answer.is_anomaly)[1:3] == [False, True]
    np.testing.assert_allclose(
        np.array(answer.score)[[0, 3]], exact(x).log_prob[[0, 3]], atol=1e-4
    )
    assert answer.alpha == 0.05
    assert np.isfinite(answer.threshold)


def test_encode_and_decode_are_inverses(rpc: Rpc) -> None:
    x = ordinary_rows(20)
    encoded = rpc.call(DENSITY, "Encode", model="gauss", rows=matrix(x))
    np.testing.assert_allclose(array(encoded.z), exact(x).z, atol=1e-4)
    np.testing.assert_allclose(encoded.log_det, exact(x).log_det, atol=1e-4)
    decoded = rpc.call(DENSITY, "Decode", model="gauss", z=encoded.z)
    back = array(decoded.rows)
    np.testing.assert_allclose(back, np.column_stack([x[:, :2], x[:, 2:]]), atol=1e-3)
    np.testing.assert_allclose(decoded.log_prob, exact(back).log_prob, atol=1e-3)


def test_a_seed_draws_the_same_rows(rpc: Rpc) -> None:
    first = rpc.call(DENSITY, "Sample", model="gauss", n=10)
    again = rpc.call(DENSITY, "Sample", model="gauss", n=10, seed=first.seed)
    assert first == again
    assert array(first.rows).shape == (10, 4)
    nought = rpc.call(DENSITY, "Sample", model="gauss", n=1, seed=0, temperature=0.0)
    expected = np.floor(exact_decode(np.zeros((1, 3)))[0, 2] + 0.5)
    assert array(nought.rows)[0, 2] == expected
    assert nought.seed == 0


def test_a_conditional_density_takes_one_context_or_one_for_each(rpc: Rpc) -> None:
    context = contexts(5)
    x = rows_given(context)
    for given in (context, context[:1]):
        answer = rpc.call(DENSITY, "LogProb", model="given", rows=matrix(x), context=matrix(given))
        expected = exact_given(x, np.broadcast_to(given, context.shape)).log_prob
        np.testing.assert_allclose(answer.log_prob, expected, rtol=1e-3, atol=1e-2)


def test_steps_are_chosen_and_told(rpc: Rpc) -> None:
    x = matrix(ordinary_rows(2))
    assert rpc.call(DENSITY, "LogProb", model="stepped", rows=x).steps == DEFAULT_STEPS
    assert rpc.call(DENSITY, "LogProb", model="stepped", rows=x, steps=32).steps == 32
    error: Any = rpc.refused(DENSITY, "LogProb", model="stepped", rows=x, steps=5)
    assert "4, 8, 32" in error.details()


def test_a_model_with_a_bound_only(rpc: Rpc) -> None:
    x = latent_rows(4)
    scored = rpc.call(DENSITY, "Score", model="vae", rows=matrix(x))
    assert scored.model.density == LOWER_BOUND
    assert len(scored.score) == 4
    assert scored.samples == SAMPLES
    assert scored.HasField("seed")
    encoded = rpc.call(DENSITY, "Encode", model="vae", rows=matrix(x), seed=3)
    assert encoded.seed == 3
    assert array(encoded.mean).shape == array(encoded.scale).shape == array(encoded.z).shape
    drawn = rpc.call(DENSITY, "Sample", model="vae", n=3)
    assert array(drawn.rows).shape == (3, x.shape[1])
    assert len(drawn.log_prob) == 0
    error: Any = rpc.refused(DENSITY, "LogProb", model="vae", rows=matrix(x))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "log_prob_bound" in error.details()


def test_a_model_without_a_density(rpc: Rpc) -> None:
    x = latent_rows(4)
    scored = rpc.call(DENSITY, "Score", model="auto", rows=matrix(x))
    assert scored.model.density == NONE
    assert all(value <= 0 for value in scored.score)


def test_no_rows_have_an_empty_answer(rpc: Rpc) -> None:
    answer = rpc.call(DENSITY, "Score", model="gauss", rows=matrix(np.empty((0, 4))))
    assert len(answer.score) == len(answer.status) == 0
    some = rpc.call(DENSITY, "Score", model="gauss", rows=matrix(X))
    assert (answer.threshold, answer.alpha) == (some.threshold, some.alpha)


X = ordinary_rows(2)
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "too few columns": ("LogProb", {"rows": matrix(X[:, :3])}, "expected 4 columns in 'rows'"),
    "no rows at all": ("LogProb", {}, "expected 4 columns in 'rows'"),
    "too few values": (
        "LogProb",
        {"rows": {"rows": 3, "columns": 4, "values": X.ravel().tolist()}},
        "expected 3 rows of 4 values in 'rows', got 8 values",
    ),
    "too many rows": (
        "LogProb",
        {"rows": {"rows": 1001, "columns": 4}},
        "expected at most 1000 rows a request, got 1001",
    ),
    "too many rows of a sample": ("Sample", {"n": 1001}, "expected at most 1000 rows"),
    "no context wanted": ("LogProb", {"rows": matrix(X), "context": matrix(X)}, "no 'context'"),
    "no steps": ("LogProb", {"rows": matrix(X), "steps": 4}, "no 'steps'"),
    "no seed wanted": ("Encode", {"rows": matrix(X), "seed": 4}, "expected no 'seed'"),
    "alpha": ("Score", {"rows": matrix(X), "alpha": 2.0}, "alpha"),
    "alpha is NaN": ("Score", {"rows": matrix(X), "alpha": float("nan")}, "alpha"),
    "fdr": ("Score", {"rows": matrix(X), "fdr": 1.0}, "expected fdr between 0 and 1, got 1.0"),
    "fdr too small": ("Score", {"rows": matrix(X), "fdr": 1e-5}, "expected fdr of at least 0.001"),
    "alpha and fdr": ("Score", {"rows": matrix(X), "alpha": 0.1, "fdr": 0.2}, "got both"),
    "no n": ("Sample", {}, "'n' to be at least 1"),
    "seed": ("Sample", {"n": 1, "seed": 2**64 - 1}, "expected 'seed' between"),
    "temperature": ("Sample", {"n": 1, "temperature": -1.0}, "temperature"),
    "latents": ("Decode", {"z": matrix(X)}, "expected 3 columns in 'z'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str, rpc: Rpc) -> None:
    method, fields, words = REFUSED[name]
    error: Any = rpc.refused(DENSITY, method, model="gauss", **fields)
    expected = "too_large" if "too many" in name else "invalid_input"
    assert kind_of(error) == expected
    assert words in error.details()


def test_a_context_of_a_model_that_takes_none(rpc: Rpc) -> None:
    error: Any = rpc.refused(
        DENSITY, "Decode", model="auto", z=matrix(np.zeros((1, 2))), context=matrix(X)
    )
    assert "expected no 'context'" in error.details() or "columns in 'z'" in error.details()


def test_requests_are_counted_by_operation(rpc: Rpc, core: Core) -> None:
    labels = {
        "replica": "0",
        "model": "scorer",
        "version": "1",
        "method": "log_prob",
        "protocol": "grpc",
        "code": "OK",
    }
    rpc.call(DENSITY, "LogProb", model="scorer", rows=matrix(X))
    assert core.metrics.registry.get_sample_value("logdet_requests_total", labels) == 1
    error: Any = rpc.refused(DENSITY, "Sample", model="scorer", n=1)
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    refused = labels | {"method": "sample", "code": "UNIMPLEMENTED"}
    assert core.metrics.registry.get_sample_value("logdet_requests_total", refused) == 1


def test_values_sent_one_by_one_or_in_pieces(rpc: Rpc) -> None:
    x = ordinary_rows(1)
    head = bytes([0x08, 1, 0x10, 4])
    values = x.astype("<f8").tobytes()
    pieces = bytes([0x1A, 16]) + values[:16] + bytes([0x1A, 16]) + values[16:]
    singly = b"".join(bytes([0x19]) + values[i : i + 8] for i in range(0, 32, 8))
    for body in (pieces, singly):
        rows = head + body
        request = b"\x0a\x05gauss" + bytes([0x1A, len(rows)]) + rows
        data = rpc.raw(DENSITY, "LogProb", request)
        answer = plain("logdet.v1.LogProbResponse").FromString(data)
        np.testing.assert_allclose(answer.log_prob, exact(x).log_prob, atol=1e-4)
