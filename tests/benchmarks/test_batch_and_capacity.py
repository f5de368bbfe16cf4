"""The programs run on a few small items and say what they promise."""

import json
from pathlib import Path

import pytest

import benchmarks.batch
import benchmarks.batch_faults
import benchmarks.capacity


@pytest.fixture(autouse=True)
def bundles(monkeypatch: pytest.MonkeyPatch, perceive_bundle: Path, stitch_bundle: Path) -> None:
    monkeypatch.setenv("POLYVIEW_BUNDLES", f"{perceive_bundle}:{stitch_bundle}")
    monkeypatch.setenv("POLYVIEW_DEVICE", "cpu")


def test_capacity_of_two_sizes(tmp_path: Path) -> None:
    out = tmp_path / "capacity.md"
    benchmarks.capacity.main(["--sides", "160", "320", "--count", "1", "--price", "3.6", "--out", str(out)])
    seconds = json.loads(out.with_suffix(".json").read_text())["seconds"]
    assert set(seconds) == {f"{name} {side}" for name in ("photograph", "pair", "pair, fast") for side in (160, 320)}
    assert all(value > 0 for value in seconds.values())
    row = next(line for line in out.read_text().splitlines() if line.startswith("| photograph | 320x240 |"))
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert float(cells[4]) == pytest.approx(seconds["photograph 320"], abs=1e-3)  # 1,000 at 3.6 an hour: 1 a second


@pytest.mark.full
def test_rates_of_engines(tmp_path: Path) -> None:
    out = tmp_path / "batch.md"
    benchmarks.batch.main(["--pairs", "6", "--workers", "2", "--rounds", "1", "--profile", "fast", "--out", str(out)])
    report = json.loads(out.with_suffix(".json").read_text())
    assert set(report["rates"]) == {"one process, one core", "local, 2 workers"}
    assert report["ratios"]["local / (one process x workers)"] > 0


@pytest.mark.full
def test_a_killed_batch_is_compared_with_an_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "faults.md"
    benchmarks.batch_faults.main(["--task", "pairs", "--count", "12", "--kills", "2", "--out", str(out)])
    report = json.loads(out.with_suffix(".json").read_text())
    assert report["facts"]["of them different items"] == "12"
    assert report["facts"]["outputs alike byte for byte"] == "yes"
    assert [count for count, _ in report["kills"]] == sorted(count for count, _ in report["kills"])

    lasting, seen = benchmarks.batch_faults.lasting, []

    def one_output_less(folder: Path) -> tuple[dict[str, str], list[dict[str, object]]]:
        digests, rows = lasting(folder)
        seen.append(folder)
        return ({} if len(seen) == 2 else digests), rows

    monkeypatch.setattr(benchmarks.batch_faults, "lasting", one_output_less)
    with pytest.raises(SystemExit) as ended:
        benchmarks.batch_faults.main(["--task", "pairs", "--count", "4", "--kills", "1", "--out", str(out)])
    assert ended.value.code == 1
    assert "| outputs alike byte for byte | no |" in capsys.readouterr().out
