"""The parts of MT-CP: exact parameter counts, shapes, and what attention and refinement promise."""

import pytest
import torch
from torch import Tensor, nn

from models.feature_pyramid import FeaturePyramid
from models.mt_cp import TaskDecoder
from models.mt_cp_fusion import Cbam, CoherenceFusion, pixel_attention
from models.mt_cp_heads import final_head, intermediate_head
from models.mt_cp_trace_back import SpatialRefinement, TraceBack
from models.swin_stage import SwinStages
from models.tasks import TaskSpec

SEGMENTATION = TaskSpec(name="segmentation", channels=40)
DEPTH = TaskSpec(name="depth", channels=1)
NORMALS = TaskSpec(name="normals", channels=3)
CHAIN = ((256, 1024), (1024, 512), (512, 256))


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def tiny_stages() -> SwinStages:
    torch.manual_seed(0)
    return SwinStages(8, depths=(1, 2, 1), heads=(2, 2, 2), window=7).eval()


def test_parameter_counts_are_those_of_the_paper_s_code() -> None:
    with torch.device("meta"):
        found = {
            "stages": parameters(TaskDecoder(256).stages),
            "merge": parameters(FeaturePyramid((256, 512, 1024), 256)),
            "fusion": parameters(CoherenceFusion(256, auxiliaries=2)),
            "gate": parameters(Cbam(256)),
            "refinements": [parameters(SpatialRefinement(*widths, 256)) for widths in CHAIN],
            "heads": [parameters(final_head(task, 256, 2)) for task in (SEGMENTATION, DEPTH, NORMALS)],
        }  # fmt: skip
    assert found == {
        "stages": 22_323_272,
        "merge": 2_229_760,
        "fusion": 481_264,
        "gate": 8_564,
        "refinements": [1_783_064, 1_347_624, 436_728],
        "heads": [76_328, 37_057, 66_819],
    }


def test_layers_that_nothing_reads_are_left_out() -> None:
    with torch.device("meta"):
        decoder, chain = TaskDecoder(256), TraceBack(256, (256, 512, 1024))
    unread_merges = 2 * (256 * 256 * 9 + 256)
    unread_trace = (512 + 256) * 256 + 256 + 2 * 256
    assert parameters(decoder.merge) == 2_229_760 - unread_merges
    assert parameters(chain) == 1_783_064 + 1_347_624 + 436_728 - unread_trace


def test_decoder_and_trace_back_shapes() -> None:
    with torch.device("meta"):
        levels, merged = TaskDecoder(256)(torch.rand(2, 256, 24, 32))
        features = TraceBack(256, (256, 512, 1024))(merged, levels)
    assert [tuple(level.shape[1:]) for level in levels] == [(256, 24, 32), (512, 12, 16), (1024, 6, 8)]
    assert merged.shape == (2, 256, 24, 32)
    assert [tuple(feat.shape[1:]) for feat in features] == [(256, 6, 8), (256, 12, 16), (256, 24, 32)]


@pytest.mark.parametrize(
    ("size", "expected"), [((13, 9), [(13, 9), (7, 5), (4, 3)]), ((1, 2), [(1, 2), (1, 1), (1, 1)])]
)
def test_stages_take_any_size(size: tuple[int, int], expected: list[tuple[int, int]]) -> None:
    maps = tiny_stages()(torch.rand(1, 8, *size))
    assert [tuple(level.shape[-2:]) for level in maps] == expected
    assert [level.shape[1] for level in maps] == [8, 16, 32]


def test_stages_do_not_remember_earlier_sizes() -> None:
    stages, image = tiny_stages(), torch.rand(1, 8, 24, 24)
    before = stages(image)
    stages(torch.rand(1, 8, 3, 3))
    for found, wanted in zip(stages(image), before, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def test_only_the_second_block_of_the_second_stage_looks_across_windows() -> None:
    shifts = [[block.shift_size for block in stage.blocks] for stage in tiny_stages().stages]
    assert shifts == [[0], [0, 3], [0]]
    # In float64, because fresh attention weights are small and one pixel moves its window by less than float32 shows.
    stages, image = tiny_stages().double(), torch.rand(1, 8, 28, 28, dtype=torch.float64)
    moved = image.clone()
    moved[:, 0, 0, 0] += 1
    changed = [(a - b).abs().amax(dim=(0, 1)) > 0 for a, b in zip(stages(moved), stages(image), strict=True)]
    assert changed[0][:7, :7].all()
    assert not changed[0][7:].any()
    assert not changed[0][:, 7:].any()
    assert changed[1][:7, :7].all()
    assert changed[1][7:, 7:].any()


def random_maps(pixels: tuple[int, int] = (4, 6)) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.rand(2, 10, *pixels, generator=generator, dtype=torch.float64).float() for _ in range(2))
    return query, key, torch.rand(2, 5, *pixels, generator=generator)


