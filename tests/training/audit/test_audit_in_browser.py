"""The audit's page in Chromium: a person walks through it by keyboard, decides, and takes the verdicts along."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.pages import running_chromium
from training.audit.page import Shown, page
from training.audit.ranking import rank_task
from training.audit.scores import Scores

COUNT, BAD = 12, (3, 7, 8, 11)
NAMES = ["=cmd()", *(f"room {index}" for index in range(1, COUNT))]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with running_chromium() as chromium:
        yield chromium


@pytest.fixture
def audited(tmp_path: Path) -> Path:
    """A page of twelve rooms, wrong labels of which lead the ranking but for one that comes fifth."""
    values = np.linspace(0, 1, COUNT)
    values[list(BAD)] = [3.0, 2.5, 2.0, 0.95]
    values[0], values[10] = 2.2, 0.4  # a right label among the wrong ones
    rng = np.random.default_rng(0)
    scores = Scores(values[:, None], np.exp(values)[:, None], "last_loss")
    ranking = rank_task("depth", 0, scores, NAMES, BAD)
    pictures = [tuple(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(3)) for _ in range(COUNT)]
    shown = [Shown(suspect=suspect, pictures=pictures[suspect.index]) for suspect in ranking.suspects]  # type: ignore[arg-type]
    file = tmp_path / "depth.html"
    file.write_text(page(ranking, shown, run="rooms", others=[]))
    return file


def test_a_person_looks_through_the_first_images_and_saves_the_verdicts(
    browser: Any, audited: Path, tmp_path: Path
) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, accept_downloads=True)
    view = context.new_page()
    problems: list[str] = []
    view.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    view.on("pageerror", lambda error: problems.append(str(error)))
    view.goto(audited.as_uri())
    assert view.locator("article").count() == COUNT
    assert view.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than a phone"

    planted = view.locator("article").evaluate_all(
        "all => all.map(one => [...one.querySelectorAll('dl div')].some(d => d.textContent === 'plantedwrong'))"
    )
    assert sum(planted[:5]) == len(BAD), "all wrong labels are among the first five"
    view.locator("article").first.focus()
    for wrong in planted[:5]:
        view.keyboard.press("w" if wrong else "r")
        view.keyboard.press("j")
    assert view.locator("#count").text_content() == f"5 looked at, {len(BAD)} wrong"

    view.reload()
    assert view.locator("#count").text_content() == f"5 looked at, {len(BAD)} wrong", "verdicts outlive the page"
    view.locator("article").first.locator("button[data-verdict=wrong]").click()  # pressed again: undecided
    assert view.locator("#count").text_content() == f"4 looked at, {len(BAD) - 1} wrong"

    with view.expect_download() as download:
        view.click("#save")
    saved = tmp_path / "verdicts.csv"
    download.value.save_as(saved)
    rows = list(csv.DictReader(saved.read_text().splitlines()))
    order = view.locator("article").evaluate_all("all => all.map(one => Number(one.dataset.index))")
    assert [int(row["index"]) for row in rows] == order[1:5]
    assert {int(row["index"]) for row in rows if row["verdict"] == "wrong"} == set(BAD) - {order[0]}
    assert [row["name"] for row in rows if row["verdict"] == "right"] == ["'=cmd()"], "no cell is a formula"
    assert problems == []
    context.close()
