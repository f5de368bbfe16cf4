"""Multi-modal distillation: what one task adds to another's features.

After PAD-Net (Xu et al., CVPR 2018, section 3.3, module C), in the form that MTI-Net (Vandenhende et al., ECCV 2020,
section 3.4) uses: the gate of a message is computed from the task that sends it, with weights of its own for every
ordered pair. In PAD-Net's paper the receiving task's features open the gate, one gate for all messages.

Shapes: B batch, C channels, h and w of one scale.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from models.blocks import SelfAttention


class MultiModalDistillation(nn.Module):
    """F_k + sum over l != k of SA_kl(F_l), for every receiving task k and all sending tasks l."""

    def __init__(self, receivers: Sequence[str], senders: Sequence[str], channels: int) -> None:
        super().__init__()
        self.messages = nn.ModuleDict(
            {
                receiver: nn.ModuleDict({sender: SelfAttention(channels) for sender in senders if sender != receiver})
                for receiver in receivers
            }
        )

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Features [B, C, h, w] of all senders and receivers by name, to those of the receivers."""
        distilled = {}
        for receiver, messages in self.messages.items():
            assert isinstance(messages, nn.ModuleDict)
            total = features[receiver]
            for sender, message in messages.items():
                total = total + message(features[sender])
            distilled[receiver] = total
        return distilled
