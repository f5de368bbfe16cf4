"""Global context: begins as its position term, reaches everywhere, follows a permutation of what is far, exports."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from export.write_bundle import BundleOptions, write_bundle
from models.global_context import GlobalContext
from tests.helpers.bundles import TINY_PERCEIVE, tiny_source


def trained_block(channels: int = 16) -> GlobalContext:
    """A block whose residual branches are not zero."""
    torch.manual_seed(0)
    block = GlobalContext(channels, 4)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return block.eval()


def test_an_untrained_block_adds_its_position_alone() -> None:
    torch.manual_seed(0)
    block, feat = GlobalContext(16, 4), torch.randn(2, 16, 3, 5)
    assert torch.equal(block(feat), feat + block.position(feat))


def test_every_place_sees_every_other() -> None:
    block = trained_block()
    feat = torch.randn(1, 16, 4, 6, requires_grad=True)
    block(feat)[0, :, 0, 0].square().sum().backward()
    assert feat.grad is not None
    assert (feat.grad.abs().sum(dim=1) > 0).all()


def test_without_position_places_may_be_permuted() -> None:
    block = trained_block()
    torch.nn.init.zeros_(block.position.weight)
    feat = torch.randn(1, 16, 4, 6)
    order = torch.randperm(24)
    moved = feat.flatten(2)[..., order].view_as(feat)
    torch.testing.assert_close(block(moved), block(feat).flatten(2)[..., order].view_as(feat), atol=1e-5, rtol=1e-5)


def test_heads_must_divide_the_channels() -> None:
    with pytest.raises(ValueError, match="heads"):
        GlobalContext(16, 5)


def test_a_network_with_context_is_exported_for_any_size(tmp_path: Path) -> None:
    config = replace(TINY_PERCEIVE, context_blocks=2, context_channels=16)
    bundle = write_bundle([tiny_source(config)], tmp_path / "bundle", BundleOptions(longest_side={"perceive": 128}))
    assert bundle.manifest.kind == "perceive"
