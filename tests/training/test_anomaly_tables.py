"""The anomaly table: its protocol, other detectors, going on, and the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.recipes import Recipe
from training.tables import anomalies, anomaly_flow, anomaly_page, detectors
from training.tables.anomaly_cells import Cell, cell_of, read_cells, separation
from training.tables.anomaly_flow import CHOICES, RECIPE, recipe_of, settings_of
from training.tables.anomaly_page import render, render_choices
from training.tables.anomaly_sets import CHOSEN_ON, SETS, Task, divided, read_published, read_task
from training.tables.detectors import DETECTORS, ECOD, Scored, detected

PUBLISHED = "Dataset,KNN,DTE-NP\n" + "".join(
    f"{name.lower()},70.5(1.0),80.25(0.0)\n" for name in SETS
)


def _rows(normal: int = 1200, anomalies_: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Numbered normal rows around zero, and anomalies far from them, in mixed order."""
    rng = np.random.default_rng(0)
    rows = rng.normal(0.0, 1.0, (normal + anomalies_, 3))
    is_anomaly = np.zeros(len(rows), dtype=np.bool_)
    is_anomaly[:: len(rows) // anomalies_][:anomalies_] = True
    is_anomaly[np.flatnonzero(is_anomaly)[anomalies_:]] = False
    rows[is_anomaly] += 6.0
    return rows, is_anomaly


def _folder(root: Path) -> Path:
    rows, is_anomaly = _rows()
    (root / "adbench").mkdir()
    (root / "reference").mkdir()
    np.savez(root / "adbench" / "7_Pima.npz", X=rows.astype(np.float32), y=is_anomaly)
    (root / "reference" / "dte_iclr2024_aucroc_semisupervised.csv").write_text(PUBLISHED)
    return root


def test_the_first_half_of_the_normal_rows_trains_in_their_order() -> None:
    rows, is_anomaly = _rows()
    task = divided(rows, is_anomaly, seed=3)
    normal = rows[~is_anomaly]
    half = len(normal) // 2
    centre, scale = normal[:half].mean(axis=0), normal[:half].std(axis=0)
    assert task.train * scale + centre == pytest.approx(normal[:half])
    assert task.test * scale + centre == pytest.approx(
        np.concatenate([normal[half:], rows[is_anomaly]])
    )
    assert task.is_anomaly.sum() == is_anomaly.sum()
    assert task.is_anomaly[-1]
    assert (divided(rows, is_anomaly, seed=4).train == task.train).all()


def test_a_small_set_is_drawn_up_and_a_large_one_down_by_the_seed() -> None:
    small = np.arange(400.0).reshape(200, 2)
    tasks = [divided(small, np.arange(200) < 20, seed) for seed in (0, 0, 1)]
    sizes = [len(task.train) + len(task.test) for task in tasks]
    assert sizes == [1000] * 3
    assert (tasks[0].train == tasks[1].train).all()
    assert tasks[0].train.shape != tasks[2].train.shape or (tasks[0].train != tasks[2].train).any()
    large = np.arange(60_000.0)[:, None]
    task = divided(large, large[:, 0] < 6_000, 0)
    together = np.concatenate([task.train, task.test])
    assert len(np.unique(together)) == len(together) == 50_000


def test_a_column_that_does_not_vary_in_training_keeps_its_unit() -> None:
    rows, is_anomaly = _rows()
    rows[:, 1] = np.where(is_anomaly, 9.0, 7.0)
    task = divided(rows, is_anomaly, 0)
    assert set(task.train[:, 1]) == {0.0}
    assert set(task.test[task.is_anomaly, 1]) == {2.0}


def test_a_set_is_found_by_its_name_and_a_missing_one_is_said(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    assert read_task(folder, "Pima", 0).train.shape == (600, 3)
    with pytest.raises(ValueError, match="WDBC"):
        read_task(folder, "WDBC", 0)


def test_published_means_are_read_without_their_deviations(tmp_path: Path) -> None:
    assert read_published(tmp_path) == {}
    published = read_published(_folder(tmp_path))
    assert published["KNN"] == {name.lower(): 70.5 for name in SETS}
    assert published["DTE-NP"]["satimage-2"] == 80.25


def test_scores_that_are_infinite_rank_first_and_a_missing_one_is_refused() -> None:
    is_anomaly = np.array([False, False, True, True])
    assert separation(is_anomaly, np.array([0.0, 1.0, np.inf, 2.0])) == (1.0, 1.0)
    assert separation(is_anomaly, np.array([0.0, np.inf, 1.0, 2.0]))[0] == 0.5
    with pytest.raises(ValueError, match="1 have none"):
        separation(is_anomaly, np.array([0.0, 1.0, np.nan, 2.0]))


@pytest.mark.parametrize("method", [name for name in DETECTORS if name != ECOD])
def test_other_detectors_find_far_rows(method: str) -> None:
    task = divided(*_rows(), 0)
    found = cell_of(("Pima", 0, method), "", task, detected(method, task.train, task.test, 0))
    assert found.auroc[method] > 0.99
    assert found.average_precision[method] > 0.9


def test_neighbours_are_those_of_the_training_rows() -> None:
    train, test = np.arange(10.0)[:, None], np.array([[20.0]])
    farthest, average = (
        detected(f"scikit-learn kNN, {how}", train, test, 0).scores.popitem()[1]
        for how in ("distance to the 5th", "mean of 5 distances")
    )
    assert (farthest[0], average[0]) == (15.0, 13.0)


def test_a_detector_that_is_not_installed_is_left_out_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(detectors.importlib.util, "find_spec", lambda name: None)
    assert detectors.why_not(ECOD) == "PyOD is not installed (pip install 'logdet[tables]')"
    assert detectors.why_not("scikit-learn LOF") is None


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """The recipe with a few epochs of a tiny flow, whatever is asked for."""
    sizes = {"layers": 2, "hidden": [16], "bins": 4, "marginal_bins": 0}
    fit = {"epochs": 15, "batch_rows": 64, "noise": [0.05, 1.0]}
    recipe = Recipe.model_validate({"name": RECIPE, "model": sizes, "fit": fit})
    for module in (anomalies, anomaly_page):
        monkeypatch.setattr(
            module, "recipe_of", lambda method, seed: recipe.model_copy(update={"seed": seed})
        )
    return recipe


def test_a_flow_is_scored_by_its_graph_and_a_changed_constant_is_strangest(small: Recipe) -> None:
    rows, is_anomaly = _rows()
    task = divided(rows, is_anomaly, 0)
    constant = np.zeros((len(task.test), 1))
    constant[0] = 1.0
    task = replace(
        task,
        train=np.hstack([task.train, np.zeros((len(task.train), 1))]),
        test=np.hstack([task.test, constant]),
    )
    found = anomaly_flow.scored(task, small)
    assert set(found.scores) == {"log_prob", "typicality", "latent_norm", "combined"}
    for name, strangeness in found.scores.items():
        assert strangeness[0] == np.inf, name
        assert np.isfinite(strangeness[1:]).all(), name
    auroc, _ = separation(task.is_anomaly[1:], found.scores["log_prob"][1:])
    assert auroc > 0.99


def test_cells_are_measured_once_and_the_page_is_written_as_it_goes(
    tmp_path: Path, small: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = _folder(tmp_path), tmp_path / "out"
    measured = folder, out, ["Pima"], [0], [RECIPE, "scikit-learn LOF"]
    anomalies.measure(*measured)
    first = read_cells(out / anomalies.CELLS)
    assert [(cell.method, cell.rows, cell.anomalies) for cell in first] == [
        (RECIPE, 600, 40),
        ("scikit-learn LOF", 600, 40),
    ]
    monkeypatch.setattr(anomalies, "detected", lambda *_: pytest.fail("measured again"))
    anomalies.measure(*measured)
    assert read_cells(out / anomalies.CELLS) == first
    page = (out / anomalies.TABLE).read_text()
    assert "| Pima | 100.00 ± 0.00 |" in page
    assert "published DTE-NP | 80.25" in page


def test_the_page_orders_methods_by_their_means_and_shares_tied_ranks() -> None:
    task = Task(np.zeros((3, 2)), np.zeros((2, 2)), np.array([False, True]))

    def cell(name: str, seed: int, method: str, scores: dict[str, list[float]]) -> Cell:
        strange = {score: np.array(values) for score, values in scores.items()}
        settings = settings_of(recipe_of(RECIPE, seed)) if method == RECIPE else ""
        return cell_of((name, seed, method), settings, task, Scored(strange, 1.0, 0.25))

    right, wrong = [0.0, 1.0], [1.0, 0.0]
    cells = [
        made
        for name in SETS
        for seed in (0, 1)
        for made in (
            cell(name, seed, RECIPE, {"log_prob": right, "typicality": wrong}),
            cell(name, seed, "other", {"other": right if seed else wrong}),
        )
    ]
    lines = render(cells, {"KNN": {name.lower(): 50.0 for name in SETS}}).splitlines()
    means = [line for line in lines if line.startswith("|")][2:6]
    assert means == [
        "| anomalies: log_prob | 100.00 | 1.0 | 100.00 | 2 |",
        "| other | 50.00 | 2.5 | 75.00 | 2 |",
        "| published KNN | 50.00 | 2.5 | – | – |",
        "| anomalies: typicality | 0.00 | 4.0 | 50.00 | 2 |",
    ]
    assert "| annthyroid | 100.00 ± 0.00 | 0.00 ± 0.00 | 50.00 ± 50.00 | 50.00 | +50.00 |" in lines
    assert "| annthyroid | 1.00 | 0.25 | 1.00 | 0.25 |" in lines
    assert render([], {}).count("| annthyroid |") == 4


def test_no_set_that_is_reported_chose_the_recipe() -> None:
    assert not set(CHOSEN_ON) & set(SETS)


def test_choices_differ_from_the_recipe_and_from_each_other() -> None:
    settings = [settings_of(recipe_of(method, 0)) for method in (RECIPE, *CHOICES)]
    assert len(set(settings)) == len(settings)


def test_the_page_of_choices_tells_means_of_those_measured_on_every_set() -> None:
    task = Task(np.zeros((3, 2)), np.zeros((2, 2)), np.array([False, True]))
    right = Scored({"log_prob": np.array([0.0, 1.0])}, 1.0, 0.25)
    settings = settings_of(recipe_of(RECIPE, 0))
    cells = [cell_of((name, 0, RECIPE), settings, task, right) for name in CHOSEN_ON]
    partial = settings_of(recipe_of("noise of 1", 0))
    cells.append(cell_of((CHOSEN_ON[0], 0, "noise of 1"), partial, task, right))
    cells.append(cell_of((CHOSEN_ON[0], 0, "normal latents"), "of another day", task, right))
    page = render_choices(cells, {"KNN": {name.lower(): 50.0 for name in CHOSEN_ON}})
    full, dashes = " | 100.00" * (len(CHOSEN_ON) + 1), " | –" * len(CHOSEN_ON)
    assert f"| anomalies{full} |" in page
    assert f"| noise of 1 | 100.00{dashes} |" in page
    assert f"| normal latents | –{dashes} |" in page
    assert "| published KNN | 50.00" in page


def test_a_recipe_without_noise_is_written_as_before_there_was_any() -> None:
    """Cells of older tables are found by what they have written."""
    assert "noise" not in settings_of(recipe_of("rows as they are", 0))
    assert '"noise":[0.05,1.0]' in settings_of(recipe_of(RECIPE, 0))
