"""How exact the exported graphs are, and whether that is exact enough to publish."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from exported.accuracy import Accuracy, ErrorSummary
from exported.base import base_log_prob, base_noise
from exported.kinds import GRADIENT_GRAPH, REFERENCE_GRAPH
from exported.manifest import Tolerance
from training import reference
from training.bijections import Chain
from training.bijections.continuous import is_continuous
from training.flow import Flow
from training.prepared import Prepared
from training.runner import Answers, Runner, ask

# Most rows measured, of the held-out rows and of noise, and most numbers in them.
MEASURED_ROWS, MEASURED_NUMBERS = 20_000, 2**20
# Every graph answers the same at these batch sizes as it does at the largest.
BATCHES = (1, 5, 17, 1024)
# The same row may differ by this share between batch sizes.
BATCH_TOLERANCE = 1e-5
# Largest error of log_prob that is published: nats, plus a share of log_prob itself.
MAX_LOG_PROB_ERROR, MAX_LOG_PROB_SHARE = 0.02, 1e-4
# Share of the rows whose gradients are that near, or as near as a share of their largest entry.
MIN_EXACT_GRADIENTS, MAX_GRADIENT_SHARE = 0.99, 1e-3
# Largest disagreement of decode and log_prob that is published, nats, for all but one row of noise
# in a thousand.
MAX_DECODE_ERROR = 0.1
# Largest round-trip error that is published, in deviations, for all but one row in a thousand.
MAX_ROUND_TRIP_ERROR = 0.02
# Golden rows must replay on other processors too: room above what was measured on this one.
HEADROOM = 4.0
RELATIVE_TOLERANCE = 1e-5
MIN_TOLERANCE = 1e-4
LEAST_TOLERANCE = Tolerance(absolute=MIN_TOLERANCE, relative=RELATIVE_TOLERANCE)
NOISE_SEED = 0
# Quadrature of one- and two-dimensional densities: half width in deviations, points per axis. The
# points are spread as hyperbolic sines, dense in the middle and reaching into heavy tails.
MASS_HALF_WIDTH, MASS_POINTS = 100.0, 1001
# Points per axis of two features for a continuous flow, which is smooth and dear to evaluate.
CONTINUOUS_MASS_POINTS = 201


Tolerances = Mapping[tuple[str, str], Tolerance]


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured.

    Attributes:
        accuracy: For the manifest.
        tolerances: For the manifest's graphs, by graph and output.
    """

    accuracy: Accuracy
    tolerances: Tolerances


def measure(run: Runner, density: Flow, prepared: Prepared) -> Measured:
    """Measure the graphs, on held-out rows and on noise.

    Args:
        run: The exported graphs.
        density: The trained flow, float64.
        prepared: Its data.

    Raises:
        ValueError: If an answer depends on the batch, is not finite, or is further from float64
            than may be published.
    """
    asked = _asked(run, density, prepared)
    for graph, answers in asked.items():
        if graph != GRADIENT_GRAPH:  # which jumps where a spline's pieces meet
            check_batches(run, answers)
    encoded, decoded = asked["log_prob"], asked["decode"].within_float32()
    back, again = (
        round_trip(run, encoded, prepared),
        _decode_consistency(run, decoded, density, prepared),
    )
    accuracy = Accuracy(
        rows=len(encoded.got["log_prob"]),
        log_prob_error=summary(encoded.error("log_prob")),
        round_trip_error=summary(back),
        decode_log_prob_error=summary(again),
        mass=_mass(density, prepared),
        non_finite=_non_finite_rows(encoded, back) + _non_finite_rows(decoded, again),
    )
    _refuse_inaccurate(accuracy, encoded)
    if "feature_log_prob" in asked:
        _refuse_inaccurate_terms(asked["feature_log_prob"])
    if GRADIENT_GRAPH in asked:
        _refuse_inaccurate_gradients(asked[GRADIENT_GRAPH])
    if REFERENCE_GRAPH in asked:
        reference.refuse_inexact(asked[REFERENCE_GRAPH])
    return Measured(accuracy, _tolerances({**asked, "decode": decoded}, prepared))


