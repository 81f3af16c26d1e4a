"""Every family from a tiny fit to an exact bundle; the contract in full is in test_contract.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exported.golden import replay
from exported.kinds import REFERENCE_GRAPH
from tests.training.fits import OF_TABLES, publish, table_of, tiny_model, tiny_recipe
from training.recipes import Recipe


@pytest.mark.parametrize("family", OF_TABLES)
def test_every_family_is_published_exact(family: str, tmp_path: Path) -> None:
    fitted = publish(table_of(family, ()), tiny_recipe(family), tmp_path)
    manifest = fitted.bundle.manifest
    replay(manifest, fitted.bundle.golden(), fitted.graphs)
    assert manifest.family == family
    cost = {"maf": (1, 2), "nsf_ar": (1, 2), "iaf": (2, 1)}.get(family, (1, 1))
    if manifest.steps is not None:
        cost = (4 * manifest.steps.default,) * 2
    assert (manifest.graphs["log_prob"].passes, manifest.graphs["decode"].passes) == cost
    assert manifest.accuracy.log_prob_error.max < 1e-4
    assert manifest.accuracy.round_trip_error.max < 1e-3
    # Of the graph of the service's own checks: the least there is.
    (wide, *_) = manifest.graphs[REFERENCE_GRAPH].outputs
    assert wide.tolerance.absolute == 1e-8
    assert manifest.accuracy.mass == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize(("family", "context"), [("cnf", ("shift",)), ("diffusion", ())])
def test_the_error_of_every_number_of_steps_is_published(
    family: str, context: tuple[str, ...], tmp_path: Path
) -> None:
    fitted = publish(table_of(family, context), tiny_recipe(family, context), tmp_path)
    manifest, rows = fitted.bundle.manifest, fitted.bundle.golden()
    steps = manifest.steps
    assert steps is not None
    errors = [choice.log_prob_error.p999 for choice in steps.offered]
    assert errors[-1] < 1e-4
    assert max(errors) == errors[0]
    served = next(choice for choice in steps.offered if choice.steps == steps.default)
    assert manifest.density_tolerance >= served.log_prob_error.max
    asked = {t.name: rows[f"log_prob.in.{t.name}"] for t in manifest.graphs["log_prob"].inputs}
    fine = fitted.graphs.at(128)("log_prob", asked)["log_prob"]
    for choice in steps.offered:
        chosen = fitted.graphs("log_prob", {**asked, "steps": np.array(choice.steps)})["log_prob"]
        assert np.abs(chosen - fine).max() <= max(1e-4, 30.0 * choice.log_prob_error.max)
        assert choice.passes == 4 * choice.steps


def test_a_mixed_chain_may_end_in_a_continuous_flow(tmp_path: Path) -> None:
    """The layers before it learn by their own likelihood, and the whole is one density."""
    one = {"layers": 1, "marginal_bins": 0}
    parts = [{"family": "realnvp", "hidden": [8]} | one, tiny_model("cnf")]
    document = {"name": "t", "model": {"layers": parts}, "fit": {"epochs": 2, "batch_rows": 64}}
    recipe = Recipe.model_validate(document)
    assert recipe.model.base == "standard_normal"
    manifest = publish(table_of("cnf", ()), recipe, tmp_path).bundle.manifest
    assert manifest.steps is not None
    assert manifest.accuracy.mass == pytest.approx(1.0, abs=2e-3)
