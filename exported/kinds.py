"""The kinds of bundle: a flow with a density, a VAE with a bound on one, an autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from exported.accuracy import Accuracy, HeldOut, StepChoices
from exported.artifact import MAX_VERSION, Name
from exported.bounds import (
    BoundAccuracy,
    DepthChoices,
    HeldOutBound,
    HeldOutError,
    ReconstructionAccuracy,
    Scoring,
)
from exported.distributions import Base, StandardNormal, StudentT, Uniform
from exported.errors import BundleInvalidError
from exported.frozen import Frozen
from exported.manifest import Feature, Manifest, Option

ObservationNoise = Annotated[
    StandardNormal | StudentT | Uniform, Field(discriminator="distribution")
]
Likelihood = Literal["bernoulli", "gaussian", "student_t", "discretised_logistic"]
# The graph of a flow that is asked by nobody but the service itself: log_prob in float64.
REFERENCE_GRAPH = "log_prob_float64"
# The graph log_prob of another flow of the same features, for likelihood ratios.
BACKGROUND_GRAPH = "background"
# The graph of a flow that explanations may use: the gradient of log_prob by the row.
GRADIENT_GRAPH = "gradient"
# Only densities of flows can be given something beside the row.
NoContext = Annotated[tuple[Feature, ...], Field(max_length=0)]


class BackgroundSource(Frozen):
    """The bundle whose graph ``log_prob`` is the graph ``background``."""

    name: Name
    version: int = Field(ge=1, le=MAX_VERSION)


class FlowManifest(Manifest):
    """A normalizing flow: a density that can be computed."""

    OPERATIONS: ClassVar[Mapping[str, str]] = {
        "log_prob": "log_prob",
        "score": "log_prob",
        "scores": "log_prob",
        "encode": "log_prob",
        "decode": "decode",
        "sample": "decode",
        "expectation": "decode",
        "feature_log_prob": "feature_log_prob",
    }
    SCORES: ClassVar[str] = "log_prob"

    density: Literal["exact", "estimate"]
    density_tolerance: float = Field(ge=0)
    base: Base
    accuracy: Accuracy
    steps: StepChoices | None = None
    held_out: HeldOut
    background: BackgroundSource | None = None

    @model_validator(mode="after")
    def _base_fits(self) -> Self:
        _expect_numbers("base", self.base.features, "latent", self.latent_features)
        return self

    @model_validator(mode="after")
    def _reference_fits(self) -> Self:
        graph, reference = self.graphs.get("log_prob"), self.graphs.get(REFERENCE_GRAPH)
        if reference is None:
            return self
        if graph is None or (graph.inputs, graph.options) != (reference.inputs, reference.options):
            raise ValueError(f"graph {REFERENCE_GRAPH!r} needs the inputs of graph 'log_prob'")
        expected = {(t.name, "FP64", t.shape) for t in graph.outputs}
        if {(t.name, t.datatype, t.shape) for t in reference.outputs} != expected:
            raise ValueError(f"graph {REFERENCE_GRAPH!r} needs log_prob's outputs, as FP64")
        return self

    @model_validator(mode="after")
    def _background_fits(self) -> Self:
        background = self.graphs.get(BACKGROUND_GRAPH)
        has_ratio = "likelihood_ratio" in self.calibration.scores
        if {has_ratio, self.background is not None} != {background is not None}:
            raise ValueError(
                "expected the score 'likelihood_ratio', a graph 'background' and where that is "
                "from, or none of the three"
            )
        if background is None:
            return self
        sizes = {"x": (-1, len(self.features)), "context": (-1, len(self.context_features))}
        expected = {name: shape for name, shape in sizes.items() if shape[1]}
        given = {tensor.name: tensor.shape for tensor in background.inputs}
        told = {tensor.name: tensor.shape for tensor in background.outputs}
        if given != expected or background.options or told.get("log_prob") != (-1,):
            raise ValueError(f"graph {BACKGROUND_GRAPH!r} needs rows of this flow and a log_prob")
        return self

    @model_validator(mode="after")
    def _gradient_fits(self) -> Self:
        graph, gradient = self.graphs.get("log_prob"), self.graphs.get(GRADIENT_GRAPH)
        if gradient is None:
            return self
        if graph is None or (graph.inputs, graph.options) != (gradient.inputs, gradient.options):
            raise ValueError(f"graph {GRADIENT_GRAPH!r} needs the inputs of graph 'log_prob'")
        outputs = [(t.name, t.datatype, t.shape) for t in gradient.outputs]
        if outputs != [(GRADIENT_GRAPH, "FP32", (-1, len(self.features)))]:
            raise ValueError(
                f"graph {GRADIENT_GRAPH!r} needs one output {GRADIENT_GRAPH!r}, FP32, as wide as "
                "the row"
            )
        return self

    def defaults(self) -> dict[Option, int]:
        """See :meth:`Manifest.defaults`."""
        return {} if self.steps is None else {"steps": self.steps.default}


class VAEManifest(Manifest):
    """A variational autoencoder: a density that is known by lower bounds.

    Attributes:
        base: Of the noise that makes a posterior's or the prior's draw, all stochastic layers
            together.
        observation: Of the noise that makes a row of the likelihood's parameters, one number for
            each modelled feature.
        likelihood: Of a row given its latent, for people; nothing depends on it.
        depth: The posterior's depths on offer, or None where it has but one.
        scoring: At what the calibration scores were computed; the depth is then the default.
    """

    OPERATIONS: ClassVar[Mapping[str, str]] = {
        "log_prob_bound": "log_weight",
        "score": "log_weight",
        "encode": "posterior",
        "decode": "decode",
        "sample": "draw",
        "reconstruct": "reconstruct",
    }
    SCORES: ClassVar[str] = "score"

    density: Literal["lower_bound"]
    context_features: NoContext = ()
    base: StandardNormal
    observation: ObservationNoise
    likelihood: Likelihood
    depth: DepthChoices | None = None
    scoring: Scoring
    accuracy: BoundAccuracy
    held_out: HeldOutBound

    @model_validator(mode="after")
    def _noise_fits(self) -> Self:
        _expect_numbers("base", self.base.features, "latent", self.latent_features)
        _expect_numbers("observation", self.observation.features, "modelled", self.modelled)
        return self

    @property
    def modelled(self) -> int:
        """Features that are not constant."""
        return sum(feature.role == "modelled" for feature in self.features)

    def defaults(self) -> dict[Option, int]:
        """See :meth:`Manifest.defaults`."""
        return {} if self.depth is None else {"depth": self.depth.default}


class AutoencoderManifest(Manifest):
    """A deterministic autoencoder: no density, but an error of reconstruction."""

    OPERATIONS: ClassVar[Mapping[str, str]] = {
        "encode": "encode",
        "decode": "decode",
        "reconstruct": "reconstruct",
        "score": "reconstruct",
    }
    SCORES: ClassVar[str] = "score"

    density: Literal["none"]
    context_features: NoContext = ()
    accuracy: ReconstructionAccuracy
    held_out: HeldOutError


AnyManifest = FlowManifest | VAEManifest | AutoencoderManifest
# The one way in which a document becomes a manifest: its density says of which kind.
MANIFEST: TypeAdapter[AnyManifest] = TypeAdapter(
    Annotated[AnyManifest, Field(discriminator="density")]
)


def expect_flow(manifest: AnyManifest) -> FlowManifest:
    """The manifest, where only a flow will do.

    Raises:
        BundleInvalidError: If it is of another kind.
    """
    if not isinstance(manifest, FlowManifest):
        raise BundleInvalidError(
            f"expected a flow, got {manifest.name}/{manifest.version} "
            f"of the density {manifest.density!r}"
        )
    return manifest


def _expect_numbers(noise: str, got: int, kind: str, expected: int) -> None:
    if got != expected:
        article = "an" if noise[0] in "aeiou" else "a"
        raise ValueError(f"expected {article} {noise} of {expected} {kind} features, got {got}")
