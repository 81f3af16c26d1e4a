"""Operations of VAEs and autoencoders."""

from __future__ import annotations

from service.choice import Choice
from service.operations.call import RATES, Answer, Call, Told, decided, rates
from service.operations.flow import DECISION, Z, drawing
from service.operations.spec import ROWS, Operation, Output
from service.results import Made, Reconstructed
from service.served_autoencoder import ServedAutoencoder
from service.served_vae import ServedVAE

BOUNDS = (
    "elbo",
    "elbo_standard_error",
    "importance_bound",
    "standard_error",
    "effective_sample_size",
)
SCORE = (Output("score", datatype="FP64"), *DECISION)
MADE = Output(ROWS, "features", None)


async def log_prob_bound(served: ServedVAE, call: Call) -> Answer:
    """Rows to lower bounds on their log-densities."""
    samples, seed = call.whole("samples"), call.whole("seed")
    asked = await served.log_prob_bound(call.given(), samples, seed, _choice(call))
    out, weighing = asked.bounded, asked.weighing
    told = {"samples": weighing.plan.samples, "seed": weighing.seed, **_depth(weighing.depth)}
    return Answer(out.by_name(), out.status, told)


async def vae_score(served: ServedVAE, call: Call) -> Answer:
    """Rows to decisions by their importance bound."""
    draws = call.whole("samples"), call.whole("seed")
    choice, wanted = _choice(call), rates(call)
    scored = await served.score(call.given(), draws=draws, choice=choice, **wanted)
    columns, told = decided(scored)
    scoring = served.scoring
    drawn = {"samples": scoring.plan.samples, "seed": scoring.seed, **_depth(scoring.depth)}
    return Answer({"score": scored.score, **columns}, scored.status, {**drawn, **told})


async def vae_encode(served: ServedVAE, call: Call) -> Answer:
    """Rows to their posterior."""
    seed, choice = call.whole("seed"), _choice(call)
    out = await served.encode(call.given(), seed, choice)
    told = {"seed": seed, **_depth(served.depth(choice))}
    return Answer({"mean": out.mean, "scale": out.scale, "z": out.z}, out.status, told)


async def vae_decode(served: ServedVAE, call: Call) -> Answer:
    """Latents to the mean of rows."""
    return _made(await served.decode(call.given()))


async def vae_sample(served: ServedVAE, call: Call) -> Answer:
    """A seed to rows and their latents."""
    out, seed = await served.sample(*drawing(call))
    return Answer({ROWS: out.x, "z": out.z}, out.status, {"seed": seed})


async def vae_reconstruct(served: ServedVAE, call: Call) -> Answer:
    """Rows to what comes back of them."""
    choice = _choice(call)
    out = await served.reconstruct(call.given(), choice)
    return _reconstructed(out, _depth(served.depth(choice)))


async def score(served: ServedAutoencoder, call: Call) -> Answer:
    """Rows to decisions by their error."""
    scored = await served.score(call.given(), **rates(call))
    columns, told = decided(scored)
    return Answer({"score": scored.score, **columns}, scored.status, told)


async def encode(served: ServedAutoencoder, call: Call) -> Answer:
    """Rows to latents."""
    out = await served.encode(call.given())
    return Answer({"z": out.z}, out.status)


async def decode(served: ServedAutoencoder, call: Call) -> Answer:
    """Latents to rows."""
    return _made(await served.decode(call.given()))


async def reconstruct(served: ServedAutoencoder, call: Call) -> Answer:
    """Rows to what comes back of them."""
    return _reconstructed(await served.reconstruct(call.given()), {})


def _choice(call: Call) -> Choice:
    return Choice(depth=call.whole("depth"))


def _depth(depth: int | None) -> Told:
    """The depth, of an answer of a model that has a choice of them."""
    return {} if depth is None else {"depth": depth}


def _made(out: Made) -> Answer:
    return Answer({ROWS: out.x}, out.status)


def _reconstructed(out: Reconstructed, told: Told) -> Answer:
    return Answer({ROWS: out.x, "error": out.error}, out.status, told)


VAE_OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation(
            "log_prob_bound",
            "rows",
            ("samples", "seed", "depth"),
            tuple(Output(name, datatype="FP64") for name in BOUNDS),
            log_prob_bound,
            is_long=True,
            by_place="always",
        ),
        Operation(
            "score", "rows", (*RATES, "samples", "seed", "depth"), SCORE, vae_score, is_long=True
        ),
        Operation(
            "encode",
            "rows",
            ("seed", "depth"),
            (Output("mean", "latents"), Output("scale", "latents"), Z),
            vae_encode,
            by_place="seeded",
        ),
        Operation("decode", "latents", (), (MADE,), vae_decode),
        Operation(
            "sample", "count", ("n", "seed", "temperature"), (MADE, Z), vae_sample, is_long=True
        ),
        Operation("reconstruct", "rows", ("depth",), (MADE, Output("error")), vae_reconstruct),
    )
}
AUTOENCODER_OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation("score", "rows", RATES, SCORE, score),
        Operation("encode", "rows", (), (Z,), encode),
        Operation("decode", "latents", (), (MADE,), decode),
        Operation("reconstruct", "rows", (), (MADE, Output("error")), reconstruct),
    )
}
