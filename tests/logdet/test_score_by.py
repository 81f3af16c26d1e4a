"""Commands and scores beside the log-density: calibrate, score --by, evaluate."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pytest
import scipy.stats
from sklearn.metrics import average_precision_score, roc_auc_score

from exported.bundle import Bundle, read_bundle
from logdet.calibrating import _that_count
from logdet.errors import UserError
from logdet.every_score import every_score
from logdet.files import write_table
from service.model import Model
from service.results import OK, Evaluated
from service.runtime import Runtime
from tests.bundles import MEAN, NAMES, exact, ordinary_rows, write_gaussian
from tests.latents import write_each_kind
from tests.linear_gaussian import rows as latent_rows
from tests.scored import BESIDE, ELSEWHERE, NAMED, truth, write_scored
from tests.terminal import Run
from tests.variants import write_ordered

ROWS = 500


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    return write(tmp_path / "fresh.csv", ordinary_rows(ROWS, seed=7))


@pytest.fixture
def scored(bundles: Path) -> Path:
    write_scored(bundles)
    return bundles


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Of which the last tenth is moved, the first has no label and the second no answer."""
    x = ordinary_rows(ROWS, seed=8)
    x[-50:, :2] += 3.0
    x[1, 0] = np.nan
    state = np.array(["", *["fine"] * (ROWS - 51), *["worn"] * 50])
    return write(tmp_path / "labelled.csv", x, state=state, broken=(state == "worn") * 1)


def write(path: Path, x: np.ndarray, **more: np.ndarray) -> Path:
    write_table(path, dict(zip(NAMES, x.T, strict=True)) | more)
    return path


def published(root: Path, name: str, version: int) -> Bundle:
    return read_bundle(root / name / str(version))


def refused(run: Run, *args: object) -> str:
    result = run(*args)
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    return str(result.stderr)


def test_every_score_is_calibrated_on_fresh_rows(run: Run, scored: Path, fresh: Path) -> None:
    assert run("calibrate", "scored", "--data", fresh).exit_code == 0
    before, after = published(scored, "scored", 1), published(scored, "scored", 2)
    x = ordinary_rows(ROWS, seed=7)
    calibrations = after.calibrations()
    assert list(calibrations) == list(NAMED)
    for name, values in truth(x).items():
        found = calibrations[name].scores
        np.testing.assert_allclose(found, np.sort(values), rtol=1e-5, atol=1e-3)
    kept, made = before.scorer().reference, after.scorer().reference
    assert kept is not None
    assert made is not None
    assert made.mean_log_prob == kept.mean_log_prob
    for name, values in kept.scores.items():
        np.testing.assert_array_equal(made.scores[name], values)
    assert after.graph("background") == before.graph("background")
    summary = after.manifest.calibration
    assert summary.scores["typicality"]["0.5"] == np.quantile(
        calibrations["typicality"].scores, 0.5
    )
    assert run("verify", "scored").exit_code == 0


