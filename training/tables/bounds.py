"""The table of bounds: posteriors and priors with flows, on binary images.

``python -m training.tables.bounds --data FOLDER --out docs/tables`` measures what is missing, a
cell at a time, and writes the table again after each (``make bound-table DATA=FOLDER``).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from training.checkpoint import FitState
from training.fit import EpochReport, fit
from training.recipes import Recipe, VAEConfig, read_recipe
from training.streams import Stream
from training.table import Split
from training.tables.images import IMAGES, SIDES, images, pixel_names
from training.tables.results import grid
from training.vae.build import build_vae
from training.vae.data import Observations, described_observations
from training.vae.evaluate import bounds
from training.vae.model import VAE
from training.vae.objectives import Bound

CELLS, TABLE = "bounds.jsonl", "bounds.md"
# Every row has the same networks, steps and data; only what stands beside its name differs.
COMMON = (
    "likelihood=bernoulli",
    "latents=[40]",
    "hidden=[300, 300]",
    "truncation=false",
    "batch_rows=128",
    "learning_rate=2e-3",
    "warm_up=5",
    "epochs=30",
    "patience=30",
    "max_seconds=100000",
    "clock=processor",
)
BASELINE = "no flow"
METHODS: dict[str, tuple[str, ...]] = {
    BASELINE: (),
    "planar 10": ("posterior=planar", "posterior_layers=10"),
    "planar 40": ("posterior=planar", "posterior_layers=40"),
    "planar 80": ("posterior=planar", "posterior_layers=80"),
    "radial 10": ("posterior=radial", "posterior_layers=10"),
    "sylvester 8": ("posterior=sylvester", "posterior_layers=8"),
    "iaf 4": ("posterior=iaf", "posterior_layers=4", "posterior_hidden=[128]"),
    "nsf 4": ("posterior=nsf", "posterior_layers=4", "posterior_hidden=[128]"),
    "realnvp prior": ("prior=realnvp",),
    "nsf prior": ("prior=nsf",),
    "iaf 4, realnvp prior": (
        "posterior=iaf",
        "posterior_layers=4",
        "posterior_hidden=[128]",
        "prior=realnvp",
    ),
    "two stochastic layers": ("latents=[40, 20]",),
    "two stochastic layers, iaf 4, realnvp prior": (
        "latents=[40, 20]",
        "posterior=iaf",
        "posterior_layers=4",
        "posterior_hidden=[128]",
        "prior=realnvp",
    ),
}
ELBO_SAMPLES = 16
IMPORTANCE_SAMPLES, IMPORTANCE_ROWS = 5_000, 2_000


@dataclass(frozen=True, slots=True)
class Cell:
    """One method on one set, with one seed; nats of the test images.

    Attributes:
        set: Its name.
        seed: Of the parameters and the batches.
        method: Its name.
        settings: What else decides the numbers.
        elbo: Mean over all test images.
        importance_bound: Mean over the first :data:`IMPORTANCE_ROWS` of them.
        gain: Of ``importance_bound`` over the baseline with the same seed, image by image; 0 of
            the baseline.
        gain_error: Standard error of the gain.
        seconds: Of the processor, in the fit.
        epochs: Of the fit.
        best_epoch: The one that was kept.
    """

    set: str
    seed: int
    method: str
    settings: str
    elbo: float
    importance_bound: float
    gain: float
    gain_error: float
    seconds: float
    epochs: int
    best_epoch: int

    def key(self) -> tuple[str, int, str, str]:
        """What makes two cells the same measurement."""
        return self.set, self.seed, self.method, self.settings


def recipe_of(method: str, seed: int, changes: Sequence[str] = ()) -> Recipe:
    """The recipe ``vae`` with the table's settings and the method's own, and any changes."""
    settings = [*COMMON, *METHODS[method], f"seed={seed}", *changes]
    return read_recipe("vae", settings)


def read_cells(path: Path) -> list[Cell]:
    """Cells measured so far; none where there is no file."""
    if not path.is_file():
        return []
    return [Cell(**json.loads(line)) for line in path.read_text().splitlines() if line]


def measure_cell(place: tuple[str, int, str], split: Split, kept: Path) -> Cell:
    """Train and measure a method.

    Args:
        place: Set, seed and method.
        split: The set.
        kept: Folder of the baseline's bounds of each image, which the gains are told from.
    """
    name, seed, method = place
    recipe = recipe_of(method, seed)
    model, data, state = trained(recipe, split, lambda _: None)
    x = data.flow_input(split.test, data.noise(Stream.TEST)).x
    draws = data.noise(Stream.TEST, 1)
    elbo = bounds(model, x, ELBO_SAMPLES, draws).elbo
    bound = bounds(model, x[:IMPORTANCE_ROWS], IMPORTANCE_SAMPLES, draws).importance_bound
    baseline = baseline_file(kept, name, seed)
    if method == BASELINE:
        kept.mkdir(parents=True, exist_ok=True)
        np.save(baseline, bound)
    gains = np.asarray(bound - np.load(baseline, allow_pickle=False))
    return Cell(
        *place,
        settings=_settings(recipe),
        elbo=float(elbo.mean()),
        importance_bound=float(bound.mean()),
        gain=float(gains.mean()),
        gain_error=float(gains.std(ddof=1) / np.sqrt(len(gains))),
        seconds=round(state.seconds, 1),
        epochs=state.epoch,
        best_epoch=state.best_epoch,
    )


def trained(
    recipe: Recipe, split: Split, report: Callable[[EpochReport], None]
) -> tuple[VAE, Observations, FitState]:
    """A recipe's model with its data and how its fit ended, epoch by epoch reported."""
    data = described_observations(recipe, pixel_names(), split, SIDES)
    config = recipe.model
    if not isinstance(config, VAEConfig):
        raise TypeError(f"expected a VAE, got the family {config.family}")
    torch.set_num_threads(recipe.fit.threads)
    torch.manual_seed(recipe.seed)
    model = build_vae(config, data, torch.Generator().manual_seed(recipe.seed))
    how = recipe.rows_fit(), Bound(config)
    return model, data, fit(model, data, how, FitState(), lambda _: None, report)


