"""``GET``: what is served, and how the service is."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from service.core import Core
from service.http.operations import SERVED, json_response, version_of
from service.kinds import AnyModel


class Pages:
    """Handlers of the catalogue.

    Args:
        core: Knows the models.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    async def models(self, request: Request) -> Response:
        """Every model at its newest version."""
        newest = [self._core.catalogue.get(name) for name in self._core.catalogue.models]
        return json_response({"models": [self._entry(model) for model in newest]})

    async def manifest(self, request: Request) -> Response:
        """The manifest of one model."""
        path = request.path_params
        served = self._core.find(path["model"], version_of(path))
        request.scope[SERVED] = served
        return Response(served.model.manifest.model_dump_json(), media_type="application/json")

    async def health(self, request: Request) -> Response:
        """Liveness: the event loop answers."""
        return json_response({"status": "ok"})

    async def root(self, request: Request) -> Response:
        """People who open the address in a browser want the documentation."""
        return RedirectResponse("/docs")

    def _entry(self, model: AnyModel) -> dict[str, object]:
        manifest = model.manifest
        return {
            "name": manifest.name,
            "version": manifest.version,
            "versions": list(self._core.catalogue.models[manifest.name]),
            "family": manifest.family,
            "density": manifest.density,
            "features": [feature.name for feature in manifest.features],
            "context_features": [feature.name for feature in manifest.context_features],
            "operations": sorted(manifest.operations),
            "provider": model.provider,
        }
