"""Networks of the `transformers` library as pyramids of four strides, whatever their own interface.

Which of a network's feature maps serve is not looked up but observed: a copy without storage (device "meta") sees one
image, and the last map of every stride is taken. A plain transformer, whose maps all have one stride, is given a
simple feature pyramid.

Shapes: B batch, H and W of the image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoBackbone, AutoConfig, AutoModel, PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_BACKBONE_MAPPING_NAMES as HAS_BACKBONE

from models.blocks import resize
from models.feature_pyramid import SimpleFeaturePyramid

STRIDES = (4, 8, 16, 32)
PLAIN_STRIDE = 16
PROBE_SIZE = 224
"""Side of the observed image: a multiple of 32 and of the usual patch sizes, and what fixed position tables expect."""
ALWAYS_NEW = "hidden_states_norms"
"""Norms that the library puts on a backbone's outputs; files of classifiers do not hold them, they begin as one."""


@dataclass(frozen=True)
class LibraryNetwork:
    """A network, the pyramid that its maps still need (or None), and the channels of the four maps."""

    network: nn.Module
    pyramid: nn.Module | None
    channels: tuple[int, ...]


class HiddenStates(nn.Module):
    """A network that the library offers no backbone class for: chosen ones of its hidden states."""

    def __init__(self, network: nn.Module, chosen: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.chosen = tuple(chosen)

    def forward(self, image_B3HW: Tensor) -> list[Tensor]:
        states = self.network(image_B3HW, output_hidden_states=True).hidden_states
        return [states[index] for index in self.chosen]


class PlainTransformer(nn.Module):
    """A transformer of patch size `patch`, given the image at the size where its tokens lie at stride 16."""

    def __init__(self, network: nn.Module, patch: int) -> None:
        super().__init__()
        self.network = network
        self.patch = patch

    def forward(self, image_B3HW: Tensor) -> list[Tensor]:
        if self.patch != PLAIN_STRIDE:
            size = [side // PLAIN_STRIDE * self.patch for side in image_B3HW.shape[-2:]]
            image_B3HW = resize(image_B3HW, size)
        return list(self.network(image_B3HW).feature_maps)


def build_library_network(
    name: str, pretrained: str | None, values: dict[str, Any], settings: dict[str, Any], pyramid: tuple[int, ...]
) -> LibraryNetwork:
    """A network by model type with random weights, or `pretrained`: a hub id or a folder that the library loads.

    values: embedding_size, hidden_sizes, depths and layer_type, given to the settings of the library's configuration
    that mean the same; not used with `pretrained`. settings: more of them, by the library's names. pyramid: channels of
    the simple feature pyramid, where one is needed.
    Raises ValueError for an unknown model type or setting, when the maps lack a stride, or when a file lacks weights.
    """
    try:
        architecture = AutoConfig.from_pretrained(pretrained) if pretrained else AutoConfig.for_model(name)
    except OSError as error:
        said = str(error).split("\n", 1)[0]
        raise ValueError(f"pretrained: expected a hub id or a folder, found {pretrained!r}: {said}") from error
    except (ValueError, KeyError) as error:
        raise ValueError(f"name: expected a model type of transformers, found {name!r}") from error
    unknown = sorted(set(settings) - set(architecture.to_dict()))
    if unknown:
        raise ValueError(f"settings: expected settings of {architecture.model_type!r}, found unknown {unknown}")
    # A new object, so that settings which the library derives from others are derived again.
    if pretrained:
        architecture = AutoConfig.from_pretrained(pretrained, **settings)
    else:
        architecture = AutoConfig.for_model(name, **_by_their_names(architecture, values) | settings)
    if architecture.model_type in HAS_BACKBONE:
        return _from_backbone(architecture, pretrained, pyramid)
    return _from_hidden_states(architecture, pretrained)


def _by_their_names(architecture: PreTrainedConfig, values: dict[str, Any]) -> dict[str, Any]:
    """Our four numbers under the names that this kind of network has for them."""
    plain = hasattr(architecture, "num_hidden_layers") and not hasattr(architecture, "depths")
    if plain:
        return {"hidden_size": values["embedding_size"], "num_hidden_layers": sum(values["depths"])}
    known = {name: value for name, value in values.items() if hasattr(architecture, name)}
    if hasattr(architecture, "embed_dim"):
        known["embed_dim"] = values["hidden_sizes"][0]
    return known


def _from_backbone(architecture: PreTrainedConfig, pretrained: str | None, pyramid: tuple[int, ...]) -> LibraryNetwork:
    stages: list[str] = architecture.stage_names
    architecture.out_features = stages
    with torch.device("meta"), torch.enable_grad():
        probe = AutoBackbone.from_config(architecture).eval()
        seen = probe(torch.empty(1, 3, PROBE_SIZE, PROBE_SIZE)).feature_maps
    strides = [PROBE_SIZE // level.shape[-1] for level in seen]
    plain = len(set(strides)) == 1
    chosen = [len(seen) - 1] if plain else _last_of_each_stride(strides, architecture.model_type)
    architecture.out_features = [stages[index] for index in chosen]
    network = AutoBackbone.from_config(architecture)
    if pretrained:
        # The class itself, because AutoBackbone.from_pretrained asks the hub even about a folder.
        network = _load(type(network), architecture, pretrained)
    _freeze_unreached(network, probe, [seen[index] for index in chosen])
    if plain:
        width = seen[-1].shape[1]
        return LibraryNetwork(PlainTransformer(network, strides[0]), SimpleFeaturePyramid(width, pyramid), pyramid)
    return LibraryNetwork(network, None, tuple(seen[index].shape[1] for index in chosen))


def _from_hidden_states(architecture: PreTrainedConfig, pretrained: str | None) -> LibraryNetwork:
    try:
        with torch.device("meta"), torch.enable_grad():
            probe = AutoModel.from_config(architecture).eval()
            seen = probe(torch.empty(1, 3, PROBE_SIZE, PROBE_SIZE), output_hidden_states=True).hidden_states
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"name: expected an image network, found {architecture.model_type!r}: {error}") from error
    strides = [PROBE_SIZE // state.shape[-1] if state.ndim == 4 else 0 for state in seen]
    chosen = _last_of_each_stride(strides, architecture.model_type)
    network = _load(type(probe), architecture, pretrained) if pretrained else AutoModel.from_config(architecture)
    _freeze_unreached(network, probe, [seen[index] for index in chosen])
    return LibraryNetwork(HiddenStates(network, chosen), None, tuple(seen[index].shape[1] for index in chosen))


@torch.enable_grad()
def _freeze_unreached(network: nn.Module, probe: nn.Module, maps: Sequence[Tensor]) -> None:
    """Takes from training the weights that none of the probe's chosen maps depends on: last norms, mask tokens.

    Several processes would wait for their gradients in vain.
    """
    weights = {name: weight for name, weight in probe.named_parameters() if weight.requires_grad}
    whole = torch.stack([level.sum() for level in maps]).sum()
    gradients = torch.autograd.grad(whole, list(weights.values()), allow_unused=True)
    unreached = {name for name, gradient in zip(weights, gradients, strict=True) if gradient is None}
    for name, weight in network.named_parameters():
        if name in unreached:
            weight.requires_grad_(False)


def _last_of_each_stride(strides: list[int], name: str) -> list[int]:
    if not set(STRIDES) <= set(strides):
        raise ValueError(f"name: expected a network with maps at strides {STRIDES}, found {name!r} with {strides}")
    return [max(index for index, found in enumerate(strides) if found == stride) for stride in STRIDES]


def _load(kind: Any, architecture: PreTrainedConfig, pretrained: str) -> Any:
    network, report = kind.from_pretrained(pretrained, config=architecture, output_loading_info=True)
    missing = sorted(name for name in report["missing_keys"] if ALWAYS_NEW not in name)
    if missing:
        raise ValueError(f"pretrained: expected all weights in {pretrained}, missing {missing}")
    return network
