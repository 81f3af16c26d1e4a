"""What a request was, as the metrics and the traces name it."""

from __future__ import annotations

from starlette.types import Scope

from service.http.kinds import OPERATIONS
from service.http.oip.routes import PREFIX, PROTOCOL
from service.http.operations import COUNTED, SERVED

Counted = tuple[str, str, str, str]


def is_open_inference(scope: Scope) -> bool:
    """Whether a request is one of the Open Inference Protocol."""
    path: str = scope["path"]
    return path == PREFIX or path.startswith(PREFIX + "/")


def counted(scope: Scope) -> Counted:
    """Model, version, method and protocol of a request."""
    told: Counted | None = scope.get(COUNTED)
    if told is not None:
        return told
    served = scope.get(SERVED)
    operation = scope.get("path_params", {}).get("operation")
    method = operation if operation in OPERATIONS else "other"
    model, version = served.metrics.key if served else ("", "")
    return model, version, method, PROTOCOL if is_open_inference(scope) else "http"
