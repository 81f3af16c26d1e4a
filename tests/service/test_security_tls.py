"""TLS of the embedded engine, with a certificate made here: HTTP, gRPC, and what is refused."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import grpc
import httpx
import pytest

from logdet import Client
from service.config import ServiceConfig
from service.errors import StartError
from service.tls import refuse_tls, speaks_tls
from tests.engines import ROOT, Running, embedded
from tests.rpc import HEALTH
from tests.service.test_http import GOOD

pytest.importorskip("cryptography", reason="makes the certificate")
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

ADDRESS = "127.0.0.1"


def write_pair(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate that vouches for itself at 127.0.0.1 for an hour, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    cert = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(ADDRESS))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.cert.pem", folder / f"{name}.key.pem"
    paths[0].write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_pair(tmp_path_factory.mktemp("tls"), "served")


@pytest.fixture(scope="module")
def running(root: Path, pair: tuple[Path, Path]) -> Iterator[Running]:
    settings = {"LOGDET_TLS_CERT": str(pair[0]), "LOGDET_TLS_KEY": str(pair[1])}
    with embedded(root, settings) as running:
        yield running


def rpc_address(running: Running) -> str:
    return running.banner.split("gRPC on ")[1].split()[0]


def trusting(cert: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(cert))


def test_http_is_spoken_over_tls_alone(running: Running, pair: tuple[Path, Path]) -> None:
    assert running.url.startswith("https://")
    url = f"{running.url}/v1/models/gauss/score"
    assert httpx.post(url, json=GOOD, verify=trusting(pair[0])).status_code == 200
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.post(url, json=GOOD)
    with pytest.raises(httpx.HTTPError):
        httpx.get(url.replace("https://", "http://"))


def test_old_versions_of_tls_are_not_spoken(running: Running, pair: tuple[Path, Path]) -> None:
    context = trusting(pair[0])
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{running.url}/healthz", verify=context)


def test_grpc_is_spoken_over_tls_alone(running: Running, pair: tuple[Path, Path]) -> None:
    address = rpc_address(running)
    certified = grpc.ssl_channel_credentials(pair[0].read_bytes())
    with grpc.secure_channel(address, certified) as channel:
        assert channel.unary_unary(f"/{HEALTH}/Check")(b"", timeout=10) == b"\x08\x01"
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(f"/{HEALTH}/Check")(b"", timeout=5)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined]


def test_the_client_asks_over_tls(running: Running, pair: tuple[Path, Path]) -> None:
    transport = httpx.HTTPTransport(verify=trusting(pair[0]))
    with Client(running.url, transport=transport) as client:
        assert client.models()


@pytest.mark.parametrize("kind", ["Client", "AsyncClient"])
def test_the_client_asks_grpc_over_tls(
    running: Running, pair: tuple[Path, Path], kind: str
) -> None:
    asked = "c.sample('gauss', 2)"
    program = (
        f"import asyncio, logdet; c = logdet.{kind}('grpcs://{rpc_address(running)}')\n"
        f"async def go(): return await {asked}\n"
        f"a = {asked if kind == 'Client' else 'asyncio.run(go())'}; print(len(a['rows']))"
    )
    # grpc reads its roots once in a process.
    environ = os.environ | {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(pair[0])}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "2"


def test_a_certificate_that_does_not_fit_is_refused_at_the_start(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    cert, key = pair
    other, _ = write_pair(tmp_path, "other")
    assert speaks_tls(ServiceConfig(tls_cert=cert, tls_key=key))
    assert not speaks_tls(ServiceConfig())
    for given, told in (
        ({"tls_cert": cert}, "together"),
        ({"tls_key": key}, "together"),
        ({"tls_cert": other, "tls_key": key}, "expected a certificate in"),
        ({"tls_cert": key, "tls_key": cert}, "expected a certificate in"),
        ({"tls_cert": tmp_path / "none", "tls_key": key}, "No such file"),
    ):
        with pytest.raises(StartError, match=told):
            speaks_tls(ServiceConfig(**given))  # type: ignore[arg-type]


def test_a_key_with_a_password_is_refused_and_not_asked_for(tmp_path: Path) -> None:
    cert, key = write_pair(tmp_path, "locked")
    plain = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        plain.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    with pytest.raises(StartError, match="without a password"):
        speaks_tls(ServiceConfig(tls_cert=cert, tls_key=key))


def test_ray_serve_speaks_no_tls_and_says_so(pair: tuple[Path, Path]) -> None:
    refuse_tls(ServiceConfig())
    with pytest.raises(StartError, match="gateway or mesh"):
        refuse_tls(ServiceConfig(tls_cert=pair[0], tls_key=pair[1]))
