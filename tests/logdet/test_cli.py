import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet
import pytest
from click.testing import CliRunner, Result

from logdet import cli, scoring
from logdet.files import read_table
from service import embedded, ray_engine
from tests.bundles import NAMES, SITE, exact, ordinary_rows, write_gaussian

Run = Callable[..., Result]
START_LIMIT_S = 1.5


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


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
        (["score", "gauss"], "Missing argument 'FILE' (see logdet score --help)"),
        (["sample", "gauss", "-n", "0"], "Invalid value for '-n'"),
        (["sample", "gauss", "--seed", "-1"], "Invalid value for '--seed'"),
        (["sample", "gauss", "--temperature", "0"], "Invalid value for '--temperature'"),
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


def test_models_shows_the_newest_version_of_each_name(run: Run, bundles: Path) -> None:
    write_gaussian(bundles, name="other")
    header, gauss, other = lines(run("models").stdout)
    assert header[:3] == ["name", "versions", "family"]
    assert gauss[:8] == ["gauss", "1,2", "gaussian", "4", "exact", "-6.000", "±", "0.100"]
    assert gauss[8] == "999"
    assert other[:2] == ["other", "1"]


def test_models_tells_of_a_bundle_it_cannot_read(run: Run, bundles: Path) -> None:
    write_gaussian(bundles, name="broken")
    (bundles / "broken" / "1" / "manifest.json").write_text("{")
    result = run("models")
    assert result.exit_code == 0
    assert "gauss" in result.stdout
    assert "broken/1 is refused: manifest.json is not JSON" in result.stderr


def test_models_without_bundles_says_how_to_get_one(run: Run, tmp_path: Path) -> None:
    result = run("models", "--bundles", tmp_path)
    assert result.exit_code == 1
    assert "logdet train makes one" in result.stderr


def test_bundles_are_those_of_the_working_folder(
    bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "exported").mkdir()
    bundles.rename(tmp_path / "exported" / "bundles")
    monkeypatch.delenv("LOGDET_BUNDLES", raising=False)
    monkeypatch.chdir(tmp_path)
    assert "gauss" in CliRunner().invoke(cli.main, ["models"]).stdout


def test_verify_shows_each_output_with_its_error_and_tolerance(run: Run) -> None:
    result = run("verify", "gauss", "--provider", "cpu")
    assert result.exit_code == 0
    table = lines(result.stdout)
    assert [row[:2] for row in table[1:6]] == [
        ["log_prob", "log_prob"],
        ["log_prob", "z"],
        ["log_prob", "log_det"],
        ["decode", "x"],
        ["decode", "log_det"],
    ]
    assert all(float(row[2]) < 1e-5 and row[-1] == "ok" for row in table[1:6])
    assert result.stdout.endswith("gauss/2 is as its manifest says, on cpu\n")


def test_verify_fails_where_the_golden_rows_do_not_replay(run: Run, bundles: Path) -> None:
    write_gaussian(bundles, version=3, golden_offset=0.5)
    result = run("verify", "gauss")
    assert result.exit_code == 1
    assert lines(result.stdout)[1][:2] == ["log_prob", "log_prob"]
    assert "MISMATCH" in result.stdout.splitlines()[1]
    assert "logdet: gauss/3 does not replay: 1 of 5 outputs are off" in result.stderr
    assert run("verify", "gauss/2").exit_code == 0


def test_verify_fails_on_a_changed_byte(run: Run, bundles: Path) -> None:
    path = bundles / "gauss" / "1" / "calibration.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    result = run("verify", "gauss/1")
    assert result.exit_code == 1
    assert result.stderr.startswith("logdet: calibration.npz is not the file")


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
    assert table["is_anomaly"].to_pylist() == [False, False, True]


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


