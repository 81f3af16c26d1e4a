"""What a person at the terminal is told: one line, no traceback.

::

    UserError         something given by the user cannot be used; exit code 1
    └── TableError    a data file cannot be read as a table of numbers
        └── TextError some cells hold something that is neither a number nor missing
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_SHOWN_CHARACTERS = 2000


class UserError(Exception):
    """A refusal whose message is for the person who typed the command."""


class TableError(UserError):
    """A data file cannot be used; the message says where."""


class TextError(TableError):
    """Cells of a column that must be numbers hold something else."""


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn what the rooms raise about a user's input into :class:`UserError`."""
    from exported.errors import BundleError
    from service.errors import ServiceError, StartError

    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(_about_file(error)) from error
    except (BundleError, ServiceError, StartError, ValueError) as error:
        raise UserError(one_line(_text(error))) from error


def one_line(text: str) -> str:
    """The text without line breaks, cut where nobody would read on."""
    joined = " ".join(text.split())
    return joined if len(joined) <= _SHOWN_CHARACTERS else joined[:_SHOWN_CHARACTERS] + "..."


def _about_file(error: OSError) -> str:
    reason = (error.strerror or str(error)).lower()
    return one_line(reason if error.filename is None else f"{error.filename}: {reason}")


def _text(error: Exception) -> str:
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}, got {first['input']!r}"
