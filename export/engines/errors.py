"""What can go wrong between a bundle and a running engine. A full disk is `export.errors.DiskFullError`.

ExportError
└── EngineError
    ├── LibraryMissingError      no TensorRT in this environment
    ├── LibraryConflictError     several, of which none can be told to be meant
    ├── ForeignGraphError        a file that is no ONNX model, or one that no engine must be built from
    ├── TensorRTOperatorError    a node that TensorRT does not know or refuses
    ├── BuildError               TensorRT read the graph and still made no engine
    ├── EnginePrecisionError     the cast graph strays too far, or the engine does not hold the types asked for
    ├── NoGpuError               this step needs a GPU, and there is none
    └── StaleEngineError         an engine of another model, GPU or version, or a file that was changed
"""

from export.errors import ExportError


class EngineError(ExportError):
    """No engine was written or run; what was there before is untouched."""


class LibraryMissingError(EngineError):
    """No TensorRT in this environment."""


class LibraryConflictError(EngineError):
    """Several libraries in one environment, of which none can be told to be meant."""


class ForeignGraphError(EngineError):
    """A file that is no ONNX model, or one that no engine must be built from."""


class TensorRTOperatorError(EngineError):
    """A node that TensorRT does not know or refuses."""


class BuildError(EngineError):
    """TensorRT read the graph and still made no engine."""


class EnginePrecisionError(EngineError):
    """The cast graph strays too far from float32, or the engine does not hold the types that were asked for."""


class NoGpuError(EngineError):
    """This step needs a GPU, and there is none."""


class StaleEngineError(EngineError):
    """An engine of another model, GPU or version, or a file that was changed."""
