"""The commands of the guides are understood, their links lead somewhere, and their tables are complete."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

import benchmarks.autoscaling
import service.batch.failures
from service.batch.command import COMMANDS, add_commands
from service.batch.steps import report_columns
from service.batch.tasks import PerceiveTask, StitchTask

ROOT = Path(__file__).parents[2]
GUIDES = ("docs/batch.md", "docs/deploy.md", "docs/capacity.md")


def test_batch_commands_are_understood() -> None:
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers(dest="command"))
    seen = set()
    for line in re.findall(r"^python -m service (.*)$", (ROOT / "docs/batch.md").read_text(), re.MULTILINE):
        seen.add(parser.parse_args(shlex.split(line)).command)
    assert seen == set(COMMANDS)


@pytest.mark.parametrize("guide", GUIDES)
def test_links_lead_somewhere(guide: str) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", (ROOT / guide).read_text()):
        assert "://" in target or ((ROOT / guide).parent / target).exists(), target


def test_every_column_and_code_of_a_report_is_documented() -> None:
    text = (ROOT / "docs/batch.md").read_text()
    named = set(re.findall(r"`([\w%]+)`", text))
    for task in (StitchTask(), PerceiveTask()):
        assert set(report_columns(task)) - set(task.inputs) <= named
    listed = re.findall(r"\b(?:[a-z]+_)+[a-z]+\b", (service.batch.failures.__doc__ or "").partition("\n\n")[2])
    codes = {code for code in listed if f'"{code}"' in sources() or code == "out_of_memory"}
    assert len(codes) >= 10
    assert codes <= named


def sources() -> str:
    return "".join(path.read_text() for path in (ROOT / "service" / "batch").glob("*.py"))


def test_autoscaling_writes_its_table(tmp_path: Path) -> None:
    out = tmp_path / "autoscaling.md"
    benchmarks.autoscaling.main(["--hours", "0.02", "--peak", "5", "--out", str(out)])
    assert "| as applied | 0.00% |" in out.read_text()
