"""Verification of a published bundle without its checkpoint."""

import json
import resource
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export.__main__ import main
from export.errors import DiskFullError, ValueMismatchError
from export.recheck import recheck
from export.write_bundle import reverify
from service.bundle import file_sha256, load_bundle
from tests.helpers.bundles import TINY_PERCEIVE, tiny_source


@pytest.fixture
def bundle(int8_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(int8_bundle, tmp_path / "bundle"))


def change_weight(folder: Path, file: str, tensor: str, by: float) -> None:
    """Change a weight and every checksum, as somebody would who wants the change to go unnoticed."""
    path = folder / file
    model = onnx.load(path)
    found = next(t for t in model.graph.initializer if tensor in t.name)
    values = numpy_helper.to_array(found)
    found.CopyFrom(numpy_helper.from_array((values + by).astype(values.dtype), found.name))
    path.write_bytes(model.SerializeToString())
    manifest, report = (json.loads((folder / name).read_text()) for name in ("manifest.json", "verify.json"))
    for entry in manifest["files"]:
        if entry["path"] == file:
            entry |= {"sha256": file_sha256(path), "size": path.stat().st_size}
    report["files"][file]["sha256"] = file_sha256(path)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "verify.json").write_text(json.dumps(report))


def test_a_good_bundle_is_compared_with_what_pytorch_answered(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(bundle)]) == 0
    checked = json.loads(capsys.readouterr().out)["checked"]
    assert "where PyTorch's answers were kept, 5 of 5 samples" in checked["perceive.onnx"]
    assert "task metrics as its export measured" in checked["perceive.int8.onnx"]


def test_a_new_proof_of_parity_tells_as_much_as_the_export(bundle: Path) -> None:
    before = json.loads((bundle / "verify.json").read_text())
    reverify(bundle, [tiny_source(TINY_PERCEIVE)])
    after = json.loads((bundle / "verify.json").read_text())
    assert after["files"]["perceive.int8.onnx"] == before["files"]["perceive.int8.onnx"]
    assert after["tolerance"] == before["tolerance"]
    assert after.keys() == before.keys()
    for output, figures in before["files"]["perceive.onnx"]["outputs"].items():
        assert after["files"]["perceive.onnx"]["outputs"][output] == pytest.approx(figures, rel=1e-3, abs=1e-6)
    load_bundle(bundle)


def test_a_full_disk_leaves_the_earlier_report(bundle: Path) -> None:
    before = {path.name: file_sha256(path) for path in bundle.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(DiskFullError, match=r"verify\.json: expected room"):
            reverify(bundle, [tiny_source(TINY_PERCEIVE)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: file_sha256(path) for path in bundle.iterdir()} == before


@pytest.mark.parametrize("file", ["perceive.onnx", "perceive.int8.onnx"])
@pytest.mark.parametrize("whole", [True, False])
def test_a_report_that_lacks_figures_is_refused(
    bundle: Path, file: str, whole: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    report = json.loads((bundle / "verify.json").read_text())
    if whole:
        del report["files"][file]["outputs"]
    else:
        report["files"][file]["outputs"]["depth"].clear()
    (bundle / "verify.json").write_text(json.dumps(report))
    assert main(["verify", str(bundle)]) == 1
    refusal = capsys.readouterr().err.splitlines()[-1]
    assert refusal.startswith("BundleError: ")
    assert f"verify.json: expected figures of {file}" in refusal


def test_a_changed_weight_is_found_without_the_checkpoint(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change_weight(bundle, "perceive.onnx", "depth.predict.bias", 0.01)
    with pytest.raises(ValueMismatchError, match="depth: expected PyTorch's answers"):
        recheck(bundle)
    assert main(["verify", str(bundle)]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("ValueMismatchError: perceive.onnx")


def test_a_changed_int8_file_is_found(bundle: Path) -> None:
    change_weight(bundle, "perceive.int8.onnx", "normals.predict.bias", np.float32(3.0))
    with pytest.raises(ValueMismatchError, match=r"perceive\.int8\.onnx, normals: expected a mean change"):
        recheck(bundle)


def test_a_report_without_answers_says_so(bundle: Path) -> None:
    report = json.loads((bundle / "verify.json").read_text())
    del report["files"]["perceive.onnx"]["reference"]
    (bundle / "verify.json").write_text(json.dumps(report))
    assert "values not: the report keeps no answers" in recheck(bundle)["perceive.onnx"]