def test_attention_is_an_unscaled_softmax_over_positions() -> None:
    query, key, value = random_maps()
    scores = torch.einsum("bdn,bdm->bnm", query.flatten(2), key.flatten(2)).softmax(dim=-1)
    expected = torch.einsum("bnm,bcm->bcn", scores, value.flatten(2)).view_as(value)
    torch.testing.assert_close(pixel_attention(query, key, value), expected)
    ones = pixel_attention(query, key, torch.ones_like(value))
    torch.testing.assert_close(ones, torch.ones_like(value))


def test_attention_with_a_constant_side() -> None:
    query, key, value = random_maps()
    mean = value.mean(dim=(2, 3), keepdim=True).expand_as(value)
    torch.testing.assert_close(pixel_attention(query, torch.ones_like(key), value), mean)
    answer = pixel_attention(torch.ones_like(query), key, value)
    torch.testing.assert_close(answer, answer[:, :, :1, :1].expand_as(answer))
    assert (answer - mean).abs().max() > 1e-4


def test_attention_never_holds_all_scores() -> None:
    pixels, width = 96 * 96, 64
    maps = [torch.rand(1, channels, 96, 96) for channels in (width, width, width // 2)]
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        pixel_attention(*maps)
    largest = max(event.cpu_memory_usage for event in profile.events())
    assert 0 < largest < pixels * pixels


def test_pooled_keys_equal_attention_to_a_constant_block() -> None:
    query, key, value = random_maps((8, 8))
    blocks = [feat[:, :, ::4, ::4].repeat_interleave(4, dim=2).repeat_interleave(4, dim=3) for feat in (key, value)]
    torch.testing.assert_close(pixel_attention(query, *blocks, pooled_keys=4), pixel_attention(query, *blocks))
    assert pixel_attention(query, key, value, pooled_keys=4).shape == value.shape


@pytest.mark.parametrize("auxiliaries", [1, 2, 4])
def test_fusion_reads_every_task(auxiliaries: int) -> None:
    torch.manual_seed(0)
    fusion = CoherenceFusion(16, auxiliaries)
    maps = [torch.randn(2, 16, 6, 8, requires_grad=True) for _ in range(1 + auxiliaries)]
    fused = fusion(maps[0], maps[1:])
    assert fused.shape == maps[0].shape
    (fused * torch.randn_like(fused)).sum().backward()
    for feat in maps:
        assert feat.grad is not None
        assert feat.grad.abs().max() > 0


def test_gate_bounds_what_it_passes() -> None:
    torch.manual_seed(0)
    feat = torch.randn(2, 32, 5, 7)
    gated = Cbam(32)(feat)
    assert (gated.abs() <= feat.abs()).all()
    assert (gated * feat >= 0).all()


def test_heads_keep_or_double_the_size() -> None:
    feat = torch.rand(1, 16, 6, 8)
    sizes = {
        "segmentation": (24, 32),
        "parts": (24, 32),
        "depth": (12, 16),
        "normals": (6, 8),
        "saliency": (6, 8),
        "edges": (6, 8),
    }
    for name, size in sizes.items():
        task = TaskSpec(name=name, channels=2)
        assert final_head(task, 16, 4).eval()(feat).shape == (1, 2, *size)
        assert intermediate_head(task, 16).eval()(feat).shape == (1, 2, 6, 8)
    short, full = (parameters(intermediate_head(TaskSpec(name=name, channels=2), 16)) for name in ("parts", "depth"))
    assert full - short == 16 * 16 + 16
