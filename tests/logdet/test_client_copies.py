"""What the client knows of the service without importing it, beside the service's own words."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from exported.manifest import Manifest
from logdet.client import grpc as client_grpc
from logdet.client import http as client_http
from logdet.client.calls import Call
from service.grpc import density
from service.grpc import errors as grpc_errors
from service.grpc.pool import message
from service.http import headers, media
from service.http.tables import columns
from service.operations import call as asked
from service.operations.kinds import BY_KIND
from service.operations.spec import Operation
from service.results import STATUSES

NAMES = sorted({name for operations in BY_KIND.values() for name in operations})


def is_whole(operation: Operation, call: asked.Call) -> bool:
    """Whether the service wants all rows of a call in one request."""
    return operation.takes == "count" or operation.is_whole(call)


@pytest.mark.parametrize("settings", [{"seed": None}, {"seed": 0}, {"seed": 7}, {"fdr": 0.1}])
@pytest.mark.parametrize("name", NAMES)
def test_the_client_cuts_what_the_service_answers_row_by_row(
    name: str, settings: dict[str, Any]
) -> None:
    known = [operations[name] for operations in BY_KIND.values() if name in operations]
    # The client does not know the kind of a model: one that must not be cut is enough.
    expected = any(is_whole(operation, asked.Call(settings=settings)) for operation in known)
    assert Call("any", name, rows=[[0.0]], settings=settings).is_whole == expected


def test_statuses_and_densities_of_grpc_are_those_of_the_service() -> None:
    assert client_grpc._STATUSES == STATUSES
    statuses = message("logdet.v1.LogProbResponse").DESCRIPTOR.fields_by_name["status"].enum_type
    assert [f"STATUS_{status.upper()}" for status in STATUSES] == [
        value.name for value in statuses.values
    ]
    assert set(client_grpc._DENSITIES[1:]) == set(
        get_args(Manifest.model_fields["density"].annotation)
    )
    kinds = message("logdet.v1.Model").DESCRIPTOR.fields_by_name["density"].enum_type
    assert [f"DENSITY_KIND_{density.upper()}" for density in client_grpc._DENSITIES[1:]] == [
        value.name for value in kinds.values[1:]
    ]


def test_methods_and_fields_of_grpc_are_those_of_the_service() -> None:
    assert client_grpc.SERVICE == density.SERVICE
    assert {name: method for method, name in density.METHODS.items()} == client_grpc._METHODS
    assert client_grpc._MATRICES == density._MATRICES
    assert client_grpc._VECTORS == density._VECTORS
    trailers = client_grpc.KIND, client_grpc.RETRY_AFTER
    assert trailers == (grpc_errors.KIND, grpc_errors.RETRY_AFTER)


def test_names_of_http_are_those_of_the_service() -> None:
    assert client_http.TIMEOUT_HEADER.encode() == headers.HEADER
    assert client_http.FACTS_HEADER == columns.HEADER
    assert (client_http.ARROW, client_http.JSON) == (media.ARROW, media.JSON)
