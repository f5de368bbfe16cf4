"""From checkpoints to a published bundle, and what stays when that fails."""

import json
import resource
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import export.write_bundle
from export.__main__ import main
from export.contracts import Tolerance
from export.errors import CheckpointError, DiskFullError, TaskMetricError, ValueMismatchError
from export.source import Source, load_source
from export.write_bundle import BundleOptions, kind_of, reverify, write_bundle
from models.build import config_to_dict
from service.bundle import file_sha256, load_bundle
from tests.export.conftest import SMALL_ROOMS
from tests.helpers.bundles import TINY_PERCEIVE, TINY_PIXEL_WARP, TINY_STITCHED_IMAGE, tiny_source
from training.checkpoint import save_checkpoint
from training.config_json import to_json

META: dict[str, Any] = {
    "ema": True,
    "recipe": {
        "name": "tiny",
        "seed": 7,
        "data": {"source": "rooms", "count": 5, "config": {"width": 96, "height": 64}},
        "objective": {"canonical_focal_ratio": 0.8},
    },
    "commit": "abc",
    "images_seen": 40,
    "seconds": 1.5,
    "device": "cpu",
    "metrics": {"depth_absrel": 0.25},
}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    source = tiny_source(TINY_PERCEIVE, seed=3)
    weights = {key.removeprefix("network."): value for key, value in source.deployed.state_dict().items()}
    meta = {**META, "model": config_to_dict(TINY_PERCEIVE)}
    save_checkpoint(tmp_path / "run" / "checkpoints", step=20, weights=weights, training_state={}, meta=meta)
    return tmp_path / "run"


def contents(folder: Path) -> dict[str, str]:
    return {path.name: file_sha256(path) for path in folder.iterdir()}


