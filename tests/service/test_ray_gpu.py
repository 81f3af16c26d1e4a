"""Where a replica runs, by the GPUs that Ray gave it."""

from __future__ import annotations

import logging

import pytest

from service.config import ServiceConfig
from service.errors import StartError
from service.ray_gpu import on_given_device
from service.ray_profile import environment
from service.runtime import Runtime

LIMIT = 2**30


@pytest.mark.parametrize("num_gpus", [1.0, 2.0])
@pytest.mark.parametrize("provider", ["auto", "cuda"])
def test_a_replica_with_a_gpu_of_its_own_keeps_its_settings(
    provider: str, num_gpus: float
) -> None:
    config = ServiceConfig(provider=provider)
    assert on_given_device(config, num_gpus) == config


def test_a_replica_that_was_given_no_gpu_takes_none(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert on_given_device(ServiceConfig(), 0.0).provider == "cpu"
    assert caplog.messages == [
        "provider auto: graphs run on the CPU (this replica was given no GPU)"
    ]
    with pytest.raises(StartError, match=r"cuda was asked for, but the replicas get no GPU"):
        on_given_device(ServiceConfig(provider="cuda"), 0.0)


@pytest.mark.parametrize("provider", ["auto", "cuda"])
def test_part_of_a_gpu_needs_a_bound_on_its_memory(provider: str) -> None:
    with pytest.raises(StartError, match=r"0\.25 of a GPU .*LOGDET_GPU_MEM_LIMIT_BYTES"):
        on_given_device(ServiceConfig(provider=provider), 0.25)
    bounded = ServiceConfig(provider=provider, gpu_mem_limit_bytes=LIMIT)
    assert on_given_device(bounded, 0.25) == bounded


def test_on_the_cpu_part_of_a_gpu_is_nobodys_concern() -> None:
    config = ServiceConfig(provider="cpu")
    assert on_given_device(config, 0.5) == on_given_device(config, 0.0) == config


def test_sessions_on_a_gpu_are_bounded_exact_and_on_the_first_device_that_is_seen() -> None:
    (name, options), (second, _) = Runtime("cuda", 1, LIMIT).providers()
    assert (name, second) == ("CUDAExecutionProvider", "CPUExecutionProvider")
    assert options["device_id"] == "0"
    assert options["use_tf32"] == "0"
    assert options["gpu_mem_limit"] == str(LIMIT)


def test_ray_of_our_own_hides_the_gpus_of_others_whatever_the_environment_says() -> None:
    name = "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"
    assert environment("127.0.0.1", "secret", {name: "1"})[name] == "0"
