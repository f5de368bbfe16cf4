"""HRNet: parallel branches at strides 4 to 32 that exchange what they see after every module.

After Sun et al., "High-Resolution Representations for Labeling Pixels and Regions" (2019). The default is
HRNetV2-W18-small-v2; W48 has widths (48, 96, 192, 384), modules (4, 1, 4, 3) and 4 blocks. Parts are named as in the
released ImageNet weights (HRNet-Image-Classification), so that a file of these loads by name.

Shapes: B batch, H and W of the image, h and w of a branch; branches run from the finest to the coarsest.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from models.blocks import BasicBlock, Bottleneck, resize_like

MOMENTUM = 0.01
INITIAL_STD = 1e-3


def _conv(inputs: int, outputs: int, stride: int = 1, activate: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs, momentum=MOMENTUM),
    ]
    return nn.Sequential(*layers, nn.ReLU()) if activate else nn.Sequential(*layers)


class HRModule(nn.Module):
    """Residual blocks on every branch, then each branch becomes the sum of all, brought to its size and width."""

    def __init__(self, widths: tuple[int, ...], blocks: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width, width, momentum=MOMENTUM) for _ in range(blocks))) for width in widths
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_fuse(widths, source, target) for source in range(len(widths)))
            for target in range(len(widths))
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        maps = [branch(level) for branch, level in zip(self.branches, maps, strict=True)]
        fused = []
        for target, layers in enumerate(self.fuse_layers):
            assert isinstance(layers, nn.ModuleList)
            total = layers[0](maps[0])
            for source in range(1, len(maps)):
                added = layers[source](maps[source])
                total = total + (resize_like(added, total) if source > target else added)
            fused.append(torch.relu(total))
        return fused


def _fuse(widths: tuple[int, ...], source: int, target: int) -> nn.Module:
    """From one branch to another's width, and down to its size; enlarging is left to the sum."""
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.Sequential(
            nn.Conv2d(widths[source], widths[target], 1, bias=False),
            nn.BatchNorm2d(widths[target], momentum=MOMENTUM),
        )
    halvings = [_conv(widths[source], widths[source], stride=2) for _ in range(target - source - 1)]
    return nn.Sequential(*halvings, _conv(widths[source], widths[target], stride=2, activate=False))


class HRNet(nn.Module):
    """The encoder without its classifier: an image to one map per branch.

    stem: channels of the two first convolutions and inner width of the first stage. widths: of the four branches.
    modules: bottleneck blocks of stage 1, then modules of stages 2, 3 and 4. blocks: residual blocks per branch and
    module. Convolutions start from N(0, 0.001).
    """

    def __init__(
        self,
        stem: int = 64,
        widths: tuple[int, ...] = (18, 36, 72, 144),
        modules: tuple[int, ...] = (2, 1, 3, 2),
        blocks: int = 2,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, stem, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem, momentum=MOMENTUM)
        self.conv2 = nn.Conv2d(stem, stem, 3, 2, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(stem, momentum=MOMENTUM)
        before = Bottleneck.EXPANSION * stem
        self.layer1 = nn.Sequential(
            *(Bottleneck(before if index else stem, stem, MOMENTUM) for index in range(modules[0]))
        )
        self.transition1 = _transition((before,), widths[:2])
        self.transition2 = _transition(widths[:2], widths[:3])
        self.transition3 = _transition(widths[:3], widths)
        self.stage2 = nn.ModuleList(HRModule(widths[:2], blocks) for _ in range(modules[1]))
        self.stage3 = nn.ModuleList(HRModule(widths[:3], blocks) for _ in range(modules[2]))
        self.stage4 = nn.ModuleList(HRModule(widths, blocks) for _ in range(modules[3]))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=INITIAL_STD)

    def forward(self, image_B3HW: Tensor) -> list[Tensor]:
        """A normalised image, H and W multiples of 32, to maps [B, widths[i], H / s, W / s], s = 4, 8, 16, 32."""
        feat = torch.relu(self.bn1(self.conv1(image_B3HW)))
        feat = torch.relu(self.bn2(self.conv2(feat)))
        maps = [self.layer1(feat)]
        for transition, stage in (
            (self.transition1, self.stage2),
            (self.transition2, self.stage3),
            (self.transition3, self.stage4),
        ):
            maps = [step(maps[min(branch, len(maps) - 1)]) for branch, step in enumerate(transition)]
            for module in stage:
                maps = module(maps)
        return maps


def _transition(before: tuple[int, ...], after: tuple[int, ...]) -> nn.ModuleList:
    """Each branch to its new width; a new branch starts from the coarsest, one halving per level it lies below."""
    steps: list[nn.Module] = []
    for branch, width in enumerate(after):
        if branch < len(before):
            steps.append(nn.Identity() if before[branch] == width else _conv(before[branch], width))
        else:
            steps.append(nn.Sequential(_conv(before[-1], width, stride=2)))
    return nn.ModuleList(steps)


def load_hrnet(network: HRNet, path: str) -> None:
    """Load released weights by matching names, from a safetensors file or one that `torch.save` wrote.

    Nothing is unpickled but tensors. What the file holds beyond the encoder (its classifier) is left aside. Raises
    ValueError when the file lacks a weight of the encoder or holds one of another shape, or is of another kind.
    """
    if not Path(path).is_file():
        raise ValueError(f"pretrained: expected a file, found none at {path}")
    found = load_file(path) if Path(path).suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise ValueError(f"pretrained: expected a dictionary of tensors in {path}, found {type(found).__name__}")
    weights = {name.removeprefix("module."): value for name, value in found.items()}
    wanted = network.state_dict()
    # Counters of seen batches act only where momentum is None, and files of 2019 may lack them.
    missing = sorted(name for name in wanted if name not in weights and not name.endswith("num_batches_tracked"))
    shapes = sorted(name for name in wanted if name in weights and weights[name].shape != wanted[name].shape)
    if missing or shapes:
        raise ValueError(
            f"pretrained: expected all weights in {path}, missing {missing[:5]} ({len(missing)}), "
            f"of another shape {shapes[:5]} ({len(shapes)})"
        )
    network.load_state_dict({name: weights.get(name, value) for name, value in wanted.items()})
