"""``logdet serve``: answer over HTTP and gRPC."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click

from logdet.options import served_option

FILE = click.Path(dir_okay=False, path_type=Path)


class Replicas(click.ParamType[tuple[int, int | None]]):
    """A number of replicas, or the fewest and the most of them."""

    name = "N[:MOST]"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int | None]:
        """See click."""
        found = re.fullmatch(r"([1-9]\d{0,5})(?::([1-9]\d{0,5}))?", str(value))
        if found is None:
            self.fail(f"expected N or N:MOST, got {value!r}", param, ctx)
        most = found[2] and int(found[2])
        return int(found[1]), most or None


REPLICAS = Replicas()
EXAMPLE = """\b
Examples:
  logdet serve
  logdet serve --port 8080 --provider cpu
  logdet serve --serve shuttle=3
  logdet serve --bundles s3://bucket/bundles
  logdet serve --ray --replicas 2
  logdet serve --ray --replicas 1:4
  logdet serve --host 0.0.0.0 --tokens-file tokens --tls-cert cert.pem --tls-key key.pem
"""


@click.command(epilog=EXAMPLE, short_help="Answer over HTTP and gRPC.")
@served_option
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where bundles of an address are kept.  [default: ~/.cache/logdet]",
)
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="TCP port; 0 takes a free one.  [default: 8000]")
@click.option(
    "--grpc-port", type=int, help="TCP port of gRPC; 0 takes a free one.  [default: PORT + 1]"
)
@click.option("--no-grpc", is_flag=True, help="Answer over HTTP alone.")
@click.option(
    "--provider",
    type=click.Choice(["auto", "cpu", "cuda"]),
    help="Where graphs run; cuda refuses to start without CUDA.  [default: auto]",
)
@click.option(
    "--serve",
    "policies",
    multiple=True,
    metavar="NAME=VERSION[:CHALLENGER]",
    help="Version that answers requests that name none, and one to compare with it; once a name.",
)
@click.option(
    "--allow-loading",
    is_flag=True,
    help="Let requests load and unload models and choose versions.",
)
@click.option(
    "--tokens-file", type=FILE, help="Tokens that requests must show, a line NAME TOKEN for each."
)
@click.option(
    "--allow-anonymous", is_flag=True, help="Let everybody ask, on a host that others can reach."
)
@click.option("--tls-cert", type=FILE, help="Certificate (PEM): HTTP and gRPC over TLS.")
@click.option("--tls-key", type=FILE, help="Private key of the certificate (PEM).")
@click.option("--ray", is_flag=True, help="Serve from replicas on Ray Serve.")
@click.option(
    "--replicas",
    type=REPLICAS,
    metavar="N[:MOST]",
    help="Replicas, with --ray; N:MOST lets their number follow the work.  [default: 1]",
)
@click.option(
    "--num-gpus", type=click.FloatRange(min=0), help="GPUs of a replica, with --ray.  [default: 0]"
)
def serve(  # noqa: PLR0913  one parameter an option
    bundles: Path | str,
    cache: Path | None,
    host: str | None,
    port: int | None,
    grpc_port: int | None,
    no_grpc: bool,
    provider: str | None,
    policies: tuple[str, ...],
    allow_loading: bool,
    tokens_file: Path | None,
    allow_anonymous: bool,
    tls_cert: Path | None,
    tls_key: Path | None,
    ray: bool,
    replicas: tuple[int, int | None] | None,
    num_gpus: float | None,
) -> None:
    """Serve every bundle until SIGTERM or Ctrl-C; requests in flight are finished.

    Each setting is also an environment variable: LOGDET_HOST, LOGDET_PORT, LOGDET_SESSIONS, ...
    """
    if no_grpc and grpc_port is not None:
        raise click.UsageError("--no-grpc and --grpc-port exclude each other")
    if not ray and (replicas is not None or num_gpus is not None):
        raise click.UsageError("--replicas and --num-gpus need --ray")
    from logdet.errors import user_errors
    from service.config import ServiceConfig

    environ = dict(os.environ)
    if replicas is not None:  # what is typed prevails, the lack of a range too
        for bound in ("LOGDET_MIN_REPLICAS", "LOGDET_MAX_REPLICAS"):
            environ.pop(bound, None)
    least, most = replicas or (1, None)

    with user_errors():
        config = ServiceConfig.from_environ(
            environ,
            bundles=bundles,
            cache=cache,
            host=host,
            port=port,
            grpc=False if no_grpc else None,
            grpc_port=grpc_port,
            serve=policies or None,
            allow_loading=allow_loading or None,
            provider=provider,
            tokens_file=tokens_file,
            allow_anonymous=allow_anonymous or None,
            tls_cert=tls_cert,
            tls_key=tls_key,
            min_replicas=least if most else None,
            max_replicas=most,
        )
        if ray:
            from service import ray_engine

            ray_engine.serve(config, least, num_gpus or 0.0)
        else:
            from service import embedded

            embedded.serve(config)
