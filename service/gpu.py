"""Whether this machine has a GPU that ONNX Runtime could use: asked of the driver, without a session or a process."""

from __future__ import annotations

import ctypes


def gpu_at_hand() -> bool:
    """True where the CUDA driver counts at least one device and the installed ONNX Runtime was built for CUDA.

    Not the whole truth: cuDNN may still be missing, and then sessions run on the CPU, as `GET /v1/models` shows.
    """
    if not _devices():
        return False
    import onnxruntime as ort

    return "CUDAExecutionProvider" in ort.get_available_providers()


def _devices() -> int:
    """How many the driver counts (cuInit, cuDeviceGetCount); 0 without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
