"""What `python -m training` refuses before anything is read or trained: one line that says what was expected."""

import pytest
import torch

from training.__main__ import main
from training.recipes import RECIPES


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
    words = capsys.readouterr().out.replace(",", " ").split()
    assert all(words.count(name) == 1 for name in RECIPES)
    with pytest.raises(SystemExit):
        main(["describe", "no_such_recipe"])
    assert "invalid choice: 'no_such_recipe'" in capsys.readouterr().err
