"""The commands on VAEs and autoencoders: the numbers are those of the service."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow.parquet as parquet
import pytest

from logdet import scoring
from logdet.files import write_table
from service.config import ServiceConfig
from service.core import Core
from service.http.app import build_app
from tests.bundles import NAMES, SITE
from tests.latents import write_each_kind
from tests.linear_gaussian import exact_error, exact_mean, exact_rows, exact_score, rows
from tests.terminal import Run, lines

ROWS = 40
BOUNDS = (
    "elbo",
    "elbo_standard_error",
    "importance_bound",
    "standard_error",
    "effective_sample_size",
)


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    """See :func:`write_each_kind`."""
    return write_each_kind(tmp_path / "bundles")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Rows of which one is incomplete and one out of support."""
    path = tmp_path / "rows.parquet"
    write_table(path, dict(zip(reversed(NAMES), table()[:, ::-1].T, strict=True)))
    return path


def table() -> np.ndarray:
    x = rows(ROWS)
    x[3, 0], x[5, 2] = np.nan, 0.5
    return x


def served(bundles: Path, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """What the service answers about the same rows."""
    core = Core(ServiceConfig(bundles=bundles, provider="cpu", sessions=1))
    core.load()
    cells = [[None if np.isnan(v) else v for v in row] for row in table().tolist()]

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(build_app(core))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post(f"/v1/models/{path}", json={"rows": cells} | body)

    answer = asyncio.run(ask())
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def same(got: Any, expected: list[Any], at: slice = slice(None)) -> None:
    """JSON says null for what is not finite."""
    values = np.array([np.nan if v is None else v for v in expected], dtype=np.float64)
    finite = np.where(np.isfinite(got), got, np.nan)
    np.testing.assert_allclose(finite, values[at], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["vae", "plain", "auto"])
def test_scores_are_those_of_the_service(
    run: Run, bundles: Path, file: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "CHUNK_SAMPLES", 64)  # two rows of as many samples as scores have
    output = tmp_path / "scored.parquet"
    result = run("score", name, file, "-o", output)
    assert result.exit_code == 0, result.stderr
    scored, answer = parquet.read_table(output), served(bundles, f"{name}/score", {})
    assert scored.column_names[-4:] == ["score", "p_value", "is_anomaly", "status"]
    assert "log_prob" not in scored.column_names
    same(scored["score"].to_numpy(), answer["score"])
    same(scored["p_value"].to_numpy(), answer["p_value"])
    assert scored["status"].to_pylist() == answer["status"]
    ok = scored["status"].to_numpy() == "ok"
    x = table()[ok]
    error = exact_error(x, exact_rows(exact_mean(x)))
    expected = -error if name == "auto" else exact_score(x)
    np.testing.assert_allclose(scored["score"].to_numpy()[ok], expected, atol=1e-3)


@pytest.mark.parametrize(("name", "unit"), [("vae", "nats"), ("auto", "deviations")])
def test_the_summary_of_scores_says_their_unit(run: Run, file: Path, name: str, unit: str) -> None:
    shown = run("score", name, file).stdout
    assert [line.split()[-1] for line in shown.splitlines() if "mean score" in line] == [unit]
    assert "lowest score  score" in shown
    assert "log_prob" not in shown


def test_terms_of_a_vae_are_refused(run: Run, file: Path, tmp_path: Path) -> None:
    result = run("score", "vae", file, "--terms", "-o", tmp_path / "out.csv")
    assert "expected a model with feature_log_prob for --terms, got vae" in result.stderr


@pytest.mark.parametrize("depth", [0, 2, None])
def test_bounds_are_those_of_the_service(
    run: Run,
    bundles: Path,
    file: Path,
    tmp_path: Path,
    depth: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scoring, "CHUNK_SAMPLES", 700)  # seven rows of a hundred samples
    output = tmp_path / "bounds.parquet"
    asked = {"samples": 100, "seed": 4} | ({} if depth is None else {"depth": depth})
    options = [part for key, value in asked.items() for part in (f"--{key}", value)]
    result = run("bound", "vae", file, *options, "-o", output)
    assert result.exit_code == 0, result.stderr
    drawn = f"100 samples a row, seed 4, depth {1 if depth is None else depth}\n"
    assert result.stdout == f"bounded 40 rows into {output}: {drawn}"
    got, answer = parquet.read_table(output), served(bundles, "vae/log_prob_bound", asked)
    assert got.column_names == [*reversed(NAMES), *BOUNDS, "status"]
    for field in BOUNDS:
        same(got[field].to_numpy(), answer[field])
    assert got["status"].to_pylist() == answer["status"]
    assert got["elbo"].to_pylist()[5] == -np.inf


def test_a_seed_of_bounds_is_told_where_none_was_given(run: Run, file: Path) -> None:
    first = run("bound", "plain", file).stdout
    (told,) = (line for line in first.splitlines() if line.startswith("drawn"))
    assert "32 samples a row, seed " in told
    assert "depth" not in told
    seed = told.split()[-1]
    assert run("bound", "plain", file, "--seed", seed).stdout == first


def test_the_summary_of_bounds_has_means_and_the_lowest(run: Run, file: Path) -> None:
    facts, worst = run("bound", "vae", file, "--samples", 50, "--seed", 0).stdout.split("\n\n")
    assert "status                          ok 38, non_finite_input 1, out_of_support 1" in facts
    assert "nats, over rows" in facts
    assert lines(worst)[1][:3] == ["row", "6", "-inf"]
    assert len(worst.splitlines()) == 6


def test_the_summary_of_bounds_of_no_row_ends_with_the_facts(run: Run) -> None:
    shown = run("bound", "vae", "-", stdin=f"site,count,flow,pressure\n{SITE},40,-3,\n").stdout
    assert "mean elbo              none, as no row is ok" in shown
    assert "lowest bound" not in shown
    shown = run("bound", "vae", "-", stdin=f"site,count,flow,pressure\n{SITE},40,-3,9\n").stdout
    assert "over rows" not in shown


@pytest.mark.parametrize("name", ["vae", "plain", "auto"])
def test_reconstructions_are_those_of_the_service(
    run: Run, bundles: Path, file: Path, tmp_path: Path, name: str
) -> None:
    output = tmp_path / "back.parquet"
    result = run("reconstruct", name, file, "-o", output)
    assert result.stdout.startswith(f"reconstructed 40 rows into {output}: mean error 0.")
    got, answer = parquet.read_table(output), served(bundles, f"{name}/reconstruct", {})
    back = [f"reconstructed_{feature}" for feature in NAMES]
    assert got.column_names == [*reversed(NAMES), *back, "error", "status"]
    for j, column in enumerate(back):
        same(got[column].to_numpy(), [row[j] for row in answer["rows"]])
    same(got["error"].to_numpy(), answer["error"])
    assert got["status"].to_pylist() == answer["status"]


def test_the_summary_of_reconstructions_shows_the_largest_errors(run: Run, file: Path) -> None:
    facts, worst = run("reconstruct", "auto", file).stdout.split("\n\n")
    x = np.delete(table(), [3, 5], axis=0)
    error = exact_error(x, exact_rows(exact_mean(x)))
    assert f"mean error  {error.mean():.4f} deviations" in facts
    assert [float(row[-1]) for row in lines(worst)[1:]] == pytest.approx(
        np.sort(error)[:-6:-1], abs=1e-3
    )
    text = f"site,count,flow,pressure\n{SITE},40,-3,\n"
    assert "none, as no row is ok" in run("reconstruct", "auto", "-", stdin=text).stdout


def test_samples_of_a_vae_are_those_of_the_service_without_log_prob(
    run: Run, bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "CHUNK_ROWS", 7)
    output = tmp_path / "drawn.parquet"
    result = run("sample", "vae", "-n", 20, "--seed", 3, "--temperature", 0.5, "-o", output)
    assert result.exit_code == 0, result.stderr
    got = parquet.read_table(output)
    assert got.column_names == list(NAMES)
    assert str(got.schema.field("count").type) == "int64"
    core = Core(ServiceConfig(bundles=bundles, provider="cpu", sessions=1))
    core.load()
    expected, _ = asyncio.run(core.find("vae").sample(20, 3, 0.5))
    x = np.column_stack([got[name].to_numpy() for name in NAMES])
    np.testing.assert_allclose(x, expected.x, rtol=1e-5)


# name: (arguments, words)
REFUSED: dict[str, tuple[tuple[object, ...], str]] = {
    "samples of an autoencoder": (
        ("sample", "auto"),
        "the operation sample, got auto/1, which has: decode, encode, reconstruct, score",
    ),
    "bounds of an autoencoder": (("bound", "auto", "FILE"), "the operation log_prob_bound, got"),
    "expectations of a VAE": (
        ("expect", "vae", "--mean", "flow"),
        "the operation expectation, got vae/1, which has: decode, encode, log_prob_bound",
    ),
    "expectations of an autoencoder": (("expect", "auto", "--mean", "flow"), "expectation, got"),
    "a depth not offered": (("bound", "vae", "FILE", "--depth", 7), "one of 0, 1, 2, got 7"),
    "a depth of none": (("bound", "plain", "FILE", "--depth", 1), "one depth only, got 1"),
    "no samples": (("bound", "vae", "FILE", "--samples", 0), "between 1 and 100000, got 0"),
    "steps": (("sample", "vae", "--steps", 4), "no --steps, as vae has no solver, got 4"),
    "a context": (("sample", "vae", "--context", "a=1"), "as vae has no context features"),
    "too many": (("sample", "vae", "-n", 900_000_000), "draw fewer"),
    "the input": (("reconstruct", "vae", "FILE", "-o", "FILE"), "another file than the input"),
    "another ending": (("bound", "vae", "FILE", "-o", "o.xls"), "expected a file named .csv"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_kind_cannot_do_is_refused_in_one_sentence(run: Run, file: Path, name: str) -> None:
    asked, words = REFUSED[name]
    result = run(*(file if part == "FILE" else part for part in asked))
    assert result.exit_code == 1
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_flow_has_neither_bounds_nor_reconstructions(run: Run, file: Path) -> None:
    from tests.bundles import write_gaussian

    write_gaussian(file.parent / "bundles")
    for command in ("bound", "reconstruct"):
        result = run(command, "gauss", file)
        assert result.exit_code == 1
        assert "got gauss/1, which has: decode, encode, expectation, log_prob" in result.stderr


def test_an_operation_that_the_manifest_leaves_out_is_refused(
    run: Run, bundles: Path, file: Path
) -> None:
    path = bundles / "vae" / "1" / "manifest.json"
    document = json.loads(path.read_text())
    del document["operations"]["log_prob_bound"]
    path.write_text(json.dumps(document))
    assert "the operation log_prob_bound, got vae/1" in run("bound", "vae", file).stderr
    assert run("score", "vae", file).exit_code == 0
