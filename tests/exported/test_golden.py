from pathlib import Path

import numpy as np
import pytest

from exported.arrays import write_arrays
from exported.bundle import Bundle, read_bundle
from exported.errors import BundleInvalidError
from exported.golden import Arrays, replay
from exported.kinds import FlowManifest


@pytest.fixture
def bundle(folder: Path) -> Bundle:
    return read_bundle(folder)


def answers(bundle: Bundle, graph: str) -> dict[str, np.ndarray]:
    prefix = f"{graph}.out."
    found = bundle.golden().items()
    return {key.removeprefix(prefix): a.copy() for key, a in found if key.startswith(prefix)}


def replay_with(bundle: Bundle, output: str, change: object, graph: str = "log_prob") -> None:
    def run(name: str, inputs: Arrays) -> Arrays:
        got = answers(bundle, name)
        if name == graph:
            got[output] = got[output] + np.asarray(change)
        return got

    replay(bundle.manifest, bundle.golden(), run)


def with_tolerance(bundle: Bundle, absolute: object, relative: float) -> Bundle:
    document = bundle.manifest.model_dump(mode="json")
    for graph in document["graphs"].values():
        for tensor in graph["outputs"]:
            fits = absolute if tensor["shape"] == [-1, 2] else 0.0
            tensor["tolerance"] = {"absolute": fits, "relative": relative}
    return Bundle(FlowManifest.model_validate(document), bundle.contents)


def test_every_output_of_every_graph_is_compared(bundle: Bundle) -> None:
    results = replay(bundle.manifest, bundle.golden(), lambda name, _: answers(bundle, name))
    assert [(r.graph, r.output) for r in results] == [
        ("log_prob", "log_prob"),
        ("log_prob", "z"),
        ("log_prob", "log_det"),
        ("decode", "x"),
        ("decode", "log_det"),
    ]
    assert all(r.error == 0.0 and r.excess == 0.0 for r in results)


def test_the_graph_gets_the_golden_inputs(bundle: Bundle) -> None:
    def run(name: str, inputs: Arrays) -> Arrays:
        tensor = "x" if name == "log_prob" else "z"
        np.testing.assert_array_equal(inputs[tensor], bundle.golden()[f"{name}.in.{tensor}"])
        return answers(bundle, name)

    replay(bundle.manifest, bundle.golden(), run)


def test_within_the_tolerance_is_accepted_and_over_it_refused(bundle: Bundle) -> None:
    replay_with(bundle, "log_prob", [1e-4, 1.1e-4])
    with pytest.raises(BundleInvalidError, match=r"log_prob\.log_prob is off by 0\.00013, 1\.08"):
        replay_with(bundle, "log_prob", [0.0, 1.3e-4])
    with pytest.raises(BundleInvalidError, match=r"decode\.log_det is off by 1, "):
        replay_with(bundle, "log_det", [1.0, 0.0], graph="decode")


@pytest.mark.parametrize("output", ["log_prob", "z", "log_det"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_answer_that_is_not_finite_is_refused_in_any_output(
    bundle: Bundle, output: str, value: float
) -> None:
    change = np.zeros(2)
    change[1] = value
    with pytest.raises(BundleInvalidError, match=rf"log_prob\.{output} is off by (nan|inf)"):
        replay_with(bundle, output, change)


def test_a_tolerance_of_zero_asks_for_equality(bundle: Bundle) -> None:
    strict = with_tolerance(bundle, 0.0, 0.0)
    replay_with(strict, "log_prob", 0.0)
    with pytest.raises(BundleInvalidError, match="inf times the tolerance"):
        replay_with(strict, "log_prob", 1e-12)


def test_columns_have_their_own_tolerances(bundle: Bundle) -> None:
    by_column = with_tolerance(bundle, [1e-6, 1.0], 0.0)
    replay_with(by_column, "z", [0.0, 0.5])
    with pytest.raises(BundleInvalidError, match=r"log_prob\.z is off"):
        replay_with(by_column, "z", [0.5, 0.0])


def test_an_answer_of_another_shape_is_refused(bundle: Bundle) -> None:
    with pytest.raises(BundleInvalidError, match=r"log_prob\.z has shape \(3, 2, 2\)"):
        replay_with(bundle, "z", np.zeros((3, 2, 2)))


@pytest.mark.parametrize("lack", ["missing", "empty"])
def test_golden_rows_that_are_not_there_are_refused(bundle: Bundle, lack: str) -> None:
    golden = bundle.golden()
    golden["decode.out.x"] = golden["decode.out.x"][:0]
    if lack == "missing":
        del golden["decode.out.x"]
    with pytest.raises(BundleInvalidError, match=r"no array 'decode\.out\.x'"):
        replay(bundle.manifest, golden, lambda name, _: answers(bundle, name))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"scores": np.zeros(99)}, "has no array 'log_prob'"),
        ({"log_prob": np.zeros(98)}, r"scores of shape \(98,\), expected \(99,\)"),
        ({"log_prob": np.full(99, np.nan)}, "without NaN"),
    ],
)
def test_calibration_scores_other_than_described_are_refused(
    bundle: Bundle, arrays: dict, message: str
) -> None:
    contents = {**bundle.contents, "calibration.npz": write_arrays(arrays)}
    with pytest.raises(BundleInvalidError, match=message):
        Bundle(bundle.manifest, contents).calibration()
