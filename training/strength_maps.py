"""A picture of which task owns how much of each layer over a run, from the run's log.

    python -c 'from training.strength_maps import draw_shares; draw_shares("artifacts/runs/<run>", "shares.png")'

One panel per task: a column for each evaluation, a row for each layer, the first layer of the network on top; from
white, nothing, to the task's full colour, the largest share in the picture, which is written below.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from training.run_log import LOG_FILE

COLOURS = ((190, 40, 60), (30, 90, 160), (20, 120, 70), (170, 100, 20), (110, 50, 140), (60, 60, 60))
PANEL_WIDTH, PANEL_HEIGHT = 280, 360
MARGIN, GAP, LINE = 12, 16, 18


def read_shares(run: Path | str) -> tuple[list[int], dict[str, dict[str, list[float]]]]:
    """Steps of a run's evaluations; by task, then by layer, the share owned at each of them.

    Raises ValueError when the run logged none: it was trained by another method.
    """
    path = Path(run) / LOG_FILE
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    entries = [line for line in lines if line["kind"] == "shares"]
    if not entries:
        raise ValueError(f"{path}: expected lines of kind 'shares', found none")
    owned: dict[str, dict[str, list[float]]] = {}
    for entry in entries:
        for layer, by_task in entry["shares"].items():
            for task, share in by_task.items():
                owned.setdefault(task, {}).setdefault(layer, []).append(share)
    return [entry["step"] for entry in entries], owned


def draw_shares(run: Path | str, out: Path | str) -> None:
    """Writes the picture of a run to a PNG file."""
    steps, owned = read_shares(run)
    count = len(owned)
    width = 2 * MARGIN + count * PANEL_WIDTH + (count - 1) * GAP
    picture = Image.new("RGB", (width, 2 * MARGIN + PANEL_HEIGHT + 2 * LINE), "white")
    pen = ImageDraw.Draw(picture)
    largest = max(max(shares) for layers in owned.values() for shares in layers.values())
    for index, (task, layers) in enumerate(owned.items()):
        left, top = MARGIN + index * (PANEL_WIDTH + GAP), MARGIN + LINE
        shares = np.array(list(layers.values()))[..., None]
        colour = np.array(COLOURS[index % len(COLOURS)], dtype=np.float64)
        panel = Image.fromarray((255 + shares / largest * (colour - 255)).round().astype(np.uint8))
        picture.paste(panel.resize((PANEL_WIDTH, PANEL_HEIGHT), Image.Resampling.NEAREST), (left, top))
        pen.rectangle((left - 1, top - 1, left + PANEL_WIDTH, top + PANEL_HEIGHT), outline="grey")
        mean = float(shares[:, -1].mean())
        pen.text((left, MARGIN), f"{task}: {mean:.0%} of {len(layers)} layers' channels at the end", fill="black")
        below = f"step {steps[0]} to {steps[-1]}, input on top; full colour: {largest:.0%}"
        pen.text((left, top + PANEL_HEIGHT + 3), below, fill="black")
    picture.save(out)
