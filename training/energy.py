"""An energy in a user's file: read, run, and tried before a fit begins."""

from __future__ import annotations

import hashlib
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from training.recipes import EnergyFitConfig
from training.reverse_kl import Energy

# Rows that an energy is tried on, standard normal as those of a flow before its fit.
TRIED_ROWS = 64
# What the file is to its own classes and to pickle; never the name of another module.
_MODULE = "logdet_energy_file"


@dataclass(frozen=True, slots=True)
class Target:
    """A density known up to a factor.

    Attributes:
        file: The user's, with the energy in it.
        function: Of the file.
        features: Names of the energy's numbers.
        digest: Sha256 of the file.
        energy: The function.
    """

    file: Path
    function: str
    features: tuple[str, ...]
    digest: str
    energy: Energy

    @property
    def named(self) -> str:
        """``FILE.py:FUNCTION`` without folders, which are nobody else's business."""
        return f"{self.file.name}:{self.function}"

    @property
    def name(self) -> str:
        """What provenance calls the data."""
        return f"draws of the flow fitted to {self.named}"

    def sha256(self) -> str:
        """Of the file, which stands for the data in provenance."""
        return self.digest


def read_target(fit: EnergyFitConfig, file: Path | None = None) -> Target:
    """Run the file of an energy, which is code of the user's own, and try the energy.

    Args:
        fit: Names file, function and features.
        file: Where the file is, if not where its name says.

    Raises:
        ValueError: If something is not named or not there, the file cannot be run, or the function
            is no energy: one finite number a row, with a finite gradient.
    """
    if fit.energy is None:
        raise ValueError("expected an energy, got none: add --set energy=FILE.py:FUNCTION")
    if not fit.features:
        raise ValueError("expected names of features, got none: add --set 'features=[x, y]'")
    name, _, function = fit.energy.rpartition(":")
    file = file or Path(name)
    if not file.is_file():
        raise ValueError(f"there is no file {file} with the energy {function}")
    file = file.resolve()
    content = file.read_bytes()
    energy = _function(_run(content, file), function, file.name)
    target = Target(file, function, fit.features, hashlib.sha256(content).hexdigest(), energy)
    _refuse_unfit(target)
    return target


def _run(content: bytes, file: Path) -> types.ModuleType:
    """The file as a module: of the very bytes that are digested, so of no cached compilation."""
    module = types.ModuleType(_MODULE)
    module.__file__ = str(file)
    sys.modules[_MODULE] = module
    try:
        exec(compile(content, file, "exec"), module.__dict__)  # noqa: S102  the user's own # nosec B102
    except (Exception, SystemExit) as error:
        raise ValueError(f"{file.name} cannot be run: {_told(error)}") from error
    return module


def _function(module: types.ModuleType, name: str, file: str) -> Energy:
    found = getattr(module, name, None)
    if callable(found):
        energy: Energy = found
        return energy
    own = [
        each
        for each, value in vars(module).items()
        if isinstance(value, types.FunctionType) and value.__module__ == _MODULE
    ]
    raise ValueError(f"{file} has no function {name}; it has: {', '.join(own) or 'none'}")


def _refuse_unfit(target: Target) -> None:
    """Refuse a function that is no energy of rows of that many features."""
    shape = (TRIED_ROWS, len(target.features))
    rows = torch.randn(shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
    try:
        nats: object = target.energy(rows)
    except Exception as error:
        raise ValueError(
            f"energy {target.named} failed on a tensor of shape {shape}: {_told(error)}"
        ) from error
    expected = f"expected of energy {target.named} a tensor of shape ({TRIED_ROWS},) for rows"
    if not isinstance(nats, Tensor):
        raise ValueError(f"{expected} of shape {shape}, got {type(nats).__name__}")  # noqa: TRY004
    if nats.shape != (TRIED_ROWS,):
        raise ValueError(f"{expected} of shape {shape}, got shape {tuple(nats.shape)}")
    if bad := int((~nats.isfinite()).sum()):
        raise ValueError(
            f"expected of energy {target.named} finite numbers wherever a row is, got {bad} of "
            f"{TRIED_ROWS} that are not for standard normal rows"
        )
    _refuse_gradient(target, rows, nats)


def _refuse_gradient(target: Target, rows: Tensor, nats: Tensor) -> None:
    gradient = None
    if nats.requires_grad:
        (gradient,) = torch.autograd.grad(nats.sum(), rows, allow_unused=True)
    if gradient is None:
        raise ValueError(
            f"energy {target.named} has no gradient: expected torch operations on the rows, "
            "without numpy, item or detach between"
        )
    if not gradient.isfinite().all():
        raise ValueError(f"energy {target.named} has a gradient that is not finite")


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
