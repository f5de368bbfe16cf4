"""The programs that time exported graphs, on a tiny bundle."""

import json
from pathlib import Path

import numpy as np
import onnx

from benchmarks.export_latency import main as export_latency
from benchmarks.export_one_pass import main as export_one_pass
from benchmarks.export_one_pass import single_task_graphs
from export.operations import multiply_accumulates, with_names
from export.verify import call_of


def test_single_task_graphs_answer_as_the_whole_does_for_less(perceive_bundle: Path, tmp_path: Path) -> None:
    whole = perceive_bundle / "perceive.onnx"
    image = {"image": np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)}
    expected = call_of(whole)(image)
    macs = sum(multiply_accumulates(with_names(onnx.load(whole)), image).values())
    found = single_task_graphs(whole, tmp_path)
    assert set(found) == {"depth", "segmentation", "normals"}
    for task, path in found.items():
        assert np.allclose(call_of(path)(image)[task], expected[task], atol=1e-6)
        alone = sum(multiply_accumulates(with_names(onnx.load(path)), image).values())
        assert macs / 3 < alone < macs  # the encoder is in each of them, the other heads in none
        assert path.stat().st_size < whole.stat().st_size


def test_reports_hold_every_row(perceive_bundle: Path, tmp_path: Path) -> None:
    few = ["--threads", "1", "--rounds", "2", "--out"]
    export_one_pass([str(perceive_bundle), *few, str(tmp_path / "pass.md")])
    numbers = json.loads((tmp_path / "pass.json").read_text())["fp32"]
    assert len(numbers["threads 1"]["milliseconds"]["all tasks"]) == 2
    assert numbers["resident bytes"]["singles"] > 0
    assert "| input | threads |" in (tmp_path / "pass.md").read_text()
    export_latency([str(perceive_bundle), *few, str(tmp_path / "latency.md")])
    rows = json.loads((tmp_path / "latency.json").read_text())["tiny-perceive"]["rows"]
    assert [row["way"] for row in rows][:2] == ["PyTorch", "ONNX Runtime CPU FP32"]
    assert all(len(row["milliseconds"]) == 2 for row in rows)
