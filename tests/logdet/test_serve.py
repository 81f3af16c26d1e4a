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
