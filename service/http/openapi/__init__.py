"""The OpenAPI document, built once from the schemas of all protocols over HTTP."""

from service.http.openapi.document import document

__all__ = ["document"]
