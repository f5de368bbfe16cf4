"""Backbones behind one interface: a normalised image to maps at strides 4, 8, 16 and 32.

Shapes: B batch, C channels, H height, W width.
"""

import json
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from models.feature_pyramid import FeaturePyramid
from models.hrnet import HRNet, load_hrnet
from models.library_backbones import STRIDES, build_library_network
from models.shapes import require_image


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """A backbone: built from these numbers, or loaded from `pretrained`.

    name: "hrnet", or a model type of `transformers`: hierarchical ("resnet", "swin", "convnextv2", "segformer", ...),
        or plain ("dinov2", "dinov3_vit", ...), which gets the simple feature pyramid of ViTDet.
    hidden_sizes: channels of the four maps.
    depths: blocks per stage; a plain transformer has their sum. "hrnet": bottlenecks of stage 1, modules of the others.
    embedding_size: channels of the stem where a network has one of its own width, or of a plain transformer's tokens.
    layer_type: "basic" or "bottleneck", of a ResNet alone.
    settings: a JSON object with more settings, by the library's names ('{"num_heads": [1, 2, 4, 8]}'); of "hrnet"
        "blocks", the residual blocks per branch and module.
    pretrained: what the library's own loader reads, a hub id or a folder, which then decides the architecture alone (a
        plain transformer keeps `hidden_sizes`); for "hrnet" a file of weights that fit these numbers.
    fpn_channels: where given, a feature pyramid network makes all four maps this wide.
    """

    name: str = "resnet"
    embedding_size: int = 32
    hidden_sizes: tuple[int, ...] = (40, 80, 160, 320)
    depths: tuple[int, ...] = (2, 2, 2, 2)
    layer_type: str = "basic"
    settings: str = "{}"
    pretrained: str | None = None
    fpn_channels: int | None = None

    def __post_init__(self) -> None:
        for field in ("hidden_sizes", "depths"):
            found = getattr(self, field)
            if len(found) != len(STRIDES) or min(found) < 1:
                raise ValueError(f"{field}: expected {len(STRIDES)} positive integers, found {found}")
        for field in ("embedding_size", "fpn_channels"):
            width = getattr(self, field)
            if width is not None and width < 1:
                raise ValueError(f"{field}: expected a positive integer, found {width}")
        self.parsed_settings()

    def parsed_settings(self) -> dict[str, Any]:
        """`settings` as a dictionary. Raises ValueError where it is not a JSON object."""
        try:
            parsed = json.loads(self.settings)
        except json.JSONDecodeError as error:
            raise ValueError(f"settings: expected a JSON object, found {self.settings!r}") from error
        if not isinstance(parsed, dict):
            raise ValueError(f"settings: expected a JSON object, found {self.settings!r}")
        return parsed


HRNET_W18_SMALL_V2 = BackboneConfig(
    name="hrnet", embedding_size=64, hidden_sizes=(18, 36, 72, 144), depths=(2, 1, 3, 2)
)
"""The "HRNet-18" of MTI-Net and its comparisons; 3,860,720 parameters."""
HRNET_W48 = BackboneConfig(
    name="hrnet",
    embedding_size=64,
    hidden_sizes=(48, 96, 192, 384),
    depths=(4, 1, 4, 3),
    settings='{"blocks": 4}',
)


class Backbone(nn.Module):
    """A network that answers four maps of `channels`, at strides 4, 8, 16 and 32.

    network: answers a list of maps, or an object whose `feature_maps` they are. pyramid: turns these into the four.
    """

    def __init__(self, network: nn.Module, channels: tuple[int, ...], pyramid: nn.Module | None = None) -> None:
        super().__init__()
        if len(channels) != len(STRIDES):
            raise ValueError(f"channels: expected {len(STRIDES)} numbers, found {channels}")
        self.network = network
        self.pyramid = pyramid
        self.channels = channels

    def forward(self, image_B3HW: Tensor) -> list[Tensor]:
        """Feature maps of a normalised image.

        image_B3HW: float32, zero mean and unit deviation over natural images, H and W multiples of 32.
        Answers four tensors [B, channels[i], H / STRIDES[i], W / STRIDES[i]].
        """
        require_image("image", image_B3HW, 3, STRIDES[-1])
        answer = self.network(image_B3HW)
        maps = list(answer if isinstance(answer, list) else answer.feature_maps)
        return maps if self.pyramid is None else self.pyramid(maps)


def build_backbone(config: BackboneConfig) -> Backbone:
    """The backbone of `config`: random weights, or those of `config.pretrained`.

    Raises ValueError if the pretrained file lacks any of the backbone's weights (a classifier's own are left aside), or
    naming the field that the chosen network cannot follow.
    """
    network: nn.Module
    pyramid: nn.Module | None
    if config.name == "hrnet":
        network, pyramid, channels = _hrnet(config), None, config.hidden_sizes
    else:
        values = {name: getattr(config, name) for name in ("embedding_size", "layer_type")}
        values |= {name: list(getattr(config, name)) for name in ("hidden_sizes", "depths")}
        built = build_library_network(
            config.name, config.pretrained, values, config.parsed_settings(), config.hidden_sizes
        )
        network, pyramid, channels = built.network, built.pyramid, built.channels
        if config.pretrained is None and channels != config.hidden_sizes:
            raise ValueError(
                f"hidden_sizes: expected {channels}, which is what {config.name!r} makes of the other fields, "
                f"found {config.hidden_sizes}"
            )
    if config.fpn_channels is not None:
        merge = FeaturePyramid(channels, config.fpn_channels)
        pyramid = merge if pyramid is None else nn.Sequential(pyramid, merge)
        channels = (config.fpn_channels,) * len(STRIDES)
    return Backbone(network, channels, pyramid)


def _hrnet(config: BackboneConfig) -> HRNet:
    settings = config.parsed_settings()
    if set(settings) - {"blocks"} or not all(isinstance(value, int) and value > 0 for value in settings.values()):
        raise ValueError(f"settings: expected for 'hrnet' a positive integer 'blocks' at most, found {settings}")
    network = HRNet(config.embedding_size, config.hidden_sizes, config.depths, **settings)
    if config.pretrained is not None:
        load_hrnet(network, config.pretrained)
    return network
