"""Pipelines A and B of the dense protocol: exact geometry, ignored pixels, seeds, test-time sizes."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from training.pipelines import (
    IMAGENET_MEAN,
    NYUD_A,
    NYUD_B,
    PASCAL_A,
    PASCAL_B,
    PipelineA,
    PipelineB,
    evaluation_sample,
    training_sample,
)
from training.readers.reader import Arrays
from training.sample_transforms import CLASS_MAPS, flip, pad, resize, size_of, turned, warp

ALL = ("segmentation", "parts", "saliency", "edges", "depth", "normals")


def sample(height: int = 48, width: int = 64, seed: int = 0) -> Arrays:
    """Random labels of every kind; the last rows are invalid or ignored."""
    rng = np.random.default_rng(seed)
    normals = rng.normal(size=(height, width, 3)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    arrays: Arrays = {
        "image": rng.random((height, width, 3), dtype=np.float32),
        "segmentation": rng.integers(0, 21, (height, width), dtype=np.uint8),
        "parts": rng.integers(0, 7, (height, width), dtype=np.uint8),
        "saliency": rng.integers(0, 2, (height, width), dtype=np.uint8),
        "edges": rng.integers(0, 2, (height, width), dtype=np.uint8),
        "depth": rng.uniform(1, 9, (height, width)).astype(np.float32),
        "normals": normals,
    }
    for name in CLASS_MAPS:
        arrays[name][-4:] = 255
    for name in ("depth", "normals"):
        arrays[name][-4:] = 0
    return arrays


def same(one: Arrays, other: Arrays) -> None:
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def plane(normal: np.ndarray, height: int, width: int, focal: float = 60.0) -> np.ndarray:
    """Depth of a plane through the optical axis at 4 m; the centre of the picture is the principal point."""
    y, x = np.mgrid[:height, :width]
    rays = np.stack([(x - (width - 1) / 2) / focal, (y - (height - 1) / 2) / focal, np.ones((height, width))], -1)
    return (4 * normal[2] / (rays @ normal)).astype(np.float32)


def test_flip_twice_is_the_identity_and_mirrors_n_x() -> None:
    given = sample()
    once = flip(given)
    np.testing.assert_array_equal(once["normals"][:, ::-1], given["normals"] * [-1, 1, 1])
    np.testing.assert_array_equal(once["segmentation"][:, ::-1], given["segmentation"])
    same(flip(once), given)


def test_the_neutral_pipeline_changes_nothing() -> None:
    given = sample()
    pipeline = PipelineA(size=(48, 64), flip=0.0)
    same(training_sample(pipeline, given, np.random.default_rng(0)), given)
    same(evaluation_sample(pipeline, given), given)


@pytest.mark.parametrize(("unit", "factor"), [("metres", 1 / 1.5), ("disparity", 1.5), ("inverse", 1.5)])
def test_zoom_scales_depth_and_keeps_directions(unit: str, factor: float) -> None:
    given = sample(49, 65)
    normal = np.array([0.6, 0.0, -0.8], np.float32)
    given["normals"] = np.tile(normal, (49, 65, 1))
    given["depth"] = np.full((49, 65), 3.0, np.float32)
    zoomed = warp(given, 1.5, 0.0, depth_unit=unit)  # type: ignore[arg-type]
    np.testing.assert_allclose(zoomed["depth"], 3 * factor, rtol=1e-6)
    np.testing.assert_allclose(zoomed["normals"], given["normals"], atol=1e-6)
    assert zoomed["segmentation"][24, 32] == given["segmentation"][24, 32]
    np.testing.assert_array_equal(zoomed["segmentation"][24, [29, 35]], given["segmentation"][24, [30, 34]])


@pytest.mark.parametrize("angle", [-20.0, 7.0, 20.0])
def test_rotation_turns_the_normals_of_a_plane_with_its_depth(angle: float) -> None:
    normal = np.array([0.3, -0.5, -0.81])
    normal /= np.linalg.norm(normal)
    height, width = 61, 81
    given = sample(height, width)
    given["normals"] = np.tile(normal.astype(np.float32), (height, width, 1))
    given["depth"] = plane(normal, height, width)
    result = warp(given, 1.0, angle)
    found = result["normals"][20:40, 30:50]
    np.testing.assert_allclose(found, found[:1, :1] * np.ones_like(found), atol=1e-5)
    expected = plane(found[0, 0].astype(np.float64), height, width)
    inner = (slice(15, 46), slice(20, 61))
    np.testing.assert_allclose(result["depth"][inner], expected[inner], rtol=0.012)  # depth is taken from a neighbour
    assert np.abs(result["depth"][inner] / plane(normal, height, width)[inner] - 1).max() > 0.025
    assert found[0, 0, 2] == pytest.approx(normal[2], abs=1e-6)


def test_a_quarter_turn_is_exact() -> None:
    given = sample(33, 33)
    result = warp(given, 1.0, 90.0)
    np.testing.assert_array_equal(result["segmentation"], np.rot90(given["segmentation"]))
    np.testing.assert_allclose(result["image"], np.rot90(given["image"]), atol=1e-5)
    valid = (result["normals"] != 0).any(axis=2)
    np.testing.assert_array_equal(valid, np.rot90((given["normals"] != 0).any(axis=2)))
    np.testing.assert_allclose(result["normals"], turned(np.rot90(given["normals"]), 90.0), atol=1e-5)
    right = turned(np.array([[[1.0, 0.0, 0.0]]], np.float32), 90.0)
    np.testing.assert_allclose(right[0, 0], [0, -1, 0], atol=1e-7)  # right turns to up, which is -y


@pytest.mark.parametrize(("ignore", "fill"), [(True, 255), (False, 0)])
def test_uncovered_pixels_are_ignored_unless_parity_is_asked_for(ignore: bool, fill: int) -> None:
    given = {name: np.ones_like(value) for name, value in sample().items()}
    pipeline = PipelineA(size=(48, 64), flip=0.0, scale=(0.75, 0.75), ignore_uncovered=ignore)
    result = training_sample(pipeline, given, np.random.default_rng(0))
    uncovered = (slice(0, 4), slice(None))
    for name in CLASS_MAPS:
        assert (result[name][uncovered] == fill).all()
        assert (result[name][12:36, 16:48] == 1).all()
    for name in ("depth", "normals", "image"):
        assert (result[name][uncovered] == 0).all()


def test_invalid_labels_never_leak_into_valid_ones() -> None:
    given = sample()
    for result in (resize(given, (90, 100)), warp(given, 1.3, 11.0)):
        for name in CLASS_MAPS:
            assert set(np.unique(result[name])) <= set(np.unique(given[name]))
        lengths = np.linalg.norm(result["normals"], axis=2)
        assert set(np.unique(lengths.round(4))) == {0.0, 1.0}
    resized = resize(given, (90, 100))
    np.testing.assert_array_equal(resized["depth"] == 0, (resized["segmentation"] == 255))
    assert (np.linalg.norm(resized["normals"], axis=2) == 0)[resized["depth"] == 0].all()


def test_resizing_is_cubic_for_images_and_normals_and_nearest_for_labels() -> None:
    given = sample()
    resized = resize(given, (96, 128))
    np.testing.assert_array_equal(resized["segmentation"], np.kron(given["segmentation"], np.ones((2, 2), np.uint8)))
    np.testing.assert_array_equal(resized["depth"], np.kron(given["depth"], np.ones((2, 2), np.float32)))
    cubic = cv2.resize(given["image"], (128, 96), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_allclose(resized["image"], cubic.clip(0, 1))
    nearest = resize(given, (96, 128), normals="nearest")
    np.testing.assert_array_equal(nearest["normals"], given["normals"].repeat(2, 0).repeat(2, 1))
    assert np.abs(nearest["normals"] - resized["normals"]).max() > 0.1


def test_disparity_follows_the_width() -> None:
    given = sample()
    np.testing.assert_allclose(
        resize(given, (24, 16), depth_unit="disparity")["depth"], resize(given, (24, 16))["depth"] / 4
    )
    scored = evaluation_sample(PipelineA(size=(24, 16)), given, "disparity")
    np.testing.assert_allclose(scored["depth"], given["depth"] / 4)


@pytest.mark.parametrize("pipeline", [NYUD_A, PASCAL_A, NYUD_B, PASCAL_B])
def test_samples_follow_from_their_seed(pipeline: PipelineA | PipelineB) -> None:
    small = replace(pipeline, size=(40, 56))
    given = sample()
    before = {name: value.copy() for name, value in given.items()}
    one, again = (training_sample(small, given, np.random.default_rng([1, 2, 3])) for _ in range(2))
    same(one, again)
    same(given, before)
    assert size_of(one) == (40, 56)
    others = [training_sample(small, given, np.random.default_rng([1, 2, k])) for k in range(4, 12)]
    assert any(not np.array_equal(one["image"], other["image"]) for other in others)
    for name, value in one.items():
        assert value.dtype == given[name].dtype
        assert value.shape[:2] == (40, 56)


def test_published_sizes_and_ranges() -> None:
    assert (NYUD_A.size, NYUD_A.zooms, NYUD_A.rotation) == ((480, 640), (1.0, 1.2, 1.5), 0.0)
    assert (PASCAL_A.size, PASCAL_A.scale, PASCAL_A.rotation) == ((512, 512), (0.75, 1.25), 20.0)
    assert (NYUD_B.size, PASCAL_B.size, NYUD_B.scale) == ((448, 576), (512, 512), (0.5, 2.0))
    given = sample()
    given["depth"][:] = 6.0
    seen = set()
    for seed in range(40):
        result = training_sample(replace(NYUD_A, size=(48, 64)), given, np.random.default_rng(seed))
        seen.add(round(float(result["depth"].max()), 4))
    assert seen == {6.0, 5.0, 4.0}


def test_pipeline_b_scales_crops_and_pads() -> None:
    given = sample()
    given["image"][:] = 0.5
    given["depth"][:] = 4.0
    still = PipelineB(
        size=(64, 64), scale=(0.5, 0.5), flip=0.0, brightness=0, contrast=(1, 1), saturation=(1, 1), hue=0
    )
    result = training_sample(still, given, np.random.default_rng(0))
    inside = (slice(20, 44), slice(16, 48))
    np.testing.assert_allclose(result["depth"][inside], 8.0)
    np.testing.assert_allclose(result["image"][inside], 0.5, atol=1e-6)
    outside = np.ones((64, 64), bool)
    outside[inside] = False
    np.testing.assert_allclose(result["image"][outside], np.tile(IMAGENET_MEAN, (outside.sum(), 1)), rtol=1e-6)
    for name in CLASS_MAPS:
        assert (result[name][outside] == 255).all()
    assert (result["depth"][outside] == 0).all()
    assert (result["normals"][outside] == 0).all()


def test_crops_avoid_a_class_that_covers_almost_everything() -> None:
    given = {"image": np.zeros((40, 200, 3), np.float32), "segmentation": np.zeros((40, 200), np.uint8)}
    given["segmentation"][:, 150:] = 1
    given["segmentation"][:, :20] = 255
    strict = PipelineB(size=(40, 60), scale=(1.0, 1.0), flip=0.0)
    mixed = {"strict": 0, "any": 0}
    for seed in range(60):
        for name, pipeline in (("strict", strict), ("any", replace(strict, attempts=0))):
            found = training_sample(pipeline, given, np.random.default_rng(seed))["segmentation"]
            counts = np.bincount(found[found != 255], minlength=2)
            mixed[name] += counts.max() / counts.sum() < 0.75
    assert mixed["any"] < 20 < 50 < mixed["strict"]


def test_photometric_jitter_stays_in_range_and_leaves_labels() -> None:
    given = sample()
    pipeline = PipelineB(size=(48, 64), scale=(1.0, 1.0), flip=0.0, attempts=0)
    changed = 0
    for seed in range(12):
        result = training_sample(pipeline, given, np.random.default_rng(seed))
        assert result["image"].min() >= 0
        assert result["image"].max() <= 1
        changed += not np.array_equal(result["image"], given["image"])
        for name in ALL:
            np.testing.assert_array_equal(result[name], given[name])
    assert changed >= 9


def test_a_brighter_image_gains_at_most_32_of_255() -> None:
    given = {"image": np.full((4, 4, 3), 0.5, np.float32)}
    pipeline = PipelineB(size=(4, 4), scale=(1, 1), contrast=(1, 1), saturation=(1, 1), hue=0)
    changes = [
        float(training_sample(pipeline, given, np.random.default_rng(seed))["image"][0, 0, 0]) - 0.5
        for seed in range(60)
    ]
    assert 0.08 < max(changes) <= 32 / 255 + 1e-6
    assert -0.08 > min(changes) >= -32 / 255 - 1e-6
    assert 15 < sum(math.isclose(change, 0, abs_tol=1e-6) for change in changes) < 45


def test_evaluation_a_keeps_native_labels_and_b_pads_in_the_middle() -> None:
    given = sample(45, 60)
    scored = evaluation_sample(PipelineA(size=(64, 96)), given)
    assert scored["image"].shape == (64, 96, 3)
    for name in ALL:
        np.testing.assert_array_equal(scored[name], given[name])
    padded = evaluation_sample(PipelineB(size=(48, 64)), given)
    assert size_of(padded) == (64, 64)  # 45 rows need 64: the least multiple of 32 that holds the picture
    same({name: value[9:54, 2:62] for name, value in padded.items()}, given)
    assert (padded["segmentation"][:9] == 255).all()
    larger = evaluation_sample(PipelineB(size=(32, 32)), given)
    assert size_of(larger) == (64, 64)
    same(pad(given, (40, 40), IMAGENET_MEAN), given)
