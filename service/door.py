"""Who may ask: a bearer token for each request, and how often each may be shown."""

from __future__ import annotations

from collections.abc import Mapping

from service.config import ServiceConfig
from service.errors import ErrorKind, ServiceError, StartError
from service.loopback import is_loopback
from service.metrics import Metrics
from service.rates import Rate
from service.tokens import Tokens, read_tokens

_SCHEME = "bearer"
_EXPECTED = "expected the header 'authorization: Bearer TOKEN'"


class Door:
    """Lets requests in that show a known token; all of them where there are no tokens.

    Args:
        tokens: Those that are known, or None.
        per_second: Requests a second of each name; None sets no limit.
        metrics: Told who asked.
    """

    def __init__(self, tokens: Tokens | None, per_second: float | None, metrics: Metrics) -> None:
        self._tokens, self._metrics, self._per_second = tokens, metrics, per_second
        names = () if tokens is None or per_second is None else tokens.names
        self._rates: Mapping[str, Rate] = {name: Rate(per_second or 0.0) for name in names}

    @classmethod
    def of(cls, config: ServiceConfig, metrics: Metrics) -> Door:
        """As the settings want it.

        Raises:
            StartError: As :func:`tokens_of`.
        """
        return cls(tokens_of(config), config.limit_token_rate, metrics)

    @property
    def is_guarded(self) -> bool:
        """Whether a token is needed."""
        return self._tokens is not None

    def admit(self, authorization: str | None) -> None:
        """Let a request in.

        Args:
            authorization: What the request shows, ``Bearer TOKEN``.

        Raises:
            ServiceError: ``unauthorized`` or ``rate_limited``.
        """
        if self._tokens is None:
            return
        name = _owner(self._tokens, authorization)
        rate = self._rates.get(name)
        if rate is not None and not rate.take():
            self._metrics.asked(name, "rate_limited")
            raise ServiceError(
                ErrorKind.RATE_LIMITED,
                f"expected at most {self._per_second:g} requests a second with the token of "
                f"{name}, got more; send them again a little later, or more rows in each",
            )
        self._metrics.asked(name, "admitted")


def tokens_of(config: ServiceConfig) -> Tokens | None:
    """The tokens that the settings name; None where everybody may ask.

    Raises:
        StartError: If they cannot be read, or nothing was decided for a host that others reach.
    """
    refuse_undecided(config)
    return None if config.tokens_file is None else read_tokens(config.tokens_file)


def refuse_undecided(config: ServiceConfig) -> None:
    """Refuse to let everybody ask where nobody said so.

    Raises:
        StartError: If the settings do not say who may ask, or contradict themselves.
    """
    named = config.tokens_file is not None
    if named and config.allow_anonymous:
        raise StartError("--tokens-file and --allow-anonymous exclude each other")
    if config.limit_token_rate is not None and not named:
        raise StartError("LOGDET_LIMIT_TOKEN_RATE is of tokens; name them with --tokens-file")
    if not named and not config.allow_anonymous and not is_loopback(config.host):
        raise StartError(
            f"expected tokens, as others can reach {config.host}: name a file of them with "
            "--tokens-file (LOGDET_TOKENS_FILE), or let everybody ask with --allow-anonymous "
            "(LOGDET_ALLOW_ANONYMOUS=true)"
        )


def _owner(tokens: Tokens, authorization: str | None) -> str:
    if authorization is None:
        raise ServiceError(ErrorKind.UNAUTHORIZED, f"{_EXPECTED}, got none")
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != _SCHEME or not token.strip():
        raise ServiceError(ErrorKind.UNAUTHORIZED, f"{_EXPECTED}, got another kind of credentials")
    owner = tokens.owner(token.strip().encode(errors="replace"))
    if owner is None:
        raise ServiceError(
            ErrorKind.UNAUTHORIZED, "expected a token that is known here, got another"
        )
    return owner
