"""Which score of a VAE tells images of another set: the bound, its typicality, or a ratio.

``python -m training.tables.outliers --mnist FOLDER --fashion FOLDER --out docs/tables`` trains a
model and a background on each of the two sets and scores both (``make outlier-table``).
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training.checkpoint import FitState
from training.fit import fit
from training.recipes import VAEConfig, read_recipe
from training.table import Examples, Split
from training.tables.images import SIDES, images, pixel_names
from training.tables.results import grid
from training.vae.data import Observations, described_observations
from training.vae.evaluate import bounds
from training.vae.model import VAE
from training.vae.objectives import Bound
from training.vae.work import fresh

TABLE = "outliers.md"
SETTINGS = (
    "likelihood=discretised_logistic",
    "latents=[40]",
    "hidden=[300, 300]",
    "posterior=iaf",
    "posterior_layers=2",
    "posterior_hidden=[128]",
    "truncation=false",
    "batch_rows=256",
    "warm_up=5",
    "epochs=15",
    "max_seconds=100000",
)
# Of the pixels that a background sees replaced: what is left is how images of the set are made
# in general, and not what is on them.
MUTATED, SEED = 0.2, 0
ROWS, SAMPLES = 2_000, 64
SCORES = ("the bound", "typicality of the bound", "ratio to a background")

Nats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, slots=True)
class Scorer:
    """A trained model.

    Attributes:
        model: In float32.
        data: What it was trained on.
    """

    model: VAE
    data: Observations

    def bound(self, rows: Examples) -> Nats:
        """Importance bound of each row, nats."""
        x = self.data.served(rows).float()
        return bounds(self.model, x, SAMPLES, np.random.default_rng(SEED)).importance_bound


def trained(split: Split) -> Scorer:
    """A flow-VAE fitted to a set."""
    recipe = read_recipe("vae", SETTINGS)
    data = described_observations(recipe, pixel_names(), split, SIDES)
    model, config = fresh(recipe, data), recipe.model
    if not isinstance(model, VAE) or not isinstance(config, VAEConfig):
        raise TypeError("expected a VAE")
    how = recipe.rows_fit(), Bound(config)
    fit(model, data, how, FitState(), lambda _: None, lambda _: None)
    return Scorer(model, data)


def mutated(split: Split) -> Split:
    """The same images with some of their pixels replaced by any value.

    References:
        Ren et al., Likelihood ratios for out-of-distribution detection (2019), section 3.
        https://arxiv.org/abs/1906.02845
    """
    rng = np.random.default_rng(SEED)

    def changed(part: Examples) -> Examples:
        hit = rng.random(part.rows.shape) < MUTATED
        return Examples(
            np.where(hit, rng.integers(0, 256, part.rows.shape), part.rows), part.context
        )

    return dataclasses.replace(
        split, train=changed(split.train), validation=changed(split.validation)
    )


def separations(inside: Split, outside: Split) -> dict[str, str]:
    """Area under the receiver operating characteristic by score."""
    from sklearn.metrics import roc_auc_score

    model, background = trained(inside), trained(mutated(inside))
    usual = model.bound(inside.validation[:ROWS]).mean()
    parts = inside.test[:ROWS], outside.test[:ROWS]
    found = np.concatenate([model.bound(part) for part in parts])
    base = np.concatenate([background.bound(part) for part in parts])
    is_outside = np.arange(len(found)) >= len(found) // 2
    unlikely = (-found, np.abs(found - usual), base - found)
    return {
        name: f"{roc_auc_score(is_outside, score):.3f}"
        for name, score in zip(SCORES, unlikely, strict=True)
    }


def main() -> None:
    """Train, score and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mnist", type=Path, required=True, help="folder of mnist.npz")
    parser.add_argument("--fashion", type=Path, required=True, help="folder of its idx files")
    parser.add_argument("--out", type=Path, default=Path("docs/tables"))
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)  # before a quarter of an hour of work, not after
    torch.set_num_threads(1)
    sets = {name: images(name, getattr(chosen, name)) for name in ("fashion", "mnist")}
    texts = {}
    for inside, outside in (("fashion", "mnist"), ("mnist", "fashion")):
        title = f"trained on {inside}, {outside} outside"
        texts[title] = separations(sets[inside], sets[outside])
        sys.stdout.write(f"{title}: {texts[title]}\n")
        sys.stdout.flush()
    (chosen.out / TABLE).write_text(
        f"Area under the receiver operating characteristic, {ROWS:,} test images of each set:\n\n"
        + grid("score", SCORES, texts)
        + "\n"
    )


if __name__ == "__main__":
    main()
