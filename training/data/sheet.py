"""A contact sheet of generated samples, to look at.

    python -m training.data.sheet rooms --seed 0 --count 12 --out artifacts/sheet.png

Rooms show colour, labels, depth (near is bright) and normals; pairs show target, reference, regions (green OV, red OCC,
blue NOV) and the stitched view.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from training.data.labels import PALETTE
from training.data.pairs import PairConfig, render_pairs
from training.data.rooms import RoomConfig, render_rooms

_REGION_COLOURS = torch.tensor([[0, 0, 0], [70, 170, 90], [220, 70, 60], [70, 110, 220]], dtype=torch.uint8)

_LABEL_COLOURS = torch.zeros(256, 3, dtype=torch.uint8)  # black: no label
_LABEL_COLOURS[: len(PALETTE)] = torch.tensor(PALETTE, dtype=torch.uint8)


def _colour(image_3HW: Tensor) -> Tensor:
    return (image_3HW.permute(1, 2, 0) * 255 + 0.5).to(torch.uint8)


def room_row(seed: int, config: RoomConfig) -> Tensor:
    """One sample as a row of pictures, uint8 [H, 4 W, 3]."""
    frame = render_rooms([seed], config)
    depth = frame.depth_BHW[0]
    near = torch.where(depth > 0, 1.0 - 0.9 * (depth / depth.quantile(0.98)).clamp(0, 1), 0.0)
    return torch.cat(
        [
            _colour(frame.image_B3HW[0]),
            _LABEL_COLOURS[frame.label_BHW[0].long()],
            _colour(near.expand(3, -1, -1)),
            _colour((frame.normal_B3HW[0] + 1) / 2),
        ],
        dim=1,
    )


def pair_row(seed: int, config: PairConfig) -> Tensor:
    """One pair as a row of pictures, uint8 [1.5 H, 5 W, 3]."""
    pair = render_pairs([seed], config)
    small = [_colour(pair.target_B3HW[0]), _colour(pair.reference_B3HW[0]), _REGION_COLOURS[pair.region_BHW[0].long()]]
    stitched = _colour(pair.stitched_B3hw[0])
    stitched = torch.where(pair.seen_Bhw[0, ..., None] > 0, stitched, stitched // 3)
    row = torch.zeros(stitched.shape[0], config.width * 3, 3, dtype=torch.uint8)
    row[: config.height] = torch.cat(small, dim=1)
    return torch.cat([row, stitched], dim=1)


def make_sheet(source: str, seed: int, count: int, columns: int = 2, outdoor: float = 0.0) -> Tensor:
    """`count` samples from consecutive seeds on one picture, uint8 [h, w, 3]; `outdoor`: share of outdoor ones."""
    if source not in ("rooms", "pairs"):
        raise ValueError(f"source: expected 'rooms' or 'pairs', found {source!r}")
    if source == "rooms":
        rows = [room_row(seed + k, RoomConfig(outdoor=outdoor)) for k in range(count)]
    else:
        rows = [pair_row(seed + k, PairConfig(outdoor=outdoor)) for k in range(count)]
    rows += [torch.zeros_like(rows[0])] * (-count % columns)
    lines = [torch.cat(rows[k : k + columns], dim=1) for k in range(0, len(rows), columns)]
    return torch.cat(lines, dim=0)


def main(arguments: list[str] | None = None) -> None:
    """Write a contact sheet (command line)."""
    parser = argparse.ArgumentParser(prog="python -m training.data.sheet", description=main.__doc__)
    parser.add_argument("source", choices=("rooms", "pairs"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--columns", type=int, default=2)
    parser.add_argument("--outdoor", type=float, default=0.0, help="share of outdoor samples")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    sheet = make_sheet(options.source, options.seed, options.count, options.columns, options.outdoor)
    Image.fromarray(sheet.numpy()).save(options.out)


if __name__ == "__main__":
    main()
