"""A few answers of a flow, held against float64 and sent back through decode when all is done.

What callers send decides nothing but which rows are looked at: no answer waits for a check, and no
check changes whether the service is ready.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from exported.kinds import REFERENCE_GRAPH
from service.choice import DEFAULT, Choice, choose_steps
from service.model import Model
from service.results import Evaluated, Floats
from service.selfcheck_bounds import Bounds, Quantity, deviations
from service.selfcheck_metrics import SelfCheckMetrics

log = logging.getLogger(__name__)


class Picks:
    """One of each ``every`` things that pass, at a place drawn anew for each so many.

    At a fixed place, a client whose requests have a rhythm would have the same rows looked at.

    Args:
        every: How many pass for one that is picked.
        draw: Gives a whole number from 0 up to what it is given.
    """

    def __init__(self, every: int, draw: Callable[[int], int] = secrets.randbelow) -> None:
        self._every, self._draw = every, draw
        self._place = self._ahead = draw(every)

    def passing(self, count: int) -> list[int]:
        """Places of those picked among the next ``count``."""
        picked = []
        while self._ahead < count:
            picked.append(self._ahead)
            left = self._every - self._place
            self._place = self._draw(self._every)
            self._ahead += left + self._place
        self._ahead -= count
        return picked


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """A row and what was answered about it.

    Attributes:
        x: Shape ``(1, features)``.
        context: Shape ``(1, context_features)``; None without.
        z: Shape ``(1, latent_features)``.
        log_prob: Shape ``(1,)``, nats.
    """

    x: Floats
    context: Floats | None
    z: Floats
    log_prob: Floats


class SelfCheck:
    """Chooses answers of one model and checks them.

    Args:
        model: Whose answers they are.
        bounds: What they may be off by.
        metrics: Counts what is found.
        picks: Which of the rows that count.
        offer: Takes an answer to be checked later; False where there is no room.
    """

    def __init__(
        self,
        model: Model,
        bounds: Bounds,
        metrics: SelfCheckMetrics,
        picks: Picks,
        offer: Callable[[SelfCheck, Given], bool],
    ) -> None:
        self._model, self._bounds, self._metrics = model, bounds, metrics
        self._picks, self._offer = picks, offer
        self._warned = False
        self._unit = deviations(model.manifest.features)
        self._modelled = [feature.role == "modelled" for feature in model.manifest.features]
        # The bounds were measured at the default number of steps.
        self._steps = choose_steps(model.manifest, DEFAULT.steps)

    def saw(self, x: Floats, choice: Choice, answer: Evaluated) -> None:
        """Look at a request's rows and their answers, of which a few are kept for a check."""
        if choice.steps not in (None, self._steps):
            return
        picked = self._picks.passing(self._bounds.ordinary(answer.log_prob))
        if not picked:
            return
        for done, row in enumerate(self._bounds.places(answer.log_prob)[picked].tolist()):
            if not self._offer(self, self._given(row, x, choice, answer)):
                self._metrics.dropped(len(picked) - done)
                return

    def run(self, given: Sequence[Given]) -> None:
        """Check answers and count what is found; for a thread that nobody waits for."""
        try:
            errors = self._errors(given)
        except Exception:  # whatever it was, the answers are given and the service goes on
            log.exception("answers of %s could not be checked", self._name)
            self._metrics.failed(len(given))
            return
        kept = np.ones(len(given), dtype=np.bool_)
        for name, values in errors.items():
            kept &= values <= self._bounds.largest[name]  # what is not a number is not
        beyond = int((~kept).sum())
        self._metrics.found(errors, beyond)
        if beyond and not self._warned:
            self._warned = True  # once: the metrics count the others
            worst = {name: f"{values.max():.3g}" for name, values in errors.items()}
            log.warning(
                "%s: checked answers are further off than %s: %s",
                self._name,
                dict(self._bounds.largest),
                worst,
            )

    @property
    def _name(self) -> str:
        return f"{self._model.manifest.name}/{self._model.manifest.version}"

    def _given(self, row: int, x: Floats, choice: Choice, answer: Evaluated) -> Given:
        spread = self._model.conditioning.spread(choice.context, len(x))
        one = slice(row, row + 1)
        # Copies: a view would keep all of a request's rows until it is checked.
        context = None if spread is None else spread[one].copy()
        return Given(x[one].copy(), context, answer.z[one].copy(), answer.log_prob[one].copy())

    def _errors(self, given: Sequence[Given]) -> Mapping[Quantity, Floats]:
        contexts = [one.context for one in given if one.context is not None]
        beside = {"context": np.concatenate(contexts)} if contexts else {}
        x, options = np.concatenate([one.x for one in given]), {"steps": self._steps}
        errors: dict[Quantity, Floats] = {}
        if "log_prob" in self._bounds.largest:
            exact = self._model.run(REFERENCE_GRAPH, {"x": x, **beside}, options)["log_prob"]
            errors["log_prob"] = np.abs(np.concatenate([one.log_prob for one in given]) - exact)
        if "round_trip" in self._bounds.largest:
            z = np.concatenate([one.z for one in given])
            back = self._model.run("decode", {"z": z, **beside}, options)["x"]
            errors["round_trip"] = self._apart(x, back)
        return errors

    def _apart(self, x: Floats, back: Floats) -> Floats:
        # The graph was asked about the row in the graph's own type, which is that of its answer.
        asked = x.astype(back.dtype).astype(np.float64)
        difference = np.abs(back.astype(np.float64) - asked)[:, self._modelled]
        return np.asarray((difference / self._unit).max(axis=1))