def test_what_changed_of_each_score_is_told_after_one_run_of_each_row(
    run: Run, scored: Path, fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, evaluate = [], Model.evaluate

    def counted(self: Model, x: np.ndarray, *rest: Any) -> Any:
        seen.append(len(x))
        return evaluate(self, x, *rest)

    monkeypatch.setattr(Model, "evaluate", counted)
    shown = run("calibrate", "scored", "--data", fresh).stdout
    assert sum(seen) == ROWS
    lines = [re.split(r"  +", line) for line in shown.splitlines()]
    told = {line[0]: line[1:] for line in lines}
    old, new = (published(scored, "scored", v).calibrations() for v in (1, 2))
    for name in BESIDE:
        cells = [f"{known[name].threshold(0.01):.4f}" for known in (old, new)]
        assert [cell.split()[0] for cell in told[f"threshold of {name}"]] == cells
        apart = scipy.stats.ks_2samp(new[name].scores, old[name].scores).statistic
        assert told[f"KS distance of {name} from version 1"][0].startswith(f"{apart:.4f}, p ")


def test_rows_that_are_trimmed_are_missing_from_every_score(
    run: Run, scored: Path, fresh: Path
) -> None:
    run("calibrate", "scored", "--data", fresh, "--trim", "0.1")
    calibrations = published(scored, "scored", 2).calibrations()
    assert {len(one.scores) for one in calibrations.values()} == {450}
    x = ordinary_rows(ROWS, seed=7)
    kept = np.sort(np.argsort(exact(x).log_prob, kind="stable")[50:])
    expected = np.sort(truth(x[kept])["latent_norm"])
    np.testing.assert_allclose(calibrations["latent_norm"].scores, expected, atol=1e-3)


def test_a_background_gives_a_bundle_another_score(run: Run, bundles: Path, fresh: Path) -> None:
    write_gaussian(bundles, "wide", mean=ELSEWHERE)
    made = run("calibrate", "gauss", "--data", fresh, "--background", "wide/1")
    assert made.exit_code == 0, made.stderr
    bundle = published(bundles, "gauss", 3)
    assert list(bundle.calibrations()) == ["log_prob", "likelihood_ratio"]
    assert bundle.manifest.background.model_dump() == {"name": "wide", "version": 1}
    x = ordinary_rows(ROWS, seed=7)
    ratio = np.sort(exact(x).log_prob - exact(x, ELSEWHERE).log_prob)
    found = bundle.calibrations()["likelihood_ratio"].scores
    np.testing.assert_allclose(found, ratio, atol=1e-3)
    shown = run("verify", "gauss")
    assert shown.exit_code == 0, shown.stderr
    assert "background" in shown.stdout
    by = run("score", "gauss", fresh, "--by", "likelihood_ratio")
    assert by.exit_code == 0, by.stderr
    threshold = bundle.calibrations()["likelihood_ratio"].threshold(0.01)
    assert f"{threshold:.4f} nats" in by.stdout
    again = run("calibrate", "gauss", "--data", fresh, "--background", "wide/1")
    assert again.exit_code == 0
    first, second = (published(bundles, "gauss", v).contents for v in (3, 4))
    assert first == second  # its own background gives what the one beside it gave


def test_rows_without_a_background_calibrate_every_score(scored: Path) -> None:
    """The service scores them, so the calibration has them: the guarantee is of both alike."""
    model = Model.load(scored / "scored" / "1", Runtime.choose("cpu", sessions=1))
    lost = np.arange(ROWS) % 7 == 0

    class Background:
        def evaluate(self, x: np.ndarray, context: object) -> Evaluated:
            whole = model.evaluate(x)
            return whole._replace(log_prob=np.where(lost, np.nan, whole.log_prob + 1.0))

    found = every_score(model, ordinary_rows(ROWS, seed=7), None, Background())  # type: ignore[arg-type]
    assert (found.status == OK).all()
    kept = _that_count(found, model.manifest)
    assert {len(values) for values in kept.values()} == {ROWS}
    assert np.isfinite(kept["log_prob"]).all()
    np.testing.assert_allclose(kept["likelihood_ratio"], np.where(lost, -np.inf, -1.0), atol=1e-5)
    lost[:] = True
    none = every_score(model, ordinary_rows(ROWS), None, Background())  # type: ignore[arg-type]
    with pytest.raises(UserError, match="expected rows that have a likelihood_ratio"):
        _that_count(none, model.manifest)


def test_a_background_of_other_rows_is_refused(run: Run, bundles: Path, fresh: Path) -> None:
    write_each_kind(bundles)
    background = ("calibrate", "gauss", "--data", fresh, "--background")
    assert "expected another flow than gauss/2 as background" in refused(run, *background, "gauss")
    assert "expected a model with the operation expectation" in refused(run, *background, "vae")
    assert not (bundles / "gauss" / "3").exists()


@pytest.mark.parametrize("by", BESIDE)
def test_a_score_decides_and_stands_beside_log_prob(
    run: Run, scored: Path, fresh: Path, tmp_path: Path, by: str
) -> None:
    out = tmp_path / "out.csv"
    done = run("score", "scored", fresh, "--by", by, "--alpha", "0.05", "-o", out)
    assert done.exit_code == 0, done.stderr
    calibration = published(scored, "scored", 1).calibrations()[by]
    assert f" of {by}, by scored/1" in done.stdout
    table = pyarrow.csv.read_csv(out)
    assert table.column_names[4:] == ["log_prob", "score", "p_value", "is_anomaly", "status"]
    values, p_value = table["score"].to_numpy(), table["p_value"].to_numpy()
    np.testing.assert_allclose(p_value, calibration.p_value(values), atol=1.5e-3)
    is_anomaly = np.array(table["is_anomaly"].to_pylist())
    np.testing.assert_array_equal(is_anomaly, p_value <= 0.05)
    if by in truth(ordinary_rows(1)):
        expected = truth(ordinary_rows(ROWS, seed=7))[by]
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-3)


