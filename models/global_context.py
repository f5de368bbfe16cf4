"""Global context for convolutional encoders: pre-norm transformer blocks over the coarsest map.

Convolutions at stride 32 see far, but not all of an image at once, which depth needs: the size of a room is told by its
furthest corners. The blocks are those of Dosovitskiy et al. (ICLR 2021) with the conditional positional encoding of
Chu et al. (ICLR 2023), a depthwise convolution, so that any size of image is served.

Shapes: B batch, C channels, h and w of the map, N = h * w positions, M heads, D = C / M.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class GlobalContext(nn.Module):
    """One block: position, attention over all places of a map, and a two-layer network per place.

    Its residual branches begin at zero, so that an untrained block adds its position term alone.
    """

    def __init__(self, channels: int, heads: int, expansion: int = 2) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ValueError(f"heads: expected a divisor of {channels} channels, found {heads}")
        self.heads = heads
        self.position = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.attention_norm, self.mlp_norm = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.attention_out = nn.Linear(channels, channels)
        self.mlp_in, self.mlp_out = nn.Linear(channels, expansion * channels), nn.Linear(expansion * channels, channels)
        for last in (self.attention_out, self.mlp_out):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, feat_BChw: Tensor) -> Tensor:
        """[B, C, h, w] to the same shape."""
        feat_BChw = feat_BChw + self.position(feat_BChw)
        batch, channels, height, width = feat_BChw.shape
        feat_BNC = feat_BChw.flatten(2).transpose(1, 2)
        split = self.query_key_value(self.attention_norm(feat_BNC))
        query, key, value = split.view(batch, -1, 3, self.heads, channels // self.heads).permute(2, 0, 3, 1, 4)
        seen_BMND = F.scaled_dot_product_attention(query, key, value)
        feat_BNC = feat_BNC + self.attention_out(seen_BMND.transpose(1, 2).reshape(batch, -1, channels))
        feat_BNC = feat_BNC + self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(feat_BNC))))
        return feat_BNC.transpose(1, 2).reshape(batch, channels, height, width)
