"""How a learnable log variance s acts on the loss of one image and one task. Pure functions.

After Kendall, Gal and Cipolla (CVPR 2018), with one s = log sigma^2 per image as Vasu, Saxena and Tuzel (2021) propose,
whose exact forms were not to be found; the temperature is that of Saxena et al., Data Parameters (NeurIPS 2019):

    squared        1/2 exp(-s) l + 1/2 s    a Gaussian's negative log likelihood      smallest at s = log l
    laplace        exp(-s) l + s            a Laplacian's, s = log b                  smallest at s = log l
    cross_entropy  exp(-s) l + 1/2 s        softmax(z / sigma^2), approximated        smallest at s = log 2 l
    temperature    cross-entropy of z exp(-s), without a term that keeps s small

Shapes: B batch, C classes, H height, W width.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from training.losses.dense import IGNORE_LABEL
from training.losses.tasks import TaskLossConfig

Form = Literal["squared", "laplace", "cross_entropy"]

FORMS: dict[Form, tuple[float, float]] = {
    "squared": (0.5, 0.5),
    "laplace": (1.0, 1.0),
    "cross_entropy": (1.0, 0.5),
}
"""Factors a and c of a exp(-s) l + c s."""


def form_of(task: str, losses: TaskLossConfig) -> Form:
    """The form that fits the loss of a task's final map."""
    if task == "depth":
        return "squared" if losses.depth == "mse" else "laplace"
    if task == "normals":
        return "squared" if losses.normals == "mse" else "laplace"
    return "cross_entropy"


def scaled(form: Form, loss_B: Tensor, s_B: Tensor) -> Tensor:
    """a exp(-s) l + c s, per image. Broadcasts."""
    factor, shift = FORMS[form]
    return factor * torch.exp(-s_B) * loss_B + shift * s_B


def scaled_slope(form: Form, loss_B: Tensor, s_B: Tensor) -> Tensor:
    """Derivative of `scaled` by s: c - a exp(-s) l."""
    factor, shift = FORMS[form]
    return shift - factor * torch.exp(-s_B) * loss_B


def tempered_cross_entropy(logits_BCHW: Tensor, label_BHW: Tensor, s_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Per image [B]: mean cross-entropy of z exp(-s), its derivative by s, and that of z itself (s = 0).

    Over pixels that are not 255; 0 where an image has none. label_BHW: integers at the size of the logits. Only the
    first answer carries a gradient, and it reaches the logits alone.
    """
    valid_BHW = label_BHW != IGNORE_LABEL
    known_BHW = torch.where(valid_BHW, label_BHW, 0).long()
    inverse_B111 = torch.exp(-s_B.detach())[:, None, None, None]
    loss_BHW = F.cross_entropy(logits_BCHW * inverse_B111, known_BHW, reduction="none")
    with torch.no_grad():
        expected_BHW = (torch.softmax(logits_BCHW * inverse_B111, dim=1) * logits_BCHW).sum(dim=1)
        chosen_BHW = logits_BCHW.gather(1, known_BHW[:, None])[:, 0]
        slope_BHW = inverse_B111[:, 0] * (chosen_BHW - expected_BHW)
        plain_BHW = F.cross_entropy(logits_BCHW, known_BHW, reduction="none")
    count_B = valid_BHW.sum(dim=(1, 2)).clamp(min=1)
    loss_B, slope_B, plain_B = (
        torch.where(valid_BHW, values, 0.0).sum(dim=(1, 2)) / count_B for values in (loss_BHW, slope_BHW, plain_BHW)
    )
    return loss_B, slope_B, plain_B
