"""Tiny bundles of random weights, made through the real export path in a few seconds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import nn

from export.source import Source, source_of
from export.write_bundle import BundleOptions, write_bundle
from models.backbones import BackboneConfig
from models.build import DenseTasksConfig, ModelConfig, build, config_to_dict
from models.mt_cp import MtCpConfig
from models.mti_net import MTINetConfig
from models.multitask_baseline import MultiTaskBaselineConfig
from models.pad_net import PADNetConfig
from models.pixel_warp import PixelWarpConfig
from models.shared_encoder import SharedEncoderConfig
from models.stitched_image import StitchedImageConfig
from models.tasks import tasks_of
from tests.helpers.tiny_networks import TINY_MASK2FORMER

TINY_PERCEIVE = MultiTaskBaselineConfig(
    backbone=BackboneConfig(embedding_size=8, hidden_sizes=(8, 16, 16, 32), depths=(1, 1, 1, 1)),
    decoder_channels=16,
    detail_channels=8,
    head_channels=8,
)
TINY_PIXEL_WARP = PixelWarpConfig(
    iterations=1,
    encoder_channels=(8, 16, 16),
    feature_channels=16,
    hidden_channels=16,
    context_channels=16,
    motion_channels=16,
    levels=2,
    radius=2,
)
TINY_STITCHED_IMAGE = StitchedImageConfig(widths=(8, 8, 16, 16, 32))
TINY_BACKBONE = BackboneConfig(embedding_size=8, hidden_sizes=(8, 8, 12, 16), depths=(1, 1, 1, 1))
TINY_DENSE: dict[str, DenseTasksConfig] = {
    "shared_encoder": SharedEncoderConfig(
        backbone=TINY_BACKBONE, tasks=tasks_of(("segmentation", "parts", "saliency"), classes=21)
    ),
    "pad_net": PADNetConfig(
        backbone=TINY_BACKBONE,
        tasks=tasks_of(("segmentation", "depth"), classes=40),
        auxiliary_tasks=tasks_of(("edges", "normals"), classes=40),
        channels=8,
    ),
    "mti_net": MTINetConfig(backbone=TINY_BACKBONE, tasks=tasks_of(("normals", "saliency", "edges"), classes=5)),
    "mt_cp": MtCpConfig(backbone=TINY_BACKBONE, tasks=tasks_of(("depth", "parts"), classes=5), channels=16),
    "mt_cp_mask2former": MtCpConfig(
        mask2former=TINY_MASK2FORMER,
        tasks=tasks_of(("segmentation", "depth"), classes=5),
        channels=16,
    ),
}
"""The networks that answer TaskOutputs, with different tasks each."""


def tiny_source(config: ModelConfig, seed: int = 0, **meta: object) -> Source:
    """A network of `config` with random weights of `seed`, described by `meta` as a checkpoint would be."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(config)
        if isinstance(config, DenseTasksConfig):
            _settle(network)
    return source_of(network, {"model": config_to_dict(config), **meta})


def _settle(network: nn.Module) -> None:
    """Give batch norm statistics of images, without which deep networks answer almost the same everywhere.

    Depth begins at 2 metres instead of 0, where the deployed network would clamp it.
    """
    network.train()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.startswith("heads.depth") and name.endswith("bias") and parameter.numel() == 1:
                parameter.fill_(2.0)
        for _ in range(4):
            network(torch.rand(2, 3, 64, 64))
    network.eval()


def make_dense_bundle(folder: Path, kind: str, mirrored: bool = False, longest_side: int = 64) -> Path:
    """Export the tiny network `kind` of TINY_DENSE to `folder` and answer it."""
    options = BundleOptions(longest_side={"perceive": longest_side}, mirrored=mirrored)
    write_bundle([tiny_source(TINY_DENSE[kind])], folder, options)
    return folder


def make_perceive_bundle(folder: Path, seed: int = 0, longest_side: int = 128) -> Path:
    """Export a tiny perceive bundle to `folder` and answer it. Its answers mean nothing, but they are well-formed."""
    write_bundle([tiny_source(TINY_PERCEIVE, seed)], folder, BundleOptions(longest_side={"perceive": longest_side}))
    return folder


def make_stitch_bundle(folder: Path, seed: int = 0, longest_side: int = 128) -> Path:
    """Export a tiny stitch bundle to `folder` and answer it."""
    sources = [tiny_source(TINY_PIXEL_WARP, seed), tiny_source(TINY_STITCHED_IMAGE, seed)]
    sizes = {"pwm": longest_side, "sigmo": longest_side}
    write_bundle(sources, folder, BundleOptions(longest_side=sizes))
    return folder


ROOT = Path(__file__).parents[2]
MAKERS: dict[str, Callable[[Path], Path]] = {
    "tiny-perceive": make_perceive_bundle,
    "tiny-stitch": make_stitch_bundle,
    "tiny-people": partial(make_dense_bundle, kind="shared_encoder", mirrored=True),
} | {f"tiny-{kind}": partial(make_dense_bundle, kind=kind) for kind in TINY_DENSE}


def kept_bundle(folder: Path, name: str) -> Path:
    """The tiny bundle `name` under `folder`, made unless the same sources made it there before."""
    target = folder / sources_key() / name
    return target if target.exists() else MAKERS[name](target)


def sources_key() -> str:
    """Changes with every file that a tiny bundle depends on, and with torch."""
    files = [*sorted((ROOT / "models").glob("*.py")), *sorted((ROOT / "export").glob("*.py")), Path(__file__)]
    files += [ROOT / "service" / "bundle.py", ROOT / "service" / "manifest.py", ROOT / "service" / "preprocess.py"]
    text = torch.__version__.encode() + b"".join(path.read_bytes() for path in files)
    return hashlib.sha256(text).hexdigest()[:16]
