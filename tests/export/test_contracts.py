"""What a graph promises, by its tasks and its size, and the names of classes."""

import pytest

from export.contracts import perceive_contract
from export.labels import NYU13, PARTS, label_set, part_labels
from models.tasks import FIXED_CHANNELS, TASK_NAMES, tasks_of
from service.manifest import TASKS, SizeSpec
from training.data.labels import NAMES
from training.readers import cityscapes, human_parts, nyud, pascal_context


def test_every_task_has_a_shape_a_unit_and_a_tolerance() -> None:
    contract = perceive_contract(tasks_of(TASK_NAMES, classes=9), output_stride=1)
    assert {spec.name: spec.shape for spec in contract.outputs} == {
        "segmentation": ("N", 9, "H", "W"),
        "depth": ("N", "H", "W"),
        "normals": ("N", 3, "H", "W"),
        "parts": ("N", 7, "H", "W"),
        "saliency": ("N", "H", "W"),
        "edges": ("N", "H", "W"),
    }
    assert list(contract.tolerances) == list(TASK_NAMES)
    assert set(TASKS) == set(TASK_NAMES), "the service knows the tasks of the networks"
    units = {spec.name: spec.unit for spec in perceive_contract(tasks_of(("depth",), 1), 2, False).outputs}
    assert units == {"depth": "m"}


def test_a_fixed_size_stands_in_every_shape() -> None:
    contract = perceive_contract(tasks_of(("depth", "parts"), classes=1), output_stride=2)
    assert contract.at(SizeSpec(longest_side=96, multiple=32)) is contract
    fixed = contract.at(SizeSpec(longest_side=96, multiple=32, fixed=(96, 64)))
    assert fixed.inputs[0].shape == ("N", 64, 96, 3)
    assert [spec.shape for spec in fixed.outputs] == [("N", 32, 48), ("N", 7, 32, 48)]


def test_public_label_sets_are_known_by_their_size() -> None:
    assert label_set(13) == (tuple(NYU13), tuple(NYU13.values()))
    assert tuple(NYU13) == NAMES
    for names in (nyud.CLASSES, pascal_context.CLASSES, cityscapes.CLASSES_19):
        found, palette = label_set(len(names))
        assert found == names
        assert len(set(palette)) == len(names)
    assert label_set(3)[0] == ("class 0", "class 1", "class 2")
    with pytest.raises(ValueError, match="found 256"):
        label_set(256)


def test_own_names_come_before_those_of_a_public_set() -> None:
    names = tuple("abcdefghijklm")
    found, palette = label_set(13, names)
    assert found == names
    assert len(set(palette)) == 13
    with pytest.raises(ValueError, match="expected 13 names, one for each class of the network, found 12"):
        label_set(13, names[:12])
    with pytest.raises(ValueError, match="different names, found 'a' twice"):
        label_set(2, ("a", "a"))
    assert part_labels() == (human_parts.NAMES, tuple(PARTS.values()))
    assert len(PARTS) == FIXED_CHANNELS["parts"]
