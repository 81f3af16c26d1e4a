"""Which media type an answer has."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from service.http.errors import HttpError
from service.http.media import ANSWERS, ARROW, BODIES, CSV, JSON, NDJSON, given, wanted

# accept, media type of the body, of the answer
CASES: list[tuple[str | None, str, str]] = [
    (None, JSON, JSON),
    (None, CSV, CSV),
    ("", ARROW, ARROW),
    ("*/*", ARROW, ARROW),
    ("*/*", JSON, JSON),
    ("text/csv", JSON, CSV),
    ("TEXT/CSV; q=1.0", JSON, CSV),
    ("text/*", JSON, CSV),
    ("application/*", CSV, JSON),
    ("application/*", ARROW, ARROW),
    ("application/json;q=0.5, text/csv", JSON, CSV),
    ("application/json;q=0.5, text/csv;q=0.4", CSV, JSON),
    ("application/json, text/plain, */*", CSV, JSON),
    ("application/json, text/csv", CSV, CSV),
    ("application/x-ndjson, application/json;q=0.9", JSON, NDJSON),
    ("*/*, text/csv;q=0", CSV, JSON),
    ("*/*;q=0.1, application/*;q=0", CSV, CSV),
    ("image/png, application/vnd.apache.arrow.stream;q=0.1", JSON, ARROW),
    ("text/csv;q=2, application/json;q=0.1", JSON, JSON),
]


@pytest.mark.parametrize(("accept", "body", "answer"), CASES)
def test_the_best_of_what_a_client_takes_is_answered(
    accept: str | None, body: str, answer: str
) -> None:
    headers = Headers({} if accept is None else {"accept": accept})
    assert wanted(headers, ANSWERS, body) == answer


def test_several_accept_lines_are_one_list() -> None:
    headers = Headers(raw=[(b"accept", b"image/png"), (b"accept", b"text/csv")])
    assert wanted(headers, ANSWERS, JSON) == CSV


@pytest.mark.parametrize(
    "accept", ["image/png", "*/*;q=0", "text/plain, application/xml", "json", "*/json", ";;"]
)
def test_nothing_that_there_is_is_a_406(accept: str) -> None:
    with pytest.raises(HttpError, match="expected accept to allow application/json, ") as error:
        wanted(Headers({"accept": accept}), ANSWERS, JSON)
    assert error.value.status == 406


@pytest.mark.parametrize("kind", ["text/plain", "", "application/x-ndjson", "csv"])
def test_a_body_of_another_type_is_a_415(kind: str) -> None:
    with pytest.raises(HttpError, match="expected content-type") as error:
        given(Headers({"content-type": kind}), BODIES)
    assert error.value.status == 415
