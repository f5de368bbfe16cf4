"""Configurations survive JSON exactly, and mistakes in them are named."""

import json

import pytest
import torch

from models.backbones import BackboneConfig, build_backbone
from models.build import ModelConfig, build, config_from_dict, config_to_dict
from models.multitask_baseline import MultiTaskBaselineConfig
from models.pixel_warp import PixelWarpConfig
from models.stitched_image import StitchedImageConfig

CONFIGS: list[ModelConfig] = [
    MultiTaskBaselineConfig(backbone=BackboneConfig(hidden_sizes=(8, 16, 24, 32), depths=(1, 1, 1, 1)), classes=5),
    PixelWarpConfig(encoder_channels=(8, 12, 16), hidden_channels=16, context_channels=8, feature_channels=16),
    StitchedImageConfig(widths=(8, 12, 16)),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.kind)
def test_round_trip_through_json_rebuilds_the_same_network(config: ModelConfig) -> None:
    restored = config_from_dict(json.loads(json.dumps(config_to_dict(config))))
    assert restored == config
    first, second = build(config).state_dict(), build(restored).state_dict()
    assert {name: value.shape for name, value in first.items()} == {name: value.shape for name, value in second.items()}


def test_default_networks_stay_light() -> None:
    limits = {"multitask_baseline": (4e6, 6e6), "pixel_warp": (0.8e6, 1.4e6), "stitched_image": (1e6, 2e6)}
    for config in (MultiTaskBaselineConfig(), PixelWarpConfig(), StitchedImageConfig()):
        low, high = limits[config.kind]
        assert low <= sum(parameter.numel() for parameter in build(config).parameters()) <= high


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, "kind"),
        ({"kind": "resnet"}, "resnet"),
        ({"kind": "pixel_warp", "iteration": 3}, "iteration"),
        ({"kind": "pixel_warp", "iterations": "six"}, "pixel_warp.iterations"),
        ({"kind": "pixel_warp", "iterations": True}, "pixel_warp.iterations"),
        ({"kind": "pixel_warp", "iterations": 0}, "iterations"),
        ({"kind": "pixel_warp", "encoder_channels": [8, 8]}, "pixel_warp.encoder_channels"),
        ({"kind": "multitask_baseline", "backbone": {"nam": "resnet"}}, "nam"),
        ({"kind": "multitask_baseline", "backbone": {"depths": [1, 2]}}, "depths"),
        ({"kind": "multitask_baseline", "initial_depth": -1.0}, "initial_depth"),
        ({"kind": "stitched_image", "mode": "invent"}, "mode"),
        ({"kind": "stitched_image", "widths": [8]}, "widths"),
    ],
)
def test_a_wrong_configuration_is_refused_by_name(values: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        config_from_dict(values)


def test_backbone_answers_the_strides_it_promises() -> None:
    backbone = build_backbone(BackboneConfig(embedding_size=8, hidden_sizes=(8, 12, 16, 20), depths=(1, 1, 1, 1)))
    shapes = [tuple(level.shape) for level in backbone(torch.rand(2, 3, 64, 96))]
    assert shapes == [(2, 8, 16, 24), (2, 12, 8, 12), (2, 16, 4, 6), (2, 20, 2, 3)]


def test_backbone_loads_the_weights_of_a_folder(tmp_path: object) -> None:
    config = BackboneConfig(embedding_size=8, hidden_sizes=(8, 8, 8, 8), depths=(1, 1, 1, 1))
    saved = build_backbone(config)
    saved.network.save_pretrained(tmp_path)  # type: ignore[operator]
    loaded = build_backbone(BackboneConfig(pretrained=str(tmp_path)))
    image = torch.rand(1, 3, 32, 64)
    torch.testing.assert_close(loaded.eval()(image), saved.eval()(image))
