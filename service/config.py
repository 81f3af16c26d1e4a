"""Settings of the service, parsed once where the process is put together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from service.errors import StartError
from service.policy import Policy
from service.storage.address import is_address

PREFIX = "LOGDET_"
MAX_SESSIONS = 4  # more threads than this in one process only share the interpreter's lock


def default_sessions() -> int:
    """One session per core this process may use, at most :data:`MAX_SESSIONS`."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, MAX_SESSIONS))


def policies(value: object) -> dict[str, str]:
    """Policies by name, of a mapping or of texts like ``NAME=3:4``, with commas between them.

    Raises:
        ValueError: If one is not as expected.
    """
    if isinstance(value, Mapping):
        pairs = [(str(name), str(text)) for name, text in value.items()]
    else:
        texts = value.split(",") if isinstance(value, str) else _texts(value)
        pairs = [_named(text.strip()) for text in texts if text.strip()]
    for name, text in pairs:
        try:
            Policy.of_text(text)
        except ValueError as error:
            raise ValueError(f"of {name!r}: {error}") from error
    twice = sorted({name for name, _ in pairs if [n for n, _ in pairs].count(name) > 1})
    if twice:
        raise ValueError(f"expected each name once, got {twice[0]!r} twice")
    return dict(pairs)


def folder_or_address(value: object) -> object:
    """A folder of this machine as a path, an address elsewhere as text."""
    return Path(value) if isinstance(value, str) and not is_address(value) else value


