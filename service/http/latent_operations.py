"""Operations of VAEs and autoencoders: bodies into arrays, results into answers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from service.choice import Choice
from service.http.parsing import number, optional, whole
from service.http.reading import Body, decided, drawing, latents_of, names, rows_of
from service.results import Made, Reconstructed
from service.served_autoencoder import ServedAutoencoder
from service.served_vae import ServedVAE

VAEHandler = Callable[[ServedVAE, Body], Coroutine[Any, Any, Body]]
AutoencoderHandler = Callable[[ServedAutoencoder, Body], Coroutine[Any, Any, Body]]


async def log_prob_bound(served: ServedVAE, body: Body) -> Body:
    """Rows to lower bounds on their log-densities."""
    samples, seed = _draws(body)
    choice = _choice(body)
    x = rows_of(served, body, "log_prob_bound")
    asked = await served.log_prob_bound(x, samples, seed, choice)
    out, weighing = asked.bounded, asked.weighing
    return {
        **out.by_name(),
        "samples": weighing.plan.samples,
        "seed": weighing.seed,
        **_depth(weighing.depth),
        "status": names(out.status),
    }


async def vae_score(served: ServedVAE, body: Body) -> Body:
    """Rows to decisions by their importance bound."""
    alpha = optional(body, "alpha", number)
    draws, choice = _draws(body), _choice(body)
    x = rows_of(served, body, "score")
    scored = await served.score(x, alpha, draws, choice)
    scoring = served.scoring
    told = {"samples": scoring.plan.samples, "seed": scoring.seed, **_depth(scoring.depth)}
    return {"score": scored.score, **told, **decided(scored)}


async def vae_encode(served: ServedVAE, body: Body) -> Body:
    """Rows to their posterior."""
    seed, choice = optional(body, "seed", whole), _choice(body)
    x = rows_of(served, body, "encode")
    out = await served.encode(x, seed, choice)
    return {
        "mean": out.mean,
        "scale": out.scale,
        "z": out.z,
        "seed": seed,
        **_depth(served.depth(choice)),
        "status": names(out.status),
    }


async def vae_decode(served: ServedVAE, body: Body) -> Body:
    """Latents to the mean of rows."""
    return _made(await served.decode(latents_of(served, body)))


async def vae_sample(served: ServedVAE, body: Body) -> Body:
    """A seed to rows and their latents."""
    out, seed = await served.sample(*drawing(body))
    return {"rows": out.x, "z": out.z, "seed": seed, "status": names(out.status)}


async def vae_reconstruct(served: ServedVAE, body: Body) -> Body:
    """Rows to what comes back of them."""
    choice = _choice(body)
    out = await served.reconstruct(rows_of(served, body, "reconstruct"), choice)
    return _reconstructed(out) | _depth(served.depth(choice))


async def score(served: ServedAutoencoder, body: Body) -> Body:
    """Rows to decisions by their error."""
    alpha = optional(body, "alpha", number)
    scored = await served.score(rows_of(served, body, "score"), alpha)
    return {"score": scored.score} | decided(scored)


async def encode(served: ServedAutoencoder, body: Body) -> Body:
    """Rows to latents."""
    out = await served.encode(rows_of(served, body, "encode"))
    return {"z": out.z, "status": names(out.status)}


async def decode(served: ServedAutoencoder, body: Body) -> Body:
    """Latents to rows."""
    return _made(await served.decode(latents_of(served, body)))


async def reconstruct(served: ServedAutoencoder, body: Body) -> Body:
    """Rows to what comes back of them."""
    return _reconstructed(await served.reconstruct(rows_of(served, body, "reconstruct")))


VAE_HANDLERS: Mapping[str, VAEHandler] = {
    "log_prob_bound": log_prob_bound,
    "score": vae_score,
    "encode": vae_encode,
    "decode": vae_decode,
    "sample": vae_sample,
    "reconstruct": vae_reconstruct,
}
AUTOENCODER_HANDLERS: Mapping[str, AutoencoderHandler] = {
    "score": score,
    "encode": encode,
    "decode": decode,
    "reconstruct": reconstruct,
}


def _draws(body: Body) -> tuple[int | None, int | None]:
    """The samples and the seed that a body asks for."""
    return optional(body, "samples", whole), optional(body, "seed", whole)


def _choice(body: Body) -> Choice:
    return Choice(depth=optional(body, "depth", whole))


def _depth(depth: int | None) -> Body:
    """The depth, of an answer of a model that has a choice of them."""
    return {} if depth is None else {"depth": depth}


def _made(out: Made) -> Body:
    return {"rows": out.x, "status": names(out.status)}


def _reconstructed(out: Reconstructed) -> Body:
    return {"rows": out.x, "error": out.error, "status": names(out.status)}
