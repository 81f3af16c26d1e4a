"""How exact the graphs of autoencoders are, and what each depth of a posterior is worth."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from exported.base import base_noise
from exported.bounds import (
    BoundAccuracy,
    DepthChoice,
    DepthChoices,
    HeldOutBound,
    HeldOutError,
    ReconstructionAccuracy,
)
from exported.distributions import Base
from exported.draws import bound_noise
from exported.golden import Arrays
from training.bases import StandardNormal
from training.measure import MIN_TOLERANCE, Tolerances, check_batches, summary, tolerance
from training.runner import Answers, Runner
from training.streams import Stream
from training.table import Examples
from training.vae.autoencoder import Autoencoder
from training.vae.data import Observations
from training.vae.evaluate import Bounds, bounds
from training.vae.model import VAE
from training.vae.truth import Truth, log_det

# Most rows measured, and draws of each in the comparison with float64.
MEASURED_ROWS, MEASURED_SAMPLES = 1024, 4
# Most rows and draws of each in the bounds that a manifest tells.
HELD_OUT_ROWS, HELD_OUT_SAMPLES = 1000, 128
# A mean of fewer rows has no standard error worth the name.
MIN_TEST_ROWS = 2
# Largest error of a log weight that is published: nats, plus a share of the weight itself.
MAX_ERROR, MAX_SHARE = 0.02, 1e-4
# Largest error of a decoded row that is published, in deviations of its features.
MAX_DECODE_ERROR = 0.01
NOISE_SEED = 0
TIMED_CALLS = 50


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured.

    Attributes:
        accuracy: For the manifest.
        tolerances: For the manifest's graphs.
    """

    accuracy: BoundAccuracy | ReconstructionAccuracy
    tolerances: Tolerances


def measure(run: Runner, truth: Truth, inputs: Mapping[str, Arrays]) -> Measured:
    """Ask every graph and the float64 model the same.

    Args:
        run: The exported graphs.
        truth: The trained model.
        inputs: By graph.

    Raises:
        ValueError: If an answer depends on the batch, is not finite, or is further from float64
            than may be published.
    """
    asked = {
        name: Answers(name, given, run(name, given), truth(name, given))
        for name, given in inputs.items()
    }
    for answers in asked.values():
        check_batches(run, answers)
    deviation = np.array([column.deviation for column in truth.data.columns.all])
    tolerances = {
        (name, output): tolerance(_worst_of_samples(answers, output), _unit(output, deviation))
        for name, answers in asked.items()
        for output in answers.got
    }
    if truth.data.likelihood in ("bernoulli", "discretised_logistic"):
        # A draw next to the end of a value's share falls to either side, as the last digit says.
        tolerances["draw", "x"] = tolerance(np.zeros((1, len(deviation))), _step(truth.data))
    return Measured(_accuracy(asked, truth.data), tolerances)


def questions(data: Observations, model: VAE, observation: Base) -> dict[str, Arrays]:
    """Inputs of every graph of a VAE: test rows in support, and as many rows of noise."""
    x = _rows(data)
    latents = sum(model.latents)
    base = StandardNormal().describe(latents)
    noise = base_noise(base, NOISE_SEED, 0, MEASURED_SAMPLES * len(x)).astype(np.float32)
    emission = base_noise(observation, NOISE_SEED, 0, len(x)).astype(np.float32)
    depths = model.depths()
    depth = {"depth": np.array(depths[-1], np.int64)} if len(depths) > 1 else {}
    one = noise[: len(x)]
    return {
        "posterior": {"x": x, "noise": one, **depth},
        "log_weight": {"x": x, "noise": noise.reshape(len(x), -1, latents), **depth},
        "decode": {"z": one},
        "draw": {"noise": one, "observation_noise": emission},
        "reconstruct": {"x": x, **depth},
    }


def autoencoder_questions(data: Observations, model: Autoencoder) -> dict[str, Arrays]:
    """Inputs of every graph of an autoencoder, from test rows in support."""
    x = _rows(data)
    z = Truth(model, data)("encode", {"x": x})["z"].astype(np.float32)
    return {"encode": {"x": x}, "decode": {"z": z}, "reconstruct": {"x": x}}


def depth_choices(run: Runner, model: VAE, data: Observations) -> DepthChoices | None:
    """The bound and the cost at every offered depth; None where there is no choice."""
    depths = model.depths()
    if len(depths) < 2:
        return None
    choices = []
    took = _milliseconds(run, model, data)
    for depth in depths:
        found = held_out_bounds(model, data, depth)
        choices.append(
            DepthChoice(
                depth=depth,
                elbo=float(found.elbo.mean()),
                importance_bound=float(found.importance_bound.mean()),
                samples=HELD_OUT_SAMPLES,
                standard_error=_standard_error(found.importance_bound),
                milliseconds=took[depth],
            )
        )
    return DepthChoices(default=depths[-1], offered=tuple(choices))


def held_out_bounds(model: VAE, data: Observations, depth: int | None = None) -> Bounds:
    """Bounds of test rows in the user's own units, nats.

    Where the likelihood is a density, whole numbers have uniform noise, as in training: at the
    middle of its cell alone a row would be likelier than it is.
    """
    rows = _test(data)[:HELD_OUT_ROWS]
    if model.likelihood.is_mass:
        x = data.served(rows).float()
    else:
        x = data.flow_input(rows, data.noise(Stream.TEST)).x
    found = bounds(model, x, HELD_OUT_SAMPLES, data.noise(Stream.TEST, 1), depth)
    shift = log_det(model, data)
    return Bounds(found.elbo + shift, found.importance_bound + shift)


