"""Files of tokens, the door, and how often it opens."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import pytest

from service import tokens
from service.config import ServiceConfig
from service.door import Door, refuse_undecided
from service.errors import ErrorKind, ServiceError, StartError
from service.metrics import Metrics
from service.rates import Rate
from service.tokens import Tokens, read_tokens

ALICE, BOB = "a" * 40, "B-._~+/0123456789abcdef=="


def written(folder: Path, text: str) -> Path:
    path = folder / "tokens"
    path.write_text(text)
    return path


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def door(tokens: Tokens | None, per_second: float | None = None) -> Door:
    return Door(tokens, per_second, Metrics("0"))


def test_a_file_holds_tokens_and_digests_under_names(tmp_path: Path) -> None:
    text = f"# who may ask\n\nalice {ALICE}  # until spring\nbob sha256:{digest(BOB)}\n"
    known = read_tokens(written(tmp_path, text))
    assert known.owner(ALICE.encode()) == "alice"
    assert known.owner(BOB.encode()) == "bob"
    assert known.owner(digest(BOB).encode()) is None
    assert known.owner(b"") is None


def test_a_name_may_have_two_tokens_while_one_replaces_the_other(tmp_path: Path) -> None:
    known = read_tokens(written(tmp_path, f"alice {ALICE}\nalice {BOB}\n"))
    assert known.names == ("alice",)
    assert {known.owner(ALICE.encode()), known.owner(BOB.encode())} == {"alice"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line NAME TOKEN or more"),
        ("# nobody\n", "line NAME TOKEN or more"),
        (ALICE, "line 1"),
        (f"alice {ALICE} {BOB}", "line 1"),
        (f"\nAlice {ALICE}", "line 2"),
        ("alice tooshorttoken", "at least 20"),
        (f"alice {ALICE}%", "at least 20"),
        (f"alice sha256:{digest(BOB)[1:]}", "at least 20"),
        (f"alice {ALICE}\nbob {ALICE}", "one twice"),
        (f"alice {ALICE}\nbob sha256:{digest(ALICE)}", "one twice"),
        ("#" * (tokens.MAX_FILE_BYTES + 1), "at most"),
    ],
)
def test_a_file_that_is_not_as_expected_is_refused_without_showing_it(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(StartError, match=told) as refused:
        read_tokens(written(tmp_path, text))
    for secret in (ALICE, BOB, "tooshorttoken", digest(BOB)[1:]):
        assert secret not in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"none: No such file"):
        read_tokens(tmp_path / "none")
    (tmp_path / "bytes").write_bytes(b"alice \xff\xfe")
    with pytest.raises(StartError, match="expected text") as refused:
        read_tokens(tmp_path / "bytes")
    assert refused.value.__cause__ is None


def test_tokens_do_not_show_in_a_repr(tmp_path: Path) -> None:
    known = read_tokens(written(tmp_path, f"alice {ALICE}"))
    shown = repr(known) + repr(Door(known, None, Metrics("0")).__dict__)
    for secret in (ALICE, digest(ALICE), str(hashlib.sha256(ALICE.encode()).digest())):
        assert secret not in shown


def test_every_known_token_is_compared_whichever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []
    real = hmac.compare_digest

    def counting(a: bytes, b: bytes) -> bool:
        compared.append(b)
        return real(a, b)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    digests = [hashlib.sha256(name.encode()).digest() for name in "abc"]
    known = Tokens(tuple(zip("abc", digests, strict=True)))
    for token, owner in ((b"a", "a"), (b"c", "c"), (b"d", None)):
        compared.clear()
        assert known.owner(token) == owner
        assert compared == digests


def test_without_tokens_everybody_is_let_in() -> None:
    open_door = door(None)
    assert not open_door.is_guarded
    open_door.admit(None)


@pytest.mark.parametrize("shown", [f"Bearer {ALICE}", f"bearer {ALICE}", f"BEARER  {ALICE} "])
def test_a_known_token_opens(tmp_path: Path, shown: str) -> None:
    door(read_tokens(written(tmp_path, f"alice {ALICE}"))).admit(shown)


@pytest.mark.parametrize(
    "shown",
    [None, "", "Bearer", "Bearer ", ALICE, f"Basic {ALICE}", f"Bearer {ALICE}x", "Bearer é"],
)
def test_anything_else_does_not_and_is_not_repeated(tmp_path: Path, shown: str | None) -> None:
    with pytest.raises(ServiceError) as refused:
        door(read_tokens(written(tmp_path, f"alice {ALICE}"))).admit(shown)
    assert refused.value.kind is ErrorKind.UNAUTHORIZED
    assert ALICE not in refused.value.message


def test_a_rate_lets_a_second_through_at_once_and_then_its_share() -> None:
    now = 0.0
    rate = Rate(3.0, lambda: now)
    assert [rate.take() for _ in range(4)] == [True, True, True, False]
    now = 0.34
    assert [rate.take() for _ in range(2)] == [True, False]
    now = 100.0
    assert sum(rate.take() for _ in range(10)) == 3


def test_a_rate_is_of_one_name_and_counted(tmp_path: Path) -> None:
    known = read_tokens(written(tmp_path, f"alice {ALICE}\nbob {BOB}"))
    metrics = Metrics("0")
    limited = Door(known, 1.0, metrics)
    limited.admit(f"Bearer {ALICE}")
    with pytest.raises(ServiceError, match=r"1 requests a second .* alice") as refused:
        limited.admit(f"Bearer {ALICE}")
    assert refused.value.kind is ErrorKind.RATE_LIMITED
    limited.admit(f"Bearer {BOB}")
    told = {
        (name, outcome): metrics.registry.get_sample_value(
            "logdet_token_requests_total", {"replica": "0", "token": name, "outcome": outcome}
        )
        for name in ("alice", "bob")
        for outcome in ("admitted", "rate_limited")
    }
    assert told == {
        ("alice", "admitted"): 1,
        ("alice", "rate_limited"): 1,
        ("bob", "admitted"): 1,
        ("bob", "rate_limited"): None,
    }


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org"])  # noqa: S104
def test_a_host_that_others_reach_needs_a_decision(host: str, tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"--tokens-file.*--allow-anonymous"):
        refuse_undecided(ServiceConfig(host=host))
    refuse_undecided(ServiceConfig(host=host, allow_anonymous=True))
    refuse_undecided(ServiceConfig(host=host, tokens_file=tmp_path / "later"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    refuse_undecided(ServiceConfig(host=host))


def test_settings_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="exclude"):
        refuse_undecided(ServiceConfig(tokens_file=tmp_path, allow_anonymous=True))
    with pytest.raises(StartError, match="LOGDET_LIMIT_TOKEN_RATE"):
        refuse_undecided(ServiceConfig(limit_token_rate=5))
    with pytest.raises(StartError, match="greater than or equal to 1"):
        ServiceConfig.from_environ({"LOGDET_LIMIT_TOKEN_RATE": "0.5"})
