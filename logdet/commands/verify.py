"""``logdet verify``: is a bundle what it says, on this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from logdet.options import Reference, bundles_option, model_argument, provider_option

if TYPE_CHECKING:
    from exported.bundle import Bundle
    from exported.golden import Replayed
    from exported.manifest import Manifest
    from service.runtime import Runtime

EXAMPLE = """\b
Examples:
  logdet verify shuttle
  logdet verify shuttle/1 --provider cuda
"""


@click.command(epilog=EXAMPLE, short_help="Check a bundle: digests, limits, golden rows.")
@model_argument
@bundles_option
@provider_option
def verify(model: Reference, bundles: Path, provider: Literal["auto", "cpu", "cuda"]) -> None:
    """Read a bundle again: every digest, every limit, and the golden rows in onnxruntime.

    Exits with 1 if an output is further from the golden one than the manifest allows.
    """
    from exported.bundle import read_bundle
    from logdet.errors import user_errors
    from logdet.options import find
    from logdet.text import aligned
    from service.runtime import Runtime

    with user_errors():
        folder = find(bundles, model)
        runtime = Runtime.choose(provider, sessions=1)
        with _named(folder):
            bundle = read_bundle(folder)
            results = _compare(bundle, runtime)
    manifest = bundle.manifest
    rows = [_row(manifest, result) for result in results]
    click.echo(aligned([("graph", "output", "largest error", "tolerance", ""), *rows]))
    wrong = sum(not result.matches for result in results)
    if wrong:
        click.echo(
            f"logdet: {manifest.name}/{manifest.version} does not replay: {wrong} of "
            f"{len(results)} outputs are off on {runtime.provider}",
            err=True,
        )
        sys.exit(1)
    click.echo(
        f"{manifest.name}/{manifest.version} is as its manifest says, on {runtime.provider}"
    )


@contextmanager
def _named(folder: Path) -> Iterator[None]:
    from exported.errors import BundleError
    from logdet.errors import UserError

    try:
        yield
    except BundleError as error:
        raise UserError(f"{folder.parent.name}/{folder.name} is refused: {error}") from error


def _compare(bundle: Bundle, runtime: Runtime) -> list[Replayed]:
    from exported.golden import compare
    from service.loaded import open_sessions
    from service.support import refuse_unsupported

    refuse_unsupported(bundle.manifest)
    sessions = open_sessions(bundle, runtime)
    bundle.calibration()  # refused here if its scores are not as described
    return compare(
        bundle.manifest, bundle.golden(), lambda name, inputs: sessions[name].replay(inputs)
    )


def _row(manifest: Manifest, result: Replayed) -> tuple[str, ...]:
    outputs = manifest.graphs[result.graph].outputs
    tolerance = next(t.tolerance for t in outputs if t.name == result.output)
    absolute = tolerance.absolute
    largest = max(absolute) if isinstance(absolute, tuple) else absolute
    allowed = f"{largest:.1e} + {tolerance.relative:.1e} of the value"
    verdict = "ok" if result.matches else f"MISMATCH, {result.excess:.3g} times the tolerance"
    return result.graph, result.output, f"{result.error:.1e}", allowed, verdict
