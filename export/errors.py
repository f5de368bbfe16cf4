"""Why nothing was published.

ExportError
├── CheckpointError               no checkpoint, or one whose weights do not fit its configuration
├── TracingError                  PyTorch cannot write the network as ONNX
├── QuantisationError             ONNX Runtime's tools cannot quantise the graph
├── CalibrationSetError           too few frames to tell the ranges of activations
├── Int8BudgetError               no layer can be quantised within the budget
├── DiskFullError                 the bundle does not fit on the disk
└── VerifyError                   a graph that failed a stage of verification
    ├── StructureError            stage 1: the file without running it
    │   ├── CorruptGraphError     not a valid ONNX file
    │   ├── OperatorSetError      another opset, another domain, or an operation that a runtime is known to get wrong
    │   ├── TensorNameError       inputs or outputs of other names
    │   ├── TensorTypeError       ... of other types
    │   └── TensorAxesError       ... of other axes, dynamic ones included
    ├── LoadError                 stage 2: ONNX Runtime does not open the file
    │   └── UnsupportedOperatorError   because it lacks an operation
    ├── ShapeError                stage 3: an output of another shape than promised, or not finite
    ├── ValueMismatchError        stage 4: an output differs from PyTorch by more than the tolerance
    └── TaskMetricError           stage 5: a task metric is worse than the budget allows

The first and the fourth are ValueErrors too: what was asked for cannot be.
"""


class ExportError(Exception):
    """Nothing was published; what was there before is untouched."""


class CheckpointError(ExportError, ValueError):
    """No checkpoint, or one whose weights do not fit its configuration."""


class TracingError(ExportError):
    """PyTorch cannot write the network as ONNX, for instance because ONNX has no such operation."""


class QuantisationError(ExportError):
    """A graph that ONNX Runtime's tools cannot quantise."""


class CalibrationSetError(ExportError, ValueError):
    """Too few frames to tell the ranges of activations."""


class Int8BudgetError(ExportError):
    """No layer can be quantised within the budget."""


class DiskFullError(ExportError):
    """The bundle does not fit on the disk, or into the quota."""


class VerifyError(ExportError):
    """A graph that must not be published."""


class StructureError(VerifyError):
    """Wrong names, types, axes, opset, or a forbidden operation."""


class CorruptGraphError(StructureError):
    """Not a valid ONNX file."""


class OperatorSetError(StructureError):
    """Another opset or domain than bundles use, or a forbidden operation."""


class TensorNameError(StructureError):
    """Inputs or outputs of other names than promised, or another number of them."""


class TensorTypeError(StructureError):
    """An input or output of another element type than promised."""


class TensorAxesError(StructureError):
    """An input or output with other axes than promised."""


class LoadError(VerifyError):
    """ONNX Runtime does not open the file."""


class UnsupportedOperatorError(LoadError):
    """The graph has an operation that ONNX Runtime does not implement."""


class ShapeError(VerifyError):
    """An output has another shape than promised, or values that are not finite."""


class ValueMismatchError(VerifyError):
    """An output differs from PyTorch by more than the tolerance."""


class TaskMetricError(VerifyError):
    """A task metric on generated frames is worse than the budget allows."""
