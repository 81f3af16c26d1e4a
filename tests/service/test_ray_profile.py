"""Which environment Ray is started with."""

from __future__ import annotations

import pytest

from service.loopback import is_loopback
from service.ray_profile import CLUSTER, EVERY_INTERFACE, environment

PROXY = "RAY_SERVE_ENABLE_HA_PROXY"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_addresses_are_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", [EVERY_INTERFACE, "::", "10.0.0.5", "example.test"])
def test_other_addresses_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.5", "::"])
def test_the_proxy_that_binds_every_interface_is_off_whatever_the_environment_says(
    host: str,
) -> None:
    assert environment(host, "secret", {PROXY: "1"})[PROXY] == "0"


def test_every_interface_gets_the_profile_of_a_cluster_and_the_users_tuning() -> None:
    name = "RAY_SERVE_HAPROXY_NBTHREAD"
    settings = environment(EVERY_INTERFACE, "secret", {name: "8"})
    assert settings | {name: CLUSTER[name]} | CLUSTER == settings | CLUSTER
    assert settings[name] == "8"
    assert settings.keys() >= CLUSTER.keys()


@pytest.mark.parametrize("host", ["127.0.0.1", EVERY_INTERFACE])
def test_a_ray_of_our_own_asks_for_its_token_and_keeps_its_core_on_loopback(host: str) -> None:
    settings = environment(host, "secret", {"RAY_AUTH_MODE": "disabled"})
    expected = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "secret",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }
    assert expected.items() <= settings.items()
