"""Every backbone keeps one promise: four maps at strides 4 to 32, of the channels it names."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from models.backbones import HRNET_W18_SMALL_V2, HRNET_W48, BackboneConfig, build_backbone
from models.build import config_from_dict, config_to_dict
from models.feature_pyramid import FeaturePyramid
from models.shared_encoder import SharedEncoderConfig
from models.tasks import tasks_of

WIDTHS = (8, 16, 32, 64)
HEADS = '{"num_attention_heads": 2}'
STAGE_HEADS = '{"num_heads": [1, 2, 4, 8]}'
TINY = {
    "hrnet": "{}",
    "resnet": "{}",
    "convnextv2": "{}",
    "swin": STAGE_HEADS,
    "swinv2": STAGE_HEADS,
    "focalnet": "{}",
    "pvt_v2": '{"num_attention_heads": [1, 2, 4, 8]}',
    "segformer": '{"num_attention_heads": [1, 2, 4, 8]}',
    "dinov2": HEADS,
    "dinov3_vit": HEADS,
}


def tiny(name: str, **changes: object) -> BackboneConfig:
    settings = TINY[name]
    values = {"embedding_size": 16, "hidden_sizes": WIDTHS, "depths": (1, 1, 1, 1), "settings": settings} | changes
    return BackboneConfig(name=name, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", TINY)
def test_four_maps_of_the_promised_strides_and_channels(name: str) -> None:
    backbone = build_backbone(tiny(name))
    assert backbone.channels == WIDTHS
    maps = backbone(torch.rand(2, 3, 64, 96))
    expected = [(2, width, 64 // s, 96 // s) for width, s in zip(WIDTHS, (4, 8, 16, 32), strict=True)]
    assert [tuple(level.shape) for level in maps] == expected


@pytest.mark.parametrize("name", TINY)
def test_gradients_reach_every_weight_that_is_trained(name: str) -> None:
    """Several processes would wait for the others in vain."""
    with torch.no_grad():
        backbone = build_backbone(tiny(name)).train()
    torch.stack([level.sum() for level in backbone(torch.rand(2, 3, 64, 64))]).sum().backward()
    left = [key for key, weight in backbone.named_parameters() if weight.requires_grad == (weight.grad is None)]
    assert left == []
    frozen = [key for key, weight in backbone.named_parameters() if not weight.requires_grad]
    assert len(frozen) == {"swin": 2, "focalnet": 2, "dinov2": 1, "dinov3_vit": 1}.get(name, 0)


@pytest.mark.parametrize("name", ["resnet", "dinov2"])
def test_a_feature_pyramid_makes_all_maps_equally_wide(name: str) -> None:
    backbone = build_backbone(tiny(name, fpn_channels=12))
    assert backbone.channels == (12, 12, 12, 12)
    maps = backbone(torch.rand(1, 3, 64, 64))
    assert [tuple(level.shape[1:]) for level in maps] == [(12, 16, 16), (12, 8, 8), (12, 4, 4), (12, 2, 2)]


def test_the_pyramid_adds_every_coarser_level_once() -> None:
    pyramid = FeaturePyramid((1, 1, 1), 1)
    for lateral, smooth in zip(pyramid.laterals, pyramid.smooth, strict=True):
        _identity(lateral)
        _identity(smooth)
    maps = [torch.rand(1, 1, 8 // 2**level, 8 // 2**level) for level in range(3)]
    finest = maps[0] + _repeat(maps[1], 2) + _repeat(maps[2], 4)
    torch.testing.assert_close(pyramid(maps)[0], finest)
    torch.testing.assert_close(pyramid(maps)[2], maps[2])


def _identity(layer: nn.Module) -> None:
    assert isinstance(layer, nn.Conv2d)
    nn.init.dirac_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]


def _repeat(feat: Tensor, times: int) -> Tensor:
    return feat.repeat_interleave(times, 2).repeat_interleave(times, 3)


def test_hrnet_has_the_published_size_and_shapes() -> None:
    with torch.device("meta"):
        backbone = build_backbone(HRNET_W18_SMALL_V2)
        maps = backbone(torch.empty(1, 3, 480, 640))
        large = build_backbone(HRNET_W48)
    assert sum(parameter.numel() for parameter in backbone.parameters()) == 3_860_720
    assert [tuple(level.shape[1:]) for level in maps] == [(18, 120, 160), (36, 60, 80), (72, 30, 40), (144, 15, 20)]
    assert large.channels == (48, 96, 192, 384)


def test_hrnet_starts_as_specified() -> None:
    backbone = build_backbone(HRNET_W18_SMALL_V2)
    assert {module.momentum for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)} == {0.01}
    convolutions = [module.weight.detach() for module in backbone.modules() if isinstance(module, nn.Conv2d)]
    weights = torch.cat([weight.flatten() for weight in convolutions])
    assert abs(float(weights.std()) - 1e-3) < 1e-5


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_hrnet_loads_released_weights_by_name(tmp_path: Path, suffix: str) -> None:
    saved = build_backbone(tiny("hrnet"))
    weights = {name: value for name, value in saved.network.state_dict().items() if "num_batches" not in name}
    weights |= {"classifier.weight": torch.zeros(3, 3), "incre_modules.0.0.conv1.weight": torch.zeros(2)}
    assert {"conv1.weight", "layer1.0.downsample.0.weight", "transition1.1.0.0.weight"} <= set(weights)
    assert {"stage2.0.fuse_layers.1.0.0.0.weight", "stage4.0.branches.3.0.bn2.running_var"} <= set(weights)
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": {f"module.{name}": value for name, value in weights.items()}}, path)
    else:
        save_file(weights, path)
    loaded = build_backbone(tiny("hrnet", pretrained=str(path)))
    image = torch.rand(1, 3, 32, 64)
    torch.testing.assert_close(loaded.eval()(image), saved.eval()(image), rtol=0, atol=0)


def test_hrnet_refuses_weights_that_do_not_fit(tmp_path: Path) -> None:
    weights = build_backbone(tiny("hrnet")).network.state_dict()
    path = tmp_path / "weights.pth"
    torch.save(weights | {"conv1.weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"another shape \['conv1.weight'\]"):
        build_backbone(tiny("hrnet", pretrained=str(path)))
    torch.save({name: value for name, value in weights.items() if name != "bn2.bias"}, path)
    with pytest.raises(ValueError, match=r"missing \['bn2.bias'\]"):
        build_backbone(tiny("hrnet", pretrained=str(path)))


@pytest.mark.parametrize("name", ["swin", "segformer", "dinov2"])
def test_a_folder_of_the_library_decides_the_architecture(tmp_path: Path, name: str) -> None:
    saved = build_backbone(tiny(name))
    inner = saved.network if name == "swin" else saved.network.network
    inner.save_pretrained(tmp_path)  # type: ignore[operator, union-attr]
    loaded = build_backbone(BackboneConfig(pretrained=str(tmp_path), hidden_sizes=WIDTHS))
    assert loaded.channels == WIDTHS
    found, expected = loaded.network.state_dict(), saved.network.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"name": "no_such_network"}, "name"),
        ({"name": "vit", "settings": HEADS}, "name: expected a network with maps at strides"),
        ({"name": "resnet", "settings": '{"heads": 2}'}, "settings.*heads"),
        ({"name": "hrnet", "settings": '{"blocks": 0}'}, "settings"),
        ({"name": "swin", "hidden_sizes": (8, 16, 24, 32), "settings": STAGE_HEADS}, r"hidden_sizes.*8, 16, 32, 64"),
        ({"settings": "[]"}, "settings"),
        ({"settings": "heads=2"}, "settings"),
        ({"fpn_channels": 0}, "fpn_channels"),
    ],
)
def test_a_wrong_backbone_is_refused_by_field(config: dict[str, object], named: str) -> None:
    small = {"embedding_size": 16, "hidden_sizes": WIDTHS, "depths": (1, 1, 1, 1)}
    with pytest.raises(ValueError, match=named):
        build_backbone(BackboneConfig(**(small | config)))  # type: ignore[arg-type]


def test_settings_survive_json() -> None:
    config = SharedEncoderConfig(backbone=tiny("swin", fpn_channels=8), tasks=tasks_of(("depth", "edges"), classes=1))
    assert config_from_dict(json.loads(json.dumps(config_to_dict(config)))) == config
