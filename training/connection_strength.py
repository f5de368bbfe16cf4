"""Which task owns a channel, and the two ways of stepping that learn and conserve it.

After Jeong and Yoon, "Quantifying Task Priority for Multi-Task Optimization" (CVPR 2024). A shared convolution followed
by one batch norm per task is as strong for a task as that task's norm lets its channels through; the task that a
channel is relatively strongest for has priority there: it owns the channel. Phase 1 takes the tasks in turn, one step
each. Phase 2 takes what opposes an owner's gradient out of the other tasks', in the channels that it owns. Equations
are numbered as in the paper.

Shapes: K tasks, P output channels of a convolution, N weights of one of them.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor

from models.task_batch_norm import ConnectionLayer, TaskBatchNormNetwork, connection_layers
from training.gradient_methods.combination import Combiner, combined
from training.gradient_methods.update import TaskGradients, Update, bare

OwnedShares = dict[str, dict[str, float]]
"""By layer, then by task: the share of the layer's channels that the task owns."""


@dataclass(frozen=True, kw_only=True)
class ConnectionStrengthConfig:
    """phases: "mixed" draws between them, more often the second as the run goes on (algorithm 1); or one of them alone.

    granularity: how often is drawn; the paper's text says once an epoch, the authors' code draws for every batch.
    conflicts: what phase 2 does with the tasks' gradients, "conserve" priority as the paper does, or "pcgrad" as a
        comparison that knows no owners.
    """

    kind: Literal["connection_strength"] = "connection_strength"
    phases: Literal["mixed", "first", "second"] = "mixed"
    granularity: Literal["batch", "epoch"] = "batch"
    conflicts: Literal["conserve", "pcgrad"] = "conserve"


def strength(weight: Tensor, gammas_KP: Tensor, variances_KP: Tensor, eps: float = 1e-5) -> Tensor:
    """Connection strength [K, P], equations 4 and 6: gamma^2 / (variance + eps) times the mean squares of the kernels.

    weight: of a convolution, [P, inputs / groups, k, k]; a kernel's mean is summed over the inputs that it sees.
    """
    kernels_P = weight.square().mean(dim=(2, 3)).sum(dim=1)
    return gammas_KP.square() / (variances_KP + eps) * kernels_P


def relative_strength(strength_KP: Tensor) -> Tensor:
    """Equation 7: each task's strengths, divided by their sum over the layer's channels."""
    return strength_KP / strength_KP.sum(dim=1, keepdim=True).clamp(min=torch.finfo(strength_KP.dtype).tiny)


def owners(relative_KP: Tensor) -> Tensor:
    """Equation 10: for each channel the task, int64 [P], whose relative strength is largest; the first of equals."""
    largest_P = relative_KP.max(dim=0).values
    return (relative_KP == largest_P).int().argmax(dim=0)


def conserve(gradients_KPN: Tensor, owner_P: Tensor) -> Tensor:
    """The sum over tasks [P, N] once no task opposes another in the channels that the other owns.

    The channels of an owner i are one group. From every other task's gradient of the whole group its part along the
    owner's is taken away where that points backward: g_j - (g_i . g_j / |g_i|^2) g_i where g_i . g_j < 0. Owners'
    gradients are never changed, so that the order of tasks does not matter. A group whose owner has no gradient is
    summed as it is.
    """
    count = len(gradients_KPN)
    owner_PN = gradients_KPN[owner_P, torch.arange(len(owner_P), device=owner_P.device)]
    groups_PK = torch.nn.functional.one_hot(owner_P, count).to(gradients_KPN.dtype)
    products_KK = (gradients_KPN * owner_PN).sum(dim=2) @ groups_PK  # of each task with each owner, over its group
    squares_K = owner_PN.square().sum(dim=1) @ groups_PK
    opposed_KK = (products_KK < 0) & (squares_K > 0)
    opposed_KK.fill_diagonal_(False)
    removed_KK = torch.where(opposed_KK, products_KK / torch.where(squares_K > 0, squares_K, 1.0), 0.0)
    return gradients_KPN.sum(dim=0) - removed_KK.sum(dim=0)[owner_P][:, None] * owner_PN


def conserving_probability(epoch: int, epochs: int) -> float:
    """Of phase 2 in an epoch counted from 0: it grows linearly, from 0 in the first epoch (algorithm 1)."""
    return epoch / epochs


def conserves(config: ConnectionStrengthConfig, seed: int, step: int, epoch: int, epochs: int) -> bool:
    """Whether this step is of phase 2. Follows from its arguments alone."""
    if config.phases != "mixed":
        return config.phases == "second"
    number = step if config.granularity == "batch" else epoch
    return random.Random(f"phase {seed} {number}").random() < conserving_probability(epoch, epochs)


