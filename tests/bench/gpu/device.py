"""The GPU that this process sees first, by the driver's own library, which is there if CUDA is."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

DRIVER = "libcuda.so.1"
_NAME_BYTES = 256


@dataclass(frozen=True, slots=True)
class Device:
    """What graphs run on.

    Attributes:
        name: Of the model.
        memory_bytes: All there is.
        cuda: Version that the driver supports.
    """

    name: str
    memory_bytes: int
    cuda: str

    def __str__(self) -> str:
        """In a few words."""
        return f"{self.name}, {self.memory_bytes / 2**30:.0f} GiB, driver for CUDA {self.cuda}"


def first_device(library: Any = None) -> Device:
    """The first device; ``CUDA_VISIBLE_DEVICES`` says which one that is.

    Args:
        library: The driver's, loaded.

    Raises:
        OSError: If there is no driver, or it has no device.
    """
    driver = library or ctypes.CDLL(DRIVER)
    name, device = ctypes.create_string_buffer(_NAME_BYTES), ctypes.c_int()
    memory, version = ctypes.c_size_t(), ctypes.c_int()
    _check(driver.cuInit(0))
    _check(driver.cuDeviceGet(ctypes.byref(device), 0))
    _check(driver.cuDeviceGetName(name, _NAME_BYTES, device))
    _check(driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device))
    _check(driver.cuDriverGetVersion(ctypes.byref(version)))
    major, minor = version.value // 1000, version.value % 1000 // 10
    return Device(name.value.decode(), memory.value, f"{major}.{minor}")


def _check(code: int) -> None:
    if code:
        raise OSError(f"the driver answered with error {code}")
