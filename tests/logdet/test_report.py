"""``logdet report``: the page tells what ``logdet score`` and ``logdet evaluate`` do."""

from __future__ import annotations

import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest
import scipy.stats

from exported.calibration import Calibration
from logdet.files import write_table
from logdet.report.expected import alarms
from service.drift.windows import BLOCK_ROWS
from tests.bundles import CALIBRATION_ROWS, NAMES, ordinary_rows
from tests.latents import write_each_kind
from tests.linear_gaussian import rows as latent_rows
from tests.scored import NAMED, write_scored
from tests.terminal import Run

ROWS, MOVED = 900, 45


class Text(HTMLParser):
    """Words of a page by the section that they are in."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.sections: dict[str, str] = {}
        self.tags: list[str] = []
        self._section = "top"
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "section":
            self._section = dict(attrs)["id"] or ""

    def handle_data(self, data: str) -> None:
        self.sections[self._section] = self.sections.get(self._section, "") + f"{data}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Of which the last are moved, one has no answer and one is out of support."""
    x = ordinary_rows(ROWS, seed=8)
    x[-MOVED:, :2] += 4.0
    x[1, 0], x[2, 2] = np.nan, 0.5
    path = tmp_path / "rows.csv"
    known = {"broken": (np.arange(ROWS) >= ROWS - MOVED).astype(int)}
    keys = {"id": [f"r{i}" for i in range(ROWS)]}
    write_table(path, keys | dict(zip(NAMES, x.T, strict=True)) | known)
    return path


def made(run: Run, file: Path, *options: object, model: str = "gauss") -> str:
    page = file.with_suffix(".html")
    result = run("report", model, file, "-o", page, *options)
    assert result.exit_code == 0, result.stderr
    return page.read_text()


def refused(run: Run, *args: object) -> str:
    result = run("report", *args)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.mark.parametrize(("options", "asked"), [([], "alpha 0.01"), (["--fdr", "0.1"], "fdr 0.1")])
def test_the_numbers_are_those_of_score(
    run: Run, file: Path, options: list[str], asked: str
) -> None:
    text = Text(made(run, file, *options, "--rows", 7)).sections
    output = file.with_name("scored.csv")
    told = run("score", "gauss", file, "-o", output, *options).stdout
    scored = pyarrow.csv.read_csv(output)
    anomalies = sum(filter(None, scored.column("is_anomaly").to_pylist()))
    assert f"{anomalies}\n of 900 rows are anomalies at {asked}" in text["top"]
    assert f"({100 * anomalies / ROWS:.2f} %)." in text["top"]
    threshold = re.search(r"threshold (\S+)", told)
    assert threshold is not None
    assert f"\n{float(threshold[1].rstrip(',')):.4f}\n" in text["facts"]
    order = np.argsort(scored.column("log_prob").to_numpy(), kind="stable")[:7]
    shown = re.findall(r"^([\d,]+)\nid r(\d+)$", text["rows"], re.MULTILINE)
    assert shown == [(f"{row + 1:,}", str(row)) for row in order.tolist()]
    for row in order[1:].tolist():
        assert (
            f"\n{scored.column('log_prob')[row].as_py():.6g}\n".replace("-", "−") in text["rows"]
        )


def test_reasons_and_changes_are_those_of_score(run: Run, file: Path) -> None:
    told = Text(made(run, file, "--rows", 1 + 1)).sections["rows"]
    output = file.with_name("scored.csv")
    assert run("score", "gauss", file, "-o", output, "--explain", "--nearest").exit_code == 0
    scored = pyarrow.csv.read_csv(output)
    worst = int(np.argsort(scored.column("log_prob").to_numpy(), kind="stable")[1])
    for name in NAMES[:3]:
        nats = scored.column(f"contribution_{name}")[worst].as_py()
        assert (f"\n−{-nats:.3g}\n" in told) == (nats < 0.0)
        after = scored.column(f"nearest_{name}")[worst].as_py()
        assert f"→ {after:,.4g}\n".replace("-", "−") in told


def test_an_auditor_finds_what_was_decided_by_what(run: Run, file: Path) -> None:
    facts = Text(made(run, file, "--alpha", 0.05)).sections["facts"]
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert f"rows.csv, {file.stat().st_size / 1024:.0f} KiB, SHA-256 {digest}" in facts
    manifest = json.loads((file.parent / "bundles/gauss/2/manifest.json").read_text())
    assert f"999 rows, SHA-256 {manifest['calibration']['artifact']['sha256']}" in facts
    assert "gauss/2" in facts
    assert "ok 898, non_finite_input 1, out_of_support 1" in facts


def test_labels_are_judged_as_by_evaluate(run: Run, file: Path, bundles: Path) -> None:
    write_scored(bundles)
    page = Text(made(run, file, "--label", "broken", "--by", "typicality", model="scored"))
    told = json.loads(
        run("evaluate", "scored", "--data", file, "--label", "broken", "--json").stdout
    )
    for name in NAMED:
        found = told["scores"][name]
        for statistic in ("auroc", "average_precision"):
            error = found[statistic]["standard_error"]
            assert f"{found[statistic]['value']:.4f} ± {error:.4f}" in page.sections["labels"]
    assert "\ntypicality\n" in page.sections["facts"]


