"""`python -m service stitch-batch` and `perceive-batch` with real bundles, of random weights."""

import io
import json
import random
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from service.__main__ import main
from service.batch.tasks import PerceiveTask, StitchTask
from service.bundle import load_bundle
from service.stitching.answer import encode_answer
from service.stitching.pipeline import open_stitcher
from service.stitching.result import StitchOptions
from tests.helpers.pairs import write_pairs
from tests.helpers.pictures import encoded, scene, with_exif
from tests.helpers.servers import ROOT, service_environment


@pytest.fixture(autouse=True)
def bundles(monkeypatch: pytest.MonkeyPatch, perceive_bundle: Path, stitch_bundle: Path) -> None:
    monkeypatch.setenv("POLYVIEW_BUNDLES", f"{perceive_bundle}:{stitch_bundle}")


def run(*arguments: object) -> int:
    return main([*map(str, arguments), "--workers", "0", "--quiet"])


def report(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "report.jsonl").read_text().splitlines()]


def lasting(out: Path) -> tuple[dict[str, bytes], list[dict]]:
    """Outputs and report, without times."""
    files = {str(p.relative_to(out)): p.read_bytes() for p in sorted((out / "items").rglob("*")) if p.is_file()}
    return files, [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in report(out)]


def test_a_pair_is_what_the_endpoint_answers(
    tmp_path: Path, stitch_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pairs(tmp_path / "in", 1)
    half = tmp_path / "in" / "half"
    half.mkdir()
    (half / "reference.png").write_bytes(encoded(scene()))
    (tmp_path / "in" / "text").mkdir()
    for name in ("reference", "target"):
        (tmp_path / "in" / "text" / f"{name}.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    assert run("stitch-batch", tmp_path / "in", "--out", out, "--masks", "--warped", "--flow", "--maps") == 1
    assert "1 done, 2 failed (missing_file 1, not_an_image 1)" in capsys.readouterr().out
    half_row, row, text_row = report(out)
    assert (half_row["code"], text_row["code"]) == ("missing_file", "not_an_image")
    files = {path.name: path.read_bytes() for path in (out / row["folder"]).iterdir()}
    pair = [np.asarray(Image.open(tmp_path / "in" / "pair-0" / f"{name}.png")) for name in ("reference", "target")]
    result = open_stitcher(load_bundle(stitch_bundle)).stitch(pair, StitchOptions())
    with zipfile.ZipFile(io.BytesIO(bytes(encode_answer(result, "zip").body))) as archive:
        answer = {name: archive.read(name) for name in archive.namelist()}
    expected = json.loads(answer.pop("report.json"))
    with np.load(io.BytesIO(files.pop("perceive.npz")), allow_pickle=False) as maps:
        assert list(maps["depth"].shape) == expected["canvas"][::-1]
    assert files == answer
    assert [row["offset_x"], row["offset_y"]] == expected["offset"]
    assert [row["canvas_width"], row["canvas_height"]] == expected["canvas"]
    assert (row["overlap"], row["method"]) == (expected["overlap"], expected["method"])
    assert row["seconds_compute"] > 0


def test_photographs_in_every_format(tmp_path: Path) -> None:
    source = tmp_path / "in"
    (source / "deep").mkdir(parents=True)
    (source / "a.jpg").write_bytes(with_exif(scene(120, 80), focal_35mm=28))
    (source / "deep" / "b.png").write_bytes(encoded(scene(64, 96)))
    (source / "tiny.png").write_bytes(encoded(scene(20, 20)))
    assert run("perceive-batch", source, "--out", tmp_path / "npz") == 1
    rows = {row["id"]: row for row in report(tmp_path / "npz")}
    assert rows["tiny.png"]["code"] == "too_small"
    assert rows["a.jpg"]["focal_source"] == "exif"
    assert rows["deep/b.png"]["focal_source"] == "default"
    with np.load(tmp_path / "npz" / rows["deep/b.png"]["folder"] / "perceive.npz", allow_pickle=False) as maps:
        assert maps["depth"].shape == (96, 64)
        assert rows["deep/b.png"]["depth_median_m"] == pytest.approx(np.median(maps["depth"]), abs=1e-3)
        assert json.loads(str(maps["meta"]))["timings"] == {}
    manifest = source / "list.csv"
    manifest.write_text("id,image,focal_px\nx,a.jpg,900\ny,deep/b.png,\n")
    options = ("--focal-px", 300, "--tasks", "depth", "--resolution", 40, "--format", "png")
    assert run("perceive-batch", manifest, "--out", tmp_path / "png", *options) == 0
    assert [row["focal_px"] for row in report(tmp_path / "png")] == [900, 300]
    folder = tmp_path / "png" / "items" / "x"
    assert {path.name for path in folder.iterdir()} == {"depth.png", "preview.png", "meta.json"}
    with Image.open(folder / "depth.png") as depth:
        assert depth.size == (40, 27)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("stitch-batch", "{in}", "--out", "{out}", "--model", "nobody"), "'nobody' is not loaded"),
        (("stitch-batch", "{in}", "--out", "{out}", "--compose", "generate", "--workers", "0"), "cannot generate"),
        (("perceive-batch", "{in}", "--out", "{out}", "--tasks", "smell"), "'smell'"),
        (("perceive-batch", "{in}", "--out", "{out}", "--resolution", "huge"), "For instance resolution=640"),
        (("perceive-batch", "{in}", "--out", "{out}", "--focal-px", "-3"), "focal_px: -3 is not a number from 1"),
        (("perceive-batch", "{in}", "--out", "{out}", "--focal-px", "nan"), "focal_px: nan is not a number from 1"),
        (("stitch-batch", "{in}/nowhere", "--out", "{out}"), "expected a folder"),
        (("stitch-batch", "{in}", "--out", "gopher://hole"), "gopher"),
        (("stitch-batch", "{in}", "--out", "{out}", "--gpus", "0.5"), "--engine ray"),
    ],
)
def test_what_cannot_be_done_ends_with_two(
    tmp_path: Path, arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pairs(tmp_path / "in", 1)
    places = {"{in}": str(tmp_path / "in"), "{out}": str(tmp_path / "out")}
    words = [word.replace("{in}", places["{in}"]).replace("{out}", places["{out}"]) for word in arguments]
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="CUDA is to be had here")
@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_device_that_is_not_there_ends_with_its_remedy(
    workers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pairs(tmp_path / "in", 1)
    monkeypatch.setenv("POLYVIEW_DEVICE", "cuda")
    arguments = ("perceive-batch", tmp_path / "in", "--out", tmp_path / "out", "--quiet", "--workers", workers)
    assert main([*map(str, arguments)]) == 2
    assert "Install requirements/serve-gpu.txt" in capsys.readouterr().err


def test_the_precision_and_the_default_model_are_part_of_a_batch(
    monkeypatch: pytest.MonkeyPatch, perceive_bundle: Path, people_bundle: Path, stitch_bundle: Path
) -> None:
    def described(*bundles: Path, precision: str = "fp32", model: str | None = None) -> dict:
        monkeypatch.setenv("POLYVIEW_BUNDLES", ":".join(map(str, bundles)))
        monkeypatch.setenv("POLYVIEW_PRECISION", precision)
        return PerceiveTask(model=model).describe()

    rooms = ROOT / "weights" / "perceive-rooms"
    assert described(rooms, precision="int8") != described(rooms)
    assert described(people_bundle, perceive_bundle) != described(perceive_bundle, people_bundle)
    first = load_bundle(perceive_bundle).manifest.name
    assert described(perceive_bundle, stitch_bundle, model=first) == described(stitch_bundle, perceive_bundle)
    assert described(perceive_bundle)["options"]["model"] == first
    monkeypatch.setenv("POLYVIEW_BUNDLES", f"{stitch_bundle}:{perceive_bundle}")
    ordered = StitchTask().describe()
    monkeypatch.setenv("POLYVIEW_BUNDLES", f"{perceive_bundle}:{stitch_bundle}")
    assert StitchTask().describe() == ordered


def test_another_default_model_and_an_earlier_version_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    perceive_bundle: Path,
    people_bundle: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(encoded(scene(64, 96)))
    arguments = ("perceive-batch", tmp_path / "in", "--out", tmp_path / "out", "--resolution", "model")
    monkeypatch.setenv("POLYVIEW_BUNDLES", f"{perceive_bundle}:{people_bundle}")
    assert run(*arguments) == 0
    monkeypatch.setenv("POLYVIEW_BUNDLES", f"{people_bundle}:{perceive_bundle}")
    capsys.readouterr()
    assert run(*arguments) == 2
    first, second = (load_bundle(folder).manifest.name for folder in (perceive_bundle, people_bundle))
    assert f"model was '{first}', is '{second}'" in capsys.readouterr().err
    description = tmp_path / "out" / "run.json"
    there = json.loads(description.read_text())
    there["options"] = {**there["options"], "model": None}
    del there["options"]["precision"]
    there["bundles"] = {name: sha256 for _, name, sha256 in there["bundles"]}
    description.write_text(json.dumps(there))
    assert run(*arguments) == 2
    assert "earlier version" in capsys.readouterr().err


def command(source: Path, out: Path, workers: int) -> list[str]:
    return [sys.executable, "-m", "service", "stitch-batch", str(source), "--out", str(out), "--masks", "--flow",
            "--profile", "fast", "--workers", str(workers)]  # fmt: skip


def test_the_number_of_workers_changes_nothing(tmp_path: Path, perceive_bundle: Path, stitch_bundle: Path) -> None:
    write_pairs(tmp_path / "in", 4)
    environment = service_environment(perceive_bundle, stitch_bundle)
    done = subprocess.run(
        command(tmp_path / "in", tmp_path / "two", 2), cwd=ROOT, env=environment, check=False, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b"4/4" in done.stderr
    assert main(command(tmp_path / "in", tmp_path / "none", 0)[3:]) == 0
    assert lasting(tmp_path / "two") == lasting(tmp_path / "none")


@pytest.mark.full
def test_ten_kills_of_the_real_program(tmp_path: Path, perceive_bundle: Path, stitch_bundle: Path) -> None:
    write_pairs(tmp_path / "in", 44)
    environment, chance = service_environment(perceive_bundle, stitch_bundle), random.Random(3)
    done = tmp_path / "out" / "rows" / "done"
    for _ in range(10):
        before = len(list(done.iterdir())) if done.exists() else 0
        process = subprocess.Popen(command(tmp_path / "in", tmp_path / "out", 2), cwd=ROOT, env=environment)
        while process.poll() is None and (len(list(done.iterdir())) if done.exists() else 0) < before + 1:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert subprocess.run(command(tmp_path / "in", tmp_path / "out", 2), cwd=ROOT, env=environment).returncode == 0
    subprocess.run(command(tmp_path / "in", tmp_path / "calm", 1), cwd=ROOT, env=environment, check=True)
    assert lasting(tmp_path / "out") == lasting(tmp_path / "calm")
    assert len({row["id"] for row in report(tmp_path / "out")}) == 44
    assert not list(tmp_path.glob("out/**/*.tmp"))


@pytest.mark.full
def test_ray_answers_the_same(tmp_path: Path, perceive_bundle: Path, stitch_bundle: Path) -> None:
    pytest.importorskip("ray", reason="ray is not installed: pip install -r requirements/batch.txt")
    write_pairs(tmp_path / "in", 20)
    (tmp_path / "in" / "pair-3" / "target.png").write_bytes(b"damaged")
    environment = service_environment(perceive_bundle, stitch_bundle)
    ray_command = [*command(tmp_path / "in", tmp_path / "ray", 2), "--engine", "ray"]
    for program, out in ((ray_command, "ray"), (command(tmp_path / "in", tmp_path / "local", 2), "local")):
        done = subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 1, done.stderr
        assert "19 done, 1 failed (not_an_image 1)" in done.stdout, out
    assert lasting(tmp_path / "ray") == lasting(tmp_path / "local")
    again = subprocess.run(ray_command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert (again.returncode, "19 done, 1 failed" in again.stdout) == (1, True)
