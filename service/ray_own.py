"""A Ray of one command's own: on this machine, out of sight, gone with the command."""

from __future__ import annotations

import logging
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from service.errors import StartError


@contextmanager
def own_ray(
    num_cpus: int, object_store_bytes: int, has_worker_output: bool = True
) -> Iterator[None]:
    """A Ray for as long as the block lasts.

    Args:
        num_cpus: That it hands out.
        object_store_bytes: Shared memory for what its processes hand each other.
        has_worker_output: Whether what they print is printed here.

    Raises:
        StartError: If it does not start in half a minute.
    """
    # /tmp, because a Unix socket's path may have 107 bytes at most.
    with tempfile.TemporaryDirectory(
        prefix="logdet-",
        dir="/tmp",  # nosec B108
        ignore_cleanup_errors=True,
    ) as folder:
        try:
            ray.init(
                address="local",
                num_cpus=num_cpus,
                object_store_memory=object_store_bytes,
                include_dashboard=False,
                log_to_driver=has_worker_output,
                logging_level=logging.ERROR,
                _temp_dir=folder,
            )
        except Exception as error:  # Ray raises no other kind where its processes are late
            raise StartError(f"Ray did not start: {str(error).splitlines()[0]}") from error
        # Ray's own handler prints a native stack; until the service is up, a stop is an interrupt.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            yield
        finally:
            ray.shutdown()
