"""``logdet score NAME -``: lines of JSON on their way through."""

import codecs
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import exported
from logdet import lines
from logdet.opening import open_model
from logdet.options import Reference
from logdet.placed import Asking
from tests.bundles import NAMES, SITE, calibration_of, exact, ordinary_rows
from tests.terminal import Run

SHIPPED = Path(exported.__file__).parent / "bundles"


def line_of(row: np.ndarray, **keys: object) -> str:
    return json.dumps(keys | dict(zip(NAMES, row.tolist(), strict=True)))


@pytest.fixture
def asking(bundles: Path) -> Asking:
    return Asking(open_model(bundles, Reference("gauss", None), "cpu", "score"), None, False)


def test_every_line_is_answered_in_order_with_its_own_fields_first(run: Run) -> None:
    x = ordinary_rows(500)
    text = "\n".join(line_of(row, key=f"r{i}") for i, row in enumerate(x))
    result = run("score", "gauss", "-", "--alpha", "0.05", stdin=text)
    assert result.exit_code == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["key"] for row in rows] == [f"r{i}" for i in range(500)]
    assert list(rows[0]) == ["key", *NAMES, "log_prob", "p_value", "is_anomaly", "status"]
    known = exact(x).log_prob
    np.testing.assert_allclose([row["log_prob"] for row in rows], known, atol=1e-4)
    p_value = calibration_of().p_value(np.array([row["log_prob"] for row in rows]))
    np.testing.assert_array_equal([row["p_value"] for row in rows], p_value)
    assert [row["is_anomaly"] for row in rows] == (p_value <= 0.05).tolist()


def test_fields_are_written_as_they_were_read(run: Run) -> None:
    text = f' {{"id": {"123" * 9}, "pressure":9.50,"flow" : -3e0, "count": 40,"site":{SITE} }} '
    result = run("score", "gauss", "-", stdin=text + "\n")
    assert result.stdout.startswith(text.strip()[:-1].rstrip() + ',"log_prob":')


def test_fields_of_the_answers_names_are_replaced(run: Run) -> None:
    row = ordinary_rows(1)[0]
    first = run("score", "gauss", "-", stdin=line_of(row, key=1) + "\n").stdout
    again = run("score", "gauss", "-", stdin=first.replace('"ok"', '"old"')).stdout
    assert json.loads(again) == json.loads(first)
    assert again.count("status") == 1


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("oops", "expected a JSON object, got 'oops'"),
        ('{"pressure": NaN}', "expected a JSON object, got '{\"pressure\": NaN}'"),
        ("[1, 2]", "expected a JSON object, got a list"),
        (
            '{"pressure": 1e999}',
            "expected numbers that float64 can hold, got '{\"pressure\": 1e999}'",
        ),
        (
            '{"pressure": 1, "flow": 2}',
            "expected a number or null as pressure, flow, count, site; lacking: count, site",
        ),
        (
            '{"pressure": 1, "flow": "low", "count": 40, "site": 7.1}',
            "expected a number or null as 'flow', got text",
        ),
        (
            '{"pressure": true, "flow": 2, "count": 40, "site": 7.1}',
            "expected a number or null as 'pressure', got a truth value",
        ),
    ],
)
def test_a_wrong_line_is_its_own_error_and_not_the_end(run: Run, line: str, error: str) -> None:
    good = [line_of(row) for row in ordinary_rows(2)]
    result = run("score", "gauss", "-", stdin="\n".join([good[0], "", line, good[1]]))
    answers = [json.loads(text) for text in result.stdout.splitlines()]
    assert [answer.get("status") for answer in answers] == ["ok", None, "ok"]
    assert answers[1]["error"] == f"line 2: {error}"
    assert answers[1]["kind"] == "invalid_input"
    assert result.exit_code == 1
    assert result.stderr == "logdet: 1 of 3 lines had an error\n"


