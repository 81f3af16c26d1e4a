"""A replica runs where Ray put it: on the GPU that it was given, or on the CPU."""

from __future__ import annotations

import logging

from service.config import ServiceConfig
from service.errors import StartError

log = logging.getLogger(__name__)


def refuse_device(config: ServiceConfig, num_gpus: float) -> None:
    """Refuse settings that do not fit the GPUs, or the part of one, that each replica gets.

    Nothing but onnxruntime's own bound keeps replicas that share a GPU from each other's memory,
    and what a session will need there cannot be told from the part alone.

    Raises:
        StartError: If CUDA is asked for without a GPU, or part of a GPU comes without a bound.
    """
    if config.provider == "cuda" and num_gpus == 0:
        raise StartError(
            "provider cuda was asked for, but the replicas get no GPU: set --num-gpus, or "
            "num_gpus in a cluster's ray_actor_options"
        )
    if config.provider != "cpu" and 0 < num_gpus < 1 and config.gpu_mem_limit_bytes is None:
        raise StartError(
            f"replicas with {num_gpus:g} of a GPU need a bound on its memory, got none: set "
            "gpu_mem_limit_bytes (LOGDET_GPU_MEM_LIMIT_BYTES) to what each session may take"
        )


def on_given_device(config: ServiceConfig, num_gpus: float) -> ServiceConfig:
    """The settings of a replica that was given so many GPUs.

    Ray hides all other GPUs from a process that it gives one or part of one, and none from a
    process that it gives none.

    Raises:
        StartError: See :func:`refuse_device`.
    """
    refuse_device(config, num_gpus)
    if config.provider != "auto" or num_gpus > 0:
        return config
    log.info("provider auto: graphs run on the CPU (this replica was given no GPU)")
    return config.model_copy(update={"provider": "cpu"})
