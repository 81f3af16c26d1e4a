"""``POST /v1/models/{model}/serve``: choose the version that answers requests without one."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from service.core import Core
from service.errors import invalid
from service.http import media
from service.http.catalogue import entry
from service.http.operations import json_response
from service.http.parsing import json_object, read_body
from service.oip.repository import Repository
from service.policy import Policy


class Serving:
    """The handler.

    Args:
        core: Knows the models.
        repository: Changes what serves.
    """

    def __init__(self, core: Core, repository: Repository) -> None:
        self._core = core
        self._repository = repository

    async def __call__(self, request: Request) -> Response:
        """Change it, and answer with the model's entry in the catalogue as it is then."""
        kind = media.given(request.headers, (media.JSON,))
        media.wanted(request.headers, (media.JSON,), kind)
        fields = json_object(await read_body(request, self._core.config.limit_body_bytes))
        try:
            policy = Policy.of_document(fields)
        except ValueError as error:
            raise invalid(str(error)) from error
        name = request.path_params["model"]
        await self._repository.serve(name, policy)
        return json_response(entry(self._core.catalogue, name))
