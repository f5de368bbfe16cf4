"""The wrappers that are exported: units, order of outputs, and the mean with the mirror image."""

import pytest
import torch
from torch import Tensor

from models.build import build
from models.deployed import NEAREST_DEPTH, deploy, in_bundle_units, mean_with_mirror
from models.shared_encoder import SharedEncoderConfig
from models.tasks import TASK_NAMES, tasks_of
from tests.helpers.bundles import TINY_BACKBONE, TINY_DENSE, TINY_PERCEIVE, TINY_PIXEL_WARP, TINY_STITCHED_IMAGE

EVERYTHING = SharedEncoderConfig(backbone=TINY_BACKBONE, tasks=tasks_of(TASK_NAMES[::-1], classes=5))


def flipped(task: str, values: Tensor) -> Tensor:
    """The map of the mirror image, if the network were perfectly symmetric."""
    values = values.flip(-1)
    return values * torch.tensor([-1.0, 1.0, 1.0]).view(1, 3, 1, 1) if task == "normals" else values


@pytest.fixture(params=["baseline", "every task"])
def network(request: pytest.FixtureRequest) -> torch.nn.Module:
    torch.manual_seed(0)
    network = build(TINY_PERCEIVE if request.param == "baseline" else EVERYTHING).train()
    with torch.no_grad():
        for _ in range(4):
            network(torch.rand(2, 3, 64, 64))
    return network


@pytest.mark.parametrize("mirrored", [False, True])
def test_answers_are_in_the_units_of_a_bundle(network: torch.nn.Module, mirrored: bool) -> None:
    deployed = deploy(network, mirrored)
    image = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8)
    with torch.no_grad():
        answer = {task.name: values for task, values in zip(deployed.tasks, deployed(image), strict=True)}
    h, w = 64 // deployed.output_stride, 96 // deployed.output_stride
    channels = {task.name: task.channels for task in deployed.tasks}
    for task, values in answer.items():
        flat = task in ("depth", "saliency", "edges")
        assert values.shape == ((2, h, w) if flat else (2, channels[task], h, w)), task
    assert (answer["depth"] > 0).all()
    assert torch.allclose(answer["normals"].norm(dim=1), torch.ones(2, h, w), atol=1e-5)
    for task in {"saliency", "edges"} & set(answer):
        assert 0 < answer[task].min() < answer[task].max() < 1


def test_mirroring_an_image_mirrors_the_answer_exactly(network: torch.nn.Module) -> None:
    image = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8)
    plain, mirrored = deploy(network), deploy(network, mirrored=True)
    with torch.no_grad():
        seen, other = mirrored(image), mirrored(image.flip(2))
        once, twice = plain(image), plain(image.flip(2))
    for task, a, b, c, d in zip(mirrored.tasks, seen, other, once, twice, strict=True):
        torch.testing.assert_close(a, flipped(task.name, b), rtol=0, atol=1e-6)
        assert (c - flipped(task.name, d)).abs().max() > 1e-4, f"{task.name} is symmetric anyway"
        torch.testing.assert_close(a, mean_with_mirror(task.name, c, d), rtol=1e-5, atol=1e-5)


def test_units_and_means_by_hand() -> None:
    assert in_bundle_units("depth", torch.tensor([-3.0, 0.0, 2.5]).view(1, 1, 1, 3)).tolist() == [
        [[pytest.approx(NEAREST_DEPTH), pytest.approx(NEAREST_DEPTH), 2.5]]
    ]
    assert in_bundle_units("edges", torch.zeros(1, 1, 1, 2)).tolist() == [[[0.5, 0.5]]]
    assert in_bundle_units("normals", torch.tensor([0.0, 3.0, -4.0]).view(1, 3, 1, 1)).flatten().tolist() == (
        pytest.approx([0, 0.6, -0.8])
    )
    depth = torch.tensor([[[1.0, 4.0]]])
    assert mean_with_mirror("depth", depth, torch.tensor([[[9.0, 4.0]]])).tolist() == [[[2.0, 6.0]]]
    assert mean_with_mirror("saliency", depth, depth).tolist() == [[[2.5, 2.5]]]
    right, left = (torch.tensor([x, 0.0, -0.6]).view(1, 3, 1, 1) for x in (0.8, -0.8))
    assert mean_with_mirror("normals", right, left).flatten().tolist() == pytest.approx([0.8, 0, -0.6])
    assert mean_with_mirror("normals", right, right).flatten().tolist() == pytest.approx([0, 0, -1])


def test_outputs_follow_the_order_of_the_configuration() -> None:
    assert [task.name for task in deploy(build(EVERYTHING)).tasks] == list(TASK_NAMES[::-1])
    assert [task.name for task in deploy(build(TINY_PERCEIVE)).tasks] == ["depth", "segmentation", "normals"]


def test_only_window_attention_binds_a_graph_to_one_size() -> None:
    assert {kind: deploy(build(config)).any_size for kind, config in TINY_DENSE.items()} == {
        "shared_encoder": True,
        "pad_net": True,
        "mti_net": True,
        "mt_cp": False,
        "mt_cp_mask2former": False,
    }


@pytest.mark.parametrize("config", [TINY_PIXEL_WARP, TINY_STITCHED_IMAGE])
def test_networks_of_pairs_are_not_mirrored(config: object) -> None:
    with pytest.raises(ValueError, match="mirrored: expected False for"):
        deploy(build(config), mirrored=True)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="found Identity"):
        deploy(torch.nn.Identity())