class ServiceConfig(BaseModel):
    """Everything that can be set; each field is also an environment variable ``LOGDET_FIELD``.

    Attributes:
        bundles: Folder that holds ``NAME/VERSION``, or an address that does, such as
            ``s3://bucket/prefix``.
        cache: Folder under which bundles of an address are kept; None takes ``.cache/logdet`` in
            the home folder.
        host: Address to listen on.
        port: TCP port; 0 takes a free one.
        grpc: Whether gRPC is answered as well.
        grpc_port: TCP port of gRPC; None takes the one after ``port``, or a free one where that is
            0, and does without gRPC where it is taken.
        follow_s: Seconds between looks at the folder for versions that are new, changed or gone;
            0 never looks again.
        allow_loading: Whether requests may load and unload models, and say which version answers.
        serve: Which version of a name answers requests that name none, and which is compared with
            it, by name: ``latest``, ``3`` or ``3:4``; a file ``NAME/serving.json`` prevails.
        tokens_file: File of the tokens that requests must show; see :mod:`service.tokens`.
        allow_anonymous: Whether everybody may ask who can reach a host that is not loopback.
        tls_cert: File of the certificate and those that it rests on (PEM); then HTTP and gRPC are
            spoken over TLS.
        tls_key: File of its private key (PEM).
        provider: ``cuda`` refuses to start where CUDA is not really in use; ``auto`` reports what
            it chose.
        gpu_mem_limit_bytes: Most that the arena of each session may take on the GPU; every graph
            has ``sessions`` of them. None sets no bound; replicas that share a GPU need one.
        sessions: onnxruntime sessions per graph, one worker thread each.
        chunk_rows: Rows of one run; larger requests are cut so that others get their turn.
        limit_body_bytes: Largest request body, also after decompression.
        intake_bytes: Bodies of all requests that are being read and answered over which new ones
            are refused.
        limit_rows: Most rows of one request.
        limit_token_rate: Requests a second, and at once, with the tokens of one name, in each
            replica; None sets no limit.
        queue_rows: Rows admitted and not answered over which new requests are refused.
        queue_bytes: The same in bytes of input.
        request_timeout_s: Seconds after which a request is given up, and in which it must have
            arrived.
        drain_timeout_s: Seconds that a stop waits for requests in flight.
        self_check_every: Ordinary rows for one whose answer is checked afterwards; 0 checks none.
        min_replicas: Fewest replicas on Ray Serve where their number follows the work.
        max_replicas: Most of them; None keeps to the number that is asked for.
        target_wait_s: Seconds of work that may wait in a replica before another one is wanted.
        scale_up_after_s: Seconds for which more replicas must be wanted before there are more.
        scale_down_after_s: The same for fewer.
        tracing: Whether spans of requests are sent to a collector, as the variables ``OTEL_*``
            of OpenTelemetry say.
        drift_alarm_rate: False alarms of drift to be expected in a million rows of a model; 0 does
            not look for drift.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundles: Annotated[Path | str, BeforeValidator(folder_or_address)] = Path("exported/bundles")
    cache: Path | None = None
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    grpc: bool = True
    grpc_port: int | None = Field(default=None, ge=0, le=65535)
    follow_s: float = Field(default=5.0, ge=0, allow_inf_nan=False)
    allow_loading: bool = False
    serve: Annotated[dict[str, str], BeforeValidator(policies)] = Field(default_factory=dict)
    tokens_file: Path | None = None
    allow_anonymous: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    provider: Literal["auto", "cpu", "cuda"] = "auto"
    gpu_mem_limit_bytes: int | None = Field(default=None, ge=2**20)
    sessions: int = Field(default_factory=default_sessions, ge=1, le=64)
    chunk_rows: int = Field(default=1024, ge=1)
    limit_body_bytes: int = Field(default=64 * 2**20, ge=1)
    intake_bytes: int = Field(default=256 * 2**20, ge=1)
    limit_rows: int = Field(default=262_144, ge=1)
    limit_token_rate: float | None = Field(default=None, ge=1, allow_inf_nan=False)
    queue_rows: int = Field(default=1_048_576, ge=1)
    queue_bytes: int = Field(default=256 * 2**20, ge=1)
    request_timeout_s: float = Field(default=30.0, gt=0, allow_inf_nan=False)
    drain_timeout_s: float = Field(default=30.0, gt=0, allow_inf_nan=False)
    self_check_every: int = Field(default=1000, ge=0)
    min_replicas: int = Field(default=1, ge=1)
    max_replicas: int | None = Field(default=None, ge=1)
    target_wait_s: float = Field(default=0.05, gt=0, allow_inf_nan=False)
    scale_up_after_s: float = Field(default=5.0, ge=0, allow_inf_nan=False)
    scale_down_after_s: float = Field(default=300.0, ge=0, allow_inf_nan=False)
    tracing: bool = False
    drift_alarm_rate: float = Field(default=0.01, ge=0, le=1)

    @model_validator(mode="after")
    def _has_a_range(self) -> Self:
        if self.max_replicas is None:
            if self.min_replicas > 1:
                raise ValueError(
                    f"expected max_replicas beside min_replicas {self.min_replicas}, got none"
                )
            return self
        if self.max_replicas < self.min_replicas:
            raise ValueError(
                f"expected max_replicas of at least min_replicas, which is {self.min_replicas}, "
                f"got {self.max_replicas}"
            )
        return self

    def most_replicas(self, replicas: int) -> int:
        """As many as there may be, where so many are asked for."""
        return self.max_replicas or replicas

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], **overrides: object) -> Self:
        """Settings from ``LOGDET_*`` variables; overrides that are not None win.

        Raises:
            StartError: Naming the first setting that is not acceptable.
        """
        given = {k.removeprefix(PREFIX).lower(): v for k, v in environ.items() if _is_ours(k)}
        explicit = {key: value for key, value in overrides.items() if value is not None}
        try:
            return cls.model_validate(given | explicit)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"]))
            raise StartError(
                f"setting {name} ({PREFIX}{name.upper()}): {first['msg']}, got {first['input']!r}"
            ) from error


def _is_ours(variable: str) -> bool:
    return variable.startswith(PREFIX) and variable.removeprefix(PREFIX).lower() in _FIELDS


def _texts(value: object) -> list[str]:
    if not isinstance(value, list | tuple):
        raise ValueError("expected texts like NAME=3")  # noqa: TRY004 - pydantic's way
    return [str(text) for text in value]


def _named(text: str) -> tuple[str, str]:
    name, equals, policy = text.partition("=")
    if not (name and equals):
        raise ValueError("expected NAME=VERSION, NAME=VERSION:CHALLENGER or NAME=latest")
    return name, policy


_FIELDS = frozenset(ServiceConfig.model_fields)
