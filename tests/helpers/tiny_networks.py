"""Networks small enough for tests, and the one thing that every network of flow must be able to learn."""

import torch
from torch import Tensor, nn

from models.mask2former_representation import Mask2FormerRepresentationConfig
from training.losses.pixel_warp import sequence_loss

TINY_MASK2FORMER = Mask2FormerRepresentationConfig(
    embed_dim=12,
    depths=(1, 1, 1, 1),
    heads=(1, 2, 3, 4),
    window=4,
    drop_path=0.0,
    hidden_channels=32,
    attention_heads=2,
    feedforward_channels=32,
    pixel_decoder_feedforward_channels=32,
    encoder_layers=1,
    decoder_layers=4,
    queries=5,
)


def learn_one_shift(network: nn.Module) -> tuple[list[float], Tensor]:
    """Trains a network of flow on one pair that is 8 px apart: the loss of each of 40 steps, and the last flow's error.

    The error is that of every component in pixels, [1, 2, 64, 64].
    """
    wide = torch.rand(1, 3, 8, 12, generator=torch.Generator().manual_seed(3))
    wide = torch.nn.functional.interpolate(wide, (64, 96), mode="bicubic").clamp(0, 1)
    target, reference = wide[..., 16:80], wide[..., 8:72]
    truth = torch.zeros(1, 2, 64, 64)
    truth[:, 0] = 8.0
    region = torch.ones(1, 64, 64, dtype=torch.uint8)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
    history, flow_B2HW = [], truth
    for _ in range(40):
        prediction = network(target, reference)
        loss = sequence_loss(prediction.iterates, truth, region)
        history.append(loss.item())
        flow_B2HW = prediction.flow_B2HW.detach()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return history, (flow_B2HW - truth).abs()
