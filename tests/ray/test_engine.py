"""What is true of the Ray engine alone; what it shares is in the conformance suite."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.bundles import ordinary_rows, write_gaussian
from tests.engines import RAY, ROOT, Running, on_ray
from tests.processes import family_of
from tests.ray.load import Load

pytestmark = pytest.mark.serve

LISTENING = "0A"  # the state in /proc/net/tcp


def test_two_replicas_share_the_work_and_the_page_counts_every_row_once(replicas: Running) -> None:
    sizes = [1 + number % 5 for number in range(60)]
    x = ordinary_rows(5).tolist()
    with httpx.Client(base_url=replicas.url, timeout=30) as api:
        before = rows_by_replica(api)

        def ask(rows: int) -> int:
            return api.post("/v1/models/gauss/encode", json={"rows": x[:rows]}).status_code

        with ThreadPoolExecutor(8) as clients:
            assert set(clients.map(ask, sizes)) == {200}
        time.sleep(1.2)  # the page is made once a second
        pages = [rows_by_replica(api) for _ in range(4)]
    assert pages[1:] == pages[:-1]
    grown = pages[0] - before
    assert sum(grown.values()) == sum(sizes)
    assert len(grown) == 2


def rows_by_replica(api: httpx.Client) -> Counter[str]:
    counts: Counter[str] = Counter()
    for family in text_string_to_metric_families(api.get("/metrics").text):
        for sample in family.samples:
            if sample.name == "logdet_rows_total" and sample.labels["method"] == "encode":
                counts[sample.labels["replica"]] += int(sample.value)
            if sample.name == "logdet_scrape_incomplete":
                assert sample.value == 0
    return counts


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's table of sockets")
def test_nothing_listens_beyond_loopback(replicas: Running) -> None:
    processes = family_of(replicas.process.pid)
    addresses = {a for pid in processes for a in listening(pid)}
    assert len(processes) > 5
    assert addresses
    assert [str(a) for a in addresses if not a.is_loopback] == []


def listening(pid: int) -> set[object]:
    """Addresses at which a process listens."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            target = os.readlink(descriptor)
        except OSError:
            continue
        if target.startswith("socket:["):
            sockets.add(target[len("socket:[") : -1])
    return {
        address(fields[1])
        for table in ("tcp", "tcp6")
        for fields in map(str.split, Path("/proc/net", table).read_text().splitlines()[1:])
        if fields[3] == LISTENING and fields[9] in sockets
    }


def address(field: str) -> object:
    """The table's address: 32-bit words in hexadecimal, each in the machine's byte order."""
    digits = field.partition(":")[0]
    words = [digits[i : i + 8] for i in range(0, len(digits), 8)]
    raw = b"".join(int(word, 16).to_bytes(4, sys.byteorder) for word in words)
    found = ip_address(raw)
    return getattr(found, "ipv4_mapped", None) or found


def test_sigterm_under_load_answers_what_is_in_flight_and_leaves_no_process(
    bundles: Path,
) -> None:
    with on_ray(bundles) as running, Load(running.url, clients=8, rows=200) as load:
        time.sleep(1.5)
        processes = family_of(running.process.pid)
        stopped = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(20) == 0
    before = [sent for sent in load.sent if sent.ended < stopped]
    in_flight = [sent for sent in load.sent if sent.begun < stopped <= sent.ended]
    assert len(before) > 20
    assert in_flight
    assert {sent.status for sent in before + in_flight} == {200}
    after = {sent.status for sent in load.sent if sent.begun >= stopped}
    assert after <= {200, 503, None}
    assert gone(processes)


def gone(processes: set[int], within_s: float = 5.0) -> bool:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if not any(alive(pid) for pid in processes):
            return True
        time.sleep(0.1)
    return False


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_taken_port_is_one_clear_line(replicas: Running, bundles: Path) -> None:
    port = replicas.url.rpartition(":")[2]
    told = start({"LOGDET_BUNDLES": str(bundles), "LOGDET_PORT": port})
    assert "StartError: cannot listen on 127.0.0.1" in told
    assert "choose another --port" in told


def test_a_folder_without_bundles_is_one_clear_line(tmp_path: Path) -> None:
    told = start({"LOGDET_BUNDLES": str(tmp_path), "LOGDET_PORT": "0"})
    assert "StartError: nothing to serve: there are no bundles under" in told


def start(settings: dict[str, str]) -> str:
    """The last line of a start that fails."""
    done = subprocess.run(
        [sys.executable, "-c", RAY],
        cwd=ROOT,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    return done.stderr.strip().splitlines()[-1]


def test_a_stop_right_after_the_first_answer_ends_well(tmp_path: Path) -> None:
    write_gaussian(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "logdet", "serve", "--ray", "--no-grpc"]
    service = subprocess.Popen(
        [*words, "--bundles", str(tmp_path), "--port", str(port)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while service.poll() is None:
        with suppress(httpx.HTTPError):
            if httpx.get(f"http://127.0.0.1:{port}/healthz").is_success:
                break
        time.sleep(0.005)
    service.terminate()
    told, _ = service.communicate(timeout=60)
    assert service.returncode == 0, told
