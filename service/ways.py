"""How rows of a flow are run, and work that is told as steps which nobody in particular runs.

The service runs steps in shared batches, the command line in chunks.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Literal, NamedTuple, TypeVar

from service.jobs import Array, Arrays, Take
from service.lanes import Run
from service.model import Model
from service.results import Floats
from service.served import beside, taken

T = TypeVar("T")
# Each gives the arrays of a method of the model, the status last.
Way = Literal["evaluate", "decode", "emit", "judge", "terms", "varied", "gradient"]


class Ask(NamedTuple):
    """Rows to be run.

    Attributes:
        way: How.
        rows: How many, at least one.
        take: Gives rows ``start`` to ``stop``, with their context behind them.
    """

    way: Way
    rows: int
    take: Take


Steps = Generator[Ask, Arrays, T]


def runs_of(model: Model, steps: int | None = None) -> Mapping[Way, Run]:
    """What runs rows in each way, in the calling thread, at a number of a solver's steps."""
    given = len(model.manifest.context_features)

    def apart(rows: Array) -> tuple[Array, Array | None, int | None]:
        return (rows[:, :-given], rows[:, -given:], steps) if given else (rows, None, steps)

    def without_latents(rows: Array) -> Arrays:
        out = model.evaluate(*apart(rows))
        return out.log_prob, out.status

    def judge(rows: Array) -> Arrays:
        judged = model.judge(*apart(rows))
        return *judged.scores.values(), *judged.evaluated

    return {
        "evaluate": lambda rows: model.evaluate(*apart(rows)),
        "decode": lambda rows: model.decode(*apart(rows)),
        "emit": lambda rows: model.emit(*apart(rows)),
        "judge": judge,
        "terms": lambda rows: model.explain(*apart(rows)),
        "varied": without_latents,
        "gradient": lambda rows: model.gradient(*apart(rows)),
    }


def given_with(rows: Floats, context: Floats | None) -> Take:
    """Gives rows, each with its context behind it where there is one."""
    return beside(rows, None if context is None else taken(context))
