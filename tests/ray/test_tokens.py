"""Replicas that want tokens, by both protocols, and tell Ray none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest

from tests.engines import Running, on_ray
from tests.rpc import INFERENCE

pytestmark = pytest.mark.serve

TOKEN = "a-token-of-the-tests-0123456789abcdef"  # noqa: S105 - of nobody
SHOWN = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def guarded(bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    path = tmp_path_factory.mktemp("secrets") / "tokens"
    path.write_text(f"tester {TOKEN}\n")
    settings = {"LOGDET_TOKENS_FILE": str(path), "LOGDET_ALLOW_ANONYMOUS": "false"}
    with on_ray(bundles, settings) as running:
        yield running


def test_http_wants_a_token_but_of_probes(guarded: Running) -> None:
    asked = [("/v1/models", {}, 401), ("/v1/models", SHOWN, 200), ("/v2/health/ready", {}, 200)]
    for path, headers, status in asked:
        assert httpx.get(guarded.url + path, headers=headers).status_code == status


def test_grpc_wants_a_token_but_of_probes(guarded: Running) -> None:
    address = guarded.banner.split("gRPC on ")[1].split()[0]
    with grpc.insecure_channel(address) as channel:
        ask = channel.unary_unary(f"/{INFERENCE}/ServerMetadata")
        with pytest.raises(grpc.RpcError) as refused:
            ask(b"", timeout=10)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED  # type: ignore[attr-defined]
        assert ask(b"", timeout=10, metadata=tuple(SHOWN.items()))
        assert channel.unary_unary(f"/{INFERENCE}/ServerReady")(b"", timeout=10)


def test_the_metrics_of_all_replicas_tell_who_asked_by_name(guarded: Running) -> None:
    page = httpx.get(guarded.url + "/metrics", headers=SHOWN).text
    assert 'token="tester"' in page
    assert TOKEN not in page + guarded.banner