def test_by_log_prob_is_what_is_done_anyway(run: Run, fresh: Path, tmp_path: Path) -> None:
    outs = [tmp_path / "plain.csv", tmp_path / "by.csv"]
    run("score", "gauss", fresh, "-o", outs[0])
    run("score", "gauss", fresh, "--by", "log_prob", "-o", outs[1])
    assert outs[0].read_text() == outs[1].read_text()


def test_by_log_prob_goes_with_terms_and_nearest_rows(
    run: Run, bundles: Path, fresh: Path, tmp_path: Path
) -> None:
    write_ordered(bundles)
    outs = [tmp_path / "plain.csv", tmp_path / "by.csv"]
    for out, by in zip(outs, ((), ("--by", "log_prob")), strict=True):
        done = run("score", "ordered", fresh, "--terms", "--nearest", *by, "-o", out)
        assert done.exit_code == 0, done.stderr
    assert outs[0].read_text() == outs[1].read_text()


def test_a_vae_takes_its_own_score(run: Run, bundles: Path, tmp_path: Path) -> None:
    write_each_kind(bundles)
    rows = write(tmp_path / "latent.csv", latent_rows(9))
    for name in ("vae", "auto"):
        outs = [tmp_path / f"{name}.csv", tmp_path / f"{name}_by.csv"]
        run("score", name, rows, "-o", outs[0])
        done = run("score", name, rows, "--by", "score", "-o", outs[1])
        assert done.exit_code == 0, done.stderr
        assert outs[0].read_text() == outs[1].read_text()


def test_reasons_are_those_of_log_prob_whichever_score_decides(
    run: Run, bundles: Path, fresh: Path, tmp_path: Path
) -> None:
    write_scored(bundles)
    asked = ("score", "scored", fresh, "--explain")
    tables = []
    for number, by in enumerate(((), ("--by", "typicality"))):
        out = tmp_path / f"{number}.csv"
        done = run(*asked, *by, "-o", out)
        assert done.exit_code == 0, done.stderr
        tables.append(pyarrow.csv.read_csv(out))
    for name in NAMES:
        plain, by_other = (table[f"contribution_{name}"].to_numpy() for table in tables)
        np.testing.assert_array_equal(plain, by_other)
    assert "because of log_prob (nats)" in run(*asked, "--by", "typicality").stdout


def test_a_score_that_is_not_there_is_refused(
    run: Run, bundles: Path, fresh: Path, tmp_path: Path
) -> None:
    write_each_kind(bundles)
    told = refused(run, "score", "gauss", fresh, "--by", "typicality")
    assert told.endswith("one of the scores of gauss (log_prob), got typicality\n")
    latent = write(tmp_path / "latent.csv", latent_rows(9))
    told = refused(run, "score", "vae", latent, "--by", "typicality")
    assert "one of the scores of vae (score), got typicality" in told
    out = ("-o", tmp_path / "out.csv")
    both = refused(run, "score", "gauss", fresh, "--by", "combined", "--terms", *out)
    assert "expected --terms with log_prob, got it with --by combined" in both


def test_every_score_is_held_against_labels(run: Run, scored: Path, labelled: Path) -> None:
    args = ("evaluate", "scored", "--data", labelled, "--label", "state", "--positive", "worn")
    told = json.loads(run(*args, "--json").stdout)
    x = ordinary_rows(ROWS, seed=8)
    x[-50:, :2] += 3.0
    x, worn = x[2:], np.arange(2, ROWS) >= ROWS - 50
    assert (told["positive"], told["negative"], told["left_out"]) == (50, ROWS - 52, 2)
    calibrations = published(scored, "scored", 1).calibrations()
    for name, values in truth(x).items():
        one = told["scores"][name]
        assert one["auroc"]["value"] == pytest.approx(roc_auc_score(worn, -values), abs=1e-3)
        precision = average_precision_score(worn, -values)
        assert one["average_precision"]["value"] == pytest.approx(precision, abs=1e-2)
        flagged = calibrations[name].p_value(values) <= 0.05
        at = one["decided"][1]
        assert at["power"] == pytest.approx(flagged[worn].mean(), abs=0.02)
        assert at["false_alarms"] == pytest.approx(flagged[~worn].mean(), abs=0.005)
    areas = {name: one["auroc"]["value"] for name, one in told["scores"].items()}
    assert told["best"] == max(areas, key=areas.__getitem__)
    shown = run(*args).stdout
    assert "scored/1: 50 positive and 448 negative rows, 2 left out" in shown
    # Of a Gaussian with constant volume the norm of the latent ranks as the density does.
    assert areas["latent_norm"] == areas["log_prob"]
    assert shown.endswith("\nnone separates better than log_prob\n")


