"""The committed descriptors, and messages whose numbers travel as they lie in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from service.grpc import generate
from service.grpc.pool import message, packed
from tests.rpc import plain


def test_the_committed_descriptors_are_those_of_the_protos() -> None:
    assert generate.main(["--check"]) == 0


def test_descriptors_of_other_protos_are_noticed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in generate.PROTOS.glob("*.proto"):
        text = path.read_text().replace("double alpha = 5", "float alpha = 5")
        (tmp_path / path.name).write_text(text)
    monkeypatch.setattr(generate, "PROTOS", tmp_path)
    assert generate.main(["--check"]) == 1
    assert "run python -m service.grpc.generate" in capsys.readouterr().err
    (tmp_path / "health.proto").write_text("no proto")
    with pytest.raises(ValueError, match="protoc"):
        generate.main(["--check"])


def test_another_argument_is_refused() -> None:
    assert generate.main(["--chekc"]) == 2


@pytest.mark.parametrize(
    ("name", "field", "dtype"),
    [
        ("logdet.v1.Matrix", "values", "<f8"),
        ("logdet.v1.ScoreResponse", "p_value", "<f8"),
        ("inference.InferTensorContents", "fp32_contents", "<f4"),
        ("inference.InferTensorContents", "fp64_contents", "<f8"),
    ],
)
def test_arrays_are_on_the_wire_what_any_generator_puts_there(
    name: str, field: str, dtype: str
) -> None:
    values = np.array([0.1, -np.inf, np.nan, 5e-324, -0.0]).astype(dtype)
    ours = message(name)(**{field: [values.tobytes()]})
    theirs = plain(name)(**{field: values.tolist()})
    assert ours.SerializeToString() == theirs.SerializeToString()
    back = message(name).FromString(theirs.SerializeToString())
    assert packed(back, field) == values.tobytes()
    assert packed(message(name)(), field) == b""
