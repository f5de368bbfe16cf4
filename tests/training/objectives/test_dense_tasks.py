"""The objective of any set of dense tasks: bookkeeping of the sum, labels of rooms, evaluation."""

import math

import pytest
import torch
from torch import Tensor, nn

from models.tasks import Intermediate, TaskName, TaskOutputs, TaskSpec, tasks_of
from training.augmentation import PhotometricConfig
from training.losses.tasks import TaskLossConfig
from training.objectives import dense_tasks
from training.objectives.dense_tasks import DenseTasksObjective, DenseTasksOptions, Reference
from training.prefetch import Batch
from training.task_weighting.fixed import EqualConfig
from training.task_weighting.loss_prioritisation import LossPrioritisationConfig
from training.task_weighting.task_weighting import LABELLED
from training.virtual_camera import VirtualCameraConfig

NYUD: tuple[TaskName, ...] = ("segmentation", "depth")
NYUD_ALL: tuple[TaskName, ...] = (*NYUD, "edges", "normals")
PASCAL: tuple[TaskName, ...] = ("segmentation", "parts", "saliency", "edges", "normals")


class Answer(nn.Module):
    """Answers the same maps to every image."""

    def __init__(self, final: dict[str, Tensor], inside: dict[tuple[str, int], Tensor] | None = None) -> None:
        super().__init__()
        self.outputs = TaskOutputs(final, tuple(Intermediate(*key, value) for key, value in (inside or {}).items()))

    def forward(self, image_B3HW: Tensor) -> TaskOutputs:
        return self.outputs


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def room(height: int = 24, width: int = 32) -> Batch:
    """A frame of a wall at 2 m with a nearer square of another class in front."""
    depth = torch.full((1, height, width), 2.0)
    label = torch.full((1, height, width), 11, dtype=torch.uint8)
    depth[:, 8:16, 10:20], label[:, 8:16, 10:20] = 1.0, 9
    normal = torch.zeros(1, 3, height, width)
    normal[:, 2] = -0.99
    intrinsics = torch.tensor([[[40.0, 0, 15.5], [0, 40.0, 11.5], [0, 0, 1]]])
    image = torch.rand(1, 3, height, width, generator=generator())
    return {"image": image, "depth": depth, "label": label, "normal": normal, "intrinsics": intrinsics}


@pytest.fixture
def _unit_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense_tasks, "task_loss", lambda *_, **__: torch.tensor(1.0))


@pytest.mark.usefixtures("_unit_losses")
@pytest.mark.parametrize(("main", "every", "total"), [(NYUD, NYUD_ALL, 250), (PASCAL, PASCAL, 340)])
def test_the_sum_of_unit_losses_is_that_of_the_weights(
    main: tuple[TaskName, ...], every: tuple[TaskName, ...], total: float
) -> None:
    nothing = torch.zeros(1, 1, 1, 1)
    model = Answer(dict.fromkeys(main, nothing), {(task, level): nothing for level in range(4) for task in every})
    objective = DenseTasksObjective(DenseTasksOptions(), tasks_of(main, 5))
    batch = {"image": torch.zeros(1, 3, 2, 2)} | dict.fromkeys(every, nothing)
    terms = objective.loss(model, batch, generator())
    assert float(terms["total"]) == total
    assert len([name for name in terms if not name.startswith(LABELLED)]) == 1 + len(main) + 4 * len(every)


def test_projected_final_losses_are_prioritised_and_intermediate_ones_averaged() -> None:
    options = DenseTasksOptions(weighting=LossPrioritisationConfig(), log_projection=True, intermediate="mean")
    objective = DenseTasksObjective(options, tasks_of(NYUD, 5))
    objective.weighting.observe({"segmentation": 2.0, "depth": 1.0})
    objective.weighting.end_epoch()
    weights = objective.weighting.weights()
    assert weights["depth"] > weights["segmentation"] > 1
    final = {"segmentation": torch.tensor(2.0), "depth": torch.tensor(1.0)}
    inside = {(task, level): torch.tensor(value) for task, level, value in (("depth", 0, 0.4), ("depth", 1, 0.8))}
    total = objective.total(dense_tasks.TaskLosses(final, inside))
    expected = weights["segmentation"] * math.log(3 + 1e-6) + weights["depth"] * math.log(2 + 1e-6) + 0.6
    assert float(total) == pytest.approx(expected, rel=1e-6)


def test_rooms_get_names_unit_normals_edges_and_canonical_depth() -> None:
    options = DenseTasksOptions(weighting=EqualConfig(), canonical_focal_ratio=0.9)
    batch = room()
    labels = DenseTasksObjective(options, tasks_of(NYUD, 13)).prepare(batch, generator()).labels
    assert torch.equal(labels["segmentation"], batch["label"])
    assert torch.allclose(labels["normals"].norm(dim=1), torch.tensor(1.0))
    assert torch.allclose(labels["depth"], batch["depth"] * 0.9 * 32 / 40)
    edges = labels["edges"][0]
    assert edges[8:16, [9, 19]].all()
    assert edges[[7, 15], 10:20].all()
    assert edges.sum() == 2 * 8 + 2 * 10 - 1  # the lower right corner is on both lines


