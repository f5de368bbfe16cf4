"""What knows nothing of the photograph: a constant, the mean map of the other photographs of the same set, and priors.

Leave one out: no baseline sees the photograph it is scored on. A set whose frames show one room (7-Scenes) gives
its mean map knowledge of that very room, which a service does not have.

Legend: H, W image; h, w common grid.
"""

import cv2
import numpy as np

from benchmarks.dense_scores import DenseMaps
from benchmarks.real_data import FARTHEST, IGNORE, NYU13, Photograph

GRID = (48, 64)
CAMERA_HEIGHT_M, CAMERA_PITCH_DEG, WALL_M = 1.4, 15.0, 3.0
RAMP_M = (4.0, 1.2)
_FLOOR, _WALL = NYU13.index("floor"), NYU13.index("wall")


def constant_maps(photographs: list[Photograph], index: int) -> DenseMaps:
    """Median depth and commonest class of the set's other photographs, and a normal straight at the camera."""
    photo, others = photographs[index], others_of_set(photographs, index)
    height, width = photo.rgb_HW3().shape[:2]
    depth = [p.depth_HW[p.valid_HW] for p in others if p.depth_HW is not None]
    label = [p.label_HW[p.label_HW != IGNORE] for p in others if p.label_HW is not None]
    commonest = int(np.bincount(np.concatenate(label), minlength=13).argmax()) if label else len(NYU13)
    middle = float(np.median(np.concatenate(depth))) if depth else 2.0
    normal = np.broadcast_to(np.array([0, 0, -1], np.float32), (height, width, 3))
    return DenseMaps(
        depth_HW=np.full((height, width), middle, np.float32),
        label_HW=np.full((height, width), commonest, np.uint8),
        normal_HW3=normal,
    )


def mean_maps(photographs: list[Photograph], normals: dict[str, np.ndarray], index: int) -> DenseMaps:
    """Per-pixel mean of log depth, commonest class and mean normal of the set's other photographs.

    Args:
        photographs: all photographs.
        normals: reference normals by `dataset/name`, on any grid, NaN unknown.
        index: the photograph to leave out and to predict.
    """
    photo, others = photographs[index], others_of_set(photographs, index)
    height, width = photo.rgb_HW3().shape[:2]
    fallback = constant_maps(photographs, index)
    log_depth, seen = np.zeros(GRID), np.zeros(GRID)
    votes = np.zeros((*GRID, len(NYU13)))
    direction, faced = np.zeros((*GRID, 3)), np.zeros(GRID)
    for other in others:
        if other.depth_HW is not None and other.valid_HW is not None:
            weight = to_grid(other.valid_HW.astype(np.float64))
            log_depth += to_grid(np.where(other.valid_HW, np.log(np.maximum(other.depth_HW, 1e-3)), 0.0))
            seen += weight
        if other.label_HW is not None:
            for k in range(len(NYU13)):
                votes[..., k] += to_grid((other.label_HW == k).astype(np.float64))
        normal = normals.get(f"{other.dataset}/{other.name}")
        if normal is not None:
            direction += np.stack([to_grid(np.nan_to_num(normal[..., k]).astype(np.float64)) for k in range(3)], -1)
            faced += to_grid(np.isfinite(normal[..., 0]).astype(np.float64))
    assert fallback.depth_HW is not None
    assert fallback.label_HW is not None
    depth = np.where(seen > 1e-3, np.exp(log_depth / np.maximum(seen, 1e-3)), fallback.depth_HW[0, 0])
    label = np.where(votes.sum(-1) > 0, votes.argmax(-1), fallback.label_HW[0, 0]).astype(np.uint8)
    direction = np.where(faced[..., None] > 1e-3, direction, (0.0, 0.0, -1.0))
    direction /= np.maximum(np.linalg.norm(direction, axis=-1, keepdims=True), 1e-9)
    size = (width, height)
    return DenseMaps(
        depth_HW=cv2.resize(depth, size, interpolation=cv2.INTER_LINEAR),
        label_HW=cv2.resize(label, size, interpolation=cv2.INTER_NEAREST),
        normal_HW3=cv2.resize(direction, size, interpolation=cv2.INTER_LINEAR),
    )


def floor_and_wall(photo: Photograph) -> DenseMaps:
    """A level floor 1.4 m below a camera that looks down by 15 degrees, and a wall 3 m ahead of it."""
    height, width = photo.rgb_HW3().shape[:2]
    _, fy, _, cy = photo.intrinsics or (0.9 * width, 0.9 * width, (width - 1) / 2, (height - 1) / 2)
    y_H1 = (np.arange(height)[:, None] - cy) / fy
    cosine, sine = np.cos(np.radians(CAMERA_PITCH_DEG)), np.sin(np.radians(CAMERA_PITCH_DEG))
    down_HW = np.broadcast_to(y_H1 * cosine + sine, (height, width))
    ahead_HW = np.broadcast_to(cosine - y_H1 * sine, (height, width))
    floor_HW = np.where(down_HW > 1e-6, CAMERA_HEIGHT_M / np.maximum(down_HW, 1e-6), np.inf)
    wall_HW = np.where(ahead_HW > 1e-6, WALL_M / np.maximum(ahead_HW, 1e-6), np.inf)
    on_floor_HW = floor_HW < wall_HW
    depth_HW = np.clip(np.minimum(floor_HW, wall_HW), 0.1, FARTHEST).astype(np.float32)
    normal_HW3 = np.where(on_floor_HW[..., None], (0.0, -cosine, -sine), (0.0, sine, -cosine)).astype(np.float32)
    return DenseMaps(depth_HW, np.where(on_floor_HW, _FLOOR, _WALL).astype(np.uint8), normal_HW3)


def row_ramp(photo: Photograph) -> DenseMaps:
    """Inverse depth linear in the row, 4 m at the top and 1.2 m at the bottom."""
    height, width = photo.rgb_HW3().shape[:2]
    inverse_H = np.linspace(1 / RAMP_M[0], 1 / RAMP_M[1], height, dtype=np.float32)
    return DenseMaps(depth_HW=np.repeat(1 / inverse_H[:, None], width, axis=1))


def others_of_set(photographs: list[Photograph], index: int) -> list[Photograph]:
    """The photographs of the same data set, without the one at `index`."""
    dataset = photographs[index].dataset
    return [p for i, p in enumerate(photographs) if p.dataset == dataset and i != index]


def to_grid(map_HW: np.ndarray) -> np.ndarray:
    """Area average on the common grid, float64 [h, w]."""
    return np.asarray(cv2.resize(map_HW, GRID[::-1], interpolation=cv2.INTER_AREA), np.float64)
