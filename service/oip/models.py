"""The models of the protocol: every bundle, and its further operations under names of their own.

``NAME`` takes rows and tells of them what one run gives; ``NAME.sample``, ``NAME.decode`` and the
like are the operations that it has beside that.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from exported.kinds import FlowManifest
from exported.manifest import Manifest
from service.catalogue import Catalogue, version_number
from service.core import Core
from service.errors import ErrorKind, ServiceError, invalid
from service.oip.messages import NOTHING, ModelSpec, Parameters, TensorSpec
from service.operations import flow
from service.operations.call import RATES
from service.operations.kinds import BY_KIND
from service.operations.reasons import SETTINGS as REASONS
from service.operations.reasons import asked_for
from service.operations.scores import BY, is_by_another, offered
from service.operations.spec import ROWS, Operation, row_type
from service.results import STATUSES
from service.served_flow import ServedFlow
from service.served_kinds import AnyServed

MAIN = "score"
COUNT = "n"
STATUS = "status"
# Operations of flows whose answers one run gives, and the columns that are theirs.
_OF_ONE_RUN = {"log_prob": ("log_prob",), "encode": ("z", "log_det"), "score": flow.OF_SCORES}
# Combinations of outputs that a model keeps in mind, because clients ask for the same again.
_REMEMBERED = 64
_NONE: frozenset[str] = frozenset()
_Key = tuple[tuple[str, ...], frozenset[str]]
_INPUTS = {"rows": "x", "latents": "z", "count": COUNT}


class Wishes(NamedTuple):
    """Outputs that a request asks for.

    Attributes:
        outputs: Their names, in order.
        columns: Of the operation's answer.
        counted: Model, version and method as metrics name such a request.
    """

    outputs: tuple[str, ...]
    columns: frozenset[str]
    counted: tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Target:
    """A model of the protocol.

    Attributes:
        name: As the protocol names it.
        served: The model behind it.
        operation: What it does.
        methods: Operations, as metrics count them, whose requests are this model's.
        inputs: Tensors that it takes.
        outputs: Tensors of its answer by name, in order.
        asked_by: The parameter without which there is no such output, by the output's name.
        input: Name of the first of its inputs, which has the rows.
        columns: Names of the values of a row of that.
        manifest: Of the bundle.
        counted: As :attr:`Wishes.counted`, of a request for all outputs.
    """

    name: str
    served: AnyServed
    operation: Operation
    methods: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: Mapping[str, TensorSpec]
    asked_by: Mapping[str, str]
    input: str = field(init=False)
    columns: tuple[str, ...] = field(init=False)
    manifest: Manifest = field(init=False)
    counted: tuple[str, str, str] = field(init=False)
    _wishes: dict[_Key, Wishes] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "input", _INPUTS[self.operation.takes])
        object.__setattr__(self, "columns", _columns(self.served, self.operation))
        object.__setattr__(self, "manifest", self.served.model.manifest)
        object.__setattr__(self, "counted", self.wishes().counted)

    def context(self) -> tuple[str, ...]:
        """Names of the values of a row of context; none where it takes no context."""
        return _context(self.served)

    def wishes(self, asked: tuple[str, ...] = (), parameters: Parameters = NOTHING) -> Wishes:
        """What a request for some outputs wants; for all of them if it names none.

        Raises:
            ServiceError: ``invalid_input`` if there is no such output, or it is named twice.
        """
        on = _asked_by(parameters) if parameters else _NONE
        known = self._wishes.get((asked, on))
        if known is None:
            if len(self._wishes) >= _REMEMBERED:
                self._wishes.clear()
            known = self._wishes[asked, on] = self._wanted(asked, on)
        return known

    def _wanted(self, asked: tuple[str, ...], on: frozenset[str]) -> Wishes:
        known = tuple(name for name in self.outputs if self.asked_by.get(name, "") in {"", *on})
        for name in asked:
            if name not in known:
                listed = ", ".join(known)
                raise invalid(f"{self.name} has no output {name[:64]!r}; it has: {listed}")
        if len(set(asked)) < len(asked):
            raise invalid("expected each output once, got one that is asked for twice")
        outputs = asked or known
        name, version = self.served.metrics.key
        one = len(self.methods) == 1
        columns = frozenset(map(column_of, outputs))
        method = self.methods[0] if one else flow.method_of(columns)
        return Wishes(outputs, columns, (name, version, method))


class Models:
    """Finds them.

    Args:
        core: Knows the bundles.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        # Made once a model, found once a name: every request asks for one.
        self._of = Catalogue()
        self._made: dict[AnyServed, Mapping[str, Target]] = {}
        self._found: dict[tuple[str, str], Target] = {}

    def find(self, model: str, version: str = "") -> Target:
        """A model by its name in the protocol.

        Raises:
            ServiceError: ``not_found`` if there is none, ``not_ready`` while none can be.
        """
        self._follow()
        found = self._found.get((model, version))
        if found is not None and self._core.is_ready:
            return found
        name, _, operation = model.partition(".")
        served = self._core.find(name, version_number(version) if version else None)
        offered = self._targets(served)
        if operation not in offered:
            listed = ", ".join(f"{name}.{one}" if one else name for one in offered)
            raise ServiceError(
                ErrorKind.NOT_FOUND, f"no model is named {model[:64]!r}; {name} has: {listed}"
            )
        self._found[model, version] = offered[operation]
        return offered[operation]

    def all(self) -> list[Target]:
        """Every model in every version, by name."""
        self._follow()
        found: list[Target] = []
        for loaded in self._core.catalogue.all():
            served = self._core.find(loaded.manifest.name, loaded.manifest.version)
            found.extend(self._targets(served).values())
        return found

    def _follow(self) -> None:
        """Forget what was found in a catalogue that serves no longer."""
        if self._of is not self._core.catalogue:
            self._of, self._made, self._found = self._core.catalogue, {}, {}

    def _targets(self, served: AnyServed) -> Mapping[str, Target]:
        if served not in self._made:
            self._made[served] = targets_of(served)
        return self._made[served]

    def spec(self, model: str, version: str = "") -> ModelSpec:
        """What a model says about itself.

        Raises:
            ServiceError: As :meth:`find`.
        """
        target = self.find(model, version)
        manifest = target.manifest
        all_versions = self._core.catalogue.models[manifest.name]
        versions = (manifest.version,) if version else tuple(all_versions)
        return ModelSpec(
            name=target.name,
            versions=tuple(map(str, versions)),
            inputs=target.inputs,
            outputs=tuple(map(target.outputs.__getitem__, target.wishes().outputs)),
            properties=_properties(manifest),
            batched=target.operation.takes != "count",
        )


