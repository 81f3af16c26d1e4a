"""Tracing where the settings ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.config import ServiceConfig
from service.errors import StartError

if TYPE_CHECKING:
    from service.tracing.spans import Tracing


def tracing_of(config: ServiceConfig, replica: str) -> Tracing | None:
    """What makes the spans of a replica; None where none are wanted.

    Raises:
        StartError: If OpenTelemetry is not installed, or its variables say nothing usable.
    """
    if not config.tracing:
        return None
    try:
        from service.tracing.exporting import provider
        from service.tracing.spans import Tracing
    except ModuleNotFoundError as error:
        raise StartError(
            "tracing was asked for and OpenTelemetry is not installed: pip install "
            "'logdet[tracing]'"
        ) from error
    return Tracing(provider(replica))
