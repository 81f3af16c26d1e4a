"""The service on both engines, with bundles in a bucket."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

import exported
from service import embedded as embedded_engine
from service import ray_engine
from service.config import ServiceConfig
from service.errors import StartError
from service.storage.bucket import refuse_nothing
from tests.bundles import MEAN, ordinary_rows, write_gaussian
from tests.engines import Running, embedded, on_ray
from tests.storage.servers import ENVIRONMENT, Server, Store, s3_server

pytestmark = pytest.mark.serve

SHIPPED = Path(exported.__file__).parent / "bundles"
ENGINES = {"embedded": embedded, "ray": on_ray}
ROWS = ordinary_rows(5).tolist()
PATIENCE_S = 60.0


@pytest.fixture
def published(tmp_path: Path) -> Path:
    root = tmp_path / "published"
    write_gaussian(root, version=1)
    for version in (2, 3, 4):
        write_gaussian(root, version=version, mean=MEAN + version)
    return root


@contextmanager
def serving(engine: str, address: str, cache: Path, **more: str) -> Iterator[Running]:
    settings = {
        "LOGDET_BUNDLES": address,
        "LOGDET_CACHE": str(cache),
        "LOGDET_FOLLOW_S": "0.2",
        "LOGDET_ALLOW_LOADING": "true",
    }
    with ENGINES[engine](Path(), ENVIRONMENT | settings | more) as running:
        yield running


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def answering(running: Running) -> int:
    """The version that answers who names none."""
    body = {"rows": ROWS}
    answer = httpx.post(f"{running.url}/v1/models/gauss/log_prob", json=body, timeout=30)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["version"])


def index(running: Running) -> dict[tuple[str, str], tuple[str, str]]:
    listed = httpx.post(f"{running.url}/v2/repository/index", timeout=30).json()
    return {(m["name"], m["version"]): (m["state"], m.get("reason", "")) for m in listed}


def metric(running: Running, name: str) -> list[float]:
    """Of each replica."""
    page = httpx.get(f"{running.url}/metrics", timeout=30).text
    lines = [line for line in page.splitlines() if line.startswith(name + "{")]
    return [float(line.split()[-1]) for line in lines]


def test_the_shipped_bundle_answers_from_a_bucket_as_from_its_folder(
    bucket: Store, tmp_path: Path
) -> None:
    bucket.put_bundle(SHIPPED / "shuttle" / "1")
    rows = [[37.0, 0, 76, 0, 28, 18, 40, 48, 8], [55.0, 0, 81, 0, -6, 11, 25, 88, 64]]
    answers = []
    with (
        serving("embedded", bucket.address, tmp_path / "cache") as remote,
        embedded(SHIPPED) as here,
    ):
        for running in (remote, here):
            for operation in ("score", "encode"):
                url = f"{running.url}/v1/models/shuttle/{operation}"
                answers.append(httpx.post(url, json={"rows": rows}).content)
        assert metric(remote, "logdet_storage_fetched_bytes_total")[0] > 0
        assert metric(remote, "logdet_storage_away") == [0.0]
        assert metric(here, "logdet_storage_away") == []
    assert answers[:2] == answers[2:]


@pytest.mark.parametrize("engine", ENGINES)
def test_versions_in_a_bucket_are_followed(
    engine: str, bucket: Store, published: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bucket.put_bundle(published / "gauss" / "1")
    bucket.put_bundle(published / "gauss" / "2", "golden.npz")  # half there
    with serving(engine, bucket.address, tmp_path / "cache") as running:
        assert answering(running) == 1
        assert index(running)["gauss", "2"][0] == "UNAVAILABLE"
        bucket.put_bundle(published / "gauss" / "2")
        until(lambda: answering(running) == 2)
        graph = bytearray((published / "gauss" / "3" / "log_prob.onnx").read_bytes())
        graph[-1] ^= 1
        bucket.put_bundle(published / "gauss" / "3", log_prob=bytes(graph))
        until(lambda: ("gauss", "3") in index(running))
        state, reason = index(running)["gauss", "3"]
        assert state == "UNAVAILABLE"
        assert "refused when it was fetched" in reason
        assert answering(running) == 2
        bucket.put("gauss/serving.json", b'{"version": 1}')
        until(lambda: answering(running) == 1)
        bucket.delete("gauss/serving.json")
        until(lambda: answering(running) == 2)
        bucket.delete("gauss/2")
        until(lambda: answering(running) == 1)
    told = capfd.readouterr().err
    assert "gauss/3" in told
    assert "log_prob.onnx is not the file the manifest describes" in told
    assert ENVIRONMENT["AWS_SECRET_ACCESS_KEY"] not in told


def test_a_request_chooses_in_the_bucket_and_a_restart_does_the_same(
    bucket: Store, published: Path, tmp_path: Path
) -> None:
    for version in ("1", "2"):
        bucket.put_bundle(published / "gauss" / version)
    with serving("embedded", bucket.address, tmp_path / "cache") as running:
        answer = httpx.post(
            f"{running.url}/v1/models/gauss/serve", json={"version": 1}, timeout=60
        )
        assert answer.status_code == 200, answer.text
        assert answering(running) == 1
    assert "gauss/serving.json" in bucket.names()
    with serving("embedded", bucket.address, tmp_path / "another") as running:
        assert answering(running) == 1
    with serving("embedded", bucket.address, tmp_path / "cache") as running:
        assert metric(running, "logdet_storage_fetched_bytes_total") == [0.0]


def test_a_request_loads_what_is_in_the_bucket_now(
    bucket: Store, published: Path, tmp_path: Path
) -> None:
    bucket.put_bundle(published / "gauss" / "1")
    never = {"LOGDET_FOLLOW_S": "0"}
    with serving("embedded", bucket.address, tmp_path / "cache", **never) as running:
        load = f"{running.url}/v2/repository/models/gauss/load"
        bucket.put_bundle(published / "gauss" / "2", "golden.npz")
        refused = httpx.post(load, timeout=30)
        assert refused.status_code == 400
        assert "gauss/2 is refused, so that nothing was changed" in refused.text
        assert answering(running) == 1
        bucket.put_bundle(published / "gauss" / "2")
        assert httpx.post(load, timeout=30).status_code == 200
        assert answering(running) == 2


def test_a_storage_that_goes_away_stops_nothing(published: Path, tmp_path: Path) -> None:
    with s3_server() as server:
        store = filled(server, published, "1")
        with serving("embedded", store.address, tmp_path / "cache") as running:
            server.stop()
            until(lambda: metric(running, "logdet_storage_away") == [1.0])
            assert answering(running) == 1
            load = f"{running.url}/v2/repository/models/gauss/load"
            away = httpx.post(load, timeout=60)
            assert away.status_code == 503
            assert "cannot be reached" in away.text
            with s3_server(server.port) as back:
                filled(back, published, "1", "2")
                until(lambda: answering(running) == 2)
                assert metric(running, "logdet_storage_away") == [0.0]


def filled(server: Server, published: Path, *versions: str) -> Store:
    """A new bucket with some versions."""
    address = server.address("bundles/models") + "&allow_bucket_creation=true"
    store = Store(address)
    store.files.create_dir("bundles")
    for version in versions:
        store.put_bundle(published / "gauss" / version)
    return store


@pytest.mark.slow
def test_a_storage_that_does_not_answer_holds_nobody_up_for_long(
    published: Path, tmp_path: Path
) -> None:
    with s3_server() as server:
        store = filled(server, published, "1")
        with serving("embedded", store.address, tmp_path / "cache") as running:
            server.process.send_signal(signal.SIGSTOP)
            try:
                until(lambda: metric(running, "logdet_storage_away") == [1.0])
                assert answering(running) == 1
                running.process.terminate()
                assert running.process.wait(30) == 0
                with pytest.raises(
                    StartError, match="cannot read the bundles at s3://bundles/models"
                ):
                    refuse_nothing(store.address)
            finally:
                server.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize(
    "serve", [embedded_engine.serve, partial(ray_engine.serve, replicas=1, num_gpus=0)]
)
def test_a_bucket_that_cannot_be_read_is_one_sentence_at_the_start(
    serve: Callable[..., None], bucket: Store, tmp_path: Path
) -> None:
    missing = bucket.address.replace("s3://", "s3://nobodys-")
    for address, why in ((bucket.address, "there are no bundles"), (missing, "does not exist")):
        config = ServiceConfig(bundles=address, cache=tmp_path, port=0, grpc=False)
        with pytest.raises(StartError, match=rf"^cannot read the bundles at s3://[^?]*: .*{why}"):
            serve(config)


@pytest.mark.parametrize("bundles", ["s3://bucket/prefix?region=x", "folder/of/bundles"])
def test_where_bundles_are_reaches_replicas_as_plain_data(bundles: str) -> None:
    config = ServiceConfig.from_environ({"LOGDET_BUNDLES": bundles, "LOGDET_CACHE": "cache"})
    assert str(config.bundles) == bundles
    assert ServiceConfig.model_validate(config.model_dump(mode="json")) == config
