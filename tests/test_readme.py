"""The commands and programs in README.md, docs/api.md, docs/jobs.md and docs/training.md do what they say.

`sh` blocks run in order, in one shell per document, against a real service; http://localhost:3000 is replaced by its
address. Blocks that set up, train or deploy are not run here: their Make targets and modules must exist. Consecutive
`python` blocks are one program. Commands of docs/training.md that would train for long are only understood.
"""

import importlib.util
import itertools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.helpers.servers import running_service
from tests.helpers.tiny_datasets import write_mtan
from training.recipes import RECIPES

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "docs/api.md", "docs/jobs.md")
TRAINING = "docs/training.md"
METHODS = tuple(
    f"docs/methods/{name}.md"
    for name in ("balancing", "connection-strength", "instance-parameters", "mt-cp", "mti-net", "stitching")
)
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
ADDRESS = re.compile(r"(http://)?(localhost|127\.0\.0\.1):3000")
ELSEWHERE = ("make", "bentoml", "docker", "git", "cd", "pip", "kubectl", "torchrun", "POLYVIEW_")


def blocks(document: str) -> list[tuple[str, str]]:
    """(language, content) of every fenced block of a document, in order."""
    return BLOCK.findall((ROOT / document).read_text())


def commands(script: str) -> list[list[str]]:
    """The words of each command, continued lines joined, comments left out."""
    lines = script.replace("\\\n", " ").splitlines()
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def talks_to_service(script: str) -> bool:
    return bool(ADDRESS.search(script)) and not commands(script)[0][0].startswith(ELSEWHERE)


@pytest.fixture(scope="module")
def service_url(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[str]:
    """The released bundles, which are what the documents speak of; tiny ones while none is released."""
    bundles = [ROOT / "weights" / name for name in ("perceive-rooms", "stitch-pairs")]
    if not all(bundle.exists() for bundle in bundles):
        bundles = [request.getfixturevalue(name) for name in ("perceive_bundle", "stitch_bundle")]
    with running_service(tmp_path_factory.mktemp("readme") / "service.log", *bundles) as url:
        yield url


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder from which the repository's files are reachable, with photo.jpg, left.jpg and right.jpg in it."""
    for entry in ROOT.iterdir():
        if not entry.name.startswith("."):
            (tmp_path / entry.name).symlink_to(entry)
    rng = np.random.default_rng(3)
    wall = cv2.GaussianBlur(rng.integers(0, 256, (240, 420, 3)).astype(np.uint8), (0, 0), 4)
    wall = cv2.normalize(wall, None, 40, 215, cv2.NORM_MINMAX)
    for x, y, size, *colour in rng.integers((0, 0, 5, 0, 0, 0), (420, 240, 22, 256, 256, 256), (220, 6)).tolist():
        cv2.rectangle(wall, (x, y), (x + size, y + size), colour, -1)
    for name, picture in {"photo": wall, "left": wall[:, :300], "right": wall[:, 120:]}.items():
        Image.fromarray(picture).save(tmp_path / f"{name}.jpg", quality=95)
    return tmp_path


def run(program: list[str], text: str, folder: Path) -> None:
    """Run a program that reads `text` on its standard input; a failure shows both."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "no_proxy": "*", "NO_PROXY": "*"}
    done = subprocess.run(program, input=text, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{text}\n--- output:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_that_talk_to_the_service(document: str, service_url: str, workplace: Path):
    scripts = [
        ADDRESS.sub(service_url, s) for language, s in blocks(document) if language == "sh" and talks_to_service(s)
    ]
    assert scripts, f"{document} shows no request"
    # a refused request must fail the test also where the document leaves curl's own option out
    preamble = 'set -euo pipefail\ncurl() { command curl --fail-with-body "$@"; }\n'
    run(["bash"], preamble + "\n".join(scripts), workplace)
    for script in scripts:
        for words in commands(script):
            for option, name in itertools.pairwise(words):
                if words[0] == "curl" and option == "-o" and name != "-":
                    assert (workplace / name).stat().st_size > 0, name


@pytest.mark.parametrize("document", DOCUMENTS)
def test_python_programs(document: str, service_url: str, workplace: Path):
    program = ""
    for language, content in [*blocks(document), ("end", "")]:
        if language == "python":
            program += ADDRESS.sub(service_url, content)
        elif program:
            run([sys.executable, "-"], program, workplace)
            program = ""


@pytest.mark.full
@pytest.mark.parametrize("document", METHODS)
def test_programs_without_a_service(document: str, workplace: Path):
    program = "\n".join(content for language, content in blocks(document) if language == "python")
    run([sys.executable, "-"], program, workplace)


def test_training_commands_are_understood():
    import benchmarks.dense_networks
    import export.__main__
    import training.__main__

    parsers = {
        "training": training.__main__._parser().parse_args,
        "export": export.__main__._parser().parse_args,
        "benchmarks.dense_networks": benchmarks.dense_networks.parse,
    }
    seen = set()
    for language, script in blocks(TRAINING):
        for words in commands(script) if language == "sh" else []:
            if "-m" in words:
                module, *arguments = words[words.index("-m") + 1 :]
                parsers[module](arguments)
                seen.add((module, arguments[0]))
    assert seen >= {("training", name) for name in ("run", "evaluate", "describe", "render", "inspect")}
    recipes = set(re.findall(r"`((?:nyud|pascal|rooms|tiny|stitch|perceive)_\w+)`", (ROOT / TRAINING).read_text()))
    assert recipes - {"pascal_context"} <= set(RECIPES)


@pytest.mark.full
def test_the_recipe_for_own_data_trains(workplace: Path):
    write_mtan(workplace / "data" / "my_rooms", size=(64, 64))
    (program,) = (content for language, content in blocks(TRAINING) if language == "python")
    short = {"steps=20000": "steps=1", "batch_size=8": "batch_size=2", "size=(288, 384)": "size=(64, 64)"}
    for given, wanted in short.items():
        assert given in program
        program = program.replace(given, wanted)
    (workplace / "artifacts").unlink(missing_ok=True)
    (workplace / "my_rooms.py").write_text(program)
    (script,) = (content for language, content in blocks(TRAINING) if language == "sh" and "my_rooms.py" in content)
    run(["bash", "-e"], script, workplace)
    assert (workplace / "artifacts" / "runs" / "my_rooms" / "checkpoints" / "latest").is_file()


def test_make_targets_and_modules_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in (*DOCUMENTS, TRAINING):
        for language, script in blocks(document):
            for words in commands(script) if language == "sh" else []:
                if words[0] == "make":
                    named = [w for w in words[1:] if "=" not in w and not w.startswith("-")]
                    assert set(named) <= targets, f"{document}: {' '.join(words)}"
                if "-m" in words and words[0].endswith(("python", "python3")):
                    module = words[words.index("-m") + 1]
                    assert importlib.util.find_spec(module), f"{document}: {' '.join(words)}"


def test_linked_files_exist():
    for document in (*DOCUMENTS, TRAINING, *METHODS):
        text = (ROOT / document).read_text()
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) + re.findall(r'src="([^"]+)"', text):
            if "://" not in target:
                assert ((ROOT / document).parent / target).exists(), f"{document}: {target}"