def test_a_better_score_is_told_with_its_gain(
    run: Run, bundles: Path, fresh: Path, tmp_path: Path
) -> None:
    """Anomalies likelier than usual: the constant-image effect in three dimensions."""
    write_scored(bundles)
    x = ordinary_rows(ROWS, seed=8)
    x[-50:, :3] = MEAN + np.random.default_rng(0).normal(0.0, 0.01, (50, 3))
    x[:, 2] = np.round(x[:, 2])
    data = write(tmp_path / "likely.csv", x, broken=(np.arange(ROWS) >= ROWS - 50) * 1)
    shown = run("evaluate", "scored", "--data", data, "--label", "broken").stdout
    assert "over log_prob, which is beyond its error" in shown
    rows = {line.split()[0]: line.split() for line in shown.split("\n\n")[0].splitlines()}
    assert float(rows["log_prob"][1]) < 0.2
    assert float(rows["typicality"][1]) > 0.7


def test_a_tie_is_no_win(run: Run, scored: Path, tmp_path: Path) -> None:
    x = ordinary_rows(ROWS, seed=8)
    x[-50:, :2] += 400.0
    broken = (np.arange(ROWS) >= ROWS - 50) * 1
    data = write(tmp_path / "clear.csv", x, broken=broken)
    done = run("evaluate", "scored", "--data", data, "--label", "broken")
    assert done.stdout.endswith("\nnone separates better than log_prob\n"), done.stdout
    assert done.stderr == ""


def test_a_label_that_the_model_has_seen_is_told(run: Run, tmp_path: Path) -> None:
    x = ordinary_rows(9)
    x[:3, 2] = 1.0
    data = write(tmp_path / "seen.csv", x)
    done = run("evaluate", "gauss", "--data", data, "--label", "count", "--positive", "1")
    assert done.exit_code == 0, done.stderr
    told = "logdet: count is a column of gauss/2: its scores are made with the label\n"
    assert done.stderr == told


def test_labels_are_understood_and_refused(run: Run, labelled: Path, tmp_path: Path) -> None:
    args = ("evaluate", "gauss", "--data", labelled, "--label")
    plain = run(*args, "broken")
    assert plain.exit_code == 0, plain.stderr
    assert "50 positive and 449 negative rows, 1 left out\nlog_prob is its only score" in (
        plain.stdout
    )
    assert run(*args, "broken", "--positive", "1.0").stdout == plain.stdout
    assert "say which value is positive with --positive VALUE" in refused(run, *args, "state")
    assert "has no column stat; it has pressure" in refused(run, *args, "stat")
    assert "no row of labelled.csv has 'bad' as state" in refused(
        run, *args, "state", "--positive", "bad"
    )
    few = write(tmp_path / "few.csv", ordinary_rows(9), broken=np.arange(9) == 3)
    told = refused(run, "evaluate", "gauss", "--data", few, "--label", "broken")
    assert "expected at least 2 positive and 2 negative rows, got 1 and 8" in told


def test_an_autoencoder_is_evaluated_by_its_error(run: Run, bundles: Path, tmp_path: Path) -> None:
    write_each_kind(bundles)
    x = latent_rows(60)
    x[40:] += 9.0
    data = write(tmp_path / "latent.csv", x, broken=np.arange(60) >= 40)
    told = json.loads(
        run("evaluate", "auto", "--data", data, "--label", "broken", "--json").stdout
    )
    assert list(told["scores"]) == ["score"]


def test_reasons_are_of_the_log_density_whatever_decides(
    run: Run, scored: Path, fresh: Path, tmp_path: Path
) -> None:
    told = []
    for options in ((), ("--by", "typicality")):
        output = tmp_path / "why.csv"
        result = run("score", "scored", fresh, "-o", output, "--explain", *options)
        assert result.exit_code == 0, result.stderr
        table = pyarrow.csv.read_csv(output)
        told.append([table.column(f"contribution_{name}").to_numpy() for name in NAMES])
    np.testing.assert_array_equal(*told)