def test_a_sample_is_the_same_for_the_same_seed_whatever_its_length(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("sample", "gauss", "-n", 50, "--seed", 3, "-o", tmp_path / "long.npz")
    monkeypatch.setattr(scoring, "CHUNK_ROWS", 7)
    run("sample", "gauss", "-n", 20, "--seed", 3, "-o", tmp_path / "short.npz")
    run("sample", "gauss", "-n", 20, "--seed", 4, "-o", tmp_path / "other.npz")
    long, short, other = (
        read_table(tmp_path / f"{n}.npz").values for n in ("long", "short", "other")
    )
    np.testing.assert_allclose(short, long[:20], atol=1e-5)
    assert not np.allclose(other[:, 0], short[:, 0])


def test_a_sample_has_whole_counts_and_the_density_of_its_rows(run: Run, tmp_path: Path) -> None:
    output = tmp_path / "rows.parquet"
    result = run("sample", "gauss", "-n", 300, "--seed", 0, "-o", output)
    assert result.stdout == f"drew 300 rows of seed 0 into {output}\n"
    table = parquet.read_table(output)
    assert table.column_names == [*NAMES, "log_prob"]
    assert str(table.schema.field("count").type) == "int64"
    assert set(table["site"].to_pylist()) == {SITE}
    x = np.column_stack([table[name].to_numpy() for name in NAMES])
    np.testing.assert_allclose(table["log_prob"].to_numpy(), exact(x).log_prob, atol=1e-4)


def test_a_sample_can_be_scored_again(run: Run, tmp_path: Path) -> None:
    for kind in (".csv", ".npz"):
        drawn = tmp_path / f"drawn{kind}"
        run("sample", "gauss", "-n", 40, "--seed", 1, "-o", drawn)
        result = run("score", "gauss", drawn, "-o", tmp_path / f"scored{kind}")
        assert result.stderr == "logdet: replaced the file's own log_prob\n"
    with np.load(tmp_path / "scored.npz") as scored, np.load(tmp_path / "drawn.npz") as drawn:
        np.testing.assert_allclose(scored["log_prob"], drawn["log_prob"], atol=1e-5)
        assert set(scored["status"].tolist()) == {"ok"}


def test_without_a_file_a_sample_is_csv_and_a_seed_that_draws_it_again(run: Run) -> None:
    first = run("sample", "gauss", "-n", 3)
    word, seed = first.stderr.split()
    assert word == "seed"
    assert run("sample", "gauss", "-n", 3, "--seed", seed).stdout == first.stdout
    assert first.stdout.splitlines()[0] == ",".join((*NAMES, "log_prob"))


def test_a_lower_temperature_draws_likelier_rows(run: Run, tmp_path: Path) -> None:
    means = []
    for temperature in (0.2, 1.0):
        path = tmp_path / f"{temperature}.npz"
        run("sample", "gauss", "-n", 200, "--seed", 0, "--temperature", temperature, "-o", path)
        means.append(read_table(path).values[:, -1].mean())
    assert means[0] > means[1] + 0.5


def test_families_are_listed(run: Run) -> None:
    assert lines(run("families").stdout)[1][0] == "nsf"


@pytest.mark.parametrize(
    ("args", "settings"),
    [
        ([], ("127.0.0.1", 8000, "auto")),
        (["--host", "0.0.0.0", "--port", "0", "--provider", "cpu"], ("0.0.0.0", 0, "cpu")),  # noqa: S104
    ],
)
def test_serve_hands_its_options_to_the_engine(
    run: Run, bundles: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], settings: tuple
) -> None:
    served = []
    monkeypatch.setattr(embedded, "serve", served.append)
    monkeypatch.setattr(ray_engine, "serve", lambda *given: served.extend(given))
    assert run("serve", *args).exit_code == 0
    assert run("serve", *args, "--ray", "--replicas", "2", "--num-gpus", "0.5").exit_code == 0
    assert served[2:] == [2, 0.5]
    for config in served[:2]:
        assert (config.host, config.port, config.provider) == settings
        assert config.bundles == bundles


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


@pytest.mark.parametrize("args", [["--help"], ["models"], ["families"], ["train", "--help"]])
def test_a_command_starts_at_once(bundles: Path, args: list[str]) -> None:
    took = min(_seconds(args, bundles) for _ in range(3))
    assert took < START_LIMIT_S


@pytest.mark.parametrize("args", [["--help"], ["models"], ["families"], ["sample", "gauss"]])
def test_nothing_heavy_is_imported_where_it_is_not_used(bundles: Path, args: list[str]) -> None:
    script = (
        "import sys\nfrom logdet.cli import main\ntry:\n    main(sys.argv[1:])\nfinally:\n"
        "    print(*sys.modules, file=sys.stderr)"
    )
    done = _process([sys.executable, "-c", script, *args], bundles)
    assert done.returncode == 0, done.stderr
    heavy = {"torch", "onnx", "ray", "sklearn", "uvicorn", "starlette"}
    if args[0] != "sample":
        heavy |= {"pyarrow", "onnxruntime"}
    assert heavy & set(done.stderr.split()) == set()


def test_a_closed_pipe_is_no_error_to_read_about(bundles: Path) -> None:
    command = f"{sys.executable} -m logdet sample gauss -n 200000 --seed 0 | head -n 2"
    done = _process(["bash", "-c", command], bundles)
    assert done.stdout.startswith("pressure,flow,count,site,log_prob\n")
    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr


def test_ctrl_c_ends_quietly_with_130(bundles: Path) -> None:
    command = [sys.executable, "-m", "logdet", "score", "gauss", "-"]
    process = subprocess.Popen(
        command,
        env=_environment(bundles),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        time.sleep(1.5)  # until it reads standard input
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read().strip() == b""
        assert process.stderr.read().strip() == b""


def _environment(bundles: Path) -> dict[str, str]:
    return os.environ | {"LOGDET_BUNDLES": str(bundles)}


def _process(command: list[str], bundles: Path) -> subprocess.CompletedProcess[str]:
    environment = _environment(bundles)
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def _seconds(args: list[str], bundles: Path) -> float:
    started = time.perf_counter()
    done = _process([sys.executable, "-m", "logdet", *args], bundles)
    assert done.returncode == 0, done.stderr
    return time.perf_counter() - started