def test_an_objects_fields_stand_beside_its_error(run: Run) -> None:
    text = line_of(ordinary_rows(1)[0]) + '\n{"key": "r7", "error": "mine"}\n'
    told = json.loads(run("score", "gauss", "-", stdin=text).stdout.splitlines()[1])
    assert told["key"] == "r7"
    assert told["error"].startswith("line 2: expected a number or null as pressure")


def test_rows_without_a_density_say_why(run: Run) -> None:
    x = ordinary_rows(3)
    text = [line_of(row) for row in x]
    text[1] = json.dumps(json.loads(text[1]) | {"flow": None})
    text[2] = json.dumps(json.loads(text[2]) | {"count": 0.5})
    answers = [
        json.loads(line)
        for line in run("score", "gauss", "-", stdin="\n".join(text)).stdout.splitlines()
    ]
    assert [a["status"] for a in answers] == ["ok", "non_finite_input", "out_of_support"]
    assert [a["log_prob"] is None for a in answers] == [False, True, True]
    assert [a["is_anomaly"] for a in answers] == [False, None, True]


class Slow:
    """A source that gives what it has piece by piece, and remembers what was answered between."""

    def __init__(self, pieces: list[bytes], sink: io.BytesIO) -> None:
        self._pieces, self._sink = pieces, sink
        self.answered: list[int] = []

    def read1(self, size: int, /) -> bytes:
        self.answered.append(self._sink.getvalue().count(b"\n"))
        return self._pieces.pop(0) if self._pieces else b""


def test_what_has_arrived_is_answered_before_more_is_waited_for(asking: Asking) -> None:
    text = [line_of(row).encode() + b"\n" for row in ordinary_rows(4)]
    sink = io.BytesIO()
    source = Slow([text[0] + text[1][:9], text[1][9:], text[2] + text[3][:-1]], sink)
    counts = lines.score_lines(asking, source, b"", sink)
    assert source.answered == [0, 1, 2, 3]
    assert sink.getvalue().count(b"\n") == 4
    assert (counts.total, counts.failed) == (4, 0)


def test_blank_lines_before_the_first_one_are_not_kept() -> None:
    text = line_of(ordinary_rows(1)[0]).encode()
    source = Slow([b"\n" * lines.BLOCK_BYTES] * 26 + [b"\n" + text], io.BytesIO())
    start = lines.begun(source)
    assert len(start) < 2 * lines.BLOCK_BYTES
    assert start.strip() == text
    few = codecs.BOM_UTF8 + b"\n \n"
    assert lines.begun(Slow([few, b"a,b\n"], io.BytesIO())) == few + b"a,b\n"


def test_a_line_without_an_end_is_given_up_and_the_next_one_is_not(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "LIMIT_LINE_BYTES", 500)
    good = [line_of(row).encode() + b"\n" for row in ordinary_rows(2)]
    sink = io.BytesIO()
    long = [good[0], b'{"key": "', *[b"x" * 400] * 5, b'"}\n' + good[1]]
    counts = lines.score_lines(asking, Slow(long, sink), b"", sink)
    answers = [json.loads(line) for line in sink.getvalue().splitlines()]
    assert [a.get("status", a.get("error")) for a in answers] == [
        "ok",
        "line 2: expected at most 500 bytes",
        "ok",
    ]
    assert (counts.total, counts.failed) == (3, 1)


def test_answers_are_the_same_bits_however_lines_arrive() -> None:
    model = open_model(SHIPPED, Reference("shuttle", None), "cpu", "score")
    asked = Asking(model, None, False)
    x = np.asarray(model.sample(101, 0).rows.x)
    names = [feature.name for feature in model.manifest.features]
    text = [json.dumps(dict(zip(names, r.tolist(), strict=True))).encode() + b"\n" for r in x]
    text.insert(5, b"oops\n")

    def answers(pieces: Iterator[bytes]) -> bytes:
        sink = io.BytesIO()
        lines.score_lines(asked, Slow(list(pieces), sink), b"", sink)
        return sink.getvalue()

    whole = answers(iter([b"".join(text)]))
    assert whole == answers(iter(text))
    assert whole == answers(b"".join(text[i : i + 7]) for i in range(0, len(text), 7))
    values = [json.loads(line)["log_prob"] for line in whole.splitlines() if b"error" not in line]
    np.testing.assert_array_equal(np.float32(values), model.evaluate(x).log_prob)


