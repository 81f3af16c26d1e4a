"""What an operation takes and gives, so that every protocol describes it alike."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from exported.manifest import Manifest
from service.operations.call import Answer, Call
from service.operations.reasons import asked_for
from service.served_flow import ServedFlow
from service.served_kinds import AnyServed

Takes = Literal["rows", "latents", "count"]
Width = Literal["one", "features", "latents"]
Type = Literal["FP32", "FP64", "BOOL"]
ByPlace = Literal["never", "seeded", "always"]
# Rows in the user's units: as wide as the model's own rows need.
ROWS = "rows"


@dataclass(frozen=True, slots=True)
class Output:
    """A column of an answer.

    Attributes:
        name: In :attr:`Answer.columns`.
        width: One value a row, or as many as a row has features or latents.
        datatype: Of its values; None for rows, whose type is the model's.
        asked_by: The setting without which it is not there; None of one that always is.
    """

    name: str
    width: Width = "one"
    datatype: Type | None = "FP32"
    asked_by: str | None = None

    def values(self, manifest: Manifest) -> int | None:
        """Values of a row; None for a single one, which has no axis."""
        sizes = {"features": len(manifest.features), "latents": manifest.latent_features}
        return sizes.get(self.width)

    def type_of(self, manifest: Manifest) -> Type:
        """Datatype of a model's values."""
        return self.datatype or row_type(manifest)


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of one kind of model.

    Attributes:
        name: As manifests call it.
        takes: Rows, latents, or a number of rows to draw (the setting ``n``).
        settings: Names of what may be chosen.
        outputs: Columns of its answer, without the status.
        run: Does it.
        conditional: Whether a conditional density takes its context here.
        is_long: Whether a small request may ask for much work.
        by_place: Whether the noise of a row is that of its place among the rows of the call:
            never, where a seed is given, always.
    """

    name: str
    takes: Takes
    settings: tuple[str, ...]
    outputs: tuple[Output, ...]
    run: Callable[[Any, Call], Coroutine[Any, Any, Answer]]
    conditional: bool = False
    is_long: bool = False
    by_place: ByPlace = "never"

    def is_whole(self, call: Call) -> bool:
        """Whether rows of the call would be answered otherwise in parts of it.

        Their noise is that of their place, or they are judged together.
        """
        is_seeded = call.settings.get("seed") is not None
        is_drawn = self.by_place == "always" or (self.by_place == "seeded" and is_seeded)
        return is_drawn or call.settings.get("fdr") is not None

    def takes_long(self, settings: Mapping[str, object]) -> bool:
        """Whether a small request asks for much work."""
        if self.is_long or not settings:
            return self.is_long
        return any(output.asked_by in asked_for(settings) for output in self.outputs)

    def ask(self, served: AnyServed, call: Call) -> Coroutine[Any, Any, Answer]:
        """What a model of the kind answers.

        Raises:
            ServiceError: If the call is refused.
        """
        return self.run(served, self._widened(served, call))

    def _widened(self, served: AnyServed, call: Call) -> Call:
        """The call, whose rows may wait beside others of any type."""
        rows, context = call.rows, call.context
        if rows is not None and self.takes == "rows":
            rows = served.model.rules.widened(rows)
        if context is not None and isinstance(served, ServedFlow):
            context = served.model.conditioning.rules.widened(context)
        if rows is call.rows and context is call.context:
            return call
        return call._replace(rows=rows, context=context)


def row_type(manifest: Manifest) -> Type:
    """FP64 where single precision would change a row: far offsets, and constants of any digits."""
    constant = any(feature.role == "constant" for feature in manifest.features)
    inputs = [t for graph in manifest.graphs.values() for t in graph.inputs if t.name == "x"]
    wide = any(tensor.datatype == "FP64" for tensor in inputs)
    return "FP64" if constant or wide else "FP32"
