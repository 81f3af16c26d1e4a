"""A loaded model gets the operations of its kind."""

from __future__ import annotations

from service.autoencoder import Autoencoder
from service.comparisons import Tally
from service.kinds import AnyModel
from service.model import Model
from service.model_metrics import ModelMetrics
from service.served_autoencoder import ServedAutoencoder
from service.served_flow import ServedFlow
from service.served_vae import ServedVAE
from service.vae import VAE
from service.work import Work

AnyServed = ServedFlow | ServedVAE | ServedAutoencoder


def serve(model: AnyModel, metrics: ModelMetrics, work: Work) -> AnyServed:
    """The model with its place in the batcher."""
    match model:
        case Model():
            return ServedFlow(model, metrics, work)
        case VAE():
            return ServedVAE(model, metrics, work)
        case Autoencoder():
            return ServedAutoencoder(model, metrics, work)


def compare(champion: AnyServed, challenger: AnyServed, tally: Tally) -> AnyServed:
    """The champion, whose scores are compared with those of the challenger; flows alone are."""
    if isinstance(champion, ServedFlow) and isinstance(challenger, ServedFlow):
        return champion.compared(challenger, tally)
    return champion
