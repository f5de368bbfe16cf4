"""INT8 files: what they hold, what the report says of them, how the service uses them, and what is refused."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from export.__main__ import main
from export.card import with_int8
from export.errors import CalibrationSetError, Int8BudgetError, TaskMetricError
from export.int8_bundle import Int8Options, add_int8
from export.task_metrics import relative_losses
from export.task_stage import judged
from service.bundle import BundleError, file_sha256, load_bundle
from service.perceive import PerceivePipeline
from service.registry import check_bundles
from service.runtime import RuntimeOptions
from service.settings import Settings


def contents(folder: Path) -> dict[str, str]:
    return {path.name: file_sha256(path) for path in folder.iterdir()}


def test_the_float_file_stays_and_the_int8_one_multiplies_in_8_bits(float_bundle: Path, int8_bundle: Path) -> None:
    bundle = load_bundle(int8_bundle)
    graph = bundle.manifest.graphs["perceive"]
    assert graph.variants == {"int8": "perceive.int8.onnx"}
    assert file_sha256(int8_bundle / graph.file) == file_sha256(float_bundle / graph.file)
    entry = json.loads((int8_bundle / "verify.json").read_text())["files"]["perceive.int8.onnx"]
    chosen = {layer["layer"] for layer in entry["sensitivity"] if layer["precision"] == "int8"}
    assert chosen
    assert 0 < entry["int8_share_of_macs"] <= 1
    model = onnx.load(int8_bundle / "perceive.int8.onnx")
    assert {e.domain for e in model.opset_import} == {""}
    signed = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4]
    assert signed
    for tensor in signed:  # per output channel: as many scales as kernels
        scales = next(t for t in model.graph.initializer if t.name == tensor.name.replace("quantized", "scale"))
        assert list(scales.dims) == [tensor.dims[0]]


def test_no_metric_loses_more_than_the_budget(int8_bundle: Path) -> None:
    entry = json.loads((int8_bundle / "verify.json").read_text())["files"]["perceive.int8.onnx"]["task_metrics"]
    assert {"depth/abs_rel", "segmentation/miou", "normals/mean"} <= set(entry["metrics"])
    assert max(figures["relative_loss"] for figures in entry["metrics"].values()) <= entry["budget"] == 0.05
    card = (int8_bundle / "CARD.md").read_text()
    assert card.count("## INT8") == 1
    assert entry["worst"] in card.partition("## INT8")[2]
    again = with_int8(card, json.loads((int8_bundle / "verify.json").read_text()))
    assert again == card


def test_the_service_uses_it_where_asked(int8_bundle: Path) -> None:
    bundle = load_bundle(int8_bundle)
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    answers = {}
    for precision in ("fp32", "int8"):
        pipeline = PerceivePipeline(bundle, RuntimeOptions(device="cpu", precision=precision))
        answers[precision] = pipeline._graph.run({"image": image[None]})["depth"]
    difference = np.abs(answers["int8"] - answers["fp32"]).mean()
    assert 0 < difference < 0.1 * answers["fp32"].mean()
    assert bundle.manifest.precision_in_use("int8") == "int8"
    assert bundle.manifest.precision_in_use("fp32") == "float16"


def test_the_service_does_not_start_in_a_precision_that_no_bundle_has(float_bundle: Path, int8_bundle: Path) -> None:
    settings = Settings(bundles=(float_bundle,), runtime=RuntimeOptions(precision="int8"))
    with pytest.raises(BundleError, match="POLYVIEW_PRECISION=int8, but no graph"):
        check_bundles(settings)
    assert len(check_bundles(replace(settings, bundles=(int8_bundle,)))) == 1


def test_a_bundle_whose_int8_file_was_never_verified_is_refused(int8_bundle: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(int8_bundle, tmp_path / "bundle"))
    report = json.loads((folder / "verify.json").read_text())
    del report["files"]["perceive.int8.onnx"]
    (folder / "verify.json").write_text(json.dumps(report))
    with pytest.raises(BundleError, match=r"passing entry for perceive\.int8\.onnx"):
        load_bundle(folder)


def test_a_budget_that_nothing_meets_changes_nothing(
    float_bundle: Path, frames_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(float_bundle, tmp_path / "bundle"))
    before = contents(out)
    monkeypatch.setattr("export.int8_bundle.relative_losses", lambda reference, found: {"depth/rmse": 0.5})
    monkeypatch.setattr("export.int8_bundle.measure", _unmeasured)
    with pytest.raises(Int8BudgetError, match=r"perceive, budget 1\.00%"):
        add_int8(out, out, Int8Options(calibration=16, validation=16, data_root=frames_root))
    assert contents(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def _unmeasured(quantiser, *rest):  # type: ignore[no-untyped-def]
    from export.sensitivity import Sensitivity

    return [Sensitivity(layer=layer, noise={"depth": 0.0}) for layer in quantiser.layers[:2]]


def test_too_small_a_calibration_set(float_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CalibrationSetError, match="at least 16 frames, found 4"):
        Int8Options(calibration=4)
    out = tmp_path / "out"
    assert main(["int8", str(float_bundle), "--out", str(out), "--calibration", "4"]) == 1
    assert capsys.readouterr().err.startswith("CalibrationSetError: calibration: expected at least 16")
    assert not out.exists()


def test_a_folder_that_is_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["int8", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.startswith("BundleError")


def test_losses_know_which_way_is_worse() -> None:
    reference = {"depth/rmse": 2.0, "segmentation/miou": 0.5, "normals/under_11.25": 0.4, "pwm/epe": 0.0}
    found = {"depth/rmse": 2.1, "segmentation/miou": 0.45, "normals/under_11.25": 0.5, "pwm/epe": 0.0}
    losses = relative_losses(reference, found)
    assert losses == pytest.approx(
        {"depth/rmse": 0.05, "segmentation/miou": 0.1, "normals/under_11.25": -0.25, "pwm/epe": 0.0}
    )
    with pytest.raises(ValueError, match="expected the metrics"):
        relative_losses(reference, {"depth/rmse": 2.0})


def test_stage_5_names_the_metric_that_lost_too_much() -> None:
    reference, found = {"depth/rmse": 2.0, "segmentation/miou": 0.5}, {"depth/rmse": 2.0, "segmentation/miou": 0.49}
    with pytest.raises(TaskMetricError, match=r"segmentation/miou 0\.49 instead of 0\.5, 2\.00% worse"):
        judged("x.onnx", reference, found, 0.01, 8)
    assert judged("x.onnx", reference, found, 0.03, 8)["worst"] == "segmentation/miou"
    for names in (("depth/rmse", "segmentation/miou"), ("segmentation/miou", "depth/rmse")):
        without = {name: reference[name] for name in names} | {"depth/rmse": math.nan}
        with pytest.raises(TaskMetricError, match="depth/rmse nan instead of 2"):
            judged("x.onnx", {name: reference[name] for name in names}, without, 0.03, 8)
