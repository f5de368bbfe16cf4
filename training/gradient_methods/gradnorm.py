"""GradNorm (Chen, Badrinarayanan, Lee and Rabinovich, ICML 2018): weights that let all tasks train at similar rates.

Each task's weight is learned so that the norm of its weighted gradient at one shared layer approaches the mean norm,
times how far behind the task is. The weights multiply the tasks' whole losses, heads included, and sum to K.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from training.gradient_methods.update import TaskGradients, Update

SMALLEST_WEIGHT = 1e-3
"""Ours: no step makes a task's weight zero or negative."""


@dataclass(frozen=True, kw_only=True)
class GradNormConfig:
    """alpha: strength of the pull towards equal rates, 1.5 in the paper for NYUD-v2. learning_rate: of the weights,
    0.025 in the paper.

    layer: name of the network's parameter where norms are taken; None for the last weight that all tasks reach, in the
    network's order, before the first that is named after a task (the paper's last shared layer).
    """

    kind: Literal["gradnorm"] = "gradnorm"
    alpha: float = 1.5
    learning_rate: float = 0.025
    layer: str | None = None

    def __post_init__(self) -> None:
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate: expected a positive number, found {self.learning_rate}")


class GradNorm:
    """See `GradientMethod`. A task's initial loss is that of the first applied step in which it had one above 0."""

    def __init__(self, config: GradNormConfig) -> None:
        self.config = config
        self._weights: dict[str, float] = {}
        self._initial: dict[str, float] = {}

    def update(self, update: Update) -> dict[str, float]:
        """One step along the weighted sum, then one of the weights."""
        gradients = update.task_gradients()
        weights = self._weights or dict.fromkeys(gradients, 1.0)
        if set(weights) != set(gradients):
            raise ValueError(f"state: expected GradNorm of {sorted(gradients)}, found {sorted(weights)}")
        layer = shared_layer([name for name, _ in update.named_parameters], gradients, self.config.layer)
        norms = {task: float(torch.linalg.vector_norm(_present(values[layer]))) for task, values in gradients.items()}
        update.set_gradients(weighted(gradients, weights))
        update.step()
        if update.applied:
            known = {task: loss for task, loss in self._initial.items() if loss > 0}
            self._initial = {task: loss for task, loss in update.task_totals.items() if loss > 0} | known
            self._weights = next_weights(weights, norms, update.task_totals, self._initial, self.config)
        return {f"combination/{task}": weight for task, weight in weights.items()}

    def state_dict(self) -> dict[str, Any]:
        """Weights and initial losses by task."""
        return {"weights": dict(self._weights), "initial": dict(self._initial)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError for the state of another method."""
        if set(state) != {"weights", "initial"}:
            raise ValueError(f"state: expected that of GradNorm, found {sorted(state)}")
        self._weights, self._initial = dict(state["weights"]), dict(state["initial"])


def next_weights(
    weights: Mapping[str, float],
    norms: Mapping[str, float],
    losses: Mapping[str, float],
    initial: Mapping[str, float],
    config: GradNormConfig,
) -> dict[str, float]:
    """The weights after one step against L_grad = sum_i |G_i - mean(G) r_i^alpha| (equation 2), renormalised.

    norms: of the unweighted gradients, so G_i = w_i norms_i; r_i = (L_i / L_i(0)) / mean_j(L_j / L_j(0)), and the
    target is a constant to the gradient, sign(G_i - target_i) norms_i. Ours: that gradient is divided by mean(G), so
    that scaling all losses alike changes nothing. Tasks with a loss and an initial loss above 0 learn, means are over
    them, and the others keep their weights. Where no task has a gradient nothing changes.
    """
    learning = [task for task in weights if losses[task] > 0 and initial.get(task, 0.0) > 0]
    if len(learning) < 2:
        return dict(weights)
    mean_norm = sum(weights[task] * norms[task] for task in learning) / len(learning)
    if mean_norm == 0:
        return dict(weights)
    progress = {task: losses[task] / initial[task] for task in learning}
    mean_progress = sum(progress.values()) / len(learning)
    stepped = {}
    for task in learning:
        difference = weights[task] * norms[task] - mean_norm * (progress[task] / mean_progress) ** config.alpha
        sign = (difference > 0) - (difference < 0)
        stepped[task] = max(weights[task] - config.learning_rate * sign * norms[task] / mean_norm, SMALLEST_WEIGHT)
    rest = len(weights) - sum(weight for task, weight in weights.items() if task not in stepped)
    whole = sum(stepped.values())
    return {task: rest * stepped[task] / whole if task in stepped else weight for task, weight in weights.items()}


def shared_layer(names: Sequence[str], gradients: TaskGradients, wanted: str | None) -> int:
    """The index of the parameter where norms are taken. Raises ValueError when not every task reaches it."""
    reached = [i for i in range(len(names)) if all(values[i] is not None for values in gradients.values())]
    if wanted is not None:
        if wanted not in names or names.index(wanted) not in reached:
            raise ValueError(f"layer: expected a parameter that every task reaches, found {wanted!r}")
        return names.index(wanted)
    columns = zip(*gradients.values(), strict=True)
    matrices = [i for i, column in enumerate(columns) if any(g is not None and g.ndim > 1 for g in column)]
    first_own = next((i for i in matrices if not set(gradients).isdisjoint(names[i].split("."))), len(names))
    shared = [i for i in matrices if i in reached and i < first_own]
    if not shared:
        raise ValueError("gradients: gradnorm needs a weight that every task reaches, found none")
    return shared[-1]


def weighted(gradients: TaskGradients, weights: Mapping[str, float]) -> list[Tensor | None]:
    """The sum of weight times gradient for each parameter; None where no task reaches it."""
    result: list[Tensor | None] = []
    for values in zip(*gradients.values(), strict=True):
        terms = [weights[t] * g for t, g in zip(gradients, values, strict=True) if g is not None]
        result.append(torch.stack(terms).sum(dim=0) if terms else None)
    return result


def _present(gradient: Tensor | None) -> Tensor:
    assert gradient is not None  # the layer is one that every task reaches
    return gradient
