"""``logdet score``."""

import hashlib
import io
import weakref
from pathlib import Path

import numpy as np
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet
import pytest

from logdet import scoring
from logdet.opening import open_model
from logdet.options import Reference
from service.model import Model
from service.results import Decision, Evaluated
from tests.bundles import NAMES, SITE, calibration_of, exact, ordinary_rows
from tests.terminal import Run, lines
from tests.variants import exact_terms, write_ordered


@pytest.mark.parametrize("kind", [".csv", ".csv.gz", ".parquet", ".npz"])
def test_scores_are_those_of_the_density_whatever_the_order_of_columns(
    run: Run, rows_file: Path, tmp_path: Path, kind: str
) -> None:
    output = tmp_path / f"scored{kind}"
    result = run("score", "gauss", rows_file, "-o", output)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("scored 200 rows into")
    if kind == ".npz":
        with np.load(output) as scored:
            log_prob, tags = scored["log_prob"], scored["tag"].tolist()
    else:
        read = parquet.read_table if kind == ".parquet" else arrow_csv.read_csv
        table = read(output)
        log_prob, tags = table["log_prob"].to_numpy(), table["tag"].to_pylist()
        assert table.column_names[-4:] == ["log_prob", "p_value", "is_anomaly", "status"]
    np.testing.assert_allclose(log_prob, exact(ordinary_rows(200)).log_prob, atol=1e-4)
    assert tags == [f"r{i:03}" for i in range(200)]


def test_the_files_own_columns_come_back_as_they_were(run: Run, tmp_path: Path) -> None:
    text = "tag,pressure,flow,count,site,num\n007,9.50,-3,40,7.1,\nx y,1e1,-3,40,7.1,3\n"
    run("score", "gauss", "-", "-o", tmp_path / "out.csv", stdin=text)
    written = (tmp_path / "out.csv").read_text().splitlines()
    for before, after in zip(text.splitlines(), written, strict=True):
        assert after.startswith(before + ",")


@pytest.mark.parametrize("kind", [".parquet", ".npz"])
def test_numbers_of_a_text_file_are_numbers_in_files_that_have_types(
    run: Run, tmp_path: Path, kind: str
) -> None:
    output = tmp_path / f"scored{kind}"
    text = "tag,pressure,flow,count,site,num\nab,9.50,-3.0,40,7.1,1.20\nc,+8,1e1,41,7.10,\n"
    assert run("score", "gauss", "-", "-o", output, stdin=text).exit_code == 0
    if kind == ".parquet":
        table = parquet.read_table(output)
        types = [str(table[name].type) for name in (*NAMES, "num", "tag")]
        assert types == ["double", "double", "int64", "double", "double", "string"]
        assert table["num"].to_pylist() == [1.2, None]
    else:
        with np.load(output) as scored:
            assert "".join(scored[name].dtype.kind for name in (*NAMES, "num", "tag")) == "ffiffU"


@pytest.mark.parametrize("site", ["7.1000", "", "NA", "true", str(2**53 + 1), "9" * 25])
def test_a_scored_file_can_be_scored_again(run: Run, tmp_path: Path, site: str) -> None:
    first, second = tmp_path / "first.parquet", tmp_path / "second.parquet"
    text = f"pressure,flow,count,site\n36.5600,-3,40,{site}\n"
    assert run("score", "gauss", "-", "-o", first, stdin=text).exit_code == 0
    result = run("score", "gauss", first, "-o", second)
    assert result.exit_code == 0, result.stderr
    before, after = parquet.read_table(first), parquet.read_table(second)
    assert after.schema == before.schema
    assert repr(after.to_pydict()) == repr(before.to_pydict())  # NaN is not equal to itself


