"""The shared representation of MT-CP from Mask2Former (Cheng et al., CVPR 2022), through `transformers`.

Pixel features P and query embeddings e_q give mask logits M_q = <e_q, P> at every pixel. The representation is P times
the sum of all masks, which by linearity is P <e, P> with e the sum of the embeddings: no map per query is kept for it.
Class logits are not used, so the network is built without its classifier.

Shapes: B batch, C channels of P, Q queries, H and W of the image, h = H / 4, w = W / 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
import transformers  # names are looked up where they are used: Mask2Former alone takes seconds to import
from torch import Tensor, nn

STAGES = ["stage1", "stage2", "stage3", "stage4"]


@dataclass(frozen=True, kw_only=True)
class Mask2FormerRepresentationConfig:
    """Mask2Former on a Swin backbone: built from these numbers (Swin-Small by default), or loaded from `pretrained`.

    `pretrained` is a hub id or a folder that the library's own loader reads, and then decides the architecture alone;
    the paper starts from "facebook/mask2former-swin-small-ade-semantic".
    """

    pretrained: str | None = None
    embed_dim: int = 96
    depths: tuple[int, ...] = (2, 2, 18, 2)
    heads: tuple[int, ...] = (3, 6, 12, 24)
    window: int = 7
    drop_path: float = 0.3
    hidden_channels: int = 256
    attention_heads: int = 8
    feedforward_channels: int = 2048
    pixel_decoder_feedforward_channels: int = 1024
    encoder_layers: int = 6
    decoder_layers: int = 10
    queries: int = 100

    def __post_init__(self) -> None:
        for field in ("depths", "heads"):
            found = getattr(self, field)
            if len(found) != len(STAGES) or min(found) < 1:
                raise ValueError(f"{field}: expected {len(STAGES)} positive integers, found {found}")


def represent(pixel_BChw: Tensor, embedding_BQC: Tensor) -> Tensor:
    """P <e, P> with e = sum_q e_q: pixel features [B, C, h, w] and query embeddings [B, Q, C] to [B, C, h, w]."""
    total_BC11 = embedding_BQC.sum(dim=1)[:, :, None, None]
    return pixel_BChw * (pixel_BChw * total_BC11).sum(dim=1, keepdim=True)


class Mask2FormerRepresentation(nn.Module):
    """R of a normalised image, from a Mask2Former without classifier."""

    def __init__(self, network: transformers.Mask2FormerModel) -> None:
        super().__init__()
        self.network = network
        # The library's backbone holds a last norm that none of its maps passes: no gradient would ever reach it.
        network.pixel_level_module.encoder.swin.layernorm.requires_grad_(False)
        self.channels: int = network.config.mask_feature_size

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """image_B3HW: float32, zero mean and unit deviation over ImageNet, H and W multiples of 32; to [B, C, h, w]."""
        output = self.network(pixel_values=image_B3HW, return_dict=True)
        decoder = self.network.transformer_module.decoder
        query_BQC = decoder.layernorm(output.transformer_decoder_last_hidden_state)
        embedding_BQC = decoder.mask_predictor.mask_embedder(query_BQC)
        return represent(output.pixel_decoder_last_hidden_state, embedding_BQC)


def build_mask2former(config: Mask2FormerRepresentationConfig, channels: int) -> Mask2FormerRepresentation:
    """The representation of `config`: random weights, or those of `config.pretrained`.

    channels: width of the representation. Raises ValueError if the pretrained network has another width or lacks any
    of the weights that are used; a segmenter's classifier is left aside.
    """
    if config.pretrained is None:
        return Mask2FormerRepresentation(transformers.Mask2FormerModel(_architecture(config, channels)))
    network, report = cast(Any, transformers.Mask2FormerModel).from_pretrained(
        config.pretrained, output_loading_info=True, dtype=torch.float32
    )
    if report["missing_keys"]:
        raise ValueError(f"pretrained: expected all weights in {config.pretrained}, missing {report['missing_keys']}")
    if network.config.mask_feature_size != channels:
        raise ValueError(
            f"pretrained: expected features of {channels} channels, found {network.config.mask_feature_size}"
        )
    return Mask2FormerRepresentation(network)


def _architecture(config: Mask2FormerRepresentationConfig, channels: int) -> transformers.Mask2FormerConfig:
    backbone = transformers.AutoConfig.for_model(
        "swin",
        embed_dim=config.embed_dim,
        depths=list(config.depths),
        num_heads=list(config.heads),
        window_size=config.window,
        drop_path_rate=config.drop_path,
        out_features=STAGES,
    )
    return transformers.Mask2FormerConfig(
        backbone_config=backbone,
        feature_size=config.hidden_channels,
        hidden_dim=config.hidden_channels,
        mask_feature_size=channels,
        num_attention_heads=config.attention_heads,
        dim_feedforward=config.feedforward_channels,
        encoder_feedforward_dim=config.pixel_decoder_feedforward_channels,
        encoder_layers=config.encoder_layers,
        decoder_layers=config.decoder_layers,
        num_queries=config.queries,
    )
