"""Feature pyramids from the `transformers` library: strides 4, 8, 16 and 32.

Shapes: B batch, C channels, H height, W width.
"""

from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn
from transformers import AutoBackbone, AutoConfig

from models.shapes import require_image

STRIDES = (4, 8, 16, 32)
STAGES = ["stage1", "stage2", "stage3", "stage4"]


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """A backbone of `transformers`: built from these numbers, or loaded from `pretrained`.

    `name` is the library's model type ("resnet"); `pretrained` is a hub id or a folder that its own loader reads,
    and then decides the architecture alone. `embedding_size`, `hidden_sizes`, `depths` and `layer_type` have the
    library's meaning.
    """

    name: str = "resnet"
    embedding_size: int = 32
    hidden_sizes: tuple[int, ...] = (40, 80, 160, 320)
    depths: tuple[int, ...] = (2, 2, 2, 2)
    layer_type: str = "basic"
    pretrained: str | None = None

    def __post_init__(self) -> None:
        for field in ("hidden_sizes", "depths"):
            found = getattr(self, field)
            if len(found) != len(STRIDES) or min(found) < 1:
                raise ValueError(f"{field}: expected {len(STRIDES)} positive integers, found {found}")


class Backbone(nn.Module):
    """A `transformers` backbone that answers four maps of `channels`, at strides 4, 8, 16 and 32."""

    def __init__(self, network: nn.Module, channels: tuple[int, ...]) -> None:
        super().__init__()
        if len(channels) != len(STRIDES):
            raise ValueError(f"channels: expected {len(STRIDES)} numbers, found {channels}")
        self.network = network
        self.channels = channels

    def forward(self, image_B3HW: Tensor) -> list[Tensor]:
        """Feature maps of a normalised image.

        image_B3HW: float32, zero mean and unit deviation over natural images, H and W multiples of 32.
        Answers four tensors [B, channels[i], H / STRIDES[i], W / STRIDES[i]].
        """
        require_image("image", image_B3HW, 3, STRIDES[-1])
        return list(self.network(image_B3HW).feature_maps)


def build_backbone(config: BackboneConfig) -> Backbone:
    """The backbone of `config`: random weights, or those of `config.pretrained`.

    Raises ValueError if the pretrained file lacks any of the backbone's weights; a classifier's own are left aside.
    """
    if config.pretrained is not None:
        architecture = AutoConfig.from_pretrained(config.pretrained, out_features=STAGES)
    else:
        architecture = AutoConfig.for_model(
            config.name,
            embedding_size=config.embedding_size,
            hidden_sizes=list(config.hidden_sizes),
            depths=list(config.depths),
            layer_type=config.layer_type,
            out_features=STAGES,
        )
    network = AutoBackbone.from_config(architecture)
    if config.pretrained is not None:
        # The class itself, because AutoBackbone.from_pretrained asks the hub even about a folder.
        network, report = type(network).from_pretrained(
            config.pretrained, config=architecture, output_loading_info=True
        )
        if report["missing_keys"]:
            raise ValueError(
                f"pretrained: expected all weights in {config.pretrained}, missing {report['missing_keys']}"
            )
    return Backbone(cast(nn.Module, network), tuple(network.channels))