def _asked(run: Runner, density: Flow, prepared: Prepared) -> dict[str, Answers]:
    """Every graph's answers: about test rows in support, and about as many rows of noise."""
    features = len(prepared.columns.modelled)
    rows = min(MEASURED_ROWS, max(1, MEASURED_NUMBERS // features))
    test = prepared.split.test
    test = test[prepared.in_support(test)][:rows]
    noise = base_noise(density.base.describe(features), NOISE_SEED, 0, rows)
    contexts = prepared.contexts(np.resize(test.context, (len(noise), test.context.shape[1])))
    inputs = {
        "log_prob": prepared.inputs(test),
        "decode": {"z": noise.astype(np.float32), **contexts},
    }
    if density.has_terms():
        inputs["feature_log_prob"] = inputs["log_prob"]
    asked = {graph: ask(run, density, prepared, graph, given) for graph, given in inputs.items()}
    if GRADIENT_GRAPH in run.names:
        asked[GRADIENT_GRAPH] = ask(run, density, prepared, GRADIENT_GRAPH, inputs["log_prob"])
    if REFERENCE_GRAPH in run.names:
        asked[REFERENCE_GRAPH] = reference.answers(run, asked["log_prob"])
    return asked


def _tolerances(
    asked: Mapping[str, Answers], prepared: Prepared
) -> dict[tuple[str, str], Tolerance]:
    deviation = np.array([column.deviation for column in prepared.columns.all])
    return {
        (graph, output): tolerance(
            answers.error(output),
            deviation if output == "x" else 1.0,
            reference.LEAST_TOLERANCE if graph == REFERENCE_GRAPH else LEAST_TOLERANCE,
        )
        for graph, answers in asked.items()
        for output in answers.got
    }


def check_batches(run: Runner, answers: Answers) -> None:
    """Refuse a graph whose answers about a row depend on the rows beside it.

    Raises:
        ValueError: If one does.
    """
    for rows in BATCHES:
        few = {k: v[:rows] if v.ndim else v for k, v in answers.inputs.items()}
        part = run(answers.graph, few)
        for name, got in part.items():
            whole = answers.got[name][:rows]
            if got.shape != whole.shape or not np.allclose(
                got, whole, rtol=BATCH_TOLERANCE, atol=BATCH_TOLERANCE, equal_nan=True
            ):
                raise ValueError(
                    f"graph {answers.graph}: {name} of the first {rows} rows depends on the batch"
                )


def round_trip(run: Runner, encoded: Answers, prepared: Prepared) -> NDArray[np.float64]:
    """Largest ``|decode(encode(x)) - x|`` of each row, in deviations of its features."""
    deviation = np.array([column.deviation for column in prepared.columns.all])
    back = run("decode", {"z": encoded.got["z"], **encoded.context()})["x"].astype(np.float64)
    difference = np.abs(back - encoded.inputs["x"].astype(np.float64)) / deviation
    # A changed constant is no error of the flow: decode gives the constant.
    return np.asarray(difference[:, prepared.columns.modelled_index].max(axis=1))


def _decode_consistency(
    run: Runner, decoded: Answers, density: Flow, prepared: Prepared
) -> NDArray[np.float64]:
    """log_prob of a decoded row against base log_prob minus decode's log_det.

    A row moved to the end of a bounded column is another one than the latent's: no difference.
    """
    z, log_det = decoded.inputs["z"], decoded.got["log_det"]
    base = density.base.describe(z.shape[1])
    implied = base_log_prob(base, z.astype(np.float64)) - log_det.astype(np.float64)
    scored = run("log_prob", {"x": decoded.got["x"], **decoded.context()})["log_prob"]
    low, high = prepared.columns.edges
    moved = ((decoded.truth["x"] <= low) | (decoded.truth["x"] >= high)).any(axis=1)
    return np.where(moved, 0.0, np.abs(scored.astype(np.float64) - implied))


def _non_finite_rows(answers: Answers, further: NDArray[np.float64]) -> int:
    """Rows with a non-finite answer, or with one in what the other graph made of it."""
    finite = [
        np.isfinite(value.astype(np.float64)).reshape(len(value), -1).all(axis=1)
        for value in (*answers.got.values(), further)
    ]
    return int((~np.all(finite, axis=0)).sum())


@torch.no_grad()
def _mass(density: Flow, prepared: Prepared) -> float | None:
    """Integral of the float64 density by quadrature over the preprocessed features.

    A conditional density is integrated at the medians of its context.
    """
    features = len(prepared.columns.modelled)
    if features > 2:
        return None
    reach = math.asinh(MASS_HALF_WIDTH)
    dear = features == 2 and is_continuous(density.bijection)
    points = CONTINUOUS_MASS_POINTS if dear else MASS_POINTS
    axis = torch.linspace(-reach, reach, points, dtype=torch.float64)
    places = torch.cartesian_prod(*[axis] * features).reshape(-1, features)
    grid, cells = places.sinh(), places.cosh().log().sum(dim=1)
    to_rows = Chain([b.double() for b in prepared.preprocessing.bijections])
    rows, log_det = to_rows.decode(grid)
    low, high = torch.from_numpy(prepared.columns.edges[:, prepared.columns.modelled_index])
    inside = ((rows >= low) & (rows <= high)).all(dim=1)
    cell = float(axis[1] - axis[0]) ** features
    medians = np.array([[column.centre for column in prepared.context.all]])
    context = prepared.conditions(np.repeat(medians, len(rows), axis=0))
    log_mass = density(rows, context) + log_det + cells
    known = inside & log_mass.isfinite()
    return float(torch.where(known, log_mass, -math.inf).exp().sum()) * cell


def _refuse_inaccurate(accuracy: Accuracy, encoded: Answers) -> None:
    allowed = MAX_LOG_PROB_ERROR + MAX_LOG_PROB_SHARE * np.abs(encoded.truth["log_prob"])
    too_far = int((encoded.error("log_prob") > allowed).sum())
    if accuracy.non_finite or too_far:
        raise ValueError(
            f"not published: of {accuracy.rows} held-out rows {too_far} have a log_prob further "
            f"than {MAX_LOG_PROB_ERROR} nats from float64 (largest error "
            f"{accuracy.log_prob_error.max:.3g}), {accuracy.non_finite} answers are not finite"
        )
    if accuracy.round_trip_error.p999 > MAX_ROUND_TRIP_ERROR:
        raise ValueError(
            "not published: one row in a thousand comes back "
            f"{accuracy.round_trip_error.p999:.3g} deviations off, "
            f"at most {MAX_ROUND_TRIP_ERROR} is accepted"
        )
    if accuracy.decode_log_prob_error.p999 > MAX_DECODE_ERROR:
        raise ValueError(
            "not published: of one drawn row in a thousand the two graphs give log_probs "
            f"{accuracy.decode_log_prob_error.p999:.3g} nats apart, "
            f"at most {MAX_DECODE_ERROR} is accepted"
        )


def _refuse_inaccurate_terms(apart: Answers) -> None:
    error, truth = apart.error("feature_log_prob"), apart.truth["feature_log_prob"]
    # Also refuses what is not a number.
    if not (error <= MAX_LOG_PROB_ERROR + MAX_LOG_PROB_SHARE * np.abs(truth)).all():
        raise ValueError(
            f"not published: the terms of the features are up to {error.max():.3g} nats from "
            f"float64, at most {MAX_LOG_PROB_ERROR} is accepted"
        )


def _refuse_inaccurate_gradients(asked: Answers) -> None:
    """A gradient jumps where pieces meet: rows that float32 puts on the other side are few."""
    error, truth = asked.error(GRADIENT_GRAPH), asked.truth[GRADIENT_GRAPH]
    allowed = MAX_LOG_PROB_ERROR + MAX_GRADIENT_SHARE * np.abs(truth).max(axis=1, keepdims=True)
    exact = float((error <= allowed).all(axis=1).mean())
    if exact < MIN_EXACT_GRADIENTS:
        raise ValueError(
            f"not published: the gradients of {exact:.3%} of the held-out rows are near those of "
            f"float64, at least {MIN_EXACT_GRADIENTS:.0%} are needed"
        )


def summary(error: NDArray[np.float64]) -> ErrorSummary:
    """Of the errors that are finite; the others are counted elsewhere."""
    finite = error[np.isfinite(error)]
    median, p999, largest = np.quantile(finite, (0.5, 0.999, 1.0)) if len(finite) else (0.0,) * 3
    return ErrorSummary(median=float(median), p999=float(p999), max=float(largest))


def tolerance(
    error: NDArray[np.float64],
    unit: float | NDArray[np.float64],
    least: Tolerance = LEAST_TOLERANCE,
) -> Tolerance:
    """What golden rows may differ by, given the errors measured ``(rows, ...)`` and their unit.

    Per entry of the last axis, because features differ in unit.
    """
    absolute = np.maximum(HEADROOM * error.max(axis=0), np.asarray(least.absolute) * unit)
    return Tolerance(
        absolute=float(absolute) if absolute.ndim == 0 else tuple(map(float, absolute)),
        relative=least.relative,
    )
