"""Scores without a truth: round trips of exact inverses, straight lines under homographies, and the worst in order."""

import cv2
import numpy as np
import pytest

from benchmarks.geometry import pixel_grid, project
from benchmarks.sample_photographs import texture
from benchmarks.stitch_checks import line_bend, round_trip
from benchmarks.stitch_items import StitchItem
from benchmarks.stitch_sheet import exhibit, write_sheet
from benchmarks.stitched import Stitched

HEIGHT, WIDTH = 240, 320
H = np.array([[1.02, 0.03, 150.0], [-0.02, 0.98, 6.0], [1e-4, -5e-5, 1.0]])


def make_item(target: np.ndarray) -> StitchItem:
    return StitchItem(
        dataset="x", name="pair", level="low", reference=texture(HEIGHT, WIDTH, seed=3), target=target,
        frame=(HEIGHT, WIDTH), origin=(0, 0), scene_HW3=texture(HEIGHT, WIDTH, seed=3),
    )  # fmt: skip


@pytest.fixture(scope="module")
def grating() -> StitchItem:
    """Long straight edges in several directions."""
    picture = np.full((HEIGHT, WIDTH, 3), 230, np.uint8)
    for k in range(8):
        cv2.line(picture, (10 + 38 * k, 5), (40 + 35 * k, HEIGHT - 6), (20, 40, 60), 5)
    return make_item(picture)


def moved(matrix: np.ndarray) -> np.ndarray:
    grid = pixel_grid(HEIGHT, WIDTH)
    return project(matrix, grid) - grid


def test_a_warp_and_its_inverse_return(grating: StitchItem) -> None:
    back = moved(np.linalg.inv(H))
    values = round_trip(grating, moved(H), back)
    assert values["round trip"] < 1e-3
    assert values["round trip > 3 px"] == 0
    wrong = round_trip(grating, moved(H), back + np.array([5.0, 0.0]))
    assert wrong["round trip"] == pytest.approx(5 * 512 / WIDTH, abs=0.01)
    assert wrong["round trip > 3 px"] == 1


def test_lines_stay_straight_under_a_homography_alone(grating: StitchItem) -> None:
    straight = line_bend(grating, moved(H))
    assert straight["lines"] >= 6
    assert straight["line bend"] < 0.01
    wave = moved(H)
    wave[..., 0] += 3 * np.sin(pixel_grid(HEIGHT, WIDTH)[..., 1] / 15)
    assert line_bend(grating, wave)["line bend"] > 1
    assert line_bend(grating, moved(np.eye(3))) == {}  # nothing lands outside


def test_the_worst_come_first_with_their_cause(grating: StitchItem, tmp_path) -> None:
    grey = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    seen = np.ones((HEIGHT, WIDTH), bool)
    result = Stitched(
        panorama_HW3=grey, warped_target_HW3=grey, target_mask_HW=seen, reference_mask_HW=seen, offset=(0, 0),
        report={"method": "homography"},
    )  # fmt: skip
    shown = [exhibit(grating, result, {"mPSNR": value}, "") for value in (30.0, 12.0)]
    shown.append(exhibit(grating, None, {"mPSNR": 11.0}, "422 low_overlap"))
    write_sheet(tmp_path / "worst.png", shown, count=2)
    sheet = cv2.cvtColor(cv2.imread(str(tmp_path / "worst.png")), cv2.COLOR_BGR2RGB)
    assert np.array_equal(sheet, np.concatenate([shown[2].strip_HW3, shown[1].strip_HW3]))
    with pytest.raises(ValueError, match="at least one"):
        write_sheet(tmp_path / "worst.png", [])
