"""The label audit: ranking, table, pages that are well-formed and safe, and a whole audit of tiny runs."""

import csv
import io
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

from models.backbones import BackboneConfig
from models.shared_encoder import SharedEncoderConfig
from models.tasks import TaskName, tasks_of
from tests.helpers.tiny_datasets import write_mtan
from training.__main__ import main
from training.audit.audit import audit_run
from training.audit.page import Shown, page
from training.audit.ranking import as_csv, rank_task
from training.audit.scores import Scores, scores_of
from training.checkpoint import save_checkpoint
from training.config_json import to_json
from training.datasets import DataRecipe
from training.folder_dataset import FolderConfig
from training.instance_parameters import InstanceParametersConfig
from training.label_noise import LabelNoiseConfig, bad_samples
from training.loop import RunOptions, train
from training.objectives.dense_tasks import DenseTasksOptions
from training.pipelines import PipelineA
from training.recipe import Recipe
from training.recipes import tiny_perceive
from training.task_weighting.fixed import EqualConfig

TASKS: tuple[TaskName, ...] = ("segmentation", "depth")
NAN = float("nan")
VOID = {"meta", "link", "img", "br"}


class WellFormed(HTMLParser):
    """Every element is closed in order; collects attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        assert len(attrs) == len(dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def scores(log_variance: list[float] | None, loss: list[float]) -> Scores:
    column = None if log_variance is None else np.array(log_variance)[:, None]
    return Scores(column, np.array(loss)[:, None], "last_loss")


def test_images_are_ranked_by_parameter_then_loss_then_index() -> None:
    names = [f"image {index}" for index in range(6)]
    ranking = rank_task("depth", 0, scores([0.1, 3.0, NAN, 3.0, -1.0, 0.1], [1, 5, NAN, 6, 0.1, 1]), names, [3, 1])
    assert [suspect.index for suspect in ranking.suspects] == [3, 1, 0, 5, 4]
    assert [suspect.rank for suspect in ranking.suspects] == [1, 2, 3, 4, 5]
    assert [suspect.suspected for suspect in ranking.suspects] == [True, True, False, False, False]
    assert [suspect.planted for suspect in ranking.suspects] == [True, True, False, False, False]
    perfect = {"roc_area": 1.0, "average_precision": 1.0, "recall_among_first": 1.0, "bad": 2}
    assert ranking.detection == {"log_variance": perfect, "last_loss": perfect}
    plain = rank_task("depth", 0, scores(None, [1, 5, NAN, 6, 0.1, 1]), names)
    assert (plain.score, plain.detection, plain.suspects[0].planted) == ("last_loss", {}, None)
    rows = list(csv.DictReader(io.StringIO(as_csv([ranking, plain]))))
    assert [row["index"] for row in rows] == ["3", "1", "0", "5", "4"] * 2
    assert rows[0]["name"] == "image 3"
    assert (rows[0]["log_variance"], rows[5]["log_variance"], rows[5]["planted"]) == ("3", "", "")


def test_a_cell_is_never_a_formula() -> None:
    ranking = rank_task("depth", 0, scores(None, [1.0]), ["=HYPERLINK(1)"])
    row = next(csv.DictReader(io.StringIO(as_csv([ranking]))))
    assert (row["name"], row["probability"], row["suspected"]) == ("'=HYPERLINK(1)", "", "False")


def test_states_of_other_runs_give_no_scores() -> None:
    assert scores_of({}, ["depth"], 3) is None
    keys, values = torch.tensor([0, 2, 9]), torch.tensor([[1.0], [2.0], [3.0]])
    rows = {"keys": keys, "values": values}
    state = {"tasks": ["depth"], "granularity": "instance", "log_variance": rows, "last_loss": rows}
    assert scores_of(state, ["edges"], 3) is None
    found = scores_of(state, ["depth"], 3)
    assert found is not None
    assert found.log_variance is not None
    np.testing.assert_array_equal(found.log_variance[:, 0], [1, NAN, 2])
    assert scores_of(state | {"granularity": "task"}, ["depth"], 3).log_variance is None  # type: ignore[union-attr]


def test_a_page_is_well_formed_and_its_text_is_only_text() -> None:
    evil = "<script>alert(1)</script>\"' & co"
    ranking = rank_task("depth", 0, scores([2.0, 0.0], [3.0, 1.0]), [evil, "b"])
    picture = np.zeros((500, 700, 3), np.uint8)
    shown = [Shown(suspect=s, pictures=(picture,) * 3, files=("/data/<b>.npy",)) for s in ranking.suspects]
    text = page(ranking, shown, run=evil, others=["normals"])
    parsed = WellFormed(text)
    assert len(parsed.all("script")) == 1
    assert evil in "".join(parsed.words)
    articles = parsed.all("article")
    assert [article["data-name"] for article in articles] == [evil, "b"]
    assert all(article["tabindex"] == "0" for article in articles)
    assert parsed.all("html") == [{"lang": "en"}]
    images = parsed.all("img")
    assert len(images) == 6
    assert all(image["alt"] and (image["src"] or "").startswith("data:image/jpeg;base64,") for image in images)
    assert "http://" not in text
    assert "https://" not in text
    assert [link["href"] for link in parsed.all("a")] == ["normals.html"]


def recipe(weighting: InstanceParametersConfig | EqualConfig, noise: LabelNoiseConfig | None) -> Recipe:
    backbone = BackboneConfig(embedding_size=8, hidden_sizes=(8, 8, 8, 8), depths=(1, 1, 1, 1))
    return Recipe(
        name="audited",
        options=DenseTasksOptions(weighting=weighting),
        model=SharedEncoderConfig(backbone=backbone, tasks=tasks_of(TASKS, 13)),
        data=DataRecipe(
            source="mtan",
            name="mtan",
            config=FolderConfig(root="mtan", tasks=TASKS, pipeline=PipelineA(size=(64, 64))),
            label_noise=noise,
        ),
        steps=3,
        batch_size=4,
        learning_rate=1e-3,
        precision="32-true",
        ema_decay=None,
        evaluate_every=100,
    )


def test_a_run_with_instance_parameters_is_audited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_mtan(tmp_path / "mtan", counts=(6, 1))
    noise = LabelNoiseConfig(depth=0.5, depth_factor=40.0, segmentation=0.3, seed=2)
    bad = bad_samples(noise, 6)
    assert 0 < len(bad["depth"]) < 6
    run = tmp_path / "run"
    train(recipe(InstanceParametersConfig(), noise), RunOptions(out=run, data_root=tmp_path, threads=1, progress=False))
    assert main(["audit", str(run), "--data-root", str(tmp_path), "--first", "4"]) == 0
    printed = json.loads(capsys.readouterr().out)
    out = run / "audit"
    assert sorted(path.name for path in out.iterdir()) == [
        "depth.html", "ranking.csv", "ranking.json", "segmentation.html",
    ]  # fmt: skip
    (segmentation, depth) = json.loads((out / "ranking.json").read_text())["tasks"]
    assert (segmentation["task"], depth["task"], depth["score"]) == ("segmentation", "depth", "log_variance")
    ranked = depth["ranking"]
    assert sorted(entry["index"] for entry in ranked) == list(range(6))
    values = [entry["log_variance"] for entry in ranked]
    assert values == sorted(values, reverse=True)
    assert {entry["index"] for entry in ranked if entry["planted"]} == set(bad["depth"])
    assert depth["detection"]["log_variance"]["roc_area"] == 1  # forty times too far cannot be missed
    assert printed["tasks"][1]["planted_on_page"] == len(bad["depth"])
    rows = list(csv.DictReader(io.StringIO((out / "ranking.csv").read_text())))
    assert [row["index"] for row in rows[6:]] == [str(entry["index"]) for entry in ranked]
    parsed = WellFormed((out / "depth.html").read_text())
    assert [article["data-index"] for article in parsed.all("article")] == [str(e["index"]) for e in ranked[:4]]
    assert str(tmp_path / "mtan") in "".join(parsed.words)  # the files behind the label


def test_any_other_run_is_audited_by_the_loss_of_its_final_weights(tmp_path: Path) -> None:
    write_mtan(tmp_path / "mtan", counts=(4, 1))
    run = tmp_path / "run"
    train(recipe(EqualConfig(), None), RunOptions(out=run, data_root=tmp_path, threads=1, progress=False))
    first = audit_run(run, out=tmp_path / "one", first=1, data_root=tmp_path)
    audit_run(run, out=tmp_path / "other", first=1, data_root=tmp_path)
    for name in ("ranking.csv", "ranking.json", "depth.html"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()
    assert [task["score"] for task in first["tasks"]] == ["final_loss"] * 2
    assert first["label_noise"] is None
    with pytest.raises(ValueError, match="first"):
        audit_run(run, first=0)
    ranking = json.loads((tmp_path / "one" / "ranking.json").read_text())["tasks"][1]["ranking"]
    assert [entry["loss"] for entry in ranking] == sorted((e["loss"] for e in ranking), reverse=True)
    assert ranking[0]["planted"] is None


def test_a_run_of_another_objective_is_refused(tmp_path: Path) -> None:
    meta = {"model": {}, "ema": False, "recipe": to_json(tiny_perceive())}
    save_checkpoint(tmp_path / "checkpoints", step=1, weights={}, training_state={}, meta=meta)
    with pytest.raises(ValueError, match="dense tasks"):
        audit_run(tmp_path, data_root=tmp_path)
