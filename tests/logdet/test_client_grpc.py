"""The client by gRPC against the embedded service; what it says is what HTTP says."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import numpy as np
import pandas as pd
import pytest

from logdet import AsyncClient, Client
from logdet.client import (
    DeadlineExceeded,
    InvalidInput,
    NotFound,
    Overloaded,
    ServiceFailed,
    TooLarge,
    Unauthorized,
    Unsupported,
)
from logdet.client.answer import Answer
from service.grpc.errors import KIND, RETRY_AFTER
from tests.bundles import exact, ordinary_rows
from tests.linear_gaussian import rows as linear_rows
from tests.logdet.services import each_kind
from tests.variants import contexts

X = ordinary_rows(20)
X[3, 0], X[4, 2], X[5, :2] = np.nan, 0.5, 90.0
LINEAR = linear_rows(20)
Z = np.random.default_rng(0).standard_normal((20, 3))
GIVEN = contexts(20)

CALLS: dict[str, Callable[[Any], Any]] = {
    "log_prob": lambda c: c.log_prob("gauss", X),
    "log_prob of a version": lambda c: c.log_prob("gauss", X, version=1),
    "log_prob of whole numbers": lambda c: c.log_prob("gauss", np.round(X[6:]).astype(np.int32)),
    "log_prob of what is not known": lambda c: c.log_prob(
        "gauss", [[1, None, 2.5, 3], [None, None, 2.5, 3], [1, None, np.nan, 3]]
    ),
    "score of masked values": lambda c: c.score("gauss", np.ma.masked_array(X, mask=X > 3.0)),
    "log_prob given what is not known": lambda c: c.log_prob(
        "given", X[:2], context=[[1.0, None, 2.0], [0.5, 1.0, 2.0]]
    ),
    "log_prob in steps": lambda c: c.log_prob("stepped", X, steps=4),
    "log_prob given": lambda c: c.log_prob("given", X, context=GIVEN),
    "log_prob given one": lambda c: c.log_prob("given", X.tolist(), context=GIVEN[:1].tolist()),
    "score": lambda c: c.score("gauss", X),
    "score at alpha": lambda c: c.score("gauss", X, alpha=0.05),
    "score at an fdr": lambda c: c.score("gauss", X, fdr=0.2),
    "score at an fdr that finds nothing": lambda c: c.score("gauss", X[6:9], fdr=0.002),
    "score of no rows at an fdr": lambda c: c.score("gauss", X[:0], fdr=0.2),
    "score of a vae": lambda c: c.score("vae", LINEAR),
    "score of an autoencoder": lambda c: c.score("auto", LINEAR),
    "encode": lambda c: c.encode("gauss", X),
    "encode by a vae": lambda c: c.encode("vae", LINEAR, seed=3, depth=2),
    "decode": lambda c: c.decode("gauss", Z),
    "decode by an autoencoder": lambda c: c.decode("auto", Z[:, :2]),
    "sample": lambda c: c.sample("gauss", 9, seed=3, temperature=0.5),
    "sample given": lambda c: c.sample("given", 20, seed=3, context=GIVEN),
    "sample of a vae": lambda c: c.sample("vae", 9, seed=3),
    "log_prob of no rows": lambda c: c.log_prob("gauss", X[:0]),
    "log_prob of no rows given none": lambda c: c.log_prob("given", X[:0], context=GIVEN[:0]),
    "score of no rows": lambda c: c.score("gauss", X[:0]),
    "score of no rows of a vae": lambda c: c.score("vae", LINEAR[:0]),
    "score of no rows of an autoencoder": lambda c: c.score("auto", LINEAR[:0]),
    "encode of no rows": lambda c: c.encode("gauss", X[:0]),
    "encode of no rows by a vae": lambda c: c.encode("vae", LINEAR[:0]),
    "decode of no latents": lambda c: c.decode("gauss", Z[:0]),
    "decode of no latents by an autoencoder": lambda c: c.decode("auto", Z[:0, :2]),
}


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Of HTTP, and of gRPC."""
    with each_kind(tmp_path_factory.mktemp("bundles")) as running:
        found = re.search(r"gRPC on (\S+)", running.banner)
        assert found is not None
        yield running.url, f"grpc://{found[1]}"


