"""`export bench`: the rows that this machine has, and the arithmetic of the table."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from export import bench
from export.__main__ import main
from export.bench import EAGER, Bench, BenchOptions, Row, bench_text, speed_up
from models.backbones import BackboneConfig
from models.build import config_to_dict
from models.shared_encoder import SharedEncoderConfig
from models.tasks import tasks_of
from service.bundle import load_bundle
from tests.helpers.bundles import TINY_PERCEIVE, tiny_source


def row(way: str, milliseconds: list[float], batch: int = 1) -> Row:
    return Row(graph="perceive", way=way, threads=1, batch=batch, size=(128, 96), macs=10**9, milliseconds=milliseconds)


def test_the_table_is_arithmetic() -> None:
    eager, fast = row(EAGER, [40.0, 20.0, 80.0]), row("fast", [10.0, 10.0, 10.0])
    assert speed_up(fast, eager) == 4.0  # the median of 4, 2 and 8, not the ratio of medians
    assert fast.gflops == pytest.approx(200.0)  # 2 * 10^9 operations in 10 ms
    assert row("x", [10.0], batch=4).gflops == pytest.approx(800.0)
    text = bench_text(Bench(rows=[eager, fast], peaks={1: 400.0}, missing=["CUDA, no such provider"]))
    assert "| perceive 128x96 | fast | 1 | 1 | 10.0 | 100.0 | 4.00 | 1.00 | 200.0 | 50% |" in text
    assert "400 GFLOP/s on 1 thread(s)" in text
    assert text.endswith("Not timed: CUDA, no such provider.")


def test_a_bundle_is_timed_in_every_way_there_is(int8_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(int8_bundle), "--rounds", "2", "--threads", "1", "--batch", "1", "2", "--profile"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"Time of perceive\.onnx on one thread: .*Conv \d+%", out)
    assert re.search(r"Time of perceive\.int8\.onnx on one thread: .*QLinearConv \d+%", out)
    lines = [line.split(" | ") for line in out.splitlines() if line.startswith("| perceive")]
    ways = [(way, batch) for _, way, _, batch, *_ in lines]
    expected = [EAGER, "ONNX Runtime CPU FP32", "ONNX Runtime CPU INT8"]
    assert [way for way in ways if way[1] == "1" and way[0] in expected] == [(way, "1") for way in expected]
    assert [way for way in ways if way[1] == "2" and way[0] in expected] == [(way, "2") for way in expected]
    assert main(["bench", str(int8_bundle), "--graph", "pwm"]) == 1
    assert capsys.readouterr().err.startswith("ValueError: graphs: expected some of ['perceive'], found ['pwm']")


def test_a_network_that_cannot_be_built_here_is_listed(
    perceive_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(perceive_bundle, tmp_path / "bundle"))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["provenance"]["perceive"]["model"]["backbone"]["pretrained"] = str(tmp_path / "none")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert main(["bench", str(folder), "--rounds", "1", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    assert "Not timed: perceive in PyTorch, pretrained: expected a hub id or a folder" in out
    assert "ONNX Runtime CPU FP32" in out


def test_a_trained_hrnet_is_timed_without_the_file_that_it_began_with(
    perceive_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = BackboneConfig(name="hrnet", hidden_sizes=(8, 16, 32, 64), pretrained="hrnet.pth")
    config = SharedEncoderConfig(backbone=backbone, tasks=tasks_of(("depth",), classes=13))
    built = list[Any]()
    monkeypatch.setattr(
        bench, "build", lambda config: built.append(config) or tiny_source(TINY_PERCEIVE).deployed.network
    )
    bundle = load_bundle(perceive_bundle)
    manifest = replace(bundle.manifest, provenance={"perceive": {"model": config_to_dict(config)}})
    bench._network(replace(bundle, manifest=manifest), "perceive")
    assert built[0].backbone.pretrained is None


def test_options_must_make_sense() -> None:
    with pytest.raises(ValueError, match=r"threads: expected numbers of at least 1, found \(0,\)"):
        BenchOptions(threads=(0,))
    with pytest.raises(ValueError, match="rounds: expected at least 1"):
        BenchOptions(rounds=0)
