"""Images of a training set in the order in which their labels look suspicious, task by task."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from training.audit.scores import Array, Scores
from training.metrics.detection import average_precision, recall_among_first, roc_area
from training.two_groups import TwoGroups, two_groups


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """One image and task. rank counts from 1. score: what ranks, the log variance where one was learnt, else the loss.

    probability: of the suspicious one of two groups of scores, None where there are no two; suspected: above one half.
    planted: whether the label is known to be wrong, None where nothing is known.
    """

    task: str
    rank: int
    index: int
    name: str
    score: float
    log_variance: float | None
    loss: float
    probability: float | None
    suspected: bool
    planted: bool | None


@dataclass(frozen=True, kw_only=True)
class TaskRanking:
    """One task's images, most suspicious first, and how they fall into groups; detection where errors are known."""

    task: str
    score: str
    suspects: tuple[Suspect, ...]
    groups: TwoGroups | None
    detection: dict[str, dict[str, float]]
    """By score name: ROC area, average precision, recall among the first as many as are bad. Empty if nothing is."""

    def summary(self) -> dict[str, Any]:
        """JSON values without the images."""
        groups = self.groups and {"means": self.groups.means, "shares": self.groups.shares}
        suspected = sum(suspect.suspected for suspect in self.suspects)
        return {
            "task": self.task, "score": self.score, "images": len(self.suspects), "suspected": suspected,
            "groups": groups, "detection": self.detection,
        }  # fmt: skip


def rank_task(
    task: str, column: int, scores: Scores, names: Sequence[str], bad: Sequence[int] | None = None
) -> TaskRanking:
    """The images that have a label and a score. bad: indices of wrong labels, None where they are not known.

    Equal scores (s at its bound) are ordered by loss, then by index.
    """
    loss: Array = scores.loss[:, column]
    learned = scores.log_variance is not None
    value = scores.log_variance[:, column] if scores.log_variance is not None else loss
    known = np.flatnonzero(np.isfinite(value) & np.isfinite(loss))
    order = known[np.lexsort((known, -loss[known], -value[known]))]
    groups = two_groups(value[order])
    probability = groups.upper if groups else np.zeros(len(order))
    wrong = set(bad or ())
    suspects = tuple(
        Suspect(
            task=task,
            rank=place + 1,
            index=int(index),
            name=names[index],
            score=float(value[index]),
            log_variance=float(value[index]) if learned else None,
            loss=float(loss[index]),
            probability=float(probability[place]) if groups else None,
            suspected=bool(probability[place] > 0.5),
            planted=None if bad is None else int(index) in wrong,
        )
        for place, index in enumerate(order)
    )
    kinds = {"log_variance": value} if learned else {}
    mask = [int(index) in wrong for index in order]
    detection = {
        kind: _detection([float(of[index]) for index in order], mask)
        for kind, of in {**kinds, scores.loss_kind: loss}.items()
        if any(mask) and not all(mask)
    }
    return TaskRanking(
        task=task,
        score="log_variance" if learned else scores.loss_kind,
        suspects=suspects,
        groups=groups,
        detection=detection,
    )


def as_csv(rankings: Sequence[TaskRanking]) -> str:
    """All tasks as one table with a header; numbers with six digits."""
    text = io.StringIO()
    fields = list(Suspect.__dataclass_fields__)
    writer = csv.DictWriter(text, fields, lineterminator="\n")
    writer.writeheader()
    for ranking in rankings:
        for suspect in ranking.suspects:
            writer.writerow({name: _cell(value) for name, value in asdict(suspect).items()})
    return text.getvalue()


def as_json(rankings: Sequence[TaskRanking], about: Mapping[str, Any]) -> dict[str, Any]:
    """`about` the run, and every task with its images."""
    tasks = [ranking.summary() | {"ranking": [asdict(s) for s in ranking.suspects]} for ranking in rankings]
    return {**about, "tasks": tasks}


def _detection(scores: Sequence[float], bad: Sequence[bool]) -> dict[str, float]:
    wrong = sum(bad)
    return {
        "roc_area": roc_area(scores, bad),
        "average_precision": average_precision(scores, bad),
        "recall_among_first": recall_among_first(scores, bad, wrong),
        "bad": wrong,
    }


def _cell(value: Any) -> Any:
    """A cell that spreadsheets take for what it is: text that could be a formula gets an apostrophe."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t"):
        return "'" + value
    return value