def test_lines_are_decided_by_the_score_asked_for(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGDET_BUNDLES", str(SHIPPED))
    model = open_model(SHIPPED, Reference("shuttle", None), "cpu", "score")
    x = np.asarray(model.sample(3, 0).rows.x)
    names = [feature.name for feature in model.manifest.features]
    text = "".join(json.dumps(dict(zip(names, r.tolist(), strict=True))) + "\n" for r in x)
    told = [
        json.loads(line)
        for line in run("score", "shuttle", "-", "--by", "typicality", stdin=text).stdout.split(
            "\n"
        )
        if line
    ]
    mean = model.manifest.calibration.reference.mean_log_prob
    for line in told:
        log_prob = float(np.float32(line["log_prob"]))
        assert line["score"] == pytest.approx(-abs(log_prob - mean), rel=1e-12)
    refused = run("score", "shuttle", "-", "--explain", stdin=text)
    assert refused.stderr == "logdet: expected --explain of one file, not lines of JSON\n"


def test_what_lines_have_not_is_refused(run: Run, tmp_path: Path) -> None:
    text = line_of(ordinary_rows(1)[0])
    named = run("score", "gauss", "-", "-o", tmp_path / "out.csv", stdin=text)
    assert named.exit_code == 1
    assert "lines of JSON go to standard output" in named.stderr
    judged = run("score", "gauss", "-", "--fdr", "0.1", stdin=text)
    assert judged.stderr == (
        "logdet: expected --alpha for lines of JSON: --fdr judges all rows together, and these "
        "are answered as they come\n"
    )
    assert judged.stdout == ""
    small = run("score", "gauss", "-", "--alpha", "1e-9", stdin=text)
    assert "expected alpha of at least 0.001" in small.stderr


def command(*args: object) -> list[str]:
    return [sys.executable, "-m", "logdet", *map(str, args)]


def test_a_reader_that_goes_away_ends_the_command_without_a_trace(bundles: Path) -> None:
    text = "".join(line_of(row) + "\n" for row in ordinary_rows(20_000))
    asked = subprocess.Popen(
        command("score", "gauss", "-", "--bundles", bundles),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert asked.stdin
    assert asked.stdout
    asked.stdin.write(text[:1000].rpartition("\n")[0] + "\n")
    asked.stdin.flush()
    assert asked.stdout.readline().startswith("{")  # while the source is still open
    asked.stdout.close()
    with pytest.raises(BrokenPipeError):
        asked.stdin.write(text)
    with suppress(BrokenPipeError):
        asked.stdin.close()
    assert asked.stderr
    assert asked.stderr.read() == ""
    assert asked.wait(30) == 1
    asked.stderr.close()


@pytest.mark.slow
def test_a_million_lines_take_no_more_memory_than_few(bundles: Path, tmp_path: Path) -> None:
    text = "".join(line_of(row) + "\n" for row in ordinary_rows(10_000))
    peaks = {}
    for times in (1, 100):
        source, sink = tmp_path / "in.ndjson", tmp_path / "out.ndjson"
        source.write_text(text * times)
        with source.open("rb") as read, sink.open("wb") as written:
            asked = subprocess.Popen(
                command("score", "gauss", "-", "--bundles", bundles), stdin=read, stdout=written
            )
            _, code, used = os.wait4(asked.pid, 0)
            asked.returncode = code
        assert code == 0
        with sink.open("rb") as answers:
            assert sum(b'"status":"ok"' in line for line in answers) == 10_000 * times
        peaks[times] = used.ru_maxrss / 1024  # MiB
    assert peaks[100] < peaks[1] + 100
