"""What verification feeds to a graph: random and generated images of several sizes, through the service's own resizing.

Legend: N batch, H and W of the graph's input, 3 = RGB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.contracts import Contract
from service.manifest import SizeSpec
from service.preprocess import model_size, to_model_image
from training.data.rooms import RoomConfig, render_rooms

Image = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One call of a graph: its name for reports, and its inputs by tensor name."""

    name: str
    inputs: dict[str, NDArray[np.generic]]


UPLOADS = {(640, 480): (1, 3), (413, 640): (1, 3), (1280, 70): (1,)}
"""Width and height of images before resizing (landscape, odd portrait, the narrowest legal) to their batch sizes."""


def samples(contract: Contract, size: SizeSpec, seed: int = 0) -> Iterator[Sample]:
    """Every upload size with every batch size, the source of the images alternating. Deterministic in `seed`."""
    rooms = render_small_rooms(range(seed, seed + 2))
    for index, ((width, height), batches) in enumerate(UPLOADS.items()):
        net = model_size(width, height, size)
        for order, batch in enumerate(batches):
            generated = (index + order) % 2 == 1
            rng = np.random.default_rng((seed, index, batch))
            images = [
                to_model_image(
                    room_image(rng, rooms, width, height) if generated else random_image(rng, width, height), net
                )
                for _ in range(batch)
            ]
            name = f"{'generated' if generated else 'random'}, {batch} of {net[0]} x {net[1]}"
            yield Sample(name=name, inputs=graph_inputs(contract, np.stack(images)))


def random_image(rng: np.random.Generator, width: int, height: int) -> Image:
    """Independent uniform pixels, uint8 [height, width, 3]: content no network has seen."""
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def render_small_rooms(seeds: Sequence[int]) -> list[Image]:
    """Rooms of the generator that the default weights learn from, each uint8 [96, 128, 3]."""
    image_B3HW = render_rooms(list(seeds), RoomConfig(height=96, width=128, antialias=False)).image_B3HW
    return list((image_B3HW.permute(0, 2, 3, 1).clamp(0, 1) * 255).round().byte().numpy())


def room_image(rng: np.random.Generator, rooms: list[Image], width: int, height: int) -> Image:
    """One of the rooms at the wanted size, uint8 [height, width, 3], mirrored and darkened at random."""
    room_HW3 = rooms[rng.integers(len(rooms))][:, :: rng.choice((1, -1))]
    darker = (room_HW3 * rng.uniform(0.6, 1.0)).astype(np.uint8)
    return to_model_image(np.ascontiguousarray(darker), (width, height))


def graph_inputs(contract: Contract, image_NHW3: Image) -> dict[str, NDArray[np.generic]]:
    """The tensors that the contract names; where a second image is needed, it is the first one moved sideways."""
    if contract.graph == "perceive":
        return {"image": image_NHW3}
    moved_NHW3 = np.roll(image_NHW3, image_NHW3.shape[2] // 8, axis=2)
    if contract.graph == "pwm":
        return {"target": image_NHW3, "reference": moved_NHW3}
    return _canvas(image_NHW3, moved_NHW3)


def _canvas(reference_NHW3: Image, target_NHW3: Image) -> dict[str, NDArray[np.generic]]:
    """The reference on the left three quarters, the target on the right three, a linear feather between them."""
    count, height, width, _ = reference_NHW3.shape
    x_W = np.linspace(0, 1, width, dtype=np.float32)
    shape = (count, 1, height, width)
    reference_mask = np.broadcast_to(x_W < 0.75, shape).astype(np.float32)
    target_mask = np.broadcast_to(x_W > 0.25, shape).astype(np.float32)
    reference_N3HW = reference_NHW3.transpose(0, 3, 1, 2).astype(np.float32) / 255 * reference_mask
    target_N3HW = target_NHW3.transpose(0, 3, 1, 2).astype(np.float32) / 255 * target_mask
    feather = np.broadcast_to(np.clip((0.75 - x_W) / 0.5, 0.01, 0.99), shape).astype(np.float32)
    return {
        "canvas": np.concatenate((reference_N3HW, reference_mask, target_N3HW, target_mask), axis=1),
        "feather": np.ascontiguousarray(feather),
    }