@pytest.mark.parametrize("way", ["same", "spelling", "symbolic link", "hard link"])
def test_the_input_is_not_overwritten(
    run: Run, rows_file: Path, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    output = Path("rows.csv" if way == "spelling" else "link.csv")
    if way == "same":
        output = rows_file
    elif way == "symbolic link":
        output.symlink_to(rows_file)
    elif way == "hard link":
        output.hardlink_to(rows_file)
    before = rows_file.read_bytes()
    result = run("score", "gauss", rows_file, "-o", output)
    assert result.exit_code == 1
    assert result.stderr == (
        f"logdet: expected another file than the input {rows_file} as output, got {output}\n"
    )
    assert rows_file.read_bytes() == before


def test_rows_that_have_no_density_keep_their_place(run: Run, tmp_path: Path) -> None:
    text = f"site,count,flow,pressure\n{SITE},40,-3,9\n{SITE},40,-3,\n{SITE},0.5,-3,9\n"
    result = run("score", "gauss", "-", "-o", tmp_path / "out.parquet", stdin=text)
    assert result.exit_code == 0
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table["status"].to_pylist() == ["ok", "non_finite_input", "out_of_support"]
    log_prob, p_value = table["log_prob"].to_numpy(), table["p_value"].to_numpy()
    np.testing.assert_array_equal(np.isfinite(log_prob), [True, False, False])
    assert np.isnan(log_prob[1])
    assert np.isnan(p_value[1])
    assert log_prob[2] == -np.inf
    assert p_value[2] == 0.001
    assert table["is_anomaly"].to_pylist() == [False, None, True]


def test_a_row_without_an_answer_is_neither_an_anomaly_nor_none(run: Run, tmp_path: Path) -> None:
    text = f"site,count,flow,pressure\n{SITE},40,-3,\n{SITE},0.5,-3,9\n"
    for kind in (".csv", ".npz"):
        run("score", "gauss", "-", "-o", tmp_path / f"out{kind}", stdin=text)
    written = (tmp_path / "out.csv").read_text().splitlines()[1:]
    assert [row.split(",")[-2:] for row in written] == [
        ["", "non_finite_input"],
        ["true", "out_of_support"],
    ]
    with np.load(tmp_path / "out.npz") as scored:
        assert scored["is_anomaly"].tolist() == [False, True]
        assert np.isnan(scored["p_value"]).tolist() == [True, False]


def test_no_latents_are_kept_of_rows_that_are_scored(
    bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[weakref.ref[object]] = []
    model = open_model(bundles, Reference("gauss", None), "cpu", "score")
    evaluate = Model.evaluate

    def watched(self: Model, *args: object) -> Evaluated:
        out = evaluate(self, *args)
        alive.append(weakref.ref(out.z))
        return out

    def decide(self: Model, log_prob: np.ndarray, *rates: float | None) -> Decision:
        left.append(sum(z() is not None for z in alive))
        return real_decide(self, log_prob, *rates)

    left: list[int] = []
    real_decide = Model.decide
    monkeypatch.setattr(Model, "evaluate", watched)
    monkeypatch.setattr(Model, "decide", decide)
    monkeypatch.setattr(scoring, "CHUNK_ROWS", 7)
    scoring.score(model, ordinary_rows(50), None)
    assert len(alive) == 8
    assert left == [0, 0]


def test_the_summary_counts_and_shows_the_least_likely_rows(run: Run) -> None:
    x = ordinary_rows(60)
    x[7, 0] = 60.0
    x[20, 1] = np.nan
    x[30, 2] = -1.0
    text = io.StringIO()
    np.savetxt(text, x, delimiter=",", header=",".join(NAMES), comments="", fmt="%.17g")
    result = run("score", "gauss", "-", "--alpha", "0.01", stdin=text.getvalue())
    shown = result.stdout
    keep = np.setdiff1d(np.arange(60), [20, 30])
    mean = exact(x[keep]).log_prob.mean()
    assert float(shown.split("mean log_prob")[1].split()[0]) == pytest.approx(mean, abs=1e-3)
    assert "status         ok 58, non_finite_input 1, out_of_support 1" in shown
    assert "at alpha 0.01" in shown
    places = [row[:2] for row in lines(shown.split("\n\n")[1])[1:]]
    assert places[:2] == [["line", "32"], ["line", "9"]]
    assert len(places) == 5
    assert ["line", "22"] not in places


def test_the_summary_ends_with_the_facts_where_no_row_has_a_density(run: Run) -> None:
    result = run("score", "gauss", "-", stdin=f"site,count,flow,pressure\n{SITE},40,-3,\n")
    assert "mean log_prob  none, as no row is ok" in result.stdout
    assert "least likely" not in result.stdout
    assert "threshold" in result.stdout.splitlines()[-1]


def anomalous() -> str:
    """CSV of 200 rows of which 20 are anomalies."""
    x = ordinary_rows(200)
    x[::10, :2] += 40.0
    text = io.StringIO()
    np.savetxt(text, x, delimiter=",", header=",".join(NAMES), comments="", fmt="%.17g")
    return text.getvalue()


def test_an_fdr_judges_the_whole_file_whatever_its_chunks(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "CHUNK_ROWS", 7)
    output = tmp_path / "out.parquet"
    written = run("score", "gauss", "-", "--fdr", "0.1", "-o", output, stdin=anomalous())
    table = parquet.read_table(output)
    p_value, is_anomaly = table["p_value"].to_numpy(), table["is_anomaly"].to_numpy()
    level = is_anomaly.sum() * 0.1 / 200
    np.testing.assert_array_equal(is_anomaly, p_value <= level)
    assert is_anomaly[::10].all()
    count = int(is_anomaly.sum())
    assert f"{count} anomalies at fdr 0.1, alpha {level:g}, threshold -" in written.stdout


def test_what_an_auditor_needs_is_told(run: Run, bundles: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256((bundles / "gauss/2/calibration.npz").read_bytes()).hexdigest()
    threshold = calibration_of().threshold(0.05)
    command = ("score", "gauss", "-", "--alpha", "0.05")
    shown = dict(
        line.split(maxsplit=1) for line in run(*command, stdin=anomalous()).stdout.splitlines()[:7]
    )
    assert shown["model"] == "gauss/2"
    assert shown["anomalies"].endswith(" at alpha 0.05")
    assert shown["calibration"] == digest
    assert shown["threshold"] == f"{threshold:.4f} nats"
    written = run(*command, "-o", tmp_path / "out.csv", stdin=anomalous()).stdout
    assert written.endswith(
        f" at alpha 0.05, threshold {threshold:.4f} nats, by gauss/2, calibration {digest}\n"
    )


def test_an_fdr_that_finds_nothing_has_no_threshold(run: Run) -> None:
    text = f"site,count,flow,pressure\n{SITE},40,-3,9\n"
    shown = run("score", "gauss", "-", "--fdr", "0.05", stdin=text).stdout
    assert "anomalies      0 at fdr 0.05\n" in shown
    assert "threshold      none\n" in shown


def test_alpha_and_fdr_exclude_each_other(run: Run, rows_file: Path) -> None:
    result = run("score", "gauss", rows_file, "--alpha", "0.05", "--fdr", "0.1")
    assert result.exit_code == 1
    assert result.stderr == (
        "logdet: expected alpha (accepted rate of false alarms) or fdr (accepted share of false "
        "alarms among the anomalies), got both: alpha 0.05 and fdr 0.1\n"
    )


def test_columns_that_are_lacking_are_named(run: Run) -> None:
    result = run("score", "gauss", "-", stdin="pressure,flows,count\n1,2,3\n")
    assert result.exit_code == 1
    assert result.stderr == (
        "logdet: standard input has no column flow, site; gauss needs pressure, flow, count, "
        "site, the file has pressure, flows, count\n"
    )


def test_text_in_a_column_of_the_model_is_refused_and_elsewhere_is_not(run: Run) -> None:
    text = "note,pressure,flow,count,site\nabc,9,-3,40,7.1\n"
    assert run("score", "gauss", "-", stdin=text).exit_code == 0
    result = run("score", "gauss", "-", stdin=text.replace("-3", "low"))
    assert result.exit_code == 1
    assert "line 2 column 'flow' holds 'low'" in result.stderr


def test_an_empty_standard_input_is_refused(run: Run) -> None:
    assert "standard input is empty" in run("score", "gauss", "-", stdin="").stderr
    header = ",".join(NAMES) + "\n"
    assert "standard input has no rows" in run("score", "gauss", "-", stdin=header).stderr


def test_scores_do_not_depend_on_chunks(
    run: Run, rows_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("score", "gauss", rows_file, "-o", tmp_path / "whole.parquet")
    monkeypatch.setattr(scoring, "CHUNK_ROWS", 7)
    run("score", "gauss", rows_file, "-o", tmp_path / "cut.parquet")
    whole, cut = (parquet.read_table(tmp_path / f"{n}.parquet") for n in ("whole", "cut"))
    np.testing.assert_allclose(cut["log_prob"], whole["log_prob"], atol=1e-5)
    assert cut["status"].equals(whole["status"])


def test_terms_of_a_model_that_has_them_sum_to_log_prob(
    run: Run, bundles: Path, rows_file: Path, tmp_path: Path
) -> None:
    write_ordered(bundles)
    out = tmp_path / "terms.parquet"
    result = run("score", "ordered", rows_file, "--terms", "-o", out)
    assert result.exit_code == 0, result.stderr
    table = parquet.read_table(out)
    x = np.stack([table[name].to_numpy() for name in NAMES], axis=1)
    terms = np.stack([table[f"log_prob_{name}"].to_numpy() for name in NAMES], axis=1)
    np.testing.assert_allclose(terms, exact_terms(x), atol=1e-4)
    np.testing.assert_allclose(terms.sum(axis=1), table["log_prob"].to_numpy(), atol=1e-4)


def test_terms_need_a_model_that_has_them_and_a_file_to_stand_in(
    run: Run, rows_file: Path, tmp_path: Path
) -> None:
    lacking = run("score", "gauss", rows_file, "--terms", "-o", tmp_path / "terms.csv")
    assert lacking.exit_code == 1
    assert "expected a model with feature_log_prob for --terms, got gauss" in lacking.stderr
    nowhere = run("score", "gauss", rows_file, "--terms")
    assert "expected -o FILE" in nowhere.stderr
