"""Peak memory of one training step of a recipe, counted without computing anything, or measured on a GPU.

The count runs the recipe's own network, losses, backward pass and optimiser on PyTorch's "meta" device, where tensors
have sizes and no contents, and follows the storages of all tensors: each counts from the operation that makes it until
nothing refers to it, autograd's saved tensors included. So it holds parameters, buffers, gradients, optimiser state,
the batch, activations, and the temporaries between operations, in the second of two steps, when the optimiser's state
is there.

It does not hold what a device adds: workspaces inside kernels, the allocator's rounding and fragmentation, the context
of the driver. Attention counts either as a fused kernel, which keeps inputs, output and one number per query, or with
its scores written out, as where no fused kernel takes it. On a CPU, where the allocator can be asked, a step of MTI-Net
(two images of 96 x 128) took 212.5 MB at most and counts 212.4.
"""

import weakref
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from models.build import build
from models.tasks import TaskName
from training.folder_dataset import FolderConfig
from training.objectives.build import build_objective
from training.optimizer import build_optimizer
from training.prefetch import Batch
from training.recipe import Recipe


class LiveStorages(TorchDispatchMode):
    """While entered, follows the bytes of all storages that operations make; `peak` is the largest sum so far."""

    def __init__(self) -> None:
        super().__init__()
        self.live = 0
        self.peak = 0
        self._sizes: dict[int, int] = {}

    def hold(self, tensors: Iterable[Tensor]) -> None:
        """Counts tensors that are there already, each storage once."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key not in self._sizes:
                self._sizes[key] = storage.nbytes()
                self.live += storage.nbytes()
                self.peak = max(self.peak, self.live)
                weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.live -= self._sizes.pop(key)

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default and args[0].is_meta:
            return True  # a question about contents, such as whether all are finite
        answer = func(*args, **(kwargs or {}))
        self.hold(leaf for leaf in tree_leaves(answer) if isinstance(leaf, Tensor))
        return answer


class FusedAttention(TorchFunctionMode):
    """While entered, attention on "meta" goes through the memory-efficient kernel, which that device never chooses."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        return _efficient_attention(*args, **(kwargs or {}))


def _efficient_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    mask = None if attn_mask is None else attn_mask.expand(*query.shape[:-1], key.shape[-2]).to(query.dtype)
    answer: Tensor = torch.ops.aten._scaled_dot_product_efficient_attention(
        query, key, value, mask, True, dropout_p, is_causal, scale=scale
    )[0]
    return answer


@dataclass(frozen=True, kw_only=True)
class StepMemory:
    """Bytes. parameters: with buffers; the gradients need as many again. state: of the optimiser. peak: all together,
    at the fullest moment."""

    parameters: int
    state: int
    peak: int


def counted(recipe: Recipe, fused: bool = True) -> StepMemory:
    """The peak of a training step at the recipe's batch and size; `fused` as in the module's text.

    Raises ValueError for a recipe in mixed precision or on generated data.
    """
    if recipe.precision != "32-true":
        raise ValueError(f"precision: expected 32-true, found {recipe.precision}")
    with torch.device("meta"):
        network = build(recipe.model).train().to("meta")
        batch = blank_batch(recipe)
    step = step_of(recipe, network, batch)
    with LiveStorages() as storages, FusedAttention() if fused else nullcontext():
        held = [*network.parameters(), *network.buffers()]
        storages.hold([*held, *batch.values()])
        optimizer = step()
        storages.peak = storages.live
        step()
    state = [value for entry in optimizer.state.values() for value in entry.values() if isinstance(value, Tensor)]
    return StepMemory(parameters=_bytes(held), state=_bytes(state), peak=storages.peak)


def measured(recipe: Recipe) -> StepMemory:
    """What PyTorch's allocator hands out at most on the current CUDA device, in the second of two steps."""
    network = build(recipe.model).train().to("cuda")
    batch = {name: values.to("cuda") for name, values in blank_batch(recipe).items()}
    step = step_of(recipe, network, batch)
    optimizer = step()
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    state = [value for entry in optimizer.state.values() for value in entry.values() if isinstance(value, Tensor)]
    held = [*network.parameters(), *network.buffers()]
    return StepMemory(parameters=_bytes(held), state=_bytes(state), peak=torch.cuda.max_memory_allocated())


def step_of(recipe: Recipe, network: nn.Module, batch: Batch) -> Callable[[], torch.optim.Optimizer]:
    """A function that makes one training step, in the order of the training loop, and answers the optimiser."""
    objective, optimizer = build_objective(recipe), build_optimizer(network, recipe)

    def step() -> torch.optim.Optimizer:
        terms = objective.loss(network, batch, torch.Generator().manual_seed(0))
        optimizer.zero_grad(set_to_none=True)
        terms["total"].backward()
        optimizer.step()
        return optimizer

    return step


def blank_batch(recipe: Recipe) -> Batch:
    """A batch as the recipe's data set gives it in training: grey pictures, every label 1.

    Raises ValueError for generated data, whose step also augments.
    """
    config = recipe.data.config
    if not isinstance(config, FolderConfig):
        raise ValueError(f"data: expected a public data set, found {recipe.data.source!r}")
    size = (recipe.batch_size, config.height, config.width)
    batch = {"image": torch.full((size[0], 3, *size[1:]), 0.5), "index": torch.zeros(size[0], dtype=torch.int64)}
    return batch | {task: _blank_label(task, size) for task in config.tasks}


def _blank_label(task: TaskName, size: tuple[int, int, int]) -> Tensor:
    if task == "depth":
        return torch.ones(size)
    if task == "normals":
        return torch.ones(size[0], 3, *size[1:])
    return torch.ones(size, dtype=torch.uint8)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
