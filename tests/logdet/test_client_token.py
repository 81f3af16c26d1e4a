"""Tokens of the client: shown to the service, by both protocols, and to nobody else."""

from __future__ import annotations

import asyncio
import pickle
import traceback
from collections.abc import Iterator

import pytest
from sklearn.base import clone

from logdet import AsyncClient, Client, RemoteDensity
from logdet.client import InvalidInput, RateLimited, Token, Unauthorized
from tests.bundles import ordinary_rows, write_gaussian
from tests.engines import Running, embedded

TOKEN = "a-token-of-the-tests-0123456789abcdef"  # noqa: S105 - of nobody
X = ordinary_rows(3)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    root = tmp_path_factory.mktemp("bundles")
    write_gaussian(root)
    (root.parent / "tokens").write_text(f"tester {TOKEN}\nhasty {TOKEN}-hasty\n")
    settings = {
        "LOGDET_TOKENS_FILE": str(root.parent / "tokens"),
        "LOGDET_LIMIT_TOKEN_RATE": "30",
    }
    with embedded(root, settings) as running:
        yield running


@pytest.fixture(params=["http", "grpc"])
def url(request: pytest.FixtureRequest, service: Running) -> str:
    rpc = service.banner.split("gRPC on ")[1].split()[0]
    return service.url if request.param == "http" else f"grpc://{rpc}"


def test_a_token_lets_the_client_in(url: str) -> None:
    with Client(url, token=TOKEN) as client:
        assert len(client.log_prob("gauss", X)["log_prob"]) == 3


def test_a_token_lets_the_asynchronous_client_in(url: str) -> None:
    async def ask() -> int:
        async with AsyncClient(url, token=Token(TOKEN)) as client:
            return len((await client.log_prob("gauss", X))["log_prob"])

    assert asyncio.run(ask()) == 3


def test_the_environment_has_the_token_where_nothing_else_does(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGDET_TOKEN", TOKEN)
    with Client(url) as client:
        client.log_prob("gauss", X)
    other = {"Authorization": "Bearer no"}
    with Client(url, headers=other) as client, pytest.raises(Unauthorized):
        client.log_prob("gauss", X)


@pytest.mark.parametrize("token", [None, TOKEN + "x"])
def test_without_a_known_token_the_client_is_refused(url: str, token: str | None) -> None:
    with Client(url, token=token) as client, pytest.raises(Unauthorized) as refused:
        client.log_prob("gauss", X)
    told = "".join(traceback.format_exception(refused.value))
    assert TOKEN not in told
    assert not refused.value.is_temporary


def test_too_many_requests_are_told_apart_from_too_much_work(url: str) -> None:
    def hurry(client: Client) -> None:
        for _ in range(200):
            client.log_prob("gauss", X)

    with (
        Client(url, token=TOKEN + "-hasty", retries=0) as client,
        pytest.raises(RateLimited) as refused,
    ):
        hurry(client)
    assert refused.value.is_temporary
    assert refused.value.retry_after_s == 1.0


def test_a_remote_density_shows_its_token(service: Running) -> None:
    density = RemoteDensity(service.url, "gauss", token=TOKEN).fit(X)
    assert len(density.score_samples(X)) == 3
    copies = [clone(density), pickle.loads(pickle.dumps(density))]  # noqa: S301 - our own
    for copy in copies:
        assert copy.fit(X).token == Token(TOKEN)


def test_nothing_that_is_printed_shows_a_token() -> None:
    density = RemoteDensity("http://127.0.0.1:1", "m", token=TOKEN)
    client = Client("http://127.0.0.1:1", token=TOKEN, retries=0)
    with pytest.raises(Exception, match="no connection") as refused:
        client.log_prob("m", X)
    shown = [
        repr(density),
        str(density.get_params()),
        density._repr_html_(),
        repr(density.set_params(token=TOKEN)),
        repr(client) + repr(vars(client._sender)),
        repr(Token(TOKEN)) + str(Token(TOKEN)),
        "".join(traceback.format_exception(refused.value)),
    ]
    assert all(TOKEN not in text for text in shown)


@pytest.mark.parametrize("token", ["", "two words", "lines\nof", "é" * 30, "a=b"])
def test_what_is_no_token_is_refused_without_repeating_it(token: str) -> None:
    with pytest.raises(InvalidInput, match="expected a token") as refused:
        Client("http://127.0.0.1:1", token=token)
    assert not token or token not in str(refused.value)


def test_a_token_and_a_header_exclude_each_other() -> None:
    with pytest.raises(InvalidInput, match="both"):
        Client("http://127.0.0.1:1", token=TOKEN, headers={"Authorization": "Bearer x"})
