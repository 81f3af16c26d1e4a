"""The one operation whose answer is no column of numbers: expectations under a flow."""

from __future__ import annotations

from collections.abc import Mapping

from service.choice import Choice, choose_steps
from service.expectation import DEFAULT_SAMPLES
from service.http.parsing import required
from service.http.reading import Body, read_context
from service.operations.call import Call
from service.questions import questions as read_questions
from service.served_flow import ServedFlow

NAME = "expectation"


async def expectation(served: ServedFlow, body: Body) -> Mapping[str, object]:
    """A seed to means, variances, quantiles and probabilities."""
    asked = required(body, "of")
    questions = read_questions(asked, served.columns)
    call = Call(settings=body)
    samples, seed, steps = call.whole("samples"), call.whole("seed"), call.whole("steps")
    samples = DEFAULT_SAMPLES if samples is None else samples
    context = read_context(served, NAME, body.get("context"), 1)
    out = await served.expectation(questions, samples, seed, Choice(context, steps))
    taken = choose_steps(served.model.manifest, steps)
    return {
        **served.told(),
        **({} if taken is None else {"steps": taken}),
        "of": [
            entry | {"value": estimate.value, "standard_error": estimate.standard_error}
            for entry, estimate in zip(asked, out.estimates, strict=True)  # type: ignore[call-overload]
        ],
        "samples": out.samples,
        "excluded": out.excluded,
        "seed": out.seed,
    }
