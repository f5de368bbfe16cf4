"""Swin stages on a feature map: the hierarchical encoder of an MT-CP task decoder.

The layers are those of `transformers` (Swin, Liu et al., ICCV 2021): window attention with relative position bias,
zero padding to multiples of the window, cyclic shift in every second block, patch merging between stages. What differs
from a Swin backbone is the input, a map of the first stage's width instead of an image: there is no patch embedding.

Shapes: B batch, C channels, h and w of the input, L = h * w tokens.
"""

from collections.abc import Sequence
from typing import cast

import transformers  # names are looked up where they are used: Swin alone takes a second to import
from torch import Tensor, nn


class SwinStages(nn.Module):
    """Stages of width C, 2C, 4C, ... at strides 1, 2, 4, ... of the input, each answered after a layer norm.

    The library picks attention by the size of the input unless told otherwise, and then keeps the smaller window it
    chose; we always partition, so that an answer never depends on earlier inputs. Attention is written out
    ("eager") rather than fused: windows hold few tokens, and the fused form does not pass through the ONNX exporter.
    """

    def __init__(self, channels: int, depths: Sequence[int], heads: Sequence[int], window: int) -> None:
        super().__init__()
        config = transformers.AutoConfig.for_model(
            "swin",
            embed_dim=channels,
            depths=list(depths),
            num_heads=list(heads),
            window_size=window,
            drop_path_rate=0.0,
            attn_implementation="eager",
        )
        # The grid is metadata that no layer reads.
        encoder = transformers.models.swin.modeling_swin.SwinEncoder
        self.stages = encoder(cast(transformers.SwinConfig, config), grid_size=(1, 1)).layers
        self.channels = tuple(channels * 2**stage for stage in range(len(depths)))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in self.channels)

    def forward(self, feat_BChw: Tensor) -> list[Tensor]:
        """Maps [B, C * 2^i, ceil(h / 2^i), ceil(w / 2^i)], finest first; any h, w >= 1."""
        height, width = feat_BChw.shape[-2:]
        tokens_BLC = feat_BChw.flatten(2).transpose(1, 2)
        maps = []
        for stage, norm in zip(self.stages, self.norms, strict=True):
            tokens_BLC, map_BChw, _ = stage(
                tokens_BLC,
                (height, width),
                always_partition=True,
                output_hidden_states_before_downsampling=True,
            )
            maps.append(norm(map_BChw.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
            height, width = (height + 1) // 2, (width + 1) // 2
        return maps
