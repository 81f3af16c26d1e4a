"""``GET``: what is served, and how the service is."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from service.catalogue import Catalogue
from service.core import Core
from service.http.operations import SERVED, json_response, version_of


class Pages:
    """Handlers of the catalogue.

    Args:
        core: Knows the models.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    async def models(self, request: Request) -> Response:
        """Every model at the version that answers by default."""
        catalogue = self._core.catalogue
        answering = [n for n, known in catalogue.models.items() if catalogue.default(n) in known]
        return json_response({"models": [entry(catalogue, name) for name in answering]})

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


def entry(catalogue: Catalogue, name: str) -> dict[str, object]:
    """A model in one line."""
    model, route = catalogue.get(name), catalogue.routes[name]
    manifest = model.manifest
    return {
        "name": name,
        "version": manifest.version,
        "versions": list(catalogue.models[name]),
        "policy": route.wanted.policy.kind,
        "challenger": route.challenger,
        "set_by": route.wanted.set_by,
        "problem": route.problem or None,
        "family": manifest.family,
        "density": manifest.density,
        "features": [feature.name for feature in manifest.features],
        "context_features": [feature.name for feature in manifest.context_features],
        "operations": sorted(manifest.operations),
        "provider": model.provider,
    }
