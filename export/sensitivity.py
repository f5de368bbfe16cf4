"""Which layers stay in float: measured one at a time, then as few as the task metrics allow.

1. Every layer is quantised alone. The noise that it adds to each output, relative to that output's variance, is its
   sensitivity. Noises of layers add up in power while they are small, so layers are ordered by noise per
   multiply-accumulate: giving up the first of them buys most accuracy for least speed.
2. The fewest first layers of that order stay in float with which every task metric is within the budget; doubling,
   then bisection. That more layers in float lose less holds on the whole, not always, so the number found is one that
   was measured to be within the budget, not surely the smallest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.errors import Int8BudgetError
from export.quantise import Feeds, Layer, Quantiser
from export.task_metrics import Arrays, Call


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """noise: per output, mean squared change over the output's variance, with this layer alone in INT8."""

    layer: Layer
    noise: dict[str, float]

    @property
    def per_operation(self) -> float:
        """Total noise for each multiply-accumulate that INT8 makes faster."""
        return sum(self.noise.values()) / max(self.layer.macs, 1)


def measure(
    quantiser: Quantiser, open_graph: Callable[[Path], Call], feeds: Feeds, reference: Sequence[Arrays], folder: Path,
    progress: Callable[[str], None],
) -> list[Sensitivity]:  # fmt: skip
    """Sensitivities of all layers, the one to leave in float first at the head.

    feeds, reference: inputs and what the float graph answers to them. folder: for temporary files.
    """
    found = []
    for number, layer in enumerate(quantiser.layers):
        path = folder / "one_layer.onnx"
        quantiser.write(path, [layer])
        call = open_graph(path)
        answers = [call(feed) for feed in feeds]
        noise = {name: _noise([a[name] for a in answers], [b[name] for b in reference]) for name in reference[0]}
        found.append(Sensitivity(layer=layer, noise=noise))
        progress(f"layer {number + 1} of {len(quantiser.layers)}: {layer.name}, noise {sum(noise.values()):.2g}")
    return sorted(found, key=lambda one: one.per_operation, reverse=True)


def fewest_in_float(count: int, within: Callable[[int], bool], least: int = 0) -> int:
    """The smallest number in least..count - 1 found for which `within` holds, by doubling and bisection.

    Raises Int8BudgetError when it holds for none that was tried, the largest included.
    """
    failed, tried = least - 1, least
    while not within(tried):
        failed = tried
        if tried >= count - 1:
            raise Int8BudgetError(f"expected a choice of layers within the budget, found none among {count} layers")
        tried = min(max(2 * tried, tried + 1), count - 1)
    passed = tried
    while passed - failed > 1:
        middle = (passed + failed) // 2
        if within(middle):
            passed = middle
        else:
            failed = middle
    return passed


def _noise(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    difference = np.concatenate([(a - b).ravel() for a, b in zip(found, expected, strict=True)]).astype(np.float64)
    variance = np.var(np.concatenate([b.ravel() for b in expected]).astype(np.float64))
    return float(np.square(difference).mean() / max(variance, 1e-12))
