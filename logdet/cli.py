"""The ``logdet`` command: subcommands are imported when they are asked for."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, Never

import click

from logdet.errors import UserError, one_line

COMMANDS = (
    "train",
    "export",
    "calibrate",
    "verify",
    "models",
    "families",
    "score",
    "evaluate",
    "report",
    "bound",
    "reconstruct",
    "sample",
    "expect",
    "plot",
    "push",
    "pull",
    "serve",
)
_EXTRAS = {
    "matplotlib": "plot",
    "onnx": "train",
    "onnxscript": "train",
    "river": "train",
    "sklearn": "train",
    "torch": "train",
    "yaml": "train",
    "ray": "ray",
}
USER_ERROR, USAGE_ERROR, INTERRUPTED = 1, 2, 130


class LazyCommands(click.Group):
    """A group whose commands are the modules of ``logdet.commands``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See :class:`click.Group`: in the order in which they are used."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """See :class:`click.Group`."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"logdet.commands.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        **extra: Any,  # noqa: ANN401  click's own signature
    ) -> Never:
        """Run and exit: 0, 1 for a user's error, 2 for wrong usage, 130 for Ctrl-C."""
        extra["standalone_mode"] = False
        try:
            result = super().main(args, prog_name or "logdet", **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(USAGE_ERROR)
        except click.UsageError as error:
            _stop(_usage(error), USAGE_ERROR)
        except (click.Abort, KeyboardInterrupt):
            sys.exit(INTERRUPTED)
        except (UserError, click.ClickException) as error:
            _stop(str(error), USER_ERROR)
        except ModuleNotFoundError as error:
            _stop(_missing(error), USER_ERROR)
        except BrokenPipeError:
            # Python would complain about the closed pipe once more when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(USER_ERROR)
        sys.exit(result if isinstance(result, int) else 0)


@click.group("logdet", cls=LazyCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="logdet", message="%(package)s %(version)s")
def main() -> None:
    """Train normalizing flows and flow-VAEs, and ask how likely a row is."""


def _usage(error: click.UsageError) -> str:
    path = error.ctx.command_path if error.ctx else "logdet"
    return f"{error.format_message().rstrip('.')} (see {path} --help)"


def _missing(error: ModuleNotFoundError) -> str:
    package = (error.name or "").split(".")[0]
    if package not in _EXTRAS:
        raise error
    return f"this needs {package}: pip install 'logdet[{_EXTRAS[package]}]'"


def _stop(message: str, code: int) -> Never:
    click.echo(f"logdet: {one_line(message)}", err=True)
    sys.exit(code)
