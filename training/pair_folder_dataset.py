"""Pairs of photographs on disk as samples for the training loop: with exact flow out of stereo scenes, without labels
out of folders of pairs."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from training.feature_matches import PairGeometry, match_pair
from training.folder_dataset import READING_THREADS, stacked
from training.readers.pair_build import PairLayout, PairReader, open_pair_reader
from training.readers.reader import Split
from training.readers.stereo_scenes import StereoScene, StereoScenesReader
from training.stereo_crops import reduce_scene, stereo_crop

Array = np.ndarray[Any, np.dtype[Any]]
MATCHING_SIDE = 640
"""Longest side of the copies that features are sought in."""
KEPT_SCENES = 64


@dataclass(frozen=True, kw_only=True)
class PairFolderConfig:
    """root: the folder, absolute or below the folder that the command line calls --data-root. height, width: of the
    frames that the network sees; photographs of pairs are resized to them, stereo scenes reduced and cut."""

    kind: Literal["pair_folder"] = "pair_folder"
    root: str
    height: int = 192
    width: int = 256

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            side = getattr(self, name)
            if side < 64 or side % 8:
                raise ValueError(f"{name}: expected a multiple of 8 of at least 64, found {side}")


class PairFolderDataset:
    """One split of a folder of pairs.

    Samples are dicts of tensors. Of stereo scenes: what `training.stereo_crops.stereo_crop` answers, another crop and
    homography for every (seed, step, index) in training, always the same ones in validation. Of folders of pairs:
    "target", "reference" float32 [3, H, W] in [0, 1], and from feature matches "homography" and "fundamental" float64
    [3, 3] of the resized pair and "inliers" int64 [2], as in `training.feature_matches`. "index" int64.
    """

    shard_size = 1
    """Any order of the samples reads equally well."""

    def __init__(
        self,
        reader: PairReader,
        split: Split,
        height: int,
        width: int,
        *,
        count: int | None = None,
        seed: int = 0,
        augmented: bool = True,
    ) -> None:
        self.reader, self.split, self.height, self.width, self.seed = reader, split, height, width, seed
        self.source = reader.dataset
        self.names = reader.names(split)[:count]
        self._augmented = augmented and split == "train"
        self._threads = ThreadPoolExecutor(READING_THREADS, "pairs")
        self._geometries: dict[int, PairGeometry] = {}
        self._scenes: dict[int, StereoScene] = {}

    def __len__(self) -> int:
        return len(self.names)

    def sample(self, index: int, step: int = 0) -> dict[str, Tensor]:
        """One sample. Raises IndexError for an index outside the set, DamagedFile for a damaged file."""
        if not 0 <= index < len(self):
            raise IndexError(f"index: expected 0..{len(self) - 1}, found {index}")
        if isinstance(self.reader, StereoScenesReader):
            generator = np.random.default_rng([self.seed, step, index] if self._augmented else [self.seed, index])
            arrays = stereo_crop(self._scene(index), self.height, self.width, generator)
        else:
            arrays = self._pair(index)
        tensors = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in arrays.items()}
        return {**tensors, "index": torch.tensor(index)}

    def batch(self, indices: Sequence[int], step: int = 0) -> dict[str, Tensor]:
        """Several samples stacked, read by a few threads. See `sample`."""
        return stacked(list(self._threads.map(lambda index: self.sample(index, step), indices)))

    def _scene(self, index: int) -> StereoScene:
        """A reduced scene; the first ones are kept, since decoding takes far longer than cutting."""
        assert isinstance(self.reader, StereoScenesReader)
        scene = self._scenes.get(index)
        if scene is None:
            scene = reduce_scene(self.reader.load(self.split, self.names[index]), self.height, self.width)
            if len(self._scenes) < KEPT_SCENES:
                self._scenes[index] = scene
        return scene

    def _pair(self, index: int) -> dict[str, Array]:
        assert not isinstance(self.reader, StereoScenesReader)
        photographs = self.reader.load(self.split, self.names[index])
        reference, target = (resized(image, self.width, self.height) for image in photographs)
        if index not in self._geometries:
            reference_size, target_size = (_matching_size(image) for image in photographs)
            found = match_pair(
                _eight_bits(resized(photographs[1], *target_size)),
                _eight_bits(resized(photographs[0], *reference_size)),
            )
            to_r = resizing(reference_size, (self.width, self.height))
            to_t = resizing(target_size, (self.width, self.height))
            self._geometries[index] = rescaled(found, to_t, to_r)
        geometry = self._geometries[index]
        return {
            "target": target.transpose(2, 0, 1),
            "reference": reference.transpose(2, 0, 1),
            "homography": geometry.homography_33,
            "fundamental": geometry.fundamental_33,
            "inliers": np.array(geometry.inliers, np.int64),
        }


def open_pair_folder(
    layout: PairLayout,
    config: PairFolderConfig,
    data_root: Path,
    split: Split,
    *,
    count: int | None = None,
    seed: int = 0,
    augmented: bool = True,
) -> PairFolderDataset:
    """The split of the pairs in data_root / config.root. Raises ValueError for a folder that holds something else."""
    reader = open_pair_reader(layout, data_root / config.root)
    return PairFolderDataset(reader, split, config.height, config.width, count=count, seed=seed, augmented=augmented)


def resized(image_HW3: Array, width: int, height: int) -> Array:
    """float32 [height, width, 3] in [0, 1], without aliasing when it shrinks."""
    if image_HW3.shape[:2] == (height, width):
        return image_HW3
    shrinks = width * height < image_HW3.shape[0] * image_HW3.shape[1]
    made = cv2.resize(image_HW3, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.asarray(made.clip(0, 1), np.float32)


def resizing(old: tuple[int, int], new: tuple[int, int]) -> Array:
    """Pixels of an image of size (width, height) `old` to those of its resized copy: [3, 3], centres at integers."""
    x, y = new[0] / old[0], new[1] / old[1]
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])


def rescaled(geometry: PairGeometry, to_target: Array, to_reference: Array) -> PairGeometry:
    """The geometry of resized images: H' = S_r H S_t^-1 and F' = S_r^-T F S_t^-1, scaled to norm 1 again."""
    back_t, back_r = np.linalg.inv(to_target), np.linalg.inv(to_reference)
    homography = to_reference @ geometry.homography_33 @ back_t
    fundamental = back_r.T @ geometry.fundamental_33 @ back_t
    length = float(np.linalg.norm(fundamental))
    return geometry._replace(
        homography_33=homography / homography[2, 2],
        fundamental_33=fundamental / length if length > 0 else fundamental,
    )


def _matching_size(image_HW3: Array) -> tuple[int, int]:
    height, width = image_HW3.shape[:2]
    factor = min(1.0, MATCHING_SIDE / max(height, width))
    return max(1, round(width * factor)), max(1, round(height * factor))


def _eight_bits(image_HW3: Array) -> Array:
    return (image_HW3 * 255 + 0.5).astype(np.uint8)
