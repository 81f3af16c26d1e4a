"""From a user's energy to a bundle: what is refused, what is found, and what is published."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from exported.bundle import Bundle, read_bundle
from training.checkpoint import FitState
from training.energy import Target, read_target
from training.evidence import Evidence
from training.recipes import EnergyFitConfig, Recipe, read_recipe
from training.recipes.read import resumed
from training.run import Published, Run
from training.runner import Runner

Floats = NDArray[np.float64]

GAUSSIAN = """
import math, torch
MEAN, SCALE = torch.tensor([3.0, -1.0]), torch.tensor([0.5, 2.0])
def energy(z):
    return 0.5 * (((z - MEAN) / SCALE) ** 2).sum(dim=1) + 7.0
def line(z):
    return 0.5 * ((z[:, 0] - 10.0) / 4.0) ** 2
"""
MEAN, SCALE = np.array([3.0, -1.0]), np.array([0.5, 2.0])
LOG_NORMALISER = math.log(2.0 * math.pi) + float(np.log(SCALE).sum()) - 7.0
FIT = {"steps": 800, "batch": 256, "learning_rate": 2e-2, "warm_up": 0}
SMALL = {"base": "standard_normal", "layers": 1, "marginal_bins": 0, "hidden": [4]}


def recipe_of(file: Path, function: str = "energy", **settings: Any) -> Recipe:
    energy = {"energy": f"{file}:{function}", "features": ["x", "y"]}
    fit = {"objective": "reverse_kl"} | energy | FIT | settings
    model = SMALL | {"family": "nice"}
    return Recipe.model_validate({"name": "gaussian", "model": model, "fit": fit})


def target_of(recipe: Recipe) -> Target:
    assert isinstance(recipe.fit, EnergyFitConfig)
    return read_target(recipe.fit)


def run_of(recipe: Recipe, folder: Path) -> Run:
    target = target_of(recipe)
    return Run(recipe, target, str(target.file), "logdet train", folder / "runs")


def silent(report: object) -> None:
    """Nobody looks."""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("energies") / "potential.py"
    path.write_text(GAUSSIAN)
    return path


@pytest.fixture(scope="module")
def published(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Published:
    folder = tmp_path_factory.mktemp("gaussian")
    run = run_of(recipe_of(file), folder)
    return run.publish(run.fit(FitState(), silent), folder / "bundles")


@pytest.fixture(scope="module")
def bundle(published: Published) -> Bundle:
    return read_bundle(published.folder)


def evidence_of(published: Published) -> Evidence:
    assert isinstance(published.told, Evidence)
    return published.told


def test_the_log_normaliser_is_found(published: Published) -> None:
    found = evidence_of(published)
    assert found.draws == 20_000
    assert abs(found.log_normaliser - LOG_NORMALISER) < 3.0 * found.standard_error + 1e-9
    assert found.effective_sample_size > 0.95 * found.draws
    assert found.bound <= found.log_normaliser
    assert LOG_NORMALISER - found.bound < 0.01


def errors(bundle: Bundle, mean: Floats, scale: Floats) -> Floats:
    """Of the served density, against the normal one of that mean and scale."""
    graphs = Runner({name: bundle.graph(name) for name in bundle.manifest.graphs})
    z = np.random.default_rng(0).standard_normal((2000, len(mean)))
    constant = 0.5 * len(mean) * math.log(2.0 * math.pi) + np.log(scale).sum()
    rows = (mean + scale * z).astype(np.float32)
    served = graphs("log_prob", {"x": rows})["log_prob"].astype(np.float64)
    return np.asarray(np.abs(served + 0.5 * (z**2).sum(axis=1) + constant))


def test_the_served_density_is_the_normalised_one(bundle: Bundle) -> None:
    assert errors(bundle, MEAN, SCALE).mean() < 0.03


def test_linear_layers_find_a_gaussian(file: Path, tmp_path: Path) -> None:
    """One feature has nothing to be coupled to: what is left is linear."""
    settings = {"features": ["x"], "steps": 800, "learning_rate": 0.1}
    run = run_of(recipe_of(file, "line", **settings), tmp_path)
    found = run.publish(run.fit(FitState(), silent), tmp_path / "bundles")
    error = errors(read_bundle(found.folder), np.array([10.0]), np.array([4.0]))
    assert error.mean() < 0.01
    assert error.max() < 0.05
    assert found.manifest.provenance.rows["train"] == 14_000
    assert evidence_of(found).log_normaliser == pytest.approx(
        0.5 * math.log(2.0 * math.pi) + math.log(4.0), abs=2e-3
    )


def test_the_bundle_says_what_its_rows_are_and_tells_no_folder(bundle: Bundle, file: Path) -> None:
    manifest, origin = bundle.manifest, bundle.manifest.provenance
    assert [f.name for f in manifest.features] == ["x", "y"]
    assert {f.kind for f in manifest.features} == {"continuous"}
    assert manifest.calibration.rows == 2000
    assert origin.data_name == "draws of the flow fitted to potential.py:energy"
    assert origin.split.startswith("draws of the flow; ")
    assert str(file.parent) not in manifest.model_dump_json()
    fit = origin.recipe["fit"]
    assert isinstance(fit, dict)
    assert fit["energy"] == "potential.py:energy"
    assert origin.data_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()


def test_rows_are_draws_of_the_published_density(bundle: Bundle) -> None:
    median = [f.median for f in bundle.manifest.features]
    assert (np.abs((np.array(median) - MEAN) / SCALE) < 0.05).all()


def test_an_interrupted_fit_goes_on_to_the_same_parameters(file: Path, tmp_path: Path) -> None:
    recipe = recipe_of(file, steps=40)
    whole = run_of(recipe, tmp_path / "whole").fit(FitState(), silent)

    class StoppedError(Exception):
        """Stands for Ctrl-C."""

    def stop(report: Any) -> None:
        if report.epoch == 15:
            raise StoppedError

    parts = run_of(recipe, tmp_path / "parts")
    with pytest.raises(StoppedError):
        parts.fit(FitState(), stop)
    again = run_of(recipe, tmp_path / "parts")
    assert again.unfinished_epochs() == 15
    state = again.fit(again.saved_state(), silent)
    assert state.finished
    assert all(torch.equal(state.best[name], whole.best[name]) for name in whole.best)


def test_a_checkpoint_is_of_its_energy_wherever_the_file_lies(file: Path, tmp_path: Path) -> None:
    run_of(recipe_of(file, steps=2), tmp_path).fit(FitState(), silent)
    moved = tmp_path / "potential.py"
    moved.write_bytes(file.read_bytes())
    assert run_of(recipe_of(moved, steps=2), tmp_path).saved_state().step == 2
    with pytest.raises(ValueError, match="made by another recipe"):
        run_of(recipe_of(file, function="line", steps=2), tmp_path).saved_state()
    moved.write_text(GAUSSIAN.replace("7.0", "8.0"))
    with pytest.raises(ValueError, match="made from other data"):
        run_of(recipe_of(moved, steps=2), tmp_path).saved_state()


BAD = """
import torch
def column(z): return z.sum(dim=1, keepdim=True)
def total(z): return z.sum()
def number(z): return 3.0
def infinite(z): return z[:, 0].log()
def detached(z): return z.detach().sum(dim=1)
def other(z): return torch.ones(len(z), requires_grad=True)
def kink(z): return (0.0 * z[:, 0]).sqrt()
def three(z): return (z @ torch.eye(3)).sum(dim=1)
"""


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("column", r"a tensor of shape \(64,\) for rows of shape \(64, 2\), got shape \(64, 1\)$"),
        ("total", r"got shape \(\)$"),
        ("number", "got float$"),
        ("infinite", "finite numbers wherever a row is, got 33 of 64 that are not"),
        ("detached", "has no gradient: expected torch operations on the rows"),
        ("other", "has no gradient"),
        ("kink", "has a gradient that is not finite$"),
        ("three", r"failed on a tensor of shape \(64, 2\): RuntimeError: .*64x2 and 3x3"),
        ("nothing", "bad.py has no function nothing; it has: column, total, number, infinite, "),
    ],
)
def test_what_is_no_energy_is_refused(tmp_path: Path, function: str, message: str) -> None:
    (tmp_path / "bad.py").write_text(BAD)
    with pytest.raises(ValueError, match=message):
        target_of(recipe_of(tmp_path / "bad.py", function))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("import nothing_there", "bad.py cannot be run: ModuleNotFoundError"),
        ("def energy(z:", "bad.py cannot be run: SyntaxError"),
        ("raise SystemExit(3)", "bad.py cannot be run: SystemExit: 3"),
        ("energy = 3", "bad.py has no function energy; it has: none"),
    ],
)
def test_a_file_without_an_energy_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "bad.py").write_text(content)
    with pytest.raises(ValueError, match=message):
        target_of(recipe_of(tmp_path / "bad.py"))


def test_a_missing_file_energy_or_feature_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no file .*none.py with the energy energy$"):
        target_of(recipe_of(tmp_path / "none.py"))
    with pytest.raises(ValueError, match=r"add --set energy=FILE\.py:FUNCTION$"):
        target_of(read_recipe("reverse_kl", ["features=[x]"]))
    with pytest.raises(ValueError, match=r"add --set 'features=\[x, y\]'"):
        target_of(read_recipe("reverse_kl", ["energy=potential.py:ring"]))


def test_a_file_that_was_changed_at_once_is_run_as_it_is(tmp_path: Path) -> None:
    """No compiled copy stands between the bytes that are digested and those that run."""
    path = tmp_path / "potential.py"
    digests = set()
    for constant in (1.0, 2.0):
        path.write_text(f"def energy(z): return {constant} + z.sum(dim=1)\n")
        target = target_of(recipe_of(path))
        assert float(target.energy(torch.zeros(1, 2))) == constant
        digests.add(target.sha256())
    assert len(digests) == 2
    assert list(tmp_path.iterdir()) == [path]


def test_a_fit_that_diverges_says_so(file: Path, tmp_path: Path) -> None:
    run = run_of(recipe_of(file, learning_rate=1e30), tmp_path)
    with pytest.raises(ValueError, match="diverged in step 2: try a smaller learning_rate than"):
        run.fit(FitState(), silent)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["energy=potential"],
            r"^recipe: fit.energy: expected FILE.py:FUNCTION, got 'potential'$",
        ),
        (["features=[x, x]"], "fit.features: expected each feature once"),
        (["steps=0"], "fit.steps: "),
        (["epochs=5"], "no setting 'epochs'; there are: .*steps"),
        (["fit.epochs=5"], "fit has no setting 'epochs'; it has: steps, batch, learning_rate"),
        (["objective=likelihood"], "fit.objective: expected one of reverse_kl, got 'likelihood'"),
        (["drop=[a]"], "^recipe: fit: reverse_kl has no rows to which drop could apply$"),
        (["context=[a]"], "no rows to which context"),
        (["base=student_t"], "fit: reverse_kl needs base: standard_normal, got student_t$"),
        (["family=glow"], "reverse_kl cannot train family glow: its rows are images$"),
        (["family=diffusion"], r"cannot train family diffusion: .* \(cnf is the same flow\)$"),
        (["family=mixed", "layers=[{family: diffusion}]"], "cannot train family diffusion"),
        (["model={family: vae}"], "cannot train family vae: it reconstructs rows$"),
    ],
)
def test_settings_that_an_energy_has_no_use_for(settings: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_recipe("reverse_kl", settings)


def test_fields_that_models_have_too_are_the_fits() -> None:
    fit = read_recipe("reverse_kl", ["steps=7", "warm_up=3", "features=[a]"]).fit
    assert isinstance(fit, EnergyFitConfig)
    assert (fit.steps, fit.warm_up, fit.features) == (7, 3, ("a",))
    with pytest.raises(ValueError, match="no setting 'energy'"):
        read_recipe("table", ["energy=potential.py:ring"])


def test_a_recipe_written_out_whole_reads_back_the_same(file: Path) -> None:
    recipe = recipe_of(file)
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert Recipe.model_validate(recipe.model_dump()) == recipe


def test_only_threads_may_change_on_the_way(file: Path) -> None:
    saved = recipe_of(file)
    assert resumed(saved, recipe_of(file, threads=2), ["threads=2"]).fit.threads == 2
    with pytest.raises(ValueError, match="and only threads may change, got steps=9"):
        resumed(saved, recipe_of(file, steps=9), ["steps=9"])
    with pytest.raises(ValueError, match="a fit to an energy, got a recipe that is fitted to row"):
        resumed(saved, read_recipe("table"), [])


def test_weights_of_known_moments() -> None:
    """Log weights normal with variance v: log Z lies v / 2 above their mean."""
    log_weights = -3.0 + 0.5 * np.random.default_rng(0).standard_normal(50_000)
    found = Evidence.of(log_weights)
    assert abs(found.log_normaliser - (-3.0 + 0.125)) < 3.0 * found.standard_error
    assert abs(found.bound + 3.0) < 3.0 * found.bound_standard_error
    assert found.effective_sample_size == pytest.approx(50_000 * math.exp(-0.25), rel=0.02)
    shifted = Evidence.of(log_weights - 2000.0)
    assert shifted.log_normaliser == pytest.approx(found.log_normaliser - 2000.0)
    with pytest.raises(ValueError, match="at every draw of the fitted flow, got 1 of 3"):
        Evidence.of(np.array([0.0, -np.inf, 1.0]))
