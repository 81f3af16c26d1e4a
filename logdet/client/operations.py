"""The operations of a client on rows, told once for the one that waits and the one that does not.

Every method tells all of its parameters: ``help`` shows a method without its class.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from logdet.client.calls import Call
from logdet.client.documents import CatalogueT, Documents, DocumentT
from logdet.client.rows import Kind, RowsLike

AnswerT = TypeVar("AnswerT")


class Operations(Documents[DocumentT, CatalogueT], Generic[AnswerT, DocumentT, CatalogueT]):
    """What a model can be asked; see :class:`logdet.client.Client`."""

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

        Returns:
            An :class:`~logdet.client.Answer` of these arrays and ``status``, or a frame of them.
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
        """``log_prob``, and ``feature_log_prob``: each feature's term of it, nats.

        In a frame the terms are columns ``log_prob_FEATURE``.

        Args:
            name: Of the model.
            rows: Array or list, shape ``(rows, features)``, in the manifest's order; or a frame or
                list of dicts, by feature name. None and NaN stand for what is not known.
            context: Of a conditional density: as rows are, one row for all or one for each.
            version: Of the model; the newest if None.
            steps: Of a solver; one of the numbers that the manifest offers.
            frame: numpy, pandas, polars or arrow, to be answered by; as rows are if None.
            timeout: Seconds of the whole call, every attempt; the client's own if None.

        Returns:
            An :class:`~logdet.client.Answer` of these arrays and ``status``, or a frame of them.
        """
        call = Call(name, "feature_log_prob", version, rows, context, {"steps": steps}, frame)
        return self._answer(call, timeout)

    def score(  # noqa: PLR0913  one parameter a setting
        self,
        name: str,
        rows: RowsLike,
        *,
        alpha: float | None = None,
        fdr: float | None = None,
        by: str | None = None,
        explain: bool | str | None = None,
        nearest: bool | None = None,
        context: RowsLike | None = None,
        version: int | None = None,
        frame: Kind | None = None,
        timeout: float | None = None,
    ) -> AnswerT:
        """``log_prob`` (of a VAE or autoencoder ``score``), ``p_value`` and ``is_anomaly``.

        Told of all rows: ``threshold``, the score under which a row is an anomaly, ``alpha``, the
        p-value up to which it is one, and ``calibration``, the SHA-256 of the calibration scores.
        A row without an answer has NaN, is masked in ``is_anomaly``, and its ``status`` says why.

        With ``fdr`` the rows are judged together, in one request however many they are;
        ``threshold`` and ``alpha`` are None where no row is an anomaly. With ``by`` another score
        of a flow than log_prob decides, and is there as ``score``.

        With ``explain`` there is also ``contribution``, nats of log_prob (whichever score decides)
        of each feature, by the ``method`` told. With ``nearest``, for each anomaly the ``nearest``
        row that would be none, its ``log_prob_nearest`` and the ``change`` in deviations; NaN for
        other rows. In a frame they are columns ``contribution_FEATURE``, ``nearest_FEATURE`` and
        ``change_FEATURE``.

        Args:
            name: Of the model.
            rows: Array or list, shape ``(rows, features)``, in the manifest's order; or a frame or
                list of dicts, by feature name. None and NaN stand for what is not known.
            alpha: Accepted rate of false alarms, between 0 and 1; the service's own if None.
            fdr: In place of alpha: accepted expected share of false alarms among the anomalies.
            by: typicality, latent_norm, likelihood_ratio or combined, of those in the manifest.
            explain: Of a flow: True for the best method that the model has, or the name of one.
            nearest: Of a flow: whether to look for the nearest row that is no anomaly.
            context: Of a conditional density: as rows are, one row for all or one for each.
            version: Of the model; the newest if None.
            frame: numpy, pandas, polars or arrow, to be answered by; as rows are if None.
            timeout: Seconds of the whole call, every attempt; the client's own if None.

        Returns:
            An :class:`~logdet.client.Answer` of these arrays and ``status``, or a frame of them.
        """
        # What is False is left out: of a VAE it would mean nothing.
        told = {"explain": explain or None, "nearest": nearest or None}
        settings = {"alpha": alpha, "fdr": fdr, "by": by} | told
        return self._answer(Call(name, "score", version, rows, context, settings, frame), timeout)

    def scores(
        self,
        name: str,
        rows: RowsLike,
        *,
        context: RowsLike | None = None,
        version: int | None = None,
        frame: Kind | None = None,
        timeout: float | None = None,
    ) -> AnswerT:
        """Every score of a flow, and its p-value as ``SCORE_p_value``; lower ones are stranger.

        Args:
            name: Of the model.
            rows: Array or list, shape ``(rows, features)``, in the manifest's order; or a frame or
                list of dicts, by feature name. None and NaN stand for what is not known.
            context: Of a conditional density: as rows are, one row for all or one for each.
            version: Of the model; the newest if None.
            frame: numpy, pandas, polars or arrow, to be answered by; as rows are if None.
            timeout: Seconds of the whole call, every attempt; the client's own if None.

        Returns:
            An :class:`~logdet.client.Answer` of these arrays and ``status``, or a frame of them.
        """
        return self._answer(Call(name, "scores", version, rows, context, {}, frame), timeout)

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

        Returns:
            An :class:`~logdet.client.Answer` of these arrays and ``status``, or a frame of them.
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

        Args:
            name: Of the model.
            z: Latents: array or list, shape ``(rows, latent_features)``, or a frame or list of
                dicts with ``z0`` and on.
            context: Of a conditional density: as rows are, one row for all or one for each.
            version: Of the model; the newest if None.
            steps: Of a solver; one of the numbers that the manifest offers.
            frame: numpy, pandas, polars or arrow, to be answered by; as ``z`` is if None.
            timeout: Seconds of the whole call, every attempt; the client's own if None.

        Returns:
            An :class:`~logdet.client.Answer` of these arrays and ``status``, or a frame of them.
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
            context: Of a conditional density: an array, list or frame, one row for all ``n``
                or one for each.
            version: Of the model; the newest if None.
            steps: Of a solver; one of the numbers that the manifest offers.
            frame: numpy, pandas, polars or arrow, to be answered by; numpy if None.
            timeout: Seconds of the whole call, every attempt; the client's own if None.

        Returns:
            An :class:`~logdet.client.Answer` of these arrays and ``status``, or a frame of them.
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

        Returns:
            An :class:`~logdet.client.Answer` of these arrays and ``status``, or a frame of them.
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

        The error is the root mean square difference, in standard deviations of the features.

        Args:
            name: Of the model.
            rows: Array or list, shape ``(rows, features)``, in the manifest's order; or a frame or
                list of dicts, by feature name. None and NaN stand for what is not known.
            depth: Of a VAE: layers of the posterior; one of the numbers that the manifest offers.
            version: Of the model; the newest if None.
            frame: numpy, pandas, polars or arrow, to be answered by; as rows are if None.
            timeout: Seconds of the whole call, every attempt; the client's own if None.

        Returns:
            An :class:`~logdet.client.Answer` of these arrays and ``status``, or a frame of them.
        """
        call = Call(name, "reconstruct", version, rows, None, {"depth": depth}, frame)
        return self._answer(call, timeout)

    def _answer(self, call: Call, timeout: float | None) -> AnswerT:
        return self._run(self._calls.answer(call, timeout))  # type: ignore[no-any-return]
