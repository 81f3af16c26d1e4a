"""The manifest: what a reader must know about a bundle of any kind before it runs a graph.

The kinds themselves are in :mod:`exported.kinds`. The normative text is ``exported/README.md``;
``manifest.schema.json`` beside it is generated from these models by ``python -m exported.schema``
and kept equal by a test.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, JsonValue, model_validator

from exported.artifact import MAX_VERSION, BundleFile, Name, Sha256
from exported.calibration_summary import CalibrationSummary
from exported.errors import BundleInvalidError
from exported.frozen import Frozen
from exported.trimming import Trimmed

FORMAT_VERSION = 1
MAX_FEATURES = 4096
MAX_GRAPHS = 32
# The only graph whose tensors may have a second free axis, that of the samples.
SAMPLED_GRAPH = "log_weight"

Side = Annotated[int, Field(ge=1, le=MAX_FEATURES)]
NonNegative = Annotated[float, Field(ge=0)]
DataType = Literal["FP32", "FP64", "INT64"]
Option = Literal["steps", "depth"]


class Feature(Frozen):
    """One column of a row.

    Attributes:
        name: Column name as in the training table's header.
        kind: ``integer`` columns were dequantised in training and are scored at their cell's
            centre.
        unit: Free text, for people.
        training_range: Smallest and largest value seen in training, in the user's unit.
        median: Middle value in training; whole for ``integer`` columns.
        deviation: Standard deviation in training, in the user's unit; None where it is not told.
        support: Closed interval outside of which the density is zero; null ends are open to
            infinity. A constant column has equal ends and takes no part in the density.
        role: ``constant`` columns are checked against their support and not modelled.
    """

    name: Annotated[str, Field(min_length=1, max_length=256)]
    kind: Literal["continuous", "integer"]
    unit: str | None = None
    training_range: tuple[float, float]
    median: float
    deviation: float | None = Field(default=None, gt=0)
    support: tuple[float | None, float | None] = (None, None)
    role: Literal["modelled", "constant"] = "modelled"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low, high = self.support
        ends = (low, high) if low is not None and high is not None else (0.0, 0.0)
        for first, last in (self.training_range, ends):
            if first > last:
                raise ValueError(f"feature {self.name!r} has a range from {first} down to {last}")
        if not self.training_range[0] <= self.median <= self.training_range[1]:
            raise ValueError(f"feature {self.name!r} has its median outside of its range")
        if self.role == "constant" and (low is None or low != high):
            raise ValueError(f"constant feature {self.name!r} needs a support of equal ends")
        return self


class Tolerance(Frozen):
    """Largest accepted ``|got - expected|``: ``absolute + relative * |expected|``.

    Attributes:
        absolute: In the output's unit; one number, or one for each entry of the last axis.
        relative: Of the expected value.
    """

    absolute: NonNegative | tuple[NonNegative, ...]
    relative: float = Field(ge=0)


class Tensor(Frozen):
    """A graph's input or output.

    The first axis is the batch and is written -1; so is a second one of samples.
    """

    name: Name
    datatype: DataType
    shape: tuple[int, ...] = Field(min_length=1, max_length=8)

    @model_validator(mode="after")
    def _batched(self) -> Self:
        sizes = self.shape[2:] if self.is_sampled else self.shape[1:]
        if self.shape[0] != -1 or min(sizes, default=1) < 1:
            raise ValueError(
                f"tensor {self.name!r} needs a shape of -1 and sizes, got {self.shape}"
            )
        return self

    @property
    def is_sampled(self) -> bool:
        """Whether the second axis is that of samples, of any number."""
        return self.shape[1:2] == (-1,)


class OutputTensor(Tensor):
    """An output with the tolerance at which golden rows replay on any platform."""

    tolerance: Tolerance

    @model_validator(mode="after")
    def _tolerance_fits(self) -> Self:
        absolute = self.tolerance.absolute
        size = self.shape[-1]
        if isinstance(absolute, tuple) and len(absolute) != size:
            needed = "a number as tolerance" if size == -1 else f"{size} tolerances"
            raise ValueError(f"output {self.name!r} needs {needed}, got {len(absolute)}")
        return self


class Graph(Frozen):
    """An ONNX graph.

    Attributes:
        artifact: The ``.onnx`` file.
        opset: ONNX operator set the graph was written for.
        inputs: Required inputs, in order.
        outputs: Outputs, in order.
        passes: Network evaluations one call costs (1 for coupling flows, D for a MAF's inverse).
        options: Scalar INT64 inputs that a caller may choose, after ``inputs``.
    """

    artifact: BundleFile
    opset: int
    inputs: tuple[Tensor, ...] = Field(min_length=1)
    outputs: tuple[OutputTensor, ...] = Field(min_length=1)
    passes: int = Field(ge=1)
    options: tuple[Option, ...] = Field(default=(), max_length=1)


class Provenance(Frozen):
    """Where the numbers came from.

    Attributes:
        rows: Of each part as the table was divided, before any were trimmed.
        trimmed: Of the parts that trained, what a first fit found least likely and the one that
            is published did without.
    """

    created: str
    command: str
    recipe: dict[str, JsonValue]
    seed: int
    data_name: str
    data_sha256: Sha256
    rows: dict[str, int]
    split: str
    versions: dict[str, str]
    git_commit: str | None
    training_seconds: float
    trimmed: dict[str, Trimmed] = Field(default_factory=dict)


class Manifest(Frozen):
    """What every kind of bundle has; a manifest that is read is always one of the kinds.

    See ``exported/README.md`` for the meaning of each field and what a reader must refuse.

    Attributes:
        OPERATIONS: Operations that bundles of this kind may have, and the graph that serves each.
        SCORES: Name of the array of calibration scores.
    """

    OPERATIONS: ClassVar[Mapping[str, str]]
    SCORES: ClassVar[str]

    format_version: Literal[1]
    name: Name
    version: int = Field(ge=1, le=MAX_VERSION)
    family: str
    density: Literal["exact", "estimate", "lower_bound", "none"]
    features: tuple[Feature, ...] = Field(min_length=1, max_length=MAX_FEATURES)
    context_features: tuple[Feature, ...] = Field(default=(), max_length=MAX_FEATURES)
    image: tuple[Side, Side, Side] | None = None
    latent_features: int = Field(ge=1, le=MAX_FEATURES)
    graphs: dict[Name, Graph] = Field(min_length=1, max_length=MAX_GRAPHS)
    operations: dict[Name, str] = Field(min_length=1)
    golden: BundleFile
    calibration: CalibrationSummary
    provenance: Provenance

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        unknown = {g for g in self.operations.values() if g not in self.graphs}
        if unknown:
            raise ValueError(f"operations name graphs that are not listed: {sorted(unknown)}")
        names = [f.name for f in self.features + self.context_features]
        if len(set(names)) != len(names):
            raise ValueError("feature names must be unique")
        if self.image is not None and math.prod(self.image) != len(self.features):
            raise ValueError(f"an image of {self.image} needs {math.prod(self.image)} features")
        # Upper and lower case are one file on some systems.
        files = {f.file.lower() for f in self.files()}
        if len(files) != len(self.files()) or "manifest.json" in files:
            raise ValueError("two entries name the same file")
        if self.calibration.scores and self.SCORES != "log_prob":
            raise ValueError("only a flow has scores beside the first")
        return self

    @model_validator(mode="after")
    def _graphs_fit(self) -> Self:
        for name, graph in self.graphs.items():
            sampled = [t.name for t in (*graph.inputs, *graph.outputs) if t.is_sampled]
            if sampled and name != SAMPLED_GRAPH:
                raise ValueError(f"tensor {sampled[0]!r} of graph {name!r} has an axis of samples")
        used = {option for graph in self.graphs.values() for option in graph.options}
        odd = sorted(used.symmetric_difference(self.defaults()))
        if odd:
            raise ValueError(f"expected {odd[0]} exactly where a graph has the option {odd[0]}")
        return self

    def defaults(self) -> dict[Option, int]:
        """Every option that a caller may choose, as it is where nobody does."""
        return {}

    def options(self, graph: str) -> dict[Option, int]:
        """What each option of a graph is where nobody chooses."""
        defaults = self.defaults()
        return {option: defaults[option] for option in self.graphs[graph].options}

    def files(self) -> tuple[BundleFile, ...]:
        """Every file beside the manifest itself."""
        graphs = tuple(graph.artifact for graph in self.graphs.values())
        return (*graphs, self.golden, self.calibration.artifact)

    def graph_of(self, operation: str) -> Graph:
        """The graph that serves an operation.

        Raises:
            BundleInvalidError: If the bundle does not offer the operation.
        """
        try:
            return self.graphs[self.operations[operation]]
        except KeyError:
            offered = ", ".join(sorted(self.operations))
            raise BundleInvalidError(
                f"{self.name} has no operation {operation!r}; it has: {offered}"
            ) from None
