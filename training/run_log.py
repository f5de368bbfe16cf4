"""The record of a run: JSON lines, TensorBoard scalars and images, and a progress bar."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.fabric.loggers import TensorBoardLogger
from tqdm import tqdm

from training.checkpoint import write_atomically
from training.pictures import Picture

LOG_FILE = "log.jsonl"


class RunLog:
    """Writes `log.jsonl` and `tensorboard/` in the run's folder and shows a bar.

    A resumed run begins at `step`: lines after it, left by a killed process, are dropped first.
    """

    def __init__(self, folder: Path, *, step: int, steps: int, name: str, progress: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / LOG_FILE
        if path.exists():
            write_atomically(path, "".join(line for line in _whole_lines(path) if json.loads(line)["step"] <= step))
        self._file = path.open("a", buffering=1)
        self._board = TensorBoardLogger(root_dir=folder, name="", version="tensorboard").experiment
        interval = 0.5 if sys.stderr.isatty() else 15.0
        self._bar: Any = tqdm(
            initial=step, total=steps, desc=name, unit="step", mininterval=interval, disable=not progress
        )

    def training(self, step: int, values: Mapping[str, float]) -> None:
        """Loss terms and speed of the steps up to `step`."""
        self._write({"step": step, "kind": "training", **values})
        for name, value in values.items():
            self._board.add_scalar(f"training/{name}", value, step)
        self._bar.set_postfix(
            loss=f"{values['total']:.4f}", images_s=f"{values['images_per_second']:.2f}", refresh=False
        )

    def validation(self, step: int, values: Mapping[str, float], pictures: Mapping[str, Picture]) -> None:
        """Metrics of the validation set and sheets of predictions."""
        self._write({"step": step, "kind": "validation", **values})
        for name, value in values.items():
            self._board.add_scalar(f"validation/{name}", value, step)
        for name, picture in pictures.items():
            self._board.add_image(name, picture, step, dataformats="HWC")
        self._board.flush()

    def shares(self, step: int, shares: Mapping[str, Mapping[str, float]]) -> None:
        """How much of each layer each task owns; TensorBoard gets the means over layers."""
        self._write({"step": step, "kind": "shares", "shares": shares})
        for task in next(iter(shares.values()), {}):
            mean = sum(of[task] for of in shares.values()) / len(shares)
            self._board.add_scalar(f"shares/{task}", mean, step)

    def advance(self) -> None:
        """One step on the bar."""
        self._bar.update(1)

    def message(self, text: str) -> None:
        """A line above the bar."""
        self._bar.write(text, file=sys.stderr)

    def close(self) -> None:
        """Ends the bar and the files."""
        self._bar.close()
        self._board.close()
        self._file.close()

    def _write(self, content: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(content, allow_nan=True) + "\n")


def _whole_lines(path: Path) -> list[str]:
    """Lines that end; a kill may leave half a line behind."""
    return [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
