"""What a person sees of a finished training run: the short table of what was published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from exported.kinds import AnyManifest, AutoencoderManifest, FlowManifest, VAEManifest
from logdet.text import counted
from logdet.training_view import console_of_names

if TYPE_CHECKING:
    from exported.accuracy import ErrorSummary, StepChoices
    from exported.bounds import DepthChoices
    from training.evidence import Evidence
    from training.run import Published

Row = tuple[str, str]
# Share of the draws that importance weights must be worth for their mean to be trusted.
FEW_DRAWS = 0.01


def show_published(published: Published, checkpoint: Path) -> None:
    """Print the short table of a finished run."""
    manifest = published.manifest
    grid = Table(box=None, pad_edge=False, show_header=False)
    for row in (*_fitted(published), *_trimmed(manifest), *_measured(manifest)):
        grid.add_row(*row)
    grid.add_row("file size", f"{_size(published):,} bytes")
    seconds = f"{manifest.provenance.training_seconds:.1f} ({_length(published)})"
    grid.add_row("seconds of the fit", seconds)
    console = console_of_names()
    console.print(f"published {manifest.name}/{manifest.version} in {published.folder}")
    console.print(grid)
    console.print(f"checkpoint {checkpoint}", soft_wrap=True)
    console.print(f"next: logdet {_next(published)}", highlight=False)


def _fitted(published: Published) -> list[Row]:
    """How good the model is: about the rows it was fitted to, or the energy."""
    from training.evaluate import Separation
    from training.evidence import Evidence

    match published.told:
        case Evidence() as evidence:
            return _normaliser(evidence)
        case Separation() as found:
            area = f"{found.auroc:.4f} of {found.anomalies:,} rows"
            return [*_held_out(published.manifest), ("AUROC, labelled anomalies", area)]
    return _held_out(published.manifest)


def _normaliser(evidence: Evidence) -> list[Row]:
    """What the draws tell of the integral Z of exp(-energy), and how far that can be trusted."""
    estimate = f"{evidence.log_normaliser:.4f} ± {evidence.standard_error:.4f} nats"
    bound = f"{evidence.bound:.4f} ± {evidence.bound_standard_error:.4f} nats"
    size, draws = evidence.effective_sample_size, evidence.draws
    few = "" if size >= FEW_DRAWS * draws else ": too few to trust the estimate"
    return [
        ("log normaliser, estimate", f"{estimate}, by importance weights"),
        ("  effective sample size", f"{size:,.0f} of {draws:,} draws{few}"),
        ("  lower bound", f"{bound}, mean of -E - log q"),
    ]


def _length(published: Published) -> str:
    from training.evidence import Evidence

    if isinstance(published.told, Evidence):
        return counted(published.epochs, "step", "steps")
    return f"{counted(published.epochs, 'epoch', 'epochs')}, best {published.best_epoch}"


def _next(published: Published) -> str:
    from training.evidence import Evidence

    name = published.manifest.name
    drawn = isinstance(published.told, Evidence)
    return f"sample {name} -n 1000 -o FILE" if drawn else f"score {name} FILE"


def _held_out(manifest: AnyManifest) -> list[Row]:
    """How good the model is on rows that took no part in training."""
    match manifest:
        case FlowManifest(held_out=held_out):
            rows = [
                (
                    "test log-likelihood",
                    f"{held_out.log_likelihood:.3f} ± {held_out.standard_error:.3f} nats",
                ),
                ("  standardised columns", f"{held_out.log_likelihood_standardised:.3f} nats"),
                *_a_pixel(held_out.bits_per_dimension, ""),
            ]
        case VAEManifest(held_out=held_out):
            bound = f"{held_out.importance_bound:.3f} ± {held_out.standard_error:.3f} nats"
            rows = [
                ("test importance bound", f"{bound}, {held_out.samples:,} samples a row"),
                ("  elbo", f"{held_out.elbo:.3f} nats"),
                *_a_pixel(held_out.bits_per_dimension, "at most "),
            ]
        case AutoencoderManifest(held_out=held_out):
            error = f"{held_out.error:.4f} ± {held_out.standard_error:.4f} deviations"
            rows = [("test error", error)]
    if held_out.out_of_support:
        zero = "" if manifest.density == "none" else ", with density zero"
        rows.append(("out of support", f"{held_out.out_of_support:,} of the test rows{zero}"))
    return rows


def _trimmed(manifest: AnyManifest) -> list[Row]:
    """What was left out of each part for its scores, and the lowest that stayed."""
    parts = dict(manifest.provenance.trimmed)
    if manifest.calibration.trimmed is not None:
        parts["calibration"] = manifest.calibration.trimmed
    unit = "deviations" if manifest.density == "none" else "nats"
    rows = []
    for part, told in parts.items():
        of = manifest.provenance.rows.get(part, 0)
        cut = "out of support" if told.cut is None else f"{told.cut:.3f} {unit}"
        rows.append((f"trimmed, {part}", f"{told.rows:,} of {of:,} rows, lowest left {cut}"))
    return rows


def _measured(manifest: AnyManifest) -> list[Row]:
    """How exact the graphs are, and what a caller may choose."""
    match manifest:
        case FlowManifest(accuracy=accuracy, steps=steps):
            return [
                ("round-trip error", _summary(accuracy.round_trip_error, "deviations")),
                ("onnxruntime vs float64", _summary(accuracy.log_prob_error, "nats")),
                *_steps(steps),
            ]
        case VAEManifest(accuracy=bound, depth=depth):
            return [
                ("onnxruntime vs float64", _summary(bound.log_weight_error, "nats")),
                ("  decoded rows", _summary(bound.decode_error, "deviations")),
                *_depths(depth),
            ]
        case AutoencoderManifest(accuracy=back):
            error = _summary(back.reconstruction_error, "deviations")
            return [("onnxruntime vs float64", error)]


def _a_pixel(bits: float | None, least: str) -> list[Row]:
    return [] if bits is None else [("  a pixel", f"{least}{bits:.3f} bits per dimension")]


def _steps(steps: StepChoices | None) -> list[Row]:
    """What a caller of a continuous flow may choose, and what one gets who does not."""
    if steps is None:
        return []
    default = next(choice for choice in steps.offered if choice.steps == steps.default)
    error = f"error {default.log_prob_error.p999:.1e} nats at the 99.9th percentile"
    offered = ", ".join(str(choice.steps) for choice in steps.offered)
    return [
        ("steps by default", f"{steps.default}, {error}"),
        ("  on offer", offered),
    ]


def _depths(depth: DepthChoices | None) -> list[Row]:
    """What a caller of a posterior of many layers may choose: how tight, at what cost."""
    if depth is None:
        return []
    rows = [("depths on offer", f"{depth.offered[-1].samples:,} samples a row")]
    for choice in depth.offered:
        default = " (default)" if choice.depth == depth.default else ""
        bounds = f"elbo {choice.elbo:.3f}, importance bound {choice.importance_bound:.3f} nats"
        rows.append((f"  {choice.depth}{default}", f"{bounds}, {choice.milliseconds:.3g} ms"))
    return rows


def _summary(error: ErrorSummary, unit: str) -> str:
    return f"median {error.median:.1e}, largest {error.max:.1e} {unit}"


def _size(published: Published) -> int:
    return sum(path.stat().st_size for path in published.folder.iterdir())
