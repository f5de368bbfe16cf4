"""The relative gain of a multi-task model over single-task models (Maninis, Radosavovic and Kokkinos, CVPR 2019)."""

from collections.abc import Mapping

HIGHER_IS_BETTER = ("segmentation", "parts", "saliency", "edges")
LOWER_IS_BETTER = ("depth", "normals")


def delta_m(values: Mapping[str, float], single_task: Mapping[str, float]) -> float:
    """Mean over tasks of the signed relative change in per cent; above 0 the multi-task model is better.

    values: one metric per task (mIoU, rmse, mean angle, odsF ...). single_task: the same metrics of single-task models
    of the same backbone and recipe, at least for the tasks of `values`; all but 0. Raises ValueError for a task without
    a reference.
    """
    if not values:
        raise ValueError("values: expected at least one task, found none")
    gain = 0.0
    for task, value in values.items():
        if task not in HIGHER_IS_BETTER + LOWER_IS_BETTER or not single_task.get(task):
            raise ValueError(f"single_task: expected a metric other than 0 for {task!r}, found {dict(single_task)}")
        change = (value - single_task[task]) / single_task[task]
        gain += -change if task in LOWER_IS_BETTER else change
    return 100 * gain / len(values)
