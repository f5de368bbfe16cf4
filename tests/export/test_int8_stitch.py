"""INT8 files of a stitch bundle, and the graphs of pairs in the place of their networks."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from export.int8_bundle import Int8Options, add_int8
from export.task_metrics import _PixelWarpGraph
from service.bundle import load_bundle
from service.manifest import GraphSpec, SizeSpec
from training.config_json import to_json
from training.data.pairs import PairConfig
from training.datasets import DataRecipe

SMALL_PAIRS = DataRecipe(
    source="pairs",
    name="small_pairs",
    config=PairConfig(height=64, width=96, antialias=False),
    count=16,
    validation_count=16,
    shard_size=16,
)


def test_flows_come_back_in_pixels_of_the_frames() -> None:
    """A graph that works at 64 x 32 answers (4, 2) pixels there; frames of 192 x 64 see (12, 4)."""
    seen = {}

    def call(inputs):  # type: ignore[no-untyped-def]
        seen.update(inputs)
        return {"flow": np.broadcast_to(np.float32([4, 2]).reshape(1, 2, 1, 1), (1, 2, 32, 64))}

    size = SizeSpec(longest_side=64, multiple=32, smallest_side=32)
    spec = GraphSpec(
        file="pwm.onnx", precision="float32", opset=18, inputs=(), outputs=(), size=size, output_stride=1,
        normalisation="",
    )  # fmt: skip
    target = torch.full((1, 3, 64, 192), 0.5)
    flow = _PixelWarpGraph(spec, call)(target, 2 * target).flow_B2HW
    assert flow.shape == (1, 2, 64, 192)
    assert torch.allclose(flow[0, :, 10, 10], torch.tensor([12.0, 4.0]))
    assert seen["target"].shape == seen["reference"].shape == (1, 32, 64, 3)
    assert (seen["target"] == 128).all()
    assert (seen["reference"] == 255).all()


@pytest.mark.full
def test_both_graphs_of_a_stitch_bundle(stitch_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "told"
    folder.mkdir()
    for path in stitch_bundle.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    manifest = json.loads((folder / "manifest.json").read_text())
    for about in manifest["provenance"].values():
        about["data"] = to_json(SMALL_PAIRS)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    options = Int8Options(calibration=16, validation=16, budget=0.3, data_root=tmp_path / "frames")
    bundle = add_int8(folder, tmp_path / "out", options)
    assert {name: graph.variants for name, graph in bundle.manifest.graphs.items()} == {
        "pwm": {"int8": "pwm.int8.onnx"},
        "sigmo": {"int8": "sigmo.int8.onnx"},
    }
    report = json.loads((tmp_path / "out" / "verify.json").read_text())["files"]
    assert "warp/epe512_ov" in report["pwm.int8.onnx"]["task_metrics"]["metrics"]
    assert "compose/psnr_union" in report["sigmo.int8.onnx"]["task_metrics"]["metrics"]
    assert load_bundle(tmp_path / "out").graph_path("pwm", "int8").name == "pwm.int8.onnx"
