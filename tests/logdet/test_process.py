"""The command as a process of its own: how fast it starts, and how it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

START_LIMIT_S = 1.5
TELL_MODULES = (
    "import sys\nfrom logdet.cli import main\ntry:\n    main(sys.argv[1:])\nfinally:\n"
    "    print(*sys.modules, file=sys.stderr)"
)


@pytest.mark.parametrize(
    "args", [["--help"], ["models"], ["families"], ["train", "--help"], ["plot", "--help"]]
)
def test_a_command_starts_at_once(bundles: Path, args: list[str]) -> None:
    took = min(_seconds(args, bundles) for _ in range(3))
    assert took < START_LIMIT_S


@pytest.mark.parametrize(
    "args",
    [["--help"], ["models"], ["families"], ["plot", "--help"], ["sample", "gauss"]],
)
def test_nothing_heavy_is_imported_where_it_is_not_used(bundles: Path, args: list[str]) -> None:
    done = _process([sys.executable, "-c", TELL_MODULES, *args], bundles)
    assert done.returncode == 0, done.stderr
    heavy = {"torch", "onnx", "ray", "sklearn", "uvicorn", "starlette", "matplotlib"}
    if args[0] != "sample":
        heavy |= {"pyarrow", "onnxruntime"}
    assert heavy & set(done.stderr.split()) == set()


def test_calibrating_needs_nothing_of_training(bundles: Path, rows_file: Path) -> None:
    args = ["calibrate", "gauss", "--data", str(rows_file)]
    done = _process([sys.executable, "-c", TELL_MODULES, *args], bundles)
    assert done.returncode == 0, done.stderr
    assert {"torch", "onnx", "sklearn", "scipy", "training"} & set(done.stderr.split()) == set()


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
