"""What is sent and what comes back, whatever protocol carries it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from logdet.client.errors import InvalidInput

# A pyarrow.Table. pyarrow is imported where it is used: it takes half as long again as the rest.
Table = Any
Facts = Mapping[str, Any]
Setting = float | int | str
Settings = Mapping[str, Setting]


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """An operation whose answer is columns.

    Attributes:
        model: Its name.
        version: None for the newest.
        operation: As manifests call it.
        settings: What was chosen, by name.
        rows: Rows or latents, a column for each feature or latent; None where none are taken.
        context: A column for each context feature, of one row or as many as ``rows`` has; None
            where there is none.
    """

    model: str
    version: int | None
    operation: str
    settings: Settings = field(default_factory=dict)
    rows: Table = None
    context: Table = None


@dataclass(frozen=True, slots=True)
class Document:
    """Something whose answer is a JSON document.

    Attributes:
        model: Its name; None for the catalogue.
        version: None for the newest.
        operation: None for the manifest. One without a body is only looked at.
        body: What the operation is asked; None where nothing is.
    """

    model: str | None = None
    version: int | None = None
    operation: str | None = None
    body: Mapping[str, object] | None = None


Asked = Question | Document


@dataclass(frozen=True, slots=True)
class Target:
    """Where a gRPC service is.

    Attributes:
        address: Host and port.
        is_tls: Whether it is asked over TLS.
    """

    address: str
    is_tls: bool


def model_name(given: object) -> str:
    """The name of a model.

    Raises:
        InvalidInput: If it is none; a slash is carried through a path by no quoting.
    """
    if not isinstance(given, str) or not given or "/" in given:
        raise InvalidInput(f"expected the name of a model, got {given!r}")
    return given


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """An answer of columns.

    Attributes:
        table: One row for each row, one column for each number of it.
        facts: What holds for all rows: model, version, density, seed, threshold and the like.
        matrices: Names of the columns that belong together, by the name of what they are.
    """

    table: Table
    facts: Facts
    matrices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Sender(Protocol):
    """Carries questions over one protocol."""

    def send(self, asked: Asked, within_s: float | None) -> Any:  # noqa: ANN401 - a Reply or a document
        """The :class:`Reply` to a question, or a document; an awaitable of it where async.

        Args:
            asked: To be sent.
            within_s: Seconds that it may take; None sets no limit.

        Raises:
            ServiceRefused: If there is none within the time.
        """

    def close(self) -> Any:  # noqa: ANN401 - None, or an awaitable of it
        """Give the connections back."""
