"""The certificate that the service shows, where it speaks TLS itself."""

from __future__ import annotations

import ssl

from service.config import ServiceConfig
from service.errors import StartError


def speaks_tls(config: ServiceConfig) -> bool:
    """Whether HTTP and gRPC are spoken over TLS.

    Raises:
        StartError: If the certificate or its key is lacking, or they do not fit.
    """
    cert, key = config.tls_cert, config.tls_key
    if cert is None and key is None:
        return False
    if cert is None or key is None:
        raise StartError("expected --tls-cert and --tls-key together, got one of them")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=_no_password)
    except ssl.SSLError as error:
        raise StartError(
            f"expected a certificate in {cert} and its key in {key}, both PEM and the key without "
            "a password, got others"
        ) from error
    except OSError as error:
        raise StartError(f"cannot read {cert} and {key}: {error.strerror}") from error
    return True


def refuse_tls(config: ServiceConfig) -> None:
    """Refuse what the proxies of Ray Serve cannot do.

    Raises:
        StartError: If TLS is asked for.
    """
    if config.tls_cert is not None or config.tls_key is not None:
        raise StartError(
            "expected no --tls-cert and --tls-key with Ray Serve, whose proxies speak no TLS: end "
            "it at the gateway or mesh in front, or serve without --ray"
        )


def _no_password() -> str:
    """In place of a question at the terminal."""
    return ""
