"""What one step of the fit minimises."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.bijections import Chain, Continuous
from training.bijections.continuous import is_continuous
from training.flow import Flow
from training.prepared import FlowInput
from training.recipes import CNFConfig, DiffusionConfig, FamilyConfig, MixedConfig
from training.trainee import Trainee

# Most rows whose likelihood chooses the epoch of a continuous flow; each takes dozens of passes.
VALIDATION_ROWS = 2000
# A regression sees a row at one time and one noise in a pass, and a pass costs it far less than
# the validation that ends an epoch.
REGRESSION_PASSES = 5

T_contra = TypeVar("T_contra", bound=Trainee, contravariant=True)

# Rows x, noise and times, the last of shape ``(batch, 1)``, to a place between and the velocity.
Path = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


class Objective(Protocol[T_contra]):
    """A loss, and what is said of a model beside it.

    Attributes:
        is_likelihood: Whether the loss is the negative log-likelihood, nats per row.
        passes: Over the training rows in one epoch, which ends with a validation.
    """

    @property
    def passes(self) -> int:
        """See the class."""

    @property
    def is_likelihood(self) -> bool:
        """See the class."""

    def __call__(
        self, model: T_contra, rows: FlowInput, noise: np.random.Generator, epoch: int
    ) -> Tensor:
        """Mean loss of a batch, a scalar.

        Args:
            model: To be trained.
            rows: A batch.
            noise: For what the loss draws.
            epoch: From 0.
        """

    def nats(self, model: T_contra, rows: FlowInput, noise: np.random.Generator) -> Tensor:
        """What validation averages: of preprocessed rows, nats, shape ``(batch,)``."""

    def validation_rows(self, model: T_contra) -> int | None:
        """How many rows choose the epoch; None for all."""


@dataclass(frozen=True, slots=True)
class Likelihood:
    """The negative log-likelihood.

    Attributes:
        is_likelihood: See :class:`Objective`.
        passes: See :class:`Objective`.
    """

    is_likelihood: bool = True
    passes: int = 1

    def __call__(
        self, model: Flow, rows: FlowInput, noise: np.random.Generator, epoch: int
    ) -> Tensor:
        """See :class:`Objective`."""
        return -self.nats(model, rows, noise).mean()

    def nats(self, model: Flow, rows: FlowInput, noise: np.random.Generator) -> Tensor:
        """See :meth:`Objective.nats`."""
        nats: Tensor = model(rows.x, rows.context)
        return nats

    def validation_rows(self, model: Flow) -> int | None:
        """See :meth:`Objective.validation_rows`."""
        return VALIDATION_ROWS if is_continuous(model.bijection) else None


@dataclass(frozen=True, slots=True)
class Regression(Likelihood):
    r"""The squared distance of a velocity to that of a path from each row to noise.

    The velocity that minimises it carries the data's density to the noise's, so that no solver
    runs in training. With the path :func:`straight` this is flow matching (Lipman et al., section
    4.1). With :func:`variance_preserving` it is denoising score matching: the score s of noisy
    rows z and this velocity v determine each other by :math:`v = -\dot\theta \tan(\theta) (s + z)`
    at the angle :math:`\theta = \pi t / 2`, so that at every time the squared distances of the two
    are proportional (``docs/decisions/0006-continuous-flows.md``).

    The layers before the continuous one are fitted by their own likelihood at the same time, as if
    the latent began behind them, and no gradient of the regression reaches them.

    Attributes:
        path: From a row to noise.
        is_likelihood: See :class:`Objective`.
        passes: See :class:`Objective`.

    References:
        Lipman et al., Flow matching for generative modeling (2023).
        https://arxiv.org/abs/2210.02747
        Song et al., Score-based generative modeling through stochastic differential equations
        (2021), section 4.3 and appendix D. https://arxiv.org/abs/2011.13456
    """

    path: Path = field(kw_only=True)
    is_likelihood: bool = False
    passes: int = REGRESSION_PASSES

    def __call__(
        self, model: Flow, rows: FlowInput, noise: np.random.Generator, epoch: int
    ) -> Tensor:
        """See :class:`Objective`."""
        before, layer = _split(model.bijection)
        start, log_det = before.encode(rows.x, rows.context)
        nats = (model.base.log_prob(start) + log_det).mean()
        start = start.detach()
        t = torch.from_numpy(_times(len(start), noise)).to(start)
        end = torch.from_numpy(noise.standard_normal(start.shape, dtype=np.float32)).to(start)
        place, velocity = self.path(start, end, t[:, None])
        error: Tensor = layer.velocity(place, t, rows.context) - velocity
        return (error * error).sum(dim=1).mean() - nats


def straight(x: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """From row to noise in a straight line at constant speed."""
    return (1.0 - t) * x + t * noise, noise - x


def variance_preserving(x: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """From row to noise along a quarter of a circle, on which unit variance stays so."""
    angle = 0.5 * math.pi * t
    cosine, sine = angle.cos(), angle.sin()
    return cosine * x + sine * noise, 0.5 * math.pi * (cosine * noise - sine * x)


def objective_of(model: FamilyConfig) -> Objective[Flow]:
    """The loss that a family is trained with; a mixed chain's is that of its last part."""
    if isinstance(model, MixedConfig):
        return objective_of(model.layers[-1])
    if isinstance(model, DiffusionConfig):
        return Regression(path=variance_preserving)
    if isinstance(model, CNFConfig) and model.objective == "flow_matching":
        return Regression(path=straight)
    return Likelihood()


def _split(chain: Chain) -> tuple[Chain, Continuous]:
    *before, last = chain.bijections
    if not isinstance(last, Continuous):
        raise TypeError(f"expected a continuous layer at the end, got {type(last).__name__}")
    return Chain(before), last


def _times(rows: int, noise: np.random.Generator) -> NDArray[np.float32]:
    """Times in [0, 1), spread evenly over the batch from a random start."""
    times = (noise.random() + np.arange(rows) / rows) % 1.0
    return np.asarray(times, dtype=np.float32)
