"""Opens a folder of pairs of photographs, by what it holds."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

from training.readers.stereo_scenes import StereoScenesReader, is_stereo_scenes
from training.readers.user_pairs import UserPairsReader, is_user_pairs

PairLayout = Literal["udis", "middlebury"]
PAIR_LAYOUTS: tuple[PairLayout, ...] = get_args(PairLayout)
PairReader = UserPairsReader | StereoScenesReader

MARKS: dict[PairLayout, tuple[Callable[[Path], bool], str]] = {
    "udis": (is_user_pairs, "{training,testing}/{input1,input2}"),
    "middlebury": (is_stereo_scenes, "<scene>/{im0.png,im1.png,disp0.pfm,calib.txt}"),
}


def pair_layout(root: Path) -> PairLayout:
    """The layout of a folder of pairs. Raises ValueError, naming what is there, for a folder of neither."""
    if not root.is_dir():
        raise ValueError(f"{root}: expected a folder of pairs, found none")
    found = [layout for layout, (matches, _) in MARKS.items() if matches(root)]
    if len(found) != 1:
        known = "; ".join(f"{layout}: {marks}" for layout, (_, marks) in MARKS.items())
        held = ", ".join(sorted(path.name for path in root.iterdir())[:20]) or "nothing"
        raise ValueError(f"{root}: expected pairs in one layout ({known}), found {' and '.join(found) or held}")
    return found[0]


def open_pair_reader(layout: PairLayout, root: Path) -> PairReader:
    """The reader of `root`. Raises ValueError when the folder is not there or holds something else."""
    found = pair_layout(root)
    if found != layout:
        raise ValueError(f"{root}: expected {layout} ({MARKS[layout][1]}), found {found} ({MARKS[found][1]})")
    return UserPairsReader(root) if layout == "udis" else StereoScenesReader(root)