@pytest.fixture
def no_tracing(perceive_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Export by copying the tiny bundle's graph, which saves seconds where the graph does not matter."""

    def copy(deployed: object, contract: object, path: Path, half: bool) -> None:
        shutil.copy(perceive_bundle / "perceive.onnx", path)

    monkeypatch.setattr(export.write_bundle, "export_graph", copy)


def test_command_line_round_trip(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notes, out = tmp_path / "notes.md", tmp_path / "bundles" / "rooms"
    notes.write_text("It likes **corridors**.")
    picture = tmp_path / "view.png"
    picture.write_bytes(b"png")
    own = tuple(f"room part {index}" for index in range(13))
    names = tmp_path / "names.txt"
    names.write_text("\n".join(own) + "\n")
    told = ["--notes", str(notes), "--picture", str(picture), "--version", "3", "--classes", str(names)]
    assert main(["onnx", str(checkpoint), "--out", str(out), "--validation", "0", *told]) == 0
    manifest = load_bundle(out).manifest
    assert (manifest.name, manifest.kind, manifest.version) == ("rooms", "perceive", "3")
    assert tuple(manifest.tasks["segmentation"]["classes"]) == own
    assert manifest.canonical_focal_ratio == 0.8
    assert manifest.graphs["perceive"].size.longest_side == 96
    about = manifest.provenance["perceive"]
    assert (about["recipe"], about["commit"], about["seed"], about["steps"]) == ("tiny", "abc", 7, 20)
    assert manifest.quality == {"perceive": {"depth_absrel": 0.25}}
    assert "project generates" in manifest.licence
    card = (out / "CARD.md").read_text()
    assert "**corridors**" in card
    assert "depth_absrel | 0.25" in card
    assert str(tmp_path) not in card
    assert "![view](view.png)" in card
    assert (out / "view.png").read_bytes() == b"png"
    capsys.readouterr()
    assert main(["inspect", str(out)]) == 0
    held = json.loads(capsys.readouterr().out)
    assert held["name"] == "rooms"
    assert held["files"]["perceive.onnx"]["opset"] == {"ai.onnx": 18}
    stale = json.loads((out / "verify.json").read_text())
    stale["passed"] = False
    (out / "verify.json").write_text(json.dumps(stale))
    assert main(["verify", str(out)]) == 1
    assert "verify.json" in capsys.readouterr().err
    assert main(["verify", str(out), str(checkpoint)]) == 0
    load_bundle(out)


def test_command_line_names_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["onnx", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]) == 1
    assert "nowhere" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    names = tmp_path / "names.txt"
    names.write_text("wall\n\nfloor\n")
    for given, said in ((names, "found an empty line 2"), (tmp_path / "none.txt", "expected a text file")):
        assert main(["onnx", str(tmp_path), "--out", str(tmp_path / "out"), "--classes", str(given)]) == 1
        assert said in capsys.readouterr().err
    assert main(["inspect", str(tmp_path / "nothing")]) == 1
    assert "nothing" in capsys.readouterr().err


@pytest.mark.usefixtures("no_tracing")
def test_failing_parity_leaves_the_earlier_bundle_untouched(perceive_bundle: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(perceive_bundle, tmp_path / "bundle"))
    before = contents(out)
    with pytest.raises(ValueMismatchError):
        write_bundle([tiny_source(TINY_PERCEIVE, seed=1)], out, BundleOptions(longest_side={"perceive": 64}))
    assert contents(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    load_bundle(out)


def test_a_size_for_a_graph_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected sizes for \['perceive'\], found one for \['pwm'\]"):
        write_bundle([tiny_source(TINY_PERCEIVE)], tmp_path / "out", BundleOptions(longest_side={"pwm": 64}))
    pair = tiny_source(TINY_PIXEL_WARP), tiny_source(TINY_STITCHED_IMAGE)
    with pytest.raises(ValueError, match="classes: expected none for networks without segmentation, found 1"):
        write_bundle(pair, tmp_path / "out", BundleOptions(classes=("wall",)))


@pytest.mark.usefixtures("no_tracing")
def test_tolerances_are_part_of_the_report(tmp_path: Path) -> None:
    source = tiny_source(TINY_PERCEIVE)
    tolerances = {name: Tolerance(absolute=0.5) for name in source.contract.tolerances}
    source = Source(deployed=source.deployed, contract=replace(source.contract, tolerances=tolerances), meta={})
    out = tmp_path / "bundle"
    write_bundle([source], out, BundleOptions(longest_side={"perceive": 64}))
    report = json.loads((out / "verify.json").read_text())
    assert report["tolerance"]["perceive"]["depth"] == {"absolute": 0.5, "relative": 0.0, "of_largest": 1e-4}
    assert load_bundle(out).manifest.licence.startswith("not stated")


@pytest.mark.usefixtures("no_tracing")
def test_task_metrics_are_judged_against_the_weights_before_rounding(tmp_path: Path, frames_root: Path) -> None:
    source = tiny_source(TINY_PERCEIVE, recipe={"data": to_json(SMALL_ROOMS)})
    options = BundleOptions(longest_side={"perceive": 64}, validation=16, budget=0.05, data_root=frames_root)
    write_bundle([source], tmp_path / "bundle", options)
    report = json.loads((tmp_path / "bundle" / "verify.json").read_text())
    judged = report["files"]["perceive.onnx"]["task_metrics"]
    assert judged["frames"] == 16
    assert {"depth/rmse", "segmentation/miou", "normals/mean"} <= set(judged["metrics"])
    assert any(figures["relative_loss"] != 0 for figures in judged["metrics"].values())
    options = replace(options, validation=500, budget=1e-9)
    with pytest.raises(TaskMetricError, match=r"perceive\.onnx: expected every metric on 16 generated frames"):
        write_bundle([source], tmp_path / "other", options)
    assert not (tmp_path / "other").exists()


def test_reverifying_with_the_wrong_weights_changes_nothing(perceive_bundle: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(perceive_bundle, tmp_path / "bundle"))
    before = contents(out)
    with pytest.raises(ValueMismatchError):
        reverify(out, [tiny_source(TINY_PERCEIVE, seed=1)])
    with pytest.raises(ValueError, match="expected one for each of"):
        reverify(out, [tiny_source(TINY_PIXEL_WARP)])
    assert contents(out) == before


def test_weights_must_fit_the_configuration(checkpoint: Path) -> None:
    file = next(checkpoint.rglob("checkpoint.json"))
    meta = json.loads(file.read_text())
    meta["model"]["decoder_channels"] = 24
    file.write_text(json.dumps(meta))
    with pytest.raises(
        CheckpointError, match=r"expected weights that fit .*, found: size mismatch .* and \d+ more"
    ) as fit:
        load_source(checkpoint)
    assert len(str(fit.value).splitlines()) == 1
    meta["model"]["kind"] = "gpt"
    file.write_text(json.dumps(meta))
    with pytest.raises(CheckpointError, match="found 'gpt'"):
        load_source(checkpoint)


def cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:500])


