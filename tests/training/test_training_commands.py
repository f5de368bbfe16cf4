"""What `python -m training` refuses before anything is read or trained: one line that says what was expected."""

import re
from pathlib import Path

import pytest
import torch

from training.__main__ import main
from training.recipes import RECIPES, get_recipe


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "tiny_perceive", "--steps", "0"),
        ("run", "tiny_perceive", "--batch-size", "-1"),
        ("evaluate", "run", "--count", "0"),
        ("compare", "rooms_shared", "--methods", "equal", "--data-count", "many"),
        ("inspect", "auto", "folder", "--limit", "0"),
    ],
)
def test_counts_begin_with_one(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert f"{arguments[-2]}: expected a whole number of at least 1, found '{arguments[-1]}'" in capsys.readouterr().err


@pytest.mark.parametrize("command", [("run", "tiny_perceive"), ("evaluate", "run"), ("audit", "run")])
def test_a_gpu_that_is_not_there_is_named(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main([*command, "--device", "cuda"]) == 2
    assert "expected a GPU for cuda, found none" in capsys.readouterr().err


def test_every_recipe_is_listed_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    words = re.split(r"[\s,;]+", capsys.readouterr().out)
    assert all(words.count(name) == 1 for name in RECIPES)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "expected a file, found none at"),
        ("recipe = 3", "expected a Recipe called recipe in"),
        ("import nobody_has_this", "ends with ModuleNotFoundError: No module named 'nobody_has_this'"),
    ],
)
def test_a_file_without_a_recipe_is_named(
    tmp_path: Path, content: str | None, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.py"
    if content is not None:
        path.write_text(content)
    assert main(["run", str(path)]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert str(path) in error


def test_a_recipe_comes_from_a_file_or_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.py"
    path.write_text("from training.recipes import tiny_perceive\nrecipe = tiny_perceive()\n")
    assert get_recipe(str(path)) == get_recipe("tiny_perceive")
    assert main(["run", "no_such_recipe"]) == 2
    assert "'tiny_perceive'" in capsys.readouterr().err
