"""Every grpcurl command of the documentation, read as grpcurl reads it and asked for real."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict, Parse

from exported.bundle import names
from service.config import ServiceConfig
from service.core import Core
from service.errors import ErrorKind
from service.grpc.errors import STATUS
from service.grpc.generate import PROTOS
from tests.engines import ROOT
from tests.rpc import Rpc, plain, plain_pool, serving

PAGE = (ROOT / "docs" / "grpc.md").read_text()
COMMAND = re.compile(
    r"grpcurl -plaintext -import-path (\S+) -proto (\S+) \\\n"
    r"  -d '(.+)' \\\n"
    r"  127\.0\.0\.1:8001 (\S+)/(\w+)"
)


@pytest.fixture(scope="module")
def rpc() -> Iterator[Rpc]:
    core = Core(ServiceConfig(bundles=ROOT / "exported" / "bundles", provider="cpu", sessions=1))
    core.load()
    with serving(core) as running:
        yield running


def test_the_page_has_commands_of_every_service() -> None:
    found = COMMAND.findall(PAGE)
    assert len(found) == PAGE.count("grpcurl -plaintext") == 6
    assert {service for _, _, _, service, _ in found} == {
        f"{file.package}.{name}"
        for path in PROTOS.glob("*.proto")
        for file in [plain_pool().FindFileByName(path.name)]
        for name in file.services_by_name
    }


@pytest.mark.parametrize("command", COMMAND.findall(PAGE), ids=lambda found: found[-1])
def test_a_command_is_answered(command: tuple[str, ...], rpc: Rpc) -> None:
    folder, proto, body, service, method = command
    assert ROOT / folder == PROTOS
    described = plain_pool().FindServiceByName(service)
    assert described.file.name == proto
    found = described.methods_by_name[method]
    request: Any = Parse(body, plain(found.input_type.full_name)())
    data = rpc.raw(service, method, request.SerializeToString())
    answer = MessageToDict(plain(found.output_type.full_name).FromString(data))
    assert answer
    if method == "Score":
        assert answer["status"] == ["STATUS_NON_FINITE_INPUT"]
        assert answer["pValue"] == ["NaN"]


def test_the_page_has_every_kind_of_error() -> None:
    for kind in ErrorKind:
        row = next(
            line for line in PAGE.splitlines() if line.startswith("|") and f"`{kind}`" in line
        )
        assert f"`{STATUS[kind].name}`" in row


def test_the_shipped_bundles_are_those_of_the_page() -> None:
    assert {"shuttle", "digits_vae"} <= set(names(ROOT / "exported" / "bundles"))
