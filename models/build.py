"""Configurations to networks, and configurations to and from plain dictionaries."""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from types import UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from torch import nn

from models.backbones import BackboneConfig, build_backbone
from models.global_matching import GlobalMatching, GlobalMatchingConfig
from models.mt_cp import MtCp, MtCpConfig, build_representation
from models.mti_net import MTINet, MTINetConfig
from models.multitask_baseline import MultiTaskBaseline, MultiTaskBaselineConfig
from models.pad_net import PADNet, PADNetConfig
from models.pixel_warp import PixelWarp, PixelWarpConfig
from models.shared_encoder import SharedEncoder, SharedEncoderConfig
from models.stitched_image import StitchedImage, StitchedImageConfig
from models.task_batch_norm import TaskBatchNormConfig, TaskBatchNormNetwork

DenseTasksConfig = SharedEncoderConfig | PADNetConfig | MTINetConfig | MtCpConfig | TaskBatchNormConfig
"""Of the networks that answer models.tasks.TaskOutputs."""
FlowConfig = PixelWarpConfig | GlobalMatchingConfig
"""Of the networks that answer models.pixel_warp.WarpPrediction."""
ModelConfig = MultiTaskBaselineConfig | FlowConfig | StitchedImageConfig | DenseTasksConfig
_KINDS: dict[str, type[ModelConfig]] = {
    "global_matching": GlobalMatchingConfig,
    "mt_cp": MtCpConfig,
    "mti_net": MTINetConfig,
    "multitask_baseline": MultiTaskBaselineConfig,
    "pad_net": PADNetConfig,
    "pixel_warp": PixelWarpConfig,
    "shared_encoder": SharedEncoderConfig,
    "stitched_image": StitchedImageConfig,
    "task_batch_norm": TaskBatchNormConfig,
}
_Config = TypeVar("_Config")


def build(config: ModelConfig) -> nn.Module:
    """The network of a configuration, with its initial weights, on the CPU in float32."""
    if isinstance(config, MultiTaskBaselineConfig):
        return MultiTaskBaseline(config, build_backbone(config.backbone))
    if isinstance(config, PixelWarpConfig):
        return PixelWarp(config)
    if isinstance(config, GlobalMatchingConfig):
        return GlobalMatching(config)
    if isinstance(config, StitchedImageConfig):
        return StitchedImage(config)
    if isinstance(config, SharedEncoderConfig):
        return SharedEncoder(config, build_backbone(config.backbone))
    if isinstance(config, PADNetConfig):
        return PADNet(config, build_backbone(config.backbone))
    if isinstance(config, MTINetConfig):
        return MTINet(config, build_backbone(config.backbone))
    if isinstance(config, MtCpConfig):
        return MtCp(config, build_representation(config))
    if isinstance(config, TaskBatchNormConfig):
        return TaskBatchNormNetwork(config, cast(SharedEncoder | PADNet | MTINet, build(config.network)))
    raise ValueError(f"config: expected one of {sorted(_KINDS)}, found {type(config).__name__}")


def without_weights(config: ModelConfig) -> ModelConfig:
    """The configuration of the same network without the file that its weights begin with: for those that are trained.

    Only HRNet's numbers say all of its architecture; networks of the library keep what `pretrained` names.
    """
    if isinstance(config, TaskBatchNormConfig):
        return replace(config, network=cast(Any, without_weights(config.network)))
    backbone = getattr(config, "backbone", None)
    if isinstance(backbone, BackboneConfig) and backbone.name == "hrnet":
        return cast(ModelConfig, replace(cast(Any, config), backbone=replace(backbone, pretrained=None)))
    return config


def config_to_dict(config: ModelConfig) -> dict[str, Any]:
    """A configuration as a dictionary that JSON can hold: tuples become lists, nested dataclasses dictionaries."""
    return cast(dict[str, Any], _plain(config))


def config_from_dict(values: Mapping[str, Any]) -> ModelConfig:
    """The inverse of `config_to_dict`; "kind" chooses the class, fields left out keep their defaults.

    Raises ValueError naming the key for an unknown kind, an unknown or missing key, or a value of another type.
    """
    kind = values.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"kind: expected one of {sorted(_KINDS)}, found {kind!r}")
    return _dataclass_from(_KINDS[kind], values, path=kind)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _dataclass_from(cls: type[_Config], values: Mapping[str, Any], path: str) -> _Config:
    known = {item.name: item for item in fields(cast(Any, cls))}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"{path}: expected keys among {sorted(known)}, found unknown {unknown}")
    missing = sorted(
        name
        for name, item in known.items()
        if item.default is MISSING and item.default_factory is MISSING and name not in values
    )
    if missing:
        raise ValueError(f"{path}: expected keys {missing}, found none")
    hints = get_type_hints(cls)
    return cls(**{name: _typed(value, hints[name], f"{path}.{name}") for name, value in values.items()})


def _typed(value: Any, hint: Any, path: str) -> Any:
    """`value` as the annotation `hint` wants it: a list becomes a tuple, an int a float; else ValueError."""
    origin, options = get_origin(hint), get_args(hint)
    if is_dataclass(hint) and isinstance(hint, type):
        if isinstance(value, Mapping):
            return _dataclass_from(hint, value, path)
    elif origin is tuple:
        if isinstance(value, (list, tuple)):
            repeated = len(options) == 2 and options[1] is Ellipsis
            if repeated or len(value) == len(options):
                kinds = options[:1] * len(value) if repeated else options
                return tuple(_typed(item, kind, path) for item, kind in zip(value, kinds, strict=True))
    elif origin in (Union, UnionType):
        for option in options:
            try:
                return _typed(value, option, path)
            except ValueError:
                continue
    elif origin is Literal:
        if value in options:
            return value
    elif hint is float:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    elif isinstance(hint, type) and isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    raise ValueError(f"{path}: expected {hint}, found {value!r}")
