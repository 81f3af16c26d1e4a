"""The ``/docs`` page, served from this machine alone."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import swagger_ui_bundle
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from service.errors import ErrorKind, ServiceError

_FILES = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
# A token is asked for where it is needed, and kept nowhere but in the open page.
_START = """(async () => {
  const refused = (await fetch("/openapi.json")).status === 401;
  const token = refused ? window.prompt("Bearer token of this service") : null;
  window.ui = SwaggerUIBundle({
    url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null,
    requestInterceptor: (request) => {
      if (token) { request.headers.authorization = "Bearer " + token; }
      return request;
    }
  });
})();
"""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>logdet</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""


async def page(request: Request) -> Response:
    """The page itself."""
    return HTMLResponse(_PAGE, headers={"content-security-policy": _POLICY})


async def file(request: Request) -> Response:
    """One of the page's files.

    Raises:
        ServiceError: If it has no such file.
    """
    name = request.path_params["file"]
    if name == "start.js":
        return Response(_START, media_type="text/javascript")
    if name not in _FILES:
        raise ServiceError(ErrorKind.NOT_FOUND, "the documentation page has no such file")
    return Response(_read(name), media_type=_FILES[name])


_POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'"


@cache
def _read(name: str) -> bytes:
    return (Path(str(swagger_ui_bundle.swagger_ui_path)) / name).read_bytes()
