"""A tiny bundle with an INT8 file, made once per session through the real command."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from export.int8_bundle import Int8Options, add_int8
from service.bundle import MANIFEST_FILE
from training.config_json import to_json
from training.data.rooms import RoomConfig
from training.datasets import DataRecipe

SMALL_ROOMS = DataRecipe(
    source="rooms",
    name="small",
    config=RoomConfig(height=32, width=64, antialias=False),
    count=16,
    validation_count=16,
    shard_size=16,
)


def told(bundle: Path, out: Path, **changes: Any) -> Path:
    """A copy of a tiny bundle whose manifest says that it was trained on small generated rooms."""
    folder = Path(shutil.copytree(bundle, out))
    manifest = json.loads((folder / MANIFEST_FILE).read_text())
    manifest["provenance"]["perceive"]["data"] = to_json(SMALL_ROOMS)
    manifest |= changes
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="session")
def frames_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the small generated frames are kept."""
    return tmp_path_factory.mktemp("frames")


@pytest.fixture(scope="session")
def float_bundle(perceive_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny perceive bundle, told to be of small rooms. Read only."""
    return told(perceive_bundle, tmp_path_factory.mktemp("float") / "tiny")


@pytest.fixture(scope="session")
def int8_bundle(float_bundle: Path, frames_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with an INT8 file beside the float one. Read only."""
    out = tmp_path_factory.mktemp("int8") / "tiny"
    options = Int8Options(calibration=16, validation=16, budget=0.05, data_root=frames_root)
    add_int8(float_bundle, out, options)
    return out
