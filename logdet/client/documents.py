"""What is asked of a service and answered by JSON: catalogue, manifests, drift, expectations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from logdet.client.calls import Calls
from logdet.client.errors import ServiceFailed
from logdet.client.patience import Steps
from logdet.client.rows import RowsLike
from logdet.client.wire import Document, model_name

DocumentT = TypeVar("DocumentT")
CatalogueT = TypeVar("CatalogueT")

Question = Mapping[str, object]


class Documents(ABC, Generic[DocumentT, CatalogueT]):
    """What is answered by a document."""

    _calls: Calls

    @abstractmethod
    def _run(self, steps: Steps[Any]) -> Any:  # noqa: ANN401 - what the steps return
        """Do the steps of a call."""

    def models(self, *, timeout: float | None = None) -> CatalogueT:
        """The catalogue: a dict for each model, at its newest version.

        Args:
            timeout: Seconds of the whole call, every attempt; the client's own if None.
        """
        return self._run(self._catalogue(timeout))  # type: ignore[no-any-return]

    def model(
        self, name: str, version: int | None = None, *, timeout: float | None = None
    ) -> DocumentT:
        """The manifest of a model: a dict.

        Args:
            name: Of the model.
            version: Of the model; the newest if None.
            timeout: Seconds of the whole call, every attempt; the client's own if None.
        """
        document = Document(model_name(name), version)
        return self._run(self._calls.document(document, timeout))  # type: ignore[no-any-return]

    def drift(
        self, name: str, version: int | None = None, *, timeout: float | None = None
    ) -> DocumentT:
        """Whether the rows that were asked about still look like the calibration rows: a dict.

        Args:
            name: Of the model.
            version: Of the model; the newest if None.
            timeout: Seconds of the whole call, every attempt; the client's own if None.

        Returns:
            ``alarm``, ``since``, and in ``windows`` what differs, by docs/drift.md.
        """
        document = Document(model_name(name), version, "drift")
        return self._run(self._calls.document(document, timeout))  # type: ignore[no-any-return]

    def expectation(  # noqa: PLR0913  one parameter a setting
        self,
        name: str,
        of: Sequence[Question],
        *,
        samples: int | None = None,
        seed: int | None = None,
        context: RowsLike | None = None,
        version: int | None = None,
        steps: int | None = None,
        timeout: float | None = None,
    ) -> DocumentT:
        """Means, variances, quantiles and probabilities under a flow, with standard errors.

        Args:
            name: Of the model.
            of: ``{"mean": "f"}``, ``{"variance": "f"}``, ``{"quantile": "f", "q": 0.99}`` or
                ``{"probability": {"f": [low, high]}}``, where None is an open end.
            samples: Rows to draw.
            seed: The same gives the same answer; drawn, and told, where it is left out.
            context: One row, as an array or list, or a list of one dict by name.
            version: Of the model; the newest if None.
            steps: Of a solver; one of the numbers that the manifest offers.
            timeout: Seconds of the whole call, every attempt; the client's own if None.

        Returns:
            The entries of ``of`` with ``value`` and ``standard_error``, and what was drawn.
        """
        given = context.tolist() if isinstance(context, np.ndarray) else context
        settings = {"samples": samples, "seed": seed, "context": given, "steps": steps}
        chosen = {key: value for key, value in settings.items() if value is not None}
        body = {"of": list(of), **chosen}
        document = Document(model_name(name), version, "expectation", body)
        return self._run(self._calls.document(document, timeout))  # type: ignore[no-any-return]

    def _catalogue(self, timeout: float | None) -> Steps[list[dict[str, Any]]]:
        told = yield from self._calls.document(Document(), timeout)
        models = told.get("models")
        if not isinstance(models, list):
            raise ServiceFailed("expected a catalogue of a logdet service, got none")
        return models