class ConnectionStrength:
    """See `GradientMethod`; of a `TaskBatchNormNetwork`. Its choice of phases has no state.

    combiner: combines the tasks' gradients in phase 2 in place of `conserve`; by the configuration's `conflicts`.
    """

    def __init__(self, config: ConnectionStrengthConfig, combiner: Combiner | None = None) -> None:
        self.config = config
        self.combiner = combiner
        self._layers: tuple[ConnectionLayer, ...] | None = None

    def update(self, update: Update) -> dict[str, float]:
        """Phase 1: as many steps as there are tasks. Phase 2: one step. Either way one pass per task."""
        network = _network(update.model)
        second = conserves(self.config, update.run_seed, update.number, update.epoch, update.epochs)
        if second:
            self._conserve(update, network)
        else:
            _learn(update, network)
        return {"phase_2": float(second)}

    def report(self, model: torch.nn.Module) -> OwnedShares:
        """Which task owns how much of each layer now."""
        network = _network(model)
        return owned_shares(self._found(network), network.tasks)

    def state_dict(self) -> dict[str, Any]:
        """The state of what stands in for phase 2, if anything does."""
        return self.combiner.state_dict() if self.combiner else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError for the state of another method."""
        if self.combiner:
            self.combiner.load_state_dict(state)
        elif state:
            raise ValueError(f"state: expected none for connection strength, found {sorted(state)}")

    def _conserve(self, update: Update, network: TaskBatchNormNetwork) -> None:
        """Phase 2: every task's gradient, then one step along what is left of them."""
        gradients: TaskGradients = {}
        for task in network.tasks:
            with network.answering(task):
                gradients[task] = update.task_gradients_apart(task)
        update.average_statistics()  # strengths must be the same in all processes
        if self.combiner:
            update.set_gradients(combined(self.combiner, gradients, update))
        else:
            update.set_gradients(_conserved(update, gradients, self._found(network)))
        update.step()

    def _found(self, network: TaskBatchNormNetwork) -> tuple[ConnectionLayer, ...]:
        if self._layers is None:
            self._layers = connection_layers(network)
        return self._layers


def _learn(update: Update, network: TaskBatchNormNetwork) -> None:
    """Phase 1, equation 9: pass, backward and step of each task in turn, on one batch.

    Other tasks' parameters have no gradient meanwhile, so that the optimiser leaves them and their moments alone.
    """
    for task in network.tasks:
        with network.answering(task):
            update.set_gradients(update.task_gradients_apart(task))
        update.step()


def _conserved(update: Update, gradients: TaskGradients, layers: Sequence[ConnectionLayer]) -> list[Tensor | None]:
    """The sum of the tasks' gradients, in connection layers by `conserve`, over the tasks that reach the layer.

    As in the authors' code, a layer whose channels all have one owner is summed as it is.
    """
    by_weight = {id(layer.convolution.weight): layer for layer in layers}
    result: list[Tensor | None] = []
    for index, parameter in enumerate(update.parameters):
        reached = {task: values[index] for task, values in gradients.items()}
        present = {task: gradient for task, gradient in reached.items() if gradient is not None}
        layer = by_weight.get(id(parameter))
        if not present:
            result.append(None)
        elif len(present) == 1:
            result.append(next(iter(present.values())))
        else:
            stacked = torch.stack(list(present.values()))
            total = stacked.sum(dim=0)
            if layer is not None:
                owner_P = owners(_relative(layer, tuple(present)))
                conserved_PN = conserve(stacked.flatten(2), owner_P)
                # One owner of all channels means ties: strengths relative to the layer's sum cannot all be larger.
                tied = (owner_P == owner_P[0]).all()
                total = torch.where(tied, total, conserved_PN.view_as(total))
            result.append(total)
    return result


@torch.no_grad()
def _relative(layer: ConnectionLayer, tasks: Sequence[str]) -> Tensor:
    """Relative strengths [K, P] of a layer for these tasks."""
    norms = [layer.norm.of(task) for task in tasks]
    gammas_KP = torch.stack([norm.weight for norm in norms])
    variances_KP = torch.stack([cast(Tensor, norm.running_var) for norm in norms])
    return relative_strength(strength(layer.convolution.weight, gammas_KP, variances_KP, norms[0].eps))


def owned_shares(layers: Sequence[ConnectionLayer], tasks: Sequence[str]) -> OwnedShares:
    """The share of each layer's channels that each task owns."""
    shares: OwnedShares = {}
    for layer in layers:
        owner_P = owners(_relative(layer, tasks))
        counts = torch.bincount(owner_P, minlength=len(tasks)).tolist()
        shares[layer.name] = {task: count / len(owner_P) for task, count in zip(tasks, counts, strict=True)}
    return shares


def _network(model: torch.nn.Module) -> TaskBatchNormNetwork:
    network = bare(model)
    if not isinstance(network, TaskBatchNormNetwork):
        raise ValueError(f"model: expected a task_batch_norm network, found {type(network).__name__}")
    return network
