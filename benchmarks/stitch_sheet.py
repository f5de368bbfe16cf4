"""A contact sheet of the worst panoramas, each with what went wrong.

Columns: reference, target, panorama, and the overlap's absolute difference, four times.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.stitch_items import StitchItem
from benchmarks.stitch_scores import Placed
from benchmarks.stitched import Stitched

CELL = (320, 240)  # width, height
CAPTION = 26


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """One pair's strip, small enough to keep, and how bad it is: lower is worse."""

    name: str
    score: float
    strip_HW3: np.ndarray


def exhibit(item: StitchItem, result: Stitched | None, values: dict[str, float], reason: str) -> Exhibit:
    """The strip of one pair; `result` None stands for a refusal with its `reason`."""
    cells = [item.reference, item.target]
    if result is not None:
        placed = Placed(item, result)
        gap = cv2.absdiff(placed.warped, item.scene_HW3) * placed.overlap[..., None]
        cells += [result.panorama_HW3, np.minimum(gap.astype(np.uint16) * 4, 255).astype(np.uint8)]
    cells += [np.zeros((1, 1, 3), np.uint8)] * (4 - len(cells))
    strip = np.concatenate([_fitted(cell) for cell in cells], axis=1)
    caption = np.full((CAPTION, strip.shape[1], 3), 255, np.uint8)
    said = f"{item.name}: {what_went_wrong(values, result, reason)}"
    cv2.putText(caption, said, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    score = values.get("mPSNR", float("nan"))
    return Exhibit(name=item.name, score=score if result is not None else -1.0, strip_HW3=np.vstack([caption, strip]))


def what_went_wrong(values: dict[str, float], result: Stitched | None, reason: str) -> str:
    """The first of the usual causes that the numbers show, in words, with the numbers that show it."""
    if result is None:
        return f"refused, {reason}"
    said = f"{values.get('mPSNR', float('nan')):.1f} dB, SSIM {values.get('mSSIM', float('nan')):.2f}"
    flow = result.report.get("flow", {})
    if str(result.report.get("method", "")).startswith("homography"):
        return f"{said}: the pixel-wise warp did worse than one homography, which was used"
    gained = values.get("mPSNR gain", 0.0) - values.get("mPSNR", 0.0)
    if gained > 1:
        return f"{said}: colours differ, {gained:.1f} dB by one gain per channel"
    if flow.get("returning_share", 1.0) < 0.7:
        return f"{said}: only {flow['returning_share']:.0%} of the overlap is found on the way back: hidden or moving"
    if flow.get("textured_share", 1.0) < 0.15:
        return f"{said}: hardly any texture to match"
    if values.get("beyond 5 px", 0.0) > 0.15:
        return f"{said}: {values['beyond 5 px']:.0%} of the overlap more than 5 px off"
    if values.get("EPE NOV", 0.0) > 15:
        return f"{said}: beyond the reference {values['EPE NOV']:.0f} px off"
    if flow.get("agreement", 1.0) < 0.7:
        return f"{said}: what is laid on each other does not look alike (correlation {flow['agreement']:.2f})"
    return f"{said}: fine detail and noise differ"


def write_sheet(path: Path, exhibits: list[Exhibit], count: int = 10) -> None:
    """The worst of the pairs, worst first, as one JPEG or PNG. Raises ValueError where it cannot be written."""
    worst = sorted(exhibits, key=lambda shown: (np.nan_to_num(shown.score, nan=-1.0), shown.name))[:count]
    if not worst:
        raise ValueError("exhibits: expected at least one, found none")
    sheet = np.concatenate([shown.strip_HW3 for shown in worst])
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}{path.suffix}")
    if not cv2.imwrite(str(partial), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)):
        raise ValueError(f"path: expected a name that ends in .jpg or .png, found {path.name}")
    os.replace(partial, path)


def _fitted(image_HW3: np.ndarray) -> np.ndarray:
    height, width = image_HW3.shape[:2]
    factor = min(CELL[0] / width, CELL[1] / height)
    size = (max(1, int(width * factor)), max(1, int(height * factor)))
    small = cv2.resize(image_HW3, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST)
    cell = np.full((CELL[1], CELL[0], 3), 40, np.uint8)
    top, left = (CELL[1] - size[1]) // 2, (CELL[0] - size[0]) // 2
    cell[top : top + size[1], left : left + size[0]] = small
    return cell
