"""The Compose file is one, and Grafana finds what it is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from deploy.traffic import rows, send

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
PROVISIONING = ROOT / "deploy" / "grafana" / "provisioning"


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load(FILE.read_text())


def test_the_file_follows_the_specification(compose: Any) -> None:
    parsed = PyCompose.from_yaml(yaml.safe_dump(compose))
    assert set(parsed.service_names()) == {"logdet", "prometheus", "grafana", "traffic"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("read_olny", True),
        ("stop_grace_period", "soon"),
        ("ports", ["127.0.0.1:90900:9090"]),
        ("depends_on", {"logdet": {"condition": "service_helthy"}}),
    ],
)
def test_what_is_not_in_the_specification_would_be_seen(
    compose: Any, name: str, value: object
) -> None:
    changed = compose["services"]["prometheus"] | {name: value}
    services = compose["services"] | {"prometheus": changed}
    with pytest.raises(ValueError, match=name):
        PyCompose.from_yaml(yaml.safe_dump(compose | {"services": services}))


def test_services_wait_for_services_that_there_are(compose: Any) -> None:
    services = compose["services"]
    for service in services.values():
        assert set(service.get("depends_on", ())) <= services.keys()


def test_every_image_is_built_here_or_has_a_version(compose: Any) -> None:
    built = {service["image"] for service in compose["services"].values() if "build" in service}
    for service in compose["services"].values():
        assert service["image"] in built or service["image"].rpartition(":")[2][-1].isdigit()


def test_traffic_is_sent_only_where_it_is_asked_for_and_to_the_service(compose: Any) -> None:
    traffic = compose["services"]["traffic"]
    assert traffic["profiles"] == ["traffic"]
    program, *options = traffic["command"][1:]
    (mount,) = traffic["volumes"]
    source, place, _ = mount.split(":")
    for module in (rows, send):
        assert Path(module.__file__ or "").parent == ROOT / source
    assert program == f"{place}/{Path(send.__file__).name}"
    assert options == ["--url", "http://logdet:8000"]
    assert [name for name, one in compose["services"].items() if "profiles" in one] == ["traffic"]


def test_grafana_asks_the_prometheus_that_there_is(compose: Any) -> None:
    (file,) = (PROVISIONING / "datasources").glob("*.yml")
    (source,) = yaml.safe_load(file.read_text())["datasources"]
    assert source["type"] == "prometheus"
    assert source["url"] == "http://prometheus:9090"
    assert "127.0.0.1:9090:9090" in compose["services"]["prometheus"]["ports"]
    scraped = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text())
    assert source["jsonData"]["timeInterval"] == scraped["global"]["scrape_interval"]


def test_grafana_finds_its_dashboards_where_they_are_mounted(compose: Any) -> None:
    grafana = compose["services"]["grafana"]
    mounts = {place: source for source, place, _ in (m.split(":") for m in grafana["volumes"])}
    assert mounts["/etc/grafana/provisioning"] == "./deploy/grafana/provisioning"
    (file,) = (PROVISIONING / "dashboards").glob("*.yml")
    (provider,) = yaml.safe_load(file.read_text())["providers"]
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert home.parent == Path(provider["options"]["path"])
    place = next(place for place in mounts if home.is_relative_to(place) and "logdet" in place)
    found = ROOT / mounts[place] / home.relative_to(place)
    assert found == ROOT / "deploy" / "grafana" / "dashboards" / "logdet.json"


def test_nobody_can_change_what_grafana_shows(compose: Any) -> None:
    environ = compose["services"]["grafana"]["environment"]
    assert environ["GF_AUTH_DISABLE_LOGIN_FORM"] == environ["GF_AUTH_ANONYMOUS_ENABLED"] == "true"
    assert "GF_AUTH_ANONYMOUS_ORG_ROLE" not in environ  # Viewer
    assert not {name for name in environ if "PASSWORD" in name}
