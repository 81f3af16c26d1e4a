"""Asks a service for densities: arrays and frames in, the same out."""

from logdet.client.answer import Answer
from logdet.client.client import AsyncClient, Client
from logdet.client.errors import (
    DeadlineExceeded,
    InvalidInput,
    NotFound,
    NotReady,
    Overloaded,
    RateLimited,
    ServiceFailed,
    ServiceRefused,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unsupported,
)
from logdet.client.token import Token

__all__ = [
    "Answer",
    "AsyncClient",
    "Client",
    "DeadlineExceeded",
    "InvalidInput",
    "NotFound",
    "NotReady",
    "Overloaded",
    "RateLimited",
    "ServiceFailed",
    "ServiceRefused",
    "Token",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "Unsupported",
]