def test_augmentation_moves_image_and_labels_alike_and_follows_from_the_generator() -> None:
    options = DenseTasksOptions(
        camera=VirtualCameraConfig(probability=1.0, mirror=1.0), photometric=PhotometricConfig()
    )
    objective = DenseTasksObjective(options, tasks_of(NYUD, 13))
    batch = room()
    (one, labels, _), (other, again, _) = (objective.prepare(batch, generator()) for _ in range(2))
    assert torch.equal(one, other)
    assert all(torch.equal(labels[task], again[task]) for task in labels)
    assert not torch.equal(one, batch["image"])
    assert labels["segmentation"].shape == labels["depth"].shape == labels["edges"].shape == (1, 24, 32)
    with pytest.raises(ValueError, match="generated rooms"):
        objective.prepare({"image": batch["image"], "segmentation": batch["label"]}, generator())


def perfect(batch: Batch, classes: int = 13) -> dict[str, Tensor]:
    logits = nn.functional.one_hot(batch["label"].long(), classes).permute(0, 3, 1, 2) * 9.0
    return {"segmentation": logits, "depth": batch["depth"][:, None] * 0.9 * 32 / 40, "normals": 3 * batch["normal"]}


def test_perfect_maps_score_perfectly_in_metres_and_gain_over_references() -> None:
    options = DenseTasksOptions(
        canonical_focal_ratio=0.9,
        single_task=(
            Reference(task="segmentation", metric="segmentation/miou", value=0.8),
            Reference(task="normals", metric="normals/mean", value=20.0),
        ),
    )
    tasks = tasks_of((*NYUD, "normals"), 13)
    objective = DenseTasksObjective(options, tasks)
    batch = room()
    metrics = objective.evaluate(Answer(perfect(batch)).eval(), [batch, batch])
    assert metrics["score"] == pytest.approx(1.0)
    assert metrics["depth/rmse"] == pytest.approx(0, abs=1e-6)
    assert metrics["delta_m"] == pytest.approx((25 + 100) / 2, abs=1e-3)
    assert objective.best_metric == "delta_m"
    assert objective.images(Answer(perfect(batch)), batch)["predictions"].shape[0] > 24


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (Reference(task="normals", metric="normals/mean", value=20.0), "task: expected one of .*'depth'.*'normals'"),
        (Reference(task="depth", metric="segmentation/miou", value=0.5), "expected one of depth/.*'segmentation/miou'"),
        (Reference(task="depth", metric="depth/rmse", value=0.0), "depth/rmse: expected a number other than 0"),
        (Reference(task="depth", metric="depth/rmse", value=math.nan), "depth/rmse: expected a number other than 0"),
    ],
)
def test_references_that_cannot_be_compared_with_are_refused(reference: Reference, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DenseTasksObjective(DenseTasksOptions(single_task=(reference,)), tasks_of(NYUD, 13))


def test_a_reference_of_a_metric_that_is_not_measured_is_named() -> None:
    options = DenseTasksOptions(single_task=(Reference(task="depth", metric="depth/rms", value=0.5),))
    objective = DenseTasksObjective(options, tasks_of(NYUD, 13))
    with pytest.raises(ValueError, match=r"single_task: expected one of \[.*'depth/rmse'.*\], found 'depth/rms'"):
        objective.evaluate(Answer(perfect(room())), [room()])


def test_a_batch_says_which_tasks_it_has_labels_of() -> None:
    batch = room()
    batch["label"][:] = 255
    objective = DenseTasksObjective(
        DenseTasksOptions(losses=TaskLossConfig(depth_limit=1.5)), tasks_of((*NYUD, "normals"), 13)
    )
    maps = {"segmentation": torch.zeros(1, 13, 24, 32), "depth": batch["depth"][:, None], "normals": batch["normal"]}
    model = Answer(maps)
    for depth, labelled in ((batch["depth"], 1), (batch["depth"].clamp(min=1.5), 0)):
        terms = objective.loss(model, batch | {"depth": depth}, generator())
        assert [float(terms[LABELLED + task]) for task in (*NYUD, "normals")] == [0, labelled, 1]
        apart = objective.split_loss(model, objective.prepare(batch | {"depth": depth}, generator())).terms
        assert {name: float(value) for name, value in apart.items()} == pytest.approx(
            {name: float(value) for name, value in terms.items()}
        )


def test_all_six_tasks_are_scored_at_the_size_of_their_labels() -> None:
    batch = room()
    salient = (batch["label"] == 9).to(torch.uint8)
    edges = dense_tasks.boundary_labels(batch["label"], batch["depth"])
    labels = {"parts": batch["label"] % 7, "saliency": salient, "edges": edges}
    maps = perfect(batch) | {
        "parts": nn.functional.one_hot(labels["parts"].long(), 7).permute(0, 3, 1, 2) * 9.0,
        "saliency": salient[:, None] * 20.0 - 10,
        "edges": edges[:, None] * 20.0 - 10,
    }
    tasks = [TaskSpec(name=name, channels=value.shape[1]) for name, value in maps.items()]  # type: ignore[arg-type]
    objective = DenseTasksObjective(DenseTasksOptions(), tasks)
    batch |= labels
    maps["depth"] = batch["depth"][:, None]
    assert objective.evaluate(Answer(maps), [batch])["score"] == pytest.approx(1.0)
    small = {task: nn.functional.avg_pool2d(value, 2) for task, value in maps.items()}
    metrics = objective.evaluate(Answer(small), [batch])
    assert 0.85 < metrics["score"] < 1
    assert objective.images(Answer(small), batch)["predictions"].shape[1] > 13 * 32


def test_a_missing_label_is_named() -> None:
    objective = DenseTasksObjective(DenseTasksOptions(), tasks_of(("parts",), 1))
    with pytest.raises(ValueError, match="parts: expected labels"):
        objective.loss(Answer({"parts": torch.zeros(1, 7, 2, 2)}), room(), generator())