def held_out(model: VAE, data: Observations) -> HeldOutBound:
    """Mean bounds of the test rows in support.

    Raises:
        ValueError: If hardly any test row is in support.
    """
    found = held_out_bounds(model, data)
    mean = float(found.importance_bound.mean())
    pixels = len(data.columns.all)
    is_discrete = data.likelihood == "discretised_logistic" and data.image is not None
    return HeldOutBound(
        rows=len(found.elbo),
        out_of_support=_out_of_support(data),
        samples=HELD_OUT_SAMPLES,
        elbo=float(found.elbo.mean()),
        importance_bound=mean,
        standard_error=_standard_error(found.importance_bound),
        bits_per_dimension=-mean / (pixels * np.log(2.0)) if is_discrete else None,
    )


def held_out_error(model: Autoencoder, data: Observations) -> HeldOutError:
    """Mean reconstruction error of the test rows in support.

    Raises:
        ValueError: As :func:`held_out`.
    """
    rows = _test(data)
    error = Truth(model, data)("reconstruct", data.inputs(rows))["error"]
    return HeldOutError(
        rows=len(error),
        out_of_support=_out_of_support(data),
        error=float(error.mean()),
        standard_error=_standard_error(error),
    )


def score_noise(model: VAE, samples: int, seed: int) -> NDArray[np.float32]:
    """The noise of every score, ``(1, samples, latents)``."""
    base = StandardNormal().describe(sum(model.latents))
    return bound_noise(base, seed, 0, 0, samples).astype(np.float32)[None]


def _accuracy(
    asked: Mapping[str, Answers], data: Observations
) -> BoundAccuracy | ReconstructionAccuracy:
    deviation = np.array([column.deviation for column in data.columns.all])
    decoded = "decode" if "log_weight" in asked else "reconstruct"
    output = "x" if decoded == "decode" else "reconstruction"
    decode = (asked[decoded].error(output) / deviation).max(axis=1)
    rows, lost = len(decode), sum(_non_finite(answers) for answers in asked.values())
    if lost or not (decode <= MAX_DECODE_ERROR).all():
        raise ValueError(
            f"not published: {lost} answers are not finite, and decoded rows are up to "
            f"{decode.max():.3g} deviations from float64, at most {MAX_DECODE_ERROR} is accepted"
        )
    if "log_weight" not in asked:
        return ReconstructionAccuracy(rows=rows, reconstruction_error=summary(decode))
    error = asked["log_weight"].error("log_weight")
    allowed = MAX_ERROR + MAX_SHARE * np.abs(asked["log_weight"].truth["log_weight"])
    if not (error <= allowed).all():
        raise ValueError(
            f"not published: log weights are up to {error.max():.3g} nats from float64, at most "
            f"{MAX_ERROR} and a share of {MAX_SHARE:g} is accepted"
        )
    return BoundAccuracy(
        rows=rows, log_weight_error=summary(error.max(axis=1)), decode_error=summary(decode)
    )


def _non_finite(answers: Answers) -> int:
    finite = [
        np.isfinite(v.reshape(len(v), -1).astype(float)).all(axis=1) for v in answers.got.values()
    ]
    return int((~np.all(finite, axis=0)).sum())


def _worst_of_samples(answers: Answers, output: str) -> NDArray[np.float64]:
    """A log weight's tolerance is one number for all samples, of which there are any number."""
    error = answers.error(output)
    return error.max(axis=1) if output == "log_weight" else error


def _unit(output: str, deviation: NDArray[np.float64]) -> float | NDArray[np.float64]:
    return deviation if output in ("x", "reconstruction") else 1.0


def _step(data: Observations) -> NDArray[np.float64]:
    """What lies between two neighbouring values of a feature, over the smallest tolerance."""
    step = torch.ones(len(data.columns.all), dtype=torch.float64)
    if data.likelihood == "bernoulli":
        step[data.columns.modelled_index] = data.scaling().scale
    return np.asarray(step.numpy() / MIN_TOLERANCE)


def _milliseconds(run: Runner, model: VAE, data: Observations) -> dict[int, float]:
    """Of one row's log weights at each depth, the quickest of many calls that take turns."""
    x = data.inputs(_test(data)[:1])["x"]
    noise = score_noise(model, HELD_OUT_SAMPLES, NOISE_SEED)
    quickest = dict.fromkeys(model.depths(), np.inf)
    for _ in range(TIMED_CALLS):
        for depth, best in quickest.items():
            started = time.perf_counter()
            run("log_weight", {"x": x, "noise": noise, "depth": np.array(depth, np.int64)})
            quickest[depth] = min(best, 1e3 * (time.perf_counter() - started))
    return quickest


def _rows(data: Observations) -> NDArray[np.generic]:
    return data.inputs(_test(data)[:MEASURED_ROWS])["x"]


def _test(data: Observations) -> Examples:
    """Test rows in support."""
    test = data.split.test
    inside = data.in_support(test)
    if inside.sum() < MIN_TEST_ROWS:
        raise ValueError(
            f"expected at least {MIN_TEST_ROWS} test rows in support, got {inside.sum()} of "
            f"{len(inside)}: a column that is constant in training varies in the test"
        )
    return test[inside]


def _out_of_support(data: Observations) -> int:
    return int((~data.in_support(data.split.test)).sum())


def _standard_error(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))
