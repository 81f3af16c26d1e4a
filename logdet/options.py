"""What several commands take: where bundles are, which bundle, where graphs run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

DEFAULT_BUNDLES = Path("exported/bundles")


@dataclass(frozen=True, slots=True)
class Reference:
    """NAME or NAME/VERSION as typed."""

    name: str
    version: int | None

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}/{self.version}"


def _reference(ctx: click.Context, param: click.Parameter, value: str) -> Reference:
    name, slash, version = value.partition("/")
    if slash and not (version.isascii() and version.isdigit()):
        raise click.BadParameter(
            f"expected NAME or NAME/VERSION with a whole number, got {value!r}", ctx, param
        )
    return Reference(name, int(version) if slash else None)


def optional_reference(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> Reference | None:
    """The callback of an option that names a bundle."""
    return None if value is None else _reference(ctx, param, value)


def _existing(ctx: click.Context, param: click.Parameter, value: str | None) -> Path:
    if value is not None:
        folder = local(ctx, param, value)
        if not folder.is_dir():
            raise click.BadParameter(f"there is no folder {value}", ctx, param)
        return folder
    if DEFAULT_BUNDLES.is_dir():
        return DEFAULT_BUNDLES
    import exported

    return Path(exported.__file__).parent / "bundles"


def _existing_or_address(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> Path | str:
    from service.storage.address import is_address

    return value if value is not None and is_address(value) else _existing(ctx, param, value)


def local(ctx: click.Context, param: click.Parameter, value: str) -> Path:
    """The callback of an option that names a folder of this machine."""
    from service.storage.address import is_address, shown

    if is_address(value):
        raise click.BadParameter(
            f"expected a folder of this machine, got {shown(value)}: logdet push and logdet pull "
            "bring bundles there and here",
            ctx,
            param,
        )
    return Path(value)


bundles_option = click.option(
    "--bundles",
    metavar="FOLDER",
    envvar="LOGDET_BUNDLES",
    callback=_existing,
    help="Folder that holds NAME/VERSION.  [default: exported/bundles, else the installed ones]",
)
served_option = click.option(
    "--bundles",
    metavar="FOLDER|ADDRESS",
    envvar="LOGDET_BUNDLES",
    callback=_existing_or_address,
    help="Folder that holds NAME/VERSION, or an address that does, such as s3://bucket/prefix.  "
    "[default: exported/bundles, else the installed ones]",
)
provider_option = click.option(
    "--provider",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where graphs run.",
)


def _elsewhere(ctx: click.Context, param: click.Parameter, value: str) -> str:
    from service.storage.address import is_address

    if not is_address(value):
        raise click.BadParameter(
            f"expected an address such as s3://bucket/prefix, got {value!r}", ctx, param
        )
    return value


elsewhere_argument = click.argument("address", metavar="ADDRESS", callback=_elsewhere)
model_argument = click.argument("model", metavar="NAME[/VERSION]", callback=_reference)


def find(bundles: Path, model: Reference) -> Path:
    """The folder of the bundle that was named.

    Raises:
        BundleNotFoundError: With those that there are.
    """
    from exported.bundle import locate

    return locate(bundles, model.name, model.version)


out_option = click.option(
    "--out",
    "--bundles",
    "root",
    metavar="FOLDER",
    callback=local,
    default=str(DEFAULT_BUNDLES),
    show_default=True,
    help="Where NAME/VERSION is published.",
)
