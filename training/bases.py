"""What a flow's latents are distributed as; learned with the flow where there is what to learn."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from exported import distributions
from exported.base import student_t_log_norm

# Degrees of freedom of a Student-t base. At two the variance ceases to exist, and draws behind an
# arcsinh leave float32; at 128 a row at five deviations is a nat from normal, and float32 still
# tells 1 + z^2 / 128 from 1. Powers of two; the first value is the middle one, 16.
LOG2_DEGREES = (1.0, 7.0)
# Bound of a component's log scale (nats): none collapses onto a value that repeats.
COMPONENT_LOG_SCALE_BOUND = 3.0
# First spread of the components' means and first scale of each, so that the variance is one.
FIRST_SPREAD = math.sqrt(0.5)


class BaseDensity(nn.Module):
    """The density of z."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density in nats of ``(batch, features)``, shape ``(batch,)``."""
        raise NotImplementedError

    def is_factorised(self) -> bool:
        """Whether the latent features are independent, so that each has a term of its own."""
        return False

    def terms(self, z: Tensor) -> Tensor:
        """Of a factorised density: each latent feature's log-density, ``(batch, features)``.

        Raises:
            TypeError: If the density is not factorised.
        """
        raise TypeError(f"{type(self).__name__} has no term for each latent feature")

    def describe(self, features: int) -> distributions.Base:
        """The manifest's entry, for latents of that size."""
        raise NotImplementedError

    def folded(self) -> BaseDensity:
        """The same density with nothing left to compute that does not depend on z."""
        return self


class StandardNormal(BaseDensity):
    """Independent standard normal numbers."""

    def log_prob(self, z: Tensor) -> Tensor:
        """See :meth:`BaseDensity.log_prob`."""
        return -0.5 * (z * z).sum(dim=1) - 0.5 * math.log(2.0 * math.pi) * z.shape[1]

    def is_factorised(self) -> bool:
        """See :meth:`BaseDensity.is_factorised`."""
        return True

    def terms(self, z: Tensor) -> Tensor:
        """See :meth:`BaseDensity.terms`."""
        return -0.5 * (z * z) - 0.5 * math.log(2.0 * math.pi)

    def describe(self, features: int) -> distributions.StandardNormal:
        """See :meth:`BaseDensity.describe`."""
        return distributions.StandardNormal(distribution="standard_normal", draws_per_row=features)


class Uniform(BaseDensity):
    """Independent uniform numbers in (0, 1), where a last ``Squash`` of the chain puts them."""

    def log_prob(self, z: Tensor) -> Tensor:
        """See :meth:`BaseDensity.log_prob`."""
        return z.new_zeros(z.shape[0])

    def is_factorised(self) -> bool:
        """See :meth:`BaseDensity.is_factorised`."""
        return True

    def terms(self, z: Tensor) -> Tensor:
        """See :meth:`BaseDensity.terms`."""
        return torch.zeros_like(z)

    def describe(self, features: int) -> distributions.Uniform:
        """See :meth:`BaseDensity.describe`."""
        return distributions.Uniform(distribution="uniform", draws_per_row=features)


