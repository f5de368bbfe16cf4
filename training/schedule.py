"""Learning rate as a pure function of the step, so that a resumed run needs no schedule state."""

import math
from typing import Literal

Schedule = Literal["one_cycle", "cosine", "constant", "polynomial"]
POWER = 0.9


def learning_rate_scale(
    step: int, *, steps: int, warmup: float, schedule: Schedule, epoch: int = 0, epochs: int = 1
) -> float:
    """Factor in (0, 1] of the peak learning rate for update number `step` (from 0) of `steps`.

    warmup: share of the steps in which the rate rises. "one_cycle" rises and falls along half cosines (Smith & Topin
    2018, without the momentum cycle) to 1/1000 of the peak; "cosine" rises linearly and falls to 1/100; "constant" only
    rises; "polynomial" is (1 - epoch / epochs)^0.9, constant within an epoch, of MTI-Net and its successors. Steps past
    the end keep the last value.
    """
    if steps < 1:
        raise ValueError(f"steps: expected at least 1, found {steps}")
    if not 0 <= warmup < 1:
        raise ValueError(f"warmup: expected a share in [0, 1), found {warmup}")
    rising = warmup * steps
    if step < rising:
        share = (step + 1) / (rising + 1)
        if schedule == "one_cycle":
            return 0.04 + 0.96 * _half_cosine(share)
        return share
    if schedule == "constant":
        return 1.0
    if schedule == "polynomial":
        return float((1 - min(epoch, epochs - 1) / epochs) ** POWER)
    share = min(1.0, (step - rising) / max(1.0, steps - rising))
    floor = {"one_cycle": 1e-3, "cosine": 1e-2}[schedule]
    return floor + (1 - floor) * (1 - _half_cosine(share))


def _half_cosine(share: float) -> float:
    return 0.5 * (1 - math.cos(math.pi * share))
