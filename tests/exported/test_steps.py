"""Numbers of steps of a continuous flow: what a manifest may say, and what golden rows use."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import numpy as np
import pytest
from pydantic import ValidationError

from exported.bundle import Bundle
from exported.golden import Arrays, replay
from exported.kinds import FlowManifest

Tamper = Callable[[dict], None]


def choice(steps: int) -> dict:
    error = {"median": 1e-4, "p999": 1e-3, "max": 1e-2}
    return {
        "steps": steps,
        "log_prob_error": error,
        "round_trip_error": error,
        "passes": 4 * steps,
    }


@pytest.fixture
def continuous(document: dict) -> dict:
    """The document of a bundle whose graphs have the option."""
    document = deepcopy(document)
    for graph in document["graphs"].values():
        graph["options"] = ["steps"]
    document["steps"] = {"default": 8, "offered": [choice(4), choice(8), choice(16)]}
    return document


def test_options_have_the_default_and_other_bundles_have_none(
    continuous: dict, manifest: FlowManifest
) -> None:
    assert FlowManifest.model_validate(continuous).options("decode") == {"steps": 8}
    assert manifest.options("decode") == {}


def test_golden_rows_run_with_the_default(continuous: dict, contents: dict[str, bytes]) -> None:
    bundle = Bundle(FlowManifest.model_validate(continuous), contents)
    golden, seen = bundle.golden(), []

    def run(graph: str, inputs: Arrays) -> Arrays:
        seen.append((inputs["steps"].shape, inputs["steps"].dtype, int(inputs["steps"])))
        found = golden.items()
        prefix = f"{graph}.out."
        return {k.removeprefix(prefix): v for k, v in found if k.startswith(prefix)}

    replay(bundle.manifest, golden, run)
    assert seen == [((), np.dtype(np.int64), 8)] * 2


REFUSED: dict[str, tuple[Tamper, str]] = {
    "no steps": (lambda m: m.pop("steps"), "steps exactly where a graph has the option"),
    "no option": (
        lambda m: [graph.pop("options") for graph in m["graphs"].values()],
        "steps exactly where a graph has the option",
    ),
    "another option": (lambda m: m["graphs"]["decode"].update(options=["speed"]), "'steps'"),
    "a default not on offer": (lambda m: m["steps"].update(default=5), "with 5 among them"),
    "descending": (lambda m: m["steps"]["offered"].reverse(), r"got \[16, 8, 4\]"),
    "twice": (lambda m: m["steps"]["offered"].append(choice(16)), "ascending numbers of steps"),
    "none on offer": (lambda m: m["steps"].update(offered=[]), "at least 1 item"),
    "no step": (lambda m: m["steps"]["offered"][0].update(steps=0), "greater than or equal to 1"),
    "too many": (lambda m: m["steps"]["offered"][2].update(steps=1025), "less than or equal"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_steps_that_make_no_sense_are_refused(name: str, continuous: dict) -> None:
    tamper, message = REFUSED[name]
    tamper(continuous)
    with pytest.raises(ValidationError, match=message):
        FlowManifest.model_validate(continuous)