class StudentT(BaseDensity):
    r"""Independent Student-t numbers, each latent feature with its own degrees of freedom.

    A row far out costs the logarithm of its distance, not the square.

    Args:
        features: Size of z.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.heaviness = nn.Parameter(torch.zeros(features))

    def degrees(self) -> Tensor:
        """Degrees of freedom, ``(features,)``."""
        low, high = LOG2_DEGREES
        return torch.exp2(low + (high - low) * torch.sigmoid(self.heaviness))

    def log_prob(self, z: Tensor) -> Tensor:
        """See :meth:`BaseDensity.log_prob`."""
        return _student_t(z, self.degrees(), self._log_norms().sum())

    def is_factorised(self) -> bool:
        """See :meth:`BaseDensity.is_factorised`."""
        return True

    def terms(self, z: Tensor) -> Tensor:
        """See :meth:`BaseDensity.terms`."""
        return self._log_norms() - _student_t_costs(z, self.degrees())

    def describe(self, features: int) -> distributions.StudentT:
        """See :meth:`BaseDensity.describe`."""
        return distributions.StudentT(
            distribution="student_t",
            draws_per_row=2 * features,
            degrees_of_freedom=tuple(self.degrees().tolist()),
        )

    def folded(self) -> BaseDensity:
        """See :meth:`BaseDensity.folded`."""
        return _FoldedStudentT(self.degrees().detach())

    def _log_norms(self) -> Tensor:
        degrees = self.degrees()
        gammas = torch.lgamma(0.5 * (degrees + 1.0)) - torch.lgamma(0.5 * degrees)
        return gammas - 0.5 * (degrees * math.pi).log()


class _FoldedStudentT(BaseDensity):
    """With the logarithms of gamma functions, for which ONNX has no operator, as a constant."""

    degrees: Tensor
    log_norm: Tensor
    log_norms: Tensor

    def __init__(self, degrees: Tensor) -> None:
        super().__init__()
        self.register_buffer("degrees", degrees)
        norms = list(map(student_t_log_norm, degrees.tolist()))
        self.register_buffer("log_norm", torch.tensor(math.fsum(norms), dtype=degrees.dtype))
        self.register_buffer("log_norms", torch.tensor(norms, dtype=degrees.dtype))

    def log_prob(self, z: Tensor) -> Tensor:
        return _student_t(z, self.degrees, self.log_norm)

    def is_factorised(self) -> bool:
        return True

    def terms(self, z: Tensor) -> Tensor:
        return self.log_norms - _student_t_costs(z, self.degrees)


class GaussianMixture(BaseDensity):
    """A mixture of normal densities with diagonal covariances.

    Args:
        features: Size of z.
        components: How many.
    """

    def __init__(self, features: int, components: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(components))
        self.means = nn.Parameter(FIRST_SPREAD * torch.randn(components, features))
        first = math.log(FIRST_SPREAD)
        self.free_log_scales = nn.Parameter(torch.full((components, features), first))

    def log_prob(self, z: Tensor) -> Tensor:
        """See :meth:`BaseDensity.log_prob`."""
        return _mixture(z, self.logits.log_softmax(dim=0), self.means, self._log_scales())

    def describe(self, features: int) -> distributions.GaussianMixture:
        """See :meth:`BaseDensity.describe`."""
        return distributions.GaussianMixture(
            distribution="gaussian_mixture",
            draws_per_row=features + 1,
            weights=tuple(self.logits.double().softmax(dim=0).tolist()),
            means=tuple(map(tuple, self.means.tolist())),
            scales=tuple(map(tuple, self._log_scales().exp().tolist())),
        )

    def _log_scales(self) -> Tensor:
        bound = COMPONENT_LOG_SCALE_BOUND
        return bound * torch.tanh(self.free_log_scales / bound)


def _student_t(z: Tensor, degrees: Tensor, log_norm: Tensor) -> Tensor:
    return log_norm - _student_t_costs(z, degrees).sum(dim=1)


def _student_t_costs(z: Tensor, degrees: Tensor) -> Tensor:
    scaled = z / degrees.sqrt()
    return 0.5 * (degrees + 1.0) * torch.log1p(scaled * scaled)


def _mixture(z: Tensor, log_weights: Tensor, means: Tensor, log_scales: Tensor) -> Tensor:
    """All components at once as ``(batch, components * features)``, by products of matrices."""
    components, features = means.shape
    precision = log_scales.neg().exp()
    eye = torch.eye(features, dtype=z.dtype, device=z.device).repeat(1, components)
    scaled = torch.addmm(-(means * precision).reshape(-1), z, eye * precision.reshape(-1))
    blocks = torch.eye(components, dtype=z.dtype, device=z.device)
    sums = scaled.square() @ blocks.repeat_interleave(features, dim=0)
    constants = log_weights - log_scales.sum(dim=1) - 0.5 * math.log(2.0 * math.pi) * features
    return torch.logsumexp(constants - 0.5 * sums, dim=1)
