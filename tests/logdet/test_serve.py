"""``logdet serve``."""

from pathlib import Path

import pytest

from service import embedded, ray_engine
from tests.terminal import Run


@pytest.mark.parametrize(
    ("args", "settings"),
    [
        ([], ("127.0.0.1", 8000, "auto", True, None, False)),
        (
            ["--host", "0.0.0.0", "--port", "0", "--provider", "cpu", "--allow-loading"],  # noqa: S104
            ("0.0.0.0", 0, "cpu", True, None, True),  # noqa: S104
        ),
        (["--no-grpc"], ("127.0.0.1", 8000, "auto", False, None, False)),
        (["--grpc-port", "9000"], ("127.0.0.1", 8000, "auto", True, 9000, False)),
    ],
)
def test_serve_hands_its_options_to_the_engine(
    run: Run, bundles: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], settings: tuple
) -> None:
    served = []
    monkeypatch.setattr(embedded, "serve", served.append)
    monkeypatch.setattr(ray_engine, "serve", lambda *given: served.extend(given))
    assert run("serve", *args).exit_code == 0
    assert run("serve", *args, "--ray", "--replicas", "2", "--num-gpus", "0.5").exit_code == 0
    assert served[2:] == [2, 0.5]
    for config in served[:2]:
        told = config.host, config.port, config.provider
        assert (*told, config.grpc, config.grpc_port, config.allow_loading) == settings
        assert config.bundles == bundles


def test_two_numbers_of_replicas_are_bounds(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    served = []
    monkeypatch.setattr(ray_engine, "serve", lambda *given: served.append(given))
    assert run("serve", "--ray", "--replicas", "2:4").exit_code == 0
    assert run("serve", "--ray").exit_code == 0
    (config, replicas, _), (fixed, one, _) = served
    assert (config.min_replicas, config.max_replicas, replicas) == (2, 4, 2)
    assert (fixed.max_replicas, one) == (None, 1)


def test_a_number_of_replicas_prevails_over_bounds_of_the_environment(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = []
    monkeypatch.setattr(ray_engine, "serve", lambda *given: served.append(given))
    monkeypatch.setenv("LOGDET_MIN_REPLICAS", "3")
    monkeypatch.setenv("LOGDET_MAX_REPLICAS", "8")
    assert run("serve", "--ray", "--replicas", "2").exit_code == 0
    assert run("serve", "--ray").exit_code == 0
    (fixed, two, _), (bounded, _, _) = served
    assert (fixed.max_replicas, two) == (None, 2)
    assert (bounded.min_replicas, bounded.max_replicas) == (3, 8)


def test_serve_hands_on_who_may_ask_and_the_certificate(
    run: Run, bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = []
    monkeypatch.setattr(embedded, "serve", served.append)
    names = {"tokens_file": "tokens", "tls_cert": "cert.pem", "tls_key": "key.pem"}
    options = [part for name in names for part in ("--" + name.replace("_", "-"), names[name])]
    assert run("serve", *options).exit_code == 0
    assert run("serve", "--allow-anonymous").exit_code == 0
    first, second = served
    assert {name: str(getattr(first, name)) for name in names} == names
    assert (first.allow_anonymous, second.allow_anonymous) == (False, True)


@pytest.mark.parametrize("engine", [[], ["--ray"]])
def test_serve_on_an_address_that_others_reach_asks_for_a_decision(
    run: Run, bundles: Path, engine: list[str]
) -> None:
    refused = run("serve", "--host", "0.0.0.0", "--port", "0", *engine)  # noqa: S104
    assert refused.exit_code != 0
    for told in ("--tokens-file", "--allow-anonymous", "LOGDET_TOKENS_FILE"):
        assert told in refused.stderr


def test_tls_with_ray_is_refused_in_a_sentence(run: Run, bundles: Path) -> None:
    refused = run("serve", "--ray", "--tls-cert", "cert.pem", "--tls-key", "key.pem")
    assert refused.exit_code != 0
    assert "gateway or mesh" in refused.stderr
