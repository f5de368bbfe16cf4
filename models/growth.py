"""Deeper networks that begin as shallower ones.

A residual block whose branch answers zero changes nothing, so a network with such blocks answers what it did without
them, and training takes it from there: "Net2DeeperNet" of Chen et al. (ICLR 2016), with the zero in the last scale as
in Goyal et al. (2017).
"""

from collections.abc import Set

from torch import nn
from transformers.models.resnet.modeling_resnet import ResNetBasicLayer, ResNetBottleNeckLayer

from models.global_context import GlobalContext


def begin_as_identity(network: nn.Module, drawn: Set[str]) -> None:
    """Zeroes the branches of residual blocks that `drawn` holds every tensor of.

    drawn: names in the network's state that hold no trained weights. Blocks are those of ResNets and of
    `GlobalContext`; a block that changes its map's shape is left as it is.
    """
    for name, block in network.named_modules():
        if not {f"{name}.{own}" for own in block.state_dict()} <= drawn:
            continue
        if isinstance(block, GlobalContext):
            last = ["position.weight", "position.bias"]  # its other two branches begin at zero by themselves
        elif isinstance(block, ResNetBasicLayer | ResNetBottleNeckLayer) and isinstance(block.shortcut, nn.Identity):
            last = [f"layer.{len(block.layer) - 1}.normalization.weight"]
        else:
            continue
        for own in last:
            nn.init.zeros_(block.get_parameter(own))
