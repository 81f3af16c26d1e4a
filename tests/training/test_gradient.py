"""The exported gradient of a log-density, held against differences of the float64 flow."""

from __future__ import annotations

import asyncio
import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from exported.errors import BundleInvalidError
from exported.golden import replay
from exported.kinds import GRADIENT_GRAPH, FlowManifest
from service.config import ServiceConfig
from service.core import Core
from service.model import Model
from service.operations.call import Answer, Call
from service.operations.kinds import operation_of
from service.results import OK
from service.runtime import Runtime
from tests.training.fits import CONTEXT, Fitted, publish, table_of, tiny_recipe
from training.families import build_flow
from training.gradient import has_gradient
from training.layers import Sizes
from training.recipes import FAMILIES
from training.table import Examples

STEP = 1e-5
GIVEN = CONTEXT[:1]
PUBLISHED = [
    pytest.param("realnvp", (), id="realnvp"),
    pytest.param("maf", GIVEN, id="maf, given"),
    pytest.param("nsf", GIVEN, id="nsf, given", marks=pytest.mark.slow),
]
WITHOUT = {"iaf", "glow", "cnf", "diffusion"}


def fitted(family: str, context: tuple[str, ...], folder: Path) -> Fitted:
    recipe = tiny_recipe(family, context).model_copy(update={"gradient": True})
    return publish(table_of(family, context, features=3), recipe, folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    return fitted("realnvp", (), tmp_path_factory.mktemp("realnvp"))


def differences(made: Fitted, rows: Examples) -> np.ndarray:
    """Central differences of the flow's log-density, nats per deviation."""
    prepared, columns = made.run.prepared, made.run.prepared.columns
    given = prepared.conditions(rows.context)
    slopes = np.zeros((len(rows.rows), len(columns.all)))
    for feature, column in enumerate(columns.all):
        if column.constant:
            continue
        ends = []
        for sign in (1.0, -1.0):
            x = rows.rows.copy()
            x[:, feature] += sign * STEP * column.deviation
            with torch.no_grad():
                ends.append(made.density(prepared.modelled(x), given).numpy())
        slopes[:, feature] = (ends[0] - ends[1]) / (2.0 * STEP)
    return slopes


@pytest.mark.parametrize(("family", "context"), PUBLISHED)
def test_the_graph_is_the_slope_of_the_float64_density(
    tmp_path: Path, family: str, context: tuple[str, ...]
) -> None:
    made = fitted(family, context, tmp_path)
    rows = made.run.prepared.split.test
    rows = rows[made.run.prepared.in_support(rows)]
    model = Model.load(made.folder, Runtime.choose("cpu", 1))
    gradient, status = model.gradient(rows.rows, rows.context if context else None)
    truth = differences(made, rows)
    assert (status == OK).all()
    assert np.abs(truth).max() > 0.3
    error = np.abs(gradient - truth).max(axis=1)
    # Where a piece of a spline or a ReLU ends between the two rows, there is no slope.
    assert np.quantile(error, 0.95) < 2e-3 * np.abs(truth).max()


def test_golden_rows_hold_it_and_a_gradient_of_another_sign_is_refused(made: Fitted) -> None:
    manifest, golden = made.bundle.manifest, dict(made.bundle.golden())
    assert all(found.matches for found in replay(manifest, golden, made.graphs))
    key = f"{GRADIENT_GRAPH}.out.{GRADIENT_GRAPH}"
    assert np.abs(golden[key]).max() > 0.3
    golden[key] = -golden[key]
    with pytest.raises(BundleInvalidError, match=r"gradient\.gradient is off"):
        replay(manifest, golden, made.graphs)


def test_a_manifest_refuses_a_gradient_of_other_inputs_or_another_width(made: Fitted) -> None:
    document = made.bundle.manifest.model_dump(mode="json")
    for part, at in (("inputs", 0), ("outputs", 0)):
        changed = copy.deepcopy(document)
        tensor = changed["graphs"][GRADIENT_GRAPH][part][at]
        tensor["shape"] = [-1, 7]
        if part == "outputs":
            tensor["tolerance"]["absolute"] = 1.0
        with pytest.raises(ValidationError, match="graph 'gradient' needs"):
            FlowManifest.model_validate(changed)


def test_scores_are_explained_by_it_where_that_is_asked(made: Fitted) -> None:
    core = Core(ServiceConfig(bundles=made.folder.parents[1], provider="cpu"))
    core.load()
    rows = made.run.prepared.split.test.rows[:20]

    async def asked() -> Answer:
        served = core.find(made.bundle.manifest.name, None, "score")
        call = Call(rows, None, {"explain": "gradient"})
        return await operation_of(served, "score").ask(served, call)

    answer = asyncio.run(asked())
    expected, _ = Model.load(made.folder, Runtime.choose("cpu", 1)).gradient(rows)
    assert answer.told["method"] == "gradient"
    np.testing.assert_array_equal(answer.columns["contribution"], expected)


def test_a_bundle_has_it_only_where_the_recipe_asks(tmp_path: Path) -> None:
    plain = publish(table_of("realnvp", ()), tiny_recipe("realnvp"), tmp_path)
    assert GRADIENT_GRAPH not in plain.bundle.manifest.graphs


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "mixed"])
def test_which_families_have_one(family: str) -> None:
    image = (4, 4, 1) if family == "glow" else None
    sizes = Sizes(16 if image else 3, image=image)
    flow = build_flow(tiny_recipe(family).flow(), sizes, torch.Generator())
    assert has_gradient(flow) == (family not in WITHOUT)