@pytest.fixture(scope="module")
def clients(urls: tuple[str, str]) -> Iterator[tuple[Client, Client]]:
    with Client(urls[0]) as http, Client(urls[1]) as rpc:
        yield http, rpc


@pytest.mark.parametrize("name", CALLS)
def test_grpc_says_what_http_says(clients: tuple[Client, Client], name: str) -> None:
    http, rpc = map(CALLS[name], clients)
    assert isinstance(rpc, Answer)
    told, said = ({k: v for k, v in a.facts.items() if v is not None} for a in (http, rpc))
    assert told == said
    assert set(http) == set(rpc)
    for column, array in http.items():
        np.testing.assert_array_equal(rpc[column], array, err_msg=column)
        if isinstance(array, np.ma.MaskedArray):
            np.testing.assert_array_equal(rpc[column].mask, array.mask)


@pytest.mark.parametrize("transport", [0, 1])
def test_no_rows_are_no_answers(clients: tuple[Client, Client], transport: int) -> None:
    answer = clients[transport].score("gauss", np.empty((0, 4)))
    assert set(answer) == {"log_prob", "p_value", "is_anomaly", "status"}
    assert {array.shape for array in answer.values()} == {(0,)}
    latent = clients[transport].encode("gauss", np.empty((0, 4)))
    assert latent.z.shape == (0, 3)
    assert latent.status.dtype.kind == "U"


def test_many_rows_go_in_pieces(urls: tuple[str, str]) -> None:
    x = ordinary_rows(1000)
    with Client(urls[1], chunk_rows=99) as rpc:
        np.testing.assert_allclose(rpc.log_prob("gauss", x).log_prob, exact(x).log_prob, atol=1e-4)


