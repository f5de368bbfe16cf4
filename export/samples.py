"""What verification feeds to a graph: random and generated images of several sizes, through the service's own resizing.

Legend: N batch, H and W of the graph's input, 3 = RGB.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from service.bundle import SizeSpec
from service.preprocess import model_size, to_model_image

from export.contracts import Contract

Image = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One call of a graph: its name for reports, and its inputs by tensor name."""

    name: str
    inputs: dict[str, NDArray[np.generic]]


UPLOADS = {(640, 480): (1, 3), (413, 640): (1, 3), (1280, 70): (1,)}
"""Width and height of images before resizing (landscape, odd portrait, the narrowest legal) to the batch sizes tried."""


def samples(contract: Contract, size: SizeSpec, seed: int = 0) -> Iterator[Sample]:
    """Every upload size with every batch size, the source of the images alternating. Deterministic in `seed`."""
    for index, ((width, height), batches) in enumerate(UPLOADS.items()):
        net = model_size(width, height, size)
        for order, batch in enumerate(batches):
            source = ("random", "generated")[(index + order) % 2]
            rng = np.random.default_rng((seed, index, batch))
            draw = random_image if source == "random" else generated_image
            images = [[to_model_image(draw(rng, width, height), net) for _ in range(2)] for _ in range(batch)]
            yield Sample(name=f"{source}, {batch} of {net[0]} x {net[1]}", inputs=_inputs(contract, images))


def random_image(rng: np.random.Generator, width: int, height: int) -> Image:
    """Independent uniform pixels, uint8 [height, width, 3]: content no network has seen."""
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def generated_image(rng: np.random.Generator, width: int, height: int) -> Image:
    """A room of the generator that the default weights learn from, uint8 [height, width, 3]."""
    try:
        from training.data.rooms import RoomConfig, render_rooms
    except ImportError:
        return to_model_image(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8), (width, height))

    frame_3HW = render_rooms([int(rng.integers(2**31))], RoomConfig(height=96, width=128)).image_B3HW[0]
    small = (frame_3HW.permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()
    return to_model_image(small, (width, height))


def _inputs(contract: Contract, images: list[list[Image]]) -> dict[str, NDArray[np.generic]]:
    """Two images for every element of the batch become the tensors that the contract names."""
    first_NHW3 = np.stack([pair[0] for pair in images])
    second_NHW3 = np.stack([pair[1] for pair in images])
    if contract.graph == "perceive":
        return {"image": first_NHW3}
    if contract.graph == "pwm":
        shifted_NHW3 = np.roll(first_NHW3, first_NHW3.shape[2] // 8, axis=2)
        return {"target": first_NHW3, "reference": shifted_NHW3}
    return _canvas(first_NHW3, second_NHW3)


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
