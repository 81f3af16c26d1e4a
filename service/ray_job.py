"""Work that is handed out to processes by Ray Data, here or on a cluster.

The items are small and say what to do; what they are about is read and written by the workers
themselves, so that no row passes through Ray's object store.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from ray.data import ActorPoolStrategy, DataContext, Dataset, from_items
from ray.exceptions import RayError
from ray.util.annotations import RayDeprecationWarning

from service.errors import StartError
from service.ray_own import own_ray

OBJECT_STORE_BYTES = 128 * 2**20  # items and what is told of them

Item = Mapping[str, Any]
Work = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Crew:
    """Who works.

    Attributes:
        workers: Processes; None is one for each processor, or each GPU, that there is.
        address: Of the cluster; None starts a Ray on this machine that ends with the job.
        needs_gpu: Whether each of them has a GPU of its own.
    """

    workers: int | None
    address: str | None
    needs_gpu: bool


@contextmanager
def joined(crew: Crew, cores: int) -> Iterator[Crew]:
    """The crew with its number of workers, while the Ray that they work for is there.

    Raises:
        StartError: If there is no such cluster, or it has no GPU where one is needed.
    """
    with _ray(crew, crew.workers or cores):
        there = int(ray.cluster_resources().get("GPU" if crew.needs_gpu else "CPU", 0))
        if not there:
            raise StartError(f"expected a {'GPU' if crew.needs_gpu else 'CPU'} for Ray, got none")
        yield Crew(min(crew.workers or there, there), crew.address, crew.needs_gpu)


def done(
    crew: Crew, make: type[Work], arguments: Sequence[Any], items: Sequence[Item]
) -> Iterator[dict[str, Any]]:
    """What the workers answer to each item, as it comes.

    Args:
        crew: Who works, from :func:`joined`.
        make: Makes a worker of the arguments, in its process; it takes an item with lists of one
            value and answers alike.
        arguments: For it.
        items: What to do.

    Raises:
        StartError: If workers cannot start, or die.
    """
    _be_quiet()
    try:
        yield from _handed_out(crew, make, arguments, items).iter_rows()
    except RayError as error:
        raise StartError(_reason(error)) from error


def _handed_out(
    crew: Crew, make: type[Work], arguments: Sequence[Any], items: Sequence[Item]
) -> Dataset:
    with warnings.catch_warnings():
        # Ray 2.60 has no other way yet to say how often an actor is started again.
        warnings.simplefilter("ignore", RayDeprecationWarning)
        return from_items([dict(item) for item in items], override_num_blocks=len(items)).map(
            make,
            fn_constructor_args=arguments,
            compute=ActorPoolStrategy(
                size=min(crew.workers or 1, len(items)), max_tasks_in_flight_per_actor=2
            ),
            num_cpus=0 if crew.needs_gpu else 1,
            num_gpus=1 if crew.needs_gpu else 0,
            ray_remote_args_fn=None if crew.address else _once,
        )


def _once() -> dict[str, int]:
    """On one machine a worker that dies takes the job with it, which goes on when run again."""
    return {"max_restarts": 0, "max_task_retries": 0}


def _ray(crew: Crew, cores: int) -> AbstractContextManager[None]:
    if crew.address is None:
        return own_ray(cores, OBJECT_STORE_BYTES, has_worker_output=False)
    return _joined(crew.address)


@contextmanager
def _joined(address: str) -> Iterator[None]:
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise StartError(f"there is no Ray cluster at {address}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _be_quiet() -> None:
    """The command shows how far the work is, in its own words."""
    told = DataContext.get_current()
    told.enable_progress_bars = False
    told.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _reason(error: RayError) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"a worker failed: {lines[-1] if lines else type(error).__name__}"