def test_files_longer_than_a_block_have_the_scores_of_one_piece(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = ordinary_rows(2 * 1024 + 300, seed=9)
    file = tmp_path / "long.parquet"
    write_table(file, dict(zip(NAMES, x.T, strict=True)))
    with monkeypatch.context() as patch:
        patch.setattr("logdet.report.blocks.BLOCK_ROWS", 1024)
        in_parts = made(run, file)
    assert _without_date(in_parts) == _without_date(made(run, file))


def _without_date(page: str) -> str:
    return re.sub(r"<dd>20[^<]*</dd>", "", page)


def test_drift_is_seen_where_it_begins(run: Run, tmp_path: Path, bundles: Path) -> None:
    quiet, moved = ordinary_rows(2000, seed=10), ordinary_rows(2000, seed=11)
    moved[:, 0] += 3.0
    for name, x in (("quiet", quiet), ("moved", np.concatenate([quiet, moved]))):
        write_table(tmp_path / f"{name}.csv", dict(zip(NAMES, x.T, strict=True)))
    calm = Text(made(run, tmp_path / "quiet.csv")).sections
    assert "like the calibration rows: \nno drift\n is found." in calm["top"]
    loud = made(run, tmp_path / "moved.csv")
    found = re.search(r"raise an alarm from row ([\d,]+) on", loud)
    assert found is not None
    since = int(found[1].replace(",", ""))
    assert 2000 < since <= 2000 + 4 * BLOCK_ROWS
    assert 'class="alarm"' in loud


def test_what_is_in_a_file_is_text(run: Run, tmp_path: Path, bundles: Path) -> None:
    script = "<script>alert(1)</script>"
    x = ordinary_rows(300)
    columns = {script: [f'"><img src=x onerror=alert({i})>' for i in range(300)]}
    file = tmp_path / "a&b<i>.csv"
    write_table(file, columns | dict(zip(NAMES, x.T, strict=True)))
    page = made(run, file)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert set(Text(page).tags).isdisjoint({"script", "img", "i>", "iframe", "link"})


def test_names_of_features_are_text(
    run: Run, bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exported.bundle import read_bundle, write_bundle

    bundle = read_bundle(bundles / "gauss" / "2")
    script = "<script>alert(1)</script>"
    features = (
        bundle.manifest.features[0].model_copy(update={"name": script, "unit": "<b>"}),
        *bundle.manifest.features[1:],
    )
    manifest = bundle.manifest.model_copy(update={"features": features, "name": "odd"})
    folder = bundles / "gauss" / "2"
    contents = {f.name: f.read_bytes() for f in folder.iterdir() if f.name != "manifest.json"}
    write_bundle(bundles, manifest, contents)
    x = ordinary_rows(300)
    x[:, 0] += 9.0
    file = tmp_path / "rows.csv"
    write_table(file, dict(zip((script, *NAMES[1:]), x.T, strict=True)))
    page = made(run, file, model="odd")
    assert page.count("&lt;script&gt;") >= 10
    assert "&lt;b&gt;" in page
    assert "script" not in Text(page).tags


def test_rows_without_a_score_are_counted(run: Run, file: Path, tmp_path: Path) -> None:
    assert "1 row has no score" in Text(made(run, file)).sections["top"]
    x = ordinary_rows(3)
    x[:, 0] = np.nan
    write_table(tmp_path / "gaps.csv", dict(zip(NAMES, x.T, strict=True)))
    top = Text(made(run, tmp_path / "gaps.csv")).sections["top"]
    assert "3 rows have no score" in top
    assert "drift" not in top


@pytest.mark.parametrize("kind", ["vae", "auto"])
def test_other_kinds_say_what_they_lack(
    run: Run, tmp_path: Path, bundles: Path, kind: str
) -> None:
    write_each_kind(bundles)
    file = tmp_path / "rows.csv"
    write_table(file, dict(zip(NAMES, latent_rows(400).T, strict=True)))
    text = Text(made(run, file, model=kind)).sections
    assert "explanations are of flows" in text["rows"]
    assert "drift is of the scores alone" in text["drift"]


def test_bounds_hold_the_false_alarms_of_a_calibration() -> None:
    calibration = Calibration.of(np.arange(float(CALIBRATION_ROWS)))
    for alpha, rows in ((0.01, 5000), (0.1, 300), (0.001, 50_000)):
        k = round(alpha * (CALIBRATION_ROWS + 1))
        exact = scipy.stats.betabinom(rows, k, CALIBRATION_ROWS + 1 - k)
        assert alarms(calibration, alpha, rows) == (exact.ppf(0.05), exact.ppf(0.95))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--label", "gone"], "rows.csv has no column gone; it has id, pressure"),
        (["--by", "typicality"], "expected --by with one of the scores of gauss (log_prob)"),
        (["--alpha", "0.0001"], "expected alpha of at least 0.001"),
        (["--alpha", "0.1", "--fdr", "0.1"], "got both"),
        (["--positive", "1"], "expected --label beside --positive"),
    ],
)
def test_what_cannot_be_told_is_refused(
    run: Run, file: Path, options: list[str], said: str
) -> None:
    page = file.with_suffix(".html")
    assert said in refused(run, "gauss", file, "-o", page, *options)
    assert not page.exists()


def test_files_that_are_no_table_are_refused(run: Run, file: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    for name, content, said in (
        ("empty.csv", "", "empty.csv is empty"),
        ("header.csv", ",".join(NAMES) + "\n", "header.csv has no rows"),
        ("short.csv", "pressure\n1\n", "has no column flow, count, site"),
        ("words.csv", ",".join(NAMES) + "\n1,b,3,4\n", "row 1 column 'flow' holds 'b'"),
        ("rows.txt", "1", "expected a file named"),
    ):
        (tmp_path / name).write_text(content)
        assert said in refused(run, "gauss", tmp_path / name, "-o", page)
    assert "there is no file" in refused(run, "gauss", tmp_path / "gone.csv", "-o", page)
    assert "there is no folder" in refused(run, "gauss", file, "-o", tmp_path / "no" / "a.html")
    assert "expected a page named .html" in refused(run, "gauss", file, "-o", tmp_path / "a.pdf")
    assert not page.exists()
