"""What all commands have in common: help, and one line for what is wrong."""

from pathlib import Path

import pytest

from logdet import cli
from service import embedded
from tests.terminal import Run, lines


def test_every_command_has_help_with_an_example(run: Run) -> None:
    for command in cli.COMMANDS:
        result = run(command, "--help")
        assert result.exit_code == 0, command
        assert f"  logdet {command}" in result.stdout.split("Example")[1], command


def test_help_lists_every_command(run: Run) -> None:
    listed = [words[0] for words in lines(run("--help").stdout.split("Commands:")[1]) if words]
    assert tuple(listed) == cli.COMMANDS


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nothing"], "No such command 'nothing' (see logdet --help)"),
        (["score", "gauss"], "Missing argument 'FILE...' (see logdet score --help)"),
        (["sample", "gauss", "-n", "0"], "Invalid value for '-n'"),
        (["sample", "gauss", "--seed", "-1"], "Invalid value for '--seed'"),
        (["sample", "gauss", "--temperature", "-0.5"], "expected a finite number of at least 0"),
        (["sample", "gauss", "--temperature", "inf"], "of at least 0, got inf"),
        (["sample", "gauss", "--temperature", "nan"], "of at least 0, got nan"),
        (["verify", "gauss/new"], "expected NAME or NAME/VERSION with a whole number"),
        (["serve", "--replicas", "2"], "--replicas and --num-gpus need --ray"),
        (["models", "--bundles", "nowhere"], "there is no folder nowhere"),
        (["models", "--frob"], "No such option"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(run: Run, args: list[str], message: str) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("logdet: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["verify", "other"], "no bundle named 'other'"),
        (["verify", "gauss/7"], "gauss has no version 7; it has: 1, 2"),
        (["score", "gauss", "none.csv"], "there is no file none.csv"),
        (["score", "gauss", "rows.txt"], "expected a file named .csv"),
        (["score", "gauss", "ROWS", "--alpha", "0.0001"], "expected alpha of at least 0.001"),
        (["score", "gauss", "ROWS", "--alpha", "2"], "expected alpha between 0 and 1, got 2"),
        (["score", "gauss", "ROWS", "-o", "out.json"], "expected a file named .csv"),
        (["score", "gauss", "ROWS", "-o", "no/where.csv"], "there is no folder no"),
        (["sample", "gauss", "-o", "out.xls"], "expected a file named .csv"),
        (["sample", "gauss", "-n", "900000000"], "draw fewer"),
        (["serve", "--port", "70000"], "LOGDET_PORT"),
    ],
)
def test_a_users_error_is_one_line_and_exit_1(
    run: Run, rows_file: Path, args: list[str], message: str
) -> None:
    result = run(*(rows_file if arg == "ROWS" else arg for arg in args))
    assert result.exit_code == 1
    assert result.stderr.startswith("logdet: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("module", ["ray.serve", "torch"])
def test_a_missing_extra_says_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    def lacking(*_: object) -> None:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr(embedded, "serve", lacking)
    result = run("serve")
    assert result.exit_code == 1
    package, extra = {"ray.serve": ("ray", "ray"), "torch": ("torch", "train")}[module]
    assert result.stderr == f"logdet: this needs {package}: pip install 'logdet[{extra}]'\n"
