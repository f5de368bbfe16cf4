"""Verification of a published bundle without its checkpoint."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export.__main__ import main
from export.errors import ValueMismatchError
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


def test_a_new_proof_of_parity_keeps_what_is_known_of_the_int8_file(bundle: Path) -> None:
    before = json.loads((bundle / "verify.json").read_text())["files"]
    reverify(bundle, [tiny_source(TINY_PERCEIVE)])
    after = json.loads((bundle / "verify.json").read_text())["files"]
    assert after["perceive.int8.onnx"] == before["perceive.int8.onnx"]
    load_bundle(bundle)


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
