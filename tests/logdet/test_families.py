"""``logdet families``."""

import subprocess
from pathlib import Path

from tests.terminal import Run
from training.recipes import AUTOENCODERS, FAMILIES

ROOT = Path(__file__).parents[2]


def test_families_of_flows_are_listed_and_below_them_those_of_autoencoders(run: Run) -> None:
    flows, autoencoders = run("families").stdout.split("\n\n")
    for listed, known in ((flows, FAMILIES), (autoencoders, AUTOENCODERS)):
        rows = [line.split(maxsplit=1) for line in listed.splitlines()[1:]]
        assert rows == [[*row] for row in known.items()]


def test_the_contract_of_flows_goes_over_the_families_of_flows(run: Run) -> None:
    (line,) = (
        line for line in (ROOT / "Makefile").read_text().splitlines() if "families |" in line
    )
    script = line.split("families | ")[1].split(")")[0].replace("$$", "$")
    listed = run("families").stdout
    told = subprocess.run(
        ["sh", "-c", script], input=listed, capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == list(FAMILIES)