def baseline_file(kept: Path, name: str, seed: int) -> Path:
    """Where a set's baseline with these settings keeps its bounds of each image."""
    digest = hashlib.sha256(_settings(recipe_of(BASELINE, seed)).encode()).hexdigest()
    return kept / f"{name}-{seed}-{digest[:8]}.npy"


def _settings(recipe: Recipe) -> str:
    return recipe.model_dump_json(include={"seed", "model", "fit"})


def render(cells: Sequence[Cell]) -> str:
    """The tables in Markdown; means over the seeds."""
    parts = []
    for name in IMAGES:
        # Rows of other settings than today's are of another table.
        newest = {
            (c.seed, c.method): c
            for c in cells
            if c.set == name and c.settings == _settings(recipe_of(c.method, c.seed))
        }
        columns: dict[str, dict[str, str]] = {}
        for method in METHODS:
            for column, text in _texts([c for c in newest.values() if c.method == method]):
                columns.setdefault(column, {})[method] = text
        if columns:
            parts.append(f"{name}:\n\n" + grid("posterior and prior", METHODS, columns))
    return (
        "Nats of test images that are binarised at random, 50,000 trained on, 30 epochs for "
        "every row; gains are over no flow, image by image, with two standard errors: over the "
        "images of one seed, over the trainings of several.\n\n" + "\n\n".join(parts) + "\n"
    )


def _texts(cells: Sequence[Cell]) -> list[tuple[str, str]]:
    if not cells:
        return []
    count = len(cells)

    def mean(name: str) -> float:
        return float(np.mean([getattr(cell, name) for cell in cells]))

    # Seeds share their images, and differ by more than those.
    gains = [cell.gain for cell in cells]
    error = cells[0].gain_error if count == 1 else np.std(gains, ddof=1) / np.sqrt(count)
    return [
        ("negative ELBO (10,000 images)", f"{-mean('elbo'):.2f}"),
        (
            "negative importance bound (K = 5,000, 2,000 images)",
            f"{-mean('importance_bound'):.2f}",
        ),
        ("gain", f"{mean('gain'):.2f} ± {2 * error:.2f}" if mean("gain") else "–"),
        ("seconds of the fit", f"{mean('seconds'):.0f}"),
        ("best epoch", f"{mean('best_epoch'):.0f}"),
        ("seeds", str(count)),
    ]


def measure(chosen: argparse.Namespace) -> None:
    """Measure every cell that is not in the file yet."""
    path: Path = chosen.out / CELLS
    for name in chosen.sets:
        split = images(name, chosen.data)
        for seed in chosen.seeds:
            for method in chosen.methods:
                key = name, seed, method, _settings(recipe_of(method, seed))
                has_baseline = baseline_file(chosen.kept, name, seed).is_file()
                known = key in {cell.key() for cell in read_cells(path)}
                if known and (has_baseline or method != BASELINE):
                    continue
                if method != BASELINE and not has_baseline:
                    sys.exit(f"{method} needs the baseline: add --methods {BASELINE!r}")
                cell = measure_cell((name, seed, method), split, chosen.kept)
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("a") as file:
                    file.write(json.dumps(asdict(cell)) + "\n")
                sys.stdout.write(f"{name} {seed} {method}: {dict(_texts([cell]))}\n")
                sys.stdout.flush()
                (chosen.out / TABLE).write_text(render(read_cells(path)))


def watch(chosen: argparse.Namespace) -> None:
    """Tell the validation bound of every epoch, of settings that may be changed; write nothing."""
    for name in chosen.sets:
        split = images(name, chosen.data)
        for seed in chosen.seeds:
            for method in chosen.methods:
                reports: list[EpochReport] = []
                trained(recipe_of(method, seed, chosen.watch), split, reports.append)
                nats = " ".join(f"{report.validation_nats:.1f}" for report in reports)
                sys.stdout.write(f"{name} {seed} {method}: {nats}\n")
                sys.stdout.flush()


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the images")
    parser.add_argument("--out", type=Path, default=Path("docs/tables"))
    parser.add_argument("--kept", type=Path, default=Path("docs/tables/bounds"))
    parser.add_argument("--sets", nargs="+", choices=IMAGES, default=["mnist"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument(
        "--watch",
        nargs="+",
        metavar="KEY=VALUE",
        help="with these settings, tell the validation bound of every epoch and write nothing",
    )
    chosen = parser.parse_args()
    (watch if chosen.watch else measure)(chosen)


if __name__ == "__main__":
    main()
