"""The representation from Mask2Former: an identity of its masks, and loading through the library's own loader."""

from pathlib import Path

import pytest
import torch
from transformers import Mask2FormerForUniversalSegmentation, Mask2FormerModel

from models.mask2former_representation import (
    Mask2FormerRepresentationConfig,
    build_mask2former,
    represent,
)
from tests.helpers.tiny_networks import TINY_MASK2FORMER


def test_representation_is_pixel_features_times_the_sum_of_masks() -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(2, 8, 5, 7, generator=generator, dtype=torch.float64)
    embeddings = torch.randn(2, 11, 8, generator=generator, dtype=torch.float64)
    masks = torch.einsum("bqc,bchw->bqhw", embeddings, pixels)
    together = torch.einsum("bqhw,bchw->bchw", masks, pixels)
    torch.testing.assert_close(represent(pixels, embeddings), together)
    torch.testing.assert_close(represent(pixels, embeddings), pixels * masks.sum(dim=1, keepdim=True))


def test_network_answers_what_the_library_s_masks_say() -> None:
    torch.manual_seed(0)
    representation = build_mask2former(TINY_MASK2FORMER, channels=16).eval()
    image = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        found = representation(image)
        output = representation.network(pixel_values=image)
    pixels = output.pixel_decoder_last_hidden_state
    masks = output.masks_queries_logits[-1]
    assert masks.shape == (2, 5, 16, 24)
    torch.testing.assert_close(found, pixels * masks.sum(dim=1, keepdim=True), rtol=1e-4, atol=1e-5)
    assert found.shape == (2, 16, 16, 24)


def test_gradient_reaches_every_trainable_weight() -> None:
    torch.manual_seed(0)
    representation = build_mask2former(TINY_MASK2FORMER, channels=16).train()
    representation(torch.randn(1, 3, 64, 64)).square().mean().backward()
    unreached = [
        name for name, weight in representation.named_parameters() if weight.requires_grad and weight.grad is None
    ]
    assert unreached == []


def test_a_saved_segmenter_is_loaded_without_its_classifier(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = build_mask2former(TINY_MASK2FORMER, channels=16).network
    segmenter = Mask2FormerForUniversalSegmentation(source.config)
    segmenter.save_pretrained(tmp_path)
    pretrained = Mask2FormerRepresentationConfig(pretrained=str(tmp_path))
    loaded = build_mask2former(pretrained, channels=16).network
    assert type(loaded) is Mask2FormerModel
    found = loaded.state_dict()
    for name, weight in segmenter.model.state_dict().items():
        torch.testing.assert_close(found[name], weight, rtol=0, atol=0)
    with pytest.raises(ValueError, match="expected features of 32 channels, found 16"):
        build_mask2former(pretrained, channels=32)


def test_defaults_are_swin_small_with_a_hundred_queries() -> None:
    with torch.device("meta"):
        network = build_mask2former(Mask2FormerRepresentationConfig(), channels=256).network
    assert network.config.backbone_config.depths == [2, 2, 18, 2]
    assert network.transformer_module.queries_features.weight.shape == (100, 256)
    assert sum(weight.numel() for weight in network.parameters()) == 68_720_266


@pytest.mark.parametrize("field", ["depths", "heads"])
def test_wrong_stages_are_refused(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        Mask2FormerRepresentationConfig(**{field: (1, 2)})
