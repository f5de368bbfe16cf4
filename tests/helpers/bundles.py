"""Tiny bundles of random weights, made through the real export path in a few seconds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch

from export.source import Source, source_of
from export.write_bundle import BundleOptions, write_bundle
from models.backbones import BackboneConfig
from models.build import ModelConfig, build, config_to_dict
from models.multitask_baseline import MultiTaskBaselineConfig
from models.pixel_warp import PixelWarpConfig
from models.stitched_image import StitchedImageConfig

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


def tiny_source(config: ModelConfig, seed: int = 0, **meta: object) -> Source:
    """A network of `config` with random weights of `seed`, described by `meta` as a checkpoint would be."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(config)
    return source_of(network, {"model": config_to_dict(config), **meta})


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
MAKERS: dict[str, Callable[[Path], Path]] = {"tiny-perceive": make_perceive_bundle, "tiny-stitch": make_stitch_bundle}


def kept_bundle(folder: Path, name: str) -> Path:
    """The tiny bundle `name` under `folder`, made unless the same sources made it there before."""
    target = folder / sources_key() / name
    return target if target.exists() else MAKERS[name](target)


def sources_key() -> str:
    """Changes with every file that a tiny bundle depends on, and with torch."""
    files = [*sorted((ROOT / "models").glob("*.py")), *sorted((ROOT / "export").glob("*.py")), Path(__file__)]
    files += [ROOT / "service" / "bundle.py", ROOT / "service" / "preprocess.py"]
    text = torch.__version__.encode() + b"".join(path.read_bytes() for path in files)
    return hashlib.sha256(text).hexdigest()[:16]
