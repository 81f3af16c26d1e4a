"""The operations of a client, told once for the one that waits and the one that does not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from logdet.client.calls import Call, Calls
from logdet.client.errors import ServiceFailed
from logdet.client.patience import Steps
from logdet.client.rows import Kind, RowsLike
from logdet.client.wire import Document

AnswerT = TypeVar("AnswerT")
DocumentT = TypeVar("DocumentT")
CatalogueT = TypeVar("CatalogueT")

Question = Mapping[str, object]


class Operations(ABC, Generic[AnswerT, DocumentT, CatalogueT]):
    """What a model can be asked.

    Rows are an array or list of rows, shape ``(rows, features)`` in the order of the manifest's
    features, or a frame (pandas or polars DataFrame, pyarrow Table or RecordBatch) that has the
    features as columns of those names, in any order and among others. None, NaN and null stand
    for a value that is not known. An array is answered by an :class:`~logdet.client.Answer`, a
    frame by a frame of its kind (pandas keeps the index), or as ``frame`` says.

    Of every operation:

    - ``context``: Of a conditional density, which needs it: as rows are, one row for all or one
      for each. It may be left out where ``rows`` is a frame that has its columns.
    - ``version``: Of the model; None for the newest.
    - ``frame``: ``numpy``, ``pandas``, ``polars`` or ``arrow``; None for the kind of the rows.
    - ``timeout``: Seconds of the whole call, with every attempt; None for the client's own.

    Each raises a :class:`~logdet.client.ServiceRefused` if there is no answer. A row that has
    none does not spoil the others: its numbers are NaN, and ``status`` says why.
    """

    def log_prob(  # noqa: PLR0913  one parameter a setting
        self,
        name: str,
        rows: RowsLike,
        *,
        context: RowsLike | None = None,
        version: int | None = None,
        steps: int | None = None,
        frame: Kind | None = None,
        timeout: float | None = None,
    ) -> AnswerT:
        """``log_prob`` of each row, nats; -inf out of support.

        Args:
            name: Of the model.
            rows: Array or list, shape ``(rows, features)``, in the manifest's order; or a frame or
                list of dicts, by feature name. None and NaN stand for what is not known.
            context: Of a conditional density: as rows are, one row for all or one for each.
            version: Of the model; the newest if None.
            steps: Of a solver; one of the numbers that the manifest offers.
            frame: numpy, pandas, polars or arrow, to be answered by; as rows are if None.
            timeout: Seconds of the whole call, every attempt; the client's own if None.
        """
        call = Call(name, "log_prob", version, rows, context, {"steps": steps}, frame)
        return self._answer(call, timeout)

    def feature_log_prob(  # noqa: PLR0913  one parameter a setting
        self,
        name: str,
        rows: RowsLike,
        *,
        context: RowsLike | None = None,
        version: int | None = None,
        steps: int | None = None,
        frame: Kind | None = None,
        timeout: float | None = None,
    ) -> AnswerT:
        """``log_prob``, and ``feature_log_prob``: each feature's term of it; see :meth:`log_prob`.

        In a frame the terms are columns ``log_prob_FEATURE``.
        """
        call = Call(name, "feature_log_prob", version, rows, context, {"steps": steps}, frame)
        return self._answer(call, timeout)

    def score(  # noqa: PLR0913  one parameter a setting
        self,
        name: str,
        rows: RowsLike,
        *,
        alpha: float | None = None,
        context: RowsLike | None = None,
        version: int | None = None,
        frame: Kind | None = None,
        timeout: float | None = None,
    ) -> AnswerT:
        """``log_prob`` (of a VAE or autoencoder ``score``), ``p_value`` and ``is_anomaly``.

        Told of all rows: ``threshold``, the score under which a row is an anomaly, and ``alpha``.

        Args:
            name: Of the model.
            rows: Array or list, shape ``(rows, features)``, in the manifest's order; or a frame or
                list of dicts, by feature name. None and NaN stand for what is not known.
            alpha: Accepted rate of false alarms, between 0 and 1.
            context: Of a conditional density: as rows are, one row for all or one for each.
            version: Of the model; the newest if None.
            frame: numpy, pandas, polars or arrow, to be answered by; as rows are if None.
            timeout: Seconds of the whole call, every attempt; the client's own if None.
        """
        call = Call(name, "score", version, rows, context, {"alpha": alpha}, frame)
        return self._answer(call, timeout)

    def encode(  # noqa: PLR0913  one parameter a setting
        self,
        name: str,
        rows: RowsLike,
        *,
        context: RowsLike | None = None,
        version: int | None = None,
        steps: int | None = None,
        seed: int | None = None,
        depth: int | None = None,
        frame: Kind | None = None,
        timeout: float | None = None,
    ) -> AnswerT:
        """Latents ``z``; of a flow ``log_det`` (nats), of a VAE ``mean`` and ``scale``.

        Args:
            name: Of the model.
            rows: Array or list, shape ``(rows, features)``, in the manifest's order; or a frame or
                list of dicts, by feature name. None and NaN stand for what is not known.
            context: Of a conditional density: as rows are, one row for all or one for each.
            version: Of the model; the newest if None.
            steps: Of a solver; one of the numbers that the manifest offers.
            seed: Of a VAE: draws from the posterior, whose centre is taken without one.
            depth: Of a VAE: layers of the posterior; one of the numbers that the manifest offers.
            frame: numpy, pandas, polars or arrow, to be answered by; as rows are if None.
            timeout: Seconds of the whole call, every attempt; the client's own if None.
        """
        settings = {"steps": steps, "seed": seed, "depth": depth}
        return self._answer(Call(name, "encode", version, rows, context, settings, frame), timeout)

    def decode(  # noqa: PLR0913  one parameter a setting
        self,
        name: str,
        z: RowsLike,
        *,
        context: RowsLike | None = None,
        version: int | None = None,
        steps: int | None = None,
        frame: Kind | None = None,
        timeout: float | None = None,
    ) -> AnswerT:
        """``rows`` at latents, not rounded; of a flow with their ``log_prob``.

        ``z`` is as rows are, with a column for each latent, ``z0`` and on; see :meth:`log_prob`.
        """
        call = Call(name, "decode", version, z, context, {"steps": steps}, frame)
        return self._answer(call, timeout)

    def sample(  # noqa: PLR0913  one parameter a setting
        self,
        name: str,
        n: int,
        *,
        seed: int | None = None,
        temperature: float | None = None,
        context: RowsLike | None = None,
        version: int | None = None,
        steps: int | None = None,
        frame: Kind | None = None,
        timeout: float | None = None,
    ) -> AnswerT:
        """Draw ``rows``; of a flow with their ``log_prob``, of a VAE with their latents ``z``.

        Args:
            name: Of the model.
            n: How many.
            seed: The same draws the same rows; drawn, and told, where it is left out.
            temperature: Factor on the base noise; 1 where it is left out.
            context: Of a conditional density: as rows are, one row for all or one for each.
            version: Of the model; the newest if None.
            steps: Of a solver; one of the numbers that the manifest offers.
            frame: numpy, pandas, polars or arrow, to be answered by; numpy if None.
            timeout: Seconds of the whole call, every attempt; the client's own if None.
        """
        settings = {"n": n, "seed": seed, "temperature": temperature, "steps": steps}
        return self._answer(Call(name, "sample", version, None, context, settings, frame), timeout)

    def log_prob_bound(  # noqa: PLR0913  one parameter a setting
        self,
        name: str,
        rows: RowsLike,
        *,
        samples: int | None = None,
        seed: int | None = None,
        depth: int | None = None,
        version: int | None = None,
        frame: Kind | None = None,
        timeout: float | None = None,
    ) -> AnswerT:
        """Lower bounds of a VAE: ``elbo``, ``importance_bound``, their errors, sample size.

        One request, however many rows: the noise of a row is that of its place.

        Args:
            name: Of the model.
            rows: Array or list, shape ``(rows, features)``, in the manifest's order; or a frame or
                list of dicts, by feature name. None and NaN stand for what is not known.
            samples: Of each row.
            seed: The same gives the same bounds; drawn, and told, where it is left out.
            depth: Layers of the posterior; one of the numbers that the manifest offers.
            version: Of the model; the newest if None.
            frame: numpy, pandas, polars or arrow, to be answered by; as rows are if None.
            timeout: Seconds of the whole call, every attempt; the client's own if None.
        """
        settings = {"samples": samples, "seed": seed, "depth": depth}
        call = Call(name, "log_prob_bound", version, rows, None, settings, frame)
        return self._answer(call, timeout)

    def reconstruct(
        self,
        name: str,
        rows: RowsLike,
        *,
        depth: int | None = None,
        version: int | None = None,
        frame: Kind | None = None,
        timeout: float | None = None,
    ) -> AnswerT:
        """``rows`` as they come back through an autoencoder or VAE, and the ``error`` of each.

        The error is the root mean square difference, in standard deviations of the features. For
        ``depth`` see :meth:`log_prob_bound`.
        """
        call = Call(name, "reconstruct", version, rows, None, {"depth": depth}, frame)
        return self._answer(call, timeout)

    def _answer(self, call: Call, timeout: float | None) -> AnswerT:
        return self._run(self._calls.answer(call, timeout))  # type: ignore[no-any-return]
