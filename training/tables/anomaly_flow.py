"""The default recipe for anomalies on one division of a labelled set, as a service scores it."""

from __future__ import annotations

import time

import numpy as np
import torch

from exported.scores import COMBINED, LATENT_NORM, LOG_PROB, TYPICALITY, Reference, Scorer
from training.checkpoint import FitState
from training.evaluate import full_flow
from training.families import fresh_flow
from training.fit import fit
from training.flow import Flow
from training.graphs import Parts
from training.objectives import objective_of
from training.onnx_export import to_onnx
from training.prepared import Prepared, described
from training.recipes import Recipe, read_recipe
from training.runner import Runner
from training.steps import solved
from training.streams import Stream, generator
from training.table import Examples, Rows, Split
from training.tables.anomaly_sets import Task
from training.tables.detectors import Scored

RECIPE = "anomalies"
# Most processor time of one fit.
MAX_SECONDS = 12.0
# Beside log_prob.
SCORES = (TYPICALITY, LATENT_NORM, COMBINED)


# What the recipe could have been.
CHOICES = {
    "rows as they are": ("noise=null",),
    "noise of 0.3": ("noise=[0.3, 0.3]",),
    "noise of 1": ("noise=[1.0, 1.0]",),
    "noise from 0.1 to 2": ("noise=[0.1, 2.0]",),
    "noise from 0.01 to 0.3": ("noise=[0.01, 0.3]",),
    "tails bent": ("linear=false",),
    "normal latents": ("base=standard_normal", "mixture_components=null"),
    "Student-t latents": ("base=student_t", "mixture_components=null"),
    "latents of 128 normals": ("mixture_components=128",),
    "realnvp": ("family=realnvp",),
    "realnvp, tails bent": ("family=realnvp", "linear=false"),
    "maf, 5 layers": ("family=maf", "layers=5"),
    "nsf, 5 layers": ("family=nsf", "layers=5"),
}


def recipe_of(method: str, seed: int) -> Recipe:
    """The recipe as it is, or one of :data:`CHOICES`, but for the seed and the time."""
    limits = f"seed={seed}", f"max_seconds={MAX_SECONDS}", "clock=processor"
    return read_recipe(RECIPE, (*CHOICES.get(method, ()), *limits))


def settings_of(recipe: Recipe) -> str:
    """What of a recipe decides the numbers."""
    return recipe.model_dump_json(include={"seed", "linear", "model", "fit"})


def scored(task: Task, recipe: Recipe) -> Scored:
    """All scores of a flow by its exported graph; a larger one is stranger here, as elsewhere."""
    begun = time.process_time()
    prepared = _prepared(task, recipe)
    flow = fresh_flow(recipe, prepared.sizes)
    how = recipe.rows_fit(), objective_of(recipe.flow())
    fit(flow, prepared, how, FitState(), lambda _: None, lambda _: None)
    trained = time.process_time()
    density = solved(full_flow(flow, prepared))
    run = _runner(density, prepared)
    base = density.base.describe(len(prepared.columns.modelled))
    reference = Reference.of(base, *_encoded(run, prepared, prepared.split.validation))
    # A service has loaded its graph before it is asked.
    asked = time.process_time()
    log_prob, z = _encoded(run, prepared, prepared.split.test)
    scores = {LOG_PROB: log_prob, **Scorer(base, SCORES, reference)(log_prob, z)}
    strange = {name: -score for name, score in scores.items()}
    return Scored(strange, trained - begun, time.process_time() - asked)


def _prepared(task: Task, recipe: Recipe) -> Prepared:
    """A tenth of the training rows validates; none is set aside for calibration."""
    shuffled = task.train[generator(recipe.seed, Stream.SPLIT).permutation(len(task.train))]
    tenth = len(shuffled) // 10
    names = tuple(f"x{i}" for i in range(task.train.shape[1]))
    none = _plain(task.train[:0])
    parts = Split(
        train=_plain(shuffled[tenth:]),
        validation=_plain(shuffled[:tenth]),
        calibration=none,
        test=_plain(task.test),
        anomalies=none,
        description="of the table's protocol",
    )
    # The protocol scales: what is whole then is so by chance.
    return described(recipe.model_copy(update={"continuous": frozenset(names)}), names, parts)


def _runner(density: Flow, prepared: Prepared) -> Runner:
    graph = Parts.of(density, prepared, torch.float32).log_prob()
    return Runner({LOG_PROB: to_onnx(graph)})


def _encoded(run: Runner, prepared: Prepared, examples: Examples) -> tuple[Rows, Rows]:
    """Log-densities, -inf out of support, and latents."""
    answers = run(LOG_PROB, prepared.inputs(examples))
    log_prob, z = (answers[name].astype(np.float64) for name in (LOG_PROB, "z"))
    return np.where(prepared.in_support(examples), log_prob, -np.inf), z


def _plain(rows: Rows) -> Examples:
    return Examples(rows, np.empty((len(rows), 0)))
