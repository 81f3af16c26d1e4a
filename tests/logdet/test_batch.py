"""``logdet score NAME FILES -o FOLDER/``: its pieces scored in this process."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.feather as feather
import pyarrow.ipc as ipc
import pyarrow.parquet as parquet
import pytest

import exported
from logdet.batch import command, pieces, work
from logdet.batch.places import Folder
from logdet.batch.writing import writing
from logdet.opening import open_model
from logdet.options import Reference
from service import ray_job
from tests.bundles import NAMES, ordinary_rows
from tests.terminal import Run

SHIPPED = Path(exported.__file__).parent / "bundles"
ANSWERS = ["log_prob", "p_value", "is_anomaly", "status"]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Work is done in this process; which pieces were done, in order."""
    done: list[str] = []

    def in_turn(
        crew: object, make: Any, arguments: Sequence[Any], items: Sequence[Any]
    ) -> Iterator[dict[str, Any]]:
        worker = make(*arguments)
        for item in items:
            done.append(json.loads(item["piece"])["output"])
            yield worker(item)

    monkeypatch.setattr(command, "_crew", lambda given: nullcontext())
    monkeypatch.setattr(ray_job, "done", in_turn)
    return done


def table_of(rows: int, seed: int = 0) -> pa.Table:
    """Rows with a key before the features and a note behind them."""
    x = ordinary_rows(rows, seed)
    x[::50, :2] += 40.0
    columns = dict(zip(NAMES, x.T, strict=True))
    return pa.table(
        {"key": np.arange(rows), **columns, "note": [f"r{seed}, {i}" for i in range(rows)]}
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two Parquet files, one of them of several row groups of an odd number of rows."""
    root = tmp_path / "rows"
    root.mkdir()
    parquet.write_table(table_of(300, 1), root / "a.parquet")
    parquet.write_table(table_of(500, 2), root / "b.parquet", row_group_size=101)
    return root


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE_ROWS", 200)


def written(output: Path, stem: str) -> pa.Table:
    return pa.concat_tables(
        parquet.read_table(path) for path in sorted(output.glob(f"{stem}*.parquet"))
    )


@pytest.mark.usefixtures("here")
def test_every_row_is_answered_once_in_order_with_its_own_columns(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    result = run("score", "gauss", f"{folder}/*.parquet", "-o", f"{output}/")
    assert result.exit_code == 0, result.stderr
    assert "scored 800 rows of 2 files into" in result.stdout
    assert sorted(path.name for path in output.glob("*")) == [
        "_logdet",
        "a.parquet",
        "b-00000.parquet",
        "b-00001.parquet",
        "b-00002.parquet",
    ]
    for seed, stem, rows in ((1, "a", 300), (2, "b", 500)):
        scored = written(output, stem)
        assert scored.drop_columns(ANSWERS).equals(table_of(rows, seed))
        assert scored.column_names[-4:] == ANSWERS


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "more", [(), ("--by", "combined"), ("--by", "typicality", "--fdr", "0.1")]
)
def test_the_answers_are_those_of_one_file_bit_for_bit(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    monkeypatch.setenv("LOGDET_BUNDLES", str(SHIPPED))
    model = open_model(SHIPPED, Reference("shuttle", None), "cpu", "score")
    x = np.asarray(model.sample(1500, 0).rows.x, np.float64)
    names = [feature.name for feature in model.manifest.features]
    source, output = tmp_path / "rows.parquet", tmp_path / "out"
    parquet.write_table(pa.table(dict(zip(names, x.T, strict=True))), source, row_group_size=77)
    job = run("score", "shuttle", source, "-o", f"{output}/", *more)
    whole = run("score", "shuttle", source, "-o", tmp_path / "whole.parquet", *more)
    assert (job.exit_code, whole.exit_code) == (0, 0), job.stderr
    said, same = (re.search(r"threshold [^,]*", done.stdout) for done in (job, whole))
    assert said is not None
    assert same is not None
    assert said[0] == same[0]
    assert len(list(output.glob("*.parquet"))) == 7
    assert written(output, "rows").equals(parquet.read_table(tmp_path / "whole.parquet"))


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("kind", [".csv", ".csv.gz", ".arrow", ".arrows", ".feather"])
def test_files_of_every_kind_come_back_as_what_they_were(
    run: Run, tmp_path: Path, kind: str
) -> None:
    table, source, output = table_of(300), tmp_path / f"rows{kind}", tmp_path / "out"
    write(source, table)
    result = run("score", "gauss", source, "-o", f"{output}/")
    assert result.exit_code == 0, result.stderr
    scored = read(output / source.name)
    assert scored.drop_columns(ANSWERS).equals(read(source))
    assert scored.column_names[-4:] == ANSWERS
    assert scored["is_anomaly"].to_pylist().count(True) >= 6


def write(path: Path, table: pa.Table) -> None:
    if ".csv" in path.name:
        with pa.output_stream(path) as stream:  # compresses by the ending
            arrow_csv.write_csv(table, stream)
    elif path.suffix == ".feather":
        feather.write_feather(table, path)
    else:
        begin = ipc.new_stream if path.suffix == ".arrows" else ipc.new_file
        with begin(path, table.schema) as writer:
            writer.write_table(table, 70)


def read(path: Path) -> pa.Table:
    if ".csv" in path.name:
        return arrow_csv.read_csv(path)
    if path.suffix == ".arrows":
        with ipc.open_stream(path) as reader:
            return reader.read_all()
    return feather.read_table(path)


def test_what_is_done_is_not_done_again(
    run: Run, here: list[str], folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    asked = ("score", "gauss", folder, "-o", f"{output}/", "--alpha", "0.05")
    first = run(*asked)
    assert len(here) == 4
    before = (output / "a.parquet").stat().st_mtime_ns
    (output / "b-00001.parquet").unlink()
    again = run(*asked)
    assert here[4:] == ["b-00001.parquet"]
    assert again.stdout == first.stdout
    assert (output / "a.parquet").stat().st_mtime_ns == before


@pytest.mark.usefixtures("here")
def test_another_job_is_not_mixed_into_a_folder(run: Run, folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert run("score", "gauss", folder, "-o", f"{output}/").exit_code == 0
    other = run("score", "gauss", folder, "-o", f"{output}/", "--alpha", "0.05")
    assert other.exit_code == 1
    assert "expected the job that the folder has begun, gauss/2" in other.stderr
    older = run("score", "gauss/1", folder, "-o", f"{output}/")
    assert "got gauss/1 with manifest" in older.stderr
    full = run("score", "gauss", folder / "a.parquet", "-o", f"{folder}/")
    assert "expected an empty folder" in full.stderr or "outside" in full.stderr


def test_a_file_that_changes_once_it_is_scored_is_refused(
    run: Run, here: list[str], folder: Path, tmp_path: Path
) -> None:
    asked = ("score", "gauss", f"{folder}/*", "-o", f"{tmp_path / 'out'}/")
    assert run(*asked).exit_code == 0
    parquet.write_table(table_of(10), folder / "c.parquet")
    more = run(*asked)
    assert here[4:] == ["c.parquet"]
    assert "scored 810 rows of 3 files" in more.stdout
    parquet.write_table(table_of(9), folder / "c.parquet")
    assert "c.parquet has changed since it was scored" in run(*asked).stderr


@pytest.mark.usefixtures("here")
def test_a_file_that_cannot_be_scored_is_named_and_the_others_are_scored(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    (folder / "bad.csv").write_text(
        "key,pressure,flow,count,site\n1,9,-3,40,7.1\n2,9,low,40,7.1\n"
    )
    result = run("score", "gauss", folder, "-o", f"{output}/")
    assert result.exit_code == 1
    told = result.stderr.splitlines()
    assert len(told) == 2
    assert told[0].startswith(f"logdet: {folder}/bad.csv: ")
    assert "row 2 column 'flow' holds 'low'" in told[0]
    assert told[1].startswith("logdet: 1 of 5 pieces could not be scored")
    assert sorted(p.name for p in output.glob("*.*")) == [
        "a.parquet",
        *(f"b-0000{i}.parquet" for i in range(3)),
    ]
    (folder / "bad.csv").write_text("key,pressure,flow,count,site\n1,9,-3,40,7.1\n")
    mended = run("score", "gauss", folder, "-o", f"{output}/")
    assert mended.exit_code == 0, mended.stderr
    assert "scored 801 rows of 3 files" in mended.stdout


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("kind", [".parquet", ".csv"])
def test_an_fdr_judges_all_files_together_as_one(run: Run, tmp_path: Path, kind: str) -> None:
    parts, root = [table_of(300, 1), table_of(500, 2)], tmp_path / "rows"
    root.mkdir()
    whole = pa.concat_tables(parts)
    parquet.write_table(whole, tmp_path / "whole.parquet")
    for number, part in enumerate(parts):
        path = root / f"{number}{kind}"
        parquet.write_table(part, path) if kind == ".parquet" else write(path, part)
    output = tmp_path / "out"
    result = run("score", "gauss", root, "-o", f"{output}/", "--fdr", "0.2")
    assert result.exit_code == 0, result.stderr
    one = run(
        *("score", "gauss", tmp_path / "whole.parquet", "--fdr", "0.2"),
        *("-o", tmp_path / "one.parquet"),
    )
    assert result.stdout.split(": ")[1].split(", status")[0] in one.stdout
    known = parquet.read_table(tmp_path / "one.parquet")
    reader = parquet.read_table if kind == ".parquet" else arrow_csv.read_csv
    scored = pa.concat_tables(reader(output / f"{n}{kind}") for n in range(2))
    assert scored.column_names == known.column_names
    assert scored["is_anomaly"].to_pylist() == known["is_anomaly"].to_pylist()
    assert not list((output / "_logdet").rglob(f"drafts/*{kind}"))


def test_a_job_at_an_fdr_goes_on_between_its_passes(
    run: Run, here: list[str], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("score", "gauss", folder, "-o", f"{tmp_path / 'out'}/", "--fdr", "0.2")

    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(command, "_level", interrupted)
        assert run(*asked).exit_code == 130
    assert len(here) == 4
    assert run(*asked).exit_code == 0
    assert len(here) == 8  # each judged, none scored again
    assert run(*asked).exit_code == 0
    assert len(here) == 8


@pytest.mark.parametrize("dies", ["before its tally", "before its draft goes"])
def test_a_judge_that_was_interrupted_is_repaired(
    run: Run,
    here: list[str],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dies: str,
) -> None:
    asked = ("score", "gauss", folder, "--fdr", "0.2", "-o")
    whole, output = run(*asked, f"{tmp_path / 'whole'}/"), tmp_path / "out"
    kept = Folder.write

    def write(self: Folder, name: str, content: bytes) -> None:
        is_judged = b'"anomalies":null' not in content
        dies_here = is_judged and name == work.tally_name("b-00001.parquet")
        if dies_here and dies == "before its tally":
            raise KeyboardInterrupt
        kept(self, name, content)
        if dies_here:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "write", write)
        assert run(*asked, f"{output}/").exit_code == 130
    here.clear()
    done = run(*asked, f"{output}/")
    assert done.exit_code == 0, done.stderr
    assert here == ["b-00001.parquet", "b-00002.parquet"]
    assert done.stdout == whole.stdout.replace(str(tmp_path / "whole"), str(output))
    assert not list((output / "_logdet").rglob("drafts/*.parquet"))


@pytest.mark.usefixtures("here")
def test_a_file_without_rows_has_results_without_rows(run: Run, tmp_path: Path) -> None:
    parquet.write_table(table_of(0), tmp_path / "none.parquet")
    (tmp_path / "none.csv").write_text(",".join(NAMES) + "\n")
    output = tmp_path / "out"
    names = [tmp_path / f"none.{kind}" for kind in ("parquet", "csv")]
    result = run("score", "gauss", *names, "-o", f"{output}/")
    assert result.exit_code == 0, result.stderr
    assert parquet.read_table(output / "none.parquet").column_names[-4:] == ANSWERS
    assert (output / "none.csv").read_text().splitlines()[0].count(",") == len(NAMES) + 3


@pytest.mark.usefixtures("here")
def test_rows_without_a_density_keep_their_place(run: Run, tmp_path: Path) -> None:
    x = ordinary_rows(3)
    x[1, 0], x[2, 2] = np.nan, 0.5
    parquet.write_table(pa.table(dict(zip(NAMES, x.T, strict=True))), tmp_path / "x.parquet")
    result = run("score", "gauss", tmp_path / "x.parquet", "-o", f"{tmp_path / 'out'}/")
    assert "status non_finite_input 1, ok 1, out_of_support 1" in result.stdout
    table = parquet.read_table(tmp_path / "out/x.parquet")
    assert table["status"].to_pylist() == ["ok", "non_finite_input", "out_of_support"]
    assert table["is_anomaly"].to_pylist() == [False, None, True]


def test_what_cannot_begin_says_why(run: Run, folder: Path, tmp_path: Path) -> None:
    out = f"{tmp_path / 'out'}/"
    refused = {
        ("score", "gauss", folder): "expected -o FOLDER for the results of several files",
        ("score", "gauss", f"{folder}/*.csv", "-o", out): "there are no files",
        ("score", "gauss", tmp_path / "none.parquet", "-o", out): "there is no file",
        ("score", "gauss", folder, "-o", folder / "in/"): "expected a folder for -o outside of",
        ("score", "gauss", "what://x/a.parquet", "-o", out): "cannot reach what://x/a.parquet",
        ("score", "gauss", folder, "-o", out, "--alpha", "2"): "expected alpha between 0 and 1",
        ("score", "gauss", folder, "-o", out, "--terms"): "expected a model with feature_log_prob",
        ("score", "gauss", folder / "a.parquet", "--workers", 2): "expected -o FOLDER with",
    }
    for asked, reason in refused.items():
        result = run(*asked)
        assert result.exit_code == 1, asked
        assert result.stderr.startswith(f"logdet: {reason}"), result.stderr
    assert not (tmp_path / "out").exists()


def test_results_that_would_share_a_file_are_refused(run: Run, tmp_path: Path) -> None:
    root = tmp_path / "rows"
    root.mkdir()
    parquet.write_table(table_of(400), root / "a.parquet", row_group_size=200)
    parquet.write_table(table_of(10), root / "a-00000.parquet")
    result = run("score", "gauss", root, "-o", f"{tmp_path / 'out'}/")
    assert result.exit_code == 1
    assert result.stderr == (
        "logdet: expected files whose results have different names, got a-00000.parquet from "
        f"{root}/a-00000.parquet and from {root}/a.parquet; score one of them into another "
        "folder\n"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("rate", ["--alpha", "--fdr"])
def test_answers_replace_columns_of_their_names_and_that_is_told_once(
    run: Run, tmp_path: Path, rate: str
) -> None:
    root, output = tmp_path / "rows", tmp_path / "out"
    root.mkdir()
    for name in ("a", "b"):
        old = pa.array(["old"] * 300)
        table = table_of(300).add_column(0, "is_anomaly", old).append_column("status", old)
        parquet.write_table(table, root / f"{name}.parquet")
    result = run("score", "gauss", root, rate, "0.2", "-o", f"{output}/")
    assert result.exit_code == 0, result.stderr
    assert result.stderr == "logdet: replaced the files' own is_anomaly, status\n"
    for name in ("a", "b"):
        scored = parquet.read_table(output / f"{name}.parquet")
        assert scored.column_names == [*table_of(1).column_names, *ANSWERS]
        assert scored.schema.field("is_anomaly").type == pa.bool_()


def test_what_is_told_is_why_a_file_cannot_be_opened() -> None:
    class Full:
        """A file system on which nothing can be opened."""

        def create_dir(self, path: str) -> None: ...

        def open_output_stream(self, path: str, compression: str | None) -> None:
            raise OSError("no space left")

        def delete_file(self, path: str) -> None:
            raise FileNotFoundError(path)

    with (
        pytest.raises(OSError, match="no space left"),
        writing(Full(), "a/b.csv", ".csv", pa.schema([]), False),  # type: ignore[arg-type]
    ):
        pass
