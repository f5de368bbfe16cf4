"""Run an engine on this machine's GPU, with PyTorch's memory and stream.

For verification and measurement. The service has no PyTorch and reaches TensorRT through ONNX Runtime instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from export.engines.errors import EngineError, NoGpuError, StaleEngineError
from export.engines.gpu import find_gpu
from export.engines.library import Library, messages
from export.engines.profiles import Profile, fitting
from export.engines.record import check_runs_here, read_record


class Engine:
    """An engine that is loaded. Not safe for several threads at once: it has one execution context."""

    def __init__(self, library: Library, path: Path) -> None:
        """Raises StaleEngineError for an engine of another GPU or version, NoGpuError without a GPU."""
        record, gpu = read_record(path), find_gpu()
        if gpu is None:
            raise NoGpuError(f"{path}: an engine runs on a GPU, and PyTorch sees none. Use the ONNX file on the CPU")
        check_runs_here(record, library.name, library.version, gpu, str(path))
        trt = library.module
        with messages(library) as (logger, said):
            self._logger = logger  # TensorRT keeps no reference of its own
            self._runtime = trt.Runtime(logger)
            self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
            if self._engine is None:
                raise StaleEngineError(f"{path}: TensorRT does not load it: {' '.join(said[-1:])}. Build again")
            self._context = self._engine.create_execution_context()
        self._trt = trt
        self._stream = torch.cuda.Stream()
        self._profiles = [Profile.from_dict(made) for made in record["origin"]["profiles"]]
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        self._inputs = [name for name in names if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        self._outputs = [name for name in names if name not in self._inputs]

    def information(self) -> str:
        """What TensorRT's inspector says of the engine, as JSON."""
        inspector = self._engine.create_engine_inspector()
        return str(inspector.get_engine_information(self._trt.LayerInformationFormat.JSON))

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Every output by name. Raises ValueError for a shape that no profile takes, EngineError when the run fails.

        inputs: the arrays that the manifest describes; images [N, H, W, 3], maps [N, C, H, W].
        """
        first = inputs[self._inputs[0]]
        height, width = first.shape[1:3] if first.dtype == np.uint8 else first.shape[2:4]
        index = fitting(self._profiles, first.shape[0], (width, height))
        if index is None:
            raise ValueError(
                f"inputs: expected shapes of one of the profiles {[p.to_dict() for p in self._profiles]}, "
                f"found {first.shape[0]} of {width}x{height}"
            )
        with torch.cuda.stream(self._stream):
            context, handle = self._context, self._stream.cuda_stream
            context.set_optimization_profile_async(index, handle)
            held = {name: torch.from_numpy(np.ascontiguousarray(inputs[name])).cuda() for name in self._inputs}
            for name, tensor in held.items():
                context.set_input_shape(name, tuple(tensor.shape))
            for name in self._outputs:
                shape = tuple(context.get_tensor_shape(name))
                held[name] = torch.empty(shape, dtype=torch.float32, device="cuda")
            for name, tensor in held.items():
                context.set_tensor_address(name, tensor.data_ptr())
            if not context.execute_async_v3(handle):
                raise EngineError("TensorRT could not run the engine; its log says why")
            self._stream.synchronize()
            return {name: held[name].cpu().numpy() for name in self._outputs}
