"""Pairs on disk as training data: exact geometry of stereo crops, geometry of matches, and runs on both."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from export.source import source_of
from models.build import build
from tests.helpers.pair_sets import write_stereo, write_udis
from training.__main__ import main
from training.config_json import to_json
from training.datasets import DataRecipe
from training.losses.pixel_warp import epipolar_distance
from training.losses.unlabelled_pairs import fetch, photometric_loss, smoothness_loss
from training.objectives.build import build_objective
from training.objectives.pixel_warp import PixelWarpObjective, PixelWarpOptions, mirrored
from training.objectives.unlabelled_pairs import prepare_unlabelled
from training.pair_folder_dataset import PairFolderConfig, PairFolderDataset, open_pair_folder
from training.pair_inspection import inspect_pairs
from training.prealignment import full_flow, residual_target
from training.readers.stereo_scenes import StereoScenesReader
from training.readers.user_pairs import UserPairsReader
from training.recipes import get_recipe, with_overrides
from training.regions import INVALID, OUTSIDE, OVERLAP
from training.stereo_crops import is_hidden

FRAME = (64, 96)


@pytest.fixture(scope="module")
def stereo(tmp_path_factory: pytest.TempPathFactory) -> PairFolderDataset:
    """Scenes of 200 x 120 that frames of 64 x 96 are cut out of at three quarters of their size."""
    root = tmp_path_factory.mktemp("stereo")
    write_stereo(root, scenes=3)
    return open_pair_folder("middlebury", PairFolderConfig(root=str(root), height=64, width=96), root, "train")


def test_the_composed_flow_leads_to_the_same_colours_to_a_fraction_of_a_pixel(stereo: PairFolderDataset) -> None:
    for step in range(4):
        sample = stereo.sample(0, step)
        visible = (sample["region"] == OVERLAP).numpy()
        assert visible.mean() > 0.2
        seen = fetch(sample["reference"][None], sample["flow"][None])[0]
        inner = cv2.erode(visible.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        error = (seen - sample["target"]).abs().mean(dim=0).numpy()[inner]
        moved = fetch(sample["reference"][None], sample["flow"][None] + 0.5)[0]
        shifted = (moved - sample["target"]).abs().mean(dim=0).numpy()[inner]
        # Half a pixel off is told apart, and what remains is 8-bit rounding and interpolation.
        assert error.mean() < 0.004 < 4 * error.mean() < shifted.mean()


def test_the_flow_keeps_the_epipolar_constraint_and_its_mirror_image_too(stereo: PairFolderDataset) -> None:
    batch = stereo.batch([0, 1], step=3)
    for mirror in (torch.tensor([False, False]), torch.tensor([True, False])):
        turned = mirrored(batch, mirror)
        distance, defined = epipolar_distance(turned["flow"].double(), turned["fundamental"])
        known = turned["region"] != INVALID
        assert defined[known].all()
        assert distance[known].max() < 1e-4


def test_beyond_the_reference_the_truth_is_the_uncropped_photograph(stereo: PairFolderDataset) -> None:
    sample = stereo.sample(1, 5)
    x0, y0 = sample["canvas_offset"].long().tolist()
    height, width = FRAME
    inner = sample["stitched"][:, y0 : y0 + height, x0 : x0 + width]
    assert torch.equal(inner, sample["reference"])
    # Target pixels beyond the reference's frame show what the truth shows there.
    beyond = (sample["region"] == OUTSIDE).numpy()
    assert beyond.mean() > 0.2
    y, x = np.nonzero(beyond)
    landed = np.stack([x, y]) + sample["flow"].numpy()[:, y, x] + [[x0], [y0]]
    truth = sample["stitched"].permute(1, 2, 0).numpy()
    found = cv2.remap(truth, landed[0].astype(np.float32), landed[1].astype(np.float32), cv2.INTER_CUBIC).reshape(-1, 3)
    inside = (landed[0] > 1) & (landed[1] > 1) & (landed[0] < truth.shape[1] - 2) & (landed[1] < truth.shape[0] - 2)
    error = np.abs(found - sample["target"].numpy()[:, y, x].T)[inside & (found.min(axis=1) > 0)]
    assert len(error) > 500
    assert error.mean() < 0.01
    marked = sample["seen"].numpy()[np.rint(landed[1][inside]).astype(int), np.rint(landed[0][inside]).astype(int)]
    assert (marked & 2 > 0).all()


def test_training_crops_vary_and_follow_from_seed_step_and_index(stereo: PairFolderDataset) -> None:
    again = PairFolderDataset(stereo.reader, "train", *FRAME)
    assert torch.equal(stereo.sample(0, 2)["flow"], again.sample(0, 2)["flow"])
    assert not torch.equal(stereo.sample(0, 2)["flow"], stereo.sample(0, 3)["flow"])
    held_out = PairFolderDataset(stereo.reader, "validation", *FRAME)
    assert torch.equal(held_out.sample(0, 1)["target"], held_out.sample(0, 2)["target"])


def test_something_nearer_hides_the_wall_behind_it(tmp_path: Path) -> None:
    write_stereo(tmp_path, scenes=2, size=(160, 80))
    scene = StereoScenesReader(tmp_path).load("train", "Scene1")
    disparity = np.full_like(scene.disparity_HW, 8.0)
    disparity[:, 60:80] = 24.0  # a post: left columns 60..79 land on right columns 36..55
    y, x = np.mgrid[:80, :160].astype(np.float64)
    hidden = is_hidden(scene._replace(disparity_HW=disparity), np.stack([x - disparity, y], -1), disparity)
    columns = np.flatnonzero(hidden[40])
    # The wall's left columns 44..63 land there as well; the post itself starts at 60.
    assert columns.min() in (43, 44)
    assert columns.max() == 59


def test_matches_give_the_homography_of_a_plane_and_no_epipolar_geometry(tmp_path: Path) -> None:
    to_reference = write_udis(tmp_path)
    dataset = PairFolderDataset(UserPairsReader(tmp_path), "train", 120, 160)
    sample = dataset.sample(0)
    half = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]])
    expected = torch.from_numpy(half @ to_reference @ np.linalg.inv(half))
    zero = torch.zeros(1, 2, 120, 160)
    found, wanted = (full_flow(zero, matrix[None]) for matrix in (sample["homography"], expected))
    assert (found - wanted)[..., 10:110, 10:100].abs().max() < 0.25
    assert not sample["fundamental"].any()


def test_unlabelled_terms_are_least_at_the_truth() -> None:
    cells = torch.rand(1, 3, 16, 30, generator=torch.Generator().manual_seed(0))
    world = F.interpolate(cells, scale_factor=4, mode="bilinear")
    reference, target = world[..., :96], world[..., 3:99]
    seen = torch.ones(1, 64, 96, dtype=torch.bool)
    seen[..., -8:] = False
    costs = {}
    for dx in (0.0, 2.0, 3.0, 4.0):
        flow = torch.zeros(1, 2, 64, 96)
        flow[:, 0] = dx
        # Half as bright and lifted: correlation does not mind.
        costs[dx] = float(photometric_loss(0.5 * target + 0.2, reference, flow, seen))
        assert smoothness_loss(flow, target) == 0
    assert costs[3.0] < 0.1
    assert costs[3.0] < 0.5 * min(costs[2.0], costs[4.0])
    ramp = torch.stack(torch.meshgrid(torch.arange(64.0), torch.arange(96.0), indexing="ij"))[None]
    assert smoothness_loss(ramp, target) == pytest.approx(0, abs=1e-5)
    assert smoothness_loss(ramp.square(), target) > 0.1


def test_the_prepared_pair_is_aligned_and_its_epipolar_lines_move_along(stereo: PairFolderDataset) -> None:
    batch = stereo.batch([0, 1], step=1)
    known = batch["region"] == OVERLAP
    homography = torch.tensor([[1.0, 0.02, -14], [0.0, 1.01, 2], [1e-5, 0, 1]], dtype=torch.float64).repeat(2, 1, 1)
    pair = {key: batch[key] for key in ("target", "reference", "fundamental")} | {"homography": homography}
    inputs = prepare_unlabelled(pair, torch.Generator(), jitter=0.0, augmentation=None)
    residual, defined = residual_target(batch["flow"], homography)
    distance, _ = epipolar_distance(residual.double(), inputs.fundamental_B33.double())
    assert distance[known & defined].max() < 1e-2


@pytest.mark.parametrize("layout", ["udis", "middlebury"])
def test_the_command_line_trains_on_a_folder_and_inspects_it(
    layout: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    if layout == "udis":
        write_udis(data)
    else:
        write_stereo(data)
    options = ["--pairs", str(data), "--out", str(run), "--steps", "2", "--quiet", "--threads", "1"]
    assert main(["run", "tiny_pixel_warp", *options]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["finished"]
    assert np.isfinite(list(result["metrics"].values())).all()
    assert "warp/unlike_overlap" in result["metrics"] or "warp/epe512_ov" in result["metrics"]
    assert main(["evaluate", str(run), "--threads", "1"]) == 0
    evaluated = json.loads(capsys.readouterr().out)
    assert evaluated["source"] == layout
    assert evaluated["metrics"]["score"] == pytest.approx(result["metrics"]["score"], rel=1e-3)

    sheet = tmp_path / "sheet.png"
    assert main(["inspect", "auto", str(data), "--sheet", str(sheet), "--quiet"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["dataset"], report["damaged"]) == (layout, False)
    assert sheet.is_file()
    assert report["pairs"].get("with_homography", 1.0) == 1.0
    lost = next(data.rglob("im1.png" if layout == "middlebury" else "000001.jpg"))
    lost.unlink()
    damaged = inspect_pairs(None, data, sheet_path=sheet)
    assert str(lost) in damaged["damage"]["missing"]["first"][0]


def test_a_stereo_folder_trains_a_composition_and_pairs_without_truth_do_not(tmp_path: Path) -> None:
    write_udis(tmp_path / "udis", counts=(1, 1))
    with pytest.raises(ValueError, match="expected true stitched views"):
        with_overrides(get_recipe("tiny_sigmo"), pairs=tmp_path / "udis")
    with pytest.raises(ValueError, match="expected a recipe of pairs"):
        with_overrides(get_recipe("tiny_perceive"), pairs=tmp_path / "udis")
    write_stereo(tmp_path / "stereo")
    assert main(
        ["run", "tiny_sigmo", "--pairs", str(tmp_path / "stereo"), "--out", str(tmp_path / "run"), "--steps", "1",
         "--quiet", "--threads", "1"]
    ) == 0  # fmt: skip


def test_the_losses_of_a_batch_without_labels_reach_the_network(tmp_path: Path) -> None:
    write_udis(tmp_path)
    dataset = PairFolderDataset(UserPairsReader(tmp_path), "train", *FRAME)
    recipe = get_recipe("tiny_pixel_warp")
    torch.manual_seed(0)
    network = build(recipe.model).train()
    terms = PixelWarpObjective(PixelWarpOptions()).loss(network, dataset.batch([0, 1]), torch.Generator())
    assert set(terms) == {"total", "photometric", "smoothness", "epipolar", "line"}
    terms["total"].backward()
    assert all(torch.isfinite(term) for term in terms.values())
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in network.features.parameters())


def test_a_generated_image_has_losses_and_figures_of_its_own(stereo: PairFolderDataset) -> None:
    tiny = get_recipe("tiny_sigmo")
    recipe = replace(tiny, model=replace(tiny.model, mode="generate"))
    objective = build_objective(recipe)
    assert objective.best_metric == "generate/psnr_union"
    torch.manual_seed(0)
    network = build(recipe.model)
    batch = stereo.batch([0, 1], step=1)
    terms = objective.loss(network, batch, torch.Generator().manual_seed(0))
    branches = {"gt_warp", "predicted_warp", "clean", "agreement"}
    assert set(terms) == {"total"} | branches | {f"generate_{name}" for name in branches}
    terms["total"].backward()
    assert network.predict.weight.grad[4:].abs().sum() > 0
    figures = objective.evaluate(network.eval(), [batch])
    # Untrained, both are the feathering; on the true warp of a smooth plane that is nearly the truth.
    assert figures["generate/psnr_union_true_warp"] == pytest.approx(figures["feather/psnr_union_true_warp"], abs=0.5)
    assert figures["generate/psnr_union_true_warp"] > 30


def test_a_bundle_does_not_say_where_the_pairs_lay() -> None:
    config = PairFolderConfig(root="/home/somebody/data/UDIS-D")
    recipe = {"name": "x", "data": to_json(DataRecipe(source="udis", name="udis", config=config))}
    source = source_of(build(get_recipe("tiny_pixel_warp").model), {"recipe": recipe})
    assert source.provenance()["data"]["config"]["root"] == "UDIS-D"
    assert not source.trained_on_generated_data_alone()
