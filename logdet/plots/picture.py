"""Which picture a model gets."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from exported.manifest import Feature, Manifest
from logdet.frame import Image
from logdet.plots.flow_scene import FlowScene
from logdet.plots.images import MOST_SHOWN
from logdet.plots.images import images as sheets
from logdet.plots.latent import latent
from logdet.plots.latent_scene import LatentScene
from logdet.plots.line import line
from logdet.plots.pairs import pairs
from logdet.plots.plane import plane
from logdet.plots.scene import RECONSTRUCTIONS, Scene
from logdet.text import counted, some
from service.results import Floats

_SHOWN_CONTEXT = 4  # values of a context in a title


def paint(scene: FlowScene | LatentScene, image: Image | None = None) -> Figure:
    """One feature as a curve, two as a plane, more (or a part of them) in pairs; images as such.

    Args:
        scene: What is shown.
        image: Height, width and channels where the first columns are the pixels of an image.
    """
    if isinstance(scene, LatentScene):
        return latent(scene, image)
    if image is not None:
        return sheets(scene, image)
    if scene.whole and len(scene.axes) == 1:
        return line(scene)
    if scene.whole and len(scene.axes) == 2:
        return plane(scene)
    return pairs(scene)


def title(scene: Scene, *, typical: bool, images: bool = False) -> str:
    """What a picture is of: the model, the samples, and what they were given.

    Args:
        scene: What is shown.
        typical: Whether the context is the medians of training.
        images: Whether it is a sheet of images.
    """
    manifest, draw = scene.model.manifest, scene.draw
    made = scene.samples.called
    if made == RECONSTRUCTIONS:
        rows = counted(len(scene.samples.x), "row", "rows")
        return f"{_name(manifest)}: {rows} and what comes back of them"
    samples = f"{draw.rows:,} {made}"
    if images:
        samples = f"{min(len(scene.samples.x), MOST_SHOWN)} images shown of {samples}"
    said = [samples, f"seed {draw.seed}"]
    if draw.steps is not None:
        said.append(f"{draw.steps} steps")
    if draw.context is not None:
        context = _context(manifest.context_features, draw.context[0])
        said.append(f"given {context}" + (" (medians of training)" if typical else ""))
    return f"{_name(manifest)}: {', '.join(said)}"


def _name(manifest: Manifest) -> str:
    return f"{manifest.name}/{manifest.version} ({manifest.family})"


def _context(features: Sequence[Feature], values: Floats) -> str:
    pairs = [f"{f.name} = {value:.10g}" for f, value in zip(features, values, strict=True)]
    return some(pairs, _SHOWN_CONTEXT)
