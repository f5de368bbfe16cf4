"""Memory of a training step: a network counted by hand, and what must hold for any recipe."""

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.step_memory import FusedAttention, LiveStorages, counted
from models.backbones import BackboneConfig
from models.mt_cp_fusion import pixel_attention
from training.recipe import Recipe
from training.recipes import get_recipe

TINY = BackboneConfig(embedding_size=8, hidden_sizes=(8, 8, 16, 16), depths=(1, 1, 1, 1))


def test_two_layers_as_counted_by_hand() -> None:
    with torch.device("meta"):
        first, second, image = nn.Parameter(torch.zeros(16, 8)), nn.Parameter(torch.zeros(2, 16)), torch.zeros(8, 8)
    held = 4 * (16 * 8 + 2 * 16 + 8 * 8)
    hidden, output, scalar = 4 * 8 * 16, 4 * 8 * 2, 4
    with LiveStorages() as storages:
        storages.hold([first, second, image, first])
        assert storages.live == held
        feat = F.relu(image @ first.T)
        assert storages.peak == held + 2 * hidden, "before and after the rectifier, for a moment"
        answer = feat @ second.T
        loss = answer.sum()
        del feat
        assert storages.live == held + hidden + output + scalar, "autograd keeps the rectified features"
        loss.backward()
        # At the rectifier: its result, the gradients on both of its sides, that of the second layer, and the one of
        # the loss, which the caller of backward() keeps.
        assert storages.peak == held + output + 3 * hidden + 4 * 2 * 16 + 2 * scalar
        gradients = 4 * (16 * 8 + 2 * 16)
        before = held + output + scalar + gradients
        assert storages.live == before
        optimizer = torch.optim.Adam([first, second])
        optimizer.step()
        assert storages.live == before + 2 * gradients + 2 * scalar, "two moments, and a counter for each parameter"
    del answer, loss, optimizer
    first.grad = second.grad = None
    assert storages.live == held


def small(name: str, **fields: Any) -> Recipe:
    """A paper's recipe with pictures of 64 x 64."""
    recipe = get_recipe(name)
    config = replace(recipe.data.config, pipeline=replace(recipe.data.config.pipeline, size=(64, 64)))  # type: ignore[union-attr, arg-type]
    return replace(recipe, data=replace(recipe.data, config=config), **fields)


def test_a_recipe_grows_with_its_batch_and_keeps_its_state() -> None:
    recipe = get_recipe("nyud_single_depth_hrnet18")
    model = replace(recipe.model, backbone=TINY)  # type: ignore[arg-type]
    found = {batch: counted(small(recipe.name, model=model, batch_size=batch)) for batch in (2, 4)}
    assert len({memory.parameters for memory in found.values()}) == 1
    parameters = found[2].parameters
    assert found[2].state == pytest.approx(2 * parameters, rel=0.1), "Adam; the parameters count buffers too"
    assert found[2].peak > parameters + found[2].state
    assert found[4].peak > found[2].peak + 2 * 4 * 3 * 64 * 64
    assert found[4].peak < 2 * found[2].peak


def kept_by_attention(fused: bool) -> int:
    """Bytes that MT-CP's attention between 256 pixels holds for its backward pass, its answer included."""
    with torch.device("meta"):
        query, key, value = (torch.zeros(2, 32, 16, 16, requires_grad=True) for _ in range(3))
    with LiveStorages() as storages, FusedAttention() if fused else nullcontext():
        storages.hold([query, key, value])
        answer = pixel_attention(query, key, value)
        assert answer.shape == (2, 32, 16, 16)
        return storages.live


def test_written_out_attention_costs_its_scores() -> None:
    scores = 4 * 2 * 256 * 256
    assert kept_by_attention(fused=False) > scores
    assert kept_by_attention(fused=True) < scores


def test_generated_data_and_mixed_precision_are_refused() -> None:
    with pytest.raises(ValueError, match="data: expected a public data set"):
        counted(replace(get_recipe("rooms_shared"), precision="32-true"))
    with pytest.raises(ValueError, match="precision"):
        counted(get_recipe("perceive_rooms"))
