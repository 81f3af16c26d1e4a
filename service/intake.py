"""Bytes of the requests that are being read and answered, bounded all together."""

from __future__ import annotations

from service.errors import ErrorKind, ServiceError


class Intake:
    """Room for the bodies of requests, from their first bytes until they are answered.

    What waits for a run is bounded by the batcher; this bounds what is read, decompressed and
    parsed before that, whatever the number of connections.

    Args:
        limit_bytes: Of all bodies; one alone is always admitted.

    Attributes:
        used_bytes: Of those that are there.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self.used_bytes = 0

    def fits(self, own_bytes: int, more_bytes: int) -> bool:
        """Whether a request that has some bytes here may have more."""
        others = self.used_bytes - own_bytes
        return not others or self.used_bytes + more_bytes <= self._limit_bytes


class Admission:
    """The bytes of one request.

    Args:
        intake: Where they count.
    """

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._bytes = 0

    def expect(self, size: int) -> None:
        """Refuse a body that says of itself that there is no room for it.

        Raises:
            ServiceError: ``overloaded``.
        """
        if self._intake.used_bytes and not self._intake.fits(self._bytes, size):
            raise ServiceError(
                ErrorKind.OVERLOADED,
                f"{self._intake.used_bytes} bytes of requests are being answered, and there is "
                f"no room for {size} more; try again in 1 s",
            )

    def add(self, size: int) -> None:
        """Count a piece of a body.

        Raises:
            ServiceError: ``overloaded``.
        """
        self.expect(size)
        self._bytes += size
        self._intake.used_bytes += size

    def close(self) -> None:
        """Make room: the request is answered."""
        self._intake.used_bytes -= self._bytes
        self._bytes = 0
