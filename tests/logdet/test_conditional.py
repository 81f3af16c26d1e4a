"""``logdet score``, ``sample`` and ``models`` with densities p(x | c)."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest

from logdet.files import write_table
from tests.bundles import NAMES, SITE
from tests.terminal import Run, lines
from tests.variants import (
    CENTRE,
    CONTEXT,
    PLANT,
    contexts,
    exact_given,
    rows_given,
    write_conditional,
    write_stepped,
)

PAIRS = f"plant={PLANT},load=50,second={CENTRE[0] + 30:.0f}"


@pytest.fixture(autouse=True)
def variants(bundles: Path) -> None:
    write_conditional(bundles)
    write_stepped(bundles)


@pytest.fixture
def context_file(tmp_path: Path) -> Path:
    """40 rows of context, and a column that no model knows."""
    context = contexts(40)
    columns = {name: context[:, j] for j, name in reversed(list(enumerate(CONTEXT)))}
    path = tmp_path / "context.parquet"
    write_table(path, {"tag": np.arange(40)} | columns)
    return path


def test_columns_of_the_context_are_found_by_name_like_the_others(
    run: Run, tmp_path: Path
) -> None:
    context = contexts(60)
    x = rows_given(context)
    columns = {name: context[:, j] for j, name in reversed(list(enumerate(CONTEXT)))}
    columns |= {name: x[:, j] for j, name in reversed(list(enumerate(NAMES)))}
    for kind in (".csv", ".npz"):
        rows, scored = tmp_path / f"rows{kind}", tmp_path / f"scored{kind}.parquet"
        write_table(rows, columns)
        result = run("score", "given", rows, "-o", scored)
        assert result.exit_code == 0, result.stderr
        table = parquet.read_table(scored)
        assert table.column_names[: len(columns)] == list(columns)
        truth = exact_given(x, context).log_prob
        np.testing.assert_allclose(table["log_prob"].to_numpy(), truth, atol=1e-4)


def test_a_file_without_the_context_is_refused(run: Run) -> None:
    text = ",".join(NAMES) + f",load\n10,-3,40,{SITE},50\n"
    result = run("score", "given", "-", stdin=text)
    assert result.exit_code == 1
    assert "standard input has no column second, plant; given needs " in result.stderr


def test_a_cell_of_the_context_that_is_missing_costs_its_row_alone(run: Run) -> None:
    header = ",".join((*NAMES, *CONTEXT))
    good = f"10,-3,40,{SITE},{CENTRE[0]},50,{PLANT}"
    text = f"{header}\n{good}\n10,-3,40,{SITE},,50,{PLANT}\n10,-3,40,{SITE},{CENTRE[0]},0.5,0.3\n"
    shown = run("score", "given", "-", stdin=text).stdout
    assert "ok 1, non_finite_input 1, out_of_support 1" in shown


def test_a_sample_of_one_context_can_be_scored_again(run: Run, tmp_path: Path) -> None:
    drawn, scored = tmp_path / "drawn.csv", tmp_path / "scored.parquet"
    result = run("sample", "given", "-n", 30, "--seed", 0, "--context", PAIRS, "-o", drawn)
    assert result.exit_code == 0, result.stderr
    assert drawn.read_text().splitlines()[0] == ",".join((*NAMES, *CONTEXT, "log_prob"))
    assert run("score", "given", drawn, "-o", scored).exit_code == 0
    table = parquet.read_table(scored)
    assert set(table["second"].to_pylist()) == {CENTRE[0] + 30}
    x, context = (
        np.column_stack([table[name].to_numpy() for name in names]) for names in (NAMES, CONTEXT)
    )
    np.testing.assert_allclose(table["log_prob"], exact_given(x, context).log_prob, atol=1e-4)
    again = run("sample", "given", "-n", 30, "--seed", 0, "--context", PAIRS).stdout
    assert again == drawn.read_text()


def test_a_file_of_contexts_draws_a_row_for_each(
    run: Run, context_file: Path, tmp_path: Path
) -> None:
    drawn = tmp_path / "drawn.parquet"
    result = run("sample", "given", "--seed", 0, "--context", context_file, "-o", drawn)
    assert result.stdout == f"drew 40 rows of seed 0 into {drawn}\n"
    table = parquet.read_table(drawn)
    assert table.column_names == [*NAMES, *CONTEXT, "log_prob"]
    assert str(table.schema.field("load").type) == "int64"
    x, context = (
        np.column_stack([table[name].to_numpy() for name in names]) for names in (NAMES, CONTEXT)
    )
    np.testing.assert_array_equal(context, contexts(40))
    np.testing.assert_allclose(table["log_prob"], exact_given(x, context).log_prob, atol=1e-4)


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        ("given", (), "expected a 'context' of second, load, plant"),
        ("given", ("--context", "load=50"), "name second, load, plant once each, got load"),
        ("given", ("--context", PAIRS + ",load=1"), "NAME=NUMBER,... or the name of a file"),
        ("given", ("--context", PAIRS + ",colour=1"), "got plant, load, second, colour"),
        ("given", ("--context", "load=many"), "got 'load=many'"),
        ("given", ("--context", "nowhere.csv"), "there is no file nowhere.csv"),
        ("gauss", ("--context", PAIRS), "gauss has no context features"),
        ("gauss", ("--steps", 8), "gauss has no solver"),
        ("stepped", ("--steps", 9), "one of 4, 8, 32, got 9"),
    ],
)
def test_what_cannot_be_given_is_refused(
    run: Run, model: str, options: tuple[object, ...], words: str
) -> None:
    result = run("sample", model, "-n", 3, *options)
    assert result.exit_code == 1
    assert words in result.stderr


# name: (context, words)
UNFIT = {
    "a fraction": ("load=6.5,plant=0.3,second=9", "load as a whole number, got 6.5\n"),
    "beyond the support": ("load=6,plant=0.3,second=-1", "second as a number from 0 to "),
    "another constant": ("load=6,plant=0.4,second=9", "plant as a number from 0.3 to 0.3"),
    "missing": ("load=nan,plant=0.3,second=9", "load as a finite number, got nan\n"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_context_that_cannot_be_run_is_refused_and_nothing_is_written(
    run: Run, tmp_path: Path, name: str
) -> None:
    context, words = UNFIT[name]
    output = tmp_path / "out.png"
    for command in (
        ("sample", "given", "-n", 3),
        ("sample", "given", "-n", 3, "-o", tmp_path / "out.csv"),
        ("expect", "given", "--mean", NAMES[0]),
        ("plot", "given", "-o", output),
    ):
        result = run(*command, "--context", context)
        assert result.exit_code == 1
        assert result.stdout == ""
        assert result.stderr.startswith(f"logdet: expected a --context with {words}")
        assert result.stderr.count("\n") == 1
    assert not list(tmp_path.glob("out.*"))


def test_the_row_of_a_file_that_cannot_be_run_is_told(run: Run, tmp_path: Path) -> None:
    context = contexts(5)
    context[3, 1] = 6.5
    path = tmp_path / "context.csv"
    write_table(path, {name: context[:, j] for j, name in enumerate(CONTEXT)})
    result = run("sample", "given", "--context", path)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "load as a whole number, got 6.5 in row 4 of 5\n" in result.stderr


def test_a_context_that_training_did_not_reach_is_told(run: Run, tmp_path: Path) -> None:
    told = (
        "logdet: load = 600 is outside of the training range 0 to 100; "
        "the density there is an extrapolation\n"
    )
    far = ("--context", PAIRS.replace("load=50", "load=600"))
    output = tmp_path / "out.csv"
    assert run("sample", "given", "-n", 3, "-o", output, *far).stderr == told
    assert len(output.read_text().splitlines()) == 4
    assert run("expect", "given", "--mean", NAMES[0], "-n", 50, *far).stderr == told
    picture = tmp_path / "out.png"
    assert run("plot", "given", "-o", picture, "--samples", 50, *far).stderr == told
    assert run("sample", "given", "-n", 3, "-o", output, "--context", PAIRS).stderr == ""


def test_contexts_of_a_file_that_training_did_not_reach_are_counted(
    run: Run, tmp_path: Path
) -> None:
    context = contexts(5)
    context[1:3, 1] = 600.0, 700.0
    path = tmp_path / "context.csv"
    write_table(path, {name: context[:, j] for j, name in enumerate(CONTEXT)})
    result = run("sample", "given", "--context", path, "-o", tmp_path / "out.csv")
    assert result.exit_code == 0
    assert "load = 600 (one of 2 such rows) is outside of the training range" in result.stderr


def test_as_many_contexts_as_rows_are_needed(run: Run, context_file: Path) -> None:
    result = run("sample", "given", "-n", 7, "--context", context_file)
    assert "expected 1 or 7 rows of 'context'" in result.stderr
    assert "got 40" in result.stderr


def test_an_expectation_is_of_one_context(run: Run, context_file: Path) -> None:
    result = run("expect", "given", "--mean", NAMES[0], "--context", context_file)
    assert result.exit_code == 1
    assert "expected 1 row of 'context', got 40" in result.stderr


def test_steps_are_the_callers_choice(run: Run) -> None:
    few, many = (
        run("sample", "stepped", "-n", 1, "--seed", 0, "--steps", steps).stdout.splitlines()[1]
        for steps in (4, 32)
    )
    difference = float(few.split(",")[-1]) - float(many.split(",")[-1])
    assert difference == pytest.approx(1 / 4 - 1 / 32, abs=1e-4)


def test_models_shows_the_columns_of_the_context(run: Run) -> None:
    table = {line[0]: line for line in lines(run("models").stdout)}
    assert table["given"][3:8] == ["4", "given", "second,", "load,", "plant"]
    assert table["gauss"][3:5] == ["4", "exact"]
