"""How requests that name no version are answered, given what is wanted and what serves."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.errors import StartError
from service.kinds import AnyModel
from service.model import Model
from service.policies import Wanted

log = logging.getLogger(__name__)

Features = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Route:
    """Of one name.

    Attributes:
        version: Answers; it may not serve, where nothing else may answer in its place.
        challenger: Scored beside it, if any.
        wanted: What was asked for.
        problem: Why this is not what was asked for; empty if it is.
    """

    version: int
    challenger: int | None
    wanted: Wanted
    problem: str = ""

    @property
    def is_kept(self) -> bool:
        """Whether the version goes on when its folder goes away."""
        return self.wanted.policy.version is not None


def route(wanted: Wanted, models: Mapping[int, AnyModel], before: Route | None) -> Route:
    """What is wanted, as far as it can be.

    A version that does not serve is not replaced by the newest: whichever answered before goes on.

    Args:
        wanted: Of a name.
        models: By version, at least one.
        before: As the name was answered so far.
    """
    policy = wanted.policy
    if policy.version is None:
        return Route(max(models), None, wanted, wanted.problem)
    if policy.version not in models:
        goes_on = before is not None and before.version in models
        version = before.version if before is not None and goes_on else policy.version
        instead = f"version {version} answers" if goes_on else "no version answers by default"
        problem = f"version {policy.version} is to answer and does not serve; {instead}"
        return Route(version, None, wanted, problem)
    why = "" if policy.challenger is None else unfit(models, policy.version, policy.challenger)
    challenger = None if why else policy.challenger
    return Route(policy.version, challenger, wanted, why or wanted.problem)


def check_start(name: str, wanted: Wanted, models: Mapping[int, AnyModel]) -> None:
    """Refuse to begin with another version than the one that is to answer.

    Raises:
        StartError: If it does not serve.
    """
    version = wanted.policy.version
    if version is not None and version not in models:
        raise StartError(
            f"{name} is to be answered by version {version} (set by the {wanted.set_by}), which "
            f"is not there or was refused; it has: {', '.join(map(str, models)) or 'none'}"
        )


def log_change(name: str, now: Route, before: Route | None) -> None:
    """Log a new problem, and who answers from now on."""
    if now.problem and (before is None or now.problem != before.problem):
        log.error("%s: %s", name, now.problem)
    if before is not None and (now.version, now.challenger) != (before.version, before.challenger):
        beside = "" if now.challenger is None else f", compared with version {now.challenger}"
        log.info("%s: version %d answers%s", name, now.version, beside)


def unfit(models: Mapping[int, AnyModel], champion: int, challenger: int) -> str:
    """Why two versions cannot be compared; empty if they can."""
    if challenger not in models:
        return f"version {challenger} is to be compared and does not serve"
    one, other = models[champion], models[challenger]
    if not (isinstance(one, Model) and isinstance(other, Model)):
        return "only flows are compared, not VAEs or autoencoders"
    for what in ("features", "context_features"):
        mine = [(f.name, f.kind) for f in getattr(one.manifest, what)]
        theirs = [(f.name, f.kind) for f in getattr(other.manifest, what)]
        if mine != theirs:
            told, got = _first_difference(mine, theirs)
            return (
                f"expected version {challenger} to have the {what} of version {champion} in that "
                f"order ({told}), got {got}"
            )
    return ""


def _first_difference(mine: Features, theirs: Features) -> tuple[str, str]:
    if len(mine) != len(theirs):
        return f"{len(mine)} of them", f"{len(theirs)}"
    pairs = zip(mine, theirs, strict=True)
    (name, kind), (other, got) = next(pair for pair in pairs if pair[0] != pair[1])
    return f"with {name!r}, {kind}", f"{other!r}, {got}"
