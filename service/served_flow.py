"""A flow with its place in the batcher: a lane for each way in which it runs."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from exported.kinds import GRADIENT_GRAPH, FlowManifest
from service.challenger import Challenger
from service.choice import DEFAULT, Choice, calibrated_steps, choose_steps
from service.comparisons import Tally
from service.errors import invalid
from service.expectation import DEFAULT_SAMPLES, Expected, Questions
from service.explainer import Explainer
from service.jobs import Array, Arrays, Take
from service.lanes import Lane, Run, Watch
from service.model import Model
from service.model_metrics import ModelMetrics
from service.results import Decoded, Evaluated, Explained, Floats, Judged, Sampled, Scored
from service.served import Served, beside, check_drawing, row_bytes, settle_seed, taken
from service.ways import Way, runs_of
from service.work import Work


@dataclass(frozen=True, slots=True)
class Lanes:
    """The ways in which a flow runs; rows that share a run share its number of steps.

    A conditional model's rows wait with their context behind them, as one matrix.

    Attributes:
        evaluate: Lane of :meth:`Model.evaluate`.
        decode: Lane of :meth:`Model.decode`.
        emit: Lane of :meth:`Model.emit`.
        judge: Lane of :meth:`Model.judge`, whose runs give its scores and then what they come of.
        terms: Lane of :meth:`Model.explain`.
        varied: Lane of :meth:`Model.evaluate` for rows that others are held against.
        gradient: Lane of :meth:`Model.gradient`.
    """

    evaluate: Lane
    decode: Lane
    emit: Lane
    judge: Lane
    terms: Lane
    varied: Lane
    gradient: Lane

    @classmethod
    def of(cls, model: Model, metrics: ModelMetrics, steps: int | None) -> Lanes:
        """Lanes at one number of steps, None for a model without a solver."""
        runs = runs_of(model, steps)

        def lane(run: Run, method: str, graph: str) -> Lane:
            return Lane(run, metrics.lane(method), passes=_passes(model.manifest, graph, steps))

        return cls(
            # Log-densities, scores and latents come of the same run.
            evaluate=lane(runs["evaluate"], "log_prob", "log_prob"),
            decode=lane(runs["decode"], "decode", "decode"),
            emit=lane(runs["emit"], "sample", "decode"),
            judge=lane(runs["judge"], "scores", "log_prob"),
            terms=lane(runs["terms"], "feature_log_prob", "feature_log_prob"),
            varied=lane(runs["varied"], "explain", "log_prob"),
            gradient=lane(runs["gradient"], "explain", GRADIENT_GRAPH),
        )

    def by_way(self) -> Mapping[Way, Lane]:
        """The lanes by the ways that explanations name."""
        return {
            "evaluate": self.evaluate,
            "emit": self.emit,
            "terms": self.terms,
            "varied": self.varied,
            "gradient": self.gradient,
        }


class ServedFlow(Served[Model]):
    """The operations of a flow; a choice left out is the model's default.

    Attributes:
        explainer: Tells why rows score as they do.
    """

    def __init__(self, model: Model, metrics: ModelMetrics, work: Work) -> None:
        super().__init__(model, metrics, work)
        self._self_check = work.checker.watch(model)
        self._by_steps: Mapping[int | None, Lanes] = {
            steps: Lanes.of(model, metrics, steps) for steps in _offered(model.manifest)
        }
        self._default = self._by_steps[choose_steps(model.manifest, None)]
        self._challenger: Challenger | None = None
        self.explainer = Explainer(model, work, self._default.by_way())

    def compared(self, other: ServedFlow, tally: Tally) -> ServedFlow:
        """This flow, whose scores are compared with those of another one of the same features."""
        compared = copy.copy(self)
        lanes = self.lanes().evaluate, other.lanes().evaluate
        compared._challenger = Challenger(self.model, other.model, lanes, tally)
        return compared

    def lanes(self, steps: int | None = None) -> Lanes:
        """The lanes at a number of steps, the model's default if None.

        Raises:
            ServiceError: ``invalid_input`` if the model does not offer that number.
        """
        if steps is None:
            return self._default
        return self._by_steps[choose_steps(self.model.manifest, steps)]

    async def log_prob(self, x: Floats, choice: Choice = DEFAULT) -> Evaluated:
        """Log-density of rows of shape ``(rows, features)``, in the user's units."""
        evaluated = await self._scoring("log_prob", x, None, choice)
        self.metrics.judged(evaluated.log_prob, evaluated.status)
        return evaluated

    async def encode(self, x: Floats, choice: Choice = DEFAULT) -> Evaluated:
        """Latents and log-determinants of rows."""
        return await self._evaluate("encode", x, choice)

    async def feature_log_prob(self, x: Floats, choice: Choice = DEFAULT) -> Explained:
        """Log-density of rows and each feature's term."""
        lane = self.lanes(choice.steps).terms
        return Explained(*await self._given("feature_log_prob", lane, x, choice))

    async def score(
        self,
        x: Floats,
        alpha: float | None = None,
        choice: Choice = DEFAULT,
        fdr: float | None = None,
    ) -> Scored:
        """Log-density of rows and whether each is an anomaly; see :meth:`Loaded.decide`.

        The number of steps can only be the one that the p-values were calibrated at.
        """
        return (await self.judge(x, alpha, choice, fdr))[1]

    async def judge(
        self,
        x: Floats,
        alpha: float | None = None,
        choice: Choice = DEFAULT,
        fdr: float | None = None,
    ) -> tuple[Evaluated, Scored]:
        """What one run tells of rows, and :meth:`score` of them."""
        self.model.decide(np.empty(0), alpha, fdr)  # an impossible rate is refused before any run
        calibrated_steps(self.model.manifest, choice.steps)
        evaluated = await self._scoring("score", x, alpha, choice)
        return evaluated, self._scored(evaluated.log_prob, evaluated.status, alpha, fdr)

    async def scores(
        self, x: Floats, choice: Choice = DEFAULT, operation: str = "scores"
    ) -> Judged:
        """Every score of rows, at the number of steps that these were calibrated at."""
        calibrated_steps(self.model.manifest, choice.steps)
        names = self.model.scorer.names
        out = await self._given(operation, self.lanes(choice.steps).judge, x, choice)
        evaluated = self._seen(x, choice, Evaluated(*out[len(names) :]))
        judged = Judged(evaluated, dict(zip(names, out[: len(names)], strict=True)))
        self.metrics.judged(judged.evaluated.log_prob, judged.evaluated.status)
        return judged

    async def decode(self, z: Floats, choice: Choice = DEFAULT) -> Decoded:
        """Rows at given latents of shape ``(rows, latent_features)``."""
        lane = self.lanes(choice.steps).decode
        return Decoded(*await self._given("decode", lane, z, choice))

    async def sample(
        self,
        n: int,
        seed: int | None = None,
        temperature: float = 1.0,
        choice: Choice = DEFAULT,
    ) -> Sampled:
        """Draw rows; without a seed, one is drawn and returned."""
        check_drawing(n, temperature)
        self.check_count(n, "sample")
        drawn = settle_seed(seed)
        lane = self.lanes(choice.steps).emit
        given = self.model.conditioning.spread(choice.context, n)
        out = await self._run("sample", lane, n, *self._noise(drawn, temperature, given))
        return Sampled(Decoded(*out), drawn)

    async def expectation(
        self,
        questions: Questions,
        samples: int = DEFAULT_SAMPLES,
        seed: int | None = None,
        choice: Choice = DEFAULT,
    ) -> Expected:
        """Expectations from the rows that a seed draws; one row of context for all of them."""
        if samples < 1:
            raise invalid(f"expected 'samples' to be at least 1, got {samples}")
        self.check_count(samples, "expectation")
        drawn = settle_seed(seed)
        watch = self.metrics.lane("expectation")
        lane = keeping(self.lanes(choice.steps).emit, questions, watch)
        row = self.model.conditioning.single(choice.context)
        given = None if row is None else np.broadcast_to(row, (samples, row.shape[1]))
        with self.work.in_flight():
            out = await self._run("expectation", lane, samples, *self._noise(drawn, 1.0, given))
            return await asyncio.to_thread(Expected.of, questions, drawn, *out)

    async def _scoring(
        self, operation: str, x: Floats, alpha: float | None, choice: Choice
    ) -> Evaluated:
        """See :meth:`_evaluate`; where there is a challenger, it scores the rows as well.

        Without an alpha, as where an fdr is asked for, each of them decides by its own default.
        """
        if self._challenger is None or self.lanes(choice.steps) is not self._default:
            return await self._evaluate(operation, x, choice)
        out = await self._given(operation, self._challenger.lane, x, choice)
        return self._seen(x, choice, self._challenger.settle(out, alpha))

    async def _evaluate(self, operation: str, x: Floats, choice: Choice) -> Evaluated:
        lane = self.lanes(choice.steps).evaluate
        return self._seen(x, choice, Evaluated(*await self._given(operation, lane, x, choice)))

    def _seen(self, x: Floats, choice: Choice, evaluated: Evaluated) -> Evaluated:
        """The answer, which tells of drift, and of which a few rows may be checked later."""
        # Calibration rows took the default number of steps.
        if self.drift is not None and self.lanes(choice.steps) is self._default:
            self.drift.saw(evaluated.log_prob, evaluated.z, evaluated.status)
        if self._self_check is not None:
            self._self_check.saw(x, choice, evaluated)
        return evaluated

    def _given(
        self, operation: str, lane: Lane, rows: Floats, choice: Choice
    ) -> Coroutine[Any, Any, Arrays]:
        """Answer about rows with their context."""
        conditioning = self.model.conditioning
        if choice.context is None and not conditioning.names:
            return self._rows(operation, lane, rows)
        self.check_count(len(rows), operation)
        given = conditioning.spread(choice.context, len(rows))
        memory = row_bytes(rows) + row_bytes(given)
        take = beside(rows, None if given is None else taken(given))
        return self._run(operation, lane, len(rows), memory, take)

    def _noise(self, seed: int, temperature: float, context: Floats | None) -> tuple[int, Take]:
        """Bytes of a row of latents, and what gives those of a seed with their context."""

        def take(start: int, stop: int) -> Floats:
            z = self.model.base_noise(seed, temperature, start, stop)
            return z if context is None else np.hstack([z, context[start:stop]])

        manifest = self.model.manifest
        columns = manifest.latent_features + len(manifest.context_features)
        return columns * np.dtype(np.float64).itemsize, take


def keeping(emit: Lane, questions: Questions, watch: Watch) -> Lane:
    """A lane of one request, which keeps of the rows drawn what its questions need.

    Its runs give the arrays of :class:`Kept` and the status; whole rows end with each run, so that
    many samples of many features take no more memory than what is asked of them.
    """

    def run(rows: Array) -> Arrays:
        x, _, status = emit.run(rows)
        kept = questions.keep(x)
        return kept.values, kept.inside, status

    return Lane(run, watch, passes=emit.passes)


def _passes(manifest: FlowManifest, name: str, steps: int | None) -> int:
    """Network evaluations of a run of a graph at a number of steps; 1 of a graph not there."""
    graph = manifest.graphs.get(name)
    if graph is None:
        return 1
    if steps is None or manifest.steps is None:
        return graph.passes
    return max(1, graph.passes * steps // manifest.steps.default)


def _offered(manifest: FlowManifest) -> tuple[int | None, ...]:
    return (None,) if manifest.steps is None else manifest.steps.numbers
