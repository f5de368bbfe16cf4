"""Tiny data sets in the layouts of the public ones, with known labels.

Every writer answers {split: {name: labels}}; labels are what a reader must give back (segmentation, depth, ...), the
splits are "train" and "validation".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat

Labels = dict[str, np.ndarray]
Truth = dict[str, dict[str, Labels]]
NYUD_ENDINGS = {
    "vandenhende": {"images": "jpg", "edge": "npy", "segmentation": "png", "normals": "npy", "depth": "npy"},
    "atrc": {"images": "png", "edge": "png", "segmentation": "png", "normals": "png", "depth": "npy"},
    "astmt": {"images": "jpg", "edge": "png", "segmentation": "mat", "normals": "jpg", "depth": "mat"},
}


def photograph(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Smooth colours, uint8 [H, W, 3]: JPEG keeps them within a few steps."""
    y, x = np.mgrid[: size[0], : size[1]] / max(size)
    phases = rng.uniform(0, 6, (3, 1, 1))
    planes = 128 + 90 * np.sin(2 * x + phases) * np.cos(2 * y + phases)
    return np.moveaxis(planes, 0, -1).astype(np.uint8)


def blocks(rng: np.random.Generator, size: tuple[int, int], values: list[int]) -> np.ndarray:
    """Whole numbers in blocks of eight pixels."""
    coarse = rng.choice(values, (-(-size[0] // 8), -(-size[1] // 8)))
    return np.kron(coarse, np.ones((8, 8), np.int64))[: size[0], : size[1]]


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def write_nyud(
    root: Path, layout: str, size: tuple[int, int] = (48, 64), counts: tuple[int, int] = (4, 2), seed: int = 0
) -> Truth:
    """NYUD-v2: the last rows have no depth and no normals, the first columns are void."""
    endings, rng = NYUD_ENDINGS[layout], np.random.default_rng(seed)
    for folder in (*endings, "gt_sets"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    truth: Truth = {}
    for split, listed, count in zip(("train", "validation"), ("train", "val"), counts, strict=True):
        truth[split] = {}
        for number in range(count):
            name = f"{len(truth) * 1000 + number + 1:04d}"
            codes = blocks(rng, size, [1, 5, 40])
            codes[:, :3] = 0
            depth = rng.uniform(1, 5, size).astype(np.float32)
            depth[-4:] = 0
            edges = (rng.random(size) < 0.1).astype(np.uint8)
            normals = np.tile(unit(rng.uniform(-1, 1, 3)), (*size, 1)).astype(np.float32)
            normals[-8:] = 0
            paths = {folder: root / folder / f"{name}.{ending}" for folder, ending in endings.items()}
            Image.fromarray(photograph(rng, size)).save(paths["images"], quality=98)
            if layout == "vandenhende":
                np.save(paths["edge"], edges.astype(np.float32))
                np.save(paths["normals"], normals)
            else:
                Image.fromarray(edges * 255).save(paths["edge"])
                coded = np.rint((normals + 1) * 127.5).astype(np.uint8)
                Image.fromarray(coded).save(paths["normals"], quality=100, subsampling=0)
            if layout == "astmt":
                savemat(paths["segmentation"], {"segmentation": codes.astype(np.uint8)})
                savemat(paths["depth"], {"depth": depth})
            else:
                Image.fromarray(codes.astype(np.uint8)).save(paths["segmentation"])
                np.save(paths["depth"], depth)
            segmentation = np.where(codes == 0, 255, codes - 1).astype(np.uint8)
            truth[split][name] = {
                "segmentation": segmentation, "depth": depth, "normals": normals, "edges": edges,
            }  # fmt: skip
        (root / "gt_sets" / f"{listed}.txt").write_text("\n".join(truth[split]) + "\n")
    return truth


PART_ROWS = {"head": (0, 8, 1), "lear": (2, 4, 1), "torso": (8, 16, 2), "ruarm": (16, 20, 3), "llarm": (20, 24, 4),
             "lhand": (24, 28, 4), "ruleg": (28, 32, 5), "rfoot": (32, 36, 6)}  # fmt: skip


def write_pascal(
    root: Path, sizes: tuple[tuple[int, int], ...] = ((48, 64), (64, 48)), counts: tuple[int, int] = (4, 2)
) -> Truth:
    """PASCAL-Context: sizes alternate, so do pictures with a person and pictures with a cow only."""
    rng = np.random.default_rng(1)
    folders = ("JPEGImages", "ImageSets/Context", "semseg/VOC12", "semseg/pascal-context", "pascal-context/trainval",
               "normals_distill", "sal_distill", "human_parts")  # fmt: skip
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
    truth: Truth = {}
    for split, listed, count in zip(("train", "validation"), ("train", "val"), counts, strict=True):
        truth[split] = {}
        for number in range(count):
            name = f"200{len(truth)}_{number:06d}"
            size = sizes[number % len(sizes)]
            Image.fromarray(photograph(rng, size)).save(root / "JPEGImages" / f"{name}.jpg", quality=98)
            segmentation = blocks(rng, size, [0, 10, 15, 255]).astype(np.uint8)
            source = "VOC12" if number % 2 == 0 else "pascal-context"
            Image.fromarray(segmentation).save(root / "semseg" / source / f"{name}.png")
            label_map = np.full(size, 187, np.uint16)  # grass, on which normals are not trusted
            label_map[:, size[1] // 2 :] = 427  # a monitor, on which they are
            savemat(root / "pascal-context" / "trainval" / f"{name}.mat", {"LabelMap": label_map})
            normal = unit(rng.uniform(0.3, 1, 3))
            coded = np.tile(np.rint((normal + 1) * 127.5).astype(np.uint8), (*size, 1))
            Image.fromarray(coded).save(root / "normals_distill" / f"{name}.png")
            normals = np.tile(normal, (*size, 1)) * (label_map == 427)[..., None]
            saliency = rng.integers(0, 256, size, dtype=np.uint8)
            Image.fromarray(saliency).save(root / "sal_distill" / f"{name}.png")
            parts = _write_parts(root / "human_parts" / f"{name}.mat", size, person=number % 2 == 0)
            truth[split][name] = {
                "segmentation": segmentation, "parts": parts, "saliency": (saliency > 127).astype(np.uint8),
                "normals": normals.astype(np.float32), "edges": vertical_edge(size),
            }  # fmt: skip
        (root / "ImageSets" / "Context" / f"{listed}.txt").write_text("\n".join(truth[split]) + "\n")
    return truth


def vertical_edge(size: tuple[int, int]) -> np.ndarray:
    """The thinned boundary between the left and the right half: of the two columns beside it, the left one remains,
    without its topmost pixel."""
    edges = np.zeros(size, np.uint8)
    edges[1:, size[1] // 2 - 1] = 1
    return edges


def _write_parts(path: Path, size: tuple[int, int], person: bool) -> np.ndarray:
    expected = np.zeros(size, np.uint8)
    rows = []
    for name, (first, last, number) in PART_ROWS.items():
        mask = np.zeros(size, np.uint8)
        mask[first:last, 4:12] = 1
        rows.append((name, mask))
        expected[mask > 0] = number
    cow = ("cow", 10, np.ones(size, np.uint8), [("head", np.ones(size, np.uint8))])
    things = [cow, ("person", 15, np.ones(size, np.uint8), rows)] if person else [cow]
    savemat(path, {"anno": {"imname": path.stem, "objects": _objects(things)}})
    return expected if person else np.full(size, 255, np.uint8)


def _objects(things: list[tuple[str, int, np.ndarray, list[tuple[str, np.ndarray]]]]) -> np.ndarray:
    objects: Any = np.empty((1, len(things)), [(key, "O") for key in ("class", "class_ind", "mask", "parts")])
    for k, (name, number, mask, rows) in enumerate(things):
        parts: Any = np.empty((1, len(rows)), [("part_name", "O"), ("mask", "O")])
        for j, row in enumerate(rows):
            parts[0, j] = row
        objects[0, k] = (name, np.uint8(number), mask, parts)
    return objects


def write_cityscapes(root: Path, size: tuple[int, int] = (32, 64), counts: tuple[int, int] = (2, 1)) -> Truth:
    """Cityscapes with its 19 classes: the first rows are sky, whose disparity does not count."""
    rng = np.random.default_rng(2)
    truth: Truth = {}
    for split, folder, count in zip(("train", "validation"), ("train", "val"), counts, strict=True):
        truth[split] = {}
        for number in range(count):
            name = f"aachen/aachen_{number:06d}_000019"
            paths = [
                root / kind / folder / f"{name}_{ending}.png"
                for kind, ending in (("leftImg8bit",) * 2, ("gtFine", "gtFine_labelIds"), ("disparity",) * 2)
            ]
            for path in paths:
                path.parent.mkdir(parents=True, exist_ok=True)
            ids = blocks(rng, size, [0, 7, 10, 26, 33])
            ids[:4] = 23
            stored = rng.integers(0, 20_000, size, dtype=np.uint16)
            Image.fromarray(photograph(rng, size)).save(paths[0])
            Image.fromarray(ids.astype(np.uint8)).save(paths[1])
            Image.fromarray(stored).save(paths[2])
            table = {0: 255, 7: 0, 10: 255, 23: 10, 26: 13, 33: 18}
            disparity = np.where((stored > 0) & (ids != 23), (stored.astype(np.float64) - 1) / 256, 0)
            truth[split][name] = {
                "segmentation": np.vectorize(table.get)(ids).astype(np.uint8), "depth": disparity.astype(np.float32),
            }  # fmt: skip
    return truth


def write_mtan(
    root: Path, indoor: bool = True, size: tuple[int, int] = (32, 48), counts: tuple[int, int] = (3, 2)
) -> Truth:
    """MTAN arrays: NYUv2 with 13 classes, or Cityscapes with label_7 and label_19."""
    rng = np.random.default_rng(3)
    truth: Truth = {}
    for split, folder, count in zip(("train", "validation"), ("train", "val"), counts, strict=True):
        truth[split] = {}
        for number in range(count):
            codes = blocks(rng, size, [-1, 0, 6])
            depth = rng.uniform(0.1, 3, size).astype(np.float32)
            depth[:2] = 0
            arrays = {
                "image": photograph(rng, size).astype(np.float32) / 255,
                "depth": depth[..., None],
            }
            labels: Labels = {"segmentation": np.where(codes < 0, 255, codes).astype(np.uint8), "depth": depth}
            if indoor:
                normals = np.tile(unit(rng.uniform(-1, 1, 3)), (*size, 1)).astype(np.float32)
                normals[:, :2] = 0
                arrays |= {"label": codes.astype(np.float32), "normal": normals}
                labels["normals"] = normals
            else:
                arrays |= {"label_7": codes, "label_19": codes * 2}
            for kind, array in arrays.items():
                path = root / folder / kind / f"{number}.npy"
                path.parent.mkdir(parents=True, exist_ok=True)
                np.save(path, array)
            truth[split][str(number)] = labels
    return truth
