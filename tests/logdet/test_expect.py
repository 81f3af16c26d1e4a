"""``logdet expect``."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.bundles import COVARIANCE, MEAN, write_gaussian
from tests.terminal import Run
from tests.variants import CENTRE, CONTEXT, shift, write_conditional

ALL = (
    *("--mean", "pressure", "--mean", "flow", "--variance", "pressure"),
    *("--quantile", "flow=0.5", "--probability", "pressure=:10,count=0:200"),
)


def test_several_expectations_come_as_a_table_with_errors_and_units(run: Run) -> None:
    result = run("expect", "gauss", *ALL, "-n", 20_000, "--seed", 0)
    assert result.exit_code == 0, result.output
    header, *lines, source = (line for line in result.stdout.splitlines() if line)
    assert header.split("  ")[-1].strip() == "unit"
    assert source == "from 20,000 rows of gauss/2, seed 0"
    truths = (MEAN[0], MEAN[1], COVARIANCE[0, 0], MEAN[1], 0.5)
    for line, truth in zip(lines, truths, strict=True):
        words = line.split()
        value, error = (float(words[words.index("±") + step]) for step in (-1, 1))
        assert 0.0 < error < 0.1
        assert abs(value - truth) < 4.5 * error
    assert lines[0].split()[:3] == ["mean", "of", "pressure"]
    assert [line.split()[-1] for line in lines[::2]] == ["bar", "(bar)²", lines[4].split()[-1]]
    assert lines[4].startswith("P(pressure ≤ 10, 0 ≤ count ≤ 200)")


def test_json_is_what_the_service_would_write_and_repeats_by_its_seed(run: Run) -> None:
    first = json.loads(run("expect", "gauss", *ALL, "-n", 500, "--json").stdout)
    assert list(first) == ["model", "version", "density", "of", "samples", "excluded", "seed"]
    assert first["of"][3]["q"] == 0.5
    assert first["of"][4]["probability"] == {"pressure": [None, 10.0], "count": [0.0, 200.0]}
    again = run("expect", "gauss", *ALL, "-n", 500, "--json", "--seed", first["seed"])
    assert json.loads(again.stdout) == first


def test_never_and_unknown_are_said_so(run: Run) -> None:
    asked = ("--quantile", "flow=0.999", "--probability", "flow=100:", "--mean", "site")
    _, mean, tail, never, *_ = run(
        "expect", "gauss", *asked, "-n", 100, "--seed", 0
    ).stdout.splitlines()
    assert mean.endswith("7.1 ± 0")
    assert tail.endswith("± unknown: too few rows")
    assert never.split() == ["P(flow", "≥", "100)", "0.000", "±", "0.014"]


def test_a_context_is_part_of_the_question(run: Run, bundles: Path) -> None:
    write_conditional(bundles)
    values = CENTRE + np.array([20.0, 10.0, 0.0])
    typed = ",".join(map("{}={!r}".format, CONTEXT, values.tolist()))
    asked = ("expect", "given", "--mean", "pressure", "-n", 4000, "--seed", 0, "--json")
    (got,) = json.loads(run(*asked, "--context", typed).stdout)["of"]
    assert abs(got["value"] - MEAN[0] - shift(values[None])[0, 0]) < 4.0 * got["standard_error"]
    without = run(*asked)
    assert without.exit_code == 1
    assert "context" in without.stderr


# name: (arguments, exit code, words)
WRONG = {
    "nothing": ([], 2, "expected a --mean"),
    "unknown feature": (["--mean", "flaw"], 1, "--mean has the unknown feature 'flaw'"),
    "quantile without q": (["--quantile", "flow"], 1, "FEATURE=Q"),
    "quantile of two": (["--quantile", "flow=2"], 1, "between 0 and 1"),
    "no interval": (["--probability", "flow=1"], 1, "FEATURE=LOW:HIGH"),
    "descending": (["--probability", "flow=2:1"], 1, "low at most high"),
    "the same twice": (["--probability", "flow=2:,flow=:3"], 1, "once"),
    "an end of text": (["--probability", "flow=a:"], 1, "finite numbers"),
    "context not wanted": (["--mean", "flow", "--context", "a=1"], 1, "no context"),
    "steps not wanted": (["--mean", "flow", "--steps", 3], 1, "no 'steps'"),
    "too many rows": (["--mean", "flow", "-n", 10**9], 1, "draw fewer"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_means_nothing_is_refused_in_one_line(run: Run, name: str) -> None:
    args, code, words = WRONG[name]
    result = run("expect", "gauss", *args)
    assert result.exit_code == code
    assert result.stderr.startswith("logdet: ")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


def test_a_bundle_without_the_operation_can_be_asked_all_the_same(run: Run, bundles: Path) -> None:
    write_gaussian(bundles, "older", operations=("log_prob", "decode", "sample"))
    assert run("expect", "older", "--mean", "flow", "-n", 50).exit_code == 0
