"""``logdet families``."""

from tests.terminal import Run
from training.recipes import FAMILIES


def test_families_are_listed(run: Run) -> None:
    _, *listed = run("families").stdout.splitlines()
    assert [line.split(maxsplit=1) for line in listed] == [[*row] for row in FAMILIES.items()]