def targets_of(served: AnyServed) -> Mapping[str, Target]:
    """The models of the protocol behind one bundle, by operation; the main one has none."""
    manifest: Manifest = served.model.manifest
    name, by_name = manifest.name, BY_KIND[type(served)]
    if isinstance(served, ServedFlow):
        main, methods = _everything(manifest), tuple(_OF_ONE_RUN)
    else:
        main, methods = by_name[MAIN], (MAIN,)
    others = [one for one in manifest.operations if one in by_name and one not in methods]
    asked = {"": (name, main, methods)}
    asked |= {one: (f"{name}.{one}", by_name[one], (one,)) for one in others}
    return {
        one: Target(
            title,
            served,
            operation,
            counted,
            _inputs(served, operation),
            _outputs(offered(operation, manifest), manifest),
            {tensor_of(o.name): o.asked_by for o in operation.outputs if o.asked_by is not None},
        )
        for one, (title, operation, counted) in asked.items()
    }


def _asked_by(parameters: Parameters) -> frozenset[str]:
    """Parameters that ask for outputs, where they do."""
    by = frozenset({BY}) if is_by_another(parameters) else _NONE
    return asked_for(parameters) | by


def _columns(served: AnyServed, operation: Operation) -> tuple[str, ...]:
    return served.latents if operation.takes == "latents" else served.columns


def _context(served: AnyServed) -> tuple[str, ...]:
    return served.model.conditioning.names if isinstance(served, ServedFlow) else ()


def _inputs(served: AnyServed, operation: Operation) -> tuple[TensorSpec, ...]:
    if operation.takes == "count":
        first = TensorSpec(COUNT, "INT64", (1,))
    else:
        type_ = row_type(served.model.manifest) if operation.takes == "rows" else "FP32"
        first = TensorSpec(_INPUTS[operation.takes], type_, (-1, len(_columns(served, operation))))
    if not _context(served):
        return (first,)
    return first, TensorSpec("context", "FP64", (-1, len(_context(served))))


def _outputs(operation: Operation, manifest: Manifest) -> Mapping[str, TensorSpec]:
    specs = {}
    for output in operation.outputs:
        name, values = tensor_of(output.name), output.values(manifest)
        shape = (-1,) if values is None else (-1, values)
        specs[name] = TensorSpec(name, output.type_of(manifest), shape)
    return {**specs, STATUS: TensorSpec(STATUS, "UINT8", (-1,))}


def tensor_of(column: str) -> str:
    """Name of the tensor of a column."""
    return "x" if column == ROWS else column


def column_of(tensor: str) -> str:
    """The column of a tensor, by its name."""
    return ROWS if tensor == "x" else tensor


def _everything(manifest: Manifest) -> Operation:
    """All that one run of a flow tells and its manifest offers."""
    columns_offered = {
        column
        for operation, columns in _OF_ONE_RUN.items()
        if operation in manifest.operations
        for column in columns
    }
    whole = flow.EVALUATE
    outputs = tuple(output for output in whole.outputs if output.name in columns_offered)
    decides = "score" in manifest.operations
    of_scores = (*RATES, BY, *REASONS)
    settings = tuple(name for name in whole.settings if decides or name not in of_scores)
    return replace(whole, outputs=outputs, settings=settings)


def _properties(manifest: Manifest) -> dict[str, str]:
    told = {
        "family": manifest.family,
        "density": manifest.density,
        "features": json.dumps([feature.name for feature in manifest.features]),
        STATUS: ", ".join(f"{code} {word}" for code, word in enumerate(STATUSES)),
    }
    if manifest.context_features:
        told["context"] = json.dumps([feature.name for feature in manifest.context_features])
    if isinstance(manifest, FlowManifest):
        told["density_tolerance"] = f"{manifest.density_tolerance:g}"
    return told
