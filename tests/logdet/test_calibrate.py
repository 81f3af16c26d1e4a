"""``logdet calibrate``: the numbers are those of ``logdet score``, the graphs those before."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest

from exported.bundle import Bundle, read_bundle, write_bundle
from exported.origin import rows_sha256
from logdet.files import write_table
from tests.bundles import NAMES, SITE, exact, ordinary_rows
from tests.latents import write_each_kind
from tests.linear_gaussian import rows as latent_rows
from tests.terminal import Run
from tests.variants import CONTEXT, contexts, rows_given, write_conditional, write_stepped

ROWS = 500


def published(bundles: Path, name: str, version: int) -> Bundle:
    return read_bundle(bundles / name / str(version))


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """Rows like those of the bundle ``gauss``, columns in another order, one unknown."""
    return write(tmp_path / "fresh.csv", ordinary_rows(ROWS, seed=7)[:, ::-1], NAMES[::-1])


def write(path: Path, rows: np.ndarray, names: tuple[str, ...] = NAMES) -> Path:
    write_table(path, {"tag": np.arange(len(rows)), **dict(zip(names, rows.T, strict=True))})
    return path


def refused(run: Run, *args: object) -> str:
    """The one sentence with which nothing was published."""
    result = run("calibrate", *args)
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_fresh_rows_become_the_calibration_of_the_next_version(
    run: Run, bundles: Path, fresh: Path
) -> None:
    result = run("calibrate", "gauss/1", "--data", fresh)
    assert result.exit_code == 0, result.stderr
    before, after = published(bundles, "gauss", 1), published(bundles, "gauss", 3)
    file = after.manifest.calibration.artifact.file
    assert set(after.contents) == set(before.contents)
    for name, content in before.contents.items():
        assert (after.contents[name] == content) == (name != file)
    truth = np.sort(exact(ordinary_rows(ROWS, seed=7)).log_prob)
    np.testing.assert_allclose(after.calibration().scores, truth, atol=1e-4)
    source = after.manifest.calibration.source
    assert source is not None
    assert (source.version, source.data_name) == (1, "fresh.csv")
    assert source.rows == {
        "ok": ROWS,
        "non_finite_input": 0,
        "out_of_support": 0,
        "not_converged": 0,
    }
    assert after.manifest.provenance == before.manifest.provenance
    assert run("verify", "gauss").exit_code == 0


def test_what_changed_is_told(run: Run, bundles: Path, fresh: Path) -> None:
    shown = run("calibrate", "gauss", "--data", fresh).stdout
    old, new = (published(bundles, "gauss", v).calibration() for v in (2, 3))
    assert f"calibrated gauss/3 in {bundles / 'gauss' / '3'}\n" in shown
    assert "before (2)" in shown
    told = {line.split("  ")[0].strip(): line.split() for line in shown.splitlines()}
    assert told["calibration rows"][2:] == ["999", "500"]
    assert told["smallest alpha"][2:] == ["0.001", "0.002"]
    thresholds = [f"{scores.threshold(0.01):.4f}" for scores in (old, new)]
    assert told["threshold at that alpha"][4::2] == thresholds
    assert float(told["KS distance from version 2"][5].rstrip(",")) < 0.1


def test_scores_are_those_of_logdet_score_in_every_kind(
    run: Run, bundles: Path, tmp_path: Path
) -> None:
    write_each_kind(bundles)
    write_conditional(bundles)
    write_stepped(bundles)
    context = contexts(60)
    given = np.hstack([rows_given(context), context])
    files = {
        "given": write(tmp_path / "given.parquet", given, (*NAMES, *CONTEXT)),
        "stepped": write(tmp_path / "plain.parquet", ordinary_rows(60)),
    }
    latent = _latent_file(tmp_path)
    files |= dict.fromkeys(("vae", "plain", "auto"), latent)
    for name, file in files.items():
        made = run("calibrate", name, "--data", file)
        assert made.exit_code == 0, made.stderr
        scored = tmp_path / f"{name}_scored.parquet"
        run("score", f"{name}/1", file, "-o", scored)
        after = published(bundles, name, 2)
        column = parquet.read_table(scored)[after.manifest.SCORES]
        np.testing.assert_array_equal(after.calibration().scores, np.sort(column.to_numpy()))
        assert ("deviations" in made.stdout) == (name == "auto")


def test_rows_without_an_answer_are_left_out_and_rows_out_of_support_are_the_lowest(
    run: Run, bundles: Path, tmp_path: Path
) -> None:
    x = ordinary_rows(20)
    x[3, 0], x[4, 1], x[5, 2], x[6, 3] = np.nan, np.inf, 0.5, SITE + 1
    made = run("calibrate", "gauss", "--data", write(tmp_path / "odd.parquet", x))
    assert "rows given                  ok 16, non_finite_input 2, out_of_support 2\n" in (
        made.stdout
    )
    after = published(bundles, "gauss", 3)
    scores = after.calibration().scores
    assert (len(scores), after.manifest.calibration.rows) == (18, 18)
    assert np.isneginf(scores).sum() == 2


def test_latents_of_all_rows_in_support_are_told_of(
    run: Run, bundles: Path, tmp_path: Path
) -> None:
    x = ordinary_rows(40, seed=7)
    x[3, 0], x[6, 3] = np.nan, SITE + 1
    data = write(tmp_path / "odd.parquet", x)
    assert run("calibrate", "gauss", "--data", data, "--trim", 0.2).exit_code == 0
    after = published(bundles, "gauss", 3)
    z = np.clip(exact(np.delete(x, [3, 6], axis=0)).z, -3.0, 3.0)
    latents = after.latents()
    assert latents is not None
    assert latents.rows == after.manifest.calibration.latent_rows == 38
    np.testing.assert_allclose(
        latents.sums, [(z**k).sum(axis=0) for k in (1, 2, 4)], rtol=1e-4, atol=1e-4
    )
    write_each_kind(bundles)
    assert run("calibrate", "vae", "--data", _latent_file(tmp_path)).exit_code == 0
    assert published(bundles, "vae", 2).latents() is None


def _latent_file(folder: Path) -> Path:
    return write(folder / "latent.parquet", latent_rows(60))


def test_the_lowest_share_is_trimmed_and_told(run: Run, bundles: Path, fresh: Path) -> None:
    made = run("calibrate", "gauss", "--data", fresh, "--trim", 0.1)
    trimmed = published(bundles, "gauss", 3).manifest.calibration.trimmed
    truth = np.sort(exact(ordinary_rows(ROWS, seed=7)).log_prob)
    assert trimmed is not None
    assert (trimmed.share, trimmed.rows) == (0.1, 50)
    assert trimmed.cut == pytest.approx(truth[50], abs=1e-4)
    assert f"50 of the lowest, the lowest left: {trimmed.cut:.4f} nats" in made.stdout
    assert made.stderr == ""  # all rows are compared with the version before
    again = run("calibrate", "gauss", "--data", fresh)
    assert again.stderr == ""  # as trimmed as that was
    assert "0.0000, p 1\n" in again.stdout


def test_rows_that_have_moved_are_warned_of(run: Run, tmp_path: Path) -> None:
    x = ordinary_rows(ROWS, seed=7)
    x[:, 0] += 3.0
    result = run("calibrate", "gauss", "--data", write(tmp_path / "moved.csv", x))
    assert result.exit_code == 0
    assert result.stderr.startswith(
        "logdet: these rows are not scored like those that calibrated gauss/2 (KS 0."
    )


def test_the_rows_of_the_training_are_refused(
    run: Run, bundles: Path, tmp_path: Path, fresh: Path
) -> None:
    bundle, x = published(bundles, "gauss", 2), ordinary_rows(ROWS, seed=7)
    digest = rows_sha256(NAMES[::-1], x[:, ::-1])
    provenance = bundle.manifest.provenance.model_copy(update={"data_sha256": digest})
    changed = bundle.manifest.model_copy(update={"version": 3, "provenance": provenance})
    write_bundle(bundles, changed, bundle.contents)
    words = refused(run, "gauss", "--data", fresh)
    assert "took no part in the training of gauss, got fresh.csv, the rows that it was" in words
    assert not (bundles / "gauss" / "4").exists()
    others = write(tmp_path / "others.csv", x[1:])
    assert run("calibrate", "gauss", "--data", others).exit_code == 0


def test_files_that_cannot_calibrate_are_refused(run: Run, bundles: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.csv"
    empty.write_text(",".join(NAMES) + "\n")
    assert "empty.csv has no rows" in refused(run, "gauss", "--data", empty)
    x = ordinary_rows(5)
    lacking = write(tmp_path / "lacking.csv", x[:, :2], NAMES[:2])
    assert "has no column count, site; gauss needs" in refused(run, "gauss", "--data", lacking)
    x[:4, 3], x[4, 0] = 0.0, np.nan
    outside = write(tmp_path / "outside.csv", x)
    assert refused(run, "gauss", "--data", outside) == (
        "logdet: expected rows in the support of gauss to calibrate it with, got 5: "
        "non_finite_input 1, out_of_support 4\n"
    )
    assert run("calibrate", "gauss", "--data", outside, "--trim", 0.5).exit_code == 2
    assert not (bundles / "gauss" / "3").exists()


def test_few_rows_raise_the_smallest_alpha(run: Run, tmp_path: Path) -> None:
    made = run("calibrate", "gauss", "--data", write(tmp_path / "few.csv", ordinary_rows(9)))
    told = {line.split("  ")[0]: line.split() for line in made.stdout.splitlines()}
    assert told["smallest alpha"][2:] == ["0.001", "0.1"]
    assert told["alpha by default"][3:] == ["0.01", "0.1"]