def edit_meta(folder: Path, **changes: Any) -> None:
    file = folder / "checkpoint.json"
    meta = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in meta.items() if value is not None}))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut weights": cut,
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "cut description": lambda folder: (folder / "checkpoint.json").write_text("{"),
    "list": lambda folder: (folder / "checkpoint.json").write_text("[]"),
    "no model": lambda folder: edit_meta(folder, model=None),
    "strange model": lambda folder: edit_meta(folder, model=["resnet"]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_refused_in_one_line(
    checkpoint: Path, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    DAMAGES[damage](next(checkpoint.rglob("checkpoint.json")).parent)
    assert main(["onnx", str(checkpoint), "--out", str(tmp_path / "out"), "--which", "latest"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("CheckpointError: ")
    assert "00000020" in line


def test_a_checkpoint_without_training_state_can_be_exported(checkpoint: Path) -> None:
    edit_meta(next(checkpoint.rglob("checkpoint.json")).parent, training_state=None)
    assert load_source(checkpoint).meta["commit"] == "abc"


def test_the_latest_stands_in_for_a_best_checkpoint_that_is_not_there_and_never_for_a_broken_one(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert load_source(checkpoint, "best").meta["step"] == 20
    assert "no best checkpoint, the latest is taken: 00000020" in capsys.readouterr().err
    folder = next(checkpoint.rglob("checkpoint.json")).parent
    shutil.copytree(folder, folder.with_name("00000010"))
    (folder.parent / "best").write_text("00000010\n")
    load_source(checkpoint, "best")
    assert capsys.readouterr().err == ""
    (folder.with_name("00000010") / "checkpoint.json").write_text("{")
    with pytest.raises(CheckpointError, match="00000010"):
        load_source(checkpoint, "best")
    shutil.rmtree(folder.with_name("00000010"))
    with pytest.raises(CheckpointError, match="'best' checkpoint"):
        load_source(checkpoint, "best")


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--default-fov", "200", "default_fov_deg: expected degrees in (0, 180), found 200"),
        ("--default-fov", "nan", "default_fov_deg: expected degrees in (0, 180), found nan"),
        ("--validation", "-3", "validation: expected at least 0 frames, found -3"),
        ("--budget", "1.5", "budget: expected a share in (0, 1), found 1.5"),
    ],
)
def test_options_must_make_sense(option: str, value: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["onnx", "run", "--out", "x", f"{option}={value}"]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("a/view.png", "b/view.png"), "expected names that differ"),
        (("missing.png",), "expected a file"),
        (("perceive.onnx",), "expected a name that the bundle does not use itself"),
        (("CARD.md",), "expected a name that the bundle does not use itself"),
    ],
)
def test_pictures_that_cannot_be_shown_are_refused_first(names: tuple[str, ...], said: str, tmp_path: Path) -> None:
    for path in (tmp_path / name for name in names if name != "missing.png"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"png")
    options = BundleOptions(pictures=tuple(tmp_path / name for name in names))
    with pytest.raises(ValueError, match=f"pictures: {said}, found .*{names[-1]}"):
        write_bundle([tiny_source(TINY_PERCEIVE)], tmp_path / "out", options, pytest.fail)


@pytest.mark.usefixtures("no_tracing")
def test_a_full_disk_leaves_the_earlier_bundle_untouched(perceive_bundle: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(perceive_bundle, tmp_path / "bundle"))
    before = contents(out)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))  # the graph is larger, so writing it fails half-way
    try:
        with pytest.raises(DiskFullError, match="bundle: expected room"):
            write_bundle([tiny_source(TINY_PERCEIVE)], out, BundleOptions(longest_side={"perceive": 64}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert contents(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize(
    ("graphs", "kind"), [(["perceive"], "perceive"), (["sigmo", "pwm"], "stitch"), (["pwm"], None), ([], None)]
)
def test_kinds(graphs: list[str], kind: str | None) -> None:
    if kind is None:
        with pytest.raises(ValueError, match="stitch = pwm"):
            kind_of(graphs)
    else:
        assert kind_of(graphs) == kind