def test_async_calls_run_together(urls: tuple[str, str]) -> None:
    x = ordinary_rows(32)

    async def work() -> list[Any]:
        async with AsyncClient(urls[1]) as rpc:
            return list(
                await asyncio.gather(*(rpc.log_prob("gauss", x[i : i + 1]) for i in range(32)))
            )

    got = [answer.log_prob[0] for answer in asyncio.run(work())]
    np.testing.assert_allclose(got, exact(x).log_prob, atol=1e-4)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda c: c.log_prob("nobody", X), NotFound, "nobody"),
        (lambda c: c.log_prob("gauss", X[:, :3]), InvalidInput, "expected 4 columns in 'rows'"),
        (lambda c: c.log_prob("gauss", X, steps=3), InvalidInput, "steps"),
        (lambda c: c.log_prob("gauss", X, steps=-3), InvalidInput, "'steps' is not as expected"),
        (lambda c: c.score("gauss", X, alpha=2.0), InvalidInput, "alpha"),
        (lambda c: c.score("gauss", X, alpha="x"), InvalidInput, "'alpha' is not as expected"),
        (lambda c: c.decode("gauss", Z[:, :2]), InvalidInput, "expected 3 columns in 'z'"),
        (lambda c: c.log_prob("given", X), InvalidInput, "conditional density"),
        (lambda c: c.log_prob("given", X, context=GIVEN[:3]), InvalidInput, "1 or 20 rows"),
        (
            lambda c: c.log_prob("gauss", [["a", 1, 2, 3]]),
            InvalidInput,
            r"string in 'rows\[:, 0\]'",
        ),
        (lambda c: c.decode("gauss", [[1, 2, "a"]]), InvalidInput, r"string in 'z\[:, 2\]'"),
        (
            lambda c: c.log_prob("gauss", [[2, 0, 0, 0], [2**60, 0, 0, 0]]),
            InvalidInput,
            rf"^expected whole numbers .*, got {2**60} at row 1, column 'rows\[:, 0\]'$",
        ),
        (lambda c: c.log_prob(None, X), InvalidInput, "expected the name of a model, got None"),
        (lambda c: c.log_prob("gauss", None), InvalidInput, "expected rows to be .*, got None"),
        (lambda c: c.decode("gauss", None), InvalidInput, "expected z to be .*, got None"),
        (lambda c: c.log_prob("gauss", [1.0]), InvalidInput, "rows of one length"),
        (lambda c: c.sample("gauss", 300_000), TooLarge, "262144 rows"),
        (lambda c: c.models(), Unsupported, "got the catalogue; ask by http"),
        (lambda c: c.model("gauss"), Unsupported, "got the manifest; ask by http"),
        (lambda c: c.drift("gauss"), Unsupported, "got drift; ask by http"),
        (lambda c: c.expectation("gauss", []), Unsupported, "got expectation; ask by http"),
        (lambda c: c.reconstruct("auto", LINEAR), Unsupported, "got reconstruct; ask by http"),
        (lambda c: c.log_prob("gauss", pd.DataFrame(X)), Unsupported, "rows as an array, got"),
        (
            lambda c: c.log_prob("gauss", pd.DataFrame(X), frame="numpy"),
            Unsupported,
            "expected rows as an array, got columns by name",
        ),
        (lambda c: c.log_prob("gauss", [{"a": 1.0}]), Unsupported, "expected rows as an array"),
        (
            lambda c: c.sample("given", 1, context=pd.DataFrame(GIVEN[:1])),
            Unsupported,
            "expected context as an array",
        ),
        (
            lambda c: c.sample("gauss", 3, frame="pandas"),
            Unsupported,
            "expected frame to be numpy, got 'pandas'",
        ),
    ],
)
def test_a_wrong_call_is_one_sentence(
    clients: tuple[Client, Client],
    wrong: Callable[[Client], Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message) as refused:
        wrong(clients[1])
    assert "\n" not in str(refused.value)


class Refusing(grpc.GenericRpcHandler):
    """Refuses every call; notes the time it was given and the metadata."""

    def __init__(self, code: grpc.StatusCode, trailers: tuple[tuple[str, str], ...]) -> None:
        self.code, self.trailers = code, trailers
        self.asked: list[tuple[float, dict[str, Any]]] = []

    def service(self, details: Any) -> Any:
        def refuse(request: bytes, context: Any) -> bytes:
            self.asked.append((context.time_remaining(), dict(context.invocation_metadata())))
            context.set_trailing_metadata(self.trailers)
            context.abort(self.code, "why")
            return b""

        return grpc.unary_unary_rpc_method_handler(refuse)


REFUSED = {
    "overloaded": (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        ((KIND, "overloaded"), (RETRY_AFTER, "0")),
        Overloaded,
        3,
    ),
    "too large": (grpc.StatusCode.RESOURCE_EXHAUSTED, ((KIND, "too_large"),), TooLarge, 1),
    "a proxy's": (grpc.StatusCode.PERMISSION_DENIED, (), Unauthorized, 1),
    "late": (grpc.StatusCode.DEADLINE_EXCEEDED, ((KIND, "deadline"),), DeadlineExceeded, 1),
    "broken": (grpc.StatusCode.DATA_LOSS, (), ServiceFailed, 1),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_are_told_apart_by_their_trailers(name: str) -> None:
    code, trailers, expected, attempts = REFUSED[name]
    refusing = Refusing(code, trailers)
    server = grpc.server(futures.ThreadPoolExecutor(1), handlers=[refusing])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    url = f"grpc://127.0.0.1:{port}"
    try:
        with (
            Client(url, retries=2, timeout=20.0, headers={"Authorization": "me"}) as rpc,
            pytest.raises(expected, match="why"),
        ):
            rpc.log_prob("gauss", X)
    finally:
        server.stop(None).wait()
    assert len(refusing.asked) == attempts
    for left, metadata in refusing.asked:
        assert 15.0 < left < 21.0  # grpc rounds up on the way
        assert metadata["authorization"] == "me"


def test_grpc_brings_no_more_than_it_needs() -> None:
    heavy = [
        "torch",
        "ray",
        "onnxruntime",
        "sklearn",
        "pandas",
        "polars",
        "matplotlib",
        "starlette",
    ]
    program = (
        "import sys; from logdet import Client; Client('grpc://127.0.0.1:1').close(); "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "[]"
