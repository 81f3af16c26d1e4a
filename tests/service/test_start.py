"""Configuration, choice of provider, and what is refused at the start."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnx
import pytest

from exported.bundle import locate, read_bundle
from exported.errors import BundleInvalidError
from service import runtime
from service.catalogue import Catalogue
from service.config import ServiceConfig
from service.errors import ServiceError, StartError
from service.metrics import Metrics
from service.runtime import Runtime
from tests.bundles import write_gaussian

CPU = Runtime.choose("cpu", sessions=1)
HAS_GPU = Path("/dev/nvidiactl").exists()


def test_settings_come_from_the_environment_and_overrides_win() -> None:
    environ = {"LOGDET_PORT": "81", "LOGDET_SESSIONS": "3", "PORT": "82", "LOGDET_TOKEN_FILE": "x"}
    config = ServiceConfig.from_environ(environ, sessions=2, host=None)
    assert (config.port, config.sessions, config.host) == (81, 2, "127.0.0.1")


def test_a_wrong_setting_is_named() -> None:
    with pytest.raises(StartError, match="LOGDET_PORT"):
        ServiceConfig.from_environ({"LOGDET_PORT": "http"})
    with pytest.raises(StartError, match="provider"):
        ServiceConfig.from_environ({}, provider="tpu")


def test_a_bad_bundle_is_refused_and_the_others_serve(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_gaussian(tmp_path, "good")
    write_gaussian(tmp_path, "bad", golden_offset=1.0)
    metrics = Metrics("0")
    with caplog.at_level(logging.ERROR):
        catalogue = Catalogue.load(tmp_path, CPU, metrics)
    assert list(catalogue.models) == ["good"]
    assert "refused bad/1: golden rows" in caplog.text
    value = metrics.registry.get_sample_value
    assert value("logdet_model_loads_total", {"replica": "0", "result": "refused"}) == 1
    with pytest.raises(ServiceError, match="good"):
        catalogue.get("bad")


def test_nothing_to_serve_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="no bundles"):
        Catalogue.load(tmp_path, CPU, Metrics("0"))
    write_gaussian(tmp_path, golden_offset=1.0)
    with pytest.raises(StartError, match="all 1"):
        Catalogue.load(tmp_path, CPU, Metrics("0"))


def test_a_file_that_is_no_graph_is_refused(root: Path) -> None:
    bundle = read_bundle(locate(root, "gauss"))
    graph = bundle.manifest.graphs["decode"]
    with pytest.raises(BundleInvalidError, match=r"decode\.onnx"):
        CPU.load(graph, b"not a graph")


def test_the_probe_is_a_valid_model() -> None:
    onnx.checker.check_model(onnx.load_from_string(runtime._PROBE))
    assert CPU.defect() is None


@pytest.mark.skipif(HAS_GPU, reason="says what happens without a GPU")
def test_cuda_that_is_not_there_is_refused_and_auto_takes_the_cpu(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(StartError, match=r"cuda was asked for, but .*onnxruntime"):
        Runtime.choose("cuda", sessions=1)
    with caplog.at_level(logging.INFO):
        assert Runtime.choose("auto", sessions=1).provider == "cpu"
    assert caplog.messages == ["provider auto: graphs run on the CPU (no usable CUDA device here)"]


@pytest.mark.skipif(not HAS_GPU, reason="needs a GPU")
def test_cuda_that_is_there_replays_the_golden_rows(root: Path) -> None:
    from service.model import Model

    model = Model.load(root / "gauss" / "1", Runtime.choose("cuda", sessions=1))
    assert model.provider == "cuda"
    assert np.isfinite(model.sample(5, seed=0).rows.log_prob).all()


def test_no_module_reads_the_environment_on_its_own() -> None:
    service = Path(runtime.__file__).parent
    for file in service.rglob("*.py"):
        if not file.name.startswith("ray_"):
            assert "os.environ" not in file.read_text(), file
